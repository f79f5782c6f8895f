//! What the variables of IPVS change, and rules of IPVS about ports and chunks.

use dataplane::address::{Endpoint, Protocol};
use dataplane::drop_reason::DropReason;
use dataplane::io::memory::MemoryPacket;
use dataplane::knobs::Knobs;
use dataplane::service::{Method, SchedulerKind};
use dataplane::session::State;
use dataplane::testing::*;
use dataplane::wire::tcp::Flags;

use crate::common::*;

/// A gateway with this one service, under these variables.
pub(crate) fn under(knobs: Knobs, service: &TestService) -> TestGateway {
    let mut gateway = serving(Setup::two_arm(), service);
    gateway.change(|editor| editor.set_knobs(knobs));
    gateway
}

/// Plays segments of the client and, where it says true, of the server.
pub(crate) fn play(gateway: &mut TestGateway, segments: &[(bool, Flags)]) {
    for (from_server, flags) in segments {
        let segment = tcp().flags(*flags);
        if *from_server {
            let way = hop(FROM_SERVER, (RIP_1, CLIENT), 64);
            gateway.receive(1, &on(segment, &way).build());
        } else {
            gateway.receive(0, &segment.build());
        }
    }
}

pub(crate) const SYN: (bool, Flags) = (false, Flags::SYN);
pub(crate) const ACK: (bool, Flags) = (false, Flags::ACK);
pub(crate) const RST: (bool, Flags) = (false, Flags::RST);
pub(crate) const FIN: (bool, Flags) = (false, Flags::FIN.with(Flags::ACK));
pub(crate) const SERVER_FIN: (bool, Flags) = (true, Flags::FIN.with(Flags::ACK));
pub(crate) const SERVER_SYN_ACK: (bool, Flags) = (true, Flags::SYN.with(Flags::ACK));
pub(crate) const SERVER_ACK: (bool, Flags) = (true, Flags::ACK);

/// The reply of the first server to a client's port.
pub(crate) fn reply(port: u16) -> Vec<u8> {
    on(udp(), &hop(FROM_SERVER, (RIP_1, client(port)), 64)).build()
}

#[test]
fn a_session_that_a_syn_leaves_counts_when_the_next_one_is_scheduled() {
    for method in [Method::Nat, Method::Dr, Method::Tun] {
        // Given a session that is over, on the server that is looked at first.
        let service = service(Protocol::Tcp, VIP)
            .scheduler(SchedulerKind::Lc)
            .server(RIP_2, method)
            .server(RIP_1, method);
        let mut gateway = serving(Setup::two_arm(), &service);
        play(&mut gateway, &[SYN, ACK, RST]);
        assert_eq!((gateway.load(RIP_1), gateway.load(RIP_2)), ((0, 1), (0, 0)));

        play(&mut gateway, &[SYN]);

        assert_eq!((gateway.load(RIP_1), gateway.load(RIP_2)), ((0, 0), (1, 1)));
        assert_eq!(gateway.sessions().len(), 1);
    }
}

#[test]
fn conn_reuse_mode_says_which_sessions_a_syn_begins_anew() {
    let time_wait = &[SYN, ACK, FIN, SERVER_FIN][..];
    let (closed, fin_wait) = (&[SYN, ACK, RST][..], &[SYN, ACK, FIN][..]);
    let nat_fin_wait = &[SYN, ACK, SERVER_FIN][..];
    for (mode, method, history, is_anew) in [
        (0, Method::Nat, time_wait, false),
        (0, Method::Dr, closed, false),
        (1, Method::Nat, time_wait, true),
        (1, Method::Tun, closed, true),
        (1, Method::Dr, fin_wait, false),
        (2, Method::Dr, fin_wait, true),
        (2, Method::Nat, closed, true),
        (3, Method::Tun, fin_wait, true),
        (3, Method::Nat, nat_fin_wait, false),
        (3, Method::Nat, &[SYN, ACK], false),
    ] {
        // Given a session on the server added last.
        let knobs = Knobs {
            conn_reuse_mode: mode,
            ..Knobs::default()
        };
        let service = service(Protocol::Tcp, VIP)
            .server(RIP_2, method)
            .server(RIP_1, method);
        let mut gateway = under(knobs, &service);
        play(&mut gateway, history);
        let before = gateway.session().state;

        // When its client opens again.
        play(&mut gateway, &[SYN]);

        // Then the session is another on the other server, or the old one is used.
        let on_others = gateway.load(RIP_2).1;
        let created = gateway.sum(|c| &c.sessions_created);
        assert_eq!(
            (on_others, created),
            if is_anew { (1, 2) } else { (0, 1) },
            "mode {mode}, {method}, {before}"
        );
    }
}

