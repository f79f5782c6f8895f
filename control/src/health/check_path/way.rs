//! The way to a server, as the packet path takes it.

use dataplane::address::{Address, MacAddr, V4};
use dataplane::id::InterfaceId;
use dataplane::route::select;
use dataplane::snapshot::Snapshot;

/// Where packets to a server leave, and in whose name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    /// The interface.
    pub(crate) interface: InterfaceId,
    /// Its MAC.
    pub(crate) own_mac: MacAddr,
    /// The gateway's own address there, to which the server answers.
    pub(crate) own_addr: V4,
    /// The next hop's MAC.
    pub(crate) mac: MacAddr,
    /// Whether the next hop is the server itself.
    pub(crate) is_neighbour: bool,
    /// The largest packet that goes this way, in bytes.
    pub(crate) mtu: u16,
}

impl Way {
    /// The way to `server`; `None` without a route, a known MAC or an own address, or when the
    /// gateway itself is the server.
    pub(crate) fn towards(snapshot: &Snapshot, server: V4) -> Option<Self> {
        if snapshot.is_local(server) {
            return None;
        }
        let hops = snapshot.routes.lookup(server)?;
        // Of several equal ways the packet path takes this one for all packets to the server.
        let turn = server.0.wrapping_mul(0x9e37_79b1);
        let adjacency = snapshot.adjacency(select(hops, turn)?)?;
        let interface = snapshot.interfaces.get(adjacency.interface)?;
        Some(Self {
            interface: interface.id,
            own_mac: interface.mac,
            own_addr: interface.address?,
            mac: adjacency.mac?,
            is_neighbour: adjacency.neighbour(server.to_ip()) == server.to_ip(),
            mtu: adjacency.mtu,
        })
    }
}

#[cfg(test)]
mod tests {
    use dataplane::testing::{
        DIP_SERVER_SIDE, GATEWAY_SERVER_MAC, RIP_1, RIP_1_MAC, SERVER_SIDE, Setup, endpoint,
    };

    use super::*;

    #[test]
    fn a_way_has_the_next_hops_mac_and_the_address_on_its_side() {
        let snapshot = Setup::two_arm().editor().snapshot();

        let way = Way::towards(&snapshot, RIP_1.addr);

        let expected = Way {
            interface: SERVER_SIDE,
            own_mac: GATEWAY_SERVER_MAC,
            own_addr: DIP_SERVER_SIDE,
            mac: RIP_1_MAC,
            is_neighbour: true,
            mtu: 1_500,
        };
        assert_eq!(way, Some(expected));
    }

    #[test]
    fn there_is_no_way_without_route_mac_or_own_address_or_to_the_gateway_itself() {
        let mut editor = Setup::two_arm().editor();
        let silent = endpoint([10, 2, 0, 99], 0).addr;
        let far = endpoint([10, 9, 0, 1], 0).addr;
        for nowhere in [silent, far, DIP_SERVER_SIDE] {
            assert_eq!(Way::towards(&editor.snapshot(), nowhere), None, "{nowhere}");
        }
        assert!(Way::towards(&editor.snapshot(), RIP_1.addr).is_some());

        editor.set_interface_address(SERVER_SIDE, None);

        assert_eq!(Way::towards(&editor.snapshot(), RIP_1.addr), None);
        editor.set_interface_address(SERVER_SIDE, Some(DIP_SERVER_SIDE));
        editor.set_neighbour(SERVER_SIDE, RIP_1.addr.to_ip(), None);
        assert_eq!(Way::towards(&editor.snapshot(), RIP_1.addr), None);
    }
}
