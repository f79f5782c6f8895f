//! Turns a frame into the few facts the pipeline needs.
//!
//! Everything that can be wrong with the bytes of a packet is found here, once, and becomes a
//! [`DropReason`]; the stages behind it rely on the offsets and lengths in [`Parsed`]. Nothing
//! here changes a packet, looks at a session, or knows which addresses are the gateway's.
//!
//! | A packet | becomes |
//! |---|---|
//! | IPv4 TCP, UDP, SCTP, whole or first fragment | [`Frame::Ipv4`], with a flow key |
//! | the same with ports but without the rest of the transport header, whole | [`Frame::Ipv4Cut`] |
//! | IPv4 of other protocols, later fragments, DHCP | [`Frame::Ipv4Other`] |
//! | ARP, IPv6, other EtherTypes | [`Frame::Arp`], [`Frame::Ipv6`], [`Frame::Other`] |

mod icmp;
mod plain;

use std::net::Ipv4Addr;

use crate::address::{Endpoint, FlowKey, MacAddr, Protocol, V4, V6};
use crate::drop_reason::DropReason::{self, TruncatedEthernet, TruncatedTransport};
use crate::id::VlanId;
use crate::io::RxChecksum;
use crate::wire::ethernet::{self, Ethernet, ethertype};
use crate::wire::ipv4::{Ipv4, Ipv4Option, Options, protocol};
use crate::wire::ipv6::{self, Ipv6};
use crate::wire::sctp::{self, Sctp};
use crate::wire::tcp::{self, Tcp};
use crate::wire::udp::{self, Udp};
use crate::wire::vlan::{self, Vlan};
use crate::wire::{ParseError, ports};

pub use icmp::{About, QuotedTunnel, RelatedError};
pub use plain::{Plain, PlainLink};

/// What stands in front of a frame's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkHeader {
    /// The station the frame is for.
    pub destination: MacAddr,
    /// The station that sent it.
    pub source: MacAddr,
    /// The VLAN of its tag; a tag with VLAN 0 is only a priority and counts as none.
    pub vlan: Option<VlanId>,
    /// Bytes in front of the payload: 14, or 18 with a tag.
    pub len: u8,
}

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A packet that a session or virtual service may want.
    Ipv4(Parsed),
    /// One that ends inside its transport header, behind the ports: a session may have it that is
    /// there already. Flags and chunk are 0.
    Ipv4Cut(Parsed),
    /// An IPv4 packet without ports: ICMP, other protocols, later fragments, DHCP.
    Ipv4Other(OtherIpv4),
    /// ARP, not looked into.
    Arp,
    /// An IPv6 packet.
    Ipv6(Ipv6Facts),
    /// Another EtherType, or below 0x600 the length of an IEEE 802.3 frame.
    Other(u16),
}

/// Which part of an IP packet this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FragmentKind {
    /// All of it.
    Whole,
    /// The first fragment, with a complete transport header.
    First,
    /// A later fragment, without transport header.
    Later,
}

impl FragmentKind {
    #[inline]
    const fn new(offset: u16, more: bool) -> Self {
        match (offset, more) {
            (0, false) => Self::Whole,
            (0, true) => Self::First,
            _ => Self::Later,
        }
    }
}

/// What an IPv4 header says besides the addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4Facts {
    /// The VLAN the frame arrived on.
    pub vlan: Option<VlanId>,
    /// Bytes of IP header and payload; the frame may be longer by its padding.
    pub total_len: u16,
    /// Where the IP payload begins, in bytes from the front of the frame.
    pub l4_offset: u16,
    /// The identification.
    pub id: u16,
    /// Where the IP header begins, in bytes from the front of the frame.
    pub l3_offset: u8,
    /// Bytes of the IP header, 20–60.
    pub header_len: u8,
    /// The time to live, as it arrived.
    pub ttl: u8,
    /// The protocol's number.
    pub protocol: u8,
    /// Which part of the packet this is.
    pub fragment: FragmentKind,
    /// Whether the packet must not be fragmented.
    pub dont_fragment: bool,
    /// Whether the header is longer than 20 bytes.
    pub has_options: bool,
}

