//! Local ports of FULLNAT: lent, exhausted, given back, and used again too soon.

use std::time::Duration;

use dataplane::address::{Endpoint, Protocol};
use dataplane::drop_reason::DropReason;
use dataplane::testing::*;
use dataplane::wire::tcp::Flags;

use crate::common::*;

/// Ports of a pool as an endless client would use them up.
fn pool(ports: u16, protocol: Protocol) -> TestService {
    service(protocol, VIP).local(LIP.addr, LIP.port..=LIP.port + ports - 1)
}

#[test]
fn an_exhausted_pool_is_a_counted_drop_and_never_a_wrong_packet() {
    // Given a pool of 64 ports towards one server.
    let service = pool(64, Protocol::Udp).fullnat(RIP_1);
    let mut gateway = serving(Setup::two_arm(), &service);

    // When 70 clients come.
    let ports = 1_000..1_070;
    let sent: Vec<_> = ports
        .flat_map(|port| gateway.forward(&udp().from(client(port)).build()))
        .collect();

    // Then 64 get a port each, and the others are dropped by name.
    let expected = (0..64).map(|n| {
        let local = Endpoint::new(LIP.addr, LIP.port + n);
        on(udp(), &hop(TO_SERVER, (local, RIP_1), 63)).build()
    });
    assert_eq!(sent, expected.collect::<Vec<_>>());
    let moved = [
        ("received", 70),
        ("transmitted", 64),
        ("created", 64),
        ("local_ports_exhausted", 6),
    ];
    assert_eq!(gateway.moved(), moved);
    assert_eq!(gateway.load(RIP_1), (0, 64));

    // And when the sessions end, the ports come back, the one that rested longest first.
    gateway.advance(Duration::from_secs(301));
    assert_eq!(gateway.lent_ports(LIP.addr), Some(0));
    assert_eq!(gateway.forward(&udp().build()).len(), 1);
}

#[test]
fn a_service_without_local_addresses_drops_what_needs_one() {
    let mut spec = pool(64, Protocol::Udp).fullnat(RIP_1).spec();
    spec.local_addresses.clear();
    let mut gateway = Setup::two_arm().start();
    gateway.change(|editor| editor.set_services(&[spec]));

    assert!(gateway.forward(&udp().build()).is_empty());

    assert_eq!(gateway.drops(DropReason::LocalPortsExhausted), 1);
}

#[test]
fn one_port_serves_a_session_with_each_server() {
    let service = pool(1, Protocol::Udp).fullnat(RIP_1).fullnat(RIP_2);
    let mut gateway = serving(Setup::two_arm(), &service);

    for port in [1_111, 2_222] {
        assert_eq!(gateway.forward(&udp().from(client(port)).build()).len(), 1);
    }

    for (server, mac, port) in [(RIP_2, RIP_2_MAC, 1_111), (RIP_1, RIP_1_MAC, 2_222)] {
        let way = hop((mac, GATEWAY_SERVER_MAC), (server, LIP), 64);
        let sent = gateway.forward_from(1, &on(udp(), &way).build());
        let expected = on(udp(), &hop(OUT, (VIP, client(port)), 63));
        assert_eq!(sent, [expected.build()]);
    }
}

/// A gateway with one port whose first TCP session sent 100 bytes from 5,001 on and was reset
/// 11 seconds ago.
fn used_port() -> TestGateway {
    let service = pool(1, Protocol::Tcp).fullnat(RIP_1);
    let mut gateway = serving(Setup::two_arm(), &service);
    let first = tcp().from(client(1_111));
    gateway.receive(0, &first.clone().syn().seq(5_000).build());
    gateway.receive(0, &first.clone().seq(5_001).payload_len(100).build());
    gateway.receive(0, &first.rst().seq(5_101).build());
    gateway.advance(Duration::from_secs(11));
    assert_eq!(gateway.sent(1).len(), 3);
    assert_eq!(gateway.lent_ports(LIP.addr), Some(0));
    gateway
}

