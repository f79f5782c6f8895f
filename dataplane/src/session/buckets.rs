//! From a hash to the sessions that may have it: buckets of one cache line.
//!
//! ```text
//!   0                    20         22     24                               64
//!   │ 10 tags of 16 bits │ overflow │ zero │ 10 entries of 32 bits           │
//! ```
//!
//! A tag is the low end of the hash (0: free place), the bucket is chosen by the high end. A
//! full bucket sends what comes to its neighbour and counts it in `overflow`; a look-up goes on
//! only while that count is not 0, and a removal counts down on its way, so that nothing is left
//! behind. This index compares tags alone: whether an entry is the right one is asked of
//! whoever knows the sessions. Entries are any numbers; equal hashes may have several.

use super::probes::Probes;
use crate::intrinsics::{equal_tags, prefetch_index};
use crate::memory::{HugeSlice, MapError, plain_data};

/// Places in a bucket.
const PLACES: usize = 10;

/// The fullest the index is made for: 85 of 100 places.
const LOAD_PERCENT: usize = 85;

plain_data! {
    /// One cache line of the index.
    #[derive(Clone, Copy, Debug)]
    #[repr(C, align(64))]
    struct Bucket {
        /// The tags; behind them how many entries found this bucket full and stand in a later
        /// one, and a zero. At its maximum that count stays there: look-ups go on one bucket too
        /// far, which is slow but right.
        tags: [u16; PLACES + 2],
        entries: [u32; PLACES],
    }
}

const _: () = assert!(size_of::<Bucket>() == 64);

impl Bucket {
    /// A bit for every place with `tag`.
    #[inline]
    fn places(&self, tag: u16) -> u32 {
        equal_tags(&self.tags, tag)
    }

    /// The first entry with `tag`.
    #[inline]
    fn first(&self, tag: u16) -> Option<u32> {
        let place = self.places(tag).trailing_zeros();
        self.entries.get(place as usize).copied()
    }

    /// How many entries stand in later buckets.
    #[inline]
    const fn overflow(&self) -> u16 {
        self.tags[PLACES]
    }
}

/// What a first look shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    /// An entry whose tag agrees.
    Entry(u32),
    /// There is no entry of this hash.
    Nothing,
    /// There may be one further on.
    Unknown,
}

/// The index.
#[derive(Debug)]
pub(super) struct Buckets {
    buckets: HugeSlice<Bucket>,
    probes: Probes,
}

impl Buckets {
    /// An index with room for `entries` entries.
    ///
    /// # Errors
    ///
    /// [`MapError`] when there is not that much memory.
    pub(super) fn new(entries: usize) -> Result<Self, MapError> {
        let buckets = HugeSlice::new(Self::count(entries))?;
        Ok(Self {
            buckets,
            probes: Probes::default(),
        })
    }

    /// Bytes in huge pages that an index with room for `entries` entries takes.
    pub(super) fn huge_bytes(entries: usize) -> usize {
        HugeSlice::<Bucket>::huge_bytes(Self::count(entries))
    }

    fn count(entries: usize) -> usize {
        let places = entries.saturating_mul(100).div_ceil(LOAD_PERCENT);
        // Two at least, so that an entry that finds its bucket full has another to go to.
        places.div_ceil(PLACES).max(2)
    }

