//! A client that makes one new connection after the other and remembers which were answered.

use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::namespace::Namespace;

/// How long one may take before it counts as lost: far longer than here an answer takes, shorter
/// than TCP waits before it sends a SYN again.
const PATIENCE: Duration = Duration::from_millis(250);

/// Between two connections.
const PAUSE: Duration = Duration::from_millis(20);

/// A running client.
#[derive(Debug)]
pub struct Prober {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Probe>>,
}

/// One connection.
#[derive(Clone, Copy, Debug)]
struct Probe {
    began: Instant,
    answered: bool,
}

/// All connections, in their order.
#[derive(Debug)]
pub struct Probes(Vec<Probe>);

/// What clients noticed of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// Connections without an answer.
    pub lost: usize,
    /// From the event until the first connection behind which none was lost.
    pub lasted: Duration,
}

impl Prober {
    /// Asks `target` for its page from `host` from now on.
    #[must_use]
    pub fn start(host: &Namespace, target: SocketAddrV4) -> Self {
        Self::patient(host, target, PATIENCE)
    }

    /// As [`Self::start`], with an answer counted as lost only after `patience`: where many ask at
    /// once on a busy machine.
    #[must_use]
    pub fn patient(host: &Namespace, target: SocketAddrV4, patience: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = host.spawn(move || {
            let mut probes = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let began = Instant::now();
                probes.push(Probe {
                    began,
                    answered: is_answered(target, patience),
                });
                std::thread::sleep(PAUSE);
            }
            probes
        });
        Self { stop, thread }
    }

    /// Ends it.
    ///
    /// # Panics
    ///
    /// When its thread has panicked.
    #[must_use]
    pub fn finish(self) -> Probes {
        self.stop.store(true, Ordering::Relaxed);
        Probes(self.thread.join().expect("the prober does not panic"))
    }
}

impl Probes {
    /// What was noticed of what happened at `event`.
    ///
    /// # Panics
    ///
    /// When connections were lost before it already, or the last one of all still was.
    #[must_use]
    pub fn outage(&self, event: Instant) -> Outage {
        let lost: Vec<&Probe> = self.0.iter().filter(|probe| !probe.answered).collect();
        let early = lost.iter().filter(|it| it.began + PATIENCE * 2 < event);
        assert_eq!(
            early.count(),
            0,
            "connections were lost before anything happened"
        );
        let Some(last) = lost.last() else {
            return Outage {
                lost: 0,
                lasted: Duration::ZERO,
            };
        };
        let well = self.0.iter().find(|probe| probe.began > last.began);
        let well = well.expect("no connection was answered any more");
        Outage {
            lost: lost.len(),
            lasted: well.began.saturating_duration_since(event),
        }
    }
}

fn is_answered(target: SocketAddrV4, patience: Duration) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&target.into(), patience)?;
        stream.set_read_timeout(Some(patience))?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        let mut answer = [0; 8];
        stream.read_exact(&mut answer)?;
        std::io::Result::Ok(&answer == b"HTTP/1.1")
    };
    ask().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_lasts_from_the_event_to_the_first_answer_after_the_last_loss() {
        let start = Instant::now();
        let at = |tenths: u64| start + Duration::from_millis(100 * tenths);
        let probes = |answers: &[bool]| {
            let probe = |(tenths, answered): (u64, &bool)| Probe {
                began: at(tenths),
                answered: *answered,
            };
            Probes((0..).zip(answers).map(probe).collect())
        };

        let some = probes(&[true, true, false, true, false, true, true]).outage(at(2));
        let none = probes(&[true, true, true]).outage(at(1));

        let lasted = Duration::from_millis(300);
        assert_eq!(some, Outage { lost: 2, lasted });
        assert_eq!((none.lost, none.lasted), (0, Duration::ZERO));
    }
}
