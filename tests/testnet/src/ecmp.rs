//! Two gateways at the same time, behind a router that spreads flows over them.
//!
//! ```text
//!   client 10.1.0.2 ──── clients' network ── .254 router .254 ──┬── uplink 10.3.0.0/24 ──┬──────────┐
//!                                                 │ .254    gateway-1 .1          gateway-2 .2
//!   servers 10.2.0.11 to .13 ── servers' network ─┴──────── 10.2.0.1 ───────────── 10.2.0.2
//! ```
//!
//! BIRD runs on the router and on the gateways' twins, with the configurations of `conf/bird`, and
//! the gateways with that of `conf/ecmp.toml`.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;

use crate::bird::Bird;
use crate::client::Client;
use crate::gateway::Gateway;
use crate::lab::{Blob, prepare_gateway_host, server_address};
use crate::namespace::Namespace;
use crate::network::Network;
use crate::real_server::{Place, RealServer};
use crate::turn::Turn;

const CLIENTS: &str = "clients";
const UPLINK: &str = "uplink";
const SERVERS: &str = "servers";

/// The VIP whose servers get packets by DR; an address of the gateways' twins.
pub const DR_VIP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 10), 80);
/// The VIP whose servers get packets by TUN; on no interface of the gateways.
pub const TUN_VIP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 11), 80);

/// A client, a router, places for two gateways, and three real servers.
#[derive(Debug)]
pub struct Ecmp {
    client: Client,
    servers: Vec<RealServer>,
    gateways: [Namespace; 2],
    network: Network,
    blob: Blob,
    // Last: the next test begins when everything else is gone.
    _turn: Turn,
}

impl Ecmp {
    /// Waits for the turn and builds all of it, but for the gateways and BIRD.
    ///
    /// # Panics
    ///
    /// When a step fails.
    #[must_use]
    pub fn build() -> Self {
        let turn = Turn::wait();
        let network = Network::create();
        for (switch, third) in [(CLIENTS, 1), (SERVERS, 2), (UPLINK, 3)] {
            network.switch(switch);
            network.router_leg(switch, Ipv4Addr::new(10, third, 0, 254));
        }
        let router = network.namespace();
        router.sysctl("net.ipv4.fib_multipath_hash_policy", "1");
        let gateways = ["gateway-1", "gateway-2"].map(|name| {
            let host = Namespace::create(name);
            prepare_gateway_host(&host);
            network.cable(UPLINK, &host, "eth1");
            network.cable(SERVERS, &host, "eth2");
            host
        });
        let blob = Blob::create(router.dir());
        let servers = (1..=3).map(|number| {
            let place = place(number);
            RealServer::start(&network, SERVERS, place, blob.file())
        });
        let servers = servers.collect();
        let host = Namespace::create("client");
        network.cable(CLIENTS, &host, "eth0");
        host.ip("addr add 10.1.0.2/24 dev eth0");
        host.ip("route add default via 10.1.0.254");
        let client = Client::new(host, Ipv4Addr::new(10, 1, 0, 2));
        Self {
            client,
            servers,
            gateways,
            network,
            blob,
            _turn: turn,
        }
    }

    /// The client.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The real servers.
    #[must_use]
    pub fn servers(&self) -> &[RealServer] {
        &self.servers
    }

    /// The host of the first or second gateway, counted from 0.
    #[must_use]
    pub fn gateway(&self, index: usize) -> &Namespace {
        &self.gateways[index]
    }

    /// The router, which has the switches too.
    #[must_use]
    pub fn router(&self) -> &Namespace {
        self.network.namespace()
    }

    /// The file servers offer for download.
    #[must_use]
    pub fn blob(&self) -> &Blob {
        &self.blob
    }

    /// Starts BIRD on the router and on both gateways.
    ///
    /// # Panics
    ///
    /// When one does not start.
    #[must_use]
    pub fn start_birds(&self, change: impl Fn(&str) -> String) -> [Bird; 3] {
        let gateway = |index: usize| {
            let text = of_gateway(&example("bird/gateway.conf"), index);
            Bird::start(&self.gateways[index], &change(&text))
        };
        let router = change(&example("bird/router.conf"));
        let router = Bird::start(self.router(), &router);
        [router, gateway(0), gateway(1)]
    }

    /// What the example says, for a gateway on a shared machine.
    #[must_use]
    pub fn config(&self, index: usize) -> String {
        let host = &self.gateways[index];
        let own = format!(
            "[gateway]\nhuge_pages = false\nmemory_mb = 256\nsessions_per_worker = 65536\n\
             file_prefix = \"{}\"\nsocket = \"{}\"\nstate_dir = \"{}\"\n",
            host.name(),
            Gateway::socket(host).display(),
            host.dir().join("state").display(),
        );
        let text = of_gateway(&example("ecmp.toml"), index);
        // Two polling workers on one core would only wait for each other.
        let text = text.replace("workers = 1\n", &format!("workers = [{}]\n", 1 - index));
        text.replace("[gateway]\n", &own)
    }

    /// The next hops by which the router sends packets to a VIP, in Linux's words.
    #[must_use]
    pub fn next_hops(&self, vip: Ipv4Addr) -> Vec<String> {
        let text = self.router().ip(&format!("route show {vip}/32"));
        let words: Vec<_> = text.split_whitespace().collect();
        let hops = words.windows(2).filter(|pair| pair[0] == "via");
        hops.map(|pair| pair[1].to_owned()).collect()
    }
}

/// A file of `conf`.
fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conf");
    let path = path.join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The examples are the first gateway's.
fn of_gateway(text: &str, index: usize) -> String {
    let number = index + 1;
    let text = text.replace("10.3.0.1/24", &format!("10.3.0.{number}/24"));
    let text = text.replace("10.2.0.1/24", &format!("10.2.0.{number}/24"));
    text.replace("10.3.0.1;", &format!("10.3.0.{number};"))
        .replace("10.3.0.1 as", &format!("10.3.0.{number} as"))
}

fn place(number: u8) -> Place {
    let router = Ipv4Addr::new(10, 2, 0, 254);
    Place {
        name: format!("server-{number}"),
        address: server_address(number),
        gateway: router,
        router,
        dr_vips: vec![*DR_VIP.ip()],
        tun_vips: vec![*TUN_VIP.ip()],
    }
}
