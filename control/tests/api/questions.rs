//! Status, health, version, services, and what is not there.

use std::time::{Duration, Instant};

use dataplane::testing::{RIP_1_MAC, RIP_2_MAC, tcp};

use crate::fixture::Running;
use crate::http::{ask, get};

#[test]
fn the_status_shows_what_the_worker_did() {
    let running = Running::start();
    running.open_sessions(1_000..1_004);
    running.send(&tcp().bad_ip_checksum().build());

    let answer = get(&running.socket, "/v1/status");

    let status = answer.json();
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("content-type: application/json"));
    assert_eq!(status["version"], "0.1.0 (test)");
    assert_eq!(
        (&status["services"], &status["servers"]),
        (&2.into(), &2.into())
    );
    assert_eq!(status["sessions"], 4);
    assert_eq!(status["workers"][0]["core"], 3);
    assert_eq!(status["workers"][0]["session_capacity"], 4_096);
    assert_eq!(status["workers"][0]["sessions_created"], 4);
    assert_eq!(status["interfaces"][0]["name"], "wan");
    assert_eq!(status["interfaces"][0]["addresses"][0], "10.1.0.1/8");
    assert_eq!(status["drops"][0]["reason"], "bad_ip_checksum");
    assert_eq!(status["drops"][0]["packets"], 1);
}

#[test]
fn services_show_their_servers_in_the_order_of_the_file() {
    let running = Running::start();
    running.open_sessions(1_000..1_004);

    let services = get(&running.socket, "/v1/status/services").json();

    assert_eq!(services[0]["name"], "web");
    assert_eq!(services[0]["vip"], "10.1.0.100:80");
    assert_eq!(services[0]["traffic"]["sessions"], 4);
    let servers = services[0]["servers"].as_array().unwrap();
    assert_eq!(servers[0]["address"], "10.2.0.11:80");
    assert_eq!(servers[1]["address"], "10.2.0.12:80");
    for server in servers {
        assert_eq!(server["traffic"]["in_packets"], 2);
        assert_eq!(server["active"], 2);
    }
    assert_eq!(services[1]["servers"].as_array().unwrap().len(), 0);
    // The worker has forwarded them, too.
    let macs: Vec<_> = running
        .sent()
        .iter()
        .map(|frame| frame[..6].to_vec())
        .collect();
    for mac in [RIP_1_MAC, RIP_2_MAC] {
        assert_eq!(macs.iter().filter(|it| **it == mac.0).count(), 2);
    }
}

#[test]
fn a_worker_that_stands_still_makes_the_gateway_unhealthy() {
    let mut running = Running::start();
    assert_eq!(get(&running.socket, "/v1/health").status, 200);
    running.stop_worker();

    // Who looks again after two seconds sees that it has not turned.
    let end = Instant::now() + Duration::from_secs(10);
    let mut answer = get(&running.socket, "/v1/health");
    while answer.status == 200 && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(100));
        answer = get(&running.socket, "/v1/health");
    }

    assert_eq!(answer.status, 503);
    let problem = answer.json()["problems"][0].to_string();
    assert!(
        problem.starts_with("\"worker 0 has stood still for "),
        "{problem}"
    );
}

#[test]
fn a_worker_that_never_started_makes_the_gateway_unhealthy() {
    let (gateway, _worker, _wires) = crate::fixture::gateway();

    let health = gateway.health();

    assert!(!health.healthy);
    assert_eq!(health.problems, ["worker 0 has not started"]);
}

#[test]
fn the_version_is_told() {
    let running = Running::start();

    let version = get(&running.socket, "/v1/version").json();

    assert_eq!(
        version,
        serde_json::json!({"version": "0.1.0 (test)", "dpdk": "none"})
    );
}

#[test]
fn what_is_not_there_is_refused_in_a_sentence() {
    let running = Running::start();

    let path = get(&running.socket, "/v2/status");
    let method = ask(&running.socket, "DELETE /v1/config", "", b"");

    assert_eq!(path.status, 404);
    assert_eq!(
        path.errors(),
        ["there is no /v2/status here: the paths begin with /v1/"]
    );
    assert_eq!(method.status, 405);
    assert_eq!(method.errors(), ["/v1/config knows no DELETE"]);
}
