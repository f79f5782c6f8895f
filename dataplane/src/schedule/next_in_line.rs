//! Finds the next server of the list that takes sessions and weighs enough.
//!
//! Mostly it is near, and a walk finds it soonest. When many in a row take no sessions, or weigh
//! less, a walk would be long: then a tree of all weights is brought up to date and asked.

use std::sync::Arc;

use super::failover::Heaviest;
use super::field::{Board, Field};
use super::min_tree::MinTree;
use super::tournament::Rank;
use crate::service::RealServer;

/// Servers that are looked at before the tree is asked. In tests few, so that the tree is asked.
const NEAR: usize = if cfg!(test) { 2 } else { 32 };

/// The servers of one version of a service.
#[derive(Debug)]
pub(super) struct NextInLine {
    /// `None` when all are near.
    field: Option<Field<Weights>>,
}

/// The weights of those that take sessions.
#[derive(Debug)]
struct Weights {
    tree: MinTree,
}

impl Board for Weights {
    fn new(places: usize) -> Self {
        Self {
            tree: MinTree::new(places),
        }
    }

    fn fill(&self, servers: &[Arc<RealServer>]) {
        let keys = servers.iter().map(|server| Heaviest::key(server));
        self.tree.fill(keys);
    }

    #[inline]
    fn judge(&self, place: usize, server: &RealServer) {
        self.tree.set(place, Heaviest::key(server));
    }
}

impl NextInLine {
    pub(super) fn new(servers: &[Arc<RealServer>]) -> Self {
        let is_long = servers.len() > NEAR;
        Self {
            field: is_long.then(|| Field::new(servers)).flatten(),
        }
    }

    /// The first place, from `from` on, whose server takes sessions and weighs `weight` or more,
    /// which must not be 0.
    #[inline]
    pub(super) fn find(
        &self,
        servers: &[Arc<RealServer>],
        from: usize,
        weight: u32,
    ) -> Option<usize> {
        let behind = servers.get(from..)?;
        let near = behind
            .iter()
            .take(NEAR)
            .position(|server| server.weight.0 >= weight && !server.is_overloaded());
        match (&self.field, near) {
            (_, Some(steps)) => Some(from + steps),
            (Some(field), None) if behind.len() > NEAR => field.decide(servers, |weights| {
                weights.tree.first_from(from + NEAR, Heaviest::of(weight))
            }),
            _ => None,
        }
    }

    /// The greatest weight of those that take sessions, 0 without any.
    #[inline]
    pub(super) fn heaviest(&self, servers: &[Arc<RealServer>]) -> u32 {
        let place = match &self.field {
            Some(field) => field.decide(servers, |weights| weights.tree.winner()),
            None => (0..servers.len())
                .filter(|at| servers[*at].is_eligible())
                .max_by_key(|at| servers[*at].weight),
        };
        place.map_or(0, |at| servers[at].weight.0)
    }

    pub(super) fn lock_waits(&self) -> u64 {
        self.field.as_ref().map_or(0, Field::lock_waits)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Standings;
    use super::super::load;
    use super::super::samples::server;
    use super::*;

    proptest! {
        #[test]
        fn whoever_is_found_is_whom_a_walk_finds(
            servers in prop::collection::vec((0..5_u32, 0..2_u32), 0..200),
            steps in prop::collection::vec((any::<prop::sample::Index>(), 0..210_usize, 1..6_u32), 0..50),
        ) {
            let standings = Standings::new();
            let servers: Vec<_> = (servers.iter())
                .map(|(weight, upper)| server(&standings, *weight, *upper))
                .collect();
            let line = NextInLine::new(&servers);
            for (at, from, weight) in steps {
                let willing = |at: &usize| servers[*at].is_eligible();
                let walked = (from..servers.len()).find(|at| {
                    willing(at) && servers[*at].weight.0 >= weight
                });
                let heaviest = (0..servers.len()).filter(willing).map(|at| servers[at].weight.0);

                prop_assert_eq!(line.find(&servers, from, weight), walked);
                prop_assert_eq!(line.heaviest(&servers), heaviest.max().unwrap_or(0));
                // Those with an upper threshold of 1 become overloaded, and are free again.
                if let Some(server) = servers.get(at.index(servers.len().max(1))) {
                    if server.is_overloaded() {
                        load::unbind(server, false);
                    } else {
                        load::bind(server, false);
                    }
                }
            }
        }
    }
}
