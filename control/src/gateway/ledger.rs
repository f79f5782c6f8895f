//! Traffic of servers that are gone, so that a service's totals never go back.

use std::collections::HashMap;
use std::sync::Arc;

use dataplane::counters::TrafficTotals;
use dataplane::service::{RealServer, ServiceKey};
use dataplane::snapshot::Snapshot;

use crate::config::Config;

/// For each service, what the servers counted that have left the snapshot.
#[derive(Clone, Debug, Default)]
pub struct Ledger(HashMap<ServiceKey, TrafficTotals>);

impl Ledger {
    /// Adds what the servers counted that are in `before` and not in `after`; servers leave only
    /// when their last session has ended, so nothing counts for them any more.
    pub fn close(&mut self, before: &Snapshot, after: &Snapshot) {
        for (slot, server) in before.servers.iter().enumerate() {
            let successor = after.servers.get(slot).and_then(Option::as_ref);
            if let Some(server) = server
                && !successor.is_some_and(|successor| is_same(server, successor))
            {
                *self.0.entry(server.service).or_default() += server.shared.traffic.totals();
            }
        }
    }

    /// Forgets services that are no longer configured.
    pub(super) fn keep_only(&mut self, config: &Config) {
        let keys: std::collections::HashSet<_> =
            config.services().iter().map(|it| it.key()).collect();
        self.0.retain(|key, _| keys.contains(key));
    }

    /// Every service that has lost servers, with what those counted.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ServiceKey, TrafficTotals)> {
        self.0.iter().map(|(key, totals)| (*key, *totals))
    }

    /// Forgets a service that is no longer configured.
    pub(super) fn forget(&mut self, service: ServiceKey) {
        self.0.remove(&service);
    }

    /// What servers counted that `service` no longer has.
    #[must_use]
    pub fn of(&self, service: ServiceKey) -> TrafficTotals {
        self.0.get(&service).copied().unwrap_or_default()
    }
}

/// Whether two versions count in the same place.
fn is_same(one: &RealServer, other: &RealServer) -> bool {
    Arc::ptr_eq(&one.shared, &other.shared)
}
