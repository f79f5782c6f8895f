//! TUN: the packet travels to its server inside another IPv4 packet (RFC 2003).
//!
//! ```text
//! before   | Ethernet, l3 bytes          | inner IP ...  | padding |
//! after    | any bytes, l3 | outer IP 20 | inner IP ...  |
//! ```
//!
//! The outer header goes right in front of the inner one, so it overwrites the end of the old
//! Ethernet header; the frame keeps `l3` bytes in front for a new one. The inner packet is not
//! touched: its TTL was decremented before, as RFC 2003 §3.1 wants of a forwarded packet.
//!
//! The outer fields are those that Linux's IPVS sends:
//!
//! | field | value |
//! |---|---|
//! | header length | 20 bytes, no options |
//! | DSCP | the inner one |
//! | ECN | the inner one, but ECT(0) for CE: RFC 3168 §9.1.1, full functionality (RFC 6040 §4.1 would copy CE) |
//! | total length | inner + 20 |
//! | identification | 0 with DF, else the worker's counter (RFC 6864 §4.1) |
//! | DF | the inner one: RFC 2003 §5.1; with `pmtu_disc=0` none |
//! | TTL | the inner one, after its decrement |
//! | protocol | 4 |

use super::ip_id::IpIds;
use super::not_ip;
use crate::address::V4;
use crate::drop_reason::DropReason;
use crate::io::Packet;
use crate::wire::ipv4::{Ipv4, MIN_HEADER_LEN, NewIpv4, protocol};
use crate::wire::plain::PlainIpv4;

/// Bytes a packet grows by: a tunnel's MTU is this much smaller than its link's.
pub const OVERHEAD: usize = MIN_HEADER_LEN;

/// The largest packet that fits a tunnel over a path with this MTU, both in bytes.
#[must_use]
pub const fn room(mtu: u16) -> u16 {
    mtu.saturating_sub(20)
}

/// The two ends of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// The gateway's address (DIP).
    pub source: V4,
    /// The server's address (RIP).
    pub destination: V4,
}

/// What the outer header takes over from the inner one.
#[derive(Clone, Copy, Debug)]
pub struct Inner {
    tos: u8,
    ttl: u8,
    dont_fragment: bool,
    total_len: u16,
}

impl Inner {
    /// What it takes over from a plain packet.
    #[inline]
    #[must_use]
    pub const fn of(ip: &PlainIpv4<'_>) -> Self {
        Self {
            tos: ip.tos(),
            ttl: ip.ttl(),
            dont_fragment: ip.dont_fragment(),
            total_len: ip.total_len(),
        }
    }
}

/// Puts the packet that begins `l3` bytes into the frame inside the tunnel, as drawn at the top:
/// the outer packet then begins `l3` bytes into the frame.
///
/// # Errors
///
/// [`DropReason::NoHeadroom`] when the buffer cannot grow; [`DropReason::TooBig`] when the outer
/// packet would exceed 65,535 bytes; [`DropReason::TruncatedIp`] and [`DropReason::BadIpHeader`]
/// when there is no whole IPv4 packet at `l3`.
#[inline]
pub fn encapsulate<P: Packet>(
    packet: &mut P,
    l3: usize,
    tunnel: Tunnel,
    ids: &mut IpIds,
) -> Result<(), DropReason> {
    let inner = inner(packet.bytes().get(l3..).ok_or(DropReason::TruncatedIp)?)?;
    enclose(packet, l3, tunnel, &inner, ids)
}

/// [`encapsulate`] into an outer packet that routers may fragment, whatever the inner one says:
/// what Linux's IPVS does with `pmtu_disc=0`.
///
/// # Errors
///
/// As [`encapsulate`].
pub fn encapsulate_fragmentable<P: Packet>(
    packet: &mut P,
    l3: usize,
    tunnel: Tunnel,
    ids: &mut IpIds,
) -> Result<(), DropReason> {
    let ip = packet.bytes().get(l3..).ok_or(DropReason::TruncatedIp)?;
    let inner = Inner {
        dont_fragment: false,
        ..inner(ip)?
    };
    enclose(packet, l3, tunnel, &inner, ids)
}