/// A packet with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// Who sends to whom.
    pub key: FlowKey<V4>,
    /// What the IP header says.
    pub ip: Ipv4Facts,
    /// The control bits of a TCP segment; 0 in other packets.
    pub tcp_flags: u8,
    /// The type of the chunk that says what an SCTP packet is for: the first, or an ABORT behind a
    /// cookie; 0 in other packets.
    pub sctp_chunk: u8,
}

/// A packet without ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherIpv4 {
    /// The sender.
    pub source: V4,
    /// The receiver.
    pub destination: V4,
    /// What the IP header says.
    pub ip: Ipv4Facts,
}

/// What the headers of an IPv6 packet say; the addresses stay in the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6Facts {
    /// The VLAN the frame arrived on.
    pub vlan: Option<VlanId>,
    /// Where the upper layer begins behind all extension headers, in bytes from the front of
    /// the frame.
    pub l4_offset: u16,
    /// Where the IP header begins, in bytes from the front of the frame.
    pub l3_offset: u8,
    /// The number of the upper layer's protocol.
    pub protocol: u8,
    /// Which part of the packet this is.
    pub fragment: FragmentKind,
}

const UNTAGGED_LEN: u8 = 14;
const TAGGED_LEN: u8 = 18;
const IPV6_HEADER_LEN: u16 = 40;

const _: () = {
    assert!(UNTAGGED_LEN as usize == ethernet::HEADER_LEN);
    assert!(TAGGED_LEN as usize == ethernet::HEADER_LEN + vlan::TAG_LEN);
    assert!(IPV6_HEADER_LEN as usize == ipv6::HEADER_LEN);
};

/// Reads a frame. `ip_checksum` is what the ethdev said of the IPv4 header checksum.
///
/// # Errors
/// The reason to drop the frame, if it is malformed, cut short, or forged beyond doubt.
#[inline]
pub fn parse(frame: &[u8], ip_checksum: RxChecksum) -> Outcome {
    let (link, ethertype, packet) = Link::parse(frame).map_err(|_| TruncatedEthernet)?;
    // IEEE 802.1Q reserves it, so no VLAN can be configured with it.
    if link.vlan == Some(VlanId(4095)) {
        return Err(DropReason::UnknownVlan);
    }
    match ethertype {
        ethertype::IPV4 => ipv4(link, packet, ip_checksum),
        ethertype::IPV6 => {
            let facts = ipv6(link.vlan, link.len, packet)?;
            Ok((link.header(), Frame::Ipv6(facts)))
        }
        ethertype::ARP => Ok((link.header(), Frame::Arp)),
        other => Ok((link.header(), Frame::Other(other))),
    }
}

/// Reads the header of an IPv4 packet without ports that the gateway has made itself, behind room
/// for Ethernet without a tag.
pub(crate) fn made_here(frame: &[u8]) -> Option<OtherIpv4> {
    let (header, _) = Ipv4::parse(frame.get(UNTAGGED_LEN.into()..)?).ok()?;
    Some(OtherIpv4 {
        source: header.source(),
        destination: header.destination(),
        ip: ipv4_facts(None, UNTAGGED_LEN, &header),
    })
}

/// What a frame is, or why it is dropped. The functions below hand it on as it is: it is too
/// big to be taken apart and put together again for each packet.
type Outcome = Result<(LinkHeader, Frame), DropReason>;

/// What [`LinkHeader`] is made from, small enough for registers.
#[derive(Clone, Copy)]
struct Link<'a> {
    ethernet: Ethernet<'a>,
    vlan: Option<VlanId>,
    len: u8,
}

impl<'a> Link<'a> {
    /// Splits a frame into its link header, the EtherType behind a tag if there is one, and
    /// payload.
    #[inline]
    fn parse(frame: &'a [u8]) -> Result<(Self, u16, &'a [u8]), ParseError> {
        let (ethernet, payload) = Ethernet::parse(frame)?;
        let (vlan, len, ethertype, payload) = match ethernet.ethertype() {
            ethertype::VLAN => {
                let (tag, payload) = Vlan::parse(payload)?;
                let vlan = (tag.id() != VlanId(0)).then_some(tag.id());
                (vlan, TAGGED_LEN, tag.ethertype(), payload)
            }
            ethertype => (None, UNTAGGED_LEN, ethertype, payload),
        };
        let link = Self {
            ethernet,
            vlan,
            len,
        };
        Ok((link, ethertype, payload))
    }

