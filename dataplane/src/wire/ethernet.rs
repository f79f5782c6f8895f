//! The Ethernet II header (IEEE 802.3).
//!
//! ```text
//!  0           6           12      14
//! | destination | source    | type  | payload ...
//! ```

use std::fmt;

use super::ParseError;
use crate::address::MacAddr;

/// Bytes of the header.
pub const HEADER_LEN: usize = 14;

/// What the payload is (IANA's EtherType list).
pub mod ethertype {
    /// IPv4.
    pub const IPV4: u16 = 0x0800;
    /// ARP.
    pub const ARP: u16 = 0x0806;
    /// An IEEE 802.1Q customer tag.
    pub const VLAN: u16 = 0x8100;
    /// IPv6.
    pub const IPV6: u16 = 0x86dd;
    /// An IEEE 802.1ad service tag, which the gateway does not look into.
    pub const SERVICE_VLAN: u16 = 0x88a8;
}

/// An Ethernet header.
#[derive(Clone, Copy, Debug)]
pub struct Ethernet<'a>(&'a [u8; HEADER_LEN]);

impl<'a> Ethernet<'a> {
    /// Splits a frame into its header and what follows.
    ///
    /// # Errors
    /// `Truncated` when the frame has fewer than 14 bytes.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), ParseError> {
        let (header, rest) = bytes.split_first_chunk().ok_or(ParseError::Truncated)?;
        Ok((Self(header), rest))
    }

    /// The station the frame is for.
    #[inline]
    #[must_use]
    pub fn destination(&self) -> MacAddr {
        let mut mac = MacAddr::default();
        mac.0.copy_from_slice(&self.0[..6]);
        mac
    }

    /// The station that sent the frame.
    #[inline]
    #[must_use]
    pub fn source(&self) -> MacAddr {
        let mut mac = MacAddr::default();
        mac.0.copy_from_slice(&self.0[6..12]);
        mac
    }

    /// What the payload is; below 0x600 it is an IEEE 802.3 length instead.
    #[inline]
    #[must_use]
    pub const fn ethertype(&self) -> u16 {
        u16::from_be_bytes([self.0[12], self.0[13]])
    }
}

/// An Ethernet header, to be changed.
#[derive(Debug)]
pub struct EthernetMut<'a>(&'a mut [u8; HEADER_LEN]);

impl<'a> EthernetMut<'a> {
    /// Splits a frame into its header and what follows.
    ///
    /// # Errors
    /// `Truncated` when the frame has fewer than 14 bytes.
    #[inline]
    pub fn parse(bytes: &'a mut [u8]) -> Result<(Self, &'a mut [u8]), ParseError> {
        let (header, rest) = bytes.split_first_chunk_mut().ok_or(ParseError::Truncated)?;
        Ok((Self(header), rest))
    }

    /// The header, to be read.
    #[inline]
    #[must_use]
    pub const fn view(&self) -> Ethernet<'_> {
        Ethernet(self.0)
    }

    /// Sets the station the frame is for.
    #[inline]
    pub fn set_destination(&mut self, mac: MacAddr) {
        self.0[..6].copy_from_slice(&mac.0);
    }

    /// Sets the station that sends the frame.
    #[inline]
    pub fn set_source(&mut self, mac: MacAddr) {
        self.0[6..12].copy_from_slice(&mac.0);
    }

    /// Sets what the payload is.
    #[inline]
    pub fn set_ethertype(&mut self, ethertype: u16) {
        self.0[12..].copy_from_slice(&ethertype.to_be_bytes());
    }
}

impl fmt::Display for Ethernet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (source, destination) = (self.source(), self.destination());
        write!(f, "{source} > {destination} type {:#06x}", self.ethertype())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_as_it_was_written() {
        let mut frame = [0; 15];

        let (mut header, payload) = EthernetMut::parse(&mut frame).unwrap();
        header.set_destination(MacAddr::BROADCAST);
        header.set_source(MacAddr([2, 0, 0, 0, 0, 1]));
        header.set_ethertype(ethertype::ARP);
        payload[0] = 0xaa;

        assert_eq!(frame[..8], [255, 255, 255, 255, 255, 255, 2, 0]);
        assert_eq!(frame[11..], [1, 8, 6, 0xaa]);
        let (header, rest) = Ethernet::parse(&frame).unwrap();
        assert_eq!(
            header.to_string(),
            "02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff type 0x0806"
        );
        assert_eq!(rest, [0xaa]);
    }

    #[test]
    fn a_frame_of_13_bytes_has_no_header() {
        assert_eq!(
            Ethernet::parse(&[0; 13]).unwrap_err(),
            ParseError::Truncated
        );
        assert_eq!(
            EthernetMut::parse(&mut [0; 13]).unwrap_err(),
            ParseError::Truncated
        );
    }
}
