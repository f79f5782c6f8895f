//! Finds the least loaded server of a large set without a walk over it.
//!
//! A VIP that is the only one of its service soon has all its servers in its set. So one set at a
//! time, the one asked for last, is ranked as the service's list is: its servers stand in a tree of
//! their own, in the order of the set. Asking for another set, or a change of any, makes it anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::super::least_connection::CostPerWeight;
use super::super::min_tree::{Key, MinTree};
use super::super::tournament::Rank;
use super::table::SetName;
use crate::service::RealServer;

/// The ranking of one set. As with [`MinTree`], who is at it must be alone.
#[derive(Debug)]
pub(super) struct LargeSet {
    /// Of which set, as its two numbers; 0 is none.
    name: [AtomicU64; 2],
    /// By the order of the set.
    tree: MinTree,
    /// Which place of the service's list each server of the set has.
    places: Box<[AtomicU32]>,
    /// For each place of the list, 1 more than where its server stands in the set, or 0.
    ranks: Box<[AtomicU32]>,
}

impl LargeSet {
    /// For sets of a service with so many servers.
    pub(super) fn new(places: usize) -> Self {
        let zeros = || (0..places).map(|_| AtomicU32::new(0)).collect();
        Self {
            name: [const { AtomicU64::new(0) }; 2],
            tree: MinTree::new(places),
            places: zeros(),
            ranks: zeros(),
        }
    }

    /// Ranks this set, unless it is what is ranked already.
    #[inline]
    pub(super) fn rank(
        &self,
        name: SetName,
        members: impl Iterator<Item = usize>,
        servers: &[Arc<RealServer>],
    ) {
        let ranked = self
            .name
            .each_ref()
            .map(|part| part.load(Ordering::Relaxed));
        if ranked != name.0 {
            self.fill(name, members, servers);
        }
    }

    fn fill(
        &self,
        name: SetName,
        members: impl Iterator<Item = usize>,
        servers: &[Arc<RealServer>],
    ) {
        for rank in &self.ranks {
            rank.store(0, Ordering::Relaxed);
        }
        let mut next = 0;
        let keys = members.zip(&self.places).map(|(at, place)| {
            next += 1;
            self.ranks[at].store(next, Ordering::Relaxed);
            place.store(number(at), Ordering::Relaxed);
            CostPerWeight::key(&servers[at])
        });
        let others = std::iter::repeat_n(Key::OUT, self.places.len());
        self.tree.fill(keys.chain(others));
        for (part, value) in self.name.iter().zip(name.0) {
            part.store(value, Ordering::Relaxed);
        }
    }

    /// Forgets the ranking.
    pub(super) fn clear(&self) {
        for part in &self.name {
            part.store(0, Ordering::Relaxed);
        }
        for rank in &self.ranks {
            rank.store(0, Ordering::Relaxed);
        }
    }

    /// Notes the key of the server at a place of the list.
    #[inline]
    pub(super) fn judge(&self, place: usize, key: Key) {
        if let Some(rank) = self.rank_of(place) {
            self.tree.set(rank, key);
        }
    }

    /// The place in the list of the first in the set with the least key.
    #[inline]
    pub(super) fn least(&self) -> Option<usize> {
        let rank = self.tree.winner()?;
        Some(self.places[rank].load(Ordering::Relaxed) as usize)
    }

    /// Whether the server at a place of the list is in the set.
    #[inline]
    pub(super) fn has(&self, place: usize) -> bool {
        self.rank_of(place).is_some()
    }

    #[inline]
    fn rank_of(&self, place: usize) -> Option<usize> {
        (self.ranks[place].load(Ordering::Relaxed) as usize).checked_sub(1)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "servers have 32-bit slots")]
const fn number(place: usize) -> u32 {
    place as u32
}
