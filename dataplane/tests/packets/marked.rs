//! Services of firewall marks: what the rules mark is theirs, wherever it goes.

use dataplane::address::{Endpoint, Protocol, V4};
use dataplane::io::memory::MemoryPacket;
use dataplane::marks::MarkRule;
use dataplane::service::Method;
use dataplane::testing::*;

use crate::common::*;
use crate::fragments::burst;

/// A server that keeps the packet's port.
const fn any_port(server: Endpoint<V4>) -> Endpoint<V4> {
    Endpoint::new(server.addr, 0)
}

/// A rule for what goes to a prefix.
fn to(prefix: [u8; 4], len: u8, mark: u32) -> MarkRule {
    MarkRule {
        ethdev: None,
        protocol: None,
        source: None,
        destination: Some((prefix.into(), len)),
        source_ports: 0..=u16::MAX,
        destination_ports: 0..=u16::MAX,
        mark,
    }
}

/// A gateway that gives what goes to 10.1.0.96/28 and 198.51.100.0/24 mark 3.
pub(crate) fn marking(setup: Setup, services: &[TestService]) -> TestGateway {
    let mut gateway = setup.start();
    let rules = vec![to([10, 1, 0, 96], 28, 3), to([198, 51, 100, 0], 24, 3)];
    gateway.change(|editor| editor.set_marks(rules));
    gateway.serve(services);
    let _ = gateway.moved();
    gateway
}

/// A host that is not the gateway's.
const FAR: Endpoint<V4> = endpoint([198, 51, 100, 7], 443);

#[test]
fn a_mark_comes_before_the_destination_and_has_any_transport() {
    let address = service(Protocol::Udp, VIP).nat(RIP_1);
    let marked = marked_service(3).nat(any_port(RIP_2));
    let mut gateway = marking(Setup::two_arm(), &[address, marked]);

    for talk in TALKS {
        let open = talk.packet(Step::Open, &hop(IN, (CLIENT, VIP), 64));
        let stations = (GATEWAY_SERVER_MAC, RIP_2_MAC);
        let passed = talk.packet(Step::Open, &hop(stations, (CLIENT, RIP_2), 63));
        assert_eq!(gateway.forward(&open), [passed], "{}", talk.protocol);
    }

    // What has no mark is the other service's.
    gateway.change(|editor| editor.set_marks(Vec::new()));
    let frame = udp().from(client(9)).build();
    assert_eq!(served(&mut gateway, &frame), RIP_1);
}

#[test]
fn a_mark_that_no_service_has_changes_nothing() {
    let address = service(Protocol::Udp, VIP).nat(RIP_1);
    let other = marked_service(4).nat(any_port(RIP_2));
    let mut gateway = marking(Setup::two_arm(), &[address, other]);

    assert_eq!(served(&mut gateway, &udp().build()), RIP_1);
}

#[test]
fn the_destination_need_not_be_the_gateways() {
    for method in [Method::Dr, Method::Nat, Method::Tun, Method::Fullnat] {
        let service = marked_service(3).server(any_port(RIP_1), method);
        let mut gateway = marking(Setup::two_arm(), &[service]);

        let frame = udp().to(FAR).build();
        assert_eq!(served(&mut gateway, &frame), RIP_1, "{method}");

        let session = gateway.session();
        assert_eq!(shown(session.vip), "198.51.100.7:443");
        assert_eq!(shown(session.server), "10.2.0.11:443");
    }
}

#[test]
fn a_servers_own_port_is_everybodys_unless_the_service_is_persistent() {
    let server = Endpoint::new(RIP_1.addr, 8_080);
    for (service, port) in [
        (marked_service(3).nat(server), 8_080),
        (marked_service(3).persistent(300).nat(server), 443),
    ] {
        let mut gateway = marking(Setup::two_arm(), &[service]);

        gateway.receive(0, &udp().to(FAR).build());

        assert_eq!(gateway.session().server.port, port);
    }
}

#[test]
fn what_begins_no_session_is_what_it_is_without_the_mark() {
    let service = marked_service(3).nat(any_port(RIP_1));
    let mut gateway = marking(Setup::two_arm(), &[service]);

    let stray = tcp().ack().to(FAR).build();
    gateway.receive(0, &stray);

    assert_eq!(gateway.moved(), [("received", 1), ("transit", 1)]);
    assert_eq!(gateway.punted(CLIENT_SIDE), [stray]);
}

#[test]
fn packets_to_a_local_address_are_never_marked() {
    // Given rules that mark everything.
    let service = marked_service(3).fullnat(any_port(RIP_1));
    let mut gateway = marking(Setup::two_arm(), &[service]);
    gateway.change(|editor| editor.set_marks(vec![to([0, 0, 0, 0], 0, 3)]));

    gateway.receive(1, &on(udp(), &hop(FROM_SERVER, (RIP_1, LIP), 64)).build());

    assert_eq!(
        gateway.moved(),
        [("received", 1), ("no_session_for_local_address", 1)]
    );
}

