//! Servers that are watched, as operators and Prometheus see them.

use std::io::{Error, ErrorKind};
use std::time::Duration;

use control::ctl::Exit;
use control::gateway::Gateway;
use control::health::asked::{RunId, Timed};
use control::health::probe::{ProbeFailure, ProbeOutcome};
use control::health::watched::{Answer, Report};
use control::metrics::{self, Sources};
use serde_json::{Value, json};

use crate::ctl::ask;
use crate::fixture::{CAPACITY, CONFIG, Running};
use crate::http::get;
use crate::services::send;

/// The first service is watched.
fn watched() -> Running {
    let check = "scheduler = \"rr\"\nquorum = 2\n[[service.check]]\ntype = \"tcp\"";
    Running::start_with(&CONFIG.replacen("scheduler = \"rr\"", check, 1), CAPACITY)
}

/// Begins to watch, without asking anybody. Gives the runs of the first and the second server.
fn begin(gateway: &Gateway) -> Vec<RunId> {
    let config = gateway.config();
    let runs = gateway.board().with(|watched, now| {
        let changes = watched.configure(&config, now);
        changes.start.iter().map(|errand| errand.id).collect()
    });
    settle(gateway);
    runs
}

/// A check of a server ends so.
fn hear(gateway: &Gateway, id: RunId, is_good: bool) {
    let result = if is_good {
        Ok(ProbeOutcome::default())
    } else {
        Err(ErrorKind::ConnectionRefused)
    };
    end(gateway, id, result);
}

fn end(gateway: &Gateway, id: RunId, result: Result<ProbeOutcome, ErrorKind>) {
    let result = result.map_err(|kind| ProbeFailure::from(Error::from(kind)));
    gateway.board().with(|watched, now| {
        let timed = Timed {
            ended: now,
            took: Duration::from_millis(250),
            next: now,
        };
        watched.hear(&Report {
            id,
            timed,
            late: Duration::from_millis(4),
            overran: true,
            answer: Answer::Check(result, 2),
        });
    });
    settle(gateway);
}

fn settle(gateway: &Gateway) {
    let (standings, news) = gateway
        .board()
        .with(control::health::watched::Watched::settle);
    gateway.stand(standings);
    gateway.tell_news(&news);
}

#[test]
fn services_and_health_say_how_servers_are_and_why() {
    let running = watched();
    let runs = begin(&running.gateway);
    hear(&running.gateway, runs[0], true);
    hear(&running.gateway, runs[1], false);

    let (_, services, _) = ask(&running, &["services", "web"]);
    let (exit, health, _) = ask(&running, &["health", "web"]);
    let (well, all, _) = ask(&running, &["health"]);
    let (_, refused, err) = ask(&running, &["health", "wbe"]);

    let reason = "down: connection refused (after 2 attempts)";
    let down = services.lines().find(|line| line.contains("10.2.0.12:80"));
    assert!(
        down.is_some_and(|line| line.ends_with(reason)),
        "{services}"
    );
    assert_eq!(exit, Exit::No, "it has no quorum");
    assert!(
        health.contains("tcp 10.1.0.100:80 web: no quorum, weight 1 of the 2"),
        "{health}"
    );
    assert!(
        health.contains("connection refused (after 2 attempts)"),
        "{health}"
    );
    assert_eq!(well, Exit::Well);
    assert!(all.starts_with("healthy\n"), "{all}");
    assert!(all.ends_with(&health), "{all}");
    assert!(
        refused.is_empty() && err.contains("\"wbe\" that is watched"),
        "{err}"
    );
    let config = ask(&running, &["config", "--toml"]).1;
    assert!(config.contains("10.2.0.12"), "{config}");
}

#[test]
fn the_api_knows_checks_weights_and_times() {
    let running = watched();
    let runs = begin(&running.gateway);
    hear(&running.gateway, runs[1], false);

    let answer = get(&running.socket, "/v1/health/services");

    let view: Value = serde_json::from_str(&answer.body).unwrap();
    let service = &view[0];
    assert_eq!(service["service"], "tcp 10.1.0.100:80");
    assert_eq!(
        (&service["quorum"], &service["weight"]),
        (&false.into(), &1.into())
    );
    let [unknown, down] = [0, 1].map(|index| &service["servers"][index]);
    assert_eq!(unknown["state"], "unknown");
    assert_eq!(unknown["effective_weight"], 1);
    assert_eq!(unknown["checks"][0]["last_seconds_ago"], Value::Null);
    assert_eq!(down["state"], "down");
    assert_eq!(down["effective_weight"], Value::Null);
    let check = &down["checks"][0];
    assert_eq!(
        (&check["kind"], &check["verdict"]),
        (&"tcp".into(), &"bad".into())
    );
    assert_eq!((&check["good"], &check["bad"]), (&0.into(), &1.into()));
    assert_eq!(check["took_seconds"], 0.25);
}

