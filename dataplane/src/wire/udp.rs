//! The UDP header (RFC 768).
//!
//! ```text
//!  0             2             4        6          8
//! | source port | destination | length | checksum | payload ...
//! ```

use std::fmt;

use super::ParseError;
use super::checksum::{finish, finish_udp, ones_complement_sum};

/// Bytes of the header.
pub const HEADER_LEN: usize = 8;

/// A UDP header.
#[derive(Clone, Copy, Debug)]
pub struct Udp<'a>(&'a [u8; HEADER_LEN]);

impl<'a> Udp<'a> {
    /// Splits an IP payload into header and datagram. The length field is not held against the
    /// payload, which may be a fragment or a quotation.
    ///
    /// # Errors
    /// `Truncated` when there are fewer than 8 bytes.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), ParseError> {
        let (header, rest) = bytes.split_first_chunk().ok_or(ParseError::Truncated)?;
        Ok((Self(header), rest))
    }

    /// The sender's port.
    #[inline]
    #[must_use]
    pub const fn source_port(&self) -> u16 {
        u16::from_be_bytes([self.0[0], self.0[1]])
    }

    /// The receiver's port.
    #[inline]
    #[must_use]
    pub const fn destination_port(&self) -> u16 {
        u16::from_be_bytes([self.0[2], self.0[3]])
    }

    /// Bytes of header and datagram, as the header has it.
    #[inline]
    #[must_use]
    pub const fn length(&self) -> u16 {
        u16::from_be_bytes([self.0[4], self.0[5]])
    }

    /// The checksum; 0 says that the sender made none.
    #[inline]
    #[must_use]
    pub const fn checksum(&self) -> u16 {
        u16::from_be_bytes([self.0[6], self.0[7]])
    }

    /// Whether the checksum is right, or absent. `pseudo_sum` is the pseudo header's.
    #[must_use]
    pub fn verify_checksum(&self, pseudo_sum: u32, payload: &[u8]) -> bool {
        let sum = ones_complement_sum(self.0, pseudo_sum);
        self.checksum() == 0 || finish(ones_complement_sum(payload, sum)) == 0
    }
}

/// A UDP header, to be changed.
#[derive(Debug)]
pub struct UdpMut<'a>(&'a mut [u8; HEADER_LEN]);

impl<'a> UdpMut<'a> {
    /// Splits an IP payload into header and datagram.
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
    pub const fn view(&self) -> Udp<'_> {
        Udp(self.0)
    }

    /// Sets the sender's port.
    #[inline]
    pub const fn set_source_port(&mut self, port: u16) {
        [self.0[0], self.0[1]] = port.to_be_bytes();
    }

    /// Sets the receiver's port.
    #[inline]
    pub const fn set_destination_port(&mut self, port: u16) {
        [self.0[2], self.0[3]] = port.to_be_bytes();
    }

    /// Sets the bytes of header and datagram.
    #[inline]
    pub const fn set_length(&mut self, length: u16) {
        [self.0[4], self.0[5]] = length.to_be_bytes();
    }

    /// Sets the checksum field; 0 says that there is none.
    #[inline]
    pub const fn set_checksum(&mut self, checksum: u16) {
        [self.0[6], self.0[7]] = checksum.to_be_bytes();
    }

    /// Computes the checksum anew. `pseudo_sum` is the pseudo header's.
    pub fn fill_checksum(&mut self, pseudo_sum: u32, payload: &[u8]) {
        self.set_checksum(0);
        let sum = ones_complement_sum(self.0, pseudo_sum);
        self.set_checksum(finish_udp(ones_complement_sum(payload, sum)));
    }
}

impl fmt::Display for Udp<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (source, destination) = (self.source_port(), self.destination_port());
        write!(f, "udp {source} > {destination} len {}", self.length())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_as_it_was_written() {
        let mut bytes = [0; 10];

        let (mut header, _) = UdpMut::parse(&mut bytes).unwrap();
        header.set_source_port(40_000);
        header.set_destination_port(53);
        header.set_length(10);
        header.fill_checksum(0, &[]);

        // The ones' complement of 0x9c40 + 0x0035 + 0x000a.
        assert_eq!(bytes, [0x9c, 0x40, 0, 53, 0, 10, 0x63, 0x80, 0, 0]);
        let (header, payload) = Udp::parse(&bytes).unwrap();
        assert_eq!(header.to_string(), "udp 40000 > 53 len 10");
        assert!(header.verify_checksum(0, payload));
        assert!(!header.verify_checksum(1, payload));
    }

    #[test]
    fn a_sum_of_zero_is_sent_as_all_ones() {
        let mut bytes = [0; 8];
        let (mut header, _) = UdpMut::parse(&mut bytes).unwrap();

        header.fill_checksum(0xffff, &[]);

        assert_eq!(header.view().checksum(), 0xffff);
        assert!(header.view().verify_checksum(0xffff, &[]));
    }

    #[test]
    fn an_absent_checksum_is_never_wrong() {
        let bytes = [1, 2, 3, 4, 0, 8, 0, 0];

        assert!(Udp::parse(&bytes).unwrap().0.verify_checksum(7, &[]));
    }

    #[test]
    fn seven_bytes_are_no_header() {
        assert_eq!(Udp::parse(&[0; 7]).unwrap_err(), ParseError::Truncated);
    }
}
