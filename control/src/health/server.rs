//! A server that is watched: its checks and its agent, and what follows from them together.

use std::fmt::{self, Display};
use std::time::Duration;

use dataplane::id::Weight;

use super::agent::{AgentState, AgentWord};
use super::asked::{Counted, RunId, Timed, WatchedAgent, WatchedCheck, renewed};
use super::damping::Flaps;
use super::probe::{ProbeFailure, ProbeOutcome};
use super::standing::{self, Fitness, Share};
use super::verdict::Verdict;
use super::weight::{Factors, Load, Teller, slow_start};
use crate::config::{Check, Health, Server, Start};

/// How a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServerState {
    /// It serves.
    Up,
    /// It does not.
    Down,
    /// It keeps its sessions and gets no new ones.
    Draining,
    /// The operator has taken it out, or its own agent.
    Disabled,
    /// Nobody knows yet.
    Unknown,
}

impl ServerState {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Up,
        Self::Down,
        Self::Draining,
        Self::Disabled,
        Self::Unknown,
    ];

    /// The word of the API, metrics and log lines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Draining => "draining",
            Self::Disabled => "disabled",
            Self::Unknown => "unknown",
        }
    }
}

impl Display for ServerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A check that the gateway could not make so many times is not waited for: they are some two
/// seconds, after which what the configuration says of the start counts.
const IN_VAIN: u64 = 6;

/// A server that is watched.
#[derive(Clone, Debug)]
pub(super) struct WatchedServer {
    pub(super) configured: Weight,
    pub(super) checks: Vec<WatchedCheck>,
    pub(super) agent: Option<WatchedAgent>,
    pub(super) flaps: Flaps,
    /// The runs of its checks since it is watched.
    pub(super) counted: Counted,
    disabled: bool,
    /// Whether it was well when that was last known.
    was_well: Option<bool>,
    /// Whether it could serve; `None` before anybody asked.
    was_fit: Option<bool>,
    /// When it has come up that was not.
    up_since: Option<Duration>,
    load: Option<Load>,
    pub(super) state: ServerState,
    /// Since when it has been in its state.
    pub(super) since: Duration,
}

impl WatchedServer {
    /// A server of which nothing is known.
    pub(super) const fn new(now: Duration) -> Self {
        Self {
            configured: Weight(0),
            checks: Vec::new(),
            agent: None,
            flaps: Flaps::new(),
            counted: Counted {
                good: 0,
                bad: 0,
                unasked: 0,
            },
            disabled: false,
            was_well: None,
            was_fit: None,
            up_since: None,
            load: None,
            state: ServerState::Unknown,
            since: now,
        }
    }

    /// Takes over what the configuration says. What is asked as before goes on, and what is asked
    /// at other times begins anew, both with all that is known; `new_id` names what begins. A
    /// server that is disabled is not asked.
    pub(super) fn configure(
        &mut self,
        server: &Server,
        health: &Health,
        mut new_id: impl FnMut() -> RunId,
    ) {
        if self.checks.is_empty() && self.agent.is_none() {
            // Nobody asked, so nobody knows.
            self.was_well = None;
        }
        self.configured = server.weight;
        self.disabled = standing::is_disabled(server);
        let wanted: &[Check] = if self.disabled {
            &[]
        } else {
            standing::checks_of(server, health)
        };
        let known = std::mem::take(&mut self.checks);
        self.checks = renewed(known, wanted, &mut new_id);
        let own = server.health.as_ref().and_then(|it| it.agent);
        let agent = own.or(health.agent).filter(|_| !self.disabled);
        let known = self.agent.take();
        self.agent = agent.map(|agent| match known {
            Some(known) if known.agent == agent => known,
            Some(known) if known.agent.port == agent.port => WatchedAgent {
                id: new_id(),
                agent,
                ..known
            },
            _ => WatchedAgent::new(new_id(), agent),
        });
        let says_load =
            self.agent.is_some() || self.checks.iter().any(|it| it.check.load.is_some());
        if !says_load {
            self.load = None;
        }
    }

    /// Everything of it that is asked again and again.
    pub(super) fn ids(&self) -> impl Iterator<Item = RunId> {
        let checks = self.checks.iter().map(|it| it.id);
        checks.chain(self.agent.as_ref().map(|it| it.id))
    }

    /// Whether each of its checks has had a result, or could not be made again and again.
    pub(super) fn is_known(&self) -> bool {
        let is_known = |it: &WatchedCheck| {
            it.judge.verdict() != Verdict::Unknown || it.runs.unasked >= IN_VAIN
        };
        self.checks.iter().all(is_known)
    }

