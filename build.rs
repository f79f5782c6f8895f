//! Stamps the binaries with the commit they were built from: of `sluice` and `sluicectl`, and of
//! `sluice-agent`, which uses this file too.
//!
//! A source archive has no commit; whoever builds from one says it in `SLUICE_COMMIT`.

use std::env;
use std::process::Command;

const VARIABLE: &str = "SLUICE_COMMIT";

fn main() {
    println!("cargo:rerun-if-env-changed={VARIABLE}");
    let commit = env::var(VARIABLE).ok().filter(|commit| !commit.is_empty());
    let commit = commit.or_else(|| git(&["rev-parse", "--short=12", "HEAD"]));
    let commit = commit.unwrap_or_else(|| "unknown".to_owned());
    println!("cargo:rustc-env={VARIABLE}={commit}");
    // The log of HEAD moves with each commit.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"]);
    let log = log.unwrap_or_else(|| "Cargo.toml".to_owned());
    println!("cargo:rerun-if-changed={log}");
}

/// What git says, where there is one.
fn git(words: &[&str]) -> Option<String> {
    let said = Command::new("git").args(words).output().ok()?;
    let text = String::from_utf8(said.stdout).ok()?;
    said.status.success().then(|| text.trim().to_owned())
}
