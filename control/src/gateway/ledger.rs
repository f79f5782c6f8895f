//! Traffic of servers and services that are gone, so that totals never go back.

use std::collections::HashMap;
use std::sync::Arc;

use dataplane::counters::TrafficTotals;
use dataplane::service::{RealServer, ServiceKey};
use dataplane::snapshot::Snapshot;

use super::Gateway;
use crate::config::Config;

/// What the servers counted that have left the snapshot.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    by_service: HashMap<ServiceKey, TrafficTotals>,
    /// Of services that are no longer configured.
    of_others: TrafficTotals,
}

impl Gateway {
    /// The traffic of all servers since the start, those that are gone included.
    #[must_use]
    pub(crate) fn total_traffic(&self) -> TrafficTotals {
        let (snapshot, mut total) = {
            let state = self.state.lock();
            (Arc::clone(&state.published), state.ledger.total())
        };
        for server in snapshot.servers.iter().flatten() {
            total += server.shared.traffic.totals();
        }
        total
    }
}

impl Ledger {
    /// Adds what the servers counted that are in `before` and not in `after`; servers leave only
    /// when their last session has ended, so nothing counts for them any more.
    pub fn close(&mut self, before: &Snapshot, after: &Snapshot) {
        for (slot, server) in before.servers.iter().enumerate() {
            let successor = after.servers.get(slot).and_then(Option::as_ref);
            if let Some(server) = server
                && !successor.is_some_and(|successor| is_same(server, successor))
            {
                *self.by_service.entry(server.service).or_default() +=
                    server.shared.traffic.totals();
            }
        }
    }

    /// Forgets services that are no longer configured.
    pub(super) fn keep_only(&mut self, config: &Config) {
        let keys: std::collections::HashSet<_> =
            config.services().iter().map(|it| it.key()).collect();
        let Self {
            by_service,
            of_others,
        } = self;
        by_service.retain(|key, counted| {
            let stays = keys.contains(key);
            if !stays {
                *of_others += *counted;
            }
            stays
        });
    }

    /// Every service that has lost servers, with what those counted.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ServiceKey, TrafficTotals)> {
        self.by_service.iter().map(|(key, totals)| (*key, *totals))
    }

    /// What all of them counted.
    fn total(&self) -> TrafficTotals {
        let mut total = self.of_others;
        for counted in self.by_service.values() {
            total += *counted;
        }
        total
    }

    /// Forgets a service that is no longer configured.
    pub(super) fn forget(&mut self, service: ServiceKey) {
        self.of_others += self.by_service.remove(&service).unwrap_or_default();
    }

    /// What servers counted that `service` no longer has.
    #[must_use]
    pub fn of(&self, service: ServiceKey) -> TrafficTotals {
        self.by_service.get(&service).copied().unwrap_or_default()
    }
}

/// Whether two versions count in the same place.
fn is_same(one: &RealServer, other: &RealServer) -> bool {
    Arc::ptr_eq(&one.shared, &other.shared)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::testing::gateway;

    #[test]
    fn what_was_counted_for_services_that_are_gone_stays_in_the_total() {
        let counted = |packets| TrafficTotals {
            in_packets: packets,
            ..TrafficTotals::default()
        };
        let keys = [1, 2, 3].map(ServiceKey::Mark);
        let mut ledger = Ledger {
            by_service: keys.into_iter().zip([100, 20, 3].map(counted)).collect(),
            of_others: TrafficTotals::default(),
        };

        ledger.forget(keys[0]);
        assert_eq!(ledger.of(keys[0]), counted(0));
        assert_eq!(ledger.total(), counted(123));

        ledger.keep_only(&gateway("").config());
        assert_eq!(ledger.iter().count(), 0);
        assert_eq!(ledger.total(), counted(123));
    }
}