#[test]
fn a_server_is_taken_out_and_brought_back_by_an_edit() {
    let running = Running::start();
    let enabled = |running: &Running| {
        let service = get(
            &running.socket,
            "/v1/services/tcp-10.1.0.100-80/servers/10.2.0.11-80",
        );
        serde_json::from_str::<Value>(&service.body).unwrap()["enabled"].clone()
    };

    let (exit, out, err) = ask(&running, &["disable", "10.2.0.11"]);

    let said = "tcp 10.1.0.100:80 -> 10.2.0.11:80: disabled, sessions 0\n";
    assert_eq!((exit, out.as_str(), err.as_str()), (Exit::Well, said, ""));
    assert_eq!(enabled(&running), false);
    let listed = ask(&running, &["ipvsadm", "-Ln"]).1;
    assert!(
        listed.contains("10.2.0.12:80") && !listed.contains("10.2.0.11:80"),
        "{listed}"
    );

    let (_, out, _) = ask(&running, &["enable", "10.2.0.11:80", "--service", "web"]);
    assert_eq!(out, said.replace("disabled", "enabled"));
    assert_eq!(enabled(&running), Value::Null);
    assert!(
        ask(&running, &["ipvsadm", "-Ln"])
            .1
            .contains("10.2.0.11:80")
    );
    let (exit, _, err) = ask(&running, &["disable", "10.2.0.13"]);
    assert_eq!(exit, Exit::No);
    assert!(err.contains("there is no server 10.2.0.13"), "{err}");
}

#[test]
fn each_metric_of_health_moves() {
    let running = watched();
    let sources = Sources {
        gateway: running.gateway.clone(),
        twins: vec![],
        mirror: None,
        checks: None,
    };
    let runs = begin(&running.gateway);
    hear(&running.gateway, runs[0], true);
    hear(&running.gateway, runs[1], false);
    let no_port = Err(ErrorKind::AddrNotAvailable);
    end(&running.gateway, runs[1], no_port);

    let text = metrics::text(&sources);

    let server = "server=\"10.2.0.12:80\",service=\"tcp 10.1.0.100:80\"";
    let first = server.replace(".12", ".11");
    for line in [
        format!("sluice_server_state{{{server},state=\"down\"}} 1"),
        format!("sluice_server_state{{{server},state=\"up\"}} 0"),
        format!("sluice_server_state{{{first},state=\"up\"}} 1"),
        format!("sluice_server_effective_weight{{{server}}} 0"),
        format!("sluice_server_effective_weight{{{first}}} 1"),
        format!("sluice_server_checks_total{{result=\"bad\",{server}}} 1"),
        format!("sluice_server_checks_total{{result=\"good\",{server}}} 0"),
        format!("sluice_server_checks_total{{result=\"unasked\",{server}}} 1"),
        format!("sluice_server_check_seconds{{{server}}} 0.25"),
        "sluice_service_quorum{service=\"tcp 10.1.0.100:80\"} 0".to_owned(),
        "sluice_checks_late_total 3".to_owned(),
        "sluice_checks 2".to_owned(),
        "sluice_server_state_changes_total{state=\"up\"} 1".to_owned(),
        "sluice_server_state_changes_total{state=\"down\"} 1".to_owned(),
        "sluice_server_state_changes_total{state=\"disabled\"} 0".to_owned(),
        "sluice_check_lateness_seconds_bucket{le=\"0.003\"} 0".to_owned(),
        "sluice_check_lateness_seconds_bucket{le=\"0.005\"} 3".to_owned(),
    ] {
        let sorted = |line: &str| {
            let mut letters: Vec<_> = line.split([',', '{', '}']).map(str::to_owned).collect();
            letters.sort();
            letters
        };
        let found = text.lines().any(|it| sorted(it) == sorted(&line));
        assert!(found, "{line} is not in\n{text}");
    }
}

#[test]
fn how_servers_are_watched_is_patched_key_by_key() {
    let running = Running::start();
    let request = "PATCH /v1/services/tcp-10.1.0.100-80";
    let before = get(&running.socket, "/v1/services/tcp-10.1.0.100-80");
    let watched = json!({
        "quorum": 2,
        "damping": {"suppress": 9, "half_life": "90s"},
        "check": [{"type": "http", "path": "/health", "interval": "500ms", "status": "200,204"}],
    });

    let first = send(&running, request, &before.if_match(), &watched);
    let patch = json!({"quorum": null, "damping": {"half_life": null}});
    let second = send(&running, request, &first.if_match(), &patch);
    let mistaken = json!({"check": [{"type": "tcp", "path": "/"}]});
    let refused = send(&running, request, &second.if_match(), &mistaken);

    assert_eq!(
        (first.status, second.status),
        (200, 200),
        "{first:?} {second:?}"
    );
    let mut expected = before.json();
    expected["damping"] = json!({"suppress": 9, "half_life": 90});
    expected["quorum"] = 2.into();
    expected["check"] = json!([
        {"type": "http", "path": "/health", "interval": "500ms", "status": [200, 204]},
    ]);
    assert_eq!(first.json(), expected);
    expected.as_object_mut().unwrap().remove("quorum");
    expected["damping"] = json!({"suppress": 9});
    assert_eq!(second.json(), expected);
    assert_eq!(refused.status, 422, "{refused:?}");
    assert_eq!(
        refused.errors(),
        [
            "tcp-10.1.0.100-80: check[0]: `path` is for http, https, not for tcp: take it away, \
             or change `type`"
        ]
    );
}
