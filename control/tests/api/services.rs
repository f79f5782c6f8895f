//! Services as resources: shown, made, changed, removed, one by one and all together.

use control::view::ServiceView;
use serde_json::{Value, json};

use crate::fixture::{CAPACITY, CONFIG, Running};
use crate::http::{ANY, Answer, JSON, ask, get};

const WEB: &str = "/v1/services/tcp-10.1.0.100-80";
const NEW: &str = "/v1/services/tcp-10.1.0.101-443";

/// Sends JSON.
pub(crate) fn send(running: &Running, request: &str, headers: &str, body: &Value) -> Answer {
    let headers = format!("{JSON}{headers}");
    ask(
        &running.socket,
        request,
        &headers,
        body.to_string().as_bytes(),
    )
}

#[test]
fn a_service_is_shown_in_the_words_of_the_file() {
    let running = Running::start();

    let all = get(&running.socket, "/v1/services");
    let one = get(&running.socket, WEB);

    assert_eq!((all.status, one.status), (200, 200));
    assert_eq!(
        one.json(),
        json!({
            "name": "web", "protocol": "tcp", "vip": "10.1.0.100", "port": 80, "scheduler": "rr",
            "mss_clamp": "auto",
            "server": [
                {"address": "10.2.0.11", "port": 80, "weight": 1, "method": "dr"},
                {"address": "10.2.0.12", "port": 80, "weight": 1, "method": "dr"},
            ],
        })
    );
    assert_eq!(all.json()[0], one.json());
    assert_eq!(all.json()[1]["port"], 53);
    assert_eq!(
        all.json(),
        get(&running.socket, "/v1/config").json()["service"]
    );
}

#[test]
fn a_service_is_made_changed_and_removed() {
    let running = Running::start();
    let body = json!({"server": [{"address": "10.2.0.11", "method": "dr"}]});

    // It is not there, so there is nothing to match.
    let made = send(&running, &format!("PUT {NEW}"), "", &body);
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.header("location"), Some(NEW));
    assert_eq!(made.json()["scheduler"], "wlc");
    assert_eq!(get(&running.socket, NEW).json(), made.json());
    assert_eq!(
        get(&running.socket, NEW).header("etag"),
        made.header("etag")
    );

    // It is there, so its tag is asked for.
    let other = json!({"scheduler": "sh", "server": [{"address": "10.2.0.12"}]});
    let changed = send(&running, &format!("PUT {NEW}"), &made.if_match(), &other);
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_eq!(changed.json()["scheduler"], "sh");
    running.until("the worker has it", |gateway| {
        gateway.status().workers[0].generation == gateway.status().generation
    });
    assert_eq!(running.gateway.services()[2].servers.len(), 1);

    let gone = ask(
        &running.socket,
        &format!("DELETE {NEW}"),
        &changed.if_match(),
        b"",
    );
    assert_eq!((gone.status, gone.body.as_str()), (204, ""));
    assert_eq!(get(&running.socket, NEW).status, 404);
    assert_eq!(running.gateway.config().services().len(), 2);
}

#[test]
fn a_patch_changes_what_it_names_and_nothing_else() {
    let running = Running::start();
    let before = get(&running.socket, WEB);
    let patch = json!({"scheduler": "wrr", "persistent": "5m", "name": null});

    let merge = "Content-Type: application/merge-patch+json\r\n";
    let request = format!("PATCH {WEB}");
    let headers = format!("{merge}{}", before.if_match());
    let patched = ask(
        &running.socket,
        &request,
        &headers,
        patch.to_string().as_bytes(),
    );

    assert_eq!(patched.status, 200, "{patched:?}");
    let mut expected = before.json();
    expected["scheduler"] = "wrr".into();
    expected["persistent"] = 300.into();
    expected.as_object_mut().unwrap().remove("name");
    assert_eq!(patched.json(), expected);
    assert_ne!(patched.header("etag"), before.header("etag"));
}

