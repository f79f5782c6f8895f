//! What the gateway's addresses are for: VIPs, local addresses with their pools, the box's own.

use std::collections::BTreeMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::Arc;

use super::Editor;
use super::specs::LocalSpec;
use crate::address::{Address, V4};
use crate::hasher::FastMap;
use crate::service::{ServiceKey, Unserved};
use crate::snapshot::Role;
use crate::snat::LocalAddress;
use crate::steering::Steering;

/// What the editor remembers about addresses beside the snapshot.
#[derive(Debug, Default)]
pub(super) struct AddressBook {
    /// The box's own addresses, with how many interfaces carry each.
    hosts: BTreeMap<V4, usize>,
    /// What becomes of what nothing at a VIP serves, and how many services have the VIP.
    vips: FastMap<V4, (Unserved, usize)>,
    pools: BTreeMap<V4, (LocalSpec, Arc<LocalAddress>)>,
    /// How many services name each local address.
    users: FastMap<V4, usize>,
    /// Local addresses no service uses any more but sessions do, and the generation from which
    /// on no worker lends their ports.
    retired_pools: BTreeMap<V4, u64>,
    /// Where the next pool begins to lend.
    port_seed: u64,
}

impl AddressBook {
    fn new_pool(&mut self, spec: &LocalSpec, steering: &Steering, workers: usize) -> LocalAddress {
        // Knuth's multiplier: a pool made again begins elsewhere than the one it replaces. 0
        // stays 0.
        self.port_seed = self.port_seed.wrapping_mul(6_364_136_223_846_793_005);
        let ports = spec.ports.clone();
        LocalAddress::new(spec.addr, ports, steering, workers, self.port_seed)
    }

    /// Numbers that nobody can foresee who does not know the seed (SplitMix64).
    pub(super) fn secret(&self) -> [u64; 4] {
        [1, 2, 3, 4].map(|turn: u64| {
            let mixed = (self.port_seed).wrapping_add(turn.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        })
    }

    /// The port pool of a local address, in use or retired.
    pub(super) fn pool_of(&self, addr: V4) -> Option<&Arc<LocalAddress>> {
        self.pools.get(&addr).map(|(_, pool)| pool)
    }

    /// A local address first, then a VIP, then the box's own, then nothing.
    fn role(&self, addr: V4) -> Option<Role> {
        let has_host = self.hosts.contains_key(&addr);
        if let Some((spec, pool)) = self.pools.get(&addr) {
            // The gateway itself puts a local address on a twin: that Linux has it does not make
            // it the box's own.
            let host = has_host && spec.host;
            return Some(Role::Local {
                pool: Arc::clone(pool),
                host,
            });
        }
        let vip = self.vips.get(&addr);
        let vip = vip.map(|(unserved, _)| Role::Vip(*unserved));
        vip.or_else(|| has_host.then_some(Role::Host))
    }
}

impl Editor {
    /// Says where the pools of local ports that are made from now on begin to lend; each begins
    /// elsewhere. Without it, or with 0, all begin with their lowest port. A gateway takes a
    /// random number at each start: see [`LocalAddress::new`].
    pub const fn seed_ports(&mut self, seed: u64) {
        self.addresses.port_seed = seed;
    }

    /// Says that Linux has `addr` on one of the twins. IPv6 addresses are Linux's anyway.
    pub fn add_host_address(&mut self, addr: IpAddr) {
        if let IpAddr::V4(addr) = addr {
            *self.addresses.hosts.entry(addr.into()).or_default() += 1;
            self.assign_host_role(addr.into());
        }
    }

    /// Says that Linux no longer has `addr` on one of the twins that had it.
    pub fn remove_host_address(&mut self, addr: IpAddr) {
        let IpAddr::V4(addr) = addr else { return };
        let addr = V4::from(addr);
        if let Some(count) = self.addresses.hosts.get_mut(&addr) {
            *count -= 1;
            if *count == 0 {
                self.addresses.hosts.remove(&addr);
            }
        }
        self.assign_host_role(addr);
    }

    /// Decides anew what an address is for that the box got or lost, and whether a server there
    /// is the gateway itself.
    fn assign_host_role(&mut self, addr: V4) {
        let was_local = self.next.is_local(addr);
        self.assign_role(addr);
        if self.next.is_local(addr) != was_local {
            self.renew_ways_to(addr);
            self.index_local_servers();
        }
    }

    /// Replaces the way packets find their owner, and with it the pools of local ports, whose
    /// ports are chosen by it. Sessions that were made before keep their ports.
    pub fn set_steering(&mut self, steering: Steering) {
        self.next.steering = Arc::new(steering);
        let addresses: Vec<V4> = self.addresses.pools.keys().copied().collect();
        for addr in addresses {
            if let Some((spec, _)) = self.addresses.pools.get(&addr) {
                self.make_pool(addr, &spec.clone());
            }
            self.assign_role(addr);
        }
        self.renew_services();
    }

    /// Makes the pools of the local addresses that a service names from now on.
    pub(super) fn claim_local_addresses(&mut self, locals: &[LocalSpec]) {
        for local in locals {
            let Some(addr) = V4::from_ip(local.addr) else {
                continue;
            };
            let book = &mut self.addresses;
            *book.users.entry(addr).or_default() += 1;
            book.retired_pools.remove(&addr);
            let known = book.pools.get(&addr);
            if known.is_none_or(|(known, _)| known != local) {
                self.make_pool(addr, local);
                self.assign_role(addr);
            }
        }
    }

