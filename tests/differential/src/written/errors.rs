//! ICMP errors about sessions, from both sides and by every method.

use dataplane::address::Endpoint;
use dataplane::testing::{Builder, Icmp, icmp_echo, icmp_error, ip, tcp, udp};
use dataplane::wire::ethernet::HEADER_LEN;
use dataplane::wire::ipv4::protocol;

use crate::draft::{Draft, TUNNEL_SOURCE, VIP, address, server};

use super::Written;
use super::talk::{ACK, METHODS, Method, NAT, SYN, TUN, Talk, serve_tcp, serve_udp};

/// The errors that IPVS looks at, and two that it does not.
const ERRORS: [(u8, u8); 6] = [(3, 4), (3, 1), (11, 0), (4, 0), (12, 0), (5, 1)];

pub(super) fn all() -> Vec<Written> {
    let mut all = Vec::new();
    for method in METHODS {
        all.push(from_client(method));
        all.push(from_server(method));
        all.push(unrelated(method, false));
        all.push(unrelated(method, true));
        all.push(to_others(method));
        all.push(refused_answers(method));
    }
    all.extend(["dh", "sh", "mh", "lblc", "lblcr"].map(by_hash));
    all.extend([about_tunnels(), echo(), strangers(false), strangers(true)]);
    all
}

fn error(kind: u8, code: u8) -> Builder<Icmp> {
    let error = icmp_error(kind, code);
    if (kind, code) == (3, 4) {
        error.mtu(1_300)
    } else {
        error
    }
}

fn services(draft: &mut Draft, method: Method) -> [Talk; 2] {
    serve_tcp(draft, "-s rr", method, &[1]);
    serve_udp(draft, "-s rr", method, &[1]);
    let talks = [Talk::new(method, 1), Talk::new(method, 2)];
    talks[0].ask_tcp(draft, SYN);
    talks[0].ask_tcp(draft, ACK);
    talks[1].ask(draft, udp().payload_len(900));
    talks
}

/// An answer as the client got it.
fn answer(talk: &Talk, over_udp: bool) -> Vec<u8> {
    let (from, to) = (talk.service, talk.client);
    match over_udp {
        true => udp().payload_len(900).from(from).to(to).ttl(60).build(),
        false => tcp().data(b"200 OK").from(from).to(to).ttl(60).build(),
    }
}

fn from_client(method: Method) -> Written {
    let mut draft = Draft::new(format!("icmp-from-client-{}", method.name));
    let talks = services(&mut draft, method);
    let router = Endpoint::new(address([172, 16, 0, 1]), 0);
    for (talk, over_udp) in talks.iter().zip([false, true]) {
        for (kind, code) in ERRORS {
            let error = error(kind, code)
                .about(&answer(talk, over_udp))
                .to(talk.service);
            draft.from_client(error.clone().from(talk.client));
            draft.from_client(error.from(router));
        }
        let broken = error(3, 1)
            .about(&answer(talk, over_udp))
            .from(router)
            .to(talk.service);
        draft.from_client(broken.clone().bad_checksum());
        draft.from_client(broken.clone().ttl(1));
        draft.from_client(broken.clone().tos(0x10));
        draft.from_client(broken.cut(8 + 20 + 8));
    }
    draft.dump("sessions stay as they were");
    Written::new(
        draft,
        "Errors about answers reach the server that answered.",
    )
}

fn from_server(method: Method) -> Written {
    let mut draft = Draft::new(format!("icmp-from-server-{}", method.name));
    let talks = services(&mut draft, method);
    let router = Endpoint::new(server(7), 0);
    for (talk, over_udp) in talks.iter().zip([false, true]) {
        let server_end = if method == NAT {
            talk.server
        } else {
            talk.service
        };
        let sent = match over_udp {
            true => udp()
                .payload_len(900)
                .from(talk.client)
                .to(server_end)
                .ttl(60)
                .build(),
            false => tcp().from(talk.client).to(server_end).ttl(60).build(),
        };
        for (kind, code) in ERRORS {
            let error = error(kind, code).about(&sent).to(talk.client);
            draft.from_server(talk.server.addr, error.clone().from(talk.server));
            draft.from_server(router.addr, error.from(router));
        }
        let broken = error(3, 1).about(&sent).from(router).to(talk.client);
        draft.from_server(router.addr, broken.clone().bad_checksum());
        draft.from_server(router.addr, broken.ttl(1));
    }
    draft.dump("sessions stay as they were");
    Written::new(
        draft,
        "Errors about what a server was sent reach the client, in the VIP's name.",
    )
}

/// Errors about sessions that are not, with and without `schedule_icmp`.
fn unrelated(method: Method, schedules: bool) -> Written {
    let kind = if schedules {
        "schedule-icmp"
    } else {
        "icmp-unrelated"
    };
    let mut draft = Draft::new(format!("{kind}-{}", method.name));
    draft.knob("schedule_icmp", schedules.into());
    serve_tcp(&mut draft, "-s sh", method, &[1, 1]);
    serve_udp(&mut draft, "-s sh", method, &[1, 1]);
    for (number, over_udp) in [(5, false), (6, true), (7, false)] {
        let talk = Talk::new(method, number);
        let error = error(3, 4).about(&answer(&talk, over_udp));
        draft.from_client(error.from(talk.client).to(talk.service));
    }
    draft.dump("after three errors").wait(6).dump("6 s later");
    Written::new(
        draft,
        "Errors about nothing that is known: the host's, unless schedule_icmp is set.",
    )
}

