//! `sluicectl`: asks and changes a running gateway.

use std::process::ExitCode;

fn main() -> ExitCode {
    control::ctl::main()
}
