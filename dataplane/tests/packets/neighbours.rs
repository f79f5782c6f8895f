//! Next hops whose MAC is not known: a few packets wait for each, for a second.

use std::collections::BTreeSet;
use std::time::Duration;

use dataplane::address::{Endpoint, MacAddr, Protocol, V4};
use dataplane::drop_reason::DropReason;
use dataplane::editor::{Editor, NextHop};
use dataplane::mailbox::WantedNeighbour;
use dataplane::testing::*;

use crate::common::*;

/// A server Linux has not found yet.
const NEW: Endpoint<V4> = endpoint([10, 2, 0, 50], 80);
const NEW_MAC: MacAddr = MacAddr([2, 0, 0, 2, 0, 50]);

fn unresolved() -> TestGateway {
    serving(Setup::two_arm(), &service(Protocol::Udp, VIP).nat(NEW))
}

fn learn(editor: &mut Editor) {
    editor.set_neighbour(SERVER_SIDE, [10, 2, 0, 50].into(), Some(NEW_MAC));
}

fn question(port: u16) -> Vec<u8> {
    udp().from(client(port)).build()
}

fn at_server(port: u16) -> Vec<u8> {
    let way = hop((GATEWAY_SERVER_MAC, NEW_MAC), (client(port), NEW), 63);
    on(udp(), &way).build()
}

#[test]
fn the_first_packets_wait_for_the_neighbour_and_more_do_not() {
    // Given packets of 18 sessions to a server whose MAC is unknown.
    let mut gateway = unresolved();
    for port in 1_111..1_129 {
        assert!(gateway.forward(&question(port)).is_empty());
    }

    // Then Linux is asked once, and the first 16 packets wait.
    let wanted = WantedNeighbour {
        interface: SERVER_SIDE,
        addr: NEW.addr,
    };
    assert_eq!(gateway.wanted(), Some(wanted));
    assert_eq!(gateway.wanted(), None);
    assert_eq!(gateway.drops(DropReason::NextHopUnresolved), 2);

    // When the neighbour is found, they leave in their order, and the next packets go at once.
    gateway.change(learn);
    let first: Vec<_> = (1_111..1_127).map(at_server).collect();
    assert_eq!(gateway.sent(1), first);
    assert_eq!(gateway.forward(&question(1_127)), [at_server(1_127)]);
    let expected = [
        ("received", 19),
        ("transmitted", 17),
        ("hits", 1),
        ("created", 18),
        ("next_hop_unresolved", 2),
    ];
    assert_eq!(gateway.moved(), expected);
}

#[test]
fn a_packet_waits_no_longer_than_a_second() {
    let mut gateway = unresolved();
    gateway.receive(0, &question(1_111));

    gateway.advance(Duration::from_millis(990));
    assert_eq!(gateway.drops(DropReason::NextHopUnresolved), 0);
    gateway.advance(Duration::from_millis(10));
    assert_eq!(gateway.drops(DropReason::NextHopUnresolved), 1);

    gateway.change(learn);
    assert!(gateway.sent(1).is_empty());
}

#[test]
fn every_next_hop_has_places_of_its_own_while_there_are_some() {
    // Given two packets to each of 70 unknown clients.
    let service = service(Protocol::Udp, VIP).weighted(RIP_1, dataplane::service::Method::Dr, 0);
    let mut gateway = serving(Setup::two_arm(), &service);
    let stranger = |n: u8| endpoint([10, 1, 0, 120 + n], 9);
    for n in 0..70 {
        for port in [9, 10] {
            let from = Endpoint::new(stranger(n).addr, port);
            gateway.receive(0, &udp().from(from).build());
        }
    }

    // Then 128 answers wait, and all clients are asked for.
    assert_eq!(gateway.drops(DropReason::NextHopUnresolved), 12);
    let wanted = std::iter::from_fn(|| gateway.wanted()).map(|wanted| wanted.addr);
    assert_eq!(wanted.collect::<BTreeSet<_>>().len(), 70);

    gateway.change(|editor| {
        let neighbours = (0..70).map(|n| [10, 1, 0, 120 + n]);
        neighbours.for_each(|addr| editor.set_neighbour(CLIENT_SIDE, addr.into(), Some(NEW_MAC)));
    });
    assert_eq!(gateway.sent(0).len(), 128);
}

#[test]
fn a_packet_waits_for_the_router_it_goes_by_and_no_other() {
    // Given a route by two routers, neither of which is known.
    let far = endpoint([10, 9, 0, 1], 80);
    let mut gateway = serving(Setup::two_arm(), &service(Protocol::Udp, VIP).nat(far));
    let routers = [[10, 2, 0, 71], [10, 2, 0, 72]];
    gateway.change(|editor| {
        let hops = routers.map(|router| NextHop {
            via: Some(router.into()),
            interface: SERVER_SIDE,
        });
        editor.set_route([10, 9, 0, 0].into(), 16, &hops, None);
    });
    gateway.receive(0, &question(1_111));
    let wanted = gateway.wanted().unwrap().addr;

    for router in routers {
        gateway.change(|editor| {
            editor.set_neighbour(SERVER_SIDE, router.into(), Some(NEW_MAC));
        });
        let is_asked_for = V4::from(router) == wanted;
        assert_eq!(gateway.sent(1).len(), usize::from(is_asked_for));
    }
}

#[test]
fn a_lost_neighbour_is_asked_for_again() {
    let mut gateway = unresolved();
    gateway.change(learn);
    assert_eq!(gateway.forward(&question(1_111)), [at_server(1_111)]);

    gateway.change(|editor| editor.set_neighbour(SERVER_SIDE, [10, 2, 0, 50].into(), None));
    assert!(gateway.forward(&question(1_111)).is_empty());
    assert_eq!(gateway.wanted().map(|wanted| wanted.addr), Some(NEW.addr));

    gateway.change(learn);
    assert_eq!(gateway.sent(1), [at_server(1_111)]);
}
