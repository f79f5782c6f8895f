//! Makes a scenario that differs as small as it gets.
//!
//! Delta debugging (Zeller and Hildebrandt, «Simplifying and Isolating Failure-Inducing Input»,
//! 2002): parts of the scenario are left out, first large ones, then small ones, as long as what is
//! left still differs. The network stays, since a host without a route is silent where Linux would
//! answer. Long waits stay, since they keep what follows away from the kernel's late
//! timers.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::scenario::{IpvsLine, NetLine, PlayLine, Scenario};

/// How many candidates are judged at once.
const BATCH: usize = 50;
/// Waits from here on stay.
const LONG: Duration = Duration::from_secs(1);

/// The smallest scenario found that still differs; `differ` judges several at once. At most
/// `tries` candidates are judged.
pub fn shrink(
    scenario: &Scenario,
    tries: usize,
    mut differ: impl FnMut(&[Scenario]) -> Vec<bool>,
) -> Scenario {
    let mut judge = Judge {
        scenario,
        tries,
        differ: &mut differ,
    };
    let mut lines = removable(scenario);
    let mut size = lines.len().div_ceil(2);
    while size > 0 {
        match judge.without_a_part(&lines, size) {
            Some(fewer) => lines = fewer,
            None if size == 1 => break,
            None => size = size.div_ceil(2),
        }
        size = size.min(lines.len());
    }
    reduced(scenario, &lines)
}

/// A line, counted through all sections.
type Line = usize;

struct Judge<'a> {
    scenario: &'a Scenario,
    tries: usize,
    differ: &'a mut dyn FnMut(&[Scenario]) -> Vec<bool>,
}

impl Judge<'_> {
    /// Leaves out every part of `size` lines without which the scenario still differs.
    fn without_a_part(&mut self, lines: &[Line], size: usize) -> Option<Vec<Line>> {
        let parts: Vec<&[Line]> = lines.chunks(size).collect();
        let mut spare: Vec<&[Line]> = Vec::new();
        for parts in parts.chunks(BATCH) {
            let candidates: Vec<Vec<Line>> =
                parts.iter().map(|part| without(lines, &[part])).collect();
            let verdicts = self.judge(&candidates);
            let kept = parts.iter().zip(verdicts).filter(|(_, differs)| *differs);
            spare.extend(kept.map(|(part, _)| *part));
        }
        let (first, others) = spare.split_first()?;
        let all = without(lines, &spare);
        if !others.is_empty() && self.judge(std::slice::from_ref(&all)) == [true] {
            return Some(all);
        }
        Some(without(lines, &[first]))
    }

    fn judge(&mut self, candidates: &[Vec<Line>]) -> Vec<bool> {
        let count = candidates.len().min(self.tries);
        self.tries -= count;
        let scenarios: Vec<Scenario> = candidates
            .iter()
            .take(count)
            .map(|lines| reduced(self.scenario, lines))
            .collect();
        if scenarios.is_empty() {
            return Vec::new();
        }
        (self.differ)(&scenarios)
    }
}

fn without(lines: &[Line], parts: &[&[Line]]) -> Vec<Line> {
    let gone: BTreeSet<Line> = parts.iter().flat_map(|part| part.iter().copied()).collect();
    lines
        .iter()
        .copied()
        .filter(|line| !gone.contains(line))
        .collect()
}

/// The lines that may go.
fn removable(scenario: &Scenario) -> Vec<Line> {
    let net = (scenario.net.iter()).map(|line| matches!(line, NetLine::Sysctl { .. }));
    let ipvs = scenario.ipvs.iter().map(|line| *line != IpvsLine::Each);
    let play = scenario.play.iter().map(|line| match line {
        PlayLine::Wait(time) => *time < LONG,
        PlayLine::At(_) => false,
        _ => true,
    });
    let all = net.chain(ipvs).chain(play).enumerate();
    all.filter(|(_, may_go)| *may_go)
        .map(|(line, _)| line)
        .collect()
}

/// The scenario with only these of the lines that may go.
fn reduced(scenario: &Scenario, kept: &[Line]) -> Scenario {
    let gone = without(&removable(scenario), &[kept]);
    let gone: BTreeSet<Line> = gone.into_iter().collect();
    let mut number = 0;
    let mut stays = || {
        number += 1;
        !gone.contains(&(number - 1))
    };
    let mut reduced = scenario.clone();
    reduced.net.retain(|_| stays());
    reduced.ipvs.retain(|_| stays());
    reduced.play.retain(|_| stays());
    let is_wait = |line: &PlayLine| matches!(line, PlayLine::Wait(_));
    while reduced.play.last().is_some_and(is_wait) && reduced.play.len() < scenario.play.len() {
        reduced.play.pop();
    }
    reduced
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Patience, scenario};

    fn labels(scenario: &Scenario) -> Vec<&str> {
        let dumps = scenario.play.iter().filter_map(|line| match line {
            PlayLine::Dump(label) => Some(label.as_str()),
            _ => None,
        });
        dumps.collect()
    }

    /// A random scenario with three more dumps between its lines.
    fn long() -> Scenario {
        let mut long = scenario(3, Patience::Virtual);
        long.play.retain(|line| !matches!(line, PlayLine::Dump(_)));
        for (at, label) in [(20, "c"), (10, "b"), (0, "a")] {
            long.play.insert(at, PlayLine::Dump(label.to_owned()));
        }
        long
    }

    #[test]
    fn only_the_lines_that_matter_stay() {
        let needed = |scenario: &Scenario| {
            labels(scenario).contains(&"a") && labels(scenario).contains(&"c")
        };

        let small = shrink(&long(), 10_000, |all| all.iter().map(needed).collect());

        assert_eq!(labels(&small), ["a", "c"]);
        assert!(small.ipvs.is_empty());
        let is_left = |line: &&PlayLine| !matches!(line, PlayLine::Wait(time) if *time >= LONG);
        assert_eq!(small.play.iter().filter(is_left).count(), 2);
    }

    #[test]
    fn no_more_candidates_are_judged_than_were_allowed() {
        let mut judged = 0;

        let small = shrink(&long(), 70, |all| {
            judged += all.len();
            all.iter()
                .map(|scenario| labels(scenario).len() == 3)
                .collect()
        });

        assert!(judged <= 70, "{judged}");
        assert_eq!(labels(&small), ["a", "b", "c"]);
    }
}
