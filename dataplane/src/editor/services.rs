//! Services, servers and local addresses: from specifications to slots.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Weak};

use super::Editor;
use super::collect::Retired;
use super::specs::{ServerSpec, ServiceSpec};
use crate::address::{Address, Endpoint, V4};
use crate::hasher::{FastMap, FastSet};
use crate::id::{ServerSlot, ServiceSlot};
use crate::persistence::Templates;
use crate::schedule::load::{self, Rules};
use crate::schedule::{Change, Scheduler, Standings};
use crate::service::{Method, RealServer, ServerShared, Service, ServiceKey};
use crate::session::HashSecret;

/// What the editor remembers about services beside the snapshot.
#[derive(Debug, Default)]
pub(super) struct ServiceBook {
    pub(super) specs: HashMap<ServiceKey, (ServiceSlot, ServiceSpec)>,
    /// How servers made from now on are judged.
    rules: Rules,
    free_services: Vec<ServiceSlot>,
    /// What the servers of a service share, also with those that have left it and may come back.
    pub(super) standings: HashMap<ServiceKey, Weak<Standings>>,
    /// Servers that left their service, by what revives them.
    pub(super) retired: BTreeMap<(ServiceKey, Endpoint<IpAddr>), Retired>,
    /// Servers that may have sessions by NAT from the time before their present method, and the
    /// generation from which on no worker makes more of those.
    pub(super) once_nat: BTreeMap<(ServiceKey, Endpoint<IpAddr>), (u64, ServerSlot)>,
    /// Slots no snapshot in use refers to.
    pub(super) free_servers: Vec<ServerSlot>,
    /// Servers with new thresholds, and the generation from which on no worker goes by the old.
    pub(super) settling: Vec<(u64, ServerSlot)>,
    /// Slots without sessions, and the generation from which on no snapshot has them.
    pub(super) leaving: Vec<(u64, ServerSlot)>,
}

impl ServiceBook {
    /// The standings of a service, for as long as any server of it is known anywhere.
    fn standings(&mut self, key: ServiceKey) -> Arc<Standings> {
        let known = self.standings.entry(key).or_default();
        known.upgrade().unwrap_or_else(|| {
            let new = Standings::under(self.rules);
            *known = Arc::downgrade(&new);
            new
        })
    }
}

impl Editor {
    /// Says by which kernel's rules servers are judged. Only before the first services: a server
    /// keeps the rules it was made under.
    pub const fn set_rules(&mut self, rules: Rules) {
        self.services.rules = rules;
    }

    /// Makes the services exactly these. What is unchanged stays untouched, with its scheduler's
    /// state; servers that go keep their slot until their last session has ended, and are revived
    /// with their counts when they come back before that (`schedulers.md` §1.8).
    pub fn set_services(&mut self, specs: &[ServiceSpec]) {
        let wanted: HashSet<ServiceKey> = specs.iter().map(|spec| spec.key).collect();
        let known = self.services.specs.keys();
        let gone: Vec<ServiceKey> = known.filter(|key| !wanted.contains(key)).copied().collect();
        for key in gone {
            self.drop_service(key);
        }
        for spec in specs {
            self.make_service(spec);
        }
        self.index_local_servers();
    }

    /// Adds a service, or makes the one of its key so. The others stay untouched, and cost
    /// nothing.
    pub fn put_service(&mut self, spec: &ServiceSpec) {
        self.make_service(spec);
        self.index_local_servers();
    }

    /// Removes a service, if it is there; its sessions keep their servers.
    pub fn remove_service(&mut self, key: ServiceKey) {
        self.drop_service(key);
        self.index_local_servers();
    }

    fn make_service(&mut self, spec: &ServiceSpec) {
        match self.services.specs.get(&spec.key) {
            Some((_, known)) if known == spec => {}
            Some((slot, _)) => {
                let slot = *slot;
                self.prepare_templates(spec);
                self.claim_local_addresses(&spec.local_addresses);
                self.change_unserved(spec.key, spec.unserved);
                self.change_service(slot, spec);
            }
            None => {
                self.prepare_templates(spec);
                self.claim_local_addresses(&spec.local_addresses);
                self.claim_vip(spec.key, spec.unserved);
                self.add_service(spec);
            }
        }
    }

    /// Makes the table of templates when the first service needs it: most gateways never do.
    fn prepare_templates(&mut self, spec: &ServiceSpec) {
        if spec.persistence.is_some() && self.next.templates.capacity() == 0 {
            let secret = HashSecret(self.addresses.secret());
            self.next.templates = Arc::new(Templates::new(self.template_room, secret));
        }
    }

