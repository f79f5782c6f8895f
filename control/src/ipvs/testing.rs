//! A host for tests: a table, and whatever a test says about traffic.

use std::net::IpAddr;

use dataplane::address::Endpoint;
use dataplane::session::{SessionRecord, Timeouts};

use super::command::ServiceName;
use super::host::{Host, ServerCounts, Traffic};
use super::listing::ConnectionRow;
use super::table::{AddressKind, Table};

/// A gateway without packets.
#[derive(Debug, Default)]
pub(super) struct Plain {
    pub(super) table: Table,
    /// How many services and servers each publication had.
    pub(super) published: Vec<(usize, usize)>,
    /// What was zeroed.
    pub(super) zeroed: Vec<Option<ServiceName>>,
    pub(super) timeouts: Timeouts,
    /// What every service is said to have seen.
    pub(super) traffic: Traffic,
    /// What every server is said to have.
    pub(super) counts: ServerCounts,
    pub(super) templates: Vec<ConnectionRow>,
}

impl Host for Plain {
    fn table(&mut self) -> &mut Table {
        &mut self.table
    }

    fn publish(&mut self) {
        let services = self.table.services();
        let servers = services.map(|it| it.servers().count()).sum();
        self.published
            .push((self.table.services().count(), servers));
    }

    fn service_traffic(&self, _service: &ServiceName) -> Traffic {
        self.traffic
    }

    fn server_counts(&self, _service: &ServiceName, _server: &Endpoint<IpAddr>) -> ServerCounts {
        self.counts
    }

    fn zero(&mut self, service: Option<&ServiceName>) {
        self.zeroed.push(service.copied());
    }

    fn sessions(&mut self) -> Vec<SessionRecord> {
        Vec::new()
    }

    fn templates(&mut self) -> Vec<ConnectionRow> {
        self.templates.clone()
    }

    fn timeouts(&self) -> Timeouts {
        self.timeouts.clone()
    }

    fn set_timeouts(&mut self, timeouts: Timeouts) {
        self.timeouts = timeouts;
    }

    fn address_kind(&self, addr: IpAddr) -> AddressKind {
        // As if 10.2.0.0/24 were connected, beside the loopback.
        let broadcast = [[10, 2, 0, 255], [127, 255, 255, 255]].map(IpAddr::from);
        if broadcast.contains(&addr) {
            AddressKind::Broadcast
        } else {
            AddressKind::Unicast
        }
    }
}
