//! `sluice-bench`: one subcommand for each kind of measurement.

use std::process::ExitCode;

use bench::latency::{failure::Failure, response_times, sum_of_servers, undo};
use clap::Parser;

/// Measures sluice.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Latency(response_times::Options),
    Servers(sum_of_servers::Options),
}

fn main() -> ExitCode {
    match run(&Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Latency(options) => undoing(|| response_times::run(options)),
        Command::Servers(options) => undoing(|| sum_of_servers::run(options)),
    }
}

/// Namespaces are taken down however a measurement ends.
fn undoing(measure: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    undo::on_any_end().map_err(Failure::machine("watch for signals"))?;
    measure()
}
