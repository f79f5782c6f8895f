//! The ICMPv6 header (RFC 4443 §2.1), with the four bytes behind it that every message has.
//!
//! ```text
//!  0      1      2          4                       8
//! | type | code | checksum | id, sequence or MTU   | data, or the packet an error is about ...
//! ```

use std::fmt;

use super::ParseError;
use super::checksum::{finish, ones_complement_sum};

/// Bytes of the header.
pub const HEADER_LEN: usize = 8;

/// What a message says. Below 128 it is an error.
pub mod kind {
    /// The packet could not be delivered; the code says why.
    pub const UNREACHABLE: u8 = 1;
    /// The packet is too big for a link.
    pub const PACKET_TOO_BIG: u8 = 2;
    /// The packet's hop limit ran out.
    pub const TIME_EXCEEDED: u8 = 3;
    /// Asks for an echo.
    pub const ECHO_REQUEST: u8 = 128;
    /// Answers an echo request.
    pub const ECHO_REPLY: u8 = 129;
    /// Asks routers for an advertisement: the first message of neighbour discovery (RFC 4861).
    pub const ROUTER_SOLICITATION: u8 = 133;
    /// Tells of a better next hop: the last message of neighbour discovery.
    pub const REDIRECT: u8 = 137;
}

/// An ICMPv6 header.
#[derive(Clone, Copy, Debug)]
pub struct Icmpv6<'a>(&'a [u8; HEADER_LEN]);

impl<'a> Icmpv6<'a> {
    /// Splits an IPv6 payload into header and data.
    ///
    /// # Errors
    /// `Truncated` when there are fewer than 8 bytes.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), ParseError> {
        let (header, rest) = bytes.split_first_chunk().ok_or(ParseError::Truncated)?;
        Ok((Self(header), rest))
    }

    /// What the message says, one of [`kind`].
    #[inline]
    #[must_use]
    pub const fn kind(&self) -> u8 {
        self.0[0]
    }

    /// More about what it says.
    #[inline]
    #[must_use]
    pub const fn code(&self) -> u8 {
        self.0[1]
    }

    /// The checksum, as the header has it.
    #[inline]
    #[must_use]
    pub const fn checksum(&self) -> u16 {
        u16::from_be_bytes([self.0[2], self.0[3]])
    }

    /// Bytes that fit the next link, in "packet too big" (RFC 4443 §3.2).
    #[inline]
    #[must_use]
    pub const fn mtu(&self) -> u32 {
        u32::from_be_bytes([self.0[4], self.0[5], self.0[6], self.0[7]])
    }

    /// Whether the data is the beginning of a packet this message is about.
    #[inline]
    #[must_use]
    pub const fn is_error(&self) -> bool {
        self.kind() < 128
    }

    /// Whether the message belongs to neighbour discovery (RFC 4861).
    #[inline]
    #[must_use]
    pub const fn is_neighbour_discovery(&self) -> bool {
        matches!(self.kind(), kind::ROUTER_SOLICITATION..=kind::REDIRECT)
    }

    /// Whether the checksum, over pseudo header, header and data, is right.
    #[must_use]
    pub fn verify_checksum(&self, pseudo_sum: u32, data: &[u8]) -> bool {
        let sum = ones_complement_sum(self.0, pseudo_sum);
        finish(ones_complement_sum(data, sum)) == 0
    }
}

/// An ICMPv6 header, to be changed.
#[derive(Debug)]
pub struct Icmpv6Mut<'a>(&'a mut [u8; HEADER_LEN]);

impl<'a> Icmpv6Mut<'a> {
    /// Splits an IPv6 payload into header and data.
    ///
    /// # Errors
    /// `Truncated` when there are fewer than 8 bytes.
    #[inline]
    pub fn parse(bytes: &'a mut [u8]) -> Result<(Self, &'a mut [u8]), ParseError> {
        let (header, rest) = bytes.split_first_chunk_mut().ok_or(ParseError::Truncated)?;
        Ok((Self(header), rest))
    }

    /// The header, to be read.
    #[inline]
    #[must_use]
    pub const fn view(&self) -> Icmpv6<'_> {
        Icmpv6(self.0)
    }

    /// Sets what the message says.
    #[inline]
    pub const fn set_kind(&mut self, kind: u8, code: u8) {
        [self.0[0], self.0[1]] = [kind, code];
    }

    /// Sets the bytes that fit the next link, in "packet too big"; 0 in other errors.
    #[inline]
    pub fn set_mtu(&mut self, mtu: u32) {
        self.0[4..].copy_from_slice(&mtu.to_be_bytes());
    }

    /// Computes the checksum, over pseudo header, header and data, anew.
    pub fn fill_checksum(&mut self, pseudo_sum: u32, data: &[u8]) {
        [self.0[2], self.0[3]] = [0, 0];
        let sum = ones_complement_sum(self.0, pseudo_sum);
        [self.0[2], self.0[3]] = finish(ones_complement_sum(data, sum)).to_be_bytes();
    }
}

impl fmt::Display for Icmpv6<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "icmpv6 type {} code {}", self.kind(), self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_reads_as_it_was_written() {
        let mut bytes = [0xff; 10];

        let (mut header, data) = Icmpv6Mut::parse(&mut bytes).unwrap();
        header.set_kind(kind::PACKET_TOO_BIG, 0);
        header.set_mtu(1280);
        header.fill_checksum(0x1234, data);

        // The ones' complement of 0x1234 + 0x0200 + 0x0500 + 0xffff, carry added.
        assert_eq!(bytes, [2, 0, 0xe6, 0xcb, 0, 0, 5, 0, 0xff, 0xff]);
        let (header, data) = Icmpv6::parse(&bytes).unwrap();
        assert_eq!(header.mtu(), 1280);
        assert_eq!(header.to_string(), "icmpv6 type 2 code 0");
        assert!(header.is_error() && !header.is_neighbour_discovery());
        assert!(header.verify_checksum(0x1234, data));
        assert!(!header.verify_checksum(0x1235, data));
    }

    #[test]
    fn neighbour_discovery_is_types_133_to_137() {
        let found: Vec<u8> = (0..=255)
            .filter(|kind| {
                let bytes = [*kind, 0, 0, 0, 0, 0, 0, 0];
                Icmpv6::parse(&bytes).unwrap().0.is_neighbour_discovery()
            })
            .collect();

        assert_eq!(found, [133, 134, 135, 136, 137]);
    }

    #[test]
    fn seven_bytes_are_no_header() {
        assert_eq!(Icmpv6::parse(&[0; 7]).unwrap_err(), ParseError::Truncated);
    }
}
