//! The command line.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand};

/// Asks and changes a running gateway.
///
/// Exits with 0 when all is well, 1 when the answer is no (a refused or wrong configuration, a
/// gateway that is not healthy), 2 when there is no answer.
#[derive(Debug, Parser)]
#[command(name = "sluicectl", version)]
pub(super) struct Arguments {
    /// The gateway's socket (`socket` in its [gateway] section).
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        default_value = "/run/sluice/sluice.sock"
    )]
    pub(super) socket: PathBuf,

    /// Prints the API's JSON instead of tables.
    #[arg(long, global = true)]
    pub(super) json: bool,

    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Shows workers, interfaces, local addresses, drops, and what should be mended.
    Status,
    /// Shows virtual services with their real servers and counters.
    Services,
    /// Shows sessions, writes them to a file, or brings them in from one.
    Sessions(Sessions),
    /// Shows the variables of IPVS, or sets one until a configuration is applied.
    Sysctl {
        /// Shows only NAME; `NAME=VALUE` sets it. To keep it, write it into [ipvs] of the file.
        #[arg(value_name = "NAME[=VALUE]")]
        variable: Option<String>,
    },
    /// Makes FILE the configuration: all of it or none.
    Apply {
        /// A TOML file; `-` is the standard input.
        file: PathBuf,
    },
    /// Says everything that is wrong with FILE; needs no running gateway.
    Check {
        /// A TOML file; `-` is the standard input.
        file: PathBuf,
    },
    /// Shows the configuration that runs, as TOML.
    Config {
        /// As TOML, which is the default without --json.
        #[arg(long, conflicts_with = "json")]
        toml: bool,
    },
    /// Says whether every worker runs and has the newest configuration.
    Health,
    /// Shows the versions of sluicectl and of the gateway.
    Version,
}

/// Which sessions, and how many.
#[derive(Debug, Args)]
pub(super) struct Sessions {
    /// Only sessions of this client.
    #[arg(long, value_name = "ADDRESS")]
    pub(super) client: Option<IpAddr>,

    /// Only sessions to this VIP.
    #[arg(long, value_name = "ADDRESS")]
    pub(super) vip: Option<IpAddr>,

    /// Only sessions on this real server.
    #[arg(long, value_name = "ADDRESS")]
    pub(super) server: Option<IpAddr>,

    /// Only sessions of this transport.
    #[arg(long, value_parser = PossibleValuesParser::new(["tcp", "udp", "sctp"]))]
    pub(super) protocol: Option<String>,

    /// At most this many.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) limit: u64,

    /// All of them; with --json one document for each page.
    #[arg(long, conflicts_with = "limit")]
    pub(super) all: bool,

    /// Writes all of them to FILE, one line of JSON each, for --import; `-` is the standard output.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["limit", "all", "import"])]
    pub(super) export: Option<PathBuf>,

    /// Brings the sessions of FILE in, and says what became of them; `-` is the standard input.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["limit", "all", "client", "vip", "server", "protocol"]
    )]
    pub(super) import: Option<PathBuf>,
}
