//! What a server's address is to the network, as the kernel's routing table would say.

use std::net::{IpAddr, Ipv4Addr};

/// What is known of a server's address beyond what it says itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AddressKind {
    /// One host has it, this one or another.
    #[default]
    Unicast,
    /// The broadcast address of a connected subnet.
    Broadcast,
}

impl AddressKind {
    /// What an address is to a host that has `own` addresses, each with its prefix length.
    #[must_use]
    pub fn among(addr: IpAddr, own: impl IntoIterator<Item = (IpAddr, u8)>) -> Self {
        let mut own = own.into_iter();
        if own.any(|(own, prefix_len)| broadcast(own, prefix_len) == Some(addr)) {
            Self::Broadcast
        } else {
            Self::Unicast
        }
    }
}

/// The broadcast address of the subnet that an address is in. A subnet of one or two addresses has
/// none (RFC 3021), and IPv6 has none at all.
fn broadcast(own: IpAddr, prefix_len: u8) -> Option<IpAddr> {
    let IpAddr::V4(own) = own else { return None };
    let host_bits = u32::MAX.checked_shr(prefix_len.into()).unwrap_or(0);
    let broadcast = Ipv4Addr::from_bits(own.to_bits() | host_bits);
    (host_bits > 1).then_some(IpAddr::V4(broadcast))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_last_address_of_a_connected_subnet_is_its_broadcast_address() {
        let own = [("10.1.0.1", 24), ("10.2.3.4", 22)].map(|(own, len)| (addr(own), len));

        for (asked, expected) in [
            ("10.1.0.255", AddressKind::Broadcast),
            ("10.2.3.255", AddressKind::Broadcast),
            ("10.2.2.255", AddressKind::Unicast),
            ("10.1.0.1", AddressKind::Unicast),
            ("10.1.1.255", AddressKind::Unicast),
            ("2001:db8::255", AddressKind::Unicast),
        ] {
            assert_eq!(AddressKind::among(addr(asked), own), expected, "{asked}");
        }
        let asked = addr("10.1.0.255");
        assert_eq!(AddressKind::among(asked, []), AddressKind::Unicast);
    }

    #[test]
    fn subnets_of_one_or_two_addresses_and_those_of_ipv6_have_no_broadcast_address() {
        for (asked, own, prefix_len, expected) in [
            ("10.1.0.7", "10.1.0.4", 30, AddressKind::Broadcast),
            ("10.1.0.5", "10.1.0.4", 31, AddressKind::Unicast),
            ("10.1.0.4", "10.1.0.4", 32, AddressKind::Unicast),
            ("2001:db8::ff", "2001:db8::1", 120, AddressKind::Unicast),
        ] {
            let kind = AddressKind::among(addr(asked), [(addr(own), prefix_len)]);

            assert_eq!(kind, expected, "{asked} beside {own}/{prefix_len}");
        }
    }
}
