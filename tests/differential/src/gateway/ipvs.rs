//! Virtual services, as `ipvsadm` changes and shows them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv4Addr};

use control::ipvs::listing::ConnectionRow;
use control::ipvs::{
    self, AddressKind, Host, Locality, Meter, SECONDS_PER_LOOK, ServerCounts, ServiceName, Table,
    Traffic,
};
use dataplane::address::Endpoint;
use dataplane::counters::TrafficTotals;
use dataplane::knobs::Knobs;
use dataplane::service::{RealServer, ServiceKey};
use dataplane::session::{SessionRecord, Timeouts};
use dataplane::snapshot::Snapshot;

use super::director::Director;
use super::sandbox::Said;

/// The services and what was counted about them.
#[derive(Default)]
pub(super) struct Ipvs {
    table: Table,
    timeouts: Timeouts,
    services: HashMap<ServiceName, ServiceMeter>,
    servers: HashMap<(ServiceKey, Endpoint<IpAddr>), Meter>,
}

/// What was counted about a service.
#[derive(Default)]
struct ServiceMeter {
    meter: Meter,
    /// What its servers had counted before it was made: they may have been others' of its name.
    before: TrafficTotals,
}

impl Ipvs {
    /// Does what `ipvsadm` would with these arguments; `-R` reads `input`.
    pub(super) fn run(
        &mut self,
        director: &mut Director,
        knobs: &Knobs,
        arguments: &[String],
        input: &str,
    ) -> Said {
        let mut desk = Desk {
            ipvs: self,
            director,
            knobs,
        };
        let reply = ipvs::run(arguments, input, &mut desk);
        Said {
            output: reply.stdout,
            errors: reply.stderr,
            status: reply.status,
        }
    }

    /// Takes over what variables say of services.
    pub(super) fn knobs_changed(&self, director: &mut Director, knobs: &Knobs) {
        let specs = self.table.specs(locality(knobs));
        director.change(|editor| editor.set_services(&specs));
    }

    /// Looks at what was counted, if it is time to; to be called when `seconds` have passed.
    pub(super) fn look(&mut self, director: &Director, knobs: &Knobs, seconds: u64) {
        if !knobs.run_estimation || !seconds.is_multiple_of(SECONDS_PER_LOOK.into()) {
            return;
        }
        for (name, service) in &mut self.services {
            let totals = name
                .key()
                .map(|key| director.traffic(key))
                .unwrap_or_default();
            service.meter.look(less(totals, service.before));
        }
        let known: Vec<&RealServer> = servers(director.state()).collect();
        let key = |server: &RealServer| (server.service, server.endpoint);
        self.servers
            .retain(|of, _| known.iter().any(|server| key(server) == *of));
        // Nobody looks at a server that was removed.
        for server in known.iter().filter(|server| server.available) {
            let meter = self.servers.entry(key(server)).or_default();
            meter.look(server.shared.traffic.totals());
        }
    }
}

/// The gateway while `ipvsadm` runs.
struct Desk<'a> {
    ipvs: &'a mut Ipvs,
    director: &'a mut Director,
    knobs: &'a Knobs,
}

impl Host for Desk<'_> {
    fn table(&mut self) -> &mut Table {
        &mut self.ipvs.table
    }

    fn publish(&mut self) {
        let Ipvs {
            table,
            services,
            servers,
            ..
        } = &mut *self.ipvs;
        services.retain(|name, _| table.service(name).is_some());
        for entry in table.services() {
            let name = entry.service.name;
            let Entry::Vacant(place) = services.entry(name) else {
                continue;
            };
            let key = name.key();
            let before = key.map(|key| self.director.traffic(key));
            place.insert(ServiceMeter {
                before: before.unwrap_or_default(),
                ..ServiceMeter::default()
            });
            // Servers that come back do so to another service, for which they count anew.
            let returning = servers.iter_mut().filter(|((of, _), _)| Some(*of) == key);
            returning.for_each(|(_, meter)| meter.zero());
        }
        let specs = table.specs(locality(self.knobs));
        self.director.change(|editor| editor.set_services(&specs));
    }

    fn service_traffic(&self, service: &ServiceName) -> Traffic {
        let service = self.ipvs.services.get(service);
        service.map(|it| traffic(&it.meter)).unwrap_or_default()
    }

    fn server_counts(&self, service: &ServiceName, server: &Endpoint<IpAddr>) -> ServerCounts {
        let Some(key) = service.key() else {
            return ServerCounts::default();
        };
        let is_it = |it: &&RealServer| it.service == key && it.endpoint == *server;
        let Some(it) = servers(self.director.state()).find(is_it) else {
            return ServerCounts::default();
        };
        let meter = self.ipvs.servers.get(&(key, *server));
        let active = it.shared.active();
        ServerCounts {
            active,
            inactive: it.shared.sessions().saturating_sub(active),
            templates: it.shared.persistent(),
            traffic: meter.map(traffic).unwrap_or_default(),
        }
    }

    fn zero(&mut self, service: Option<&ServiceName>) {
        let chosen = |name: &ServiceName| service.is_none_or(|service| service == name);
        for (_, it) in self
            .ipvs
            .services
            .iter_mut()
            .filter(|(name, _)| chosen(name))
        {
            it.meter.zero();
        }
        // Servers that are gone keep what they counted, should they come back.
        let entries = self.ipvs.table.services();
        for entry in entries.filter(|entry| chosen(&entry.service.name)) {
            let key = entry.service.name.key();
            for server in entry.servers() {
                let of = key.map(|key| (key, server.endpoint));
                if let Some(meter) = of.and_then(|of| self.ipvs.servers.get_mut(&of)) {
                    meter.zero();
                }
            }
        }
    }

    fn sessions(&mut self) -> Vec<SessionRecord> {
        let mut sessions = self.director.gateway().sessions();
        // What is overdue is over, and was only not swept away yet.
        sessions.retain(|session| session.expires_in_ticks > 0);
        sessions
    }

    fn templates(&mut self) -> Vec<ConnectionRow> {
        let templates = self.director.gateway().templates();
        templates.iter().map(ConnectionRow::from).collect()
    }

    fn timeouts(&self) -> Timeouts {
        self.ipvs.timeouts.clone()
    }

    fn set_timeouts(&mut self, timeouts: Timeouts) {
        self.ipvs.timeouts = timeouts.clone();
        self.director.change(|editor| editor.set_timeouts(timeouts));
    }

    fn address_kind(&self, addr: IpAddr) -> AddressKind {
        let is_broadcast = self.director.addresses().any(|(own, prefix_len)| {
            let host = u32::MAX.checked_shr(prefix_len.into()).unwrap_or(0);
            host > 1 && IpAddr::V4(Ipv4Addr::from_bits(own.to_bits() | host)) == addr
        });
        if is_broadcast {
            AddressKind::Broadcast
        } else {
            AddressKind::Unicast
        }
    }
}

fn locality(knobs: &Knobs) -> Locality {
    Locality {
        lblc_seconds: knobs.lblc_expiration,
        lblcr_seconds: knobs.lblcr_expiration,
    }
}

/// All servers, those that were removed and have sessions left included.
fn servers(snapshot: &Snapshot) -> impl Iterator<Item = &RealServer> {
    snapshot.servers.iter().flatten().map(|server| &**server)
}

fn traffic(meter: &Meter) -> Traffic {
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
