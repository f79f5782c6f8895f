//! What the command line asks of the generator, and the answers in lines.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use dataplane::address::Protocol;
use dataplane::service::{Method, SchedulerKind};

use super::case::{Case, CaseError, Load};
use super::handover::HandedOver;
use super::latency::Latency;
use super::mass_expiry::MassExpiry;
use super::scaling;
use super::suite::{self, Suite};

/// Generated packets around the worker itself: any number of flows, mixtures and new sessions.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Runs the usual cases, and adds their figures to the results in this folder.
    #[arg(long)]
    output: Option<PathBuf>,
    /// With --output: which of the usual cases; all unless said.
    #[arg(long, value_enum, value_delimiter = ',')]
    suite: Vec<Suite>,
    /// With --output: less of everything.
    #[arg(long)]
    quick: bool,
    /// The forwarding methods: dr, nat, tun, fullnat.
    #[arg(long, value_delimiter = ',', default_value = "dr,nat,tun,fullnat", value_parser = method)]
    method: Vec<Method>,
    /// The transport: tcp or udp.
    #[arg(long, default_value = "udp", value_parser = protocol)]
    proto: Protocol,
    /// Sessions that exist, one case for each number.
    #[arg(long, value_delimiter = ',', default_value = "1000")]
    flows: Vec<u64>,
    /// What arrives.
    #[arg(long, value_enum, default_value = "request")]
    load: Load,
    /// The scheduler: rr or wlc.
    #[arg(long, default_value = "rr", value_parser = scheduler)]
    scheduler: SchedulerKind,
    /// How many servers there are.
    #[arg(long, default_value_t = 100)]
    servers: u32,
    /// Packets of one window.
    #[arg(long, default_value_t = 1_000_000)]
    window: u64,
    /// Pairs of windows, of which the median counts.
    #[arg(long, default_value_t = 7)]
    windows: usize,
    /// Measures no baseline, for a profiler that counts instructions.
    #[arg(long)]
    without_baseline: bool,
    /// Lets a microsecond pass with each turn, however long it takes, so that every run does the
    /// same.
    #[arg(long)]
    virtual_clock: bool,
    /// Makes the service persistent, for 65,536 groups of clients.
    #[arg(long)]
    persistent: bool,

    /// Instead of what packets cost, measures for this many seconds how long they stay when they
    /// arrive at half the rate that the worker can do.
    #[arg(long, value_name = "SECONDS")]
    latency: Option<u64>,
    /// Instead of what packets cost, measures how much more two workers do than one.
    #[arg(long, conflicts_with = "latency")]
    two_workers: bool,
    /// Instead of what packets cost, measures what they cost more that arrive at another worker
    /// than their owner.
    #[arg(long, conflicts_with_all = ["latency", "two_workers"])]
    handed_over: bool,
    /// Instead of what packets cost, measures how long turns are while all the sessions end at
    /// once and packets of others arrive.
    #[arg(long, conflicts_with_all = ["latency", "two_workers", "handed_over"])]
    mass_expiry: bool,
    /// Runs this many seconds before it measures, for a profiler that samples.
    #[arg(long, default_value_t = 0)]
    profile: u64,
}

/// Runs the cases and prints a line for each. It fails when one of them has no figure.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    let complete = match &options.output {
        Some(folder) => suite::run(folder, &options.suite, options.quick),
        None => Ok(options.run()),
    };
    match complete {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("sluice-bench: the results: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Options {
    /// Runs what was asked for; false when a case has no figure.
    fn run(&self) -> bool {
        let mut complete = true;
        for method in &self.method {
            for flows in &self.flows {
                let case = self.case(*method, *flows);
                let name = format!("{:?}", self.load).to_lowercase();
                match self.answer(&name, &case) {
                    Ok(answer) => println!("{answer}"),
                    Err(error) => {
                        eprintln!("{method} {name} {flows}: {error}");
                        complete = false;
                    }
                }
            }
        }
        complete
    }

    fn answer(&self, name: &str, case: &Case) -> Result<String, CaseError> {
        if let Some(seconds) = self.latency {
            let latency = Latency::measure(case, seconds)?;
            return Ok(format!("{} {name} {}: {latency}", case.method, case.flows));
        }
        if self.two_workers {
            let scaling = scaling::measure(case, scaling::WINDOW)?;
            return Ok(format!("{} {name} {}: {scaling}", case.method, case.flows));
        }
        if self.handed_over {
            let figures = HandedOver::measure(case)?;
            return Ok(format!("{} {name} {}: {figures}", case.method, case.flows));
        }
        if self.mass_expiry {
            let figures = MassExpiry::measure(case)?;
            return Ok(format!("{} {}: {figures}", case.method, case.flows));
        }
        let figures = case.run(Duration::from_secs(self.profile))?;
        Ok(suite::line(name, case, &figures))
    }

    fn case(&self, method: Method, flows: u64) -> Case {
        Case {
            method,
            protocol: self.proto,
            flows,
            load: self.load,
            scheduler: self.scheduler,
            servers: self.servers,
            window: self.window,
            windows: self.windows,
            without_baseline: self.without_baseline,
            virtual_clock: self.virtual_clock,
            persistent: self.persistent,
        }
    }
}

fn method(name: &str) -> Result<Method, String> {
    [Method::Dr, Method::Nat, Method::Tun, Method::Fullnat]
        .into_iter()
        .find(|method| method.name() == name)
        .ok_or_else(|| "there are dr, nat, tun and fullnat".to_owned())
}

fn protocol(name: &str) -> Result<Protocol, String> {
    match name {
        "tcp" => Ok(Protocol::Tcp),
        "udp" => Ok(Protocol::Udp),
        _ => Err("there are tcp and udp".to_owned()),
    }
}

fn scheduler(name: &str) -> Result<SchedulerKind, String> {
    match name {
        "rr" => Ok(SchedulerKind::Rr),
        "wlc" => Ok(SchedulerKind::Wlc),
        _ => Err("there are rr and wlc".to_owned()),
    }
}
