//! ICMP errors about tunnel packets: the gateway is told, so it tells the client.

use std::time::Duration;

use dataplane::address::{Endpoint, Protocol, V4};
use dataplane::drop_reason::DropReason;
use dataplane::io::memory::MemoryPacket;
use dataplane::service::Method;
use dataplane::testing::*;

use crate::common::*;

/// A router between the gateway and the servers.
const INSIDE: Endpoint<V4> = endpoint([10, 2, 0, 254], 0);
/// Where tunnels to the servers begin.
const DIP: Endpoint<V4> = Endpoint::new(DIP_SERVER_SIDE, 0);

/// A gateway with one UDP session to [`RIP_1`] through a tunnel.
fn with_session(setup: Setup) -> TestGateway {
    let service = service(Protocol::Udp, VIP).tun(RIP_1);
    let mut gateway = serving(setup, &service);
    assert_eq!(gateway.forward(&udp().build()).len(), 1);
    let _ = gateway.moved();
    gateway
}

/// The client's packet as it travels: one hop less to live, and a header around it.
fn tunnelled(question: &Builder<Udp>) -> Vec<u8> {
    let inner = question.clone().ttl(63).build();
    on(
        ip(4).payload(&inner[14..]),
        &hop(TO_SERVER, (DIP, RIP_1), 63),
    )
    .build()
}

/// What a router says of a tunnel packet.
fn error(kind: u8, code: u8, about: &[u8]) -> Builder<Icmp> {
    let way = hop(FROM_SERVER, (INSIDE, DIP), 64);
    on(icmp_error(kind, code).about(about), &way)
}

/// What the client is told about its question.
fn told(kind: u8, code: u8, question: &Builder<Udp>) -> Builder<Icmp> {
    let ends = (Endpoint::new(VIP.addr, 0), CLIENT);
    let about = question.clone().ttl(63).build();
    on(icmp_error(kind, code).about(&about), &hop(OUT, ends, 64)).tos(0xc0)
}

/// A question of so many bytes with its IP header, that must not be fragmented.
fn question(total_len: usize) -> Builder<Udp> {
    udp().dont_fragment().payload_len(total_len - 28)
}

#[test]
fn what_a_client_is_told_counts_and_what_it_is_about_too() {
    let mut gateway = with_session(Setup::two_arm());
    let before = gateway.traffic(RIP_1);
    let question = question(100);

    let sent = gateway.forward_from(1, &error(3, 1, &tunnelled(&question)).build());

    // 28 bytes of headers and the question, and the question.
    assert_eq!(sent.len(), 1);
    let after = gateway.traffic(RIP_1);
    assert_eq!(after.out_packets - before.out_packets, 2);
    assert_eq!(after.out_bytes - before.out_bytes, 28 + 100 + 100);
}

#[test]
fn a_packet_too_big_for_the_path_is_the_clients_to_make_smaller() {
    // Given a path that carries 1,000 bytes.
    let mut gateway = with_session(Setup::two_arm());
    let large = question(1_400);
    let sent = gateway.forward(&large.build());
    assert_eq!(sent.len(), 1);

    // When a router says so.
    let said = error(3, 4, &sent[0]).mtu(1_000).build();
    let answers = gateway.forward_from(1, &said);

    // Then the client is told what fits the tunnel, about as much of its packet as was quoted:
    // 576 bytes less the headers of the router's error and of the tunnel.
    let mut expected = told(3, 4, &large).mtu(980).cut(8 + 528).id(1).build();
    let (mut message, rest) = dataplane::wire::icmp::IcmpMut::parse(&mut expected[34..]).unwrap();
    message.fill_checksum(rest);
    assert_eq!(answers, [expected]);
    assert_eq!(gateway.drops(DropReason::TunnelError), 1);

    // And its next packet that is too large is answered by the gateway itself, also in the middle
    // of a burst of others.
    let sent = gateway.forward(&question(981).build());
    assert_eq!(sent, [told(3, 4, &question(981)).mtu(980).id(2).build()]);
    assert_eq!(gateway.drops(DropReason::TooBig), 1);
    assert_eq!(
        gateway.forward(&question(980).build())[0][30..34],
        RIP_1.addr.octets()
    );
}

#[test]
fn what_was_learned_outlives_a_change_and_ends_after_ten_minutes() {
    let mut gateway = with_session(Setup::two_arm());
    let said = error(3, 4, &tunnelled(&question(1_400))).mtu(1_000);
    gateway.receive(1, &said.build());
    let _ = [gateway.sent(0), gateway.sent(1)];
    let is_answered = |gateway: &mut TestGateway| {
        let _ = gateway.forward(&question(1_400).build());
        gateway.drops(DropReason::TooBig)
    };

    gateway.change(|editor| editor.set_neighbour(SERVER_SIDE, [10, 2, 0, 99].into(), None));
    assert_eq!(is_answered(&mut gateway), 1);
    for seconds in [299, 299] {
        gateway.advance(Duration::from_secs(seconds));
        let _ = gateway.forward(&udp().build());
    }
    assert_eq!(is_answered(&mut gateway), 2);

    // Then the path may have become wider.
    gateway.advance(Duration::from_secs(3));
    assert_eq!(is_answered(&mut gateway), 2);
    let general = gateway.pipeline(0).general_packets();
    assert_eq!(is_answered(&mut gateway), 2);
    assert_eq!(gateway.pipeline(0).general_packets(), general);
}

