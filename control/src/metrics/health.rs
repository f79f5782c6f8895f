//! What is known of the servers that are watched.

use super::family::Family;
use crate::health::Board;
use crate::health::lateness::BOUNDS;
use crate::health::server::ServerState;
use crate::view::{CheckView, ServerHealthView, ServiceHealthView};

/// What tells a server from all others.
type Labels = [(&'static str, String); 2];

pub(super) fn gather(board: &Board) -> Vec<Family> {
    let (services, lateness, overruns) = board.with(|watched, now| {
        let views = watched.views(now);
        (views, watched.lateness(), watched.overruns())
    });
    let servers: Vec<_> = services.iter().flat_map(labelled).collect();
    let quorum = Family::gauge(
        "sluice_service_quorum",
        "1 while the real servers that are up are enough for the service.",
    )
    .each(&services, |service| {
        (
            [("service", service.service.clone())],
            service.quorum.into(),
        )
    });
    let late = Family::counter(
        "sluice_checks_late_total",
        "Checks of real servers that left a turn out because the one before took too long.",
    );
    let lateness_of_starts = Family::histogram(
        "sluice_check_lateness_seconds",
        "How long after their time checks of real servers began.",
    );
    let mut families = of_servers(&servers);
    families.extend([
        quorum,
        late.only(overruns),
        lateness_of_starts.times(&BOUNDS, [lateness], |it| ([], &it.counts, it.nanos)),
    ]);
    families
}

fn labelled(service: &ServiceHealthView) -> Vec<(Labels, &ServerHealthView)> {
    let servers = service.servers.iter();
    let labels = |server: &ServerHealthView| {
        [
            ("service", service.service.clone()),
            ("server", server.address.to_string()),
        ]
    };
    servers.map(|it| (labels(it), it)).collect()
}

fn of_servers(servers: &[(Labels, &ServerHealthView)]) -> Vec<Family> {
    let states = servers.iter().flat_map(|(labels, server)| {
        ServerState::ALL.map(|state| (labels, state.name(), server.state == state.name()))
    });
    let state = Family::gauge(
        "sluice_server_state",
        "1 for the state that the real server is in.",
    )
    .each(states, |([service, server], state, is_so)| {
        let labels = [service.clone(), server.clone(), ("state", state.to_owned())];
        (labels, is_so.into())
    });
    let weight = Family::gauge(
        "sluice_server_effective_weight",
        "The real server's weight as its state, its load and slow start leave it; 0 when it is not \
         in the packet path.",
    )
    .each(servers, |(labels, server)| {
        let weight = server.effective_weight.unwrap_or(0);
        (labels.clone(), weight.into())
    });
    let results = servers.iter().flat_map(|(labels, server)| {
        let sum = |read: fn(&CheckView) -> u64| server.checks.iter().map(read).sum::<u64>();
        let (good, bad) = (sum(|it| it.runs.good), sum(|it| it.runs.bad));
        let unasked = sum(|it| it.runs.unasked);
        [
            (labels, "good", good),
            (labels, "bad", bad),
            (labels, "unasked", unasked),
        ]
    });
    let checks = Family::counter(
        "sluice_server_checks_total",
        "Checks of the real server that ended so; \"unasked\" could not be made, for the gateway lacks \
         something.",
    )
    .each(results, |([service, server], result, count)| {
        let result = ("result", result.to_owned());
        ([service.clone(), server.clone(), result], count)
    });
    let took = servers.iter().filter_map(|(labels, server)| {
        let times = server.checks.iter().filter_map(|it| it.runs.took_seconds);
        Some((labels.clone(), times.max_by(f64::total_cmp)?))
    });
    let seconds = Family::gauge(
        "sluice_server_check_seconds",
        "How long the last check of the real server took, of several the longest.",
    )
    .seconds(took);
    vec![state, weight, checks, seconds]
}
