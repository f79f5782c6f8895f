//! Network namespaces for tests, and the `ip` program in them.

use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};

/// Runs `test` on a thread in a new network namespace, which vanishes with the thread and its
/// children. Its `lo` is up and nothing else is there.
pub(crate) fn in_namespace(test: impl FnOnce() + Send + 'static) {
    if !nix::unistd::geteuid().is_root() {
        // Past the capture of the test harness, which swallows what passing tests print.
        let _ = writeln!(std::io::stderr(), "SKIPPED: needs root");
        assert!(
            std::env::var_os("CI_NO_SKIP").is_none_or(|value| value != "1"),
            "this test needs root, and CI_NO_SKIP=1 forbids to skip it"
        );
        return;
    }
    let thread = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).expect("a new network namespace");
        ip("link set lo up");
        test();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Runs `ip ARGUMENTS` (split at spaces) in the thread's namespace and gives what it printed.
pub(crate) fn ip(arguments: &str) -> String {
    run("ip", arguments)
}

/// Runs a program with arguments split at spaces, and gives what it printed.
pub(crate) fn run(program: &str, arguments: &str) -> String {
    let output = Command::new(program)
        .args(arguments.split_whitespace())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(
        output.status.success(),
        "{program} {arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Whether a program with arguments split at spaces succeeds.
pub(crate) fn succeeds(program: &str, arguments: &str) -> bool {
    let output = Command::new(program)
        .args(arguments.split_whitespace())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    output.status.success()
}

/// Waits up to half a minute for `condition`.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
