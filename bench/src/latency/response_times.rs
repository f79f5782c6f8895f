//! `sluice-bench latency`: a web server asked directly and through the gateway.
//!
//! ```text
//!   for each driver:
//!     gateway (sleeps when idle)
//!       round 0:  direct  dr  nat  tun  fullnat      the same schedule for each
//!       round 1:  direct  dr  nat  tun  fullnat
//!       ...
//!     few requests, which find the worker asleep:
//!       round 0:  gateway that sleeps: direct dr fullnat    gateway that spins: ...
//! ```
//!
//! TUN's server takes the outer header off in a program of its own, since not every kernel can:
//! what TUN adds includes one more wake-up there.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::json;
use testnet::gateway_config::{Driver, GatewayConfig};
use testnet::lab;
use testnet::nstat::Nstat;
use testnet::{Arms, Binaries, Gateway, Lab, Method};

use super::chart::{self, Curve, Panel};
use super::failure::Failure;
use super::gateway_host::Worker;
use super::path::{self, Path as Way};
use super::report::{self, Setting, Window};
use super::schedule::Load;
use super::sources::Sources;
use super::{open_loop, output};
use crate::programs;

/// Requests that find the worker idle: asked by no path but these.
const IDLE_PATHS: [Way; 3] = [
    Way::Direct,
    Way::Through(Method::Dr),
    Way::Through(Method::Fullnat),
];

/// Asks a web server directly and through the gateway and compares the response times.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Fewer and shorter rounds: 40 seconds instead of two to three minutes.
    #[arg(long)]
    quick: bool,
    /// Requests a second.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// Requests a second when looking at what an idle worker adds.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    idle_rate: u32,
    /// One request in so many makes a connection of its own.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    new_every: u32,
    /// Connections that are kept for the others.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// Rounds, each of which asks every path once [default: 5; quick: 3].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Milliseconds for which a path is asked [default: 1500; quick: 500].
    #[arg(long, value_parser = clap::value_parser!(u64).range(100..))]
    window_ms: Option<u64>,
    /// By which driver the gateway gets at its interfaces.
    #[arg(long, value_enum, default_value_t = Drivers::Both)]
    driver: Drivers,
    /// Where sluice and sluicectl are [default: beside this program].
    #[arg(long)]
    programs: Option<PathBuf>,
    /// Where latency.json and latency.svg go.
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Drivers {
    /// One after the other.
    Both,
    AfPacket,
    AfXdp,
}

impl Drivers {
    const fn list(self) -> &'static [Driver] {
        match self {
            Self::Both => &[Driver::AfPacket, Driver::AfXdp],
            Self::AfPacket => &[Driver::AfPacket],
            Self::AfXdp => &[Driver::AfXdp],
        }
    }
}

impl Options {
    fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.quick { 3 } else { 5 })
    }

    fn load(&self, rate: u32) -> Load {
        let window_ms = self
            .window_ms
            .unwrap_or(if self.quick { 500 } else { 1_500 });
        Load {
            rate,
            window: Duration::from_millis(window_ms),
            new_every: self.new_every,
            kept: usize::from(self.connections),
        }
    }
}

/// Measures, prints the tables and writes `latency.json` and `latency.svg`.
///
/// # Errors
///
/// When a request is not answered as it should be, by any path.
pub fn run(options: &Options) -> Result<(), Failure> {
    let bench = Bench {
        options,
        binaries: programs::find(options.programs.as_deref())?,
        lab: Lab::build(Arms::Two),
        starts: Cell::new(0),
        direct_sources: RefCell::new(Sources::of(vec![path::DIRECT_CLIENT])),
        sources: RefCell::new(Sources::of(vec![lab::CLIENT])),
    };
    path::open_direct_way(&bench.lab);
    Sources::reserve(bench.lab.client().namespace());
    let (mut loaded, mut idle) = (Vec::new(), Vec::new());
    for driver in options.driver.list() {
        eprintln!("{}: all paths under load", driver.name());
        bench.under_load(*driver, &mut loaded)?;
        eprintln!("{}: idle workers", driver.name());
        bench.when_idle(*driver, &mut idle)?;
    }
    publish(&options.out, loaded, idle)
}

