//! Clients that keep their server, and services that schedule each datagram.

use std::time::Duration;

use dataplane::address::Endpoint;
use dataplane::testing::{tcp, udp};

use crate::draft::{Draft, OTHER_VIP, address};

use super::Written;
use super::talk::{ACK, METHODS, Method, NAT, RST, SYN, Talk, serve, serve_tcp, serve_udp};

pub(super) fn all() -> Vec<Written> {
    let mut all = Vec::new();
    for method in METHODS {
        all.push(keeps(method));
        all.push(any_port(method));
        all.push(one_packet(method, false));
        all.push(one_packet(method, true));
        all.push(assured(method));
    }
    all.extend([
        netmask(),
        armed_again(),
        ends_with_its_session(),
        server_rests(false),
        server_rests(true),
        server_goes(),
        server_goes_with_its_sessions(),
    ]);
    all.extend([
        timeout_edited(),
        is_not_reused(),
        marked(),
        overloaded(),
        made_again(),
    ]);
    all
}

/// The conversation of client `number` from its `turn`th port.
fn talk(method: Method, number: u8, turn: u16) -> Talk {
    let talk = Talk::new(method, number);
    let client = Endpoint::new(talk.client.addr, 30_000 + 100 * u16::from(number) + turn);
    Talk { client, ..talk }
}

fn keeps(method: Method) -> Written {
    let mut draft = Draft::new(format!("persistence-{}", method.name));
    serve_tcp(&mut draft, "-s rr -p 100", method, &[1, 1, 1]);
    for turn in 0..3 {
        for number in 1..=4 {
            talk(method, number, turn).ask_tcp(&mut draft, SYN);
        }
    }
    draft
        .dump("four clients, three connections each")
        .ipvsadm("-Ln --persistent-conn");
    // SYN_RECV ends after 60 s, the templates after 100 s.
    draft.wait(80).dump("80 s");
    talk(method, 1, 10).ask_tcp(&mut draft, SYN);
    draft.wait(40).dump("120 s");
    for number in 1..=4 {
        talk(method, number, 20).ask_tcp(&mut draft, SYN);
    }
    draft.dump("new ones for all");
    Written::new(
        draft,
        "A client's new connections go to the server it had, until its template ends.",
    )
}

fn any_port(method: Method) -> Written {
    let mut draft = Draft::new(format!("persistence-any-port-{}", method.name));
    draft.rule("-A -t 10.1.0.101:0 -s rr -p 300");
    for last in [11, 12] {
        draft.rule(format!(
            "-a -t 10.1.0.101:0 -r 10.2.0.{last}:0 {}",
            method.option
        ));
    }
    for number in 1..=2 {
        for port in [80, 443, 22] {
            let talk = talk(method, number, port);
            let service = Endpoint::new(OTHER_VIP, port);
            Talk { service, ..talk }.ask_tcp(&mut draft, SYN);
        }
    }
    draft.dump("three ports each");
    Written::new(
        draft,
        "A service of all ports sends all of a client's connections to one server.",
    )
}

fn netmask() -> Written {
    let mut draft = Draft::new("persistence-netmask");
    serve_tcp(&mut draft, "-s rr -p 300 -M 255.255.255.0", NAT, &[1, 1, 1]);
    for turn in 0..2 {
        for third in 0..4 {
            for last in [1, 2] {
                let client = Endpoint::new(address([192, 168, third, last]), 4_000 + turn);
                let talk = Talk {
                    client,
                    ..Talk::new(NAT, 1)
                };
                talk.ask_tcp(&mut draft, SYN);
            }
        }
    }
    draft.dump("eight clients of four networks");
    Written::new(
        draft,
        "With a netmask all clients of a network share a template.",
    )
}

fn armed_again() -> Written {
    let mut draft = Draft::new("persistence-armed-again");
    serve_tcp(&mut draft, "-s rr -p 30", NAT, &[1, 1]);
    let first = talk(NAT, 1, 0).served_by(1);
    first.establish(&mut draft);
    draft
        .dump("established")
        .wait(40)
        .dump("its template was armed again, for 60 s");
    let second = talk(NAT, 1, 1);
    second.ask_tcp(&mut draft, SYN);
    draft.dump("a new connection gives it 60 s, not 30");
    second.ask_tcp(&mut draft, ACK);
    for talk in [first, second] {
        talk.ask_tcp(&mut draft, RST);
    }
    draft.wait(40).dump("alone").wait(40).dump("all have ended");
    Written::new(
        draft,
        "A template with sessions is armed for 60 s again and again, and keeps that time-out.",
    )
}

fn ends_with_its_session() -> Written {
    let mut draft = Draft::new("persistence-ends-with-session");
    serve_tcp(&mut draft, "-s rr -p 30", NAT, &[1, 1]);
    talk(NAT, 1, 0).ask_tcp(&mut draft, SYN);
    draft.wait(40).dump("armed again");
    // From here on the template lasts 60 s, as long as SYN_RECV does.
    talk(NAT, 1, 1).ask_tcp(&mut draft, SYN);
    draft
        .dump("another session")
        .wait(75)
        .dump("neither session nor template");
    Written::new(
        draft,
        "A template ends with its last session when both time-outs are over in one moment.",
    )
}

