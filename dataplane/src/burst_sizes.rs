//! How many packets ethdevs had for a worker each time it asked: a histogram, written once a burst.

use crate::counters::Counter;

/// Sizes that are told apart: up to each of [`BurstSizes::BOUNDS`]. No burst is larger than the
/// last.
const RANGES: usize = BurstSizes::BOUNDS.len();

/// Bursts by their size; one worker writes it.
#[derive(Debug, Default)]
pub struct BurstSizes([Counter; RANGES]);

impl BurstSizes {
    /// The largest burst in each range.
    pub const BOUNDS: [u64; 7] = [0, 1, 2, 4, 8, 16, 32];

    /// Counts a burst of so many packets. Only the owning worker may call this.
    #[inline]
    pub fn record(&self, packets: usize) {
        // 0, 1, 2, 3–4, 5–8 …: as many as 2n − 1 has bits.
        let bits = usize::BITS - (2 * packets).saturating_sub(1).leading_zeros();
        self.0[(bits as usize).min(RANGES - 1)].add(1);
    }

    /// Bursts in each range.
    #[must_use]
    pub fn counts(&self) -> [u64; RANGES] {
        std::array::from_fn(|range| self.0[range].get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::BURST;

    #[test]
    fn a_burst_falls_into_the_first_range_that_is_large_enough() {
        assert_eq!(BurstSizes::BOUNDS[RANGES - 1], BURST as u64);
        for packets in 0..=BURST {
            let sizes = BurstSizes::default();

            sizes.record(packets);

            let bounds = BurstSizes::BOUNDS;
            let range = bounds.partition_point(|bound| *bound < packets as u64);
            let mut expected = [0; RANGES];
            expected[range] = 1;
            assert_eq!(sizes.counts(), expected, "{packets} packets");
        }
    }
}
