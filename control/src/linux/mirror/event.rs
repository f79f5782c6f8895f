//! What the mirror tells its listener.

use std::fmt;
use std::net::IpAddr;

use dataplane::address::MacAddr;
use dataplane::id::InterfaceId;

/// One change of what Linux knows about the twins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MirrorEvent {
    /// A twin's MTU, state or MAC is this now.
    LinkChanged {
        /// The twin's interface.
        interface: InterfaceId,
        /// The largest IP packet, in bytes.
        mtu: u32,
        /// Whether it is set up and has carrier.
        up: bool,
        /// Its Ethernet address.
        mac: MacAddr,
    },
    /// An address was put on a twin.
    AddressAdded(InterfaceAddress),
    /// An address was taken from a twin.
    AddressRemoved(InterfaceAddress),
    /// The best route to a prefix is this now.
    RouteSet {
        /// Where it leads.
        prefix: Prefix,
        /// How.
        route: Route,
    },
    /// There is no route to exactly this prefix any more.
    RouteRemoved(Prefix),
    /// A neighbour's MAC is known, or has changed.
    NeighbourSet {
        /// The twin's interface.
        interface: InterfaceId,
        /// The neighbour.
        addr: IpAddr,
        /// Its Ethernet address.
        mac: MacAddr,
    },
    /// A neighbour's MAC is no longer known.
    NeighbourRemoved {
        /// The twin's interface.
        interface: InterfaceId,
        /// The neighbour.
        addr: IpAddr,
    },
    /// All that Linux knew at the start (or after events were lost) has now been told.
    Synchronised,
}

/// An address on a twin, with its subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceAddress {
    /// The twin's interface.
    pub interface: InterfaceId,
    /// The address.
    pub addr: IpAddr,
    /// How many of its bits name the subnet.
    pub prefix_len: u8,
}

/// A destination of routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    /// The network's address, its host bits 0.
    pub addr: IpAddr,
    /// How many of its bits count.
    pub len: u8,
}

impl Prefix {
    /// Whether `addr` is of this family and within the prefix.
    #[must_use]
    pub fn covers(&self, addr: IpAddr) -> bool {
        let (own, other, bits) = match (self.addr, addr) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (u128::from(own.to_bits()), u128::from(other.to_bits()), 32)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => (own.to_bits(), other.to_bits(), 128),
            _ => return false,
        };
        let host_bits = u32::saturating_sub(bits, u32::from(self.len));
        // A shift by all 128 bits leaves nothing to compare.
        (own ^ other).checked_shr(host_bits).unwrap_or(0) == 0
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr, self.len)
    }
}

/// How a prefix is reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Route {
    /// Where packets go.
    pub target: RouteTarget,
    /// The path's MTU in bytes, if the operator stated one.
    pub mtu: Option<u32>,
    /// The source Linux would use, if the operator stated one.
    pub preferred_source: Option<IpAddr>,
}

/// Where a route's packets go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RouteTarget {
    /// Out of twins. Never empty, sorted; hops out of other interfaces are left out.
    NextHops(Vec<NextHop>),
    /// Out of interfaces that are not twins: Linux must forward.
    Elsewhere,
    /// Nowhere, silently.
    Blackhole,
    /// Nowhere, and the sender is told that the host is unreachable.
    Unreachable,
    /// Nowhere, and the sender is told that it is prohibited.
    Prohibited,
}

/// One way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NextHop {
    /// The router, of either family (RFC 8950); without one the destination is on the link.
    pub via: Option<IpAddr>,
    /// The twin's interface.
    pub interface: InterfaceId,
    /// Its share beside other hops, from 1.
    pub weight: u16,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(addr: &str, len: u8) -> Prefix {
        Prefix {
            addr: addr.parse().unwrap(),
            len,
        }
    }

    #[test]
    fn a_prefix_covers_its_own_addresses_and_no_others() {
        for (prefix, addr, covered) in [
            (prefix("10.1.0.0", 16), "10.1.2.3", true),
            (prefix("10.1.0.0", 16), "10.2.2.3", false),
            (prefix("0.0.0.0", 0), "255.0.0.1", true),
            (prefix("10.1.0.1", 32), "10.1.0.1", true),
            (prefix("10.1.0.1", 32), "10.1.0.2", false),
            (prefix("0.0.0.0", 0), "::1", false),
            (prefix("::", 0), "ffff::1", true),
            (prefix("2001:db8::", 32), "2001:db8:1::1", true),
            (prefix("2001:db8::", 32), "2001:db9::1", false),
        ] {
            let addr: IpAddr = addr.parse().unwrap();

            assert_eq!(prefix.covers(addr), covered, "{prefix} and {addr}");
        }
    }
}
