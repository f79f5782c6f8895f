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

/// Sets up to this size are walked over.
const SMALL_SET: usize = 16;

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
    #[inline]
    fn shrink(&self, table: &mut Table, entry: EntryAt, now: Tick) -> Option<ServerId> {
        let since = table.modified(entry);
        if !table.has_more(entry, 1) || since.plus(self.0.expiration_ticks).until(now) <= 0 {
            return None;
        }
        let most = most_loaded(table.servers(entry), &self.0.roster)?;
        table.remove(entry, most, now);
        Some(most)
    }

    /// Looks at a set and at all servers.
    #[inline]
    fn look(&self, table: &Table, entry: EntryAt, servers: &[Arc<RealServer>]) -> Option<View> {
        let field = self.0.field.as_ref()?;
        let places = table.servers(entry);
        let mut places = places.filter_map(|server| self.0.roster.get(server)?.place);
        let is_large = table.has_more(entry, SMALL_SET);
        let view = field.decide(servers, |notes| {
            let cheapest = notes.cost.winner();
            let somebody_is_half_idle = notes.half_idle.winner().is_some();
            let (least, has_cheapest) = if is_large {
                notes.set.rank(table.name(entry), places, servers);
                let has = cheapest.is_some_and(|place| notes.set.has(place));
                (notes.set.least(), has)
            } else {
                let least = least_loaded(places.clone(), servers);
                (least, places.any(|place| Some(place) == cheapest))
            };
            View {
                least,
                cheapest,
                has_cheapest,
                somebody_is_half_idle,
            }
        });
        Some(view)
    }
}

/// What a decision looks at.
#[derive(Clone, Copy, Debug)]
struct View {
    /// Whom wlc would choose of the set.
    least: Option<usize>,
    /// Whom wlc chooses of all.
    cheapest: Option<usize>,
    /// Whether that one is in the set.
    has_cheapest: bool,
    somebody_is_half_idle: bool,
}

impl View {
    /// The least loaded server of the entry, unless it has too much to do while another one idles.
    #[inline]
    fn member(&self, servers: &[Arc<RealServer>]) -> Option<usize> {
        let has_too_much = |place: usize| {
            let server = &servers[place];
            server.shared.active() > server.weight.0 && self.somebody_is_half_idle
        };
        self.least.filter(|place| !has_too_much(*place))
    }
}

impl LocalityBasedReplicated {
    /// The server that [`Schedule::pick`] would give now.
    pub(in super::super) fn peek(
        &self,
        servers: &[Arc<RealServer>],
        flow: FlowInfo,
    ) -> Option<usize> {
        let mut table = self.0.table.lock();
        let Some(entry) = table.peek(flow.destination, flow.now, self.0.expiration_ticks) else {
            return self.0.cheapest(servers);
        };
        let view = self.look(&table, entry, servers)?;
        view.member(servers).or(view.cheapest)
    }
}

impl Schedule for LocalityBasedReplicated {
    /// Of the destination's set the server that wlc chooses, if it has not too much; else that of
    /// the whole service, which then is in the set. Walks over a set only if it is small, or not
    /// the one that was asked for last, or has changed.
    #[inline(never)]
    fn pick(&self, servers: &[Arc<RealServer>], flow: FlowInfo) -> Option<usize> {
        let Locality { table, roster, .. } = &self.0;
        let mut table = table.lock();
        let Some(entry) = table.find(flow.destination, flow.now, self.0.expiration_ticks) else {
            let place = self.0.cheapest(servers)?;
            table.insert(flow.destination, roster.id(place), flow.now);
            return Some(place);
        };
        let view = self.look(&table, entry, servers)?;
        let gone = self.shrink(&mut table, entry, flow.now);
        if let Some(place) = view.member(servers) {
            return Some(place);
        }
        let place = view.cheapest?;
        let id = roster.id(place);
        if !view.has_cheapest || gone == Some(id) {
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

/// The first of the servers at these places that take sessions and have the least to do.
#[inline]
fn least_loaded(places: impl Iterator<Item = usize>, servers: &[Arc<RealServer>]) -> Option<usize> {
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

    proptest::proptest! {
        /// Sets that grow large and shrink, beside a walk over them. Clients of two VIPs alternate.
        #[test]
        fn a_ranked_set_decides_as_a_walk_over_it(
            weights in proptest::collection::vec(0..4_u32, 20..60),
            steps in proptest::collection::vec(
                (0..2_u128, 0..6_u32, proptest::prelude::any::<proptest::sample::Index>()),
                1..400,
            ),
        ) {
            let servers = servers(&weights);
            let lblcr = LocalityBasedReplicated::new(30, &servers);
            let mut now = 0;
            for (destination, step, at) in steps {
                let server = &servers[at.index(servers.len())];
                match step {
                    0 => now += 7,
                    1 if server.shared.active() > 0 => load::deactivate(&server.shared),
                    _ => {}
                }
                let expected = walked(&lblcr, destination, &servers);
                let picked = lblcr.pick(&servers, FlowInfo { destination, ..after(now) });

                proptest::prop_assert_eq!(picked, expected);
                if let Some(picked) = picked {
                    load::activate(&servers[picked].shared);
                }
            }
        }
    }

    #[test]
    fn the_set_of_a_single_vip_comes_to_have_all_servers_and_is_ranked() {
        let servers = servers(&[1; 40]);
        let lblcr = LocalityBasedReplicated::new(30, &servers);

        // Given each server gets two sessions in turn: the second is too much while others idle.
        for _ in 0..80 {
            let expected = walked(&lblcr, FLOW.destination, &servers);
            let picked = lblcr.pick(&servers, FLOW);
            assert_eq!(picked, expected);
            load::activate(&servers[picked.unwrap()].shared);
        }

        let mut table = lblcr.0.table.lock();
        let entry = table
            .find(FLOW.destination, FLOW.now, u32::MAX / 4)
            .unwrap();
        assert_eq!(table.servers(entry).count(), 40);
        drop(table);
        // One that gets weight 0 is passed over, where it stands in the set.
        load::deactivate(&servers[7].shared);
        assert_eq!(lblcr.pick(&servers, FLOW), Some(7));
        let mut quiesced = servers.clone();
        quiesced[7] = Arc::new(RealServer {
            weight: crate::id::Weight(0),
            ..RealServer::clone(&servers[7])
        });
        let lblcr = lblcr.changed(30, &quiesced);
        let expected = walked(&lblcr, FLOW.destination, &quiesced);
        assert_eq!(lblcr.pick(&quiesced, FLOW), expected);
        assert_ne!(expected, Some(7));
    }

    /// What a walk over the set, and then over all servers, decides.
    fn walked(
        lblcr: &LocalityBasedReplicated,
        destination: u128,
        servers: &[Arc<RealServer>],
    ) -> Option<usize> {
        let all = || least_loaded(0..servers.len(), servers);
        let mut table = lblcr.0.table.lock();
        let Some(entry) = table.find(destination, Tick(0), u32::MAX / 4) else {
            return all();
        };
        let set = table
            .servers(entry)
            .map(|id| lblcr.0.roster.get(id).unwrap());
        let least = least_loaded(set.map(|known| known.place.unwrap()), servers);
        let active = |at: usize| servers[at].shared.active();
        let weight = |at: usize| servers[at].weight.0;
        let somebody = (0..servers.len()).any(|at| active(at) * 2 < weight(at));
        least
            .filter(|at| active(*at) <= weight(*at) || !somebody)
            .or_else(all)
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
