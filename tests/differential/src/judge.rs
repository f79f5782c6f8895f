//! Plays scenarios into both sides and says how they compare.

use std::time::Duration;

use crate::compare::{Clocks, Comparison, compare, draws_two, is_random};
use crate::outcome::Outcome;
use crate::scenario::{PlayLine, Scenario};

/// How many scenarios one boot of the kernel plays.
pub const PER_BOOT: usize = 50;

/// How long a scenario may wait where waiting takes real time.
pub const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What became of a scenario.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Both sides did the same, but for what the comparison accepted.
    Same(Comparison),
    /// They did not.
    Differs(Box<Differing>),
    /// It means nothing on one side; why.
    NotComparable(Vec<String>),
    /// It waits too long for this kernel, or needs what the kernel has not got.
    LeftOut(String),
    /// One side could not play it; why.
    Failed(String),
}

/// Two outcomes that differ.
#[derive(Clone, Debug)]
pub struct Differing {
    /// Where.
    pub comparison: Comparison,
    /// What the kernel did.
    pub kernel: Outcome,
    /// What the gateway did.
    pub gateway: Outcome,
}

impl Verdict {
    /// Whether the sides did different things.
    #[must_use]
    pub fn differs(&self) -> bool {
        matches!(self, Self::Differs(_))
    }
}

/// Plays scenarios into the kernel: an outcome for each, or why there is none.
pub type PlayKernel<'a> = Box<dyn Fn(&[Scenario]) -> Result<Vec<Outcome>, String> + 'a>;
/// Plays a scenario into the gateway.
pub type PlayGateway<'a> = Box<dyn Fn(&Scenario) -> Result<Outcome, String> + 'a>;

/// Both sides.
pub struct Judge<'a> {
    /// The kernel's.
    pub kernel: PlayKernel<'a>,
    /// The gateway's.
    pub gateway: PlayGateway<'a>,
    /// Whether waiting costs the kernel nothing.
    pub has_virtual_time: bool,
}

impl Judge<'_> {
    /// What becomes of each scenario. With `late_timers` a scenario may place frames where the
    /// kernel's timers may be late: it is the same if the gateway does the kernel's when some wait
    /// is an eighth shorter for it.
    #[must_use]
    pub fn judge(&self, scenarios: &[Scenario], late_timers: bool) -> Vec<Verdict> {
        let (short, _): (Vec<&Scenario>, Vec<&Scenario>) = scenarios
            .iter()
            .partition(|scenario| self.leaves_out(scenario).is_none());
        let short: Vec<Scenario> = short.into_iter().cloned().collect();
        let mut outcomes = short.chunks(PER_BOOT).flat_map(|batch| self.boot(batch));
        let mut verdicts = Vec::with_capacity(scenarios.len());
        for scenario in scenarios {
            let verdict = if let Some(why) = self.leaves_out(scenario) {
                Verdict::LeftOut(why)
            } else {
                match outcomes.next() {
                    Some(Ok(kernel)) => self.against_gateway(scenario, kernel, late_timers),
                    Some(Err(why)) => Verdict::Failed(why),
                    None => Verdict::Failed("the kernel gave no outcome for it".to_owned()),
                }
            };
            verdicts.push(verdict);
        }
        verdicts
    }

    /// Why a scenario is not for this kernel: Debian's has neither virtual time nor `twos`.
    fn leaves_out(&self, scenario: &Scenario) -> Option<String> {
        if self.has_virtual_time {
            return None;
        }
        let waits = scenario.elapsed();
        if waits > LONGEST_WAIT {
            return Some(format!("waits {} s", waits.as_secs()));
        }
        draws_two(scenario).then(|| "this kernel has no twos".to_owned())
    }

    /// What the kernel did with each scenario. When a boot fails, each has one of its own, so that
    /// one bad scenario costs only itself.
    fn boot(&self, batch: &[Scenario]) -> Vec<Result<Outcome, String>> {
        match (self.kernel)(batch) {
            Ok(outcomes) => outcomes.into_iter().map(Ok).collect(),
            Err(why) if batch.len() < 2 => vec![Err(why)],
            Err(_) => batch
                .chunks(1)
                .flat_map(|single| self.boot(single))
                .collect(),
        }
    }

    fn against_gateway(&self, scenario: &Scenario, kernel: Outcome, late_timers: bool) -> Verdict {
        let gateway = match (self.gateway)(scenario) {
            Ok(gateway) => gateway,
            Err(why) => return Verdict::Failed(why),
        };
        let why = [kernel.not_comparable.as_slice(), &gateway.not_comparable].concat();
        if !why.is_empty() {
            return Verdict::NotComparable(why);
        }
        let comparison = compare(scenario, &kernel, &gateway, Clocks::Same);
        if comparison.differences.is_empty() {
            return Verdict::Same(comparison);
        }
        if late_timers && let Some(comparison) = self.with_late_timers(scenario, &kernel) {
            return Verdict::Same(comparison);
        }
        Verdict::Differs(Box::new(Differing {
            comparison,
            kernel,
            gateway,
        }))
    }

    /// The comparison with a gateway that waited less, if one is the same as the kernel.
    fn with_late_timers(&self, scenario: &Scenario, kernel: &Outcome) -> Option<Comparison> {
        if is_random(scenario) {
            return None;
        }
        shortened(scenario).iter().find_map(|earlier| {
            let gateway = (self.gateway)(earlier).ok()?;
            let found = compare(scenario, kernel, &gateway, Clocks::GatewayEarlier);
            found.differences.is_empty().then(|| {
                let mut found = found;
                *found.accepted.entry("a timer was late").or_default() += 1;
                found
            })
        })
    }
}

