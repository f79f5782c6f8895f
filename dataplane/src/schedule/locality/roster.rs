//! Names servers for as long as a table remembers them, through all versions of their service.
//!
//! A server is who its address and port say: one that left and comes back is the same, and what
//! the table remembers of it holds again, as in the kernel.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::table::ServerId;
use crate::hasher::FastMap;
use crate::service::RealServer;

/// So many servers that left are kept, whether remembered or not, beside as many as there are.
const SPARE: usize = 64;

/// The servers that one version of a service knows.
#[derive(Debug)]
pub(super) struct Roster {
    by_place: Box<[ServerId]>,
    known: FastMap<ServerId, Known>,
    /// Numbers are never given twice: a worker with an older version may still write an old one
    /// into the table.
    next: ServerId,
}

/// One server.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// Where it stands in the list; `None` after it left.
    pub(super) place: Option<usize>,
    /// Its latest version.
    pub(super) server: Arc<RealServer>,
}

impl Roster {
    pub(super) fn new(servers: &[Arc<RealServer>]) -> Self {
        let empty = Self {
            by_place: Box::default(),
            known: FastMap::default(),
            next: ServerId(1),
        };
        empty.changed(servers, HashSet::new)
    }

    /// The roster of the service's next version. `remembered` says whom the table remembers: now
    /// and then all others that have left are forgotten here too.
    pub(super) fn changed(
        &self,
        servers: &[Arc<RealServer>],
        remembered: impl FnOnce() -> HashSet<ServerId>,
    ) -> Self {
        let names: HashMap<_, _> = (self.known.iter())
            .map(|(id, known)| (known.server.endpoint, *id))
            .collect();
        let mut known = self.known.clone();
        for left in known.values_mut() {
            left.place = None;
        }
        let mut next = self.next;
        let by_place = servers.iter().enumerate().map(|(place, server)| {
            let id = (names.get(&server.endpoint).copied()).unwrap_or_else(|| next.take());
            let present = Known {
                place: Some(place),
                server: Arc::clone(server),
            };
            known.insert(id, present);
            id
        });
        let by_place = by_place.collect();
        if known.len() > 2 * servers.len() + SPARE {
            let remembered = remembered();
            known.retain(|id, known| known.place.is_some() || remembered.contains(id));
        }
        Self {
            by_place,
            known,
            next,
        }
    }

    /// The server at a place of the list.
    #[inline]
    pub(super) fn id(&self, place: usize) -> ServerId {
        self.by_place[place]
    }

    /// The server of this number, if this version knows it.
    #[inline]
    pub(super) fn get(&self, id: ServerId) -> Option<&Known> {
        self.known.get(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Endpoint;
    use crate::schedule::Standings;
    use crate::schedule::samples::server;

    fn servers(ports: impl IntoIterator<Item = u16>) -> Vec<Arc<RealServer>> {
        let standings = Standings::new();
        let server = |port| {
            Arc::new(RealServer {
                endpoint: Endpoint::new([10, 2, 0, 11].into(), port),
                ..RealServer::clone(&server(&standings, 1, 0))
            })
        };
        ports.into_iter().map(server).collect()
    }

    #[test]
    fn a_server_that_left_and_came_back_is_the_same() {
        let first = Roster::new(&servers([1, 2, 3]));
        let two = first.id(1);

        let without = first.changed(&servers([1, 3]), HashSet::new);
        assert_eq!(without.get(two).unwrap().place, None);
        assert_eq!(without.id(1), first.id(2));
        let again = without.changed(&servers([2, 4, 1, 3]), HashSet::new);

        assert_eq!(again.id(0), two);
        assert_eq!(again.get(two).unwrap().place, Some(0));
        assert!((0..3).all(|place| first.id(place) != again.id(1)));
    }

    #[test]
    fn only_servers_that_left_and_are_not_remembered_are_forgotten() {
        let roster = Roster::new(&servers(0..100));
        let [kept, gone] = [3, 4].map(|place| roster.id(place));

        let roster = roster.changed(&servers([0]), || HashSet::from([kept]));

        assert!(roster.get(kept).is_some());
        assert!(roster.get(gone).is_none());
        assert_eq!(roster.known.len(), 2);
        let renamed = roster.changed(&servers([0, 4]), HashSet::new);
        assert_ne!(renamed.id(1), gone);
    }
}
