//! The gateway out of service, and back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use control::ctl::Exit;
use control::metrics::{self, Sources};
use dataplane::address::Address;
use dataplane::testing::VIP;
use serde_json::json;

use crate::ctl::{ask, disturbing, undisturbed};
use crate::fixture::{CAPACITY, CONFIG, Running};
use crate::http::{self, ANY, JSON};

/// Sessions end soon, and VIPs are announced.
fn text() -> String {
    let timeouts = "[timeouts]\ntcp_syn_recv = 4\ntcp_established = 4\n";
    CONFIG.replace("[gateway]\n", "[gateway]\nannounce_table = 201\n") + timeouts
}

fn put(running: &Running, headers: &str, body: &str) -> http::Answer {
    let headers = format!("{JSON}{headers}");
    let request = "PUT /v1/maintenance";
    http::ask(&running.socket, request, &headers, body.as_bytes())
}

/// The value of a series.
fn metric(running: &Running, series: &str) -> String {
    let sources = Sources {
        gateway: Arc::clone(&running.gateway),
        twins: vec![],
        mirror: None,
        checks: None,
    };
    let text = metrics::text(&sources);
    let mut lines = text.lines().filter_map(|line| line.rsplit_once(' '));
    let found = lines.find(|(name, _)| *name == series);
    found.expect(series).1.to_owned()
}

#[test]
fn maintenance_is_switched_on_and_off_and_shown() {
    let running = Running::start();

    let (on, shown, _) = ask(&running, &["maintenance", "on"]);
    let (_, status, _) = ask(&running, &["status"]);
    let (off, after, _) = ask(&running, &["maintenance", "off"]);

    let expected = "\
Maintenance is on; `sluicectl maintenance off` or a restart ends it.
The gateway announces no VIPs: [gateway] has no `announce_table`.
sessions 0
";
    assert_eq!((on, shown.as_str()), (Exit::Well, expected));
    assert!(
        status.contains("maintenance is on: `sluicectl maintenance off` ends it"),
        "{status}"
    );
    assert_eq!(off, Exit::Well);
    assert!(after.starts_with("Maintenance is off.\n"), "{after}");
    assert!(!running.gateway.in_maintenance());
}

#[test]
fn vips_are_shown_with_what_became_of_them() {
    let running = Running::start_with(&text(), CAPACITY);
    let vip = VIP.addr.to_ip();
    running.gateway.announced([vip].into());

    let (_, announced, _) = ask(&running, &["maintenance", "status"]);
    let before = metric(&running, &format!("sluice_vip_announced{{vip=\"{vip}\"}}"));
    running.gateway.set_maintenance(true);
    running.gateway.announced(BTreeSet::new());
    let (_, withdrawn, _) = ask(&running, &["maintenance", "status"]);

    assert!(
        announced.contains(
            "Routing table 201 is where VIPs are announced.\nvip 10.1.0.100: announced\n"
        ),
        "{announced}"
    );
    assert!(
        withdrawn.contains("vip 10.1.0.100: withdrawn\n"),
        "{withdrawn}"
    );
    assert_eq!(
        (before.as_str(), metric(&running, "sluice_maintenance")),
        ("1", "1".to_owned())
    );
    let now = metric(&running, &format!("sluice_vip_announced{{vip=\"{vip}\"}}"));
    assert_eq!(now, "0");
}

#[test]
fn waiting_ends_well_when_the_last_session_has() {
    let _undisturbed = undisturbed();
    let running = Running::start_with(&text().replace("announce_table = 201\n", ""), CAPACITY);
    running.open_sessions(1_000..1_004);

    let (exit, out, err) = ask(&running, &["maintenance", "on", "--wait"]);

    assert_eq!(exit, Exit::Well);
    assert!(out.ends_with("There are no sessions.\n"), "{out}");
    assert!(
        err.starts_with("sessions 4\n") && err.ends_with("sessions 0\n"),
        "{err}"
    );
}

