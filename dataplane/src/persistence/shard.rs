//! One shard of the templates: chains in buckets, over places that are given out again.

use arrayvec::ArrayVec;

use super::timer::Timer;
use super::{PLACES_AT_ONCE, TemplateKey};
use crate::address::{Address, Endpoint};
use crate::id::ServerSlot;
use crate::time::Tick;

/// Templates in one bucket. A hash that nobody can foresee never fills it; it bounds the time for
/// which the lock is held.
const MAX_CHAIN: usize = 32;

/// Where something stands: 1 more than its index, so that 0 is nowhere.
type Link = u32;

/// What a place holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// No template.
    Vacant,
    /// A template that its client finds.
    Listed,
    /// A template that nobody finds any more; it waits for its end.
    Outcast,
}

/// One template.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<A> {
    pub(super) key: TemplateKey<A>,
    pub(super) server: ServerSlot,
    /// What listings show of the server.
    pub(super) server_end: Endpoint<A>,
    pub(super) timer: Timer,
    /// Sessions made by it that have not ended.
    pub(super) children: u32,
    pub(super) standing: Standing,
    pub(super) is_assured: bool,
    /// Whether a one-packet service made it, whose sessions never are its children.
    pub(super) is_one_packets: bool,
    /// The next one of the bucket, or the next vacant one.
    pub(super) next: Link,
}

impl<A> Entry<A> {
    /// Whether it is a template.
    pub(super) fn is_filled(&self) -> bool {
        self.standing != Standing::Vacant
    }

    /// Whether it has ended at `now`.
    pub(super) const fn is_over(&self, now: Tick) -> bool {
        self.children == 0 && self.timer.is_due(now)
    }

    /// Lets its deadlines up to `now` find its sessions, if it has any.
    pub(super) const fn pass(&mut self, now: Tick) {
        if self.children > 0 {
            self.timer.pass(now);
        }
    }
}

/// A part of the table.
#[derive(Debug)]
pub(super) struct Shard<A> {
    /// A power of two of them.
    buckets: Box<[Link]>,
    /// Never more than `limit`, for which it had room at the beginning.
    entries: Vec<Entry<A>>,
    limit: usize,
    vacant: Link,
}

impl<A: Address> Shard<A> {
    /// A shard with room for `limit` templates.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            buckets: vec![0; limit.next_power_of_two()].into(),
            entries: Vec::with_capacity(limit),
            limit,
            vacant: 0,
        }
    }

    /// Places that ever held a template.
    pub(super) const fn places(&self) -> usize {
        self.entries.len()
    }

    /// The template or vacancy in a place.
    pub(super) fn entry(&mut self, place: usize) -> Option<&mut Entry<A>> {
        self.entries.get_mut(place)
    }

    /// The place of the template with this key.
    pub(super) fn find(&self, hash: u64, key: &TemplateKey<A>) -> Option<usize> {
        self.chain(hash)
            .find(|place| self.entries[*place].key == *key)
    }

    /// Files a template whose key is not there yet; `None` without room.
    pub(super) fn insert(&mut self, hash: u64, entry: Entry<A>) -> Option<usize> {
        if self.chain(hash).count() >= MAX_CHAIN {
            return None;
        }
        let place = match index(self.vacant) {
            Some(place) => {
                self.vacant = self.entries[place].next;
                self.entries[place] = entry;
                place
            }
            None if self.entries.len() < self.limit => {
                self.entries.push(entry);
                self.entries.len() - 1
            }
            None => return None,
        };
        let bucket = self.bucket(hash);
        self.entries[place].next = std::mem::replace(&mut self.buckets[bucket], link(place));
        Some(place)
    }

    /// Takes a template out of its bucket, if it is there, and says what it is from then on.
    pub(super) fn unlist(&mut self, hash: u64, place: usize, standing: Standing) {
        if self.entries[place].standing == Standing::Listed {
            let bucket = self.bucket(hash);
            let before = self.chain(hash).find(|other| {
                let next = self.entries[*other].next;
                next == link(place)
            });
            let next = self.entries[place].next;
            match before {
                Some(before) => self.entries[before].next = next,
                None => self.buckets[bucket] = next,
            }
        }
        self.entries[place].standing = standing;
    }

    /// Gives a template's place back.
    pub(super) fn free(&mut self, hash: u64, place: usize) {
        self.unlist(hash, place, Standing::Vacant);
        self.entries[place].next = std::mem::replace(&mut self.vacant, link(place));
    }

    /// Copies what stands in the places from `first` on; gives where to go on.
    pub(super) fn copy(
        &self,
        first: usize,
        into: &mut ArrayVec<Entry<A>, PLACES_AT_ONCE>,
    ) -> Option<usize> {
        let rest = self.entries.get(first..).unwrap_or_default();
        into.extend(rest.iter().copied().take(PLACES_AT_ONCE));
        (rest.len() > PLACES_AT_ONCE).then_some(first + PLACES_AT_ONCE)
    }

    /// The places of a bucket's templates.
    fn chain(&self, hash: u64) -> impl Iterator<Item = usize> {
        let first = index(self.buckets[self.bucket(hash)]);
        std::iter::successors(first, |place| index(self.entries[*place].next))
    }

    #[expect(clippy::cast_possible_truncation, reason = "the low bits are meant")]
    fn bucket(&self, hash: u64) -> usize {
        hash as usize & (self.buckets.len() - 1)
    }
}

/// The link to a place.
fn link(place: usize) -> Link {
    // A shard has fewer than 2^32 places.
    Link::try_from(place + 1).unwrap_or(0)
}

/// The place that a link leads to.
const fn index(link: Link) -> Option<usize> {
    (link as usize).checked_sub(1)
}
