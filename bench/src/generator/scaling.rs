//! How much more two workers do than one of the same gateway.
//!
//! ```text
//!   round:  worker 0 alone │ both      and the same with the pipeline replaced by pass-through,
//!                                      which says what the machine itself gives
//! ```
//!
//! Packets for CPU time are those of each worker by the time that it had a core, added up; what
//! the two take from each other (cache lines, locks, memory) is in it, and what other programs
//! take is not. By the clock everything is in it, so that this says something only while the
//! workers had their cores to themselves.

use std::fmt;
use std::time::Duration;

use super::case::{Case, CaseError, Load};
use super::io::FreeBuffers;
use super::pair::{Pair, Stretch, side_by_side};
use super::rig::{BUFFERS, Rig};
use crate::median::median;

/// How long a window is.
pub(super) const WINDOW: Duration = Duration::from_millis(300);

/// A worker that had less of its core shared it with something else.
const OWN_CORE: f64 = 0.95;

/// What one worker or two together do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Packets for a second of CPU time, added up over the workers.
    pub per_cpu_second: f64,
    /// Packets in a second of the clock, added up over the workers.
    pub per_second: f64,
    /// The part of its core that the worker had that had the least.
    pub core_share: f64,
}

/// One gateway with one worker at work, and with two.
#[derive(Clone, Debug)]
pub struct Scaling {
    rounds: Vec<Round>,
}

#[derive(Clone, Copy, Debug)]
struct Round {
    /// One worker, and both.
    gateway: [Rate; 2],
    /// The same loops without a pipeline.
    pass_through: [Rate; 2],
}

impl Scaling {
    /// Measures the case in windows of this length.
    ///
    /// # Errors
    ///
    /// What was not as it has to be; there is no figure then.
    pub fn measure(case: &Case, length: Duration) -> Result<Self, CaseError> {
        let buffers = [BUFFERS; 2].map(FreeBuffers::new);
        let mut pair = Pair::new(case, [&buffers[0], &buffers[1]])?;
        pair.supply(case, 0, 0);
        pair.supply(case, 1, 1);
        let before = pair.counts();
        let mut rounds = Vec::new();
        for _ in 0..case.windows {
            let pass_through = [1, 2].map(|workers| {
                let rigs = pair.rigs.iter_mut().take(workers);
                side_by_side(rigs, length, |_| (), Rig::pass_through)
            });
            let gateway = [1, 2].map(|workers| work(&mut pair, case, workers, length));
            let [alone, both] = gateway;
            let [alone_without, both_without] = pass_through;
            rounds.push(Round {
                gateway: [Rate::of(&alone?), Rate::of(&both?)],
                pass_through: [Rate::of(&alone_without?), Rate::of(&both_without?)],
            });
        }
        pair.counts().check(&before, case)?;
        Ok(Self { rounds })
    }

    /// One worker's rate, and that of two together.
    #[must_use]
    pub fn rates(&self) -> [Rate; 2] {
        [0, 1].map(|which| {
            let over = |of: fn(&Rate) -> f64| self.median(|round| of(&round.gateway[which]));
            Rate {
                per_cpu_second: over(|rate| rate.per_cpu_second),
                per_second: over(|rate| rate.per_second),
                core_share: over(|rate| rate.core_share),
            }
        })
    }

    /// How much more two workers do than one, by CPU time.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.median(|round| ratio(&round.gateway, |rate| rate.per_cpu_second))
    }

    /// The same by the clock; none when other work had too much of the cores.
    #[must_use]
    pub fn ratio_by_clock(&self) -> Option<f64> {
        let by_clock = self.median(|round| ratio(&round.gateway, |rate| rate.per_second));
        let undisturbed = self.rates().iter().all(|rate| rate.core_share >= OWN_CORE);
        undisturbed.then_some(by_clock)
    }

    /// How much more two loops do than one that receive and send and nothing else, by CPU time.
    #[must_use]
    pub fn limit(&self) -> f64 {
        self.median(|round| ratio(&round.pass_through, |rate| rate.per_cpu_second))
    }

    fn median(&self, of: impl Fn(&Round) -> f64) -> f64 {
        median(self.rounds.iter().map(of).collect()).unwrap_or(f64::NAN)
    }
}

