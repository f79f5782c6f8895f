//! lblcr: each destination has a set of servers, which grows when they have too much to do and
//! shrinks when it has stayed the same for a while.

use std::sync::Arc;

use super::super::{FlowInfo, Schedule, load};
use super::Locality;
use super::roster::Roster;
use super::table::{EntryAt, ServerId, Table};
use crate::service::RealServer;
use crate::time::Tick;

/// The servers of all sets together: four for each entry that a table may have.
const MEMBERS: usize = 4 * 24_576;

/// Locality-based least connection with replication.
#[derive(Debug)]
pub struct LocalityBasedReplicated(Locality);

impl LocalityBasedReplicated {
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

    /// Takes the server with the most to do out of a set that has been the same for as long as
    /// entries are remembered.
    fn shrink(&self, table: &mut Table, entry: EntryAt, now: Tick) {
        let since = table.modified(entry);
        if !table.has_several(entry) || since.plus(self.0.expiration_ticks).until(now) <= 0 {
            return;
        }
        if let Some(most) = most_loaded(table.servers(entry), &self.0.roster) {
            table.remove(entry, most, now);
        }
    }
}

impl Schedule for LocalityBasedReplicated {
    /// Of the destination's set the server that wlc chooses, if it has not too much; else that of
    /// the whole service, which then is in the set. Walks over the set.
    #[inline]
    fn pick(&self, servers: &[Arc<RealServer>], flow: FlowInfo) -> Option<usize> {
        let Locality { table, roster, .. } = &self.0;
        let mut table = table.lock();
        let Some(entry) = table.find(flow.destination, flow.now, self.0.expiration_ticks) else {
            let place = self.0.cheapest(servers)?;
            table.insert(flow.destination, roster.id(place), flow.now);
            return Some(place);
        };
        let least = least_loaded(table.servers(entry), roster, servers);
        self.shrink(&mut table, entry, flow.now);
        if let Some(place) = least.filter(|at| !self.0.has_too_much(&servers[*at], servers)) {
            return Some(place);
        }
        let place = self.0.cheapest(servers)?;
        let id = roster.id(place);
        if !table.servers(entry).any(|server| server == id) {
            table.add(entry, id, flow.now);
        }
        Some(place)
    }
}

/// Whether `one` has more to do for its weight than `other`.
#[inline]
fn has_more(one: &RealServer, other: &RealServer) -> bool {
    let cost = |server| i64::from(load::overhead(server));
    let weight = |server: &RealServer| i64::from(server.weight.0);
    cost(one) * weight(other) > cost(other) * weight(one)
}

/// The first of the servers in the list that have the least to do and take sessions.
#[inline]
fn least_loaded(
    set: impl Iterator<Item = ServerId>,
    roster: &Roster,
    servers: &[Arc<RealServer>],
) -> Option<usize> {
    let places = set.filter_map(|server| roster.get(server)?.place);
    places
        .filter(|place| servers[*place].is_eligible())
        .reduce(|best, at| {
            if has_more(&servers[best], &servers[at]) {
                at
            } else {
                best
            }
        })
}

/// The first of those with the most to do, overloaded or removed servers too, but for those
/// without weight.
fn most_loaded(set: impl Iterator<Item = ServerId>, roster: &Roster) -> Option<ServerId> {
    let known = set.filter_map(|id| Some((id, &*roster.get(id)?.server)));
    let weighty = known.filter(|(_, server)| server.weight.0 > 0);
    let most = weighty.reduce(|most, one| if has_more(one.1, most.1) { one } else { most });
    most.map(|(id, _)| id)
}

#[cfg(test)]
mod tests {
    use super::super::super::samples::{FLOW, server};
    use super::*;
    use crate::address::Endpoint;
    use crate::schedule::Standings;
    use crate::time::TICKS_PER_SECOND;

    fn servers(weights: &[u32]) -> Vec<Arc<RealServer>> {
        let standings = Standings::new();
        let server = |(weight, port): (&u32, u16)| {
            Arc::new(RealServer {
                endpoint: Endpoint::new([10, 2, 0, 11].into(), port),
                ..RealServer::clone(&server(&standings, *weight, 0))
            })
        };
        weights.iter().zip(0..).map(server).collect()
    }

    fn after(seconds: u32) -> FlowInfo {
        FlowInfo {
            now: Tick(seconds * TICKS_PER_SECOND),
            ..FLOW
        }
    }

    fn activate(server: &RealServer, times: u32) {
        for _ in 0..times {
            load::activate(&server.shared);
        }
    }

    #[test]
    fn a_set_grows_when_its_servers_have_too_much_and_others_nothing() {
        let servers = servers(&[1, 1, 1]);
        let lblcr = LocalityBasedReplicated::new(30, &servers);
        assert_eq!(lblcr.pick(&servers, after(0)), Some(0));

        activate(&servers[0], 2);
        assert_eq!(lblcr.pick(&servers, after(1)), Some(1));

        // Both are in the set now: the one with less to do gets the next.
        activate(&servers[1], 1);
        assert_eq!(lblcr.pick(&servers, after(2)), Some(1));
        activate(&servers[1], 3);
        activate(&servers[2], 1);
        assert_eq!(lblcr.pick(&servers, after(3)), Some(0));
    }

    #[test]
    fn a_set_loses_the_server_with_the_most_after_it_was_the_same_for_a_while() {
        // Given a set of 1 and 0, in this order, since second 1.
        let servers = servers(&[1, 1]);
        let lblcr = LocalityBasedReplicated::new(30, &servers);
        lblcr.pick(&servers, after(0));
        activate(&servers[0], 2);
        lblcr.pick(&servers, after(1));
        activate(&servers[1], 3);

        // When it is exactly the time, then a moment later, in which 1 goes and serves once more.
        load::deactivate(&servers[1].shared);
        load::deactivate(&servers[1].shared);
        assert_eq!(lblcr.pick(&servers, after(31)), Some(1));
        activate(&servers[0], 1);
        assert_eq!(lblcr.pick(&servers, after(32)), Some(1));

        // Then what had the most, 0, is out of the set, and 1 alone is left.
        activate(&servers[1], 3);
        assert_eq!(lblcr.pick(&servers, after(33)), Some(1));
    }

    #[test]
    fn a_removed_server_stays_in_the_set_until_it_has_the_most() {
        let servers = servers(&[1, 1]);
        let lblcr = LocalityBasedReplicated::new(30, &servers);
        lblcr.pick(&servers, after(0));
        activate(&servers[0], 2);
        assert_eq!(lblcr.pick(&servers, after(1)), Some(1));

        // Given 0 leaves the service, it is out of the set at the next look after 30 seconds.
        let left = [Arc::clone(&servers[1])];
        let lblcr = lblcr.changed(30, &left);
        assert_eq!(lblcr.pick(&left, after(32)), Some(0));
        activate(&servers[1], 1);

        // When it comes back, then the set has 1 only: it is not what gets the next.
        load::deactivate(&servers[0].shared);
        load::deactivate(&servers[0].shared);
        let lblcr = lblcr.changed(30, &servers);
        assert_eq!(lblcr.pick(&servers, after(33)), Some(1));
    }
}
