//! A server may be the gateway itself: Linux serves it through the twin, and answers come from the
//! VIP.
// Helpers of tests may panic as tests do.
#![allow(clippy::expect_used)]

use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::time::Duration;

use testnet::client::spread;
use testnet::gateway_config::{Driver, GatewayConfig, IN_TURN, Service, http_port};
use testnet::nginx::Nginx;
use testnet::nstat::Nstat;
use testnet::udp_echo::{self, UdpEcho};
use testnet::{Arms, Gateway, Lab, Method, binaries, lab, require_namespaces, run};

const REQUESTS: usize = 100;

#[test]
fn the_gateway_takes_its_turn_by_nat() {
    require_namespaces!();
    takes_its_turn(Method::Nat, Arms::Two, 1);
}

#[test]
fn the_gateway_takes_its_turn_by_nat_with_one_arm_and_two_workers() {
    require_namespaces!();
    takes_its_turn(Method::Nat, Arms::One, 2);
}

#[test]
fn the_gateway_takes_its_turn_by_dr() {
    require_namespaces!();
    takes_its_turn(Method::Dr, Arms::Two, 1);
}

/// A service whose servers are the gateway and the first of the lab's.
fn service(lab: &Lab, method: Method, protocol: &'static str, port: u16, behind: u16) -> Service {
    Service {
        vip: lab.vip(method),
        port,
        protocol,
        scheduler: "rr",
        method,
        servers: vec![
            (lab::GATEWAY_SERVER_SIDE, behind, 1),
            (lab::server_address(1), behind, 1),
        ],
    }
}

fn takes_its_turn(method: Method, arms: Arms, workers: u16) {
    let lab = Lab::build(arms);
    let port = http_port(method, IN_TURN);
    let config = GatewayConfig::of(&lab)
        .workers(workers)
        .service(service(&lab, method, "tcp", IN_TURN, port))
        .service(service(&lab, method, "udp", udp_echo::PORT, udp_echo::PORT));
    let gateway = Gateway::start(lab.gateway(), binaries!(), &config.text());
    let _web = Nginx::start(lab.gateway(), "gateway", lab.blob().file());
    // The VIP is on a twin since the gateway's start, so that Linux can serve it by DR.
    let own = [lab::GATEWAY_SERVER_SIDE, lab.vip(method)];
    let _echo = UdpEcho::start(lab.gateway(), "gateway", &own);
    lab.client().wait_for(lab.at(method, IN_TURN));

    let answers = lab.client().get(lab.at(method, IN_TURN), REQUESTS);

    let even = BTreeMap::from(["gateway", "server-1"].map(|server| (server, REQUESTS / 2)));
    assert_eq!(spread(&answers), even);
    let own = answers.iter().filter(|answer| answer.server == "gateway");
    let reached_at = match method {
        Method::Dr => lab.at(method, IN_TURN),
        _ => SocketAddrV4::new(lab::GATEWAY_SERVER_SIDE, port),
    };
    for answer in own {
        assert_eq!(answer.seen_client, lab.client().address(), "{answer:?}");
        assert_eq!(answer.rest, reached_at.to_string(), "{answer:?}");
    }
    datagrams_are_answered(&lab, method, 1_280);
    let metrics = gateway.metrics();
    for name in ["packets", "replies"] {
        let count = metrics.sum(&format!("sluice_local_node_{name}_total"), &[]);
        assert!(count > REQUESTS as f64, "{name}: {count}");
    }
}

#[test]
fn large_datagrams_pass_in_fragments_where_linux_joins_them() {
    require_namespaces!();
    large_datagrams_pass_in_fragments(Driver::AfPacket, Method::Nat);
}

#[test]
fn large_datagrams_pass_in_fragments_as_they_were_sent() {
    require_namespaces!();
    large_datagrams_pass_in_fragments(Driver::AfXdp, Method::Nat);
    large_datagrams_pass_in_fragments(Driver::AfXdp, Method::Dr);
}

/// Datagrams of 3 kB, which no link carries in one piece, to Linux on the gateway and to a server.
fn large_datagrams_pass_in_fragments(driver: Driver, method: Method) {
    let lab = Lab::build(Arms::Two);
    let config = GatewayConfig::of(&lab)
        .driver(driver)
        .large_frames()
        .service(service(&lab, method, "udp", udp_echo::PORT, udp_echo::PORT));
    let gateway = Gateway::start(lab.gateway(), binaries!(), &config.text());
    let own = [lab::GATEWAY_SERVER_SIDE, lab.vip(method)];
    let _echo = UdpEcho::start(lab.gateway(), "gateway", &own);
    // Until both have answered, somebody may still ask for somebody's MAC address.
    let ask = || lab.client().udp(lab.at(method, udp_echo::PORT), "ready?");
    let is_ready = || ask().is_some() && ask().is_some();
    assert!(run::eventually(Duration::from_secs(10), is_ready));
    let (client, server) = (lab.client().namespace(), lab.servers()[0].namespace());
    let before = [Nstat::read(client), Nstat::read(server)];

    datagrams_are_answered(&lab, method, 3_000);

    // Each question left its client in three fragments, and met its server in as many; and so did
    // the answers.
    let at_client = Nstat::read(client);
    let at_server = Nstat::read(server);
    let moved = |now: &Nstat, then: &Nstat| {
        ["IpFragCreates", "IpReasmReqds", "IpReasmOKs"].map(|name| now.moved_since(then, name))
    };
    assert_eq!(moved(&at_client, &before[0]), [60, 60, 20]);
    assert_eq!(moved(&at_server, &before[1]), [30, 30, 10]);
    let metrics = gateway.metrics();
    let dropped = metrics.by("sluice_dropped_packets_total", "reason");
    let about_fragments: Vec<_> = (dropped.iter())
        .filter(|(reason, count)| {
            **count > 0.0 && (reason.contains("frag") || reason.contains("truncated"))
        })
        .collect();
    assert!(about_fragments.is_empty(), "{about_fragments:?}");
}

/// Questions and answers of about so many bytes, half of them Linux's on the gateway.
fn datagrams_are_answered(lab: &Lab, method: Method, bytes: usize) {
    let payload = "a long question ".repeat(bytes / 16);
    let mut answered = BTreeMap::new();
    for _ in 0..20 {
        let answer = lab.client().udp(lab.at(method, udp_echo::PORT), &payload);
        let answer = answer.expect("every datagram is answered");
        assert_eq!(answer.rest, payload);
        *answered.entry(answer.server).or_default() += 1;
    }
    let even = ["gateway", "server-1"].map(|server| (server.to_owned(), 10));
    assert_eq!(answered, BTreeMap::from(even));
}
