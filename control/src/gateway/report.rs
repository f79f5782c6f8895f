//! What the gateway says about itself.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use dataplane::counters::{TrafficTotals, WorkerCounters};
use dataplane::drop_reason::DropReason;
use dataplane::id::InterfaceId;
use dataplane::punt::PuntClass;
use dataplane::service::{RealServer, Service, ServiceKey};
use dataplane::snapshot::Snapshot;

use super::standing_view::{self, Briefs};
use super::{Gateway, local_addresses};
use crate::config::Config;
use crate::health::standing::health_of;
use crate::linux::mirror::InterfaceAddress;
use crate::view::{
    DropView, InterfaceView, ServerView, ServiceView, StatusView, TemplatesView, TrafficView,
    WorkerView,
};

impl Gateway {
    /// The gateway as a whole.
    #[must_use]
    pub fn status(&self) -> StatusView {
        let (config, snapshot) = self.present();
        let (addresses, mut warnings) = {
            let state = self.state.lock();
            (state.mirrored.addresses().clone(), state.warnings.clone())
        };
        if self.in_maintenance() {
            let sentence = "maintenance is on: `sluicectl maintenance off` ends it";
            warnings.push(sentence.to_owned());
        }
        let workers: Vec<_> = (0..self.plane.mailboxes.len())
            .map(|index| self.worker(index))
            .collect();
        let services = config.services();
        StatusView {
            version: self.plane.version.clone(),
            dpdk: self.plane.dpdk.clone(),
            uptime_seconds: self.started.elapsed().as_secs(),
            generation: snapshot.generation,
            services: services.len(),
            servers: services.iter().map(|service| service.servers.len()).sum(),
            sessions: workers.iter().map(|worker| worker.sessions).sum(),
            workers,
            interfaces: interfaces(&config, &snapshot, &addresses),
            local_addresses: local_addresses::views(&config, &snapshot),
            templates: templates(&snapshot),
            drops: drops(&self.plane.counters),
            warnings,
        }
    }

    /// The virtual services with their servers, in the order of the configuration.
    #[must_use]
    pub fn services(&self) -> Vec<ServiceView> {
        self.services_with(&self.briefs(), concerns_somebody)
    }

    /// As [`Self::services`], without the states of servers that are watched and their reasons:
    /// the lock of those who watch is not taken for it. Servers that are only remembered are there
    /// too: one that comes back goes on counting, and its counters may not have been 0 meanwhile.
    #[must_use]
    pub(crate) fn counted_services(&self) -> Vec<ServiceView> {
        self.services_with(&Briefs::default(), |_| true)
    }

    fn services_with(&self, briefs: &Briefs, shows: fn(&ServerView) -> bool) -> Vec<ServiceView> {
        let (config, snapshot) = self.present();
        let gone = self.state.lock().ledger.clone();
        let by_key: HashMap<_, _> = (snapshot.services.iter().flatten())
            .map(|service| (service.key, service))
            .collect();
        let mut draining: HashMap<ServiceKey, Vec<&RealServer>> = HashMap::new();
        let servers = snapshot.servers.iter().flatten();
        for server in servers.filter(|server| !server.available) {
            draining.entry(server.service).or_default().push(server);
        }
        let configured: Vec<_> = (config.services().iter())
            .map(|it| {
                let watched = health_of(it).map(|_| it.clone());
                (it.key(), it.name.clone(), watched)
            })
            .collect();
        // While somebody holds it, a change has to copy all of it, with the lock taken.
        drop(config);
        (configured.into_iter())
            .filter_map(|(key, name, watched)| {
                let service = by_key.get(&key)?;
                let draining = draining.remove(&key).unwrap_or_default();
                let mut view = service_view(name, service, &draining, gone.of(key));
                view.servers.retain(shows);
                if let Some(watched) = watched {
                    standing_view::complete(&mut view, &watched, briefs);
                }
                Some(view)
            })
            .collect()
    }

    /// The configuration and the snapshot made of it. Views are built from these without the
    /// lock, so that looking at 100,000 servers delays no change.
    pub(super) fn present(&self) -> (Arc<Config>, Arc<Snapshot>) {
        let state = self.state.lock();
        (Arc::clone(&state.config), Arc::clone(&state.published))
    }

    fn worker(&self, index: usize) -> WorkerView {
        let counters = &self.plane.counters[index];
        let mailbox = &self.plane.mailboxes[index];
        WorkerView {
            id: mailbox.worker.0,
            core: self
                .plane
                .cores
                .get(index)
                .copied()
                .flatten()
                .map(|core| core.0),
            generation: mailbox.adopted(),
            sessions: counters.sessions.get(),
            session_capacity: self.plane.session_capacity,
            received_packets: counters.received_packets.get(),
            transmitted_packets: counters.transmitted_packets.get(),
            session_hits: counters.session_hits.get(),
            sessions_created: counters.sessions_created.get(),
            arrived_at_wrong_worker: counters.arrived_at_wrong_worker.get(),
            punted_packets: PuntClass::ALL
                .iter()
                .map(|class| counters.punts(*class).get())
                .sum(),
            dropped_packets: DropReason::ALL
                .iter()
                .map(|why| counters.drops(*why).get())
                .sum(),
        }
    }
}

