//! The command line.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

use super::host::{Doctor, SetupHost};
use super::realserver_check::Check;
use super::realserver_setup::Setup;
use super::size::Demand;

/// Where the gateway answers when nobody says another place.
pub(super) const DEFAULT_SOCKET: &str = "/run/sluice/sluice.sock";

/// The environment variable that names another place.
pub(super) const SOCKET_VARIABLE: &str = "SLUICE_SOCKET";

/// Asks and changes a running gateway.
///
/// Exits with 0 when all is well, 1 when the answer is no (a refused or wrong configuration, a
/// gateway that is not healthy), 2 when there is no answer.
#[derive(Debug, Parser)]
#[command(name = "sluicectl", version = super::version())]
pub(super) struct Arguments {
    /// The gateway's socket (`socket` in its [gateway] section).
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        env = SOCKET_VARIABLE,
        default_value = DEFAULT_SOCKET
    )]
    pub(super) socket: PathBuf,

    /// Prints the API's JSON instead of tables; `completions` and `man` write what they write.
    #[arg(long, global = true)]
    pub(super) json: bool,

    /// When to write in colour; `auto` is on a terminal, unless NO_COLOR is set.
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t = Colour::Auto)]
    pub(super) color: Colour,

    #[command(subcommand)]
    pub(super) command: Command,
}

