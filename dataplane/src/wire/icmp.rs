//! The ICMP header (RFC 792).
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

/// What a message says.
pub mod kind {
    /// Answers an echo request.
    pub const ECHO_REPLY: u8 = 0;
    /// The packet could not be delivered; the code says why.
    pub const UNREACHABLE: u8 = 3;
    /// The sender should send slower (deprecated by RFC 6633).
    pub const SOURCE_QUENCH: u8 = 4;
    /// There is a better gateway.
    pub const REDIRECT: u8 = 5;
    /// Asks for an echo.
    pub const ECHO_REQUEST: u8 = 8;
    /// The packet's time to live ran out.
    pub const TIME_EXCEEDED: u8 = 11;
    /// The packet's header cannot be understood.
    pub const PARAMETER_PROBLEM: u8 = 12;
}

/// Why a packet could not be delivered: codes of [`kind::UNREACHABLE`].
pub mod unreachable {
    /// The host cannot be reached.
    pub const HOST: u8 = 1;
    /// Nobody listens on the port.
    pub const PORT: u8 = 3;
    /// It is too big for a link and must not be fragmented (RFC 1191).
    pub const FRAGMENTATION_NEEDED: u8 = 4;
}

/// An ICMP header.
#[derive(Clone, Copy, Debug)]
pub struct Icmp<'a>(&'a [u8; HEADER_LEN]);

impl<'a> Icmp<'a> {
    /// Splits an IP payload into header and data.
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

    /// Who asks, in echo requests and replies.
    #[inline]
    #[must_use]
    pub const fn id(&self) -> u16 {
        u16::from_be_bytes([self.0[4], self.0[5]])
    }

    /// Counts the questions, in echo requests and replies.
    #[inline]
    #[must_use]
    pub const fn sequence(&self) -> u16 {
        u16::from_be_bytes([self.0[6], self.0[7]])
    }

    /// Bytes that fit the next link, in "fragmentation needed" (RFC 1191 §4).
    #[inline]
    #[must_use]
    pub const fn mtu(&self) -> u16 {
        self.sequence()
    }

    /// Whether the data is the beginning of a packet this message is about.
    #[inline]
    #[must_use]
    pub const fn is_error(&self) -> bool {
        matches!(
            self.kind(),
            kind::UNREACHABLE
                | kind::SOURCE_QUENCH
                | kind::REDIRECT
                | kind::TIME_EXCEEDED
                | kind::PARAMETER_PROBLEM
        )
    }

    /// Whether the checksum, over header and data, is right.
    #[must_use]
    pub fn verify_checksum(&self, data: &[u8]) -> bool {
        finish(ones_complement_sum(data, ones_complement_sum(self.0, 0))) == 0
    }
}

/// An ICMP header, to be changed.
#[derive(Debug)]
pub struct IcmpMut<'a>(&'a mut [u8; HEADER_LEN]);

impl<'a> IcmpMut<'a> {
    /// Splits an IP payload into header and data.
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
    pub const fn view(&self) -> Icmp<'_> {
        Icmp(self.0)
    }

    /// Sets what the message says.
    #[inline]
    pub const fn set_kind(&mut self, kind: u8, code: u8) {
        [self.0[0], self.0[1]] = [kind, code];
    }

    /// Sets the checksum field.
    #[inline]
    pub const fn set_checksum(&mut self, checksum: u16) {
        [self.0[2], self.0[3]] = checksum.to_be_bytes();
    }

    /// Sets who asks; 0 in errors.
    #[inline]
    pub const fn set_id(&mut self, id: u16) {
        [self.0[4], self.0[5]] = id.to_be_bytes();
    }

    /// Sets the number of the question; 0 in errors that announce no MTU.
    #[inline]
    pub const fn set_sequence(&mut self, sequence: u16) {
        [self.0[6], self.0[7]] = sequence.to_be_bytes();
    }

    /// Sets the bytes that fit the next link, in "fragmentation needed".
    #[inline]
    pub const fn set_mtu(&mut self, mtu: u16) {
        self.set_sequence(mtu);
    }

    /// Computes the checksum, over header and data, anew.
    pub fn fill_checksum(&mut self, data: &[u8]) {
        self.set_checksum(0);
        let sum = ones_complement_sum(self.0, 0);
        self.set_checksum(finish(ones_complement_sum(data, sum)));
    }
}

