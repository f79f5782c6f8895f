//! FULLNAT: both ends are rewritten, so replies come to a local address of the gateway.

use dataplane::address::{Endpoint, Protocol};
use dataplane::io::memory::MemoryPacket;
use dataplane::service::Method;
use dataplane::testing::*;

use crate::common::*;

#[test]
fn every_transport_is_rewritten_there_and_back() {
    for talk in TALKS {
        let mut gateway = gateway(talk.protocol, Method::Fullnat);
        let arriving = hop(IN, (CLIENT, VIP), 64);
        let to_server = hop(TO_SERVER, (LIP, RIP_1), 63);
        let from_server = hop(FROM_SERVER, (RIP_1, LIP), 64);
        let leaving = hop(OUT, (VIP, CLIENT), 63);

        let question = gateway.forward(&talk.packet(Step::Open, &arriving));
        assert_eq!(question, [talk.packet(Step::Open, &to_server)]);
        let moved = gateway.moved();
        assert_eq!(moved, [("received", 1), ("transmitted", 1), ("created", 1)]);

        let answer = gateway.forward_from(1, &talk.packet(Step::Answer, &from_server));
        assert_eq!(answer, [talk.packet(Step::Answer, &leaving)]);
        let moved = gateway.moved();
        assert_eq!(moved, [("received", 1), ("transmitted", 1), ("hits", 1)]);

        let more = gateway.forward(&talk.packet(Step::More, &arriving));
        assert_eq!(more, [talk.packet(Step::More, &to_server)]);
        assert_eq!(gateway.lent_ports(LIP.addr), Some(1));
    }
}

#[test]
fn ports_are_mapped_there_and_back() {
    let server = endpoint([10, 2, 0, 11], 8_080);
    for talk in TALKS {
        let service = service(talk.protocol, VIP).fullnat(server);
        let mut gateway = serving(Setup::two_arm(), &service);

        let open = talk.packet(Step::Open, &hop(IN, (CLIENT, VIP), 64));
        let question = gateway.forward(&open);
        let reply = talk.packet(Step::Answer, &hop(FROM_SERVER, (server, LIP), 64));
        let answer = gateway.forward_from(1, &reply);

        let to_server = hop(TO_SERVER, (LIP, server), 63);
        let leaving = hop(OUT, (VIP, CLIENT), 63);
        assert_eq!(question, [talk.packet(Step::Open, &to_server)]);
        assert_eq!(answer, [talk.packet(Step::Answer, &leaving)]);
    }
}

#[test]
fn clients_get_ports_of_their_own_and_addresses_in_turn() {
    let other = endpoint([10, 2, 0, 201], 30_000);
    let service = service(Protocol::Udp, VIP)
        .local(LIP.addr, 20_000..=20_063)
        .local(other.addr, 30_000..=30_063)
        .fullnat(RIP_1);
    let mut gateway = serving(Setup::two_arm(), &service);

    let sent: Vec<_> = (1..=4_u16)
        .map(|n| gateway.forward(&udp().from(client(50_000 + n)).build()))
        .collect();

    let local = |end: Endpoint<_>, port| Endpoint::new(end.addr, port);
    let expected = [
        local(LIP, 20_000),
        local(other, 30_000),
        local(LIP, 20_001),
        local(other, 30_001),
    ];
    for (sent, local) in sent.iter().zip(expected) {
        let leaving = on(udp(), &hop(TO_SERVER, (local, RIP_1), 63));
        assert_eq!(*sent, [leaving.build()]);
    }
}

#[test]
fn packets_of_new_flows_in_one_burst_meet_the_session_of_the_first_of_each() {
    // Given one burst in which two flows begin, the second packet of each next to its first or
    // not, and a third flow at the end.
    let mut gateway = gateway(Protocol::Udp, Method::Fullnat);
    let ports = [50_001, 50_001, 50_002, 50_003, 50_002];
    for port in ports {
        let frame = udp().from(client(port)).build();
        gateway.put(0, 0, MemoryPacket::new(&frame));
    }

    gateway.settle();

    // Then each flow has one session and one local port.
    let sent = gateway.sent(1);
    let from = |port| {
        on(
            udp(),
            &hop(TO_SERVER, (Endpoint::new(LIP.addr, port), RIP_1), 63),
        )
        .build()
    };
    let first = LIP.port;
    let expected = [first, first, first + 1, first + 2, first + 1].map(from);
    let sorted = |mut frames: Vec<Vec<u8>>| {
        frames.sort_unstable();
        frames
    };
    assert_eq!(sent[..2], expected[..2]);
    assert_eq!(sorted(sent), sorted(expected.to_vec()));
    assert_eq!(gateway.lent_ports(LIP.addr), Some(3));
    let moved = gateway.moved();
    let created = [
        ("received", 5),
        ("transmitted", 5),
        ("hits", 2),
        ("created", 3),
    ];
    assert_eq!(moved, created);
}

#[test]
fn a_udp_packet_without_checksum_gets_one_there_and_back() {
    let mut gateway = gateway(Protocol::Udp, Method::Fullnat);

    let question = gateway.forward(&udp().no_checksum().payload(b"question").build());
    let reply = on(
        udp().no_checksum().payload(b"answer"),
        &hop(FROM_SERVER, (RIP_1, LIP), 64),
    );
    let answer = gateway.forward_from(1, &reply.build());

    let to_server = hop(TO_SERVER, (LIP, RIP_1), 63);
    assert_eq!(
        question,
        [on(udp().payload(b"question"), &to_server).build()]
    );
    let leaving = hop(OUT, (VIP, CLIENT), 63);
    assert_eq!(answer, [on(udp().payload(b"answer"), &leaving).build()]);
}

#[test]
fn ip_options_are_kept_and_padding_is_not() {
    let mut gateway = gateway(Protocol::Tcp, Method::Fullnat);
    let syn = tcp().syn().ip_options(&[148, 4, 0, 0]);

    let sent = gateway.forward(&syn.clone().padded().build());

    assert_eq!(sent, [on(syn, &hop(TO_SERVER, (LIP, RIP_1), 63)).build()]);
}

#[test]
fn with_one_arm_both_directions_pass_the_same_ethdev() {
    let service = service(Protocol::Tcp, VIP).fullnat(RIP_1);
    let mut gateway = serving(Setup::one_arm(), &service);

    gateway.receive(0, &tcp().syn().build());
    let to_server = hop((GATEWAY_MAC, RIP_1_MAC), (LIP, RIP_1), 63);
    assert_eq!(gateway.sent(0), [on(tcp().syn(), &to_server).build()]);

    let from_server = hop((RIP_1_MAC, GATEWAY_MAC), (RIP_1, LIP), 64);
    gateway.receive(0, &on(tcp().syn_ack(), &from_server).build());
    let leaving = hop(OUT, (VIP, CLIENT), 63);
    assert_eq!(gateway.sent(0), [on(tcp().syn_ack(), &leaving).build()]);
}
