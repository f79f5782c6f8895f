//! The whole picture of the crate's front page, built by one call.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};

use crate::client::{Client, sha256};
use crate::namespace::Namespace;
use crate::network::Network;
use crate::real_server::{Place, RealServer};
use crate::run;
use crate::turn::Turn;

/// How the gateway is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arms {
    /// One leg, on the servers' network; clients come through the router.
    One,
    /// A leg on the clients' network and one on the servers'.
    Two,
}

/// A forwarding method; each has a VIP of its own in a lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The destination is rewritten, answers pass the gateway.
    Nat,
    /// The destination MAC is rewritten, servers answer the client themselves.
    Dr,
    /// An IP header is put in front, servers answer the client themselves.
    Tun,
    /// Source and destination are rewritten, answers pass the gateway.
    Fullnat,
}

impl Method {
    /// All four.
    pub const ALL: [Self; 4] = [Self::Nat, Self::Dr, Self::Tun, Self::Fullnat];

    /// The word of the configuration file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nat => "nat",
            Self::Dr => "dr",
            Self::Tun => "tun",
            Self::Fullnat => "fullnat",
        }
    }

    /// Whether answers pass the gateway, which can then map ports.
    #[must_use]
    pub const fn sees_replies(self) -> bool {
        matches!(self, Self::Nat | Self::Fullnat)
    }

    /// The last byte of its VIP.
    const fn host_number(self) -> u8 {
        match self {
            Self::Nat => 101,
            Self::Dr => 102,
            Self::Tun => 103,
            Self::Fullnat => 104,
        }
    }
}

/// The switch of the clients' network, and the gateway's interface to it.
pub const CLIENTS: &str = "clients";
/// The switch of the servers' network, and the gateway's interface to it.
pub const SERVERS: &str = "servers";

/// The client.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 2);
/// The gateway on the clients' network.
pub const GATEWAY_CLIENT_SIDE: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
/// The gateway on the servers' network.
pub const GATEWAY_SERVER_SIDE: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 1);
/// The router on the clients' network.
pub const ROUTER_CLIENT_SIDE: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 254);
/// The router on the servers' network.
pub const ROUTER_SERVER_SIDE: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 254);
/// The local address (LIP) FULLNAT speaks from.
pub const LOCAL_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 200);

/// What a download moves.
const BLOB_BYTES: usize = 50 << 20;

/// A client, a place for the gateway and three real servers.
#[derive(Debug)]
pub struct Lab {
    arms: Arms,
    client: Client,
    servers: Vec<RealServer>,
    gateway: Namespace,
    network: Network,
    blob: Blob,
    // Last: the next test begins when everything else is gone.
    _turn: Turn,
}

impl Lab {
    /// Waits for the turn and builds a lab, complete but for the gateway.
    ///
    /// # Panics
    ///
    /// When a step fails.
    #[must_use]
    pub fn build(arms: Arms) -> Self {
        let turn = Turn::wait();
        let network = Network::create();
        network.switch(CLIENTS);
        network.switch(SERVERS);
        network.router_leg(CLIENTS, ROUTER_CLIENT_SIDE);
        network.router_leg(SERVERS, ROUTER_SERVER_SIDE);
        let gateway = gateway_host(&network, arms);
        let blob = Blob::create(network.namespace().dir());
        let servers = (1..=3)
            .map(|number| RealServer::start(&network, SERVERS, place(arms, number), &blob.file));
        let servers = servers.collect();
        let client = client_host(&network, "client", CLIENT);
        if arms == Arms::One {
            // VIPs are on the servers' network then, which the client reaches by the router.
            client
                .namespace()
                .ip(&format!("route add default via {ROUTER_CLIENT_SIDE}"));
        }
        Self {
            arms,
            client,
            servers,
            gateway,
            network,
            blob,
            _turn: turn,
        }
    }

    /// How the gateway is connected.
    #[must_use]
    pub fn arms(&self) -> Arms {
        self.arms
    }

