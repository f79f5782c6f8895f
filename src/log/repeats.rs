//! Leaves out what comes again and again, and says how much that was.
//!
//! In ten seconds the same line is written three times, and what one place in the code has to say
//! 500 times. Of changes of state only the latter holds, since the last of them is what is so now.
//! `debug` and `trace` are for those who want to see everything.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// How long it is counted.
const WINDOW: Duration = Duration::from_secs(10);

/// How often the same line is written meanwhile.
const SAME: u32 = 3;

/// How many lines of one place in the code.
const OF_ONE_PLACE: u32 = 500;

static REPEATS: LazyLock<Mutex<Repeats>> = LazyLock::new(Mutex::default);

/// Lets events pass that did not come too often.
pub(super) struct LeaveOut;

impl<S: Subscriber> Layer<S> for LeaveOut {
    fn event_enabled(&self, event: &Event<'_>, _context: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if *metadata.level() > Level::INFO {
            return true;
        }
        let mut line = Line::default();
        event.record(&mut line);
        let is_change = metadata.fields().field("event").is_some();
        let same = if is_change { OF_ONE_PLACE } else { SAME };
        // It names the file and the line.
        let place = metadata.name();
        REPEATS.lock().pass(place, line.0, same, Instant::now())
    }
}

/// Says what was left out, once it is over. To be called now and then.
pub(crate) fn tell_of_repeats() {
    let over = REPEATS.lock().over(Instant::now());
    for (times, line) in over {
        tracing::warn!(
            "left out {times} lines within {} s, the first of them: {line}",
            WINDOW.as_secs()
        );
    }
}

/// What was said since a moment.
#[derive(Default)]
struct Repeats {
    since: Option<Instant>,
    places: HashMap<&'static str, Place>,
}

/// What one place in the code said.
#[derive(Default)]
struct Place {
    lines: HashMap<String, u32>,
    written: u32,
    /// How many lines were left out, and the first of them.
    left_out: Option<(u64, String)>,
}

impl Repeats {
    /// Whether this line may be written, that may be so `same` times.
    fn pass(&mut self, place: &'static str, line: String, same: u32, now: Instant) -> bool {
        self.since.get_or_insert(now);
        let place = self.places.entry(place).or_default();
        let known = place.lines.get(&line).copied().unwrap_or_default();
        if known < same && place.written < OF_ONE_PLACE {
            place.written += 1;
            *place.lines.entry(line).or_default() += 1;
            return true;
        }
        let (times, _) = place.left_out.get_or_insert((0, line));
        *times += 1;
        false
    }

    /// What was left out, if it is time to count anew.
    fn over(&mut self, now: Instant) -> Vec<(u64, String)> {
        let is_over = |since| now.saturating_duration_since(since) >= WINDOW;
        if !self.since.is_some_and(is_over) {
            return Vec::new();
        }
        self.since = None;
        let places = self.places.drain();
        places.filter_map(|(_, place)| place.left_out).collect()
    }
}

/// An event's message.
#[derive(Default)]
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            // A string takes everything.
            let _written = write!(self.0, "{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_line_is_written_three_times_and_then_counted() {
        let (mut repeats, start) = (Repeats::default(), Instant::now());
        let mut pass = |line: &str| repeats.pass("a.rs:1", line.to_owned(), SAME, start);

        assert_eq!(
            [(); 5].map(|()| pass("again")),
            [true, true, true, false, false]
        );
        assert!(pass("another"));

        assert_eq!(repeats.over(start + WINDOW / 2), []);
        assert_eq!(repeats.over(start + WINDOW), [(2, "again".to_owned())]);
        assert!(repeats.pass("a.rs:1", "again".to_owned(), SAME, start + WINDOW));
    }

    #[test]
    fn a_change_that_comes_again_is_told_again() {
        let (mut repeats, start) = (Repeats::default(), Instant::now());
        let line = || "maintenance has begun".to_owned();

        let mut written = (0..50).map(|_| repeats.pass("a.rs:1", line(), OF_ONE_PLACE, start));

        assert!(written.all(|it| it));
    }

    #[test]
    fn a_place_that_talks_too_much_leaves_the_others_their_say() {
        let (mut repeats, start) = (Repeats::default(), Instant::now());
        let lines = (0..OF_ONE_PLACE + 7).map(|number| format!("line {number}"));

        let written = lines
            .filter(|line| repeats.pass("a.rs:1", line.clone(), SAME, start))
            .count();

        assert_eq!(written, 500);
        assert!(repeats.pass("b.rs:1", "line 0".to_owned(), SAME, start));
        assert_eq!(repeats.over(start + WINDOW), [(7, "line 500".to_owned())]);
    }
}
