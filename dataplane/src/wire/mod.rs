//! Byte layouts of the headers the gateway meets.
//!
//! Every file has the same order: a picture of the layout, a view, a mutable view, `Display`,
//! tests. A view is made by `parse`, which checks once that the bytes can be such a header;
//! what it hands out is a reference to an array of fixed size, so its getters cannot fail.
//! Fields leave and enter a view in host order, and nothing outside this module swaps bytes.

pub mod arp;
pub mod checksum;
pub mod crc32c;
pub mod ethernet;
pub mod icmp;
pub mod icmpv6;
pub mod ipv4;
pub mod ipv6;
pub mod plain;
pub mod sctp;
pub mod tcp;
pub mod tuple;
pub mod udp;
pub mod vlan;

use std::fmt;

/// Why bytes are not the header they were taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// The bytes end before the header, or the packet it announces, does.
    Truncated,
    /// A field of the header holds what it never can.
    Malformed,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "the bytes end before the header does",
            Self::Malformed => "a field of the header holds what it never can",
        })
    }
}

impl std::error::Error for ParseError {}

/// Source and destination port, which TCP, UDP and SCTP headers all begin with.
///
/// # Errors
/// `Truncated` when there are fewer than 4 bytes.
#[inline]
pub fn ports(transport: &[u8]) -> Result<(u16, u16), ParseError> {
    match transport.first_chunk() {
        Some([a, b, c, d]) => Ok((u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]))),
        None => Err(ParseError::Truncated),
    }
}
