//! Each forwarding method carries real programs' traffic, one-arm and two-arm.
// Helpers of tests may panic as tests do.
#![allow(clippy::panic)]

use std::collections::BTreeMap;
use std::net::SocketAddrV4;

use testnet::client::{self, spread};
use testnet::gateway_config::{GatewayConfig, IN_TURN, WEIGHTED, http_port};
use testnet::iperf::{self, Direction};
use testnet::nstat::Nstat;
use testnet::{Arms, Gateway, Lab, Method, binaries, require_namespaces, udp_echo};

/// Requests to each HTTP service: a multiple of all weights' sum, so that turns come out even.
const REQUESTS: usize = 300;

#[test]
fn nat_forwards_with_one_arm() {
    require_namespaces!();
    forwards(Method::Nat, Arms::One);
}

#[test]
fn nat_forwards_with_two_arms() {
    require_namespaces!();
    forwards(Method::Nat, Arms::Two);
}

#[test]
fn dr_forwards_with_one_arm() {
    require_namespaces!();
    forwards(Method::Dr, Arms::One);
}

#[test]
fn dr_forwards_with_two_arms() {
    require_namespaces!();
    forwards(Method::Dr, Arms::Two);
}

#[test]
fn tun_forwards_with_one_arm() {
    require_namespaces!();
    forwards(Method::Tun, Arms::One);
}

#[test]
fn tun_forwards_with_two_arms() {
    require_namespaces!();
    forwards(Method::Tun, Arms::Two);
}

#[test]
fn fullnat_forwards_with_one_arm() {
    require_namespaces!();
    forwards(Method::Fullnat, Arms::One);
}

#[test]
fn fullnat_forwards_with_two_arms() {
    require_namespaces!();
    forwards(Method::Fullnat, Arms::Two);
}

fn forwards(method: Method, arms: Arms) {
    let lab = Lab::build(arms);
    let config = GatewayConfig::of(&lab).services_of(&lab, method);
    let gateway = Gateway::start(lab.gateway(), binaries!(), &config.text());
    // The first packets may find next hops unresolved.
    lab.client().wait_for(lab.at(method, IN_TURN));
    lab.client().wait_for(lab.at(method, WEIGHTED));

    every_request_is_answered_by_the_servers_in_turn(&lab, method);
    weights_are_kept(&lab, method);
    the_gateway_counted_what_the_servers_answered(&gateway, &lab, method);
    every_datagram_is_answered(&lab, method);
    files_arrive_whole(&lab, method);
    streams_flow_without_checksum_errors(&lab, method);
    if method == Method::Tun {
        let tunnelled = lab.servers().iter().all(|server| server.decapsulated() > 0);
        assert!(tunnelled, "every server got its packets in a tunnel");
    }
}

fn every_request_is_answered_by_the_servers_in_turn(lab: &Lab, method: Method) {
    let answers = lab.client().get(lab.at(method, IN_TURN), REQUESTS);

    assert_eq!(answers.len(), REQUESTS);
    let even = BTreeMap::from(["server-1", "server-2", "server-3"].map(|s| (s, REQUESTS / 3)));
    assert_eq!(spread(&answers), even);
    let source = lab.expected_source(method, lab.client().address());
    for answer in &answers {
        assert_eq!(answer.seen_client, source, "{answer:?}");
        assert_eq!(
            answer.rest,
            reached_at(lab, method, &answer.server),
            "{answer:?}"
        );
    }
}

/// The address a server believes to be asked at: its own where the destination is rewritten.
fn reached_at(lab: &Lab, method: Method, server: &str) -> String {
    let port = http_port(method, IN_TURN);
    let own = lab
        .servers()
        .iter()
        .find(|candidate| candidate.name() == server);
    let own = own
        .unwrap_or_else(|| panic!("{server} is none of ours"))
        .address();
    let address = if method.sees_replies() {
        own
    } else {
        lab.vip(method)
    };
    SocketAddrV4::new(address, port).to_string()
}

fn weights_are_kept(lab: &Lab, method: Method) {
    let answers = lab.client().get(lab.at(method, WEIGHTED), REQUESTS);

    let shares = [("server-1", 3), ("server-2", 2), ("server-3", 1)];
    let expected = shares.map(|(server, weight)| (server, REQUESTS * weight / 6));
    assert_eq!(spread(&answers), BTreeMap::from(expected));
}

fn the_gateway_counted_what_the_servers_answered(gateway: &Gateway, lab: &Lab, method: Method) {
    let counted = gateway.sessions_by_server(lab.at(method, WEIGHTED));

    // One request more than were counted above came while waiting for the service.
    let total: u64 = counted.values().sum();
    assert!(total > REQUESTS as u64, "{counted:?}");
    assert!(total <= REQUESTS as u64 + 10, "{counted:?}");
    let first = counted[&lab.servers()[0].at(http_port(method, WEIGHTED)).to_string()];
    assert!((150..=155).contains(&first), "{counted:?}");
}

fn every_datagram_is_answered(lab: &Lab, method: Method) {
    let service = lab.at(method, udp_echo::PORT);
    let answers: Vec<_> = (0..30)
        .filter_map(|number| lab.client().udp(service, &format!("datagram {number}")))
        .collect();

    assert_eq!(answers.len(), 30);
    let even = BTreeMap::from(["server-1", "server-2", "server-3"].map(|server| (server, 10)));
    assert_eq!(spread(&answers), even);
    let source = lab.expected_source(method, lab.client().address());
    for (number, answer) in answers.iter().enumerate() {
        assert_eq!(answer.seen_client, source);
        assert_eq!(answer.rest, format!("datagram {number}"));
    }
}

fn files_arrive_whole(lab: &Lab, method: Method) {
    let service = lab.at(method, IN_TURN);

    let downloaded = lab.client().download(service);
    lab.client().upload(service, lab.blob().file(), "copy");

    assert_eq!(downloaded, lab.blob().sha256());
    let copies = lab
        .servers()
        .iter()
        .map(|server| server.nginx().uploaded("copy"));
    let copies: Vec<_> = copies.filter(|copy| copy.exists()).collect();
    assert_eq!(copies.len(), 1, "one server has the upload");
    assert_eq!(client::sha256(&copies[0]), lab.blob().sha256());
}

fn streams_flow_without_checksum_errors(lab: &Lab, method: Method) {
    let server = iperf::IperfServer::start(lab.servers()[0].namespace());
    let client = lab.client().namespace();

    for direction in [Direction::Up, Direction::Down] {
        let throughput = iperf::measure(client, lab.vip(method), 3, direction);
        eprintln!(
            "{} {direction:?}: {:.0} Mb/s, {} retransmits",
            method.name(),
            throughput.bits_per_second / 1e6,
            throughput.retransmits
        );
        // Far below what this carries, far above what a broken path trickles through.
        assert!(
            throughput.bytes > 10_000_000,
            "{direction:?}: {throughput:?}"
        );
    }

    drop(server);
    assert_eq!(Nstat::read(client).checksum_errors(), 0, "at the client");
    for server in lab.servers() {
        let errors = Nstat::read(server.namespace()).checksum_errors();
        assert_eq!(errors, 0, "at {}", server.name());
    }
    let router = lab.network().namespace();
    assert_eq!(Nstat::read(router).checksum_errors(), 0, "at the router");
}
