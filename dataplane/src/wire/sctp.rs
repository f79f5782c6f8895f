//! The SCTP common header and the head of the first chunk (RFC 9260 §3).
//!
//! ```text
//!  0             2             4                  8          12     13      14       16
//! | source port | destination | verification tag | checksum | type | flags | length | ...
//! ```

use std::fmt;

use super::ParseError;
use super::crc32c;

/// Bytes of the common header.
pub const COMMON_HEADER_LEN: usize = 12;

/// Bytes of the common header and the head of the first chunk, without which there is no packet.
pub const MIN_PACKET_LEN: usize = 16;

/// Types of chunks (RFC 9260 §3.2).
pub mod chunk {
    /// Payload.
    pub const DATA: u8 = 0;
    /// Begins an association.
    pub const INIT: u8 = 1;
    /// Answers an INIT.
    pub const INIT_ACK: u8 = 2;
    /// Acknowledges payload.
    pub const SACK: u8 = 3;
    /// Asks whether the peer lives.
    pub const HEARTBEAT: u8 = 4;
    /// Answers a HEARTBEAT.
    pub const HEARTBEAT_ACK: u8 = 5;
    /// Ends the association at once.
    pub const ABORT: u8 = 6;
    /// Begins to end the association.
    pub const SHUTDOWN: u8 = 7;
    /// Answers a SHUTDOWN.
    pub const SHUTDOWN_ACK: u8 = 8;
    /// Tells of an error.
    pub const ERROR: u8 = 9;
    /// Gives the cookie of the INIT ACK back.
    pub const COOKIE_ECHO: u8 = 10;
    /// Answers a COOKIE ECHO.
    pub const COOKIE_ACK: u8 = 11;
    /// Ends the shutdown.
    pub const SHUTDOWN_COMPLETE: u8 = 14;
}

/// A common header and the head of the first chunk.
#[derive(Clone, Copy, Debug)]
pub struct Sctp<'a>(&'a [u8; MIN_PACKET_LEN]);

impl<'a> Sctp<'a> {
    /// Splits an IP payload into the headers and what follows the head of the first chunk.
    ///
    /// # Errors
    /// `Truncated` when there are fewer than 16 bytes.
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

    /// What the receiver recognises the association by; 0 with an INIT.
    #[inline]
    #[must_use]
    pub const fn verification_tag(&self) -> u32 {
        u32::from_be_bytes([self.0[4], self.0[5], self.0[6], self.0[7]])
    }

    /// The CRC32c, as the header has it.
    #[inline]
    #[must_use]
    pub const fn checksum(&self) -> u32 {
        // RFC 9260 appendix A: the CRC travels with its lowest byte first.
        u32::from_le_bytes([self.0[8], self.0[9], self.0[10], self.0[11]])
    }

    /// The type of the first chunk, one of [`chunk`].
    #[inline]
    #[must_use]
    pub const fn first_chunk(&self) -> u8 {
        self.0[12]
    }

    /// The type of the chunk that IPVS takes a packet for: the first, or an ABORT right behind a
    /// COOKIE ECHO or COOKIE ACK. `rest` is what `parse` gave beside this view.
    #[inline]
    #[must_use]
    pub fn leading_chunk(&self, rest: &[u8]) -> u8 {
        let first = self.first_chunk();
        let is_cookie = matches!(first, chunk::COOKIE_ECHO | chunk::COOKIE_ACK);
        if is_cookie && self.second_chunk(rest) == Some(chunk::ABORT) {
            return chunk::ABORT;
        }
        first
    }

    /// The type of the second chunk, if there is one. `rest` is what `parse` gave beside this view.
    #[inline]
    #[must_use]
    pub fn second_chunk(&self, rest: &[u8]) -> Option<u8> {
        // RFC 9260 §3.2: the length counts the chunk's head of 4 bytes, and not the padding to a
        // whole word behind it.
        let length = usize::from(u16::from_be_bytes([self.0[14], self.0[15]]));
        let value = length.checked_sub(4)?.next_multiple_of(4);
        let second: &[u8; 4] = rest.get(value..)?.first_chunk()?;
        Some(second[0])
    }

    /// Whether the checksum is right. `rest` is what `parse` gave beside this view.
    #[must_use]
    pub fn verify_checksum(&self, rest: &[u8]) -> bool {
        checksum(self.0, rest) == self.checksum()
    }
}

/// Gives a packet other ports and computes its checksum anew. The common header is enough.
///
/// # Errors
/// `Truncated` when there are fewer than 12 bytes.
pub fn set_ports(packet: &mut [u8], source: u16, destination: u16) -> Result<(), ParseError> {
    let (header, rest) = packet
        .split_first_chunk_mut::<COMMON_HEADER_LEN>()
        .ok_or(ParseError::Truncated)?;
    [header[0], header[1]] = source.to_be_bytes();
    [header[2], header[3]] = destination.to_be_bytes();
    header[8..12].fill(0);
    let crc = !crc32c::update(crc32c::update(!0, header), rest);
    // RFC 9260 appendix A: the CRC travels with its lowest byte first.
    header[8..12].copy_from_slice(&crc.to_le_bytes());
    Ok(())
}

/// The CRC32c of a packet as if its checksum field were zero (RFC 9260 §6.8).
fn checksum(header: &[u8; MIN_PACKET_LEN], rest: &[u8]) -> u32 {
    let mut header = *header;
    header[8..12].fill(0);
    !crc32c::update(crc32c::update(!0, &header), rest)
}

/// A common header and the head of the first chunk, to be changed.
#[derive(Debug)]
pub struct SctpMut<'a>(&'a mut [u8; MIN_PACKET_LEN]);