/// When to write in colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Colour {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Shows workers, interfaces, local addresses, drops, and what should be mended.
    Status,
    /// Shows virtual services with their real servers and counters.
    Services {
        /// Only this one: its name, or `tcp 10.1.0.100:80`, `10.1.0.100:80`, `mark 3`.
        service: Option<String>,
    },
    /// Shows sessions, writes them to a file, or brings them in from one.
    Sessions(Sessions),
    /// Gives a server no new sessions any more: sets its weight to 0, and keeps its sessions.
    ///
    /// With --wait it shows how they get fewer, and exits with 0 when there are none left, 1 when
    /// the time is over first or it is interrupted; the weight stays 0. Clients of persistent
    /// services still come back to it unless expire_quiescent_template is set.
    Drain(Drain),
    /// Gives a drained server the weight back that it had before.
    Undrain(Servers),
    /// Takes the gateway out of service and back: withdraws its VIPs from routers.
    ///
    /// While maintenance is on, no VIP is announced and the gateway is not ready; sessions go on,
    /// and new ones that still come are served. It ends with `off`, or with the process. With
    /// --wait it shows how sessions get fewer, and exits with 0 when nobody uses any, 1 when the
    /// time is over first or it is interrupted.
    Maintenance(Maintenance),
    /// Takes a server out: it is not checked any more, and gets nothing.
    Disable(Servers),
    /// Brings a server back that was taken out; it serves as soon as its checks let it.
    Enable(Servers),
    /// Says what the gateway would do with a packet, and why; sends nothing and changes nothing.
    ///
    /// Asks the worker that has the packet's session, or would have it: which session or service it
    /// is for, which server it would get now, by which next hop it leaves, or why it is dropped.
    /// The packet is whole and small. Exits with 1 when it would be dropped.
    Explain(Explain),
    /// Shows the variables of IPVS, or sets one until a configuration is applied.
    Sysctl {
        /// Shows only NAME; `NAME=VALUE` sets it. To keep it, write it into [ipvs] of the file.
        #[arg(value_name = "NAME[=VALUE]")]
        variable: Option<String>,
    },
    /// Does what the words of LVS's ipvsadm say; a link of that name to sluicectl does too.
    ///
    /// Exits as ipvsadm does: 0, 1 for a listing of nothing, 2 for a mistake in the words or
    /// without a gateway, 255 for what is refused. `sluicectl ipvsadm -h` tells them.
    #[command(disable_help_flag = true)]
    Ipvsadm {
        /// ipvsadm's words; none lists the services.
        #[arg(
            value_name = "WORDS",
            trailing_var_arg = true,
            allow_hyphen_values = true
        )]
        words: Vec<String>,
    },
    /// Shows what applying FILE would change; changes nothing.
    ///
    /// Exits with 0 when FILE says what runs, 1 when it does not, 2 when that cannot be said: FILE
    /// has mistakes or cannot be read, or there is no gateway.
    Diff {
        /// A TOML file; `-` is the standard input.
        file: PathBuf,
    },
    /// Makes FILE the configuration, all of it or none, and shows what that changed.
    Apply {
        /// A TOML file; `-` is the standard input.
        file: PathBuf,
    },
    /// Says everything that is wrong with FILE; needs no running gateway.
    Check {
        /// A TOML file; `-` is the standard input.
        file: PathBuf,
    },
    /// Shows the configuration that runs, as TOML that applies again to no difference.
    ///
    /// It has what ipvsadm, the API and `sysctl` changed since the file was applied: written to the
    /// file (`sluicectl config --running > FILE`), the changes outlive a restart.
    Config {
        /// What runs, which is what is shown anyway.
        #[arg(long)]
        running: bool,
        /// As TOML, which is the default without --json.
        #[arg(long, conflicts_with = "json")]
        toml: bool,
    },
    /// Says how many cores, how much memory and how many local addresses traffic needs, with a
    /// configuration for it; needs no running gateway.
    Size(Demand),
    /// Turns a configuration of LVS into one of the gateway's; needs no running gateway.
    Import {
        #[command(subcommand)]
        from: Import,
    },
    /// Says what makes a real server of a machine; needs no running gateway.
    ///
    /// Writes the commands, for `sh -e` as root, which do no harm when done twice, and the files
    /// that --persist asks for. It changes nothing unless --apply says so. Exits with 1 when that
    /// cannot be, or a step fails.
    RealserverSetup(Setup),
    /// Looks at real servers from the gateway's side for the mistakes of setting them up.
    ///
    /// Asks each by ARP, TCP, UDP and ICMP, as far as its method goes: does it answer ARP for the
    /// VIP, take the VIP's packets, answer from the VIP, take full-size packets from a tunnel, answer
    /// by the gateway. Takes some seconds for each. Exits with 1 when something is wrong; what could
    /// not be looked at is said.
    RealserverCheck(Check),
    /// Says whether every worker runs and has the newest configuration, and how the servers are.
    ///
    /// Exits with 1 when a worker does not, or when SERVICE is given and has no quorum.
    Health {
        /// Shows only how the servers of SERVICE are: a name, or `tcp 10.1.0.100:80`.
        service: Option<String>,
    },
    /// Says whether traffic should be sent to this gateway, within a second: for scripts.
    ///
    /// Exits with 0 when it should, else with 1, also when there is no gateway or it does not
    /// answer.
    Ready {
        /// Says nothing.
        #[arg(long, short)]
        quiet: bool,
    },
    /// Says whether this machine is ready for a gateway, and what makes it so; changes nothing.
    ///
    /// Needs no running gateway. Exits with 0 when nothing has to be mended (advice is no
    /// problem), 1 when something has, 2 when it cannot be said: FILE has mistakes or cannot be
    /// read, or there is no /proc or /sys.
    Doctor(Doctor),
    /// Makes this machine ready: huge pages, NICs, kernel parameters, now and after each boot.
    ///
    /// What it changes is noted in /var/lib/sluice/setup-host.json, and --undo takes all of that
    /// back; what is so already is left. Exits with 0 when all is done, 1 when something is
    /// refused or the kernel gave less, 2 when a change failed (--undo takes back what was done).
    SetupHost(SetupHost),
    /// Shows the versions of sluicectl and of the gateway.
    Version,
    /// Writes what completes this command's words in a shell.
    ///
    /// bash: `source <(sluicectl completions bash)`; zsh: into `_sluicectl` of a directory of
    /// $fpath; fish: `sluicectl completions fish | source`.
    Completions {
        /// Which shell.
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Writes the manual: all its pages for `man -l -`, or files of them.
    Man {
        /// Writes each page to a file of this directory instead.
        #[arg(long, value_name = "DIR")]
        output: Option<PathBuf>,
    },
}

/// What a configuration of LVS is written in.
#[derive(Debug, Subcommand)]
pub(super) enum Import {
    /// Takes over the virtual servers of keepalived.conf.
    ///
    /// Writes TOML to the standard output, and what could not be taken over as it was to the
    /// standard error. Exits with 1 when the files make no sense, 2 when one cannot be read.
    Keepalived {
        /// keepalived's files, one behind the other; what they include is found by itself. `-` is
        /// the standard input.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,

        /// Takes lines `@NAME` as on the host that keepalived calls NAME (its --config-id); this
        /// host's name otherwise.
        #[arg(long, value_name = "NAME")]
        config_id: Option<String>,

        #[command(flatten)]
        to: ImportTo,
    },
    /// Takes over rules as `ipvsadm -S` or `ipvsadm-save` wrote them, or a script of such lines.
    ///
    /// Writes TOML to the standard output, and what could not be taken over as it was to the
    /// standard error. Exits with 1 when ipvsadm would refuse a line, 2 when the file cannot be
    /// read.
    Ipvsadm {
        /// The rules; `-` is the standard input.
        #[arg(value_name = "FILE", default_value = "-")]
        file: PathBuf,

        #[command(flatten)]
        to: ImportTo,
    },
}

