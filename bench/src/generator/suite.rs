//! The cases that a whole run of the benchmark takes from the generator, and where they go.

use std::io;
use std::path::Path;
use std::time::Duration;

use dataplane::address::Protocol;
use dataplane::service::{Method, SchedulerKind};

use super::case::{Case, CaseError, Figures, Load};
use super::handover::HandedOver;
use super::mass_expiry::MassExpiry;
use super::scaling;
use crate::core_to_core;
use crate::report::{Record, Results};

/// More sessions than a replay can hold.
const TEN_MILLION: u64 = 10_000_000;

/// As many as two minutes allow, and no number that the replay has a row for.
const THREE_MILLION: u64 = 3_000_000;

/// Cases that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Suite {
    /// What packets and sessions cost one worker.
    Costs,
    /// How much more two workers do than one, and what handing packets over costs.
    Cores,
    /// How long packets stay while a million sessions end together.
    Expiry,
}

/// What is measured of a case.
#[derive(Clone, Copy, Debug)]
enum Measure {
    Cost,
    TwoWorkers,
    HandedOver,
    MassExpiry,
}

/// A row of the results: the name of its direction, what is measured, and of what.
type Row = (&'static str, Measure, Case);

/// Runs the cases of these suites, of all if there are none, and adds their figures to the
/// results in `folder`. False when one of them has no figure.
///
/// # Errors
///
/// What kept the results from being read or written.
pub(super) fn run(folder: &Path, suites: &[Suite], quick: bool) -> io::Result<bool> {
    let mut results = Results::load(folder)?;
    let mut complete = true;
    if suites.is_empty() || suites.contains(&Suite::Cores) {
        match core_to_core::nanos() {
            Ok(nanos) => println!("a cache line takes {nanos:.0} ns from one core to the other"),
            Err(error) => eprintln!("{error}"),
        }
    }
    for (name, measure, case) in rows(suites, quick) {
        let mut record = Record {
            method: case.method.name().to_owned(),
            direction: name.to_owned(),
            proto: case.protocol.name().to_owned(),
            flows: case.flows,
            ..Record::default()
        };
        results.forget_all(|old| old.is_same_case(&record));
        match measured(name, measure, &case, &mut record) {
            Ok(line) => {
                println!("{line}");
                results.record(record);
            }
            Err(error) => {
                eprintln!("{} {name} {}: {error}", case.method, case.flows);
                complete = false;
            }
        }
    }
    results.store()?;
    Ok(complete)
}

/// Measures a case and fills its row; gives it in words.
fn measured(
    name: &str,
    measure: Measure,
    case: &Case,
    record: &mut Record,
) -> Result<String, CaseError> {
    let said = match measure {
        Measure::Cost => {
            let figures = case.run(Duration::ZERO)?;
            fill(record, case, &figures);
            return Ok(line(name, case, &figures));
        }
        Measure::TwoWorkers => {
            let scaling = scaling::measure(case, scaling::WINDOW)?;
            scaling.fill(record);
            if case.load == Load::New {
                record.sessions_per_s = Some(scaling.rates()[1].per_cpu_second);
            }
            scaling.to_string()
        }
        Measure::HandedOver => {
            let figures = HandedOver::measure(case)?;
            record.net_ns = Some(figures.handed);
            record.handed_over_ns = Some(figures.more);
            figures.to_string()
        }
        Measure::MassExpiry => {
            let figures = MassExpiry::measure(case)?;
            record.longest_turn_us = figures.with.undisturbed.micros();
            figures.to_string()
        }
    };
    let Case {
        method,
        protocol,
        flows,
        ..
    } = case;
    Ok(format!("{method} {protocol} {name} {flows}: {said}"))
}

/// One case in words.
pub(super) fn line(name: &str, case: &Case, figures: &Figures) -> String {
    let sessions = match case.load {
        Load::New => format!(", {:.2} M sessions/s", 1_000.0 / figures.nanos),
        _ => String::new(),
    };
    format!(
        "{} {} {name} {}: {:.1} ns, pass-through {:.1}, net {:.1}{sessions}",
        case.method,
        case.protocol,
        case.flows,
        figures.nanos,
        figures.baseline_nanos,
        figures.net_nanos()
    )
}

fn fill(record: &mut Record, case: &Case, figures: &Figures) {
    let is_new = case.load == Load::New;
    // The last ones say what a full table takes.
    let is_full = case.flows >= THREE_MILLION && case.method == Method::Fullnat;
    record.net_ns = Some(figures.net_nanos());
    record.mpps_cpu = Some(1_000.0 / figures.nanos);
    record.sessions_per_s = is_new.then(|| 1e9 / figures.nanos);
    record.bytes_per_session = figures.bytes_per_session.filter(|_| is_full);
}

/// The rows of these suites, or of all.
fn rows(suites: &[Suite], quick: bool) -> Vec<Row> {
    let wanted = |suite| suites.is_empty() || suites.contains(&suite);
    let mut rows = Vec::new();
    if wanted(Suite::Costs) {
        rows.extend(costs(quick));
    }
    if wanted(Suite::Cores) {
        rows.extend(cores(quick));
    }
    if wanted(Suite::Expiry) {
        rows.extend(expiry(quick));
    }
    rows
}

/// A case over 100 servers.
const fn case(method: Method, load: Load, flows: u64, quick: bool) -> Case {
    Case {
        method,
        protocol: Protocol::Udp,
        flows,
        load,
        scheduler: SchedulerKind::Rr,
        servers: 100,
        window: if quick { 300_000 } else { 2_000_000 },
        windows: 5,
        without_baseline: false,
        virtual_clock: false,
        persistent: false,
    }
}

/// What two workers do.
fn cores(quick: bool) -> Vec<Row> {
    let mut rows = Vec::new();
    for method in [Method::Dr, Method::Fullnat] {
        let new = Case {
            scheduler: SchedulerKind::Wlc,
            ..case(method, Load::New, 0, quick)
        };
        if method == Method::Dr || !quick {
            rows.push(("new-wlc-two-workers", Measure::TwoWorkers, new));
        }
        if !quick {
            let persistent = Case {
                persistent: true,
                ..new
            };
            let name = "new-wlc-persistent-two-workers";
            rows.push((name, Measure::TwoWorkers, persistent));
        }
    }
    if !quick {
        let known = case(Method::Fullnat, Load::Request, 1_000_000, quick);
        rows.push(("request-two-workers", Measure::TwoWorkers, known));
    }
    let handed = |method, load| Case {
        // Where other work wants the cores too, taking turns on them takes long.
        window: 200_000,
        ..case(method, load, 1_000, quick)
    };
    for method in [Method::Dr, Method::Tun, Method::Nat, Method::Fullnat] {
        let request = handed(method, Load::Request);
        rows.push(("request-handed-over", Measure::HandedOver, request));
    }
    let reply = handed(Method::Nat, Load::Reply);
    rows.push(("reply-handed-over", Measure::HandedOver, reply));
    rows
}

/// A million sessions that end together.
fn expiry(quick: bool) -> Vec<Row> {
    let ended = |method| Case {
        scheduler: SchedulerKind::Wlc,
        windows: if quick { 2 } else { 5 },
        ..case(method, Load::Request, 1_000_000, quick)
    };
    let methods = [Method::Dr, Method::Fullnat].into_iter();
    let methods = methods.filter(|method| *method == Method::Fullnat || !quick);
    (methods.map(|method| ("mass-expiry", Measure::MassExpiry, ended(method)))).collect()
}

/// What one worker does.
fn costs(quick: bool) -> Vec<Row> {
    let new = |method, protocol, scheduler| Case {
        protocol,
        scheduler,
        ..case(method, Load::New, 0, quick)
    };
    let mut cases = Vec::new();
    for protocol in [Protocol::Udp, Protocol::Tcp] {
        let (rr, wlc) = (SchedulerKind::Rr, SchedulerKind::Wlc);
        cases.push(("new", new(Method::Fullnat, protocol, rr)));
        cases.push(("new-wlc", new(Method::Dr, protocol, wlc)));
    }
    let mixed = case(Method::Fullnat, Load::Mixed, 1_000_000, quick);
    cases.push(("mixed", mixed));
    let flows = if quick { THREE_MILLION } else { TEN_MILLION };
    for method in [Method::Dr, Method::Tun, Method::Nat, Method::Fullnat] {
        cases.push(("request", case(method, Load::Request, flows, quick)));
        if method.sees_replies() {
            cases.push(("reply", case(method, Load::Reply, flows, quick)));
        }
    }
    let row = |(name, case)| (name, Measure::Cost, case);
    cases.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_case_has_a_row_of_its_own() {
        let rows = rows(&[], false);

        for (at, (name, _, case)) in rows.iter().enumerate() {
            let same = |(other, _, its): &&Row| {
                *other == *name
                    && its.method == case.method
                    && its.protocol == case.protocol
                    && its.flows == case.flows
            };
            assert_eq!(rows.iter().filter(same).count(), 1, "{at}: {name}");
        }
    }

    #[test]
    fn new_sessions_are_told_by_the_second_and_memory_by_the_full_table() {
        let figures = Figures {
            nanos: 250.0,
            baseline_nanos: 10.0,
            bytes_per_session: Some(160.0),
        };
        let record = |case: &Case| {
            let mut record = Record::default();
            fill(&mut record, case, &figures);
            record
        };

        let new = record(&case(Method::Fullnat, Load::New, 0, false));
        assert_eq!(new.sessions_per_s, Some(4e6));
        assert_eq!(new.bytes_per_session, None);
        let full = record(&case(Method::Fullnat, Load::Request, TEN_MILLION, false));
        assert_eq!(full.bytes_per_session, Some(160.0));
        assert_eq!(full.net_ns, Some(240.0));
        assert_eq!(full.sessions_per_s, None);
    }

    #[test]
    fn suites_are_parts_of_everything() {
        let of = |suites: &[Suite]| rows(suites, false).len();

        let parts = [Suite::Costs, Suite::Cores, Suite::Expiry].map(|suite| of(&[suite]));
        assert!(parts.iter().all(|count| *count > 0));
        assert_eq!(of(&[]), parts.iter().sum::<usize>());
        assert_eq!(of(&[Suite::Cores, Suite::Expiry]), parts[1] + parts[2]);
        assert!(rows(&[], true).len() < of(&[]));
    }
}
