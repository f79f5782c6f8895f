//! Percentiles of response times.
//!
//! Nearest rank, over all samples: no interpolation and no buckets, so a figure is always a
//! response time that was seen. There is no percentile of fewer samples than one of which is
//! slower: the slowest of 200 is no p99.9.

use serde::Serialize;

/// Response times at the percentiles people complain about, in microseconds; none where there are
/// too few samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// Half were faster.
    pub p50_us: Option<f64>,
    /// Nine in ten were faster.
    pub p90_us: Option<f64>,
    /// 99 in 100 were faster.
    pub p99_us: Option<f64>,
    /// 999 in 1,000 were faster.
    pub p999_us: Option<f64>,
    /// The slowest.
    pub max_us: Option<f64>,
}

impl Percentiles {
    /// The percentiles of `nanos`, which it sorts.
    #[must_use]
    pub fn of(nanos: &mut [u64]) -> Self {
        nanos.sort_unstable();
        let at = |one_in, fraction| {
            let enough = nanos.len() >= one_in;
            enough.then(|| nearest_rank(nanos, fraction)).flatten()
        };
        Self {
            p50_us: at(2, 0.5),
            p90_us: at(10, 0.9),
            p99_us: at(100, 0.99),
            p999_us: at(1_000, 0.999),
            max_us: at(1, 1.0),
        }
    }

    /// How much more these are than `base`, member by member.
    #[must_use]
    pub fn above(&self, base: &Self) -> Self {
        let above = |own: Option<f64>, base: Option<f64>| Some(own? - base?);
        Self {
            p50_us: above(self.p50_us, base.p50_us),
            p90_us: above(self.p90_us, base.p90_us),
            p99_us: above(self.p99_us, base.p99_us),
            p999_us: above(self.p999_us, base.p999_us),
            max_us: above(self.max_us, base.max_us),
        }
    }
}

/// The smallest sample that at least `fraction` of the sorted samples do not exceed, in
/// microseconds.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a rank is between 0 and the number of samples, far below 2^52"
)]
pub(super) fn nearest_rank(sorted: &[u64], fraction: f64) -> Option<f64> {
    // A hair less, because 0.999 × 1,000 must not become 1,000 by the last bit of the product.
    let rank = (fraction * sorted.len() as f64 - 1e-6).ceil() as usize;
    let nanos = sorted.get(rank.saturating_sub(1))?;
    Some(*nanos as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples_at_their_rank() {
        let mut nanos: Vec<u64> = (1..=1_000).rev().map(|micros| micros * 1_000).collect();

        let expected = Percentiles {
            p50_us: Some(500.0),
            p90_us: Some(900.0),
            p99_us: Some(990.0),
            p999_us: Some(999.0),
            max_us: Some(1_000.0),
        };
        assert_eq!(Percentiles::of(&mut nanos), expected);
    }

    #[test]
    fn a_percentile_of_too_few_samples_is_none() {
        let mut nanos: Vec<u64> = (1..=99).map(|micros| micros * 1_000).collect();

        let found = Percentiles::of(&mut nanos);

        assert_eq!((found.p90_us, found.p99_us), (Some(90.0), None));
        assert_eq!((found.p999_us, found.max_us), (None, Some(99.0)));
        assert_eq!(Percentiles::of(&mut []), Percentiles::default());
    }

    #[test]
    fn what_is_above_is_known_where_both_are() {
        let many = Percentiles::of(&mut [1_000; 100]);
        let few = Percentiles::of(&mut [4_000; 10]);

        let above = few.above(&many);

        assert_eq!((above.p50_us, above.p90_us), (Some(3.0), Some(3.0)));
        assert_eq!(above.p99_us, None);
    }
}
