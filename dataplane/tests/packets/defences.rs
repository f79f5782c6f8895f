//! What the defences of IPVS drop and whom they believe; ports that are 0, and tunnels.

use std::time::Duration;

use dataplane::address::{Address, Protocol};
use dataplane::drop_reason::DropReason;
use dataplane::knobs::Knobs;
use dataplane::service::Method;
use dataplane::session::State;
use dataplane::testing::*;
use dataplane::wire::tcp::Flags;

use crate::common::*;
use crate::knobs::{ACK, FIN, SERVER_ACK, SERVER_SYN_ACK, SYN, play, reply, under};

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
fn drop_entry_ends_templates_that_nothing_assured() {
    // Given templates of 60 clients: half open, closed by the server at once, established before.
    let knobs = Knobs {
        drop_entry: 3,
        ..Knobs::default()
    };
    for setup in [Setup::two_arm(), Setup::two_arm().workers(3)] {
        let service = service(Protocol::Tcp, VIP).nat(RIP_1).persistent(7_200);
        let mut gateway = serving(setup, &service);
        for number in 0..60 {
            let client = endpoint([10, 1, 0, 30 + number], 1_000);
            gateway.receive(0, &tcp().from(client).syn().build());
            if number >= 20 {
                let flags = if number < 40 {
                    Flags::RST
                } else {
                    Flags::SYN.with(Flags::ACK)
                };
                gateway.receive(1, &tcp().from(RIP_1).to(client).flags(flags).build());
            }
            if number >= 40 {
                gateway.receive(0, &tcp().from(client).ack().build());
                gateway.receive(0, &tcp().from(client).rst().build());
            }
        }
        for _ in 0..30 {
            gateway.advance(Duration::from_secs(1));
        }
        assert_eq!(gateway.templates().len(), 60);

        // When the defence has acted so long that of 100 million one is not drawn.
        gateway.change(|editor| editor.set_knobs(knobs.clone()));
        for _ in 0..600 {
            gateway.advance(Duration::from_secs(1));
        }

        // Then those that were established are left, and no server counts the others.
        let left = gateway.templates();
        assert!(left.iter().all(|template| template.is_assured), "{left:?}");
        assert_eq!(left.len(), 20);
        assert_eq!(gateway.persistent(RIP_1), 20);
    }
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
fn a_reply_to_port_0_that_comes_by_the_gateway_counts_for_the_session_begun_last() {
    let mut gateway = gateway(Protocol::Udp, Method::Dr);
    for _ in 0..3 {
        gateway.receive(0, &udp().from(client(0)).payload_len(8).build());
    }
    gateway.receive(0, &udp().from(client(0)).build());
    assert_eq!(gateway.sent(1).len(), 4);

    let reply = on(udp(), &hop(FROM_SERVER, (VIP, client(0)), 64)).build();
    gateway.receive(1, &reply);

    let sessions = gateway.sessions();
    let answered: Vec<_> = sessions.iter().filter(|it| it.out_packets > 0).collect();
    assert_eq!(answered.len(), 1);
    assert_eq!((answered[0].in_bytes, answered[0].out_packets), (28, 1));

    // An error about it is about no session.
    let _ = gateway.moved();
    let answer = udp().from(VIP).to(client(0)).build();
    let error = icmp_error(3, 3).about(&answer).from(client(0)).to(VIP);
    gateway.receive(0, &error.build());
    assert_eq!(gateway.moved(), [("received", 1), ("host", 1)]);
}

#[test]
fn a_reply_to_port_0_in_the_vips_name_passes_over_sessions_by_nat() {
    let by_both = service(Protocol::Udp, VIP).dr(RIP_1).nat(RIP_2);
    let mut gateway = serving(Setup::two_arm(), &by_both);
    for _ in 0..2 {
        gateway.receive(0, &udp().from(client(0)).build());
    }
    assert_eq!((gateway.load(RIP_1), gateway.load(RIP_2)), ((0, 1), (0, 1)));

    let reply = on(udp(), &hop(FROM_SERVER, (VIP, client(0)), 64)).build();
    gateway.receive(1, &reply);

    let sessions = gateway.sessions();
    let answered: Vec<_> = sessions.iter().filter(|it| it.out_packets > 0).collect();
    assert_eq!(answered.len(), 1);
    assert_eq!(answered[0].server.addr, RIP_1.addr.to_ip());
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
