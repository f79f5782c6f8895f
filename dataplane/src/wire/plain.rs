//! The beginning of the IPv4 packet that nearly all packets are: a header without options
//! (RFC 791 §3.1), and behind it the ports that TCP and UDP begin with.
//!
//! ```text
//!  0       1       2       3       4 bytes
//! |0x45   | tos   | total length  |
//! | identification|flags, fragment|
//! | ttl   | proto | checksum      |
//! | source                        |
//! | destination                   |
//! | source port   | dest. port    |
//! | 4 more bytes of the transport |
//! ```
//!
//! One array of fixed size over both headers, so that the packet path asks once whether the bytes
//! are there. [`Ipv4`](super::ipv4::Ipv4) and the transports' views read every packet.

use super::checksum::Change;
use crate::address::{Endpoint, V4};

/// Bytes of the view.
pub const LEN: usize = 28;

/// What version and header length are when there are no options.
const VERSION_AND_LENGTH: u8 = 0x45;

/// Bytes of a TCP header behind the view.
const TCP_REST: usize = 12;

/// Times 0xffff it is 1 modulo 2^64.
const INVERSE_OF_0XFFFF: u64 = 0xfffe_fffe_fffe_ffff;

const _: () = assert!(INVERSE_OF_0XFFFF.wrapping_mul(0xffff) == 1);

/// More fragments, or an offset.
const FRAGMENT: u16 = 0x3fff;

/// What is read of a TCP header behind the view.
#[derive(Clone, Copy, Debug)]
pub struct TcpRest {
    /// Bytes of the TCP header, as it says itself.
    pub header_len: u8,
    /// The control bits.
    pub flags: u8,
}

/// The view.
#[derive(Clone, Copy, Debug)]
pub struct PlainIpv4<'a>(&'a [u8; LEN]);

impl<'a> PlainIpv4<'a> {
    /// The beginning of a whole packet without options; `None` when it is another.
    #[inline]
    #[must_use]
    pub fn parse(packet: &'a [u8]) -> Option<Self> {
        let view = Self(packet.first_chunk()?);
        let fragment = u16::from_be_bytes([view.0[6], view.0[7]]) & FRAGMENT;
        (view.0[0] == VERSION_AND_LENGTH && fragment == 0).then_some(view)
    }

    /// Bytes of headers and payload.
    #[inline]
    #[must_use]
    pub const fn total_len(&self) -> u16 {
        u16::from_be_bytes([self.0[2], self.0[3]])
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
        u16::from_be_bytes([self.0[4], self.0[5]])
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

    /// The sender.
    #[inline]
    #[must_use]
    pub const fn source(&self) -> Endpoint<V4> {
        Endpoint::new(V4(self.word(12)), self.half(20))
    }

    /// The receiver.
    #[inline]
    #[must_use]
    pub const fn destination(&self) -> Endpoint<V4> {
        Endpoint::new(V4(self.word(16)), self.half(22))
    }

    /// TCP's sequence number.
    #[inline]
    #[must_use]
    pub const fn tcp_sequence(&self) -> u32 {
        self.word(24)
    }

    /// The rest of a TCP header, which stands in the bytes behind the view; `None` when it is cut
    /// short.
    #[inline]
    #[must_use]
    pub fn tcp_rest(behind: &[u8]) -> Option<TcpRest> {
        let rest: &[u8; TCP_REST] = behind.first_chunk()?;
        Some(TcpRest {
            header_len: (rest[4] >> 4) * 4,
            flags: rest[5],
        })
    }

    /// Whether the header's checksum is right.
    #[inline]
    #[must_use]
    pub const fn verify_checksum(&self) -> bool {
        // RFC 1071 §2 (B): in the machine's own byte order. A right header adds up to 0xffff,
        // so before the carries are folded in its sum is a multiple of that; and never 0, for
        // version and length are not.
        let sum = self.native_word(0) + self.native_word(4) + self.native_word(8);
        let sum = sum + self.native_word(12) + self.native_word(16);
        // Granlund and Montgomery, «Division by Invariant Integers» §9: the multiples of an odd
        // number are those that its inverse modulo 2^64 maps below 2^64 / number.
        sum.wrapping_mul(INVERSE_OF_0XFFFF) <= u64::MAX / 0xffff
    }

    #[inline]
    const fn half(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.0[at], self.0[at + 1]])
    }

    #[inline]
    const fn word(&self, at: usize) -> u32 {
        u32::from_be_bytes([self.0[at], self.0[at + 1], self.0[at + 2], self.0[at + 3]])
    }

    #[inline]
    const fn native_word(&self, at: usize) -> u64 {
        u32::from_ne_bytes([self.0[at], self.0[at + 1], self.0[at + 2], self.0[at + 3]]) as u64
    }
}

