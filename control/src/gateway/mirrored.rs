//! What Linux says of the twins, taken over into the packet path.

use std::collections::BTreeMap;

use dataplane::address::{Address, V4};
use dataplane::editor::{self, Editor};
use dataplane::id::InterfaceId;

use crate::linux::mirror::{InterfaceAddress, MirrorEvent, RouteTarget};

/// What Linux has on the twins, as far as an editor cannot tell it itself.
#[derive(Clone, Debug, Default)]
pub struct Mirrored {
    addresses: BTreeMap<InterfaceId, Vec<InterfaceAddress>>,
}

impl Mirrored {
    /// The addresses of each twin.
    #[must_use]
    pub const fn addresses(&self) -> &BTreeMap<InterfaceId, Vec<InterfaceAddress>> {
        &self.addresses
    }

    /// Takes one event over into the next snapshot of `editor`.
    pub fn apply(&mut self, event: &MirrorEvent, editor: &mut Editor) {
        match event {
            MirrorEvent::LinkChanged { interface, mtu, .. } => {
                editor.set_mtu(*interface, u16::try_from(*mtu).unwrap_or(u16::MAX));
            }
            MirrorEvent::AddressAdded(address) => {
                editor.add_host_address(address.addr);
                self.addresses
                    .entry(address.interface)
                    .or_default()
                    .push(*address);
                self.choose_address(address.interface, editor);
            }
            MirrorEvent::AddressRemoved(address) => {
                editor.remove_host_address(address.addr);
                self.addresses
                    .entry(address.interface)
                    .or_default()
                    .retain(|it| it != address);
                self.choose_address(address.interface, editor);
            }
            MirrorEvent::RouteSet { prefix, route } => {
                let hops: Vec<_> = match &route.target {
                    RouteTarget::NextHops(hops) => (hops.iter())
                        .map(|hop| editor::NextHop {
                            via: hop.via,
                            interface: hop.interface,
                        })
                        .collect(),
                    RouteTarget::Elsewhere
                    | RouteTarget::Blackhole
                    | RouteTarget::Unreachable
                    | RouteTarget::Prohibited => Vec::new(),
                };
                let mtu = route.mtu.map(|mtu| u16::try_from(mtu).unwrap_or(u16::MAX));
                editor.set_route(prefix.addr, prefix.len, &hops, mtu);
            }
            MirrorEvent::RouteRemoved(prefix) => editor.remove_route(prefix.addr, prefix.len),
            MirrorEvent::NeighbourSet {
                interface,
                addr,
                mac,
            } => {
                editor.set_neighbour(*interface, *addr, Some(*mac));
            }
            MirrorEvent::NeighbourRemoved { interface, addr } => {
                editor.set_neighbour(*interface, *addr, None);
            }
            MirrorEvent::Synchronised => {}
        }
    }

    /// Chooses the box's own address on an interface, from which tunnels begin: the first one
    /// with a subnet, which VIPs and local addresses have not.
    fn choose_address(&self, interface: InterfaceId, editor: &mut Editor) {
        let addresses = self
            .addresses
            .get(&interface)
            .map_or(&[][..], Vec::as_slice);
        let own = addresses
            .iter()
            .find(|address| address.prefix_len < 32 && address.addr.is_ipv4());
        editor.set_interface_address(interface, own.and_then(|own| V4::from_ip(own.addr)));
    }
}
