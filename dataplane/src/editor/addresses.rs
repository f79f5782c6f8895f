//! What the gateway's addresses are for: VIPs, local addresses with their pools, the box's own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::Editor;
use super::specs::{LocalSpec, ServiceSpec};
use crate::address::{Address, V4};
use crate::service::Unserved;
use crate::snapshot::Role;
use crate::snat::LocalAddress;
use crate::steering::Steering;

/// What the editor remembers about addresses beside the snapshot.
#[derive(Debug, Default)]
pub(super) struct AddressBook {
    /// The box's own addresses, with how many interfaces carry each.
    hosts: BTreeMap<V4, usize>,
    vips: BTreeMap<V4, Unserved>,
    pools: BTreeMap<V4, (LocalSpec, Arc<LocalAddress>)>,
    /// Local addresses no service uses any more but sessions do, and the generation from which
    /// on no worker lends their ports.
    retired_pools: BTreeMap<V4, u64>,
}

impl AddressBook {
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
        let vip = self.vips.get(&addr).map(|unserved| Role::Vip(*unserved));
        vip.or_else(|| has_host.then_some(Role::Host))
    }
}

impl Editor {
    /// Says that Linux has `addr` on one of the twins. IPv6 addresses are Linux's anyway.
    pub fn add_host_address(&mut self, addr: IpAddr) {
        if let IpAddr::V4(addr) = addr {
            *self.addresses.hosts.entry(addr.into()).or_default() += 1;
            self.assign_role(addr.into());
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
        self.assign_role(addr);
    }

    /// Replaces the way packets find their owner, and with it the pools of local ports, whose
    /// ports are chosen by it. Sessions that were made before keep their ports.
    pub fn set_steering(&mut self, steering: Steering) {
        self.next.steering = Arc::new(steering);
        let addresses: Vec<V4> = self.addresses.pools.keys().copied().collect();
        for addr in addresses {
            if let Some((spec, pool)) = self.addresses.pools.get_mut(&addr) {
                *pool = Arc::new(new_pool(spec, &self.next.steering, self.workers));
            }
            self.assign_role(addr);
        }
        self.renew_services();
    }

    /// Makes the pools of all local addresses that services name; a pool that is no longer named
    /// stays until its last port is given back.
    pub(super) fn set_local_addresses(&mut self, specs: &[ServiceSpec]) {
        let wanted: BTreeMap<V4, &LocalSpec> = (specs.iter())
            .flat_map(|spec| &spec.local_addresses)
            .filter_map(|local| Some((V4::from_ip(local.addr)?, local)))
            .collect();
        for (addr, local) in &wanted {
            self.addresses.retired_pools.remove(addr);
            if self
                .addresses
                .pools
                .get(addr)
                .is_some_and(|(known, _)| known == *local)
            {
                continue;
            }
            let pool = new_pool(local, &self.next.steering, self.workers);
            self.addresses
                .pools
                .insert(*addr, ((*local).clone(), Arc::new(pool)));
            self.assign_role(*addr);
        }
        let book = &mut self.addresses;
        let unnamed = book.pools.keys().filter(|addr| !wanted.contains_key(addr));
        for addr in unnamed {
            let generation = self.next.generation + 1;
            book.retired_pools.entry(*addr).or_insert(generation);
        }
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

    /// Learns the VIPs of all services, and what becomes of what nothing there serves.
    pub(super) fn set_vips(&mut self, specs: &[ServiceSpec]) {
        let vips: BTreeMap<V4, Unserved> = (specs.iter())
            .filter_map(|spec| Some((V4::from_ip(spec.key.virtual_endpoint.addr)?, spec.unserved)))
            .collect();
        let before = std::mem::replace(&mut self.addresses.vips, vips.clone());
        let all: BTreeSet<V4> = before.keys().chain(vips.keys()).copied().collect();
        for addr in all {
            if before.get(&addr) != vips.get(&addr) {
                self.assign_role(addr);
            }
        }
    }

    /// Decides anew what `addr` is for.
    fn assign_role(&mut self, addr: V4) {
        let role = self.addresses.role(addr);
        let roles = Arc::make_mut(&mut self.next.roles);
        match role {
            Some(role) => drop(roles.insert(addr, role)),
            None => drop(roles.remove(&addr)),
        }
    }
}

fn new_pool(spec: &LocalSpec, steering: &Steering, workers: usize) -> LocalAddress {
    LocalAddress::new(spec.addr, spec.ports.clone(), steering, workers)
}
