//! IP fragments: later ones follow their first, and what is too large becomes some. Those that
//! come too early or too many are in `fragment_order.rs`.

use dataplane::address::{Endpoint, Protocol};
use dataplane::drop_reason::DropReason;
use dataplane::io::memory::MemoryPacket;
use dataplane::service::{Method, Unserved};
use dataplane::testing::*;

use crate::common::*;

/// A datagram that takes three frames.
pub(crate) fn datagram() -> Builder<Udp> {
    udp().id(77).payload_len(3_000)
}

/// Lets all frames arrive in one burst and gives what is sent on the other side.
pub(crate) fn burst(gateway: &mut TestGateway, ethdev: u16, frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    for frame in frames {
        gateway.put(0, ethdev, MemoryPacket::new(frame));
    }
    gateway.settle();
    gateway.sent(1 - ethdev)
}

#[test]
fn fragments_in_one_burst_follow_their_first_there_and_back() {
    for (method, to_server, from_server) in [
        (Method::Dr, (CLIENT, VIP), None),
        (Method::Nat, (CLIENT, RIP_1), Some((RIP_1, CLIENT))),
        (Method::Fullnat, (LIP, RIP_1), Some((RIP_1, LIP))),
    ] {
        let mut gateway = gateway(Protocol::Udp, method);

        let sent = burst(&mut gateway, 0, &datagram().fragments(1_500));

        let expected = on(datagram(), &hop(TO_SERVER, to_server, 63));
        assert_eq!(sent, expected.fragments(1_500), "{method}");
        let Some(ends) = from_server else { continue };

        let reply = on(datagram().id(5), &hop(FROM_SERVER, ends, 64));
        let sent = burst(&mut gateway, 1, &reply.fragments(1_500));

        let expected = on(datagram().id(5), &hop(OUT, (VIP, CLIENT), 63));
        assert_eq!(sent, expected.fragments(1_500), "{method}");
    }
}

#[test]
fn each_fragment_travels_in_a_tunnel_of_its_own() {
    let mut gateway = gateway(Protocol::Udp, Method::Tun);
    let ends = (Endpoint::new(DIP_SERVER_SIDE, 0), RIP_1);

    let sent = burst(&mut gateway, 0, &datagram().fragments(1_000));

    let inner = datagram().ttl(63).fragments(1_000);
    assert_eq!(inner.len(), 4);
    let outer = (0..).zip(inner).map(|(number, inner)| {
        let outer = ip(4).id(number).payload(&inner[14..]);
        on(outer, &hop(TO_SERVER, ends, 63)).build()
    });
    assert_eq!(sent, outer.collect::<Vec<_>>());
}

#[test]
fn a_datagram_counts_as_one_packet_with_all_its_bytes() {
    for (method, server_sees) in [(Method::Nat, CLIENT), (Method::Fullnat, LIP)] {
        let mut gateway = gateway(Protocol::Udp, method);
        let _ = burst(&mut gateway, 0, &datagram().fragments(1_500));
        let reply = on(datagram(), &hop(FROM_SERVER, (RIP_1, server_sees), 64));
        let _ = burst(&mut gateway, 1, &reply.fragments(600));

        let expected = [
            ("received", 9),
            ("transmitted", 9),
            ("hits", 8),
            ("created", 1),
        ];
        assert_eq!(gateway.moved(), expected);
        // Put together it has one IP header, one UDP header and the payload.
        let whole = (1, 20 + 8 + 3_000);
        let traffic = gateway.traffic(RIP_1);
        assert_eq!((traffic.in_packets, traffic.in_bytes), whole);
        assert_eq!((traffic.out_packets, traffic.out_bytes), whole);
        let session = gateway.session();
        assert_eq!((session.in_packets, session.in_bytes), whole);
        assert_eq!((session.out_packets, session.out_bytes), whole);
    }
}

#[test]
fn fragments_of_what_linux_or_nobody_gets_follow_their_first_too() {
    // Given a VIP where nothing serves port 81.
    let unserved = datagram().to(Endpoint::new(VIP.addr, 81)).fragments(1_500);
    for (policy, punts) in [(Unserved::Linux, 3), (Unserved::Drop, 0)] {
        let service = service(Protocol::Udp, VIP).nat(RIP_1).unserved(policy);
        let mut gateway = serving(Setup::two_arm(), &service);

        let [first, second, last] = &unserved[..] else {
            unreachable!("three fragments");
        };
        let frames = [last, first, second].map(Clone::clone);
        assert!(burst(&mut gateway, 0, &frames).is_empty());

        // Then Linux gets all of a datagram, and in order, or none.
        let punted = gateway.punted(CLIENT_SIDE);
        assert_eq!(punted.len(), punts);
        let in_order = [first, last, second].map(Clone::clone);
        assert_eq!(punted, in_order[..punts]);
        let lost = gateway.drops(DropReason::FragmentWithoutFirst);
        assert_eq!(lost, if punts == 0 { 2 } else { 0 });
    }
}