    /// Takes in the result of a check; one that could not be made changes nothing. Returns whether
    /// anything may follow from it.
    pub(super) fn hear_check(
        &mut self,
        id: RunId,
        result: &Result<ProbeOutcome, ProbeFailure>,
        attempts: u16,
        timed: &Timed,
        health: &Health,
    ) -> bool {
        let Some(check) = self.checks.iter_mut().find(|it| it.id == id) else {
            return false;
        };
        if let Err(lack) = result
            && lack.is_ours()
        {
            check.runs.note_unasked(timed, lack);
            self.counted.unasked += 1;
            return false;
        }
        let failure = result.as_ref().err().map(|failure| match attempts {
            0 | 1 => failure.to_string(),
            attempts => format!("{failure} (after {attempts} attempts)"),
        });
        check.runs.note(timed, failure);
        match result {
            Ok(_) => self.counted.good += 1,
            Err(_) => self.counted.bad += 1,
        }
        let mut follows = check.judge.hear(result.is_ok(), &check.check.timing);
        if let Ok(outcome) = result {
            if let Some(delta) = outcome.weight_delta {
                follows |= check.weight_delta != i64::from(delta);
                check.weight_delta = delta.into();
            }
            // Who has an agent means what that says.
            if let Some(percent) = outcome.load.filter(|_| self.agent.is_none()) {
                follows |= self.hear_load(Teller::Check, percent, health, timed.ended);
            }
        }
        follows
    }

    /// Takes in what its agent says; an agent that does not answer changes nothing. Returns
    /// whether anything may follow from it.
    pub(super) fn hear_agent(
        &mut self,
        result: &Result<AgentWord, ProbeFailure>,
        timed: &Timed,
        health: &Health,
    ) -> bool {
        let Some(agent) = &mut self.agent else {
            return false;
        };
        if let Err(lack) = result
            && lack.is_ours()
        {
            agent.runs.note_unasked(timed, lack);
            return false;
        }
        agent
            .runs
            .note(timed, result.as_ref().err().map(ToString::to_string));
        let Ok(word) = result else { return false };
        let most = |agent: &WatchedAgent| agent.last.as_ref().and_then(|it| it.max_sessions);
        let before = (agent.works, agent.admits(), most(agent));
        agent.works = word.works.or(agent.works);
        agent.admits = word.admits.or(agent.admits);
        let percent = agent.last.as_ref().and_then(|it| it.percent);
        agent.last = Some(AgentWord {
            percent: word.percent.or(percent),
            ..word.clone()
        });
        let mut follows = before != (agent.works, agent.admits(), most(agent));
        if let Some(percent) = word.percent {
            follows |= self.hear_load(Teller::Agent, percent, health, timed.ended);
        }
        follows
    }

    fn hear_load(&mut self, teller: Teller, percent: u16, health: &Health, now: Duration) -> bool {
        let load = Load::heard(self.load, teller, percent, &health.weight_bounds, now);
        let is_new = self.load.is_none_or(|before| !before.heads_as(&load));
        if is_new {
            self.load = Some(load);
        }
        is_new
    }

    /// Judges anew. Returns what it is fit for.
    pub(super) fn judge(&mut self, now: Duration, health: &Health) -> Fitness {
        let well = self.well();
        if self.was_well == Some(true)
            && well == Some(false)
            && let Some(damping) = &health.damping
        {
            self.flaps.fell(now, damping);
        }
        self.was_well = well.or(self.was_well);
        let damped = health.damping.as_ref();
        let damped = damped.is_some_and(|it| self.flaps.kept_out_for(now, it).is_some());
        let state = match well {
            _ if self.disabled || self.admits() == Some(AgentState::Maint) => ServerState::Disabled,
            Some(false) => ServerState::Down,
            _ if damped => ServerState::Down,
            None => ServerState::Unknown,
            Some(true) if self.drains() => ServerState::Draining,
            Some(true) => ServerState::Up,
        };
        let is_fit = match state {
            ServerState::Up | ServerState::Draining => true,
            ServerState::Unknown => health.start == Start::Up,
            ServerState::Down | ServerState::Disabled => false,
        };
        if is_fit && self.was_fit == Some(false) {
            self.up_since = Some(now);
        }
        self.was_fit = Some(is_fit);
        if state != self.state {
            self.state = state;
            self.since = now;
        }
        match state {
            ServerState::Disabled => Fitness::Disabled,
            _ if !is_fit => Fitness::Unfit,
            _ if self.admits() == Some(AgentState::Drain) => Fitness::Drained,
            _ => Fitness::Fit(self.share(now, health)),
        }
    }

    fn share(&self, now: Duration, health: &Health) -> Share {
        let factors = self.factors(now, health);
        let lasting = Factors {
            slow_start: None,
            load: None,
            ..factors
        };
        Share {
            weight: factors.weight(),
            counts: lasting.weight(),
            configured: self.configured,
        }
    }

    /// Lets it serve though it has come and gone all the time.
    pub(super) fn let_in(&mut self) {
        if self.well() != Some(false) {
            self.flaps.let_in();
        }
    }

    /// Whether it is well by its checks and its agent; `None` if nobody knows yet. While a check
    /// of which there are others, or were before it, has no result, the server is as it was.
    fn well(&self) -> Option<bool> {
        let works = self.agent.as_ref().and_then(|it| it.works);
        match Verdict::of_all(self.checks.iter().map(|it| it.judge.verdict())) {
            Verdict::Bad => Some(false),
            _ if works.is_some_and(|it| it != AgentState::Up) => Some(false),
            Verdict::Unknown => self.was_well,
            Verdict::Good => Some(true),
        }
    }

