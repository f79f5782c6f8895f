//! Decides which twin a VIP or LIP is put on.

use std::net::IpAddr;

use dataplane::id::InterfaceId;

use super::mirror::{InterfaceAddress, Prefix};

/// What the decision rests on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// All twins.
    pub twins: Vec<InterfaceId>,
    /// The addresses on them.
    pub addresses: Vec<InterfaceAddress>,
    /// Twins that default routes leave by, the best first, of the address's family.
    pub default_routes: Vec<InterfaceId>,
}

/// Why no twin was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlacementError {
    /// The interface the configuration names has no twin.
    #[error("{addr} is to be placed on interface {interface}, which has no twin")]
    NoSuchTwin {
        /// The VIP or LIP.
        addr: IpAddr,
        /// The named interface.
        interface: InterfaceId,
    },
    /// Nothing says where it belongs.
    #[error(
        "no twin's subnet covers {0} and no default route leaves by a twin: \
         name its port in the configuration, or add it with `ip address add`"
    )]
    Nowhere(IpAddr),
}

/// Chooses the twin for `addr`: the one `named`, else the one with the longest connected subnet
/// that covers it (of several the first), else the default route's, else the only one there is.
///
/// # Errors
///
/// [`PlacementError`] lists the cases.
pub fn choose_twin(
    addr: IpAddr,
    named: Option<InterfaceId>,
    surroundings: &Surroundings,
) -> Result<InterfaceId, PlacementError> {
    if let Some(interface) = named {
        return if surroundings.twins.contains(&interface) {
            Ok(interface)
        } else {
            Err(PlacementError::NoSuchTwin { addr, interface })
        };
    }
    connected(addr, surroundings)
        .or_else(|| surroundings.default_routes.first().copied())
        .or(match surroundings.twins[..] {
            [only] => Some(only),
            _ => None,
        })
        .ok_or(PlacementError::Nowhere(addr))
}

fn connected(addr: IpAddr, surroundings: &Surroundings) -> Option<InterfaceId> {
    surroundings
        .addresses
        .iter()
        .filter(|own| is_subnet(own) && subnet(own).covers(addr))
        .max_by_key(|own| (own.prefix_len, std::cmp::Reverse(own.interface)))
        .map(|own| own.interface)
}

/// Whether there is room for anybody else: a /32 or /128 connects to nothing.
fn is_subnet(own: &InterfaceAddress) -> bool {
    own.prefix_len < host_prefix_len(own.addr)
}

fn subnet(own: &InterfaceAddress) -> Prefix {
    Prefix {
        addr: own.addr,
        len: own.prefix_len,
    }
}

/// 32 or 128.
#[must_use]
pub fn host_prefix_len(addr: IpAddr) -> u8 {
    match addr {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAN: InterfaceId = InterfaceId(0);
    const LAN: InterfaceId = InterfaceId(1);

    fn on(interface: InterfaceId, addr: &str, prefix_len: u8) -> InterfaceAddress {
        InterfaceAddress {
            interface,
            addr: addr.parse().unwrap(),
            prefix_len,
        }
    }

    fn surroundings() -> Surroundings {
        Surroundings {
            twins: vec![WAN, LAN],
            addresses: vec![
                on(WAN, "203.0.113.1", 24),
                on(LAN, "10.0.0.1", 8),
                on(WAN, "10.1.0.1", 16),
                on(LAN, "10.1.0.2", 16),
                on(LAN, "203.0.113.9", 32),
                on(LAN, "2001:db8::1", 64),
            ],
            default_routes: vec![WAN],
        }
    }

    fn chosen(addr: &str, named: Option<InterfaceId>) -> Result<InterfaceId, PlacementError> {
        choose_twin(addr.parse().unwrap(), named, &surroundings())
    }

    #[test]
    fn the_named_twin_wins_over_any_subnet() {
        assert_eq!(chosen("203.0.113.5", Some(LAN)), Ok(LAN));
    }

    #[test]
    fn a_named_interface_without_a_twin_is_refused() {
        let error = chosen("203.0.113.5", Some(InterfaceId(7))).unwrap_err();

        assert!(error.to_string().contains("interface 7"), "{error}");
    }

    #[test]
    fn the_longest_connected_subnet_wins_and_host_addresses_are_none() {
        assert_eq!(chosen("203.0.113.9", None), Ok(WAN));
        assert_eq!(chosen("10.200.0.1", None), Ok(LAN));
        assert_eq!(chosen("10.1.2.3", None), Ok(WAN), "the first of two");
        assert_eq!(chosen("2001:db8::77", None), Ok(LAN));
    }

    #[test]
    fn without_a_subnet_the_default_route_decides() {
        assert_eq!(chosen("198.51.100.1", None), Ok(WAN));
    }

    #[test]
    fn without_either_only_a_single_twin_will_do() {
        let mut surroundings = surroundings();
        surroundings.default_routes.clear();
        let addr = "198.51.100.1".parse().unwrap();

        let error = choose_twin(addr, None, &surroundings).unwrap_err();
        assert_eq!(error, PlacementError::Nowhere(addr));

        surroundings.twins = vec![LAN];
        assert_eq!(choose_twin(addr, None, &surroundings), Ok(LAN));
    }
}
