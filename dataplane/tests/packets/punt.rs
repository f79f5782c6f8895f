//! Punt classes: each with a ring and a rate of its own, so that no flood starves another.

use std::time::Duration;

use dataplane::address::{Endpoint, Protocol, V4};
use dataplane::drop_reason::DropReason;
use dataplane::io::memory::MemoryPacket;
use dataplane::punt::PuntClass;
use dataplane::testing::*;

use crate::common::*;

fn gateway_with_vip() -> TestGateway {
    serving(Setup::two_arm(), &service(Protocol::Tcp, VIP).dr(RIP_1))
}

/// A client beyond the link.
const fn far(port: u16) -> Endpoint<V4> {
    endpoint([203, 0, 113, 9], port)
}

const FAR: Endpoint<V4> = far(40_000);

fn flood(gateway: &mut TestGateway, frame: &[u8], count: usize) {
    (0..count).for_each(|_| gateway.put(0, 0, MemoryPacket::new(frame)));
    gateway.settle();
}

/// Packets of each class that were over its limit.
fn limited(gateway: &TestGateway) -> [u64; PuntClass::COUNT] {
    PuntClass::ALL.map(|class| gateway.sum(|c| c.punt_limits(class)))
}

#[test]
fn a_flood_of_unserved_packets_leaves_room_for_arp_and_pings() {
    let mut gateway = gateway_with_vip();
    let unserved = tcp().syn().to(Endpoint::new(VIP.addr, 81)).build();
    let arp = arp_request(CLIENT.addr, VIP.addr);
    let ping = icmp_echo().build();

    flood(&mut gateway, &unserved, 5_000);
    gateway.receive(0, &ping);
    gateway.receive(0, &arp);

    // 1,000 a second are let through, 250 of them at once; Linux sees what matters first.
    let punted = gateway.punted(CLIENT_SIDE);
    assert_eq!(punted.len(), 252);
    assert_eq!(punted[..3], [arp, ping, unserved]);
    assert_eq!(gateway.drops(DropReason::PuntLimit), 4_750);
    assert_eq!(limited(&gateway), [0, 0, 0, 0, 4_750, 0]);
}

#[test]
fn a_flood_of_transit_fills_its_ring_and_no_other() {
    let mut gateway = gateway_with_vip();
    let transit = udp().to(endpoint([192, 0, 2, 1], 9)).build();
    let bgp = tcp().syn().to(Endpoint::new(DIP_CLIENT_SIDE, 179)).build();

    flood(&mut gateway, &transit, 1_000);
    gateway.receive(0, &bgp);

    let counts = PuntClass::ALL.map(|class| gateway.sum(|c| c.punts(class)));
    assert_eq!(counts, [1, 0, 0, 0, 0, 256]);
    assert_eq!(gateway.drops(DropReason::PuntLimit), 744);
    assert_eq!(limited(&gateway), [0, 0, 0, 0, 0, 744]);
    assert_eq!(gateway.punted(CLIENT_SIDE)[0], bgp);
}

#[test]
fn a_flood_on_one_interface_takes_nothing_from_another() {
    let mut gateway = gateway_with_vip();
    let host = |from| udp().from(from).to(Endpoint::new(DIP_CLIENT_SIDE, 9));
    let from_server = host(RIP_1).eth_to(GATEWAY_SERVER_MAC).build();

    flood(&mut gateway, &host(CLIENT).build(), 6_000);
    gateway.receive(1, &from_server);

    assert_eq!(gateway.punted(SERVER_SIDE), [from_server]);
}

/// Frames of the class `host`, and of TCP from BGP's port, both of a client beyond the link.
fn floods_of_a_client() -> [Vec<u8>; 2] {
    let dip = |port| Endpoint::new(DIP_CLIENT_SIDE, port);
    [
        udp().from(FAR).to(dip(9)).build(),
        tcp().syn().from(far(179)).to(dip(40_000)).build(),
    ]
}

#[test]
fn floods_of_a_client_take_nothing_from_neighbours() {
    let mut gateway = gateway_with_vip();
    let dip = |port| Endpoint::new(DIP_CLIENT_SIDE, port);
    let neighbour = |port| Endpoint::new(CLIENT.addr, port);
    let vrrp = ip(112).from(neighbour(0)).to(dip(0)).ttl(255);
    let control = [
        udp()
            .from(neighbour(49_152))
            .to(dip(3_784))
            .ttl(255)
            .build(),
        tcp()
            .ack()
            .from(neighbour(179))
            .to(dip(40_000))
            .ttl(1)
            .build(),
        vrrp.payload(&[0; 20]).build(),
    ];

    for frame in floods_of_a_client() {
        flood(&mut gateway, &frame, 6_000);
    }
    for frame in &control {
        gateway.receive(0, frame);
    }

    assert_eq!(gateway.punted(CLIENT_SIDE)[..3], control);
}

