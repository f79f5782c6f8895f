//! `sluice-bench servers`: a VIP carries what its servers carry together.
//!
//! Three servers with a fixed service time and a fixed number of requests at once are saturated
//! one by one, directly; then the VIP with all three, by each method and scheduler. The VIP must
//! come to 97 % of the sum, and no request may fail. The clients are twice as many as are served
//! at the same time, so a scheduler that is unfair leaves a server idle while others have queues.
//!
//! A case is over after its requests, each of which ends after ten seconds at the latest. Results
//! are written after each case, so a run that is stopped has those of the cases before.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path as FilePath, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use testnet::gateway_config::{Driver, GatewayConfig, Service, servers_at};
use testnet::nstat::Nstat;
use testnet::{Arms, Binaries, Gateway, Lab, Method, lab};

use super::closed_loop::{self, Tally};
use super::distribution::Percentiles;
use super::failure::Failure;
use super::gateway_host::Worker;
use super::path::{self, Path};
use super::slow_server::{Limits, SlowServer};
use super::sources::Sources;
use crate::programs;
use crate::report::markdown::{Table, grouped};
use crate::report::{json, write_file};

/// Where the servers listen, beside nginx.
const PORT: u16 = 90;

/// The least part of the sum of the servers that counts as all of it.
const WHOLE: f64 = 0.97;

/// The client's addresses towards VIPs.
const SOURCES: [Ipv4Addr; 4] = [
    Ipv4Addr::new(10, 1, 0, 16),
    Ipv4Addr::new(10, 1, 0, 17),
    Ipv4Addr::new(10, 1, 0, 18),
    Ipv4Addr::new(10, 1, 0, 19),
];

/// How many servers there are.
const SERVERS: u8 = 3;

/// The schedulers that are compared: the simplest, and the one that looks at connections.
const SCHEDULERS: [&str; 2] = ["rr", "wlc"];

/// The name of the results' file, and of the table's.
const FIGURES: &str = "servers.json";
const TABLE: &str = "servers.md";

/// Compares the throughput of a VIP with the sum of its servers.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// A tenth of the requests: half a minute instead of three.
    #[arg(long)]
    quick: bool,
    /// The methods, with a comma between them [default: all].
    #[arg(long, value_delimiter = ',', value_parser = path::method_named,
          default_values = ["dr", "nat", "tun", "fullnat"], hide_default_value = true)]
    method: Vec<Method>,
    /// By which driver the gateway gets at its interfaces.
    #[arg(long, value_parser = driver_named, default_value = "af_packet")]
    driver: Driver,
    /// Requests to each method, shared by the schedulers rr and wlc [default: 100000; quick:
    /// 10000].
    #[arg(long, value_parser = clap::value_parser!(u64).range(2_000..))]
    requests: Option<u64>,
    /// Milliseconds that a server takes for a request.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..1_000))]
    service_ms: u64,
    /// Requests that a server works on at the same time.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..1_000))]
    at_once: u16,
    /// Requests that may wait at a server; those beyond are turned away and fail.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16))]
    queue: u16,
    /// Places in the gateway's session table.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1_024..))]
    sessions: u32,
    /// The folder with sluice and sluicectl; this program's own unless said.
    #[arg(long, value_name = "FOLDER")]
    programs: Option<PathBuf>,
    /// Where servers.md and servers.json go.
    #[arg(long, default_value = "target/bench", value_name = "FOLDER")]
    output: PathBuf,
}

impl Options {
    fn limits(&self) -> Limits {
        let at_once = usize::from(self.at_once);
        Limits {
            service: Duration::from_millis(self.service_ms),
            at_once,
            queue: usize::from(self.queue),
        }
    }

    /// Clients that keep a server busy: as many as it works on, and as many waiting.
    fn clients(&self) -> usize {
        2 * usize::from(self.at_once)
    }

    fn requests_per_scheduler(&self) -> u64 {
        let usual = if self.quick { 10_000 } else { 100_000 };
        let schedulers = u64::try_from(SCHEDULERS.len()).unwrap_or(1);
        self.requests.unwrap_or(usual).div_ceil(schedulers)
    }

    /// A tenth is enough for a server alone, with which nothing is compared but its rate.
    fn requests_alone(&self) -> u64 {
        self.requests_per_scheduler().div_ceil(10)
    }
}

