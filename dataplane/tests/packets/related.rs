//! ICMP errors about packets of sessions, byte for byte: each side reads of a packet as it sent it.

use std::time::Duration;

use dataplane::address::{Endpoint, Protocol, V4};
use dataplane::counters::TrafficTotals;
use dataplane::drop_reason::DropReason;
use dataplane::io::memory::MemoryPacket;
use dataplane::service::Method;
use dataplane::session::State;
use dataplane::testing::*;
use etherparse::{Icmpv4Slice, Ipv4HeaderSlice};
use proptest::prelude::*;

use crate::common::*;

/// A router between the clients and the gateway.
const OUTSIDE: Endpoint<V4> = endpoint([192, 0, 2, 1], 0);
/// A router between the gateway and the servers.
const INSIDE: Endpoint<V4> = endpoint([10, 2, 0, 254], 0);

/// Every error that is about a packet's delivery.
const ERRORS: [(u8, u8); 6] = [(3, 0), (3, 1), (3, 3), (3, 4), (4, 0), (11, 1)];

/// The only session's server, on another port than the service.
const SERVER: Endpoint<V4> = endpoint([10, 2, 0, 11], 8_080);

const NAT_AND_FULLNAT: [(Method, Endpoint<V4>); 2] =
    [(Method::Nat, CLIENT), (Method::Fullnat, LIP)];

/// A gateway with one session of this transport to [`SERVER`], opened by [`CLIENT`].
fn with_session(talk: &Talk, method: Method) -> TestGateway {
    with_session_on(Setup::two_arm(), talk, method)
}

fn with_session_on(setup: Setup, talk: &Talk, method: Method) -> TestGateway {
    let server = match method {
        Method::Dr | Method::Tun => RIP_1,
        Method::Nat | Method::Fullnat => SERVER,
    };
    let service = service(talk.protocol, VIP).server(server, method);
    let mut gateway = serving(setup, &service);
    let sent = gateway.forward(&talk.packet(Step::Open, &hop(IN, (CLIENT, VIP), 64)));
    assert_eq!(sent.len(), 1);
    let _ = gateway.moved();
    gateway
}

/// An error about a packet; one about its size names an MTU.
fn said(kind: u8, code: u8, about: &[u8]) -> Builder<Icmp> {
    let error = icmp_error(kind, code).about(about);
    if (kind, code) == (3, 4) {
        error.mtu(1_400)
    } else {
        error
    }
}

/// What a client, or a router before it, says of the VIP's answer.
fn from_outside(kind: u8, code: u8, answer: &[u8]) -> Builder<Icmp> {
    let way = hop(IN, (OUTSIDE, VIP), 64);
    on(said(kind, code, answer), &way)
}

/// What a server, or a router before it, says of a packet that `sender` sent.
fn from_inside(kind: u8, code: u8, request: &[u8], sender: Endpoint<V4>) -> Builder<Icmp> {
    let way = hop(FROM_SERVER, (INSIDE, sender), 64);
    on(said(kind, code, request), &way)
}

/// The error with other stations and ends, and one hop less to live.
fn forwarded(
    kind: u8,
    code: u8,
    about: &[u8],
    stations: (dataplane::address::MacAddr, dataplane::address::MacAddr),
    ends: (Endpoint<V4>, Endpoint<V4>),
) -> Vec<u8> {
    let error = said(kind, code, about);
    on(error, &hop(stations, ends, 63)).build()
}

/// A packet between other ends, but with the transport checksum of `sent`: nobody can tell what
/// the checksum of a quoted packet would have been.
fn as_quoted(protocol: Protocol, mut readdressed: Vec<u8>, sent: &[u8]) -> Vec<u8> {
    let place = match protocol {
        Protocol::Tcp => 50..52,
        Protocol::Udp => 40..42,
        Protocol::Sctp => 42..46,
    };
    readdressed[place.clone()].copy_from_slice(&sent[place]);
    readdressed
}