fn server_rests(expire: bool) -> Written {
    let kind = if expire {
        "expire-quiescent"
    } else {
        "server-rests"
    };
    let mut draft = Draft::new(format!("persistence-{kind}"));
    draft.knob("expire_quiescent_template", expire.into());
    serve_tcp(&mut draft, "-s rr -p 300", NAT, &[1, 1]);
    talk(NAT, 1, 0).ask_tcp(&mut draft, SYN);
    talk(NAT, 2, 0).ask_tcp(&mut draft, SYN);
    draft.ipvsadm("-e -t 10.1.0.100:80 -r 10.2.0.12:80 -m -w 0");
    for turn in 1..3 {
        talk(NAT, 1, turn).ask_tcp(&mut draft, SYN);
        talk(NAT, 2, turn).ask_tcp(&mut draft, SYN);
    }
    draft.tick().dump("one rests");
    Written::new(
        draft,
        "A template leads to a server of weight 0, unless expire_quiescent_template says no.",
    )
}

fn server_goes() -> Written {
    let mut draft = Draft::new("persistence-server-goes");
    serve_tcp(&mut draft, "-s rr -p 300", NAT, &[1, 1]);
    talk(NAT, 1, 0).ask_tcp(&mut draft, SYN);
    draft.ipvsadm("-d -t 10.1.0.100:80 -r 10.2.0.12:80").tick();
    talk(NAT, 1, 1).ask_tcp(&mut draft, SYN);
    draft
        .tick()
        .dump("another server")
        .ipvsadm("-a -t 10.1.0.100:80 -r 10.2.0.12:80 -m")
        .tick();
    talk(NAT, 1, 2).ask_tcp(&mut draft, SYN);
    talk(NAT, 2, 0).ask_tcp(&mut draft, SYN);
    draft.dump("the first is back");
    Written::new(
        draft,
        "A removed server's template is put aside and never leads to it again.",
    )
}

fn server_goes_with_its_sessions() -> Written {
    let mut draft = Draft::new("persistence-expire-nodest");
    draft.knob("expire_nodest_conn", 1);
    serve_tcp(&mut draft, "-s rr -p 300", NAT, &[1, 1]);
    // Of the second server: a template with two sessions, an assured one, and one without any.
    talk(NAT, 1, 0).ask_tcp(&mut draft, SYN);
    talk(NAT, 1, 1).ask_tcp(&mut draft, SYN);
    talk(NAT, 2, 0).ask_tcp(&mut draft, SYN);
    talk(NAT, 3, 0).served_by(1).establish(&mut draft);
    talk(NAT, 4, 0).ask_tcp(&mut draft, SYN);
    let over = talk(NAT, 5, 0).served_by(1);
    over.establish(&mut draft);
    over.ask_tcp(&mut draft, RST);
    draft
        .wait(20)
        .dump("before")
        .ipvsadm("-d -t 10.1.0.100:80 -r 10.2.0.12:80")
        .pause(Duration::from_millis(200))
        .dump("its sessions are gone");
    talk(NAT, 1, 2).ask_tcp(&mut draft, SYN);
    talk(NAT, 5, 1).ask_tcp(&mut draft, SYN);
    draft
        .tick()
        .dump("other servers")
        .ipvsadm("-a -t 10.1.0.100:80 -r 10.2.0.12:80 -m")
        .ipvsadm("-Ln --persistent-conn")
        .tick();
    talk(NAT, 1, 3).ask_tcp(&mut draft, SYN);
    talk(NAT, 3, 1).ask_tcp(&mut draft, SYN);
    draft.dump("the first is back");
    Written::new(
        draft,
        "With expire_nodest_conn a removed server's templates end with their last sessions.",
    )
}

fn timeout_edited() -> Written {
    let mut draft = Draft::new("persistence-edited");
    serve_tcp(&mut draft, "-s rr -p 300", NAT, &[1, 1]);
    talk(NAT, 1, 0).ask_tcp(&mut draft, SYN);
    draft
        .ipvsadm("-E -t 10.1.0.100:80 -s rr -p 50 -M 255.255.0.0")
        .tick();
    talk(NAT, 1, 1).ask_tcp(&mut draft, SYN);
    talk(NAT, 2, 0).ask_tcp(&mut draft, SYN);
    draft
        .dump("another time-out and netmask")
        .ipvsadm("-E -t 10.1.0.100:80 -s rr")
        .tick();
    talk(NAT, 1, 2).ask_tcp(&mut draft, SYN);
    talk(NAT, 2, 1).ask_tcp(&mut draft, SYN);
    draft.dump("no persistence");
    Written::new(
        draft,
        "Editing a service's persistence leaves the templates it has.",
    )
}

