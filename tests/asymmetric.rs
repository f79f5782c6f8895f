//! DR and TUN where requests enter through one router and answers leave through another.
//!
//! ```text
//!                 ┌── router A ──┐  requests
//!   client ───────┤              ├── servers' network ── gateway (one-arm), server-1..3
//!   10.9.0.2      └── router B ──┘  answers
//! ```
//!
//! Router A has no way back to the client and router B none to the VIPs, so that a packet on the
//! wrong way is lost and the test fails.

use std::net::{Ipv4Addr, SocketAddrV4};

use testnet::client::spread;
use testnet::gateway_config::{GatewayConfig, Service, servers_at};
use testnet::lab::{self, Blob, GATEWAY_SERVER_SIDE, SERVERS};
use testnet::network::Network;
use testnet::real_server::Place;
use testnet::turn::Turn;
use testnet::{Client, Gateway, Method, Namespace, RealServer, binaries, require_namespaces};

const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
const ROUTER_A: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 253);
const ROUTER_B: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 254);
const DR_VIP: Ipv4Addr = Ipv4Addr::new(10, 8, 0, 102);
const TUN_VIP: Ipv4Addr = Ipv4Addr::new(10, 8, 0, 103);

/// Fields end in this order: what runs in a namespace before the namespace.
struct AsymmetricLab {
    servers: Vec<RealServer>,
    client: Client,
    _routers: [Namespace; 2],
    gateway: Namespace,
    _network: Network,
    blob: Blob,
    _turn: Turn,
}

fn build() -> AsymmetricLab {
    let turn = Turn::wait();
    let network = Network::create();
    for switch in [SERVERS, "way-a", "way-b"] {
        network.switch(switch);
    }
    let client = Namespace::create("client");
    let router_a = router(&network, "router-a", "way-a", ROUTER_A);
    let router_b = router(&network, "router-b", "way-b", ROUTER_B);
    network.cable("way-a", &client, "a");
    network.cable("way-b", &client, "b");
    client.ip("addr add 10.3.0.2/24 dev a");
    client.ip("addr add 10.4.0.2/24 dev b");
    client.ip(&format!("addr add {CLIENT}/32 dev lo"));
    client.ip(&format!("route add 10.8.0.0/24 via 10.3.0.1 src {CLIENT}"));
    router_a.ip("addr add 10.3.0.1/24 dev way-a");
    router_a.ip(&format!("route add 10.8.0.0/24 via {GATEWAY_SERVER_SIDE}"));
    router_b.ip("addr add 10.4.0.1/24 dev way-b");
    router_b.ip(&format!("route add {CLIENT} via 10.4.0.2"));
    let gateway = Namespace::create("gateway");
    lab::prepare_gateway_host(&gateway);
    network.cable(SERVERS, &gateway, SERVERS);
    let blob = Blob::create(network.namespace().dir());
    let server = |number| {
        let place = Place {
            name: format!("server-{number}"),
            address: lab::server_address(number),
            gateway: GATEWAY_SERVER_SIDE,
            router: ROUTER_B,
            dr_vips: vec![DR_VIP],
            tun_vips: vec![TUN_VIP],
        };
        RealServer::start(&network, SERVERS, place, blob.file())
    };
    let servers = (1..=3).map(server).collect();
    AsymmetricLab {
        servers,
        client: Client::new(client, CLIENT),
        _routers: [router_a, router_b],
        gateway,
        _network: network,
        blob,
        _turn: turn,
    }
}

fn router(network: &Network, name: &str, way: &str, address: Ipv4Addr) -> Namespace {
    let router = Namespace::create(name);
    lab::prepare_gateway_host(&router);
    network.cable(way, &router, way);
    network.cable(SERVERS, &router, SERVERS);
    router.ip(&format!("addr add {address}/24 dev {SERVERS}"));
    router
}

fn answers_leave_by_the_other_router(method: Method, vip: Ipv4Addr) {
    let lab = build();
    let config = GatewayConfig::one_arm(&lab.gateway, ROUTER_B).service(Service {
        vip,
        port: 80,
        protocol: "tcp",
        scheduler: "rr",
        method,
        servers: servers_at(80, [1, 1, 1]),
    });
    let _gateway = Gateway::start(&lab.gateway, binaries!(), &config.text());
    let service = SocketAddrV4::new(vip, 80);
    lab.client.wait_for(service);

    let answers = lab.client.get(service, 90);
    let downloaded = lab.client.download(service);
    lab.client.upload(service, lab.blob.file(), "copy");

    assert_eq!(answers.len(), 90);
    assert!(
        spread(&answers).values().all(|count| *count == 30),
        "{:?}",
        spread(&answers)
    );
    assert!(answers.iter().all(|answer| answer.seen_client == CLIENT));
    assert_eq!(downloaded, lab.blob.sha256());
    let copies = lab
        .servers
        .iter()
        .map(|server| server.nginx().uploaded("copy"));
    let sums: Vec<_> = copies
        .filter(|copy| copy.exists())
        .map(|copy| testnet::client::sha256(&copy))
        .collect();
    assert_eq!(sums, [lab.blob.sha256()]);
}

#[test]
fn dr_answers_leave_by_the_other_router() {
    require_namespaces!();
    answers_leave_by_the_other_router(Method::Dr, DR_VIP);
}

#[test]
fn tun_answers_leave_by_the_other_router() {
    require_namespaces!();
    answers_leave_by_the_other_router(Method::Tun, TUN_VIP);
}
