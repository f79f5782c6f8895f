//! Servers on their way out, and back.

use std::fs;

use control::ctl::Exit;
use serde_json::json;

use crate::ctl::{ask, disturbing, undisturbed};
use crate::fixture::{CAPACITY, CONFIG, Running, config};
use crate::http;

/// A second service has one of the servers too, and sessions end soon.
fn text() -> String {
    let other = "\n[[service]]\nprotocol = \"tcp\"\nvip = \"10.1.0.101\"\nport = 80\n\
                 [[service.server]]\naddress = \"10.2.0.11\"\nweight = 5\nmethod = \"nat\"\n\
                 [timeouts]\ntcp_syn_recv = 4\ntcp_established = 4\n";
    format!("{CONFIG}{other}")
}

fn start() -> Running {
    Running::start_with(&text(), CAPACITY)
}

fn weights(running: &Running) -> Vec<u32> {
    let services = running.gateway.services();
    let servers = services.iter().flat_map(|service| &service.servers);
    servers.map(|server| server.weight).collect()
}

#[test]
fn a_server_is_drained_in_all_its_services_and_another_operator_brings_it_back() {
    let running = start();

    let (exit, out, err) = ask(&running, &["drain", "10.2.0.11"]);

    let expected = "\
tcp 10.1.0.100:80 -> 10.2.0.11:80: weight 0 (was 1), sessions 0 active, 0 inactive
tcp 10.1.0.101:80 -> 10.2.0.11:80: weight 0 (was 5), sessions 0 active, 0 inactive
`sluicectl undrain 10.2.0.11` brings it back.
";
    assert_eq!(
        (exit, out.as_str(), err.as_str()),
        (Exit::Well, expected, "")
    );
    assert_eq!(weights(&running), [0, 1, 0]);

    // Draining it again forgets nothing.
    let again = ["drain", "10.2.0.11:80", "--service", "web"];
    let (_, out, _) = ask(&running, &again);
    let expected = "\
tcp 10.1.0.100:80 -> 10.2.0.11:80: weight 0 (was 1), sessions 0 active, 0 inactive
`sluicectl undrain 10.2.0.11:80 --service \"web\"` brings it back.
";
    assert_eq!(out, expected);

    let (exit, out, _) = ask(
        &running,
        &["undrain", "10.2.0.11", "--service", "tcp 10.1.0.101:80"],
    );
    let expected = "tcp 10.1.0.101:80 -> 10.2.0.11:80: weight 5, sessions 0 active, 0 inactive\n";
    assert_eq!((exit, out.as_str()), (Exit::Well, expected));
    assert_eq!(weights(&running), [0, 1, 5]);
    let _ = ask(&running, &["undrain", "10.2.0.11"]);
    assert_eq!(*running.gateway.config(), config(&text()));
}

#[test]
fn waiting_ends_when_the_last_session_has() {
    let _undisturbed = undisturbed();
    let running = start();
    running.open_sessions(1_000..1_004);

    let (exit, out, err) = ask(
        &running,
        &["drain", "10.2.0.11", "--service", "web", "--wait"],
    );

    assert_eq!(exit, Exit::Well);
    let end = "10.2.0.11 has no sessions; `sluicectl undrain 10.2.0.11 --service \"web\"` brings \
               it back.\n";
    assert!(out.ends_with(end), "{out}");
    assert!(
        err.starts_with("sessions 2\n") && err.ends_with("sessions 0\n"),
        "{err}"
    );
}

#[test]
fn waiting_ends_when_the_time_is_over_and_the_weight_stays() {
    let _undisturbed = undisturbed();
    let running = Running::start();
    running.open_sessions(1_000..1_004);

    let asked = ["drain", "10.2.0.11", "--wait", "--timeout", "1s"];
    let (exit, _, err) = ask(&running, &asked);
    let (no, json, quiet) = ask(&running, &[&["--json"][..], &asked].concat());

    assert_eq!(
        (exit, no, quiet.as_str()),
        (
            Exit::No,
            Exit::No,
            "10.2.0.11 still has 2 sessions after 1s; its weight stays 0, `sluicectl undrain 10.2.0.11` brings it back.\n"
        )
    );
    let expected = "\
sessions 2
10.2.0.11 still has 2 sessions after 1s; its weight stays 0, `sluicectl undrain 10.2.0.11` brings it back.
";
    assert_eq!(err, expected);
    assert_eq!(weights(&running), [0, 1]);
    let said: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&said["sessions"], &said["servers"][0]["weight_before"]),
        (&json!(2), &json!(1))
    );
}

