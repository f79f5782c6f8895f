//! What a gateway needs for an operator's traffic: workers, memory, local addresses, and a
//! configuration with them.
//!
//! Sizes are the program's own, asked of the code that makes the tables and of [`Config`], whose
//! rules `check` applies. Rates are measured (`docs/benchmarks.md`), with room for twice as much;
//! `docs/sizing.md` says how everything is counted.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;

use clap::{Args, ValueEnum, value_parser};
use dataplane::memory::HUGE_PAGE_BYTES;
use dataplane::service::Method;
use dataplane::session::{State, Timeouts};
use dataplane::snat::{DEFAULT_PORTS, PORT_BYTES, SERVER_BUCKETS};
use dataplane::time::TICKS_PER_SECOND;
use serde::Serialize;

use super::arguments::Patience;
use super::configuration::{refused, write_json};
use super::failure::Failure;
use super::method::MethodWord;
use super::table::{Align, Table};
use super::{Console, Exit};
use crate::config::{Config, Gateway};

/// Packets that a worker forwarded in a second with 100,000 sessions or more, by any method.
const PACKETS_PER_WORKER: u64 = 3_000_000;

/// New sessions that it began, filed and ended in a second.
const NEW_PER_WORKER: u64 = 1_000_000;

/// How many times the traffic there is to be room for.
const ROOM: u64 = 2;

/// Preamble and gap between two frames, in bytes.
const BETWEEN_FRAMES: u64 = 20;

/// The most that `memory_mb` can be, for asking how much of it is needed.
const MOST_MB: u64 = 1_048_576;

/// The traffic.
#[derive(Debug, Args)]
pub(super) struct Demand {
    /// Connections (or UDP flows) that are open at once.
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..=1_000_000_000_000))]
    sessions: u64,

    /// New ones in a second.
    #[arg(long, value_name = "N", default_value_t = 0,
        value_parser = value_parser!(u64).range(..=1_000_000_000))]
    new: u64,

    /// Packets in a second: of both directions by NAT and FULLNAT, of clients alone by DR and TUN.
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "gbits",
        value_parser = value_parser!(u64).range(..=10_000_000_000))]
    packets: u64,

    /// Gigabits in a second instead, in frames of --frame bytes.
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(..=10_000))]
    gbits: Option<u64>,

    /// Bytes of a frame; 362 is the mean of the mix in docs/benchmarks.md.
    #[arg(long, value_name = "BYTES", default_value_t = 362, requires = "gbits",
        value_parser = value_parser!(u64).range(64..=9_600))]
    frame: u64,

    /// How packets get to the servers.
    #[arg(long, value_enum, default_value_t = MethodWord::Dr)]
    method: MethodWord,

    /// What clients speak.
    #[arg(long, value_enum, default_value_t = Protocol::Tcp)]
    protocol: Protocol,

    /// How long a session stays behind its last packet: `90s`, `2m`; of TCP `tcp_time_wait` and
    /// `tcp_fin_wait`, of UDP `udp`. As in the kernel's IPVS unless said.
    #[arg(long, value_name = "TIME")]
    time_out: Option<Patience>,

    /// Real servers that take an equal share.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = value_parser!(u64).range(1..))]
    servers: u64,

    /// Local ports of each local address (FULLNAT), 1024-65535 unless said.
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..=64_512))]
    local_ports: Option<u64>,

    /// NICs; two by NAT and FULLNAT, else one, unless said.
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..=8))]
    nics: Option<u64>,

    /// Their MTU.
    #[arg(long, value_name = "BYTES", default_value_t = 1500)]
    mtu: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Protocol {
    Tcp,
    Udp,
}

/// What it takes.
#[derive(Debug, Serialize)]
struct Answer {
    /// In the tables at once: open ones, and those whose time-out is not over.
    sessions: u64,
    packets_per_second: u64,
    workers: u64,
    sessions_per_worker: u64,
    /// Of all workers, in huge pages.
    session_table_bytes: u64,
    /// At least, as `check` counts it.
    memory_mb_needed: u64,
    memory_mb: u64,
    huge_pages_2mib: u64,
    /// 0 by other methods than FULLNAT.
    local_addresses: u64,
    /// Ordinary memory for them, at most: where every worker may lend every port.
    local_port_bytes: u64,
    /// TOML.
    configuration: String,
}

