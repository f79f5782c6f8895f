//! IP fragments that come in any order, at any worker, too many of them, or not at all.

use std::time::Duration;

use dataplane::address::{Endpoint, Protocol, V4};
use dataplane::drop_reason::DropReason;
use dataplane::io::memory::MemoryPacket;
use dataplane::service::Method;
use dataplane::testing::*;

use crate::common::*;
use crate::fragments::{burst, datagram};

/// Every order of three.
const ORDERS: [[usize; 3]; 6] = [
    [0, 1, 2],
    [0, 2, 1],
    [1, 0, 2],
    [1, 2, 0],
    [2, 0, 1],
    [2, 1, 0],
];

fn in_order(frames: &[Vec<u8>], order: [usize; 3]) -> Vec<Vec<u8>> {
    order.map(|number| frames[number].clone()).to_vec()
}

#[test]
fn fragments_leave_whatever_their_order_there_and_back() {
    for (method, to_server, from_server) in [
        (Method::Dr, (CLIENT, VIP), None),
        (Method::Nat, (CLIENT, RIP_1), Some((RIP_1, CLIENT))),
        (Method::Fullnat, (LIP, RIP_1), Some((RIP_1, LIP))),
    ] {
        for order in ORDERS {
            let mut gateway = gateway(Protocol::Udp, method);

            let sent = burst(
                &mut gateway,
                0,
                &in_order(&datagram().fragments(1_500), order),
            );

            let expected = on(datagram(), &hop(TO_SERVER, to_server, 63)).fragments(1_500);
            assert_eq!(sent, expected, "{method} {order:?}");
            let Some(ends) = from_server else { continue };

            let reply = on(datagram().id(5), &hop(FROM_SERVER, ends, 64));
            let sent = burst(&mut gateway, 1, &in_order(&reply.fragments(1_500), order));

            let expected = on(datagram().id(5), &hop(OUT, (VIP, CLIENT), 63)).fragments(1_500);
            assert_eq!(sent, expected, "{method} {order:?}");
        }
    }
}

#[test]
fn fragments_meet_wherever_they_arrive() {
    for method in [Method::Dr, Method::Nat, Method::Fullnat] {
        for (order, id) in ORDERS.into_iter().cycle().zip(0..60) {
            let service = service(Protocol::Udp, VIP).server(RIP_1, method);
            let mut gateway = serving(Setup::two_arm().workers(3), &service);

            // When each fragment arrives at a worker of its own.
            let frames = datagram().id(id).fragments(1_500);
            for (worker, number) in order.into_iter().enumerate() {
                let packet = MemoryPacket::new(&frames[number]);
                gateway.receive_at(worker, 0, packet);
            }

            let ends = match method {
                Method::Dr => (CLIENT, VIP),
                Method::Nat => (CLIENT, RIP_1),
                _ => {
                    let port = gateway.session().local.port;
                    (Endpoint::new(LIP.addr, port), RIP_1)
                }
            };
            let expected = on(datagram().id(id), &hop(TO_SERVER, ends, 63)).fragments(1_500);
            let sent = gateway.sent(1);
            assert_eq!(sent, expected, "{method} {id}");
            assert_eq!(gateway.session().in_packets, 1);
        }
    }
}

#[test]
fn fragmented_replies_find_the_owner_wherever_they_arrive() {
    for method in [Method::Nat, Method::Fullnat] {
        for order in ORDERS {
            let service = service(Protocol::Udp, VIP).server(RIP_1, method);
            let mut gateway = serving(Setup::two_arm().rss_workers(3), &service);
            gateway.receive(0, &udp().build());
            let local = Endpoint::new(
                if method == Method::Nat {
                    CLIENT.addr
                } else {
                    LIP.addr
                },
                gateway.session().local.port,
            );
            let _ = gateway.sent(1);

            let reply = on(datagram(), &hop(FROM_SERVER, (RIP_1, local), 64)).fragments(1_500);
            for (worker, number) in order.into_iter().enumerate() {
                gateway.receive_at(worker, 1, MemoryPacket::new(&reply[number]));
            }

            let expected = on(datagram(), &hop(OUT, (VIP, CLIENT), 63)).fragments(1_500);
            assert_eq!(gateway.sent(0), expected);
        }
    }
}