impl<'a> SctpMut<'a> {
    /// Splits an IP payload into the headers and what follows the head of the first chunk.
    ///
    /// # Errors
    /// `Truncated` when there are fewer than 16 bytes.
    #[inline]
    pub fn parse(bytes: &'a mut [u8]) -> Result<(Self, &'a mut [u8]), ParseError> {
        let (header, rest) = bytes.split_first_chunk_mut().ok_or(ParseError::Truncated)?;
        Ok((Self(header), rest))
    }

    /// The headers, to be read.
    #[inline]
    #[must_use]
    pub const fn view(&self) -> Sctp<'_> {
        Sctp(self.0)
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

    /// Sets what the receiver recognises the association by.
    #[inline]
    pub fn set_verification_tag(&mut self, tag: u32) {
        self.0[4..8].copy_from_slice(&tag.to_be_bytes());
    }

    /// Sets the checksum field.
    #[inline]
    pub fn set_checksum(&mut self, checksum: u32) {
        self.0[8..12].copy_from_slice(&checksum.to_le_bytes());
    }

    /// Sets type and length of the first chunk; the length counts its 4-byte head.
    #[inline]
    pub fn set_first_chunk(&mut self, kind: u8, length: u16) {
        let [high, low] = length.to_be_bytes();
        self.0[12..].copy_from_slice(&[kind, 0, high, low]);
    }

    /// Computes the checksum anew. `rest` is what `parse` gave beside this view.
    pub fn fill_checksum(&mut self, rest: &[u8]) {
        self.set_checksum(checksum(self.0, rest));
    }
}

impl fmt::Display for Sctp<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (source, destination) = (self.source_port(), self.destination_port());
        let (tag, chunk) = (self.verification_tag(), self.first_chunk());
        write!(
            f,
            "sctp {source} > {destination} tag {tag:#x} chunk {chunk}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_ports_come_with_a_right_checksum_whatever_was_there() {
        let mut bytes = [0xee; 20];

        set_ports(&mut bytes, 40_000, 3868).unwrap();

        let (header, rest) = Sctp::parse(&bytes).unwrap();
        assert_eq!(
            (header.source_port(), header.destination_port()),
            (40_000, 3868)
        );
        assert!(header.verify_checksum(rest));
        // The common header alone is enough, less is not.
        assert_eq!(set_ports(&mut bytes[..12], 1, 2), Ok(()));
        assert_eq!(
            set_ports(&mut bytes[..11], 1, 2),
            Err(ParseError::Truncated)
        );
    }

    #[test]
    fn a_packet_reads_as_it_was_written() {
        let mut bytes = [0xee; 20];

        let (mut header, rest) = SctpMut::parse(&mut bytes).unwrap();
        header.set_source_port(40_000);
        header.set_destination_port(3868);
        header.set_verification_tag(0xdead_beef);
        header.set_first_chunk(chunk::COOKIE_ECHO, 8);
        header.fill_checksum(rest);

        let (header, rest) = Sctp::parse(&bytes).unwrap();
        assert_eq!(
            header.to_string(),
            "sctp 40000 > 3868 tag 0xdeadbeef chunk 10"
        );
        assert!(header.verify_checksum(rest));
        assert_eq!(bytes[12..16], [10, 0, 0, 8]);
    }

    #[test]
    fn the_second_chunk_stands_behind_the_padding_of_the_first() {
        let second = |length: u16, rest: &[u8]| {
            let mut bytes = [0; 16];
            bytes[14..].copy_from_slice(&length.to_be_bytes());
            let (header, _) = Sctp::parse(&bytes).unwrap();
            header.second_chunk(rest)
        };

        assert_eq!(second(4, &[6, 0, 0, 4]), Some(6));
        assert_eq!(second(9, &[1, 1, 1, 1, 1, 0, 0, 0, 11, 0, 0, 4]), Some(11));
        assert_eq!(second(8, &[1, 1, 1, 1]), None);
        assert_eq!(second(4, &[6, 0, 0]), None);
        // Lengths that cannot be: shorter than the head, and beyond the packet.
        assert_eq!(second(3, &[6, 0, 0, 4]), None);
        assert_eq!(second(u16::MAX, &[6; 64]), None);
    }

    #[test]
    fn an_abort_leads_behind_a_cookie_and_nothing_else() {
        let leading = |first| {
            let mut bytes = [0; 16];
            (bytes[12], bytes[15]) = (first, 4);
            let (header, _) = Sctp::parse(&bytes).unwrap();
            header.leading_chunk(&[chunk::ABORT, 0, 0, 4])
        };

        assert_eq!(leading(chunk::COOKIE_ECHO), chunk::ABORT);
        assert_eq!(leading(chunk::COOKIE_ACK), chunk::ABORT);
        assert_eq!(leading(chunk::DATA), chunk::DATA);
        assert_eq!(leading(chunk::INIT), chunk::INIT);
    }

    #[test]
    fn the_checksum_is_the_crc_of_the_packet_with_a_zero_field_lowest_byte_first() {
        let mut bytes = [0; 32];
        let (mut header, rest) = SctpMut::parse(&mut bytes).unwrap();

        header.fill_checksum(rest);

        // RFC 3720 §B.4: 32 bytes of zeros.
        assert_eq!(bytes[8..12], [0xaa, 0x36, 0x91, 0x8a]);
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        let mut bytes = [0x5a; 24];
        let (mut header, rest) = SctpMut::parse(&mut bytes).unwrap();
        header.fill_checksum(rest);

        for bit in 0..24 * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            let (header, rest) = Sctp::parse(&bad).unwrap();
            assert!(!header.verify_checksum(rest), "bit {bit}");
        }
    }

    #[test]
    fn fifteen_bytes_are_no_packet() {
        assert_eq!(Sctp::parse(&[0; 15]).unwrap_err(), ParseError::Truncated);
    }
}
