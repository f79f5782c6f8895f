//! A host for tests: a table, and whatever a test says about traffic.

use std::net::IpAddr;

use dataplane::session::{SessionRecord, Timeouts};

use super::address_kind::AddressKind;
use super::command::ServiceName;
use super::host::{Host, ServerCounts, ServiceCounts, Traffic};
use super::listing::ConnectionRow;
use super::table::{Entry, Table};

/// A gateway without packets.
#[derive(Debug, Default)]
pub(crate) struct Plain {
    pub(crate) table: Table,
    /// How many services and servers each publication had.
    pub(crate) published: Vec<(usize, usize)>,
    /// What the last publication was about.
    pub(crate) changed: Vec<ServiceName>,
    /// What publications are refused with.
    pub(crate) refuses: Option<String>,
    /// What was zeroed.
    pub(crate) zeroed: Vec<Option<ServiceName>>,
    pub(crate) timeouts: Timeouts,
    /// What every service is said to have seen.
    pub(crate) traffic: Traffic,
    /// What every server is said to have.
    pub(crate) counts: ServerCounts,
    /// What every local address is said to have lent.
    pub(crate) ports_in_use: usize,
    pub(crate) templates: Vec<ConnectionRow>,
}

impl Host for Plain {
    fn table(&self) -> &Table {
        &self.table
    }

    fn table_mut(&mut self) -> &mut Table {
        &mut self.table
    }

    fn publish(&mut self, changed: &[ServiceName]) -> Result<(), String> {
        if let Some(why) = &self.refuses {
            return Err(why.clone());
        }
        changed.clone_into(&mut self.changed);
        let services = self.table.services();
        let servers = services.map(|it| it.servers().count()).sum();
        self.published
            .push((self.table.services().count(), servers));
        Ok(())
    }

    fn counts(&self, service: &ServiceName) -> ServiceCounts {
        let servers = self.table.service(service).map(Entry::servers);
        let servers = servers.into_iter().flatten();
        ServiceCounts {
            traffic: self.traffic,
            servers: servers.map(|it| (it.endpoint, self.counts)).collect(),
        }
    }

    fn ports_in_use(&self, _local: IpAddr) -> usize {
        self.ports_in_use
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
        let own = [([10, 2, 0, 1], 24), ([127, 0, 0, 1], 8)];
        AddressKind::among(addr, own.map(|(own, len)| (own.into(), len)))
    }
}
