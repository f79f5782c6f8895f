//! Leaves out what comes again and again, and says how much that was.
//!
//! In ten seconds the same line is written three times, and what one place in the code has to say
//! 500 times. Of changes of state only the latter holds, since the last of them is what is so now,
//! and each kind of change (`event`) counts as a place: all of them are written by one, and servers
//! that fail by the thousand leave a lost quorum its say. `debug` and `trace` are for those who want
//! to see everything.

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
        let mut said = Said::default();
        event.record(&mut said);
        let is_change = metadata.fields().field("event").is_some();
        let same = if is_change { OF_ONE_PLACE } else { SAME };
        // A name has the file and the line.
        let place = said.event.unwrap_or_else(|| metadata.name().to_owned());
        REPEATS.lock().pass(place, said.line, same, Instant::now())
    }
}

/// Says what was left out, once it is over. To be called now and then.
pub(crate) fn tell_of_repeats() {
    let over = REPEATS.lock().over(Instant::now());
    tell(over);
}

/// Says what was left out and not told yet: nobody will ask again.
pub(super) fn tell_of_the_rest() {
    let rest = REPEATS.lock().rest();
    tell(rest);
}

fn tell(left_out: Vec<(u64, String)>) {
    for (times, line) in left_out {
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
    places: HashMap<String, Place>,
    /// What was left out before that, until somebody tells it: nobody looks while the gateway starts.
    untold: Vec<(u64, String)>,
}

/// What one place in the code said, or what was said of one kind of change.
#[derive(Default)]
struct Place {
    lines: HashMap<String, u32>,
    written: u32,
    /// How many lines were left out, and the first of them.
    left_out: Option<(u64, String)>,
}

impl Repeats {
    /// Whether this line may be written, that may be so `same` times.
    fn pass(&mut self, place: String, line: String, same: u32, now: Instant) -> bool {
        self.turn(now);
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

    /// Counts anew if it is time to.
    fn turn(&mut self, now: Instant) {
        let is_over = |since| now.saturating_duration_since(since) >= WINDOW;
        if self.since.is_some_and(is_over) {
            self.count_anew();
        }
    }

    fn count_anew(&mut self) {
        self.since = None;
        let places = self.places.drain();
        self.untold
            .extend(places.filter_map(|(_, place)| place.left_out));
    }

    /// What was left out, as far as it is over.
    fn over(&mut self, now: Instant) -> Vec<(u64, String)> {
        self.turn(now);
        std::mem::take(&mut self.untold)
    }

    /// All that was left out.
    fn rest(&mut self) -> Vec<(u64, String)> {
        self.count_anew();
        std::mem::take(&mut self.untold)
    }
}

/// An event's message, and the kind of change that it is about.
#[derive(Default)]
struct Said {
    line: String,
    event: Option<String>,
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            // A string takes everything.
            let _written = write!(self.line, "{value:?}");
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "event" => self.event = Some(value.to_owned()),
            "message" => value.clone_into(&mut self.line),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn the_same_line_is_written_three_times_and_then_counted() {
        let (mut repeats, start) = (Repeats::default(), Instant::now());
        let mut pass = |line: &str| repeats.pass("a.rs:1".to_owned(), line.to_owned(), SAME, start);

        assert_eq!(
            [(); 5].map(|()| pass("again")),
            [true, true, true, false, false]
        );
        assert!(pass("another"));

        assert_eq!(repeats.over(start + WINDOW / 2), []);
        assert_eq!(repeats.over(start + WINDOW), [(2, "again".to_owned())]);
        assert!(repeats.pass(
            "a.rs:1".to_owned(),
            "again".to_owned(),
            SAME,
            start + WINDOW
        ));
    }

    #[test]
    fn a_change_that_comes_again_is_told_again() {
        let (mut repeats, start) = (Repeats::default(), Instant::now());
        let line = || "maintenance has begun".to_owned();

        let mut written =
            (0..50).map(|_| repeats.pass("a.rs:1".to_owned(), line(), OF_ONE_PLACE, start));

        assert!(written.all(|it| it));
    }

    #[test]
    fn a_place_that_talks_too_much_leaves_the_others_their_say() {
        let (mut repeats, start) = (Repeats::default(), Instant::now());
        let lines = (0..OF_ONE_PLACE + 7).map(|number| format!("line {number}"));

        let written = lines
            .filter(|line| repeats.pass("a.rs:1".to_owned(), line.clone(), SAME, start))
            .count();

        assert_eq!(written, 500);
        assert!(repeats.pass("b.rs:1".to_owned(), "line 0".to_owned(), SAME, start));
        assert_eq!(repeats.over(start + WINDOW), [(7, "line 500".to_owned())]);
    }

    #[test]
    fn while_nobody_looks_it_is_counted_anew_all_the_same() {
        let (mut repeats, start) = (Repeats::default(), Instant::now());
        let mut pass = |now| repeats.pass("a.rs:1".to_owned(), "again".to_owned(), SAME, now);

        assert_eq!([(); 4].map(|()| pass(start)), [true, true, true, false]);
        assert!(pass(start + WINDOW));

        let later = start + WINDOW;
        assert_eq!(repeats.over(later), [(1, "again".to_owned())]);
        assert_eq!(repeats.over(later), []);
    }

    #[test]
    fn at_the_end_the_rest_is_told() {
        let (mut repeats, start) = (Repeats::default(), Instant::now());
        for _ in 0..5 {
            repeats.pass("a.rs:1".to_owned(), "again".to_owned(), SAME, start);
        }

        assert_eq!(repeats.over(start), []);
        assert_eq!(repeats.rest(), [(2, "again".to_owned())]);
        assert_eq!(repeats.rest(), []);
    }

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn servers_that_fail_by_the_thousand_leave_quorums_vips_and_maintenance_their_say() {
        let lines = Lines::default();
        let to = lines.clone();
        let writer = tracing_subscriber::fmt::layer().with_writer(move || to.clone());
        let subscriber = tracing_subscriber::registry().with(writer).with(LeaveOut);
        // All changes are written by one place.
        let change = |event: &str, number: u32| {
            tracing::info!(event = Some(event), "{event} {number} of a test");
        };
        let others = [
            "service-quorum-lost",
            "vip-withdrawn",
            "maintenance-changed",
        ];

        tracing::subscriber::with_default(subscriber, || {
            (0..2_000).for_each(|number| change("server-down", number));
            others.iter().for_each(|event| change(event, 0));
        });

        let text = String::from_utf8(lines.0.lock().clone()).unwrap();
        for event in others {
            assert!(text.contains(&format!("{event} 0 of a test")), "{event}");
        }
    }
}
