//! What was counted about services and servers, in `ipvsadm`'s sense: as of the last look, and
//! since the last `-Z`.
//!
//! ```text
//! workers' counters ──┐
//! servers that are    ├─► Counters ──► Meters: every two seconds ──► ServiceCounts ──► listings
//! gone (Ledger) ──────┘
//! ```

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use dataplane::address::{Address, Endpoint};
use dataplane::counters::TrafficTotals;
use dataplane::service::{RealServer, Service, ServiceKey};
use dataplane::snapshot::Snapshot;

use super::command::ServiceName;
use super::host::{ServerCounts, ServiceCounts, Traffic};
use super::meter::{Meter, SECONDS_PER_LOOK};
use super::table::Table;
use crate::gateway::Ledger;

/// Where the packet path counts.
#[derive(Clone, Copy, Debug)]
pub struct Counters<'a> {
    /// The servers with their counters, those that left their service and have sessions included.
    pub snapshot: &'a Snapshot,
    /// What servers counted that have left the snapshot.
    pub ledger: &'a Ledger,
}

/// The meters of all services and servers.
#[derive(Debug, Default)]
pub struct Meters {
    services: HashMap<ServiceName, ServiceMeter>,
    servers: HashMap<(ServiceKey, Endpoint<IpAddr>), Meter>,
}

/// What was counted about a service.
#[derive(Debug, Default)]
struct ServiceMeter {
    meter: Meter,
    /// What its servers had counted before it was made: they may have been others' of its name.
    before: TrafficTotals,
}

impl Meters {
    /// Whether it is time for a [`look`](Self::look), when so many seconds have passed since the
    /// gateway started.
    #[must_use]
    pub fn is_due(seconds: u64) -> bool {
        seconds.is_multiple_of(SECONDS_PER_LOOK.into())
    }

    /// Takes note of services that `table` has or no longer has. To be called before the packet
    /// path is told: a service counts from its beginning.
    pub fn changed(&mut self, table: &Table, changed: &[ServiceName], counters: Counters<'_>) {
        let mut made = Vec::new();
        for name in changed {
            if table.service(name).is_none() {
                self.services.remove(name);
            } else if let Entry::Vacant(place) = self.services.entry(*name) {
                place.insert(ServiceMeter::default());
                made.push(*name);
            }
        }
        let keys: HashSet<ServiceKey> = made.iter().map(ServiceName::key).collect();
        if keys.is_empty() {
            return;
        }
        let totals = counters.of(|key| keys.contains(&key));
        for name in made {
            let before = totals.get(&name.key());
            if let (Some(before), Some(it)) = (before, self.services.get_mut(&name)) {
                it.before = *before;
            }
        }
        // Servers that come back do so to another service, for which they count anew.
        let returning = (self.servers.iter_mut()).filter(|((of, _), _)| keys.contains(of));
        returning.for_each(|(_, meter)| meter.zero());
    }

    /// Looks at what was counted; to be called when it [`is_due`](Self::is_due).
    pub fn look(&mut self, counters: Counters<'_>) {
        let totals = counters.of(|_| true);
        for (name, service) in &mut self.services {
            let now = totals.get(&name.key());
            let now = now.copied().unwrap_or_default();
            service.meter.look(less(now, service.before));
        }
        let known: HashSet<_> = counters.servers().map(place).collect();
        self.servers.retain(|place, _| known.contains(place));
        // Nobody looks at a server that was removed.
        for server in counters.servers().filter(|server| server.available) {
            let meter = self.servers.entry(place(server)).or_default();
            meter.look(server.shared.traffic.totals());
        }
    }

    /// Counts anew from the last look: for one service of the table with its servers, or for all.
    pub fn zero(&mut self, table: &Table, service: Option<&ServiceName>) {
        let chosen = |name: &ServiceName| service.is_none_or(|service| service == name);
        let services = self.services.iter_mut();
        for (_, it) in services.filter(|(name, _)| chosen(name)) {
            it.meter.zero();
        }
        // Servers that are gone keep what they counted, should they come back.
        for entry in table.services() {
            let name = &entry.service.name;
            if !chosen(name) {
                continue;
            }
            for server in entry.servers() {
                if let Some(meter) = self.servers.get_mut(&(name.key(), server.endpoint)) {
                    meter.zero();
                }
            }
        }
    }

    /// What there is to say of a service and its servers.
    #[must_use]
    pub fn counts(&self, service: &ServiceName, snapshot: &Snapshot) -> ServiceCounts {
        let meter = self.services.get(service);
        let servers = find(snapshot, service).map(|it| it.servers.as_slice());
        let servers = servers.unwrap_or_default().iter();
        ServiceCounts {
            traffic: meter.map(|it| traffic(&it.meter)).unwrap_or_default(),
            servers: servers.map(|it| (it.endpoint, self.server(it))).collect(),
        }
    }

    fn server(&self, server: &RealServer) -> ServerCounts {
        let meter = self.servers.get(&place(server));
        let active = server.shared.active();
        ServerCounts {
            active,
            inactive: server.shared.sessions().saturating_sub(active),
            templates: server.shared.persistent(),
            traffic: meter.map(traffic).unwrap_or_default(),
        }
    }
}

impl<'a> Counters<'a> {
    fn servers(self) -> impl Iterator<Item = &'a RealServer> {
        let slots = self.snapshot.servers.iter();
        slots.flatten().map(|server| &**server)
    }

    /// What all servers that these services have had were counted for. One pass over the servers,
    /// since there may be thousands of either.
    fn of(self, chosen: impl Fn(ServiceKey) -> bool) -> HashMap<ServiceKey, TrafficTotals> {
        let mut totals: HashMap<ServiceKey, TrafficTotals> = HashMap::new();
        for (key, gone) in self.ledger.iter().filter(|(key, _)| chosen(*key)) {
            totals.insert(key, gone);
        }
        for server in self.servers().filter(|server| chosen(server.service)) {
            *totals.entry(server.service).or_default() += server.shared.traffic.totals();
        }
        totals
    }
}

/// The service in the packet path; none if that has no such service.
fn find<'a>(snapshot: &'a Snapshot, name: &ServiceName) -> Option<&'a Service> {
    let slot = match name.key() {
        ServiceKey::Address {
            protocol,
            virtual_endpoint: Endpoint { addr, port },
        } => {
            let end = Endpoint::new(Address::from_ip(addr)?, port);
            snapshot.service_index.get(&(protocol, end))?
        }
        ServiceKey::Mark(mark) => snapshot.marked_services.get(&mark)?,
        ServiceKey::Mark6(_) => return None,
    };
    snapshot.services.get(slot.index())?.as_deref()
}

const fn place(server: &RealServer) -> (ServiceKey, Endpoint<IpAddr>) {
    (server.service, server.endpoint)
}

const fn traffic(meter: &Meter) -> Traffic {
    Traffic {
        totals: meter.totals(),
        rates: meter.rates(),
    }
}

/// What was counted since `before`.
const fn less(now: TrafficTotals, before: TrafficTotals) -> TrafficTotals {
    TrafficTotals {
        sessions: now.sessions.saturating_sub(before.sessions),
        in_packets: now.in_packets.saturating_sub(before.in_packets),
        in_bytes: now.in_bytes.saturating_sub(before.in_bytes),
        out_packets: now.out_packets.saturating_sub(before.out_packets),
        out_bytes: now.out_bytes.saturating_sub(before.out_bytes),
    }
}
