//! Says in the log when something ran out: one line for each thing, now and then.

use std::time::{Duration, Instant};

use dataplane::drop_reason::DropReason;

use super::Gateway;

/// Drops that mean the gateway needs more of something, or that somebody must act.
const ALARMING: [DropReason; 6] = [
    DropReason::LocalPortsExhausted,
    DropReason::SessionTableFull,
    DropReason::HandoverFull,
    DropReason::TransmitFull,
    DropReason::NoTunnelSource,
    DropReason::FragmentationFailed,
];

/// The same alarm sounds at most this often.
const INTERVAL: Duration = Duration::from_secs(10);

/// What was counted when each alarm sounded last.
#[derive(Debug)]
pub struct Alarms {
    known: [(u64, Option<Instant>); ALARMING.len()],
}

impl Default for Alarms {
    fn default() -> Self {
        Self {
            known: [(0, None); ALARMING.len()],
        }
    }
}

impl Alarms {
    /// The lines to log at `now`.
    #[must_use]
    pub fn sound(&mut self, gateway: &Gateway, now: Instant) -> Vec<String> {
        let counted = ALARMING.map(|reason| gateway.dropped(reason));
        self.compare(counted, now)
    }

    fn compare(&mut self, counted: [u64; ALARMING.len()], now: Instant) -> Vec<String> {
        let mut lines = Vec::new();
        for ((reason, count), (known, last)) in ALARMING.iter().zip(counted).zip(&mut self.known) {
            let quiet = last.is_none_or(|last| now.duration_since(last) >= INTERVAL);
            if count > *known && quiet {
                let (name, meaning) = (reason.name(), reason.sentence());
                lines.push(format!(
                    "{} packets dropped ({name}): {meaning}",
                    count - *known
                ));
                *known = count;
                *last = Some(now);
            }
        }
        lines
    }
}

impl Gateway {
    /// Packets dropped for `reason` by all workers.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.plane
            .counters
            .iter()
            .map(|counters| counters.drops(reason).get())
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_says_how_many_and_then_keeps_quiet_for_a_while() {
        let mut alarms = Alarms::default();
        let start = Instant::now();
        let exhausted = |count| [count, 0, 0, 0, 0, 0];

        let first = alarms.compare(exhausted(5), start);
        let soon = alarms.compare(exhausted(9), start + INTERVAL / 2);
        let later = alarms.compare(exhausted(9), start + INTERVAL);

        assert_eq!(first.len(), 1);
        assert!(
            first[0].starts_with("5 packets dropped (local_ports_exhausted): "),
            "{}",
            first[0]
        );
        assert!(soon.is_empty());
        assert!(later[0].starts_with("4 packets dropped "), "{}", later[0]);
    }

    #[test]
    fn nothing_new_is_no_alarm() {
        let mut alarms = Alarms::default();

        assert!(alarms.compare([0; 6], Instant::now()).is_empty());
    }
}
