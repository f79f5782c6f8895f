//! TUN: the packet travels inside another, whose fields follow from it (RFC 2003).

use dataplane::address::{Endpoint, Protocol};
use dataplane::drop_reason::DropReason;
use dataplane::service::{Method, MssClamp};
use dataplane::testing::*;

use crate::common::*;

/// The outer packet from the gateway to the server, around the IP packet in `inner`'s frame.
fn tunnel(inner: &[u8]) -> Builder<Raw> {
    let ends = (Endpoint::new(DIP_SERVER_SIDE, 0), RIP_1);
    on(ip(4).payload(&inner[14..]).id(0), &hop(TO_SERVER, ends, 63))
}

#[test]
fn every_transport_reaches_its_server_inside_a_tunnel() {
    for talk in TALKS {
        let service = service(talk.protocol, VIP)
            .mss_clamp(MssClamp::Off)
            .tun(RIP_1);
        let mut gateway = serving(Setup::two_arm(), &service);
        let arriving = hop(IN, (CLIENT, VIP), 64);
        let inside = hop(IN, (CLIENT, VIP), 63);

        for (number, step) in (0..).zip([Step::Open, Step::More]) {
            let sent = gateway.forward(&talk.packet(step, &arriving));

            // Without DF the outer packet takes the next number of the worker.
            let expected = tunnel(&talk.packet(step, &inside)).id(number);
            assert_eq!(sent, [expected.build()]);
        }
        let moved = gateway.moved();
        let expected = [
            ("received", 2),
            ("transmitted", 2),
            ("hits", 1),
            ("created", 1),
        ];
        assert_eq!(moved, expected);
    }
}

#[test]
fn the_outer_header_takes_tos_and_df_from_the_inner_one() {
    let mut gateway = gateway(Protocol::Udp, Method::Tun);
    // ECN "congestion experienced" becomes ECT(0) outside (RFC 3168 §9.1.1).
    let question = udp().tos(0xbb).dont_fragment().ttl(17).payload(b"question");

    let sent = gateway.forward(&question.build());

    let outer = tunnel(&question.ttl(16).build());
    let outer = outer.tos(0xba).dont_fragment().ttl(16);
    assert_eq!(sent, [outer.build()]);
}

#[test]
fn a_syn_is_clamped_to_what_the_tunnel_carries() {
    let mut gateway = gateway(Protocol::Tcp, Method::Tun);

    let sent = gateway.forward(&tcp().syn().dont_fragment().mss(1_460).build());

    // 1500 - 20 of the outer header - 40 of IP and TCP.
    let inner = tcp().syn().dont_fragment().mss(1_440).ttl(63);
    assert_eq!(sent, [tunnel(&inner.build()).dont_fragment().build()]);
}

#[test]
fn ethernet_padding_does_not_travel_in_the_tunnel() {
    let mut gateway = gateway(Protocol::Tcp, Method::Tun);

    let sent = gateway.forward(&tcp().syn().padded().build());

    assert_eq!(sent, [tunnel(&tcp().syn().ttl(63).build()).build()]);
}

#[test]
fn a_packet_that_fills_the_tunnel_passes_and_one_more_byte_does_not() {
    let mut gateway = gateway(Protocol::Udp, Method::Tun);
    let datagram = |len| udp().dont_fragment().payload_len(len);
    // 1500 - 20 outer - 20 inner - 8 UDP.
    let fits = datagram(1_452);

    let sent = gateway.forward(&fits.build());

    let expected = tunnel(&fits.ttl(63).build()).dont_fragment();
    assert_eq!(sent, [expected.build()]);
    let too_big = gateway.forward(&datagram(1_453).build());
    let mut quoted = datagram(1_453).ttl(63).build();
    quoted.truncate(14 + 548);
    assert_eq!(too_big.len(), 1);
    // The error names the tunnel's MTU.
    assert_eq!(too_big[0][34..36], [3, 4]);
    assert_eq!(too_big[0][40..42], 1_480_u16.to_be_bytes());
    assert_eq!(too_big[0][42..], quoted[14..]);
}

#[test]
fn with_one_arm_the_tunnel_leaves_where_the_packet_came_in() {
    let service = service(Protocol::Udp, VIP).tun(RIP_1);
    let mut gateway = serving(Setup::one_arm(), &service);
    let question = udp().dont_fragment().payload(b"question");

    let sent = gateway.forward(&question.build());

    let ends = (Endpoint::new(DIP_CLIENT_SIDE, 0), RIP_1);
    let outer = ip(4).payload(&question.ttl(63).build()[14..]).id(0);
    let outer = on(
        outer.dont_fragment(),
        &hop((GATEWAY_MAC, RIP_1_MAC), ends, 63),
    );
    assert_eq!(sent, [outer.build()]);
}

#[test]
fn without_an_address_to_begin_at_there_is_no_tunnel() {
    let mut gateway = gateway(Protocol::Udp, Method::Tun);
    gateway.change(|editor| editor.set_interface_address(SERVER_SIDE, None));

    assert!(gateway.forward(&udp().build()).is_empty());

    assert_eq!(gateway.drops(DropReason::NoTunnelSource), 1);
}