/// Says what the traffic needs.
pub(super) fn run(demand: &Demand, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let answer = demand.answer()?;
    if console.json {
        write_json(&answer, console)?;
    } else {
        answer.write(console)?;
    }
    Ok(Exit::Well)
}

/// With a quarter more.
const fn and_a_quarter(number: u64) -> u64 {
    number.saturating_mul(5).div_ceil(4)
}

impl Demand {
    fn answer(&self) -> Result<Answer, Failure> {
        let sessions = self.sessions + self.new * self.time_out_seconds();
        let packets = match self.gbits {
            Some(gbits) => gbits * 1_000_000_000 / ((self.frame + BETWEEN_FRAMES) * 8),
            None => self.packets,
        };
        let busy = packets * NEW_PER_WORKER + self.new * PACKETS_PER_WORKER;
        let workers = (ROOM * busy).div_ceil(PACKETS_PER_WORKER * NEW_PER_WORKER);
        let workers = workers.max(1);
        // Neither RSS nor hashes deal sessions out evenly.
        let share = and_a_quarter(sessions).div_ceil(workers);
        let sessions_per_worker = share.next_multiple_of(1000).max(1024);
        let local_addresses = self.local_addresses(sessions);

        let config = |memory_mb| {
            let text = self.configuration(workers, sessions_per_worker, local_addresses, memory_mb);
            let read = Config::from_toml(&text, Path::new("the configuration for it"));
            read.map(|(config, _)| (config, text)).map_err(refused)
        };
        let memory_mb_needed = config(MOST_MB)?.0.memory_mb_needed();
        let memory_mb = memory_mb_needed.max(u64::from(Gateway::default().memory_mb));
        let (read, configuration) = config(memory_mb)?;

        let table_bytes = read.session_table_bytes();
        let table_pages = workers * table_bytes.div_ceil(HUGE_PAGE_BYTES as u64);
        let ports = local_addresses * self.ports_of_address();
        Ok(Answer {
            sessions,
            packets_per_second: packets,
            workers,
            sessions_per_worker,
            session_table_bytes: workers * table_bytes,
            memory_mb_needed,
            memory_mb,
            huge_pages_2mib: (memory_mb << 20).div_ceil(HUGE_PAGE_BYTES as u64) + table_pages,
            local_addresses,
            local_port_bytes: ports * PORT_BYTES as u64 * workers,
            configuration,
        })
    }

    fn time_out_seconds(&self) -> u64 {
        let state = match self.protocol {
            Protocol::Tcp => State::TimeWait,
            Protocol::Udp => State::Udp,
        };
        let usual = Timeouts::default().ticks(state) / TICKS_PER_SECOND;
        (self.time_out).map_or(u64::from(usual), |Patience(time)| time.as_secs())
    }

    fn ports_of_address(&self) -> u64 {
        let all = u64::from(DEFAULT_PORTS.end() - DEFAULT_PORTS.start()) + 1;
        self.local_ports.unwrap_or(all)
    }

    /// A port is lent once to each bucket of servers. TCP gives it back when both sides have
    /// ended, UDP with the session.
    fn local_addresses(&self, sessions: u64) -> u64 {
        if self.method != MethodWord::Fullnat {
            return 0;
        }
        let lent = match self.protocol {
            Protocol::Tcp => self.sessions,
            Protocol::Udp => sessions,
        };
        let in_a_bucket = lent.div_ceil(self.servers.min(SERVER_BUCKETS as u64));
        and_a_quarter(in_a_bucket.div_ceil(self.ports_of_address()))
    }