#[test]
fn clients_of_a_mark_meet_one_server_for_all_addresses_and_ports() {
    let service = [RIP_1, RIP_2, RIP_3]
        .map(any_port)
        .into_iter()
        .fold(marked_service(3).persistent(300), TestService::nat);
    let mut gateway = marking(Setup::two_arm(), &[service]);

    for to in [VIP, FAR, Endpoint::new(FAR.addr, 80)] {
        assert_eq!(served(&mut gateway, &udp().to(to).build()), RIP_3);
        assert_eq!(served(&mut gateway, &tcp().syn().to(to).build()), RIP_3);
    }

    let templates = gateway.templates();
    assert_eq!((templates.len(), templates[0].children), (1, 6));
    assert_eq!(templates[0].protocol, 0);
    assert_eq!(shown(templates[0].virtual_endpoint), "0.0.0.3:0");
    assert_eq!(shown(templates[0].server), "10.2.0.13:0");
}

#[test]
fn a_packet_to_port_0_has_a_template_of_its_address() {
    let service = marked_service(3).persistent(300).nat(any_port(RIP_1));
    let mut gateway = marking(Setup::two_arm(), &[service]);

    gateway.receive(0, &udp().to(Endpoint::new(FAR.addr, 0)).build());

    let template = &gateway.templates()[0];
    assert_eq!(template.protocol, Protocol::Udp as u8);
    assert_eq!(shown(template.virtual_endpoint), "198.51.100.7:0");
}

#[test]
fn replies_find_their_sessions_at_whichever_worker_they_arrive() {
    for setup in [Setup::two_arm().workers(3), Setup::two_arm().rss_workers(3)] {
        // Given sessions that were made at all workers.
        let service = marked_service(3).nat(any_port(RIP_1));
        let mut gateway = marking(setup, &[service]);
        for port in 40_000..40_030 {
            let frame = udp().from(client(port)).to(FAR).build();
            let at = usize::from(port % 3);
            gateway.receive_at(at, 0, MemoryPacket::new(&frame));
        }
        let server = Endpoint::new(RIP_1.addr, FAR.port);
        let _ = (gateway.sent(1), gateway.moved());

        // When the replies arrive anywhere, then each is restored.
        for port in 40_000..40_030 {
            let reply = on(udp(), &hop(FROM_SERVER, (server, client(port)), 64));
            let at = usize::from(port / 3 % 3);
            gateway.receive_at(at, 1, MemoryPacket::new(&reply.build()));
            let expected = on(udp(), &hop(OUT, (FAR, client(port)), 63));
            assert_eq!(gateway.sent(0), [expected.build()], "{port}");
        }
        assert!(gateway.moved().contains(&("hits", 30)));
    }
}

#[test]
fn rules_that_match_replies_too_do_not_take_them_for_questions() {
    for setup in [Setup::two_arm().workers(3), Setup::two_arm().rss_workers(3)] {
        // Given that everything is marked, and sessions of all workers.
        let service = marked_service(3).nat(any_port(RIP_1));
        let mut gateway = marking(setup, &[service]);
        gateway.change(|editor| editor.set_marks(vec![to([0, 0, 0, 0], 0, 3)]));
        for port in 40_000..40_030 {
            let frame = udp().from(client(port)).build();
            gateway.receive_at(usize::from(port % 3), 0, MemoryPacket::new(&frame));
        }
        let _ = (gateway.sent(1), gateway.moved());

        // When replies arrive at workers that do not know them.
        for port in 40_000..40_030 {
            let reply = on(udp(), &hop(FROM_SERVER, (RIP_1, client(port)), 64));
            gateway.receive_at(
                usize::from((port + 1) % 3),
                1,
                MemoryPacket::new(&reply.build()),
            );
        }

        // Then all are restored and none begins a session.
        assert_eq!(gateway.sent(0).len(), 30);
        let moved = gateway.moved();
        assert!(
            !moved.iter().any(|(name, _)| *name == "created"),
            "{moved:?}"
        );

        // And what no worker knows begins one, as a client's packet does.
        let new = on(udp(), &hop(FROM_SERVER, (RIP_1, client(9)), 64)).build();
        gateway.receive(1, &new);
        assert_eq!(gateway.sum(|c| &c.sessions_created), 31);
    }
}

#[test]
fn fragments_wait_for_their_first_wherever_they_go() {
    let mut gateway = marking(Setup::two_arm(), &[marked_service(3).nat(any_port(RIP_1))]);
    let packet = udp().id(77).payload_len(3_000);
    let mut frames = packet.clone().to(FAR).fragments(1_500);
    frames.rotate_left(1);

    let sent = burst(&mut gateway, 0, &frames);

    let server = Endpoint::new(RIP_1.addr, FAR.port);
    let expected = on(packet, &hop(TO_SERVER, (CLIENT, server), 63));
    assert_eq!(sent, expected.fragments(1_500));
}
