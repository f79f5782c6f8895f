//! Addresses, protocols and flow keys, of either family.

use std::fmt;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::memory::Zeroed;

/// An Ethernet address, in transmission order.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// `ff:ff:ff:ff:ff:ff`.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Whether the group bit is set: multicast or broadcast.
    #[inline]
    #[must_use]
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 != 0
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The transports that can be load-balanced; the discriminant is the IP protocol number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Protocol {
    /// RFC 9293.
    #[default]
    Tcp = 6,
    /// RFC 768.
    Udp = 17,
    /// RFC 9260.
    Sctp = 132,
}

impl Protocol {
    /// The transport with this IP protocol number, if it can be load-balanced.
    #[inline]
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            6 => Some(Self::Tcp),
            17 => Some(Self::Udp),
            132 => Some(Self::Sctp),
            _ => None,
        }
    }

    /// `tcp`, `udp` or `sctp`: the word of configuration files, metrics and the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// An address of one family; tables are generic over it so that IPv4 keys stay small.
pub trait Address:
    Copy + Default + Eq + Ord + Hash + fmt::Debug + fmt::Display + Zeroed + Send + Sync + 'static
{
    /// Bits in an address: 32 or 128.
    const BITS: u8;

    /// Two addresses, one behind the other, byte for byte as in a header.
    type Pair: Copy + Default + Eq + Hash + fmt::Debug + Zeroed + Send + Sync + 'static;

    /// Puts two addresses one behind the other.
    fn pair(first: Self, second: Self) -> Self::Pair;

    /// The two addresses of a pair.
    fn unpair(pair: Self::Pair) -> (Self, Self);

    /// The pair with its addresses exchanged.
    fn turned(pair: Self::Pair) -> Self::Pair;

    /// Eight bytes of a pair as a number, the first ones at 0; 0 behind the last.
    fn double(pair: &Self::Pair, at: usize) -> u64;

    /// The address as a number in host order, right-aligned.
    fn to_bits(self) -> u128;

    /// The byte at place `at`, the most significant first; 0 behind the last.
    fn byte(self, at: u8) -> u8;

    /// The address as either family.
    fn to_ip(self) -> IpAddr;

    /// The address of this family in `ip`, if it is of this family.
    fn from_ip(ip: IpAddr) -> Option<Self>;
}

/// A checked 4-byte address; the newtype gives [`Ipv4Addr`] a `Default` (0.0.0.0).
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct V4(pub u32);

impl V4 {
    /// The address in network order, as in a header.
    #[inline]
    #[must_use]
    pub const fn octets(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }
}

impl From<Ipv4Addr> for V4 {
    fn from(addr: Ipv4Addr) -> Self {
        Self(addr.to_bits())
    }
}

impl From<[u8; 4]> for V4 {
    fn from(octets: [u8; 4]) -> Self {
        Self(u32::from_be_bytes(octets))
    }
}

impl From<V4> for Ipv4Addr {
    fn from(addr: V4) -> Self {
        Self::from_bits(addr.0)
    }
}

impl fmt::Display for V4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ipv4Addr::from(*self).fmt(f)
    }
}

impl fmt::Debug for V4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Address for V4 {
    const BITS: u8 = 32;

    /// The eight bytes, as the machine reads them from a header.
    type Pair = u64;

    #[inline]
    fn pair(first: Self, second: Self) -> u64 {
        let ([a, b, c, d], [e, f, g, h]) = (first.octets(), second.octets());
        u64::from_ne_bytes([a, b, c, d, e, f, g, h])
    }

    #[inline]
    fn unpair(pair: u64) -> (Self, Self) {
        let [a, b, c, d, e, f, g, h] = pair.to_ne_bytes();
        (Self::from([a, b, c, d]), Self::from([e, f, g, h]))
    }

    #[inline]
    fn turned(pair: u64) -> u64 {
        pair.rotate_left(32)
    }

    #[inline]
    fn double(pair: &u64, at: usize) -> u64 {
        if at == 0 { *pair } else { 0 }
    }

    #[inline]
    fn to_bits(self) -> u128 {
        u128::from(self.0)
    }