/// [`encapsulate`] for who has read the inner header already.
///
/// # Errors
///
/// As [`encapsulate`].
#[inline]
pub fn enclose<P: Packet>(
    packet: &mut P,
    l3: usize,
    tunnel: Tunnel,
    inner: &Inner,
    ids: &mut IpIds,
) -> Result<(), DropReason> {
    let total_len = inner.total_len.checked_add(20).ok_or(DropReason::TooBig)?;
    let frame = packet.push_front(OVERHEAD).ok_or(DropReason::NoHeadroom)?;
    let (len, end) = (frame.len(), l3 + usize::from(total_len));
    let outer = frame.get_mut(l3..).and_then(|ip| ip.first_chunk_mut());
    let outer = outer.ok_or(DropReason::TruncatedIp)?;
    let id = if inner.dont_fragment { 0 } else { ids.next() };
    *outer = NewIpv4 {
        tos: outer_tos(inner.tos),
        total_len,
        id,
        dont_fragment: inner.dont_fragment,
        ttl: inner.ttl,
        protocol: protocol::IPIP,
        source: tunnel.source,
        destination: tunnel.destination,
    }
    .to_bytes();
    // Cuts off Ethernet's padding, which must not travel as if it were part of the tunnel.
    if len != end && !packet.set_len(end) {
        return Err(DropReason::TruncatedIp);
    }
    Ok(())
}

fn inner(ip: &[u8]) -> Result<Inner, DropReason> {
    let (header, _) = Ipv4::parse(ip).map_err(not_ip)?;
    Ok(Inner {
        tos: header.tos(),
        ttl: header.ttl(),
        dont_fragment: header.dont_fragment(),
        total_len: header.total_len(),
    })
}

