//! Addresses, prefixes, routes, ranges and interface names as operators write them.
//!
//! Every type is checked when it is read and prints as it is written.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// The longest name of a Linux interface, in bytes (IFNAMSIZ without its final zero).
pub const MAX_INTERFACE_NAME: usize = 15;

macro_rules! serialise_as_written {
    ($($name:ident),+) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )+};
}

serialise_as_written!(InterfaceAddress, Route, AddressRange, PortRange);

/// An address with the length of its subnet's prefix: `10.1.0.1/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InterfaceAddress {
    /// The interface's own address.
    pub address: IpAddr,
    /// Bits of the subnet: at most 32 or 128.
    pub prefix_len: u8,
}

impl FromStr for InterfaceAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((address, prefix_len)) = text.split_once('/') else {
            return Err(format!(
                "\"{text}\" has no prefix length: write it like 10.1.0.1/24"
            ));
        };
        let address = parse_address(address)?;
        let most = bits(address);
        match prefix_len.parse() {
            Ok(prefix_len) if prefix_len <= most => Ok(Self {
                address,
                prefix_len,
            }),
            _ => Err(format!(
                "\"{text}\" has a wrong prefix length: give 0 to {most} after the /"
            )),
        }
    }
}

impl fmt::Display for InterfaceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_len)
    }
}

/// A route to put on an interface: `default via 10.1.0.254`, `10.9.0.0/16 via 10.1.0.2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Route {
    /// Where it leads; the bits behind the prefix are 0. `0.0.0.0/0` or `::/0` is the default.
    pub destination: InterfaceAddress,
    /// The next hop, of the same family.
    pub via: IpAddr,
}

impl FromStr for Route {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<_> = text.split_whitespace().collect();
        let [destination, "via", via] = words.as_slice() else {
            return Err(format!(
                "\"{text}\" is not a route: write it like \"default via 10.1.0.254\""
            ));
        };
        let via = parse_address(via)?;
        let destination = match *destination {
            "default" => InterfaceAddress {
                address: unspecified_like(via),
                prefix_len: 0,
            },
            prefix => prefix.parse()?,
        };
        if destination.address.is_ipv4() != via.is_ipv4() {
            return Err(format!(
                "\"{text}\" mixes IPv4 and IPv6: give a next hop of the destination's family"
            ));
        }
        let network = network_of(&destination);
        if network != destination.address {
            return Err(format!(
                "\"{text}\" has bits behind its prefix: write {network}/{}",
                destination.prefix_len
            ));
        }
        Ok(Self { destination, via })
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.destination.prefix_len == 0 {
            write!(f, "default via {}", self.via)
        } else {
            write!(f, "{} via {}", self.destination, self.via)
        }
    }
}

/// One address (`10.2.0.200`) or a run of them (`10.2.0.201-10.2.0.210`), both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddressRange {
    /// The lowest address.
    pub first: IpAddr,
    /// The highest address, of the same family.
    pub last: IpAddr,
}

impl AddressRange {
    /// How many addresses it has; saturates for IPv6.
    #[must_use]
    pub fn len(&self) -> u128 {
        (number_of(self.last) - number_of(self.first)).saturating_add(1)
    }

    /// Never true: a range has at least one address.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// Whether an address is one of it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        // IPv4 sorts before IPv6, and each family by number.
        self.first <= address && address <= self.last
    }

    /// Every address, lowest first.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<> {
        let like = self.first;
        (number_of(self.first)..=number_of(self.last)).map(move |number| address_of(number, like))
    }
}

impl FromStr for AddressRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let first = parse_address(first.trim())?;
        let last = parse_address(last.trim())?;
        if first.is_ipv4() != last.is_ipv4() {
            return Err(format!(
                "\"{text}\" mixes IPv4 and IPv6: give both ends of one family"
            ));
        }
        if first > last {
            return Err(format!(
                "\"{text}\" ends before it begins: write {last}-{first}"
            ));
        }
        Ok(Self { first, last })
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            self.first.fmt(f)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

/// L4 ports from `first` to `last`, both included: `1024-65535`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortRange {
    /// The lowest port, at least 1.
    pub first: u16,
    /// The highest port.
    pub last: u16,
}

impl PortRange {
    /// The unprivileged ports, 1024–65535.
    pub const UNPRIVILEGED: Self = Self {
        first: 1024,
        last: u16::MAX,
    };

    /// Every port, lowest first.
    #[must_use]
    pub const fn ports(&self) -> RangeInclusive<u16> {
        self.first..=self.last
    }

    /// How many ports it has.
    #[must_use]
    pub const fn count(&self) -> u32 {
        (self.last as u32) - (self.first as u32) + 1
    }
}

impl FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.trim().parse(), last.trim().parse()) {
            (Ok(first), Ok(last)) if 0 < first && first <= last => Ok(Self { first, last }),
            _ => Err(format!(
                "\"{text}\" is not a range of ports: write it like 1024-65535"
            )),
        }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// Reads an IP address of either family.
pub(super) fn parse_address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| {
        format!("\"{text}\" is not an IP address: write it like 10.2.0.11 or 2001:db8::11")
    })
}

/// Reads a name that Linux takes for an interface (dev_valid_name: no blank, `/` or `:`).
pub(super) fn parse_interface_name(text: &str) -> Result<String, String> {
    let refusal = if text.is_empty() {
        "is empty".to_owned()
    } else if text.len() > MAX_INTERFACE_NAME {
        format!("has {} characters", text.len())
    } else if !text.bytes().all(is_name_byte) || text == "." || text == ".." {
        "has a character that names cannot have".to_owned()
    } else {
        return Ok(text.to_owned());
    };
    Err(format!(
        "\"{text}\" {refusal}: use 1 to {MAX_INTERFACE_NAME} letters, digits, `-`, `_` and `.`"
    ))
}

