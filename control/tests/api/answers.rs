//! What Prometheus learns of changes of the configuration, readiness, and requests to the API.

use std::collections::BTreeMap;

use control::metrics;

use crate::fixture::{CONFIG, Running};
use crate::http::{ANY, ask, get};
use crate::metrics::{series, without_twins};

/// Each series, its labels included, with its value.
fn scrape(running: &Running) -> BTreeMap<String, f64> {
    let sources = without_twins(&running.gateway);
    series(&metrics::text(&sources))
}

#[test]
fn requests_count_by_template_method_and_status_whatever_clients_ask_for() {
    let running = Running::start();

    get(&running.socket, "/v1/services/tcp-10.1.0.100-80");
    get(&running.socket, "/v1/services/udp-10.1.0.100-53");
    get(&running.socket, "/v1/services/tcp-10.9.9.9-9");
    get(&running.socket, "/v1/nonsense/4711");
    ask(&running.socket, "SPAM /v1/nonsense/4712", "", b"");

    let series = scrape(&running);
    let requests: Vec<_> = (series.iter())
        .filter(|(name, _)| name.starts_with("sluice_api_requests_total"))
        .map(|(name, count)| (name.as_str(), *count))
        .collect();
    let route = "route=\"/v1/services/{service}\",method=\"GET\"";
    let of = |labels: &str| format!("sluice_api_requests_total{{{labels}}}");
    assert_eq!(
        requests,
        [
            (&*of(&format!("{route},status=\"200\"")), 2.0),
            (&*of(&format!("{route},status=\"404\"")), 1.0),
            (&*of("route=\"other\",method=\"GET\",status=\"404\""), 1.0),
            (&*of("route=\"other\",method=\"other\",status=\"404\""), 1.0),
        ]
    );
    let times = format!("sluice_api_request_seconds_count{{{route}}}");
    assert_eq!(series.get(&times), Some(&3.0), "{series:?}");
}

#[test]
fn changes_of_the_configuration_and_what_was_refused_are_told() {
    let running = Running::start();
    let give = |text: &str| {
        let headers = format!("{ANY}Content-Type: application/toml\r\n");
        let answer = ask(&running.socket, "PUT /v1/config", &headers, text.as_bytes());
        answer.status
    };
    let before = scrape(&running);

    assert_eq!(give(&CONFIG.replace("= 53", "= 54")), 200);
    assert_eq!(give("nonsense"), 422);
    assert_eq!(give(&CONFIG.replace("4096", "8192")), 409);

    let after = scrape(&running);
    let changed = "sluice_configuration_last_change_timestamp_seconds";
    assert!(after[changed] >= before[changed] && before[changed] > 1e9);
    for (name, was, is) in [
        ("sluice_configuration_revision", 0.0, 1.0),
        (
            "sluice_configuration_applies_total{outcome=\"applied\"}",
            0.0,
            1.0,
        ),
        (
            "sluice_configuration_applies_total{outcome=\"refused\"}",
            0.0,
            2.0,
        ),
        ("sluice_configuration_last_apply_successful", 1.0, 0.0),
    ] {
        assert_eq!((before[name], after[name]), (was, is), "{name}");
    }
}

#[test]
fn a_gateway_is_ready_once_it_has_started() {
    let running = Running::start();
    let told = || {
        let series = scrape(&running);
        (series["sluice_healthy"], series["sluice_ready"])
    };
    assert_eq!(told(), (1.0, 0.0));

    running.gateway.settled();

    assert_eq!(told(), (1.0, 1.0));
}
