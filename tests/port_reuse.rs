//! FULLNAT with few local ports: a port may serve its next client at once.

use std::net::Ipv4Addr;
use std::thread;

use testnet::gateway_config::{GatewayConfig, MAPPED, Service};
use testnet::lab;
use testnet::nstat::Nstat;
use testnet::{Arms, Client, Gateway, Lab, Method, binaries, require_namespaces};

/// By each of two clients, one connection after the other.
const CONNECTIONS: usize = 2500;

#[test]
fn sixty_four_ports_carry_five_thousand_connections_without_a_syn_sent_again() {
    require_namespaces!();
    let lab = Lab::build(Arms::Two);
    // One server: every port then comes back to where its last connection is in TIME_WAIT,
    // because it is the server that closes first.
    let service = Service {
        vip: lab.vip(Method::Fullnat),
        port: 80,
        protocol: "tcp",
        scheduler: "rr",
        method: Method::Fullnat,
        servers: vec![(lab::server_address(1), MAPPED, 1)],
    };
    let config = GatewayConfig::of(&lab)
        .local_ports("5000-5063")
        .service(service);
    let gateway = Gateway::start(lab.gateway(), binaries!(), &config.text());
    let target = lab.at(Method::Fullnat, 80);
    let other = lab.another_client("client-2", Ipv4Addr::new(10, 1, 0, 3));
    let clients = [lab.client(), &other];
    for client in clients {
        client.wait_for(target);
    }
    let before = clients.map(|client| Nstat::read(client.namespace()));

    let answered = thread::scope(|scope| {
        let ask = |client: &'_ Client| client.get(target, CONNECTIONS).len();
        let other = scope.spawn(move || ask(clients[1]));
        [ask(clients[0]), other.join().expect("curl can be run")]
    });

    assert_eq!(answered, [CONNECTIONS, CONNECTIONS]);
    for (client, before) in clients.iter().zip(&before) {
        let now = Nstat::read(client.namespace());
        let again = now.moved_since(before, "TcpExtTCPSynRetrans");
        // A machine that stands still for a second makes some; a port reused too early, hundreds.
        assert!(
            again <= 4,
            "{again} SYNs sent again by {}",
            client.address()
        );
    }
    let server = Nstat::read(lab.servers()[0].namespace());
    assert!(
        server.get("TcpExtTW") > 0,
        "the server closed first: {}",
        server.get("TcpExtTW")
    );
    let metrics = gateway.metrics();
    let reuses = metrics.sum("sluice_reused_local_ports_total", &[]);
    assert!(reuses > 4000.0, "{reuses} reuses within 120 s");
    assert_eq!(gateway.drops("local_ports_exhausted"), 0);
}