/// Whether another implementation finds all three checksums of an error right.
fn is_sound(frame: &[u8]) -> bool {
    let header_is_sound = |bytes: &[u8]| {
        let header = Ipv4HeaderSlice::from_slice(bytes).map(|header| header.to_header());
        header.is_ok_and(|header| header.calc_header_checksum() == header.header_checksum)
    };
    let message_is_sound = Icmpv4Slice::from_slice(&frame[34..]).is_ok_and(|message| {
        let computed = message.icmp_type().calc_checksum(message.payload());
        computed == message.checksum()
    });
    header_is_sound(&frame[14..]) && header_is_sound(&frame[42..]) && message_is_sound
}

#[test]
fn an_error_about_an_answer_reaches_the_server_in_its_own_words() {
    for talk in TALKS {
        for (method, local) in NAT_AND_FULLNAT {
            for (kind, code) in ERRORS {
                let mut gateway = with_session(&talk, method);
                // Given an answer as the client gets it, and as its server sent it.
                let got = talk.packet(Step::Answer, &hop(OUT, (VIP, CLIENT), 63));
                let sent = talk.packet(Step::Answer, &hop(OUT, (SERVER, local), 63));
                let sent = as_quoted(talk.protocol, sent, &got);

                let error = gateway.forward(&from_outside(kind, code, &got).build());

                let expected = forwarded(kind, code, &sent, TO_SERVER, (OUTSIDE, SERVER));
                assert_eq!(error, [expected], "{} by {method}", talk.protocol);
                assert!(is_sound(&error[0]));
                let moved = [("received", 1), ("transmitted", 1), ("hits", 1)];
                assert_eq!(gateway.moved(), moved);
            }
        }
    }
}

#[test]
fn an_error_about_a_request_reaches_the_client_in_its_own_words_and_from_the_vip() {
    for talk in TALKS {
        for (method, local) in NAT_AND_FULLNAT {
            for (kind, code) in ERRORS {
                let mut gateway = with_session(&talk, method);
                // Given a request as the server gets it, and as the client sent it.
                let got = talk.packet(Step::Open, &hop(TO_SERVER, (local, SERVER), 63));
                let sent = talk.packet(Step::Open, &hop(TO_SERVER, (CLIENT, VIP), 63));
                let sent = as_quoted(talk.protocol, sent, &got);

                let error = from_inside(kind, code, &got, local).build();
                let error = gateway.forward_from(1, &error);

                let ends = (Endpoint::new(VIP.addr, 0), CLIENT);
                let expected = forwarded(kind, code, &sent, OUT, ends);
                assert_eq!(error, [expected], "{} by {method}", talk.protocol);
                assert!(is_sound(&error[0]));
                let moved = [("received", 1), ("transmitted", 1), ("hits", 1)];
                assert_eq!(gateway.moved(), moved);
            }
        }
    }
}

#[test]
fn a_dr_server_gets_errors_about_its_answers_as_they_are() {
    for talk in TALKS {
        let mut gateway = with_session(&talk, Method::Dr);
        let answer = talk.packet(Step::Answer, &hop(OUT, (VIP, CLIENT), 63));

        let error = gateway.forward(&from_outside(3, 4, &answer).build());

        let expected = forwarded(3, 4, &answer, TO_SERVER, (OUTSIDE, VIP));
        assert_eq!(error, [expected]);

        // The checksum is not looked at, since nothing under it changes.
        let wrong = from_outside(3, 4, &answer).bad_checksum();
        let expected = on(wrong.clone(), &hop(TO_SERVER, (OUTSIDE, VIP), 63));
        assert_eq!(gateway.forward(&wrong.build()), [expected.build()]);
    }
}