    /// Hints the CPU to fetch the bucket of `hash`.
    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        prefetch_index(&self.buckets, self.home(hash));
    }

    /// The first entry that might be the one of `hash`, looking at its own bucket and, when that
    /// sent entries on, at the next one.
    #[inline]
    pub(super) fn first_candidate(&self, hash: u64) -> First {
        let home = self.home(hash);
        let bucket = &self.buckets[home];
        let tag = tag(hash);
        if let Some(entry) = bucket.first(tag) {
            return First::Entry(entry);
        }
        if bucket.overflow() == 0 {
            return First::Nothing;
        }
        match self.buckets[self.after(home)].first(tag) {
            Some(entry) => First::Entry(entry),
            None => First::Unknown,
        }
    }

    /// The first entry of `hash` for which `is_right` says so.
    #[inline]
    pub(super) fn find(&self, hash: u64, mut is_right: impl FnMut(u32) -> bool) -> Option<u32> {
        let tag = tag(hash);
        let mut at = self.home(hash);
        for _ in 0..self.buckets.len() {
            let bucket = &self.buckets[at];
            let mut places = bucket.places(tag);
            while let Some(&entry) = bucket.entries.get(places.trailing_zeros() as usize) {
                if is_right(entry) {
                    return Some(entry);
                }
                places &= places - 1;
            }
            if bucket.overflow() == 0 {
                return None;
            }
            at = self.after(at);
        }
        None
    }

    /// Files `entry` under `hash`; false when every place is taken.
    pub(super) fn insert(&mut self, hash: u64, entry: u32) -> bool {
        let home = self.home(hash);
        let mut at = home;
        for _ in 0..self.buckets.len() {
            let place = self.buckets[at].places(0).trailing_zeros() as usize;
            if place < PLACES {
                self.buckets[at].tags[place] = tag(hash);
                self.buckets[at].entries[place] = entry;
                self.probes.count();
                if at != home {
                    self.count_overflow(home, at, |count| count.saturating_add(1));
                    self.note_passed(home, at);
                }
                return true;
            }
            at = self.after(at);
        }
        false
    }

    /// Lets two entries filed under the same hash change places, if both are there.
    pub(super) fn swap(&mut self, hash: u64, one: u32, other: u32) {
        if let (Some(ones), Some(others)) = (self.locate(hash, one), self.locate(hash, other)) {
            self.buckets[ones.0].entries[ones.1] = other;
            self.buckets[others.0].entries[others.1] = one;
        }
    }

    /// Removes `entry`, which was filed under `hash`; false when it is not there.
    pub(super) fn remove(&mut self, hash: u64, entry: u32) -> bool {
        let Some((at, place)) = self.locate(hash, entry) else {
            return false;
        };
        self.buckets[at].tags[place] = 0;
        self.count_overflow(self.home(hash), at, |count| match count {
            u16::MAX => u16::MAX,
            count => count - 1,
        });
        true
    }

    /// The bucket and the place in it where `entry`, filed under `hash`, stands.
    fn locate(&self, hash: u64, entry: u32) -> Option<(usize, usize)> {
        let tag = tag(hash);
        let mut at = self.home(hash);
        for _ in 0..self.buckets.len() {
            let bucket = &self.buckets[at];
            let mut places = bucket.places(tag);
            while let Some(&other) = bucket.entries.get(places.trailing_zeros() as usize) {
                if other == entry {
                    return Some((at, places.trailing_zeros() as usize));
                }
                places &= places - 1;
            }
            if bucket.overflow() == 0 {
                return None;
            }
            at = self.after(at);
        }
        None
    }

    /// How far entries had to go until now.
    pub(super) const fn probes(&self) -> &Probes {
        &self.probes
    }

    #[cold]
    fn note_passed(&mut self, home: usize, stands: usize) {
        let around = if stands < home { self.buckets.len() } else { 0 };
        self.probes.note_passed(stands + around - home);
    }

    /// Bytes the index takes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.buckets.memory_bytes()
    }

    /// Changes the count of each bucket an entry had to pass from `home` to where it stands.
    fn count_overflow(&mut self, home: usize, stands: usize, change: impl Fn(u16) -> u16) {
        let mut at = home;
        while at != stands {
            let overflow = &mut self.buckets[at].tags[PLACES];
            *overflow = change(*overflow);
            at = self.after(at);
        }
    }

    /// The bucket where an entry of `hash` stands unless it is full.
    #[inline]
    fn home(&self, hash: u64) -> usize {
        // A multiplication maps 32 bits evenly to any number of buckets.
        (((hash >> 32) * self.buckets.len() as u64) >> 32) as usize
    }

    /// The bucket after `at`, around the end.
    #[inline]
    fn after(&self, at: usize) -> usize {
        if at + 1 < self.buckets.len() {
            at + 1
        } else {
            0
        }
    }
}

