//! Frames that are not IPv4.

use crate::address::{MacAddr, V4, V6};
use crate::wire::arp::{self, ArpMut, Operation};
use crate::wire::checksum::pseudo_v6;
use crate::wire::ethernet::{self, EthernetMut, ethertype};
use crate::wire::ipv6::{self as wire_ipv6, Ipv6Mut};
use crate::wire::udp::{self, UdpMut};

use super::{CLIENT_MAC, GATEWAY_MAC};

/// An ARP request of the client: who has `target`, tell `sender`?
#[must_use]
pub fn arp_request(sender: V4, target: V4) -> Vec<u8> {
    let mut frame = frame(MacAddr::BROADCAST, ethertype::ARP, arp::MESSAGE_LEN);
    let (mut message, _) =
        ArpMut::init(&mut frame[ethernet::HEADER_LEN..], Operation::Request).expect("room for it");
    message.set_sender(CLIENT_MAC, sender);
    message.set_target(MacAddr::default(), target);
    frame
}

/// An IPv6 packet of the client: `payload` begins with what `next_header` says.
#[must_use]
pub fn ipv6(source: V6, destination: V6, next_header: u8, payload: &[u8]) -> Vec<u8> {
    let len = wire_ipv6::HEADER_LEN + payload.len();
    let mut frame = frame(GATEWAY_MAC, ethertype::IPV6, len);
    let (mut header, rest) =
        Ipv6Mut::init(&mut frame[ethernet::HEADER_LEN..]).expect("room for it");
    header.set_payload_len(u16::try_from(payload.len()).expect("at most 65535 bytes"));
    header.set_next_header(next_header);
    header.set_hop_limit(64);
    header.set_source(source);
    header.set_destination(destination);
    rest.copy_from_slice(payload);
    frame
}

/// A UDP datagram of the client over IPv6, from port 40000 to port 53.
#[must_use]
pub fn ipv6_udp(source: V6, destination: V6, payload: &[u8]) -> Vec<u8> {
    let mut datagram = vec![0; udp::HEADER_LEN];
    datagram.extend_from_slice(payload);
    let length = u16::try_from(datagram.len()).expect("at most 65535 bytes");
    let (mut header, rest) = UdpMut::parse(&mut datagram).expect("room for it");
    header.set_source_port(40_000);
    header.set_destination_port(53);
    header.set_length(length);
    header.fill_checksum(pseudo_v6(source, destination, 17, u32::from(length)), rest);
    ipv6(source, destination, 17, &datagram)
}

fn frame(destination: MacAddr, ethertype: u16, payload_len: usize) -> Vec<u8> {
    let mut frame = vec![0; ethernet::HEADER_LEN + payload_len];
    let (mut header, _) = EthernetMut::parse(&mut frame).expect("room for it");
    header.set_source(CLIENT_MAC);
    header.set_destination(destination);
    header.set_ethertype(ethertype);
    frame
}
