//! ICMP errors the gateway sends about load-balanced packets, byte for byte.

use std::time::Duration;

use dataplane::address::{Endpoint, Protocol, V4};
use dataplane::drop_reason::DropReason;
use dataplane::service::Method;
use dataplane::testing::*;

use crate::common::*;

/// The first error that worker 0 sends, from the VIP to the client, about the IP packet in
/// `frame`.
fn error(kind: u8, code: u8, frame: &[u8]) -> Builder<Icmp> {
    let ends = (Endpoint::new(VIP.addr, 0), CLIENT);
    on(icmp_error(kind, code).about(frame), &hop(OUT, ends, 64))
        .tos(0xc0)
        .id(0)
}

#[test]
fn no_server_is_port_unreachable_for_every_transport() {
    for talk in TALKS {
        let service = service(talk.protocol, VIP).weighted(RIP_1, Method::Dr, 0);
        let mut gateway = serving(Setup::two_arm(), &service);
        let open = talk.packet(Step::Open, &hop(IN, (CLIENT, VIP), 64));

        let sent = gateway.forward(&open);

        assert_eq!(sent, [error(3, 3, &open).build()]);
        let moved = gateway.moved();
        let expected = [
            ("received", 1),
            ("transmitted", 1),
            ("icmp_errors", 1),
            ("no_server", 1),
        ];
        assert_eq!(moved, expected, "{}", talk.protocol);
    }
}

#[test]
fn a_time_to_live_that_ends_here_is_time_exceeded() {
    for method in [Method::Dr, Method::Nat, Method::Tun, Method::Fullnat] {
        for ttl in [0, 1] {
            let mut gateway = gateway(Protocol::Tcp, method);
            // 0xff: the error's type of service is (the packet's & 0x1e) | 0xc0.
            let syn = tcp().syn().ttl(ttl).tos(0xff).build();

            let sent = gateway.forward(&syn);

            assert_eq!(sent, [error(11, 0, &syn).tos(0xde).build()], "{method}");
            assert_eq!(gateway.drops(DropReason::TtlExpired), 1);
        }
    }
}

#[test]
fn a_reply_whose_time_to_live_ends_is_told_its_server() {
    // Given a NAT and a FULLNAT session.
    for (method, to, source) in [
        (Method::Nat, CLIENT, DIP_SERVER_SIDE),
        (Method::Fullnat, LIP, LIP.addr),
    ] {
        let mut gateway = gateway(Protocol::Udp, method);
        gateway.receive(0, &udp().build());
        let before = gateway.traffic(RIP_1);
        let reply = on(udp(), &hop(FROM_SERVER, (RIP_1, to), 1)).build();

        let sent = gateway.forward_from(1, &reply);

        // Then the error comes from the address the reply was sent to, or for a NAT reply, which
        // was sent to the client, from the gateway's own on this side. It never was a reply.
        let way = hop(TO_SERVER, (Endpoint::new(source, 0), RIP_1), 64);
        let expected = on(icmp_error(11, 0).about(&reply), &way);
        assert_eq!(sent[1..], [expected.tos(0xc0).id(0).build()]);
        assert_eq!(gateway.traffic(RIP_1), before);
    }
}

#[test]
fn a_reply_that_is_too_big_is_quoted_as_it_came_and_counts_for_nothing() {
    // Given a NAT session, and clients behind a narrow link.
    let service = service(Protocol::Udp, VIP).nat(RIP_1);
    let mut gateway = serving(Setup::two_arm().mtu(CLIENT_SIDE, 1_000), &service);
    gateway.receive(0, &udp().build());
    let before = gateway.traffic(RIP_1);
    let way = hop(FROM_SERVER, (RIP_1, CLIENT), 64);
    let reply = on(udp().dont_fragment().payload_len(1_100), &way).build();

    let sent = gateway.forward_from(1, &reply);

    let way = hop(TO_SERVER, (Endpoint::new(DIP_SERVER_SIDE, 0), RIP_1), 64);
    let expected = on(icmp_error(3, 4).mtu(1_000).about(&reply), &way);
    assert_eq!(sent[1..], [expected.tos(0xc0).id(0).build()]);
    assert_eq!(gateway.traffic(RIP_1), before);
}

