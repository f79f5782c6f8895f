//! What happens to a packet's bytes: TTL, MTU, checksums, options, type of service.

use dataplane::testing::{icmp_echo, sctp, tcp, udp};
use dataplane::wire::sctp::chunk;

use crate::draft::Draft;

use super::Written;
use super::talk::{ACK, METHODS, Method, NAT, SYN, TUN, Talk, serve, serve_tcp, serve_udp};

pub(super) fn all() -> Vec<Written> {
    let mut all = Vec::new();
    for method in METHODS {
        all.push(ttl(method));
        all.push(mtu(method));
        all.push(checksums(method));
        all.push(headers(method));
        all.push(sctp_bytes(method));
        all.push(statistics(method));
        all.push(cut(method));
    }
    all.push(tunnel_without_discovery());
    all.push(other_port());
    all
}

fn ttl(method: Method) -> Written {
    let mut draft = Draft::new(format!("ttl-{}", method.name));
    serve_tcp(&mut draft, "-s rr", method, &[1]);
    for (number, ttl) in (1..).zip([1, 2, 64, 255, 0]) {
        let talk = Talk::new(method, number);
        talk.ask(&mut draft, tcp().syn().ttl(ttl).tos(0x08));
        talk.answer(&mut draft, tcp().syn_ack().ttl(ttl));
    }
    draft.dump("sessions");
    Written::new(
        draft,
        "A packet whose TTL ends here makes a session, an ICMP error, and goes no further.",
    )
}

fn mtu(method: Method) -> Written {
    let mut draft = Draft::new(format!("mtu-{}", method.name));
    draft.server_mtu(1_400);
    serve_udp(&mut draft, "-s rr", method, &[1]);
    for dont_fragment in [true, false] {
        // Bytes of the whole packet, around the link's MTU and the tunnel's.
        for len in [1_380, 1_381, 1_400, 1_401, 1_500_usize] {
            let packet = udp().payload_len(len - 28);
            let packet = if dont_fragment {
                packet.dont_fragment()
            } else {
                packet
            };
            Talk::new(method, 1).ask(&mut draft, packet);
        }
    }
    draft.dump("the session");
    Written::new(
        draft,
        "Packets around the MTU of the servers' side, with and without DF.",
    )
}

fn tunnel_without_discovery() -> Written {
    let mut draft = Draft::new("mtu-pmtu-disc-0");
    draft.knob("pmtu_disc", 0).server_mtu(1_400);
    serve_udp(&mut draft, "-s rr", TUN, &[1]);
    for len in [1_380, 1_381, 1_400, 1_500_usize] {
        Talk::new(TUN, 1).ask(&mut draft, udp().payload_len(len - 28).dont_fragment());
    }
    Written::new(
        draft,
        "With pmtu_disc=0 a tunnel's packet may be fragmented, whatever the inner one says.",
    )
}

fn checksums(method: Method) -> Written {
    let mut draft = Draft::new(format!("checksums-{}", method.name));
    serve_tcp(&mut draft, "-s rr", method, &[1]);
    serve_udp(&mut draft, "-s rr", method, &[1]);
    let talk = Talk::new(method, 1);
    talk.ask(&mut draft, tcp().syn().bad_checksum());
    talk.ask(&mut draft, tcp().syn().bad_ip_checksum());
    for payload in [&b""[..], b"odd", b"even"] {
        let packet = udp().payload(payload);
        for packet in [
            packet.clone(),
            packet.clone().no_checksum(),
            packet.bad_checksum(),
        ] {
            talk.ask(&mut draft, packet.clone());
            talk.answer(&mut draft, packet);
        }
    }
    talk.ask(&mut draft, udp().cut(6));
    Written::new(
        draft,
        "Wrong checksums stay wrong, a UDP checksum of 0 is filled in by NAT.",
    )
}

fn headers(method: Method) -> Written {
    let mut draft = Draft::new(format!("headers-{}", method.name));
    serve_tcp(&mut draft, "-s rr", method, &[1]);
    let talk = Talk::new(method, 1);
    talk.ask(
        &mut draft,
        tcp().syn().mss(1_460).timestamps(1, 0).window_scale(7),
    );
    for tos in [0x00, 0x01, 0x02, 0x03, 0xb8, 0xbb] {
        talk.ask(&mut draft, tcp().data(b"hello").tos(tos));
        talk.answer(&mut draft, tcp().data(b"hello").tos(tos));
    }
    talk.ask(&mut draft, tcp().ip_options(&[1, 1, 1]));
    talk.ask(&mut draft, tcp().data(b"hello").dont_fragment());
    talk.ask(&mut draft, tcp().padded());
    Written::new(draft, "Type of service, ECN, DF, options and padding.")
}