/// One case that held.
#[derive(Clone, Debug, Serialize)]
struct Case {
    /// `direct` or the method.
    path: &'static str,
    /// The scheduler, or the server that was asked directly.
    by: String,
    requests: u64,
    failed: u64,
    per_second: f64,
    /// Of the sum of the servers asked directly; none for one of these.
    of_sum: Option<f64>,
    /// The fewest and the most requests that one server answered.
    spread: (u64, u64),
    response: Percentiles,
    /// TCP segments the client and the servers sent again.
    retransmits: u64,
    /// The share of the time in which the gateway's worker was ready to run but had no core; none
    /// where it was not asked.
    no_core: Option<f64>,
}

/// Measures one case after the other, prints each with its figures and writes them.
///
/// # Errors
///
/// When a request fails or a VIP carries less than 97 % of its servers; the other cases are
/// measured nevertheless.
pub fn run(options: &Options) -> Result<(), Failure> {
    let bench = Bench::start(options)?;
    let mut results = Results::new(options);
    for number in 1..=SERVERS {
        results.add(
            &format!("directly, server-{number}"),
            options.requests_alone(),
            || bench.alone(number),
        )?;
    }
    let sum: f64 = results.cases.iter().map(|case| case.per_second).sum();
    for method in options.method.iter().copied() {
        for scheduler in SCHEDULERS {
            results.add(
                &format!("{} by {scheduler}", method.name()),
                options.requests_per_scheduler(),
                || bench.by_vip(method, scheduler, sum),
            )?;
        }
    }
    println!("\n{}", results.table());
    results.ended()
}

/// The cases so far.
struct Results<'a> {
    folder: &'a FilePath,
    /// How many there will be.
    total: usize,
    cases: Vec<Case>,
    broken: Vec<String>,
}

impl<'a> Results<'a> {
    fn new(options: &'a Options) -> Self {
        Self {
            folder: &options.output,
            total: usize::from(SERVERS) + options.method.len() * SCHEDULERS.len(),
            cases: Vec::new(),
            broken: Vec::new(),
        }
    }

    /// Measures a case, says what came of it, and writes all there are.
    fn add(
        &mut self,
        name: &str,
        requests: u64,
        measure: impl FnOnce() -> Result<Case, Failure>,
    ) -> Result<(), Failure> {
        let number = self.cases.len() + self.broken.len() + 1;
        print!(
            "[{number}/{}] {name}, {} requests: ",
            self.total,
            grouped(requests)
        );
        // Without a terminal nobody waits for half a line.
        let _closed = io::stdout().flush();
        match measure() {
            Ok(case) => {
                println!("{case}");
                self.cases.push(case);
            }
            Err(Failure::Broken(reason)) => {
                println!("no figure: {reason}");
                self.broken.push(format!("{name}: {reason}"));
            }
            Err(other) => {
                println!("no figure");
                return Err(other);
            }
        }
        self.write().map_err(Failure::machine("write the results"))
    }

    fn write(&self) -> io::Result<()> {
        write_file(self.folder, FIGURES, &json(&self.cases)?)?;
        write_file(self.folder, TABLE, &self.table().to_string())
    }

    fn table(&self) -> Table<11> {
        let heading = [
            "way",
            "scheduler",
            "requests",
            "failed",
            "requests/s",
            "of the sum",
            "by one server",
            "p50 ms",
            "p99 ms",
            "sent again",
            "no core",
        ];
        let mut table = Table::new(heading, 2);
        for case in &self.cases {
            table.push(case.row());
        }
        table
    }

    fn ended(self) -> Result<(), Failure> {
        if self.broken.is_empty() {
            return Ok(());
        }
        Err(Failure::Broken(self.broken.join("\n")))
    }
}

fn driver_named(name: &str) -> Result<Driver, String> {
    match name {
        "af_packet" => Ok(Driver::AfPacket),
        "af_xdp" => Ok(Driver::AfXdp),
        _ => Err("the drivers are af_packet and af_xdp".to_owned()),
    }
}

struct Bench<'a> {
    options: &'a Options,
    binaries: Binaries,
    sources: RefCell<Sources>,
    // Before the lab, because it ends first.
    _servers: Vec<SlowServer>,
    lab: Lab,
}