#[test]
fn a_fullnat_session_that_gave_its_port_back_is_never_reused() {
    let knobs = Knobs {
        conn_reuse_mode: 0,
        ..Knobs::default()
    };
    let mut gateway = under(knobs, &service(Protocol::Tcp, VIP).fullnat(RIP_1));
    play(&mut gateway, &[SYN, ACK]);
    let local = Endpoint::new(LIP.addr, gateway.session().local.port);
    let reset = on(tcp().rst(), &hop(FROM_SERVER, (RIP_1, local), 64));
    gateway.receive(1, &reset.build());
    assert_eq!(gateway.lent_ports(LIP.addr), Some(0));

    play(&mut gateway, &[SYN]);

    assert_eq!(gateway.session().state, State::SynRecv);
    assert_eq!(gateway.lent_ports(LIP.addr), Some(1));
}

#[test]
fn a_syn_and_rst_on_a_session_that_is_over_ends_it_and_begins_none() {
    let mut gateway = gateway(Protocol::Tcp, Method::Nat);
    play(&mut gateway, &[SYN, ACK, RST]);

    play(&mut gateway, &[(false, Flags::SYN.with(Flags::RST))]);

    assert!(gateway.sessions().is_empty());
    assert_eq!(gateway.punted(CLIENT_SIDE).len(), 1);
}

fn expire_nodest_conn() -> Knobs {
    Knobs {
        expire_nodest_conn: true,
        ..Knobs::default()
    }
}

#[test]
fn a_syn_leaves_a_server_with_weight_0_when_expire_nodest_conn_says_so() {
    let weighted = |weight| {
        let service = service(Protocol::Tcp, VIP).nat(RIP_2);
        service.weighted(RIP_1, Method::Nat, weight)
    };
    for (knobs, expected) in [(Knobs::default(), [1, 0]), (expire_nodest_conn(), [0, 1])] {
        let mut gateway = under(knobs, &weighted(1));
        play(&mut gateway, &[SYN, ACK]);
        gateway.serve(&[weighted(0)]);

        // Other segments stay, a SYN goes.
        play(&mut gateway, &[ACK]);
        assert_eq!((gateway.load(RIP_1).1, gateway.load(RIP_2).1), (1, 0));
        play(&mut gateway, &[SYN]);

        assert_eq!([gateway.load(RIP_1).1, gateway.load(RIP_2).1], expected);
    }
}

#[test]
fn sessions_end_with_their_server_when_expire_nodest_conn_says_so() {
    // Given sessions on two servers, more than are passed over in one turn.
    let both = service(Protocol::Udp, VIP).nat(RIP_2).nat(RIP_1);
    let mut gateway = under(expire_nodest_conn(), &both);
    for port in 1_000..1_200 {
        gateway.receive(0, &udp().from(client(port)).build());
    }
    assert_eq!((gateway.load(RIP_1).1, gateway.load(RIP_2).1), (100, 100));

    // When one is removed, and some turns pass.
    gateway.serve(&[service(Protocol::Udp, VIP).nat(RIP_2)]);
    for _ in 0..10 {
        gateway.turn();
    }

    // Then its sessions are gone, and the others are not.
    assert_eq!(gateway.sum(|c| &c.sessions_expired), 100);
    assert_eq!(gateway.sessions().len(), 100);
    gateway.collect();
    assert!(gateway.server(RIP_1).is_none());
}

