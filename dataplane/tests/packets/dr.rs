//! DR: nothing but the MACs and the TTL changes, and replies go another way.

use dataplane::address::{Endpoint, Protocol};
use dataplane::counters::TrafficTotals;
use dataplane::service::Method;
use dataplane::session::State;
use dataplane::testing::*;
use dataplane::wire::tcp::Flags;

use crate::common::*;

const SYN_ACK: Flags = Flags::SYN.with(Flags::ACK);
const FIN_ACK: Flags = Flags::FIN.with(Flags::ACK);

#[test]
fn every_transport_reaches_its_server_with_the_vip_as_destination() {
    for talk in TALKS {
        let mut gateway = gateway(talk.protocol, Method::Dr);
        let arriving = hop(IN, (CLIENT, VIP), 64);
        let leaving = hop(TO_SERVER, (CLIENT, VIP), 63);

        let first = gateway.forward(&talk.packet(Step::Open, &arriving));

        assert_eq!(first, [talk.packet(Step::Open, &leaving)]);
        let moved = gateway.moved();
        assert_eq!(
            moved,
            [("received", 1), ("transmitted", 1), ("created", 1)],
            "{}",
            talk.protocol
        );

        let second = gateway.forward(&talk.packet(Step::More, &arriving));

        assert_eq!(second, [talk.packet(Step::More, &leaving)]);
        let moved = gateway.moved();
        assert_eq!(moved, [("received", 1), ("transmitted", 1), ("hits", 1)]);
        assert_eq!(gateway.sent(0), Vec::<Vec<u8>>::new());
    }
}

#[test]
fn traffic_is_counted_in_ip_bytes_without_padding() {
    let service = service(Protocol::Tcp, VIP).dr(RIP_1);
    let mut gateway = serving(Setup::two_arm(), &service);
    let syn = tcp().syn().padded().build();
    assert_eq!(syn.len(), 60, "20 of IP, 20 of TCP, 6 of padding");

    gateway.receive(0, &syn);

    let expected = TrafficTotals {
        sessions: 1,
        in_packets: 1,
        in_bytes: 40,
        ..TrafficTotals::default()
    };
    assert_eq!(gateway.traffic(RIP_1), expected);
    assert_eq!(gateway.load(RIP_1), (1, 1));
}

#[test]
fn a_udp_packet_without_checksum_stays_without() {
    let mut gateway = gateway(TALKS[1].protocol, Method::Dr);
    let question = udp().no_checksum().payload(b"question");

    let sent = gateway.forward(&question.build());

    let expected = on(question, &hop(TO_SERVER, (CLIENT, VIP), 63));
    assert_eq!(sent, [expected.build()]);
}

#[test]
fn a_wrong_transport_checksum_stays_wrong_by_the_same_bits() {
    let mut gateway = gateway(TALKS[0].protocol, Method::Dr);
    let syn = tcp().syn().bad_checksum();

    let sent = gateway.forward(&syn.build());

    assert_eq!(sent, [on(syn, &hop(TO_SERVER, (CLIENT, VIP), 63)).build()]);
}

#[test]
fn with_one_arm_the_packet_leaves_where_it_came_in() {
    let service = service(Protocol::Tcp, VIP).dr(RIP_1);
    let mut gateway = serving(Setup::one_arm(), &service);

    gateway.receive(0, &tcp().syn().build());

    let leaving = hop((GATEWAY_MAC, RIP_1_MAC), (CLIENT, VIP), 63);
    assert_eq!(gateway.sent(0), [on(tcp().syn(), &leaving).build()]);
}

#[test]
fn ip_options_are_kept() {
    // Router alert (RFC 2113), which is no reason to drop.
    let mut gateway = gateway(TALKS[0].protocol, Method::Dr);
    let syn = tcp().syn().ip_options(&[148, 4, 0, 0]);

    let sent = gateway.forward(&syn.build());

    assert_eq!(sent, [on(syn, &hop(TO_SERVER, (CLIENT, VIP), 63)).build()]);
}

#[test]
fn a_server_behind_a_router_gets_the_routers_mac() {
    use dataplane::editor::NextHop;
    let far = endpoint([10, 9, 0, 1], 80);
    let router = endpoint([10, 2, 0, 12], 0).addr;
    let mut gateway = serving(Setup::two_arm(), &service(Protocol::Tcp, VIP).dr(far));
    gateway.change(|editor| {
        let hop = NextHop {
            via: Some(std::net::Ipv4Addr::from(router).into()),
            interface: SERVER_SIDE,
        };
        editor.set_route([10, 9, 0, 0].into(), 16, &[hop], None);
    });

    let sent = gateway.forward(&tcp().syn().build());

    let leaving = hop((GATEWAY_SERVER_MAC, RIP_2_MAC), (CLIENT, VIP), 63);
    assert_eq!(sent, [on(tcp().syn(), &leaving).build()]);
}

#[test]
fn a_reply_that_comes_by_the_gateway_is_counted_and_left_to_linux() {
    for method in [Method::Dr, Method::Tun] {
        // Given a session, and a server whose router is the gateway.
        let service = service(Protocol::Tcp, VIP).server(RIP_1, method);
        let mut gateway = serving(Setup::two_arm(), &service);
        gateway.receive(0, &tcp().syn().build());
        let _ = gateway.moved();

        // When the server answers, and somebody from another port.
        let from_vip = hop(FROM_SERVER, (VIP, CLIENT), 64);
        let stranger = Endpoint::new(VIP.addr, VIP.port + 1);
        gateway.receive(1, &on(tcp().flags(SYN_ACK), &from_vip).build());
        gateway.receive(
            1,
            &on(tcp(), &hop(FROM_SERVER, (stranger, CLIENT), 64)).build(),
        );

        // Then Linux gets both, and the first one was the session's.
        assert_eq!(gateway.moved(), [("received", 2), ("transit", 2)]);
        let session = gateway.session();
        assert_eq!((session.out_packets, session.is_one_sided), (1, false));
        assert_eq!(gateway.traffic(RIP_1).out_packets, 1);

        // When the client closes, and then the server.
        gateway.receive(0, &tcp().build());
        gateway.receive(0, &tcp().flags(FIN_ACK).build());
        assert_eq!(gateway.session().state, State::CloseWait);
        gateway.receive(1, &on(tcp().flags(FIN_ACK), &from_vip).build());
        assert_eq!(gateway.session().state, State::TimeWait);
    }
}

#[test]
fn who_pretends_to_be_the_vip_moves_no_session() {
    let service = service(Protocol::Tcp, VIP).dr(RIP_1);
    let mut gateway = serving(Setup::two_arm(), &service);
    gateway.receive(0, &tcp().syn().build());

    // From the clients' side.
    gateway.receive(0, &on(tcp().rst(), &hop(IN, (VIP, CLIENT), 64)).build());

    let session = gateway.session();
    assert_eq!((session.out_packets, session.is_one_sided), (0, true));
}

#[test]
fn a_reply_finds_its_session_at_whichever_worker() {
    let service = service(Protocol::Tcp, VIP).dr(RIP_1);
    let mut gateway = serving(Setup::two_arm().workers(4), &service);
    for port in 1_000..1_040 {
        gateway.receive(0, &tcp().syn().from(client(port)).build());
        let way = hop(FROM_SERVER, (VIP, client(port)), 64);
        gateway.receive(1, &on(tcp().flags(SYN_ACK), &way).build());
    }

    let sessions = gateway.sessions();
    assert_eq!(sessions.len(), 40);
    assert!(sessions.iter().all(|session| session.out_packets == 1));
}
