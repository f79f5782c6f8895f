//! Two workers on fanout queues: each session has one owner, and its packets get there.

use testnet::client::spread;
use testnet::gateway_config::{GatewayConfig, IN_TURN};
use testnet::iperf::{self, Direction};
use testnet::nstat::Nstat;
use testnet::{Arms, Gateway, Lab, Method, binaries, require_namespaces, udp_echo};

const REQUESTS: usize = 1200;

#[test]
fn two_workers_share_nat_sessions_and_lose_nothing() {
    require_namespaces!();
    two_workers_lose_nothing(Method::Nat);
}

#[test]
fn two_workers_share_fullnat_sessions_and_lose_nothing() {
    require_namespaces!();
    two_workers_lose_nothing(Method::Fullnat);
}

fn two_workers_lose_nothing(method: Method) {
    let lab = Lab::build(Arms::Two);
    let config = GatewayConfig::of(&lab).workers(2).services_of(&lab, method);
    let gateway = Gateway::start(lab.gateway(), binaries!(), &config.text());
    let service = lab.at(method, IN_TURN);
    lab.client().wait_for(service);
    let client = lab.client().namespace();
    let before = Nstat::read(client);

    let answers = lab.client().get(service, REQUESTS);
    let echoes = (0..100).filter_map(|_| lab.client().udp(lab.at(method, udp_echo::PORT), "x"));
    let echoes: Vec<_> = echoes.collect();

    assert_eq!((answers.len(), echoes.len()), (REQUESTS, 100));
    assert_eq!(spread(&answers).len(), 3, "{:?}", spread(&answers));
    let lost = Nstat::read(client).moved_since(&before, "TcpExtTCPSynRetrans");
    // A machine that stands still for a second makes some; workers that lose packets, hundreds.
    assert!(lost <= 4, "{lost} SYNs sent again");
    every_packet_reached_its_owner(&gateway);

    let _iperf = iperf::IperfServer::start(lab.servers()[0].namespace());
    for direction in [Direction::Up, Direction::Down] {
        let throughput = iperf::measure(client, lab.vip(method), 3, direction);
        assert!(
            throughput.bytes > 10_000_000,
            "{direction:?}: {throughput:?}"
        );
    }
    assert_eq!(Nstat::read(client).checksum_errors(), 0);
}

fn every_packet_reached_its_owner(gateway: &Gateway) {
    let made = gateway.by_worker("sessions_created");
    assert_eq!(made.len(), 2);
    assert!(
        made.iter().all(|count| *count > 100),
        "both own sessions: {made:?}"
    );
    // The kernel's fanout hash knows nothing of owners: about half of what it hands out is for
    // the other worker, and all of it arrives there.
    let handed_over: u64 = gateway
        .by_worker("arrived_at_wrong_worker")
        .into_iter()
        .sum();
    assert!(handed_over > 1000, "{handed_over} packets were handed over");
    for reason in [
        "handover_full",
        "no_session_for_local_address",
        "transmit_full",
    ] {
        assert_eq!(gateway.drops(reason), 0, "{reason}");
    }
}