    /// The VIP whose service forwards by `method`.
    #[must_use]
    pub fn vip(&self, method: Method) -> Ipv4Addr {
        vip(self.arms, method)
    }

    /// A VIP with a port.
    #[must_use]
    pub fn at(&self, method: Method, port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(self.vip(method), port)
    }

    /// The client.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// One more client on the clients' network.
    ///
    /// # Panics
    ///
    /// When it cannot be made.
    #[must_use]
    pub fn another_client(&self, name: &str, address: Ipv4Addr) -> Client {
        client_host(&self.network, name, address)
    }

    /// The real servers, `server-1` first.
    #[must_use]
    pub fn servers(&self) -> &[RealServer] {
        &self.servers
    }

    /// The gateway's host: cabled, without addresses, the daemon not started.
    #[must_use]
    pub fn gateway(&self) -> &Namespace {
        &self.gateway
    }

    /// The switches and the router.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The file servers offer for download.
    #[must_use]
    pub fn blob(&self) -> &Blob {
        &self.blob
    }

    /// The source address a real server should see when `client` comes by `method`.
    #[must_use]
    pub fn expected_source(&self, method: Method, client: Ipv4Addr) -> Ipv4Addr {
        match method {
            Method::Fullnat => LOCAL_ADDRESS,
            Method::Nat | Method::Dr | Method::Tun => client,
        }
    }
}

/// The VIP of a method: on the network where clients first meet the gateway.
#[must_use]
pub fn vip(arms: Arms, method: Method) -> Ipv4Addr {
    match arms {
        Arms::One => Ipv4Addr::new(10, 2, 0, method.host_number()),
        Arms::Two => Ipv4Addr::new(10, 1, 0, method.host_number()),
    }
}

/// The address of a real server, counted from 1.
#[must_use]
pub fn server_address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 2, 0, 10 + number)
}

fn place(arms: Arms, number: u8) -> Place {
    Place {
        name: format!("server-{number}"),
        address: server_address(number),
        gateway: GATEWAY_SERVER_SIDE,
        router: ROUTER_SERVER_SIDE,
        dr_vips: vec![vip(arms, Method::Dr)],
        tun_vips: vec![vip(arms, Method::Tun)],
    }
}

/// The gateway's host with its cables. The addresses come with the daemon's twins.
fn gateway_host(network: &Network, arms: Arms) -> Namespace {
    let gateway = Namespace::create("gateway");
    prepare_gateway_host(&gateway);
    if arms == Arms::Two {
        network.cable(CLIENTS, &gateway, CLIENTS);
    }
    network.cable(SERVERS, &gateway, SERVERS);
    gateway
}

/// The kernel settings the gateway asks for on its twins.
///
/// # Panics
///
/// When the kernel refuses one.
pub fn prepare_gateway_host(gateway: &Namespace) {
    gateway.sysctl("net.ipv4.ip_forward", "1");
    for scope in ["all", "default"] {
        gateway.sysctl(&format!("net.ipv4.conf.{scope}.send_redirects"), "0");
    }
}

fn client_host(network: &Network, name: &str, address: Ipv4Addr) -> Client {
    let namespace = Namespace::create(name);
    network.cable(CLIENTS, &namespace, "eth0");
    namespace.ip(&format!("addr add {address}/24 dev eth0"));
    Client::new(namespace, address)
}

/// A file of random bytes and its SHA-256.
#[derive(Debug)]
pub struct Blob {
    file: PathBuf,
    sha256: String,
}

impl Blob {
    /// Writes one into `dir`.
    ///
    /// # Panics
    ///
    /// When there is no room for it.
    #[must_use]
    pub fn create(dir: &Path) -> Self {
        let file = dir.join("blob");
        let mut head = run::command(&format!("head --bytes {BLOB_BYTES} /dev/urandom"));
        let output = run::output(&mut head);
        std::fs::write(&file, output.stdout).expect("there is room for a download");
        let sha256 = sha256(&file);
        Self { file, sha256 }
    }

    /// Where it lies.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Its SHA-256 as `sha256sum` prints it.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sha256
    }
}
