//! What the variables of IPVS change, and rules of IPVS about ports and chunks.

use std::time::Duration;

use dataplane::address::{Endpoint, Protocol};
use dataplane::drop_reason::DropReason;
use dataplane::io::memory::MemoryPacket;
use dataplane::knobs::Knobs;
use dataplane::service::Method;
use dataplane::session::State;
use dataplane::testing::*;
use dataplane::wire::tcp::Flags;

use crate::common::*;

/// A gateway with this one service, under these variables.
fn under(knobs: Knobs, service: &TestService) -> TestGateway {
    let mut gateway = serving(Setup::two_arm(), service);
    gateway.change(|editor| editor.set_knobs(knobs));
    gateway
}

/// Plays segments of the client and, where it says true, of the server.
fn play(gateway: &mut TestGateway, segments: &[(bool, Flags)]) {
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

const SYN: (bool, Flags) = (false, Flags::SYN);
const ACK: (bool, Flags) = (false, Flags::ACK);
const RST: (bool, Flags) = (false, Flags::RST);
const FIN: (bool, Flags) = (false, Flags::FIN.with(Flags::ACK));
const SERVER_FIN: (bool, Flags) = (true, Flags::FIN.with(Flags::ACK));
const SERVER_SYN_ACK: (bool, Flags) = (true, Flags::SYN.with(Flags::ACK));
const SERVER_ACK: (bool, Flags) = (true, Flags::ACK);

/// The reply of the first server to a client's port.
fn reply(port: u16) -> Vec<u8> {
    on(udp(), &hop(FROM_SERVER, (RIP_1, client(port)), 64)).build()
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

#[test]
fn drop_packet_drops_the_first_opening_and_every_so_many_th() {
    let knobs = Knobs {
        drop_packet: 3,
        am_droprate: 3,
        ..Knobs::default()
    };
    let mut gateway = under(knobs, &service(Protocol::Tcp, VIP).nat(RIP_1));
    let _ = gateway.moved();
    let mut opened = Vec::new();
    for port in 1_000..1_010 {
        let sent = gateway.forward(&tcp().from(client(port)).syn().build());
        opened.push(sent.len());
        // What opens nothing, and what has a session, counts for nothing.
        gateway.receive(0, &tcp().from(client(9_999)).ack().build());
        gateway.receive(0, &tcp().from(client(1_001)).ack().build());
        let _ = gateway.sent(1);
    }

    assert_eq!(opened, [0, 1, 1, 0, 1, 1, 0, 1, 1, 0]);
    assert_eq!(gateway.drops(DropReason::DropPacket), 4);
    assert_eq!(gateway.sum(|c| &c.sessions_created), 6);
}

#[test]
fn drop_packet_counts_before_port_20_is_turned_away() {
    let knobs = Knobs {
        drop_packet: 3,
        am_droprate: 2,
        ..Knobs::default()
    };
    let mut gateway = under(knobs, &service(Protocol::Udp, VIP).nat(RIP_1));

    let from_20 = udp().from(client(20)).build();
    for _ in 0..4 {
        gateway.receive(0, &from_20);
    }

    assert_eq!(gateway.drops(DropReason::DropPacket), 2);
    assert_eq!(gateway.punted(CLIENT_SIDE).len(), 2);
}

#[test]
fn drop_entry_ends_half_open_sessions_and_keeps_open_ones() {
    // Given 320 half open sessions and as many open ones.
    let knobs = Knobs {
        drop_entry: 3,
        ..Knobs::default()
    };
    let mut gateway = under(knobs, &service(Protocol::Tcp, VIP).nat(RIP_1));
    for port in 1_000..1_640 {
        gateway.receive(0, &tcp().from(client(port)).syn().build());
        if port % 2 == 0 {
            gateway.receive(0, &tcp().from(client(port)).ack().build());
        }
    }

    // When half a minute passes, second by second.
    for _ in 0..30 {
        gateway.advance(Duration::from_secs(1));
    }

    // Then of the half open ones about (31/32)^30 = 0.386 are left, and all open ones.
    let sessions = gateway.sessions();
    let half_open = sessions
        .iter()
        .filter(|s| s.state == State::SynRecv)
        .count();
    assert_eq!(sessions.len() - half_open, 320);
    // 123 are expected, with a deviation below 9.
    assert!((90..160).contains(&half_open), "{half_open} of 320");
    let ended = u64::try_from(320 - half_open).unwrap();
    assert_eq!(gateway.sum(|c| &c.sessions_evicted), ended);
    assert_eq!(
        gateway.load(RIP_1).1,
        u32::try_from(sessions.len()).unwrap()
    );
}

#[test]
fn drop_entry_acts_on_its_own_only_while_the_table_is_nearly_full() {
    // Given a table of 4096 places, of which 100 are taken.
    for (pages, acts) in [(124, false), (125, true)] {
        let knobs = Knobs {
            drop_entry: 1,
            amemthresh: pages,
            ..Knobs::default()
        };
        let mut gateway = under(knobs, &service(Protocol::Tcp, VIP).nat(RIP_1));
        for port in 1_000..1_100 {
            gateway.receive(0, &tcp().from(client(port)).syn().build());
        }

        // When some seconds pass; there is room for 3,996 sessions, which are 124 pages.
        for _ in 0..20 {
            gateway.advance(Duration::from_secs(1));
        }

        let ended = gateway.sum(|c| &c.sessions_evicted);
        assert_eq!(ended > 0, acts, "{pages} pages: {ended} ended");
    }
}

#[test]
fn secure_tcp_believes_the_server_and_not_the_client() {
    let knobs = Knobs {
        secure_tcp: 3,
        ..Knobs::default()
    };
    let nat = &[
        (SYN, State::SynRecv, 60),
        (ACK, State::SynRecv, 60),
        (SERVER_SYN_ACK, State::SynAck, 120),
        (ACK, State::SynAck, 120),
        (SERVER_ACK, State::Established, 900),
        (ACK, State::Established, 900),
    ][..];
    let dr = &[
        (SYN, State::SynAck, 120),
        (ACK, State::Established, 900),
        (FIN, State::FinWait, 120),
        (SYN, State::SynAck, 120),
    ][..];
    for (method, steps) in [(Method::Nat, nat), (Method::Dr, dr)] {
        let service = service(Protocol::Tcp, VIP).server(RIP_1, method);
        let mut gateway = under(knobs.clone(), &service);
        for (number, (segment, state, seconds)) in steps.iter().enumerate() {
            play(&mut gateway, &[*segment]);

            let session = gateway.session();
            assert_eq!(session.state, *state, "{method}, step {number}");
            assert_eq!(session.expires_in_ticks, seconds * 256, "step {number}");
        }
    }
}

#[test]
fn secure_tcp_acts_on_its_own_only_while_the_table_is_nearly_full() {
    for (pages, state) in [(127, State::Established), (4_000, State::SynRecv)] {
        let knobs = Knobs {
            secure_tcp: 1,
            amemthresh: pages,
            ..Knobs::default()
        };
        let mut gateway = under(knobs, &service(Protocol::Tcp, VIP).nat(RIP_1));

        play(&mut gateway, &[SYN, ACK]);

        assert_eq!(gateway.session().state, state, "{pages} pages");
    }
}

#[test]
fn without_pmtu_disc_a_tunnel_carries_what_may_not_be_fragmented_in_pieces() {
    // Given a packet that fills the clients' MTU and says do not fragment, too long for a tunnel.
    let packet = udp().dont_fragment().payload_len(1_472);
    let short = udp().dont_fragment().payload_len(100);
    for pmtu_disc in [true, false] {
        let knobs = Knobs {
            pmtu_disc,
            ..Knobs::default()
        };
        let mut gateway = under(knobs, &service(Protocol::Udp, VIP).tun(RIP_1));
        let sent: Vec<_> = (0..2)
            .flat_map(|_| {
                gateway.receive(0, &short.build());
                gateway.sent(1)
            })
            .collect();
        let outer_df = |frame: &Vec<u8>| frame[14 + 6] & 0x40 != 0;
        let inner_df = |frame: &Vec<u8>| frame[14 + 20 + 6] & 0x40 != 0;
        assert_eq!(sent.len(), 2);
        assert!(sent.iter().all(inner_df));
        assert!(sent.iter().all(|frame| outer_df(frame) == pmtu_disc));

        gateway.receive(0, &packet.build());

        let pieces = gateway.sent(1);
        assert_eq!(pieces.len(), if pmtu_disc { 0 } else { 2 });
        assert_eq!(gateway.drops(DropReason::TooBig), u64::from(pmtu_disc));
        assert!(!pieces.iter().any(outer_df));
        let bytes: usize = pieces.iter().map(|piece| piece.len() - 14 - 20).sum();
        assert_eq!(bytes, if pmtu_disc { 0 } else { 1_500 });
    }
}

#[test]
fn a_client_with_port_0_begins_a_session_with_each_packet() {
    for method in [Method::Dr, Method::Nat, Method::Tun, Method::Fullnat] {
        let service = service(Protocol::Udp, VIP)
            .server(RIP_2, method)
            .server(RIP_1, method);
        let mut gateway = serving(Setup::two_arm(), &service);
        let from_0 = udp().from(client(0)).build();

        for _ in 0..4 {
            assert_eq!(gateway.forward(&from_0).len(), 1);
        }

        assert_eq!(gateway.sum(|c| &c.sessions_created), 4, "{method}");
        assert_eq!(gateway.sessions().len(), 4);
        assert_eq!((gateway.load(RIP_1).1, gateway.load(RIP_2).1), (2, 2));
    }
}

#[test]
fn a_reply_to_port_0_finds_the_session_begun_last() {
    let mut gateway = gateway(Protocol::Udp, Method::Nat);
    for _ in 0..3 {
        gateway.receive(0, &udp().from(client(0)).build());
    }
    assert_eq!(gateway.sent(1).len(), 3);

    for _ in 0..2 {
        let expected = on(udp(), &hop(OUT, (VIP, client(0)), 63)).build();
        assert_eq!(gateway.forward_from(1, &reply(0)), [expected]);
    }

    let mut replies: Vec<_> = gateway.sessions().iter().map(|s| s.out_packets).collect();
    replies.sort_unstable();
    assert_eq!(replies, [0, 0, 2]);
}

#[test]
fn a_client_with_port_0_has_at_most_eight_sessions_with_a_vip() {
    let mut gateway = gateway(Protocol::Udp, Method::Nat);

    for _ in 0..100 {
        gateway.receive(0, &udp().from(client(0)).build());
    }

    assert_eq!(gateway.sessions().len(), 8);
    assert_eq!(gateway.load(RIP_1), (0, 8));
    assert_eq!(gateway.sum(|c| &c.sessions_evicted), 92);
}

#[test]
fn other_segments_with_port_0_are_linuxs() {
    let mut gateway = gateway(Protocol::Tcp, Method::Nat);
    gateway.receive(0, &tcp().from(client(0)).syn().build());

    gateway.receive(0, &tcp().from(client(0)).ack().build());

    assert_eq!(gateway.sessions().len(), 1);
    assert_eq!(gateway.punted(CLIENT_SIDE).len(), 1);
}

#[test]
fn marks_are_part_of_the_snapshot() {
    use dataplane::marks::MarkRule;
    let mut gateway = gateway(Protocol::Udp, Method::Nat);

    gateway.change(|editor| editor.set_marks(vec![MarkRule::any(7)]));

    let marks = &gateway.state().marks;
    assert_eq!(marks.mark(dataplane::id::EthdevId(0), 17, CLIENT, VIP), 7);
}
