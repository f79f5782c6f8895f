//! Routes and neighbours: from Linux's words to next-hop slots.
//!
//! A route through a router points at that router's adjacency. A connected subnet points at one
//! adjacency without an address; each neighbour in it whose MAC is known gets a host entry of its
//! own, so that a look-up always ends at the adjacency to use. When an entry appears or goes, the
//! epochs of the slots it takes traffic from move on, and only their users look up again.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::Editor;
use crate::address::{Address, MacAddr, V4};
use crate::adjacency::Adjacency;
use crate::id::{AdjacencySlot, InterfaceId};

/// One way a route may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextHop {
    /// The router; `None` when the destinations are neighbours themselves.
    pub via: Option<IpAddr>,
    /// Where it leaves.
    pub interface: InterfaceId,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Route {
    hops: Vec<NextHop>,
    mtu: Option<u16>,
}

/// What makes two adjacencies the same: interface, next hop and the route's own MTU.
type AdjacencyKey = (InterfaceId, Option<IpAddr>, Option<u16>);

/// What the editor remembers about routes beside the snapshot.
#[derive(Debug, Default)]
pub(super) struct RouteBook {
    routes: BTreeMap<(V4, u8), Route>,
    neighbours: BTreeMap<(V4, InterfaceId), MacAddr>,
    /// Neighbours that have a host entry in the forwarding table.
    hosts: BTreeMap<V4, AdjacencyKey>,
    /// Slots in use, with the number of entries that point at each.
    slots: BTreeMap<AdjacencyKey, (AdjacencySlot, usize)>,
    free: Vec<AdjacencySlot>,
}

impl RouteBook {
    /// The longest of Linux's own routes that covers `addr`.
    fn covering(&self, addr: V4) -> Option<&Route> {
        (0..=32)
            .rev()
            .find_map(|len| self.routes.get(&(masked(addr, len), len)))
    }
}

impl Editor {
    /// Sets the route of a prefix, replacing the one it had. IPv6 routes are not needed yet.
    pub fn set_route(&mut self, prefix: IpAddr, len: u8, hops: &[NextHop], mtu: Option<u16>) {
        let Some(prefix) = V4::from_ip(prefix).filter(|_| len <= 32) else {
            return;
        };
        let prefix = masked(prefix, len);
        let route = Route {
            hops: hops.to_vec(),
            mtu,
        };
        if self.routes.routes.get(&(prefix, len)) == Some(&route) {
            return;
        }
        self.drop_host_entry_under(prefix, len);
        let slots: Vec<_> = hops
            .iter()
            .map(|hop| self.take_slot((hop.interface, hop.via, mtu)))
            .collect();
        let covered = self.next.routes.insert(prefix, len, &slots);
        self.move_epochs_on(covered.as_deref());
        if let Some(old) = self.routes.routes.insert((prefix, len), route) {
            self.release_route(&old);
        }
        self.settle_neighbours(prefix, len);
    }

    /// Forgets the route of a prefix.
    pub fn remove_route(&mut self, prefix: IpAddr, len: u8) {
        let Some(prefix) = V4::from_ip(prefix).filter(|_| len <= 32) else {
            return;
        };
        let prefix = masked(prefix, len);
        let Some(old) = self.routes.routes.remove(&(prefix, len)) else {
            return;
        };
        let removed = self.next.routes.remove(prefix, len);
        self.move_epochs_on(removed.as_deref());
        self.release_route(&old);
        self.settle_neighbours(prefix, len);
    }

    /// Learns or forgets (`None`) the MAC of a neighbour.
    pub fn set_neighbour(&mut self, interface: InterfaceId, addr: IpAddr, mac: Option<MacAddr>) {
        let Some(v4) = V4::from_ip(addr) else { return };
        match mac {
            Some(mac) => drop(self.routes.neighbours.insert((v4, interface), mac)),
            None => drop(self.routes.neighbours.remove(&(v4, interface))),
        }
        let any_mtu = (interface, Some(addr), None)..=(interface, Some(addr), Some(u16::MAX));
        let users: Vec<AdjacencySlot> = self
            .routes
            .slots
            .range(any_mtu)
            .map(|(_, (slot, _))| *slot)
            .collect();
        for slot in users {
            if let Some(adjacency) = self.next.adjacencies.get_mut(slot.index()) {
                adjacency.mac = mac;
            }
        }
        self.settle_neighbour(v4);
    }

