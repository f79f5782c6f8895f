//! Packets for the tests of rewriting, without Ethernet in front of them, and their judges.
//!
//! The judges are another implementation of the protocols (etherparse), so that a mistake of
//! ours does not agree with itself.

use etherparse::{Ipv4HeaderSlice, TcpHeaderSlice, UdpHeader};
use proptest::prelude::*;

use crate::address::{Endpoint, Protocol, V4};
use crate::testing::{self, Builder, Tcp, endpoint};
pub(crate) use crate::testing::{CLIENT, LIP, VIP};
use crate::wire::ethernet;
use crate::wire::ipv4::Ipv4Mut;
use crate::wire::sctp::Sctp;

/// A server with another port than [`VIP`] has.
pub(crate) const SERVER: Endpoint<V4> = endpoint([10, 2, 0, 11], 8080);

/// What every packet has before it is rewritten.
pub(crate) const TTL: u8 = 64;

/// A TCP segment with what `edit` adds to it.
pub(crate) fn tcp(
    from: Endpoint<V4>,
    to: Endpoint<V4>,
    edit: impl FnOnce(Builder<Tcp>) -> Builder<Tcp>,
    payload: &[u8],
) -> Vec<u8> {
    packet(edit(testing::tcp()), from, to, payload)
}

/// A UDP datagram.
pub(crate) fn udp(from: Endpoint<V4>, to: Endpoint<V4>, payload: &[u8]) -> Vec<u8> {
    packet(testing::udp(), from, to, payload)
}

/// A UDP datagram without a checksum.
pub(crate) fn udp_without_checksum(
    from: Endpoint<V4>,
    to: Endpoint<V4>,
    payload: &[u8],
) -> Vec<u8> {
    packet(testing::udp().no_checksum(), from, to, payload)
}

/// An SCTP packet with one chunk.
pub(crate) fn sctp(from: Endpoint<V4>, to: Endpoint<V4>, payload: &[u8]) -> Vec<u8> {
    packet(testing::sctp(), from, to, payload)
}

fn packet<T: testing::Transport>(
    builder: Builder<T>,
    from: Endpoint<V4>,
    to: Endpoint<V4>,
    payload: &[u8],
) -> Vec<u8> {
    let frame = builder.from(from).to(to).ttl(TTL).payload(payload).build();
    frame[ethernet::HEADER_LEN..].to_vec()
}

/// The same packet with its header changed by `edit`, and the header checksum right.
pub(crate) fn with_ip(mut packet: Vec<u8>, edit: impl FnOnce(&mut Ipv4Mut<'_>)) -> Vec<u8> {
    let (mut header, _) = Ipv4Mut::parse(&mut packet).unwrap();
    edit(&mut header);
    header.fill_checksum();
    packet
}

/// The same packet as a first fragment: more follow.
pub(crate) fn first_fragment(packet: Vec<u8>) -> Vec<u8> {
    with_ip(packet, |header| header.set_more_fragments(true))
}

/// The same bytes as a later fragment: what looks like a transport header is payload.
pub(crate) fn later_fragment(packet: Vec<u8>) -> Vec<u8> {
    with_ip(packet, |header| header.set_fragment_offset(1480))
}

/// The checksum of a TCP or UDP packet (and the CRC of an SCTP packet) right?
pub(crate) fn transport_is_sound(packet: &[u8]) -> bool {
    let ip = Ipv4HeaderSlice::from_slice(packet).unwrap();
    let transport = &packet[ip.slice().len()..];
    let ip = ip.to_header();
    match ip.protocol.0 {
        6 => {
            let tcp = TcpHeaderSlice::from_slice(transport).unwrap();
            let payload = &transport[tcp.slice().len()..];
            let tcp = tcp.to_header();
            tcp.calc_checksum_ipv4(&ip, payload).unwrap() == tcp.checksum
        }
        17 => {
            let (udp, payload) = UdpHeader::from_slice(transport).unwrap();
            udp.calc_checksum_ipv4(&ip, payload).unwrap() == udp.checksum
        }
        _ => {
            let (sctp, rest) = Sctp::parse(transport).unwrap();
            sctp.verify_checksum(rest)
        }
    }
}

/// The IPv4 header checksum right?
pub(crate) fn header_is_sound(packet: &[u8]) -> bool {
    let ip = Ipv4HeaderSlice::from_slice(packet).unwrap().to_header();
    ip.calc_header_checksum() == ip.header_checksum
}

/// The same packet with one bit of its last byte flipped on the way: its checksum is wrong.
pub(crate) fn damaged(mut packet: Vec<u8>) -> Vec<u8> {
    if let Some(last) = packet.last_mut() {
        *last ^= 0x10;
    }
    packet
}

/// Any address and port.
pub(crate) fn any_end() -> impl Strategy<Value = Endpoint<V4>> {
    (any::<u32>(), any::<u16>()).prop_map(|(addr, port)| Endpoint::new(V4(addr), port))
}

/// A packet without its ends.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    protocol: Protocol,
    payload: Vec<u8>,
}

impl Content {
    /// The packet with these ends.
    pub(crate) fn between(&self, from: Endpoint<V4>, to: Endpoint<V4>) -> Vec<u8> {
        match self.protocol {
            Protocol::Tcp => tcp(from, to, |tcp| tcp, &self.payload),
            Protocol::Udp => udp(from, to, &self.payload),
            Protocol::Sctp => sctp(from, to, &self.payload),
        }
    }
}

/// Any transport with any payload.
pub(crate) fn any_content() -> impl Strategy<Value = Content> {
    let protocol = prop_oneof![
        Just(Protocol::Tcp),
        Just(Protocol::Udp),
        Just(Protocol::Sctp)
    ];
    let payload = proptest::collection::vec(any::<u8>(), 0..64);
    (protocol, payload).prop_map(|(protocol, payload)| Content { protocol, payload })
}
