//! Percentiles of response times.
//!
//! Nearest rank, over all samples: no interpolation and no buckets, so a figure is always a
//! response time that was seen.

use serde::Serialize;

use crate::median::median;

/// Response times at the percentiles people complain about, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// Half were faster.
    pub p50_us: f64,
    /// Nine in ten were faster.
    pub p90_us: f64,
    /// 99 in 100 were faster.
    pub p99_us: f64,
    /// 999 in 1,000 were faster.
    pub p999_us: f64,
    /// The slowest.
    pub max_us: f64,
}

impl Percentiles {
    /// The fraction of samples each member stands for, in the order of [`Self::values`].
    pub const FRACTIONS: [f64; 5] = [0.5, 0.9, 0.99, 0.999, 1.0];

    /// What tables call the members, in the order of [`Self::values`].
    pub const NAMES: [&str; 5] = ["p50", "p90", "p99", "p99.9", "max"];

    /// The percentiles of `nanos`, which it sorts; none when there is no sample.
    #[must_use]
    pub fn of(nanos: &mut [u64]) -> Option<Self> {
        nanos.sort_unstable();
        let [p50_us, p90_us, p99_us, p999_us, max_us] =
            Self::FRACTIONS.map(|fraction| nearest_rank(nanos, fraction));
        Some(Self {
            p50_us: p50_us?,
            p90_us: p90_us?,
            p99_us: p99_us?,
            p999_us: p999_us?,
            max_us: max_us?,
        })
    }

    /// The members from the median to the slowest.
    #[must_use]
    pub const fn values(&self) -> [f64; 5] {
        [
            self.p50_us,
            self.p90_us,
            self.p99_us,
            self.p999_us,
            self.max_us,
        ]
    }

    /// Member by member, the median over `several`; none when there are none.
    #[must_use]
    pub fn median_of(several: &[Self]) -> Option<Self> {
        let at = |member: usize| median(several.iter().map(|one| one.values()[member]).collect());
        Some(Self {
            p50_us: at(0)?,
            p90_us: at(1)?,
            p99_us: at(2)?,
            p999_us: at(3)?,
            max_us: at(4)?,
        })
    }

    /// How much more these are than `base`, member by member.
    #[must_use]
    pub fn above(&self, base: &Self) -> Self {
        Self {
            p50_us: self.p50_us - base.p50_us,
            p90_us: self.p90_us - base.p90_us,
            p99_us: self.p99_us - base.p99_us,
            p999_us: self.p999_us - base.p999_us,
            max_us: self.max_us - base.max_us,
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

        let found = Percentiles::of(&mut nanos).expect("there are samples");

        assert_eq!(found.values(), [500.0, 900.0, 990.0, 999.0, 1_000.0]);
    }

    #[test]
    fn few_samples_give_their_slowest_for_the_high_percentiles() {
        let mut nanos = [3_000, 1_000, 2_000];

        let found = Percentiles::of(&mut nanos).expect("there are samples");

        assert_eq!(found.values(), [2.0, 3.0, 3.0, 3.0, 3.0]);
        assert_eq!(Percentiles::of(&mut []), None);
    }

    #[test]
    fn the_median_of_rounds_does_not_follow_one_bad_round() {
        let round = |micros: f64| Percentiles {
            max_us: micros,
            ..Percentiles::default()
        };

        let rounds = [round(90.0), round(4_000.0), round(100.0)];

        assert_eq!(
            Percentiles::median_of(&rounds).map(|all| all.max_us),
            Some(100.0)
        );
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(vec![]), None);
    }
}
