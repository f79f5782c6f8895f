//! mh: Maglev hashing, by which every gateway sends a client to the same server and few clients
//! move when servers change.
//!
//! D. Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer" (NSDI 2016).
//! Each server has a permutation of the table's slots of its own; the servers take turns, as many
//! in a row as their weight says, to claim the next free slot of their permutation.

use std::net::IpAddr;
use std::sync::Arc;

use super::siphash::hash_word;
use super::{Change, FlowInfo, Schedule, fold, gcd};
use crate::address::{Address, Endpoint, V4, V6};
use crate::service::RealServer;

/// Slots of the table: the prime of `CONFIG_IP_VS_MH_TAB_INDEX=12`, the kernel's default.
const SLOTS: u32 = 4093;

/// The most servers a service with this scheduler may have: one for each slot.
pub const MAX_SERVERS: usize = SLOTS as usize;

/// Bits of the most turns a server takes in a row (`IP_VS_MH_TAB_BITS`: half the table's index).
const TURN_BITS: u32 = 6;

/// Keys of the hash that picks a slot, and of the hash that picks a server's stride.
const SLOT_KEY: u64 = 2_654_435_761;
const STRIDE_KEY: u64 = 2_654_446_892;

/// A slot that no server claimed, because no server has a weight.
const NOBODY: u16 = u16::MAX;

/// Maglev hashing.
#[derive(Debug)]
pub struct Maglev {
    /// In each slot the place of its server in the list.
    table: Arc<[u16]>,
    fallback: bool,
    port: bool,
}

impl Maglev {
    pub(super) fn new(fallback: bool, port: bool, servers: &[Arc<RealServer>]) -> Self {
        Self {
            table: fill(servers),
            fallback,
            port,
        }
    }

    /// Any change of the servers fills the table anew; options take effect by themselves.
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
            table: Arc::clone(&self.table),
            fallback,
            port,
        }
    }
}

impl Schedule for Maglev {
    /// One hash and one slot; with the fallback option up to as many more as there are slots.
    #[inline(never)]
    fn pick(&self, servers: &[Arc<RealServer>], client: FlowInfo) -> Option<usize> {
        let port = if self.port { client.source_port } else { 0 };
        let key = client.folded_source.wrapping_add(u32::from(port));
        let slot = hash_word(key, SLOT_KEY) % SLOTS;
        let probes = if self.fallback { SLOTS } else { 0 };

        let others = (0..probes).map(|offset| {
            let moved = key.wrapping_add((offset + slot) % SLOTS);
            hash_word(moved, SLOT_KEY) % SLOTS
        });
        for slot in std::iter::once(slot).chain(others) {
            let at = usize::from(self.table[slot as usize]);
            // An empty table has no server in any slot.
            if servers.get(at)?.is_eligible() {
                return Some(at);
            }
        }
        None
    }
}

/// One server while the table is filled.
struct Claimant {
    place: u16,
    /// The slot of its permutation it looks at next.
    slot: u32,
    stride: u32,
    turns: u32,
}

/// The table for these servers.
fn fill(servers: &[Arc<RealServer>]) -> Arc<[u16]> {
    let mut table = vec![NOBODY; SLOTS as usize];
    let mut claimants = claimants(servers);
    let mut free = SLOTS;
    while free > 0 && !claimants.is_empty() {
        for claimant in &mut claimants {
            for _ in 0..claimant.turns.min(free) {
                claimant.claim(&mut table);
                free -= 1;
            }
        }
    }
    table.into()
}

impl Claimant {
    /// Takes the next slot of the permutation that is free; there is one.
    fn claim(&mut self, table: &mut [u16]) {
        while table[self.slot as usize] != NOBODY {
            self.slot = (self.slot + self.stride) % SLOTS;
        }
        table[self.slot as usize] = self.place;
    }
}

/// The servers that take turns. It is their last weight above 0 that counts, so that a server
/// set to 0 keeps its slots and its clients are not spread over the others for good.
fn claimants(servers: &[Arc<RealServer>]) -> Vec<Claimant> {
    let weights = || servers.iter().map(|server| server.last_weight.0);
    let unit = weights().fold(0, gcd).max(1);
    let bits = u32::BITS - (weights().max().unwrap_or(0) / unit).leading_zeros();
    let shift = bits.saturating_sub(TURN_BITS);

    let numbered = (0..NOBODY).zip(servers);
    numbered
        .filter(|(_, server)| server.last_weight.0 > 0)
        .map(|(place, server)| {
            let key = server_key(server.endpoint);
            Claimant {
                place,
                slot: hash_word(key, SLOT_KEY) % SLOTS,
                stride: hash_word(key, STRIDE_KEY) % (SLOTS - 1) + 1,
                turns: ((server.last_weight.0 / unit) >> shift).max(1),
            }
        })
        .collect()
}

