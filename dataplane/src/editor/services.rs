//! Services, servers and local addresses: from specifications to slots.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Editor;
use super::specs::{ServerSpec, ServiceSpec};
use crate::address::{Address, Endpoint, V4};
use crate::id::{ServerSlot, ServiceSlot};
use crate::persistence::Templates;
use crate::schedule::load::{self, Rules};
use crate::schedule::{Change, Scheduler, Standings};
use crate::service::{Method, RealServer, ServerShared, Service, ServiceKey};
use crate::session::HashSecret;

/// How long a server without sessions is remembered that left its service: as long as the kernel
/// does at least (`schedulers.md` §1.8).
pub const REMEMBERED: Duration = Duration::from_secs(120);

/// A server that left its service.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retired {
    slot: ServerSlot,
    /// The generation from which on no worker gives it new sessions.
    generation: u64,
    /// Since when it was seen without sessions.
    idle_since: Option<Duration>,
}

/// What the editor remembers about services beside the snapshot.
#[derive(Debug, Default)]
pub(super) struct ServiceBook {
    pub(super) specs: HashMap<ServiceKey, (ServiceSlot, ServiceSpec)>,
    /// How servers made from now on are judged.
    rules: Rules,
    free_services: Vec<ServiceSlot>,
    /// What the servers of a service share, also with those that have left it and may come back.
    standings: HashMap<ServiceKey, Weak<Standings>>,
    /// Servers that left their service, by what revives them.
    pub(super) retired: BTreeMap<(ServiceKey, Endpoint<IpAddr>), Retired>,
    /// Servers that may have sessions by NAT from the time before their present method, and the
    /// generation from which on no worker makes more of those.
    pub(super) once_nat: BTreeMap<(ServiceKey, Endpoint<IpAddr>), (u64, ServerSlot)>,
    /// Slots no snapshot in use refers to.
    free_servers: Vec<ServerSlot>,
    /// Servers with new thresholds, and the generation from which on no worker goes by the old.
    settling: Vec<(u64, ServerSlot)>,
    /// Slots without sessions, and the generation from which on no snapshot has them.
    leaving: Vec<(u64, ServerSlot)>,
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
        self.set_local_addresses(specs);
        self.prepare_templates(specs);
        let wanted: BTreeSet<ServiceKey> = specs.iter().map(|spec| spec.key).collect();
        let gone: Vec<ServiceKey> = self
            .services
            .specs
            .keys()
            .filter(|key| !wanted.contains(key))
            .copied()
            .collect();
        let mut keys_changed = !gone.is_empty();
        for key in gone {
            self.remove_service(key);
        }
        for spec in specs {
            match self.services.specs.get(&spec.key) {
                Some((_, known)) if known == spec => {}
                Some((slot, _)) => self.change_service(*slot, spec),
                None => {
                    keys_changed = true;
                    self.add_service(spec);
                }
            }
        }
        if keys_changed {
            self.index_services();
        }
        self.next.has_services = specs.iter().any(|spec| {
            let virtual_endpoint = spec.key.virtual_endpoint();
            virtual_endpoint.is_none_or(|end| end.addr.is_ipv4())
        });
        self.index_nat_servers();
        self.index_past_services();
        self.set_vips(specs);
        self.index_local_servers();
    }

    /// Makes the table of templates when the first service needs it: most gateways never do.
    fn prepare_templates(&mut self, specs: &[ServiceSpec]) {
        let is_needed = specs.iter().any(|spec| spec.persistence.is_some());
        if is_needed && self.next.templates.capacity() == 0 {
            let secret = HashSecret(self.addresses.secret());
            self.next.templates = Arc::new(Templates::new(self.template_room, secret));
        }
    }

    /// Frees the slots of servers and local addresses whose last session has ended, of servers
    /// [`REMEMBERED`] later. Call it now and then with the oldest generation that a worker still
    /// uses, and the time since some beginning.
    ///
    /// Returns whether the next snapshot differs.
    pub fn collect(&mut self, oldest_adopted: u64, now: Duration) -> bool {
        let book = &mut self.services;
        book.leaving.retain(|(generation, slot)| {
            let free = oldest_adopted >= *generation;
            if free {
                book.free_servers.push(*slot);
            }
            !free
        });
        let has_sessions = |slot: ServerSlot| {
            let server = self.next.servers.get(slot.index()).and_then(Option::as_ref);
            server.is_some_and(|server| {
                server.shared.sessions() > 0 || server.shared.persistent() > 0
            })
        };
        // A worker with an older snapshot might still bind a session to it.
        let is_drained =
            |generation: u64, slot| oldest_adopted >= generation && !has_sessions(slot);
        let known_by_nat = book.once_nat.len();
        (book.once_nat).retain(|_, (generation, slot)| !is_drained(*generation, *slot));
        let nat_changed = book.once_nat.len() != known_by_nat;
        let mut forgotten = Vec::new();
        book.retired.retain(|_, server| {
            let is_idle = is_drained(server.generation, server.slot);
            let since = is_idle.then(|| server.idle_since.unwrap_or(now));
            server.idle_since = since;
            let is_over = since.is_some_and(|since| now.saturating_sub(since) >= REMEMBERED);
            if is_over {
                forgotten.push(server.slot);
            }
            !is_over
        });
        for slot in &forgotten {
            self.services
                .leaving
                .push((self.next.generation + 1, *slot));
            if let Some(entry) = self.next.servers.get_mut(slot.index()) {
                *entry = None;
            }
        }
        if nat_changed || !forgotten.is_empty() {
            self.index_nat_servers();
            self.index_past_services();
            self.index_local_servers();
            let standings = &mut self.services.standings;
            standings.retain(|_, standings| standings.strong_count() > 0);
        }
        self.settle_thresholds(oldest_adopted);
        let pools = self.collect_pools(oldest_adopted);
        nat_changed || !forgotten.is_empty() || pools
    }

    /// Judges servers with new thresholds once more when all workers know them: one that did not
    /// may have set the overload flag by the old ones.
    fn settle_thresholds(&mut self, oldest_adopted: u64) {
        let known = |(generation, _): &mut (u64, ServerSlot)| oldest_adopted >= *generation;
        for (_, slot) in self.services.settling.extract_if(.., known) {
            if let Some(Some(server)) = self.next.servers.get(slot.index()) {
                load::thresholds_changed(server, server.upper_threshold);
            }
        }
    }

    /// Makes new versions of all services, which then lend from the present pools.
    pub(super) fn renew_services(&mut self) {
        let keys: Vec<ServiceKey> = self.services.specs.keys().copied().collect();
        for key in keys {
            if let Some((slot, spec)) = self.services.specs.get(&key).cloned() {
                self.change_service(slot, &spec);
            }
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
        self.put_service(slot, service, spec);
    }

    fn change_service(&mut self, slot: ServiceSlot, spec: &ServiceSpec) {
        let Some(old) = self.next.services.get(slot.index()).cloned().flatten() else {
            return;
        };
        let service = self.with_servers(&old, spec);
        self.put_service(slot, service, spec);
    }

    fn put_service(&mut self, slot: ServiceSlot, service: Service, spec: &ServiceSpec) {
        if let Some(entry) = self.next.services.get_mut(slot.index()) {
            *entry = Some(Arc::new(service));
        }
        self.services.specs.insert(spec.key, (slot, spec.clone()));
    }

    fn remove_service(&mut self, key: ServiceKey) {
        let Some((slot, _)) = self.services.specs.remove(&key) else {
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
    }

    /// The next version of `old`: servers go, change and come one by one, as an operator's
    /// commands would do it, each step telling the scheduler.
    fn with_servers(&mut self, old: &Service, spec: &ServiceSpec) -> Service {
        let mut servers = old.servers.clone();
        let before = self.services.specs.get(&spec.key);
        let before = before.map_or_else(Vec::new, |(_, before)| before.servers.clone());
        let mut scheduler = old
            .scheduler
            .changed(spec.scheduler, &servers, Change::None);
        let mut step = |servers: &mut Vec<Arc<RealServer>>, next: Vec<_>, change| {
            scheduler = scheduler.changed(spec.scheduler, &next, change);
            *servers = next;
        };
        while let Some(index) = (servers.iter()).position(|server| {
            spec.servers
                .iter()
                .all(|wanted| wanted.endpoint != server.endpoint)
        }) {
            let mut next = servers.clone();
            let gone = next.remove(index);
            self.retire(spec.key, &gone);
            step(&mut servers, next, Change::Removed(index));
        }
        for wanted in &spec.servers {
            let known = servers
                .iter()
                .position(|server| server.endpoint == wanted.endpoint);
            let mut next = servers.clone();
            match known {
                Some(_) if before.contains(wanted) => {}
                Some(index) => {
                    next[index] = self.edited(&servers[index], wanted);
                    step(&mut servers, next, Change::Edited(index));
                }
                None => {
                    // A new server goes to the head of the list (`schedulers.md` §1.1).
                    next.insert(0, self.added(spec.key, wanted));
                    step(&mut servers, next, Change::Added(0));
                }
            }
        }
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

    fn added(&mut self, key: ServiceKey, spec: &ServerSpec) -> Arc<RealServer> {
        let revived = self.services.retired.remove(&(key, spec.endpoint));
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
            self.services.once_nat.insert((key, spec.endpoint), since);
        }
    }

    /// Takes a server out of its service; its sessions keep its slot.
    fn retire(&mut self, key: ServiceKey, server: &RealServer) {
        // That it is retired says as much.
        self.services.once_nat.remove(&(key, server.endpoint));
        let retired = Retired {
            slot: server.slot,
            generation: self.next.generation + 1,
            idle_since: None,
        };
        self.next.removals += 1;
        self.services
            .retired
            .insert((key, server.endpoint), retired);
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
