//! TCP (RFC 9293 §3.1).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-------------------------------+-------------------------------+
//! |          source port          |       destination port        |
//! +-------------------------------+-------------------------------+
//! |                        sequence number                        |
//! +---------------------------------------------------------------+
//! |                     acknowledgement number                    |
//! +-------+-------+---------------+-------------------------------+
//! | words |       |     flags     |            window             |
//! +-------+-------+---------------+-------------------------------+
//! |            checksum           |         urgent pointer        |
//! +-------------------------------+-------------------------------+
//! |                 options, up to 40 bytes                       |
//! +---------------------------------------------------------------+
//! ```

use std::fmt;

use super::ParseError;
use super::checksum::Change;

/// Bytes of a TCP header without options.
pub const HEADER_LEN: usize = 20;

/// Where the checksum stands in the header.
const CHECKSUM: usize = 16;

/// The kinds of options the gateway knows (IANA «TCP Option Kind Numbers»).
pub mod kind {
    /// End of the option list (RFC 9293 §3.2).
    pub const END: u8 = 0;
    /// One byte of padding (RFC 9293 §3.2).
    pub const NOP: u8 = 1;
    /// Maximum segment size, 4 bytes (RFC 9293 §3.7.1).
    pub const MSS: u8 = 2;
    /// Selective acknowledgement, 2 bytes and 8 for each block (RFC 2018 §3).
    pub const SACK: u8 = 5;
    /// Timestamps, 10 bytes (RFC 7323 §3.2).
    pub const TIMESTAMPS: u8 = 8;
}

/// The control bits of a segment.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Flags(pub u8);

impl Flags {
    /// No more data from the sender.
    pub const FIN: Self = Self(0x01);
    /// Synchronise sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Reset the connection.
    pub const RST: Self = Self(0x04);
    /// Push.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgement number is meant.
    pub const ACK: Self = Self(0x10);
    /// The urgent pointer is meant.
    pub const URG: Self = Self(0x20);

    /// Whether all bits of `other` are set.
    #[inline]
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These bits and those of `other`.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LETTERS: [(Flags, char); 6] = [
            (Flags::FIN, 'F'),
            (Flags::SYN, 'S'),
            (Flags::RST, 'R'),
            (Flags::PSH, 'P'),
            (Flags::ACK, '.'),
            (Flags::URG, 'U'),
        ];
        for (flag, letter) in LETTERS {
            if self.contains(flag) {
                fmt::Write::write_char(f, letter)?;
            }
        }
        Ok(())
    }
}

/// A segment to be read.
#[derive(Clone, Copy)]
pub struct Tcp<'a> {
    header: &'a [u8; HEADER_LEN],
    rest: &'a [u8],
}

impl<'a> Tcp<'a> {
    /// A view of `segment`, which runs to the end of the IP packet.
    ///
    /// The data offset is not judged here: a first fragment may end within the options.
    ///
    /// # Errors
    ///
    /// [`ParseError::Truncated`] for fewer than 20 bytes.
    #[inline]
    pub fn parse(segment: &'a [u8]) -> Result<Self, ParseError> {
        let (header, rest) = segment.split_first_chunk().ok_or(ParseError::Truncated)?;
        Ok(Self { header, rest })
    }

    /// The sender's port.
    #[inline]
    #[must_use]
    pub const fn source_port(&self) -> u16 {
        u16::from_be_bytes([self.header[0], self.header[1]])
    }

    /// The receiver's port.
    #[inline]
    #[must_use]
    pub const fn destination_port(&self) -> u16 {
        u16::from_be_bytes([self.header[2], self.header[3]])
    }

    /// The number of the first byte (or of the SYN).
    #[inline]
    #[must_use]
    pub const fn sequence(&self) -> u32 {
        let [_, _, _, _, a, b, c, d, ..] = *self.header;
        u32::from_be_bytes([a, b, c, d])
    }

