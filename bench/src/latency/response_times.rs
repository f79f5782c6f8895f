//! `sluice-bench latency`: a web server asked directly and through the gateway.
//!
//! ```text
//!   for each driver:
//!     gateway (sleeps when idle)
//!       round 0:  direct  dr  nat  tun  fullnat  direct      the same schedule for each
//!       round 1:  direct  dr  nat  tun  fullnat  direct
//!       ...
//!     so few requests that a worker falls asleep between them:
//!       round 0:  gateway that sleeps: direct fullnat    gateway that spins: direct fullnat
//!       ...
//! ```
//!
//! TUN's server takes the outer header off in a program of its own, since not every kernel can:
//! what TUN adds includes one more wake-up there.

use std::cell::{Cell, RefCell};
use std::io;
use std::path::PathBuf;
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
use super::{open_loop, tables};
use crate::programs;
use crate::report as results;

/// A driver of the gateway is asked for as long in rounds of an idle worker as in this many
/// rounds under load.
const ROUNDS_OF_AN_IDLE_ONE: u32 = 5;

/// The names of the files.
const TABLES: &str = "latency.md";
const FIGURES: &str = "latency.json";
const CHART: &str = "latency.svg";

/// Asks a web server directly and through the gateway and compares the response times.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// A quarter of the rounds: one and a half minutes instead of four and a half.
    #[arg(long)]
    quick: bool,
    /// The methods, with a comma between them [default: all].
    #[arg(long, value_delimiter = ',', value_parser = path::method_named,
          default_values = ["dr", "nat", "tun", "fullnat"], hide_default_value = true)]
    method: Vec<Method>,
    /// By which driver the gateway gets at its interfaces.
    #[arg(long, value_enum, default_value_t = Drivers::Both)]
    driver: Drivers,
    /// Requests a second.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(100..))]
    rate: u32,
    /// Requests a second when looking at what an idle worker adds: it sleeps after 20 ms without
    /// a packet, so 50 or more never find it asleep.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(10..50))]
    idle_rate: u32,
    /// One request in so many makes a connection of its own.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(2..=20))]
    new_every: u32,
    /// Connections that are kept for the others.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// Rounds, each of which asks every way once [default: 20; quick: 5].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Milliseconds for which a way is asked in a round.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(250..10_000))]
    window: u64,
    /// The folder with sluice and sluicectl; this program's own unless said.
    #[arg(long, value_name = "FOLDER")]
    programs: Option<PathBuf>,
    /// Where latency.md, latency.json and latency.svg go.
    #[arg(long, default_value = "target/bench", value_name = "FOLDER")]
    output: PathBuf,
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
        self.rounds.unwrap_or(if self.quick { 5 } else { 20 })
    }

    /// Windows with few requests are longer, and there are fewer.
    fn idle_rounds(&self) -> u32 {
        self.rounds().div_ceil(ROUNDS_OF_AN_IDLE_ONE)
    }

    fn load(&self) -> Load {
        Load {
            rate: self.rate,
            window: Duration::from_millis(self.window),
            new_every: self.new_every,
            kept: usize::from(self.connections),
        }
    }

    fn idle_load(&self) -> Load {
        Load {
            rate: self.idle_rate,
            window: ROUNDS_OF_AN_IDLE_ONE * Duration::from_millis(self.window),
            ..self.load()
        }
    }
}

/// Measures, prints the tables and writes them with the figures and the chart. Each driver's
/// figures are written when it is done.
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
        bench.under_load(*driver, &mut loaded)?;
        bench.when_idle(*driver, &mut idle)?;
        write(options, &loaded, &idle).map_err(Failure::machine("write the results"))?;
    }
    print!("{}", tables(options, &loaded, &idle));
    Ok(())
}

fn tables(options: &Options, loaded: &[Window], idle: &[Window]) -> String {
    let both = |windows| {
        [false, true]
            .map(|calm| report::summaries(windows, calm))
            .concat()
    };
    [
        tables::legend(options.new_every),
        tables::response_times(&both(loaded)),
        tables::idle(&both(idle)),
    ]
    .concat()
}