#[test]
fn a_port_used_again_within_120_seconds_moves_sequence_numbers() {
    let mut gateway = used_port();
    let to_server = hop(TO_SERVER, (LIP, RIP_1), 63);
    let from_server = hop(FROM_SERVER, (RIP_1, LIP), 64);
    let leaving = hop(OUT, (VIP, client(2_222)), 63);
    let arriving = || tcp().from(client(2_222));
    // 64 KiB behind the last byte of the first session.
    let (isn, moved) = (1_000, 5_101 + 65_536);

    // The SYN begins there, and its timestamps are overwritten by NOPs.
    let options = |syn: Builder<Tcp>| syn.mss(1_460).sack_permitted();
    let syn = options(arriving().syn().seq(isn)).timestamps(7, 0);
    let sent = gateway.forward(&syn.build());
    let expected = options(on(tcp(), &to_server).syn().seq(moved)).option(&[1; 10]);
    assert_eq!(sent, [expected.build()]);
    // A retransmitted one looks the same.
    assert_eq!(gateway.forward(&syn.build()), [expected.build()]);

    // Acknowledgements and the edges of selective ones move back.
    let reply = |ack, left: u32| tcp().seq(9_000).ack_no(ack).sack(&[(left, left + 10)]);
    let sent = gateway.forward_from(1, &on(reply(moved + 1, moved + 20), &from_server).build());
    assert_eq!(sent, [on(reply(isn + 1, isn + 20), &leaving).build()]);

    // Data moves on, with all else as it was.
    let data = |seq| tcp().data(b"GET /").seq(seq).ack_no(9_001);
    let sent = gateway.forward(&data(isn + 1).from(client(2_222)).build());
    assert_eq!(sent, [on(data(moved + 1), &to_server).build()]);
    assert_eq!(gateway.sum(|c| &c.local_port_reuses), 1);
    assert_eq!(gateway.session().seq_delta, Some(moved - isn));
}

#[test]
fn a_third_user_begins_behind_the_second_as_the_server_saw_it() {
    let mut gateway = used_port();
    let second = tcp().from(client(2_222));
    gateway.receive(0, &second.clone().syn().seq(1_000).build());
    gateway.receive(0, &second.seq(1_001).rst().build());
    gateway.advance(Duration::from_secs(61));
    assert_eq!(gateway.sent(1).len(), 2);

    let sent = gateway.forward(&tcp().from(client(3_333)).syn().seq(77).build());

    let way = hop(TO_SERVER, (LIP, RIP_1), 63);
    let expected = on(tcp().syn().seq(5_101 + 65_536 + 1 + 65_536), &way);
    assert_eq!(sent, [expected.build()]);
}

#[test]
fn a_port_that_rested_120_seconds_is_as_good_as_new() {
    let mut gateway = used_port();
    gateway.advance(Duration::from_secs(120));
    let syn = tcp().syn().seq(1_000).timestamps(7, 0);

    let sent = gateway.forward(&syn.clone().from(client(2_222)).build());

    assert_eq!(sent, [on(syn, &hop(TO_SERVER, (LIP, RIP_1), 63)).build()]);
    assert_eq!(gateway.sum(|c| &c.local_port_reuses), 0);
}

#[test]
fn the_port_that_rested_longest_is_lent_first() {
    let service = pool(3, Protocol::Tcp).fullnat(RIP_1);
    let mut gateway = serving(Setup::two_arm(), &service);
    // Given three ports, given back in the order 2, 0, 1.
    for port in 1_000..1_003 {
        gateway.receive(0, &tcp().syn().from(client(port)).build());
    }
    for port in [1_002, 1_000, 1_001] {
        gateway.receive(0, &tcp().from(client(port)).build());
        gateway.receive(0, &tcp().rst().from(client(port)).build());
        gateway.advance(Duration::from_secs(1));
    }
    gateway.advance(Duration::from_secs(11));
    let _ = gateway.sent(1);

    // Then they are lent in that order.
    for (client_port, offset) in [(2_000, 2), (2_001, 0), (2_002, 1)] {
        gateway.receive(0, &tcp().syn().from(client(client_port)).build());
        let sent = gateway.sent(1);
        let source = u16::from_be_bytes([sent[0][34], sent[0][35]]);
        assert_eq!(source, LIP.port + offset);
    }
}

