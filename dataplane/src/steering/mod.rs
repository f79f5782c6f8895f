//! Names the worker that owns a flow.
//!
//! Every session has one owner and any worker can name it without shared state. Where the
//! ethdevs spread packets by RSS, the owner is the worker whose queue the tuple hashes to; where
//! they do not, it follows from the client's address and port alone, which both directions of a
//! NAT session carry. Replies to a local address (FULLNAT) follow from the local port, which
//! [`snat`](crate::snat) chooses so that they come back to the worker that lent it.

use std::sync::Arc;

use thiserror::Error;

use crate::address::{Address, Endpoint, FlowKey, Protocol};
use crate::id::WorkerId;

pub use self::rss_check::{PACKETS_TO_TRUST, RssCheck, RssVerdict};
pub use self::toeplitz::{DEFAULT_KEY, KEY_BYTES, Toeplitz};

mod rss_check;
mod toeplitz;

/// The longest redirection table any ethdev has (`RTE_ETH_RSS_RETA_SIZE_512` is DPDK's largest;
/// some drivers go to 2048).
pub const MAX_REDIRECTION_ENTRIES: usize = 2048;

/// Why an [`Rss`] cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RssError {
    /// The hash picks an entry by its low bits.
    #[error("a redirection table of {0} entries is not a power of two up to 2048")]
    TableSize(usize),
}

/// One hash key and one redirection table, the same for all ethdevs.
#[derive(Clone, Debug)]
pub struct Rss {
    toeplitz: Toeplitz,
    /// The shortest table that, repeated, is the whole one. A power of two long.
    redirection: Box<[WorkerId]>,
    workers: u16,
}

impl Rss {
    /// The hash with `key`, whose low bits pick an entry of `redirection`.
    ///
    /// # Errors
    ///
    /// [`RssError::TableSize`] when `redirection` is not a power of two long, at most
    /// [`MAX_REDIRECTION_ENTRIES`].
    pub fn new(key: &[u8; KEY_BYTES], redirection: &[WorkerId]) -> Result<Self, RssError> {
        let entries = redirection.len();
        if !entries.is_power_of_two() || entries > MAX_REDIRECTION_ENTRIES {
            return Err(RssError::TableSize(entries));
        }
        Ok(Self {
            toeplitz: Toeplitz::new(key),
            redirection: shortest_period(redirection).into(),
            workers: redirection.iter().map(|id| id.0 + 1).max().unwrap_or(1),
        })
    }

    /// The hash an ethdev computes of a packet of `flow`.
    #[inline]
    #[must_use]
    pub fn hash<A: Address>(&self, flow: &FlowKey<A>) -> u32 {
        self.toeplitz.hash(flow)
    }

    /// The worker to whose queue packets with this hash go.
    #[inline]
    #[must_use]
    pub fn worker_of(&self, hash: u32) -> WorkerId {
        self.redirection[self.class_of(hash)]
    }

    /// How many classes of hashes there are: hashes of one class go to one worker.
    #[inline]
    #[must_use]
    pub fn classes(&self) -> usize {
        self.redirection.len()
    }

    /// The class of a hash. Classes are linear as the hash is: the class of `a ^ b` is the class
    /// of `a` XOR the class of `b`.
    #[inline]
    #[must_use]
    pub fn class_of(&self, hash: u32) -> usize {
        hash as usize & (self.redirection.len() - 1)
    }

    /// The classes whose packets go to `worker`.
    pub fn classes_to(&self, worker: WorkerId) -> impl Iterator<Item = usize> {
        let entries = self.redirection.iter().enumerate();
        entries.filter_map(move |(class, &to)| (to == worker).then_some(class))
    }

    /// What the destination port adds to the class of a packet of family `A`.
    #[inline]
    #[must_use]
    pub fn destination_port_class<A: Address>(&self, port: u16) -> usize {
        self.class_of(self.toeplitz.destination_port_share::<A>(port))
    }
}