    /// A file that `check` finds right, for the operator's own addresses to go into.
    fn configuration(&self, workers: u64, sessions: u64, locals: u64, memory_mb: u64) -> String {
        let mut text = format!(
            "[gateway]\nworkers = {workers}\nhuge_pages = true\nmemory_mb = {memory_mb}\n\
             sessions_per_worker = {sessions}\n"
        );
        let mut add = |part: String| _ = text.write_str(&part);
        if let Some(Patience(time)) = self.time_out {
            let seconds = time.as_secs();
            add(match self.protocol {
                Protocol::Tcp => {
                    format!("\n[timeouts]\ntcp_fin_wait = {seconds}\ntcp_time_wait = {seconds}\n")
                }
                Protocol::Udp => format!("\n[timeouts]\nudp = {seconds}\n"),
            });
        }
        let has_two_sides = Method::from(self.method).sees_replies();
        let nics = self.nics.unwrap_or(1 + u64::from(has_two_sides));
        for nic in 0..nics {
            add(format!(
                "\n[[port]]\nname = \"nic{nic}\"\ndevice = \"0000:3b:00.{nic}\"\nmtu = {}\n",
                self.mtu
            ));
        }
        let mut pool = "";
        if let Some(more) = u32::try_from(locals).ok().and_then(|it| it.checked_sub(1)) {
            let first = Ipv4Addr::new(10, 2, 1, 1);
            let last = Ipv4Addr::from_bits(first.to_bits().saturating_add(more));
            add(format!(
                "\n[[local_pool]]\nname = \"lips\"\naddresses = [\"{first}-{last}\"]\n{}\
                 interface = \"nic{}\"\n",
                self.pool_ports(),
                nics - 1
            ));
            pool = "local_pool = \"lips\"\n";
        }
        let protocol = if self.protocol == Protocol::Udp {
            "udp"
        } else {
            "tcp"
        };
        let method = Method::from(self.method).name();
        add(format!(
            "\n[[service]]\nprotocol = \"{protocol}\"\nvip = \"10.1.0.100\"\nport = 80\n{pool}\
             \n[[service.server]]\naddress = \"10.2.0.11\"\nmethod = \"{method}\"\n"
        ));
        text
    }

    /// The key of a pool that does not lend all ports.
    fn pool_ports(&self) -> String {
        let first = u64::from(*DEFAULT_PORTS.start());
        (self.local_ports).map_or_else(String::new, |ports| {
            format!("ports = \"{first}-{}\"\n", first + ports - 1)
        })
    }
}

/// A number with commas, which is read without counting digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().collect();
    let groups = groups.into_iter().map(String::from_utf8_lossy);
    groups.collect::<Vec<_>>().join(",")
}

impl Answer {
    fn write(&self, console: &mut Console<'_>) -> Result<(), Failure> {
        let mib = |bytes: u64| format!("{} MiB", grouped(bytes.div_ceil(1 << 20)));
        let pages = grouped(self.huge_pages_2mib);
        let needed = format!(
            "at least {} for the packet buffers",
            grouped(self.memory_mb_needed)
        );
        let tables = "session tables of all workers, in huge pages".to_owned();
        let mut rows = vec![
            (
                "sessions",
                grouped(self.sessions),
                "open, or waiting for their time-out".to_owned(),
            ),
            (
                "packets a second",
                grouped(self.packets_per_second),
                String::new(),
            ),
            (
                "workers",
                grouped(self.workers),
                "cores, with room for twice the traffic".to_owned(),
            ),
            (
                "sessions_per_worker",
                grouped(self.sessions_per_worker),
                "a quarter more".to_owned(),
            ),
            ("memory", mib(self.session_table_bytes), tables),
            ("memory_mb", grouped(self.memory_mb), needed),
            ("huge pages", pages, "of 2 MiB, for both".to_owned()),
        ];
        if self.local_addresses > 0 {
            let records = mib(self.local_port_bytes);
            let why = format!("a quarter more; at most {records} of ordinary memory");
            rows.push(("local addresses", grouped(self.local_addresses), why));
        }
        let mut table = Table::new([Align::Left, Align::Right, Align::Left]);
        for (name, number, why) in rows {
            table.row([name.to_owned(), number, why]);
        }
        table.write(console.out)?;
        write!(console.out, "\n{}", self.configuration)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use clap::Parser;

    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/sizing.md");

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        demand: Demand,
    }

