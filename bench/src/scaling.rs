//! How much more two workers do than one.
//!
//! Packets for CPU time are those of each worker by the time that it had a core, added up; what
//! the two take from each other (cache lines, locks, memory) is in it, and what other programs
//! take is not. By the clock everything is in it, so that this says something only while the
//! workers had their cores to themselves.

use std::fmt;
use std::time::Duration;

use crate::median::median;
use crate::report::Record;

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

/// What was measured right after each other.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// One worker, and both.
    pub gateway: [Rate; 2],
    /// The same loops without a pipeline, where that was measured.
    pub pass_through: Option<[Rate; 2]>,
}

/// What one worker did in a window.
#[derive(Clone, Copy, Debug)]
pub struct Stretch {
    /// Packets it handled.
    pub packets: u64,
    /// CPU time that it used.
    pub cpu: Duration,
    /// How long the window was.
    pub wall: Duration,
}

impl Scaling {
    /// What came of these rounds.
    #[must_use]
    pub const fn new(rounds: Vec<Round>) -> Self {
        Self { rounds }
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
    pub fn limit(&self) -> Option<f64> {
        let rounds = self.rounds.iter().filter_map(|round| round.pass_through);
        median(
            rounds
                .map(|it| ratio(&it, |rate| rate.per_cpu_second))
                .collect(),
        )
    }

    /// Writes all into the row of the case.
    pub fn fill(&self, record: &mut Record) {
        record.mpps_cpu = Some(self.rates()[1].per_cpu_second / 1e6);
        record.ratio_one_worker = Some(self.ratio());
        record.ratio_one_worker_clock = self.ratio_by_clock();
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
    #[must_use]
    pub fn of(stretches: &[Stretch]) -> Self {
        let cpu_seconds = |it: &Stretch| it.cpu.as_secs_f64();
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
        match self.limit() {
            Some(limit) => write!(f, "; without pipelines {limit:.2} times"),
            None => Ok(()),
        }
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
        let stretch = |packets, cpu_millis| Stretch {
            packets,
            cpu: Duration::from_millis(cpu_millis),
            wall: Duration::from_millis(100),
        };

        let both = Rate::of(&[stretch(500, 100), stretch(300, 50)]);

        assert_eq!(both, rate(11_000.0, 8_000.0, 0.5));
    }

    #[test]
    fn the_clock_says_nothing_when_other_work_had_the_cores() {
        let scaling = |core_share| {
            Scaling::new(vec![Round {
                gateway: [rate(10.0, 10.0, 1.0), rate(19.0, 18.0, core_share)],
                pass_through: Some([rate(20.0, 20.0, 1.0), rate(40.0, 40.0, 1.0)]),
            }])
        };

        assert_eq!(scaling(0.99).ratio(), 1.9);
        assert_eq!(scaling(0.99).ratio_by_clock(), Some(1.8));
        assert_eq!(scaling(0.8).ratio_by_clock(), None);
        assert_eq!(scaling(0.8).limit(), Some(2.0));
    }
}
