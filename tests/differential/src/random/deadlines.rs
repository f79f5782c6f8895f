//! Knows when the kernel may be late.
//!
//! A timer of the kernel set for T seconds fires between T and 9/8 T. Within that time nobody knows
//! whether a session still is, so random scenarios place nothing there:
//!
//! ```text
//! burst of frames ──── T ────┤ late ├─────────── next burst ──►
//!                                     free
//! ```
//!
//! A template whose timer finds a session goes on for 60 s. Where both timers may fire at the same
//! time nobody knows which does first, so nothing is placed until those 60 s are over too:
//!
//! ```text
//! session   ──────── T ────┤ late ├
//! template  ───── T' ──┤ late ├──── 60 s ────┤ late ├─────── next burst ──►
//! ```

use std::time::Duration;

use dataplane::address::Protocol;

/// Before a deadline and behind its late window, for clocks that are not quite the same.
const MARGIN: Duration = Duration::from_millis(1_500);

/// A time, from its beginning to its end.
#[derive(Clone, Copy, Debug)]
struct Span {
    begin: Duration,
    end: Duration,
}

impl Span {
    /// When a timer may fire that was set for `seconds` between `first` and `last`.
    fn of_timer(first: Duration, last: Duration, seconds: u64) -> Self {
        let time = Duration::from_secs(seconds);
        Self {
            begin: (first + time).saturating_sub(MARGIN),
            end: last + time + time / 8 + MARGIN,
        }
    }

    fn meets(&self, other: &Self) -> bool {
        self.begin <= other.end && other.begin <= self.end
    }
}

/// When a template's timer may fire, and fire the next time if it finds sessions.
#[derive(Clone, Copy, Debug)]
struct Turn {
    protocol: Protocol,
    fires: Span,
    next: Span,
}

impl Turn {
    /// When nobody knows whether the template still is.
    fn undecided(&self, sessions: &[(Protocol, Span)]) -> Span {
        let may_both_fire = |(protocol, session): &(Protocol, Span)| {
            *protocol == self.protocol && session.meets(&self.fires)
        };
        if sessions.iter().any(may_both_fire) {
            let (begin, end) = (self.fires.begin, self.next.end);
            Span { begin, end }
        } else {
            self.fires
        }
    }
}

/// When nothing may happen.
#[derive(Clone, Debug, Default)]
pub(super) struct Deadlines {
    sessions: Vec<(Protocol, Span)>,
    templates: Vec<Turn>,
}

impl Deadlines {
    /// Notes that timers of sessions for `seconds` may have been set between `first` and `last`.
    pub(super) fn note(
        &mut self,
        protocol: Protocol,
        first: Duration,
        last: Duration,
        seconds: u64,
    ) {
        let span = Span::of_timer(first, last, seconds);
        self.sessions.push((protocol, span));
    }

    /// Notes a template's timers: `seconds`, and 60 more as often as sessions of up to `longest`
    /// seconds keep it alive.
    pub(super) fn note_template(
        &mut self,
        protocol: Protocol,
        first: Duration,
        last: Duration,
        seconds: u64,
        longest: u64,
    ) {
        for turn in 0..=(longest + longest / 8) / 60 + 1 {
            let fires = |turn| Span::of_timer(first, last, seconds + 60 * turn);
            self.templates.push(Turn {
                protocol,
                fires: fires(turn),
                next: fires(turn + 1),
            });
        }
    }

    /// Whether a burst may last from `first` to `last`.
    pub(super) fn are_clear(&self, first: Duration, last: Duration) -> bool {
        let burst = Span {
            begin: first,
            end: last,
        };
        let sessions = self.sessions.iter().map(|(_, span)| *span);
        let templates = self.templates.iter();
        let templates = templates.map(|turn| turn.undecided(&self.sessions));
        sessions.chain(templates).all(|span| !burst.meets(&span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Protocol::{Tcp, Udp};

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_time_between_a_deadline_and_an_eighth_later_is_not_clear() {
        let mut deadlines = Deadlines::default();

        deadlines.note(Tcp, at(0), at(1), 80);

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

        deadlines.note_template(Tcp, at(0), at(0), 30, 100);

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

    #[test]
    fn where_a_session_may_end_with_its_template_nothing_is_clear_for_a_minute() {
        for (protocol, clear) in [(Udp, true), (Tcp, false)] {
            let mut deadlines = Deadlines::default();
            deadlines.note_template(Tcp, at(0), at(0), 60, 100);

            // When sessions have a time-out that is the template's.
            deadlines.note(protocol, at(0), at(1), 60);

            assert!(deadlines.are_clear(at(50), at(51)));
            assert_eq!(deadlines.are_clear(at(90), at(91)), clear);
            assert!(deadlines.are_clear(at(150), at(151)));
        }
    }
}
