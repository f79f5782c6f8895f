//! systemd's journal at the other end of standard error.

use std::ffi::OsStr;
use std::fmt;

use nix::sys::stat::fstat;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Whether the journal reads what this process writes to standard error: `JOURNAL_STREAM` names the
/// device and inode of its socket (`systemd.exec(5)`), and whoever redirects it has another.
pub(super) fn reads_stderr() -> bool {
    let stream = std::env::var_os("JOURNAL_STREAM");
    let own = fstat(std::io::stderr()).map(|it| format!("{}:{}", it.st_dev, it.st_ino));
    stream
        .zip(own.ok())
        .is_some_and(|(stream, own)| stream == OsStr::new(&own))
}

/// Lines with their priority in front.
pub(super) struct Prefixed<F>(pub(super) F);

impl<S, N, F> FormatEvent<S, N> for Prefixed<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        write!(writer, "<{}>", priority(*event.metadata().level()))?;
        self.0.format_event(context, writer, event)
    }
}

/// The number of a level in `syslog(3)`.
const fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}
