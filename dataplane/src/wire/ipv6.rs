//! The IPv6 header and the way through its extension headers (RFC 8200).
//!
//! ```text
//!  0       1       2       3       4 bytes
//! |ver| class | flow label        |
//! | payload length| next  | hops  |
//! | source, 16 bytes ...
//! | destination, 16 bytes ...
//! | extension headers, payload length bytes in all with the payload ...
//! ```

use std::fmt;

use super::ParseError;
use super::checksum::pseudo_v6;
use crate::address::V6;

/// Bytes of the fixed header.
pub const HEADER_LEN: usize = 40;

/// The most extension headers a packet may have; RFC 8504 §5.3 lets a node set such a bound.
pub const MAX_EXTENSION_HEADERS: usize = 8;

/// What the next header is, where it is no [`Protocol`](crate::address::Protocol).
pub mod next_header {
    /// Options for every router (RFC 8200 §4.3).
    pub const HOP_BY_HOP: u8 = 0;
    /// Routing (RFC 8200 §4.4).
    pub const ROUTING: u8 = 43;
    /// Fragment (RFC 8200 §4.5).
    pub const FRAGMENT: u8 = 44;
    /// Authentication (RFC 4302).
    pub const AUTHENTICATION: u8 = 51;
    /// ICMPv6 (RFC 4443).
    pub const ICMPV6: u8 = 58;
    /// Nothing follows (RFC 8200 §4.7).
    pub const NONE: u8 = 59;
    /// Options for the receiver (RFC 8200 §4.6).
    pub const DESTINATION_OPTIONS: u8 = 60;
}

/// An IPv6 fixed header.
#[derive(Clone, Copy, Debug)]
pub struct Ipv6<'a>(&'a [u8; HEADER_LEN]);

impl<'a> Ipv6<'a> {
    /// Splits a packet into the fixed header and what follows it, up to the payload length.
    ///
    /// # Errors
    /// `Truncated` when the packet ends before its payload length, `Malformed` when the version
    /// is not 6.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), ParseError> {
        let (header, rest) = bytes
            .split_first_chunk::<HEADER_LEN>()
            .ok_or(ParseError::Truncated)?;
        if header[0] >> 4 != 6 {
            return Err(ParseError::Malformed);
        }
        let view = Self(header);
        let payload = rest
            .get(..usize::from(view.payload_len()))
            .ok_or(ParseError::Truncated)?;
        Ok((view, payload))
    }

    /// DSCP and ECN.
    #[inline]
    #[must_use]
    pub const fn traffic_class(&self) -> u8 {
        (self.0[0] << 4) | (self.0[1] >> 4)
    }

    /// What the sender marks the packets of one flow with, 20 bits.
    #[inline]
    #[must_use]
    pub const fn flow_label(&self) -> u32 {
        u32::from_be_bytes([0, self.0[1] & 0x0f, self.0[2], self.0[3]])
    }

    /// Bytes of extension headers and payload.
    #[inline]
    #[must_use]
    pub const fn payload_len(&self) -> u16 {
        u16::from_be_bytes([self.0[4], self.0[5]])
    }

    /// What follows the fixed header.
    #[inline]
    #[must_use]
    pub const fn next_header(&self) -> u8 {
        self.0[6]
    }

    /// Routers the packet may still pass.
    #[inline]
    #[must_use]
    pub const fn hop_limit(&self) -> u8 {
        self.0[7]
    }

    /// The sender.
    #[inline]
    #[must_use]
    pub fn source(&self) -> V6 {
        V6::from(self.addr_at::<8>())
    }

    /// The receiver.
    #[inline]
    #[must_use]
    pub fn destination(&self) -> V6 {
        V6::from(self.addr_at::<24>())
    }

    /// The sum of the pseudo header that the checksum of an upper layer of `len` bytes begins
    /// with.
    #[must_use]
    pub fn pseudo_header_sum(&self, protocol: u8, len: u32) -> u32 {
        pseudo_v6(self.source(), self.destination(), protocol, len)
    }

    #[inline]
    fn addr_at<const AT: usize>(&self) -> [u8; 16] {
        const { assert!(AT + 16 <= HEADER_LEN) };
        let mut octets = [0; 16];
        octets.copy_from_slice(&self.0[AT..AT + 16]);
        octets
    }
}

/// What stands behind the extension headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpperLayer {
    /// Its protocol number.
    pub protocol: u8,
    /// Where it begins, in bytes behind the fixed header.
    pub offset: u16,
    /// The fragment header, if there was one.
    pub fragment: Option<Fragment>,
}

