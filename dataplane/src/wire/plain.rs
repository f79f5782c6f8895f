//! The beginning of the IPv4 packet that nearly all packets are: a header without options
//! (RFC 791 §3.1), and behind it a UDP header or a TCP header without its options.
//!
//! ```text
//!  0       1       2       3       4 bytes
//! |0x45   | tos   | total length  |
//! | identification|flags, fragment|
//! | ttl   | proto | checksum      |
//! | source                        |
//! | destination                   |
//! | source port   | dest. port    |
//! | length | checksum             |  UDP
//! | sequence number               |  TCP
//! | acknowledgement               |
//! | offset| flags | window        |
//! | checksum      | urgent        |
//! ```
//!
//! One array of fixed size over both headers, so that the packet path asks once whether the bytes
//! are there; behind a UDP header it may reach into the payload, or into what Ethernet fills short
//! frames up with. [`Ipv4`](super::ipv4::Ipv4) and the transports' views read every packet.
//!
//! Checksums are carried over in the machine's byte order, which changes nothing about them
//! (RFC 1071 §2 (B)) and saves the swaps.

use super::checksum::Change;
use super::tuple::Tuple;
use crate::address::V4;

/// Bytes of the view.
pub const LEN: usize = 40;

/// What version and header length are when there are no options.
const VERSION_AND_LENGTH: u8 = 0x45;

/// Times 0xffff it is 1 modulo 2^64.
const INVERSE_OF_0XFFFF: u64 = 0xfffe_fffe_fffe_ffff;

const _: () = assert!(INVERSE_OF_0XFFFF.wrapping_mul(0xffff) == 1);

/// More fragments, or an offset.
const FRAGMENT: u16 = 0x3fff;

/// The view.
#[derive(Clone, Copy, Debug)]
pub struct PlainIpv4<'a>(&'a [u8; LEN]);

impl<'a> PlainIpv4<'a> {
    /// The beginning of a whole packet without options; `None` when it is another.
    #[inline]
    #[must_use]
    pub fn parse(packet: &'a [u8]) -> Option<Self> {
        let view = Self(packet.first_chunk()?);
        let fragment = view.half(6) & FRAGMENT;
        (view.0[0] == VERSION_AND_LENGTH && fragment == 0).then_some(view)
    }

    /// The type of service.
    #[inline]
    #[must_use]
    pub const fn tos(&self) -> u8 {
        self.0[1]
    }

    /// Bytes of headers and payload.
    #[inline]
    #[must_use]
    pub const fn total_len(&self) -> u16 {
        self.half(2)
    }

    /// Whether the packet must not be fragmented.
    #[inline]
    #[must_use]
    pub const fn dont_fragment(&self) -> bool {
        self.0[6] & 0x40 != 0
    }

    /// The identification.
    #[inline]
    #[must_use]
    pub const fn id(&self) -> u16 {
        self.half(4)
    }

    /// The time to live.
    #[inline]
    #[must_use]
    pub const fn ttl(&self) -> u8 {
        self.0[8]
    }

    /// The transport's number.
    #[inline]
    #[must_use]
    pub const fn protocol(&self) -> u8 {
        self.0[9]
    }

    /// Who sends to whom.
    #[inline]
    #[must_use]
    pub const fn tuple(&self) -> Tuple<V4> {
        Tuple {
            addresses: self.native_double(12),
            ports: self.native_word(20),
        }
    }

    /// UDP's checksum; 0 says that the sender made none.
    #[inline]
    #[must_use]
    pub const fn udp_checksum(&self) -> u16 {
        self.half(26)
    }

    /// TCP's sequence number.
    #[inline]
    #[must_use]
    pub const fn tcp_sequence(&self) -> u32 {
        self.native_word(24).to_be()
    }

    /// Bytes of the TCP header, as it says itself.
    #[inline]
    #[must_use]
    pub const fn tcp_header_len(&self) -> u8 {
        (self.0[32] >> 4) * 4
    }

    /// TCP's control bits.
    #[inline]
    #[must_use]
    pub const fn tcp_flags(&self) -> u8 {
        self.0[33]
    }

    /// Whether the IP header's checksum is right.
    #[inline]
    #[must_use]
    pub const fn verify_checksum(&self) -> bool {
        // A right header adds up to 0xffff, so before the carries are folded in its sum is a
        // multiple of that; and never 0, for version and length are not.
        let sum = self.native_word(0) as u64 + self.native_word(4) as u64;
        let sum = sum + self.native_word(8) as u64;
        let sum = sum + self.native_word(12) as u64 + self.native_word(16) as u64;
        // Granlund and Montgomery, «Division by Invariant Integers» §9: the multiples of an odd
        // number are those that its inverse modulo 2^64 maps below 2^64 / number.
        sum.wrapping_mul(INVERSE_OF_0XFFFF) <= u64::MAX / 0xffff
    }