    /// The number of the next byte the sender expects, if ACK is set.
    #[inline]
    #[must_use]
    pub const fn acknowledgement(&self) -> u32 {
        let [_, _, _, _, _, _, _, _, a, b, c, d, ..] = *self.header;
        u32::from_be_bytes([a, b, c, d])
    }

    /// The header's length in bytes as the data offset says it: 0–60, right or wrong.
    #[inline]
    #[must_use]
    pub const fn header_len(&self) -> usize {
        (self.header[12] >> 4) as usize * 4
    }

    /// The control bits.
    #[inline]
    #[must_use]
    pub const fn flags(&self) -> Flags {
        Flags(self.header[13])
    }

    /// The receive window, not scaled.
    #[inline]
    #[must_use]
    pub const fn window(&self) -> u16 {
        u16::from_be_bytes([self.header[14], self.header[15]])
    }

    /// The checksum.
    #[inline]
    #[must_use]
    pub const fn checksum(&self) -> u16 {
        u16::from_be_bytes([self.header[CHECKSUM], self.header[CHECKSUM + 1]])
    }

    /// The options; `None` when the data offset points before or behind them.
    #[inline]
    #[must_use]
    pub fn options(&self) -> Option<Options<'a>> {
        let len = self.header_len().checked_sub(HEADER_LEN)?;
        Some(Options::new(self.rest.get(..len)?))
    }

    /// The bytes behind the options; `None` when the data offset is wrong.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> Option<&'a [u8]> {
        self.rest.get(self.header_len().checked_sub(HEADER_LEN)?..)
    }

    /// The sequence number behind this segment, which its receiver will acknowledge: payload,
    /// SYN and FIN each take their numbers (RFC 9293 §3.4). `None` when the data offset is wrong.
    #[inline]
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "an IP packet is < 64 KiB")]
    pub fn end_of_sequence(&self) -> Option<u32> {
        let flags = self.flags();
        let numbers = self.payload()?.len() as u32
            + u32::from(flags.contains(Flags::SYN))
            + u32::from(flags.contains(Flags::FIN));
        Some(self.sequence().wrapping_add(numbers))
    }
}

/// One option of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpOption<'a> {
    /// What it is; see [`kind`].
    pub kind: u8,
    /// Where its kind byte stands, counted from the start of the TCP header.
    pub offset: usize,
    /// What follows its kind and length bytes.
    pub data: &'a [u8],
}

/// The options of a segment in their order, padding left out.
///
/// They end at the end of the list or where a length cannot be: a receiver cannot read on
/// from there either.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Options<'a> {
    /// The options in `bytes`, which stand right behind the fixed header.
    const fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            offset: HEADER_LEN,
        }
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = TcpOption<'a>;

    #[inline]
    fn next(&mut self) -> Option<TcpOption<'a>> {
        loop {
            match *self.rest {
                [kind::NOP, ref rest @ ..] => {
                    self.rest = rest;
                    self.offset += 1;
                }
                [] | [kind::END, ..] => return None,
                [kind, ref after_kind @ ..] => {
                    let len = usize::from(*after_kind.first()?);
                    let data = self.rest.get(2..len)?;
                    let offset = self.offset;
                    self.rest = self.rest.get(len..)?;
                    self.offset += len;
                    return Some(TcpOption { kind, offset, data });
                }
            }
        }
    }
}

/// A segment to be changed; every change is carried into the checksum (RFC 1624).
pub struct TcpMut<'a> {
    header: &'a mut [u8; HEADER_LEN],
    rest: &'a mut [u8],
}

impl<'a> TcpMut<'a> {
    /// A view of `segment`, as [`Tcp::parse`] makes it.
    ///
    /// # Errors
    ///
    /// [`ParseError::Truncated`] for fewer than 20 bytes.
    #[inline]
    pub fn parse(segment: &'a mut [u8]) -> Result<Self, ParseError> {
        let (header, rest) = segment
            .split_first_chunk_mut()
            .ok_or(ParseError::Truncated)?;
        Ok(Self { header, rest })
    }

