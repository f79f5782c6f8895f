//! Sessions on their way into a running gateway, from a file or another gateway.
//!
//! ```text
//! record ──► Binder: service, server, owner ──► SessionBatch ──► mailbox of the owner
//!            (control)                                              │ a few in each turn
//!            Outcomes ◄── control ◄── the same batch back ◄── worker: Pipeline::import
//! ```
//!
//! What a record says of places in a snapshot means nothing here: it is bound anew, by addresses,
//! ports and method. The worker asks once more whether that is so in its own snapshot.

use std::net::IpAddr;
use std::sync::Arc;

use crate::address::{Address, Endpoint, FlowKey, V4};
use crate::hasher::FastMap;
use crate::id::{ServerSlot, ServiceSlot, WorkerId};
use crate::service::{RealServer, Service, ServiceKey};
use crate::session::SessionRecord;
use crate::snapshot::Snapshot;

/// What became of a session that was brought in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the table of its owner.
    Imported,
    /// There is one between this client and VIP already, or by NAT a younger one that its server
    /// could not tell from it. That stays.
    AlreadyThere,
    /// No service has its transport, VIP and port.
    NoService,
    /// Its service has no such real server, or reaches it by another method.
    NoServer,
    /// Another session has its local port, or it is none that its owner lends for this service.
    PortNotFree,
    /// The table of its owner has no place left.
    TableFull,
}

impl Outcome {
    /// How many there are.
    const COUNT: usize = Self::TableFull as usize + 1;
}

/// How many sessions had which outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcomes([u64; Outcome::COUNT]);

impl Outcomes {
    /// Counts one more.
    pub const fn add(&mut self, outcome: Outcome) {
        self.0[outcome as usize] += 1;
    }

    /// How many had this outcome.
    #[must_use]
    pub const fn of(&self, outcome: Outcome) -> u64 {
        self.0[outcome as usize]
    }
}

impl std::ops::AddAssign for Outcomes {
    fn add_assign(&mut self, other: Self) {
        for (count, more) in self.0.iter_mut().zip(other.0) {
            *count += more;
        }
    }
}

/// Sessions for one worker: control fills it, the worker files them and sends it back.
#[derive(Debug)]
pub struct SessionBatch {
    /// Tells the batches of one import from those of another.
    pub import: u64,
    /// The sessions, bound.
    pub records: Vec<SessionRecord>,
    /// How many of them the worker has seen.
    seen: usize,
    outcomes: Outcomes,
}

impl SessionBatch {
    /// An empty batch with room for `limit` sessions.
    #[must_use]
    pub fn new(import: u64, limit: usize) -> Self {
        Self {
            import,
            records: Vec::with_capacity(limit),
            seen: 0,
            outcomes: Outcomes::default(),
        }
    }

    /// What became of the sessions that the worker has seen.
    #[must_use]
    pub const fn outcomes(&self) -> Outcomes {
        self.outcomes
    }

    /// Whether the worker has seen all.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        self.seen == self.records.len()
    }

    /// Makes it a new one without sessions.
    pub fn clear(&mut self) {
        self.records.clear();
        self.seen = 0;
        self.outcomes = Outcomes::default();
    }

    /// The next sessions, at most `limit`, and where their outcomes are counted.
    pub(crate) fn advance(&mut self, limit: usize) -> (&[SessionRecord], &mut Outcomes) {
        let left = self.records.get(self.seen..).unwrap_or_default();
        let next = &left[..left.len().min(limit)];
        self.seen += next.len();
        (next, &mut self.outcomes)
    }
}

/// Finds out where records belong in one snapshot.
///
/// Each service's servers are indexed when its first record comes, so that a record costs the
/// same however many there are.
#[derive(Debug)]
pub struct Binder {
    snapshot: Arc<Snapshot>,
    servers: FastMap<ServiceSlot, FastMap<Endpoint<IpAddr>, Arc<RealServer>>>,
}

impl Binder {
    /// A binder to `snapshot`.
    #[must_use]
    pub fn new(snapshot: Arc<Snapshot>) -> Self {
        Self {
            snapshot,
            servers: FastMap::default(),
        }
    }