    /// Makes new versions of all services, which then lend from the present pools.
    pub(super) fn renew_services(&mut self) {
        let all: Vec<_> = self.services.specs.values().cloned().collect();
        for (slot, spec) in all {
            self.claim_local_addresses(&spec.local_addresses);
            self.change_service(slot, &spec);
        }
    }

    fn add_service(&mut self, spec: &ServiceSpec) {
        let slot = self
            .services
            .free_services
            .pop()
            .unwrap_or_else(|| ServiceSlot(index_u32(self.next.services.push(None))));
        let empty = Service {
            slot,
            key: spec.key,
            kind: spec.scheduler,
            servers: Vec::new(),
            scheduler: Scheduler::new(spec.scheduler, &[]),
            local_addresses: Vec::new(),
            mss_clamp: spec.mss_clamp,
            persistence: spec.persistence,
            one_packet: spec.one_packet,
        };
        let service = self.with_servers(&empty, spec);
        self.enter_service(slot, service, spec);
        self.index_service(spec.key, slot);
        self.judge_past(spec.key);
    }

    /// The local addresses of `spec` are claimed already.
    fn change_service(&mut self, slot: ServiceSlot, spec: &ServiceSpec) {
        let Some(old) = self.next.services.get(slot.index()).cloned().flatten() else {
            return;
        };
        let service = self.with_servers(&old, spec);
        self.enter_service(slot, service, spec);
    }

    fn enter_service(&mut self, slot: ServiceSlot, service: Service, spec: &ServiceSpec) {
        if let Some(entry) = self.next.services.get_mut(slot.index()) {
            *entry = Some(Arc::new(service));
        }
        let entry = (slot, spec.clone());
        let before = self.services.specs.insert(spec.key, entry);
        let before = before.map(|(_, before)| before);
        let checked = before.as_ref().map_or(&[][..], |before| &before.checked);
        self.index_checked(checked, &spec.checked);
        if let Some(before) = before {
            self.disclaim_local_addresses(&before.local_addresses);
        }
    }

    fn drop_service(&mut self, key: ServiceKey) {
        let Some((slot, spec)) = self.services.specs.remove(&key) else {
            return;
        };
        let service = self
            .next
            .services
            .get_mut(slot.index())
            .and_then(Option::take);
        for server in service.iter().flat_map(|service| &service.servers) {
            self.retire(key, server);
        }
        self.services.free_services.push(slot);
        self.index_checked(&spec.checked, &[]);
        self.disclaim_local_addresses(&spec.local_addresses);
        self.disclaim_vip(key);
        self.unindex_service(key);
        self.judge_past(key);
    }

    /// The next version of `old`: servers go, change and come as an operator's commands would do
    /// it, and the scheduler is made anew once for all of them: when thousands of weights move at
    /// once, each costs itself and not the whole list.
    fn with_servers(&mut self, old: &Service, spec: &ServiceSpec) -> Service {
        let mut changes = Vec::new();
        let mut servers = self.remaining(old, spec, &mut changes);
        let places = servers.iter().zip(0..).map(|(it, at)| (it.endpoint, at));
        let places: FastMap<_, usize> = places.collect();
        let before = self.services.specs.get(&spec.key);
        let before = before.map_or_else(FastMap::default, |(_, before)| {
            let servers = before.servers.iter();
            servers.map(|it| (it.endpoint, it.clone())).collect()
        });
        let mut added = Vec::new();
        for wanted in &spec.servers {
            let known = before.get(&wanted.endpoint);
            if known == Some(wanted) {
                continue;
            }
            if let Some(at) = places.get(&wanted.endpoint).copied() {
                let weight = servers[at].weight;
                servers[at] = self.edited(&servers[at], wanted);
                let is_weighed =
                    known.is_some_and(|known| known.weighing(wanted.weight) == *wanted);
                let change = if is_weighed {
                    Change::Weighed
                } else {
                    Change::Edited
                };
                changes.push(change(weight, wanted.weight));
            } else {
                added.push(self.added(spec.key, wanted));
                changes.push(Change::Added(0, wanted.weight));
            }
        }
        // A new server goes to the head of the list (`schedulers.md` §1.1).
        let servers: Vec<_> = added.into_iter().rev().chain(servers).collect();
        let scheduler = old.scheduler.changed(spec.scheduler, &servers, &changes);
        let local_addresses = (spec.local_addresses.iter())
            .filter_map(|local| self.addresses.pool_of(V4::from_ip(local.addr)?).cloned())
            .collect();
        Service {
            slot: old.slot,
            key: spec.key,
            kind: spec.scheduler,
            servers,
            scheduler,
            local_addresses,
            mss_clamp: spec.mss_clamp,
            persistence: spec.persistence,
            one_packet: spec.one_packet,
        }
    }

