//! ICMP errors about load-balanced packets (RFC 792), built by the worker that meets them.
//!
//! ```text
//! | IP 20: source as told, destination the sender | ICMP 8 | the packet, cut to 548 bytes |
//! ```
//!
//! As Linux's IPVS makes them: TTL 64, type of service `(the packet's & 0x1e) | 0xc0`, 576 bytes
//! at most (RFC 1812 §4.3.2.3).

use std::net::Ipv4Addr;

use crate::address::V4;
use crate::io::{Packet, PacketPool};
use crate::rewrite::ip_id::IpIds;
use crate::wire::icmp::{self, Icmp, IcmpMut, kind, unreachable};
use crate::wire::ipv4::{Ipv4, Ipv4Mut, MIN_HEADER_LEN, protocol};

/// The longest error, from its IP header on (RFC 1812 §4.3.2.3).
pub const MAX_LEN: usize = 576;

/// Bytes in front of the quoted packet.
const HEADERS_LEN: usize = MIN_HEADER_LEN + icmp::HEADER_LEN;

const TTL: u8 = 64;

/// What the sender of a packet is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpError {
    /// The packet is longer than `mtu`, its IP header included, and says «do not fragment»
    /// (RFC 1191 §4).
    FragmentationNeeded {
        /// The longest packet that fits.
        mtu: u16,
    },
    /// There is no server that could take the packet.
    PortUnreachable,
    /// There is no way to the next hop.
    HostUnreachable,
    /// The time to live ran out in transit.
    TimeExceeded,
    /// What another router said about the packet.
    Relayed {
        /// The type it gave.
        kind: u8,
        /// The code it gave.
        code: u8,
    },
}

impl IcmpError {
    /// Type and code.
    const fn kind_and_code(self) -> (u8, u8) {
        match self {
            Self::FragmentationNeeded { .. } => {
                (kind::UNREACHABLE, unreachable::FRAGMENTATION_NEEDED)
            }
            Self::PortUnreachable => (kind::UNREACHABLE, unreachable::PORT),
            Self::HostUnreachable => (kind::UNREACHABLE, unreachable::HOST),
            Self::TimeExceeded => (kind::TIME_EXCEEDED, 0),
            Self::Relayed { kind, code } => (kind, code),
        }
    }
}

/// Whether an error about the packet `ip` may be sent at all: never about another ICMP error,
/// about a later fragment, to or from what is no single host (RFC 1122 §3.2.2).
///
/// Frames to a group MAC are the caller's to keep out: they are not seen here.
#[must_use]
pub fn may_answer(ip: &[u8]) -> bool {
    Ipv4::parse(ip).is_ok_and(|(header, payload)| may_answer_packet(&header, payload))
}

fn may_answer_packet(header: &Ipv4<'_>, payload: &[u8]) -> bool {
    let destination = Ipv4Addr::from(header.destination());
    header.fragment_offset() == 0
        && is_single_host(header.source())
        && !destination.is_multicast()
        && !destination.is_broadcast()
        && (header.protocol() != protocol::ICMP || is_known_query(payload))
}

/// An error about the packet `ip` in a frame whose first `l3` bytes are left for Ethernet;
/// `None` when [`may_answer`] says no or the pool is empty.
///
/// `source` is the address `ip` was sent to, or the gateway's own.
pub fn build<Pool: PacketPool>(
    pool: &mut Pool,
    ip: &[u8],
    l3: usize,
    error: IcmpError,
    source: V4,
    ids: &mut IpIds,
) -> Option<Pool::Packet> {
    let about = Ipv4::parse(ip).ok()?;
    build_about(pool, ip, about, l3, error, source, ids)
}

/// [`build`] about a packet of which only the beginning is there: as another error quotes it.
pub fn build_about_part<Pool: PacketPool>(
    pool: &mut Pool,
    part: &[u8],
    l3: usize,
    error: IcmpError,
    source: V4,
    ids: &mut IpIds,
) -> Option<Pool::Packet> {
    let about = Ipv4::parse_quoted(part).ok()?;
    build_about(pool, part, about, l3, error, source, ids)
}