#[test]
fn a_packet_that_may_be_fragmented_is_made_to_fit_and_its_client_not_told() {
    let mut gateway = with_session(Setup::two_arm());
    let large = udp().payload_len(1_300);

    let said = error(3, 4, &tunnelled(&large)).mtu(1_000);
    assert!(gateway.forward_from(1, &said.build()).is_empty());
    assert_eq!(gateway.moved(), [("received", 1), ("tunnel_error", 1)]);

    // The tunnel's packets are cut to what gets through.
    let pieces = gateway.forward(&large.build());
    assert_eq!(pieces.len(), 2);
    assert!(pieces.iter().all(|piece| piece.len() <= 14 + 1_000));
}

#[test]
fn nobody_makes_a_path_narrower_than_552_bytes() {
    for mtu in [0, 68, 551] {
        let mut gateway = with_session(Setup::two_arm());

        let said = error(3, 4, &tunnelled(&question(100))).mtu(mtu);
        let answers = gateway.forward_from(1, &said.build());

        assert_eq!(answers, [told(3, 4, &question(100)).mtu(532).id(1).build()]);
    }
}

#[test]
fn other_errors_are_passed_on_about_the_clients_own_packet() {
    for (kind, code) in [(3, 0), (3, 1), (3, 2), (3, 13), (4, 0), (11, 0)] {
        let mut gateway = with_session(Setup::two_arm());

        let said = error(kind, code, &tunnelled(&question(100)));
        let answers = gateway.forward_from(1, &said.build());

        let expected = told(kind, code, &question(100)).id(1);
        assert_eq!(answers, [expected.build()], "{kind}/{code}");
        let moved = [
            ("received", 1),
            ("transmitted", 1),
            ("icmp_errors", 1),
            ("tunnel_error", 1),
        ];
        assert_eq!(gateway.moved(), moved);
    }
}

#[test]
fn an_error_about_a_tunnel_with_a_wrong_checksum_is_dropped() {
    let mut gateway = with_session(Setup::two_arm());
    let said = error(3, 4, &tunnelled(&question(1_400))).mtu(1_000);

    assert!(
        gateway
            .forward_from(1, &said.bad_checksum().build())
            .is_empty()
    );

    assert_eq!(gateway.moved(), [("received", 1), ("bad_icmp_checksum", 1)]);
    assert_eq!(
        gateway.forward(&question(1_400).build())[0].len(),
        14 + 1_420
    );
}

#[test]
fn errors_about_other_tunnels_are_linuxs() {
    let of = |from, to| {
        let inner = question(100).ttl(63).build();
        let outer = ip(4).payload(&inner[14..]);
        error(3, 1, &on(outer, &hop(TO_SERVER, (from, to), 63)).build())
    };
    let elsewhere = endpoint([10, 2, 0, 7], 0);
    let stranger = tunnelled(&question(100).from(client(1)));
    for (name, said) in [
        ("not from here", of(elsewhere, RIP_1).to(elsewhere)),
        ("not to the server", of(DIP, RIP_2)),
        (
            "not to where it begins",
            of(DIP, RIP_1).to(Endpoint::new(DIP_CLIENT_SIDE, 0)),
        ),
        ("of no session", error(3, 1, &stranger)),
        ("too little quoted", of(DIP, RIP_1).cut(8 + 20 + 20 + 3)),
    ] {
        let mut gateway = with_session(Setup::two_arm());

        assert!(gateway.forward_from(1, &said.build()).is_empty(), "{name}");

        assert_eq!(gateway.punted(SERVER_SIDE), [said.build()], "{name}");
    }
    // And one about a session that is not a tunnel's.
    let service = service(Protocol::Udp, VIP).dr(RIP_1);
    let mut gateway = serving(Setup::two_arm(), &service);
    gateway.receive(0, &udp().build());
    gateway.receive(1, &of(DIP, RIP_1).build());
    assert_eq!(gateway.punted(SERVER_SIDE), [of(DIP, RIP_1).build()]);
}

#[test]
fn the_owner_of_the_session_learns_from_any_worker() {
    let setups: [fn() -> Setup; 2] = [
        || Setup::two_arm().workers(3),
        || Setup::two_arm().rss_workers(3),
    ];
    for (setup, at) in setups
        .into_iter()
        .flat_map(|setup| [0, 1, 2].map(|at| (setup, at)))
    {
        let mut gateway = with_session(setup());
        let said = error(3, 4, &tunnelled(&question(1_400))).mtu(1_000).build();

        gateway.receive_at(at, 1, MemoryPacket::new(&said));

        assert_eq!(gateway.sent(0).len(), 1);
        assert_eq!(gateway.forward(&question(1_400).build())[0][34..36], [3, 4]);
        assert_eq!(gateway.drops(DropReason::TooBig), 1);
    }
}

#[test]
fn a_flood_of_errors_tells_the_client_no_more_than_the_rate_allows() {
    let mut gateway = with_session(Setup::two_arm());
    let said = error(11, 0, &tunnelled(&question(100))).build();

    for _ in 0..600 {
        gateway.receive(1, &said);
    }

    assert_eq!(gateway.sent(0).len(), 250);
    assert_eq!(gateway.drops(DropReason::TunnelError), 600);
    assert_eq!(gateway.sum(|c| &c.icmp_errors_suppressed), 350);
}

#[test]
fn a_dr_path_is_not_the_gateways_to_remember() {
    let mut gateway = gateway(Protocol::Udp, Method::Dr);
    gateway.receive(0, &udp().build());
    let sent = question(1_400).ttl(63).build();
    let said = on(
        icmp_error(3, 4).mtu(1_000).about(&sent),
        &hop(FROM_SERVER, (INSIDE, CLIENT), 64),
    );

    gateway.receive(1, &said.build());
    assert_eq!((gateway.sent(0).len(), gateway.sent(1).len()), (1, 1));

    assert_eq!(gateway.forward(&question(1_400).build()).len(), 1);
    assert_eq!(gateway.drops(DropReason::TooBig), 0);
}