    fn admits(&self) -> Option<AgentState> {
        self.agent.as_ref()?.admits()
    }

    /// What its agent said last.
    fn last_word(&self) -> Option<&AgentWord> {
        self.agent.as_ref()?.last.as_ref()
    }

    /// How many sessions its agent wants it to have at most; `None` is as configured.
    pub(super) fn most_sessions(&self) -> Option<u32> {
        self.last_word()?.max_sessions
    }

    /// A word of its agent that nobody knows.
    pub(super) fn strange_word(&self) -> Option<&str> {
        self.last_word()?.ignored.as_deref()
    }

    fn drains(&self) -> bool {
        self.configured.0 == 0 || self.admits() == Some(AgentState::Drain)
    }

    fn factors(&self, now: Duration, health: &Health) -> Factors {
        let up_since = self.up_since;
        Factors {
            configured: self.configured,
            scripts: self.checks.iter().map(|it| it.weight_delta).sum(),
            slow_start: up_since
                .and_then(|at| slow_start(now.saturating_sub(at), health.slow_start)),
            load: self.load.map(|load| load.factor(now)),
        }
    }

    /// Whether something follows from time alone.
    pub(super) fn is_moving(&self, now: Duration, health: &Health) -> bool {
        let starts = || self.factors(now, health).slow_start.is_some();
        let moves = || self.load.is_some_and(|load| !load.has_arrived(now));
        let damped = || {
            let damping = health.damping.as_ref();
            damping.is_some_and(|it| self.flaps.left(now, it).is_some())
        };
        starts() || moves() || damped()
    }

    /// Why it is in its state, or has another weight than is configured, and why less is known of
    /// it than there should be, in words.
    pub(super) fn reasons(&self, now: Duration, health: &Health) -> Vec<String> {
        let mut reasons = self.why(now, health);
        let agent = self.agent.iter().map(|it| &it.runs);
        let runs = self.checks.iter().map(|it| &it.runs).chain(agent);
        for lack in runs.filter_map(|it| it.lack.as_ref()) {
            let reason = format!("not asked: {lack}");
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
        let silence = self.agents_silence();
        reasons.extend(silence.map(|why| format!("its agent does not answer: {why}")));
        reasons
    }

    /// Why its agent does not answer, if it does not.
    pub(super) fn agents_silence(&self) -> Option<&str> {
        self.agent.as_ref()?.runs.failure.as_deref()
    }

    /// Why it is in its state, or has another weight than is configured, in words.
    pub(super) fn why(&self, now: Duration, health: &Health) -> Vec<String> {
        match self.state {
            ServerState::Disabled if self.disabled => vec!["by the operator".to_owned()],
            ServerState::Disabled => vec![self.agents_word("maint")],
            ServerState::Down => self.why_down(now, health),
            ServerState::Draining if self.configured.0 == 0 => vec!["weight 0".to_owned()],
            ServerState::Draining => {
                let said = self.agent.as_ref().and_then(|it| it.admits);
                let is_said = said == Some(AgentState::Drain);
                vec![self.agents_word(if is_said { "drain" } else { "0 %" })]
            }
            ServerState::Unknown | ServerState::Up => {
                let mut reasons = self.factors(now, health).reasons();
                let most = self.most_sessions();
                reasons.extend(most.map(|most| format!("agent maxconn {most}")));
                reasons
            }
        }
    }

    fn why_down(&self, now: Duration, health: &Health) -> Vec<String> {
        let bad = self
            .checks
            .iter()
            .filter(|it| it.judge.verdict() == Verdict::Bad);
        let mut reasons: Vec<String> = bad
            .map(|check| match &check.runs.failure {
                Some(failure) => failure.clone(),
                None => {
                    let (good, needed) = check.judge.doubt(&check.check.timing);
                    format!("well again, {good} of {needed} checks")
                }
            })
            .collect();
        let works = self.agent.as_ref().and_then(|it| it.works);
        match works {
            Some(AgentState::Down) => reasons.push(self.agents_word("down")),
            Some(AgentState::Fail) => reasons.push(self.agents_word("failed")),
            Some(AgentState::Stopped) => reasons.push(self.agents_word("stopped")),
            _ => {}
        }
        if reasons.is_empty()
            && let Some(damping) = &health.damping
            && let Some(left) = self.flaps.left(now, damping)
        {
            reasons.push(format!("damped for {} s", left.as_secs_f64().ceil()));
        }
        if reasons.is_empty() {
            reasons.push("down before its check was changed".to_owned());
        }
        reasons
    }

    fn agents_word(&self, word: &str) -> String {
        let reason = self.last_word().and_then(|it| it.reason.as_ref());
        match reason {
            Some(reason) => format!("agent {word}: {reason}"),
            None => format!("agent {word}"),
        }
    }
}
