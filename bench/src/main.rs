//! `sluice-bench`: one subcommand for each kind of measurement.

use clap::Parser;

/// Measures sluice.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {}

fn main() {
    match Arguments::parse().command {}
}
