//! What rtnetlink tells of this machine and /proc/net does not: routes of all tables with all their
//! next hops, addresses of interfaces that are down, and XDP programs.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkMessage, LinkXdp, XdpAttached};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::routes::Route;
use crate::linux::netlink::RouteSocket;

/// The routes, and the addresses with the length of their subnets, of every interface.
pub(super) fn routes() -> io::Result<Vec<Route>> {
    let mut socket = RouteSocket::open()?;
    let names: HashMap<u32, String> = links(&mut socket)?
        .iter()
        .map(|link| (link.header.index, name(link)))
        .collect();
    let mut found = Vec::new();
    let mut add = |interface: u32, destination: IpAddr, length: u8| {
        let interface = names.get(&interface).cloned();
        found.extend(interface.map(|interface| Route {
            interface,
            destination,
            length,
        }));
    };
    for answer in socket.dump(RouteNetlinkMessage::GetRoute(RouteMessage::default()))? {
        if let RouteNetlinkMessage::NewRoute(route) = answer
            && route.header.kind == RouteType::Unicast
            && !route.header.flags.contains(RouteFlags::Cloned)
            && let Some(destination) = destination(&route)
        {
            let length = route.header.destination_prefix_length;
            let mut exits = exits(&route);
            exits.dedup();
            exits
                .into_iter()
                .for_each(|interface| add(interface, destination, length));
        }
    }
    for answer in socket.dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()))? {
        let RouteNetlinkMessage::NewAddress(address) = answer else {
            continue;
        };
        // Without a LOCAL of its own the ADDRESS is no peer's.
        let local = address
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                AddressAttribute::Local(addr) => Some(*addr),
                _ => None,
            });
        let own = address
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                AddressAttribute::Address(addr) => Some(*addr),
                _ => None,
            });
        if let Some(addr) = local.or(own) {
            let length = if addr.is_ipv4() { 32 } else { 128 };
            add(address.header.index, addr, length);
        }
    }
    Ok(found)
}

/// Whether a program of XDP has the packets of an interface, as with AF_XDP.
pub(super) fn has_xdp(interface: &str) -> bool {
    let links = RouteSocket::open().and_then(|mut socket| links(&mut socket));
    let is_attached = |xdp: &LinkXdp| matches!(xdp, LinkXdp::Attached(attached) if *attached != XdpAttached::None);
    let has = |link: &LinkMessage| {
        (link.attributes.iter()).any(
            |attribute| matches!(attribute, LinkAttribute::Xdp(xdp) if xdp.iter().any(is_attached)),
        )
    };
    links
        .unwrap_or_default()
        .iter()
        .any(|link| name(link) == interface && has(link))
}

fn links(socket: &mut RouteSocket) -> io::Result<Vec<LinkMessage>> {
    let answers = socket.dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
    let links = answers.into_iter().filter_map(|answer| match answer {
        RouteNetlinkMessage::NewLink(link) => Some(link),
        _ => None,
    });
    Ok(links.collect())
}

fn name(link: &LinkMessage) -> String {
    let mut attributes = link.attributes.iter();
    let name = attributes.find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.clone()),
        _ => None,
    });
    name.unwrap_or_default()
}

/// Where a route leads; a default route says nothing of it.
fn destination(route: &RouteMessage) -> Option<IpAddr> {
    let mut attributes = route.attributes.iter();
    let said = attributes.find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(addr)) => Some(IpAddr::V4(*addr)),
        RouteAttribute::Destination(RouteAddress::Inet6(addr)) => Some(IpAddr::V6(*addr)),
        _ => None,
    });
    said.or(match route.header.address_family {
        AddressFamily::Inet => Some(Ipv4Addr::UNSPECIFIED.into()),
        AddressFamily::Inet6 => Some(Ipv6Addr::UNSPECIFIED.into()),
        _ => None,
    })
}

/// The interfaces of all of its next hops.
fn exits(route: &RouteMessage) -> Vec<u32> {
    let mut found = Vec::new();
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Oif(interface) => found.push(*interface),
            RouteAttribute::MultiPath(hops) => {
                found.extend(hops.iter().map(|hop| hop.interface_index));
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use nix::sched::{CloneFlags, unshare};

    use super::*;

    fn ip(words: &str) {
        let done = Command::new("ip").args(words.split_whitespace()).status();
        assert!(done.unwrap().success(), "ip {words}");
    }

    /// In a network namespace, which is that of one thread.
    fn see() {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        ip("link add va type veth peer name vb");
        ip("link add vc type veth peer name vd");
        ip("address add 10.1.0.1/24 dev va");
        ip("address add 10.2.0.1/24 dev vb");
        ip("address add 10.3.0.1/24 dev vc");
        ip("link set va up");
        ip("link set vb up");
        ip("route add default nexthop via 10.1.0.9 nexthop via 10.2.0.9");
        ip("route add 10.9.0.0/16 via 10.2.0.9 table 77");

        let found = routes().unwrap();

        let has = |interface: &str, destination: &str, length| {
            let destination = destination.parse::<IpAddr>().unwrap();
            let interface = interface.to_owned();
            found.contains(&Route {
                interface,
                destination,
                length,
            })
        };
        assert!(
            has("va", "0.0.0.0", 0) && has("vb", "0.0.0.0", 0),
            "{found:?}"
        );
        assert!(has("vb", "10.9.0.0", 16), "{found:?}");
        assert!(has("vc", "10.3.0.1", 32), "{found:?}");
        assert!(!has_xdp("va"));
    }

    #[test]
    fn every_table_next_hop_and_address_is_seen() {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("SKIPPED: needs root");
            let forbids = std::env::var_os("CI_NO_SKIP").is_some_and(|value| value == "1");
            assert!(
                !forbids,
                "this test needs root, and CI_NO_SKIP=1 forbids to skip it"
            );
            return;
        }
        if let Err(panic) = std::thread::spawn(see).join() {
            std::panic::resume_unwind(panic);
        }
    }
}
