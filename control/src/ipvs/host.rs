//! What `ipvsadm` needs of whoever has the services and the packet path.

use std::collections::HashMap;
use std::net::IpAddr;

use dataplane::address::Endpoint;
use dataplane::counters::TrafficTotals;
use dataplane::session::{SessionRecord, Timeouts};

use super::address_kind::AddressKind;
use super::command::{ServerLine, ServiceName};
use super::listing::ConnectionRow;
use super::meter::Rates;
use super::table::Table;

/// What was counted about a service or a server, as the last look of its
/// [`Meter`](super::Meter) saw it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Since the last `-Z`.
    pub totals: TrafficTotals,
    /// In a second.
    pub rates: Rates,
}

/// What there is to say of a server now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerCounts {
    /// Sessions in an active state.
    pub active: u32,
    /// Sessions in other states.
    pub inactive: u32,
    /// Persistence templates.
    pub templates: u32,
    /// What was counted about it.
    pub traffic: Traffic,
}

/// What there is to say of a service and its servers now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceCounts {
    /// What was counted about the service.
    pub traffic: Traffic,
    /// Its servers; one that is not here has nothing to be said of.
    pub servers: HashMap<Endpoint<IpAddr>, ServerCounts>,
}

/// The gateway, as `ipvsadm` sees it.
pub trait Host {
    /// The services.
    fn table(&self) -> &Table;

    /// The services, to change them.
    fn table_mut(&mut self) -> &mut Table;

    /// Tells the packet path what the table says now of the services that changed: of those it
    /// no longer has, that they are gone.
    ///
    /// # Errors
    ///
    /// Why the gateway does not do it, in one sentence. Then the table is what it was when the
    /// packet path was last told.
    fn publish(&mut self, changed: &[ServiceName]) -> Result<(), String>;

    /// The servers of a service of the table that new sessions can meet, in the order in which
    /// they were added, with their weights; `None` when they are those of the table.
    fn running(&self, _service: &ServiceName) -> Option<Vec<ServerLine>> {
        None
    }

    /// What there is to say of a service of the table.
    fn counts(&self, service: &ServiceName) -> ServiceCounts;

    /// How many ports of a local address are lent to sessions.
    fn ports_in_use(&self, local: IpAddr) -> usize;

    /// Counts anew from here: for one service and its servers, or for all.
    fn zero(&mut self, service: Option<&ServiceName>);

    /// All sessions.
    fn sessions(&mut self) -> Vec<SessionRecord>;

    /// All persistence templates.
    fn templates(&mut self) -> Vec<ConnectionRow>;

    /// The time-outs of sessions.
    fn timeouts(&self) -> Timeouts;

    /// Sets them; sessions get the new ones with their next packet.
    fn set_timeouts(&mut self, timeouts: Timeouts);

    /// What is known of an address that a server shall have.
    fn address_kind(&self, addr: IpAddr) -> AddressKind;
}
