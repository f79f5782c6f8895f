//! lblc: each destination has one server.

use std::sync::Arc;

use super::super::{FlowInfo, Schedule};
use super::Locality;
use super::table::{EntryAt, Table};
use crate::service::RealServer;

/// One server for each entry that a table may have.
const MEMBERS: usize = 24_576;

/// Locality-based least connection.
#[derive(Debug)]
pub struct LocalityBased(Locality);

impl LocalityBased {
    pub(in super::super) fn new(expiration_seconds: u32, servers: &[Arc<RealServer>]) -> Self {
        Self(Locality::new(expiration_seconds, MEMBERS, servers))
    }

    pub(in super::super) fn changed(
        &self,
        expiration_seconds: u32,
        servers: &[Arc<RealServer>],
    ) -> Self {
        Self(self.0.changed(expiration_seconds, servers))
    }

    pub(in super::super) fn lock_waits(&self) -> u64 {
        self.0.lock_waits()
    }
}

impl LocalityBased {
    /// The server that [`Schedule::pick`] would give now.
    pub(in super::super) fn peek(
        &self,
        servers: &[Arc<RealServer>],
        flow: FlowInfo,
    ) -> Option<usize> {
        let mut table = self.0.table.lock();
        let entry = table.peek(flow.destination, flow.now, self.0.expiration_ticks);
        let last = entry.and_then(|entry| self.last(&table, entry, servers));
        last.or_else(|| self.0.cheapest(servers))
    }

    /// The server that served an entry's destination last, if it may do so again.
    #[inline]
    fn last(&self, table: &Table, entry: EntryAt, servers: &[Arc<RealServer>]) -> Option<usize> {
        let last = table.servers(entry).next()?;
        let place = self.0.roster.get(last)?.place?;
        let server = &servers[place];
        (server.weight.0 > 0 && !self.0.has_too_much(server, servers)).then_some(place)
    }
}

impl Schedule for LocalityBased {
    /// The server that the destination had last, even if it is overloaded by its thresholds;
    /// else the one that wlc chooses, which it has from then on.
    #[inline(never)]
    fn pick(&self, servers: &[Arc<RealServer>], flow: FlowInfo) -> Option<usize> {
        let Locality { table, roster, .. } = &self.0;
        let mut table = table.lock();
        let entry = table.find(flow.destination, flow.now, self.0.expiration_ticks);
        if let Some(place) = entry.and_then(|entry| self.last(&table, entry, servers)) {
            return Some(place);
        }
        let place = self.0.cheapest(servers)?;
        match entry {
            Some(entry) => table.replace(entry, roster.id(place)),
            None => table.insert(flow.destination, roster.id(place), flow.now),
        }
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::samples::{FLOW, server};
    use super::*;
    use crate::address::Endpoint;
    use crate::schedule::{Standings, load};
    use crate::time::{TICKS_PER_SECOND, Tick};

    fn servers(weights: &[(u32, u32)]) -> Vec<Arc<RealServer>> {
        let standings = Standings::new();
        let server = |((weight, upper), port): (&(u32, u32), u16)| {
            Arc::new(RealServer {
                endpoint: Endpoint::new([10, 2, 0, 11].into(), port),
                ..RealServer::clone(&server(&standings, *weight, *upper))
            })
        };
        weights.iter().zip(0..).map(server).collect()
    }

    fn to(destination: u128, seconds: u32) -> FlowInfo {
        FlowInfo {
            destination,
            now: Tick(seconds * TICKS_PER_SECOND),
            ..FLOW
        }
    }

    #[test]
    fn a_destination_keeps_its_server_beyond_its_threshold() {
        let servers = servers(&[(1, 1), (1, 0)]);
        let lblc = LocalityBased::new(86_400, &servers);
        assert_eq!(lblc.pick(&servers, to(1, 0)), Some(0));

        load::bind(&servers[0], false);

        assert!(servers[0].is_overloaded());
        assert_eq!(lblc.pick(&servers, to(1, 0)), Some(0));
        assert_eq!(lblc.pick(&servers, to(2, 0)), Some(1));
    }

    #[test]
    fn a_server_with_too_much_is_left_only_when_another_is_half_idle() {
        let servers = servers(&[(1, 0), (2, 0)]);
        let lblc = LocalityBased::new(86_400, &servers);
        assert_eq!(lblc.pick(&servers, to(1, 0)), Some(0));
        load::activate(&servers[0].shared);
        load::activate(&servers[1].shared);

        // 2 > 1, but 2 · 1 < 2 is not so.
        load::activate(&servers[0].shared);
        assert_eq!(lblc.pick(&servers, to(1, 0)), Some(0));
        load::deactivate(&servers[1].shared);
        assert_eq!(lblc.pick(&servers, to(1, 0)), Some(1));

        // It has this server from now on.
        load::deactivate(&servers[0].shared);
        load::deactivate(&servers[0].shared);
        assert_eq!(lblc.pick(&servers, to(1, 0)), Some(1));
    }

    #[test]
    fn what_nobody_asked_for_in_a_long_time_is_forgotten_after_another_expiration_too() {
        let servers = servers(&[(1, 0), (1, 0)]);
        let lblc = LocalityBased::new(86_400, &servers);
        assert_eq!(lblc.pick(&servers, to(1, 0)), Some(0));
        load::bind(&servers[0], false);

        let lblc = lblc.changed(60, &servers);

        assert_eq!(lblc.pick(&servers, to(2, 1740)), Some(1));
        assert_eq!(lblc.pick(&servers, to(1, 1800)), Some(1));
        assert_eq!(lblc.pick(&servers, to(2, 1800)), Some(1));
    }

    #[test]
    fn workers_at_the_same_time_give_each_destination_one_server() {
        let servers = servers(&[(1, 0); 8]);
        let lblc = LocalityBased::new(86_400, &servers);

        // Given two workers that meet the same new destinations, and bind sessions to servers.
        let worker = || -> Vec<Option<usize>> {
            (0..2000)
                .map(|destination| {
                    let picked = lblc.pick(&servers, to(destination, 0));
                    load::bind(&servers[picked.unwrap()], false);
                    picked
                })
                .collect()
        };
        let [one, other] = std::thread::scope(|scope| {
            let workers = [scope.spawn(worker), scope.spawn(worker)];
            workers.map(|worker| worker.join().unwrap())
        });

        assert_eq!(one, other);
    }
}