#[test]
fn until_its_session_is_swept_a_clients_packet_ends_it() {
    // Given a removed server's session, and a variable that is set only then: no sweep comes.
    let both = service(Protocol::Tcp, VIP).nat(RIP_2).nat(RIP_1);
    for (segment, sessions, punted) in [(SYN, 1, 0), (ACK, 0, 1)] {
        let mut gateway = serving(Setup::two_arm(), &both);
        play(&mut gateway, &[SYN, ACK]);
        gateway.serve(&[service(Protocol::Tcp, VIP).nat(RIP_2)]);
        gateway.change(|editor| editor.set_knobs(expire_nodest_conn()));
        assert_eq!(gateway.sessions().len(), 1);

        // A reply still passes; then the client's packet finds no session.
        assert_eq!(gateway.sent(1).len(), 2);
        play(&mut gateway, &[SERVER_ACK, segment]);

        assert_eq!(gateway.sent(0).len(), 1);
        assert_eq!(gateway.sessions().len(), sessions);
        assert_eq!(gateway.load(RIP_2).1, u32::try_from(sessions).unwrap());
        assert_eq!(gateway.punted(CLIENT_SIDE).len(), punted);
        assert_eq!(gateway.drops(DropReason::ServerRemoved), 0);
    }
}

#[test]
fn replies_of_a_removed_server_count_for_nobody() {
    let mut gateway = serving(
        Setup::two_arm(),
        &service(Protocol::Udp, VIP).nat(RIP_2).nat(RIP_1),
    );
    gateway.receive(0, &udp().from(client(1_111)).build());
    gateway.receive(1, &reply(1_111));
    gateway.serve(&[service(Protocol::Udp, VIP).nat(RIP_2)]);

    gateway.receive(1, &reply(1_111));

    assert_eq!(gateway.sent(0).len(), 2);
    assert_eq!(gateway.traffic(RIP_1).out_packets, 1);
    assert_eq!(gateway.session().out_packets, 2);
}

#[test]
fn sloppy_tcp_lets_any_segment_but_a_reset_begin() {
    let knobs = Knobs {
        sloppy_tcp: true,
        ..Knobs::default()
    };
    for (segment, begun) in [
        (ACK, Some(State::Established)),
        (FIN, Some(State::Close)),
        (SYN, Some(State::SynRecv)),
        (RST, None),
        ((false, Flags::SYN.with(Flags::RST)), None),
    ] {
        let mut gateway = under(knobs.clone(), &service(Protocol::Tcp, VIP).nat(RIP_1));

        play(&mut gateway, &[segment]);

        let states: Vec<_> = gateway.sessions().iter().map(|s| s.state).collect();
        assert_eq!(states, Vec::from_iter(begun), "{segment:?}");
        let punted = usize::from(begun.is_none());
        assert_eq!(gateway.punted(CLIENT_SIDE).len(), punted);
    }
}

#[test]
fn sloppy_sctp_lets_any_packet_but_an_abort_begin() {
    const DATA: u8 = 0;
    const ABORT: u8 = 6;
    for (sloppy_sctp, chunk, begins) in [
        (false, DATA, false),
        (true, DATA, true),
        (true, ABORT, false),
    ] {
        let knobs = Knobs {
            sloppy_sctp,
            ..Knobs::default()
        };
        let mut gateway = under(knobs, &service(Protocol::Sctp, VIP).nat(RIP_1));

        gateway.receive(0, &sctp().chunk(chunk).build());

        assert_eq!(!gateway.sessions().is_empty(), begins, "chunk {chunk}");
    }
}

#[test]
fn an_abort_behind_a_cookie_aborts() {
    const COOKIE_ECHO: u8 = 10;
    // Behind 5 bytes of cookie and 3 of padding.
    let mut behind = [0; 12];
    behind[8..].copy_from_slice(&[6, 0, 0, 4]);
    let established = |gateway: &mut TestGateway| {
        gateway.receive(0, &sctp().init().build());
        gateway.receive(0, &sctp().chunk(COOKIE_ECHO).build());
        assert_eq!(gateway.session().state, State::SctpEstablished);
    };
    let mut gateway = gateway(Protocol::Sctp, Method::Dr);
    established(&mut gateway);

    let frame = sctp().chunk(COOKIE_ECHO).payload(&behind).build();
    // The length of the first chunk: 4 bytes of head and 5 of cookie.
    let patched = with_chunk_len(&frame, 9);
    gateway.receive(0, &patched);

    assert_eq!(gateway.session().state, State::SctpClosed);
}

/// A frame whose first SCTP chunk says that it is so long; DR looks at no CRC.
fn with_chunk_len(frame: &[u8], len: u16) -> Vec<u8> {
    const CHUNK: usize = 14 + 20 + 12;
    let mut frame = frame.to_vec();
    frame[CHUNK + 2..CHUNK + 4].copy_from_slice(&len.to_be_bytes());
    frame
}

