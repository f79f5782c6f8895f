//! What `ipvsadm` needs of whoever has the services and the packet path.

use std::net::IpAddr;

use dataplane::address::Endpoint;
use dataplane::counters::TrafficTotals;
use dataplane::session::{SessionRecord, Timeouts};

use super::command::ServiceName;
use super::listing::ConnectionRow;
use super::meter::Rates;
use super::table::{AddressKind, Table};

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

/// The gateway, as `ipvsadm` sees it.
pub trait Host {
    /// The services.
    fn table(&mut self) -> &mut Table;

    /// Tells the packet path what the table says now.
    fn publish(&mut self);

    /// What was counted about a service of the table.
    fn service_traffic(&self, service: &ServiceName) -> Traffic;

    /// What there is to say of a server of the table.
    fn server_counts(&self, service: &ServiceName, server: &Endpoint<IpAddr>) -> ServerCounts;

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
