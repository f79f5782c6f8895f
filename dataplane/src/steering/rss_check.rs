//! Finds out from the first packets whether an ethdev's RSS does what was asked of it.
//!
//! Drivers accept keys and redirection tables they do not use, and hash without ports where they
//! were told to hash with them. A flow would then land on a worker that does not own it. Whoever
//! polls the ethdev shows its first packets to this check and, on a mismatch, dispatches that
//! ethdev's packets in software.

use super::Rss;
use crate::address::{Address, FlowKey};
use crate::id::WorkerId;

/// Packets that must agree before an ethdev is trusted.
pub const PACKETS_TO_TRUST: u16 = 64;

/// What is known about an ethdev's RSS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RssVerdict {
    /// All packets so far agreed; this many more must.
    Undecided(u16),
    /// The ethdev hashes and redirects as software does.
    Usable,
    /// It does not; its packets must be dispatched in software.
    Mismatch,
}

/// The check of one receive queue of an ethdev.
#[derive(Clone, Copy, Debug)]
pub struct RssCheck {
    verdict: RssVerdict,
}

impl Default for RssCheck {
    fn default() -> Self {
        Self {
            verdict: RssVerdict::Undecided(PACKETS_TO_TRUST),
        }
    }
}

impl RssCheck {
    /// A check that has seen no packet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What is known so far.
    #[inline]
    #[must_use]
    pub const fn verdict(&self) -> RssVerdict {
        self.verdict
    }

    /// Compares one packet: what the ethdev says its hash is, and the worker whose queue it came
    /// to, with what `rss` says of `flow`. The packet must carry its ports (not a later
    /// fragment) and no tunnel. A decided check looks at nothing more.
    #[inline]
    pub fn observe<A: Address>(
        &mut self,
        rss: &Rss,
        flow: &FlowKey<A>,
        hardware_hash: Option<u32>,
        arrived_at: WorkerId,
    ) -> RssVerdict {
        if let RssVerdict::Undecided(left) = self.verdict {
            let hash = rss.hash(flow);
            let agrees = hardware_hash == Some(hash) && rss.worker_of(hash) == arrived_at;
            self.verdict = match left {
                _ if !agrees => RssVerdict::Mismatch,
                0 | 1 => RssVerdict::Usable,
                _ => RssVerdict::Undecided(left - 1),
            };
        }
        self.verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::{Endpoint, Protocol, V4};
    use crate::steering::toeplitz::DEFAULT_KEY;

    fn rss() -> Rss {
        Rss::new(&DEFAULT_KEY, &[WorkerId(0), WorkerId(1)]).unwrap()
    }

    fn flow(client_port: u16) -> FlowKey<V4> {
        FlowKey {
            source: Endpoint::new(V4::from([192, 0, 2, 1]), client_port),
            destination: Endpoint::new(V4::from([10, 1, 0, 100]), 80),
            protocol: Protocol::Tcp,
        }
    }

    #[test]
    fn an_ethdev_is_trusted_once_enough_packets_agree() {
        let (rss, mut check) = (rss(), RssCheck::new());

        for port in 1..PACKETS_TO_TRUST {
            let hash = rss.hash(&flow(port));
            let verdict = check.observe(&rss, &flow(port), Some(hash), rss.worker_of(hash));
            assert_eq!(verdict, RssVerdict::Undecided(PACKETS_TO_TRUST - port));
        }
        let hash = rss.hash(&flow(1));

        assert_eq!(
            check.observe(&rss, &flow(1), Some(hash), rss.worker_of(hash)),
            RssVerdict::Usable
        );
        assert_eq!(
            check.observe(&rss, &flow(1), None, WorkerId(0)),
            RssVerdict::Usable
        );
    }

    #[test]
    fn one_wrong_hash_or_none_is_a_mismatch_for_good() {
        let rss = rss();
        let hash = rss.hash(&flow(1));
        let owner = rss.worker_of(hash);

        for reported in [Some(hash ^ 1), None] {
            let mut check = RssCheck::new();
            check.observe(&rss, &flow(1), reported, owner);

            let verdict = check.observe(&rss, &flow(1), Some(hash), owner);

            assert_eq!(verdict, RssVerdict::Mismatch);
        }
    }

    #[test]
    fn a_right_hash_on_the_wrong_queue_is_a_mismatch() {
        let (rss, mut check) = (rss(), RssCheck::new());
        let hash = rss.hash(&flow(1));
        let other = WorkerId(1 - rss.worker_of(hash).0);

        let verdict = check.observe(&rss, &flow(1), Some(hash), other);

        assert_eq!(verdict, RssVerdict::Mismatch);
    }
}
