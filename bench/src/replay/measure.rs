//! Windows: what one process did in a stretch of time, and what it cost.

use std::time::{Duration, Instant};

use super::assertions::Counters;
use super::cores::{self, Worker};
use super::daemon::Daemon;
use super::failure::Failure;
use super::hold::Holder;
use super::testpmd::{Mode, Testpmd};
use crate::median::median;

/// What runs before a window opens: caches and branch predictors were another process's.
pub(super) const WARM_UP: Duration = Duration::from_millis(30);

/// How often the counters are read until the worker stood still meanwhile: a machine that takes the
/// core from who holds the worker off it lets the worker go on.
const READINGS: usize = 5;

/// How long a worker may take to get the time of a window.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often and how long each process is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Windows of each process; the table shows medians of them.
    pub windows: usize,
    /// The CPU time of one.
    pub length: Duration,
}

/// The costs of one round: each process had one window, right after the other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Round {
    /// CPU-nanoseconds of the gateway for a packet.
    pub gateway: f64,
    /// Those of testpmd, in the order of [`Mode::ALL`].
    pub baselines: [f64; 4],
}

impl Round {
    /// Those of testpmd in one mode.
    #[must_use]
    pub fn baseline(&self, mode: Mode) -> f64 {
        let modes = Mode::ALL.iter().zip(self.baselines);
        modes
            .filter(|(each, _)| **each == mode)
            .map(|(_, cost)| cost)
            .sum()
    }
}

/// What a case costs: medians over its rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    /// Nanoseconds of the gateway for a packet, those of the same device's `io` taken off.
    pub net_ns: f64,
    /// Millions of packets for each second of the worker's CPU time, the device's work included.
    pub mpps_cpu: f64,
    /// The gateway's packets for those of testpmd's `csum` in the same CPU time.
    pub ratio_csum: f64,
    /// The same for `5tswap`.
    pub ratio_5tswap: f64,
}

impl Figures {
    /// Of at least one round. Differences and ratios are taken within a round, where the
    /// machine was the same for both.
    #[must_use]
    pub fn of(rounds: &[Round]) -> Self {
        let over =
            |of: fn(&Round) -> f64| median(rounds.iter().map(of).collect()).unwrap_or(f64::NAN);
        Self {
            net_ns: over(|round| round.gateway - round.baseline(Mode::Io)),
            mpps_cpu: over(|round| 1000.0 / round.gateway),
            ratio_csum: over(|round| round.baseline(Mode::Csum) / round.gateway),
            ratio_5tswap: over(|round| round.baseline(Mode::FiveTupleSwap) / round.gateway),
        }
    }
}

/// Numbers of a process at one moment at which its worker stood still.
#[derive(Clone, Copy, Debug)]
struct Reading<C> {
    cpu_ns: u64,
    counters: C,
}

/// Measures one round, with the counters of the gateway's window. Both processes are paused
/// before and after it.
///
/// # Errors
///
/// When a process does not answer, or the core cannot be held.
pub fn round(
    plan: &Plan,
    holder: &Holder,
    gateway: &Daemon<'_>,
    testpmd: &mut Testpmd,
) -> Result<(Round, [Counters; 2]), Failure> {
    gateway.resume();
    let worker = gateway.worker()?;
    let read = || Ok(Counters::of(&gateway.metrics()?));
    let measured = window(plan, holder, worker, read);
    gateway.pause();
    let [before, after] = measured?;
    let received = after.counters.received - before.counters.received;
    let mut round = Round {
        gateway: cost("sluice", after.cpu_ns - before.cpu_ns, received)?,
        baselines: [0.0; 4],
    };
    for (mode, cost_of) in Mode::ALL.into_iter().zip(&mut round.baselines) {
        testpmd.resume();
        let measured = testpmd.worker().and_then(|worker| {
            testpmd.forward(mode)?;
            window(plan, holder, worker, || testpmd.received())
        });
        testpmd.pause();
        let [before, after] = measured?;
        *cost_of = cost(
            mode.name(),
            after.cpu_ns - before.cpu_ns,
            after.counters - before.counters,
        )?;
    }
    Ok((round, [before.counters, after.counters]))
}

