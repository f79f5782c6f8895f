//! Two gateways side by side between clients and real servers.
//!
//! ```text
//!   client 10.1.0.2 ──┬── clients' switch ──┬── gateway-1 10.1.0.11, 10.2.0.11 ──┬── servers' switch
//!                     │                     └── gateway-2 10.1.0.12, 10.2.0.12 ──┤    ├─ server-1 .21
//!                     └── router .254 ──────────────────────────────────────────┘    └─ server-2 .22
//! ```
//!
//! The servers' default route is an address that the gateways move between them; their answers of
//! DR go by the router.

use std::net::Ipv4Addr;

use crate::client::Client;
use crate::lab::{
    CLIENT, CLIENTS, ROUTER_CLIENT_SIDE, ROUTER_SERVER_SIDE, SERVERS, prepare_gateway_host,
};
use crate::namespace::Namespace;
use crate::network::Network;
use crate::real_server::{Place, RealServer};
use crate::run;
use crate::turn::Turn;

/// The VIP.
pub const VIP: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 100);
/// The servers' default route.
pub const INNER: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 1);

/// A client, two places for gateways and two real servers.
#[derive(Debug)]
pub struct Pair {
    client: Client,
    _servers: Vec<RealServer>,
    hosts: [Namespace; 2],
    network: Network,
    // Last: the next test begins when everything else is gone.
    _turn: Turn,
}

impl Pair {
    /// Waits for the turn and builds it, complete but for the gateways.
    ///
    /// # Panics
    ///
    /// When a step fails.
    #[must_use]
    pub fn build() -> Self {
        let turn = Turn::wait();
        let network = Network::create();
        for (switch, router) in [(CLIENTS, ROUTER_CLIENT_SIDE), (SERVERS, ROUTER_SERVER_SIDE)] {
            network.switch(switch);
            network.router_leg(switch, router);
        }
        let hosts = ["gateway-1", "gateway-2"].map(|name| {
            let host = Namespace::create(name);
            prepare_gateway_host(&host);
            network.cable(CLIENTS, &host, CLIENTS);
            network.cable(SERVERS, &host, SERVERS);
            host
        });
        let blob = network.namespace().dir().join("blob");
        std::fs::write(&blob, "small").expect("the directory is writable");
        let servers = [1, 2].map(|number| {
            let place = Place {
                name: format!("server-{number}"),
                address: Ipv4Addr::new(10, 2, 0, 20 + number),
                gateway: INNER,
                router: ROUTER_SERVER_SIDE,
                dr_vips: vec![VIP],
                tun_vips: Vec::new(),
            };
            RealServer::start(&network, SERVERS, place, &blob)
        });
        let namespace = Namespace::create("client");
        network.cable(CLIENTS, &namespace, "eth0");
        namespace.ip(&format!("addr add {CLIENT}/24 dev eth0"));
        Self {
            client: Client::new(namespace, CLIENT),
            _servers: servers.into(),
            hosts,
            network,
            _turn: turn,
        }
    }

    /// The client.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The gateways' hosts: cabled, without addresses, the daemons not started.
    #[must_use]
    pub fn hosts(&self) -> &[Namespace; 2] {
        &self.hosts
    }

    /// The switches and the router.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The MAC that the client would send to for `address`, if it knows one.
    #[must_use]
    pub fn mac_at_client(&self, address: Ipv4Addr) -> Option<String> {
        let text = self.client.namespace().ip(&format!("neigh show {address}"));
        let mut words = text.split_whitespace();
        words.find(|word| *word == "lladdr")?;
        words.next().map(str::to_owned)
    }

    /// The MACs that answer when the client asks who has `address`, each once.
    #[must_use]
    pub fn macs_that_answer(&self, address: Ipv4Addr) -> Vec<String> {
        let line = format!("arping -b -c 3 -w 4 -I eth0 {address}");
        // It counts a lost answer as a failure.
        let output = run::output(&mut self.client.namespace().command(&line));
        let text = String::from_utf8_lossy(&output.stdout);
        let mac = |line: &str| {
            let (_, rest) = line.split_once('[')?;
            Some(rest.split_once(']')?.0.to_lowercase())
        };
        let mut macs: Vec<_> = text.lines().filter_map(mac).collect();
        macs.sort();
        macs.dedup();
        macs
    }
}
