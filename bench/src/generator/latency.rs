//! How long packets stay in the gateway while they arrive at half the rate that it can do.
//!
//! The worker's own histogram is read in windows of 10 ms. Linux may take the core away from the
//! thread at any time, on a shared machine often; whether it did in a window shows in
//! `/proc/thread-self/schedstat`, and windows without it are told apart. What a hypervisor takes
//! does not show there.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

use dataplane::counters::WorkerCounters;
use dataplane::latency::{LatencyCounts, LatencyHistogram};

use super::case::{Case, CaseError, Counts};
use super::measure::nanos_per_packet;
use super::rig::Rig;
use crate::median::median;

/// Nanoseconds of a window.
const WINDOW: u64 = 10_000_000;

/// How long packets stayed.
#[derive(Clone, Copy, Debug)]
pub struct Latency {
    /// Packets a second at which they arrived.
    pub rate: f64,
    /// In all windows.
    pub all: Stays,
    /// In those in which Linux left the core to the thread all the time.
    pub undisturbed: Stays,
}

/// The stays in some windows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stays {
    windows: u64,
    counts: LatencyCounts,
}

impl Latency {
    /// Measures the case for so many `seconds` with packets at half the rate of its capacity.
    ///
    /// # Errors
    ///
    /// What was not as it has to be; there is no figure then.
    pub fn measure(case: &Case, seconds: u64) -> Result<Self, CaseError> {
        let (mut rig, _) = case.rig_at_work()?;
        let counters = Arc::clone(&rig.gateway.counters);
        let before = Counts::of(&counters);
        let nanos: Vec<f64> = (0..case.windows)
            .map(|_| nanos_per_packet(case.window, || rig.turn()))
            .collect();
        let nanos_between = 2.0 * median(nanos).unwrap_or(f64::NAN);
        let latency = paced(&mut rig, nanos_between, seconds)?;
        Counts::of(&counters).check(&before, case)?;
        Ok(latency)
    }
}

/// Lets a packet arrive every `nanos_between` nanoseconds.
fn paced(rig: &mut Rig, nanos_between: f64, seconds: u64) -> Result<Latency, CaseError> {
    let counters = Arc::clone(&rig.gateway.counters);
    let schedule = Schedule::open()?;
    let (mut all, mut undisturbed) = (Stays::default(), Stays::default());
    // The first window is left out: the rate has only just changed.
    for window in 0..=seconds * (1_000_000_000 / WINDOW) {
        let (slices, before) = (schedule.slices()?, counters.latency.counts());
        offer(rig, &counters, nanos_between);
        let calm = schedule.slices()? == slices;
        if window == 0 {
            continue;
        }
        let counts = counters.latency.counts();
        all.add(&counts, &before);
        if calm {
            undisturbed.add(&counts, &before);
        }
    }
    Ok(Latency {
        rate: 1e9 / nanos_between,
        all,
        undisturbed,
    })
}

/// Runs the worker's loop for a window. What is due while a turn lasts waits for the next one, as
/// in the ring of an ethdev.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "packets of 10 ms, all positive"
)]
fn offer(rig: &mut Rig, counters: &WorkerCounters, nanos_between: f64) {
    let per_nano = nanos_between.recip();
    let received = counters.received_packets.get();
    let start = rig.clock.nanos();
    let mut now = start;
    while now - start < WINDOW {
        let due = ((now - start) as f64 * per_nano) as u64;
        let arrived = counters.received_packets.get() - received;
        rig.receive.supply.0.lock().left = due.saturating_sub(arrived);
        let Rig { gateway, clock, .. } = rig;
        (_, now) = gateway.worker.timed_turn(now, &mut || clock.nanos());
    }
}

/// How often Linux gave this thread a core: proc_pid_schedstat, third number.
pub(super) struct Schedule(File);

impl Schedule {
    pub(super) fn open() -> io::Result<Self> {
        File::open("/proc/thread-self/schedstat").map(Self)
    }