/// The scenario with every wait shorter by a ninth, so that a timer that is late by an eighth has
/// its time; and with each single one.
fn shortened(scenario: &Scenario) -> Vec<Scenario> {
    let long = |line: &PlayLine| {
        let (PlayLine::Wait(time) | PlayLine::At(time)) = line else {
            return false;
        };
        *time >= Duration::from_secs(1)
    };
    let places = scenario
        .play
        .iter()
        .enumerate()
        .filter(|(_, line)| long(line));
    let places: Vec<usize> = places.map(|(place, _)| place).collect();
    let shorten = |chosen: &[usize]| {
        let mut shorter = scenario.clone();
        for place in chosen {
            if let Some(PlayLine::Wait(time) | PlayLine::At(time)) = shorter.play.get_mut(*place) {
                *time = *time * 8 / 9;
            }
        }
        shorter
    };
    let mut all: Vec<Scenario> = places.chunks(1).map(shorten).collect();
    all.insert(0, shorten(&places));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draft::Draft;
    use crate::outcome::ShellLine;

    /// A side on which a session of 60 s lives until `limit` seconds have passed.
    fn side(scenario: &Scenario, limit: u64) -> Outcome {
        let lives = scenario.elapsed() < Duration::from_secs(limit);
        Outcome {
            shell: vec![ShellLine {
                errors: String::new(),
                command: "ipvsadm -Ln".to_owned(),
                after: 0,
                output: lives.to_string(),
                status: 0,
            }],
            ..Outcome::default()
        }
    }

    fn waiting(seconds: u64) -> Scenario {
        let mut draft = Draft::new("waiting");
        draft.wait(seconds);
        draft.finish()
    }

    /// A kernel with a timer that is late by 5 s.
    fn judge<'a>() -> Judge<'a> {
        Judge {
            kernel: Box::new(|batch| Ok(batch.iter().map(|scenario| side(scenario, 65)).collect())),
            gateway: Box::new(|scenario| Ok(side(scenario, 60))),
            has_virtual_time: true,
        }
    }

    #[test]
    fn a_late_timer_is_accepted_only_where_it_may_be_late() {
        let scenarios = [waiting(50), waiting(63), waiting(70)];

        let strict: Vec<bool> = judge()
            .judge(&scenarios, false)
            .iter()
            .map(Verdict::differs)
            .collect();
        let late: Vec<bool> = judge()
            .judge(&scenarios, true)
            .iter()
            .map(Verdict::differs)
            .collect();

        assert_eq!(strict, [false, true, false]);
        assert_eq!(late, [false, false, false]);
    }

    #[test]
    fn long_scenarios_are_left_out_where_time_is_real() {
        let real = Judge {
            has_virtual_time: false,
            ..judge()
        };

        let verdicts = real.judge(&[waiting(31), waiting(3)], false);

        assert!(matches!(&verdicts[0], Verdict::LeftOut(why) if why == "waits 31 s"));
        assert!(matches!(verdicts[1], Verdict::Same(_)));
    }

    #[test]
    fn a_scenario_that_fails_costs_only_itself() {
        let picky = Judge {
            kernel: Box::new(|batch| {
                match batch
                    .iter()
                    .any(|scenario| scenario.elapsed().as_secs() == 9)
                {
                    true => Err("no boot".to_owned()),
                    false => Ok(batch.iter().map(|scenario| side(scenario, 65)).collect()),
                }
            }),
            ..judge()
        };

        let verdicts = picky.judge(&[waiting(9), waiting(3)], false);

        assert!(matches!(&verdicts[0], Verdict::Failed(why) if why == "no boot"));
        assert!(matches!(verdicts[1], Verdict::Same(_)));
    }
}