/// The view, to be changed.
#[derive(Debug)]
pub struct PlainIpv4Mut<'a>(&'a mut [u8; LEN]);

impl<'a> PlainIpv4Mut<'a> {
    /// The beginning of a packet that [`PlainIpv4::parse`] has seen.
    #[inline]
    #[must_use]
    pub const fn new(bytes: &'a mut [u8; LEN]) -> Self {
        Self(bytes)
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
        self.carry_over(ONE_HOP);
    }

    /// Takes one from the time to live and puts other ends in; the header's checksum follows.
    /// Gives what the transport's checksum has to be carried over by.
    #[inline]
    pub fn readdress(&mut self, source: Endpoint<V4>, destination: Endpoint<V4>) -> Change {
        let (old_source, old_destination) = (self.view().source(), self.view().destination());
        let addresses = Change::default()
            .u32(old_source.addr.0, source.addr.0)
            .u32(old_destination.addr.0, destination.addr.0);
        self.0[8] = self.0[8].wrapping_sub(1);
        self.carry_over(addresses.and(ONE_HOP));
        self.0[12..16].copy_from_slice(&source.addr.octets());
        self.0[16..20].copy_from_slice(&destination.addr.octets());
        self.0[20..22].copy_from_slice(&source.port.to_be_bytes());
        self.0[22..24].copy_from_slice(&destination.port.to_be_bytes());
        addresses
            .u16(old_source.port, source.port)
            .u16(old_destination.port, destination.port)
    }

    /// UDP's checksum; 0 says that the sender made none.
    #[inline]
    #[must_use]
    pub const fn udp_checksum(&self) -> u16 {
        u16::from_be_bytes([self.0[26], self.0[27]])
    }

    /// Carries UDP's checksum, which is not 0, over.
    #[inline]
    pub fn change_udp(&mut self, change: Change) {
        let checksum = change.apply_udp(self.udp_checksum());
        self.0[26..28].copy_from_slice(&checksum.to_be_bytes());
    }

    #[inline]
    fn carry_over(&mut self, change: Change) {
        let checksum = change.apply(u16::from_be_bytes([self.0[10], self.0[11]]));
        self.0[10..12].copy_from_slice(&checksum.to_be_bytes());
    }
}

/// The rest of a TCP header behind the view, to be changed.
#[derive(Debug)]
pub struct TcpRestMut<'a>(&'a mut [u8; TCP_REST]);

impl<'a> TcpRestMut<'a> {
    /// The rest of a TCP header, which stands in the bytes behind the view; `None` when it is cut
    /// short.
    #[inline]
    #[must_use]
    pub fn parse(behind: &'a mut [u8]) -> Option<Self> {
        behind.first_chunk_mut().map(Self)
    }

    /// Carries TCP's checksum over.
    #[inline]
    pub fn change(&mut self, change: Change) {
        let checksum = change.apply(u16::from_be_bytes([self.0[8], self.0[9]]));
        self.0[8..10].copy_from_slice(&checksum.to_be_bytes());
    }
}

/// What one hop less does to the sum: the time to live is the high half of its word.
const ONE_HOP: Change = Change::of_u16(0x0100, 0);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rewrite::samples::*;

    #[test]
    fn fields_are_those_of_the_general_view() {
        let packet = udp(CLIENT, VIP, b"query");

        let plain = PlainIpv4::parse(&packet).unwrap();

        assert_eq!((plain.source(), plain.destination()), (CLIENT, VIP));
        assert_eq!(usize::from(plain.total_len()), packet.len());
        assert_eq!((plain.ttl(), plain.protocol()), (TTL, 17));
        assert!(plain.verify_checksum());
    }

    #[test]
    fn a_wrong_checksum_options_fragments_and_short_packets_are_seen() {
        let packet = udp(CLIENT, VIP, b"query");
        for at in 0..20 {
            let mut wrong = packet.clone();
            wrong[at] ^= 0x10;
            assert!(PlainIpv4::parse(&wrong).is_none_or(|plain| !plain.verify_checksum()));
        }
        assert!(PlainIpv4::parse(&later_fragment(packet.clone())).is_none());
        assert!(PlainIpv4::parse(&packet[..27]).is_none());
    }

    #[test]
    fn other_ends_and_one_hop_less_leave_right_checksums() {
        let mut packet = udp(CLIENT, VIP, b"query");
        let mut plain = PlainIpv4Mut::new(packet.first_chunk_mut().unwrap());

        let change = plain.readdress(LIP, SERVER);
        plain.change_udp(change);

        let expected = with_ip(udp(LIP, SERVER, b"query"), |ip| ip.set_ttl(TTL - 1));
        assert_eq!(packet, expected);
    }
}
