//! `sluice`: the gateway's daemon.
//!
//! Arguments become a configuration, the configuration becomes running ethdevs, twins and
//! workers ([`daemon`]), and whatever goes wrong on the way is one sentence in the log and exit
//! code 1.

mod daemon;
mod log;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::LazyLock;

use clap::{CommandFactory, Parser};
use control::config::Config;
use control::describe::{self, Form};
use log::LogFormat;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// The version, the commit it was built from, and the DPDK that this process runs with.
static VERSION: LazyLock<String> =
    LazyLock::new(|| format!("{}, {}", daemon::VERSION, dataplane::io::dpdk::version()));

/// A layer-4 gateway on DPDK: DR, NAT, TUN and FULLNAT for people who run LVS.
#[derive(Debug, Parser)]
#[command(name = "sluice", version = VERSION.as_str())]
struct Arguments {
    /// The configuration file.
    #[arg(
        short,
        long,
        value_name = "FILE",
        default_value = "/etc/sluice/sluice.toml"
    )]
    config: PathBuf,
    /// Check the configuration file and exit.
    #[arg(long)]
    check: bool,
    /// Which log lines are written to standard error (as RUST_LOG: `info`, `debug`, ...).
    #[arg(
        long,
        value_name = "FILTER",
        env = "SLUICE_LOG",
        default_value = "info",
        value_parser = filter
    )]
    log: String,
    /// Write the manual's page, or what completes words in a shell, and exit.
    #[arg(long, hide = true, value_name = "FORM", value_enum)]
    describe: Option<Form>,
    /// What a line of the log is.
    #[arg(
        long,
        value_name = "FORMAT",
        env = "SLUICE_LOG_FORMAT",
        default_value = "text"
    )]
    log_format: LogFormat,
}

/// A filter as `EnvFilter` reads it; a lone word must be a level, as it takes others for the name
/// of a module and then writes nothing.
fn filter(text: &str) -> Result<String, String> {
    let is_level = |word: &str| word.parse::<LevelFilter>().is_ok();
    let is_meant = |part: &str| part.contains(['=', '[']) || is_level(part.trim());
    if !text.split(',').all(is_meant) {
        return Err("give off, error, warn, info, debug or trace, or MODULE=LEVEL".to_owned());
    }
    EnvFilter::try_new(text)
        .map(|_| text.to_owned())
        .map_err(|error| error.to_string())
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(form) = arguments.describe {
        return match describe::write(Arguments::command(), form, &mut std::io::stdout()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    log::start(&arguments.log, arguments.log_format);
    let ended = run(&arguments);
    // Why it ends comes last; of that there may be more than is written, too.
    log::end();
    for sentence in ended.as_ref().err().into_iter().flatten() {
        log::fatal(sentence);
    }
    log::end();
    ended.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
}

/// Does what the arguments ask for, or says why not, a sentence for each mistake.
fn run(arguments: &Arguments) -> Result<(), Vec<String>> {
    let loaded = Config::load(&arguments.config);
    let (config, warnings) =
        loaded.map_err(|errors| errors.0.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    for warning in &warnings.0 {
        tracing::warn!("{warning}");
    }
    if arguments.check {
        println!("{}: the configuration is valid", arguments.config.display());
        return Ok(());
    }
    daemon::run(config, &arguments.config)
        .map_err(|error| vec![format!("the gateway ends: {error}")])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_level_or_levels_of_modules() {
        for text in ["info", "WARN", "off", "info,control::api=debug"] {
            assert_eq!(filter(text), Ok(text.to_owned()));
        }
        for text in ["loud", "info,debugg", "control=loud"] {
            assert!(filter(text).is_err(), "{text}");
        }
    }
}