#[test]
fn a_nat_server_is_told_of_packets_without_a_session_when_nat_icmp_send_says_so() {
    let knobs = Knobs {
        nat_icmp_send: true,
        ..Knobs::default()
    };
    let mut gateway = under(knobs, &service(Protocol::Udp, VIP).nat(RIP_1));
    let _ = gateway.moved();

    let with_ttl = |ttl| {
        let way = hop(FROM_SERVER, (RIP_1, client(1_111)), ttl);
        on(udp(), &way).build()
    };

    let told = gateway.forward_from(1, &reply(1_111));

    let way = hop(
        (GATEWAY_SERVER_MAC, RIP_1_MAC),
        (
            Endpoint::new(DIP_SERVER_SIDE, 0),
            Endpoint::new(RIP_1.addr, 0),
        ),
        64,
    );
    let expected = on(icmp_error(3, 3).about(&with_ttl(63)), &way);
    assert_eq!(told, [expected.tos(0xc0).id(0).build()]);
    assert_eq!(
        gateway.moved(),
        [
            ("received", 1),
            ("transmitted", 1),
            ("icmp_errors", 1),
            ("no_session_for_reply", 1)
        ]
    );
    let told = gateway.forward_from(1, &with_ttl(1));
    let expected = on(icmp_error(11, 0).about(&with_ttl(1)), &way);
    assert_eq!(told, [expected.tos(0xc0).id(1).build()]);
    let _ = gateway.moved();

    // What comes from another port of the server, or with the variable off, is Linux's.
    let other = Endpoint::new(RIP_1.addr, 81);
    let way = hop(FROM_SERVER, (other, client(1_111)), 64);
    gateway.receive(1, &on(udp(), &way).build());
    gateway.change(|editor| editor.set_knobs(Knobs::default()));
    gateway.receive(1, &reply(1_111));
    assert_eq!(gateway.moved(), [("received", 2), ("transit", 2)]);
}

#[test]
fn a_server_for_any_port_is_told_nothing() {
    // Given a service whose server is known by no port of its own, as the kernel looks for it.
    let knobs = Knobs {
        nat_icmp_send: true,
        ..Knobs::default()
    };
    let vip = Endpoint::new(VIP.addr, 0);
    let service = service(Protocol::Udp, vip)
        .persistent(300)
        .nat(Endpoint::new(RIP_1.addr, 0));
    let mut gateway = under(knobs, &service);
    let _ = gateway.moved();

    gateway.receive(1, &reply(1_111));

    assert_eq!(gateway.moved(), [("received", 1), ("transit", 1)]);
}

#[test]
fn a_nat_servers_reset_without_a_session_passes() {
    let knobs = Knobs {
        nat_icmp_send: true,
        ..Knobs::default()
    };
    let mut gateway = under(knobs, &service(Protocol::Tcp, VIP).nat(RIP_1));
    let _ = gateway.moved();

    play(&mut gateway, &[(true, Flags::RST), SERVER_ACK]);

    assert_eq!(
        gateway.moved(),
        [
            ("received", 2),
            ("transmitted", 1),
            ("icmp_errors", 1),
            ("transit", 1),
            ("no_session_for_reply", 1)
        ]
    );
}

#[test]
fn a_nat_server_is_told_when_no_worker_has_the_session() {
    // Given clients of two workers.
    let service = service(Protocol::Udp, VIP).nat(RIP_1);
    let mut gateway = serving(Setup::two_arm().workers(2), &service);
    gateway.change(|editor| {
        editor.set_knobs(Knobs {
            nat_icmp_send: true,
            ..Knobs::default()
        });
    });
    (2_000..2_020).for_each(|port| gateway.receive(0, &udp().from(client(port)).build()));
    let _ = gateway.moved();

    // When replies to them, and as many to nobody, arrive at one worker.
    for port in 2_000..2_040 {
        gateway.receive_at(0, 1, MemoryPacket::new(&reply(port)));
    }

    // Then each that is a client's reaches it, and the server hears of the others.
    assert_eq!(gateway.sent(0).len(), 20);
    assert_eq!(gateway.sent(1).len(), 20 + 20);
    assert_eq!(gateway.drops(DropReason::NoSessionForReply), 20);
    assert!(gateway.sum(|c| &c.arrived_at_wrong_worker) > 0);
}
