//! How a [`TestGateway`] is wired: ethdevs, VLANs, workers and sizes.

use std::sync::Arc;

use crate::address::{Address, Endpoint, MacAddr, V4};
use crate::editor::{Editor, NextHop};
use crate::id::{EthdevId, InterfaceId, VlanId, WorkerId};
use crate::session::Timeouts;
use crate::snapshot::Interface;
use crate::steering::{DEFAULT_KEY, Steering};

use super::gateway::TestGateway;
use super::{
    CLIENT, CLIENT_MAC, GATEWAY_MAC, GATEWAY_SERVER_MAC, RIP_1, RIP_1_MAC, RIP_2, RIP_2_MAC, RIP_3,
    RIP_3_MAC,
};

/// The interface on the clients' side, 10.1.0.1/24.
pub const CLIENT_SIDE: InterfaceId = InterfaceId(0);
/// The interface on the servers' side, 10.2.0.1/24.
pub const SERVER_SIDE: InterfaceId = InterfaceId(1);
/// 10.1.0.1, the gateway's own address on the clients' side.
pub const DIP_CLIENT_SIDE: V4 = V4(0x0a01_0001);
/// 10.2.0.1, the gateway's own address on the servers' side.
pub const DIP_SERVER_SIDE: V4 = V4(0x0a02_0001);

/// A gateway before its start.
#[derive(Clone, Debug)]
pub struct Setup {
    interfaces: Vec<Interface>,
    steering: Steering,
    pub(super) workers: u16,
    pub(super) sessions: usize,
    timeouts: Timeouts,
    pub(super) transmit_room: usize,
    pub(super) has_express_lane: bool,
    /// Whether it has the addresses, routes and neighbours of the tests' network.
    is_furnished: bool,
}

impl Setup {
    fn new(interfaces: Vec<Interface>) -> Self {
        Self {
            interfaces,
            steering: Steering::Software { workers: 1 },
            workers: 1,
            sessions: 4_096,
            timeouts: Timeouts::default(),
            transmit_room: 0,
            has_express_lane: true,
            is_furnished: true,
        }
    }

    /// These interfaces, each at the index of its number, without addresses, routes and
    /// neighbours: whoever asks for it has a network of its own.
    #[must_use]
    pub fn bare(interfaces: Vec<Interface>) -> Self {
        Self {
            is_furnished: false,
            ..Self::new(interfaces)
        }
    }

    /// Clients at one ethdev, servers at another.
    #[must_use]
    pub fn two_arm() -> Self {
        Self::vlans(None, None)
    }

    /// Two ethdevs whose frames carry these tags.
    #[must_use]
    pub fn vlans(client: Option<u16>, server: Option<u16>) -> Self {
        Self::new(vec![
            interface(CLIENT_SIDE, 0, client, GATEWAY_MAC, DIP_CLIENT_SIDE),
            interface(SERVER_SIDE, 1, server, GATEWAY_SERVER_MAC, DIP_SERVER_SIDE),
        ])
    }

    /// Clients and servers at one ethdev, which has both subnets.
    #[must_use]
    pub fn one_arm() -> Self {
        Self::new(vec![interface(
            CLIENT_SIDE,
            0,
            None,
            GATEWAY_MAC,
            DIP_CLIENT_SIDE,
        )])
    }

    /// One ethdev with clients and servers on two of its VLANs, both with its one MAC.
    #[must_use]
    pub fn on_a_stick(client: u16, server: u16) -> Self {
        Self::new(vec![
            interface(CLIENT_SIDE, 0, Some(client), GATEWAY_MAC, DIP_CLIENT_SIDE),
            interface(SERVER_SIDE, 0, Some(server), GATEWAY_MAC, DIP_SERVER_SIDE),
        ])
    }

    /// Sets the MTU of an interface; 1500 otherwise.
    #[must_use]
    pub fn mtu(mut self, interface: InterfaceId, mtu: u16) -> Self {
        self.interfaces[interface.index()].mtu = mtu;
        self
    }

    /// Sets the MAC of an ethdev and so of its interfaces; [`GATEWAY_MAC`] and
    /// [`GATEWAY_SERVER_MAC`] otherwise.
    #[must_use]
    pub fn mac(mut self, ethdev: EthdevId, mac: MacAddr) -> Self {
        let interfaces = self.interfaces.iter_mut();
        interfaces
            .filter(|interface| interface.ethdev == ethdev)
            .for_each(|interface| interface.mac = mac);
        self
    }