#[test]
fn what_a_client_is_told_counts_where_its_server_gets_packets_as_they_are() {
    for (method, told) in [
        (Method::Dr, 1),
        (Method::Tun, 1),
        (Method::Nat, 0),
        (Method::Fullnat, 0),
    ] {
        let mut gateway = gateway(Protocol::Tcp, method);

        assert_eq!(gateway.forward(&tcp().syn().ttl(1).build()).len(), 1);

        // 20 + 8 bytes, and the 40 of the SYN.
        let counted = gateway.traffic(RIP_1);
        assert_eq!(
            (counted.in_packets, counted.out_packets, counted.out_bytes),
            (1, told, told * 68),
            "{method}"
        );
    }
}

#[test]
fn too_big_with_df_names_the_mtu_and_quotes_the_decremented_ttl() {
    for (method, mtu) in [
        (Method::Dr, 1_400),
        (Method::Nat, 1_400),
        (Method::Tun, 1_380),
        (Method::Fullnat, 1_400),
    ] {
        let service = service(Protocol::Udp, VIP).server(RIP_1, method);
        let mut gateway = serving(Setup::two_arm().mtu(SERVER_SIDE, 1_400), &service);
        let question = udp().dont_fragment().payload_len(1_400);

        let sent = gateway.forward(&question.build());

        let expected = error(3, 4, &question.ttl(63).build()).mtu(mtu);
        assert_eq!(sent, [expected.build()], "{method}");
        assert_eq!(gateway.drops(DropReason::TooBig), 1);
    }
}

#[test]
fn without_a_route_to_the_server_the_host_is_unreachable() {
    let far = endpoint([10, 99, 0, 1], 80);
    let service = service(Protocol::Tcp, VIP).nat(far);
    let mut gateway = serving(Setup::two_arm(), &service);
    let syn = tcp().syn().build();

    let sent = gateway.forward(&syn);

    assert_eq!(sent, [error(3, 1, &syn).build()]);
    assert_eq!(gateway.drops(DropReason::NoRoute), 1);
}

#[test]
fn errors_keep_to_a_rate() {
    let service = service(Protocol::Udp, VIP).weighted(RIP_1, Method::Dr, 0);
    let mut gateway = serving(Setup::two_arm(), &service);
    let flood = |gateway: &mut TestGateway, count: u16| {
        (0..count).for_each(|n| gateway.receive(0, &udp().from(client(1_024 + n)).build()));
        gateway.sent(0).len()
    };

    // 1,000 a second, 250 of them at once.
    assert_eq!(flood(&mut gateway, 600), 250);
    gateway.advance(Duration::from_millis(100));
    assert_eq!(flood(&mut gateway, 600), 97);

    assert_eq!(gateway.sum(|c| &c.icmp_errors), 347);
    assert_eq!(gateway.sum(|c| &c.icmp_errors_suppressed), 1_200 - 347);
    assert_eq!(gateway.drops(DropReason::NoServer), 1_200);
}

#[test]
fn a_source_that_is_no_host_gets_no_error() {
    let service = service(Protocol::Udp, VIP).weighted(RIP_1, Method::Dr, 0);
    let mut gateway = serving(Setup::two_arm(), &service);
    let class_e = Endpoint::new(V4::from([240, 0, 0, 1]), 9);

    assert!(gateway.forward(&udp().from(class_e).build()).is_empty());

    assert_eq!(gateway.moved(), [("received", 1), ("no_server", 1)]);
}

#[test]
fn a_client_behind_a_router_gets_its_error_through_it() {
    use dataplane::editor::NextHop;
    let service = service(Protocol::Tcp, VIP).weighted(RIP_1, Method::Dr, 0);
    let mut gateway = serving(Setup::two_arm(), &service);
    let router_mac = dataplane::address::MacAddr([2, 0, 0, 1, 0, 254]);
    gateway.change(|editor| {
        let router = [10, 1, 0, 254].into();
        let hop = NextHop {
            via: Some(router),
            interface: CLIENT_SIDE,
        };
        editor.set_route([0, 0, 0, 0].into(), 0, &[hop], None);
        editor.set_neighbour(CLIENT_SIDE, router, Some(router_mac));
    });
    let far = endpoint([192, 0, 2, 7], 4_000);
    let syn = tcp().syn().from(far).build();

    let sent = gateway.forward(&syn);

    let ends = (Endpoint::new(VIP.addr, 0), far);
    let way = hop((GATEWAY_MAC, router_mac), ends, 64);
    let expected = on(icmp_error(3, 3).about(&syn), &way).tos(0xc0).id(0);
    assert_eq!(sent, [expected.build()]);
}