/// The outer type of service: CE becomes ECT(0), all else is copied (RFC 3168 §9.1.1).
const fn outer_tos(inner: u8) -> u8 {
    const ECN: u8 = 0b11;
    const CE: u8 = 0b11;
    const ECT_0: u8 = 0b10;
    if inner & ECN == CE {
        (inner & !ECN) | ECT_0
    } else {
        inner
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::samples::*;
    use super::*;
    use crate::io::memory::{HEADROOM, MemoryPacket};

    /// Bytes of an Ethernet header with one VLAN tag.
    const L3: usize = 18;

    const TUNNEL: Tunnel = Tunnel {
        source: LIP.addr,
        destination: SERVER.addr,
    };

    fn frame(ip: &[u8], padding: usize) -> MemoryPacket {
        MemoryPacket::new(&[&[0xee; L3], ip, &vec![0xaa; padding]].concat())
    }

    fn outer_of(inner: &[u8]) -> Vec<u8> {
        let mut packet = frame(inner, 0);
        encapsulate(&mut packet, L3, TUNNEL, &mut IpIds::starting_at(7)).unwrap();
        packet.bytes()[L3..].to_vec()
    }

    #[test]
    fn the_outer_header_is_right_in_front_of_the_inner_packet() {
        let inner = with_ip(udp(CLIENT, VIP, b"hello"), |ip| ip.set_tos(0xb8));
        let mut packet = frame(&inner, 11);
        let mut ids = IpIds::starting_at(0x0102);

        let result = encapsulate(&mut packet, L3, TUNNEL, &mut ids);

        assert_eq!(result, Ok(()));
        let mut expected = vec![
            0x45, 0xb8, 0x00, 53, // version and words, type of service, total length
            0x01, 0x02, 0x00, 0x00, // identification, no flags
            TTL, 4, 0x64, 0x35, // TTL, IPIP, checksum
        ];
        expected.extend(LIP.addr.octets());
        expected.extend(SERVER.addr.octets());
        assert!(header_is_sound(&expected));
        expected.extend(inner);
        assert_eq!(packet.bytes()[L3..], expected);
        assert_eq!(ids.next(), 0x0103);
    }

    #[test]
    fn dont_fragment_is_copied_and_takes_no_identification() {
        let inner = with_ip(udp(CLIENT, VIP, b"hello"), |ip| ip.set_dont_fragment(true));
        let mut packet = frame(&inner, 0);
        let mut ids = IpIds::starting_at(7);

        encapsulate(&mut packet, L3, TUNNEL, &mut ids).unwrap();

        let (outer, _) = Ipv4::parse(&packet.bytes()[L3..]).unwrap();
        assert!(outer.dont_fragment());
        assert_eq!(outer.id(), 0);
        assert_eq!(ids.next(), 7);
    }

    #[test]
    fn an_outer_packet_may_be_fragmentable_around_one_that_is_not() {
        let inner = with_ip(udp(CLIENT, VIP, b"hello"), |ip| ip.set_dont_fragment(true));
        let mut packet = frame(&inner, 0);
        let mut ids = IpIds::starting_at(7);

        encapsulate_fragmentable(&mut packet, L3, TUNNEL, &mut ids).unwrap();

        let (outer, carried) = Ipv4::parse(&packet.bytes()[L3..]).unwrap();
        assert!(!outer.dont_fragment());
        assert_eq!((outer.id(), carried), (7, &*inner));
        assert_eq!(ids.next(), 8);
    }

    #[test]
    fn congestion_experienced_stays_inside() {
        for (inner_tos, outer_tos) in [(0x03, 0x02), (0xfb, 0xfa), (0x02, 0x02), (0x01, 0x01)] {
            let inner = with_ip(udp(CLIENT, VIP, b""), |ip| ip.set_tos(inner_tos));

            let packet = outer_of(&inner);

            assert_eq!(packet[1], outer_tos, "{inner_tos:#x}");
            assert_eq!(packet[21], inner_tos);
        }
    }

    #[test]
    fn an_inner_fragment_travels_in_a_whole_packet() {
        let inner = later_fragment(first_fragment(udp(CLIENT, VIP, b"hello")));

        let packet = outer_of(&inner);

        let (outer, inside) = Ipv4::parse(&packet).unwrap();
        assert!(!outer.is_fragment());
        assert_eq!(inside, inner);
    }

    #[test]
    fn a_buffer_without_room_is_a_named_drop() {
        let mut packet = frame(&udp(CLIENT, VIP, b"hello"), 0);
        packet.push_front(HEADROOM - 10).unwrap();
        let l3 = L3 + HEADROOM - 10;

        let result = encapsulate(&mut packet, l3, TUNNEL, &mut IpIds::starting_at(0));

        assert_eq!(result, Err(DropReason::NoHeadroom));
    }

    #[test]
    fn a_packet_that_would_pass_the_longest_length_is_too_big() {
        let long = udp(CLIENT, VIP, &[0; 60_000]);
        let longest = [long, vec![0; 65_535 - 60_028]].concat();
        let longest = with_ip(longest, |ip| ip.set_total_len(65_535));
        let mut packet = frame(&longest, 0);

        let result = encapsulate(&mut packet, L3, TUNNEL, &mut IpIds::starting_at(0));

        assert_eq!(result, Err(DropReason::TooBig));
    }

    #[test]
    fn a_cut_packet_is_a_named_drop_at_every_length() {
        let whole = udp(CLIENT, VIP, b"hello");
        for len in 0..whole.len() {
            let mut packet = frame(&whole[..len], 0);

            let result = encapsulate(&mut packet, L3, TUNNEL, &mut IpIds::starting_at(0));

            assert_eq!(result, Err(DropReason::TruncatedIp), "{len}");
        }
        let mut nothing = MemoryPacket::new(&[0; L3 - 1]);
        let result = encapsulate(&mut nothing, L3, TUNNEL, &mut IpIds::starting_at(0));
        assert_eq!(result, Err(DropReason::TruncatedIp));
    }

    proptest! {
        #[test]
        fn the_inner_packet_comes_out_as_it_went_in(
            client in any_end(), vip in any_end(), content in any_content(), padding in 0..30_usize,
        ) {
            let inner = content.between(client, vip);
            let mut packet = frame(&inner, padding);

            let result = encapsulate(&mut packet, L3, TUNNEL, &mut IpIds::starting_at(0));

            prop_assert_eq!(result, Ok(()));
            let ip = &packet.bytes()[L3..];
            prop_assert!(header_is_sound(ip));
            let (_, inside) = Ipv4::parse(ip).unwrap();
            prop_assert_eq!(inside, &inner);
            prop_assert_eq!(packet.bytes().len(), L3 + 20 + inner.len());
        }
    }
}
