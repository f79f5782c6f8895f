//! The local node: the gateway itself is a real server, and Linux answers through the twin.

use std::time::Duration;

use dataplane::address::{Address, Endpoint, MacAddr, Protocol, V4};
use dataplane::drop_reason::DropReason;
use dataplane::service::Method;
use dataplane::testing::*;

use crate::common::*;

/// A program on the gateway itself.
const LOCAL: Endpoint<V4> = Endpoint::new(DIP_SERVER_SIDE, 8_080);

/// A service whose one server is the gateway itself.
fn local(protocol: Protocol, method: Method) -> TestService {
    let server = match method {
        Method::Nat | Method::Fullnat => LOCAL,
        Method::Dr | Method::Tun => Endpoint::new(LOCAL.addr, VIP.port),
    };
    service(protocol, VIP).server(server, method)
}

/// The frames of a gateway's answer, as Linux sends them on the clients' twin.
const ANSWER: (MacAddr, MacAddr) = (GATEWAY_MAC, CLIENT_MAC);

#[test]
fn by_nat_linux_gets_the_packet_with_its_own_address_and_answers_come_from_the_vip() {
    // FULLNAT cannot keep its promise here: Linux would answer a local address by itself.
    for method in [Method::Nat, Method::Fullnat] {
        for talk in TALKS {
            let mut gateway = serving(Setup::two_arm(), &local(talk.protocol, method));

            // No router is between: not even the last hop is taken.
            let question = talk.packet(Step::Open, &hop(IN, (CLIENT, VIP), 1));
            assert_eq!(gateway.forward(&question), [] as [Vec<u8>; 0]);

            let expected = talk.packet(Step::Open, &hop(IN, (CLIENT, LOCAL), 1));
            assert_eq!(gateway.punted(CLIENT_SIDE), [expected]);

            let answer = talk.packet(Step::Answer, &hop(ANSWER, (LOCAL, CLIENT), 64));
            assert!(gateway.inject(CLIENT_SIDE, &answer));

            let expected = talk.packet(Step::Answer, &hop(ANSWER, (VIP, CLIENT), 64));
            assert_eq!(gateway.sent(0), [expected]);
            let moved = [
                ("received", 1),
                ("transmitted", 1),
                ("hits", 1),
                ("created", 1),
                ("injected", 1),
                ("local_node", 1),
                ("local_replies", 1),
                ("host", 1),
            ];
            assert_eq!(gateway.moved(), moved, "{method} {}", talk.protocol);
            let session = gateway.session();
            assert_eq!((session.method, session.in_packets), (Method::Nat, 1));
            assert_eq!((session.out_packets, session.is_one_sided), (1, false));
        }
    }
}

#[test]
fn by_dr_and_tun_linux_gets_the_packet_unchanged_and_its_answers_count() {
    for method in [Method::Dr, Method::Tun] {
        for talk in TALKS {
            let mut gateway = serving(Setup::two_arm(), &local(talk.protocol, method));

            let question = talk.packet(Step::Open, &hop(IN, (CLIENT, VIP), 1));
            assert_eq!(gateway.forward(&question), [] as [Vec<u8>; 0]);
            assert_eq!(gateway.punted(CLIENT_SIDE), [question]);
            assert!(gateway.session().is_one_sided);

            // The kernel sees the answer leave, and judges by both sides from then on.
            let answer = talk.packet(Step::Answer, &hop(ANSWER, (VIP, CLIENT), 64));
            assert!(gateway.inject(CLIENT_SIDE, &answer));

            assert_eq!(gateway.sent(0), [answer]);
            let session = gateway.session();
            assert_eq!((session.out_packets, session.is_one_sided), (1, false));
        }
    }
}

#[test]
fn later_packets_of_a_session_go_the_same_way() {
    let mut gateway = serving(Setup::two_arm(), &local(Protocol::Tcp, Method::Nat));
    let to_linux = |gateway: &mut TestGateway, packet: Builder<Tcp>| {
        gateway.receive(0, &packet.clone().build());
        assert_eq!(gateway.punted(CLIENT_SIDE), [packet.to(LOCAL).build()]);
    };
    let from_linux = |gateway: &mut TestGateway, packet: Builder<Tcp>| {
        let answer = |from| on(packet.clone(), &hop(ANSWER, (from, CLIENT), 64)).build();
        assert!(gateway.inject(CLIENT_SIDE, &answer(LOCAL)));
        assert_eq!(gateway.sent(0), [answer(VIP)]);
    };

    to_linux(&mut gateway, tcp().syn());
    from_linux(&mut gateway, tcp().syn_ack());
    to_linux(&mut gateway, tcp().ack());
    assert_eq!(gateway.load(LOCAL), (1, 1));
    for _ in 0..3 {
        to_linux(&mut gateway, tcp().data(b"GET /"));
        from_linux(&mut gateway, tcp().data(b"200"));
    }
    to_linux(&mut gateway, tcp().fin());
    from_linux(&mut gateway, tcp().fin());

    assert_eq!(gateway.load(LOCAL), (0, 1));
    assert_eq!(gateway.session().state.name(), "TIME_WAIT");
    assert_eq!(gateway.traffic(LOCAL).out_packets, 5);
}