#[test]
fn fragments_of_transit_never_wait() {
    let mut gateway = gateway(Protocol::Udp, Method::Nat);
    let elsewhere = endpoint([192, 0, 2, 1], 9);
    let mut frames = datagram().to(elsewhere).fragments(1_500);
    frames.rotate_left(1);

    assert!(burst(&mut gateway, 0, &frames).is_empty());

    assert_eq!(gateway.punted(CLIENT_SIDE), frames);
}

#[test]
fn a_fragment_of_a_reply_is_taken_only_where_its_server_is() {
    for method in [Method::Nat, Method::Fullnat] {
        // Given a reply of which one fragment is late.
        let mut gateway = gateway(Protocol::Udp, method);
        gateway.receive(0, &udp().build());
        let local = if method == Method::Nat { CLIENT } else { LIP };
        let reply = on(datagram(), &hop(FROM_SERVER, (RIP_1, local), 64)).fragments(1_500);
        gateway.receive(1, &reply[0]);
        gateway.receive(1, &reply[2]);
        let _ = (gateway.sent(0), gateway.moved());

        // When somebody on the clients' side sends it in the server's name.
        let forged = on(datagram(), &hop(IN, (RIP_1, local), 64)).fragments(1_500);
        gateway.receive(0, &forged[1]);

        // Then it goes nowhere.
        let expected = on(datagram(), &hop(OUT, (VIP, CLIENT), 63)).fragments(1_500);
        let [first, _, last] = &expected[..] else {
            unreachable!("three fragments");
        };
        assert_eq!(gateway.sent(0), [first.clone(), last.clone()], "{method}");
        assert_eq!(gateway.drops(DropReason::ReplyOnWrongPort), 1, "{method}");
    }
}

#[test]
fn fragments_go_to_a_removed_server_no_more_than_packets() {
    let mut gateway = gateway(Protocol::Udp, Method::Nat);
    gateway.receive(0, &udp().build());
    gateway.serve(&[service(Protocol::Udp, VIP).nat(RIP_2)]);
    let _ = (gateway.sent(1), gateway.moved());

    assert!(burst(&mut gateway, 0, &datagram().fragments(1_500)).is_empty());

    let expected = [
        ("received", 3),
        ("fragment_without_first", 2),
        ("server_removed", 1),
    ];
    assert_eq!(gateway.moved(), expected);
}

#[test]
fn fragments_that_are_linuxs_go_there() {
    let mut gateway = gateway(Protocol::Udp, Method::Nat);
    let dip = Endpoint::new(DIP_CLIENT_SIDE, 9);
    let frames = datagram().to(dip).fragments(1_500);

    assert!(burst(&mut gateway, 0, &frames).is_empty());

    assert_eq!(gateway.punted(CLIENT_SIDE), frames);
}

#[test]
fn a_packet_too_large_for_its_link_is_cut_if_it_may_be() {
    for (method, ends) in [
        (Method::Dr, (CLIENT, VIP)),
        (Method::Nat, (CLIENT, RIP_1)),
        (Method::Fullnat, (LIP, RIP_1)),
    ] {
        let service = service(Protocol::Udp, VIP).server(RIP_1, method);
        let mut gateway = serving(Setup::two_arm().mtu(SERVER_SIDE, 1_400), &service);
        let question = udp().payload_len(1_472);

        let sent = gateway.forward(&question.build());

        let expected = on(question, &hop(TO_SERVER, ends, 63)).fragments(1_400);
        assert_eq!(expected.len(), 2);
        assert_eq!(sent, expected, "{method}");
    }
}

#[test]
fn a_tunnel_too_large_for_its_link_is_cut_outside() {
    let mut gateway = gateway(Protocol::Udp, Method::Tun);
    let question = udp().payload_len(1_472);

    let sent = gateway.forward(&question.build());

    let ends = (Endpoint::new(DIP_SERVER_SIDE, 0), RIP_1);
    let outer = ip(4).id(0).payload(&question.ttl(63).build()[14..]);
    let expected = on(outer, &hop(TO_SERVER, ends, 63)).fragments(1_500);
    assert_eq!(sent, expected);
}

#[test]
fn a_packet_that_takes_too_many_fragments_is_dropped() {
    let service = service(Protocol::Udp, VIP).dr(RIP_1);
    let mut gateway = serving(Setup::two_arm().mtu(SERVER_SIDE, 68), &service);

    assert!(
        gateway
            .forward(&udp().payload_len(1_472).build())
            .is_empty()
    );

    assert_eq!(gateway.drops(DropReason::FragmentationFailed), 1);
}
