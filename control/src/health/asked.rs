//! What is asked of a server again and again, and what is known by it.

use std::time::Duration;

use super::agent::{AgentState, AgentWord};
use super::probe::ProbeFailure;
use super::verdict::Judge;
use crate::config::{Agent, Check};

/// What names something that is asked again and again, as long as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub u64);

/// The times of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timed {
    /// When it ended.
    pub ended: Duration,
    /// How long it took, with all attempts.
    pub took: Duration,
    /// When the next one begins.
    pub next: Duration,
}

/// How runs ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Those that ended well.
    pub good: u64,
    /// Those that did not.
    pub bad: u64,
    /// Those that could not be made.
    pub unasked: u64,
}

/// When a run was and when the next one is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Runs {
    /// When the last one ended, and how long it took.
    pub(super) last: Option<(Duration, Duration)>,
    /// When the next one begins; `None` before the first.
    pub(super) next: Option<Duration>,
    /// How many ended well.
    pub(super) good: u64,
    /// How many did not.
    pub(super) bad: u64,
    /// How many could not be made.
    pub(super) unasked: u64,
    /// Why the last one that was made did not end well.
    pub(super) failure: Option<String>,
    /// Why the last one could not be made.
    pub(super) lack: Option<String>,
}

impl Runs {
    const fn new() -> Self {
        Self {
            last: None,
            next: None,
            good: 0,
            bad: 0,
            unasked: 0,
            failure: None,
            lack: None,
        }
    }

    pub(super) fn note(&mut self, timed: &Timed, failure: Option<String>) {
        self.last = Some((timed.ended, timed.took));
        self.next = Some(timed.next);
        match failure {
            Some(_) => self.bad += 1,
            None => self.good += 1,
        }
        self.failure = failure;
        self.lack = None;
    }

    /// Notes that nobody was asked: the gateway lacked something.
    pub(super) fn note_unasked(&mut self, timed: &Timed, lack: &ProbeFailure) {
        self.next = Some(timed.next);
        self.unasked += 1;
        self.lack = Some(lack.to_string());
    }
}

/// One check of a server.
#[derive(Clone, Debug)]
pub(super) struct WatchedCheck {
    pub(super) id: RunId,
    pub(super) check: Check,
    pub(super) judge: Judge,
    pub(super) runs: Runs,
    /// What a script adds to the weight.
    pub(super) weight_delta: i64,
}

impl WatchedCheck {
    const fn new(id: RunId, check: Check) -> Self {
        Self {
            id,
            check,
            judge: Judge::new(),
            runs: Runs::new(),
            weight_delta: 0,
        }
    }

    /// Whether `check` asks the same, perhaps at other times.
    fn asks(&self, check: &Check) -> bool {
        let of = |it: &Check| (it.port, it.address, it.path);
        self.check.kind == check.kind && of(&self.check) == of(check)
    }

    /// The check as it is asked from now on, with all that is known by it.
    fn asked_as(self, check: &Check, new_id: &mut impl FnMut() -> RunId) -> Self {
        Self {
            id: new_id(),
            check: check.clone(),
            ..self
        }
    }
}

/// The checks that are wanted, with what is known by those that ask the same.
pub(super) fn renewed(
    mut known: Vec<WatchedCheck>,
    wanted: &[Check],
    new_id: &mut impl FnMut() -> RunId,
) -> Vec<WatchedCheck> {
    // Who is as before stays so, whatever else asks the same.
    let same: Vec<_> = (wanted.iter())
        .map(|check| take(&mut known, |it| it.check == *check))
        .collect();
    let renewed = wanted.iter().zip(same).map(|(check, same)| {
        let other = |known| take(known, |it| it.asks(check));
        same.unwrap_or_else(|| match other(&mut known) {
            Some(before) => before.asked_as(check, new_id),
            None => WatchedCheck::new(new_id(), check.clone()),
        })
    });
    renewed.collect()
}

fn take(
    known: &mut Vec<WatchedCheck>,
    is_it: impl FnMut(&WatchedCheck) -> bool,
) -> Option<WatchedCheck> {
    let index = known.iter().position(is_it)?;
    Some(known.swap_remove(index))
}

/// Where a server is asked for its load.
#[derive(Clone, Debug)]
pub(super) struct WatchedAgent {
    pub(super) id: RunId,
    pub(super) agent: Agent,
    pub(super) runs: Runs,
    /// What it said last of whether it works.
    pub(super) works: Option<AgentState>,
    /// What it said last of whether it may be used.
    pub(super) admits: Option<AgentState>,
    /// Its last answer, and of the percentages the last that it said.
    pub(super) last: Option<AgentWord>,
}

impl WatchedAgent {
    pub(super) const fn new(id: RunId, agent: Agent) -> Self {
        Self {
            id,
            agent,
            runs: Runs::new(),
            works: None,
            admits: None,
            last: None,
        }
    }

    /// Whether the server may be used: `0%` takes new sessions away as `drain` does, for so
    /// `HAProxy` has it.
    pub(super) fn admits(&self) -> Option<AgentState> {
        let none_left = self.last.as_ref().and_then(|it| it.percent) == Some(0);
        self.admits.max(none_left.then_some(AgentState::Drain))
    }
}