    #[inline]
    fn header(self) -> LinkHeader {
        LinkHeader {
            destination: self.ethernet.destination(),
            source: self.ethernet.source(),
            vlan: self.vlan,
            len: self.len,
        }
    }
}

#[inline]
fn ipv4(link: Link<'_>, packet: &[u8], checksum: RxChecksum) -> Outcome {
    let (header, payload) = Ipv4::parse(packet).map_err(bad_ip)?;
    if !is_intact(&header, checksum) {
        return Err(DropReason::BadIpChecksum);
    }
    let ip = ipv4_facts(link.vlan, link.len, &header);
    if ip.has_options {
        check_options(header.options())?;
    }
    if ip.fragment != FragmentKind::Whole {
        check_fragment(header.fragment_offset(), ip.total_len, ip.protocol)?;
    }
    let (source, destination) = (header.source(), header.destination());
    if is_martian(source, destination, ip.protocol) {
        return Err(DropReason::MartianSource);
    }
    match Protocol::from_number(ip.protocol) {
        Some(protocol) if ip.fragment != FragmentKind::Later && source != UNSPECIFIED => {
            with_ports(link, (source, destination, protocol), ip, payload)
        }
        _ => {
            let other = OtherIpv4 {
                source,
                destination,
                ip,
            };
            Ok((link.header(), Frame::Ipv4Other(other)))
        }
    }
}

const UNSPECIFIED: V4 = V4(0);
const BROADCAST: V4 = V4(u32::MAX);

#[inline]
fn is_intact(header: &Ipv4<'_>, checksum: RxChecksum) -> bool {
    match checksum {
        RxChecksum::Good => true,
        RxChecksum::Bad => false,
        RxChecksum::Unknown => header.verify_checksum(),
    }
}

#[inline]
fn ipv4_facts(vlan: Option<VlanId>, l3: u8, header: &Ipv4<'_>) -> Ipv4Facts {
    let header_len = header.header_len();
    Ipv4Facts {
        vlan,
        total_len: header.total_len(),
        l4_offset: u16::from(l3) + u16::from(header_len),
        id: header.id(),
        l3_offset: l3,
        header_len,
        ttl: header.ttl(),
        protocol: header.protocol(),
        fragment: FragmentKind::new(header.fragment_offset(), header.more_fragments()),
        dont_fragment: header.dont_fragment(),
        has_options: header_len > 20,
    }
}

#[cold]
#[inline(never)]
fn check_options(options: Options<'_>) -> Result<(), DropReason> {
    for option in options {
        match option.map_err(bad_ip)?.kind {
            // RFC 7126 §4.3 and §4.4: they get packets past firewalls, and nobody needs them.
            Ipv4Option::LOOSE_SOURCE_ROUTE | Ipv4Option::STRICT_SOURCE_ROUTE => {
                return Err(DropReason::SourceRoute);
            }
            _ => {}
        }
    }
    Ok(())
}

#[cold]
#[inline(never)]
fn check_fragment(offset: u16, total_len: u16, protocol: u8) -> Result<(), DropReason> {
    // Reassembled it would be longer than any total length can say.
    if offset.checked_add(total_len).is_none() {
        return Err(DropReason::BadIpHeader);
    }
    // RFC 1858 §3.2.2: a fragment at 8 can only be there to overwrite the TCP flags of the first.
    if offset == 8 && protocol == Protocol::Tcp as u8 {
        return Err(DropReason::TruncatedTransport);
    }
    Ok(())
}

/// Whether no host can have sent this. A host without an address may look for one (DHCP,
/// RFC 2131 §4.1) and an IGMP-snooping switch may ask for group members (RFC 4541 §2.1.1); both
/// are Linux's.
#[inline]
fn is_martian(source: V4, destination: V4, protocol: u8) -> bool {
    let addr = Ipv4Addr::from(source);
    if source == UNSPECIFIED {
        return destination != BROADCAST && protocol != protocol::IGMP;
    }
    addr.is_multicast() || addr.is_broadcast() || addr.is_loopback()
}

