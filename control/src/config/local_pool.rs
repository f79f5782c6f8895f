//! `[[local_pool]]`: the local addresses (LIPs) and ports from which FULLNAT speaks to servers.

use std::net::IpAddr;

use serde::Serialize;

use super::document::Node;
use super::network::{AddressRange, PortRange, not_a_host};
use super::section::{Section, Written};

/// The most addresses of one pool: with 64,512 ports each, 66 million sessions.
pub const MAX_POOL_ADDRESSES: u128 = 1024;

/// Local addresses and ports that services share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LocalPool {
    /// What services call it.
    pub name: String,
    /// Its addresses, all of one family, none twice, at least one.
    pub addresses: Vec<AddressRange>,
    /// The ports lent out, on every address.
    pub ports: PortRange,
    /// The interface (by its name in this file) whose twin carries the addresses; `None` is
    /// the one whose subnet covers them, else that of the default route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
}

impl LocalPool {
    /// Every address, in the order of the file.
    pub fn lips(&self) -> impl Iterator<Item = IpAddr> {
        self.addresses.iter().flat_map(AddressRange::addresses)
    }

    /// Whether an address is one of its.
    #[must_use]
    pub fn has(&self, addr: IpAddr) -> bool {
        let mut ranges = self.addresses.iter();
        ranges.any(|range| range.contains(addr))
    }

    /// Whether its addresses are IPv4.
    #[must_use]
    pub fn is_ipv4(&self) -> bool {
        self.addresses
            .first()
            .is_some_and(|range| range.first.is_ipv4())
    }

    pub(super) fn read(mut section: Section<'_>) -> Option<Written<'_, Self>> {
        let at = section.table();
        let name = section.required("name", "services refer to a pool by its name", |node| {
            check_name(node.text()?)?;
            Ok(node.text()?.to_owned())
        });
        if !section.has("addresses") {
            section.refuse(
                at.line,
                "`addresses` is missing: give local addresses, like [\"10.2.0.200\"]",
            );
        }
        let addresses = section.list("addresses", Node::parsed);
        let ports = section.or("ports", PortRange::UNPRIVILEGED, Node::parsed);
        let interface = section.optional("interface", |node| Ok(node.text()?.to_owned()));
        let addresses = addresses.filter(|ranges| are_usable(&section, ranges));
        section.finish();
        let value = Self {
            name: name?,
            addresses: addresses?,
            ports,
            interface,
        };
        Some(Written {
            value,
            at,
            parts: Vec::new(),
        })
    }
}

/// Whether a pool can have this name, or why not.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("is empty: services refer to a pool by its name".to_owned());
    }
    Ok(())
}

/// What is wrong with a pool without addresses.
pub(super) const NO_ADDRESSES: &str = "`addresses` has none: give at least one local address";

/// Refuses ranges that one pool cannot have, before anything looks at each address.
fn are_usable(section: &Section<'_>, ranges: &[AddressRange]) -> bool {
    let line = section.table().line_of("addresses");
    let checked = if section.is_empty_list("addresses") {
        Err(NO_ADDRESSES.to_owned())
    } else {
        check_ranges(ranges)
    };
    match checked {
        Err(message) => {
            section.refuse(line, &message);
            false
        }
        // Addresses that could not be read were noted where they stand.
        Ok(()) => !ranges.is_empty(),
    }
}

/// Whether a pool can have these addresses together, or why not.
pub(super) fn check_ranges(ranges: &[AddressRange]) -> Result<(), String> {
    let count = ranges
        .iter()
        .fold(0_u128, |sum, range| sum.saturating_add(range.len()));
    let is_ipv4 = |range: &AddressRange| range.first.is_ipv4();
    let mixes = ranges.iter().any(is_ipv4) && !ranges.iter().all(is_ipv4);
    let unusable = ranges
        .iter()
        .flat_map(|range| [range.first, range.last])
        .find_map(|lip| not_a_host(lip).map(|what| (lip, what)));
    if count > MAX_POOL_ADDRESSES {
        return Err(format!(
            "`addresses` has {count} addresses: a pool has at most {MAX_POOL_ADDRESSES}"
        ));
    }
    if mixes {
        return Err("`addresses` mixes IPv4 and IPv6: make a pool for each".to_owned());
    }
    match unusable {
        Some((lip, what)) => Err(format!(
            "`addresses` has {lip}, {what}: give addresses of the gateway's own"
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{config, refusals};

    #[test]
    fn a_pool_yields_every_address_of_its_ranges() {
        let config = config(
            "[[local_pool]]\nname = \"lips\"\n\
             addresses = [\"10.2.0.200\", \"10.2.0.210-10.2.0.211\"]\n",
        );

        let pool = config.local_pool("lips").unwrap();

        let lips: Vec<_> = pool.lips().map(|lip| lip.to_string()).collect();
        assert_eq!(lips, ["10.2.0.200", "10.2.0.210", "10.2.0.211"]);
        assert_eq!(pool.ports.count(), 64_512);
        assert!(pool.is_ipv4());
        assert_eq!(config.local_pool("lip"), None);
    }

    #[test]
    fn a_pool_without_name_or_addresses_is_refused() {
        assert_eq!(
            refusals("[[local_pool]]\n"),
            [
                "1: `name` is missing: services refer to a pool by its name",
                "1: `addresses` is missing: give local addresses, like [\"10.2.0.200\"]",
            ]
        );
        assert_eq!(
            refusals("[[local_pool]]\nname = \"\"\naddresses = [\"10.2.0.1\"]\n"),
            ["2: `name` is empty: services refer to a pool by its name"]
        );
    }

    #[test]
    fn addresses_that_a_pool_cannot_have_are_refused() {
        for (addresses, sentence) in [
            ("[]", "has none: give at least one local address"),
            (
                "[\"10.0.0.0-10.0.4.0\"]",
                "has 1025 addresses: a pool has at most 1024",
            ),
            (
                "[\"10.0.0.1\", \"::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff\"]",
                "has 340282366920938463463374607431768211455 addresses: \
                 a pool has at most 1024",
            ),
            (
                "[\"10.0.0.1\", \"2001:db8::1\"]",
                "mixes IPv4 and IPv6: make a pool for each",
            ),
            (
                "[\"224.0.0.1\"]",
                "has 224.0.0.1, a multicast address: give addresses of the gateway's own",
            ),
            (
                "[\"10.0.0\"]",
                "\"10.0.0\" is not an IP address: write it like 10.2.0.11 or 2001:db8::11",
            ),
        ] {
            assert_eq!(
                refusals(&format!(
                    "[[local_pool]]\nname = \"lips\"\naddresses = {addresses}\n"
                )),
                [format!("3: `addresses` {sentence}")]
            );
        }
    }

    #[test]
    fn a_wrong_port_range_is_refused() {
        assert_eq!(
            refusals(
                "[[local_pool]]\nname = \"lips\"\naddresses = [\"10.0.0.1\"]\nports = \"all\"\n"
            ),
            ["4: `ports` \"all\" is not a range of ports: write it like 1024-65535"]
        );
    }
}
