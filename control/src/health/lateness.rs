//! How late runs begin.

use std::time::Duration;

/// The upper ends of all classes but the last, in nanoseconds.
pub const BOUNDS: [u64; 12] = [
    500_000,
    1_000_000,
    2_000_000,
    3_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
    200_000_000,
    500_000_000,
    1_000_000_000,
];

/// How late runs began, sorted into classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lateness {
    /// How many were at most as late as each of [`BOUNDS`] but later than the one before, and
    /// last those that were later than all.
    pub counts: [u64; BOUNDS.len() + 1],
    /// The sum of all, in nanoseconds.
    pub nanos: u64,
}

impl Lateness {
    /// Counts one.
    pub fn note(&mut self, late: Duration) {
        let nanos = u64::try_from(late.as_nanos()).unwrap_or(u64::MAX);
        let class = BOUNDS.partition_point(|bound| *bound < nanos);
        self.counts[class] += 1;
        self.nanos = self.nanos.saturating_add(nanos);
    }

    /// The least bound below which this part of all runs were, in per mille; `None` if it is
    /// later than all bounds, or there were none.
    #[must_use]
    pub fn quantile(&self, per_mille: u64) -> Option<Duration> {
        let all: u64 = self.counts.iter().sum();
        let wanted = (all * per_mille).div_ceil(1_000).max(1);
        let mut below = 0;
        let mut bounds = BOUNDS.iter().zip(self.counts);
        let found = bounds.find(|(_, count)| {
            below += count;
            below >= wanted
        });
        found.map(|(bound, _)| Duration::from_nanos(*bound))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_the_bounds_below_which_so_many_were() {
        let mut lateness = Lateness::default();
        for millis in 0..100 {
            lateness.note(Duration::from_micros(millis * 100));
        }
        lateness.note(Duration::from_secs(5));

        let millis = |millis| Some(Duration::from_millis(millis));
        assert_eq!(lateness.quantile(300), millis(3));
        assert_eq!(lateness.quantile(500), millis(5));
        assert_eq!(lateness.quantile(900), millis(10));
        assert_eq!(lateness.quantile(1_000), None);
        assert_eq!(lateness.counts[12], 1);
        assert_eq!(Lateness::default().quantile(500), None);
    }
}