#[inline]
fn with_ports(
    link: Link<'_>,
    (source, destination, protocol): (V4, V4, Protocol),
    ip: Ipv4Facts,
    payload: &[u8],
) -> Outcome {
    let Ok(transport) = transport(protocol, payload) else {
        return cut(link, (source, destination, protocol), ip, payload);
    };
    let parsed = Parsed {
        key: FlowKey {
            source: Endpoint::new(source, transport.source_port),
            destination: Endpoint::new(destination, transport.destination_port),
            protocol,
        },
        ip,
        tcp_flags: transport.tcp_flags,
        sctp_chunk: transport.sctp_chunk,
    };
    Ok((link.header(), Frame::Ipv4(parsed)))
}

/// A packet whose transport header is not all there, or says that it is not.
#[cold]
#[inline(never)]
fn cut(
    link: Link<'_>,
    (source, destination, protocol): (V4, V4, Protocol),
    ip: Ipv4Facts,
    payload: &[u8],
) -> Outcome {
    let least = match protocol {
        Protocol::Tcp => tcp::HEADER_LEN,
        Protocol::Udp => udp::HEADER_LEN,
        Protocol::Sctp => sctp::MIN_PACKET_LEN,
    };
    // RFC 1858 §3.1 on fragments.
    if payload.len() >= least || ip.fragment != FragmentKind::Whole {
        return Err(TruncatedTransport);
    }
    let (source_port, destination_port) = ports(payload).map_err(|_| TruncatedTransport)?;
    let key = FlowKey {
        source: Endpoint::new(source, source_port),
        destination: Endpoint::new(destination, destination_port),
        protocol,
    };
    let parsed = Parsed {
        key,
        ip,
        tcp_flags: 0,
        sctp_chunk: 0,
    };
    Ok((link.header(), Frame::Ipv4Cut(parsed)))
}

/// What a transport header says.
struct Transport {
    source_port: u16,
    destination_port: u16,
    tcp_flags: u8,
    sctp_chunk: u8,
}

#[inline]
fn transport(protocol: Protocol, payload: &[u8]) -> Result<Transport, ParseError> {
    let (source_port, destination_port) = ports(payload)?;
    let (tcp_flags, sctp_chunk) = match protocol {
        Protocol::Tcp => (tcp_flags(payload)?, 0),
        Protocol::Udp => Udp::parse(payload).map(|_| (0, 0))?,
        Protocol::Sctp => {
            let (header, rest) = Sctp::parse(payload)?;
            (0, header.leading_chunk(rest))
        }
    };
    Ok(Transport {
        source_port,
        destination_port,
        tcp_flags,
        sctp_chunk,
    })
}

#[inline]
fn tcp_flags(payload: &[u8]) -> Result<u8, ParseError> {
    let header = Tcp::parse(payload)?;
    let len = header.header_len();
    // The options too: RFC 1858 §3 advises against first fragments that end before them.
    if len < tcp::HEADER_LEN || len > payload.len() {
        return Err(ParseError::Truncated);
    }
    Ok(header.flags().0)
}

// Out of line, so that what is forwarded keeps its registers.
#[inline(never)]
fn ipv6(vlan: Option<VlanId>, l3_offset: u8, packet: &[u8]) -> Result<Ipv6Facts, DropReason> {
    let (header, payload) = Ipv6::parse(packet).map_err(bad_ip)?;
    // RFC 4291 §2.5.3 and §2.7: no packet comes from loopback or a group.
    let source = header.source();
    if source == V6(1) || source.octets()[0] == 0xff {
        return Err(DropReason::MartianSource);
    }
    let upper = ipv6::upper_layer(header.next_header(), payload).map_err(bad_ip)?;
    Ok(Ipv6Facts {
        vlan,
        l4_offset: u16::from(l3_offset) + IPV6_HEADER_LEN + upper.offset,
        l3_offset,
        protocol: upper.protocol,
        fragment: upper.fragment.map_or(FragmentKind::Whole, |fragment| {
            FragmentKind::new(fragment.offset, fragment.more)
        }),
    })
}

#[cold]
const fn bad_ip(error: ParseError) -> DropReason {
    match error {
        ParseError::Truncated => DropReason::TruncatedIp,
        ParseError::Malformed => DropReason::BadIpHeader,
    }
}

#[cfg(test)]
mod tests;
