//! `sluice-bench`: one subcommand for each kind of measurement.

use std::process::ExitCode;
use std::time::Duration;

use bench::generator::{Case, Load};
use bench::replay;
use clap::Parser;
use dataplane::address::Protocol;
use dataplane::service::{Method, SchedulerKind};

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
    /// Generated packets around the worker itself.
    Generator(GeneratorArguments),
}

#[derive(clap::Args)]
struct GeneratorArguments {
    #[arg(long, default_value = "fullnat")]
    method: String,
    #[arg(long, default_value = "udp")]
    proto: String,
    #[arg(long, default_value_t = 1_000)]
    flows: u64,
    #[arg(long, value_enum, default_value = "request")]
    load: Load,
    #[arg(long, default_value_t = 1_000_000)]
    window: u64,
    #[arg(long, default_value_t = 7)]
    windows: usize,
    #[arg(long)]
    without_baseline: bool,
    /// Seconds to run before it is measured, for a profiler.
    #[arg(long, default_value_t = 0)]
    profile: u64,
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Replay(arguments) => ended(replay::run(&arguments)),
        Command::Generator(arguments) => generate(&arguments),
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

fn generate(arguments: &GeneratorArguments) -> ExitCode {
    let methods = [Method::Dr, Method::Nat, Method::Tun, Method::Fullnat];
    for method in methods {
        if !arguments
            .method
            .split(',')
            .any(|name| name == method.name())
        {
            continue;
        }
        let case = Case {
            method,
            protocol: if arguments.proto == "udp" {
                Protocol::Udp
            } else {
                Protocol::Tcp
            },
            flows: arguments.flows,
            load: arguments.load,
            scheduler: SchedulerKind::Rr,
            servers: 100,
            window: arguments.window,
            windows: arguments.windows,
            without_baseline: arguments.without_baseline,
        };
        match case.run(Some(Duration::from_secs(arguments.profile))) {
            Ok(figures) => println!(
                "{method} {:?} {}: {:.1} ns, baseline {:.1}, net {:.1}",
                arguments.load,
                arguments.flows,
                figures.nanos,
                figures.baseline_nanos,
                figures.net_nanos()
            ),
            Err(error) => {
                println!("{method}: {error}");
            }
        }
    }
    ExitCode::SUCCESS
}