    /// Takes replies on an interface to which no route to their server points.
    #[must_use]
    pub fn accepting_replies(mut self, interface: InterfaceId) -> Self {
        self.interfaces[interface.index()].accept_replies = true;
        self
    }

    /// Runs so many workers, with software steering.
    #[must_use]
    pub fn workers(mut self, workers: u16) -> Self {
        self.workers = workers;
        self.steering = Steering::Software { workers };
        self
    }

    /// Runs so many workers, steered by RSS over a redirection table of 128 entries.
    #[must_use]
    pub fn rss_workers(mut self, workers: u16) -> Self {
        let table: Vec<WorkerId> = (0..workers).cycle().take(128).map(WorkerId).collect();
        self.workers = workers;
        self.steering = Steering::toeplitz(&DEFAULT_KEY, &table).expect("128 is a power of two");
        self
    }

    /// Sets how many sessions each worker has room for; 4096 otherwise.
    #[must_use]
    pub fn sessions(mut self, sessions: usize) -> Self {
        self.sessions = sessions;
        self
    }

    /// Sets the time-outs; the kernel's otherwise.
    #[must_use]
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Sets how many frames an ethdev takes before the test takes them away; any number
    /// otherwise.
    #[must_use]
    pub fn transmit_room(mut self, frames: usize) -> Self {
        self.transmit_room = frames;
        self
    }

    /// Sends every packet the general way.
    #[must_use]
    pub fn without_express_lane(mut self) -> Self {
        self.has_express_lane = false;
        self
    }

    /// How many ethdevs it has.
    ///
    /// # Panics
    ///
    /// Without an interface.
    #[must_use]
    pub fn ethdevs(&self) -> u16 {
        let last = self.interfaces.iter().map(|interface| interface.ethdev.0);
        last.max().expect("there is an interface") + 1
    }

    /// Its interfaces, in order.
    pub fn interface_ids(&self) -> impl Iterator<Item = InterfaceId> {
        self.interfaces.iter().map(|interface| interface.id)
    }

    /// The configuration it begins with: unless it is bare, addresses, connected routes, and the
    /// MACs of [`CLIENT`] and the three servers.
    #[must_use]
    pub fn editor(&self) -> Editor {
        let mut editor = Editor::new(
            self.workers.into(),
            self.steering.clone(),
            self.timeouts.clone(),
            self.interfaces.clone(),
        );
        if !self.is_furnished {
            return editor;
        }
        let server_side = self.interfaces[self.interfaces.len() - 1].id;
        let subnets = [
            (DIP_CLIENT_SIDE, CLIENT_SIDE),
            (DIP_SERVER_SIDE, server_side),
        ];
        for (address, interface) in subnets {
            let hop = NextHop {
                via: None,
                interface,
            };
            editor.add_host_address(address.to_ip());
            editor.set_route(address.to_ip(), 24, &[hop], None);
        }
        let mut neighbour = |interface, end: Endpoint<V4>, mac| {
            editor.set_neighbour(interface, end.addr.to_ip(), Some(mac));
        };
        neighbour(CLIENT_SIDE, CLIENT, CLIENT_MAC);
        neighbour(server_side, RIP_1, RIP_1_MAC);
        neighbour(server_side, RIP_2, RIP_2_MAC);
        neighbour(server_side, RIP_3, RIP_3_MAC);
        editor
    }

    /// The gateway, running.
    #[must_use]
    pub fn start(self) -> TestGateway {
        TestGateway::new(&self)
    }

    /// What names a worker's owner in [`TestGateway`].
    pub(super) fn mailboxes(&self) -> Vec<Arc<crate::mailbox::Mailbox>> {
        (0..self.workers)
            .map(|worker| Arc::new(crate::mailbox::Mailbox::new(WorkerId(worker))))
            .collect()
    }
}

fn interface(
    id: InterfaceId,
    ethdev: u16,
    vlan: Option<u16>,
    mac: MacAddr,
    address: V4,
) -> Interface {
    Interface {
        id,
        ethdev: EthdevId(ethdev),
        vlan: vlan.map(VlanId),
        mac,
        mtu: 1_500,
        address: Some(address),
        accept_replies: false,
    }
}
