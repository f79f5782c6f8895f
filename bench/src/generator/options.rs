//! What the command line asks of the generator, and the answers in lines.

use std::process::ExitCode;
use std::time::Duration;

use dataplane::address::Protocol;
use dataplane::service::{Method, SchedulerKind};

use super::case::{Case, CaseError, Load};
use super::latency::Latency;

/// Generated packets around the worker itself: any number of flows, mixtures and new sessions.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
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
    /// Instead of what packets cost, measures for this many seconds how long they stay when they
    /// arrive at half the rate that the worker can do.
    #[arg(long, value_name = "SECONDS")]
    latency: Option<u64>,
    /// Runs this many seconds before it measures, for a profiler that samples.
    #[arg(long, default_value_t = 0)]
    profile: u64,
}

/// Runs the cases and prints a line for each. It fails when one of them has no figure.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for method in &options.method {
        for flows in &options.flows {
            let case = options.case(*method, *flows);
            let name = format!("{method} {} {:?} {flows}", options.proto, options.load);
            match options.answer(&case) {
                Ok(answer) => println!("{name}: {answer}"),
                Err(error) => {
                    eprintln!("{name}: {error}");
                    code = ExitCode::FAILURE;
                }
            }
        }
    }
    code
}

impl Options {
    fn answer(&self, case: &Case) -> Result<String, CaseError> {
        if let Some(seconds) = self.latency {
            let Latency {
                rate,
                all,
                undisturbed,
            } = Latency::measure(case, seconds)?;
            let rate = rate / 1e6;
            return Ok(format!(
                "at {rate:.2} Mpps\n  all: {all}\n  undisturbed: {undisturbed}"
            ));
        }
        let figures = case.run(Duration::from_secs(self.profile))?;
        let net = figures.net_nanos();
        let (nanos, baseline) = (figures.nanos, figures.baseline_nanos);
        Ok(format!(
            "{nanos:.1} ns, pass-through {baseline:.1}, net {net:.1}"
        ))
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
