//! Two workers on two queues of one device against one worker on one, each in a daemon of its own.
//!
//! ```text
//!   all frames ─────────────────────► net_pcap0 ── queue 0 ── worker 0           first daemon
//!
//!   frames of sessions of worker 0 ─► net_pcap0 ── queue 0 ── worker 0 ┐
//!   frames of sessions of worker 1 ─►           └─ queue 1 ── worker 1 ┴─        second daemon
//!
//!   round:  │ first daemon │ second daemon │     the other stands still meanwhile
//! ```
//!
//! Every frame comes to the queue of the worker that owns its session, as it would with RSS; one
//! that did not would be handed over, which fails the case.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use dataplane::id::WorkerId;
use testnet::Namespace;

use super::assertions::{self, Counters};
use super::case::{Case, Direction, Method, Protocol, Sizes};
use super::daemon::Daemon;
use super::failure::Failure;
use super::measure::{Plan, WARM_UP, let_work, until_still};
use super::{
    Run, Surroundings, be_root, configuration, frames, prepare, start_gateway, write_capture,
};
use crate::cleanup::Cleanup;
use crate::report::{Machine, Record, Results};
use crate::scaling::{Rate, Round, Scaling, Stretch};

/// The options of `sluice-bench scaling`.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// Only these forwarding methods.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Method::ALL)]
    method: Vec<Method>,
    /// Sessions.
    #[arg(long, default_value_t = 100_000,
          value_parser = clap::value_parser!(u32).range(1_000..=1_000_000))]
    flows: u32,
    /// Takes half a minute: fewer cases, shorter windows.
    #[arg(long)]
    quick: bool,
    /// Windows of each daemon in each case.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(5..))]
    windows: u16,
    #[command(flatten)]
    surroundings: Surroundings,
}

impl Arguments {
    fn cases(&self) -> Vec<Case> {
        let mut cases = Vec::new();
        for method in &self.method {
            for direction in [Direction::Request, Direction::Both] {
                let is_seen = direction == Direction::Request || method.sees_replies();
                let is_quick = *method == Method::Fullnat && direction == Direction::Both;
                if is_seen && (is_quick || !self.quick) {
                    cases.push(Case {
                        method: *method,
                        direction,
                        protocol: Protocol::Udp,
                        flows: self.flows,
                        sizes: Sizes::Small,
                    });
                }
            }
        }
        cases
    }

    fn plan(&self) -> Plan {
        let millis = if self.quick { 300 } else { 1_000 };
        Plan {
            windows: self.windows.into(),
            length: Duration::from_millis(millis),
        }
    }
}

/// Measures the cases that were asked for, prints and stores their results; `false` when one of
/// them has no figure.
///
/// # Errors
///
/// When nothing could be measured at all.
pub fn run(arguments: &Arguments) -> Result<bool, Failure> {
    be_root()?;
    let cleanup = Cleanup::install().map_err(Failure::io("waiting for signals"))?;
    // Two gateways, and the second has two tables.
    let megabytes = 2 * configuration::huge_mb(arguments.flows);
    let surroundings = &arguments.surroundings;
    let run = prepare(surroundings, megabytes, arguments.plan(), &cleanup)?;
    let second = Namespace::create("bench-two");
    let folder = &surroundings.output;
    let mut results = Results::load(folder).map_err(Failure::io("reading earlier results"))?;
    let mut good = true;
    for case in arguments.cases() {
        let mut record = record(&case);
        results.forget_all(|old| old.is_same_case(&record));
        match measure_case(&run, &second, &case, &mut results) {
            Ok(scaling) => {
                println!("{case}: {scaling}");
                scaling.fill(&mut record);
                results.record(record);
            }
            Err(why) => {
                println!("{case}: no figure: {why}");
                good = false;
            }
        }
    }
    results.store().map_err(Failure::io("storing results"))?;
    Ok(good)
}

/// The row of a case, without figures.
fn record(case: &Case) -> Record {
    Record {
        method: case.method.name().to_owned(),
        direction: format!("{}-two-workers", case.direction.name()),
        proto: case.protocol.name().to_owned(),
        flows: case.flows.into(),
        ..Record::default()
    }
}

fn measure_case(
    run: &Run,
    second: &Namespace,
    case: &Case,
    results: &mut Results,
) -> Result<Scaling, Failure> {
    let cores = run.cores.of_two_workers();
    let alone = started(run, &run.host, &cores[..1], case)?;
    let status = alone.ctl("--json status")?;
    results.machine(Machine::of_this(&status, run.huge_pages));
    alone.pause();
    let both = started(run, second, &cores, case)?;
    both.pause();
    let mut rounds = Vec::new();
    let mut played = vec![0; 1 + cores.len()];
    for _ in 0..run.plan.windows {
        let stretches = [window(run, &alone, case)?, window(run, &both, case)?];
        for (sum, stretch) in played.iter_mut().zip(stretches.iter().flatten()) {
            *sum += stretch.packets;
        }
        rounds.push(Round {
            gateway: stretches.map(|stretches| Rate::of(&stretches)),
            pass_through: None,
        });
    }
    whole_replay_was_played(case, &played)?;
    Ok(Scaling::new(rounds))
}

