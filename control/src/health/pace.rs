//! When a server is checked next.
//!
//! From the start of one run to that of the next there is an interval, a little longer or shorter
//! each time: checks of many servers that begin together do not stay together, and no server sees
//! the checks of many gateways at once.

use std::time::Duration;

use crate::config::Timing;

/// The shortest time from one run to the next, whatever is said.
const SHORTEST: Duration = Duration::from_millis(10);

/// How soon a run is tried again that could not be made; each further time it is twice that.
const SOON: Duration = Duration::from_millis(50);

/// When a run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// When.
    pub at: Duration,
    /// Whether another one was left out before it, because the run before took too long.
    pub is_late: bool,
}

/// Makes the times of one check.
#[derive(Clone, Debug)]
pub struct Pace {
    interval: Duration,
    jitter: f64,
    delay: Duration,
    random: u64,
    /// Runs in a row that could not be made.
    unmade: u32,
}

impl Pace {
    /// For checks at these times; `seed` makes their random parts.
    #[must_use]
    pub fn new(timing: &Timing, seed: u64) -> Self {
        Self {
            interval: timing.interval.max(SHORTEST),
            jitter: f64::from(timing.jitter.min(100)) / 100.0,
            delay: timing.delay,
            // Zero would stay zero.
            random: seed | 1,
            unmade: 0,
        }
    }

    /// The first run: after the delay, anywhere in one interval.
    pub fn first(&mut self, now: Duration) -> Duration {
        let part = self.part();
        now + self.delay + self.interval.mul_f64(part)
    }

    /// The run after one that was to begin at `planned`, and has ended `now`. Turns that are over
    /// are left out: those that missed them together do not begin together.
    pub fn next(&mut self, planned: Duration, now: Duration) -> Turn {
        self.unmade = 0;
        let moved = self.jitter * (2.0 * self.part() - 1.0);
        let interval = self.interval.mul_f64(1.0 + moved).max(SHORTEST);
        let at = planned + interval;
        let behind = now.saturating_sub(at).as_nanos();
        let missed = behind.div_ceil(self.interval.as_nanos());
        let missed = u32::try_from(missed).unwrap_or(u32::MAX);
        Turn {
            at: at + self.interval.saturating_mul(missed),
            is_late: missed > 0,
        }
    }

    /// The run after one that could not be made, which ended `now`: soon, and then less soon.
    pub fn again(&mut self, now: Duration) -> Turn {
        let wait = SOON.saturating_mul(1 << self.unmade.min(10));
        self.unmade += 1;
        Turn {
            at: now + wait.min(self.interval),
            is_late: false,
        }
    }

    /// A random number from 0 to 1 (xorshift64*, Vigna 2016).
    fn part(&mut self) -> f64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let high = self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        f64::from(u32::try_from(high).unwrap_or_default()) / f64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn timing(jitter: u8) -> Timing {
        Timing {
            interval: Duration::from_secs(1),
            jitter,
            delay: Duration::from_secs(3),
            ..Timing::default()
        }
    }

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn first_runs_are_spread_over_one_interval_after_the_delay() {
        let firsts = (0..1_000).map(|seed| Pace::new(&timing(10), seed * 7_919).first(millis(500)));
        let mut firsts: Vec<_> = firsts.collect();
        firsts.sort_unstable();

        assert!(firsts[0] >= millis(3_500) && firsts[999] <= millis(4_500));
        for tenth in 0..10 {
            let begin = millis(3_500 + tenth * 100);
            let among = firsts
                .iter()
                .filter(|it| **it >= begin && **it < begin + millis(100));
            assert!(among.count() > 50);
        }
    }

    #[test]
    fn runs_follow_each_other_from_start_to_start() {
        let mut pace = Pace::new(&timing(0), 1);

        let turn = pace.next(millis(5_000), millis(5_900));

        assert_eq!((turn.at, turn.is_late), (millis(6_000), false));
    }

    #[test]
    fn turns_that_are_missed_are_left_out() {
        let mut pace = Pace::new(&timing(0), 1);

        let late = pace.next(millis(5_000), millis(7_500));
        let just = pace.next(millis(5_000), millis(7_000));

        assert_eq!((late.at, late.is_late), (millis(8_000), true));
        assert_eq!((just.at, just.is_late), (millis(7_000), true));
    }

    #[test]
    fn a_run_that_cannot_be_made_is_tried_again_soon_and_then_less_soon() {
        let mut pace = Pace::new(&timing(0), 1);

        let waits = [(); 7].map(|()| pace.again(Duration::ZERO).at);

        let expected = [50, 100, 200, 400, 800, 1_000, 1_000];
        assert_eq!(waits, expected.map(millis));
        pace.next(Duration::ZERO, Duration::ZERO);
        assert_eq!(pace.again(Duration::ZERO).at, millis(50));
    }

    proptest! {
        #[test]
        fn an_interval_is_moved_by_no_more_than_its_jitter(seed: u64, jitter in 0..=100_u8) {
            let mut pace = Pace::new(&timing(jitter), seed);
            let most = millis(10 * u64::from(jitter)) + Duration::from_nanos(1);
            let mut planned = Duration::from_secs(9);
            let mut sum = Duration::ZERO;
            for _ in 0..50 {
                let turn = pace.next(planned, planned);
                let interval = turn.at.checked_sub(planned).unwrap();
                prop_assert!(interval.abs_diff(Duration::from_secs(1)) <= most.max(millis(0)));
                prop_assert!(interval >= SHORTEST && !turn.is_late);
                sum += interval;
                planned = turn.at;
            }
            prop_assert!(sum.abs_diff(Duration::from_secs(50)) <= most * 50);
        }
    }
}
