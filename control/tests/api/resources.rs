//! Local pools, marks, ports and neighbours; and the conditions on the whole configuration and on
//! variables.

use serde_json::{Value, json};

use crate::fixture::{CONFIG, Running};
use crate::http::{ANY, ask, get};
use crate::services::send;

const LIPS: &str = "/v1/local-pools/lips";

#[test]
fn a_local_pool_is_made_used_and_removed_when_nobody_uses_it() {
    let running = Running::start();
    let web = "/v1/services/tcp-10.1.0.100-80";

    let made = send(
        &running,
        &format!("PUT {LIPS}"),
        "",
        &json!({"addresses": ["10.2.0.200"]}),
    );
    let used = send(
        &running,
        &format!("PATCH {web}"),
        ANY,
        &json!({"local_pool": "lips"}),
    );
    let in_use = ask(&running.socket, &format!("DELETE {LIPS}"), ANY, b"");
    let blind = send(
        &running,
        &format!("PUT {LIPS}"),
        "",
        &json!({"addresses": ["10.2.0.201"]}),
    );
    let more = json!({"name": "lips", "addresses": ["10.2.0.200-10.2.0.203"]});
    let changed = send(&running, &format!("PUT {LIPS}"), &made.if_match(), &more);

    assert_eq!((made.status, made.header("location")), (201, Some(LIPS)));
    assert_eq!(
        made.json(),
        json!({"name": "lips", "addresses": ["10.2.0.200"], "ports": "1024-65535"})
    );
    assert_eq!(used.status, 200, "{used:?}");
    assert_eq!(
        (in_use.status, in_use.errors()),
        (
            409,
            vec![
                "the service tcp 10.1.0.100:80 speaks from the local pool \"lips\": give it \
                 another one first"
                    .to_owned()
            ]
        )
    );
    assert_eq!(blind.status, 428);
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_eq!(
        get(&running.socket, "/v1/local-pools").json(),
        json!([changed.json()])
    );

    send(
        &running,
        &format!("PATCH {web}"),
        ANY,
        &json!({"local_pool": null}),
    );
    let gone = ask(
        &running.socket,
        &format!("DELETE {LIPS}"),
        &changed.if_match(),
        b"",
    );
    assert_eq!(gone.status, 204, "{gone:?}");
    let absent = get(&running.socket, LIPS);
    assert_eq!(
        (absent.status, absent.errors()),
        (
            404,
            vec!["there is no local pool \"lips\": GET /v1/local-pools lists them".to_owned()]
        )
    );
}

#[test]
fn a_pool_that_cannot_be_is_refused() {
    let running = Running::start();
    let put = |body: &Value| {
        let answer = send(&running, &format!("PUT {LIPS}"), "", body);
        (answer.status, answer.errors())
    };

    assert_eq!(
        put(&json!({"addresses": []})),
        (
            422,
            vec!["lips: `addresses` has none: give at least one local address".to_owned()]
        )
    );
    assert_eq!(
        put(&json!({"name": "lip", "addresses": ["10.2.0.200"]})),
        (
            422,
            vec![
                "the path names \"lips\", but the body \"lip\": make the one, and remove the other"
                    .to_owned()
            ]
        )
    );
}

#[test]
fn marks_are_a_list_that_is_written_as_a_whole() {
    let running = Running::start();
    let seen = get(&running.socket, "/v1/marks");
    let rules = json!([
        {"mark": 0, "source": "10.9.0.0/16"},
        {"mark": 3, "protocol": "tcp", "destination": "10.1.0.0/24", "destination_ports": 80},
    ]);

    let put = send(&running, "PUT /v1/marks", &seen.if_match(), &rules);
    let stale = send(&running, "PUT /v1/marks", &seen.if_match(), &json!([]));
    let bad = send(
        &running,
        "PUT /v1/marks",
        ANY,
        &json!([{"mark": 1, "port": "lan"}]),
    );

    assert_eq!(seen.json(), json!([]));
    assert_eq!(put.status, 200, "{put:?}");
    assert_eq!(put.json()[1]["destination_ports"], "80-80");
    assert_eq!(get(&running.socket, "/v1/marks").json(), put.json());
    assert_eq!(
        get(&running.socket, "/v1/marks").header("etag"),
        put.header("etag")
    );
    assert_eq!(stale.status, 412);
    assert!(stale.errors()[0].starts_with("the list of marks was changed meanwhile"));
    assert_eq!(bad.status, 422);
    assert!(
        bad.errors()[0].starts_with("marks: there is no [[port]] \"lan\": "),
        "{bad:?}"
    );
    // Who came too late may try again, and is not told of.
    let applies = running.gateway.applies();
    assert_eq!((applies.applied, applies.refused), (1, 1));
}