    fn answer(words: &str) -> Result<Answer, Failure> {
        let words = ["size"].into_iter().chain(words.split_whitespace());
        Line::try_parse_from(words).unwrap().demand.answer()
    }

    fn printed(words: &[&str]) -> (Exit, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let exit = crate::ctl::run(words, &mut out, &mut err);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (exit, text(out), text(err))
    }

    #[test]
    fn the_page_shows_what_the_command_prints() {
        let page = std::fs::read_to_string(PAGE).unwrap();
        let mut seen = 0;
        let parts: Vec<_> = page.split("    $ sluicectl size ").collect();
        for part in &parts[1..] {
            let (words, shown) = part.split_once('\n').unwrap();
            let lines = shown.lines().take_while(|it| it.starts_with("    "));
            let shown: Vec<_> = lines.map(|line| line.trim_start()).collect();
            let words: Vec<_> = ["sluicectl", "size"]
                .into_iter()
                .chain(words.split_whitespace())
                .collect();

            let (_, out, _) = printed(&words);

            let (table, _) = out.split_once("\n\n").unwrap();
            assert_eq!(shown, table.lines().collect::<Vec<_>>(), "{words:?}");
            seen += 1;
        }
        assert!(seen >= 2, "{seen} commands");
    }

    #[test]
    fn its_configuration_is_the_least_that_check_takes() {
        for words in [
            "--sessions 1000",
            "--sessions 40000 --new 20000 --packets 1200000 --method fullnat --servers 8",
            "--sessions 5000000 --gbits 100 --method nat --mtu 9000",
            "--sessions 100000 --new 50000 --protocol udp --time-out 1m --method fullnat",
            "--sessions 9000000 --method fullnat --local-ports 20000 --nics 1",
        ] {
            let answer = answer(words).unwrap();
            let read = |text: &str| Config::from_toml(text, Path::new("x"));

            let (config, _) = read(&answer.configuration).unwrap();

            assert_eq!(
                config.memory_mb_needed(),
                answer.memory_mb_needed,
                "{words}"
            );
            let gateway = config.gateway();
            assert_eq!(
                u64::from(gateway.sessions_per_worker),
                answer.sessions_per_worker
            );
            assert_eq!(u64::from(gateway.workers.count()), answer.workers);
            let written = format!("memory_mb = {}", answer.memory_mb);
            let short = format!("memory_mb = {}", answer.memory_mb_needed - 1);
            let refused = read(&answer.configuration.replace(&written, &short));
            let said = refused.unwrap_err().to_string();
            assert!(
                said.contains(&format!("give at least {}", answer.memory_mb_needed)),
                "{said}"
            );
        }
    }

    #[test]
    fn traffic_that_needs_more_than_there_can_be_is_refused() {
        let too_much = [
            "sluicectl",
            "size",
            "--sessions",
            "1",
            "--packets",
            "10000000000",
        ];

        let (exit, out, err) = printed(&too_much);

        assert_eq!((exit, out.as_str()), (Exit::No, ""));
        assert!(
            err.contains("`workers` 6667 is above 128: give 1 to 128"),
            "{err}"
        );
    }

    #[test]
    fn programs_get_json() {
        let (exit, out, _) = printed(&["sluicectl", "size", "--sessions", "1000", "--json"]);

        let json: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!((exit, &json["workers"]), (Exit::Well, &1.into()));
        assert_eq!(json["sessions_per_worker"], 2000);
    }

    #[test]
    fn local_addresses_follow_ports_buckets_and_how_long_a_port_is_kept() {
        for (words, addresses) in [
            ("--sessions 40000 --new 20000 --servers 8", 2),
            ("--sessions 250000 --servers 1", 5),
            ("--sessions 250000 --servers 2", 3),
            ("--sessions 40000 --new 20000 --protocol udp", 30),
            (
                "--sessions 40000 --new 20000 --protocol udp --time-out 1m",
                7,
            ),
        ] {
            let answer = answer(&format!("{words} --method fullnat")).unwrap();
            assert_eq!(answer.local_addresses, addresses, "{words}");
        }
    }
}
