//! All services that are watched, and what follows from what is heard of their servers.
//!
//! Knows no clock: `now` is the time since the watch began. Whoever asks the servers calls
//! [`Watched::configure`] at each change of the configuration, [`Watched::hear`] with each result,
//! [`Watched::tick`] about once a second, and [`Watched::settle`] when something may have followed.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use dataplane::address::Endpoint;
use dataplane::hasher::{FastMap, FastSet};
use dataplane::service::ServiceKey;
use indexmap::IndexMap;

use super::agent::AgentWord;
use super::asked::{RunId, Timed};
use super::lateness::Lateness;
use super::news::News;
use super::probe::{ProbeFailure, ProbeOutcome, ProbeTarget};
use super::server::{ServerState, WatchedServer};
use super::service::WatchedService;
use super::standing::{Standing, health_of};
use super::verdict::Verdict;
use crate::config::{Agent, Check, CheckPath, Config};
use crate::gateway::ServerName;

/// How long nothing is told of runs that cannot be made, after something was.
const QUIET: Duration = Duration::from_secs(10);

/// Something to be asked again and again.
#[derive(Clone, Debug)]
pub struct Errand {
    /// Its name in reports.
    pub id: RunId,
    /// The service and server that it is about.
    pub of: ServerName,
    /// What is asked.
    pub what: What,
    /// Whether it was asked before, at other times, and its answer is known.
    pub is_known: bool,
}

/// What is asked.
#[derive(Clone, Debug)]
pub enum What {
    /// Whether the server is well.
    Check(Box<Check>, ProbeTarget),
    /// How loaded it is.
    Agent(Agent, SocketAddr),
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// Whose.
    pub id: RunId,
    /// When it was and when the next one is.
    pub timed: Timed,
    /// By how much it began after its time.
    pub late: Duration,
    /// Whether it took so long that the next one's turn is left out.
    pub overran: bool,
    /// The answer.
    pub answer: Answer,
}

/// An answer.
#[derive(Clone, Debug)]
pub enum Answer {
    /// To a check, after so many attempts.
    Check(Result<ProbeOutcome, ProbeFailure>, u16),
    /// Of an agent.
    Agent(Result<AgentWord, ProbeFailure>),
}

impl Answer {
    /// Why nobody was asked, if that is so.
    #[must_use]
    pub fn lack(&self) -> Option<&ProbeFailure> {
        let failure = match self {
            Self::Check(result, _) => result.as_ref().err(),
            Self::Agent(result) => result.as_ref().err(),
        };
        failure.filter(|failure| failure.is_ours())
    }
}

/// What is to be asked from now on, and what no more.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// New.
    pub start: Vec<Errand>,
    /// No more.
    pub stop: Vec<RunId>,
}

/// All services that are watched.
#[derive(Debug, Default)]
pub struct Watched {
    pub(super) services: IndexMap<ServiceKey, WatchedService>,
    /// Whom each run is about.
    pub(super) runs: FastMap<RunId, (ServiceKey, Endpoint<IpAddr>)>,
    last_id: u64,
    /// Services of which something may have followed.
    unsettled: FastSet<ServiceKey>,
    /// How late runs began.
    pub(super) lateness: Lateness,
    /// Runs that left a turn out because they took too long.
    pub(super) overruns: u64,
    /// How often a server came into each state, in the order of [`ServerState::ALL`].
    pub(super) state_changes: [u64; ServerState::ALL.len()],
    /// What was heard since the last settlement that is to be told.
    heard: Vec<News>,
    unasked: Unasked,
}

/// Runs that could not be made.
#[derive(Debug, Default)]
struct Unasked {
    /// When somebody was told last.
    told: Option<Duration>,
    /// How many there were since.
    since: u64,
}

impl Watched {
    /// Takes over a configuration. What is asked as before goes on undisturbed.
    pub fn configure(&mut self, config: &Config, now: Duration) -> Changes {
        let mut known = std::mem::take(&mut self.services);
        for service in config.services() {
            let Some(health) = health_of(service) else {
                continue;
            };
            let key = service.key();
            let same = known.swap_remove(&key);
            let mut watched =
                same.unwrap_or_else(|| WatchedService::new(service, Arc::clone(&health)));
            if watched.configured != *service || watched.standing.is_none() {
                let last_id = &mut self.last_id;
                watched.configure(service, health, now, || {
                    *last_id += 1;
                    RunId(*last_id)
                });
                self.unsettled.insert(key);
            }
            self.services.insert(key, watched);
        }
        self.renew_runs()
    }

    /// Finds out what runs came and went.
    fn renew_runs(&mut self) -> Changes {
        let mut changes = Changes::default();
        let mut before = std::mem::take(&mut self.runs);
        for (key, service) in &self.services {
            for (end, server) in &service.servers {
                for id in server.ids() {
                    if before.remove(&id).is_none() {
                        let errand = errand(service, *end, server, id);
                        changes.start.extend(errand);
                    }
                    self.runs.insert(id, (*key, *end));
                }
            }
        }
        changes.stop.extend(before.into_keys());
        self.unsettled.retain(|key| self.services.contains_key(key));
        changes
    }

