//! Routes, MACs and MTUs that change under living sessions.

use std::net::IpAddr;

use dataplane::address::{Endpoint, MacAddr, Protocol, V4};
use dataplane::drop_reason::DropReason;
use dataplane::editor::{Editor, NextHop};
use dataplane::service::Method;
use dataplane::session::AdjacencyRef;
use dataplane::testing::*;

use crate::common::*;

const ROUTER_A: [u8; 4] = [10, 2, 0, 71];
const ROUTER_B: [u8; 4] = [10, 2, 0, 72];
const MAC_A: MacAddr = MacAddr([2, 0, 0, 2, 0, 71]);
const MAC_B: MacAddr = MacAddr([2, 0, 0, 2, 0, 72]);
const FAR: Endpoint<V4> = endpoint([10, 9, 0, 1], 80);

fn route(editor: &mut Editor, prefix: [u8; 4], len: u8, via: Option<[u8; 4]>) {
    let hop = NextHop {
        via: via.map(IpAddr::from),
        interface: SERVER_SIDE,
    };
    editor.set_route(prefix.into(), len, &[hop], None);
}

/// A service with one server behind router A.
fn far_server(method: Method) -> TestGateway {
    let service = service(Protocol::Udp, VIP).server(FAR, method);
    let mut gateway = serving(Setup::two_arm(), &service);
    gateway.change(|editor| {
        editor.set_neighbour(SERVER_SIDE, ROUTER_A.into(), Some(MAC_A));
        editor.set_neighbour(SERVER_SIDE, ROUTER_B.into(), Some(MAC_B));
        route(editor, [10, 9, 0, 0], 16, Some(ROUTER_A));
    });
    gateway
}

/// The MAC that a client's packet is sent to.
fn next_hop(gateway: &mut TestGateway) -> Option<MacAddr> {
    let sent = gateway.forward(&udp().build());
    let mac = sent.first()?.first_chunk::<6>()?;
    Some(MacAddr(*mac))
}

#[test]
fn a_changed_mac_takes_effect_with_the_next_snapshot() {
    let mut gateway = gateway(Protocol::Udp, Method::Nat);
    let reply = on(udp(), &hop(FROM_SERVER, (RIP_1, CLIENT), 64)).build();
    assert_eq!(next_hop(&mut gateway), Some(RIP_1_MAC));

    gateway.change(|editor| {
        editor.set_neighbour(SERVER_SIDE, [10, 2, 0, 11].into(), Some(MAC_A));
        editor.set_neighbour(CLIENT_SIDE, [10, 1, 0, 9].into(), Some(MAC_B));
    });

    assert_eq!(next_hop(&mut gateway), Some(MAC_A));
    let answer = gateway.forward_from(1, &reply);
    let expected = on(udp(), &hop((GATEWAY_MAC, MAC_B), (VIP, CLIENT), 63));
    assert_eq!(answer, [expected.build()]);
    assert_eq!(gateway.sum(|c| &c.sessions_created), 1);
}

#[test]
fn a_changed_route_moves_sessions_to_the_new_next_hop() {
    for method in [Method::Dr, Method::Nat, Method::Tun, Method::Fullnat] {
        let mut gateway = far_server(method);
        assert_eq!(next_hop(&mut gateway), Some(MAC_A));

        gateway.change(|editor| route(editor, [10, 9, 0, 0], 16, Some(ROUTER_B)));

        assert_eq!(next_hop(&mut gateway), Some(MAC_B), "{method}");
        assert_eq!(gateway.sum(|c| &c.sessions_created), 1);
    }
}

#[test]
fn a_longer_prefix_takes_sessions_and_gives_them_back() {
    let mut gateway = far_server(Method::Nat);
    assert_eq!(next_hop(&mut gateway), Some(MAC_A));

    gateway.change(|editor| route(editor, [10, 9, 0, 0], 24, Some(ROUTER_B)));
    assert_eq!(next_hop(&mut gateway), Some(MAC_B));

    gateway.change(|editor| editor.remove_route([10, 9, 0, 0].into(), 24));
    assert_eq!(next_hop(&mut gateway), Some(MAC_A));
}

#[test]
fn a_removed_route_stops_sessions_until_it_is_back() {
    let mut gateway = far_server(Method::Nat);
    assert_eq!(next_hop(&mut gateway), Some(MAC_A));

    gateway.change(|editor| editor.remove_route([10, 9, 0, 0].into(), 16));
    // The answer to the client: host unreachable.
    assert_eq!(next_hop(&mut gateway), Some(CLIENT_MAC));
    assert_eq!(gateway.drops(DropReason::NoRoute), 1);

    gateway.change(|editor| route(editor, [10, 9, 0, 0], 16, Some(ROUTER_B)));
    assert_eq!(next_hop(&mut gateway), Some(MAC_B));
}

#[test]
fn a_server_that_becomes_a_neighbour_is_reached_directly() {
    let mut gateway = far_server(Method::Nat);
    assert_eq!(next_hop(&mut gateway), Some(MAC_A));

    gateway.change(|editor| {
        route(editor, [10, 9, 0, 0], 24, None);
        editor.set_neighbour(SERVER_SIDE, [10, 9, 0, 1].into(), Some(MAC_B));
    });

    assert_eq!(next_hop(&mut gateway), Some(MAC_B));
}

