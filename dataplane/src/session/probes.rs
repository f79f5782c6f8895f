//! How far entries of the session table stand from where a look-up for them begins.

use crate::counters::Counter;

/// Distances that are told apart: one up to each of [`Probes::BOUNDS`] and one beyond.
const RANGES: usize = Probes::BOUNDS.len() + 1;

/// Entries by the buckets that were looked at to find a place for them; as many as a look-up for
/// the entry looks at from then on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Probes {
    /// Entries in all.
    entries: u64,
    /// Those that stand further on, by range; the first is always 0.
    further: [u64; RANGES],
    /// Buckets that those passed, together.
    passed: u64,
}

impl Probes {
    /// The most buckets in each range but the last.
    pub const BOUNDS: [u64; 4] = [1, 2, 4, 8];

    /// Counts an entry.
    #[inline]
    pub(super) const fn count(&mut self) {
        self.entries += 1;
    }

    /// Notes that the entry passed so many full buckets, at least one.
    #[cold]
    pub(super) fn note_passed(&mut self, buckets: usize) {
        let looked_at = buckets as u64 + 1;
        self.further[Self::BOUNDS.partition_point(|bound| *bound < looked_at)] += 1;
        self.passed += buckets as u64;
    }

    /// Entries in each range, and the buckets that were looked at for all of them.
    #[must_use]
    pub fn counts(&self) -> ([u64; RANGES], u64) {
        let mut counts = self.further;
        counts[0] = self.entries - self.further.iter().sum::<u64>();
        (counts, self.entries + self.passed)
    }
}

/// [`Probes`] as a worker tells them to whoever asks.
#[derive(Debug, Default)]
pub struct ProbeCounters {
    entries: [Counter; RANGES],
    buckets: Counter,
}

impl ProbeCounters {
    /// Tells the present numbers. Only the owning worker may call this.
    pub fn tell(&self, probes: &Probes) {
        let (counts, buckets) = probes.counts();
        for (counter, count) in self.entries.iter().zip(counts) {
            counter.set(count);
        }
        self.buckets.set(buckets);
    }

    /// Entries in each range, and the buckets that were looked at for all of them.
    #[must_use]
    pub fn counts(&self) -> ([u64; RANGES], u64) {
        let counts = std::array::from_fn(|range| self.entries[range].get());
        (counts, self.buckets.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_told_by_how_many_buckets_were_looked_at() {
        let mut probes = Probes::default();
        for _ in 0..10 {
            probes.count();
        }
        for passed in [1, 2, 3, 7, 8] {
            probes.note_passed(passed);
        }
        let told = ProbeCounters::default();

        told.tell(&probes);

        assert_eq!(told.counts(), ([5, 1, 2, 1, 1], 10 + 21));
    }
}
