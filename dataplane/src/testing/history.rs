//! Histories of frames as bytes: what the fuzz target `pipeline` plays to a gateway.
//!
//! ```text
//! | how 1 | length 2 | frame | how 1 | length 2 | frame | ...
//!   bit 0  the ethdev that receives it
//!   bit 1  the worker that receives it
//!   bit 2  the ethdev found the IPv4 header checksum right, whatever it is
//!   3–7    seconds that pass before it comes, squared
//! ```

use std::time::Duration;

use crate::address::Protocol;
use crate::io::RxChecksum;
use crate::io::memory::MemoryPacket;
use crate::wire::ethernet::{Ethernet, ethertype};
use crate::wire::ipv4::Ipv4;

use super::{RIP_1, RIP_2, RIP_3, Setup, TestGateway, VIP, endpoint, service};

/// A bit of `how`: received by ethdev 1.
const ETHDEV: u8 = 1;
/// A bit of `how`: received by worker 1.
const WORKER: u8 = 1 << 1;
/// A bit of `how`: the checksum counts as right.
const CHECKED: u8 = 1 << 2;

/// Plays a history to a gateway of two workers with all methods and transports, 64 sessions each,
/// and an MTU of 1,000 bytes to the servers. Gives the gateway and how many frames it sent.
///
/// # Panics
///
/// When the gateway does, or sends what is no frame: that is what fuzzing looks for.
#[must_use]
pub fn play(mut history: &[u8]) -> (TestGateway, usize) {
    let mut gateway = gateway();
    let mut sent = 0;
    while let Some(([how, high, low], rest)) = history.split_first_chunk() {
        let len = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (frame, rest) = rest.split_at(len);
        history = rest;

        let seconds = u64::from(how >> 3);
        if seconds > 0 {
            gateway.advance(Duration::from_secs(seconds * seconds));
        }
        let mut packet = MemoryPacket::new(frame);
        if how & CHECKED != 0 {
            packet.checksum = RxChecksum::Good;
        }
        let worker = usize::from(how & WORKER != 0);
        gateway.receive_at(worker, u16::from(how & ETHDEV), packet);
        sent += take(&mut gateway, how & CHECKED == 0);
    }
    (gateway, sent)
}

/// One frame of a history: received after `seconds` squared by worker 0 on this ethdev.
#[must_use]
pub fn record(seconds: u8, ethdev: u8, frame: &[u8]) -> Vec<u8> {
    let len = u16::try_from(frame.len()).expect("at most 65535 bytes");
    let mut bytes = vec![seconds << 3 | ethdev];
    bytes.extend(len.to_be_bytes());
    bytes.extend_from_slice(frame);
    bytes
}

fn gateway() -> TestGateway {
    let mut gateway = Setup::two_arm()
        .workers(2)
        .sessions(64)
        .mtu(super::SERVER_SIDE, 1_000)
        .start();
    let protocols = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
    let mixed = protocols.map(|protocol| {
        let other_port = endpoint([10, 2, 0, 12], 8_080);
        let mixed = service(protocol, VIP).dr(RIP_1).nat(RIP_2).nat(other_port);
        mixed.tun(RIP_3).fullnat(RIP_3_FULLNAT)
    });
    gateway.serve(&mixed);
    gateway
}

/// A port of the third server that is reached by FULLNAT.
const RIP_3_FULLNAT: crate::address::Endpoint<crate::address::V4> = endpoint([10, 2, 0, 13], 8_080);

/// Takes all frames away and checks that each is one of IPv4, with a right header checksum if
/// `sound` ones came in.
fn take(gateway: &mut TestGateway, sound: bool) -> usize {
    let frames = [gateway.sent(0), gateway.sent(1)].concat();
    for frame in &frames {
        let (link, packet) = Ethernet::parse(frame).expect("a frame");
        assert_eq!(link.ethertype(), ethertype::IPV4);
        let (header, _) = Ipv4::parse(packet).expect("an IPv4 packet");
        assert_eq!(usize::from(header.total_len()), packet.len());
        assert!(header.verify_checksum() || !sound, "{frame:02x?}");
    }
    for side in [super::CLIENT_SIDE, super::SERVER_SIDE] {
        let _ = gateway.punted(side);
    }
    frames.len()
}
