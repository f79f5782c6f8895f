//! TCP and SCTP sessions: states, time-outs, what begins one and what ends it.

use dataplane::testing::{icmp_error, tcp, udp};
use dataplane::wire::sctp::chunk;
use dataplane::wire::tcp::Flags;

use crate::draft::{Draft, client, server};

use super::Written;
use super::talk::{
    ACK, DR, FIN, METHODS, Method, NAT, RST, SYN, SYN_ACK, TUN, Talk, serve, serve_tcp, serve_udp,
};

pub(super) fn all() -> Vec<Written> {
    let mut all = Vec::new();
    for method in METHODS {
        all.push(client_closes(method));
        all.push(server_closes(method));
        all.push(transitions(method, false));
        all.push(transitions(method, true));
        all.push(tcp_timeouts(method));
        all.push(udp_timeouts(method));
        all.push(sctp_transitions(method));
    }
    for mode in 0..4 {
        all.push(reuse(NAT, mode));
        all.push(reuse(DR, mode));
    }
    all.extend([reuse_counts(NAT), reuse_counts(DR)]);
    all.extend([
        first_packets(false),
        first_packets(true),
        sctp_first_packets(),
    ]);
    all.push(set_timeouts());
    all.push(odd_source_ports());
    all.extend([
        replies_to_port_0(NAT.name, [NAT; 2]),
        replies_to_port_0(DR.name, [DR; 2]),
        replies_to_port_0("both", [DR, NAT]),
    ]);
    all
}

fn client_closes(method: Method) -> Written {
    let mut draft = Draft::new(format!("tcp-client-closes-{}", method.name));
    serve_tcp(&mut draft, "-s rr", method, &[1]);
    let talk = Talk::new(method, 1);
    talk.ask_tcp(&mut draft, SYN);
    draft.dump("half open");
    talk.answer_tcp(&mut draft, SYN_ACK);
    talk.ask_tcp(&mut draft, ACK);
    draft.dump("established");
    talk.ask(&mut draft, tcp().data(b"GET /"));
    talk.answer(&mut draft, tcp().data(b"200 OK"));
    talk.ask_tcp(&mut draft, FIN);
    draft.dump("the client's FIN");
    talk.answer_tcp(&mut draft, FIN);
    draft.dump("the server's FIN");
    talk.ask_tcp(&mut draft, ACK);
    draft
        .dump("the last ACK")
        .wait(100)
        .dump("before the time-out");
    draft.wait(45).dump("behind it");
    Written::new(
        draft,
        "A TCP connection that its client closes first; every state is listed.",
    )
}

fn server_closes(method: Method) -> Written {
    let mut draft = Draft::new(format!("tcp-server-closes-{}", method.name));
    serve_tcp(&mut draft, "-s rr", method, &[1]);
    let talk = Talk::new(method, 1);
    talk.establish(&mut draft);
    talk.answer_tcp(&mut draft, FIN);
    draft.dump("the server's FIN");
    talk.ask_tcp(&mut draft, FIN);
    draft.dump("the client's FIN");
    talk.answer_tcp(&mut draft, ACK);
    talk.answer_tcp(&mut draft, RST);
    draft
        .dump("a late RST")
        .wait(140)
        .dump("behind the time-out");
    talk.ask_tcp(&mut draft, ACK);
    Written::new(
        draft,
        "A TCP connection that its server closes first, and a segment behind its end.",
    )
}

/// Who sends a segment.
#[derive(Clone, Copy)]
enum Side {
    Client,
    Server,
}

/// What is said one after the other, and by whom.
type Path<E> = &'static [(Side, E)];

const EVENTS: [Flags; 6] = [SYN, FIN, ACK, RST, SYN_ACK, Flags(0)];

/// Segments that lead from nothing to each state that can be reached.
const PATHS: [Path<Flags>; 7] = [
    &[(Side::Client, SYN)],
    &[(Side::Client, SYN), (Side::Client, ACK)],
    &[
        (Side::Client, SYN),
        (Side::Client, ACK),
        (Side::Server, FIN),
    ],
    &[
        (Side::Client, SYN),
        (Side::Client, ACK),
        (Side::Client, FIN),
    ],
    &[
        (Side::Client, SYN),
        (Side::Client, ACK),
        (Side::Client, FIN),
        (Side::Server, FIN),
    ],
    &[
        (Side::Client, SYN),
        (Side::Client, ACK),
        (Side::Client, RST),
    ],
    &[
        (Side::Client, SYN),
        (Side::Client, ACK),
        (Side::Server, FIN),
        (Side::Server, SYN),
    ],
];

