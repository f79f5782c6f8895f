//! The lab itself, without a gateway: what tests stand on must stand.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use testnet::lab::{self, Arms, GATEWAY_SERVER_SIDE, Lab, Method, SERVERS};
use testnet::nstat::Nstat;
use testnet::raw::{self, RawSender, TcpListenerIn, flags};
use testnet::{Namespace, iperf, require_namespaces, run};

/// Lets the client and the servers talk without a gateway, through the router.
fn give_the_client_a_way(lab: &Lab) {
    let router = lab::ROUTER_CLIENT_SIDE;
    lab.client()
        .namespace()
        .ip(&format!("route replace default via {router}"));
    for server in lab.servers() {
        let router = lab::ROUTER_SERVER_SIDE;
        server
            .namespace()
            .ip(&format!("route replace default via {router}"));
    }
}

#[test]
fn every_server_says_who_it_is_and_whom_it_sees() {
    require_namespaces!();
    let lab = Lab::build(Arms::Two);
    give_the_client_a_way(&lab);

    for server in lab.servers() {
        for port in testnet::nginx::PORTS {
            let answers = lab.client().get(server.at(port), 5);

            assert_eq!(answers.len(), 5, "{} port {port}", server.name());
            assert!(answers.iter().all(|answer| answer.server == server.name()));
            assert!(
                answers
                    .iter()
                    .all(|answer| answer.seen_client == lab::CLIENT)
            );
            assert_eq!(answers[0].rest, server.at(port).to_string());
        }
        let echo = lab
            .client()
            .udp(server.at(testnet::udp_echo::PORT), "hello there");
        let echo = echo.expect("the echo service answers");
        assert_eq!(
            (echo.server.as_str(), echo.rest.as_str()),
            (server.name(), "hello there")
        );
    }
    assert_eq!(lab.client().ping(lab.servers()[0].address(), 3).answered, 3);
}

#[test]
fn files_arrive_whole_in_both_directions_and_iperf_measures() {
    require_namespaces!();
    let lab = Lab::build(Arms::One);
    give_the_client_a_way(&lab);
    let server = &lab.servers()[0];

    let downloaded = lab.client().download(server.at(80));
    lab.client()
        .upload(server.at(80), lab.blob().file(), "copy");

    assert_eq!(downloaded, lab.blob().sha256());
    let copy = server.nginx().uploaded("copy");
    assert_eq!(testnet::client::sha256(&copy), lab.blob().sha256());
    let _iperf = iperf::IperfServer::start(server.namespace());
    for direction in [iperf::Direction::Up, iperf::Direction::Down] {
        let host = lab.client().namespace();
        let throughput = iperf::measure(host, server.address(), 1, direction);
        assert!(
            throughput.bytes > 1_000_000,
            "{direction:?}: {throughput:?}"
        );
    }
    assert_eq!(Nstat::read(server.namespace()).checksum_errors(), 0);
}

#[test]
fn only_the_gateway_would_answer_arp_for_a_vip_of_dr_or_tun() {
    require_namespaces!();
    let lab = Lab::build(Arms::One);
    let router = lab.network().namespace();

    for method in [Method::Dr, Method::Tun] {
        let line = format!("arping -q -c 2 -w 1 -I {SERVERS} {}", lab.vip(method));
        let output = run::output(&mut router.command(&line));
        assert!(
            !output.status.success(),
            "a server answers for {}",
            lab.vip(method)
        );
    }
    let line = format!(
        "arping -q -f -w 5 -I {SERVERS} {}",
        lab.servers()[0].address()
    );
    router.run(&line);
}