fn is_not_reused() -> Written {
    let mut draft = Draft::new("persistence-reuse");
    draft.knob("conn_reuse_mode", 1);
    serve_tcp(&mut draft, "-s rr -p 300", NAT, &[1, 1]);
    let talk = talk(NAT, 1, 0).served_by(1);
    talk.establish(&mut draft);
    talk.ask_tcp(&mut draft, RST);
    draft.dump("closed");
    talk.ask_tcp(&mut draft, SYN);
    draft.tick().dump("a SYN from the same port");
    Written::new(
        draft,
        "conn_reuse_mode never ends a session that belongs to a template.",
    )
}

fn assured(method: Method) -> Written {
    let mut draft = Draft::new(format!("persistence-assured-{}", method.name));
    serve_tcp(&mut draft, "-s rr -p 300", method, &[1]);
    serve_udp(&mut draft, "-s rr -p 300", method, &[1]);
    let (opened, established) = (talk(method, 1, 0), talk(method, 2, 0));
    opened.ask_tcp(&mut draft, SYN);
    established.ask_tcp(&mut draft, SYN);
    established.ask_tcp(&mut draft, ACK);
    talk(method, 3, 0).ask(&mut draft, udp());
    talk(method, 4, 0).exchange_udp(&mut draft);
    draft.dump("which templates are assured");
    Written::new(
        draft,
        "A template is assured by an established connection, or by a server's datagram.",
    )
}

fn marked() -> Written {
    let mut draft = Draft::new("persistence-marks");
    draft.mark("10.9.0.0/16", 7);
    serve(&mut draft, "-f 7", "-s rr -p 300", NAT, &[1, 1]);
    serve_tcp(&mut draft, "-s rr", NAT, &[1]);
    for (number, vip, port) in [(1, 1, 80), (1, 2, 443), (2, 1, 80), (2, 3, 25), (3, 1, 80)] {
        let talk = talk(NAT, number, port);
        let service = Endpoint::new(address([10, 9, 0, vip]), port);
        let talk = Talk { service, ..talk };
        talk.ask_tcp(&mut draft, SYN);
        talk.ask(&mut draft, udp());
    }
    talk(NAT, 1, 9).ask_tcp(&mut draft, SYN);
    draft.dump("sessions of a mark");
    Written::new(
        draft,
        "A service of a firewall mark has one template for all addresses, ports and protocols.",
    )
}

fn overloaded() -> Written {
    let mut draft = Draft::new("persistence-overloaded");
    draft.rule("-A -t 10.1.0.100:80 -s rr -p 300");
    draft.rule("-a -t 10.1.0.100:80 -r 10.2.0.11:80 -m -x 1");
    draft.rule("-a -t 10.1.0.100:80 -r 10.2.0.12:80 -m");
    for turn in 0..3 {
        for number in 1..=3 {
            talk(NAT, number, turn).ask_tcp(&mut draft, SYN);
        }
    }
    draft.dump("three clients");
    Written::new(
        draft,
        "A template leads to an overloaded server; new clients go elsewhere.",
    )
}

fn made_again() -> Written {
    let mut draft = Draft::new("persistence-made-again");
    let rules = [
        "-A -t 10.1.0.100:80 -s rr -p 300",
        "-a -t 10.1.0.100:80 -r 10.2.0.11:80 -m",
        "-a -t 10.1.0.100:80 -r 10.2.0.12:80 -m",
    ];
    for rule in rules {
        draft.rule(rule);
    }
    for number in 1..=3 {
        talk(NAT, number, 0).ask_tcp(&mut draft, SYN);
    }
    draft.wait(5).ipvsadm("-Ln --stats");
    // Nobody looks at what this one counts before the service goes.
    draft.wait(3);
    talk(NAT, 1, 1).ask_tcp(&mut draft, SYN);
    draft.ipvsadm("-D -t 10.1.0.100:80").wait(5);
    for rule in rules {
        draft.ipvsadm(rule);
    }
    draft.tick();
    for number in [3, 4, 1] {
        talk(NAT, number, 2).ask_tcp(&mut draft, SYN);
    }
    draft.dump("three more").wait(5).ipvsadm("-Ln --stats");
    Written::new(
        draft,
        "A service that is made again finds its templates, and its servers count anew.",
    )
}

fn one_packet(method: Method, persistent: bool) -> Written {
    let kind = if persistent {
        "one-packet-persistent"
    } else {
        "one-packet"
    };
    let mut draft = Draft::new(format!("{kind}-{}", method.name));
    let options = if persistent {
        "-s rr -o -p 100"
    } else {
        "-s rr -o"
    };
    serve_udp(&mut draft, options, method, &[1, 1, 1]);
    for _ in 0..4 {
        talk(method, 1, 0).ask(&mut draft, udp().payload(b"again"));
    }
    for number in 0..3 {
        talk(method, 1, 0)
            .served_by(number)
            .answer(&mut draft, udp());
    }
    talk(method, 2, 0).ask(&mut draft, udp());
    talk(method, 3, 0).ask(&mut draft, udp().ttl(1));
    talk(method, 3, 0).ask(&mut draft, udp().payload_len(1_460).dont_fragment());
    draft.dump("seven datagrams");
    talk(method, 2, 0).ask(&mut draft, tcp());
    Written::new(
        draft,
        "With one-packet scheduling each datagram is scheduled, and answers stay as they are.",
    )
}