    pub(super) fn slices(&self) -> io::Result<u64> {
        let mut text = [0; 64];
        let len = self.0.read_at(&mut text, 0)?;
        let text = String::from_utf8_lossy(&text[..len]);
        let third = text.split_ascii_whitespace().nth(2);
        third
            .and_then(|slices| slices.parse().ok())
            .ok_or_else(|| io::Error::other(format!("schedstat says {text:?}")))
    }
}

impl Stays {
    fn add(&mut self, counts: &LatencyCounts, before: &LatencyCounts) {
        self.windows += 1;
        self.counts.nanos += counts.nanos - before.nanos;
        for (range, sum) in self.counts.packets.iter_mut().enumerate() {
            *sum += counts.packets[range] - before.packets[range];
        }
    }

    fn packets(&self) -> u64 {
        self.counts.packets.iter().sum()
    }

    /// How long, in nanoseconds, `thousandths` of the packets stayed at most, to the next bound
    /// of the histogram; `None` when that is beyond all of them.
    #[must_use]
    pub fn percentile(&self, thousandths: u64) -> Option<u64> {
        let wanted = (self.packets() * thousandths).div_ceil(1_000);
        let mut below = 0;
        let bounds = LatencyHistogram::BOUNDS.iter().zip(self.counts.packets);
        bounds
            .map(|(bound, packets)| {
                below += packets;
                (*bound, below)
            })
            .find(|(_, below)| *below >= wanted)
            .map(|(bound, _)| bound)
    }

    /// Packets that stayed longer than `nanos`, one of the histogram's bounds.
    fn longer_than(&self, nanos: u64) -> u64 {
        let within = LatencyHistogram::BOUNDS
            .iter()
            .take_while(|bound| **bound <= nanos);
        self.counts.packets[within.count()..].iter().sum()
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "at {:.2} Mpps", self.rate / 1e6)?;
        writeln!(f, "  all: {}", self.all)?;
        write!(f, "  undisturbed: {}", self.undisturbed)
    }
}

impl fmt::Display for Stays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} windows, {} packets", self.windows, self.packets())?;
        if self.packets() == 0 {
            return Ok(());
        }
        let mean = Duration::from_nanos(self.counts.nanos / self.packets());
        write!(f, ", mean {mean:?}")?;
        for (name, thousandths) in [("p50", 500), ("p99", 990), ("p99.9", 999)] {
            match self.percentile(thousandths) {
                Some(nanos) => write!(f, ", {name} ≤ {:?}", Duration::from_nanos(nanos))?,
                None => write!(f, ", {name} > 1ms")?,
            }
        }
        write!(f, ", {} longer than 20µs", self.longer_than(20_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stays(ranges: &[(usize, u64)]) -> Stays {
        let mut stays = Stays::default();
        for (range, packets) in ranges {
            stays.counts.packets[*range] = *packets;
        }
        stays
    }

    #[test]
    fn a_percentile_is_the_bound_that_holds_so_many_packets() {
        let stays = stays(&[(0, 900), (1, 99), (4, 1)]);

        assert_eq!(stays.percentile(500), Some(1_000));
        assert_eq!(stays.percentile(900), Some(1_000));
        assert_eq!(stays.percentile(901), Some(2_000));
        assert_eq!(stays.percentile(999), Some(2_000));
        assert_eq!(stays.percentile(1_000), Some(20_000));
        assert_eq!(stays.longer_than(20_000), 0);
        assert_eq!(stays.longer_than(2_000), 1);
    }

    #[test]
    fn what_stayed_longer_than_all_bounds_has_no_percentile() {
        let stays = stays(&[(0, 1), (10, 1)]);

        assert_eq!(stays.percentile(500), Some(1_000));
        assert_eq!(stays.percentile(999), None);
        assert_eq!(stays.longer_than(20_000), 1);
    }

    #[test]
    fn linux_says_that_a_thread_that_slept_was_given_a_core_again() {
        let schedule = Schedule::open().unwrap();
        let before = schedule.slices().unwrap();

        std::thread::sleep(Duration::from_millis(1));

        assert!(schedule.slices().unwrap() > before);
    }
}