/// What an error quotes of a transport header (RFC 792: 8 bytes at least): both ports, and of a TCP
/// segment the sequence number, if that much is there; to be changed.
#[derive(Debug)]
pub struct QuotedTransportMut<'a> {
    ports: &'a mut [u8; 4],
    sequence: Option<&'a mut [u8; 4]>,
}

impl<'a> QuotedTransportMut<'a> {
    /// Takes the front of what stands behind the quoted IP header.
    ///
    /// # Errors
    /// `Truncated` when there are not both ports.
    #[inline]
    pub fn parse(bytes: &'a mut [u8]) -> Result<Self, ParseError> {
        let (ports, rest) = bytes.split_first_chunk_mut().ok_or(ParseError::Truncated)?;
        let sequence = rest.first_chunk_mut();
        Ok(Self { ports, sequence })
    }

    /// Source and destination port.
    #[inline]
    #[must_use]
    pub const fn ports(&self) -> (u16, u16) {
        let [a, b, c, d] = *self.ports;
        (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
    }

    /// Sets both ports.
    #[inline]
    pub const fn set_ports(&mut self, source: u16, destination: u16) {
        [self.ports[0], self.ports[1]] = source.to_be_bytes();
        [self.ports[2], self.ports[3]] = destination.to_be_bytes();
    }

    /// The sequence number of a TCP segment.
    #[inline]
    #[must_use]
    pub fn sequence(&self) -> Option<u32> {
        self.sequence
            .as_ref()
            .map(|bytes| u32::from_be_bytes(**bytes))
    }

    /// Sets the sequence number of a TCP segment, if it is there.
    #[inline]
    pub fn set_sequence(&mut self, number: u32) {
        if let Some(bytes) = &mut self.sequence {
            **bytes = number.to_be_bytes();
        }
    }
}

impl fmt::Display for Icmp<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "icmp type {} code {}", self.kind(), self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_request_reads_as_it_was_written() {
        let mut bytes = [0xff; 9];

        let (mut header, data) = IcmpMut::parse(&mut bytes).unwrap();
        header.set_kind(kind::ECHO_REQUEST, 0);
        header.set_id(0x1234);
        header.set_sequence(7);
        header.fill_checksum(data);

        // The ones' complement of 0x0800 + 0x1234 + 0x0007 + 0xff00, carry added.
        assert_eq!(bytes, [8, 0, 0xe6, 0xc3, 0x12, 0x34, 0, 7, 0xff]);
        let (header, data) = Icmp::parse(&bytes).unwrap();
        assert_eq!((header.id(), header.sequence()), (0x1234, 7));
        assert!(header.verify_checksum(data));
        assert!(!header.verify_checksum(&[0xfe]));
    }

    #[test]
    fn errors_are_told_from_questions() {
        let message = |kind| [kind, 4, 0, 0, 0, 0, 5, 0xdc];

        let needed = message(kind::UNREACHABLE);
        let (header, _) = Icmp::parse(&needed).unwrap();
        assert!(header.is_error());
        assert_eq!(header.mtu(), 1500);
        assert_eq!(header.to_string(), "icmp type 3 code 4");
        for kind in [kind::ECHO_REPLY, kind::ECHO_REQUEST, 13, 255] {
            assert!(!Icmp::parse(&message(kind)).unwrap().0.is_error(), "{kind}");
        }
    }

    #[test]
    fn a_quoted_segment_has_its_ports_and_sequence_number_changed() {
        let mut bytes = [0x9c, 0x40, 0, 80, 1, 2, 3, 4, 0xff];

        let mut quoted = QuotedTransportMut::parse(&mut bytes).unwrap();
        assert_eq!(
            (quoted.ports(), quoted.sequence()),
            ((40_000, 80), Some(0x0102_0304))
        );
        quoted.set_ports(80, 40_000);
        quoted.set_sequence(0x0506_0708);

        assert_eq!(bytes, [0, 80, 0x9c, 0x40, 5, 6, 7, 8, 0xff]);
        assert_eq!(
            QuotedTransportMut::parse(&mut bytes[..7])
                .unwrap()
                .sequence(),
            None
        );
        assert!(QuotedTransportMut::parse(&mut bytes[..3]).is_err());
    }

    #[test]
    fn seven_bytes_are_no_header() {
        assert_eq!(Icmp::parse(&[0; 7]).unwrap_err(), ParseError::Truncated);
    }
}