/// The shortest beginning of `table`, a power of two long, that gives `table` when repeated.
fn shortest_period(table: &[WorkerId]) -> &[WorkerId] {
    let mut period = table;
    loop {
        let (front, back) = period.split_at(period.len() / 2);
        if front.is_empty() || front != back {
            return period;
        }
        period = front;
    }
}

/// How the packets of a flow find the worker that owns it. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Steering {
    /// By software: the worker that receives a packet hands it over to its owner.
    Software {
        /// How many workers there are, at least 1.
        workers: u16,
    },
    /// By the ethdevs' RSS.
    Toeplitz(Arc<Rss>),
}

impl Default for Steering {
    fn default() -> Self {
        Self::Software { workers: 1 }
    }
}

impl Steering {
    /// Steering by the ethdevs' RSS with this key and redirection table.
    ///
    /// # Errors
    ///
    /// As [`Rss::new`].
    pub fn toeplitz(key: &[u8; KEY_BYTES], redirection: &[WorkerId]) -> Result<Self, RssError> {
        Ok(Self::Toeplitz(Arc::new(Rss::new(key, redirection)?)))
    }

    /// How many workers there are.
    #[inline]
    #[must_use]
    pub fn workers(&self) -> u16 {
        match self {
            Self::Software { workers } => (*workers).max(1),
            Self::Toeplitz(rss) => rss.workers,
        }
    }

    /// The owner of a client's flows that no ethdev steers: it depends on nothing but what both
    /// directions of a NAT session carry.
    #[inline]
    #[must_use]
    pub fn client_owner_software<A: Address>(
        &self,
        protocol: Protocol,
        client: Endpoint<A>,
    ) -> WorkerId {
        scale(client_hash(protocol, client), self.workers())
    }

    /// The owner of a flow, given as its client's packets carry it (client → VIP): where RSS puts
    /// them, or [`Self::client_owner_software`] without RSS.
    #[inline]
    #[must_use]
    pub fn client_owner_rss<A: Address>(&self, flow: &FlowKey<A>) -> WorkerId {
        match self {
            Self::Software { .. } => self.client_owner_software(flow.protocol, flow.source),
            Self::Toeplitz(rss) => rss.worker_of(rss.hash(flow)),
        }
    }

    /// The owner of a reply to a local address (RIP:rport → LIP:lport): the worker that lent the
    /// local port to this server.
    #[inline]
    #[must_use]
    pub fn local_reply_owner<A: Address>(&self, reply: &FlowKey<A>) -> WorkerId {
        match self {
            Self::Software { .. } => WorkerId(reply.destination.port % self.workers()),
            Self::Toeplitz(rss) => rss.worker_of(rss.hash(reply)),
        }
    }
}

/// Two odd constants without structure; they need not be secret, since whoever aims at one
/// worker gains only what a single flow costs.
const KEYS: [u64; 2] = [0x9e6c_63d0_676a_9a99, 0xd1b5_4a32_d192_ed03];

/// Multiply-and-fold over the address halves, then over port and protocol.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the halves of a number are taken one by one"
)]
fn client_hash<A: Address>(protocol: Protocol, client: Endpoint<A>) -> u32 {
    let bits = client.addr.to_bits();
    let address = fold(bits as u64 ^ fold((bits >> 64) as u64 ^ KEYS[1]));
    let rest = u64::from(client.port) << 8 | u64::from(protocol as u8);
    (fold(address ^ rest ^ KEYS[1]) >> 32) as u32
}

/// Both halves of the 128-bit product with a key, on top of each other.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the halves are what is asked for"
)]
fn fold(value: u64) -> u64 {
    let product = u128::from(value) * u128::from(KEYS[0]);
    product as u64 ^ (product >> 64) as u64
}