#[test]
fn two_operators_cannot_overwrite_each_other_unseen() {
    let running = Running::start();
    let seen_by_both = get(&running.socket, WEB);
    let request = format!("PATCH {WEB}");
    let wrr = json!({"scheduler": "wrr"});
    let first = send(&running, &request, &seen_by_both.if_match(), &wrr);
    assert_eq!(first.status, 200);

    let second = send(
        &running,
        &request,
        &seen_by_both.if_match(),
        &json!({"scheduler": "sh"}),
    );
    let blind = send(&running, &request, "", &json!({"scheduler": "sh"}));
    let removal = ask(&running.socket, &format!("DELETE {WEB}"), "", b"");

    let tag = first.header("etag").unwrap();
    assert_eq!(second.status, 412);
    assert_eq!(
        second.errors(),
        [format!(
            "the service tcp-10.1.0.100-80 was changed meanwhile: look at it again, and send its \
             present ETag as If-Match: {tag}"
        )]
    );
    for refused in [blind, removal] {
        assert_eq!(refused.status, 428);
        assert_eq!(refused.header("etag"), Some(tag));
        assert_eq!(
            refused.errors(),
            [format!(
                "to change the service tcp-10.1.0.100-80, send the ETag that you saw as If-Match, \
                 so that nobody else's change is overwritten: it is {tag} now, and * stands for any"
            )]
        );
    }
    assert_eq!(get(&running.socket, WEB).json()["scheduler"], "wrr");
    // Whoever means it may.
    assert_eq!(
        send(&running, &request, ANY, &json!({"scheduler": "sh"})).status,
        200
    );
}

#[test]
fn a_change_of_one_service_leaves_the_tags_of_the_others_alone() {
    let running = Running::start();
    let dns = "/v1/services/udp-10.1.0.100-53";
    let before = get(&running.socket, dns);
    let all = get(&running.socket, "/v1/services");

    send(
        &running,
        &format!("PATCH {WEB}"),
        ANY,
        &json!({"scheduler": "sh"}),
    );

    assert_eq!(
        get(&running.socket, dns).header("etag"),
        before.header("etag")
    );
    assert_ne!(
        get(&running.socket, "/v1/services").header("etag"),
        all.header("etag")
    );
}

#[test]
fn what_was_seen_already_is_not_sent_again() {
    let running = Running::start();
    for path in [
        WEB,
        "/v1/services",
        "/v1/config",
        "/v1/marks",
        "/v1/local-pools",
    ] {
        let seen = get(&running.socket, path);
        let known = format!("If-None-Match: {}\r\n", seen.header("etag").unwrap());

        let same = ask(&running.socket, &format!("GET {path}"), &known, b"");

        assert_eq!((same.status, same.body.as_str()), (304, ""), "{path}");
        assert_eq!(same.header("etag"), seen.header("etag"), "{path}");
    }
}

#[test]
fn creating_does_not_overwrite_and_changing_does_not_create() {
    let running = Running::start();
    let body = json!({"scheduler": "rr"});

    let new_only = "If-None-Match: *\r\n";
    let exists = send(&running, &format!("PUT {WEB}"), new_only, &body);
    let absent = send(&running, &format!("PUT {NEW}"), ANY, &body);
    let patched = send(&running, &format!("PATCH {NEW}"), ANY, &body);
    let removed = ask(&running.socket, &format!("DELETE {NEW}"), ANY, b"");

    assert_eq!(exists.status, 412);
    assert!(
        exists.errors()[0]
            .starts_with("the service tcp-10.1.0.100-80 is there already, with the ETag"),
        "{exists:?}"
    );
    assert_eq!(absent.status, 412);
    assert_eq!(
        absent.errors(),
        [
            "there is no service tcp-10.1.0.101-443 that If-Match could match: leave it out to make one"
        ]
    );
    for answer in [patched, removed, get(&running.socket, NEW)] {
        assert_eq!(answer.status, 404);
        assert_eq!(
            answer.errors(),
            ["there is no service tcp-10.1.0.101-443: GET /v1/services lists them"]
        );
    }
    assert_eq!(
        send(&running, &format!("PUT {NEW}"), new_only, &body).status,
        201
    );
}

#[test]
fn a_service_is_posted_once() {
    let running = Running::start();
    let body = json!({"protocol": "udp", "vip": "2001:db8::1", "port": 53});

    let made = send(&running, "POST /v1/services", "", &body);
    let again = send(&running, "POST /v1/services", "", &body);

    assert_eq!(made.status, 201, "{made:?}");
    let path = "/v1/services/udp-2001:db8::1-53";
    assert_eq!(made.header("location"), Some(path));
    // What is allowed but worth knowing is said.
    assert!(
        made.head.contains("sluice-warning: udp [2001:db8::1]:53"),
        "{made:?}"
    );
    for path in [path, "/v1/services/udp-%5B2001%3Adb8%3A%3A1%5D-53"] {
        assert_eq!(get(&running.socket, path).json(), made.json());
    }
    assert_eq!(again.status, 409);
    assert_eq!(
        again.errors(),
        ["the service udp-2001:db8::1-53 is there already: PUT or PATCH it"]
    );
}

