//! Changes a packet on its way to a server or a client, one file per forwarding method.
//!
//! Every function takes the IPv4 packet from its header to its last byte, without Ethernet
//! around it; the Ethernet header is written when all else is done. A packet for which a
//! function returns a drop reason may be half changed, and is to be dropped.
//!
//! A TCP or UDP checksum is carried over to the changed fields and never computed anew, so that a
//! wrong one stays wrong; an SCTP one is, as the kernel does. How the transports differ
//! (`replace_ends` obeys this table):
//!
//! ```text
//!                 whole packet                  first fragment     later fragment
//! TCP             carried over                  carried over       no header: addresses only
//! UDP             carried over                  carried over       addresses only
//! UDP without     computed from scratch         stays without      addresses only
//! SCTP            computed from scratch if      dropped if a port  addresses only
//!                 a port changes, else left     changes
//!                 alone
//! ```
//!
//! A first fragment of the last two kinds goes through [`datagram::settle`] before, when the others
//! are known: then it has a checksum that can be carried over, or its ports already.

pub mod datagram;
pub mod dr;
pub mod fragment;
pub mod fullnat;
pub mod icmp;
pub mod ip_id;
pub mod mss;
pub mod nat;
pub mod plain;
#[cfg(test)]
pub(crate) mod samples;
pub mod sequence;
mod tcp_options;
pub mod tun;

use crate::address::{Endpoint, Protocol, V4};
use crate::drop_reason::DropReason;
use crate::wire::checksum::{Change, pseudo_v4};
use crate::wire::ipv4::{Ipv4, Ipv4Mut};
use crate::wire::sctp;
use crate::wire::tcp::TcpMut;
use crate::wire::udp::{self, UdpMut};
use crate::wire::{self, ParseError};

/// Takes one from the packet's time to live, as every router does (RFC 1812 §5.3.1).
///
/// # Errors
///
/// [`DropReason::TtlExpired`] when nothing would be left, with the packet as it was;
/// [`DropReason::TruncatedIp`] and [`DropReason::BadIpHeader`] for what is no IPv4 packet.
#[inline]
pub fn decrement_ttl(ip: &mut [u8]) -> Result<(), DropReason> {
    let (mut header, _) = Ipv4Mut::parse(ip).map_err(not_ip)?;
    let old = header.view().ttl();
    if old <= 1 {
        return Err(DropReason::TtlExpired);
    }
    header.set_ttl(old - 1);
    // The TTL is the high byte of its word.
    let change = Change::default().u16(u16::from(old) << 8, u16::from(old - 1) << 8);
    header.set_checksum(change.apply(header.view().checksum()));
    Ok(())
}

/// Gives the packet a new source, a new destination or both: addresses and ports, with all
/// checksums over them, by the table at the top.
///
/// # Errors
///
/// [`DropReason::TruncatedTransport`] when the packet ends before the transport header, or
/// before the length in a UDP header without checksum; [`DropReason::FragmentedSctp`] for a
/// first fragment of SCTP whose port changes; [`DropReason::TruncatedIp`] and
/// [`DropReason::BadIpHeader`] for what is no IPv4 packet.
#[inline]
pub fn replace_ends(
    ip: &mut [u8],
    source: Option<Endpoint<V4>>,
    destination: Option<Endpoint<V4>>,
) -> Result<(), DropReason> {
    let (mut header, transport) = Ipv4Mut::parse(ip).map_err(not_ip)?;
    let addresses = replace_addresses(&mut header, source, destination);
    let header = header.view();
    if header.fragment_offset() != 0 {
        return Ok(());
    }
    let ports = Ports {
        source: source.map(|end| end.port),
        destination: destination.map(|end| end.port),
    };
    match Protocol::from_number(header.protocol()) {
        Some(Protocol::Tcp) => replace_tcp_ports(transport, ports, addresses),
        Some(Protocol::Udp) => replace_udp_ports(header, transport, ports, addresses),
        Some(Protocol::Sctp) => replace_sctp_ports(header, transport, ports),
        None => Ok(()),
    }
}

/// The ports to be replaced.
#[derive(Clone, Copy)]
struct Ports {
    source: Option<u16>,
    destination: Option<u16>,
}

