//! The log, on standard error: lines for people, or JSON for programs.
//!
//! ```text
//! event ──► EnvFilter (--log) ──► Repeats (what comes again and again) ──► text or JSON
//! ```
//!
//! Everything that is said is said there, to the last: why a start fails, and a panic, which ends the
//! process before anybody else could tell of it.
//!
//! Where the journal of systemd reads it, it has the time from there, and each line begins with its
//! priority (`sd-daemon(3)`), which the journal takes off.

mod journal;
mod panics;
mod repeats;

use std::io::IsTerminal as _;

use clap::ValueEnum;
use tracing::Level;
use tracing_subscriber::fmt::format::{Format, debug_fn, format};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use journal::Prefixed;
pub(crate) use repeats::tell_of_repeats;

/// What a line of the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// A sentence behind the time and the level.
    Text,
    /// An object with `timestamp`, `level`, `message`, and what the sentence is about.
    Json,
}

/// The fields that the sentence of a change says, too.
const SAID: [&str; 6] = ["event", "service", "server", "vip", "reason", "user"];

/// Begins to log what `filter` lets pass.
pub(crate) fn start(filter: &str, format: LogFormat) {
    tracing_subscriber::registry()
        .with(lines(format, journal::reads_stderr()))
        .with(repeats::LeaveOut)
        .with(EnvFilter::new(filter))
        .init();
    panics::are_told();
}

/// Says why the process ends, even if the filter lets nothing pass.
pub(crate) fn fatal(sentence: &str) {
    if tracing::enabled!(Level::ERROR) {
        tracing::error!("{sentence}");
    } else {
        eprintln!("sluice: {sentence}");
    }
}

/// The last that is logged: what was left out until now.
pub(crate) fn end() {
    repeats::tell_of_the_rest();
}

/// What writes the lines.
fn lines(wished: LogFormat, journal: bool) -> Box<dyn Layer<Registry> + Send + Sync> {
    let base: Format = format().with_target(false);
    let layer = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let people = debug_fn(|writer, field, value| match field.name() {
        "message" => write!(writer, "{value:?}"),
        name if SAID.contains(&name) => Ok(()),
        name => write!(writer, " {name}={value:?}"),
    });
    let json = || base.clone().json().flatten_event(true);
    match (wished, journal) {
        (LogFormat::Text, false) => layer.event_format(base).fmt_fields(people).boxed(),
        (LogFormat::Text, true) => layer
            .event_format(Prefixed(base.without_time()))
            .fmt_fields(people)
            .boxed(),
        (LogFormat::Json, false) => layer.event_format(json()).boxed(),
        (LogFormat::Json, true) => layer.event_format(Prefixed(json().without_time())).boxed(),
    }
}
