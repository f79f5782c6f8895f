//! Templates that end before their time: by `drop_entry`, and with a removed server.

use super::shard::Entry;
use super::{SHARD_BITS, SHARDS, TemplateLink, Templates};
use crate::address::Address;
use crate::service::RealServer;
use crate::snapshot::Snapshot;

impl<A: Address> Templates<A> {
    /// A session of this template was ended by force, and has left it: was it the last one, the
    /// template ends too, unless one of them had proven itself (connections.md §3.1).
    pub(crate) fn end_with_session(&self, link: TemplateLink, snapshot: &Snapshot) {
        if let Some((shard, place)) = link.split() {
            let mut shard = self.shards[shard].lock();
            self.free_if(&mut shard, place, snapshot, |entry, _| is_unneeded(entry));
        }
    }

    /// The places that [`Self::end_drawn`] draws from: as many for each shard as the fullest has.
    pub(crate) fn places(&self) -> u32 {
        let places = self.shards.iter().map(|shard| shard.lock().places());
        let all = places.max().unwrap_or(0) * SHARDS;
        u32::try_from(all).unwrap_or(u32::MAX)
    }

    /// Ends the template in the place of this number, if there is one without sessions that none
    /// has proven (connections.md §11). The kernel judges those of one-packet services by their
    /// packets, of which they have none.
    pub(crate) fn end_drawn(&self, number: u32, snapshot: &Snapshot) {
        let number = number as usize;
        let mut shard = self.shards[number % SHARDS].lock();
        self.free_if(&mut shard, number >> SHARD_BITS, snapshot, |entry, _| {
            is_unneeded(entry) && !entry.is_one_packets
        });
    }
}

/// Whether nobody would miss a template: it has no sessions, and none had ever proven itself.
const fn is_unneeded<A>(entry: &Entry<A>) -> bool {
    entry.children == 0 && !entry.is_assured
}

/// Whether a template ends because its server was removed: its sessions do so first
/// (connections.md §9).
pub(super) fn is_orphan<A>(
    snapshot: &Snapshot,
    entry: &Entry<A>,
    server: Option<&RealServer>,
) -> bool {
    entry.children == 0 && server.is_some_and(|server| server.is_purged(snapshot.purges))
}
