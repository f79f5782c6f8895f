//! What rtnetlink says about one network interface.

use std::io;

use dataplane::address::MacAddr;
use netlink_packet_core::Nla;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{InfoData, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};

use super::netlink::RouteSocket;

/// The facts about a network interface that the gateway cares for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Linux's number for it.
    pub ifindex: u32,
    /// Linux's name for it.
    pub name: String,
    /// Its Ethernet address, if it has one.
    pub mac: MacAddr,
    /// The largest IP packet it carries, in bytes.
    pub mtu: u32,
    /// Whether an operator set it up.
    pub admin_up: bool,
    /// Whether it is up and has carrier.
    pub running: bool,
    /// Whether it is a TAP that outlives its holder.
    pub persistent_tap: bool,
}

/// `IFLA_TUN_PERSIST`, one byte (`linux/if_link.h`).
const IFLA_TUN_PERSIST: u16 = 6;

impl Link {
    /// Reads the facts out of an `RTM_NEWLINK` or `RTM_DELLINK` message.
    #[must_use]
    pub fn from_message(message: &LinkMessage) -> Self {
        let flags = message.header.flags;
        let mut link = Self {
            ifindex: message.header.index,
            admin_up: flags.contains(LinkFlags::Up),
            running: flags.contains(LinkFlags::Up | LinkFlags::LowerUp),
            ..Self::default()
        };
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name.clone_from(name),
                LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
                LinkAttribute::Address(bytes) => {
                    link.mac = MacAddr(bytes.as_slice().try_into().unwrap_or_default());
                }
                LinkAttribute::LinkInfo(infos) => link.persistent_tap = is_persistent_tap(infos),
                _ => {}
            }
        }
        link
    }
}

fn is_persistent_tap(infos: &[LinkInfo]) -> bool {
    infos.iter().any(|info| match info {
        LinkInfo::Data(InfoData::Tun(facts)) => facts.iter().any(|fact| {
            let mut value = [0; 1];
            fact.kind() == IFLA_TUN_PERSIST && fact.value_len() == value.len() && {
                fact.emit_value(&mut value);
                value != [0]
            }
        }),
        _ => false,
    })
}

/// Finds an interface by Linux's number for it.
///
/// # Errors
///
/// The kernel's refusal, except that there is none, which is `None`.
pub fn by_index(socket: &mut RouteSocket, ifindex: u32) -> io::Result<Option<Link>> {
    let mut message = LinkMessage::default();
    message.header.index = ifindex;
    find(socket, message)
}

/// Finds an interface by its name.
///
/// # Errors
///
/// The kernel's refusal, except that there is none, which is `None`.
pub fn by_name(socket: &mut RouteSocket, name: &str) -> io::Result<Option<Link>> {
    let mut message = LinkMessage::default();
    message
        .attributes
        .push(LinkAttribute::IfName(name.to_owned()));
    find(socket, message)
}

/// Sets an interface up, as `ip link set NAME up` does.
///
/// # Errors
///
/// The kernel's refusal.
pub fn set_up(name: &str) -> io::Result<()> {
    let mut message = LinkMessage::default();
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    message
        .attributes
        .push(LinkAttribute::IfName(name.to_owned()));
    RouteSocket::open()?.change(RouteNetlinkMessage::SetLink(message), 0)
}

fn find(socket: &mut RouteSocket, message: LinkMessage) -> io::Result<Option<Link>> {
    match socket.get(RouteNetlinkMessage::GetLink(message)) {
        Ok(Some(RouteNetlinkMessage::NewLink(message))) => Ok(Some(Link::from_message(&message))),
        Ok(_) => Ok(None),
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_is_found_by_name_and_by_number() {
        let mut socket = RouteSocket::open().unwrap();

        let link = by_name(&mut socket, "lo").unwrap().unwrap();

        assert_eq!(link.name, "lo");
        assert_eq!(by_index(&mut socket, link.ifindex).unwrap(), Some(link));
        assert_eq!(by_name(&mut socket, "no-such-iface").unwrap(), None);
    }
}
