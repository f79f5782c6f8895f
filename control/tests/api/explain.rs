//! What would become of a packet, asked over the socket.

use control::ctl::Exit;
use serde_json::json;

use crate::ctl::ask;
use crate::fixture::{CONFIG, Running};
use crate::http::get;

/// Two services, and a third whose servers take nobody.
fn text() -> String {
    let tired = "\n[[service]]\nprotocol = \"tcp\"\nvip = \"10.1.0.101\"\nport = 80\n\
                 [[service.server]]\naddress = \"10.2.0.11\"\nweight = 0\nmethod = \"nat\"\n\
                 [[mark]]\nmark = 7\ndestination = \"10.1.0.101/32\"\n";
    format!("{CONFIG}{tired}")
}

fn start() -> Running {
    Running::start_with(&text(), crate::fixture::CAPACITY)
}

#[test]
fn a_first_packet_is_explained_step_by_step_and_nothing_begins() {
    let running = start();

    let asked = ["explain", "10.1.0.9:40000", "10.1.0.100:80", "tcp"];
    let (exit, out, err) = ask(&running, &asked);
    let (_, again, _) = ask(&running, &asked);

    let expected = "\
packet     tcp 10.1.0.9:40000 -> 10.1.0.100:80 (syn) arrives on wan, to which the route to its sender points.
worker     Worker 0 has its session, or would.
session    No session has it.
service    It is for the service \"web\" (tcp 10.1.0.100:80): scheduler rr, real servers 2.
scheduler  10.2.0.12:80 by dr: rr gives it as of now (weight 1, active 0, inactive 0).
next hop   It leaves by wan to 10.2.0.12 at 02:00:00:02:00:0c; MTU 1500.
outcome    It is sent.
";
    assert_eq!(
        (exit, out.as_str(), err.as_str()),
        (Exit::Well, expected, "")
    );
    assert_eq!(again, out);
    assert_eq!(running.gateway.status().sessions, 0);
}

#[test]
fn a_session_is_named_as_it_stands() {
    let running = start();
    running.open_sessions(1_000..1_001);

    let asked = [
        "explain",
        "10.1.0.9:1000",
        "10.1.0.100:80",
        "--flags",
        "ack",
    ];
    let (exit, out, _) = ask(&running, &asked);

    assert_eq!(exit, Exit::Well);
    let session = "session   It belongs to a session of 10.1.0.9:1000 with 10.1.0.100:80: ";
    assert!(out.contains(session), "{out}");
    assert!(
        out.contains(", server 10.2.0.12:80 by dr, packets 1 in and 0 out, "),
        "{out}"
    );
}

#[test]
fn why_nobody_gets_it_is_said() {
    let running = start();

    let (exit, out, _) = ask(&running, &["explain", "10.1.0.9:1000", "10.1.0.101:80"]);
    let (late, unserved, _) = ask(
        &running,
        &[
            "explain",
            "10.1.0.9:1000",
            "10.1.0.100:80",
            "--flags",
            "ack",
            "--port",
            "wan",
        ],
    );
    let (_, six, _) = ask(
        &running,
        &["explain", "[2001:db8::9]:1", "[2001:db8::1]:2", "udp"],
    );

    assert_eq!(exit, Exit::No);
    let steps = "\
mark       The rules of [[mark]] give it mark 7.
session    No session has it.
service    It is for the service (tcp 10.1.0.101:80): scheduler wlc, real servers 1.
scheduler  No server takes a new session.
server     10.2.0.11:80 takes no new session: its weight is 0.
outcome    It is dropped (no_server): The service has no server that may take a new session.
";
    assert!(out.ends_with(steps), "{out}");
    assert_eq!(late, Exit::Well);
    let steps = "\
opening  A tcp packet with ack begins no session (sloppy_tcp, sloppy_sctp); it is treated as if there were no service.
outcome  Linux gets it (class unserved).
";
    assert!(unserved.ends_with(steps), "{unserved}");
    assert!(unserved.contains("(ack) arrives on wan.\n"), "{unserved}");
    let linux = "service  IPv6 is left to Linux in this version, also that of services.\n";
    assert!(six.contains(linux), "{six}");
}

#[test]
fn the_api_says_it_in_fields_too() {
    let running = start();
    let ends = "source=10.1.0.9:1000&destination=10.1.0.100:80&protocol=tcp";

    let said = get(&running.socket, &format!("/v1/explain?{ends}")).json();

    let field = |name: &str| said[name].clone();
    assert_eq!(field("outcome"), "sent");
    assert_eq!(field("server"), "10.2.0.12:80");
    assert_eq!(field("method"), "dr");
    assert_eq!(field("service"), "tcp 10.1.0.100:80");
    assert_eq!(
        (field("begins_session"), field("mark")),
        (json!(true), json!(0))
    );
    let hop = json!({
        "port": "wan", "address": "10.2.0.12", "mac": "02:00:00:02:00:0c", "mtu": 1500
    });
    assert_eq!(field("next_hop"), hop);
    assert_eq!(field("drop_reason"), json!(null));
}

#[test]
fn what_makes_no_sense_is_refused_with_what_would() {
    let running = start();
    let ends = ["explain", "10.1.0.9:1000", "10.1.0.100:80"];
    let refused = |more: &[&str]| {
        let (exit, out, err) = ask(&running, &[&ends[..], more].concat());
        assert_eq!((exit, out.as_str()), (Exit::No, ""), "{more:?}");
        err
    };

    assert_eq!(
        refused(&["--flags", "sin"]),
        "tcp has no flag \"sin\": use some of fin, syn, rst, psh, ack and urg, as in syn,ack\n"
    );
    assert_eq!(
        refused(&["sctp", "--flags", "hello"]),
        "sctp has no chunk \"hello\" that matters: use one of data, init, init-ack, abort, \
         shutdown, shutdown-ack, cookie-echo, cookie-ack and shutdown-complete\n"
    );
    assert_eq!(
        refused(&["udp", "--flags", "syn"]),
        "udp has no flags: leave \"syn\" out\n"
    );
    assert_eq!(
        refused(&["--port", "wam"]),
        "there is no port \"wam\": did you mean `wan`?\n"
    );
    let (exit, _, err) = ask(&running, &["explain", "10.1.0.9:1000", "[2001:db8::1]:80"]);
    assert_eq!(exit, Exit::No);
    assert_eq!(
        err,
        "10.1.0.9 and 2001:db8::1 are not of one family: use two IPv4 or two IPv6 addresses\n"
    );
    let ends = "source=10.1.0.9:1000&destination=10.1.0.100:80&protocol=tpc";
    let answer = get(&running.socket, &format!("/v1/explain?{ends}"));
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.json()["errors"][0],
        "the protocol \"tpc\" is unknown: use tcp, udp or sctp"
    );
}

#[test]
fn a_worker_that_stands_still_is_named() {
    let mut running = start();
    running.stop_worker();

    let (exit, _, err) = ask(&running, &["explain", "10.1.0.9:1000", "10.1.0.100:80"]);

    assert_eq!(exit, Exit::No);
    assert_eq!(
        err,
        "worker 0 does not answer: is its core taken by something else?\n"
    );
}