/// An error about `ip`, which begins with this header and goes on with this payload.
fn build_about<Pool: PacketPool>(
    pool: &mut Pool,
    ip: &[u8],
    (about, payload): (Ipv4<'_>, &[u8]),
    l3: usize,
    error: IcmpError,
    source: V4,
    ids: &mut IpIds,
) -> Option<Pool::Packet> {
    if !may_answer_packet(&about, payload) {
        return None;
    }
    let len = usize::from(about.total_len()).min(ip.len());
    let quote = ip.get(..len.min(MAX_LEN - HEADERS_LEN))?;

    let mut packet = pool.allocate(l3 + HEADERS_LEN + quote.len())?;
    let bytes = packet.bytes_mut().get_mut(l3..)?;
    let (mut header, message) = Ipv4Mut::init(bytes).ok()?;
    header.set_tos((about.tos() & 0x1e) | 0xc0);
    header.set_total_len(u16::try_from(HEADERS_LEN + quote.len()).ok()?);
    header.set_id(ids.next());
    header.set_ttl(TTL);
    header.set_protocol(protocol::ICMP);
    header.set_source(source);
    header.set_destination(about.source());
    header.fill_checksum();
    write_message(message, error, quote)?;
    Some(packet)
}

fn write_message(message: &mut [u8], error: IcmpError, quote: &[u8]) -> Option<()> {
    let (mut icmp, data) = IcmpMut::parse(message).ok()?;
    let data = data.get_mut(..quote.len())?;
    data.copy_from_slice(quote);
    let (kind, code) = error.kind_and_code();
    icmp.set_kind(kind, code);
    icmp.set_id(0);
    icmp.set_mtu(match error {
        IcmpError::FragmentationNeeded { mtu } => mtu,
        _ => 0,
    });
    icmp.fill_checksum(data);
    Some(())
}

/// Whether one host answers to this source: not 0.0.0.0/8, loopback, multicast, class E or
/// broadcast (RFC 1122 §3.2.2).
fn is_single_host(source: V4) -> bool {
    !matches!(source.octets()[0], 0 | 127 | 224..)
}

/// Whether an ICMP message is known to be no error. Unknown types might be one, and Linux does
/// not answer them either.
fn is_known_query(message: &[u8]) -> bool {
    /// The highest type that RFC 1122 knew: address mask reply.
    const LAST: u8 = 18;
    Icmp::parse(message).is_ok_and(|(icmp, _)| icmp.kind() <= LAST && !icmp.is_error())
}

#[cfg(test)]
mod tests {
    use etherparse::Icmpv4Slice;
    use proptest::prelude::*;

    use super::*;
    use crate::io::memory::MemoryPool;
    use crate::rewrite::samples::*;

    const L3: usize = 14;

    fn answer(ip: &[u8], error: IcmpError) -> Option<Vec<u8>> {
        let mut ids = IpIds::starting_at(0x0a0b);
        let mut pool = MemoryPool::default();
        let packet = build(&mut pool, ip, L3, error, VIP.addr, &mut ids)?;
        Some(packet.bytes()[L3..].to_vec())
    }

    /// An ICMP message of this type and code from the client to the VIP.
    fn icmp(kind: u8, code: u8) -> Vec<u8> {
        let mut packet = with_ip(udp(CLIENT, VIP, b""), |ip| ip.set_protocol(protocol::ICMP));
        let (mut message, rest) = IcmpMut::parse(&mut packet[20..]).unwrap();
        message.set_kind(kind, code);
        message.fill_checksum(rest);
        packet
    }

    fn message_is_sound(message: &[u8]) -> bool {
        let message = Icmpv4Slice::from_slice(message).unwrap();
        message.icmp_type().calc_checksum(message.payload()) == message.checksum()
    }

    #[test]
    fn fragmentation_needed_names_the_mtu_and_quotes_the_packet() {
        let packet = with_ip(udp(CLIENT, VIP, b"hello"), |ip| ip.set_tos(0xff));

        let error = answer(&packet, IcmpError::FragmentationNeeded { mtu: 1480 }).unwrap();

        let mut expected = vec![
            0x45, 0xde, 0, 61, // version and words, type of service, total length
            0x0a, 0x0b, 0, 0, // identification, may be fragmented
            64, 1, 0x5b, 0x69, // TTL, ICMP, checksum
        ];
        expected.extend(VIP.addr.octets());
        expected.extend(CLIENT.addr.octets());
        assert!(header_is_sound(&expected));
        expected.extend([3, 4, 0x00, 0x00, 0, 0, 0x05, 0xc8]);
        expected.extend(&packet);
        assert!(message_is_sound(&error[20..]));
        expected[22..24].copy_from_slice(&error[22..24]);
        assert_eq!(error, expected);
    }

    #[test]
    fn the_other_errors_have_their_type_and_code() {
        for (error, kind_and_code) in [
            (IcmpError::PortUnreachable, [3, 3]),
            (IcmpError::HostUnreachable, [3, 1]),
            (IcmpError::TimeExceeded, [11, 0]),
        ] {
            let packet = answer(&tcp(CLIENT, VIP, |tcp| tcp, b""), error).unwrap();

            assert_eq!(packet[20..22], kind_and_code);
            assert_eq!(packet[24..28], [0; 4]);
        }
    }

    #[test]
    fn a_long_packet_is_quoted_up_to_576_bytes() {
        let packet = udp(CLIENT, VIP, &[7; 1000]);

        let error = answer(&packet, IcmpError::PortUnreachable).unwrap();

        assert_eq!(error.len(), MAX_LEN);
        assert_eq!(error[28..], packet[..548]);
        assert!(header_is_sound(&error));
    }

    #[test]
    fn bytes_behind_the_packet_are_not_quoted() {
        let packet = udp(CLIENT, VIP, b"hello");
        let padded = [&packet[..], &[0xaa; 13]].concat();

        let error = answer(&padded, IcmpError::PortUnreachable).unwrap();

        assert_eq!(error[28..], packet);
    }

    #[test]
    fn a_packet_of_which_only_a_part_is_there_is_quoted_as_far_as_it_goes() {
        let whole = udp(CLIENT, VIP, &[7; 100]);
        let padded = [&whole[..], &[0xaa; 12]].concat();
        let (mut pool, mut ids) = (MemoryPool::default(), IpIds::starting_at(0));
        let error = IcmpError::Relayed { kind: 11, code: 1 };

        for (len, quoted) in [(28, 28), (127, 127), (128, 128), (140, 128)] {
            let part = &padded[..len];
            let packet = build_about_part(&mut pool, part, L3, error, VIP.addr, &mut ids).unwrap();

            let ip = &packet.bytes()[L3..];
            assert_eq!(ip[20..22], [11, 1]);
            assert_eq!(ip[28..], whole[..quoted]);
            assert!(header_is_sound(ip) && message_is_sound(&ip[20..]));
        }
    }

    #[test]
    fn errors_and_unknown_messages_are_never_answered() {
        for kind in [3, 4, 5, 11, 12, 19, 255] {
            assert!(!may_answer(&icmp(kind, 0)), "{kind}");
            assert_eq!(answer(&icmp(kind, 0), IcmpError::TimeExceeded), None);
        }
        for kind in [0, 8, 13, 18] {
            assert!(may_answer(&icmp(kind, 0)), "{kind}");
        }
    }

    #[test]
    fn the_first_fragment_is_answered_and_a_later_one_is_not() {
        assert!(may_answer(&first_fragment(udp(CLIENT, VIP, b"hello"))));
        assert!(!may_answer(&later_fragment(udp(CLIENT, VIP, b"hello"))));
    }

    #[test]
    fn what_is_no_single_host_is_never_answered_or_spoken_for() {
        let packet = udp(CLIENT, VIP, b"hello");
        for source in [
            [0, 0, 0, 0],
            [0, 1, 2, 3],
            [127, 0, 0, 1],
            [224, 0, 0, 1],
            [240, 0, 0, 1],
            [255, 255, 255, 255],
        ] {
            let from = with_ip(packet.clone(), |ip| ip.set_source(source.into()));
            assert!(!may_answer(&from), "{source:?}");
        }
        for destination in [[224, 0, 0, 18], [239, 1, 1, 1], [255, 255, 255, 255]] {
            let to = with_ip(packet.clone(), |ip| ip.set_destination(destination.into()));
            assert!(!may_answer(&to), "{destination:?}");
        }
    }

    #[test]
    fn an_empty_pool_answers_nothing() {
        let packet = udp(CLIENT, VIP, b"hello");
        let mut pool = MemoryPool { left: 0 };
        let mut ids = IpIds::starting_at(0);

        let error = IcmpError::TimeExceeded;
        let answer = build(&mut pool, &packet, L3, error, VIP.addr, &mut ids);

        assert!(answer.is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut bytes = bytes;
            let len = u8::try_from(bytes.len()).unwrap();
            if let [version, _, high, low, ..] = &mut bytes[..] {
                [*version, *high, *low] = [0x45, 0, len];
            }
            if let Some(error) = answer(&bytes, IcmpError::HostUnreachable) {
                prop_assert!(header_is_sound(&error));
                prop_assert!(message_is_sound(&error[20..]));
            }
        }
    }
}