/// All frames have different tuples, so that every session was touched if each worker received
/// as many as there are.
fn whole_replay_was_played(case: &Case, played: &[u64]) -> Result<(), Failure> {
    let frames = u64::from(frames::count(case));
    match played.iter().find(|packets| **packets < frames) {
        None => Ok(()),
        Some(packets) => Err(Failure::Assertion(format!(
            "a worker received {packets} packets of a replay of {frames} frames: \
             take fewer --flows or more --windows"
        ))),
    }
}

/// A gateway with a worker on each of these cores, which forwards everything.
fn started<'a>(
    run: &'a Run,
    host: &'a Namespace,
    cores: &'a [usize],
    case: &Case,
) -> Result<Daemon<'a>, Failure> {
    let captures: Result<Vec<PathBuf>, _> = match cores.len() {
        1 => write_capture(host, case, None).map(|all| vec![all]),
        _ => (0..)
            .zip(cores)
            .map(|(worker, _)| write_capture(host, case, Some(WorkerId(worker))))
            .collect(),
    };
    let captures = captures?;
    run.with_pages(configuration::huge_mb(case.flows), || {
        start_gateway(run, host, cores, case, &captures)
    })
}

/// Numbers of a gateway whose workers all stood still.
struct Reading {
    at: Instant,
    cpu_ns: Vec<u64>,
    counters: Counters,
}

/// Lets a gateway work that is paused before and after, and asserts what it counted meanwhile.
fn window(run: &Run, gateway: &Daemon<'_>, case: &Case) -> Result<Vec<Stretch>, Failure> {
    gateway.resume();
    let measured = let_all_work(gateway, WARM_UP)
        .and_then(|()| read(run, gateway))
        .and_then(|before| {
            let_all_work(gateway, run.plan.length)?;
            Ok([before, read(run, gateway)?])
        });
    gateway.pause();
    let [before, after] = measured?;
    let wall = after.at - before.at;
    let stretches = (before.cpu_ns.iter().zip(&after.cpu_ns))
        .zip(
            before
                .counters
                .received_by
                .iter()
                .zip(&after.counters.received_by),
        )
        .map(
            |((cpu_before, cpu_after), (packets_before, packets_after))| Stretch {
                packets: packets_after - packets_before,
                cpu: Duration::from_nanos(cpu_after - cpu_before),
                wall,
            },
        )
        .collect();
    assertions::check(case, &[before.counters, after.counters])?;
    Ok(stretches)
}

fn let_all_work(gateway: &Daemon<'_>, length: Duration) -> Result<(), Failure> {
    let mut workers = gateway.workers().iter();
    workers.try_for_each(|worker| let_work(*worker, length))
}

/// Reads all numbers while no worker runs: the measured core is held, and whoever has another is
/// kept on it meanwhile too.
fn read(run: &Run, gateway: &Daemon<'_>) -> Result<Reading, Failure> {
    until_still(|| read_once(run, gateway))
}

/// Reads once; nothing when a worker went on meanwhile.
fn read_once(run: &Run, gateway: &Daemon<'_>) -> Result<Option<Reading>, Failure> {
    let held = run.holder.hold()?;
    let at = Instant::now();
    let workers = gateway.workers();
    let keep = |cores: [usize; 2]| {
        let mut each = workers.iter().zip(cores);
        each.try_for_each(|(worker, core)| worker.keep_on(core))
    };
    keep([run.cores.measured; 2])?;
    let cpu = || workers.iter().map(|worker| worker.cpu_ns()).collect();
    let before: Result<Vec<u64>, _> = cpu();
    let counters = gateway.metrics().map(|metrics| Counters::of(&metrics));
    let after: Result<Vec<u64>, _> = cpu();
    keep(run.cores.of_two_workers())?;
    drop(held);
    let (cpu_ns, counters) = (before?, counters?);
    let is_still = after? == cpu_ns;
    Ok(is_still.then_some(Reading {
        at,
        cpu_ns,
        counters,
    }))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Whole {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn names(line: &str) -> Vec<String> {
        let words = std::iter::once("scaling").chain(line.split_whitespace());
        let whole = Whole::try_parse_from(words).unwrap();
        let cases = whole.arguments.cases();
        cases
            .iter()
            .map(|case| record(case).method + " " + &record(case).direction)
            .collect()
    }

    #[test]
    fn every_method_is_measured_and_both_directions_where_they_pass() {
        assert_eq!(
            names(""),
            [
                "dr request-two-workers",
                "tun request-two-workers",
                "nat request-two-workers",
                "nat both-two-workers",
                "fullnat request-two-workers",
                "fullnat both-two-workers",
            ]
        );
        assert_eq!(names("--quick"), ["fullnat both-two-workers"]);
        assert_eq!(names("--method dr"), ["dr request-two-workers"]);
    }

    #[test]
    fn a_worker_that_did_not_receive_its_whole_replay_fails_the_case() {
        let case = Case {
            method: Method::Dr,
            direction: Direction::Request,
            protocol: Protocol::Udp,
            flows: 1_000,
            sizes: Sizes::Small,
        };

        assert!(whole_replay_was_played(&case, &[2_000, 1_000, 1_001]).is_ok());
        assert!(whole_replay_was_played(&case, &[2_000, 999, 1_001]).is_err());
    }
}