/// Replaces addresses in the header, and says how they changed for the transport's checksum.
#[inline]
fn replace_addresses(
    header: &mut Ipv4Mut<'_>,
    source: Option<Endpoint<V4>>,
    destination: Option<Endpoint<V4>>,
) -> Change {
    let mut change = Change::default();
    if let Some(source) = source {
        change = change.u32(header.view().source().0, source.addr.0);
        header.set_source(source.addr);
    }
    if let Some(destination) = destination {
        change = change.u32(header.view().destination().0, destination.addr.0);
        header.set_destination(destination.addr);
    }
    header.set_checksum(change.apply(header.view().checksum()));
    change
}

#[inline]
fn replace_tcp_ports(
    transport: &mut [u8],
    ports: Ports,
    addresses: Change,
) -> Result<(), DropReason> {
    let mut tcp = TcpMut::parse(transport).map_err(not_transport)?;
    let source = ports.source.unwrap_or(tcp.view().source_port());
    let destination = ports.destination.unwrap_or(tcp.view().destination_port());
    tcp.set_ports(source, destination, addresses);
    Ok(())
}

#[inline]
fn replace_udp_ports(
    header: Ipv4<'_>,
    transport: &mut [u8],
    ports: Ports,
    addresses: Change,
) -> Result<(), DropReason> {
    let (mut udp, payload) = UdpMut::parse(transport).map_err(not_transport)?;
    let view = udp.view();
    let old = (view.source_port(), view.destination_port());
    let new = (
        ports.source.unwrap_or(old.0),
        ports.destination.unwrap_or(old.1),
    );
    udp.set_source_port(new.0);
    udp.set_destination_port(new.1);
    match udp.view().checksum() {
        // The kernel computes one too, so that the receiver notices what a NAT may break.
        0 if !header.more_fragments() => fill_udp_checksum(header, &mut udp, payload),
        0 => Ok(()),
        checksum => {
            let change = addresses.u16(old.0, new.0).u16(old.1, new.1);
            udp.set_checksum(change.apply_udp(checksum));
            Ok(())
        }
    }
}

/// Computes the checksum that the sender left out, over as many bytes as the UDP header says:
/// the receiver looks at no others.
fn fill_udp_checksum(
    header: Ipv4<'_>,
    udp: &mut UdpMut<'_>,
    payload: &[u8],
) -> Result<(), DropReason> {
    let len = udp.view().length();
    let payload = usize::from(len)
        .checked_sub(udp::HEADER_LEN)
        .and_then(|payload_len| payload.get(..payload_len))
        .ok_or(DropReason::TruncatedTransport)?;
    let (source, destination) = (header.source(), header.destination());
    let pseudo_sum = pseudo_v4(source, destination, header.protocol(), len);
    udp.fill_checksum(pseudo_sum, payload);
    Ok(())
}

/// SCTP's CRC covers the ports but no addresses (RFC 9260 §6.8), so it is left alone as long as
/// the ports stay.
fn replace_sctp_ports(
    header: Ipv4<'_>,
    transport: &mut [u8],
    ports: Ports,
) -> Result<(), DropReason> {
    if transport.len() < sctp::COMMON_HEADER_LEN {
        return Err(DropReason::TruncatedTransport);
    }
    let old = wire::ports(transport).map_err(not_transport)?;
    let new = (
        ports.source.unwrap_or(old.0),
        ports.destination.unwrap_or(old.1),
    );
    if new == old {
        return Ok(());
    }
    if header.more_fragments() {
        return Err(DropReason::FragmentedSctp);
    }
    sctp::set_ports(transport, new.0, new.1).map_err(not_transport)
}

/// The TCP header of `ip`; `None` when there is another transport or a later fragment.
#[inline]
fn segment(ip: &mut [u8]) -> Result<Option<TcpMut<'_>>, DropReason> {
    let (header, transport) = Ipv4Mut::parse(ip).map_err(not_ip)?;
    let header = header.view();
    let is_tcp = Protocol::from_number(header.protocol()) == Some(Protocol::Tcp);
    if !is_tcp || header.fragment_offset() != 0 {
        return Ok(None);
    }
    TcpMut::parse(transport).map(Some).map_err(not_transport)
}

const fn not_ip(error: ParseError) -> DropReason {
    match error {
        ParseError::Truncated => DropReason::TruncatedIp,
        ParseError::Malformed => DropReason::BadIpHeader,
    }
}

