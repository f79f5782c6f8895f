//! How long packets stay in the gateway: a histogram that a worker writes once a turn.
//!
//! ```text
//!   start of the turn ─► receive a burst ─► pipeline ─► transmit ─► end of the turn
//!   └───────────────── each packet of the turn stayed this long ─────────────────┘
//! ```
//!
//! Time that a packet waits before its turn, in the ethdev's ring or in that of another worker, is
//! not in it.

use crate::counters::Counter;

/// Ranges that are told apart: one up to each of [`LatencyHistogram::BOUNDS`] and one beyond.
const RANGES: usize = LatencyHistogram::BOUNDS.len() + 1;

/// Packets by how long they stayed; one worker writes it.
#[derive(Debug, Default)]
pub struct LatencyHistogram {
    packets: [Counter; RANGES],
    nanos: Counter,
}

/// What a [`LatencyHistogram`] held at some moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LatencyCounts {
    /// Packets that stayed longer than the bound before and up to this one, and last those that
    /// stayed longer than all.
    pub packets: [u64; RANGES],
    /// Nanoseconds that all of them stayed, together.
    pub nanos: u64,
}

impl LatencyHistogram {
    /// The longest stay in each range but the last, in nanoseconds.
    pub const BOUNDS: [u64; 10] = [
        1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000,
    ];

    /// Counts `packets` that stayed `nanos` each. Only the owning worker may call this.
    #[inline]
    pub fn record(&self, nanos: u64, packets: u64) {
        // Compares with all of them: no branch to guess wrong.
        let range: usize = Self::BOUNDS
            .iter()
            .map(|bound| usize::from(nanos > *bound))
            .sum();
        self.packets[range].add(packets);
        self.nanos.add(nanos.saturating_mul(packets));
    }

    /// What it holds now. A turn that ends meanwhile may be in one number and not yet in another.
    #[must_use]
    pub fn counts(&self) -> LatencyCounts {
        LatencyCounts {
            packets: std::array::from_fn(|range| self.packets[range].get()),
            nanos: self.nanos.get(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stay_falls_into_the_range_that_its_length_still_belongs_to() {
        for (nanos, range) in [
            (0, 0),
            (1_000, 0),
            (1_001, 1),
            (2_000, 1),
            (20_000, 4),
            (20_001, 5),
            (1_000_000, 9),
            (1_000_001, 10),
            (u64::MAX / 2, 10),
        ] {
            let histogram = LatencyHistogram::default();

            histogram.record(nanos, 1);

            let mut expected = LatencyCounts::default();
            expected.packets[range] = 1;
            expected.nanos = nanos;
            assert_eq!(histogram.counts(), expected, "{nanos} ns");
        }
    }

    #[test]
    fn each_packet_of_a_turn_counts() {
        let histogram = LatencyHistogram::default();

        histogram.record(1_500, 32);
        histogram.record(1_800, 1);

        let counts = histogram.counts();
        assert_eq!(counts.packets[1], 33);
        assert_eq!(counts.nanos, 32 * 1_500 + 1_800);
    }
}
