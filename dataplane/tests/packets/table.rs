//! A full session table: who goes, who stays, and who is not let in.

use std::time::Duration;

use dataplane::address::Protocol;
use dataplane::drop_reason::DropReason;
use dataplane::io::memory::MemoryPacket;
use dataplane::service::Method;
use dataplane::session::{State, Timeouts};
use dataplane::testing::*;

use crate::common::*;

/// A gateway for `sessions` sessions with a TCP and a UDP service.
fn small(sessions: usize, method: Method) -> TestGateway {
    let mut gateway = Setup::two_arm().sessions(sessions).start();
    gateway.serve(&[
        service(Protocol::Tcp, VIP).server(RIP_1, method),
        service(Protocol::Udp, VIP).server(RIP_2, method),
    ]);
    gateway
}

/// Makes a segment a SYN, an ACK, a FIN.
type Segment = fn(Builder<Tcp>) -> Builder<Tcp>;

/// Plays a client's TCP segments.
fn play(gateway: &mut TestGateway, port: u16, segments: &[Segment]) {
    for segment in segments {
        gateway.receive(0, &segment(tcp().from(client(port))).build());
    }
}

#[test]
fn an_established_session_is_never_given_up_for_a_new_one() {
    let mut gateway = small(3, Method::Nat);
    for port in 1..=3 {
        play(&mut gateway, 1_000 + port, &[Builder::syn, Builder::ack]);
    }
    let _ = gateway.moved();

    gateway.receive(0, &udp().build());
    gateway.receive(0, &tcp().syn().build());

    let expected = [("received", 2), ("session_table_full", 2)];
    assert_eq!(gateway.moved(), expected);
    assert_eq!(gateway.load(RIP_1), (3, 3));
    assert_eq!(gateway.load(RIP_2), (0, 0));
}

#[test]
fn sessions_go_in_the_order_of_their_worth() {
    // Given an established, a closing, a half-open and a busy UDP session.
    let mut gateway = small(4, Method::Nat);
    play(&mut gateway, 1_001, &[Builder::syn, Builder::ack]);
    play(
        &mut gateway,
        1_002,
        &[Builder::syn, Builder::ack, Builder::fin],
    );
    play(&mut gateway, 1_003, &[Builder::syn]);
    let busy = udp().from(client(1_004)).build();
    gateway.receive(0, &busy);
    gateway.receive(0, &busy);

    // When four clients come with more than one datagram each.
    let left = |gateway: &mut TestGateway, port: u16| {
        let datagram = udp().from(client(port)).build();
        gateway.receive(0, &datagram);
        gateway.receive(0, &datagram);
        let mut ports: Vec<_> = (gateway.sessions().iter())
            .map(|session| session.client.port)
            .collect();
        ports.sort_unstable();
        ports
    };

    // Then the half-open one goes, then the closing one, and then nobody for a busy one.
    assert_eq!(left(&mut gateway, 2_001), [1_001, 1_002, 1_004, 2_001]);
    gateway.advance(Duration::from_secs(1));
    assert_eq!(left(&mut gateway, 2_002), [1_001, 1_004, 2_001, 2_002]);
    assert_eq!(left(&mut gateway, 2_003), [1_001, 1_004, 2_001, 2_002]);
    assert_eq!(gateway.drops(DropReason::SessionTableFull), 2);
    assert_eq!(gateway.sum(|c| &c.sessions_evicted), 2);

    // And a flow without packets for 30 seconds makes room.
    gateway.advance(Duration::from_secs(30));
    gateway.receive(0, &busy);
    assert_eq!(left(&mut gateway, 2_004), [1_001, 1_004, 2_002, 2_004]);
    // Counts went with the sessions.
    assert_eq!(gateway.load(RIP_1), (1, 1));
    assert_eq!(gateway.load(RIP_2), (0, 3));
}

#[test]
fn an_evicted_session_gives_its_local_port_back() {
    let mut gateway = small(2, Method::Fullnat);
    for port in 1_000..1_010 {
        play(&mut gateway, port, &[Builder::syn]);
    }

    assert_eq!(gateway.sum(|c| &c.sessions_evicted), 8);
    assert_eq!(gateway.lent_ports(LIP.addr), Some(2));
    assert_eq!(gateway.load(RIP_1), (2, 2));
}

#[test]
fn sessions_end_in_time_while_every_packet_makes_one() {
    // Given half-open sessions that last 4 seconds.
    let mut timeouts = Timeouts::default();
    timeouts.set(State::SynRecv, 4);
    let setup = Setup::two_arm().sessions(100_000).timeouts(timeouts);
    let mut gateway = serving(setup, &service(Protocol::Tcp, VIP).dr(RIP_1));

    // When for 20 seconds each turn brings two full bursts of new ones, 128 in a tenth of a
    // second.
    let mut clients = (1_024..).map(|port| tcp().syn().from(client(port)));
    for _ in 0..200 {
        for (ethdev, mac) in [(0, GATEWAY_MAC), (1, GATEWAY_SERVER_MAC)] {
            for syn in clients.by_ref().take(64) {
                gateway.put(0, ethdev, MemoryPacket::new(&syn.eth_to(mac).build()));
            }
        }
        gateway.advance(Duration::from_millis(100));
    }

    // Then no more are left than those of the last 4 seconds.
    assert_eq!(gateway.sum(|c| &c.sessions_created), 200 * 128);
    let left = gateway.sum(|c| &c.sessions);
    assert!(left <= 42 * 128, "{left}");
}
