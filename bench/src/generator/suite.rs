//! The cases that a whole run of the benchmark takes from the generator, and where they go.

use std::io;
use std::path::Path;
use std::time::Duration;

use dataplane::address::Protocol;
use dataplane::service::{Method, SchedulerKind};

use super::case::{Case, Figures, Load};
use crate::report::{Record, Results};

/// More sessions than a replay can hold.
const TEN_MILLION: u64 = 10_000_000;

/// As many as two minutes allow, and no number that the replay has a row for.
const THREE_MILLION: u64 = 3_000_000;

/// Runs the cases and adds their figures to the results in `folder`. False when one of them has
/// no figure.
///
/// # Errors
///
/// What kept the results from being read or written.
pub(super) fn run(folder: &Path, quick: bool) -> io::Result<bool> {
    let mut results = Results::load(folder)?;
    let mut complete = true;
    for (name, case) in cases(quick) {
        let record = Record {
            method: case.method.name().to_owned(),
            direction: name.to_owned(),
            proto: case.protocol.name().to_owned(),
            flows: case.flows,
            ..Record::default()
        };
        results.forget_all(|old| old.is_same_case(&record));
        match case.run(Duration::ZERO) {
            Ok(figures) => {
                println!("{}", line(name, &case, &figures));
                results.record(filled(record, &case, &figures));
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

fn filled(record: Record, case: &Case, figures: &Figures) -> Record {
    let is_new = case.load == Load::New;
    // The last one says what a full table takes.
    let is_full = case.flows == TEN_MILLION && case.method == Method::Fullnat;
    Record {
        net_ns: Some(figures.net_nanos()),
        mpps_cpu: Some(1_000.0 / figures.nanos),
        sessions_per_s: is_new.then(|| 1e9 / figures.nanos),
        bytes_per_session: figures.bytes_per_session.filter(|_| is_full),
        ..record
    }
}

/// The cases with the names of their directions.
fn cases(quick: bool) -> Vec<(&'static str, Case)> {
    let case = |method, protocol, flows, load, scheduler| Case {
        method,
        protocol,
        flows,
        load,
        scheduler,
        servers: 100,
        window: if quick { 300_000 } else { 2_000_000 },
        windows: 5,
        without_baseline: false,
        virtual_clock: false,
    };
    let rr = SchedulerKind::Rr;
    let flows = if quick { THREE_MILLION } else { TEN_MILLION };
    let mut cases = vec![
        (
            "new",
            case(Method::Fullnat, Protocol::Udp, 0, Load::New, rr),
        ),
        (
            "new",
            case(Method::Fullnat, Protocol::Tcp, 0, Load::New, rr),
        ),
        (
            "new-wlc",
            case(Method::Dr, Protocol::Udp, 0, Load::New, SchedulerKind::Wlc),
        ),
        (
            "new-wlc",
            case(Method::Dr, Protocol::Tcp, 0, Load::New, SchedulerKind::Wlc),
        ),
        (
            "mixed",
            case(Method::Fullnat, Protocol::Udp, 1_000_000, Load::Mixed, rr),
        ),
    ];
    for method in [Method::Dr, Method::Tun, Method::Nat, Method::Fullnat] {
        cases.push((
            "request",
            case(method, Protocol::Udp, flows, Load::Request, rr),
        ));
        if method.sees_replies() {
            cases.push(("reply", case(method, Protocol::Udp, flows, Load::Reply, rr)));
        }
    }
    cases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_case_has_a_row_of_its_own() {
        let cases = cases(false);

        for (at, (name, case)) in cases.iter().enumerate() {
            let same = |(other, its): &&(&str, Case)| {
                *other == *name
                    && its.method == case.method
                    && its.protocol == case.protocol
                    && its.flows == case.flows
            };
            assert_eq!(cases.iter().filter(same).count(), 1, "{at}: {name}");
        }
    }

    #[test]
    fn new_sessions_are_told_by_the_second_and_memory_by_the_full_table() {
        let figures = Figures {
            nanos: 250.0,
            baseline_nanos: 10.0,
            bytes_per_session: Some(160.0),
        };
        let record = |at: usize| {
            let (name, case) = cases(false).remove(at);
            let empty = Record {
                direction: name.to_owned(),
                ..crate::report::samples::measured("x", 1, 0.0)
            };
            filled(empty, &case, &figures)
        };

        assert_eq!(record(0).sessions_per_s, Some(4e6));
        assert_eq!(record(0).bytes_per_session, None);
        let last = cases(false).len() - 2;
        assert_eq!(record(last).bytes_per_session, Some(160.0));
        assert_eq!(record(last).net_ns, Some(240.0));
    }
}