    /// The same segment to be read.
    #[inline]
    #[must_use]
    pub const fn view(&self) -> Tcp<'_> {
        Tcp {
            header: self.header,
            rest: self.rest,
        }
    }

    /// Sets both ports. `change` is what else happened to the pseudo header.
    #[inline]
    pub fn set_ports(&mut self, source: u16, destination: u16, change: Change) {
        let view = self.view();
        let change = change
            .u16(view.source_port(), source)
            .u16(view.destination_port(), destination);
        let [a, b, c, d, ..] = self.header;
        [*a, *b] = source.to_be_bytes();
        [*c, *d] = destination.to_be_bytes();
        self.apply(change);
    }

    /// Sets the sequence number.
    #[inline]
    pub fn set_sequence(&mut self, sequence: u32) {
        let change = Change::default().u32(self.view().sequence(), sequence);
        let [_, _, _, _, a, b, c, d, ..] = self.header;
        [*a, *b, *c, *d] = sequence.to_be_bytes();
        self.apply(change);
    }

    /// Sets the acknowledgement number.
    #[inline]
    pub fn set_acknowledgement(&mut self, acknowledgement: u32) {
        let change = Change::default().u32(self.view().acknowledgement(), acknowledgement);
        let [_, _, _, _, _, _, _, _, a, b, c, d, ..] = self.header;
        [*a, *b, *c, *d] = acknowledgement.to_be_bytes();
        self.apply(change);
    }

    /// Sets `N` bytes behind the fixed header; `offset` counts from the start of the header, as
    /// [`TcpOption::offset`] does. Bytes that are not there are left alone.
    #[inline]
    pub fn set_option_bytes<const N: usize>(&mut self, offset: usize, new: [u8; N]) {
        let place = offset
            .checked_sub(HEADER_LEN)
            .and_then(|start| self.rest.get_mut(start..))
            .and_then(<[u8]>::first_chunk_mut);
        if let Some(place) = place {
            let old = std::mem::replace(place, new);
            self.apply(Change::default().bytes(offset, &old, &new));
        }
    }

    /// Carries `change` into the checksum.
    #[inline]
    fn apply(&mut self, change: Change) {
        let checksum = change.apply(self.view().checksum());
        let [high, low] = checksum.to_be_bytes();
        self.header[CHECKSUM] = high;
        self.header[CHECKSUM + 1] = low;
    }
}

