//! Servers as resources of their service.

use serde_json::json;

use crate::fixture::Running;
use crate::http::{ANY, ask, get};
use crate::services::send;

const SERVERS: &str = "/v1/services/tcp-10.1.0.100-80/servers";
const FIRST: &str = "/v1/services/tcp-10.1.0.100-80/servers/10.2.0.11-80";
const NEW: &str = "/v1/services/tcp-10.1.0.100-80/servers/10.2.0.13-8080";

#[test]
fn a_weight_is_patched() {
    let running = Running::start();
    let seen = get(&running.socket, FIRST);

    let patched = send(
        &running,
        &format!("PATCH {FIRST}"),
        &seen.if_match(),
        &json!({"weight": 0}),
    );

    assert_eq!(
        seen.json(),
        json!({"address": "10.2.0.11", "port": 80, "weight": 1, "method": "dr"})
    );
    assert_eq!(patched.status, 200, "{patched:?}");
    assert_eq!(patched.json()["weight"], 0);
    assert_eq!(running.gateway.services()[0].servers[0].weight, 0);
    // The other server, and its tag, are as they were; the service is not.
    assert_eq!(running.gateway.services()[0].servers[1].weight, 1);
}

#[test]
fn a_server_is_made_replaced_and_removed() {
    let running = Running::start();
    let list = get(&running.socket, SERVERS);

    let made = send(
        &running,
        &format!("PUT {NEW}"),
        "",
        &json!({"weight": 3, "method": "nat"}),
    );
    let blind = send(&running, &format!("PUT {NEW}"), "", &json!({}));
    let replaced = send(
        &running,
        &format!("PUT {NEW}"),
        &made.if_match(),
        &json!({"method": "nat"}),
    );
    let stale = ask(
        &running.socket,
        &format!("DELETE {NEW}"),
        &made.if_match(),
        b"",
    );
    let gone = ask(
        &running.socket,
        &format!("DELETE {NEW}"),
        &replaced.if_match(),
        b"",
    );

    assert_eq!((made.status, made.header("location")), (201, Some(NEW)));
    assert_eq!(blind.status, 428);
    assert_eq!(replaced.status, 200);
    let expected = json!({"address": "10.2.0.13", "port": 8080, "weight": 1, "method": "nat"});
    assert_eq!(replaced.json(), expected);
    assert_eq!(
        (
            stale.status,
            stale.errors()[0].split(':').next().unwrap().to_owned()
        ),
        (
            412,
            "the server 10.2.0.13-8080 of tcp-10.1.0.100-80 was changed meanwhile".to_owned()
        )
    );
    assert_eq!(gone.status, 204);
    assert_eq!(get(&running.socket, SERVERS).json(), list.json());
    assert_eq!(
        get(&running.socket, SERVERS).header("etag"),
        list.header("etag")
    );
}

#[test]
fn a_server_is_posted_once_and_gets_the_port_of_the_service() {
    let running = Running::start();
    let body = json!({"address": "10.2.0.14"});

    let made = send(&running, &format!("POST {SERVERS}"), "", &body);
    let again = send(&running, &format!("POST {SERVERS}"), "", &body);

    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(
        made.header("location"),
        Some("/v1/services/tcp-10.1.0.100-80/servers/10.2.0.14-80")
    );
    assert_eq!(
        (again.status, again.errors()),
        (
            409,
            vec![
                "the server 10.2.0.14-80 of tcp-10.1.0.100-80 is there already: PUT or PATCH it"
                    .to_owned()
            ]
        )
    );
}

#[test]
fn all_servers_are_replaced_together() {
    let running = Running::start();
    let seen = get(&running.socket, SERVERS);
    let body = json!([{"address": "10.2.0.12", "weight": 5}, {"address": "10.2.0.19"}]);

    let put = send(&running, &format!("PUT {SERVERS}"), &seen.if_match(), &body);
    let stale = send(&running, &format!("PUT {SERVERS}"), &seen.if_match(), &body);
    let bad = send(
        &running,
        &format!("PUT {SERVERS}"),
        ANY,
        &json!([{"address": "10.2.0.300"}]),
    );

    assert_eq!(put.status, 200, "{put:?}");
    assert_eq!(put.json()[0]["weight"], 5);
    assert_eq!(get(&running.socket, SERVERS).json(), put.json());
    assert_eq!(stale.status, 412);
    assert!(stale.errors()[0].starts_with("the list of servers of tcp-10.1.0.100-80 was changed"));
    assert_eq!(bad.status, 422);
    assert!(
        bad.errors()[0].starts_with("server[0]: `address` "),
        "{bad:?}"
    );
}

#[test]
fn what_is_not_there_or_contradicts_its_path_is_refused() {
    let running = Running::start();

    let no_server = get(&running.socket, NEW);
    let no_service = get(&running.socket, "/v1/services/mark-9/servers");
    let no_name = get(&running.socket, &format!("{SERVERS}/web1"));
    let other = send(&running, &format!("PUT {NEW}"), "", &json!({"port": 81}));
    let moved = send(
        &running,
        &format!("PATCH {FIRST}"),
        ANY,
        &json!({"address": "10.2.0.9"}),
    );
    let heavy = send(
        &running,
        &format!("PATCH {FIRST}"),
        ANY,
        &json!({"weight": -1}),
    );

    assert_eq!(
        (no_server.status, no_server.errors()),
        (
            404,
            vec![
                "tcp-10.1.0.100-80 has no server 10.2.0.13-8080: GET \
                 /v1/services/tcp-10.1.0.100-80/servers lists them"
                    .to_owned()
            ]
        )
    );
    assert_eq!(no_service.status, 404);
    assert_eq!(
        (no_name.status, no_name.errors()),
        (
            400,
            vec!["\"web1\" names no server: write 10.2.0.11-80".to_owned()]
        )
    );
    assert_eq!(
        (other.status, other.errors()),
        (
            422,
            vec![
                "the path names 10.2.0.13-8080, but the body 10.2.0.13-81: add the one, and \
                 remove the other"
                    .to_owned()
            ]
        )
    );
    assert_eq!(moved.status, 422);
    assert_eq!(
        (heavy.status, heavy.errors()),
        (
            422,
            vec!["10.2.0.11-80: `weight` -1 is below 0: give 0 to 2147483647".to_owned()]
        )
    );
}