fn say_tcp(talk: &Talk, draft: &mut Draft, (side, flags): (Side, Flags)) {
    match side {
        Side::Client => talk.ask_tcp(draft, flags),
        Side::Server => talk.answer_tcp(draft, flags),
    }
}

fn say_sctp(talk: &Talk, draft: &mut Draft, (side, chunk): (Side, u8)) {
    match side {
        Side::Client => talk.ask_sctp(draft, chunk),
        Side::Server => talk.answer_sctp(draft, chunk),
    }
}

/// A session for each path, event and side: the path, and then the event from that side.
fn after_each<E: Copy>(
    draft: &mut Draft,
    method: Method,
    paths: &[Path<E>],
    events: &[E],
    say: fn(&Talk, &mut Draft, (Side, E)),
    label: &str,
) {
    let mut number = 0;
    for path in paths {
        for event in events {
            for side in [Side::Client, Side::Server] {
                number += 1;
                let talk = Talk::new(method, number);
                for step in path.iter().chain([&(side, *event)]) {
                    say(&talk, draft, *step);
                }
            }
        }
        draft.dump(label);
    }
}

/// A session in each state that can be reached.
fn reach_all_states(draft: &mut Draft, method: Method) {
    for (number, path) in (1..).zip(PATHS) {
        let talk = Talk::new(method, number);
        for step in path {
            say_tcp(&talk, draft, *step);
        }
    }
}

fn transitions(method: Method, secure: bool) -> Written {
    let kind = if secure {
        "secure-transitions"
    } else {
        "transitions"
    };
    let mut draft = Draft::new(format!("tcp-{kind}-{}", method.name));
    // A session that is closed takes another SYN as its own.
    draft.knob("conn_reuse_mode", 0);
    if secure {
        draft.knob("secure_tcp", 3);
    }
    serve_tcp(&mut draft, "-s rr", method, &[1]);
    after_each(
        &mut draft,
        method,
        &PATHS,
        &EVENTS,
        say_tcp,
        "after each event",
    );
    let about = match secure {
        true => "Every TCP state with every event from both sides, by the table of secure_tcp.",
        false => "Every TCP state with every event from both sides.",
    };
    Written::new(draft, about)
}

fn tcp_timeouts(method: Method) -> Written {
    let mut draft = Draft::new(format!("tcp-timeouts-{}", method.name));
    serve_tcp(&mut draft, "-s rr", method, &[1]);
    reach_all_states(&mut draft, method);
    draft.dump("all states");
    // 10 s, 60 s, 120 s and 900 s, each before it and behind an eighth more.
    for (seconds, label) in [
        (8, "8 s"),
        (5, "13 s"),
        (45, "58 s"),
        (12, "70 s"),
        (47, "117 s"),
    ] {
        draft.wait(seconds).dump(label);
    }
    for (seconds, label) in [(20, "137 s"), (760, "897 s"), (120, "1017 s")] {
        draft.wait(seconds).dump(label);
    }
    Written::new(
        draft,
        "Every TCP state's time-out: before it, and when the latest timer has fired.",
    )
}

fn udp_timeouts(method: Method) -> Written {
    let mut draft = Draft::new(format!("udp-timeouts-{}", method.name));
    serve_udp(&mut draft, "-s rr", method, &[1]);
    let (first, second) = (Talk::new(method, 1), Talk::new(method, 2));
    first.exchange_udp(&mut draft);
    second.exchange_udp(&mut draft);
    draft.wait(200);
    first.exchange_udp(&mut draft);
    draft
        .dump("200 s")
        .wait(140)
        .dump("340 s")
        .wait(210)
        .dump("550 s");
    Written::new(
        draft,
        "A datagram in either direction gives a UDP session 300 s more.",
    )
}