#[test]
fn all_services_are_replaced_together_or_not_at_all() {
    let running = Running::start();
    let before = get(&running.socket, "/v1/services");
    let one = json!({"mark": 3, "scheduler": "rr"});
    let put = |headers: &str, body: &Value| send(&running, "PUT /v1/services", headers, body);

    let blind = put("", &json!([one]));
    let bad = put(
        ANY,
        &json!([one, {"protocol": "tcp", "vip": "10.1.0.1", "port": 70000}]),
    );
    let twice = put(ANY, &json!([one, one]));
    let object = put(ANY, &one);
    assert_eq!(get(&running.socket, "/v1/services").json(), before.json());
    let put = put(&before.if_match(), &json!([one]));

    assert_eq!(blind.status, 428);
    assert_eq!(
        (bad.status, bad.errors()),
        (
            422,
            vec!["service[1]: `port` 70000 is above 65535: give 0 to 65535".to_owned()]
        )
    );
    assert_eq!(
        (twice.status, twice.errors()),
        (422, vec!["mark-3 is there twice: take one away".to_owned()])
    );
    assert_eq!(
        (object.status, object.errors()),
        (
            400,
            vec!["the body must be a JSON array: the whole list, in its order".to_owned()]
        )
    );
    assert_eq!(put.status, 200, "{put:?}");
    let now = get(&running.socket, "/v1/services");
    assert_eq!(now.json()[0]["mark"], 3);
    assert_eq!(now.json().as_array().unwrap().len(), 1);
    assert_eq!(now.header("etag"), put.header("etag"));
    assert_eq!(get(&running.socket, "/v1/services/mark-3").status, 200);
}

#[test]
fn a_mark_of_ipv6_is_a_service_of_its_own() {
    let running = Running::start();
    let put = |id: &str, scheduler: &str| {
        let path = format!("PUT /v1/services/{id}");
        send(&running, &path, "", &json!({ "scheduler": scheduler }))
    };

    let made = put("mark6-3", "rr");
    let other = put("mark-3", "lc");

    assert_eq!(
        (made.status, other.status),
        (201, 201),
        "{made:?} {other:?}"
    );
    let shown = get(&running.socket, "/v1/services/mark6-3").json();
    assert_eq!(
        (&shown["mark"], &shown["family"], &shown["scheduler"]),
        (&json!(3), &json!("ipv6"), &json!("rr"))
    );
    let shown = get(&running.socket, "/v1/services/mark-3").json();
    assert_eq!(
        (&shown["family"], &shown["scheduler"]),
        (&Value::Null, &json!("lc"))
    );
    let status = get(&running.socket, "/v1/status/services").json();
    let status: Vec<ServiceView> = serde_json::from_value(status).unwrap();
    let marked = status.iter().filter(|it| it.mark == Some(3));
    // Metrics have the key as a label.
    let marked: Vec<_> = marked.map(|it| (it.key(), it.forwarded)).collect();
    assert_eq!(
        marked,
        [("mark6 3".to_owned(), false), ("mark 3".to_owned(), true)]
    );
}

