//! The configuration: shown, checked, replaced as a whole or not at all.

use crate::fixture::{CONFIG, Running, config};
use crate::http::{ANY, Answer, ask, get};

const TOML: &str = "Content-Type: application/toml\r\n";
const JSON: &str = "Content-Type: application/json\r\n";

fn put(running: &Running, headers: &str, body: &str) -> Answer {
    let headers = format!("{ANY}{headers}");
    ask(&running.socket, "PUT /v1/config", &headers, body.as_bytes())
}

/// The configuration with another weight for the first server.
fn heavier() -> String {
    CONFIG.replacen("method = \"dr\"", "method = \"dr\"\nweight = 7", 1)
}

#[test]
fn the_configuration_comes_as_json_or_toml() {
    let running = Running::start();

    let json = get(&running.socket, "/v1/config");
    let by_query = get(&running.socket, "/v1/config?format=toml");
    let accept = "Accept: text/html, application/toml;q=0.9\r\n";
    let by_header = ask(&running.socket, "GET /v1/config", accept, b"");

    assert_eq!(json.json()["service"][0]["name"], "web");
    assert!(by_query.head.contains("content-type: application/toml"));
    assert_eq!(config(&by_query.body), config(CONFIG));
    assert_eq!(by_header.body, by_query.body);
}

#[test]
fn a_put_file_takes_effect_as_a_whole() {
    let running = Running::start();
    let before = running.gateway.status().generation;

    let answer = put(&running, TOML, &heavier());

    assert_eq!(answer.status, 200, "{answer:?}");
    let applied = answer.json();
    assert!(applied["generation"].as_u64().unwrap() > before);
    assert_eq!(
        (&applied["services"], &applied["servers"]),
        (&2.into(), &2.into())
    );
    let services = get(&running.socket, "/v1/status/services").json();
    assert_eq!(services[0]["servers"][0]["weight"], 7);
    running.until("the worker has adopted it", |gateway| {
        gateway.status().workers[0].generation == gateway.status().generation
    });
}

#[test]
fn json_can_be_taken_changed_and_put_back() {
    let running = Running::start();
    let mut json = get(&running.socket, "/v1/config").json();
    json["service"][0]["server"][1]["weight"] = 9.into();

    let answer = put(&running, JSON, &json.to_string());

    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(get(&running.socket, "/v1/config").json(), json);
}

#[test]
fn a_bad_file_is_refused_with_every_mistake_and_changes_nothing() {
    let running = Running::start();
    let before = (
        running.gateway.status().generation,
        running.gateway.config(),
    );
    let bad = heavier()
        .replace("scheduler = \"rr\"", "scheduler = \"rx\"")
        .replace("port = 53", "port = 70000");

    let request = "PUT /v1/config?name=conf%2Fgateway.toml";
    let headers = format!("{ANY}{TOML}");
    let answer = ask(&running.socket, request, &headers, bad.as_bytes());

    assert_eq!(answer.status, 422);
    let errors = answer.errors();
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(
        errors[0].starts_with("conf/gateway.toml:14: "),
        "{errors:?}"
    );
    assert!(
        errors[1].starts_with("conf/gateway.toml:28: "),
        "{errors:?}"
    );
    assert_eq!(
        (
            running.gateway.status().generation,
            running.gateway.config()
        ),
        before
    );
}

#[test]
fn what_only_a_restart_changes_is_a_conflict() {
    let running = Running::start();
    let other = CONFIG.replace("net_null0", "net_null1");

    let put = put(&running, TOML, &other);
    let check = ask(
        &running.socket,
        "POST /v1/config/check",
        TOML,
        other.as_bytes(),
    );

    for answer in [put, check] {
        assert_eq!(answer.status, 409);
        assert_eq!(
            answer.errors(),
            [
                "a running gateway cannot change `device` of port `wan`: restart it with this configuration"
            ]
        );
    }
}

#[test]
fn a_check_changes_nothing() {
    let running = Running::start();
    let before = running.gateway.config();
    let check = |body: &str| {
        ask(
            &running.socket,
            "POST /v1/config/check",
            TOML,
            body.as_bytes(),
        )
    };

    let good = check(&heavier());
    let bad = check(&CONFIG.replace("sessions_per", "session_per"));

    assert_eq!((good.status, bad.status), (200, 422));
    assert_eq!(good.json()["servers"], 2);
    assert!(bad.errors()[0].starts_with("api:3: "), "{bad:?}");
    assert_eq!(running.gateway.config(), before);
}

#[test]
fn bodies_that_cannot_be_read_are_refused() {
    let running = Running::start();

    let untyped = put(&running, "", CONFIG);
    let form = put(
        &running,
        "Content-Type: application/x-www-form-urlencoded\r\n",
        CONFIG,
    );
    let not_json = put(&running, JSON, "{");
    let not_text = ask(&running.socket, "PUT /v1/config", TOML, &[0xff, 0xfe]);

    let known = "the body has no type known here: \
                 send Content-Type: application/toml or application/json";
    for answer in [untyped, form] {
        assert_eq!(
            (answer.status, answer.errors()),
            (415, vec![known.to_owned()])
        );
    }
    assert_eq!(not_json.status, 400);
    assert!(not_json.errors()[0].starts_with("the body is not JSON: "));
    assert_eq!(not_text.status, 400);
    assert!(not_text.errors()[0].starts_with("the body is not UTF-8: "));
}

#[test]
fn a_body_above_64_mib_is_refused() {
    let running = Running::start();
    let body = vec![b'#'; control::api::MAX_BODY_BYTES + 1];

    let answer = ask(&running.socket, "PUT /v1/config", TOML, &body);

    assert_eq!(answer.status, 413);
    assert_eq!(answer.errors(), ["the body is longer than 67108864 bytes"]);
}

#[test]
fn a_service_keeps_the_traffic_of_servers_it_no_longer_has() {
    let running = Running::start();
    let short = format!("[timeouts]\ntcp_syn_recv = 1\n{CONFIG}");
    assert_eq!(put(&running, TOML, &short).status, 200);
    running.until("the worker has adopted it", |gateway| {
        let status = gateway.status();
        status.workers[0].generation == status.generation
    });
    running.open_sessions(1_000..1_004);
    let traffic = running.gateway.services()[0].traffic;
    let second = short
        .find("[[service.server]]\naddress = \"10.2.0.12\"")
        .unwrap();
    let (one_server, _) = short.split_at(second);

    // The second server is removed while it has sessions, drains, and is gone.
    assert_eq!(put(&running, TOML, one_server).status, 200);

    let servers = running.gateway.services()[0].servers.clone();
    assert_eq!(servers.len(), 2);
    assert!(!servers[1].available);
    running.until("the second server has drained", |gateway| {
        gateway.collect();
        gateway.services()[0].servers.len() == 1
    });
    assert_eq!(running.gateway.services()[0].traffic, traffic);

    // The first is removed when it has no session left, and a service without servers remains.
    running.until("no session is left", |gateway| {
        gateway.status().sessions == 0
    });
    let (no_server, _) = short.split_once("[[service.server]]").unwrap();
    assert_eq!(put(&running, TOML, no_server).status, 200);

    running.until("the first server is not shown", |gateway| {
        gateway.collect();
        gateway.services()[0].servers.is_empty()
    });
    assert_eq!(running.gateway.services()[0].traffic, traffic);
    assert_eq!(traffic.sessions, 4);
}
