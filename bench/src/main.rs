//! `sluice-bench`: one subcommand for each kind of measurement.

use std::process::ExitCode;

use bench::generator;
use bench::latency::{self, response_times, sum_of_servers};
use clap::Parser;

/// Measures sluice.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Generator(generator::Options),
    Latency(response_times::Options),
    Servers(sum_of_servers::Options),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Generator(options) => generator::run(&options),
        Command::Latency(options) => latency::measure(|| response_times::run(&options)),
        Command::Servers(options) => latency::measure(|| sum_of_servers::run(&options)),
    }
}