#[test]
fn sessions_that_routers_have_moved_away_are_not_waited_for() {
    let _undisturbed = undisturbed();
    let running = Running::start();
    running.open_sessions(1_000..1_004);

    let (exit, out, _) = ask(&running, &["maintenance", "on", "--wait", "--quiet", "1s"]);

    assert_eq!(exit, Exit::Well);
    assert!(
        out.ends_with("Nobody uses the 4 sessions: none had a packet for 1s.\n"),
        "{out}"
    );
}

#[test]
fn who_is_served_without_a_session_is_waited_for_too() {
    let running = Running::start();
    let counter = |gateway: &control::gateway::Gateway| {
        gateway.plane().counters[0].one_packets.add(1);
    };

    // A datagram now and then, longer than it would wait for nothing.
    let (asked, (exit, out, _)) = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let since = Instant::now();
            let said = ask(&running, &["maintenance", "on", "--wait"]);
            (since.elapsed(), said)
        });
        for _ in 0..6 {
            counter(&running.gateway);
            std::thread::sleep(Duration::from_millis(500));
        }
        waiting.join().unwrap()
    });

    assert_eq!(exit, Exit::Well);
    assert!(out.ends_with("There are no sessions.\n"), "{out}");
    assert!(asked >= Duration::from_secs(4), "{asked:?}");
}

#[test]
fn a_vip_that_stays_announced_is_a_no() {
    let running = Running::start_with(&text(), CAPACITY);
    // Nobody withdraws here.
    running.gateway.announced([VIP.addr.to_ip()].into());

    let (exit, _, err) = ask(&running, &["maintenance", "on"]);
    let asked = ["maintenance", "on", "--wait", "--timeout", "1s"];
    let (waited, _, after) = ask(&running, &asked);

    assert_eq!((exit, waited), (Exit::No, Exit::No));
    let expected =
        "Not withdrawn, so traffic still comes: 10.1.0.100; the gateway's log says why.\n";
    assert_eq!(err, expected);
    assert!(after.ends_with(expected), "{after}");
}

#[test]
fn waiting_ends_with_a_no_when_the_time_is_over() {
    let _undisturbed = undisturbed();
    let running = Running::start();
    running.open_sessions(1_000..1_004);

    let asked = ["maintenance", "on", "--wait", "--timeout", "1s"];
    let (exit, _, err) = ask(&running, &asked);
    let (no, json, _) = ask(&running, &[&["--json"][..], &asked].concat());

    assert_eq!((exit, no), (Exit::No, Exit::No));
    assert!(
        err.ends_with("There still are 4 sessions after 1s, and they are used.\n"),
        "{err}"
    );
    let said: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&said["on"], &said["sessions"]), (&json!(true), &json!(4)));
}

#[test]
fn an_interrupt_ends_the_waiting_and_keeps_maintenance() {
    let _alone = disturbing();
    let running = Running::start();
    running.open_sessions(1_000..1_004);

    let (exit, _, err) = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| ask(&running, &["maintenance", "on", "--wait"]));
        // It takes interrupts before it asks for anything.
        running.until("maintenance is on", |gateway| gateway.in_maintenance());
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGINT).unwrap();
        waiting.join().unwrap()
    });

    assert_eq!(exit, Exit::No);
    assert!(
        err.ends_with("Not waiting any longer: there are 4 sessions.\n"),
        "{err}"
    );
    assert!(running.gateway.in_maintenance());
}

#[test]
fn the_api_asks_for_what_was_seen() {
    let running = Running::start();

    let blind = put(&running, "", r#"{"on":true}"#);
    let seen = http::get(&running.socket, "/v1/maintenance");
    let on = put(&running, &seen.if_match(), r#"{"on":true}"#);
    let stale = put(&running, &seen.if_match(), r#"{"on":false}"#);
    let wrong = put(&running, ANY, r#"{"off":true}"#);

    assert_eq!(
        [blind.status, on.status, stale.status, wrong.status],
        [428, 200, 412, 422]
    );
    assert_eq!(seen.json()["on"], false);
    assert_eq!(
        on.json(),
        json!({
            "on": true, "announce_table": null, "vips": [], "sessions": 0, "served_packets": 0,
        })
    );
}