    #[inline]
    fn byte(self, at: u8) -> u8 {
        self.octets().get(usize::from(at)).copied().unwrap_or(0)
    }

    fn to_ip(self) -> IpAddr {
        IpAddr::V4(self.into())
    }

    fn from_ip(ip: IpAddr) -> Option<Self> {
        match ip {
            IpAddr::V4(addr) => Some(addr.into()),
            IpAddr::V6(_) => None,
        }
    }
}

/// A 16-byte address.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct V6(pub u128);

impl V6 {
    /// The address in network order, as in a header.
    #[inline]
    #[must_use]
    pub const fn octets(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl From<Ipv6Addr> for V6 {
    fn from(addr: Ipv6Addr) -> Self {
        Self(addr.to_bits())
    }
}

impl From<[u8; 16]> for V6 {
    fn from(octets: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(octets))
    }
}

impl From<V6> for Ipv6Addr {
    fn from(addr: V6) -> Self {
        Self::from_bits(addr.0)
    }
}

impl fmt::Display for V6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ipv6Addr::from(*self).fmt(f)
    }
}

impl fmt::Debug for V6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Address for V6 {
    const BITS: u8 = 128;

    type Pair = [[u8; 16]; 2];

    #[inline]
    fn pair(first: Self, second: Self) -> Self::Pair {
        [first.octets(), second.octets()]
    }

    #[inline]
    fn unpair([first, second]: Self::Pair) -> (Self, Self) {
        (Self::from(first), Self::from(second))
    }

    #[inline]
    fn turned([first, second]: Self::Pair) -> Self::Pair {
        [second, first]
    }

    #[inline]
    fn double(pair: &Self::Pair, at: usize) -> u64 {
        let from = pair.as_flattened().get(8 * at..).unwrap_or_default();
        from.first_chunk()
            .map_or(0, |double| u64::from_ne_bytes(*double))
    }

    #[inline]
    fn to_bits(self) -> u128 {
        self.0
    }

    #[inline]
    fn byte(self, at: u8) -> u8 {
        self.octets().get(usize::from(at)).copied().unwrap_or(0)
    }

    fn to_ip(self) -> IpAddr {
        IpAddr::V6(self.into())
    }

    fn from_ip(ip: IpAddr) -> Option<Self> {
        match ip {
            IpAddr::V6(addr) => Some(addr.into()),
            IpAddr::V4(_) => None,
        }
    }
}

/// A transport address: an IP address and an L4 port in host order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint<A> {
    /// The IP address.
    pub addr: A,
    /// The L4 port.
    pub port: u16,
}

impl<A> Endpoint<A> {
    /// Puts an address and a port together.
    pub const fn new(addr: A, port: u16) -> Self {
        Self { addr, port }
    }
}

impl<A: Address> fmt::Display for Endpoint<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        std::net::SocketAddr::new(self.addr.to_ip(), self.port).fmt(f)
    }
}

/// A flow as its packets arrive: who sends, to whom, by which transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FlowKey<A> {
    /// The sender.
    pub source: Endpoint<A>,
    /// The receiver.
    pub destination: Endpoint<A>,
    /// The transport.
    pub protocol: Protocol,
}

impl<A: Copy> FlowKey<A> {
    /// The key of the packets that go the other way.
    #[must_use]
    pub const fn reversed(&self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            protocol: self.protocol,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_print_as_operators_write_them() {
        assert_eq!(V4::from([10, 1, 0, 100]).to_string(), "10.1.0.100");
        assert_eq!(
            MacAddr([2, 0, 0, 0, 0x20, 0xb]).to_string(),
            "02:00:00:00:20:0b"
        );
        assert_eq!(Endpoint::new(V6(1), 80).to_string(), "[::1]:80");
    }

    #[test]
    fn an_address_survives_the_way_through_ip() {
        let addr = V4::from([192, 0, 2, 7]);

        assert_eq!(V4::from_ip(addr.to_ip()), Some(addr));
        assert_eq!(V6::from_ip(addr.to_ip()), None);
    }
}