    /// The generation of the snapshot it binds to.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.snapshot.generation
    }

    /// Binds a record to its service and server, and names the worker that owns the session.
    ///
    /// # Errors
    ///
    /// [`Outcome::NoService`] and [`Outcome::NoServer`].
    pub fn bind(&mut self, record: &mut SessionRecord) -> Result<WorkerId, Outcome> {
        let key = client_key(record).ok_or(Outcome::NoService)?;
        let snapshot = Arc::clone(&self.snapshot);
        let by_address = snapshot.service_for(key.protocol, key.destination);
        let mut services = by_address.into_iter().chain(marked(&snapshot)).peekable();
        services.peek().ok_or(Outcome::NoService)?;
        let server = services
            .find_map(|service| self.server_of(service, record))
            .ok_or(Outcome::NoServer)?;
        (record.service, record.server_slot) = server;
        Ok(snapshot.steering.client_owner_rss(&key))
    }

    /// The places of a service and of its server that a record names.
    fn server_of(
        &mut self,
        service: &Service,
        record: &SessionRecord,
    ) -> Option<(ServiceSlot, ServerSlot)> {
        let servers = (self.servers.entry(service.slot)).or_insert_with(|| by_endpoint(service));
        let any_port = Endpoint::new(record.server.addr, 0);
        let server = [record.server, any_port]
            .iter()
            .filter_map(|end| servers.get(end))
            .find(|server| is_server_of(server, service.key, record))?;
        Some((service.slot, server.slot))
    }
}

/// The services of marks, in the order of these: which one a session began with is not known, but
/// one of those with its server.
fn marked(snapshot: &Snapshot) -> impl Iterator<Item = &Arc<Service>> {
    let mut slots: Vec<_> = snapshot.marked_services.iter().collect();
    slots.sort_unstable();
    let services = slots.into_iter().map(|(_, slot)| *slot);
    services.filter_map(|slot| snapshot.services.get(slot.index())?.as_ref())
}

/// The service and server that a bound record names, if they still are what they were when it was
/// bound.
pub(crate) fn bound<'a>(
    snapshot: &'a Snapshot,
    record: &SessionRecord,
) -> Result<(&'a Service, &'a RealServer), Outcome> {
    let service = snapshot.services.get(record.service.index());
    let service = service
        .and_then(Option::as_deref)
        .filter(|service| is_service_of(service.key, record))
        .ok_or(Outcome::NoService)?;
    let server = snapshot
        .server(record.server_slot)
        .filter(|server| is_server_of(server, service.key, record))
        .ok_or(Outcome::NoServer)?;
    Ok((service, server))
}

fn by_endpoint(service: &Service) -> FastMap<Endpoint<IpAddr>, Arc<RealServer>> {
    (service.servers.iter())
        .map(|server| (server.endpoint, Arc::clone(server)))
        .collect()
}

fn is_service_of(key: ServiceKey, record: &SessionRecord) -> bool {
    match key {
        ServiceKey::Mark(_) => record.vip.addr.is_ipv4(),
        ServiceKey::Mark6(_) => record.vip.addr.is_ipv6(),
        ServiceKey::Address {
            protocol,
            virtual_endpoint: Endpoint { addr, port },
        } => {
            protocol == record.protocol
                && addr == record.vip.addr
                && (port == 0 || port == record.vip.port)
        }
    }
}

fn is_server_of(server: &RealServer, service: ServiceKey, record: &SessionRecord) -> bool {
    let port = match server.endpoint.port {
        0 => record.vip.port,
        port => port,
    };
    server.available
        && server.service == service
        && server.method == record.method
        && record.server == Endpoint::new(server.endpoint.addr, port)
}

fn client_key(record: &SessionRecord) -> Option<FlowKey<V4>> {
    Some(FlowKey {
        source: of_v4(record.client)?,
        destination: of_v4(record.vip)?,
        protocol: record.protocol,
    })
}

fn of_v4(end: Endpoint<IpAddr>) -> Option<Endpoint<V4>> {
    V4::from_ip(end.addr).map(|addr| Endpoint::new(addr, end.port))
}