#[test]
fn ports_show_their_interfaces_and_counters() {
    let running = Running::start();

    let ports = get(&running.socket, "/v1/ports").json();
    let wan = get(&running.socket, "/v1/ports/wan").json();
    let lan = get(&running.socket, "/v1/ports/lan");

    assert_eq!(ports, json!([wan]));
    assert_eq!(wan["device"], "net_null0");
    assert_eq!(wan["interfaces"][0]["addresses"], json!(["10.1.0.1/8"]));
    let counted = [
        "received_packets",
        "transmitted_bytes",
        "missed_packets",
        "no_buffer",
    ];
    assert_eq!(counted.map(|key| wan[key].as_u64()), [1, 4, 5, 8].map(Some));
    assert_eq!(
        (lan.status, lan.errors()),
        (
            404,
            vec!["there is no port \"lan\": GET /v1/ports lists them".to_owned()]
        )
    );
}

#[test]
fn neighbours_are_those_that_linux_told_and_those_that_are_looked_for() {
    let running = Running::start();
    let server = "PUT /v1/services/tcp-10.1.0.100-80/servers/10.2.0.13-80";
    assert_eq!(send(&running, server, "", &json!({})).status, 201);

    let neighbours = get(&running.socket, "/v1/neighbours").json();

    let found: Vec<_> = neighbours.as_array().unwrap().iter().collect();
    let addresses: Vec<_> = found
        .iter()
        .map(|it| it["address"].as_str().unwrap())
        .collect();
    assert_eq!(addresses, ["10.2.0.11", "10.2.0.12", "10.2.0.13"]);
    assert!(found[0]["mac"].is_string());
    assert_eq!(
        *found[2],
        json!({"interface": "wan", "address": "10.2.0.13", "mac": null, "wanted": true})
    );
}

#[test]
fn the_whole_configuration_is_replaced_only_as_it_was_seen() {
    let running = Running::start();
    let toml = "Content-Type: application/toml\r\n";
    let put = |headers: &str| {
        let headers = format!("{toml}{headers}");
        let body = format!("[timeouts]\nudp = 60\n{CONFIG}");
        ask(&running.socket, "PUT /v1/config", &headers, body.as_bytes())
    };
    let seen = get(&running.socket, "/v1/config");
    let dns = "PATCH /v1/services/udp-10.1.0.100-53";
    assert_eq!(
        send(&running, dns, ANY, &json!({"name": "dns"})).status,
        200
    );

    let blind = put("");
    let stale = put(&seen.if_match());
    let now = get(&running.socket, "/v1/config");
    let fresh = put(&now.if_match());

    let tag = now.header("etag").unwrap();
    assert_eq!((blind.status, stale.status), (428, 412));
    assert_eq!(blind.header("etag"), Some(tag));
    assert_eq!(
        stale.errors(),
        [format!(
            "the configuration was changed meanwhile: look at it again, and send its present ETag \
             as If-Match: {tag}"
        )]
    );
    assert_eq!(fresh.status, 200, "{fresh:?}");
    assert_eq!(
        get(&running.socket, "/v1/config").header("etag"),
        fresh.header("etag")
    );
}

#[test]
fn a_variable_is_set_only_as_it_was_seen() {
    let running = Running::start();
    let put = |headers: &str| {
        let request = "PUT /v1/sysctl/drop_entry";
        ask(&running.socket, request, headers, b"2")
    };
    let seen = get(&running.socket, "/v1/sysctl/drop_entry");

    let blind = put("");
    let set = put(&seen.if_match());
    let stale = put(&seen.if_match());

    assert_eq!((blind.status, set.status, stale.status), (428, 200, 412));
    assert!(blind.errors()[0].starts_with("to change the variable drop_entry, send the ETag"));
    assert_ne!(set.header("etag"), seen.header("etag"));
}
