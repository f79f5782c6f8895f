//! ICMP errors that are about no session here, about another worker's, or about anything.

use std::time::Duration;

use dataplane::address::{Endpoint, Protocol, V4};
use dataplane::drop_reason::DropReason;
use dataplane::io::memory::MemoryPacket;
use dataplane::service::Method;
use dataplane::testing::*;
use proptest::prelude::*;

use crate::common::*;
use crate::related::*;

#[test]
fn what_is_about_no_session_is_linuxs() {
    let answer = || on(udp().payload_len(40), &hop(OUT, (VIP, CLIENT), 63));
    let error = |kind, about: &[u8]| from_outside(kind, 0, about);
    let whole = answer().build();
    let other_client = answer().to(client(1)).build();
    let later_fragment = answer().fragment_offset(8).build();
    let tcp = on(tcp(), &hop(OUT, (VIP, CLIENT), 63)).build();
    let frames = [
        ("redirect", error(5, &whole)),
        ("parameter problem", error(12, &whole)),
        ("another client's", error(3, &other_client)),
        ("another transport's", error(3, &tcp)),
        ("a later fragment quoted", error(3, &later_fragment)),
        ("too little quoted", error(3, &whole).cut(8 + 20 + 3)),
        ("no quotation", error(3, &whole).cut(8)),
        ("half a header", error(3, &whole).cut(7)),
        ("a first fragment itself", error(3, &whole).more_fragments()),
        ("an echo", icmp_echo().payload(&whole[14..])),
    ];
    for (name, frame) in frames {
        for method in [Method::Dr, Method::Nat, Method::Tun, Method::Fullnat] {
            let mut gateway = with_session(&TALKS[1], method);

            let sent = gateway.forward(&frame.build());

            assert!(sent.is_empty(), "{name} by {method}");
            assert_eq!(gateway.punted(CLIENT_SIDE), [frame.build()], "{name}");
            assert_eq!(gateway.moved(), [("received", 1), ("host", 1)], "{name}");
        }
    }
}

#[test]
fn an_error_about_an_answer_may_be_for_any_address_and_one_about_a_request_only_for_its_sender() {
    let mut gateway = with_session(&TALKS[1], Method::Nat);
    let answer = |ends| on(udp().no_checksum(), &hop(OUT, ends, 63)).build();
    let request = on(udp(), &hop(TO_SERVER, (CLIENT, SERVER), 63)).build();
    let [dip_outside, dip_inside] =
        [DIP_CLIENT_SIDE, DIP_SERVER_SIDE].map(|addr| Endpoint::new(addr, 0));

    let error = from_outside(3, 3, &answer((VIP, CLIENT))).to(dip_outside);
    let sent = gateway.forward(&error.build());
    let about = answer((SERVER, CLIENT));
    assert_eq!(
        sent,
        [forwarded(3, 3, &about, TO_SERVER, (OUTSIDE, SERVER))]
    );

    let error = from_inside(3, 3, &request, dip_inside).build();
    assert!(gateway.forward_from(1, &error).is_empty());
    assert_eq!(gateway.punted(SERVER_SIDE), [error]);
}

#[test]
fn a_router_takes_from_an_error_that_is_not_for_the_gateway_before_ipvs_does() {
    let stranger = endpoint([203, 0, 113, 7], 0);
    let answer = on(udp().no_checksum(), &hop(OUT, (VIP, CLIENT), 63)).build();
    for (to, ttl, left) in [
        (VIP, 2, Some(1)),
        (stranger, 64, Some(62)),
        (stranger, 3, Some(1)),
        (stranger, 2, None),
        (stranger, 1, None),
    ] {
        let mut gateway = with_session(&TALKS[1], Method::Dr);
        let error = from_outside(3, 3, &answer).to(to);

        let sent = gateway.forward(&error.clone().ttl(ttl).build());

        let expected = left.map(|ttl| on(error, &hop(TO_SERVER, (OUTSIDE, to), ttl)).build());
        assert_eq!(sent, Vec::from_iter(expected), "{ttl} to {to}");
        // What a router drops has not come to IPVS.
        let counted = gateway.session().in_packets - 1;
        assert_eq!(counted, u64::from(ttl > 1), "{ttl} to {to}");
    }
}