/// A fragment header (RFC 8200 §4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Where the payload stands in the unfragmented payload, in bytes.
    pub offset: u16,
    /// Whether another fragment follows.
    pub more: bool,
    /// What the fragments of one packet have in common.
    pub id: u32,
}

/// Walks over the extension headers in `payload`, the first of which is `next_header`. It ends
/// behind the fragment header of a later fragment, for there the payload goes on.
///
/// # Errors
/// `Truncated` when an extension header goes beyond the payload, `Malformed` when there are more
/// than [`MAX_EXTENSION_HEADERS`].
pub fn upper_layer(next_header: u8, payload: &[u8]) -> Result<UpperLayer, ParseError> {
    let mut upper = UpperLayer {
        protocol: next_header,
        offset: 0,
        fragment: None,
    };
    for _ in 0..=MAX_EXTENSION_HEADERS {
        let is_later = upper.fragment.is_some_and(|fragment| fragment.offset > 0);
        if is_later || !is_extension(upper.protocol) {
            return Ok(upper);
        }
        upper = behind_extension(upper, payload)?;
    }
    Err(ParseError::Malformed)
}

const fn is_extension(protocol: u8) -> bool {
    matches!(
        protocol,
        next_header::HOP_BY_HOP
            | next_header::ROUTING
            | next_header::FRAGMENT
            | next_header::AUTHENTICATION
            | next_header::DESTINATION_OPTIONS
    )
}

fn behind_extension(at: UpperLayer, payload: &[u8]) -> Result<UpperLayer, ParseError> {
    let header = payload
        .get(usize::from(at.offset)..)
        .ok_or(ParseError::Truncated)?;
    let (head, _) = header
        .split_first_chunk::<8>()
        .ok_or(ParseError::Truncated)?;
    let [protocol, words, ..] = *head;
    let len = match at.protocol {
        next_header::FRAGMENT => 8,
        // RFC 4302 §2.2: in words of 4 bytes, less 2.
        next_header::AUTHENTICATION => (u16::from(words) + 2) * 4,
        // RFC 8200 §4: in words of 8 bytes, less 1.
        _ => (u16::from(words) + 1) * 8,
    };
    if header.len() < usize::from(len) {
        return Err(ParseError::Truncated);
    }
    let is_fragment = at.protocol == next_header::FRAGMENT;
    Ok(UpperLayer {
        protocol,
        offset: at.offset + len,
        fragment: if is_fragment {
            Some(fragment(head))
        } else {
            at.fragment
        },
    })
}

const fn fragment(head: &[u8; 8]) -> Fragment {
    let [_, _, high, low, a, b, c, d] = *head;
    let offset_and_flags = u16::from_be_bytes([high, low]);
    Fragment {
        offset: offset_and_flags & !7,
        more: offset_and_flags & 1 != 0,
        id: u32::from_be_bytes([a, b, c, d]),
    }
}

/// An IPv6 fixed header, to be changed.
#[derive(Debug)]
pub struct Ipv6Mut<'a>(&'a mut [u8; HEADER_LEN]);

impl<'a> Ipv6Mut<'a> {
    /// Splits a packet into the fixed header and all that follows, padding included.
    ///
    /// # Errors
    /// `Truncated` when there are fewer than 40 bytes, `Malformed` when the version is not 6.
    #[inline]
    pub fn parse(bytes: &'a mut [u8]) -> Result<(Self, &'a mut [u8]), ParseError> {
        let (header, rest) = bytes
            .split_first_chunk_mut::<HEADER_LEN>()
            .ok_or(ParseError::Truncated)?;
        if header[0] >> 4 == 6 {
            Ok((Self(header), rest))
        } else {
            Err(ParseError::Malformed)
        }
    }

    /// Begins a header at the front of `bytes`: the version is set, the other fields are zero.
    ///
    /// # Errors
    /// `Truncated` when there are fewer than 40 bytes.
    #[inline]
    pub fn init(bytes: &'a mut [u8]) -> Result<(Self, &'a mut [u8]), ParseError> {
        let (header, rest) = bytes.split_first_chunk_mut().ok_or(ParseError::Truncated)?;
        *header = [0; HEADER_LEN];
        header[0] = 0x60;
        Ok((Self(header), rest))
    }

