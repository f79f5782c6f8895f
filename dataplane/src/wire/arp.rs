//! ARP for IPv4 over Ethernet (RFC 826).
//!
//! ```text
//!  0          2         4    5    6         8            14            18           24            28
//! | hardware 1 | 0x0800  | 6  | 4  | op      | sender MAC | sender IPv4 | target MAC | target IPv4 |
//! ```

use std::fmt;

use super::ParseError;
use super::ethernet::ethertype;
use crate::address::{MacAddr, V4};

/// Bytes of the message.
pub const MESSAGE_LEN: usize = 28;

/// The bytes all messages for IPv4 over Ethernet begin with.
const ETHERNET_IPV4: [u8; 6] = {
    let [high, low] = ethertype::IPV4.to_be_bytes();
    [0, 1, high, low, 6, 4]
};

/// What an ARP message wants; the discriminant is its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Operation {
    /// Who has the target address?
    Request = 1,
    /// The sender has the sender address.
    Reply = 2,
}

/// An ARP message.
#[derive(Clone, Copy, Debug)]
pub struct Arp<'a>(&'a [u8; MESSAGE_LEN]);

impl<'a> Arp<'a> {
    /// Reads an Ethernet payload; what follows the message is padding.
    ///
    /// # Errors
    /// `Truncated` when there are fewer than 28 bytes, `Malformed` when the message is not about
    /// IPv4 over Ethernet or is neither request nor reply.
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), ParseError> {
        let (message, rest) = bytes
            .split_first_chunk::<MESSAGE_LEN>()
            .ok_or(ParseError::Truncated)?;
        let known = message.starts_with(&ETHERNET_IPV4) && matches!(message[6..8], [0, 1 | 2]);
        if known {
            Ok((Self(message), rest))
        } else {
            Err(ParseError::Malformed)
        }
    }

    /// What the message wants.
    #[must_use]
    pub const fn operation(&self) -> Operation {
        match self.0[7] {
            1 => Operation::Request,
            _ => Operation::Reply,
        }
    }

    /// The MAC of the sender.
    #[must_use]
    pub const fn sender_mac(&self) -> MacAddr {
        MacAddr(self.array_at::<8, 6>())
    }

    /// The address of the sender; 0.0.0.0 in a probe (RFC 5227).
    #[must_use]
    pub const fn sender_addr(&self) -> V4 {
        V4(u32::from_be_bytes(self.array_at::<14, 4>()))
    }

    /// The MAC that is asked for (then zero) or answered to.
    #[must_use]
    pub const fn target_mac(&self) -> MacAddr {
        MacAddr(self.array_at::<18, 6>())
    }

    /// The address that is asked for.
    #[must_use]
    pub const fn target_addr(&self) -> V4 {
        V4(u32::from_be_bytes(self.array_at::<24, 4>()))
    }

    const fn array_at<const AT: usize, const N: usize>(&self) -> [u8; N] {
        const { assert!(AT + N <= MESSAGE_LEN) };
        let mut array = [0; N];
        let mut i = 0;
        while i < N {
            array[i] = self.0[AT + i];
            i += 1;
        }
        array
    }
}

/// An ARP message, to be changed.
#[derive(Debug)]
pub struct ArpMut<'a>(&'a mut [u8; MESSAGE_LEN]);

impl<'a> ArpMut<'a> {
    /// Begins a message at the front of `bytes`: its constant fields are set, the others are zero.
    ///
    /// # Errors
    /// `Truncated` when there are fewer than 28 bytes.
    pub fn init(
        bytes: &'a mut [u8],
        operation: Operation,
    ) -> Result<(Self, &'a mut [u8]), ParseError> {
        let (message, rest) = bytes
            .split_first_chunk_mut::<MESSAGE_LEN>()
            .ok_or(ParseError::Truncated)?;
        message.fill(0);
        message[..6].copy_from_slice(&ETHERNET_IPV4);
        message[6..8].copy_from_slice(&(operation as u16).to_be_bytes());
        Ok((Self(message), rest))
    }

    /// The message, to be read.
    #[must_use]
    pub const fn view(&self) -> Arp<'_> {
        Arp(self.0)
    }

    /// Sets who sends.
    pub fn set_sender(&mut self, mac: MacAddr, addr: V4) {
        self.0[8..14].copy_from_slice(&mac.0);
        self.0[14..18].copy_from_slice(&addr.octets());
    }

    /// Sets who is asked for or answered to.
    pub fn set_target(&mut self, mac: MacAddr, addr: V4) {
        self.0[18..24].copy_from_slice(&mac.0);
        self.0[24..].copy_from_slice(&addr.octets());
    }
}

impl fmt::Display for Arp<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sender, target) = (self.sender_addr(), self.target_addr());
        match self.operation() {
            Operation::Request => write!(f, "arp who has {target}, tell {sender}"),
            Operation::Reply => write!(f, "arp {sender} is at {}", self.sender_mac()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENDER: (MacAddr, V4) = (MacAddr([2, 0, 0, 0, 0, 7]), V4(0x0a01_0009));
    const TARGET: (MacAddr, V4) = (MacAddr([2, 0, 0, 0, 0, 8]), V4(0x0a01_0001));

    fn message(operation: Operation) -> [u8; MESSAGE_LEN] {
        let mut bytes = [0xee; MESSAGE_LEN];
        let (mut arp, _) = ArpMut::init(&mut bytes, operation).unwrap();
        arp.set_sender(SENDER.0, SENDER.1);
        arp.set_target(TARGET.0, TARGET.1);
        bytes
    }

    #[test]
    fn a_message_reads_as_it_was_written() {
        let bytes = message(Operation::Reply);

        let (arp, rest) = Arp::parse(&bytes).unwrap();

        assert_eq!((arp.sender_mac(), arp.sender_addr()), SENDER);
        assert_eq!((arp.target_mac(), arp.target_addr()), TARGET);
        assert_eq!(arp.to_string(), "arp 10.1.0.9 is at 02:00:00:00:00:07");
        assert!(rest.is_empty());
        let request = message(Operation::Request);
        assert_eq!(
            Arp::parse(&request).unwrap().0.to_string(),
            "arp who has 10.1.0.1, tell 10.1.0.9"
        );
    }

    #[test]
    fn other_hardware_protocols_and_operations_are_malformed() {
        for (at, value) in [(1, 6), (2, 0x86), (4, 8), (5, 16), (7, 3), (7, 0), (6, 1)] {
            let mut bytes = message(Operation::Request);
            bytes[at] = value;

            assert_eq!(
                Arp::parse(&bytes).unwrap_err(),
                ParseError::Malformed,
                "{at}"
            );
        }
        assert_eq!(Arp::parse(&[0; 27]).unwrap_err(), ParseError::Truncated);
    }
}
