//! When a template ends: exact, whenever somebody asks.
//!
//! ```text
//!  new session          deadline        +60 s           +60 s
//!  ────┬────────────────────┬───────────────┬───────────────┬──►
//!      └─ service's time ───┘ has sessions:  ┘ has sessions: ┘ has none: over
//!         time-out              60 s from now on
//! ```
//!
//! As in the kernel, a template whose deadline finds it with sessions goes on for 60 s, and lasts
//! only 60 s after each new session from then on (connections.md §5).

use crate::time::{TICKS_PER_SECOND, Tick};

/// How long a template with sessions goes on.
const REARM_TICKS: u32 = 60 * TICKS_PER_SECOND;

/// A template's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timer {
    deadline: Tick,
    /// From each new session to the deadline.
    timeout_ticks: u32,
}

impl Timer {
    /// A timer that runs `timeout_ticks` from `now` on.
    pub(super) const fn new(now: Tick, timeout_ticks: u32) -> Self {
        Self {
            deadline: now.plus(timeout_ticks),
            timeout_ticks,
        }
    }

    /// Begins again, with the time-out it has by now.
    pub(super) const fn restart(&mut self, now: Tick) {
        self.deadline = now.plus(self.timeout_ticks);
    }

    /// Whether the deadline has come.
    pub(super) const fn is_due(&self, now: Tick) -> bool {
        self.deadline.is_due(now)
    }

    /// Passes all deadlines up to `now`, with sessions left: the next one is later.
    pub(super) const fn pass(&mut self, now: Tick) {
        if self.is_due(now) {
            let late = self.deadline.until(now).unsigned_abs();
            self.rearm(late / REARM_TICKS + 1);
        }
    }

    /// Passes all deadlines before `end`, at which a session ends: one in the same tick finds the
    /// session gone.
    pub(super) const fn pass_until(&mut self, end: Tick) {
        let late = self.deadline.until(end);
        if late > 0 {
            self.rearm(late.unsigned_abs().div_ceil(REARM_TICKS));
        }
    }

    /// Ticks until the deadline; 0 when it has come.
    pub(super) fn left(&self, now: Tick) -> u32 {
        now.until(self.deadline).max(0).unsigned_abs()
    }

    const fn rearm(&mut self, times: u32) {
        self.timeout_ticks = REARM_TICKS;
        self.deadline = self.deadline.plus(times * REARM_TICKS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u32 = TICKS_PER_SECOND;
    const START: Tick = Tick(u32::MAX - 10 * SECOND);

    fn at(seconds: u32) -> Tick {
        START.plus(seconds * SECOND)
    }

    #[test]
    fn a_deadline_that_finds_sessions_goes_on_by_60_s_however_late_somebody_asks() {
        for (asked, deadline) in [
            (299, 300),
            (300, 360),
            (359, 360),
            (360, 420),
            (1_000, 1_020),
        ] {
            let mut timer = Timer::new(START, 300 * SECOND);

            timer.pass(at(asked));

            assert_eq!(timer.left(at(0)), deadline * SECOND, "asked at {asked}");
        }
    }

    #[test]
    fn whoever_asks_often_gets_the_same_answer_as_who_asks_once() {
        let (mut often, mut once) = (Timer::new(START, 7), Timer::new(START, 7));

        (0..400 * SECOND).for_each(|tick| often.pass(START.plus(tick)));
        once.pass(START.plus(400 * SECOND - 1));

        assert_eq!(often, once);
    }

    #[test]
    fn after_it_went_on_the_time_out_is_60_s_for_good() {
        let mut timer = Timer::new(START, 300 * SECOND);
        timer.restart(at(200));
        assert_eq!(timer.left(at(200)), 300 * SECOND);

        timer.pass(at(500));
        timer.restart(at(510));

        assert_eq!(timer.left(at(510)), 60 * SECOND);
        assert!(timer.is_due(at(570)) && !timer.is_due(at(569)));
    }

    #[test]
    fn a_session_that_ends_at_the_deadline_does_not_keep_the_template() {
        let mut timer = Timer::new(START, 300 * SECOND);

        timer.pass_until(at(300));
        assert!(timer.is_due(at(300)));

        timer.pass_until(at(300).plus(1));
        assert_eq!(timer.left(at(300)), 60 * SECOND);
        timer.pass_until(at(361));
        assert_eq!(timer.left(at(361)), 59 * SECOND);
    }

    #[test]
    fn what_is_over_has_no_time_left() {
        assert_eq!(Timer::new(START, SECOND).left(at(9)), 0);
    }
}