impl fmt::Display for Tcp<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "tcp {} > {} {:?} seq {} ack {} win {}",
            self.source_port(),
            self.destination_port(),
            self.flags(),
            self.sequence(),
            self.acknowledgement(),
            self.window(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::checksum::{finish, ones_complement_sum};

    /// A SYN-ACK with a NOP before its SACK-like option, so that offsets are odd.
    fn segment() -> Vec<u8> {
        let mut bytes = vec![
            0x1f, 0x90, 0x00, 0x50, // ports
            0x00, 0x00, 0x00, 0x0a, // sequence
            0xff, 0xff, 0xff, 0xff, // acknowledgement
            0x80, 0x12, 0x01, 0x00, // 32 bytes, SYN and ACK, window
            0x00, 0x00, 0x00, 0x00, // checksum, urgent
            0x01, 0x02, 0x04, 0x05, 0xb4, // NOP, MSS 1460
            0x03, 0x03, 0x07, // window scale
            0x00, 0x00, 0x00, 0x00, // end
            b'h', b'i', b'!',
        ];
        let checksum = finish(ones_complement_sum(&bytes, 0));
        bytes[16..18].copy_from_slice(&checksum.to_be_bytes());
        bytes
    }

    fn is_sound(bytes: &[u8]) -> bool {
        ones_complement_sum(bytes, 0) == 0xffff
    }

    #[test]
    fn every_field_is_read_in_host_order() {
        let bytes = segment();

        let tcp = Tcp::parse(&bytes).unwrap();

        assert_eq!(tcp.source_port(), 8080);
        assert_eq!(tcp.destination_port(), 80);
        assert_eq!(tcp.sequence(), 10);
        assert_eq!(tcp.acknowledgement(), u32::MAX);
        assert_eq!(tcp.header_len(), 32);
        assert_eq!(tcp.flags(), Flags::SYN.with(Flags::ACK));
        assert_eq!(tcp.window(), 256);
        assert_eq!(tcp.payload(), Some(&b"hi!"[..]));
        assert_eq!(
            tcp.to_string(),
            "tcp 8080 > 80 S. seq 10 ack 4294967295 win 256"
        );
    }

    #[test]
    fn options_are_listed_with_their_places() {
        let bytes = segment();

        let options: Vec<_> = Tcp::parse(&bytes).unwrap().options().unwrap().collect();

        let [mss, scale] = options[..] else {
            panic!("{options:?}");
        };
        assert_eq!((mss.kind, mss.offset, mss.data), (2, 21, &[5, 0xb4][..]));
        assert_eq!((scale.kind, scale.offset, scale.data), (3, 25, &[7][..]));
    }

    #[test]
    fn options_end_where_a_length_cannot_be() {
        for bytes in [
            &[2, 0, 1, 1][..],
            &[2, 1, 1, 1],
            &[2, 5, 1, 1],
            &[1, 1, 1, 2],
        ] {
            assert_eq!(Options::new(bytes).next(), None, "{bytes:?}");
        }
    }

    #[test]
    fn a_wrong_data_offset_hides_options_and_payload() {
        for words in [0, 4, 15] {
            let mut bytes = segment();
            bytes[12] = words << 4;

            let tcp = Tcp::parse(&bytes).unwrap();

            assert!(tcp.options().is_none());
            assert_eq!(tcp.payload(), None);
            assert_eq!(tcp.end_of_sequence(), None);
        }
    }

    #[test]
    fn fewer_than_20_bytes_are_no_header() {
        let mut bytes = segment();

        assert_eq!(Tcp::parse(&bytes[..19]).err(), Some(ParseError::Truncated));
        assert!(TcpMut::parse(&mut bytes[..19]).is_err());
    }

    #[test]
    fn the_end_of_sequence_counts_payload_syn_and_fin() {
        let mut bytes = segment();
        assert_eq!(Tcp::parse(&bytes).unwrap().end_of_sequence(), Some(14));

        bytes[13] = (Flags::SYN.with(Flags::FIN)).0;
        assert_eq!(Tcp::parse(&bytes).unwrap().end_of_sequence(), Some(15));

        bytes[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(Tcp::parse(&bytes).unwrap().end_of_sequence(), Some(4));
    }

    #[test]
    fn every_change_reaches_the_checksum() {
        let mut bytes = segment();
        assert!(is_sound(&bytes));

        let mut tcp = TcpMut::parse(&mut bytes).unwrap();
        tcp.set_ports(1, 2, Change::default());
        tcp.set_sequence(0xdead_beef);
        tcp.set_acknowledgement(7);
        tcp.set_option_bytes(23, 1200_u16.to_be_bytes());

        assert!(is_sound(&bytes));
        let tcp = Tcp::parse(&bytes).unwrap();
        assert_eq!((tcp.source_port(), tcp.destination_port()), (1, 2));
        assert_eq!((tcp.sequence(), tcp.acknowledgement()), (0xdead_beef, 7));
        let mss = tcp.options().and_then(|mut options| options.next());
        assert_eq!(mss.map(|option| option.data), Some(&[0x04, 0xb0][..]));
    }

    #[test]
    fn bytes_outside_the_options_are_left_alone() {
        let mut bytes = segment();
        let before = bytes.clone();

        let mut tcp = TcpMut::parse(&mut bytes).unwrap();
        tcp.set_option_bytes(19, [9, 9]);
        tcp.set_option_bytes(before.len() - 1, [9, 9]);

        assert_eq!(bytes, before);
    }
}
