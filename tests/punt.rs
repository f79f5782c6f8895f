//! What is not load-balanced is Linux's, and no flood takes that away.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use testnet::gateway_config::{GatewayConfig, IN_TURN, twin};
use testnet::lab::{self, CLIENTS};
use testnet::nstat::Nstat;
use testnet::raw::{self, RawSender, TcpListenerIn, flags};
use testnet::{Arms, Binaries, Client, Gateway, Lab, Method, binaries, require_namespaces, run};

fn start(lab: &Lab, binaries: Binaries) -> Gateway<'_> {
    let config = Method::ALL
        .into_iter()
        .fold(GatewayConfig::of(lab), |config, method| {
            config.services_of(lab, method)
        });
    let gateway = Gateway::start(lab.gateway(), binaries, &config.text());
    lab.client().wait_for(lab.at(Method::Nat, IN_TURN));
    gateway
}

#[test]
fn linux_answers_pings_and_arp_for_every_address_of_the_gateway() {
    require_namespaces!();
    let lab = Lab::build(Arms::Two);
    let gateway = start(&lab, binaries!());
    let vips = Method::ALL.map(|method| lab.vip(method));
    let client = lab.client();

    for address in vips.into_iter().chain([lab::GATEWAY_CLIENT_SIDE]) {
        assert_eq!(client.ping(address, 5).answered, 5, "pings to {address}");
        let arping = format!("arping -f -w 5 -I eth0 {address}");
        let text = client.namespace().run(&arping).to_lowercase();
        let twin_mac = mac(&lab, &twin(CLIENTS));
        assert!(
            text.contains(&twin_mac),
            "{address} is at {twin_mac}: {text}"
        );
    }
    assert_eq!(
        mac(&lab, &twin(CLIENTS)),
        mac(&lab, CLIENTS),
        "a twin has its port's MAC"
    );
    let metrics = gateway.metrics();
    for class in ["control", "host"] {
        let punted = metrics.sum("sluice_punted_packets_total", &[("class", class)]);
        assert!(punted > 0.0, "{class}: {punted}");
    }
}

fn mac(lab: &Lab, interface: &str) -> String {
    let text = lab
        .gateway()
        .run(&format!("cat /sys/class/net/{interface}/address"));
    text.trim().to_owned()
}

#[test]
fn a_flood_of_unserved_packets_leaves_pings_arp_and_services_alone() {
    require_namespaces!();
    let lab = Lab::build(Arms::Two);
    let gateway = start(&lab, binaries!());
    let stop = AtomicBool::new(false);
    let unserved = lab.at(Method::Nat, 9999);

    let (sent, pings, arps, answers) = thread::scope(|scope| {
        let flood = scope.spawn(|| flood(lab.client(), unserved, &stop));
        thread::sleep(Duration::from_millis(300));
        let pings = lab.client().ping(lab::GATEWAY_CLIENT_SIDE, 30);
        let arping = format!("arping -q -f -w 5 -I eth0 {}", lab.vip(Method::Dr));
        let arps = run::output(&mut lab.client().namespace().command(&arping))
            .status
            .success();
        let answers = lab.client().get(lab.at(Method::Nat, IN_TURN), 50).len();
        stop.store(true, Ordering::Relaxed);
        (
            flood.join().expect("a flood cannot fail"),
            pings,
            arps,
            answers,
        )
    });

    eprintln!("{sent} unserved packets while pinging");
    assert!(sent > 5_000, "that is no flood: {sent}");
    // A machine that stands still may lose some; a limit shared with the flood would lose nearly all.
    assert!(pings.answered == 30 && pings.sent <= 40, "{pings:?}");
    assert_eq!((arps, answers), (true, 50));
    let metrics = gateway.metrics();
    assert!(
        gateway.drops("punt_limit") > 0,
        "the flood is held back by the limit of its class"
    );
    let punted = metrics.sum("sluice_punted_packets_total", &[("class", "unserved")]);
    assert!(
        punted > 0.0,
        "some of it reaches Linux, which says that the port is closed"
    );
}

/// Sends about twenty packets a millisecond: many times what Linux is given, but not so many that
/// the machine itself is the limit.
fn flood(client: &Client, target: SocketAddrV4, stop: &AtomicBool) -> u64 {
    let socket = client.udp_socket();
    let sent = AtomicU64::new(0);
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..20 {
            // Linux's "port unreachable" shows up here as an error, and means nothing.
            let _ = socket.send_to(b"nobody asked for this", target);
            sent.fetch_add(1, Ordering::Relaxed);
        }
        thread::sleep(Duration::from_millis(1));
    }
    sent.into_inner()
}

#[test]
fn spoofed_tcp_to_a_local_address_is_dropped_by_name_and_linux_sends_no_reset() {
    require_namespaces!();
    let lab = Lab::build(Arms::Two);
    let gateway = start(&lab, binaries!());
    let client = lab.client().namespace();
    client.ip(&format!(
        "route add 10.2.0.0/24 via {}",
        lab::GATEWAY_CLIENT_SIDE
    ));
    let server = lab.servers()[0].namespace();
    let listeners = [TcpListenerIn::open(client), TcpListenerIn::open(server)];
    let before = Nstat::read(lab.gateway());
    let dropped_before = gateway.drops("no_session_for_local_address");

    let senders = [(client, lab::CLIENT), (server, lab::server_address(1))];
    for (host, address) in senders {
        let sender = RawSender::open(host);
        for (port, flags) in [
            (1000_u16, flags::SYN),
            (2000, flags::ACK),
            (3000, flags::RST),
        ] {
            let from = SocketAddrV4::new(address, port);
            let to = SocketAddrV4::new(lab::LOCAL_ADDRESS, 40_000);
            sender.send(&raw::tcp(from, to, flags));
        }
    }

    let all = senders.len() as u64 * 3;
    let counted = run::eventually(Duration::from_secs(3), || {
        gateway.drops("no_session_for_local_address") >= dropped_before + all
    });
    assert!(
        counted,
        "{} dropped",
        gateway.drops("no_session_for_local_address")
    );
    for listener in listeners {
        let heard = listener.heard_within(Duration::from_millis(300));
        let from_lip = heard
            .iter()
            .filter(|tcp| *tcp.from.ip() == lab::LOCAL_ADDRESS);
        assert_eq!(from_lip.count(), 0, "{heard:?}");
    }
    assert_eq!(
        Nstat::read(lab.gateway()).moved_since(&before, "TcpOutRsts"),
        0
    );
}

#[test]
fn linux_resets_connections_to_a_vip_on_a_port_without_a_service() {
    require_namespaces!();
    let lab = Lab::build(Arms::Two);
    let _gateway = start(&lab, binaries!());
    let listener = TcpListenerIn::open(lab.client().namespace());
    let closed = lab.at(Method::Nat, 9999);

    let from = SocketAddrV4::new(Ipv4Addr::new(10, 1, 0, 2), 1234);
    RawSender::open(lab.client().namespace()).send(&raw::tcp(from, closed, flags::SYN));

    let heard = listener.heard_within(Duration::from_secs(2));
    let reset = heard
        .iter()
        .any(|tcp| tcp.from == closed && tcp.flags & flags::RST != 0);
    assert!(reset, "`unserved` is Linux's by default: {heard:?}");
}