#[test]
fn the_decapsulator_lets_a_client_s_packet_in_and_the_answer_goes_to_the_client() {
    require_namespaces!();
    let lab = Lab::build(Arms::Two);
    let server = &lab.servers()[0];
    lab.gateway()
        .ip(&format!("addr add {GATEWAY_SERVER_SIDE}/24 dev {SERVERS}"));
    let gateway = RawSender::open(lab.gateway());
    let socket = lab.client().udp_socket();
    let port = socket.local_addr().expect("it is bound").port();
    let from = SocketAddrV4::new(lab::CLIENT, port);
    let to = lab.at(Method::Tun, testnet::udp_echo::PORT);

    let inner = raw::udp(from, to, b"through the tunnel");
    gateway.send(&raw::ipv4(GATEWAY_SERVER_SIDE, server.address(), 4, &inner));
    let elsewhere = raw::udp(
        from,
        lab.at(Method::Dr, testnet::udp_echo::PORT),
        b"not its VIP",
    );
    gateway.send(&raw::ipv4(
        GATEWAY_SERVER_SIDE,
        server.address(),
        4,
        &elsewhere,
    ));

    let mut buffer = [0; 100];
    let (length, sender) = socket.recv_from(&mut buffer).expect("the server answers");
    assert_eq!(sender, to.into(), "the answer comes from the VIP");
    let text = String::from_utf8_lossy(&buffer[..length]);
    assert_eq!(text, format!("server-1 {} through the tunnel", lab::CLIENT));
    assert!(
        socket.recv_from(&mut buffer).is_err(),
        "what is not for its VIP stays out"
    );
    assert_eq!(server.decapsulated(), 1);
}

#[test]
fn a_tcp_packet_made_by_hand_meets_a_reset_and_the_listener_hears_it() {
    require_namespaces!();
    let lab = Lab::build(Arms::Two);
    give_the_client_a_way(&lab);
    let server = &lab.servers()[0];
    let listener = TcpListenerIn::open(lab.client().namespace());
    let before = Nstat::read(server.namespace());

    let closed = server.at(4444);
    let from = SocketAddrV4::new(lab::CLIENT, 5555);
    RawSender::open(lab.client().namespace()).send(&raw::tcp(from, closed, flags::ACK));

    let heard = listener.heard_within(Duration::from_secs(2));
    assert!(
        heard
            .iter()
            .any(|tcp| tcp.from == closed && tcp.flags & flags::RST != 0)
    );
    assert_eq!(
        Nstat::read(server.namespace()).moved_since(&before, "TcpOutRsts"),
        1
    );
}

#[test]
fn a_dropped_lab_leaves_no_namespace_process_or_file_behind() {
    require_namespaces!();
    let lab = Lab::build(Arms::Two);
    let server = lab.servers()[0].namespace();
    let (name, dir) = (server.name().to_owned(), server.dir().to_owned());
    let processes = server.processes();
    assert!(!processes.is_empty() && dir.exists());
    assert!(run::must(&mut run::command("ip netns list")).contains(&name));

    drop(lab);

    assert!(!run::must(&mut run::command("ip netns list")).contains(&name));
    assert!(!dir.exists());
    for pid in processes {
        assert!(
            !std::path::Path::new("/proc").join(pid.to_string()).exists(),
            "{pid}"
        );
    }
}

#[test]
fn a_namespace_of_a_dead_process_is_swept() {
    require_namespaces!();
    // The kernel's largest process number on 64 bits is 2^22, so this one never lived.
    let dead = "slt-4194305-0-client";
    run::must(&mut run::command(&format!("ip netns add {dead}")));

    // The sweep runs once in a process, so it takes a second one to see it: this test's own
    // binary, asked to do nothing but make a namespace.
    let program = std::env::current_exe().expect("a test knows its program");
    let mut again = std::process::Command::new(program);
    run::must(again.args(["--exact", "--include-ignored", "making_a_namespace_sweeps"]));

    assert!(!run::must(&mut run::command("ip netns list")).contains(dead));
}

#[test]
fn making_a_namespace_sweeps() {
    require_namespaces!();
    let namespace = Namespace::create("sweeper");

    let answer = namespace.inside(|| std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 80)));

    assert!(answer.is_ok(), "a fresh namespace has every port free");
}
