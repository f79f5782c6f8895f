//! `sluicectl`: asks and changes a running gateway.

use std::process::ExitCode;

/// The version with the commit it was built from.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("SLUICE_COMMIT"), ")");

fn main() -> ExitCode {
    control::ctl::main(VERSION)
}
