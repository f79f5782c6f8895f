//! Sessions: filtered, paged, asked for by many at once.

use std::collections::BTreeSet;
use std::time::Duration;

use control::view::SessionsQuery;
use dataplane::address::Endpoint;
use dataplane::io::memory::MemoryPacket;
use dataplane::testing::{CLIENT, tcp};
use serde_json::Value;

use crate::fixture::{Running, gateway};
use crate::http::get;

fn clients(page: &Value) -> Vec<String> {
    let sessions = page["sessions"].as_array().unwrap().iter();
    sessions
        .map(|it| it["client"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn pages_show_every_session_once() {
    let running = Running::start();
    running.open_sessions(1_000..1_050);

    let mut seen = Vec::new();
    let mut path = "/v1/sessions?limit=7".to_owned();
    loop {
        let page = get(&running.socket, &path).json();
        let clients = clients(&page);
        assert!(clients.len() <= 7);
        seen.extend(clients);
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("/v1/sessions?limit=7&cursor={cursor}");
    }

    let expected: BTreeSet<_> = (1_000..1_050)
        .map(|port| format!("10.1.0.9:{port}"))
        .collect();
    assert_eq!(seen.len(), 50);
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), expected);
}

#[test]
fn a_session_tells_who_speaks_to_whom() {
    let running = Running::start();
    running.open_sessions(1_000..1_001);

    let page = get(&running.socket, "/v1/sessions").json();

    let session = &page["sessions"][0];
    assert_eq!(session["protocol"], "tcp");
    assert_eq!(session["state"], "SYN_RECV");
    assert_eq!(session["client"], "10.1.0.9:1000");
    assert_eq!(session["vip"], "10.1.0.100:80");
    assert_eq!(session["method"], "dr");
    assert_eq!(session["local"], Value::Null);
    assert_eq!(session["traffic"]["in_packets"], 1);
    let expires = session["expires_seconds"].as_f64().unwrap();
    assert!((50.0..=60.0).contains(&expires), "{expires}");
}

#[test]
fn filters_leave_only_what_they_name() {
    let running = Running::start();
    running.open_sessions(1_000..1_010);
    let count = |filter: &str| {
        let page = get(&running.socket, &format!("/v1/sessions?{filter}"));
        clients(&page.json()).len()
    };

    assert_eq!(count("server=10.2.0.11"), 5);
    assert_eq!(count("server=10.2.0.11&limit=3"), 3);
    assert_eq!(count("client=10.1.0.9&vip=10.1.0.100&protocol=tcp"), 10);
    assert_eq!(count("client=10.1.0.8"), 0);
    assert_eq!(count("protocol=udp"), 0);
}

#[test]
fn questions_that_make_no_sense_are_refused() {
    let running = Running::start();

    for (question, sentence) in [
        ("limit=0", "a limit of 0 is out of range: use 1 to 10000"),
        (
            "limit=10001",
            "a limit of 10001 is out of range: use 1 to 10000",
        ),
        (
            "cursor=x",
            "the cursor \"x\" is not one that an earlier page gave: leave it out to begin anew",
        ),
        (
            "protocol=icmp",
            "the protocol \"icmp\" is unknown: use tcp, udp or sctp",
        ),
    ] {
        let answer = get(&running.socket, &format!("/v1/sessions?{question}"));
        assert_eq!(
            (answer.status, answer.errors()),
            (400, vec![sentence.to_owned()])
        );
    }
    let answer = get(&running.socket, "/v1/sessions?colour=red");
    assert_eq!(answer.status, 400);
    assert!(
        answer.errors()[0].contains("unknown field `colour`"),
        "{answer:?}"
    );
}

#[test]
fn many_listings_at_once_do_not_mix() {
    let running = Running::start();
    running.open_sessions(1_000..1_100);

    std::thread::scope(|scope| {
        for asker in 0..8 {
            let socket = &running.socket;
            scope.spawn(move || {
                for _ in 0..5 {
                    let server = 11 + asker % 2;
                    let path = format!("/v1/sessions?server=10.2.0.{server}&limit=1000");
                    let page = get(socket, &path).json();
                    let sessions = page["sessions"].as_array().unwrap();
                    assert_eq!(sessions.len(), 50);
                    for session in sessions {
                        assert_eq!(session["server"], format!("10.2.0.{server}:80"));
                    }
                }
            });
        }
    });
}

#[test]
fn an_asker_that_goes_away_leaves_no_answer_to_the_next() {
    let (gateway, mut worker, [received, _]) = gateway();
    worker.turn(0);
    for port in 1_000..1_004 {
        let frame = tcp().from(Endpoint::new(CLIENT.addr, port)).syn().build();
        received.push(MemoryPacket::new(&frame));
    }
    worker.turn(0);
    let on = |server: [u8; 4]| SessionsQuery {
        server: Some(server.into()),
        ..SessionsQuery::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();

    // The first asker goes while the worker is busy with something else.
    let first = on([10, 2, 0, 11]);
    let gone = async { tokio::time::timeout(Duration::ZERO, gateway.sessions(&first)).await };
    assert!(runtime.block_on(gone).is_err());
    let second = on([10, 2, 0, 12]);
    let turning = async {
        loop {
            worker.turn(0);
            tokio::task::yield_now().await;
        }
    };
    let answer = runtime.block_on(async {
        tokio::select! {
            answer = gateway.sessions(&second) => answer.unwrap(),
            () = turning => unreachable!("it turns for ever"),
        }
    });

    let servers = answer.sessions.iter().map(|it| it.server.to_string());
    assert_eq!(servers.collect::<Vec<_>>(), ["10.2.0.12:80"; 2]);
}
