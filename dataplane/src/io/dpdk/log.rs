//! DPDK's log: each line goes to one sink, and the first error during a call is kept for the
//! error that call ends in.
//!
//! DPDK explains itself only in its log: a driver that cannot find its interface logs why and
//! returns -1. It logs on the thread that called it, so a thread-local slot is enough to tell
//! which call a line belongs to. DPDK would otherwise write to standard error and the syslog
//! behind the program's back.

use std::cell::RefCell;
use std::ffi::c_char;
use std::panic;
use std::sync::OnceLock;

use dpdk_sys as sys;

/// How grave a line of DPDK's log is; a configured level lets itself and all graver ones pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogLevel {
    /// Something failed.
    Error,
    /// Something works, but not as well as it should.
    Warning,
    /// Something an operator may want to know.
    Notice,
    /// What DPDK does.
    Info,
    /// How DPDK does it.
    Debug,
}

impl LogLevel {
    /// The name `--log-level` takes.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Notice => "notice",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }

    const fn from_dpdk(level: u32) -> Self {
        match level {
            ..=sys::RTE_LOG_ERR => Self::Error,
            sys::RTE_LOG_WARNING => Self::Warning,
            sys::RTE_LOG_NOTICE => Self::Notice,
            sys::RTE_LOG_INFO => Self::Info,
            _ => Self::Debug,
        }
    }
}

/// Takes a line of DPDK's log, without its line end; called on whatever thread logs.
pub type LogSink = fn(LogLevel, &str);

static SINK: OnceLock<LogSink> = OnceLock::new();

thread_local! {
    static FIRST_ERROR: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Sends DPDK's log to `sink`; the first sink stays. False when there is no memory for the
/// stream, so that DPDK keeps writing to standard error.
pub(super) fn redirect(sink: LogSink) -> bool {
    let _ = SINK.set(sink);
    // SAFETY: the callback lives as long as the program.
    let stream = unsafe { sys::shim_log_stream(Some(take_line)) };
    if stream.is_null() {
        return false;
    }
    // SAFETY: the stream is open and, never closed, stays so for DPDK.
    let result = unsafe { sys::rte_openlog_stream(stream) };
    result == 0
}

/// Runs `call` and gives its result with the first error DPDK logged meanwhile on this thread.
pub(super) fn listen<T>(call: impl FnOnce() -> T) -> (T, Option<String>) {
    FIRST_ERROR.set(None);
    let result = call();
    (result, FIRST_ERROR.take())
}

unsafe extern "C" fn take_line(level: u32, text: *const c_char, length: usize) {
    // SAFETY: the stream passes `length` bytes that live until we return.
    let bytes = unsafe { std::slice::from_raw_parts(text.cast::<u8>(), length) };
    // A panic must not cross into C; a lost log line is the lesser evil.
    let _ = panic::catch_unwind(|| record(LogLevel::from_dpdk(level), bytes));
}

fn record(level: LogLevel, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if level == LogLevel::Error {
            // The first error names the cause; what follows says what it led to.
            FIRST_ERROR.with_borrow_mut(|first| {
                first.get_or_insert_with(|| line.to_owned());
            });
        }
        if let Some(sink) = SINK.get() {
            sink(level, line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_of_a_call_is_kept_and_only_for_that_call() {
        let ((), said) = listen(|| {
            record(LogLevel::Info, b"probing\n");
            record(LogLevel::Error, b"interface not found\n");
            record(LogLevel::Error, b"cannot attach\n");
        });
        let ((), later) = listen(|| ());

        assert_eq!(said.as_deref(), Some("interface not found"));
        assert_eq!(later, None);
    }

    #[test]
    fn levels_graver_than_error_count_as_errors() {
        assert_eq!(LogLevel::from_dpdk(sys::RTE_LOG_EMERG), LogLevel::Error);
        assert_eq!(LogLevel::from_dpdk(sys::RTE_LOG_NOTICE), LogLevel::Notice);
        assert_eq!(LogLevel::from_dpdk(sys::RTE_LOG_DEBUG), LogLevel::Debug);
    }
}
