//! The IPv4 header (RFC 791 §3.1).
//!
//! ```text
//!  0       1       2       3       4 bytes
//! |ver|ihl| tos   | total length  |
//! | identification|flags, fragment|
//! | ttl   | proto | checksum      |
//! | source                        |
//! | destination                   |
//! | options, (ihl - 5) * 4 bytes ...
//! ```

use std::fmt;

use super::ParseError;
use super::checksum::{finish, finish_wide, ones_complement_sum, pseudo_v4};
use crate::address::V4;

/// Bytes of a header without options.
pub const MIN_HEADER_LEN: usize = 20;

/// Numbers of the protocols that are no [`Protocol`](crate::address::Protocol).
pub mod protocol {
    /// ICMP (RFC 792).
    pub const ICMP: u8 = 1;
    /// IGMP (RFC 3376).
    pub const IGMP: u8 = 2;
    /// IP in IP (RFC 2003).
    pub const IPIP: u8 = 4;
}

const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET_MASK: u16 = 0x1fff;

/// What a header without options says.
#[derive(Clone, Copy, Debug)]
pub struct NewIpv4 {
    /// The type of service.
    pub tos: u8,
    /// Bytes of header and payload.
    pub total_len: u16,
    /// What the fragments of one packet have in common.
    pub id: u16,
    /// Whether the packet must not be fragmented.
    pub dont_fragment: bool,
    /// The time to live.
    pub ttl: u8,
    /// What the payload is.
    pub protocol: u8,
    /// The sender.
    pub source: V4,
    /// The receiver.
    pub destination: V4,
}

impl NewIpv4 {
    /// The header, of a whole packet and with the right checksum.
    #[inline]
    #[must_use]
    pub fn to_bytes(&self) -> [u8; MIN_HEADER_LEN] {
        let first = u32::from(self.tos) << 16 | u32::from(self.total_len) | 0x4500_0000;
        let flags = if self.dont_fragment { DONT_FRAGMENT } else { 0 };
        let second = u32::from(self.id) << 16 | u32::from(flags);
        let third = u32::from(self.ttl) << 24 | u32::from(self.protocol) << 16;
        let words = [first, second, third, self.source.0, self.destination.0];
        // RFC 1071 §2: 2^16 is 1 modulo 2^16 - 1, so words of 32 bits may be added.
        let sum = words.iter().map(|word| u64::from(*word)).sum();
        let checksum = u32::from(finish_wide(sum));

        let mut bytes = [0; MIN_HEADER_LEN];
        let words = [first, second, third | checksum, words[3], words[4]];
        for (to, word) in bytes.chunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&word.to_be_bytes());
        }
        bytes
    }
}

/// An IPv4 header with its options.
#[derive(Clone, Copy, Debug)]
pub struct Ipv4<'a> {
    header: &'a [u8; MIN_HEADER_LEN],
    options: &'a [u8],
}

