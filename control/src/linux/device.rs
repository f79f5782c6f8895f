//! The kernel's interface behind a vdev, and whether the gateway may have it.
//!
//! With AF_PACKET, AF_XDP and pcap the kernel sees the same packets as the gateway. The gateway
//! puts a [fence](crate::linux::fence) before the kernel, which cuts off whatever used the interface
//! until then: so one that is in use is taken only when the operator says so.

use std::io;
use std::net::IpAddr;

use netlink_packet_route::AddressFamily;

use super::netlink::RouteSocket;
use super::{default_route, host_address, link};

/// Why an interface is not taken.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// There is none.
    #[error("there is no interface {0}: see `ip link`")]
    NotFound(String),
    /// Taking it would cut this machine off.
    #[error(
        "{0} carries the default route: the gateway would cut this machine off. \
         Give it another interface, or set `take_interface = true` on the port"
    )]
    CarriesDefaultRoute(String),
    /// Linux uses it.
    #[error(
        "{interface} carries the address {addr}, which would go deaf: move it to the port's \
         twin, or set `take_interface = true` on the port"
    )]
    CarriesAddress {
        /// The interface.
        interface: String,
        /// One of its addresses.
        addr: IpAddr,
    },
    /// The kernel would not say.
    #[error("could not look at the interface {interface}: {source}")]
    Io {
        /// The interface.
        interface: String,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// Makes sure the gateway may have an interface of the calling thread's network namespace. With
/// `take` it only has to exist. Link-local IPv6 addresses, which Linux makes by itself, do not
/// count.
///
/// # Errors
///
/// [`DeviceError`] lists the cases.
pub fn check_free(interface: &str, take: bool) -> Result<(), DeviceError> {
    let failed = |source| DeviceError::Io {
        interface: interface.to_owned(),
        source,
    };
    let mut socket = RouteSocket::open().map_err(failed)?;
    let ifindex = link::by_name(&mut socket, interface)
        .map_err(failed)?
        .ok_or_else(|| DeviceError::NotFound(interface.to_owned()))?
        .ifindex;
    if take {
        return Ok(());
    }
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let exits = default_route::interfaces(&mut socket, family).map_err(failed)?;
        if exits.contains(&ifindex) {
            return Err(DeviceError::CarriesDefaultRoute(interface.to_owned()));
        }
    }
    let addresses = host_address::all(&mut socket).map_err(failed)?;
    match addresses
        .iter()
        .find(|found| found.ifindex == ifindex && !is_link_local(found.addr))
    {
        Some(found) => Err(DeviceError::CarriesAddress {
            interface: interface.to_owned(),
            addr: found.addr,
        }),
        None => Ok(()),
    }
}

/// fe80::/10 (RFC 4291 §2.5.6).
fn is_link_local(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(_) => false,
        IpAddr::V6(addr) => addr.is_unicast_link_local(),
    }
}
