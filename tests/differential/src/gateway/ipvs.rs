//! Virtual services, as `ipvsadm` changes and shows them.

use std::net::IpAddr;

use control::ipvs::listing::ConnectionRow;
use control::ipvs::{
    self, AddressKind, Host, Locality, Meters, Reply, ServiceCounts, ServiceName, Table,
};
use dataplane::knobs::Knobs;
use dataplane::session::{SessionRecord, Timeouts};

use super::director::Director;
use super::sandbox::Said;

/// The services and what was counted about them.
#[derive(Default)]
pub(super) struct Ipvs {
    table: Table,
    timeouts: Timeouts,
    meters: Meters,
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
        reply.into()
    }

    /// Takes over what variables say of services.
    pub(super) fn knobs_changed(&self, director: &mut Director, knobs: &Knobs) {
        let specs = self.table.specs(locality(knobs));
        director.change(|editor| editor.set_services(&specs));
    }

    /// Looks at what was counted, if it is time to; to be called when `seconds` have passed.
    pub(super) fn look(&mut self, director: &Director, knobs: &Knobs, seconds: u64) {
        if knobs.run_estimation && Meters::is_due(seconds) {
            self.meters.look(director.counters());
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
    fn table(&self) -> &Table {
        &self.ipvs.table
    }

    fn table_mut(&mut self) -> &mut Table {
        &mut self.ipvs.table
    }

    fn publish(&mut self, changed: &[ServiceName]) -> Result<(), String> {
        let Ipvs { table, meters, .. } = &mut *self.ipvs;
        meters.changed(table, changed, self.director.counters());
        let specs = table.specs(locality(self.knobs));
        self.director.change(|editor| editor.set_services(&specs));
        Ok(())
    }

    fn counts(&self, service: &ServiceName) -> ServiceCounts {
        let counters = self.director.counters();
        self.ipvs.meters.counts(service, counters.snapshot)
    }

    fn ports_in_use(&self, local: IpAddr) -> usize {
        let snapshot = self.director.counters().snapshot;
        snapshot.local_pool(local).map_or(0, |pool| pool.in_use())
    }

    fn zero(&mut self, service: Option<&ServiceName>) {
        self.ipvs.meters.zero(&self.ipvs.table, service);
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
        AddressKind::among(addr, self.director.addresses())
    }
}

fn locality(knobs: &Knobs) -> Locality {
    Locality {
        lblc_seconds: knobs.lblc_expiration,
        lblcr_seconds: knobs.lblcr_expiration,
    }
}

impl From<Reply> for Said {
    fn from(reply: Reply) -> Self {
        Self {
            output: reply.stdout,
            errors: reply.stderr,
            status: reply.status,
        }
    }
}