impl<'a> Ipv4<'a> {
    /// Splits a packet into header and payload. Bytes behind the total length, as Ethernet pads
    /// short frames with, belong to neither.
    ///
    /// # Errors
    /// `Truncated` when the packet ends before its total length, `Malformed` when version,
    /// header length or total length cannot be.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), ParseError> {
        let (header, rest) = Self::parse_quoted(bytes)?;
        let payload_len = usize::from(header.total_len())
            .checked_sub(usize::from(header.header_len()))
            .ok_or(ParseError::Malformed)?;
        let payload = rest.get(..payload_len).ok_or(ParseError::Truncated)?;
        Ok((header, payload))
    }

    /// Splits a packet that may be cut short, as ICMP errors quote them: the total length is not
    /// looked at, and all that follows the header is payload.
    ///
    /// # Errors
    /// `Truncated` when the bytes end before the header, `Malformed` when version or header
    /// length cannot be.
    #[inline]
    pub fn parse_quoted(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), ParseError> {
        let (header, rest) = bytes.split_first_chunk().ok_or(ParseError::Truncated)?;
        let options_len = options_len(header)?;
        let (options, rest) = rest
            .split_at_checked(options_len)
            .ok_or(ParseError::Truncated)?;
        Ok((Self { header, options }, rest))
    }

    /// Bytes of the header, 20–60.
    #[inline]
    #[must_use]
    pub const fn header_len(&self) -> u8 {
        (self.header[0] & 0x0f) * 4
    }

    /// The type of service: DSCP and ECN (RFC 2474, RFC 3168).
    #[inline]
    #[must_use]
    pub const fn tos(&self) -> u8 {
        self.header[1]
    }

    /// Bytes of header and payload.
    #[inline]
    #[must_use]
    pub const fn total_len(&self) -> u16 {
        u16::from_be_bytes([self.header[2], self.header[3]])
    }

    /// What the fragments of one packet have in common.
    #[inline]
    #[must_use]
    pub const fn id(&self) -> u16 {
        u16::from_be_bytes([self.header[4], self.header[5]])
    }

    /// Whether the packet must not be fragmented.
    #[inline]
    #[must_use]
    pub const fn dont_fragment(&self) -> bool {
        self.flags_and_offset() & DONT_FRAGMENT != 0
    }

    /// Whether another fragment follows this one.
    #[inline]
    #[must_use]
    pub const fn more_fragments(&self) -> bool {
        self.flags_and_offset() & MORE_FRAGMENTS != 0
    }

    /// Where the payload stands in the unfragmented payload, in bytes.
    #[inline]
    #[must_use]
    pub const fn fragment_offset(&self) -> u16 {
        (self.flags_and_offset() & OFFSET_MASK) << 3
    }

    /// Whether this is a part of a packet, first or later.
    #[inline]
    #[must_use]
    pub const fn is_fragment(&self) -> bool {
        self.flags_and_offset() & (MORE_FRAGMENTS | OFFSET_MASK) != 0
    }

    /// Routers the packet may still pass.
    #[inline]
    #[must_use]
    pub const fn ttl(&self) -> u8 {
        self.header[8]
    }

    /// The number of the payload's protocol.
    #[inline]
    #[must_use]
    pub const fn protocol(&self) -> u8 {
        self.header[9]
    }

    /// The header checksum, as the header has it.
    #[inline]
    #[must_use]
    pub const fn checksum(&self) -> u16 {
        u16::from_be_bytes([self.header[10], self.header[11]])
    }

    /// Whether the checksum is right.
    #[inline]
    #[must_use]
    pub fn verify_checksum(&self) -> bool {
        finish(header_sum(self.header, self.options)) == 0
    }

    /// The sender.
    #[inline]
    #[must_use]
    pub const fn source(&self) -> V4 {
        let [.., a, b, c, d, _, _, _, _] = *self.header;
        V4(u32::from_be_bytes([a, b, c, d]))
    }

    /// The receiver.
    #[inline]
    #[must_use]
    pub const fn destination(&self) -> V4 {
        let [.., a, b, c, d] = *self.header;
        V4(u32::from_be_bytes([a, b, c, d]))
    }

    /// The options one after the other; a malformed one is the last.
    #[inline]
    #[must_use]
    pub const fn options(&self) -> Options<'a> {
        Options(self.options)
    }

    /// The sum of the pseudo header that transport checksums begin with.
    #[inline]
    #[must_use]
    pub fn pseudo_header_sum(&self) -> u32 {
        let payload_len = self
            .total_len()
            .saturating_sub(u16::from(self.header_len()));
        pseudo_v4(
            self.source(),
            self.destination(),
            self.protocol(),
            payload_len,
        )
    }

    #[inline]
    const fn flags_and_offset(&self) -> u16 {
        u16::from_be_bytes([self.header[6], self.header[7]])
    }
}