/// Where an import goes.
#[derive(Debug, Args)]
pub(super) struct ImportTo {
    /// Writes to FILE instead of the standard output.
    #[arg(long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,

    /// Writes the sections of this configuration first, all but its services, and checks the whole.
    #[arg(long, value_name = "CONFIG")]
    pub(super) base: Option<PathBuf>,
}

/// A shell that can complete words.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Shell {
    Bash,
    Zsh,
    Fish,
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

/// A packet that nobody sends.
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// Who sends it: `10.1.0.9:40000`, `[2001:db8::9]:40000`.
    #[arg(value_name = "SRC:PORT")]
    pub(super) source: SocketAddr,

    /// To whom.
    #[arg(value_name = "DST:PORT")]
    pub(super) destination: SocketAddr,

    /// By which transport.
    #[arg(value_parser = PossibleValuesParser::new(["tcp", "udp", "sctp"]), default_value = "tcp")]
    pub(super) protocol: String,

    /// What it says of its connection: control bits of TCP as in `syn,ack`, or a chunk of SCTP as
    /// `data`; that of a first packet (`syn`, `init`) unless said.
    #[arg(long, value_name = "FLAGS")]
    pub(super) flags: Option<String>,

    /// The port or VLAN on which it arrives; the one to which the route to SRC points unless said.
    #[arg(long, value_name = "NAME")]
    pub(super) port: Option<String>,
}

/// Which servers are meant.
#[derive(Debug, Args)]
pub(super) struct Servers {
    /// `10.2.0.11:80`, or `10.2.0.11` for every port of it.
    pub(super) server: String,

    /// Only of this service: its name, or `tcp 10.1.0.100:80`, `10.1.0.100:80`, `mark 3`; of all
    /// that have the server unless said.
    #[arg(long, value_name = "SERVICE")]
    pub(super) service: Option<String>,
}

/// A server on its way out.
#[derive(Debug, Args)]
pub(super) struct Drain {
    #[command(flatten)]
    pub(super) servers: Servers,

    /// Waits until it has no sessions.
    #[arg(long)]
    pub(super) wait: bool,

    /// Waits no longer than this: `90s`, `10m`, `2h`.
    #[arg(long, value_name = "TIME", default_value = "10m", requires = "wait")]
    pub(super) timeout: Patience,
}

/// Whether the gateway is to be in service.
#[derive(Debug, Args)]
pub(super) struct Maintenance {
    /// `status` changes nothing.
    #[arg(value_enum)]
    pub(super) wanted: MaintenanceWanted,

    /// Waits until there are no sessions, or nobody uses them.
    #[arg(long)]
    pub(super) wait: bool,

    /// Waits no longer than this: `90s`, `10m`, `2h`.
    #[arg(long, value_name = "TIME", default_value = "5m", requires = "wait")]
    pub(super) timeout: Patience,

    /// Sessions count as unused when none of them has had a packet for so long: routers may have
    /// moved them to another gateway.
    #[arg(long, value_name = "TIME", default_value = "30s", requires = "wait")]
    pub(super) quiet: Patience,
}

/// What is to become of maintenance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum MaintenanceWanted {
    On,
    Off,
    Status,
}

/// A time that an operator waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Patience(pub(super) Duration);

impl FromStr for Patience {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (number, unit) = match text.char_indices().last() {
            Some((at, 's')) => (&text[..at], 1),
            Some((at, 'm')) => (&text[..at], 60),
            Some((at, 'h')) => (&text[..at], 3_600),
            _ => (text, 1),
        };
        let seconds = number
            .parse()
            .ok()
            .and_then(|number: u64| number.checked_mul(unit));
        // More would be no time that clocks can tell.
        let seconds = seconds.filter(|seconds| *seconds <= u64::from(u32::MAX));
        let seconds = seconds.ok_or("write a number of seconds, minutes or hours: 90s, 10m, 2h")?;
        Ok(Self(Duration::from_secs(seconds)))
    }
}

impl fmt::Display for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs() {
            0 => f.write_str("0s"),
            seconds if seconds % 3_600 == 0 => write!(f, "{}h", seconds / 3_600),
            seconds if seconds % 60 == 0 => write!(f, "{}m", seconds / 60),
            seconds => write!(f, "{seconds}s"),
        }
    }
}