const fn not_transport(_: ParseError) -> DropReason {
    DropReason::TruncatedTransport
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::samples::*;
    use super::*;

    #[test]
    fn the_ttl_goes_down_by_one_with_its_checksum() {
        let mut packet = tcp(CLIENT, VIP, |tcp| tcp, b"hello");
        let expected = with_ip(packet.clone(), |header| header.set_ttl(TTL - 1));

        assert_eq!(decrement_ttl(&mut packet), Ok(()));

        assert_eq!(packet, expected);
    }

    #[test]
    fn the_last_ttl_is_not_taken() {
        for ttl in [0, 1] {
            let mut packet = with_ip(tcp(CLIENT, VIP, |tcp| tcp, b""), |ip| ip.set_ttl(ttl));
            let before = packet.clone();

            assert_eq!(decrement_ttl(&mut packet), Err(DropReason::TtlExpired));

            assert_eq!(packet, before);
        }
    }

    #[test]
    fn every_ttl_keeps_a_header_checksum_right() {
        for ttl in 2..=255 {
            let mut packet = with_ip(udp(CLIENT, VIP, b""), |ip| ip.set_ttl(ttl));

            assert_eq!(decrement_ttl(&mut packet), Ok(()));

            assert!(header_is_sound(&packet), "{ttl}");
        }
    }

    #[test]
    fn ends_change_behind_ip_options_too() {
        let with_options = |packet: Vec<u8>| {
            let (header, rest) = packet.split_at(20);
            let mut packet = [header, &[1, 1, 1, 0], rest].concat();
            packet[0] = 0x46;
            let len = u16::try_from(packet.len()).unwrap();
            with_ip(packet, |ip| ip.set_total_len(len))
        };
        let mut packet = with_options(tcp(CLIENT, VIP, |tcp| tcp, b"hello"));

        assert_eq!(replace_ends(&mut packet, Some(LIP), Some(SERVER)), Ok(()));

        assert_eq!(packet, with_options(tcp(LIP, SERVER, |tcp| tcp, b"hello")));
    }

    #[test]
    fn a_udp_packet_without_checksum_gets_one() {
        let mut packet = udp_without_checksum(CLIENT, VIP, b"hello");

        assert_eq!(replace_ends(&mut packet, None, Some(SERVER)), Ok(()));

        assert_eq!(packet, udp(CLIENT, SERVER, b"hello"));
    }

    #[test]
    fn a_udp_checksum_covers_what_the_udp_header_says() {
        // Two bytes behind the datagram, as no receiver reads them.
        let mut packet = [udp_without_checksum(CLIENT, VIP, b"hello"), vec![7, 7]].concat();
        let len = u16::try_from(packet.len()).unwrap();
        packet = with_ip(packet, |ip| ip.set_total_len(len));

        assert_eq!(replace_ends(&mut packet, None, Some(SERVER)), Ok(()));

        let datagram = packet.split_at(packet.len() - 2).0;
        assert_eq!(datagram[20..], udp(CLIENT, SERVER, b"hello")[20..]);
    }

    #[test]
    fn a_udp_length_beyond_the_packet_is_truncated() {
        for len in [0_u16, 7, 14] {
            let mut packet = udp_without_checksum(CLIENT, VIP, b"hello");
            packet[24..26].copy_from_slice(&len.to_be_bytes());

            let result = replace_ends(&mut packet, None, Some(SERVER));

            assert_eq!(result, Err(DropReason::TruncatedTransport), "{len}");
        }
    }

    #[test]
    fn a_first_fragment_of_udp_stays_without_checksum() {
        let mut packet = first_fragment(udp_without_checksum(CLIENT, VIP, b"hello"));

        assert_eq!(replace_ends(&mut packet, None, Some(SERVER)), Ok(()));

        let expected = first_fragment(udp_without_checksum(CLIENT, SERVER, b"hello"));
        assert_eq!(packet, expected);
    }

    #[test]
    fn a_first_fragment_carries_its_checksum_over() {
        // Taken as a whole it would be right, so afterwards it is too.
        for (old, new) in [
            (
                tcp(CLIENT, VIP, |tcp| tcp, b"hi"),
                tcp(LIP, SERVER, |tcp| tcp, b"hi"),
            ),
            (udp(CLIENT, VIP, b"hi"), udp(LIP, SERVER, b"hi")),
        ] {
            let mut packet = first_fragment(old);

            assert_eq!(replace_ends(&mut packet, Some(LIP), Some(SERVER)), Ok(()));

            assert_eq!(packet, first_fragment(new));
        }
    }

    #[test]
    fn a_later_fragment_changes_addresses_only() {
        for packet in [
            tcp(CLIENT, VIP, |tcp| tcp, b"hi"),
            udp_without_checksum(CLIENT, VIP, b"hi"),
            sctp(CLIENT, VIP, b"hi"),
        ] {
            let mut packet = later_fragment(packet);
            let expected = with_ip(packet.clone(), |ip| {
                ip.set_source(LIP.addr);
                ip.set_destination(SERVER.addr);
            });

            assert_eq!(replace_ends(&mut packet, Some(LIP), Some(SERVER)), Ok(()));

            assert_eq!(packet, expected);
        }
    }

    fn with_wrong_crc(mut packet: Vec<u8>) -> Vec<u8> {
        packet[28] ^= 0x40;
        packet
    }

    #[test]
    fn sctp_gets_a_new_crc_when_its_port_changes() {
        // Also when the old one is wrong (connections.md §7.2).
        let wrong = with_wrong_crc(sctp(CLIENT, VIP, b"hello"));
        for mut packet in [sctp(CLIENT, VIP, b"hello"), wrong] {
            assert_eq!(replace_ends(&mut packet, None, Some(SERVER)), Ok(()));
            assert_eq!(packet, sctp(CLIENT, SERVER, b"hello"));
        }
    }

    #[test]
    fn sctp_keeps_its_crc_when_only_the_address_changes() {
        let same_port = Endpoint::new(SERVER.addr, VIP.port);
        for fragment in [first_fragment, |packet| packet] {
            let mut packet = fragment(damaged(sctp(CLIENT, VIP, b"hello")));

            assert_eq!(replace_ends(&mut packet, None, Some(same_port)), Ok(()));

            assert_eq!(packet, fragment(damaged(sctp(CLIENT, same_port, b"hello"))));
        }
    }

    #[test]
    fn a_first_fragment_of_sctp_cannot_change_its_port() {
        let mut packet = first_fragment(sctp(CLIENT, VIP, b"hello"));

        let result = replace_ends(&mut packet, None, Some(SERVER));

        assert_eq!(result, Err(DropReason::FragmentedSctp));
    }

    #[test]
    fn a_wrong_checksum_stays_wrong_by_the_same_bits() {
        for (old, new) in [
            (
                tcp(CLIENT, VIP, |tcp| tcp, b"hi"),
                tcp(LIP, SERVER, |tcp| tcp, b"hi"),
            ),
            (udp(CLIENT, VIP, b"hi"), udp(LIP, SERVER, b"hi")),
        ] {
            let mut packet = damaged(old);

            assert_eq!(replace_ends(&mut packet, Some(LIP), Some(SERVER)), Ok(()));

            assert_eq!(packet, damaged(new));
            assert!(!transport_is_sound(&packet));
        }
    }

    #[test]
    fn other_protocols_change_addresses_only() {
        let other = |packet: Vec<u8>| with_ip(packet, |ip| ip.set_protocol(47));
        let mut packet = other(udp(CLIENT, VIP, b"hello"));
        let payload = packet[20..].to_vec();

        assert_eq!(replace_ends(&mut packet, Some(LIP), Some(SERVER)), Ok(()));

        assert_eq!(packet[..20], other(udp(LIP, SERVER, b"hello"))[..20]);
        assert_eq!(packet[20..], payload);
    }

    #[test]
    fn a_cut_packet_is_a_named_drop_at_every_length() {
        // Of SCTP the common header is enough.
        for (whole, enough) in [
            (tcp(CLIENT, VIP, |tcp| tcp, b""), 40),
            (udp(CLIENT, VIP, b""), 28),
            (sctp(CLIENT, VIP, b""), 32),
        ] {
            for len in 0..enough {
                let mut packet = whole[..len].to_vec();

                let result = replace_ends(&mut packet, Some(LIP), Some(SERVER));

                let expected = if len < 20 {
                    DropReason::TruncatedIp
                } else {
                    DropReason::TruncatedTransport
                };
                assert_eq!(result, Err(expected), "{len}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let mut bytes = bytes;
            for first in [0x45, 0x46, 0x4f] {
                if let Some(byte) = bytes.first_mut() {
                    *byte = first;
                }
                let _ = decrement_ttl(&mut bytes);
                let _ = replace_ends(&mut bytes, Some(LIP), Some(SERVER));
            }
        }
    }
}