#[test]
fn sessions_that_are_over_leave_their_port_to_new_ones_of_any_server() {
    // Given one port, and two servers whose ports are kept in one book.
    let rip_5 = endpoint([10, 2, 0, 15], 80);
    let vip_5 = endpoint([10, 1, 0, 105], 80);
    let other = service(Protocol::Tcp, vip_5).local(LIP.addr, LIP.port..=LIP.port);
    let mut gateway = Setup::two_arm().start();
    gateway.serve(&[pool(1, Protocol::Tcp).fullnat(RIP_1), other.fullnat(rip_5)]);
    gateway.change(|editor| {
        editor.set_neighbour(SERVER_SIDE, [10, 2, 0, 15].into(), Some(RIP_1_MAC));
    });
    let whole_session = |gateway: &mut TestGateway, port, vip, server| {
        let to_vip = |segment: Builder<Tcp>| segment.from(client(port)).to(vip).build();
        gateway.receive(0, &to_vip(tcp().syn()));
        gateway.receive(0, &to_vip(tcp().ack()));
        gateway.receive(0, &to_vip(tcp().fin()));
        let fin = on(tcp().fin(), &hop(FROM_SERVER, (server, LIP), 64));
        gateway.receive(1, &fin.build());
        gateway.sent(1).len()
    };

    // When a session with each is over, the first one's has expired, and a client comes to the
    // second.
    assert_eq!(whole_session(&mut gateway, 1_111, VIP, RIP_1), 3);
    gateway.advance(Duration::from_secs(10));
    assert_eq!(whole_session(&mut gateway, 2_222, vip_5, rip_5), 3);
    gateway.advance(Duration::from_secs(111));
    let sent = whole_session(&mut gateway, 3_333, vip_5, rip_5);

    // Then it gets the port.
    assert_eq!(sent, 3);
    assert_eq!(gateway.drops(DropReason::LocalPortsExhausted), 0);
    gateway.advance(Duration::from_secs(121));
    assert_eq!(gateway.lent_ports(LIP.addr), Some(0));
    assert_eq!(gateway.load(rip_5), (0, 0));
}

#[test]
fn segments_that_anyone_can_forge_leave_a_connection_its_port() {
    let forged: [fn(Builder<Tcp>) -> Builder<Tcp>; 3] = [
        Builder::rst,
        |segment| segment.flags(Flags(0)),
        |segment| segment.rst().ttl(1),
    ];
    for forge in forged {
        // Given a connection with the one port of a pool.
        let mut gateway = serving(Setup::two_arm(), &pool(1, Protocol::Tcp).fullnat(RIP_1));
        let from_server = |segment| on(segment, &hop(FROM_SERVER, (RIP_1, LIP), 64)).build();
        gateway.receive(0, &tcp().syn().build());
        gateway.receive(1, &from_server(tcp().syn_ack()));
        gateway.receive(0, &tcp().ack().build());

        // When somebody who knows its ends sends a segment in its client's name, and another
        // client comes.
        gateway.receive(0, &forge(tcp()).build());
        gateway.receive(0, &tcp().syn().from(client(2_222)).build());

        // Then the server's next bytes still go to the first client, and to nobody else.
        let _ = (gateway.sent(0), gateway.sent(1));
        gateway.receive(1, &from_server(tcp().data(b"secret")));
        let expected = on(tcp().data(b"secret"), &hop(OUT, (VIP, CLIENT), 63));
        assert_eq!(gateway.sent(0), [expected.build()]);
        assert_eq!(gateway.lent_ports(LIP.addr), Some(1));
    }
}

#[test]
fn a_connection_that_both_sides_end_gives_its_port_back_at_once() {
    type Segment = fn(Builder<Tcp>) -> Builder<Tcp>;
    let (fin, rst): (Segment, Segment) = (Builder::fin, Builder::rst);
    // Which side sends what: 0 is the client.
    for end in [
        [(0, fin), (1, fin)],
        [(1, fin), (0, fin)],
        [(0, fin), (1, rst)],
    ] {
        let mut gateway = serving(Setup::two_arm(), &pool(1, Protocol::Tcp).fullnat(RIP_1));
        gateway.receive(0, &tcp().syn().build());
        gateway.receive(0, &tcp().ack().build());

        for (side, segment) in end {
            let ways = [
                hop(IN, (CLIENT, VIP), 64),
                hop(FROM_SERVER, (RIP_1, LIP), 64),
            ];
            gateway.receive(side, &on(segment(tcp()), &ways[usize::from(side)]).build());
        }

        assert_eq!(gateway.lent_ports(LIP.addr), Some(0));
    }
}