/// Lets the gateway forward for the time of a window that is not measured, and reads its counters
/// at the end. It is paused before and after it.
///
/// # Errors
///
/// When it does not answer, or the core cannot be held.
pub fn go_on(plan: &Plan, holder: &Holder, gateway: &Daemon<'_>) -> Result<Counters, Failure> {
    let worker = gateway.worker()?;
    gateway.resume();
    let read = let_work(worker, plan.length).and_then(|()| {
        let _held = holder.hold()?;
        Ok(Counters::of(&gateway.metrics()?))
    });
    gateway.pause();
    read
}

/// Reads again while a reading gives nothing, because a worker went on meanwhile.
///
/// # Errors
///
/// What a reading fails with, or that workers never stood still.
pub fn until_still<R>(mut read: impl FnMut() -> Result<Option<R>, Failure>) -> Result<R, Failure> {
    for _ in 0..READINGS {
        if let Some(reading) = read()? {
            return Ok(reading);
        }
    }
    let what = "a worker went on while its counters were read";
    Err(Failure::Machine(what.to_owned()))
}

/// Reads before and after a stretch of time. The counters themselves take that time to be read
/// in which the worker is held.
fn window<C>(
    plan: &Plan,
    holder: &Holder,
    worker: Worker,
    mut counters: impl FnMut() -> Result<C, Failure>,
) -> Result<[Reading<C>; 2], Failure> {
    let mut read = || {
        until_still(|| {
            let _held = holder.hold()?;
            let cpu_ns = worker.cpu_ns()?;
            let counters = counters()?;
            let is_still = worker.cpu_ns()? == cpu_ns;
            Ok(is_still.then_some(Reading { cpu_ns, counters }))
        })
    };
    let_work(worker, WARM_UP)?;
    let before = read()?;
    let_work(worker, plan.length)?;
    Ok([before, read()?])
}

/// Waits until a worker has had the core for this long, so that windows are of one length also
/// where other work takes turns with it.
pub(super) fn let_work(worker: Worker, length: Duration) -> Result<(), Failure> {
    let start = Instant::now();
    let begin = worker.cpu_ns()?;
    loop {
        let worked = Duration::from_nanos(worker.cpu_ns()? - begin);
        let Some(left) = length.checked_sub(worked).filter(|left| !left.is_zero()) else {
            return Ok(());
        };
        if start.elapsed() > PATIENCE {
            let what = format!("a worker had {worked:?} of its core in {PATIENCE:?}");
            return Err(Failure::Machine(what));
        }
        // The kernel books the time of a running thread at its ticks only.
        cores::pause(left.max(Duration::from_millis(1)));
    }
}

/// CPU-nanoseconds for a packet.
#[expect(
    clippy::cast_precision_loss,
    reason = "a window has fewer than 2⁵³ of anything"
)]
fn cost(who: &str, cpu_ns: u64, packets: u64) -> Result<f64, Failure> {
    if packets == 0 {
        return Err(Failure::Assertion(format!(
            "{who} received nothing in a window"
        )));
    }
    Ok(cpu_ns as f64 / packets as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_medians_of_what_was_compared_within_a_round() {
        // The machine is half as fast in the second round, and something is odd in the third.
        let round = |gateway: f64, slower: f64| Round {
            gateway: gateway * slower,
            baselines: [10.0, 11.0, 20.0, 40.0].map(|ns| ns * slower),
        };
        let rounds = [round(50.0, 1.0), round(50.0, 2.0), round(80.0, 1.0)];

        let figures = Figures::of(&rounds);

        assert_eq!(figures.ratio_csum, 0.8);
        assert_eq!(figures.ratio_5tswap, 0.4);
        assert_eq!(figures.net_ns, 70.0);
        assert_eq!(figures.mpps_cpu, 12.5);
    }

    #[test]
    fn a_window_without_packets_has_no_cost() {
        assert!(cost("io", 5, 0).is_err());
        assert_eq!(cost("io", 300, 10).unwrap(), 30.0);
    }
}