fn interfaces(
    config: &Config,
    snapshot: &Snapshot,
    addresses: &BTreeMap<InterfaceId, Vec<InterfaceAddress>>,
) -> Vec<InterfaceView> {
    (config.interfaces())
        .map(|numbered| {
            let port = &config.ports()[numbered.ethdev.index()];
            let known = snapshot.interfaces.get(numbered.id);
            let addresses = addresses.get(&numbered.id).map_or(&[][..], Vec::as_slice);
            InterfaceView {
                name: numbered.interface.name.clone(),
                device: port.device.devargs().to_owned(),
                vlan: numbered.vlan.map(|vlan| vlan.0),
                twin: numbered.interface.twin.name.clone(),
                mac: known.map(|it| it.mac.to_string()).unwrap_or_default(),
                mtu: known.map_or(numbered.interface.mtu, |it| it.mtu),
                addresses: (addresses.iter())
                    .map(|address| format!("{}/{}", address.addr, address.prefix_len))
                    .collect(),
            }
        })
        .collect()
}

fn templates(snapshot: &Snapshot) -> TemplatesView {
    let templates = &snapshot.templates;
    TemplatesView {
        held: templates.len() as u64,
        capacity: templates.capacity() as u64,
        lock_waits: templates.lock_waits(),
    }
}

fn service_view(
    name: Option<String>,
    service: &Service,
    draining: &[&RealServer],
    gone: TrafficTotals,
) -> ServiceView {
    // The list is newest first; an operator added them the other way round.
    let present = service.servers.iter().rev().map(|server| &**server);
    let all = present.chain(draining.iter().copied());
    let servers: Vec<_> = all.map(server_view).collect();
    let mut traffic = gone;
    for server in &servers {
        traffic += totals(server.traffic);
    }
    let key = service.key;
    let end = key.virtual_endpoint();
    ServiceView {
        name,
        protocol: key.protocol().map(|it| it.name().to_owned()),
        vip: end.map(|end| SocketAddr::new(end.addr, end.port)),
        mark: match key {
            ServiceKey::Mark(mark) | ServiceKey::Mark6(mark) => Some(mark),
            ServiceKey::Address { .. } => None,
        },
        family: matches!(key, ServiceKey::Mark6(_)).then(|| "ipv6".to_owned()),
        scheduler: service.kind.name().to_owned(),
        scheduler_lock_waits: service.scheduler.lock_waits(),
        persistent_seconds: service.persistence.map(|it| it.timeout_seconds),
        one_packet: service.one_packet,
        forwarded: !key.is_ipv6(),
        traffic: traffic_view(traffic),
        servers,
    }
}

/// One that is only remembered concerns nobody until it comes back.
const fn concerns_somebody(server: &ServerView) -> bool {
    server.available || server.active + server.inactive + server.persistent > 0
}

fn server_view(server: &RealServer) -> ServerView {
    let sessions = server.shared.sessions();
    let active = server.shared.active();
    ServerView {
        address: SocketAddr::new(server.endpoint.addr, server.endpoint.port),
        method: server.method.name().to_owned(),
        weight: server.weight.0,
        configured_weight: server.weight.0,
        state: None,
        reasons: Vec::new(),
        active,
        inactive: sessions.saturating_sub(active),
        persistent: server.shared.persistent(),
        overloaded: server.is_overloaded(),
        available: server.available,
        traffic: traffic_view(server.shared.traffic.totals()),
    }
}

const fn traffic_view(totals: TrafficTotals) -> TrafficView {
    let TrafficTotals {
        sessions,
        in_packets,
        in_bytes,
        out_packets,
        out_bytes,
    } = totals;
    TrafficView {
        sessions,
        in_packets,
        in_bytes,
        out_packets,
        out_bytes,
    }
}

const fn totals(view: TrafficView) -> TrafficTotals {
    let TrafficView {
        sessions,
        in_packets,
        in_bytes,
        out_packets,
        out_bytes,
    } = view;
    TrafficTotals {
        sessions,
        in_packets,
        in_bytes,
        out_packets,
        out_bytes,
    }
}

fn drops(counters: &[Arc<WorkerCounters>]) -> Vec<DropView> {
    (DropReason::ALL.iter())
        .map(|reason| DropView {
            reason: reason.name().to_owned(),
            meaning: reason.sentence().to_owned(),
            packets: counters
                .iter()
                .map(|counters| counters.drops(*reason).get())
                .sum(),
        })
        .filter(|view| view.packets > 0)
        .collect()
}