#[test]
fn an_error_in_a_frame_to_a_group_is_linuxs() {
    let mut gateway = with_session(&TALKS[1], Method::Nat);
    let answer = on(udp(), &hop(OUT, (VIP, CLIENT), 63)).build();
    let error = from_outside(3, 3, &answer).eth_to(dataplane::address::MacAddr::BROADCAST);

    assert!(gateway.forward(&error.build()).is_empty());

    assert_eq!(gateway.moved(), [("received", 1), ("host", 1)]);
}

#[test]
fn a_client_with_moved_sequence_numbers_reads_its_own() {
    // Given a local port that its second client got with its sequence numbers moved.
    let service = service(Protocol::Tcp, VIP)
        .local(LIP.addr, LIP.port..=LIP.port)
        .fullnat(RIP_1);
    let mut gateway = serving(Setup::two_arm(), &service);
    for segment in [tcp().syn(), tcp().seq(1_001), tcp().rst().seq(1_001)] {
        gateway.receive(0, &segment.from(client(1_111)).build());
    }
    gateway.advance(Duration::from_secs(11));
    let second = client(2_222);
    gateway.receive(0, &tcp().syn().seq(70).from(second).build());
    let moved = gateway.session().seq_delta.expect("it was moved");
    let _ = [gateway.sent(0), gateway.sent(1)];

    // When its data gets an error.
    let data =
        |seq: u32, ends| on(tcp().seq(seq).payload(b"GET"), &hop(TO_SERVER, ends, 63)).build();
    let got = data(71_u32.wrapping_add(moved), (LIP, RIP_1));
    let error = gateway.forward_from(1, &from_inside(3, 1, &got, LIP).build());

    let sent = as_quoted(Protocol::Tcp, data(71, (second, VIP)), &got);
    let ends = (Endpoint::new(VIP.addr, 0), second);
    assert_eq!(error, [forwarded(3, 1, &sent, OUT, ends)]);
}

#[test]
fn errors_reach_the_owner_of_their_session_from_any_worker() {
    let setups: [fn() -> Setup; 2] = [
        || Setup::two_arm().workers(3),
        || Setup::two_arm().rss_workers(3),
    ];
    for (setup, method) in setups.into_iter().flat_map(|setup| {
        [Method::Dr, Method::Nat, Method::Tun, Method::Fullnat].map(|m| (setup, m))
    }) {
        let service = service(Protocol::Udp, VIP)
            .local(LIP.addr, 20_000..=20_999)
            .server(RIP_1, method);
        let mut gateway = serving(setup(), &service);
        for port in 40_000..40_020 {
            gateway.receive(0, &udp().from(client(port)).build());
        }
        let _ = [gateway.sent(0), gateway.sent(1)];
        let sessions = gateway.sessions();
        assert_eq!(sessions.len(), 20);

        for (at, session) in sessions
            .iter()
            .flat_map(|session| [0, 1, 2].map(|at| (at, session)))
        {
            let from = v4(session.client);
            let local = if method.sees_replies() {
                v4(session.local)
            } else {
                from
            };
            let server = if method.sees_replies() { RIP_1 } else { VIP };
            let answer = on(udp(), &hop(OUT, (VIP, from), 63)).build();
            let request = on(udp(), &hop(TO_SERVER, (local, server), 63)).build();
            let outside = from_outside(3, 3, &answer).build();
            let inside = from_inside(3, 3, &request, local).build();

            gateway.receive_at(at, 0, MemoryPacket::new(&outside));
            gateway.receive_at(at, 1, MemoryPacket::new(&inside));

            assert_eq!(gateway.sent(1).len(), 1, "{method} {from} at {at}");
            assert_eq!(gateway.sent(0).len(), 1, "{method} {from} at {at}");
        }
        let (punted, hits) = (
            gateway.punted(CLIENT_SIDE).len(),
            gateway.sum(|c| &c.session_hits),
        );
        assert_eq!((punted, hits), (0, 2 * 3 * 20), "{method}");
    }
}