    /// Whether Linux has told the MAC of this neighbour.
    #[must_use]
    pub fn knows_neighbour(&self, interface: InterfaceId, addr: V4) -> bool {
        self.routes.neighbours.contains_key(&(addr, interface))
    }

    /// Every neighbour whose MAC Linux has told.
    pub fn neighbours(&self) -> impl Iterator<Item = (InterfaceId, IpAddr, MacAddr)> {
        let neighbours = self.routes.neighbours.iter();
        neighbours.map(|((addr, interface), mac)| (*interface, addr.to_ip(), *mac))
    }

    /// The neighbours that packets to `destination` would be sent to; none for an address of the
    /// gateway's own.
    #[must_use]
    pub fn neighbours_towards(&self, destination: IpAddr) -> Vec<(InterfaceId, IpAddr)> {
        let addr = V4::from_ip(destination).filter(|addr| !self.next.is_local(*addr));
        let route = addr.and_then(|addr| self.routes.covering(addr));
        let hops = route.map_or(&[][..], |route| &route.hops);
        hops.iter()
            .map(|hop| (hop.interface, hop.via.unwrap_or(destination)))
            .collect()
    }

    /// The ways to exactly this prefix, none if Linux sends its packets elsewhere. `None` if Linux
    /// has no route to it, or it is of IPv6.
    #[must_use]
    pub fn ways_to(&self, prefix: IpAddr, len: u8) -> Option<&[NextHop]> {
        let prefix = masked(V4::from_ip(prefix)?, len);
        let route = self.routes.routes.get(&(prefix, len))?;
        Some(&route.hops)
    }

    /// All routers that routes go through, each once.
    pub fn routers(&self) -> impl Iterator<Item = (InterfaceId, IpAddr)> {
        let hops = self.routes.routes.values().flat_map(|route| &route.hops);
        let routers = hops.filter_map(|hop| Some((hop.interface, hop.via?)));
        routers.collect::<BTreeSet<_>>().into_iter()
    }

    /// The interfaces whose connected subnet covers `addr`, longest prefix only.
    #[must_use]
    pub fn connected_interface(&self, addr: IpAddr) -> Option<InterfaceId> {
        let route = self.routes.covering(V4::from_ip(addr)?)?;
        route
            .hops
            .iter()
            .find(|hop| hop.via.is_none())
            .map(|hop| hop.interface)
    }

    /// Takes an interface's new MTU over into its next hops.
    pub(super) fn relearn_mtu(&mut self, id: InterfaceId) {
        let slots: Vec<(AdjacencyKey, AdjacencySlot)> = (self.routes.slots.iter())
            .filter(|((interface, _, _), _)| *interface == id)
            .map(|(key, (slot, _))| (*key, *slot))
            .collect();
        for (key, slot) in slots {
            let mtu = self.mtu_of(key);
            if let Some(adjacency) = self.next.adjacencies.get_mut(slot.index()) {
                adjacency.mtu = mtu;
            }
        }
    }

    fn mtu_of(&self, (interface, _, route): AdjacencyKey) -> u16 {
        let link = self
            .next
            .interfaces
            .get(interface)
            .map_or(1_500, |interface| interface.mtu);
        route.map_or(link, |mtu| mtu.min(link))
    }

    /// Decides anew which neighbours under a prefix need a host entry.
    fn settle_neighbours(&mut self, prefix: V4, len: u8) {
        let last = V4(prefix.0 | !mask(len));
        let everyone = InterfaceId(0)..=InterfaceId(u16::MAX);
        let range = (prefix, *everyone.start())..=(last, *everyone.end());
        let mut known: Vec<V4> = self
            .routes
            .neighbours
            .range(range)
            .map(|((addr, _), _)| *addr)
            .collect();
        known.extend(
            self.routes
                .hosts
                .range(prefix..=last)
                .map(|(addr, _)| *addr),
        );
        known.sort_unstable();
        known.dedup();
        for addr in known {
            self.settle_neighbour(addr);
        }
    }

