//! Stamps the binary with the commit it was built from.

use std::path::Path;
use std::process::Command;

fn main() {
    let commit = Command::new("git")
        .args(["rev-parse", "--short=12", "HEAD"])
        .output()
        .ok()
        .filter(|out| out.status.success())
        .map_or_else(
            || "unknown".to_owned(),
            |out| String::from_utf8_lossy(&out.stdout).trim().to_owned(),
        );
    println!("cargo:rustc-env=SLUICE_COMMIT={commit}");
    // The log of HEAD moves with each commit; a source archive has none.
    let log = ".git/logs/HEAD";
    println!(
        "cargo:rerun-if-changed={}",
        if Path::new(log).exists() {
            log
        } else {
            "build.rs"
        }
    );
}
