//! A client that makes one new connection after the other and remembers which were answered.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::namespace::Namespace;

/// How long one may take before it counts as lost, where an outage is measured: far longer than
/// here an answer takes, shorter than TCP waits before it sends a SYN again.
const BRIEF: Duration = Duration::from_millis(250);

/// What takes as long had a packet lost: Linux sends a SYN again after a second.
const LATE: Duration = Duration::from_millis(900);

/// How long to go on after the end while none is answered.
const LAST: Duration = Duration::from_secs(5);

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
    took: Duration,
    answer: Result<(), ErrorKind>,
}

/// All connections, in their order.
#[derive(Debug)]
pub struct Probes(Vec<Probe>);

/// What clients noticed of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// Connections without an answer.
    pub lost: usize,
    /// Those whose answer came only after TCP had sent something again.
    pub late: usize,
    /// From the event until the first connection behind which none was lost.
    pub lasted: Duration,
}

impl Prober {
    /// Asks `target` for its page from `host` from now on, and counts what is not answered at once
    /// as lost: for measuring an outage.
    #[must_use]
    pub fn start(host: &Namespace, target: SocketAddrV4) -> Self {
        Self::patient(host, target, BRIEF)
    }

    /// As [`Self::start`], with an answer counted as lost only after `patience`.
    #[must_use]
    pub fn patient(host: &Namespace, target: SocketAddrV4, patience: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = host.spawn(move || {
            let mut probes = Vec::new();
            let mut end = None;
            loop {
                // One more, and more while they are lost, so that the end of an outage is seen.
                if stopped.load(Ordering::Relaxed) {
                    end = end.or(Some(Instant::now() + LAST));
                }
                let probe = Probe::of(target, patience);
                probes.push(probe);
                if end.is_some_and(|end| probe.answer.is_ok() || Instant::now() >= end) {
                    return probes;
                }
                std::thread::sleep(PAUSE);
            }
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
    /// When none was answered before it, or the last one of all was still lost.
    #[must_use]
    pub fn outage(&self, event: Instant) -> Outage {
        let before = |it: &&Probe| it.began + it.took < event;
        let mut earlier = self.0.iter().filter(before);
        assert!(
            earlier.any(|it| it.answer.is_ok()),
            "nothing was answered even before anything happened"
        );
        let lost = self.0.iter().filter(|it| it.answer.is_err());
        let lost: Vec<&Probe> = lost.filter(|it| !before(it)).collect();
        let late = |it: &&Probe| it.answer.is_ok() && it.took >= LATE;
        let late = self.0.iter().filter(late).count();
        let Some(last) = lost.last() else {
            return Outage {
                lost: 0,
                late,
                lasted: Duration::ZERO,
            };
        };
        let well = self.0.iter().find(|probe| probe.began > last.began);
        let well = well.expect("no connection was answered any more");
        Outage {
            lost: lost.len(),
            late,
            lasted: well.began.saturating_duration_since(event),
        }
    }
}

impl Probe {
    fn of(target: SocketAddrV4, patience: Duration) -> Self {
        let began = Instant::now();
        let answer = ask(target, patience).map_err(|error| error.kind());
        Self {
            began,
            took: began.elapsed(),
            answer,
        }
    }
}

fn ask(target: SocketAddrV4, patience: Duration) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&target.into(), patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = [0; 8];
    stream.read_exact(&mut answer)?;
    if &answer == b"HTTP/1.1" {
        Ok(())
    } else {
        Err(ErrorKind::InvalidData.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_lasts_from_the_event_to_the_first_answer_after_the_last_loss() {
        let start = Instant::now();
        let at = |tenths: u64| start + Duration::from_millis(100 * tenths);
        let probes = |answers: &[(bool, u64)]| {
            let probe = |(tenths, &(answered, took)): (u64, &(bool, u64))| Probe {
                began: at(tenths),
                took: Duration::from_millis(took),
                answer: answered.then_some(()).ok_or(ErrorKind::TimedOut),
            };
            Probes((0..).zip(answers).map(probe).collect())
        };
        let (well, lost, late) = ((true, 1), (false, 250), (true, 1001));

        let some = probes(&[well, well, lost, late, lost, well, well]).outage(at(2));
        let none = probes(&[well, well, well]).outage(at(1));

        let outage = |lost, late, millis| Outage {
            lost,
            late,
            lasted: Duration::from_millis(millis),
        };
        assert_eq!((some, none), (outage(2, 1, 300), outage(0, 0, 0)));
    }
}