#[test]
fn a_nat_computes_the_udp_checksum_that_was_left_out_over_all_fragments() {
    for (method, server_sees) in [(Method::Nat, CLIENT), (Method::Fullnat, LIP)] {
        for order in ORDERS {
            let mut gateway = gateway(Protocol::Udp, method);
            let question = datagram().no_checksum().fragments(1_500);

            let sent = burst(&mut gateway, 0, &in_order(&question, order));

            let ends = (server_sees, RIP_1);
            let expected = on(datagram(), &hop(TO_SERVER, ends, 63)).fragments(1_500);
            assert_eq!(sent, expected, "{method}: with a checksum, and in order");

            let ends = (RIP_1, server_sees);
            let reply = on(datagram().no_checksum(), &hop(FROM_SERVER, ends, 64));
            let sent = burst(&mut gateway, 1, &in_order(&reply.fragments(1_500), order));

            let expected = on(datagram(), &hop(OUT, (VIP, CLIENT), 63)).fragments(1_500);
            assert_eq!(sent, expected, "{method}");
            assert_eq!(gateway.drops(DropReason::FragmentOverlap), 0);
        }
    }
}

#[test]
fn with_dr_a_udp_checksum_that_was_left_out_stays_out() {
    let mut gateway = gateway(Protocol::Udp, Method::Dr);
    let question = datagram().no_checksum();

    let sent = burst(&mut gateway, 0, &question.fragments(1_500));

    let expected = on(question, &hop(TO_SERVER, (CLIENT, VIP), 63));
    assert_eq!(sent, expected.fragments(1_500));
}

#[test]
fn fragmented_sctp_gets_its_crc_when_its_port_changes() {
    let packet = sctp().init().payload_len(3_000);
    for port in [80, 8_080] {
        for order in ORDERS {
            let server = endpoint([10, 2, 0, 11], port);
            let service = service(Protocol::Sctp, VIP).nat(server);
            let mut gateway = serving(Setup::two_arm(), &service);

            let frames = in_order(&packet.fragments(1_500), order);
            let sent = burst(&mut gateway, 0, &frames);

            let expected = on(packet.clone(), &hop(TO_SERVER, (CLIENT, server), 63));
            assert_eq!(sent, expected.fragments(1_500), "{port} {order:?}");
        }
    }
}

#[test]
fn an_incomplete_datagram_does_nothing() {
    let frames = datagram().fragments(1_500);
    for missing in 0..3 {
        // Given that a fragment is lost.
        let mut gateway = gateway(Protocol::Udp, Method::Nat);
        let mut lossy = frames.clone();
        let lost = lossy.remove(missing);
        assert!(burst(&mut gateway, 0, &lossy).is_empty());
        assert!(gateway.sessions().is_empty());
        assert_eq!(gateway.traffic(RIP_1).in_packets, 0);

        // When 30 seconds are over, then the others are gone, and what was late waits on its own.
        gateway.advance(Duration::from_secs(30));
        assert_eq!(gateway.drops(DropReason::FragmentTimeout), 2);
        assert!(burst(&mut gateway, 0, &[lost]).is_empty());
    }
}

#[test]
fn an_error_quotes_the_whole_datagram() {
    // Given a service without a server, and a datagram.
    let mut gateway = serving(Setup::two_arm(), &service(Protocol::Udp, VIP));
    for frame in datagram().fragments(1_000) {
        gateway.receive(0, &frame);
    }

    // Then the error says nothing of fragments.
    let way = hop(OUT, (Endpoint::new(VIP.addr, 0), CLIENT), 64);
    let expected = on(icmp_error(3, 3).about(&datagram().build()), &way);
    assert_eq!(gateway.sent(0), [expected.tos(0xc0).id(0).build()]);
}

#[test]
fn a_datagram_has_30_seconds_to_become_complete() {
    let mut gateway = gateway(Protocol::Udp, Method::Nat);
    let frames = datagram().fragments(1_500);
    assert!(burst(&mut gateway, 0, &frames[1..]).is_empty());

    gateway.advance(Duration::from_secs(29));

    assert_eq!(burst(&mut gateway, 0, &frames[..1]).len(), 3);
}

#[test]
fn a_datagram_that_overlaps_itself_goes_nowhere() {
    let frames = datagram().fragments(1_500);
    let at = |offset| {
        let part = udp().id(77).fragment_offset(offset);
        part.payload_len(64).build()
    };
    // Into the first, where it would overwrite the ports (RFC 1858), and among the later ones.
    for overlapping in [at(8), at(1_472), at(2_000)] {
        for order in ORDERS {
            let mut gateway = gateway(Protocol::Udp, Method::Nat);
            let mut all = in_order(&frames, order);
            all.insert(2, overlapping.clone());

            assert!(burst(&mut gateway, 0, &all).is_empty());

            assert!(gateway.drops(DropReason::FragmentOverlap) >= 3);
            assert!(gateway.sessions().is_empty());
        }
    }
}