/// Whether nobody can own the address alone: what is wrong with it, as the end of a sentence.
pub(crate) fn not_a_host(address: IpAddr) -> Option<&'static str> {
    let broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
    match address {
        _ if address.is_unspecified() => Some("the unspecified address"),
        _ if address.is_loopback() => Some("a loopback address"),
        _ if address.is_multicast() => Some("a multicast address"),
        _ if broadcast => Some("the broadcast address"),
        _ => None,
    }
}

const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

const fn bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

const fn unspecified_like(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

fn number_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The address with this number, of the family of `like`; the number fits it.
#[expect(
    clippy::cast_possible_truncation,
    reason = "numbers of IPv4 come from 32 bits"
)]
const fn address_of(number: u128, like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from_bits(number as u32)),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(number)),
    }
}

/// The address with the prefix's bits alone.
pub(super) fn network_of(prefix: &InterfaceAddress) -> IpAddr {
    let host_bits = u32::from(bits(prefix.address) - prefix.prefix_len);
    let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
    address_of(number_of(prefix.address) & mask, prefix.address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal<T: FromStr<Err = String>>(text: &str) -> String {
        text.parse::<T>().err().unwrap()
    }

    #[test]
    fn everything_prints_as_it_is_written() {
        for text in ["10.1.0.1/24", "2001:db8::1/64"] {
            assert_eq!(text.parse::<InterfaceAddress>().unwrap().to_string(), text);
        }
        for text in [
            "default via 10.1.0.254",
            "default via fe80::1",
            "10.9.0.0/16 via 10.1.0.2",
        ] {
            assert_eq!(text.parse::<Route>().unwrap().to_string(), text);
        }
        for text in [
            "10.2.0.200",
            "10.2.0.201-10.2.0.210",
            "2001:db8::1-2001:db8::ff",
        ] {
            assert_eq!(text.parse::<AddressRange>().unwrap().to_string(), text);
        }
        assert_eq!(
            "7-9".parse::<PortRange>().unwrap(),
            PortRange { first: 7, last: 9 }
        );
        assert_eq!("80".parse::<PortRange>().unwrap().to_string(), "80-80");
    }

    #[test]
    fn a_range_yields_its_ends_and_all_between() {
        let range: AddressRange = "10.2.0.254-10.2.1.1".parse().unwrap();

        let addresses: Vec<_> = range.addresses().map(|addr| addr.to_string()).collect();

        assert_eq!(
            addresses,
            ["10.2.0.254", "10.2.0.255", "10.2.1.0", "10.2.1.1"]
        );
        assert_eq!(range.len(), 4);
        let everything: AddressRange = "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
            .parse()
            .unwrap();
        assert_eq!(everything.len(), u128::MAX);
    }

    #[test]
    fn wrong_addresses_say_how_to_write_them() {
        assert_eq!(
            refusal::<InterfaceAddress>("10.1.0.1"),
            "\"10.1.0.1\" has no prefix length: write it like 10.1.0.1/24"
        );
        assert_eq!(
            refusal::<InterfaceAddress>("10.1.0.1/33"),
            "\"10.1.0.1/33\" has a wrong prefix length: give 0 to 32 after the /"
        );
        assert_eq!(
            refusal::<InterfaceAddress>("10.1.0.256/24"),
            "\"10.1.0.256\" is not an IP address: write it like 10.2.0.11 or 2001:db8::11"
        );
    }

    #[test]
    fn wrong_routes_say_how_to_write_them() {
        assert_eq!(
            refusal::<Route>("default 10.1.0.254"),
            "\"default 10.1.0.254\" is not a route: write it like \"default via 10.1.0.254\""
        );
        assert_eq!(
            refusal::<Route>("10.0.0.0/8 via fe80::1"),
            "\"10.0.0.0/8 via fe80::1\" mixes IPv4 and IPv6: \
             give a next hop of the destination's family"
        );
        assert_eq!(
            refusal::<Route>("10.9.0.1/16 via 10.1.0.2"),
            "\"10.9.0.1/16 via 10.1.0.2\" has bits behind its prefix: write 10.9.0.0/16"
        );
    }

    #[test]
    fn wrong_ranges_say_how_to_write_them() {
        assert_eq!(
            refusal::<AddressRange>("10.2.0.9-10.2.0.1"),
            "\"10.2.0.9-10.2.0.1\" ends before it begins: write 10.2.0.1-10.2.0.9"
        );
        assert_eq!(
            refusal::<AddressRange>("10.2.0.9-::1"),
            "\"10.2.0.9-::1\" mixes IPv4 and IPv6: give both ends of one family"
        );
        for text in ["0-10", "10-9", "1-70000", "x"] {
            assert_eq!(
                refusal::<PortRange>(text),
                format!("\"{text}\" is not a range of ports: write it like 1024-65535")
            );
        }
    }

    #[test]
    fn interface_names_are_what_linux_takes() {
        assert_eq!(parse_interface_name("veth-gw.1").unwrap(), "veth-gw.1");
        let rule = "use 1 to 15 letters, digits, `-`, `_` and `.`";
        for (name, wrong) in [
            ("", "is empty"),
            ("sixteen-letters-", "has 16 characters"),
            ("wan side", "has a character that names cannot have"),
            ("a/b", "has a character that names cannot have"),
            ("..", "has a character that names cannot have"),
        ] {
            assert_eq!(
                parse_interface_name(name).unwrap_err(),
                format!("\"{name}\" {wrong}: {rule}")
            );
        }
    }
}