/// Errors about answers that are not for the director, so that its router sees them before.
fn to_others(method: Method) -> Written {
    let mut draft = Draft::new(format!("icmp-to-others-{}", method.name));
    let talks = services(&mut draft, method);
    let router = Endpoint::new(address([172, 16, 0, 1]), 0);
    let others = [server(5), address([172, 16, 9, 9])];
    for (talk, over_udp) in talks.iter().zip([false, true]) {
        for (other, ttl) in others.iter().flat_map(|other| {
            let ttls = [64, 3, 2, 1];
            ttls.map(|ttl| (Endpoint::new(*other, 0), ttl))
        }) {
            let error = error(3, 1).about(&answer(talk, over_udp)).ttl(ttl);
            draft.from_client(error.from(router).to(other));
        }
    }
    draft.dump("counts");
    Written::new(
        draft,
        "An error about an answer that is addressed to somebody else is found on its way.",
    )
}

/// Answers that cannot go on, in the VIP's name and in the server's own.
fn refused_answers(method: Method) -> Written {
    let mut draft = Draft::new(format!("refused-answers-{}", method.name));
    draft.client_mtu(1_300);
    let talks = services(&mut draft, method);
    let [over_tcp, over_udp] = talks;
    let unknown = Talk::new(method, 9);
    for ttl in [64, 2, 1] {
        for talk in [over_tcp, over_udp, unknown] {
            for from in [talk.service, talk.server] {
                let packet = tcp().data(b"200 OK").tos(0x08).ttl(ttl);
                draft.from_server(talk.server.addr, packet.from(from).to(talk.client));
                let packet = udp().payload_len(1_273).ttl(ttl);
                let packet = packet.from(from).to(talk.client);
                draft.from_server(talk.server.addr, packet.clone());
                draft.from_server(talk.server.addr, packet.dont_fragment());
            }
        }
    }
    draft.dump("sessions");
    Written::new(
        draft,
        "Who sent an answer that cannot go on is told; if that was the VIP, its server is.",
    )
}

/// Errors that begin sessions, by a scheduler that goes by an address.
fn by_hash(scheduler: &'static str) -> Written {
    let mut draft = Draft::new(format!("schedule-icmp-{scheduler}"));
    draft.knob("schedule_icmp", 1);
    serve_tcp(&mut draft, &format!("-s {scheduler}"), NAT, &[1, 2, 1, 1]);
    for number in 1..=12 {
        let talk = Talk::new(NAT, number);
        if number % 3 == 0 {
            talk.ask_tcp(&mut draft, SYN);
        }
        let error = error(3, 1).about(&answer(&talk, false));
        draft.from_client(error.from(talk.client).to(talk.service));
    }
    draft.dump("who got what");
    Written::new(
        draft,
        "An error that begins a session is scheduled by the addresses of the packet quoted.",
    )
}

fn about_tunnels() -> Written {
    let mut draft = Draft::new("icmp-about-tunnels");
    serve_tcp(&mut draft, "-s rr", TUN, &[1]);
    let talk = Talk::new(TUN, 1);
    talk.ask_tcp(&mut draft, SYN);
    let router = Endpoint::new(address([10, 2, 0, 18]), 0);
    let director = Endpoint::new(TUNNEL_SOURCE, 0);
    for dont_fragment in [true, false] {
        let inner = tcp()
            .payload_len(1_200)
            .from(talk.client)
            .to(talk.service)
            .ttl(63);
        let inner = if dont_fragment {
            inner.dont_fragment()
        } else {
            inner
        };
        let outer = ip(protocol::IPIP).payload(&inner.build()[HEADER_LEN..]);
        let outer = outer.from(director).to(Endpoint::new(server(0), 0)).build();
        for (kind, code) in [(3, 1), (11, 0), (3, 4)] {
            let error = icmp_error(kind, code)
                .about(&outer)
                .from(router)
                .to(director);
            let error = if code == 4 { error.mtu(1_000) } else { error };
            draft.from_server(router.addr, error);
        }
    }
    talk.ask(&mut draft, tcp().payload_len(1_300).dont_fragment());
    talk.ask(&mut draft, tcp().payload_len(900).dont_fragment());
    draft.dump("the session stays");
    Written::new(
        draft,
        "Errors about tunnels' packets are told to the client; a smaller MTU is remembered.",
    )
}

fn echo() -> Written {
    let mut draft = Draft::new("icmp-echo");
    serve_tcp(&mut draft, "-s rr", NAT, &[1]);
    let talk = Talk::new(NAT, 1);
    talk.ask(&mut draft, icmp_echo().payload(b"are you there?"));
    talk.ask(
        &mut draft,
        icmp_echo().to(Endpoint::new(VIP, 0)).payload_len(1_400),
    );
    talk.ask(&mut draft, icmp_echo().echo_reply());
    Written::new(draft, "An echo request to a VIP is the host's.")
}

/// Packets from servers that belong to no session, with and without `nat_icmp_send`.
fn strangers(refuses: bool) -> Written {
    let kind = if refuses { "refused" } else { "passed" };
    let mut draft = Draft::new(format!("server-strangers-{kind}"));
    draft.knob("nat_icmp_send", refuses.into());
    serve_tcp(&mut draft, "-s rr", NAT, &[1]);
    serve_udp(&mut draft, "-s rr", NAT, &[1]);
    let (known, unknown) = (Talk::new(NAT, 1), Talk::new(NAT, 2));
    known.establish(&mut draft);
    unknown.answer_tcp(&mut draft, ACK);
    unknown.answer(&mut draft, tcp().rst());
    unknown.answer(&mut draft, udp());
    unknown.on_port(81).answer_tcp(&mut draft, ACK);
    unknown.served_by(3).answer_tcp(&mut draft, ACK);
    known.answer_tcp(&mut draft, ACK);
    Written::new(
        draft,
        "A server's packet without a session is forwarded, or refused by nat_icmp_send.",
    )
}
