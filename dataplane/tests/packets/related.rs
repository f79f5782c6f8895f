//! ICMP errors about packets of sessions, byte for byte: each side reads of a packet as it sent it.

use std::time::Duration;

use dataplane::address::{Endpoint, Protocol, V4};
use dataplane::counters::TrafficTotals;
use dataplane::drop_reason::DropReason;
use dataplane::schedule::load::Rules;
use dataplane::service::Method;
use dataplane::session::State;
use dataplane::testing::*;
use etherparse::{Icmpv4Slice, Ipv4HeaderSlice};

/// A router between the clients and the gateway.
pub(crate) const OUTSIDE: Endpoint<V4> = endpoint([192, 0, 2, 1], 0);
/// A router between the gateway and the servers.
pub(crate) const INSIDE: Endpoint<V4> = endpoint([10, 2, 0, 254], 0);

/// Every error that is about a packet's delivery.
pub(crate) const ERRORS: [(u8, u8); 6] = [(3, 0), (3, 1), (3, 3), (3, 4), (4, 0), (11, 1)];

/// The only session's server, on another port than the service.
pub(crate) const SERVER: Endpoint<V4> = endpoint([10, 2, 0, 11], 8_080);

pub(crate) const NAT_AND_FULLNAT: [(Method, Endpoint<V4>); 2] =
    [(Method::Nat, CLIENT), (Method::Fullnat, LIP)];

/// A gateway with one session of this transport to [`SERVER`], opened by [`CLIENT`].
pub(crate) fn with_session(talk: &Talk, method: Method) -> TestGateway {
    with_session_on(Setup::two_arm(), talk, method)
}

pub(crate) fn with_session_on(setup: Setup, talk: &Talk, method: Method) -> TestGateway {
    begun(setup.start(), talk, method)
}

/// The gateway with a session.
fn begun(mut gateway: TestGateway, talk: &Talk, method: Method) -> TestGateway {
    let server = match method {
        Method::Dr | Method::Tun => RIP_1,
        Method::Nat | Method::Fullnat => SERVER,
    };
    let service = service(talk.protocol, VIP).server(server, method);
    gateway.serve(&[service]);
    let sent = gateway.forward(&talk.packet(Step::Open, &hop(IN, (CLIENT, VIP), 64)));
    assert_eq!(sent.len(), 1);
    let _ = gateway.moved();
    gateway
}

/// An error about a packet; one about its size names an MTU.
pub(crate) fn said(kind: u8, code: u8, about: &[u8]) -> Builder<Icmp> {
    let error = icmp_error(kind, code).about(about);
    if (kind, code) == (3, 4) {
        error.mtu(1_400)
    } else {
        error
    }
}

/// What a client, or a router before it, says of the VIP's answer.
pub(crate) fn from_outside(kind: u8, code: u8, answer: &[u8]) -> Builder<Icmp> {
    let way = hop(IN, (OUTSIDE, VIP), 64);
    on(said(kind, code, answer), &way)
}

/// What a server, or a router before it, says of a packet that `sender` sent.
pub(crate) fn from_inside(
    kind: u8,
    code: u8,
    request: &[u8],
    sender: Endpoint<V4>,
) -> Builder<Icmp> {
    let way = hop(FROM_SERVER, (INSIDE, sender), 64);
    on(said(kind, code, request), &way)
}

/// The error with other stations and ends, and one hop less to live.
pub(crate) fn forwarded(
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
pub(crate) fn as_quoted(protocol: Protocol, mut readdressed: Vec<u8>, sent: &[u8]) -> Vec<u8> {
    let place = match protocol {
        Protocol::Tcp => 50..52,
        Protocol::Udp => 40..42,
        Protocol::Sctp => 42..46,
    };
    readdressed[place.clone()].copy_from_slice(&sent[place]);
    readdressed
}

/// Whether another implementation finds all three checksums of an error right.
pub(crate) fn is_sound(frame: &[u8]) -> bool {
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
fn by_the_old_rules_an_error_with_a_wrong_checksum_reaches_no_server() {
    for method in [Method::Dr, Method::Tun] {
        for (rules, reach) in [(Rules::Linux6_1_192, 1), (Rules::Linux6_1_176, 0)] {
            let mut gateway = Setup::two_arm().start();
            gateway.editor.set_rules(rules);
            let mut gateway = begun(gateway, &TALKS[1], method);
            let answer = on(udp(), &hop(OUT, (VIP, CLIENT), 63)).build();

            let sent = gateway.forward(&from_outside(3, 3, &answer).bad_checksum().build());

            assert_eq!(sent.len(), reach, "{method} {rules:?}");
            let drops = gateway.drops(DropReason::BadIcmpChecksum);
            assert_eq!(drops, 1 - reach as u64);
        }
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
pub(crate) fn with_message_checksum(mut frame: Vec<u8>) -> Vec<u8> {
    if let Ok((mut message, rest)) = dataplane::wire::icmp::IcmpMut::parse(&mut frame[34..]) {
        message.fill_checksum(rest);
    }
    frame
}
