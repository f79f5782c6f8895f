//! Switches, cables and the router between two networks.
//!
//! All switches live in one namespace, as bridges; a bridge with an address is also a router's
//! leg. A cable is a veth pair from a host to a bridge.

use std::net::Ipv4Addr;

use crate::namespace::Namespace;

/// A set of switches, with a router between those that have a router address.
#[derive(Debug)]
pub struct Network {
    namespace: Namespace,
}

impl Network {
    /// A network without any switch yet.
    ///
    /// # Panics
    ///
    /// When the namespace cannot be made.
    #[must_use]
    pub fn create() -> Self {
        let namespace = Namespace::create("network");
        namespace.sysctl("net.ipv4.ip_forward", "1");
        for scope in ["all", "default"] {
            namespace.sysctl(&format!("net.ipv4.conf.{scope}.send_redirects"), "0");
        }
        Self { namespace }
    }

    /// Adds a switch.
    ///
    /// # Panics
    ///
    /// When the bridge cannot be made.
    pub fn switch(&self, switch: &str) {
        self.namespace
            .ip(&format!("link add {switch} type bridge forward_delay 0"));
        self.namespace.ip(&format!("link set dev {switch} up"));
    }

    /// Gives the router a leg on `switch`, in a /24.
    ///
    /// # Panics
    ///
    /// When the address cannot be added.
    pub fn router_leg(&self, switch: &str, address: Ipv4Addr) {
        self.namespace
            .ip(&format!("addr add {address}/24 dev {switch}"));
    }

    /// Lays a cable from `switch` to `host`, where it appears as `interface`, up, without an
    /// address.
    ///
    /// # Panics
    ///
    /// When a step fails.
    pub fn cable(&self, switch: &str, host: &Namespace, interface: &str) {
        let far_end = far_end(host, interface);
        self.namespace.ip(&format!(
            "link add {far_end} type veth peer name {interface} netns {}",
            host.name()
        ));
        self.namespace
            .ip(&format!("link set dev {far_end} master {switch} up"));
        host.ip(&format!("link set dev {interface} up"));
        // Without this a sender leaves the checksum to hardware that is not there, and what the
        // gateway receives through AF_PACKET is wrong on the wire.
        self.namespace.run(&format!("ethtool -K {far_end} tx off"));
        host.run(&format!("ethtool -K {interface} tx off"));
    }

    /// Cuts the cable of `host` at the switch: the host's interface loses its carrier.
    ///
    /// # Panics
    ///
    /// When there is no such cable.
    pub fn cut(&self, host: &Namespace, interface: &str) {
        let far_end = far_end(host, interface);
        self.namespace.ip(&format!("link set dev {far_end} down"));
    }

    /// Makes a cut cable whole again.
    ///
    /// # Panics
    ///
    /// When there is no such cable.
    pub fn mend(&self, host: &Namespace, interface: &str) {
        let far_end = far_end(host, interface);
        self.namespace.ip(&format!("link set dev {far_end} up"));
    }

    /// The MACs that `switch` knows behind the cable of `host`.
    ///
    /// # Panics
    ///
    /// When there is no such cable.
    #[must_use]
    pub fn macs_behind(&self, host: &Namespace, interface: &str) -> Vec<String> {
        let far_end = far_end(host, interface);
        let text = self
            .namespace
            .run(&format!("bridge fdb show dev {far_end} dynamic"));
        let macs = text
            .lines()
            .filter_map(|line| line.split_whitespace().next());
        macs.map(str::to_owned).collect()
    }

    /// The namespace of the switches and the router.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }
}

/// The switch's end of a cable.
fn far_end(host: &Namespace, interface: &str) -> String {
    let number = host.name().split('-').nth(2).unwrap_or_default();
    format!("p{number}-{interface}")
}