/// Bytes of options a header announces.
#[inline]
fn options_len(header: &[u8; MIN_HEADER_LEN]) -> Result<usize, ParseError> {
    // Version 4 and 5 to 15 words are the bytes 0x45 to 0x4f.
    match header[0].checked_sub(0x45) {
        Some(words @ 0..=10) => Ok(usize::from(words) * 4),
        _ => Err(ParseError::Malformed),
    }
}

/// The sum of a header, its checksum field included: 0xffff when that is right.
#[inline]
fn header_sum(header: &[u8; MIN_HEADER_LEN], options: &[u8]) -> u32 {
    // The array's length is known, so this is five additions without a loop.
    let sum = ones_complement_sum(header, 0);
    if options.is_empty() {
        sum
    } else {
        options_sum(options, sum)
    }
}

#[cold]
#[inline(never)]
fn options_sum(options: &[u8], start: u32) -> u32 {
    ones_complement_sum(options, start)
}

/// One option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4Option<'a> {
    /// Its kind, with the copy flag and class.
    pub kind: u8,
    /// What follows kind and length.
    pub data: &'a [u8],
}

impl Ipv4Option<'_> {
    /// Loose source and record route.
    pub const LOOSE_SOURCE_ROUTE: u8 = 131;
    /// Strict source and record route.
    pub const STRICT_SOURCE_ROUTE: u8 = 137;
    const END: u8 = 0;
    const NO_OPERATION: u8 = 1;
}

/// Walks the options of a header; at most 40, for each takes a byte.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a>(&'a [u8]);

impl<'a> Options<'a> {
    /// The bytes not walked yet.
    #[inline]
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    fn take(&mut self, kind: u8, rest: &'a [u8]) -> Option<Ipv4Option<'a>> {
        let (len, data) = rest.split_first()?;
        // The length counts kind and length too.
        let (data, rest) = data.split_at_checked(usize::from(*len).checked_sub(2)?)?;
        self.0 = rest;
        Some(Ipv4Option { kind, data })
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = Result<Ipv4Option<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some((kind, rest)) = std::mem::take(&mut self.0).split_first() {
            match *kind {
                Ipv4Option::END => break,
                Ipv4Option::NO_OPERATION => self.0 = rest,
                kind => return Some(self.take(kind, rest).ok_or(ParseError::Malformed)),
            }
        }
        None
    }
}

/// An IPv4 header with its options, to be changed.
#[derive(Debug)]
pub struct Ipv4Mut<'a> {
    header: &'a mut [u8; MIN_HEADER_LEN],
    options: &'a mut [u8],
}

impl<'a> Ipv4Mut<'a> {
    /// Splits a packet into its header and all that follows, padding included.
    ///
    /// # Errors
    /// `Truncated` when the bytes end before the header, `Malformed` when version or header
    /// length cannot be.
    #[inline]
    pub fn parse(bytes: &'a mut [u8]) -> Result<(Self, &'a mut [u8]), ParseError> {
        let (header, rest) = bytes.split_first_chunk_mut().ok_or(ParseError::Truncated)?;
        let options_len = options_len(header)?;
        let (options, rest) = rest
            .split_at_mut_checked(options_len)
            .ok_or(ParseError::Truncated)?;
        Ok((Self { header, options }, rest))
    }

    /// Begins a header without options at the front of `bytes`: version and header length are
    /// set, the other fields are zero.
    ///
    /// # Errors
    /// `Truncated` when there are fewer than 20 bytes.
    #[inline]
    pub fn init(bytes: &'a mut [u8]) -> Result<(Self, &'a mut [u8]), ParseError> {
        let (header, rest) = bytes.split_first_chunk_mut().ok_or(ParseError::Truncated)?;
        *header = [0; MIN_HEADER_LEN];
        header[0] = 0x45;
        let options = &mut [];
        Ok((Self { header, options }, rest))
    }

