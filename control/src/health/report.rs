//! What is known of the servers, to be shown.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use dataplane::address::Endpoint;
use dataplane::hasher::FastMap;
use dataplane::service::ServiceKey;

use super::asked::{Runs, WatchedCheck};
use super::lateness::Lateness;
use super::server::{ServerState, WatchedServer};
use super::service::WatchedService;
use super::standing;
use super::verdict::Verdict;
use super::watched::Watched;
use crate::config::{Check, CheckKind};
use crate::view::{AgentView, CheckView, RunsView, ServerHealthView, ServiceHealthView};

/// How a server is, in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brief {
    /// Its state.
    pub state: ServerState,
    /// Why, or why it has another weight than is configured.
    pub reasons: Vec<String>,
}

impl Watched {
    /// Every service that is watched.
    #[must_use]
    pub fn views(&self, now: Duration) -> Vec<ServiceHealthView> {
        self.services.values().map(|it| service(it, now)).collect()
    }

    /// How every server is, in short.
    #[must_use]
    pub fn briefs(&self, now: Duration) -> FastMap<(ServiceKey, Endpoint<IpAddr>), Brief> {
        let mut briefs = FastMap::default();
        for (key, service) in &self.services {
            for (end, server) in &service.servers {
                let brief = Brief {
                    state: server.state,
                    reasons: server.reasons(now, &service.health),
                };
                briefs.insert((*key, *end), brief);
            }
        }
        briefs
    }

    /// Whether every server of a service was asked how it is, as far as the gateway can ask.
    #[must_use]
    pub fn is_known(&self, service: ServiceKey) -> bool {
        let service = self.services.get(&service);
        service.is_some_and(|it| it.servers.values().all(WatchedServer::is_known))
    }

    /// How late runs began.
    #[must_use]
    pub const fn lateness(&self) -> Lateness {
        self.lateness
    }

    /// Runs that left a turn out because they took too long.
    #[must_use]
    pub const fn overruns(&self) -> u64 {
        self.overruns
    }
}

/// A check's kind, as the configuration calls it.
#[must_use]
pub const fn kind_name(check: &Check) -> &'static str {
    match &check.kind {
        CheckKind::Tcp => "tcp",
        CheckKind::Http(http) if http.tls.is_some() => "https",
        CheckKind::Http(_) => "http",
        CheckKind::Udp(_) => "udp",
        CheckKind::Dns(_) => "dns",
        CheckKind::Smtp { .. } => "smtp",
        CheckKind::Grpc(_) => "grpc",
        CheckKind::Script(_) => "script",
        CheckKind::Icmp => "icmp",
    }
}

fn service(service: &WatchedService, now: Duration) -> ServiceHealthView {
    let quorum = service.standing.as_ref().is_none_or(|it| it.quorum);
    let health = &service.health;
    let servers = service.servers.iter();
    let sorry = health.sorry_server.as_ref();
    ServiceHealthView {
        service: service.key().to_string(),
        name: service.configured.name.clone(),
        quorum,
        weight: service.weight,
        needed: standing::needed(quorum, health),
        sorry_server: sorry.map(|it| socket(it.endpoint)),
        servers: servers
            .map(|(end, it)| server(service, *end, it, now))
            .collect(),
    }
}

fn server(
    service: &WatchedService,
    end: Endpoint<IpAddr>,
    server: &WatchedServer,
    now: Duration,
) -> ServerHealthView {
    let health = &service.health;
    let damping = health.damping.as_ref();
    let standing = service.standing.as_ref();
    let stand = standing.and_then(|it| it.servers.get(&end));
    ServerHealthView {
        address: socket(end),
        state: server.state.name().to_owned(),
        state_seconds: now.saturating_sub(server.since).as_secs_f64(),
        weight: server.configured.0,
        effective_weight: stand.and_then(|stand| stand.weight).map(|it| it.0),
        reasons: server.reasons(now, health),
        penalty: damping.map_or(0.0, |damping| server.flaps.penalty(now, damping)),
        damped_seconds: (damping.and_then(|it| server.flaps.left(now, it)))
            .map(|left| left.as_secs_f64()),
        checks: server.checks.iter().map(|it| check(it, now)).collect(),
        agent: server.agent.as_ref().map(|agent| AgentView {
            port: agent.agent.port,
            runs: runs(&agent.runs, now),
        }),
    }
}

fn check(check: &WatchedCheck, now: Duration) -> CheckView {
    let verdict = match check.judge.verdict() {
        Verdict::Good => "good",
        Verdict::Bad => "bad",
        Verdict::Unknown => "unknown",
    };
    CheckView {
        kind: kind_name(&check.check).to_owned(),
        verdict: verdict.to_owned(),
        runs: runs(&check.runs, now),
    }
}

fn runs(runs: &Runs, now: Duration) -> RunsView {
    let seconds = |time: Duration| time.as_secs_f64();
    RunsView {
        good: runs.good,
        bad: runs.bad,
        unasked: runs.unasked,
        failure: runs.lack.clone().or_else(|| runs.failure.clone()),
        last_seconds_ago: runs.last.map(|(at, _)| seconds(now.saturating_sub(at))),
        took_seconds: runs.last.map(|(_, took)| seconds(took)),
        next_in_seconds: runs.next.map(|at| seconds(at.saturating_sub(now))),
    }
}

const fn socket(end: Endpoint<IpAddr>) -> SocketAddr {
    SocketAddr::new(end.addr, end.port)
}
