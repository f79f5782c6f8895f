//! What has to be true of every window, or its figure is not worth anything.

use std::collections::BTreeMap;

use testnet::metrics::Metrics;

use super::case::{Case, Direction};
use super::failure::Failure;

/// How far two counters of the same packets may differ over a window. They are read while the
/// worker is held somewhere in a turn: of one burst of 32 it may have counted the one and not
/// yet the other, at either end. So for each worker.
pub const IN_A_TURN: u64 = 2 * 32;

/// What the gateway has counted since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets received.
    pub received: u64,
    /// The same by worker.
    pub received_by: Vec<u64>,
    /// Packets that met a session.
    pub hits: u64,
    /// Packets sent, without those that Linux sent.
    pub sent: u64,
    /// Packets counted for the real servers, both directions.
    pub of_servers: [u64; 2],
    /// Sessions in the table.
    pub sessions: u64,
    /// What must not happen, by name.
    pub mishaps: BTreeMap<String, u64>,
}

impl Counters {
    /// Those in the daemon's metrics.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counters are whole and never below zero"
    )]
    pub fn of(metrics: &Metrics) -> Self {
        let sum = |name: &str| metrics.sum(name, &[]) as u64;
        let mut mishaps = BTreeMap::new();
        for (name, label, kind) in [
            ("sluice_dropped_packets_total", "reason", "dropped as"),
            ("sluice_punted_packets_total", "class", "given to Linux as"),
        ] {
            for (value, count) in metrics.by(name, label) {
                mishaps.insert(format!("packets {kind} {value}"), count as u64);
            }
        }
        for (name, what) in [
            ("sluice_created_sessions_total", "sessions made"),
            ("sluice_expired_sessions_total", "sessions expired"),
            ("sluice_evicted_sessions_total", "sessions evicted"),
            ("sluice_icmp_error_packets_total", "ICMP errors"),
            (
                "sluice_arrived_at_wrong_worker_packets_total",
                "packets at the wrong worker",
            ),
        ] {
            mishaps.insert(what.to_owned(), sum(name));
        }
        Self {
            received: sum("sluice_received_packets_total"),
            received_by: (metrics.by("sluice_received_packets_total", "worker"))
                .into_values()
                .map(|count| count as u64)
                .collect(),
            hits: sum("sluice_session_hit_packets_total"),
            sent: sum("sluice_transmitted_packets_total") - sum("sluice_injected_packets_total"),
            of_servers: [
                sum("sluice_server_in_packets_total"),
                sum("sluice_server_out_packets_total"),
            ],
            sessions: sum("sluice_sessions"),
            mishaps,
        }
    }

    /// What must not happen and did since `before`, in words.
    #[must_use]
    pub fn mishaps_since(&self, before: &Self) -> Option<String> {
        let new = self.mishaps.iter().filter_map(|(name, count)| {
            let new = count.saturating_sub(before.mishaps.get(name).copied().unwrap_or(0));
            (new > 0).then(|| format!("{new} {name}"))
        });
        let new: Vec<_> = new.collect();
        (!new.is_empty()).then(|| new.join(", "))
    }
}

