//! A real server with all it needs for every forwarding method.
//!
//! | method | what the server needs | done by |
//! |---|---|---|
//! | NAT | its default route points at the gateway | `default via` |
//! | DR | the VIP, without telling the network | `lo`, `arp_ignore`, `arp_announce` |
//! | TUN | the same, and no outer header | the same, [`Decapsulator`] |
//! | FULLNAT | nothing | |
//!
//! Answers of DR and TUN leave from the VIP and must not pass the gateway, so they have a routing
//! table of their own that points at the router.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;

use crate::decapsulator::Decapsulator;
use crate::namespace::Namespace;
use crate::network::Network;
use crate::nginx::Nginx;
use crate::udp_echo::UdpEcho;

/// Where a real server stands.
#[derive(Clone, Debug)]
pub struct Place {
    /// `server-1` and so on.
    pub name: String,
    /// Its address (RIP), in a /24.
    pub address: Ipv4Addr,
    /// The gateway's address on the servers' network: the default route.
    pub gateway: Ipv4Addr,
    /// The router to the clients, for answers that do not pass the gateway.
    pub router: Ipv4Addr,
    /// VIPs that reach it by DR.
    pub dr_vips: Vec<Ipv4Addr>,
    /// VIPs that reach it by TUN.
    pub tun_vips: Vec<Ipv4Addr>,
}

/// A host with nginx, a UDP echo service and a decapsulator.
#[derive(Debug)]
pub struct RealServer {
    place: Place,
    nginx: Nginx,
    _echo: UdpEcho,
    decapsulator: Decapsulator,
    // Last, because fields are dropped in order and the namespace must outlive what runs in it.
    namespace: Namespace,
}

impl RealServer {
    /// Sets the server up on `switch` of `network` and starts its services; `blob` is the file
    /// it serves for downloads.
    ///
    /// # Panics
    ///
    /// When a step fails.
    #[must_use]
    pub fn start(network: &Network, switch: &str, place: Place, blob: &Path) -> Self {
        let namespace = Namespace::create(&place.name);
        // Before any VIP: a server that answers ARP for a VIP takes it from the gateway.
        namespace.sysctl("net.ipv4.conf.all.arp_ignore", "1");
        namespace.sysctl("net.ipv4.conf.all.arp_announce", "2");
        network.cable(switch, &namespace, "eth0");
        namespace.ip(&format!("addr add {}/24 dev eth0", place.address));
        namespace.ip(&format!("route add default via {}", place.gateway));
        namespace.ip(&format!("route add default via {} table 100", place.router));
        for vip in place.dr_vips.iter().chain(&place.tun_vips) {
            namespace.ip(&format!("addr add {vip}/32 dev lo"));
            namespace.ip(&format!("rule add from {vip} lookup 100"));
        }
        let addresses: Vec<_> =
            [&[place.address], place.dr_vips.as_slice(), &place.tun_vips].concat();
        Self {
            nginx: Nginx::start(&namespace, &place.name, blob),
            _echo: UdpEcho::start(&namespace, &place.name, &addresses),
            decapsulator: Decapsulator::start(&namespace, &place.tun_vips),
            place,
            namespace,
        }
    }

    /// `server-1` and so on.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.place.name
    }

    /// Its address (RIP).
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.place.address
    }

    /// Its address with a port.
    #[must_use]
    pub fn at(&self, port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(self.place.address, port)
    }

    /// Its host.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Its web server.
    #[must_use]
    pub fn nginx(&self) -> &Nginx {
        &self.nginx
    }

    /// How many packets came in by TUN.
    #[must_use]
    pub fn decapsulated(&self) -> u64 {
        self.decapsulator.packets()
    }
}