#[test]
fn a_loopback_address_is_no_server_by_nat() {
    let loopback = endpoint([127, 0, 0, 1], 80);
    for (method, punts) in [(Method::Nat, 0), (Method::Fullnat, 0), (Method::Dr, 1)] {
        let service = service(Protocol::Tcp, VIP).server(loopback, method);
        let mut gateway = serving(Setup::two_arm(), &service);

        gateway.receive(0, &tcp().syn().build());

        assert_eq!(gateway.punted(CLIENT_SIDE).len(), punts, "{method}");
        let dropped = gateway.drops(DropReason::LocalServerUnreachable);
        assert_eq!(dropped, 1 - punts as u64, "{method}");
    }
}

#[test]
fn what_linux_says_for_itself_leaves_as_it_is() {
    let mut gateway = serving(Setup::two_arm(), &local(Protocol::Tcp, Method::Nat));
    gateway.receive(0, &tcp().syn().build());
    let _ = gateway.moved();

    // To another client of the same program, from another port, another transport, no IP.
    let other = Endpoint::new(CLIENT.addr, 41_000);
    let port = Endpoint::new(LOCAL.addr, 22);
    let frames = [
        on(tcp().syn_ack(), &hop(ANSWER, (LOCAL, other), 64)).build(),
        on(tcp().syn_ack(), &hop(ANSWER, (port, CLIENT), 64)).build(),
        on(udp(), &hop(ANSWER, (LOCAL, CLIENT), 64)).build(),
        on(tcp().syn_ack(), &hop(ANSWER, (VIP, CLIENT), 64)).build(),
        arp_request(DIP_CLIENT_SIDE, CLIENT.addr),
    ];
    for frame in &frames {
        assert!(gateway.inject(CLIENT_SIDE, frame));
    }

    assert_eq!(gateway.sent(0), frames);
    assert_eq!(gateway.moved(), [("transmitted", 5), ("injected", 5)]);
}

#[test]
fn nobody_outside_answers_in_the_gateways_name() {
    let mut gateway = serving(Setup::two_arm(), &local(Protocol::Tcp, Method::Nat));
    gateway.receive(0, &tcp().syn().build());
    let _ = (gateway.punted(CLIENT_SIDE), gateway.moved());

    let forged = on(tcp().syn_ack(), &hop(FROM_SERVER, (LOCAL, CLIENT), 64));
    gateway.receive(1, &forged.build());

    let expected = [("received", 1), ("reply_on_wrong_port", 1)];
    assert_eq!(gateway.moved(), expected);
}

#[test]
fn an_answer_reaches_the_worker_that_owns_its_session() {
    for method in [Method::Nat, Method::Dr] {
        for setup in [Setup::two_arm().workers(3), Setup::two_arm().rss_workers(3)] {
            let mut gateway = serving(setup, &local(Protocol::Udp, method));
            let from = if method == Method::Nat { LOCAL } else { VIP };
            for port in 40_000..40_040 {
                gateway.receive(0, &udp().from(client(port)).build());
            }
            assert_eq!(gateway.punted(CLIENT_SIDE).len(), 40);

            // Linux's frames all leave by worker 0, which owns some of the sessions.
            for port in 40_000..40_040 {
                let answer = |from| on(udp(), &hop(ANSWER, (from, client(port)), 64)).build();
                assert!(gateway.inject(CLIENT_SIDE, &answer(from)));
                assert_eq!(gateway.sent(0), [answer(VIP)], "{method}");
            }

            let sessions = gateway.sessions();
            assert!(sessions.iter().all(|session| session.out_packets == 1));
            let away = 40 - gateway.sessions_at(0).len() as u64;
            assert!((10..40).contains(&away), "{away}");
            // Questions and answers of sessions elsewhere.
            let handed = gateway.sum(|c| &c.arrived_at_wrong_worker);
            assert_eq!(handed, 2 * away);
        }
    }
}

#[test]
fn an_answer_that_no_worker_knows_leaves_as_it_is() {
    let service = local(Protocol::Udp, Method::Nat);
    let mut gateway = serving(Setup::two_arm().workers(3), &service);

    for port in 40_000..40_010 {
        let own = on(udp(), &hop(ANSWER, (LOCAL, client(port)), 64)).build();
        assert!(gateway.inject(CLIENT_SIDE, &own));
        assert_eq!(gateway.sent(0), [own]);
    }
    assert_eq!(gateway.sum(|c| &c.injected_packets), 10);
}