/// Asserts what a window of `case` must show: every packet met a session that was there, was
/// counted for its server and sent on; nothing else happened. Over the whole replay that also means
/// that every session was touched, because all frames of it have different tuples.
///
/// # Errors
///
/// [`Failure::Assertion`] with what was not so.
pub fn check(case: &Case, [before, after]: &[Counters; 2]) -> Result<(), Failure> {
    let failed = |what: String| Err(Failure::Assertion(what));
    if let Some(mishaps) = after.mishaps_since(before) {
        return failed(mishaps);
    }
    for (when, counters) in [("before", before), ("after", after)] {
        let (found, wanted) = (counters.sessions, u64::from(case.flows));
        if found != wanted {
            return failed(format!("{found} sessions {when} the window, not {wanted}"));
        }
    }
    let packets = after.received - before.received;
    let in_turns = IN_A_TURN * after.received_by.len() as u64;
    let [requests, replies] =
        [0, 1].map(|side| after.of_servers[side].saturating_sub(before.of_servers[side]));
    for (what, count) in [
        ("met a session", after.hits - before.hits),
        ("were counted for a server", requests + replies),
        ("were sent", after.sent.saturating_sub(before.sent)),
    ] {
        if count.abs_diff(packets) > in_turns {
            return failed(format!("{count} of {packets} packets {what}"));
        }
    }
    let is_right = match case.direction {
        Direction::Request => replies == 0,
        Direction::Reply => requests == 0,
        Direction::Both => requests > 0 && replies > 0,
    };
    if !is_right {
        return failed(format!("{requests} requests and {replies} replies"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::case::{Method, Protocol, Sizes};
    use super::*;

    const CASE: Case = Case {
        method: Method::Nat,
        direction: Direction::Request,
        protocol: Protocol::Udp,
        flows: 10,
        sizes: Sizes::Small,
    };

    fn counters(packets: u64) -> Counters {
        Counters {
            received: packets,
            received_by: vec![packets],
            hits: packets,
            sent: packets,
            of_servers: [packets, 0],
            sessions: 10,
            mishaps: BTreeMap::from([("packets dropped as no_server".to_owned(), 7)]),
        }
    }

    fn why(case: &Case, change: impl FnOnce(&mut Counters)) -> String {
        let mut after = counters(5_000);
        change(&mut after);
        check(case, &[counters(1_000), after]).map_or_else(|it| it.to_string(), |()| String::new())
    }

    #[test]
    fn a_window_in_which_every_packet_hits_is_good() {
        assert_eq!(why(&CASE, |_| ()), "");
        // A burst may be on its way at either end.
        assert_eq!(why(&CASE, |after| after.hits -= IN_A_TURN), "");
    }

    #[test]
    fn whatever_is_not_as_it_should_be_is_said() {
        let sentence = |what: &str| format!("not as asserted: {what}");
        for (found, wanted) in [
            (
                why(&CASE, |after| after.hits -= IN_A_TURN + 1),
                "3935 of 4000 packets met a session",
            ),
            (
                why(&CASE, |after| after.of_servers[0] -= 1_000),
                "3000 of 4000 packets were counted for a server",
            ),
            (
                why(&CASE, |after| after.sent = 1_000),
                "0 of 4000 packets were sent",
            ),
            (
                why(&CASE, |after| after.sessions = 11),
                "11 sessions after the window, not 10",
            ),
            (
                why(&CASE, |after| {
                    after.mishaps.values_mut().for_each(|count| *count += 3);
                }),
                "3 packets dropped as no_server",
            ),
            (
                why(&CASE, |after| after.of_servers = [4_999, 1]),
                "3999 requests and 1 replies",
            ),
        ] {
            assert_eq!(found, sentence(wanted));
        }
        let replies = Case {
            direction: Direction::Reply,
            ..CASE
        };
        assert_eq!(
            why(&replies, |_| ()),
            sentence("4000 requests and 0 replies")
        );
    }

    #[test]
    fn counters_are_read_from_the_daemons_metrics() {
        let metrics = Metrics::parse(
            "sluice_received_packets_total{worker=\"0\"} 60\n\
             sluice_received_packets_total{worker=\"1\"} 30\n\
             sluice_session_hit_packets_total{worker=\"0\"} 80\n\
             sluice_transmitted_packets_total{worker=\"0\"} 85\n\
             sluice_injected_packets_total{worker=\"0\"} 5\n\
             sluice_server_in_packets_total{server=\"a\"} 30\n\
             sluice_server_in_packets_total{server=\"b\"} 20\n\
             sluice_server_out_packets_total{server=\"a\"} 10\n\
             sluice_sessions{worker=\"0\"} 3\n\
             sluice_evicted_sessions_total{worker=\"0\"} 1\n\
             sluice_punted_packets_total{class=\"host\"} 2\n",
        );

        let counters = Counters::of(&metrics);

        assert_eq!(
            (counters.received, counters.hits, counters.sent),
            (90, 80, 80)
        );
        assert_eq!(counters.received_by, [60, 30]);
        assert_eq!((counters.of_servers, counters.sessions), ([50, 10], 3));
        assert_eq!(
            counters.mishaps_since(&Counters::default()).unwrap(),
            "2 packets given to Linux as host, 1 sessions evicted"
        );
    }
}
