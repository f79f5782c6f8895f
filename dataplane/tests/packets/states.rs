//! Sessions' states and time-outs, and SYNs that meet sessions that are over.

use std::time::Duration;

use dataplane::address::Protocol;
use dataplane::drop_reason::DropReason;
use dataplane::service::Method;
use dataplane::session::{State, Timeouts};
use dataplane::testing::*;

use crate::common::*;

/// A client's segment, or a server's.
#[derive(Clone, Copy, Debug)]
enum From {
    Client(fn() -> Builder<Tcp>),
    Server(fn() -> Builder<Tcp>),
}

const SYN: From = From::Client(|| tcp().syn());
const SYN_ACK: From = From::Server(|| tcp().syn_ack());
const ACK: From = From::Client(|| tcp().ack());
const FIN: From = From::Client(|| tcp().fin());
const RST: From = From::Client(|| tcp().rst());
const SERVER_FIN: From = From::Server(|| tcp().fin());
const SERVER_RST: From = From::Server(|| tcp().rst());

fn play(gateway: &mut TestGateway, from: From) {
    match from {
        From::Client(packet) => gateway.receive(0, &packet().build()),
        From::Server(packet) => {
            let way = hop(FROM_SERVER, (RIP_1, CLIENT), 64);
            gateway.receive(1, &on(packet(), &way).build());
        }
    }
}

/// Plays segments and checks state and time-out behind each, and whether it counts as active.
fn walk(method: Method, steps: &[(From, State, u32)]) {
    let mut gateway = gateway(Protocol::Tcp, method);
    for (number, (from, state, seconds)) in steps.iter().enumerate() {
        gateway.advance(Duration::from_secs(1));
        play(&mut gateway, *from);

        let session = gateway.session();
        assert_eq!(session.state, *state, "{method}, step {number}");
        assert_eq!(session.expires_in_ticks, seconds * 256, "step {number}");
        let active = u32::from(state.is_active());
        assert_eq!(gateway.load(RIP_1), (active, 1), "step {number}");
    }
}

#[test]
fn tcp_through_nat_opens_and_closes_as_in_the_kernel() {
    walk(
        Method::Nat,
        &[
            (SYN, State::SynRecv, 60),
            (SYN_ACK, State::SynRecv, 60),
            (ACK, State::Established, 900),
            (FIN, State::CloseWait, 60),
            (SERVER_FIN, State::TimeWait, 120),
            (ACK, State::TimeWait, 120),
        ],
    );
    walk(
        Method::Nat,
        &[
            (SYN, State::SynRecv, 60),
            (ACK, State::Established, 900),
            (SERVER_FIN, State::FinWait, 120),
            (FIN, State::TimeWait, 120),
        ],
    );
}

#[test]
fn one_sided_tcp_closes_on_the_clients_word_alone() {
    for method in [Method::Dr, Method::Tun] {
        walk(
            method,
            &[
                (SYN, State::SynRecv, 60),
                (ACK, State::Established, 900),
                (FIN, State::FinWait, 120),
                (ACK, State::FinWait, 120),
            ],
        );
    }
}

#[test]
fn resets_close_but_not_a_half_open_session() {
    walk(
        Method::Nat,
        &[
            (SYN, State::SynRecv, 60),
            (RST, State::SynRecv, 60),
            (ACK, State::Established, 900),
            (SERVER_RST, State::Close, 10),
        ],
    );
    walk(
        Method::Dr,
        &[
            (SYN, State::SynRecv, 60),
            (ACK, State::Established, 900),
            (RST, State::Close, 10),
        ],
    );
}

#[test]
fn every_udp_packet_of_either_side_gives_300_seconds() {
    let mut gateway = gateway(Protocol::Udp, Method::Nat);
    let reply = on(udp(), &hop(FROM_SERVER, (RIP_1, CLIENT), 64)).build();

    gateway.receive(0, &udp().build());
    gateway.advance(Duration::from_secs(200));
    assert_eq!(gateway.session().expires_in_ticks, 100 * 256);
    gateway.receive(1, &reply);
    gateway.advance(Duration::from_secs(200));
    assert_eq!(gateway.session().expires_in_ticks, 100 * 256);
    assert_eq!(gateway.session().state, State::Udp);
    assert_eq!(gateway.load(RIP_1), (0, 1));
}

#[test]
fn sctp_opens_as_in_the_kernel() {
    let mut gateway = gateway(Protocol::Sctp, Method::Nat);
    let from_server = |kind| on(sctp().chunk(kind), &hop(FROM_SERVER, (RIP_1, CLIENT), 64));

    gateway.receive(0, &sctp().init().build());
    assert_eq!(gateway.session().state, State::SctpInit1);
    assert_eq!(gateway.session().expires_in_ticks, 4 * 256);
    gateway.receive(1, &from_server(2).build());
    assert_eq!(gateway.session().state, State::SctpCookieSent);
    gateway.receive(0, &sctp().chunk(10).build());
    gateway.receive(1, &from_server(11).build());

    assert_eq!(gateway.session().state, State::SctpEstablished);
    assert_eq!(gateway.session().expires_in_ticks, 900 * 256);
    assert_eq!(gateway.load(RIP_1), (1, 1));
}

