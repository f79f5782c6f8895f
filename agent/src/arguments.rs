//! What an operator types.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Parser;

/// The version with the commit it was built from.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("SLUICE_COMMIT"), ")");

/// Tells a gateway how much this server can bear, by HAProxy's agent-check protocol.
#[derive(Debug, Parser)]
#[command(version = VERSION)]
pub(crate) struct Arguments {
    /// Where gateways ask.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:9999")]
    pub(crate) listen: SocketAddr,
    /// How busy the CPU may be: at this percentage nothing is left of the weight.
    #[arg(long, value_name = "PERCENT", default_value_t = 90,
        value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) cpu_max: u8,
    /// How many established connections a local port may have; may be said for several ports.
    #[arg(long, value_name = "PORT:MAX")]
    pub(crate) connections: Vec<ConnectionLimit>,
    /// A file with the word drain, maint, down or up in it; none is up.
    #[arg(long, value_name = "PATH")]
    pub(crate) file: Option<PathBuf>,
    /// Look for a second, print the line and end.
    #[arg(long)]
    pub(crate) once: bool,
    /// Write the manual's page and end.
    #[arg(long, hide = true)]
    pub(crate) man: bool,
    /// Where the kernel tells about itself.
    #[arg(long, value_name = "PATH", default_value = "/proc", hide = true)]
    pub(crate) proc: PathBuf,
}

/// How many connections a port may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionLimit {
    pub(crate) port: u16,
    pub(crate) max: u32,
}

impl FromStr for ConnectionLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once(':').and_then(|(port, max)| {
            let port = port.parse().ok().filter(|&port| port > 0)?;
            let max = max.parse().ok().filter(|&max| max > 0)?;
            Some(Self { port, max })
        });
        parsed.ok_or_else(|| "a port and a number above 0, as 80:5000".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_port_and_a_number() {
        let limit = ConnectionLimit {
            port: 443,
            max: 20_000,
        };

        assert_eq!("443:20000".parse(), Ok(limit));
        for wrong in ["443", "443:", "0:5", "443:0", "65536:5", ":", "443:many"] {
            assert!(wrong.parse::<ConnectionLimit>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn nothing_needs_to_be_said() {
        let arguments = Arguments::try_parse_from(["sluice-agent"]).unwrap();

        assert_eq!(arguments.listen, "0.0.0.0:9999".parse().unwrap());
        assert_eq!(arguments.cpu_max, 90);
        assert!(arguments.connections.is_empty());
    }

    #[test]
    fn a_share_of_the_cpu_is_a_percentage() {
        for wrong in ["0", "101", "half"] {
            let arguments = ["sluice-agent", "--cpu-max", wrong];
            assert!(Arguments::try_parse_from(arguments).is_err(), "{wrong}");
        }
    }
}
