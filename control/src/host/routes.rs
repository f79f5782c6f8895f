//! Where Linux sends packets, and which addresses it has, as /proc/net tells.
//!
//! IPv4's addresses are known by the subnets that they are in: /proc/net says no more. Of the
//! machine itself the [kernel](super::kernel) is asked besides.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::kernel;
use super::tree::Tree;

/// The route is in use.
const UP: u32 = 0x1;

/// The route refuses.
const REJECT: u32 = 0x200;

/// Link-local, in the scope of an IPv6 address.
const LINK_SCOPE: &str = "20";

/// A route; also an address, as its /128 or /32.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) interface: String,
    pub(super) destination: IpAddr,
    pub(super) length: u8,
}

impl Route {
    pub(super) const fn is_default(&self) -> bool {
        self.length == 0
    }

    fn covers(&self, addr: IpAddr) -> bool {
        let bits = |addr: IpAddr| match addr {
            IpAddr::V4(addr) => u128::from(u32::from(addr)) << 96,
            IpAddr::V6(addr) => u128::from(addr),
        };
        let differing = bits(self.destination) ^ bits(addr);
        let mask = u128::MAX.checked_shl(128 - u32::from(self.length));
        self.destination.is_ipv4() == addr.is_ipv4() && differing & mask.unwrap_or(0) == 0
    }
}

/// IPv4's and IPv6's routes, and IPv6's addresses, but the link-local ones.
pub(super) fn all(tree: &Tree) -> Vec<Route> {
    let read = |path| tree.text(path).unwrap_or_default();
    let mut routes: Vec<Route> = read("/proc/net/route").lines().filter_map(v4).collect();
    routes.extend(read("/proc/net/ipv6_route").lines().filter_map(v6));
    routes.extend(read("/proc/net/if_inet6").lines().filter_map(v6_address));
    if tree.is_live() {
        routes.extend(kernel::routes().unwrap_or_default());
    }
    // Every interface has routes to its neighbours and to groups, also one that nobody uses.
    routes.retain(|route| route.interface != "lo" && !is_of_any(route.destination));
    routes
}

fn is_of_any(destination: IpAddr) -> bool {
    let is_link_local = matches!(destination, IpAddr::V6(addr) if addr.is_unicast_link_local());
    is_link_local || destination.is_multicast()
}

/// The interface that the longest matching route leads to.
pub(super) fn towards(routes: &[Route], addr: IpAddr) -> Option<&str> {
    let matching = routes.iter().filter(|route| route.covers(addr));
    let longest = matching.max_by_key(|route| route.length)?;
    Some(&longest.interface)
}

fn v4(line: &str) -> Option<Route> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let hex = |at: usize| u32::from_str_radix(words.get(at)?, 16).ok();
    let (destination, flags, mask) = (hex(1)?, hex(3)?, hex(7)?);
    (flags & UP != 0 && flags & REJECT == 0).then(|| Route {
        interface: words[0].to_owned(),
        destination: v4_address(destination).into(),
        length: u8::try_from(mask.count_ones()).unwrap_or(32),
    })
}

/// The kernel writes the four bytes as one number of the machine's own order.
pub(super) fn v4_address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(number.to_ne_bytes())
}

fn v6(line: &str) -> Option<Route> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let flags = u32::from_str_radix(words.get(8)?, 16).ok()?;
    let destination = Ipv6Addr::from(u128::from_str_radix(words[0], 16).ok()?);
    let length = u8::from_str_radix(words[1], 16).ok()?;
    (flags & UP != 0 && flags & REJECT == 0).then(|| Route {
        interface: words.last().copied().unwrap_or_default().to_owned(),
        destination: destination.into(),
        length,
    })
}

/// The interfaces that have a link-local address, which may be several.
pub(super) fn with_link_local(tree: &Tree, addr: IpAddr) -> Vec<String> {
    let text = tree.text("/proc/net/if_inet6").unwrap_or_default();
    let interface = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let own = Ipv6Addr::from(u128::from_str_radix(words.first()?, 16).ok()?);
        (IpAddr::from(own) == addr).then(|| words.last().copied().unwrap_or_default().to_owned())
    };
    text.lines().filter_map(interface).collect()
}

fn v6_address(line: &str) -> Option<Route> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let addr = u128::from_str_radix(words.first()?, 16).ok()?;
    (*words.get(3)? != LINK_SCOPE).then(|| Route {
        interface: words.last().copied().unwrap_or_default().to_owned(),
        destination: Ipv6Addr::from(addr).into(),
        length: 128,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes() -> Vec<Route> {
        let v4_lines = [
            "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask",
            "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0",
            "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0",
            "eth1\t0000010A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0",
            "*\t0000020A\t00000000\t0201\t0\t0\t0\t0000FFFF\t0\t0\t0",
        ];
        v4_lines.iter().filter_map(|line| v4(line)).collect()
    }

    #[test]
    fn the_longest_route_says_by_which_interface() {
        let routes = routes();

        assert_eq!(routes.len(), 3);
        for (addr, interface) in [
            ("192.0.2.9", "eth0"),
            ("10.1.200.3", "eth1"),
            ("203.0.113.1", "eth0"),
        ] {
            let found = towards(&routes, addr.parse().unwrap());
            assert_eq!(found, Some(interface), "{addr}");
        }
        assert_eq!(towards(&routes, "2001:db8::1".parse().unwrap()), None);
    }

    #[test]
    fn ipv6_has_routes_and_addresses() {
        let zeros = "0".repeat(32);
        let line = |flags: &str, interface: &str| {
            format!("{zeros} 00 {zeros} 00 fe80 00000400 0 0 {flags} {interface}")
        };
        let found = v6(&line("00000003", "eth0")).unwrap();
        assert!(found.is_default());
        assert_eq!(v6(&line("00200200", "lo")), None);
        let to = |destination: &str| {
            v6(&line("00000001", "eth0").replacen(&format!("{zeros} 00"), destination, 1))
        };
        let subnet = to("20010db8000000000000000000000000 20").unwrap();
        assert_eq!(
            towards(&[subnet], "2001:db8::7".parse().unwrap()),
            Some("eth0")
        );
        for of_any in [
            "fe800000000000000000000000000000 40",
            "ff000000000000000000000000000000 08",
        ] {
            assert!(is_of_any(to(of_any).unwrap().destination));
        }

        let address = "20010db8000000000000000000000009 02 40 00 80     eth1";
        let found = [v6_address(address).unwrap()];
        let to = |addr: &str| towards(&found, addr.parse().unwrap()).map(str::to_owned);
        assert_eq!(to("2001:db8::9").as_deref(), Some("eth1"));
        assert_eq!(to("2001:db8::8"), None);
        let link_local = "fe80000000000000000000000000000a 02 40 20 80     eth1";
        assert_eq!(v6_address(link_local), None);
    }
}
