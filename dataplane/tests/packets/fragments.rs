//! IP fragments: later ones follow their first, and what is too large becomes some.

use std::time::Duration;

use dataplane::address::{Endpoint, Protocol};
use dataplane::drop_reason::DropReason;
use dataplane::io::memory::MemoryPacket;
use dataplane::service::Method;
use dataplane::testing::*;

use crate::common::*;

/// A datagram that takes three frames.
fn datagram() -> Builder<Udp> {
    udp().id(77).payload_len(3_000)
}

/// Lets all frames arrive in one burst and gives what is sent on the other side.
fn burst(gateway: &mut TestGateway, ethdev: u16, frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
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
fn the_first_fragment_counts_and_later_ones_leave_the_session_alone() {
    let mut gateway = gateway(Protocol::Udp, Method::Nat);

    burst(&mut gateway, 0, &datagram().fragments(1_500));

    let expected = [
        ("received", 3),
        ("transmitted", 3),
        ("hits", 2),
        ("created", 1),
    ];
    assert_eq!(gateway.moved(), expected);
    assert_eq!(gateway.traffic(RIP_1).in_packets, 1);
}

#[test]
fn a_later_fragment_before_its_first_is_dropped_by_name() {
    let mut gateway = gateway(Protocol::Udp, Method::Nat);
    let mut frames = datagram().fragments(1_500);
    frames.rotate_left(1);

    let sent = burst(&mut gateway, 0, &frames);

    let expected = on(datagram(), &hop(TO_SERVER, (CLIENT, RIP_1), 63));
    assert_eq!(sent, expected.fragments(1_500)[..1]);
    assert_eq!(gateway.drops(DropReason::FragmentWithoutFirst), 2);
}

#[test]
fn a_first_fragment_is_forgotten_after_30_seconds() {
    let mut gateway = gateway(Protocol::Udp, Method::Nat);
    let frames = datagram().fragments(1_500);
    gateway.receive(0, &frames[0]);

    gateway.advance(Duration::from_secs(29));
    assert_eq!(burst(&mut gateway, 0, &frames[1..2]).len(), 2);
    gateway.advance(Duration::from_secs(1));
    assert!(burst(&mut gateway, 0, &frames[2..]).is_empty());

    assert_eq!(gateway.drops(DropReason::FragmentWithoutFirst), 1);
}

#[test]
fn a_later_fragment_of_a_reply_is_taken_only_where_its_server_is() {
    for method in [Method::Nat, Method::Fullnat] {
        // Given a reply whose first fragment has passed.
        let mut gateway = gateway(Protocol::Udp, method);
        gateway.receive(0, &udp().build());
        let local = if method == Method::Nat { CLIENT } else { LIP };
        let reply = on(datagram(), &hop(FROM_SERVER, (RIP_1, local), 64)).fragments(1_500);
        gateway.receive(1, &reply[0]);
        let _ = (gateway.sent(0), gateway.moved());

        // When somebody on the clients' side sends a later one in the server's name.
        let forged = on(datagram(), &hop(IN, (RIP_1, local), 64)).fragments(1_500);
        gateway.receive(0, &forged[1]);

        // Then it goes nowhere, and the server's own does.
        let expected = [("received", 1), ("reply_on_wrong_port", 1)];
        assert_eq!(gateway.moved(), expected, "{method}");
        gateway.receive(1, &reply[1]);
        let expected = on(datagram(), &hop(OUT, (VIP, CLIENT), 63)).fragments(1_500);
        assert_eq!(gateway.sent(0), expected[1..2], "{method}");
    }
}

#[test]
fn later_fragments_go_to_a_removed_server_no_more_than_first_ones() {
    let mut gateway = gateway(Protocol::Udp, Method::Nat);
    let frames = datagram().fragments(1_500);
    gateway.receive(0, &frames[0]);
    gateway.serve(&[service(Protocol::Udp, VIP).nat(RIP_2)]);
    let _ = gateway.moved();

    gateway.receive(0, &frames[1]);
    gateway.receive(0, &frames[0]);

    assert_eq!(gateway.moved(), [("received", 2), ("server_removed", 2)]);
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
fn fragmented_sctp_passes_only_if_its_port_stays() {
    let packet = sctp().init().payload_len(3_000);
    for (port, drops) in [(80, 0), (8_080, 1)] {
        let server = endpoint([10, 2, 0, 11], port);
        let service = service(Protocol::Sctp, VIP).nat(server);
        let mut gateway = serving(Setup::two_arm(), &service);

        let sent = burst(&mut gateway, 0, &packet.fragments(1_500)[..1]);

        assert_eq!(gateway.drops(DropReason::FragmentedSctp), drops);
        let expected = on(packet.clone(), &hop(TO_SERVER, (CLIENT, server), 63));
        assert_eq!(sent == expected.fragments(1_500)[..1], drops == 0);
    }
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
    let mut gateway = serving(Setup::two_arm().mtu(SERVER_SIDE, 100), &service);

    assert!(
        gateway
            .forward(&udp().payload_len(1_472).build())
            .is_empty()
    );

    assert_eq!(gateway.drops(DropReason::FragmentationFailed), 1);
}