/// Prints the tables and writes the files.
fn publish(folder: &Path, loaded: Vec<Window>, idle: Vec<Window>) -> Result<(), Failure> {
    let mut summaries = Vec::new();
    for windows in [&loaded, &idle] {
        let both = [report::summaries(windows), report::calm_summaries(windows)].concat();
        print!("{}", report::table(&both));
        summaries.extend(both);
    }
    print!("{}", report::idle_table(&summaries));
    output::write(folder, "latency.svg", &chart::svg(&panels(&loaded)))?;
    let windows = [loaded, idle].concat();
    let all = json!({ "summaries": summaries, "windows": windows });
    output::write(folder, "latency.json", &format!("{all:#}\n"))
}

struct Bench<'a> {
    options: &'a Options,
    binaries: Binaries,
    lab: Lab,
    /// Gateways started so far.
    starts: Cell<u16>,
    /// Where direct connections come from.
    direct_sources: RefCell<Sources>,
    /// Where connections through the gateway come from.
    sources: RefCell<Sources>,
}

impl Bench<'_> {
    /// All paths in rounds, at the full rate.
    fn under_load(&self, driver: Driver, windows: &mut Vec<Window>) -> Result<(), Failure> {
        let gateway = self.start(driver, "sleep");
        let load = self.options.load(self.options.rate);
        for round in 0..self.options.rounds() {
            for path in Way::ALL {
                windows.push(self.window(&gateway, (driver, "sleep"), path, round, load)?);
            }
        }
        self.assert_nothing_was_dropped(&gateway)
    }

    /// Few requests, by turns with a worker that sleeps and one that spins.
    fn when_idle(&self, driver: Driver, windows: &mut Vec<Window>) -> Result<(), Failure> {
        let load = self.options.load(self.options.idle_rate);
        for round in 0..self.options.rounds().div_ceil(2) {
            for idle in ["sleep", "spin"] {
                let gateway = self.start(driver, idle);
                for path in IDLE_PATHS {
                    windows.push(self.window(&gateway, (driver, idle), path, round, load)?);
                }
                self.assert_nothing_was_dropped(&gateway)?;
            }
        }
        Ok(())
    }

    fn start(&self, driver: Driver, idle: &'static str) -> Gateway<'_> {
        let config = GatewayConfig::of(&self.lab).driver(driver).idle(idle);
        let config = config.local_ports(&local_ports(self.starts.replace(self.starts.get() + 1)));
        let config = Method::ALL.into_iter().fold(config, |config, method| {
            config.service(path::page_service(&self.lab, method))
        });
        let gateway = Gateway::start(self.lab.gateway(), self.binaries, &config.text());
        for method in Method::ALL {
            // The first packets may find next hops unresolved.
            let page = Way::Through(method).page(&self.lab);
            self.lab.client().wait_for(page);
        }
        gateway
    }

    fn window(
        &self,
        gateway: &Gateway,
        (driver, idle): (Driver, &'static str),
        path: Way,
        round: u32,
        load: Load,
    ) -> Result<Window, Failure> {
        let setting = Setting {
            driver: driver.name(),
            idle,
            rate: load.rate,
            path: path.name(),
        };
        let worker = Worker::find(self.lab.gateway())?;
        worker.have_its_core_alone(&self.lab);
        let client = self.lab.client().namespace();
        let expected = path.expected_answer(&self.lab);
        let target = path.page(&self.lab);
        let counters = Nstat::read(client);
        let passed = self.passed(gateway, path);
        let sources = match path {
            Way::Direct => &self.direct_sources,
            Way::Through(_) => &self.sources,
        };
        let sources = &mut *sources.borrow_mut();
        let (outcome, waited) = client.inside(|| {
            worker.stay_off();
            let waited = worker.waited_nanos();
            let outcome = open_loop::run(target, expected.as_bytes(), sources, load);
            (outcome, worker.waited_nanos().saturating_sub(waited))
        });
        let outcome = outcome?;
        let retransmits = Nstat::read(client).moved_since(&counters, "TcpRetransSegs");
        self.assert_it_took_its_path(path, self.passed(gateway, path) - passed, &outcome)?;
        let window = Window::new(setting, round, outcome);
        let window = window.ok_or_else(|| {
            Failure::Broken("a window needs requests on kept and on new connections".to_owned())
        })?;
        Ok(Window {
            window_us: load.window.as_secs_f64() * 1e6,
            worker_waited_us: Duration::from_nanos(waited).as_secs_f64() * 1e6,
            retransmits,
            ..window
        })
    }

    /// How many sessions the gateway made for a path's service; for the direct way, for all.
    fn passed(&self, gateway: &Gateway, path: Way) -> u64 {
        let sessions = |method| {
            let page = Way::Through(method).page(&self.lab);
            gateway.sessions_by_server(page).values().sum::<u64>()
        };
        match path {
            Way::Direct => Method::ALL.into_iter().map(sessions).sum(),
            Way::Through(method) => sessions(method),
        }
    }

    /// A session for each new connection through the gateway, and none for a direct one.
    #[expect(clippy::unused_self, reason = "an assertion of the bench")]
    fn assert_it_took_its_path(
        &self,
        path: Way,
        sessions: u64,
        outcome: &open_loop::Outcome,
    ) -> Result<(), Failure> {
        let opened = u64::try_from(outcome.opened.len()).unwrap_or(u64::MAX);
        let right = match path {
            Way::Direct => sessions == 0,
            Way::Through(_) => sessions >= opened,
        };
        if right {
            return Ok(());
        }
        Err(Failure::Broken(format!(
            "{}: {opened} connections made {sessions} sessions at the gateway",
            path.name()
        )))
    }

    #[expect(clippy::unused_self, reason = "an assertion of the bench")]
    fn assert_nothing_was_dropped(&self, gateway: &Gateway) -> Result<(), Failure> {
        let drops = &gateway.ask("status")["drops"];
        let any = drops
            .as_array()
            .is_some_and(|drops| drops.iter().any(|drop| drop["packets"] != 0));
        if any {
            return Err(Failure::Broken(format!("the gateway dropped: {drops}")));
        }
        Ok(())
    }
}

/// The ports FULLNAT lends in the gateway's start of this number: others than in the starts
/// before. A gateway forgets with its end what it lent, but a server holds a connection it closed
/// for a minute and keeps a SYN from the same port waiting. That is no matter of response times.
fn local_ports(start: u16) -> String {
    let first = 1_024 + start % 16 * 4_000;
    format!("{first}-{}", first + 3_999)
}

/// A panel for each driver, a curve for each path.
fn panels(windows: &[Window]) -> Vec<Panel> {
    let settings = report::settings(windows);
    let curve = |setting: &Setting| Curve {
        name: setting.path.to_owned(),
        points: report::curve_fractions()
            .zip(report::curve(windows, *setting))
            .collect(),
    };
    let drivers = settings.chunk_by(|one, other| one.driver == other.driver);
    let panel = |settings: &[Setting]| Panel {
        title: settings.first().map_or_else(String::new, |setting| {
            format!("{}, {} requests/s", setting.driver, setting.rate)
        }),
        curves: settings.iter().map(curve).collect(),
    };
    drivers.map(panel).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gateways_that_follow_each_other_lend_different_ports() {
        assert_eq!(local_ports(0), "1024-5023");
        assert_eq!(local_ports(1), "5024-9023");
        assert_eq!(local_ports(15), "61024-65023");
        assert_eq!(local_ports(16), local_ports(0));
    }
}