/// Maps a 32-bit hash evenly to a worker.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "less than `workers`, a u16"
)]
fn scale(hash: u32, workers: u16) -> WorkerId {
    WorkerId(((u64::from(hash) * u64::from(workers)) >> 32) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::{V4, V6};

    fn round_robin(entries: usize, workers: u16) -> Vec<WorkerId> {
        (0..workers).cycle().take(entries).map(WorkerId).collect()
    }

    fn client(n: u32) -> Endpoint<V4> {
        let port = u16::try_from(1024 + n % 50_000).unwrap();
        Endpoint::new(V4(0xc000_0200 + n / 64), port)
    }

    #[test]
    fn both_directions_of_a_nat_session_name_the_same_owner() {
        let steering = Steering::Software { workers: 3 };
        let request = FlowKey {
            source: client(7),
            destination: Endpoint::new(V4::from([10, 1, 0, 100]), 80),
            protocol: Protocol::Tcp,
        };
        let server = Endpoint::new(V4::from([10, 2, 0, 11]), 8080);
        let reply = FlowKey {
            source: server,
            ..request.reversed()
        };

        let owner = steering.client_owner_rss(&request);

        assert_eq!(
            owner,
            steering.client_owner_software(reply.protocol, reply.destination)
        );
    }

    #[test]
    fn software_owners_are_spread_evenly() {
        for workers in [1, 2, 3, 16] {
            let steering = Steering::Software { workers };
            let mut flows = vec![0_u32; usize::from(workers)];

            for n in 0..32_000 {
                let four = steering.client_owner_software(Protocol::Tcp, client(n));
                let six = Endpoint::new(V6(u128::from(n) << 64 | 1), 443);
                flows[four.index()] += 1;
                flows[steering.client_owner_software(Protocol::Udp, six).index()] += 1;
            }

            let fair = 64_000 / u32::from(workers);
            for count in flows {
                assert!(count.abs_diff(fair) < fair / 10, "{count} of {fair}");
            }
        }
    }

    #[test]
    fn rss_owners_follow_the_redirection_table() {
        let table = round_robin(128, 3);
        let steering = Steering::toeplitz(&DEFAULT_KEY, &table).unwrap();
        // The first published vector: its hash is 0x51ccc178.
        let flow = FlowKey {
            source: Endpoint::new(V4::from([66, 9, 149, 187]), 2794),
            destination: Endpoint::new(V4::from([161, 142, 100, 80]), 1766),
            protocol: Protocol::Tcp,
        };

        assert_eq!(steering.client_owner_rss(&flow), table[0x78]);
        assert_eq!(steering.local_reply_owner(&flow), table[0x78]);
        assert_eq!(steering.workers(), 3);
    }

    #[test]
    fn replies_in_software_follow_the_local_port() {
        let steering = Steering::Software { workers: 4 };
        let reply = FlowKey {
            source: Endpoint::new(V4::from([10, 2, 0, 11]), 80),
            destination: Endpoint::new(V4::from([10, 2, 0, 1]), 1027),
            protocol: Protocol::Tcp,
        };

        assert_eq!(steering.local_reply_owner(&reply), WorkerId(3));
    }

    #[test]
    fn a_repeating_redirection_table_is_kept_once() {
        let rss = |entries, workers| {
            Rss::new(&DEFAULT_KEY, &round_robin(entries, workers)).map(|rss| rss.classes())
        };

        assert_eq!(rss(128, 1), Ok(1));
        assert_eq!(rss(512, 4), Ok(4));
        assert_eq!(rss(128, 3), Ok(128));
        assert_eq!(rss(96, 3), Err(RssError::TableSize(96)));
        assert_eq!(rss(0, 1), Err(RssError::TableSize(0)));
        assert_eq!(rss(4096, 2), Err(RssError::TableSize(4096)));
    }

    #[test]
    fn classes_to_a_worker_are_those_the_table_names() {
        let rss = Rss::new(&DEFAULT_KEY, &round_robin(8, 3)).unwrap();

        assert_eq!(rss.classes_to(WorkerId(2)).collect::<Vec<_>>(), [2, 5]);
    }
}