fn first_packets(sloppy: bool) -> Written {
    let name = if sloppy {
        "tcp-first-packets-sloppy"
    } else {
        "tcp-first-packets"
    };
    let mut draft = Draft::new(name);
    draft.knob("sloppy_tcp", sloppy.into());
    serve_tcp(&mut draft, "-s rr", NAT, &[1, 1]);
    let all = [
        SYN,
        SYN_ACK,
        ACK,
        RST,
        FIN,
        Flags(0),
        Flags::FIN,
        SYN.with(RST),
        SYN.with(FIN),
    ];
    for (number, flags) in (1..).zip(all) {
        Talk::new(NAT, number).ask_tcp(&mut draft, flags);
    }
    Talk::new(NAT, 20).ask(&mut draft, tcp().syn().cut(12));
    Talk::new(NAT, 21).ask(&mut draft, tcp().syn().bad_checksum());
    draft.dump("sessions");
    Written::new(
        draft,
        "Which TCP segments begin a session; others are the host's, short ones nobody's.",
    )
}

/// SYNs that reuse a connection's ports in the states where that may begin a new one.
fn reuse(method: Method, mode: u32) -> Written {
    let mut draft = Draft::new(format!("reuse-mode-{mode}-{}", method.name));
    draft.knob("conn_reuse_mode", mode);
    serve_tcp(&mut draft, "-s rr", method, &[1]);
    reach_all_states(&mut draft, method);
    draft.dump("first sessions");
    // From now on new sessions go to another server.
    draft.ipvsadm("-a -t 10.1.0.100:80 -r 10.2.0.12:80 -g");
    draft.ipvsadm(format!(
        "-e -t 10.1.0.100:80 -r 10.2.0.11:80 {} -w 0",
        method.option
    ));
    for number in (1..).take(PATHS.len()) {
        Talk::new(method, number).ask_tcp(&mut draft, SYN);
        draft.tick();
    }
    draft.dump("after a SYN each");
    Written::new(
        draft,
        "Which states a SYN from the same port begins a new session in, by conn_reuse_mode.",
    )
}

/// A SYN that reuses a connection's ports while that still counts at its server.
fn reuse_counts(method: Method) -> Written {
    let mut draft = Draft::new(format!("reuse-counts-{}", method.name));
    serve_tcp(&mut draft, "-s lc", method, &[1, 1]);
    draft.rule("-A -t 10.1.0.100:81 -s lc");
    draft.rule(format!(
        "-a -t 10.1.0.100:81 -r 10.2.0.11:81 {} -x 1",
        method.option
    ));
    let talk = Talk::new(method, 1);
    for talk in [talk, talk.on_port(81)] {
        for flags in [SYN, ACK, RST] {
            talk.ask_tcp(&mut draft, flags);
        }
        for _ in 0..2 {
            talk.ask_tcp(&mut draft, SYN);
            draft.tick().dump("after a SYN");
        }
    }
    Written::new(
        draft,
        "A session whose ports are reused still counts when the next one is scheduled.",
    )
}

fn set_timeouts() -> Written {
    let mut draft = Draft::new("set-timeouts");
    serve_tcp(&mut draft, "-s rr", NAT, &[1]);
    serve_udp(&mut draft, "-s rr", NAT, &[1]);
    let (early, late, udp) = (Talk::new(NAT, 1), Talk::new(NAT, 2), Talk::new(NAT, 3));
    early.establish(&mut draft);
    udp.exchange_udp(&mut draft);
    draft.ipvsadm("--set 100 20 50").ipvsadm("-L --timeout");
    late.establish(&mut draft);
    late.answer_tcp(&mut draft, FIN);
    draft
        .dump("set")
        .ipvsadm("--set 0 0 0")
        .ipvsadm("-L --timeout");
    udp.exchange_udp(&mut draft);
    draft
        .dump("after another datagram")
        .wait(40)
        .dump("40 s")
        .wait(30)
        .dump("70 s");
    Written::new(
        draft,
        "`--set` acts on the next packet of each session, and 0 leaves a time-out as it is.",
    )
}

fn odd_source_ports() -> Written {
    let mut draft = Draft::new("odd-source-ports");
    serve_tcp(&mut draft, "-s rr", NAT, &[1, 1]);
    for port in [0, 0, 20, 1] {
        let talk = Talk {
            client: client(1, port),
            ..Talk::new(NAT, 1)
        };
        talk.ask_tcp(&mut draft, SYN);
    }
    draft.dump("sessions");
    Written::new(
        draft,
        "A packet from port 0 begins a session each time, one from port 20 none.",
    )
}