    /// Gives a neighbour of a connected subnet its host entry, or takes it away.
    fn settle_neighbour(&mut self, addr: V4) {
        let wanted = self.routes.covering(addr).and_then(|route| {
            (route.hops.iter())
                .find(|hop| {
                    hop.via.is_none() && self.routes.neighbours.contains_key(&(addr, hop.interface))
                })
                .map(|hop| (hop.interface, Some(addr.to_ip()), route.mtu))
        });
        // A host route of Linux's own points at the neighbour already.
        let wanted = wanted.filter(|_| !self.routes.routes.contains_key(&(addr, 32)));
        if self.routes.hosts.get(&addr).copied() == wanted {
            return;
        }
        if let Some(key) = self.routes.hosts.remove(&addr) {
            let removed = self.next.routes.remove(addr, 32);
            self.move_epochs_on(removed.as_deref());
            self.release_slot(key);
        }
        if let Some(key) = wanted {
            let slot = self.take_slot(key);
            let covered = self.next.routes.insert(addr, 32, &[slot]);
            self.move_epochs_on(covered.as_deref());
            self.routes.hosts.insert(addr, key);
        }
    }

    /// Makes room for a host route of Linux's own where a neighbour's entry stands.
    fn drop_host_entry_under(&mut self, prefix: V4, len: u8) {
        if len < 32 {
            return;
        }
        if let Some(key) = self.routes.hosts.remove(&prefix) {
            let removed = self.next.routes.remove(prefix, 32);
            self.move_epochs_on(removed.as_deref());
            self.release_slot(key);
        }
    }

    fn take_slot(&mut self, key: AdjacencyKey) -> AdjacencySlot {
        if let Some((slot, users)) = self.routes.slots.get_mut(&key) {
            *users += 1;
            return *slot;
        }
        let (interface, next_hop, _) = key;
        let neighbour = next_hop.and_then(V4::from_ip).map(|addr| (addr, interface));
        let mut adjacency = Adjacency {
            interface,
            mac: neighbour.and_then(|key| self.routes.neighbours.get(&key).copied()),
            next_hop,
            mtu: self.mtu_of(key),
            epoch: 0,
        };
        let slot = match self.routes.free.pop() {
            Some(slot) => {
                if let Some(entry) = self.next.adjacencies.get_mut(slot.index()) {
                    adjacency.epoch = entry.epoch;
                    *entry = adjacency;
                }
                slot
            }
            None => {
                let index = self.next.adjacencies.push(adjacency);
                AdjacencySlot(u32::try_from(index).unwrap_or(u32::MAX))
            }
        };
        self.routes.slots.insert(key, (slot, 1));
        slot
    }

    /// Gives up one use of a slot. The slot of the last one is used again at once: its epoch has
    /// moved on, so sessions that still name it look up their route before they use it.
    fn release_slot(&mut self, key: AdjacencyKey) {
        let Some((slot, users)) = self.routes.slots.get_mut(&key) else {
            return;
        };
        *users -= 1;
        if *users == 0 {
            let slot = *slot;
            self.routes.slots.remove(&key);
            self.routes.free.push(slot);
            self.move_epochs_on(Some(&[slot]));
        }
    }

    fn release_route(&mut self, route: &Route) {
        for hop in &route.hops {
            self.release_slot((hop.interface, hop.via, route.mtu));
        }
    }

    /// Lets sessions that go to `addr` look their way up again.
    pub(super) fn renew_ways_to(&mut self, addr: V4) {
        let slots = self.next.routes.lookup(addr).map(<[_]>::to_vec);
        self.move_epochs_on(slots.as_deref());
    }

    fn move_epochs_on(&mut self, slots: Option<&[AdjacencySlot]>) {
        for slot in slots.unwrap_or_default() {
            if let Some(adjacency) = self.next.adjacencies.get_mut(slot.index()) {
                adjacency.epoch = adjacency.epoch.wrapping_add(1);
            }
        }
    }
}

const fn mask(len: u8) -> u32 {
    match len {
        0 => 0,
        len => u32::MAX << (32 - len),
    }
}

const fn masked(addr: V4, len: u8) -> V4 {
    V4(addr.0 & mask(len))
}