#[test]
fn a_flood_of_openings_leaves_ports_for_those_who_mean_it() {
    // Given a pool of 8 ports: an open connection has the first, half-open ones the others.
    let mut gateway = serving(Setup::two_arm(), &pool(8, Protocol::Tcp).fullnat(RIP_1));
    gateway.receive(0, &tcp().syn().build());
    gateway.receive(0, &tcp().ack().build());
    let syn = |port| tcp().syn().from(client(port)).build();
    (1_000..1_007).for_each(|port| gateway.receive(0, &syn(port)));
    assert_eq!(gateway.sent(1).len(), 9);

    // When others come within the second that an answer may take, then they have to wait.
    assert!(gateway.forward(&syn(2_000)).is_empty());
    assert_eq!(gateway.drops(DropReason::LocalPortsExhausted), 1);

    // And when that second is over, each takes the port of one that was not heard of since.
    gateway.advance(Duration::from_millis(900));
    gateway.receive(0, &syn(1_006));
    let _ = gateway.sent(1);
    gateway.advance(Duration::from_millis(200));
    for port in 2_000..2_006 {
        assert_eq!(gateway.forward(&syn(port)).len(), 1, "{port}");
    }
    assert!(gateway.forward(&syn(2_006)).is_empty());
    let mut left: Vec<_> = (gateway.sessions().iter())
        .map(|session| session.client.port)
        .collect();
    left.sort_unstable();
    let new: Vec<_> = (2_000..2_006).collect();
    assert_eq!(left, [&[1_006][..], &new, &[CLIENT.port]].concat());
    assert_eq!(gateway.sum(|c| &c.sessions_evicted), 6);
    assert_eq!(gateway.lent_ports(LIP.addr), Some(8));
    assert_eq!(gateway.load(RIP_1), (8, 8));
}

#[test]
fn datagrams_without_an_answer_do_not_keep_others_from_a_port() {
    let mut gateway = serving(Setup::two_arm(), &pool(1, Protocol::Udp).fullnat(RIP_1));
    let question = |port| udp().from(client(port)).build();
    gateway.receive(0, &question(1_000));
    gateway.advance(Duration::from_secs(1));

    // One that was not answered makes room; one that was stays for 30 seconds.
    gateway.receive(0, &question(2_000));
    let answer = on(udp(), &hop(FROM_SERVER, (RIP_1, LIP), 64));
    gateway.receive(1, &answer.build());
    gateway.advance(Duration::from_secs(29));
    gateway.receive(0, &question(3_000));

    assert_eq!(gateway.session().client.port, 2_000);
    gateway.advance(Duration::from_secs(1));
    gateway.receive(0, &question(3_000));
    assert_eq!(gateway.session().client.port, 3_000);
}

#[test]
fn a_pool_whose_range_changes_never_lends_a_port_that_a_session_has() {
    // Given two sessions with the first two ports of a pool.
    let mut gateway = serving(Setup::two_arm(), &pool(4, Protocol::Udp).fullnat(RIP_1));
    for port in [1_001, 1_002] {
        assert_eq!(gateway.forward(&udp().from(client(port)).build()).len(), 1);
    }

    // When the pool shrinks to three, then one port is left for others.
    gateway.serve(&[pool(3, Protocol::Udp).fullnat(RIP_1)]);
    let sent = gateway.forward(&udp().from(client(1_003)).build());
    let third = Endpoint::new(LIP.addr, LIP.port + 2);
    let expected = on(udp(), &hop(TO_SERVER, (third, RIP_1), 63));
    assert_eq!(sent, [expected.build()]);
    assert!(
        gateway
            .forward(&udp().from(client(1_004)).build())
            .is_empty()
    );
    assert_eq!(gateway.drops(DropReason::LocalPortsExhausted), 1);

    // And when the sessions end, all three are free.
    gateway.advance(Duration::from_secs(301));
    assert_eq!(gateway.lent_ports(LIP.addr), Some(0));
    for port in 1_005..1_008 {
        assert_eq!(gateway.forward(&udp().from(client(port)).build()).len(), 1);
    }
}
