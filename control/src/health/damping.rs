//! Servers that come and go all the time are kept out for a while: route flap damping (RFC 2439).
//! That is for a service that can do without them: while it has no quorum, nobody is kept out.
//!
//! ```text
//! penalty  each time that the server goes down, 1 is added
//!    │  ╱│╱╲              ── suppress: from here on it is kept out
//!    │ ╱     ╲╲
//!    │╱         ╲╲____    ── reuse: below it may serve again
//!    └───────────────► time, and each half-life half of it is left
//! ```

use std::time::Duration;

use crate::config::Damping;

/// What a server has on its account.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Flaps {
    /// The penalty at `at`.
    penalty: f64,
    at: Duration,
    /// Since when it is kept out.
    kept_out: Option<Duration>,
}

impl Flaps {
    /// Nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            penalty: 0.0,
            at: Duration::ZERO,
            kept_out: None,
        }
    }

    /// The server has gone down.
    pub fn fell(&mut self, now: Duration, damping: &Damping) {
        let penalty = (self.penalty(now, damping) + 1.0).min(ceiling(damping));
        self.at = now;
        self.penalty = penalty;
        if penalty >= f64::from(damping.suppress) && self.kept_out.is_none() {
            self.kept_out = Some(now);
        }
    }

    /// What of the penalty is left.
    #[must_use]
    pub fn penalty(&self, now: Duration, damping: &Damping) -> f64 {
        // RFC 2439 §4.5: the figure of merit decays by half each half-life.
        let halves = ratio(now.saturating_sub(self.at), damping.half_life);
        self.penalty * (-halves).exp2()
    }

    /// For how long the server is still kept out; `None` if it may serve.
    pub fn kept_out_for(&mut self, now: Duration, damping: &Damping) -> Option<Duration> {
        let left = self.left(now, damping)?;
        if !left.is_zero() {
            return Some(left);
        }
        // Its time is over though there may be more on its account: it begins where others are
        // let in, and not one failure from being kept out again.
        self.penalty = (self.penalty(now, damping)).min(damping.reuse.into());
        self.at = now;
        self.kept_out = None;
        None
    }

    /// It may serve at once, for it is needed; what is on its account stays there.
    pub const fn let_in(&mut self) {
        self.kept_out = None;
    }

    /// As [`Self::kept_out_for`], to look at.
    #[must_use]
    pub fn left(&self, now: Duration, damping: &Damping) -> Option<Duration> {
        let since = self.kept_out?;
        let reuse = f64::from(damping.reuse).max(f64::MIN_POSITIVE);
        let halves = (self.penalty(now, damping) / reuse).log2().max(0.0);
        let by_penalty = damping.half_life.mul_f64(halves.min(1e6));
        let longest = (since + damping.longest).saturating_sub(now);
        Some(by_penalty.min(longest))
    }
}

/// RFC 2439 §4.2: what the penalty is cut off at, so that nobody is kept out for longer than
/// `longest` after it has stopped to flap. It must be enough to be kept out at all.
fn ceiling(damping: &Damping) -> f64 {
    let halves = ratio(damping.longest, damping.half_life).min(1_000.0);
    let ceiling = f64::from(damping.reuse) * halves.exp2();
    ceiling.max(damping.suppress.into())
}

fn ratio(time: Duration, half_life: Duration) -> f64 {
    time.as_secs_f64() / half_life.as_secs_f64().max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAMPING: Damping = Damping {
        half_life: Duration::from_secs(60),
        suppress: 4,
        reuse: 2,
        longest: Duration::from_secs(300),
    };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_penalty_is_halved_each_half_life() {
        let mut flaps = Flaps::default();

        flaps.fell(at(10), &DAMPING);

        assert!((flaps.penalty(at(10), &DAMPING) - 1.0).abs() < 1e-9);
        assert!((flaps.penalty(at(70), &DAMPING) - 0.5).abs() < 1e-9);
        assert!((flaps.penalty(at(190), &DAMPING) - 0.125).abs() < 1e-9);
    }

    #[test]
    fn a_server_that_falls_again_and_again_is_kept_out_until_it_is_quiet() {
        let mut flaps = Flaps::default();

        for second in 0..4 {
            flaps.fell(at(second), &DAMPING);
            assert_eq!(flaps.kept_out_for(at(second), &DAMPING), None);
        }
        flaps.fell(at(4), &DAMPING);

        // Just below 5, and below 2 after somewhat more than one half-life.
        let left = flaps.kept_out_for(at(4), &DAMPING).unwrap();
        assert!(left > at(74) && left < at(80), "{left:?}");
        assert!(flaps.kept_out_for(at(4) + left / 2, &DAMPING).is_some());
        let after = at(5) + left;
        assert_eq!(flaps.kept_out_for(after, &DAMPING), None);
    }

    #[test]
    fn who_falls_seldom_is_never_kept_out() {
        let mut flaps = Flaps::default();

        for fall in 0..100 {
            let now = at(fall * 60);
            flaps.fell(now, &DAMPING);
            assert_eq!(flaps.kept_out_for(now, &DAMPING), None);
        }
    }

    #[test]
    fn nobody_is_kept_out_for_longer_than_is_said() {
        let mut flaps = Flaps::default();

        for second in 0..=300 {
            flaps.fell(at(second), &DAMPING);
        }

        // The fifth fall, in the second 4, was the one too many.
        assert_eq!(flaps.kept_out_for(at(303), &DAMPING), Some(at(1)));
        assert_eq!(flaps.kept_out_for(at(304), &DAMPING), None);
        assert!(flaps.penalty(at(304), &DAMPING) <= 2.0);
    }

    #[test]
    fn who_is_let_in_is_out_again_with_the_next_fall() {
        let mut flaps = Flaps::default();
        for second in 0..5 {
            flaps.fell(at(second), &DAMPING);
        }

        flaps.let_in();

        assert_eq!(flaps.kept_out_for(at(5), &DAMPING), None);
        flaps.fell(at(6), &DAMPING);
        assert!(flaps.kept_out_for(at(6), &DAMPING).is_some());
    }

    proptest! {
        #[test]
        fn a_server_is_kept_out_from_suppress_to_reuse_and_never_too_long(
            gaps in prop::collection::vec(0..90_u64, 1..80),
        ) {
            let mut flaps = Flaps::default();
            let mut now = Duration::ZERO;
            let mut since = None;
            for gap in gaps {
                for _ in 0..gap {
                    now += at(1);
                    if flaps.kept_out_for(now, &DAMPING).is_none() {
                        since = None;
                        prop_assert!(flaps.penalty(now, &DAMPING) < 4.0);
                    }
                }
                flaps.fell(now, &DAMPING);
                if flaps.kept_out_for(now, &DAMPING).is_some() {
                    let since = *since.get_or_insert(now);
                    prop_assert!(now < since + DAMPING.longest);
                    prop_assert!(flaps.penalty(now, &DAMPING) > 2.0);
                }
            }
        }
    }
}
