//! `sluice-bench servers`: a VIP carries what its servers carry together.
//!
//! Three servers with a fixed service time and a fixed number of requests at once are saturated
//! one by one, directly; then the VIP with all three, by each method and scheduler. The VIP must
//! come to 97 % of the sum, and no request may fail. The clients are twice as many as are served
//! at the same time, so a scheduler that is unfair leaves a server idle while others have queues.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use testnet::gateway_config::{Driver, GatewayConfig, Service, servers_at};
use testnet::nstat::Nstat;
use testnet::{Arms, Binaries, Gateway, Lab, Method};

use super::closed_loop::{self, Tally};
use super::distribution::Percentiles;
use super::failure::Failure;
use super::output;
use super::path::{self, Path};
use super::slow_server::{Limits, SlowServer};
use super::sources::Sources;
use crate::programs;

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

/// The schedulers that are compared: the simplest, and the one that looks at connections.
const SCHEDULERS: [&str; 2] = ["rr", "wlc"];

/// Compares the throughput of a VIP with the sum of its servers.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Requests to each method, shared by the schedulers.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(2_000..))]
    requests: u64,
    /// Milliseconds that a server takes for a request.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..1_000))]
    service_ms: u64,
    /// Requests that a server works on at the same time.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..1_000))]
    at_once: u16,
    /// Requests that may wait at a server; those beyond are turned away and fail.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16))]
    queue: u16,
    /// The methods, each after a comma [default: all].
    #[arg(long, value_delimiter = ',', value_parser = method_named,
          default_values = ["dr", "nat", "tun", "fullnat"], hide_default_value = true)]
    methods: Vec<Method>,
    /// Places in the gateway's session table.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1_024..))]
    sessions: u32,
    /// Where sluice and sluicectl are [default: beside this program].
    #[arg(long)]
    programs: Option<PathBuf>,
    /// Where servers.json goes.
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
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
        self.requests
            .div_ceil(u64::try_from(SCHEDULERS.len()).unwrap_or(1))
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
    response: Option<Percentiles>,
    /// TCP segments the client and the servers sent again.
    retransmits: u64,
}

/// Measures, prints the table and writes `servers.json`.
///
/// # Errors
///
/// When a request fails or a VIP carries less than 97 % of its servers.
pub fn run(options: &Options) -> Result<(), Failure> {
    let bench = Bench::start(options)?;
    println!("{}", Case::heading());
    let mut cases = Vec::new();
    for number in 1..=3 {
        cases.push(shown(bench.alone(number))?);
    }
    let sum: f64 = cases.iter().map(|case| case.per_second).sum();
    let mut broken = Vec::new();
    for method in options.methods.iter().copied() {
        for scheduler in SCHEDULERS {
            match shown(bench.by_vip(method, scheduler, sum)) {
                Ok(case) => cases.push(case),
                Err(Failure::Broken(reason)) => broken.push(reason),
                Err(other) => return Err(other),
            }
        }
    }
    if !broken.is_empty() {
        return Err(Failure::Broken(broken.join("\n")));
    }
    let json = serde_json::to_string_pretty(&cases);
    let json = json.map_err(Failure::machine("write the results"))?;
    output::write(&options.out, "servers.json", &format!("{json}\n"))
}

fn method_named(name: &str) -> Result<Method, String> {
    let found = Method::ALL.into_iter().find(|method| method.name() == name);
    found.ok_or_else(|| "the methods are dr, nat, tun and fullnat".to_owned())
}

fn shown(case: Result<Case, Failure>) -> Result<Case, Failure> {
    match &case {
        Ok(case) => println!("{}", case.line()),
        Err(failure) => println!("{failure}"),
    }
    case
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
        let requests = self.options.requests_per_scheduler() / 10;
        let (tally, retransmits) = self.ask(
            target,
            &mut Sources::default(),
            self.options.clients(),
            requests,
        )?;
        let case = Case::new("direct", format!("server-{number}"), &tally, retransmits);
        case.checked(&tally, 0.0)
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
        let config = config.driver(Driver::AfPacket).service(service);
        let gateway = Gateway::start(self.lab.gateway(), self.binaries, &config.text());
        self.lab.client().wait_for(vip);
        let requests = self.options.requests_per_scheduler();
        let sources = &mut *self.sources.borrow_mut();
        let (tally, retransmits) = self.ask(vip, sources, 3 * self.options.clients(), requests)?;
        let mut case = Case::new(method.name(), scheduler.to_owned(), &tally, retransmits);
        case.of_sum = Some(case.per_second / sum);
        case.checked(&tally, WHOLE).map_err(|failure| {
            let drops = &gateway.ask("status")["drops"];
            Failure::Broken(format!("{failure}; dropped by the gateway: {drops}"))
        })
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
        }
    }

    /// The case, if no request failed and it comes to `least` of the sum.
    fn checked(self, tally: &Tally, least: f64) -> Result<Self, Failure> {
        let what = format!("{} by {}", self.path, self.by);
        if self.failed > 0 {
            return Err(Failure::Broken(format!(
                "{what}: {} of {} requests failed: {:?}, {} segments were sent again",
                self.failed, self.requests, tally.failed, self.retransmits
            )));
        }
        if self.of_sum.is_some_and(|share| share < least) {
            return Err(Failure::Broken(format!(
                "{what}: {:.1} % of the sum of its servers, less than {:.0} %; they answered {:?}, \
                 {} segments were sent again",
                self.of_sum.unwrap_or(0.0) * 100.0,
                least * 100.0,
                tally.answered,
                self.retransmits
            )));
        }
        Ok(self)
    }

    fn heading() -> String {
        format!(
            "{:8} {:9} {:>9} {:>7} {:>10} {:>8}  {:>15} {:>8} {:>8} {:>11}",
            "path",
            "by",
            "requests",
            "failed",
            "requests/s",
            "of sum",
            "least–most",
            "p50 ms",
            "p99 ms",
            "retransmits"
        )
    }

    fn line(&self) -> String {
        let of_sum = self
            .of_sum
            .map_or_else(String::new, |share| format!("{:.1} %", share * 100.0));
        let response = self.response.unwrap_or_default();
        format!(
            "{:8} {:9} {:>9} {:>7} {:>10.1} {:>8}  {:>15} {:>8.1} {:>8.1} {:>11}",
            self.path,
            self.by,
            self.requests,
            self.failed,
            self.per_second,
            of_sum,
            format!("{}–{}", self.spread.0, self.spread.1),
            response.p50_us / 1e3,
            response.p99_us / 1e3,
            self.retransmits
        )
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
        assert!(case.line().contains("98.0 %"), "{}", case.line());
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