#[test]
fn mistakes_are_sentences_and_change_nothing() {
    let running = Running::start();
    let before = running.gateway.config();
    let put = |body: &Value| {
        let answer = send(&running, &format!("PUT {WEB}"), ANY, body);
        (answer.status, answer.errors())
    };
    let refused = |sentence: &str| (422, vec![sentence.to_owned()]);

    assert_eq!(
        put(&json!({"scheduler": "rx"})).1[0].split(", ").next(),
        Some("tcp-10.1.0.100-80: `scheduler` \"rx\" is not a scheduler: give one of rr")
    );
    assert_eq!(
        put(&json!({"colour": "red"})),
        refused(
            "tcp-10.1.0.100-80: `colour` is not a key here: what can stand here is name, protocol, \
             vip, port, mark, family, scheduler, scheduler_flags, local_pool, unserved, \
             mss_clamp, persistent, persistent_netmask, one_packet, quorum, hysteresis, \
             sorry_server, check, agent, inhibit_on_failure, start, slow_start, damping, \
             weight_bounds, server"
        )
    );
    assert_eq!(
        put(&json!({"protocol": "tcp", "vip": "10.1.0.100", "port": 81})),
        refused(
            "the path names tcp-10.1.0.100-80, but the body tcp-10.1.0.100-81: make the one, and \
             remove the other"
        )
    );
    assert_eq!(
        put(&json!([])),
        (
            400,
            vec!["the body must be a JSON object, like {\"weight\": 2}".to_owned()]
        )
    );
    let (status, errors) = put(&json!({"local_pool": "lips"}));
    assert_eq!(status, 422);
    assert!(errors[0].contains("lips"), "{errors:?}");
    let key = send(&running, &format!("PATCH {WEB}"), ANY, &json!({"mark": 3}));
    assert_eq!(key.status, 422);
    assert_eq!(running.gateway.config(), before);
}

#[test]
fn bodies_and_names_that_cannot_be_read_are_refused() {
    let running = Running::start();

    let toml = "Content-Type: application/toml\r\n";
    let typed = ask(&running.socket, &format!("PUT {WEB}"), toml, b"a = 1");
    let patch = ask(&running.socket, &format!("PATCH {WEB}"), "", b"{}");
    let garbled = ask(&running.socket, &format!("PUT {WEB}"), JSON, b"{");
    let name = get(&running.socket, "/v1/services/web");
    let method = ask(&running.socket, &format!("POST {WEB}"), "", b"");

    assert_eq!(typed.status, 415);
    assert_eq!(
        typed.errors(),
        ["the body has no type known here: send Content-Type: application/json"]
    );
    assert_eq!(
        (patch.status, patch.errors()),
        (
            415,
            vec![
                "the body has no type known here: send Content-Type: \
                 application/merge-patch+json or application/json"
                    .to_owned()
            ]
        )
    );
    assert_eq!(garbled.status, 400);
    assert!(garbled.errors()[0].starts_with("the body is not JSON: "));
    assert_eq!(
        (name.status, name.errors()),
        (
            400,
            vec!["\"web\" names no service: write tcp-10.1.0.100-80, or mark-3".to_owned()]
        )
    );
    assert_eq!(
        (method.status, method.errors()),
        (405, vec![format!("{WEB} knows no POST")])
    );
}

#[test]
fn changes_that_come_at_once_are_all_made() {
    let running = Running::start();
    let socket = &running.socket;
    const NAT: &[u8] = b"{\"method\": \"nat\"}";
    std::thread::scope(|scope| {
        for port in 1_000..1_008 {
            scope.spawn(move || {
                let request = format!("PUT /v1/services/tcp-10.1.0.100-{port}");
                assert_eq!(ask(socket, &request, JSON, b"{}").status, 201);
                let request = format!("PUT {WEB}/servers/10.2.0.13-{port}");
                assert_eq!(ask(socket, &request, JSON, NAT).status, 201);
            });
        }
    });

    let config = running.gateway.config();
    assert_eq!(config.services().len(), 2 + 8);
    assert_eq!(config.services()[0].servers.len(), 2 + 8);
}

#[test]
fn local_addresses_are_those_of_the_pool() {
    let text = CONFIG.replace(
        "scheduler = \"rr\"\n",
        "scheduler = \"rr\"\nlocal_pool = \"lips\"\n",
    );
    let pool = "[[local_pool]]\nname = \"lips\"\naddresses = [\"10.2.0.200-10.2.0.201\"]\n";
    let running = Running::start_with(&format!("{text}\n{pool}"), CAPACITY);

    let with = get(&running.socket, &format!("{WEB}/local-addresses")).json();
    let without = get(
        &running.socket,
        "/v1/services/udp-10.1.0.100-53/local-addresses",
    )
    .json();
    let absent = get(&running.socket, "/v1/services/mark-1/local-addresses");

    assert_eq!(with["pool"], "lips");
    assert_eq!(with["addresses"][0]["address"], "10.2.0.200");
    assert_eq!(with["addresses"][1]["in_use"], 0);
    assert_eq!(without, json!({"pool": null, "addresses": []}));
    assert_eq!(
        (absent.status, absent.errors()),
        (
            404,
            vec!["there is no service mark-1: GET /v1/services lists them".to_owned()]
        )
    );
}