fn replies_to_port_0(name: &str, methods: [Method; 2]) -> Written {
    let mut draft = Draft::new(format!("replies-to-port-0-{name}"));
    serve_udp(&mut draft, "-s rr", methods[0], &[1]);
    let (server, option) = (server(1), methods[1].option);
    draft.rule(format!("-a -u 10.1.0.100:80 -r {server}:80 {option} -w 1"));
    let talks = [0, 1].map(|number| {
        let talk = Talk {
            client: client(1, 0),
            ..Talk::new(methods[usize::from(number)], 1)
        };
        talk.served_by(number)
    });
    let [talk, _] = talks;
    for _ in 0..3 {
        talk.ask(&mut draft, udp());
        for talk in talks {
            talk.answer_by_way(&mut draft, udp());
            talk.answer_by_way(&mut draft, udp().ttl(1));
        }
    }
    let question = udp().from(talk.client).to(talk.service).build();
    let from_behind = icmp_error(3, 1).about(&question).from(talk.server);
    draft.from_server(talk.server.addr, from_behind.to(talk.client));
    let answer = udp().from(talk.service).to(talk.client).build();
    let error = icmp_error(3, 3).about(&answer);
    draft.from_client(error.from(talk.client).to(talk.service));
    draft.dump("sessions").wait(5);
    Written::new(
        draft,
        "Of a client's sessions from port 0, a reply belongs to the one begun last, an error to none.",
    )
}

/// Chunks that lead from nothing to states of an association.
const SCTP_PATHS: [Path<u8>; 6] = [
    &[(Side::Client, chunk::INIT)],
    &[(Side::Client, chunk::INIT), (Side::Server, chunk::INIT_ACK)],
    &[
        (Side::Client, chunk::INIT),
        (Side::Server, chunk::INIT_ACK),
        (Side::Client, chunk::COOKIE_ECHO),
    ],
    &[
        (Side::Client, chunk::INIT),
        (Side::Client, chunk::COOKIE_ECHO),
        (Side::Server, chunk::COOKIE_ACK),
    ],
    &[
        (Side::Client, chunk::INIT),
        (Side::Server, chunk::COOKIE_ACK),
        (Side::Client, chunk::SHUTDOWN),
    ],
    &[(Side::Client, chunk::INIT), (Side::Client, chunk::ABORT)],
];

const CHUNKS: [u8; 10] = [
    chunk::DATA,
    chunk::INIT,
    chunk::INIT_ACK,
    chunk::COOKIE_ECHO,
    chunk::COOKIE_ACK,
    chunk::SHUTDOWN,
    chunk::SHUTDOWN_ACK,
    chunk::SHUTDOWN_COMPLETE,
    chunk::ERROR,
    chunk::ABORT,
];

fn sctp_transitions(method: Method) -> Written {
    let mut draft = Draft::new(format!("sctp-transitions-{}", method.name));
    draft.knob("conn_reuse_mode", 0);
    serve(
        &mut draft,
        "--sctp-service 10.1.0.100:80",
        "-s rr",
        method,
        &[1],
    );
    after_each(
        &mut draft,
        method,
        &SCTP_PATHS,
        &CHUNKS,
        say_sctp,
        "after each chunk",
    );
    Written::new(draft, "SCTP states with every chunk from both sides.")
}

fn sctp_first_packets() -> Written {
    let mut draft = Draft::new("sctp-first-packets");
    serve(
        &mut draft,
        "--sctp-service 10.1.0.100:80",
        "-s rr",
        TUN,
        &[1, 1],
    );
    for (number, chunk) in (1..).zip(CHUNKS) {
        Talk::new(TUN, number).ask_sctp(&mut draft, chunk);
    }
    draft.dump("strict").turn("sloppy_sctp", 1);
    for (number, chunk) in (21..).zip(CHUNKS) {
        Talk::new(TUN, number).ask_sctp(&mut draft, chunk);
    }
    draft.dump("sloppy");
    Written::new(draft, "Which SCTP chunks begin a session.")
}
