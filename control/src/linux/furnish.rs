//! Puts the addresses and routes that the configuration names on a twin.
//!
//! A convenience for demonstrations and small boxes: they are Linux's from then on, nothing here
//! takes them away, and what is there already is left alone.

use std::io;
use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::netlink::RouteSocket;
use super::twin::TwinLink;
use crate::config::{InterfaceAddress, Route};

/// Linux refuses an IPv6 address where IPv6 is off.
const NO_IPV6: &str = ": switch IPv6 on with `sysctl -w net.ipv6.conf.all.disable_ipv6=0 \
                       net.ipv6.conf.default.disable_ipv6=0`, or leave the address out";

/// Linux wants to know by which subnet the router is reached.
const NO_SUBNET: &str = ": give the port an address in the network of that router";

/// Why a twin could not be furnished.
#[derive(Debug, thiserror::Error)]
pub enum FurnishError {
    /// The address was refused.
    #[error("the address {addr} could not be put on {twin}: {source}{advice}")]
    Address {
        /// The twin's name.
        twin: String,
        /// The address with its prefix length.
        addr: String,
        /// What Linux says.
        source: io::Error,
        /// What would help, if it is known.
        advice: &'static str,
    },
    /// The route was refused.
    #[error("the route to {destination} via {via} could not be made: {source}{advice}")]
    Route {
        /// The prefix.
        destination: String,
        /// The router.
        via: IpAddr,
        /// What Linux says.
        source: io::Error,
        /// What would help, if it is known.
        advice: &'static str,
    },
}

/// Adds these addresses and then these routes.
///
/// # Errors
///
/// [`FurnishError`] for the first one that Linux refuses.
pub fn furnish(
    socket: &mut RouteSocket,
    twin: &TwinLink,
    addresses: &[InterfaceAddress],
    routes: &[Route],
) -> Result<(), FurnishError> {
    for address in addresses {
        let message = RouteNetlinkMessage::NewAddress(address_message(twin.ifindex, address));
        add(socket, message).map_err(|source| FurnishError::Address {
            twin: twin.name.clone(),
            addr: format!("{}/{}", address.address, address.prefix_len),
            advice: match source.raw_os_error() {
                Some(libc::EACCES) if address.address.is_ipv6() => NO_IPV6,
                _ => "",
            },
            source,
        })?;
    }
    for route in routes {
        let message = RouteNetlinkMessage::NewRoute(route_message(twin.ifindex, route));
        add(socket, message).map_err(|source| FurnishError::Route {
            destination: format!(
                "{}/{}",
                route.destination.address, route.destination.prefix_len
            ),
            via: route.via,
            advice: match source.kind() {
                io::ErrorKind::NetworkUnreachable => NO_SUBNET,
                _ => "",
            },
            source,
        })?;
    }
    Ok(())
}

/// Adds something that may be there already.
fn add(socket: &mut RouteSocket, message: RouteNetlinkMessage) -> io::Result<()> {
    match socket.change(message, NLM_F_CREATE | NLM_F_EXCL) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

const fn family(addr: IpAddr) -> AddressFamily {
    match addr {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

/// What puts an address on an interface.
pub(super) fn address_message(ifindex: u32, address: &InterfaceAddress) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(address.address);
    message.header.index = ifindex;
    message.header.prefix_len = address.prefix_len;
    message
        .attributes
        .push(AddressAttribute::Address(address.address));
    message
        .attributes
        .push(AddressAttribute::Local(address.address));
    message
}

fn route_message(ifindex: u32, route: &Route) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header = RouteHeader {
        address_family: family(route.via),
        destination_prefix_length: route.destination.prefix_len,
        table: RouteHeader::RT_TABLE_MAIN,
        protocol: RouteProtocol::Static,
        scope: RouteScope::Universe,
        kind: RouteType::Unicast,
        ..RouteHeader::default()
    };
    if route.destination.prefix_len > 0 {
        let destination = RouteAddress::from(route.destination.address);
        message
            .attributes
            .push(RouteAttribute::Destination(destination));
    }
    message
        .attributes
        .push(RouteAttribute::Gateway(RouteAddress::from(route.via)));
    message.attributes.push(RouteAttribute::Oif(ifindex));
    message
}
