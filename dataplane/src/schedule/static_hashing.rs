//! dh and sh: a client, or what it speaks to, always meets the same server.

use std::sync::Arc;

use super::{Change, FlowInfo, Schedule, fold};
use crate::service::RealServer;

/// Buckets of a service: 2^8.
const BUCKET_BITS: u32 = 8;
const BUCKETS: usize = 1 << BUCKET_BITS;

/// The top bits of `word` times the golden ratio of 2^32, negated (the kernel's `hash_32`).
#[inline]
pub(super) const fn hash(word: u32, bits: u32) -> u32 {
    word.wrapping_mul(0x61c8_8647) >> (u32::BITS - bits)
}

/// The bucket of a folded address.
#[inline]
const fn bucket(word: u32) -> usize {
    hash(word, BUCKET_BITS) as usize
}

/// Destination hashing: the VIP alone decides. The buckets are dealt to the servers in turn,
/// whatever their weights, so which server a bucket has needs no table.
#[derive(Clone, Copy, Debug)]
pub struct DestinationHashing;

impl Schedule for DestinationHashing {
    /// A server that takes no sessions is not replaced by another.
    #[inline(never)]
    fn pick(&self, servers: &[Arc<RealServer>], flow: FlowInfo) -> Option<usize> {
        let at = bucket(fold(flow.destination)).checked_rem(servers.len())?;
        servers[at].is_eligible().then_some(at)
    }
}

/// Source hashing: the client's address, and with an option its port, decide. Each server has as
/// many buckets in a row as its weight says, one if that is 0, until none is left.
#[derive(Debug)]
pub struct SourceHashing {
    /// In each bucket the place of its server in the list; `None` without servers.
    buckets: Option<Arc<[u8; BUCKETS]>>,
    fallback: bool,
    port: bool,
}

impl SourceHashing {
    pub(super) fn new(fallback: bool, port: bool, servers: &[Arc<RealServer>]) -> Self {
        Self {
            buckets: (!servers.is_empty()).then(|| Arc::new(deal(servers))),
            fallback,
            port,
        }
    }

    /// Any change of the servers deals the buckets anew; options take effect by themselves.
    pub(super) fn changed(
        &self,
        fallback: bool,
        port: bool,
        servers: &[Arc<RealServer>],
        changes: &[Change],
    ) -> Self {
        if !changes.is_empty() {
            return Self::new(fallback, port, servers);
        }
        Self {
            buckets: self.buckets.clone(),
            fallback,
            port,
        }
    }
}

impl Schedule for SourceHashing {
    /// One bucket; with the fallback option up to all of them.
    #[inline(never)]
    fn pick(&self, servers: &[Arc<RealServer>], flow: FlowInfo) -> Option<usize> {
        let buckets = self.buckets.as_deref()?;
        let port = if self.port { flow.source_port } else { 0 };
        let first = bucket(flow.folded_source.wrapping_add(u32::from(port)));
        let probes = if self.fallback { BUCKETS } else { 0 };
        // The second looked at is the one at twice the hash: what is added to the hash begins
        // with the hash itself.
        let others = (0..probes).map(|offset| (2 * first + offset) % BUCKETS);
        std::iter::once(first)
            .chain(others)
            .map(|bucket| usize::from(buckets[bucket]))
            .find(|at| servers[*at].is_eligible())
    }
}

/// Which server has which bucket. Each has at least one, so places beyond the 256th have none.
fn deal(servers: &[Arc<RealServer>]) -> [u8; BUCKETS] {
    let runs = (0..=u8::MAX).zip(servers).map(|(place, server)| {
        let buckets = server.weight.0.max(1) as usize;
        std::iter::repeat_n(place, buckets)
    });
    let mut round = runs.flatten().cycle();
    std::array::from_fn(|_| round.next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::super::samples::{flow_of, servers};
    use super::*;
    use crate::address::{Address, Endpoint, V4, V6};
    use crate::time::Tick;

    #[test]
    fn addresses_hash_to_the_buckets_the_kernel_hashes_them_to() {
        for (addr, expected) in [
            ([192, 168, 0, 1], 192),
            ([192, 168, 0, 2], 34),
            ([10, 0, 0, 1], 39),
            ([172, 16, 5, 9], 115),
            ([10, 1, 0, 100], 126),
        ] {
            assert_eq!(bucket(fold(V4::from(addr).to_bits())), expected, "{addr:?}");
        }
        let v6: std::net::Ipv6Addr = "2001:db8:9::1".parse().unwrap();
        assert_eq!(bucket(fold(V6::from(v6).to_bits())), 234);
        let with_port = |addr| bucket(fold(V4::from(addr).to_bits()).wrapping_add(1000));
        assert_eq!(with_port([192, 168, 0, 1]), 183);
        assert_eq!(with_port([10, 0, 0, 1]), 31);
    }

    #[test]
    fn buckets_are_dealt_by_weight_in_rounds() {
        // A round is 1 + 1 + 3 buckets: weight 0 has one too.
        let dealt = deal(&servers(&[0, 1, 3]));

        assert_eq!(dealt[..10], [0, 1, 2, 2, 2, 0, 1, 2, 2, 2]);
        assert_eq!(dealt[255], 0);
    }

    #[test]
    fn servers_behind_the_last_bucket_get_nothing() {
        let dealt = deal(&servers(&[200, 100, 7]));

        assert_eq!(dealt.iter().filter(|place| **place == 0).count(), 200);
        assert_eq!(dealt.iter().filter(|place| **place == 1).count(), 56);
        let many = deal(&servers(&[1; 300]));
        assert_eq!(many[255], 255);
    }

    #[test]
    fn the_fallback_goes_on_at_twice_the_hash() {
        // Given only the server with bucket 2 · 39 + 5 = 83 takes sessions.
        let mut weights = [0; 256];
        weights[83] = 1;
        let servers = servers(&weights);

        // When the client hashes to bucket 39.
        let pick = |fallback| {
            SourceHashing::new(fallback, false, &servers).pick(&servers, flow_of([10, 0, 0, 1], 9))
        };

        assert_eq!(pick(false), None);
        assert_eq!(pick(true), Some(83));
    }

    #[test]
    fn the_port_counts_if_asked_for() {
        let servers = servers(&[1; 256]);
        let pick = |port| {
            SourceHashing::new(false, port, &servers).pick(&servers, flow_of([10, 0, 0, 1], 1000))
        };

        assert_eq!(pick(false), Some(39));
        assert_eq!(pick(true), Some(31));
    }

    #[test]
    fn a_vip_meets_one_server_or_none() {
        let servers = servers(&[1, 1, 0, 1]);
        let pick = |vip: [u8; 4]| {
            let client = Endpoint::new(V4::from([192, 168, 0, 1]), 1);
            let flow = FlowInfo::of(client, V4::from(vip), Tick(0));
            DestinationHashing.pick(&servers, flow)
        };

        // 126 mod 4 = 2, whose weight is 0; 192 mod 4 = 0.
        assert_eq!(pick([10, 1, 0, 100]), None);
        assert_eq!(pick([192, 168, 0, 1]), Some(0));
        let flow = flow_of([10, 0, 0, 1], 1);
        assert_eq!(DestinationHashing.pick(&[], flow), None);
        assert_eq!(SourceHashing::new(true, true, &[]).pick(&[], flow), None);
    }
}
