//! Addresses of Linux's interfaces, as rtnetlink says them.

use std::io;
use std::net::IpAddr;

use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressMessage, AddressScope, CacheInfo,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::journal::AddressRole;
use super::netlink::RouteSocket;
use super::placement::host_prefix_len;

/// An address as Linux has it, on any interface.
#[derive(Clone, Copy, Debug)]
pub(super) struct HostAddress {
    /// Linux's number of the interface.
    pub(super) ifindex: u32,
    /// The address.
    pub(super) addr: IpAddr,
    /// The bits of it that name the subnet.
    pub(super) prefix_len: u8,
}

impl HostAddress {
    fn read(answer: &RouteNetlinkMessage) -> Option<Self> {
        let RouteNetlinkMessage::NewAddress(message) = answer else {
            return None;
        };
        let local = message
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                AddressAttribute::Local(addr) => Some(*addr),
                _ => None,
            });
        let plain = message
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                AddressAttribute::Address(addr) => Some(*addr),
                _ => None,
            });
        Some(Self {
            ifindex: message.header.index,
            addr: local.or(plain)?,
            prefix_len: message.header.prefix_len,
        })
    }
}

/// All addresses of the network namespace.
///
/// # Errors
///
/// What the kernel answers.
pub(super) fn all(socket: &mut RouteSocket) -> io::Result<Vec<HostAddress>> {
    let question = RouteNetlinkMessage::GetAddress(AddressMessage::default());
    let answers = socket.dump(question)?;
    Ok(answers.iter().filter_map(HostAddress::read).collect())
}

/// A VIP or LIP as the gateway adds it; [`addresses`](super::addresses) says why so.
pub(super) fn message(ifindex: u32, addr: IpAddr, role: AddressRole) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.index = ifindex;
    message.header.prefix_len = host_prefix_len(addr);
    message.attributes.push(AddressAttribute::Address(addr));
    message.attributes.push(AddressAttribute::Local(addr));
    let lip = role == AddressRole::Lip;
    if addr.is_ipv4() {
        message.header.family = AddressFamily::Inet;
        message.header.scope = if lip {
            AddressScope::Host
        } else {
            AddressScope::Universe
        };
        return message;
    }
    message.header.family = AddressFamily::Inet6;
    // Without duplicate address detection it serves at once; and a /128 needs no route.
    let flags = AddressFlags::Nodad | AddressFlags::Noprefixroute;
    message.attributes.push(AddressAttribute::Flags(flags));
    if lip {
        let mut lifetimes = CacheInfo::default();
        lifetimes.ifa_valid = u32::MAX;
        message
            .attributes
            .push(AddressAttribute::CacheInfo(lifetimes));
    }
    message
}
