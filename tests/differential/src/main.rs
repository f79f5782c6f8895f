//! `sluice-differential`: writes the scenarios of the suite.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use differential::written;

/// Writes the scenarios of the suite.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// Writes the scenarios to this folder
    #[arg(long, value_name = "DIR")]
    write: PathBuf,
}

fn main() -> ExitCode {
    match written::write(&Options::parse().write) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sluice-differential: {error}");
            ExitCode::from(2)
        }
    }
}
