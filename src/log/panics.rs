//! Panics, as a line of the log.
//!
//! A release ends with the first panic, so its line is all there is: nobody joins the thread.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::PanicHookInfo;

use super::fatal;

/// From now on a panic is logged instead of printed; with `RUST_BACKTRACE` so is the way there.
pub(super) fn are_told() {
    std::panic::set_hook(Box::new(|panic| {
        fatal(&sentence(panic));
        let way = Backtrace::capture();
        if way.status() == BacktraceStatus::Captured {
            way.to_string().lines().for_each(fatal);
        }
    }));
}

fn sentence(panic: &PanicHookInfo<'_>) -> String {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("without a name");
    let place = panic.location().map(ToString::to_string);
    let place = place.as_deref().unwrap_or("an unknown place");
    let payload = panic.payload();
    let literal = payload.downcast_ref::<&str>().copied();
    let message = literal.or_else(|| payload.downcast_ref().map(String::as_str));
    let message = message.unwrap_or("without a message").replace('\n', "; ");
    format!("thread {thread} has panicked at {place}: {message}")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::super::{LogFormat, start};

    /// What [`a_panic_is_one_line_of_the_log`] runs in a process of its own.
    #[test]
    #[ignore = "panics"]
    fn a_worker_panics() {
        start("info", LogFormat::Json);
        let name = "sluice-worker7".to_owned();
        let worker = std::thread::Builder::new().name(name);
        let worker = worker.spawn(|| panic!("the table is odd:\n{}", 3)).unwrap();
        worker.join().unwrap_err();
    }

    #[test]
    fn a_panic_is_one_line_of_the_log() {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "log::panics::tests::a_worker_panics"]);
        child.args(["--ignored", "--nocapture"]);
        child.env_remove("RUST_BACKTRACE");

        let said = child.output().unwrap();

        let text = String::from_utf8(said.stderr).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("\"level\":\"ERROR\""), "{text}");
        let sentence = "thread sluice-worker7 has panicked at src/log/panics.rs:";
        assert!(text.contains(sentence), "{text}");
        assert!(text.contains(": the table is odd:; 3\""), "{text}");
    }
}