#[test]
fn floods_of_a_client_take_nothing_from_answers_to_checks() {
    let service = service(Protocol::Tcp, VIP).dr(RIP_1);
    let mut gateway = serving(Setup::one_arm(), &service);
    let dip = |port| Endpoint::new(DIP_SERVER_SIDE, port);
    let answers = [
        tcp().syn_ack().from(RIP_1).to(dip(40_000)).build(),
        tcp().syn_ack().from(VIP).to(dip(40_001)).build(),
        icmp_echo().echo_reply().from(RIP_1).to(dip(0)).build(),
    ];

    for frame in floods_of_a_client() {
        flood(&mut gateway, &frame, 6_000);
    }
    for frame in &answers {
        gateway.receive(0, frame);
    }

    assert_eq!(gateway.punted(CLIENT_SIDE)[..3], answers);
}

#[test]
fn a_server_that_is_out_of_service_is_heard_all_the_same() {
    let web = service(Protocol::Tcp, VIP).dr(RIP_1);
    let mut gateway = serving(Setup::two_arm(), &web.checking(RIP_2));
    let dip = Endpoint::new(DIP_SERVER_SIDE, 40_000);
    let answer = tcp().syn_ack().from(RIP_2).to(dip);
    let answer = answer.eth_to(GATEWAY_SERVER_MAC).build();

    gateway.receive(1, &answer);
    gateway.serve(&[]);
    gateway.collect();
    gateway.receive(1, &answer);

    let counts = [PuntClass::Check, PuntClass::Host].map(|class| gateway.sum(|c| c.punts(class)));
    assert_eq!(counts, [1, 1], "a service that is gone checks nobody");
}

#[test]
fn a_class_gets_its_rate_back_with_time() {
    let mut gateway = gateway_with_vip();
    let unserved = tcp().syn().to(Endpoint::new(VIP.addr, 81)).build();
    flood(&mut gateway, &unserved, 300);
    assert_eq!(gateway.punted(CLIENT_SIDE).len(), 250);

    gateway.advance(Duration::from_millis(125));
    flood(&mut gateway, &unserved, 300);

    assert_eq!(gateway.punted(CLIENT_SIDE).len(), 125);
}

#[test]
fn frames_from_linux_leave_by_their_interface_in_order() {
    let mut gateway = gateway_with_vip();
    let reply = |n| {
        let dip = Endpoint::new(DIP_CLIENT_SIDE, 0);
        let way = hop(OUT, (dip, CLIENT), 64);
        on(icmp_echo().echo_reply().echo(1, n), &way).build()
    };

    for n in 0..3 {
        assert!(gateway.inject(CLIENT_SIDE, &reply(n)));
    }

    assert_eq!(gateway.sent(0), [reply(0), reply(1), reply(2)]);
    assert_eq!(gateway.moved(), [("transmitted", 3), ("injected", 3)]);
}

#[test]
fn a_runt_from_linux_cannot_get_a_tag_and_is_dropped() {
    let service = service(Protocol::Tcp, VIP).dr(RIP_1);
    let mut gateway = serving(Setup::vlans(Some(10), None), &service);

    assert!(gateway.inject(CLIENT_SIDE, &[0; 13]));

    assert_eq!(gateway.drops(DropReason::InjectFailed), 1);
    assert!(gateway.sent(0).is_empty());
}

#[test]
fn what_a_transmit_queue_does_not_take_is_a_counted_drop() {
    let service = service(Protocol::Tcp, VIP).dr(RIP_1);
    let mut gateway = serving(Setup::two_arm().transmit_room(40), &service);
    gateway.receive(0, &tcp().syn().build());
    let _ = gateway.moved();

    flood(&mut gateway, &tcp().syn().build(), 50);

    let expected = [
        ("received", 50),
        ("transmitted", 39),
        ("hits", 50),
        ("transmit_full", 11),
    ];
    assert_eq!(gateway.moved(), expected);
    assert_eq!(gateway.sent(1).len(), 40);
}