    #[inline]
    const fn half(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.0[at], self.0[at + 1]])
    }

    #[inline]
    const fn native_word(&self, at: usize) -> u32 {
        u32::from_ne_bytes([self.0[at], self.0[at + 1], self.0[at + 2], self.0[at + 3]])
    }

    #[inline]
    const fn native_double(&self, at: usize) -> u64 {
        let b = self.0;
        u64::from_ne_bytes([
            b[at],
            b[at + 1],
            b[at + 2],
            b[at + 3],
            b[at + 4],
            b[at + 5],
            b[at + 6],
            b[at + 7],
        ])
    }
}

/// The view, to be changed.
#[derive(Debug)]
pub struct PlainIpv4Mut<'a>(&'a mut [u8; LEN]);

impl<'a> PlainIpv4Mut<'a> {
    /// The beginning of a packet that [`PlainIpv4::parse`] has taken; `None` when it is cut short.
    #[inline]
    #[must_use]
    pub fn new(packet: &'a mut [u8]) -> Option<Self> {
        packet.first_chunk_mut().map(Self)
    }

    /// The same, to be read.
    #[inline]
    #[must_use]
    pub const fn view(&self) -> PlainIpv4<'_> {
        PlainIpv4(self.0)
    }

    /// Takes one from the time to live, which is above 0; the header's checksum follows.
    #[inline]
    pub fn decrement_ttl(&mut self) {
        self.0[8] = self.0[8].wrapping_sub(1);
        self.carry_over::<10>(ONE_HOP);
    }

    /// Takes one from the time to live and puts other ends in; the header's checksum follows.
    /// Gives what the transport's checksum has to be carried over by.
    #[inline(always)]
    pub fn readdress(&mut self, ends: Tuple<V4>) -> Change {
        let old = self.view().tuple();
        let addresses = Change::default().native_u64(old.addresses, ends.addresses);
        self.0[8] = self.0[8].wrapping_sub(1);
        self.carry_over::<10>(addresses.and(ONE_HOP));
        self.0[12..20].copy_from_slice(&ends.addresses.to_ne_bytes());
        self.0[20..24].copy_from_slice(&ends.ports.to_ne_bytes());
        addresses.u32(old.ports, ends.ports)
    }

    /// Carries UDP's checksum, which is not 0, over.
    #[inline]
    pub fn change_udp(&mut self, change: Change) {
        let checksum = change.apply_udp(u16::from_ne_bytes([self.0[26], self.0[27]]));
        self.0[26..28].copy_from_slice(&checksum.to_ne_bytes());
    }

    /// Carries TCP's checksum over.
    #[inline]
    pub fn change_tcp(&mut self, change: Change) {
        self.carry_over::<36>(change);
    }

    #[inline]
    fn carry_over<const AT: usize>(&mut self, change: Change) {
        let checksum = change.apply(u16::from_ne_bytes([self.0[AT], self.0[AT + 1]]));
        self.0[AT..AT + 2].copy_from_slice(&checksum.to_ne_bytes());
    }
}

/// What one hop less does to the sum: the time to live stands first in its word.
const ONE_HOP: Change = Change::of_u16(u16::from_ne_bytes([1, 0]), 0);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rewrite::samples::*;

    #[test]
    fn fields_are_those_of_the_general_view() {
        let packet = udp(CLIENT, VIP, b"a longer query");

        let plain = PlainIpv4::parse(&packet).unwrap();

        assert_eq!(plain.tuple(), Tuple::new(CLIENT, VIP));
        assert_eq!(usize::from(plain.total_len()), packet.len());
        assert_eq!((plain.ttl(), plain.protocol()), (TTL, 17));
        assert!(plain.verify_checksum());
    }

    #[test]
    fn a_wrong_checksum_options_fragments_and_short_packets_are_seen() {
        let packet = udp(CLIENT, VIP, b"a longer query");
        for at in 0..20 {
            let mut wrong = packet.clone();
            wrong[at] ^= 0x10;
            assert!(PlainIpv4::parse(&wrong).is_none_or(|plain| !plain.verify_checksum()));
        }
        assert!(PlainIpv4::parse(&later_fragment(packet.clone())).is_none());
        assert!(PlainIpv4::parse(&packet[..39]).is_none());
    }

    #[test]
    fn other_ends_and_one_hop_less_leave_right_checksums() {
        let mut packet = udp(CLIENT, VIP, b"a longer query");
        let mut plain = PlainIpv4Mut::new(&mut packet).unwrap();

        let change = plain.readdress(Tuple::new(LIP, SERVER));
        plain.change_udp(change);

        let expected = with_ip(udp(LIP, SERVER, b"a longer query"), |ip| {
            ip.set_ttl(TTL - 1)
        });
        assert_eq!(packet, expected);
    }
}