fn v4(end: Endpoint<std::net::IpAddr>) -> Endpoint<V4> {
    let std::net::IpAddr::V4(addr) = end.addr else {
        unreachable!("a session of IPv4");
    };
    Endpoint::new(addr.into(), end.port)
}

#[test]
fn an_error_nobody_knows_visits_each_candidate_once_and_is_linuxs() {
    let service = service(Protocol::Udp, VIP).nat(RIP_1).dr(RIP_2);
    let mut gateway = serving(Setup::two_arm().workers(4), &service);
    let quotations = [
        (on(udp(), &hop(OUT, (VIP, CLIENT), 63)), VIP),
        (on(udp(), &hop(TO_SERVER, (CLIENT, RIP_1), 63)), CLIENT),
        (on(udp(), &hop(TO_SERVER, (CLIENT, VIP), 63)), CLIENT),
    ];
    for (quoted, to) in quotations {
        for at in 0..4 {
            let error = icmp_error(3, 3)
                .about(&quoted.build())
                .from(OUTSIDE)
                .to(to)
                .build();
            gateway.receive_at(at, 0, MemoryPacket::new(&error));

            assert_eq!(gateway.punted(CLIENT_SIDE), [error]);
        }
        // Each has one owner: only the worker that is it does not hand it over.
        assert_eq!(gateway.sum(|c| &c.taken_over) % 3, 0);
    }
    assert_eq!(gateway.sum(|c| &c.taken_over), 9);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_an_error_quotes_its_checksums_come_out_right(
        kind in proptest::sample::select(&ERRORS[..]),
        payload in proptest::collection::vec(any::<u8>(), 0..600),
        (tos, id, ttl) in (any::<u8>(), any::<u16>(), any::<u8>()),
        options in 0..3_usize,
        quoted in 24..600_usize,
        fullnat: bool,
        outwards: bool,
    ) {
        let (method, local) = NAT_AND_FULLNAT[usize::from(fullnat)];
        let mut gateway = with_session(&TALKS[1], method);
        let datagram = udp().payload(&payload).tos(tos).id(id).ttl(ttl);
        let datagram = datagram.ip_options(&[148, 4, 0, 0].repeat(options));
        let cut = 8 + 4 * options + quoted;

        let (ethdev, error) = if outwards {
            let about = datagram.from(local).to(SERVER).build();
            (1, from_inside(kind.0, kind.1, &about, local))
        } else {
            let about = datagram.from(VIP).to(CLIENT).build();
            (0, from_outside(kind.0, kind.1, &about))
        };
        let error = with_message_checksum(error.cut(cut).build());
        let sent = gateway.forward_from(ethdev, &error);

        prop_assert_eq!(sent.len(), 1);
        prop_assert_eq!(sent[0].len(), error.len());
        prop_assert!(is_sound(&sent[0]));
    }

    #[test]
    fn any_bytes_behind_an_icmp_header_are_survived(
        mut message in proptest::collection::vec(any::<u8>(), 0..120),
        kind in proptest::sample::select(&ERRORS[..]),
        method in proptest::sample::select(&crate::history::METHODS[..]),
        keeps_addresses: bool,
    ) {
        // Given bytes that look like an error about the session's packets as far as they go.
        let mut gateway = with_session(&TALKS[1], method);
        let about = on(udp(), &hop(OUT, (VIP, CLIENT), 63)).build();
        let error = from_outside(kind.0, kind.1, &about).build();
        if keeps_addresses {
            let pattern = &error[34..];
            for place in [0, 1, 8, 14, 15, 17].into_iter().chain(20..32) {
                if let (Some(to), Some(from)) = (message.get_mut(place), pattern.get(place)) {
                    *to = *from;
                }
            }
        }
        let mut frame = ip(1).from(OUTSIDE).payload(&message).build();
        if message.len() >= 8 {
            frame = with_message_checksum(frame);
        }

        let sent = gateway.forward(&frame);

        let fates = sent.len() + gateway.punted(CLIENT_SIDE).len();
        let dropped = DropReason::ALL.iter().map(|reason| gateway.drops(*reason)).sum::<u64>();
        prop_assert_eq!(fates as u64 + dropped, 1);
    }
}