    /// The header, to be read.
    #[inline]
    #[must_use]
    pub const fn view(&self) -> Ipv4<'_> {
        Ipv4 {
            header: self.header,
            options: self.options,
        }
    }

    /// Sets the type of service.
    #[inline]
    pub const fn set_tos(&mut self, tos: u8) {
        self.header[1] = tos;
    }

    /// Sets the bytes of header and payload.
    #[inline]
    pub const fn set_total_len(&mut self, len: u16) {
        [self.header[2], self.header[3]] = len.to_be_bytes();
    }

    /// Sets what the fragments of this packet have in common.
    #[inline]
    pub const fn set_id(&mut self, id: u16) {
        [self.header[4], self.header[5]] = id.to_be_bytes();
    }

    /// Sets whether the packet must not be fragmented.
    #[inline]
    pub const fn set_dont_fragment(&mut self, set: bool) {
        self.set_flag(DONT_FRAGMENT, set);
    }

    /// Sets whether another fragment follows.
    #[inline]
    pub const fn set_more_fragments(&mut self, set: bool) {
        self.set_flag(MORE_FRAGMENTS, set);
    }

    /// Sets where the payload stands in the unfragmented payload, in bytes, rounded down to 8.
    #[inline]
    pub const fn set_fragment_offset(&mut self, bytes: u16) {
        let flags = self.view().flags_and_offset() & !OFFSET_MASK;
        self.set_flags_and_offset(flags | (bytes >> 3));
    }

    /// Sets how many routers the packet may still pass.
    #[inline]
    pub const fn set_ttl(&mut self, ttl: u8) {
        self.header[8] = ttl;
    }

    /// Sets the number of the payload's protocol.
    #[inline]
    pub const fn set_protocol(&mut self, protocol: u8) {
        self.header[9] = protocol;
    }

    /// Sets the checksum field.
    #[inline]
    pub const fn set_checksum(&mut self, checksum: u16) {
        [self.header[10], self.header[11]] = checksum.to_be_bytes();
    }

    /// Sets the sender.
    #[inline]
    pub fn set_source(&mut self, addr: V4) {
        self.header[12..16].copy_from_slice(&addr.octets());
    }

    /// Sets the receiver.
    #[inline]
    pub fn set_destination(&mut self, addr: V4) {
        self.header[16..].copy_from_slice(&addr.octets());
    }

    /// Computes the checksum anew; the last of all changes.
    #[inline]
    pub fn fill_checksum(&mut self) {
        self.set_checksum(0);
        self.set_checksum(finish(header_sum(self.header, self.options)));
    }

    const fn set_flag(&mut self, flag: u16, set: bool) {
        let others = self.view().flags_and_offset() & !flag;
        self.set_flags_and_offset(if set { others | flag } else { others });
    }

    const fn set_flags_and_offset(&mut self, value: u16) {
        [self.header[6], self.header[7]] = value.to_be_bytes();
    }
}

