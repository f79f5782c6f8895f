//! Knows when the kernel may be late.
//!
//! A timer of the kernel set for T seconds fires between T and 9/8 T. Within that time nobody knows
//! whether a session still is, so random scenarios place nothing there:
//!
//! ```text
//! burst of frames ──── T ────┤ late ├─────────── next burst ──►
//!                                     free
//! ```

use std::time::Duration;

/// Before a deadline and behind its late window, for clocks that are not quite the same.
const MARGIN: Duration = Duration::from_millis(1_500);

/// When nothing may happen.
#[derive(Clone, Debug, Default)]
pub(super) struct Deadlines(Vec<(Duration, Duration)>);

impl Deadlines {
    /// Notes that timers for `seconds` may have been set between `first` and `last`.
    pub(super) fn note(&mut self, first: Duration, last: Duration, seconds: u64) {
        let time = Duration::from_secs(seconds);
        let begin = (first + time).saturating_sub(MARGIN);
        self.0.push((begin, last + time + time / 8 + MARGIN));
    }

    /// Notes a template's timers: `seconds`, and 60 more as often as sessions of up to `longest`
    /// seconds keep it alive.
    pub(super) fn note_template(
        &mut self,
        first: Duration,
        last: Duration,
        seconds: u64,
        longest: u64,
    ) {
        for turn in 0..=(longest + longest / 8) / 60 + 1 {
            self.note(first, last, seconds + 60 * turn);
        }
    }

    /// Whether a burst may last from `first` to `last`.
    pub(super) fn are_clear(&self, first: Duration, last: Duration) -> bool {
        self.0
            .iter()
            .all(|(begin, end)| last < *begin || first > *end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_time_between_a_deadline_and_an_eighth_later_is_not_clear() {
        let mut deadlines = Deadlines::default();

        deadlines.note(at(0), at(1), 80);

        for (second, clear) in [
            (70, true),
            (79, false),
            (85, false),
            (91, false),
            (95, true),
        ] {
            assert_eq!(
                deadlines.are_clear(at(second), at(second)),
                clear,
                "{second}"
            );
        }
        assert!(!deadlines.are_clear(at(10), at(200)));
    }

    #[test]
    fn a_template_is_armed_again_and_again() {
        let mut deadlines = Deadlines::default();

        deadlines.note_template(at(0), at(0), 30, 100);

        for (second, clear) in [
            (31, false),
            (60, true),
            (95, false),
            (130, true),
            (160, false),
        ] {
            assert_eq!(
                deadlines.are_clear(at(second), at(second)),
                clear,
                "{second}"
            );
        }
        assert!(deadlines.are_clear(at(400), at(400)));
    }
}
