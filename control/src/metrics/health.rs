//! What is known of the servers that are watched.

use super::family::Family;
use crate::health::Board;
use crate::health::lateness::BOUNDS;
use crate::health::sample::{Sample, ServerSample, ServiceSample};
use crate::health::server::ServerState;

/// What tells a server from all others.
type Labels = [(&'static str, String); 2];

pub(super) fn gather(board: &Board) -> Vec<Family> {
    // The lock is everybody's who checks: what is text is made without it.
    let sample = board.with(|watched, _| watched.sample());
    let servers: Vec<_> = sample.services.iter().flat_map(labelled).collect();
    let quorum = Family::gauge(
        "sluice_service_quorum",
        "1 while the real servers that are up are enough for the service.",
    )
    .each(&sample.services, |service| {
        (
            [("service", service.key.to_string())],
            service.quorum.into(),
        )
    });
    let mut families = of_servers(&servers);
    families.push(quorum);
    families.extend(of_checks(&sample));
    families
}

fn of_checks(sample: &Sample) -> [Family; 4] {
    let changes = ServerState::ALL.iter().zip(sample.state_changes);
    [
        Family::gauge(
            "sluice_checks",
            "Checks and load agents of real servers that are asked again and again.",
        )
        .only(sample.runs as u64),
        Family::counter(
            "sluice_server_state_changes_total",
            "Times that a watched real server came into the state, over all of them.",
        )
        .each(changes, |(state, count)| {
            ([("state", state.name().to_owned())], count)
        }),
        Family::counter(
            "sluice_checks_late_total",
            "Checks of real servers that left a turn out because the one before took too long.",
        )
        .only(sample.overruns),
        Family::histogram(
            "sluice_check_lateness_seconds",
            "How long after their time checks of real servers began.",
        )
        .times(&BOUNDS, [sample.lateness], |it| ([], &it.counts, it.nanos)),
    ]
}

fn labelled(service: &ServiceSample) -> impl Iterator<Item = (Labels, &ServerSample)> {
    let key = service.key.to_string();
    service.servers.iter().map(move |server| {
        let address = server.address.to_string();
        ([("service", key.clone()), ("server", address)], server)
    })
}

fn of_servers(servers: &[(Labels, &ServerSample)]) -> Vec<Family> {
    let states = servers
        .iter()
        .flat_map(|(labels, server)| ServerState::ALL.map(|state| (labels, state, server.state)));
    let state = Family::gauge(
        "sluice_server_state",
        "1 for the state that the real server is in.",
    )
    .each(states, |([service, server], state, present)| {
        let name = state.name().to_owned();
        let labels = [service.clone(), server.clone(), ("state", name)];
        (labels, (state == present).into())
    });
    let weight = Family::gauge(
        "sluice_server_effective_weight",
        "The real server's weight as its state, its load and slow start leave it; 0 when it is not \
         in the packet path.",
    )
    .each(servers, |(labels, server)| {
        (labels.clone(), server.effective_weight.into())
    });
    let results = servers.iter().flat_map(|(labels, server)| {
        [
            (labels, "good", server.counted.good),
            (labels, "bad", server.counted.bad),
            (labels, "unasked", server.counted.unasked),
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
    let took = servers.iter();
    let took = took.filter_map(|(labels, server)| Some((labels.clone(), server.took?)));
    let seconds = Family::gauge(
        "sluice_server_check_seconds",
        "How long the last check of the real server took, of several the longest.",
    )
    .seconds(took.map(|(labels, took)| (labels, took.as_secs_f64())));
    vec![state, weight, checks, seconds]
}