    /// The servers of `old` that stay, in their order; the others are retired.
    fn remaining(
        &mut self,
        old: &Service,
        spec: &ServiceSpec,
        changes: &mut Vec<Change>,
    ) -> Vec<Arc<RealServer>> {
        let wanted: FastSet<_> = spec.servers.iter().map(|it| it.endpoint).collect();
        let mut staying = Vec::with_capacity(spec.servers.len());
        for server in &old.servers {
            if wanted.contains(&server.endpoint) {
                staying.push(Arc::clone(server));
            } else {
                self.retire(spec.key, server);
                changes.push(Change::Removed(staying.len(), server.weight));
            }
        }
        staying
    }

    fn added(&mut self, key: ServiceKey, spec: &ServerSpec) -> Arc<RealServer> {
        let revived = self.services.retired.remove(&(key, spec.endpoint));
        if spec.method == Method::Nat {
            self.expect_replies(key, spec.endpoint);
        }
        let slot = revived
            .map(|server| server.slot)
            .or_else(|| self.services.free_servers.pop())
            .unwrap_or_else(|| ServerSlot(index_u32(self.next.servers.push(None))));
        let shared = (self.next.servers.get(slot.index()).and_then(Option::as_ref))
            .filter(|_| revived.is_some())
            .map_or_else(
                || {
                    Arc::new(ServerShared::new(
                        self.workers,
                        &self.services.standings(key),
                    ))
                },
                |old| Arc::clone(&old.shared),
            );
        if revived.is_some() {
            self.remember_nat(key, spec, slot);
            self.expect_no_replies(key, spec.endpoint);
        }
        let server = RealServer {
            slot,
            service: key,
            endpoint: spec.endpoint,
            weight: spec.weight,
            last_weight: spec.weight,
            method: spec.method,
            upper_threshold: spec.upper_threshold,
            lower_threshold: spec.lower_threshold,
            available: true,
            shared,
        };
        self.put_server(server)
    }

    fn edited(&mut self, old: &RealServer, spec: &ServerSpec) -> Arc<RealServer> {
        let last_weight = if spec.weight.0 == 0 {
            old.last_weight
        } else {
            spec.weight
        };
        if old.method == Method::Nat {
            self.remember_nat(old.service, spec, old.slot);
            self.expect_no_replies(old.service, old.endpoint);
        }
        if spec.method == Method::Nat {
            self.expect_replies(old.service, old.endpoint);
        }
        self.put_server(RealServer {
            weight: spec.weight,
            last_weight,
            method: spec.method,
            upper_threshold: spec.upper_threshold,
            lower_threshold: spec.lower_threshold,
            ..old.clone()
        })
    }

    /// Notes that a server may still answer sessions by NAT that its new specification would not
    /// make.
    fn remember_nat(&mut self, key: ServiceKey, spec: &ServerSpec, slot: ServerSlot) {
        if spec.method != Method::Nat {
            let since = (self.next.generation + 1, slot);
            let once = (key, spec.endpoint);
            if self.services.once_nat.insert(once, since).is_none() {
                self.expect_replies(key, spec.endpoint);
            }
        }
    }

    /// Takes a server out of its service; its sessions keep its slot.
    fn retire(&mut self, key: ServiceKey, server: &RealServer) {
        let retired = Retired {
            slot: server.slot,
            generation: self.next.generation + 1,
            idle_since: None,
        };
        server.shared.note_removal(self.next.purges);
        self.next.purges += u64::from(self.next.knobs.expire_nodest_conn);
        let name = (key, server.endpoint);
        if self.services.retired.insert(name, retired).is_none() {
            self.expect_replies(key, server.endpoint);
        }
        // That it is retired says as much.
        if self.services.once_nat.remove(&name).is_some() {
            self.expect_no_replies(key, server.endpoint);
        }
        if server.method == Method::Nat {
            self.expect_no_replies(key, server.endpoint);
        }
        self.put_server(RealServer {
            available: false,
            ..server.clone()
        });
    }

    fn put_server(&mut self, server: RealServer) -> Arc<RealServer> {
        let slot = server.slot.index();
        let before = self.next.servers.get(slot).and_then(Option::as_deref);
        let thresholds = |server: &RealServer| (server.upper_threshold, server.lower_threshold);
        if before.is_none_or(|before| thresholds(before) != thresholds(&server)) {
            let upper_before = before.map_or(0, |before| before.upper_threshold);
            load::thresholds_changed(&server, upper_before);
            self.services
                .settling
                .push((self.next.generation + 1, server.slot));
        }
        if before.is_none() {
            self.server_came(server.endpoint.addr);
        }
        let server = Arc::new(server);
        if let Some(entry) = self.next.servers.get_mut(slot) {
            *entry = Some(Arc::clone(&server));
        }
        server
    }
}

/// Slots are 32 bits wide; a gateway with 2^32 servers does not exist.
fn index_u32(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