impl<'a> Bench<'a> {
    fn start(options: &'a Options) -> Result<Self, Failure> {
        let binaries = programs::find(options.programs.as_deref())?;
        let lab = Lab::build(Arms::Two);
        path::open_direct_way(&lab);
        for source in SOURCES {
            let address = format!("addr add {source}/24 dev eth0");
            lab.client().namespace().ip(&address);
        }
        let servers = lab.servers().iter().map(|server| {
            let limits = options.limits();
            server
                .namespace()
                .inside(|| SlowServer::start(server.name(), PORT, limits))
        });
        let servers = servers.collect::<Result<_, _>>();
        Ok(Self {
            options,
            binaries,
            sources: RefCell::new(Sources::of(SOURCES.to_vec())),
            _servers: servers.map_err(Failure::machine("start a server"))?,
            lab,
        })
    }

    /// One server, asked directly.
    fn alone(&self, number: u8) -> Result<Case, Failure> {
        let target = Path::Direct.target(&self.lab, number, PORT);
        let requests = self.options.requests_alone();
        let sources = &mut Sources::default();
        let (tally, retransmits) = self.ask(target, sources, self.options.clients(), requests)?;
        let by = format!("server-{number}");
        Case::new(Path::Direct.name(), by, &tally, retransmits).checked(&tally, 0.0)
    }

    /// All three by a VIP, where `sum` is what they carry one by one.
    fn by_vip(&self, method: Method, scheduler: &'static str, sum: f64) -> Result<Case, Failure> {
        let vip = self.lab.at(method, PORT);
        let service = Service {
            vip: *vip.ip(),
            port: PORT,
            protocol: "tcp",
            scheduler,
            method,
            servers: servers_at(PORT, [1, 1, 1]),
        };
        let config = GatewayConfig::of(&self.lab).sessions(self.options.sessions);
        let config = config.local_ports(local_ports(scheduler));
        let config = config.driver(self.options.driver).service(service);
        let gateway = Gateway::start(self.lab.gateway(), self.binaries, &config.text());
        self.lab.client().wait_for(vip);
        self.introduce_clients();
        let worker = Worker::find(self.lab.gateway())?;
        worker.have_its_core_alone(&self.lab);
        let (start, waited) = (Instant::now(), worker.waited_nanos());
        let requests = self.options.requests_per_scheduler();
        let sources = &mut *self.sources.borrow_mut();
        let clients = usize::from(SERVERS) * self.options.clients();
        let (tally, retransmits) = self.ask(vip, sources, clients, requests)?;
        let waited = Duration::from_nanos(worker.waited_nanos().saturating_sub(waited));
        let mut case = Case::new(method.name(), scheduler.to_owned(), &tally, retransmits);
        case.of_sum = Some(case.per_second / sum);
        case.no_core = Some(waited.as_secs_f64() / start.elapsed().as_secs_f64());
        case.checked(&tally, WHOLE).map_err(|failure| {
            let drops = &gateway.ask("status")["drops"];
            Failure::Broken(format!("{failure}; dropped by the gateway: {drops}"))
        })
    }

    /// Lets the gateway's Linux find the clients before they ask: a gateway that does not know
    /// the next hop of a reply drops it, and TCP would wait a second for the next one. That is
    /// no matter of throughput.
    fn introduce_clients(&self) {
        let client = self.lab.client().namespace();
        for source in SOURCES {
            let gateway = lab::GATEWAY_CLIENT_SIDE;
            client.run(&format!("ping -q -c 1 -W 5 -I {source} {gateway}"));
        }
    }

    fn ask(
        &self,
        target: SocketAddrV4,
        sources: &mut Sources,
        clients: usize,
        requests: u64,
    ) -> Result<(Tally, u64), Failure> {
        let before = self.retransmits();
        let client = self.lab.client().namespace();
        let tally = client.inside(|| closed_loop::run(target, sources, clients, requests))?;
        Ok((tally, self.retransmits() - before))
    }

    fn retransmits(&self) -> u64 {
        let servers = self.lab.servers().iter().map(lab_host);
        let hosts = servers.chain([self.lab.client().namespace()]);
        hosts
            .map(|host| Nstat::read(host).get("TcpRetransSegs"))
            .sum()
    }
}

/// The ports FULLNAT lends under this scheduler: each half serves one, because the servers still
/// hold the closed connections of the gateway before, of which a new one knows nothing.
fn local_ports(scheduler: &str) -> &'static str {
    if scheduler == SCHEDULERS[0] {
        "1024-32767"
    } else {
        "32768-65535"
    }
}

fn lab_host(server: &testnet::RealServer) -> &testnet::Namespace {
    server.namespace()
}