/// The tag of a hash: its low 16 bits, but never the 0 of a free place.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the low bits are asked for"
)]
const fn tag(hash: u64) -> u16 {
    match hash as u16 {
        0 => 1,
        tag => tag,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::testing::Dice;

    /// Buckets a look-up of this entry visits.
    fn visited(buckets: &Buckets, hash: u64, entry: u32) -> usize {
        let tag = tag(hash);
        let mut at = buckets.home(hash);
        for visited in 1..=buckets.buckets.len() {
            let bucket = &buckets.buckets[at];
            if (0..PLACES).any(|p| bucket.tags[p] == tag && bucket.entries[p] == entry) {
                return visited;
            }
            at = buckets.after(at);
        }
        panic!("entry {entry} is not there");
    }

    #[test]
    fn at_85_percent_nearly_every_entry_stands_in_its_own_bucket() {
        let count = 100_000;
        let mut dice = Dice(1);
        let hashes: Vec<u64> = (0..count).map(|_| dice.next()).collect();
        let mut buckets = Buckets::new(hashes.len()).unwrap();

        for (hash, entry) in hashes.iter().zip(0..) {
            assert!(buckets.insert(*hash, entry));
        }

        let places = buckets.buckets.len() * PLACES;
        assert!(hashes.len() * 100 / places >= 84);
        let sum: usize = (hashes.iter().zip(0..))
            .map(|(hash, entry)| visited(&buckets, *hash, entry))
            .sum();
        assert!(sum * 100 < hashes.len() * 135, "{sum} visits");
    }

    #[test]
    fn what_overflowed_is_found_and_leaves_nothing_behind() {
        // Given 25 entries of one hash: its bucket and the next are full, the third is not.
        let mut buckets = Buckets::new(100).unwrap();
        let hash = u64::MAX;
        for entry in 0..25 {
            assert!(buckets.insert(hash, entry));
        }
        assert_eq!(buckets.first_candidate(hash ^ 1), First::Unknown);
        let looked_at = 10 + 10 * 2 + 5 * 3;
        assert_eq!(buckets.probes().counts(), ([10, 10, 5, 0, 0], looked_at));

        // When entries are removed, each is found until then and not after.
        for entry in 0..25 {
            assert_eq!(buckets.find(hash, |found| found == entry), Some(entry));
            assert!(buckets.remove(hash, entry));
            assert!(!buckets.remove(hash, entry));
            assert_eq!(buckets.find(hash, |found| found == entry), None);
        }

        // Then no bucket remembers an overflow, and a look at one is enough.
        assert_eq!(buckets.first_candidate(hash), First::Nothing);
        assert!(buckets.buckets.iter().all(|bucket| bucket.overflow() == 0));
    }

    #[test]
    fn equal_tags_are_told_apart_by_the_caller() {
        let mut buckets = Buckets::new(100).unwrap();
        buckets.insert(7, 1);
        buckets.insert(7, 2);

        let mut seen = Vec::new();
        let found = buckets.find(7, |entry| {
            seen.push(entry);
            false
        });

        assert_eq!(found, None);
        assert_eq!(seen, [1, 2]);
        assert_eq!(buckets.first_candidate(7), First::Entry(1));
        assert_eq!(buckets.first_candidate(8), First::Nothing);
    }

    #[test]
    fn a_full_index_refuses_and_still_finds() {
        let mut buckets = Buckets::new(1).unwrap();
        let mut dice = Dice(2);
        let hashes: Vec<u64> = (0..2 * PLACES).map(|_| dice.next()).collect();
        for (hash, entry) in hashes.iter().zip(0..) {
            assert!(buckets.insert(*hash, entry));
        }

        assert!(!buckets.insert(0, 99));

        for (hash, entry) in hashes.iter().zip(0..) {
            assert_eq!(buckets.find(*hash, |found| found == entry), Some(entry));
        }
        assert_eq!(buckets.find(0, |found| found == 99), None);
    }
}