/// The next hops towards the server that sessions remember.
fn remembered(gateway: &mut TestGateway) -> Vec<AdjacencyRef> {
    let mut refs = Vec::new();
    let sessions = &gateway.pipeline(0).sessions;
    sessions.page(0, 100, 100, |_, session| {
        refs.push(session.to_server);
        true
    });
    refs
}

#[test]
fn sessions_that_a_change_does_not_concern_look_nothing_up() {
    // Given a session to a server behind router A, and changes all around it.
    let mut gateway = far_server(Method::Nat);
    assert_eq!(next_hop(&mut gateway), Some(MAC_A));
    let before = remembered(&mut gateway);
    assert_eq!(before.len(), 1);

    gateway.change(|editor| {
        route(editor, [10, 10, 0, 0], 16, Some(ROUTER_A));
        route(editor, [10, 8, 0, 0], 16, Some(ROUTER_B));
        editor.set_neighbour(SERVER_SIDE, [10, 2, 0, 99].into(), Some(MAC_B));
        editor.set_neighbour(SERVER_SIDE, ROUTER_A.into(), Some(MAC_B));
    });
    gateway.change(|editor| editor.remove_route([10, 8, 0, 0].into(), 16));

    // Then the new MAC is used, by the next hop the session knew.
    assert_eq!(next_hop(&mut gateway), Some(MAC_B));
    assert_eq!(remembered(&mut gateway), before);
}

#[test]
fn a_neighbour_that_comes_or_goes_leaves_other_sessions_alone() {
    let mut gateway = gateway(Protocol::Udp, Method::Nat);
    assert_eq!(next_hop(&mut gateway), Some(RIP_1_MAC));
    let before = remembered(&mut gateway);

    gateway.change(|editor| {
        editor.set_neighbour(SERVER_SIDE, [10, 2, 0, 99].into(), Some(MAC_B));
        editor.set_neighbour(SERVER_SIDE, [10, 2, 0, 12].into(), None);
        route(editor, [10, 77, 0, 0], 16, Some(ROUTER_B));
    });

    assert_eq!(next_hop(&mut gateway), Some(RIP_1_MAC));
    assert_eq!(remembered(&mut gateway), before);
}

#[test]
fn a_changed_mtu_is_obeyed_by_living_sessions() {
    let mut gateway = gateway(Protocol::Udp, Method::Nat);
    let question = udp().dont_fragment().payload_len(1_400).build();
    assert_eq!(gateway.forward(&question)[0].len(), question.len());

    gateway.change(|editor| editor.set_mtu(SERVER_SIDE, 1_400));

    let error = gateway.forward(&question);
    assert_eq!(error[0][34..36], [3, 4]);
    assert_eq!(error[0][40..42], 1_400_u16.to_be_bytes());
}

#[test]
fn replies_are_accepted_where_the_route_to_their_server_points() {
    for (method, to) in [(Method::Nat, CLIENT), (Method::Fullnat, LIP)] {
        // Given a session, and a reply that arrives at the clients' side.
        let mut gateway = gateway(Protocol::Udp, method);
        gateway.receive(0, &udp().build());
        let spoofed = on(udp(), &hop((CLIENT_MAC, GATEWAY_MAC), (RIP_1, to), 64)).build();
        assert_eq!(gateway.sent(1).len(), 1);
        let _ = gateway.moved();

        // Then it is dropped, until a route to the server points there.
        assert!(gateway.forward(&spoofed).is_empty());
        let expected = [("received", 1), ("reply_on_wrong_port", 1)];
        assert_eq!(gateway.moved(), expected);
        gateway.change(|editor| {
            let hop = NextHop {
                via: Some([10, 1, 0, 9].into()),
                interface: CLIENT_SIDE,
            };
            editor.set_route([10, 2, 0, 11].into(), 32, &[hop], None);
        });
        assert_eq!(gateway.forward(&spoofed).len(), 1);
    }
}

#[test]
fn an_interface_may_be_told_to_accept_all_replies() {
    let service = service(Protocol::Udp, VIP).nat(RIP_1);
    let setup = Setup::two_arm().accepting_replies(CLIENT_SIDE);
    let mut gateway = serving(setup, &service);
    gateway.receive(0, &udp().build());
    assert_eq!(gateway.sent(1).len(), 1);

    let reply = on(udp(), &hop((CLIENT_MAC, GATEWAY_MAC), (RIP_1, CLIENT), 64));

    let expected = on(udp(), &hop(OUT, (VIP, CLIENT), 63));
    assert_eq!(gateway.forward(&reply.build()), [expected.build()]);
}

#[test]
fn every_router_is_named_once_whether_it_is_known_or_not() {
    let gateway = far_server(Method::Nat);
    let mut editor = gateway.editor;
    route(&mut editor, [10, 11, 0, 0], 16, Some(ROUTER_A));
    route(&mut editor, [10, 12, 0, 0], 16, Some([10, 2, 0, 200]));

    let routers: Vec<_> = editor.routers().map(|(_, addr)| addr).collect();

    assert_eq!(
        routers,
        [IpAddr::from(ROUTER_A), IpAddr::from([10, 2, 0, 200])]
    );
}