impl Case {
    fn new(path: &'static str, by: String, tally: &Tally, retransmits: u64) -> Self {
        let answered = tally.answered.values();
        Self {
            path,
            by,
            requests: answered.clone().sum::<u64>() + tally.failures(),
            failed: tally.failures(),
            per_second: tally.per_second,
            of_sum: None,
            spread: (
                answered.clone().min().copied().unwrap_or(0),
                answered.max().copied().unwrap_or(0),
            ),
            response: Percentiles::of(&mut tally.nanos.clone()),
            retransmits,
            no_core: None,
        }
    }

    /// The case, if no request failed and it comes to `least` of the sum.
    fn checked(self, tally: &Tally, least: f64) -> Result<Self, Failure> {
        if self.failed > 0 {
            return Err(Failure::Broken(format!(
                "{} of {} requests failed: {:?}, {} segments were sent again",
                self.failed, self.requests, tally.failed, self.retransmits
            )));
        }
        if self.of_sum.is_some_and(|share| share < least) {
            return Err(Failure::Broken(format!(
                "{:.1} % of the sum of its servers, less than {:.0} %; they answered {:?}, \
                 {} segments were sent again, the worker had no core for {} of the time",
                self.of_sum.unwrap_or(0.0) * 100.0,
                least * 100.0,
                tally.answered,
                self.retransmits,
                percent(self.no_core)
            )));
        }
        Ok(self)
    }

    fn row(&self) -> [String; 11] {
        let (fewest, most) = self.spread;
        let spread = if fewest == most {
            grouped(most)
        } else {
            format!("{} to {}", grouped(fewest), grouped(most))
        };
        let millis = |micros: Option<f64>| {
            micros.map_or_else(|| "–".to_owned(), |micros| format!("{:.1}", micros / 1e3))
        };
        [
            self.path.to_owned(),
            self.by.clone(),
            grouped(self.requests),
            self.failed.to_string(),
            format!("{:.1}", self.per_second),
            percent(self.of_sum),
            spread,
            millis(self.response.p50_us),
            millis(self.response.p99_us),
            self.retransmits.to_string(),
            percent(self.no_core),
        ]
    }
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "–".to_owned(), |share| format!("{:.1} %", share * 100.0))
}

/// What matters most, for the line that appears when a case has ended.
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} requests/s", self.per_second)?;
        if self.of_sum.is_some() {
            write!(f, ", {} of the sum of the servers", percent(self.of_sum))?;
        }
        write!(f, ", {} failed", self.failed)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn tally(per_second: f64, failed: u64) -> Tally {
        let failed = (failed > 0).then(|| ("status Some(503)".to_owned(), failed));
        Tally {
            answered: BTreeMap::from([("server-1".to_owned(), 30), ("server-2".to_owned(), 20)]),
            failed: failed.into_iter().collect(),
            per_second,
            nanos: vec![10_000_000; 50],
        }
    }

    fn checked(tally: &Tally, sum: f64) -> Result<Case, Failure> {
        let mut case = Case::new("dr", "rr".to_owned(), tally, 7);
        case.of_sum = Some(tally.per_second / sum);
        case.checked(tally, WHOLE)
    }

    #[test]
    fn a_vip_that_carries_nearly_the_sum_passes_with_its_figures() {
        let case = checked(&tally(98.0, 0), 100.0).expect("98 % is enough");

        let json = serde_json::to_value(&case).expect("plain data");
        assert_eq!(json["path"], "dr");
        assert_eq!(json["by"], "rr");
        assert_eq!(json["requests"], 50);
        assert_eq!(json["of_sum"], 0.98);
        assert_eq!(json["spread"], serde_json::json!([20, 30]));
        assert_eq!(json["response"]["p50_us"], 10_000.0);
        assert_eq!(
            case.to_string(),
            "98.0 requests/s, 98.0 % of the sum of the servers, 0 failed"
        );
        let row = case.row().join(" | ");
        assert_eq!(
            row,
            "dr | rr | 50 | 0 | 98.0 | 98.0 % | 20 to 30 | 10.0 | – | 7 | –"
        );
    }

    #[test]
    fn a_vip_that_carries_less_or_loses_a_request_gives_no_figure() {
        let less = checked(&tally(96.0, 0), 100.0).expect_err("96 % is too little");
        let lost = checked(&tally(99.0, 1), 100.0).expect_err("one failed");

        assert!(less.to_string().contains("96.0 % of the sum"), "{less}");
        assert!(
            lost.to_string().contains("1 of 51 requests failed"),
            "{lost}"
        );
    }
}