    /// The header, to be read.
    #[inline]
    #[must_use]
    pub const fn view(&self) -> Ipv6<'_> {
        Ipv6(self.0)
    }

    /// Sets the bytes of extension headers and payload.
    #[inline]
    pub const fn set_payload_len(&mut self, len: u16) {
        [self.0[4], self.0[5]] = len.to_be_bytes();
    }

    /// Sets what follows the fixed header.
    #[inline]
    pub const fn set_next_header(&mut self, protocol: u8) {
        self.0[6] = protocol;
    }

    /// Sets how many routers the packet may still pass.
    #[inline]
    pub const fn set_hop_limit(&mut self, hops: u8) {
        self.0[7] = hops;
    }

    /// Sets the sender.
    #[inline]
    pub fn set_source(&mut self, addr: V6) {
        self.0[8..24].copy_from_slice(&addr.octets());
    }

    /// Sets the receiver.
    #[inline]
    pub fn set_destination(&mut self, addr: V6) {
        self.0[24..].copy_from_slice(&addr.octets());
    }
}

impl fmt::Display for Ipv6<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (source, destination) = (self.source(), self.destination());
        write!(f, "{source} > {destination} next {}", self.next_header())?;
        write!(f, " hops {} len {}", self.hop_limit(), self.payload_len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_as_it_was_written() {
        let mut bytes = [0xff; 44];

        let (mut header, _) = Ipv6Mut::init(&mut bytes).unwrap();
        header.set_payload_len(2);
        header.set_next_header(17);
        header.set_hop_limit(64);
        header.set_source(V6(1));
        header.set_destination(V6(2));

        let (header, payload) = Ipv6::parse(&bytes).unwrap();
        assert_eq!(header.to_string(), "::1 > ::2 next 17 hops 64 len 2");
        assert_eq!(payload.len(), 2);
        assert_eq!(header.pseudo_header_sum(17, 2), 1 + 2 + 17 + 2);
    }

    #[test]
    fn class_and_label_share_their_bytes() {
        let mut bytes = [0; 40];
        bytes[..4].copy_from_slice(&[0x6a, 0xbc, 0xde, 0xf1]);

        let (header, _) = Ipv6::parse(&bytes).unwrap();

        assert_eq!(
            (header.traffic_class(), header.flow_label()),
            (0xab, 0xc_def1)
        );
    }

    #[test]
    fn short_packets_and_other_versions_are_refused() {
        let mut bytes = [0; 40];
        assert_eq!(Ipv6::parse(&bytes).unwrap_err(), ParseError::Malformed);
        bytes[0] = 0x60;
        assert!(Ipv6::parse(&bytes).is_ok());
        bytes[5] = 1;

        assert_eq!(Ipv6::parse(&bytes).unwrap_err(), ParseError::Truncated);
        assert_eq!(
            Ipv6::parse(&bytes[..39]).unwrap_err(),
            ParseError::Truncated
        );
    }

    #[test]
    fn the_walk_ends_at_the_transport() {
        // Hop-by-hop of 16 bytes, authentication of 12, a first fragment, then TCP.
        let mut payload = [0; 40];
        payload[..2].copy_from_slice(&[next_header::AUTHENTICATION, 1]);
        payload[16..18].copy_from_slice(&[next_header::FRAGMENT, 1]);
        payload[28..36].copy_from_slice(&[6, 0, 0, 1, 0, 0, 0, 9]);

        let upper = upper_layer(next_header::HOP_BY_HOP, &payload);

        let fragment = Fragment {
            offset: 0,
            more: true,
            id: 9,
        };
        let expected = UpperLayer {
            protocol: 6,
            offset: 36,
            fragment: Some(fragment),
        };
        assert_eq!(upper, Ok(expected));
    }

    #[test]
    fn the_walk_does_not_read_into_a_later_fragment() {
        let payload = [next_header::DESTINATION_OPTIONS, 0, 0x05, 0xa8, 0, 0, 0, 9];

        let upper = upper_layer(next_header::FRAGMENT, &payload).unwrap();

        assert_eq!(upper.protocol, next_header::DESTINATION_OPTIONS);
        assert_eq!(upper.offset, 8);
        assert_eq!(upper.fragment.map(|fragment| fragment.offset), Some(1448));
    }

    #[test]
    fn the_walk_is_bounded() {
        let endless = [0; 8 * (MAX_EXTENSION_HEADERS + 1)];
        let mut most = endless;
        most[8 * (MAX_EXTENSION_HEADERS - 1)] = next_header::NONE;

        assert_eq!(
            upper_layer(next_header::HOP_BY_HOP, &endless),
            Err(ParseError::Malformed)
        );
        let upper = upper_layer(next_header::HOP_BY_HOP, &most).unwrap();
        assert_eq!(upper.protocol, next_header::NONE);
    }

    #[test]
    fn an_extension_header_longer_than_the_packet_is_truncated() {
        for payload in [&[6, 1, 0, 0, 0, 0, 0, 0][..], &[6, 0, 0], &[]] {
            assert_eq!(
                upper_layer(next_header::ROUTING, payload),
                Err(ParseError::Truncated)
            );
        }
    }
}