fn ratio(rates: &[Rate; 2], of: fn(&Rate) -> f64) -> f64 {
    of(&rates[1]) / of(&rates[0])
}

impl Rate {
    /// The rate of workers that were at work at the same time.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    fn of(stretches: &[Stretch]) -> Self {
        let cpu_seconds = |it: &Stretch| it.cpu_nanos as f64 / 1e9;
        let share = |it: &Stretch| cpu_seconds(it) / it.wall.as_secs_f64();
        let per = |time: &dyn Fn(&Stretch) -> f64| {
            let rates = stretches.iter().map(|it| it.packets as f64 / time(it));
            rates.sum()
        };
        Self {
            per_cpu_second: per(&cpu_seconds),
            per_second: per(&|it| it.wall.as_secs_f64()),
            core_share: stretches.iter().map(share).fold(1.0, f64::min),
        }
    }
}

/// One window of the gateway with so many of its workers at work.
fn work(
    pair: &mut Pair,
    case: &Case,
    workers: usize,
    length: Duration,
) -> Result<Vec<Stretch>, CaseError> {
    let is_new = case.load == Load::New;
    if workers == 1 && is_new {
        // Sessions that nobody ends would count as the servers' load.
        pair.pause(1, true);
        let idle = &mut pair.rigs[1];
        while idle.gateway.counters.sessions.get() > 0 {
            idle.turn();
        }
        pair.pause(1, false);
    }
    let prepare = |rig: &mut Rig| {
        if is_new {
            rig.let_as_many_end_as_begin();
        }
    };
    let rigs = pair.rigs.iter_mut().take(workers);
    side_by_side(rigs, length, prepare, |rig, _| rig.turn())
}

impl fmt::Display for Scaling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [one, two] = self.rates();
        let millions = |rate: f64| rate / 1e6;
        write!(
            f,
            "one worker {:.2} M for each CPU-second, two {:.2} M: {:.2} times; ",
            millions(one.per_cpu_second),
            millions(two.per_cpu_second),
            self.ratio()
        )?;
        let (alone, both) = (millions(one.per_second), millions(two.per_second));
        match self.ratio_by_clock() {
            Some(ratio) => write!(f, "by the clock {alone:.2} and {both:.2}: {ratio:.2} times")?,
            None => write!(
                f,
                "by the clock nothing, other work had up to {:.0} % of a core",
                100.0 * (1.0 - one.core_share.min(two.core_share))
            )?,
        }
        write!(f, "; without pipelines {:.2} times", self.limit())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(per_cpu_second: f64, per_second: f64, core_share: f64) -> Rate {
        Rate {
            per_cpu_second,
            per_second,
            core_share,
        }
    }

    #[test]
    fn rates_of_workers_side_by_side_add_up() {
        let stretch = |packets, cpu_millis: i64| Stretch {
            packets,
            cpu_nanos: cpu_millis * 1_000_000,
            wall: Duration::from_millis(100),
        };

        let both = Rate::of(&[stretch(500, 100), stretch(300, 50)]);

        assert_eq!(both, rate(11_000.0, 8_000.0, 0.5));
    }

    #[test]
    fn the_clock_says_nothing_when_other_work_had_the_cores() {
        let scaling = |core_share| Scaling {
            rounds: vec![Round {
                gateway: [rate(10.0, 10.0, 1.0), rate(19.0, 18.0, core_share)],
                pass_through: [rate(20.0, 20.0, 1.0), rate(40.0, 40.0, 1.0)],
            }],
        };

        assert_eq!(scaling(0.99).ratio(), 1.9);
        assert_eq!(scaling(0.99).ratio_by_clock(), Some(1.8));
        assert_eq!(scaling(0.8).ratio_by_clock(), None);
        assert_eq!(scaling(0.8).limit(), 2.0);
    }
}