#[test]
fn a_tun_server_gets_errors_about_its_answers_through_its_tunnel() {
    for talk in TALKS {
        let mut gateway = with_session(&talk, Method::Tun);
        let answer = talk.packet(Step::Answer, &hop(OUT, (VIP, CLIENT), 63));

        let error = gateway.forward(&from_outside(3, 4, &answer).build());

        let inner = forwarded(3, 4, &answer, TO_SERVER, (OUTSIDE, VIP));
        let ends = (Endpoint::new(DIP_SERVER_SIDE, 0), RIP_1);
        // The worker's second tunnel packet: the first carried the session's first.
        let outer = ip(4).payload(&inner[14..]).id(1);
        assert_eq!(error, [on(outer, &hop(TO_SERVER, ends, 63)).build()]);
    }
}

#[test]
fn what_dr_and_tun_send_unchanged_gets_errors_unchanged() {
    for method in [Method::Dr, Method::Tun] {
        for talk in TALKS {
            let mut gateway = with_session(&talk, method);
            let request = talk.packet(Step::Open, &hop(TO_SERVER, (CLIENT, VIP), 63));

            // The checksum is not looked at, since nothing under it changes.
            let error = from_inside(11, 0, &request, CLIENT).bad_checksum().build();
            let sent = gateway.forward_from(1, &error);

            let expected = on(said(11, 0, &request), &hop(OUT, (INSIDE, CLIENT), 63));
            assert_eq!(sent, [expected.bad_checksum().build()], "{method}");
            assert_eq!(gateway.traffic(RIP_1).out_packets, 1);
        }
    }
}

#[test]
fn errors_count_for_session_and_server_but_move_neither_state_nor_time_out() {
    // Given a TCP session in SYN_RECV, which lasts 60 s.
    let mut gateway = with_session(&TALKS[0], Method::Nat);
    let got = on(tcp().syn_ack(), &hop(OUT, (VIP, CLIENT), 63)).build();
    let sent = on(tcp().syn(), &hop(TO_SERVER, (CLIENT, SERVER), 63)).build();
    let before = gateway.traffic(SERVER);
    gateway.advance(Duration::from_secs(59));

    // When an error comes from each side.
    gateway.receive(0, &from_outside(3, 1, &got).build());
    gateway.receive(1, &from_inside(3, 1, &sent, CLIENT).build());

    let bytes = 20 + 8 + 40;
    let expected = TrafficTotals {
        in_packets: before.in_packets + 1,
        in_bytes: before.in_bytes + bytes,
        out_packets: 1,
        out_bytes: bytes,
        ..before
    };
    assert_eq!(gateway.traffic(SERVER), expected);
    let session = gateway.session();
    assert_eq!(session.state, State::SynRecv);
    assert_eq!((session.in_packets, session.out_packets), (2, 1));
    gateway.advance(Duration::from_secs(2));
    assert_eq!(gateway.sessions().len(), 0);
}

#[test]
fn an_error_with_a_wrong_checksum_is_dropped_where_it_would_be_rewritten() {
    for (method, local) in NAT_AND_FULLNAT {
        let mut gateway = with_session(&TALKS[1], method);
        let answer = on(udp(), &hop(OUT, (VIP, CLIENT), 63)).build();

        let sent = gateway.forward(&from_outside(3, 3, &answer).bad_checksum().build());

        assert!(sent.is_empty(), "{method}");
        assert_eq!(gateway.moved(), [("received", 1), ("bad_icmp_checksum", 1)]);

        let mut gateway = with_session(&TALKS[1], method);
        let request = on(udp(), &hop(TO_SERVER, (local, SERVER), 63)).build();

        let error = from_inside(3, 3, &request, local).bad_checksum();
        let sent = gateway.forward_from(1, &error.build());

        assert!(sent.is_empty(), "{method}");
        assert_eq!(gateway.drops(DropReason::BadIcmpChecksum), 1);
    }
}

