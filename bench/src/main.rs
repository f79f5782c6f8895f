//! `sluice-bench`: one subcommand for each kind of measurement.

use std::process::ExitCode;

use bench::changes;
use bench::generator;
use bench::health;
use bench::latency::{self, response_times, sum_of_servers};
use bench::replay;
use bench::scrape;
use clap::Parser;

/// Measures sluice.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// The daemon and testpmd over the same replay: every method, one flow to a million.
    Replay(replay::Arguments),
    /// Two workers on two queues of the daemon against one on one.
    Scaling(replay::scaling::Arguments),
    /// Generated packets around the worker itself: mixtures, new sessions, ten million.
    Generator(generator::Options),
    /// Whether two workers write one cache line for packets of established sessions.
    SharedLines(generator::SharedLines),
    /// Response times of a web server, asked directly and through the gateway.
    Latency(response_times::Options),
    /// Loading 10,000 services, one change on top of them, and the worker's gaps meanwhile.
    Changes(changes::Options),
    /// Checking 2,000 servers once a second: CPU of the thread, and how late checks begin.
    Health(health::Options),
    /// Scraping 10,000 services: how long it takes, how much it is, and whom it holds up.
    Scrape(scrape::Options),
    /// A VIP against the sum of the servers behind it.
    Servers(sum_of_servers::Options),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Replay(arguments) => ended(replay::run(&arguments)),
        Command::Scaling(arguments) => ended(replay::scaling::run(&arguments)),
        Command::Generator(options) => generator::run(&options),
        Command::SharedLines(options) => generator::check_shared_lines(options),
        Command::Latency(options) => latency::measure(|| response_times::run(&options)),
        Command::Changes(options) => ended(changes::run(&options)),
        Command::Health(options) => ended(health::run(&options)),
        Command::Scrape(options) => ended(scrape::run(&options)),
        Command::Servers(options) => latency::measure(|| sum_of_servers::run(&options)),
    }
}

/// 0 when every case has its figure.
fn ended(outcome: Result<bool, impl std::fmt::Display>) -> ExitCode {
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("sluice-bench: {error}");
            ExitCode::FAILURE
        }
    }
}