    /// Takes in what came of a run. One that was stopped meanwhile counts for nothing.
    pub fn hear(&mut self, report: &Report) {
        let Some((key, end)) = self.runs.get(&report.id) else {
            return;
        };
        let Some(service) = self.services.get_mut(key) else {
            return;
        };
        let Some(server) = service.servers.get_mut(end) else {
            return;
        };
        self.lateness.note(report.late);
        self.overruns += u64::from(report.overran);
        let (timed, health) = (&report.timed, &service.health);
        let name = ServerName {
            service: *key,
            server: *end,
        };
        let was_silent = server.agents_silence().is_some();
        let follows = match &report.answer {
            Answer::Check(result, attempts) => {
                server.hear_check(report.id, result, *attempts, timed, health)
            }
            Answer::Agent(result) => {
                let known = server.strange_word().map(str::to_owned);
                let follows = server.hear_agent(result, timed, health);
                if let Some(word) = server
                    .strange_word()
                    .filter(|it| known.as_deref() != Some(it))
                {
                    let addr = SocketAddr::new(end.addr, end.port);
                    tracing::warn!(
                        "the agent of {addr} of {key} says \"{word}\", which no gateway understands: \
                         passed over"
                    );
                }
                follows
            }
        };
        if follows {
            self.unsettled.insert(*key);
        }
        let silence = server.agents_silence();
        if silence.is_some() != was_silent {
            let silence = silence.map(str::to_owned);
            self.heard.push(News::Agent { name, silence });
        }
        if let Some(lack) = report.answer.lack() {
            let told = self.unasked.note(name, lack, timed.ended);
            self.heard.extend(told);
        }
    }

    /// Notes which services have to be settled because time has passed.
    pub fn tick(&mut self) {
        let moving = self.services.values().filter(|it| it.is_moving);
        self.unsettled.extend(moving.map(WatchedService::key));
    }

    /// Whether there is something to settle.
    #[must_use]
    pub fn is_unsettled(&self) -> bool {
        !self.unsettled.is_empty() || !self.heard.is_empty()
    }

    /// Judges all of which something may have followed. Returns how the servers stand of the
    /// services where that is not as before, and what has become of them.
    pub fn settle(&mut self, now: Duration) -> (Vec<(ServiceKey, Standing)>, Vec<News>) {
        let mut news = std::mem::take(&mut self.heard);
        let mut standings = Vec::new();
        for key in self.unsettled.drain() {
            if let Some(service) = self.services.get_mut(&key)
                && let Some(standing) = service.settle(now, &mut news)
            {
                standings.push((key, standing));
            }
        }
        for it in &news {
            if let News::Server { state, .. } = it {
                self.state_changes[*state as usize] += 1;
            }
        }
        (standings, news)
    }

    /// How the servers of every service stand.
    #[must_use]
    pub fn standings(&self) -> Vec<(ServiceKey, Standing)> {
        let services = self.services.iter();
        let standings = services.filter_map(|(key, it)| Some((*key, it.standing.clone()?)));
        standings.collect()
    }
}

impl Unasked {
    /// Counts one. Returns what is to be told of it: not more often than every [`QUIET`].
    fn note(&mut self, name: ServerName, lack: &ProbeFailure, now: Duration) -> Option<News> {
        if self.told.is_some_and(|told| now < told + QUIET) {
            self.since += 1;
            return None;
        }
        self.told = Some(now);
        let others = std::mem::take(&mut self.since);
        let why = lack.to_string();
        Some(News::Unasked { name, why, others })
    }
}

/// What is to be asked by this name.
fn errand(
    service: &WatchedService,
    end: Endpoint<IpAddr>,
    server: &WatchedServer,
    id: RunId,
) -> Option<Errand> {
    let key = service.key();
    let check = server.checks.iter().find(|it| it.id == id);
    let what = match (check, &server.agent) {
        (Some(check), _) => {
            let check = &check.check;
            What::Check(Box::new(check.clone()), target(key, end, check))
        }
        (None, Some(agent)) => {
            let at = SocketAddr::new(end.addr, agent.agent.port);
            What::Agent(agent.agent, at)
        }
        (None, None) => return None,
    };
    let of = ServerName {
        service: key,
        server: end,
    };
    let is_known = check.is_some_and(|it| it.judge.verdict() != Verdict::Unknown);
    Some(Errand {
        id,
        of,
        what,
        is_known,
    })
}

fn target(key: ServiceKey, end: Endpoint<IpAddr>, check: &Check) -> ProbeTarget {
    let vip = key.virtual_endpoint();
    // At the VIP the server has the service's port, whatever its own would be.
    let port = match (check.path, vip) {
        (CheckPath::Vip, Some(vip)) if vip.port != 0 => vip.port,
        _ => end.port,
    };
    ProbeTarget {
        server: SocketAddr::new(
            check.address.unwrap_or(end.addr),
            check.port.unwrap_or(port),
        ),
        source: None,
        vip: vip.map(|vip| SocketAddr::new(vip.addr, vip.port)),
        service: key.to_string(),
    }
}

#[cfg(test)]
mod tests;