#[test]
fn an_expired_session_gives_back_its_place_and_is_never_found() {
    for method in [Method::Nat, Method::Fullnat] {
        let mut gateway = gateway(Protocol::Udp, method);
        gateway.receive(0, &udp().build());
        assert_eq!(gateway.load(RIP_1), (0, 1));

        gateway.advance(Duration::from_secs(299));
        assert_eq!(gateway.sum(|c| &c.sessions_expired), 0);
        gateway.advance(Duration::from_millis(1_100));

        assert_eq!(gateway.sum(|c| &c.sessions_expired), 1);
        assert_eq!(gateway.sum(|c| &c.sessions), 0);
        assert_eq!(gateway.load(RIP_1), (0, 0));
        assert!(gateway.sessions().is_empty());
        assert!(gateway.lent_ports(LIP.addr).is_none_or(|lent| lent == 0));
    }
}

#[test]
fn every_state_may_end_after_a_second() {
    for (protocol, state, frame) in [
        (Protocol::Tcp, State::SynRecv, tcp().syn().build()),
        (Protocol::Udp, State::Udp, udp().build()),
        (Protocol::Sctp, State::SctpInit1, sctp().init().build()),
    ] {
        let mut timeouts = Timeouts::default();
        State::ALL
            .into_iter()
            .for_each(|state| timeouts.set(state, 1));
        let service = service(protocol, VIP).nat(RIP_1);
        let mut gateway = serving(Setup::two_arm().timeouts(timeouts), &service);

        gateway.receive(0, &frame);
        assert_eq!(gateway.session().state, state);
        assert_eq!(gateway.session().expires_in_ticks, 256);

        gateway.advance(Duration::from_millis(1_063));
        assert_eq!(gateway.sum(|c| &c.sessions_expired), 1, "{protocol}");
    }
}

#[test]
fn an_established_session_that_expires_is_no_longer_active() {
    let mut gateway = gateway(Protocol::Tcp, Method::Nat);
    play(&mut gateway, SYN);
    play(&mut gateway, ACK);
    assert_eq!(gateway.load(RIP_1), (1, 1));

    gateway.advance(Duration::from_secs(901));

    assert_eq!(gateway.load(RIP_1), (0, 0));
}

#[test]
fn a_syn_on_a_session_that_is_over_begins_a_new_one() {
    for (method, last) in [
        (Method::Nat, &[SYN, ACK, FIN, SERVER_FIN][..]),
        (Method::Nat, &[SYN, ACK, RST]),
        (Method::Dr, &[SYN, ACK, RST]),
    ] {
        // Given a session in TIME_WAIT or CLOSE on the server added last.
        let service = service(Protocol::Tcp, VIP)
            .server(RIP_2, method)
            .server(RIP_1, method);
        let mut gateway = serving(Setup::two_arm(), &service);
        last.iter().for_each(|segment| play(&mut gateway, *segment));
        assert_eq!(gateway.load(RIP_1), (0, 1));

        // When the client opens again, then the scheduler decides anew.
        play(&mut gateway, SYN);

        assert_eq!(gateway.session().state, State::SynRecv);
        assert_eq!(gateway.load(RIP_1), (0, 0));
        assert_eq!(gateway.load(RIP_2), (1, 1));
        assert_eq!(gateway.sum(|c| &c.sessions_created), 2);
    }
}

#[test]
fn a_syn_on_a_living_session_goes_to_its_server() {
    for segments in [&[SYN][..], &[SYN, ACK], &[SYN, ACK, FIN]] {
        let service = service(Protocol::Tcp, VIP).nat(RIP_2).nat(RIP_1);
        let mut gateway = serving(Setup::two_arm(), &service);
        segments
            .iter()
            .for_each(|segment| play(&mut gateway, *segment));

        play(&mut gateway, SYN);

        assert_eq!(gateway.load(RIP_1).1, 1);
        assert_eq!(gateway.load(RIP_2).1, 0);
        assert_eq!(gateway.sum(|c| &c.sessions_created), 1);
    }
}

#[test]
fn a_dropped_packet_still_moves_its_session_on() {
    // connections.md §1, 8: the state is judged before the packet is found too big.
    let mut gateway = gateway(Protocol::Tcp, Method::Nat);
    play(&mut gateway, SYN);

    let _ = gateway.forward(&tcp().ack().ttl(1).build());

    assert_eq!(gateway.drops(DropReason::TtlExpired), 1);
    assert_eq!(gateway.session().state, State::Established);
    assert_eq!(gateway.traffic(RIP_1).in_packets, 2);
}
