//! Where packet buffers come from and go to: fragments and ICMP errors out of the mempool, and
//! more packets than there are buffers.

use dataplane::address::{Endpoint, Protocol};
use dataplane::drop_reason::DropReason;
use dataplane::service::Method;
use dataplane::testing::*;

use crate::case::{At, Case, METHODS, tunnel};
use crate::gateway::{BUFFERS, PcapGateway};

fn at(ethdev: u16, frames: Vec<Vec<u8>>) -> Vec<At> {
    frames.into_iter().map(|frame| (ethdev, frame)).collect()
}

#[test]
fn a_packet_too_large_for_its_link_is_cut_if_it_may_be() {
    let question = udp().payload_len(1_472);
    for method in METHODS {
        let to_server = |ends| on(question.clone(), &hop(TO_SERVER, ends, 63));
        let expected = match method {
            Method::Dr => to_server((CLIENT, VIP)).fragments(1_400),
            Method::Nat => to_server((CLIENT, RIP_1)).fragments(1_400),
            Method::Fullnat => to_server((LIP, RIP_1)).fragments(1_400),
            Method::Tun => tunnel(&question.clone().ttl(63).build()).fragments(1_400),
        };
        assert_eq!(expected.len(), 2);
        let case = Case {
            setup: Setup::two_arm().mtu(SERVER_SIDE, 1_400),
            service: service(Protocol::Udp, VIP).server(RIP_1, method),
            arriving: vec![(0, question.build())],
            leaving: at(1, expected),
        };

        case.check(&method.to_string());
    }
}

#[test]
fn fragments_follow_their_first_there_and_back() {
    let datagram = |id| udp().id(id).payload_len(3_000);
    let fragments = |id, way| on(datagram(id), &way).fragments(1_500);
    for (method, ends) in [
        (Method::Nat, (CLIENT, RIP_1)),
        (Method::Fullnat, (LIP, RIP_1)),
    ] {
        let question = fragments(77, hop(IN, (CLIENT, VIP), 64));
        let answer = fragments(5, hop(FROM_SERVER, (ends.1, ends.0), 64));
        let case = Case {
            setup: Setup::two_arm(),
            service: service(Protocol::Udp, VIP).server(RIP_1, method),
            arriving: [at(0, question), at(1, answer)].concat(),
            leaving: [
                at(1, fragments(77, hop(TO_SERVER, ends, 63))),
                at(0, fragments(5, hop(OUT, (VIP, CLIENT), 63))),
            ]
            .concat(),
        };

        case.check(&method.to_string());
    }
}

#[test]
fn too_big_with_df_is_answered_with_the_mtu() {
    let question = udp().dont_fragment().payload_len(1_400);
    let ends = (Endpoint::new(VIP.addr, 0), CLIENT);
    for (method, mtu) in METHODS.into_iter().zip([1_400, 1_400, 1_380, 1_400]) {
        let about = question.clone().ttl(63).build();
        let error = on(icmp_error(3, 4).about(&about), &hop(OUT, ends, 64));
        let case = Case {
            setup: Setup::two_arm().mtu(SERVER_SIDE, 1_400),
            service: service(Protocol::Udp, VIP).server(RIP_1, method),
            arriving: vec![(0, question.build())],
            leaving: vec![(0, error.tos(0xc0).id(0).mtu(mtu).build())],
        };

        let moved = case.check(&method.to_string());

        let expected = [
            ("received", 1),
            ("transmitted", 1),
            ("created", 1),
            ("icmp_errors", 1),
            (DropReason::TooBig.name(), 1),
        ];
        assert_eq!(moved, expected);
    }
}

#[test]
fn more_packets_than_buffers_pass_in_order() {
    // Given twice as many clients as the mempool has buffers.
    let count = u16::try_from(2 * BUFFERS).unwrap();
    let datagram = |n: u16, stations, server, ttl| {
        let client = Endpoint::new(CLIENT.addr, 10_000 + n);
        let way = hop(stations, (client, server), ttl);
        // Of different lengths, up to a full frame.
        on(udp().payload_len(usize::from(n) * 2), &way).build()
    };
    let case = Case {
        setup: Setup::two_arm(),
        service: service(Protocol::Udp, VIP).nat(RIP_1),
        arriving: (0..count).map(|n| (0, datagram(n, IN, VIP, 64))).collect(),
        leaving: (0..count)
            .map(|n| (1, datagram(n, TO_SERVER, RIP_1, 63)))
            .collect(),
    };

    let moved = case.check("many clients");

    let count = u64::from(count);
    assert_eq!(
        moved,
        [
            ("received", count),
            ("transmitted", count),
            ("created", count)
        ]
    );
}

#[test]
fn a_frame_longer_than_a_buffer_is_dropped_by_name() {
    // What lies in one piece in memory lies in two buffers here.
    let services = [service(Protocol::Udp, VIP).dr(RIP_1)];
    let mut gateway = PcapGateway::start(Setup::two_arm(), &services);
    gateway.put(0, &udp().payload_len(3_000).build());

    gateway.settle();

    let dropped = DropReason::MultiSegment.name();
    assert_eq!(gateway.moved(), [("received", 1), (dropped, 1)]);
    assert_eq!(gateway.stop(), [vec![], Vec::<Vec<u8>>::new()]);
}
