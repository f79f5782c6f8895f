//! One-packet services: every datagram is scheduled for itself, and nothing of it stays.

use std::time::Duration;

use dataplane::address::{Endpoint, Protocol, V4};
use dataplane::service::Method;
use dataplane::testing::*;

use crate::common::*;

const RIPS: [Endpoint<V4>; 3] = [RIP_1, RIP_2, RIP_3];

/// Round robin over three servers, the last one first.
fn three(method: Method) -> TestService {
    let service = service(Protocol::Udp, VIP).one_packet();
    RIPS.into_iter()
        .fold(service, |service, server| service.server(server, method))
}

#[test]
fn each_datagram_goes_to_the_next_server_and_leaves_no_session() {
    for method in [Method::Dr, Method::Nat, Method::Tun] {
        let mut gateway = serving(Setup::two_arm(), &three(method));

        let servers = [(); 4].map(|()| served(&mut gateway, &udp().build()));

        assert_eq!(servers, [RIP_3, RIP_2, RIP_1, RIP_3], "{method}");
        assert!(gateway.sessions().is_empty());
        assert_eq!(
            gateway.moved(),
            [("received", 4), ("transmitted", 4), ("one_packets", 4)]
        );
        let traffic = gateway.traffic(RIP_3);
        assert_eq!((traffic.sessions, traffic.in_packets), (2, 2));
        assert_eq!(gateway.load(RIP_3), (0, 0));
    }
}

#[test]
fn nat_changes_the_question_and_nobody_the_answer() {
    let service = service(Protocol::Udp, VIP).one_packet().nat(RIP_1);
    for setup in [Setup::two_arm(), Setup::two_arm().workers(2)] {
        let mut gateway = serving(setup, &service);

        let sent = gateway.forward(&on(udp(), &hop(IN, (CLIENT, VIP), 64)).build());
        assert_eq!(
            sent,
            [on(udp(), &hop(TO_SERVER, (CLIENT, RIP_1), 63)).build()]
        );

        // Linux sends the answer on as it is.
        let reply = on(udp(), &hop(FROM_SERVER, (RIP_1, CLIENT), 64)).build();
        assert!(gateway.forward_from(1, &reply).is_empty());
        assert_eq!(gateway.punted(SERVER_SIDE), [reply]);
    }
}

#[test]
fn what_its_client_is_told_counts_for_nobody() {
    for method in [Method::Dr, Method::Tun] {
        let service = service(Protocol::Udp, VIP)
            .one_packet()
            .server(RIP_1, method);
        let mut gateway = serving(Setup::two_arm(), &service);

        let told = gateway.forward(&udp().ttl(1).build());

        assert_eq!(told.len(), 1);
        let traffic = gateway.traffic(RIP_1);
        assert_eq!(
            (traffic.in_packets, traffic.out_packets),
            (1, 0),
            "{method}"
        );
    }
}

#[test]
fn fullnat_servers_of_a_one_packet_service_get_sessions() {
    let service = service(Protocol::Udp, VIP).one_packet().fullnat(RIP_1);
    let mut gateway = serving(Setup::two_arm(), &service);

    gateway.receive(0, &udp().build());

    assert_eq!(gateway.sessions().len(), 1);
    assert_eq!(gateway.sum(|c| &c.one_packets), 0);
}

#[test]
fn a_full_table_does_not_matter() {
    // Given a table that an open connection fills.
    let web = service(Protocol::Tcp, VIP).dr(RIP_1);
    let mut gateway = Setup::two_arm().sessions(1).start();
    gateway.serve(&[web, three(Method::Dr)]);
    gateway.receive(0, &tcp().syn().build());
    gateway.receive(0, &tcp().ack().build());
    let _ = gateway.sent(1);

    assert_eq!(served(&mut gateway, &udp().build()), RIP_3);

    // And the connection is still there.
    assert_eq!(served(&mut gateway, &tcp().ack().build()), RIP_1);
    assert_eq!(gateway.session().in_packets, 3);
}

#[test]
fn the_fragments_of_a_datagram_meet_one_server() {
    for method in [Method::Dr, Method::Nat] {
        let mut gateway = serving(Setup::two_arm(), &three(method));
        for server in [RIP_3, RIP_2] {
            let fragments = udp().payload_len(3_000).fragments(1_500);
            let sent = fragments.iter().flat_map(|frame| gateway.forward(frame));

            let takers: Vec<_> = sent.map(|frame| taker(&frame)).collect();
            assert_eq!(takers, vec![server; fragments.len()], "{method}");
        }
    }
}

#[test]
fn an_upper_threshold_of_one_is_reached_and_left_with_every_datagram() {
    let mut spec = three(Method::Dr).spec();
    spec.servers.truncate(1);
    spec.servers[0].upper_threshold = 1;
    let mut gateway = Setup::two_arm().start();
    gateway.change(|editor| editor.set_services(&[spec]));

    for _ in 0..3 {
        assert_eq!(served(&mut gateway, &udp().build()), RIP_1);
    }
}

#[test]
fn a_persistent_one_keeps_its_clients_server_and_no_sessions() {
    // Given two clients.
    let mut gateway = serving(Setup::two_arm(), &three(Method::Nat).persistent(100));
    let other = udp().from(endpoint([10, 1, 0, 20], 9)).build();

    for _ in 0..3 {
        assert_eq!(served(&mut gateway, &udp().build()), RIP_3);
        assert_eq!(served(&mut gateway, &other), RIP_2);
    }

    // Each datagram restarts the time-out; none keeps the template beyond it.
    gateway.advance(Duration::from_secs(99));
    assert_eq!(served(&mut gateway, &udp().build()), RIP_3);
    gateway.advance(Duration::from_secs(1));
    let templates = gateway.templates();
    assert_eq!(templates.len(), 1);
    assert_eq!((templates[0].children, templates[0].is_assured), (0, false));
    assert_eq!(templates[0].expires_in_ticks, 99 * 256);
    assert!(gateway.sessions().is_empty());
    gateway.advance(Duration::from_secs(99));
    assert_eq!(served(&mut gateway, &udp().build()), RIP_1);
}

#[test]
fn what_is_not_udp_has_sessions() {
    // Given that the packets of a mark are scheduled for themselves.
    let service = marked_service(3)
        .one_packet()
        .dr(Endpoint::new(RIP_1.addr, 0));
    let mut gateway = crate::marked::marking(Setup::two_arm(), &[service]);

    gateway.receive(0, &tcp().syn().build());
    gateway.receive(0, &udp().build());

    assert_eq!(gateway.sessions().len(), 1);
    assert_eq!(gateway.sum(|c| &c.one_packets), 1);
}