#[test]
fn an_error_whose_time_to_live_ends_here_is_dropped_without_another_error() {
    for method in [Method::Dr, Method::Nat, Method::Tun, Method::Fullnat] {
        let mut gateway = with_session(&TALKS[1], method);
        let answer = on(udp(), &hop(OUT, (VIP, CLIENT), 63)).build();

        let sent = gateway.forward(&from_outside(3, 3, &answer).ttl(1).build());

        assert!(sent.is_empty(), "{method}");
        let moved = [("received", 1), ("hits", 1), ("ttl_expired", 1)];
        assert_eq!(gateway.moved(), moved);
    }
    // Going to the server it counts; going to the client it does not.
    let mut gateway = with_session(&TALKS[1], Method::Nat);
    let answer = on(udp(), &hop(OUT, (VIP, CLIENT), 63)).build();
    let request = on(udp(), &hop(TO_SERVER, (CLIENT, SERVER), 63)).build();
    gateway.receive(0, &from_outside(3, 3, &answer).ttl(1).build());
    gateway.receive(1, &from_inside(3, 3, &request, CLIENT).ttl(1).build());
    let counted = gateway.traffic(SERVER);
    assert_eq!((counted.in_packets, counted.out_packets), (2, 0));
}

#[test]
fn an_error_larger_than_its_way_goes_in_pieces_or_not_at_all() {
    let setup = Setup::two_arm().mtu(SERVER_SIDE, 300);
    let mut gateway = with_session_on(setup, &TALKS[1], Method::Nat);
    let answer = on(udp().payload_len(400), &hop(OUT, (VIP, CLIENT), 63)).build();
    let error = from_outside(3, 3, &answer);

    assert_eq!(gateway.forward(&error.clone().build()).len(), 2);
    assert!(gateway.forward(&error.dont_fragment().build()).is_empty());

    assert_eq!(gateway.drops(DropReason::TooBig), 1);
    assert_eq!(gateway.sum(|c| &c.icmp_errors), 0);
}

#[test]
fn errors_about_sessions_of_a_removed_server_still_pass_and_are_not_counted() {
    let mut gateway = with_session(&TALKS[1], Method::Nat);
    let counted = gateway.traffic(SERVER);
    gateway.serve(&[service(Protocol::Udp, VIP).nat(RIP_2)]);
    let answer = on(udp(), &hop(OUT, (VIP, CLIENT), 63)).build();

    let sent = gateway.forward(&from_outside(3, 3, &answer).build());

    assert_eq!(sent.len(), 1);
    assert_eq!(gateway.traffic(SERVER), counted);
}

#[test]
fn options_in_the_quoted_header_are_passed_over() {
    let alert = [148, 4, 0, 0];
    let mut gateway = with_session(&TALKS[1], Method::Nat);
    let quoted = |ends| {
        let datagram = udp().ip_options(&alert).no_checksum().payload(b"answer");
        on(datagram, &hop(OUT, ends, 63)).build()
    };

    let error = from_outside(3, 3, &quoted((VIP, CLIENT))).ip_options(&alert);
    let sent = gateway.forward(&error.build());

    let expected = said(3, 3, &quoted((SERVER, CLIENT)));
    let expected = on(expected, &hop(TO_SERVER, (OUTSIDE, SERVER), 63));
    assert_eq!(sent, [expected.ip_options(&alert).build()]);
}

#[test]
fn the_quoted_ports_are_enough() {
    for (method, local) in NAT_AND_FULLNAT {
        let mut gateway = with_session(&TALKS[0], method);
        let segment = |ends| on(tcp().data(b"200"), &hop(OUT, ends, 63)).build();
        let cut = 8 + 20 + 4;
        let error = from_outside(3, 1, &segment((VIP, CLIENT))).cut(cut).build();

        // The builder cuts after the checksum.
        let sent = gateway.forward(&with_message_checksum(error));

        let about = said(3, 1, &segment((SERVER, local)));
        let expected = on(about.cut(cut), &hop(TO_SERVER, (OUTSIDE, SERVER), 63)).build();
        assert_eq!(sent, [with_message_checksum(expected)], "{method}");
    }
}

/// The same error with the right checksum of what is left of its message.
fn with_message_checksum(mut frame: Vec<u8>) -> Vec<u8> {
    if let Ok((mut message, rest)) = dataplane::wire::icmp::IcmpMut::parse(&mut frame[34..]) {
        message.fill_checksum(rest);
    }
    frame
}

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