#[test]
fn a_fragment_that_came_before_is_dropped_alone() {
    let mut gateway = gateway(Protocol::Udp, Method::Nat);
    let frames = datagram().fragments(1_500);
    let doubled = [0, 0, 1, 1, 2].map(|number: usize| frames[number].clone());

    assert_eq!(burst(&mut gateway, 0, &doubled).len(), 3);

    assert_eq!(gateway.drops(DropReason::FragmentOverlap), 2);
}

#[test]
fn a_datagram_of_too_many_fragments_goes_on_before_it_is_complete() {
    let mut gateway = gateway(Protocol::Udp, Method::Nat);
    let frames = datagram().fragments(68);
    assert_eq!(frames.len(), 63);

    let sent = burst(&mut gateway, 0, &frames);

    let expected = on(datagram(), &hop(TO_SERVER, (CLIENT, RIP_1), 63));
    assert_eq!(sent, expected.fragments(68));
    assert_eq!(gateway.session().in_bytes, 3_028);
}

#[test]
fn when_the_room_is_needed_what_waited_longest_goes_on_as_it_is() {
    // Given a datagram whose last fragment is late, and then 300 others that never end.
    let mut gateway = gateway(Protocol::Udp, Method::Nat);
    let frames = datagram().fragments(1_500);
    assert!(burst(&mut gateway, 0, &frames[..2]).is_empty());
    for number in 0..300 {
        let from = Endpoint::new(V4(0x0b00_0000 + number), 0);
        let stray = udp().from(from).fragment_offset(1_480).payload_len(8);
        gateway.receive(0, &stray.build());
    }

    // Then its first two have left, and the last one follows them.
    let expected = on(datagram(), &hop(TO_SERVER, (CLIENT, RIP_1), 63)).fragments(1_500);
    assert_eq!(gateway.sent(1), expected[..2]);
    assert_eq!(burst(&mut gateway, 0, &frames[2..]), expected[2..]);

    // But nothing that reaches into the first does.
    let into = udp().id(77).fragment_offset(1_472).payload_len(64);
    assert!(burst(&mut gateway, 0, &[into.build()]).is_empty());
    assert_eq!(gateway.drops(DropReason::FragmentOverlap), 1);
}

#[test]
fn a_flood_of_later_fragments_is_bounded_and_leaves_room_for_others() {
    let mut gateway = gateway(Protocol::Udp, Method::Nat);
    let frames = datagram().fragments(1_500);
    assert!(gateway.forward(&frames[0]).is_empty());
    let flood = |gateway: &mut TestGateway, count: u32| {
        for number in 0..count {
            let source = Endpoint::new(V4(0x0b00_0000 + number), 0);
            let stray = udp().from(source).fragment_offset(1_480).payload_len(8);
            gateway.receive(0, &stray.build());
        }
    };

    // When many more come than may wait, and then fragments whose first had to go on.
    flood(&mut gateway, 10_000);
    assert_eq!(gateway.sent(1).len(), 1);
    assert_eq!(burst(&mut gateway, 0, &frames[1..]).len(), 2);

    // Then 256 wait, and nothing was sent of the others.
    assert_eq!(gateway.drops(DropReason::FragmentNoRoom), 10_000 - 256);
    gateway.advance(Duration::from_secs(31));
    assert_eq!(gateway.drops(DropReason::FragmentTimeout), 256);

    // And one datagram has no more than 48 of the places.
    for number in 1..=60 {
        let stray = datagram().id(5).fragment_offset(number * 8).payload_len(8);
        gateway.receive(0, &stray.build());
    }
    assert_eq!(gateway.drops(DropReason::FragmentNoRoom), 10_000 - 256 + 12);
}

#[test]
fn a_flood_of_first_fragments_costs_no_more_than_the_places_they_have() {
    let mut gateway = gateway(Protocol::Udp, Method::Nat);

    // When 20,000 datagrams begin and none ends, half of them such as must be complete.
    for number in 0..20_000 {
        let from = Endpoint::new(V4(0x0b00_0000 + number), 1_024);
        let first = datagram().from(from);
        let first = if number % 2 == 0 {
            first
        } else {
            first.no_checksum()
        };
        gateway.receive(0, &first.fragments(1_500)[0]);
    }

    // Then 256 wait, the sessions are as many as the table has, and the next datagram passes.
    assert_eq!(gateway.drops(DropReason::FragmentNoRoom), 10_000 - 128);
    assert_eq!(gateway.sessions().len(), 4_096);
    let _ = gateway.sent(1);
    let sent = burst(&mut gateway, 0, &datagram().fragments(1_500));
    let expected = on(datagram(), &hop(TO_SERVER, (CLIENT, RIP_1), 63));
    assert!(sent.ends_with(&expected.fragments(1_500)));
}