    /// A service no longer names these local addresses; a pool that nobody names stays until its
    /// last port is given back.
    pub(super) fn disclaim_local_addresses(&mut self, locals: &[LocalSpec]) {
        let book = &mut self.addresses;
        for addr in locals.iter().filter_map(|local| V4::from_ip(local.addr)) {
            let Entry::Occupied(mut users) = book.users.entry(addr) else {
                continue;
            };
            *users.get_mut() -= 1;
            if *users.get() == 0 {
                users.remove();
                book.retired_pools.insert(addr, self.next.generation + 1);
            }
        }
    }

    fn make_pool(&mut self, addr: V4, spec: &LocalSpec) {
        let book = &mut self.addresses;
        let pool = book.new_pool(spec, &self.next.steering, self.workers);
        book.pools.insert(addr, (spec.clone(), Arc::new(pool)));
    }

    /// Forgets the pools that no service names, no worker lends from and no session has a port of.
    /// Returns whether there were some.
    pub(super) fn collect_pools(&mut self, oldest_adopted: u64) -> bool {
        let book = &mut self.addresses;
        let unlent = |addr| {
            let pool = book.pools.get(addr);
            pool.is_none_or(|(_, pool)| pool.in_use() == 0)
        };
        let unused: Vec<V4> = (book.retired_pools.iter())
            .filter(|(addr, generation)| oldest_adopted >= **generation && unlent(*addr))
            .map(|(addr, _)| *addr)
            .collect();
        for addr in &unused {
            self.addresses.retired_pools.remove(addr);
            self.addresses.pools.remove(addr);
            self.assign_role(*addr);
        }
        !unused.is_empty()
    }

    /// A service has this VIP from now on, and says what becomes of what nothing there serves.
    pub(super) fn claim_vip(&mut self, key: ServiceKey, unserved: Unserved) {
        if let Some(vip) = vip_of(key) {
            let (_, users) = self.addresses.vips.entry(vip).or_default();
            *users += 1;
            let is_new = *users == 1;
            self.set_unserved(vip, unserved, is_new);
        }
    }

    /// What a service says now of what nothing at its VIP serves.
    pub(super) fn change_unserved(&mut self, key: ServiceKey, unserved: Unserved) {
        if let Some(vip) = vip_of(key) {
            self.set_unserved(vip, unserved, false);
        }
    }

    fn set_unserved(&mut self, vip: V4, unserved: Unserved, is_new: bool) {
        let known = self.addresses.vips.get_mut(&vip);
        let changed =
            known.is_some_and(|(known, _)| std::mem::replace(known, unserved) != unserved);
        if changed || is_new {
            self.assign_role(vip);
        }
    }

    /// A service no longer has this VIP.
    pub(super) fn disclaim_vip(&mut self, key: ServiceKey) {
        let Some(vip) = vip_of(key) else { return };
        if let Entry::Occupied(mut known) = self.addresses.vips.entry(vip) {
            known.get_mut().1 -= 1;
            if known.get().1 == 0 {
                known.remove();
                self.assign_role(vip);
            }
        }
    }

    /// Decides anew what `addr` is for.
    fn assign_role(&mut self, addr: V4) {
        let was_local = self.next.is_local(addr);
        let role = self.addresses.role(addr);
        let roles = Arc::make_mut(&mut self.next.roles);
        match role {
            Some(role) => drop(roles.insert(addr, role)),
            None => drop(roles.remove(&addr)),
        }
        if self.next.is_local(addr) != was_local {
            self.address_moved(addr);
        }
    }
}

fn vip_of(key: ServiceKey) -> Option<V4> {
    V4::from_ip(key.virtual_endpoint()?.addr)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::address::Protocol;
    use crate::id::WorkerId;
    use crate::session::Timeouts;
    use crate::testing::{LIP, RIP_1, VIP, service};
    use crate::time::Tick;

    const STEERING: Steering = Steering::Software { workers: 1 };

    fn editor(seed: u64) -> Editor {
        let mut editor = Editor::new(1, STEERING, Timeouts::default(), Vec::new());
        editor.seed_ports(seed);
        let service = service(Protocol::Tcp, VIP).fullnat(RIP_1);
        editor.set_services(&[service.spec()]);
        editor
    }

    /// The port that a first session gets from the present pool.
    fn first_port(editor: &Editor) -> u16 {
        let pool = editor.addresses.pool_of(LIP.addr).unwrap();
        let lent = pool.take(WorkerId(0), RIP_1, Protocol::Tcp, Tick(0));
        lent.unwrap().port
    }

    #[test]
    fn pools_begin_where_the_seed_says_and_elsewhere_when_they_are_made_again() {
        let starts = [1, 2, 3].map(|seed| first_port(&editor(seed)));
        let distinct: BTreeSet<_> = starts.iter().collect();
        assert_eq!(distinct.len(), 3, "{starts:?}");

        let mut changed = editor(1);
        changed.set_steering(STEERING);
        assert_ne!(first_port(&changed), starts[0]);
    }

    #[test]
    fn without_a_seed_every_pool_begins_with_its_lowest_port() {
        let mut unseeded = editor(0);
        assert_eq!(first_port(&unseeded), LIP.port);

        unseeded.set_steering(STEERING);
        assert_eq!(first_port(&unseeded), LIP.port);
    }
}
