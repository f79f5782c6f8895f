//! Reads the packets that nearly all packets are, and leaves every other one to
//! [`parse`](super::parse()).
//!
//! Plain is an IPv4 packet, with or without a VLAN tag, that is whole, has no IP options, carries
//! TCP or UDP, fills an Ethernet frame, and has nothing wrong with it but perhaps its sender, whom
//! [`Plain::to_parsed`] looks at: a session's packets have senders that it accepted. What this
//! takes, the general parser would take too, with the same facts: an express lane through the
//! same gate.

use super::{FragmentKind, Ipv4Facts, Parsed, TAGGED_LEN, UNTAGGED_LEN};
use crate::address::{FlowKey, MacAddr, Protocol, V4};
use crate::id::VlanId;
use crate::io::RxChecksum;
use crate::wire::ethernet::{Ethernet, ethertype};
use crate::wire::plain::PlainIpv4;
use crate::wire::vlan::Vlan;

const TCP: u8 = Protocol::Tcp as u8;
const UDP: u8 = Protocol::Udp as u8;

/// Bytes of an IP header without options.
const IP_HEADER: u16 = 20;
/// Bytes of IP and UDP headers.
const UDP_HEADERS: u16 = 28;
/// Bytes of a TCP header without options.
const TCP_HEADER: u8 = 20;

/// What the pipeline remembers of a plain packet while it waits for its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plain {
    /// Bytes of the IP packet; the frame may be longer by its padding.
    pub total_len: u16,
    /// Where the IP header begins, in bytes from the front of the frame.
    pub l3_offset: u8,
    /// The transport: TCP or UDP.
    pub protocol: Protocol,
    /// It is what a connection in full swing is made of: a datagram, or a segment with ACK and
    /// neither SYN, FIN nor RST.
    pub is_more_of_the_same: bool,
}

/// What stands in front of a plain packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlainLink {
    /// The VLAN the frame arrived on.
    pub vlan: Option<VlanId>,
    /// Where the IP header begins, in bytes from the front of the frame.
    pub l3_offset: u8,
}

impl PlainLink {
    /// Reads what stands in front of an IPv4 packet.
    #[inline(always)]
    #[must_use]
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let (ethernet, payload) = Ethernet::parse(frame).ok()?;
        match ethernet.ethertype() {
            ethertype::IPV4 => Some(Self {
                vlan: None,
                l3_offset: UNTAGGED_LEN,
            }),
            ethertype::VLAN => Self::tagged(payload),
            _ => None,
        }
    }

    fn tagged(payload: &[u8]) -> Option<Self> {
        let (tag, _) = Vlan::parse(payload).ok()?;
        let is_ipv4 = tag.ethertype() == ethertype::IPV4 && tag.id() != VlanId(4095);
        is_ipv4.then(|| Self {
            vlan: (tag.id() != VlanId(0)).then_some(tag.id()),
            l3_offset: TAGGED_LEN,
        })
    }

    /// Whether the frame that this was read from is for the station `mac`.
    #[inline(always)]
    #[must_use]
    pub fn is_for(&self, frame: &[u8], mac: MacAddr) -> bool {
        frame.first_chunk() == Some(&mac.0)
    }
}

impl Plain {
    /// Reads the plain packet behind `link`; `None` leaves the frame to the general parser.
    #[inline(always)]
    #[must_use]
    pub fn parse(
        frame: &[u8],
        link: PlainLink,
        ip_checksum: RxChecksum,
    ) -> Option<(Self, PlainIpv4<'_>)> {
        let packet = frame.get(usize::from(link.l3_offset)..)?;
        let ip = PlainIpv4::parse(packet)?;
        let intact = match ip_checksum {
            RxChecksum::Good => true,
            RxChecksum::Bad => false,
            RxChecksum::Unknown => ip.verify_checksum(),
        };
        if !intact || usize::from(ip.total_len()) > packet.len() {
            return None;
        }
        let (protocol, is_more_of_the_same) = transport(&ip)?;
        let plain = Self {
            total_len: ip.total_len(),
            l3_offset: link.l3_offset,
            protocol,
            is_more_of_the_same,
        };
        Some((plain, ip))
    }

    /// Who sends to whom; `frame` is the one this was read from.
    #[must_use]
    pub fn key(&self, frame: &[u8]) -> Option<FlowKey<V4>> {
        let ip = PlainIpv4::parse(frame.get(usize::from(self.l3_offset)..)?)?;
        Some(FlowKey {
            source: ip.tuple().source(),
            destination: ip.tuple().destination(),
            protocol: self.protocol,
        })
    }

    /// What the general parser says of the packet; `frame` is the one this was read from. `None`
    /// when the packet has a sender that it would have to look at more closely.
    #[must_use]
    pub fn to_parsed(&self, frame: &[u8], vlan: Option<VlanId>) -> Option<Parsed> {
        let key = self.key(frame)?;
        let ip = PlainIpv4::parse(frame.get(usize::from(self.l3_offset)..)?)?;
        let [first, ..] = key.source.addr.octets();
        let is_tcp = self.protocol == Protocol::Tcp;
        // Unicast, but not loopback.
        matches!(first, 1..=126 | 128..=223).then(|| Parsed {
            key,
            ip: Ipv4Facts {
                vlan,
                total_len: self.total_len,
                l4_offset: u16::from(self.l3_offset) + IP_HEADER,
                id: ip.id(),
                l3_offset: self.l3_offset,
                header_len: 20,
                ttl: ip.ttl(),
                protocol: self.protocol as u8,
                fragment: FragmentKind::Whole,
                dont_fragment: ip.dont_fragment(),
                has_options: false,
            },
            tcp_flags: if is_tcp { ip.tcp_flags() } else { 0 },
            sctp_chunk: 0,
        })
    }
}

/// The transport, and whether this is more of the same; `None` when its header does not fit.
#[inline(always)]
fn transport(ip: &PlainIpv4<'_>) -> Option<(Protocol, bool)> {
    const SYN_FIN_RST_ACK: u8 = 0x17;
    const ACK: u8 = 0x10;

    match ip.protocol() {
        UDP if ip.total_len() >= UDP_HEADERS => Some((Protocol::Udp, true)),
        TCP => {
            let header_len = ip.tcp_header_len();
            let headers = IP_HEADER + u16::from(header_len);
            let is_sound = header_len >= TCP_HEADER && headers <= ip.total_len();
            is_sound.then(|| (Protocol::Tcp, ip.tcp_flags() & SYN_FIN_RST_ACK == ACK))
        }
        _ => None,
    }
}