fn sctp_bytes(method: Method) -> Written {
    let mut draft = Draft::new(format!("sctp-bytes-{}", method.name));
    draft.rule("-A --sctp-service 10.1.0.100:80 -s rr");
    let port = if method == NAT { 8_080 } else { 80 };
    draft.rule(format!(
        "-a --sctp-service 10.1.0.100:80 -r 10.2.0.11:{port} {}",
        method.option
    ));
    serve(
        &mut draft,
        "--sctp-service 10.1.0.100:81",
        "-s rr",
        method,
        &[1],
    );
    let talk = Talk::new(method, 1);
    for (talk, port) in [(talk, port), (talk.on_port(81), 81)] {
        let mut talk = talk;
        talk.server.port = port;
        talk.ask(&mut draft, sctp().init().payload(&[1; 16]));
        talk.answer(&mut draft, sctp().chunk(chunk::INIT_ACK).payload(&[2; 20]));
        talk.ask(&mut draft, sctp().payload(b"wrong").bad_checksum());
        talk.answer(&mut draft, sctp().payload(b"wrong").bad_checksum());
        talk.ask(&mut draft, sctp().payload(b"short").cut(14));
    }
    draft.dump("associations");
    Written::new(
        draft,
        "SCTP's checksum is made anew only where a port changes.",
    )
}

/// Packets that end inside their transport header, in both directions.
fn cut(method: Method) -> Written {
    let mut draft = Draft::new(format!("cut-{}", method.name));
    serve_tcp(&mut draft, "-s rr", method, &[1]);
    serve_udp(&mut draft, "-s rr -p 360", method, &[1]);
    let sctp_service = "--sctp-service 10.1.0.100:80";
    serve(&mut draft, sctp_service, "-s rr", method, &[1]);
    let talk = Talk::new(method, 1);
    talk.ask_tcp(&mut draft, SYN);
    talk.ask(&mut draft, udp().payload(b"question"));
    talk.ask_sctp(&mut draft, chunk::INIT);
    draft.wait(2);
    for len in [4, 7, 11, 12, 15, 19] {
        talk.ask(&mut draft, tcp().cut(len));
        talk.ask(&mut draft, udp().cut(len.min(7)));
        talk.ask(&mut draft, sctp().cut(len.min(15)));
        if len == 7 {
            draft.dump("as the client goes on").wait(2);
        }
    }
    for len in [4, 7, 11, 12, 15, 19] {
        for from in [talk.server, talk.service] {
            let station = talk.server.addr;
            let ends = (from, talk.client);
            draft.from_server(station, tcp().cut(len).from(ends.0).to(ends.1));
            draft.from_server(station, udp().cut(len.min(7)).from(ends.0).to(ends.1));
            draft.from_server(station, sctp().cut(len.min(15)).from(ends.0).to(ends.1));
        }
    }
    draft.wait(8);
    let too_short = tcp().cut(7).from(talk.server).to(talk.client);
    draft.from_server(talk.server.addr, too_short);
    let too_far = tcp().cut(7).from(talk.server).to(talk.client).ttl(1);
    draft.from_server(talk.server.addr, too_far);
    draft.dump("as the server goes on");
    Written::new(
        draft,
        "A packet that ends inside its transport header says nothing of the state, and counts.",
    )
}

fn statistics(method: Method) -> Written {
    let mut draft = Draft::new(format!("statistics-{}", method.name));
    serve_tcp(&mut draft, "-s rr", method, &[1, 1]);
    serve_udp(&mut draft, "-s rr", method, &[1]);
    for number in 1..=3 {
        let talk = Talk::new(method, number).served_by(number % 2);
        talk.establish(&mut draft);
        talk.ask(&mut draft, tcp().data(b"GET /"));
        talk.answer(&mut draft, tcp().data(b"200 OK"));
        talk.exchange_udp(&mut draft);
    }
    draft
        .wait(5)
        .ipvsadm("-Ln --stats")
        .ipvsadm("-Z -t 10.1.0.100:80")
        .wait(5);
    draft.ipvsadm("-Ln --stats");
    Talk::new(method, 1).served_by(1).ask_tcp(&mut draft, ACK);
    Written::new(
        draft,
        "Connections, packets and bytes of servers and services, and setting them to zero.",
    )
}

fn other_port() -> Written {
    let mut draft = Draft::new("nat-other-port");
    draft.rule("-A -t 10.1.0.100:80 -s rr");
    draft.rule("-a -t 10.1.0.100:80 -r 10.2.0.11:8080 -m");
    let mut talk = Talk::new(NAT, 1);
    talk.server.port = 8_080;
    talk.establish(&mut draft);
    talk.answer(&mut draft, tcp().data(b"200 OK"));
    talk.ask(&mut draft, icmp_echo());
    Talk::new(NAT, 1).answer_tcp(&mut draft, SYN);
    Written::new(
        draft,
        "NAT to another port, and a packet from the port nobody asked.",
    )
}