/// Writes the files, as far as the figures go.
fn write(options: &Options, loaded: &[Window], idle: &[Window]) -> io::Result<()> {
    let folder = &options.output;
    results::write_file(folder, TABLES, &tables(options, loaded, idle))?;
    results::write_file(folder, CHART, &chart::svg(&panels(loaded)))?;
    let windows = [loaded, idle].concat();
    let summaries = [false, true].map(|calm| report::summaries(&windows, calm));
    let all = json!({ "summaries": summaries.concat(), "windows": windows });
    results::write_file(folder, FIGURES, &results::json(&all)?)
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
        let rounds = self.options.rounds();
        for round in 0..rounds {
            progress(&format!(
                "{}: round {} of {rounds}",
                driver.name(),
                round + 1
            ));
            for path in Way::round(&self.options.method) {
                let load = self.options.load();
                windows.push(self.window(&gateway, (driver, "sleep"), path, round, load)?);
            }
        }
        self.assert_nothing_was_dropped(&gateway)
    }

    /// Few requests, by turns with a worker that sleeps and one that spins, on the way that meets
    /// the worker most often.
    fn when_idle(&self, driver: Driver, windows: &mut Vec<Window>) -> Result<(), Failure> {
        let through = self.options.method.last().map(|last| Way::Through(*last));
        let rounds = self.options.idle_rounds();
        for round in 0..rounds {
            let name = driver.name();
            progress(&format!("{name}, idle: round {} of {rounds}", round + 1));
            for idle in ["sleep", "spin"] {
                let gateway = self.start(driver, idle);
                for path in [Way::Direct].into_iter().chain(through) {
                    let load = self.options.idle_load();
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
            Way::Direct | Way::DirectAgain => &self.direct_sources,
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
        Ok(Window {
            window_us: load.window.as_secs_f64() * 1e6,
            worker_waited_us: Duration::from_nanos(waited).as_secs_f64() * 1e6,
            retransmits,
            ..Window::new(setting, round, outcome)
        })
    }

    /// How many sessions the gateway made for a path's service; for the direct way, for all.
    fn passed(&self, gateway: &Gateway, path: Way) -> u64 {
        let sessions = |method| {
            let page = Way::Through(method).page(&self.lab);
            gateway.sessions_by_server(page).values().sum::<u64>()
        };
        match path {
            Way::Direct | Way::DirectAgain => Method::ALL.into_iter().map(sessions).sum(),
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
            Way::Direct | Way::DirectAgain => sessions == 0,
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

/// Says how far the measurement is.
fn progress(what: &str) {
    eprintln!("{what}");
}

/// A panel for each driver, a curve for each path: of the calm windows, if every path has some.
fn panels(windows: &[Window]) -> Vec<Panel> {
    let settings = report::settings(windows);
    let drivers = settings.chunk_by(|one, other| one.driver == other.driver);
    drivers
        .filter_map(|settings| panel(windows, settings))
        .collect()
}

fn panel(windows: &[Window], settings: &[Setting]) -> Option<Panel> {
    let first = settings.first()?;
    let curve = |setting: &Setting, calm| Curve {
        name: setting.path.to_owned(),
        is_control: setting.path == Way::DirectAgain.name(),
        points: report::curve(windows, *setting, calm),
    };
    let curves = |calm| settings.iter().map(move |setting| curve(setting, calm));
    let calm = curves(true).all(|curve| !curve.points.is_empty());
    Some(Panel {
        title: format!(
            "{}, {} requests/s, {} windows",
            first.driver,
            first.rate,
            if calm { "calm" } else { "all" }
        ),
        curves: curves(calm).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::report::samples::window;
    use super::*;

    #[test]
    fn gateways_that_follow_each_other_lend_different_ports() {
        assert_eq!(local_ports(0), "1024-5023");
        assert_eq!(local_ports(1), "5024-9023");
        assert_eq!(local_ports(15), "61024-65023");
        assert_eq!(local_ports(16), local_ports(0));
    }

    #[test]
    fn a_chart_shows_the_calm_windows_where_every_path_has_some() {
        let calm = [
            window("direct", "sleep", 0, 100),
            window("dr", "sleep", 0, 100),
        ];
        let disturbed = Window {
            worker_waited_us: 1e6,
            ..window("dr", "sleep", 0, 100)
        };

        let with = panels(&calm);
        let without = panels(&[calm[0].clone(), disturbed]);

        assert_eq!(
            with[0].title,
            "net_af_packet, 1200 requests/s, calm windows"
        );
        assert_eq!(
            without[0].title,
            "net_af_packet, 1200 requests/s, all windows"
        );
        assert_eq!((with[0].curves.len(), without[0].curves.len()), (2, 2));
    }
}
