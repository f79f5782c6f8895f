//! A million sessions in one worker, made and met again through the whole pipeline.

use std::time::Duration;

use dataplane::address::{Endpoint, Protocol, V4};
use dataplane::io::BURST;
use dataplane::io::memory::MemoryPacket;
use dataplane::testing::*;

use crate::common::*;

const SESSIONS: u32 = 1_000_000;

/// The client of a session: 16 ports of one address after the other.
fn client_number(number: u32) -> Endpoint<V4> {
    let port = 1_024 + u16::try_from(number % 16).unwrap_or(0);
    Endpoint::new(V4(0x0b00_0001 + number / 16), port)
}

/// Sends one datagram of every client through the gateway and gives how many came out.
fn round(gateway: &mut TestGateway) -> usize {
    let mut sent = 0;
    for number in 0..SESSIONS {
        let datagram = udp().no_checksum().from(client_number(number));
        gateway.put(0, 0, MemoryPacket::new(&datagram.build()));
        if number as usize % BURST == BURST - 1 {
            gateway.turn();
            sent += gateway.sent(1).len();
        }
    }
    gateway.settle();
    sent + gateway.sent(1).len()
}

#[test]
fn a_worker_holds_a_million_nat_sessions() {
    // Given a worker with room for a million sessions, and clients behind a router.
    let service = service(Protocol::Udp, VIP).nat(RIP_1).nat(RIP_2);
    let setup = Setup::two_arm().sessions(SESSIONS as usize);
    let mut gateway = serving(setup, &service);

    // When each client sends a datagram, then every one has a session.
    assert_eq!(round(&mut gateway), SESSIONS as usize);
    assert_eq!(gateway.sum(|c| &c.sessions), u64::from(SESSIONS));
    assert_eq!(gateway.load(RIP_1), (0, SESSIONS / 2));

    // When each sends another, then all are met again.
    assert_eq!(round(&mut gateway), SESSIONS as usize);
    assert_eq!(gateway.sum(|c| &c.session_hits), u64::from(SESSIONS));
    assert_eq!(gateway.sum(|c| &c.sessions_created), u64::from(SESSIONS));
    assert_eq!(gateway.sum(|c| &c.sessions_evicted), 0);

    // When they fall silent, then they end, however many at a time.
    gateway.advance(Duration::from_secs(301));
    while gateway.sum(|c| &c.sessions) > 0 {
        gateway.turn();
    }
    assert_eq!(gateway.sum(|c| &c.sessions_expired), u64::from(SESSIONS));
    assert_eq!(gateway.load(RIP_1), (0, 0));
}
