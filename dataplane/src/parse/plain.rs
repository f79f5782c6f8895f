//! Reads the packets that nearly all packets are, and leaves every other one to
//! [`parse`](super::parse()).
//!
//! Plain is an IPv4 packet, with or without a VLAN tag, that is whole, has no IP options, carries
//! TCP or UDP, and has nothing wrong with it. What this function takes, the general one would
//! take too, with the same facts: it is an express lane through the same gate.

use super::{FragmentKind, Ipv4Facts, Parsed};
use crate::address::{FlowKey, MacAddr, Protocol, V4};
use crate::id::VlanId;
use crate::io::RxChecksum;
use crate::wire::ethernet::{Ethernet, ethertype};
use crate::wire::plain::{LEN, PlainIpv4};
use crate::wire::vlan::Vlan;

const TCP: u8 = Protocol::Tcp as u8;
const UDP: u8 = Protocol::Udp as u8;

/// Bytes of an IP header without options.
const IP_HEADER: u16 = 20;
/// Bytes of IP and UDP headers.
const UDP_HEADERS: u16 = 28;
/// Bytes of a TCP header without options.
const TCP_HEADER: u8 = 20;

/// What the pipeline asks of a plain packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plain {
    /// Who sends to whom.
    pub key: FlowKey<V4>,
    /// Bytes of the IP packet; the frame may be longer by its padding.
    pub total_len: u16,
    /// Where the IP header begins, in bytes from the front of the frame.
    pub l3_offset: u8,
    /// The time to live, as it arrived.
    pub ttl: u8,
    /// The control bits of a TCP segment; 0 with UDP.
    pub tcp_flags: u8,
}

/// What stands in front of a plain packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlainLink {
    /// The VLAN the frame arrived on.
    pub vlan: Option<VlanId>,
    /// The station it is for.
    pub destination: MacAddr,
}

impl Plain {
    /// Reads a plain packet and what stands in front of it; `None` leaves the frame to the general
    /// parser.
    #[inline]
    #[must_use]
    pub fn parse(frame: &[u8], ip_checksum: RxChecksum) -> Option<(Self, PlainLink)> {
        let (ethernet, payload) = Ethernet::parse(frame).ok()?;
        let (vlan, l3_offset, ethertype, packet) = match ethernet.ethertype() {
            ethertype::VLAN => {
                let (tag, packet) = Vlan::parse(payload).ok()?;
                let vlan = (tag.id() != VlanId(0)).then_some(tag.id());
                (vlan, super::TAGGED_LEN, tag.ethertype(), packet)
            }
            ethertype => (None, super::UNTAGGED_LEN, ethertype, payload),
        };
        if ethertype != ethertype::IPV4 || vlan == Some(VlanId(4095)) {
            return None;
        }
        let ip = PlainIpv4::parse(packet)?;
        let (total_len, source) = (ip.total_len(), ip.source());
        let intact = match ip_checksum {
            RxChecksum::Good => true,
            RxChecksum::Bad => false,
            RxChecksum::Unknown => ip.verify_checksum(),
        };
        if !intact || usize::from(total_len) > packet.len() || !is_unicast(source.addr) {
            return None;
        }
        let (protocol, tcp_flags) = match ip.protocol() {
            UDP if total_len >= UDP_HEADERS => (Protocol::Udp, 0),
            TCP => {
                let rest = PlainIpv4::tcp_rest(packet.get(LEN..)?)?;
                let headers = IP_HEADER + u16::from(rest.header_len);
                if rest.header_len < TCP_HEADER || headers > total_len {
                    return None;
                }
                (Protocol::Tcp, rest.flags)
            }
            _ => return None,
        };
        let plain = Self {
            key: FlowKey {
                source,
                destination: ip.destination(),
                protocol,
            },
            total_len,
            l3_offset,
            ttl: ip.ttl(),
            tcp_flags,
        };
        let destination = ethernet.destination();
        Some((plain, PlainLink { vlan, destination }))
    }

    /// What the general parser says of the packet; `frame` is the one this was read from.
    #[must_use]
    pub fn to_parsed(&self, frame: &[u8], vlan: Option<VlanId>) -> Option<Parsed> {
        let ip = PlainIpv4::parse(frame.get(usize::from(self.l3_offset)..)?)?;
        Some(Parsed {
            key: self.key,
            ip: Ipv4Facts {
                vlan,
                total_len: self.total_len,
                l4_offset: u16::from(self.l3_offset) + 20,
                id: ip.id(),
                l3_offset: self.l3_offset,
                header_len: 20,
                ttl: self.ttl,
                protocol: self.key.protocol as u8,
                fragment: FragmentKind::Whole,
                dont_fragment: ip.dont_fragment(),
                has_options: false,
            },
            tcp_flags: self.tcp_flags,
            sctp_chunk: 0,
        })
    }
}

/// Whether the address can be a sender's without a closer look: 1.0.0.0–223.255.255.255, but not
/// loopback.
#[inline]
const fn is_unicast(addr: V4) -> bool {
    let first = addr.0 >> 24;
    first != 0 && first < 224 && first != 127
}
