//! Variables of IPVS, and services of firewall marks.

use dataplane::address::Endpoint;
use dataplane::testing::{tcp, udp};

use crate::draft::{Draft, OTHER_VIP, VIP, address};

use super::Written;
use super::talk::{ACK, METHODS, Method, NAT, RST, SYN, Talk, serve, serve_tcp, serve_udp};

pub(super) fn all() -> Vec<Written> {
    let mut all: Vec<Written> = METHODS.iter().map(|method| marks(*method)).collect();
    all.extend([
        drop_packet(),
        drop_entry(),
        drop_entry_and_templates(),
        values(),
        unserved(),
    ]);
    all
}

fn marks(method: Method) -> Written {
    let mut draft = Draft::new(format!("marks-{}", method.name));
    draft.mark("10.9.0.0/16", 7);
    serve(&mut draft, "-f 7", "-s rr", method, &[1, 1]);
    serve(&mut draft, "-t 10.9.0.1:80", "-s rr", method, &[1, 1, 1]);
    let mut number = 0;
    for last in 1..=2 {
        for port in [80, 443] {
            number += 1;
            let service = Endpoint::new(address([10, 9, 0, last]), port);
            let talk = Talk {
                service,
                ..Talk::new(method, number)
            };
            talk.ask_tcp(&mut draft, SYN);
            talk.ask_tcp(&mut draft, ACK);
            talk.ask(&mut draft, udp());
        }
    }
    draft.dump("sessions of a mark");
    Written::new(
        draft,
        "A firewall mark's service takes any protocol and port, before services of addresses.",
    )
}

fn drop_packet() -> Written {
    let mut draft = Draft::new("drop-packet");
    // The kernel works out the rate when drop_packet is set, and every second.
    draft.knob("am_droprate", 3).knob("drop_packet", 3);
    serve_tcp(&mut draft, "-s rr", NAT, &[1, 1]);
    for number in 1..=10 {
        Talk::new(NAT, number).ask_tcp(&mut draft, SYN);
    }
    draft
        .dump("some were dropped")
        .turn("am_droprate", 2)
        .wait(2);
    for number in 11..=18 {
        Talk::new(NAT, number).ask_tcp(&mut draft, SYN);
    }
    draft.turn("drop_packet", 0);
    for number in 1..=18 {
        Talk::new(NAT, number).ask_tcp(&mut draft, SYN);
    }
    draft.dump("none are dropped any more");
    Written::new(
        draft,
        "drop_packet drops the first packet without a session and every so many after it.",
    )
}

fn drop_entry() -> Written {
    let mut draft = Draft::new("drop-entry");
    serve_tcp(&mut draft, "-s rr", NAT, &[1, 1]);
    for number in 1..=200 {
        Talk::new(NAT, number).ask_tcp(&mut draft, SYN);
    }
    draft.turn("drop_entry", 3).wait(20);
    Written::new(
        draft,
        "drop_entry ends half-open sessions at random, so it is compared by distribution.",
    )
}

fn drop_entry_and_templates() -> Written {
    let mut draft = Draft::new("drop-entry-templates");
    serve_tcp(&mut draft, "-s rr -p 7200", NAT, &[1, 1]);
    for number in 1..=40 {
        let talk = Talk::new(NAT, number).served_by(number % 2);
        match number {
            // Half open: these end by force, and their templates with them.
            1..=15 => talk.ask_tcp(&mut draft, SYN),
            // Over before that: their templates are alone, and never assured.
            16..=30 => {
                talk.ask_tcp(&mut draft, SYN);
                talk.answer_tcp(&mut draft, RST);
            }
            // Assured ones stay.
            _ => {
                talk.establish(&mut draft);
                talk.ask_tcp(&mut draft, RST);
            }
        }
    }
    // Every entry is drawn in so long a time, but one in 10,000.
    draft.wait(30).turn("drop_entry", 3).wait(300);
    Written::new(
        draft,
        "drop_entry ends templates that nothing assured, when they are alone or with their session.",
    )
}

fn values() -> Written {
    let mut draft = Draft::new("knob-values");
    serve_tcp(&mut draft, "-s rr", NAT, &[1]);
    for (knob, value) in [
        ("conn_reuse_mode", 3),
        ("drop_entry", 0),
        ("secure_tcp", 3),
        ("secure_tcp", 4),
        ("sync_version", 1),
        ("expire_nodest_conn", 1),
    ] {
        draft.turn(knob, value);
    }
    Talk::new(NAT, 1).establish(&mut draft);
    draft.dump("a session by these");
    Written::new(
        draft,
        "Variables that are set while IPVS runs; values out of range are refused.",
    )
}

fn unserved() -> Written {
    let mut draft = Draft::new("unserved");
    serve_udp(&mut draft, "-s rr", NAT, &[1]);
    let client = Talk::new(NAT, 1).client;
    for service in [
        Endpoint::new(VIP, 80),
        Endpoint::new(VIP, 81),
        Endpoint::new(OTHER_VIP, 80),
    ] {
        draft.from_client(tcp().syn().from(client).to(service));
        draft.from_client(tcp().from(client).to(service));
        draft.from_client(tcp().rst().from(client).to(service));
    }
    let elsewhere = Endpoint::new(address([10, 2, 0, 12]), 7);
    draft.from_client(udp().from(client).to(elsewhere));
    draft.from_client(udp().from(client).to(elsewhere).ttl(1));
    draft.from_client(udp().from(client).to(Endpoint::new(VIP, 81)));
    Written::new(
        draft,
        "What no service takes is the host's: RSTs, ICMP errors, forwarding.",
    )
}
