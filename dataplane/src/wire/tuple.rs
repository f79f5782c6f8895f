//! Who sends to whom, byte for byte as headers say it.
//!
//! ```text
//!  0               4               8       10      12 bytes
//! | source address | destination   | source| dest. |
//! |                | address       | port  | port  |
//! ```
//!
//! With IPv4 without options these are bytes 12–23 of the packet (RFC 791 §3.1; RFC 768 and
//! RFC 9293 §3.1 begin with the ports). Whoever keeps them like that compares and replaces the
//! ends of a packet without reading a single field.

use crate::address::{Address, Endpoint, FlowKey};

/// Source and destination address, source and destination port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tuple<A: Address> {
    /// The addresses, as in the IP header.
    pub addresses: A::Pair,
    /// The ports, as in the transport header: four bytes as the machine reads them.
    pub ports: u32,
}

impl<A: Address> Tuple<A> {
    /// What the headers of packets from `source` to `destination` say.
    #[inline]
    #[must_use]
    pub fn new(source: Endpoint<A>, destination: Endpoint<A>) -> Self {
        let ([a, b], [c, d]) = (source.port.to_be_bytes(), destination.port.to_be_bytes());
        Self {
            addresses: A::pair(source.addr, destination.addr),
            ports: u32::from_ne_bytes([a, b, c, d]),
        }
    }

    /// What the headers of a flow's packets say.
    #[inline]
    #[must_use]
    pub fn of(key: &FlowKey<A>) -> Self {
        Self::new(key.source, key.destination)
    }

    /// The sender.
    #[inline]
    #[must_use]
    pub fn source(&self) -> Endpoint<A> {
        let [a, b, _, _] = self.ports.to_ne_bytes();
        Endpoint::new(A::unpair(self.addresses).0, u16::from_be_bytes([a, b]))
    }

    /// The receiver.
    #[inline]
    #[must_use]
    pub fn destination(&self) -> Endpoint<A> {
        let [_, _, c, d] = self.ports.to_ne_bytes();
        Endpoint::new(A::unpair(self.addresses).1, u16::from_be_bytes([c, d]))
    }

    /// What the headers of packets that go the other way say.
    #[inline]
    #[must_use]
    pub fn turned(&self) -> Self {
        Self {
            addresses: A::turned(self.addresses),
            ports: self.ports.rotate_left(16),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::{V4, V6};

    const SOURCE: Endpoint<V4> = Endpoint::new(V4(0x0a01_0203), 40_000);
    const DESTINATION: Endpoint<V4> = Endpoint::new(V4(0xc000_0201), 80);

    #[test]
    fn its_memory_is_what_stands_in_the_headers() {
        let tuple = Tuple::new(SOURCE, DESTINATION);

        assert_eq!(tuple.addresses.to_ne_bytes(), [10, 1, 2, 3, 192, 0, 2, 1]);
        assert_eq!(tuple.ports.to_ne_bytes(), [0x9c, 0x40, 0, 80]);
    }

    #[test]
    fn both_ends_come_back_and_turn_around() {
        let six = |bits| Endpoint::new(V6(bits), 53);
        let (four, turned) = (
            Tuple::new(SOURCE, DESTINATION),
            Tuple::new(six(1), six(2)).turned(),
        );

        assert_eq!((four.source(), four.destination()), (SOURCE, DESTINATION));
        assert_eq!((turned.source(), turned.destination()), (six(2), six(1)));
        assert_eq!(four.turned(), Tuple::new(DESTINATION, SOURCE));
    }
}