fn server_key(endpoint: Endpoint<IpAddr>) -> u32 {
    let bits = match endpoint.addr {
        IpAddr::V4(addr) => V4::from(addr).to_bits(),
        IpAddr::V6(addr) => V6::from(addr).to_bits(),
    };
    fold(bits).wrapping_add(u32::from(endpoint.port))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::super::samples::flow_of;
    use super::*;
    use crate::id::{ServerSlot, Weight};
    use crate::service::{Method, ServerShared};

    fn server(host: u8, port: u16, weight: u32) -> Arc<RealServer> {
        Arc::new(RealServer {
            service: crate::service::ServiceKey::WEB,
            slot: ServerSlot(host.into()),
            endpoint: Endpoint::new([10, 2, 0, host].into(), port),
            weight: Weight(weight),
            last_weight: Weight(weight),
            method: Method::Dr,
            upper_threshold: 0,
            lower_threshold: 0,
            available: true,
            shared: Arc::new(ServerShared::new(1, &crate::schedule::Standings::new())),
        })
    }

    /// Three servers, added in the order 11, 12, 13: the newest stands first.
    fn servers() -> [Arc<RealServer>; 3] {
        [server(13, 80, 3), server(12, 80, 2), server(11, 80, 1)]
    }

    fn slot(key: u32) -> u32 {
        hash_word(key, SLOT_KEY) % SLOTS
    }

    #[test]
    fn clients_hash_to_the_slots_the_kernel_hashes_them_to() {
        let v6: V6 = "2001:db8:9::1".parse::<Ipv6Addr>().unwrap().into();

        assert_eq!(hash_word(0xc0a8_0001, SLOT_KEY), 0x8334_668e);
        assert_eq!(slot(0xc0a8_0001), 1278);
        assert_eq!(hash_word(0xc0a8_0002, SLOT_KEY), 0x19fb_d6ed);
        assert_eq!(slot(0xc0a8_0002), 1806);
        assert_eq!(slot(0x0a00_0001), 3711);
        assert_eq!(slot(0xac10_0509), 3538);
        assert_eq!(slot(0xc0a8_0001 + 1000), 293);
        let folded = FlowInfo::of(Endpoint::new(v6, 1), v6, crate::time::Tick(0)).folded_source;
        assert_eq!((folded, slot(folded)), (0x2008_0db9, 527));
    }

    #[test]
    fn servers_begin_and_step_where_the_kernel_lets_them() {
        let list = [server(13, 8080, 3), server(12, 80, 2), server(11, 80, 1)];

        let steps: Vec<_> = claimants(&list)
            .iter()
            .map(|c| (c.slot, c.stride))
            .collect();

        assert_eq!(steps, [(1277, 3719), (1266, 965), (1475, 967)]);
        assert_eq!(server_key(list[2].endpoint), 0x0a02_005b);
        assert_eq!(hash_word(0x0a02_005b, SLOT_KEY), 0xd294_d274);
        assert_eq!(hash_word(0x0a02_005b, STRIDE_KEY), 0xffc2_a31e);
    }

    #[test]
    fn the_table_is_the_kernels_slot_by_slot() {
        let table = fill(&servers());
        let host = |place: &u16| 13 - place;
        let share = |place| table.iter().filter(|&&p| p == place).count();

        let first: Vec<_> = table.iter().take(24).map(host).collect();
        assert_eq!(
            first,
            [
                12, 12, 11, 13, 13, 13, 13, 13, 13, 12, 11, 12, 13, 12, 11, 13, 13, 13, 13, 12, 13,
                12, 13, 12
            ]
        );
        assert_eq!((share(2), share(1), share(0)), (682, 1364, 2047));
    }

    #[test]
    fn clients_meet_the_servers_the_kernel_sends_them_to() {
        let list = servers();
        let mh = Maglev::new(false, false, &list);
        let host = |addr| mh.pick(&list, flow_of(addr, 1)).map(|at| 13 - at);

        assert_eq!(host([192, 168, 0, 1]), Some(11));
        assert_eq!(host([192, 168, 0, 2]), Some(13));
        assert_eq!(host([192, 168, 0, 3]), Some(13));
        assert_eq!(host([192, 168, 0, 4]), Some(13));
        assert_eq!(host([10, 0, 0, 1]), Some(13));
    }

    #[test]
    fn a_service_without_weights_picks_nobody() {
        let list = [server(11, 80, 0)];

        for fallback in [false, true] {
            let mh = Maglev::new(fallback, false, &list);
            assert_eq!(mh.pick(&list, flow_of([192, 168, 0, 1], 1)), None);
            assert_eq!(mh.pick(&[], flow_of([192, 168, 0, 1], 1)), None);
        }
    }

    #[test]
    fn as_many_servers_as_slots_get_a_slot_each() {
        let host = |n: usize| u8::try_from(n % 250).unwrap();
        let port = |n: usize| u16::try_from(n).unwrap();
        let list: Vec<_> = (0..MAX_SERVERS)
            .map(|n| server(host(n), port(n), 1))
            .collect();

        let mut table = fill(&list).to_vec();

        table.sort_unstable();
        assert!(table.iter().copied().eq(0..4093));
    }
}
