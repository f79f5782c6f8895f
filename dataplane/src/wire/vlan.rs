//! The IEEE 802.1Q tag, which stands behind the two MAC addresses and EtherType 0x8100.
//!
//! ```text
//!  0   3 4            16              32 bits
//! | pcp |d| identifier | type          | payload ...
//! ```

use std::fmt;

use super::ParseError;
use crate::id::VlanId;

/// Bytes of the tag behind its EtherType.
pub const TAG_LEN: usize = 4;

/// A VLAN tag and the EtherType behind it.
#[derive(Clone, Copy, Debug)]
pub struct Vlan<'a>(&'a [u8; TAG_LEN]);

impl<'a> Vlan<'a> {
    /// Splits what follows EtherType 0x8100 into the tag and its payload.
    ///
    /// # Errors
    /// `Truncated` when there are fewer than 4 bytes.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), ParseError> {
        let (tag, rest) = bytes.split_first_chunk().ok_or(ParseError::Truncated)?;
        Ok((Self(tag), rest))
    }

    /// The VLAN, 0–4095. 0 is no VLAN but only a priority; 4095 is reserved.
    #[inline]
    #[must_use]
    pub const fn id(&self) -> VlanId {
        VlanId(u16::from_be_bytes([self.0[0], self.0[1]]) & 0xfff)
    }

    /// The frame's priority, 0–7.
    #[inline]
    #[must_use]
    pub const fn priority(&self) -> u8 {
        self.0[0] >> 5
    }

    /// What the payload is.
    #[inline]
    #[must_use]
    pub const fn ethertype(&self) -> u16 {
        u16::from_be_bytes([self.0[2], self.0[3]])
    }
}

/// A VLAN tag, to be changed.
#[derive(Debug)]
pub struct VlanMut<'a>(&'a mut [u8; TAG_LEN]);

impl<'a> VlanMut<'a> {
    /// Splits what follows EtherType 0x8100 into the tag and its payload.
    ///
    /// # Errors
    /// `Truncated` when there are fewer than 4 bytes.
    #[inline]
    pub fn parse(bytes: &'a mut [u8]) -> Result<(Self, &'a mut [u8]), ParseError> {
        let (tag, rest) = bytes.split_first_chunk_mut().ok_or(ParseError::Truncated)?;
        Ok((Self(tag), rest))
    }

    /// The tag, to be read.
    #[inline]
    #[must_use]
    pub const fn view(&self) -> Vlan<'_> {
        Vlan(self.0)
    }

    /// Sets the VLAN; the priority stays.
    #[inline]
    pub fn set_id(&mut self, id: VlanId) {
        let [high, low] = (id.0 & 0xfff).to_be_bytes();
        self.0[0] = (self.0[0] & 0xf0) | high;
        self.0[1] = low;
    }

    /// Sets the priority, 0–7; the VLAN stays.
    #[inline]
    pub fn set_priority(&mut self, priority: u8) {
        self.0[0] = (self.0[0] & 0x1f) | (priority << 5);
    }

    /// Sets what the payload is.
    #[inline]
    pub fn set_ethertype(&mut self, ethertype: u16) {
        self.0[2..].copy_from_slice(&ethertype.to_be_bytes());
    }
}

impl fmt::Display for Vlan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, priority) = (self.id(), self.priority());
        write!(
            f,
            "vlan {id} priority {priority} type {:#06x}",
            self.ethertype()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priority_and_id_share_two_bytes_without_touching_each_other() {
        let mut bytes = [0; 4];

        let (mut tag, _) = VlanMut::parse(&mut bytes).unwrap();
        tag.set_id(VlanId(0xabc));
        tag.set_priority(5);
        tag.set_ethertype(0x0800);
        tag.set_id(VlanId(4094));

        assert_eq!(bytes, [0xaf, 0xfe, 0x08, 0x00]);
        let (tag, _) = Vlan::parse(&bytes).unwrap();
        assert_eq!(tag.to_string(), "vlan 4094 priority 5 type 0x0800");
    }

    #[test]
    fn three_bytes_are_no_tag() {
        assert_eq!(Vlan::parse(&[0; 3]).unwrap_err(), ParseError::Truncated);
    }
}
