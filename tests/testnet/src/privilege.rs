//! Whether tests can make namespaces here, and what happens when they cannot.

use std::io::Write as _;
use std::path::Path;

/// Programs the tests run, all installed by `scripts/setup`.
const PROGRAMS: [&str; 9] = [
    "bird", "curl", "ethtool", "ip", "iperf3", "nft", "nginx", "nstat", "ping",
];

/// Whether a test may go on.
///
/// Without root, or without a program the tests need, it prints `SKIPPED` with the reason and
/// answers `false`.
///
/// # Panics
///
/// With `CI_NO_SKIP=1` in the environment, where skipping would hide a failure.
#[must_use]
pub fn ready(test: &str) -> bool {
    let Some(reason) = obstacle() else {
        return true;
    };
    assert!(
        std::env::var_os("CI_NO_SKIP").is_none_or(|value| value != "1"),
        "{test} may not be skipped here: {reason}"
    );
    // Not by `eprintln!`, whose output the test runner hides when a test passes.
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {reason}");
    false
}

/// Ends the calling test early, loudly, where namespaces cannot be made.
#[macro_export]
macro_rules! require_namespaces {
    () => {
        if !$crate::privilege::ready(concat!(module_path!(), ":", line!())) {
            return;
        }
    };
}

fn obstacle() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("making network namespaces needs root".to_owned());
    }
    let missing = PROGRAMS.into_iter().find(|name| !installed(name))?;
    Some(format!("{missing} is not installed, run scripts/setup"))
}

/// `/usr/sbin` counts even where it is not in `PATH`, because `ip netns exec` finds it there.
fn installed(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(["/usr/sbin", "/usr/bin"])
        .any(|dir| Path::new(dir).join(program).exists())
}
