//! What is known of the servers that are watched.

use super::family::{Family, Page, Written};
use crate::health::Board;
use crate::health::lateness::BOUNDS;
use crate::health::sample::{Sample, ServerSample, ServiceSample};
use crate::health::server::ServerState;

pub(super) fn write(page: &mut Page, board: &Board) {
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
    write_servers(page, &servers);
    page.add(&quorum);
    page.extend(of_checks(&sample));
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
        .times(&BOUNDS, [sample.lateness], |it| ((), &it.counts, it.nanos)),
    ]
}

fn labelled(service: &ServiceSample) -> impl Iterator<Item = (Written, &ServerSample)> {
    let key = service.key.to_string();
    service.servers.iter().map(move |server| {
        let address = server.address.to_string();
        let labels = [("service", &key), ("server", &address)];
        (Written::of(&labels), server)
    })
}

fn write_servers(page: &mut Page, servers: &[(Written, &ServerSample)]) {
    let states = servers
        .iter()
        .flat_map(|(labels, server)| ServerState::ALL.map(|state| (labels, state, server.state)));
    let state = Family::gauge(
        "sluice_server_state",
        "1 for the state that the real server is in.",
    )
    .each(states, |(labels, state, present)| {
        let labels = (labels, [("state", state.name())]);
        (labels, (state == present).into())
    });
    page.add(&state);
    let weight = Family::gauge(
        "sluice_server_effective_weight",
        "The real server's weight as its state, its load and slow start leave it; 0 when it is not \
         in the packet path.",
    )
    .each(servers, |(labels, server)| {
        (labels, server.effective_weight.into())
    });
    page.add(&weight);
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
    .each(results, |(labels, result, count)| {
        ((labels, [("result", result)]), count)
    });
    page.add(&checks);
    let took = servers.iter();
    let took = took.filter_map(|(labels, server)| Some((labels, server.took?)));
    let seconds = Family::gauge(
        "sluice_server_check_seconds",
        "How long the last check of the real server took, of several the longest.",
    )
    .seconds(took.map(|(labels, took)| (labels, took.as_secs_f64())));
    page.add(&seconds);
}