#[test]
fn datagrams_in_fragments_go_to_linux_and_come_back() {
    for (method, to, from) in [(Method::Nat, LOCAL, LOCAL), (Method::Dr, VIP, VIP)] {
        for workers in [1, 3] {
            let setup = Setup::two_arm().workers(workers);
            let mut gateway = serving(setup, &local(Protocol::Udp, method));
            let question = udp().id(7).payload_len(3_000);

            for frame in question.fragments(1_500) {
                gateway.receive(0, &frame);
            }

            let expected = question.to(to).fragments(1_500);
            assert_eq!(gateway.punted(CLIENT_SIDE), expected, "{method}");

            let answer = |from| {
                let whole = udp().id(8).payload_len(3_000);
                on(whole, &hop(ANSWER, (from, CLIENT), 64)).fragments(1_500)
            };
            for frame in answer(from) {
                assert!(gateway.inject(CLIENT_SIDE, &frame));
            }

            assert_eq!(gateway.sent(0), answer(VIP), "{method}");
            let session = gateway.session();
            let whole = (1, 20 + 8 + 3_000);
            assert_eq!((session.in_packets, session.in_bytes), whole);
            assert_eq!((session.out_packets, session.out_bytes), whole);
        }
    }
}

#[test]
fn a_udp_datagram_without_checksum_gets_one_on_its_way_to_linux() {
    let mut gateway = serving(Setup::two_arm(), &local(Protocol::Udp, Method::Nat));
    let question = udp().payload_len(3_000);
    for frame in question.clone().no_checksum().fragments(1_500) {
        gateway.receive(0, &frame);
    }

    let expected = question.to(LOCAL).fragments(1_500);
    assert_eq!(gateway.punted(CLIENT_SIDE), expected);
}

#[test]
fn an_address_that_comes_to_the_gateway_or_leaves_it_takes_its_sessions_along() {
    let question = udp().build();
    let mut gateway = gateway(Protocol::Udp, Method::Nat);
    assert_eq!(gateway.forward(&question).len(), 1);

    // When Linux gets the server's address, as keepalived would give it.
    gateway.change(|editor| editor.add_host_address(RIP_1.addr.to_ip()));
    assert!(gateway.forward(&question).is_empty());
    let at_linux = udp().to(RIP_1).build();
    assert_eq!(gateway.punted(CLIENT_SIDE), [at_linux]);
    let answer = |from| on(udp(), &hop(ANSWER, (from, CLIENT), 64)).build();
    assert!(gateway.inject(CLIENT_SIDE, &answer(RIP_1)));
    assert_eq!(gateway.sent(0), [answer(VIP)]);

    // And when it loses it again.
    gateway.change(|editor| editor.remove_host_address(RIP_1.addr.to_ip()));
    assert_eq!(gateway.forward(&question).len(), 1);
    assert!(gateway.punted(CLIENT_SIDE).is_empty());
    assert!(gateway.inject(CLIENT_SIDE, &answer(RIP_1)));
    assert_eq!(gateway.sent(0), [answer(RIP_1)]);
}

#[test]
fn a_removed_local_server_gets_nothing_but_still_answers() {
    let mut gateway = serving(Setup::two_arm(), &local(Protocol::Udp, Method::Nat));
    gateway.receive(0, &udp().build());
    assert_eq!(gateway.punted(CLIENT_SIDE).len(), 1);
    gateway.serve(&[service(Protocol::Udp, VIP).nat(RIP_2)]);

    gateway.receive(0, &udp().build());
    assert_eq!(gateway.drops(DropReason::ServerRemoved), 1);
    let answer = |from| on(udp(), &hop(ANSWER, (from, CLIENT), 64)).build();
    assert!(gateway.inject(CLIENT_SIDE, &answer(LOCAL)));
    assert_eq!(gateway.sent(0), [answer(VIP)]);

    // When its last session has ended, its packets are its own again.
    gateway.advance(Duration::from_secs(301));
    gateway.collect();
    assert!(gateway.state().local_servers.is_empty());
    assert!(gateway.inject(CLIENT_SIDE, &answer(LOCAL)));
    assert_eq!(gateway.sent(0), [answer(LOCAL)]);
}

#[test]
fn a_twin_knows_no_tags() {
    for workers in [1, 2] {
        let setup = Setup::on_a_stick(10, 20).workers(workers);
        let mut gateway = serving(setup, &local(Protocol::Udp, Method::Nat));

        for port in 40_000..40_010 {
            let question = udp().from(client(port));
            gateway.receive(0, &question.clone().vlan(10).build());
            assert_eq!(gateway.punted(CLIENT_SIDE), [question.to(LOCAL).build()]);

            let answer = |from| on(udp(), &hop(ANSWER, (from, client(port)), 64));
            assert!(gateway.inject(CLIENT_SIDE, &answer(LOCAL).build()));
            assert_eq!(gateway.sent(0), [answer(VIP).vlan(10).build()]);
        }
    }
}

#[test]
fn a_listing_can_tell_a_local_server() {
    let mut gateway = serving(Setup::two_arm(), &local(Protocol::Udp, Method::Nat));
    let is_local = |gateway: &TestGateway, addr| gateway.state().is_local(addr);

    let own = [LOCAL.addr, VIP.addr, V4(0x7f00_0001)];
    assert!(own.iter().all(|addr| is_local(&gateway, *addr)));
    assert!(!is_local(&gateway, RIP_1.addr));

    gateway.change(|editor| editor.add_host_address(RIP_1.addr.to_ip()));
    assert!(is_local(&gateway, RIP_1.addr));
}
