//! When a table forgets: once a minute it looks whether it has grown too large, and every thirtieth
//! time it forgets what nobody has asked for in a long time.
//!
//! The kernel does so in a timer. Here whoever looks something up finds that it is time, and takes
//! the work on, a few buckets for each look-up, so that none waits for all of it. What is due to be
//! forgotten is never found, swept or not.

use crate::time::{TICKS_PER_SECOND, Tick};

/// Buckets of the kernel's table: what a sweep counts in.
pub(super) const SECTIONS: u16 = 1024;

/// Entries above which a table is too large.
const COMFORTABLE: usize = 16 * SECTIONS as usize;

/// Entries forgotten at most in one minute, for being too many.
const MAX_GOAL: usize = COMFORTABLE / 2;

/// Unused so long, an entry may go when there are too many.
const IDLE_TICKS: u32 = 360 * TICKS_PER_SECOND;

const PERIOD_TICKS: u32 = 60 * TICKS_PER_SECOND;

/// Rounds after which everything is looked through.
const ROUNDS: u32 = 30;

/// Decides when to sweep.
#[derive(Debug)]
pub(super) struct Collector {
    /// When the next round is due; `None` before the first look-up.
    next_round: Option<Tick>,
    /// Rounds, counted from 1, in which nothing was to be done.
    rounds: u32,
    /// Entries not used since then are forgotten.
    dead_by: Option<Tick>,
    sweep: Option<Sweep>,
}

/// Work to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sweep {
    /// Sections still to be looked through.
    pub(super) sections: u16,
    /// Entries to be forgotten before it ends early, at the end of a section.
    pub(super) goal: usize,
    /// Entries not used since then go.
    pub(super) unused_since: Tick,
}

impl Collector {
    pub(super) const fn new() -> Self {
        Self {
            next_round: None,
            rounds: 1,
            dead_by: None,
            sweep: None,
        }
    }

    /// Whether an entry that was used at `last_use` is as good as forgotten.
    #[inline]
    pub(super) fn is_dead(&self, last_use: Tick) -> bool {
        self.dead_by.is_some_and(|cutoff| last_use.is_due(cutoff))
    }

    /// The work of the moment.
    #[inline]
    pub(super) const fn sweep(&mut self) -> &mut Option<Sweep> {
        &mut self.sweep
    }

    /// Lets the time come to `now`, the table having this many entries.
    #[inline]
    pub(super) fn advance(&mut self, now: Tick, entries: usize, expiration_ticks: u32) {
        match self.next_round {
            Some(round) if !round.is_due(now) => {}
            Some(round) => self.catch_up(round, now, entries, expiration_ticks),
            None => self.next_round = Some(now.plus(PERIOD_TICKS)),
        }
    }

    /// Does what should have been done since `round`.
    #[cold]
    fn catch_up(&mut self, mut round: Tick, now: Tick, entries: usize, expiration_ticks: u32) {
        let missed = round.until(now).cast_unsigned() / PERIOD_TICKS;
        // Of several full sweeps that were missed the last does all, and the count is then where
        // it was.
        let skipped = missed.saturating_sub(ROUNDS) / ROUNDS * ROUNDS;
        round = round.plus(skipped * PERIOD_TICKS);
        while round.is_due(now) {
            self.round(round, entries, expiration_ticks);
            round = round.plus(PERIOD_TICKS);
        }
        self.next_round = Some(round);
    }

    fn round(&mut self, at: Tick, entries: usize, expiration_ticks: u32) {
        let before = |ticks: u32| at.plus(ticks.wrapping_neg());
        if self.rounds.is_multiple_of(ROUNDS) {
            self.rounds = 1;
            self.dead_by = Some(before(expiration_ticks));
            self.sweep = Some(Sweep {
                sections: SECTIONS,
                goal: usize::MAX,
                unused_since: before(expiration_ticks),
            });
        } else if entries <= COMFORTABLE {
            self.rounds += 1;
        } else if self.sweep.is_none() {
            self.sweep = Some(Sweep {
                sections: SECTIONS,
                goal: ((entries - COMFORTABLE) * 4 / 3).min(MAX_GOAL),
                unused_since: before(IDLE_TICKS),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u32 = 86_400 * TICKS_PER_SECOND;
    const MINUTE: u32 = PERIOD_TICKS;

    fn full(at: Tick) -> Sweep {
        Sweep {
            sections: SECTIONS,
            goal: usize::MAX,
            unused_since: at.plus(DAY.wrapping_neg()),
        }
    }

    #[test]
    fn everything_is_looked_through_every_thirty_minutes() {
        let mut collector = Collector::new();
        let start = Tick(77);
        collector.advance(start, 0, DAY);

        let full_at: Vec<u32> = (1..100)
            .filter(|minute| {
                collector.advance(start.plus(minute * MINUTE), 0, DAY);
                collector.sweep().take().is_some()
            })
            .collect();

        assert_eq!(full_at, [30, 60, 90]);
    }

    #[test]
    fn who_was_away_for_long_does_the_last_of_what_was_missed() {
        let mut collector = Collector::new();
        let start = Tick(0);
        collector.advance(start, 0, DAY);

        // 10,000 minutes later the last full one was at minute 9,990.
        collector.advance(start.plus(10_000 * MINUTE), 0, DAY);
        let due = start.plus(9_990 * MINUTE);
        assert_eq!(*collector.sweep(), Some(full(due)));

        *collector.sweep() = None;
        collector.advance(start.plus(10_019 * MINUTE), 0, DAY);
        assert_eq!(*collector.sweep(), None);
        collector.advance(start.plus(10_020 * MINUTE), 0, DAY);
        assert_eq!(*collector.sweep(), Some(full(start.plus(10_020 * MINUTE))));
    }

    #[test]
    fn too_many_entries_are_brought_down_by_a_third_more_than_there_are_too_many() {
        let sweep = |entries| {
            let mut collector = Collector::new();
            collector.advance(Tick(0), entries, DAY);
            collector.advance(Tick(MINUTE), entries, DAY);
            *collector.sweep()
        };
        let goal = |entries| sweep(entries).map(|sweep| sweep.goal);

        assert_eq!(goal(16_384), None);
        assert_eq!(goal(16_387), Some(4));
        assert_eq!(goal(24_576), Some(8192));
        let idle_since = Tick(MINUTE).plus(IDLE_TICKS.wrapping_neg());
        assert_eq!(sweep(20_000).unwrap().unused_since, idle_since);
    }

    #[test]
    fn a_minute_with_too_many_entries_does_not_count() {
        let mut collector = Collector::new();
        collector.advance(Tick(0), 0, DAY);
        collector.advance(Tick(10 * MINUTE), 20_000, DAY);
        *collector.sweep() = None;

        collector.advance(Tick(39 * MINUTE), 0, DAY);
        assert_eq!(*collector.sweep(), None);
        collector.advance(Tick(40 * MINUTE), 0, DAY);

        assert_eq!(*collector.sweep(), Some(full(Tick(40 * MINUTE))));
    }

    #[test]
    fn what_was_unused_for_as_long_as_said_is_dead() {
        let mut collector = Collector::new();
        collector.advance(Tick(0), 0, MINUTE);
        assert!(!collector.is_dead(Tick(0)));

        collector.advance(Tick(30 * MINUTE), 0, MINUTE);

        assert!(collector.is_dead(Tick(29 * MINUTE)));
        assert!(!collector.is_dead(Tick(29 * MINUTE + 1)));
    }
}