#[test]
fn who_is_not_there_is_told_what_may_have_been_meant() {
    let running = start();
    let refused = |args: &[&str]| {
        let (exit, out, err) = ask(&running, args);
        assert_eq!((exit, out.as_str()), (Exit::No, ""), "{args:?}");
        err
    };

    assert_eq!(
        refused(&["drain", "10.2.0.1"]),
        "there is no server 10.2.0.1 in any service: did you mean `10.2.0.11`?\n"
    );
    assert_eq!(
        refused(&["drain", "10.2.0.11:8080", "--service", "web"]),
        "there is no server 10.2.0.11:8080 in the service \"web\": did you mean `10.2.0.11:80`?\n"
    );
    assert_eq!(
        refused(&["undrain", "10.2.0.11", "--service", "wbe"]),
        "there is no service \"wbe\": did you mean `web`?\n"
    );
    assert_eq!(
        refused(&["drain", "web1"]),
        "\"web1\" is no server: write 10.2.0.11:80, or 10.2.0.11 for all of its ports\n"
    );
    assert_eq!(weights(&running), [1, 1, 5]);
}

#[test]
fn a_weight_that_nobody_drained_is_not_made_up() {
    let running = start();
    let rested = running.directory.path("rested.toml");
    fs::write(&rested, text().replace("weight = 5", "weight = 0")).unwrap();
    let (exit, ..) = ask(&running, &["apply", rested.to_str().unwrap()]);
    assert_eq!(exit, Exit::Well);

    let (exit, _, err) = ask(&running, &["undrain", "10.2.0.11"]);

    assert_eq!(exit, Exit::No);
    assert_eq!(
        err,
        "the weight of 10.2.0.11:80 in tcp 10.1.0.101:80 is 0, and no weight from before is known: \
         set one in the configuration, or with `ipvsadm -e`\n"
    );
    assert_eq!(weights(&running), [1, 1, 0]);
}

#[test]
fn the_api_takes_the_same_words() {
    let running = start();
    let json = "Content-Type: application/json\r\n";
    let post = |path: &str, body: &str| {
        let request = format!("POST {path}");
        http::ask(&running.socket, &request, json, body.as_bytes())
    };

    let drained = post(
        "/v1/drain",
        r#"{"server":"10.2.0.12:80","service":"tcp-10.1.0.100-80"}"#,
    );
    let looked = http::get(&running.socket, "/v1/drain?server=10.2.0.12:80");
    let wrong = post("/v1/drain", r#"{"sever":"10.2.0.12"}"#);

    assert_eq!((drained.status, drained.json()), (200, looked.json()));
    assert_eq!(drained.json()["servers"][0]["weight_before"], 1);
    assert_eq!(wrong.status, 422);
    assert!(
        wrong.errors()[0].contains("unknown field `sever`"),
        "{:?}",
        wrong.errors()
    );
}

#[test]
fn an_interrupt_ends_the_waiting_and_keeps_the_weight() {
    let _alone = disturbing();
    let running = Running::start();
    running.open_sessions(1_000..1_004);

    let (exit, _, err) = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| ask(&running, &["drain", "10.2.0.11", "--wait"]));
        // It takes interrupts before it changes a weight.
        running.until("the server is drained", |gateway| {
            gateway.services()[0].servers[0].weight == 0
        });
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGINT).unwrap();
        waiting.join().unwrap()
    });

    assert_eq!(exit, Exit::No);
    assert_eq!(
        err,
        "sessions 2\nNot waiting any longer: 10.2.0.11 has 2 sessions; its weight stays 0, \
         `sluicectl undrain 10.2.0.11` brings it back.\n"
    );
    assert_eq!(weights(&running), [0, 1]);
}