impl fmt::Display for Ipv4<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (source, destination) = (self.source(), self.destination());
        write!(f, "{source} > {destination} protocol {}", self.protocol())?;
        write!(f, " ttl {} len {}", self.ttl(), self.total_len())?;
        if self.is_fragment() {
            let (id, offset) = (self.id(), self.fragment_offset());
            write!(f, " fragment {id}@{offset}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The header of RFC-style textbooks: 192.168.0.1 > 192.168.0.199, UDP, 115 bytes.
    const UDP_HEADER: [u8; 20] = [
        0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0xb8, 0x61, 0xc0, 0xa8, 0x00,
        0x01, 0xc0, 0xa8, 0x00, 0xc7,
    ];

    fn packet(header: &[u8], payload_len: usize) -> Vec<u8> {
        let mut bytes = header.to_vec();
        bytes.resize(header.len() + payload_len, 0xab);
        bytes
    }

    #[test]
    fn a_known_header_reads_right() {
        let bytes = packet(&UDP_HEADER, 95 + 3);

        let (header, payload) = Ipv4::parse(&bytes).unwrap();

        assert_eq!(
            header.to_string(),
            "192.168.0.1 > 192.168.0.199 protocol 17 ttl 64 len 115"
        );
        assert!(header.dont_fragment() && !header.is_fragment());
        assert!(header.verify_checksum());
        assert_eq!(header.checksum(), 0xb861);
        assert_eq!(payload.len(), 95, "the three bytes behind are padding");
    }

    #[test]
    fn a_header_written_field_by_field_is_the_known_one() {
        let mut bytes = [0xff; 20];

        let (mut header, _) = Ipv4Mut::init(&mut bytes).unwrap();
        header.set_total_len(115);
        header.set_dont_fragment(true);
        header.set_ttl(64);
        header.set_protocol(17);
        header.set_source(V4::from([192, 168, 0, 1]));
        header.set_destination(V4::from([192, 168, 0, 199]));
        header.fill_checksum();

        assert_eq!(bytes, UDP_HEADER);
    }

    #[test]
    fn fragment_fields_do_not_touch_each_other() {
        let mut bytes = [0; 20];
        let (mut header, _) = Ipv4Mut::init(&mut bytes).unwrap();

        header.set_fragment_offset(65_528);
        header.set_more_fragments(true);
        header.set_dont_fragment(true);
        header.set_dont_fragment(false);
        header.set_id(0x1234);

        let view = header.view();
        assert!(view.more_fragments() && !view.dont_fragment() && view.is_fragment());
        assert_eq!((view.fragment_offset(), view.id()), (65_528, 0x1234));
    }

    #[test]
    fn options_are_walked_to_the_first_malformed_one() {
        let mut bytes = packet(&UDP_HEADER, 8);
        bytes[0] = 0x47;
        // A no-operation, a router alert, then one that claims more than there is.
        bytes[20..28].copy_from_slice(&[1, 148, 4, 0, 7, 131, 4, 0]);

        let (header, _) = Ipv4::parse_quoted(&bytes).unwrap();
        let mut options = header.options();

        let alert = Ipv4Option {
            kind: 148,
            data: &[0, 7],
        };
        assert_eq!(header.header_len(), 28);
        assert_eq!(options.next(), Some(Ok(alert)));
        assert_eq!(options.next(), Some(Err(ParseError::Malformed)));
        assert_eq!(options.next(), None);
    }

    #[test]
    fn what_stands_behind_the_end_of_options_is_not_read() {
        assert_eq!(Options(&[1, 0, 131, 0]).next(), None);
        assert_eq!(
            Options(&[7, 1]).next(),
            Some(Err(ParseError::Malformed)),
            "a length below 2"
        );
        assert_eq!(Options(&[7]).next(), Some(Err(ParseError::Malformed)));
    }

    #[test]
    fn impossible_headers_are_refused() {
        let cases: [(usize, u8, ParseError); 5] = [
            (0, 0x65, ParseError::Malformed),
            (0, 0x44, ParseError::Malformed),
            (0, 0x50, ParseError::Malformed),
            (3, 19, ParseError::Malformed),
            (3, 21, ParseError::Truncated),
        ];
        for (at, value, expected) in cases {
            let mut bytes = UDP_HEADER;
            bytes[3] = 20;
            assert!(Ipv4::parse(&bytes).is_ok());
            bytes[at] = value;

            assert_eq!(Ipv4::parse(&bytes).unwrap_err(), expected, "{at} {value}");
        }
        assert_eq!(
            Ipv4::parse(&UDP_HEADER[..19]).unwrap_err(),
            ParseError::Truncated
        );
    }

    #[test]
    fn the_checksum_covers_the_options() {
        let mut bytes = packet(&UDP_HEADER, 4);
        bytes[0] = 0x46;

        let (mut header, _) = Ipv4Mut::parse(&mut bytes).unwrap();
        header.fill_checksum();
        assert!(header.view().verify_checksum());

        bytes[23] ^= 1;
        assert!(!Ipv4::parse_quoted(&bytes).unwrap().0.verify_checksum());
    }
}
