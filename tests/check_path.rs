//! Checks that go where the traffic goes: to the VIP on one server, by DR and by TUN.
// Helpers of tests may panic as tests do.
#![allow(clippy::expect_used)]

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::process::Stdio;
use std::time::Duration;

use testnet::gateway_config::{GatewayConfig, IN_TURN, twin};
use testnet::lab::{self, CLIENTS};
use testnet::{Arms, Gateway, Lab, Method, Namespace, binaries, require_namespaces, run, udp_echo};

/// The name of the check interface, the one that nobody has to give.
const INTERFACE: &str = "sluice-check";

/// The check interface's own address, from which checks come.
const CHECKER: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);

/// The check address of the server that is the `number`th of the file, from 0.
fn check_address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(198, 18, 0, 2 + number)
}

/// Services by DR and by TUN. Those of one method are HTTP in turn, HTTP by weight and UDP echo, of
/// three servers each, and iperf3's of one: ten servers that have check addresses in this order.
fn config(lab: &Lab) -> String {
    let config = GatewayConfig::of(lab)
        .services_of(lab, Method::Dr)
        .services_of(lab, Method::Tun);
    // Who is checked at the VIP has a check address; who checks is the test.
    let check = "[[service.check]]\ntype = \"tcp\"\nvia = \"vip\"\ndelay = 3600\n";
    let services = config
        .text()
        .replace("[[service]]", &format!("{check}[[service]]"));
    let services = services.replacen(check, "", 1) + check;
    format!("{services}\n[health]\ncheck_addresses = \"198.18.0.0/20\"\n")
}

/// The numbers of the first servers of a method's services: HTTP in turn, and UDP echo.
const fn first_of(method: Method) -> (u8, u8) {
    match method {
        Method::Tun => (10, 16),
        _ => (0, 6),
    }
}

/// Asks a server's page over its check address, as a check would; the page, or why there is none.
fn page(gateway: &Namespace, number: u8, port: u16) -> Result<String, String> {
    let address = check_address(number);
    let line = format!(
        "curl --silent --show-error --max-time 2 --interface {CHECKER} http://{address}:{port}/"
    );
    let output = run::output(&mut gateway.command(&line));
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

fn wait_for(gateway: &Namespace, number: u8) {
    let answers = || page(gateway, number, IN_TURN).is_ok();
    let in_time = run::eventually(Duration::from_secs(10), answers);
    assert!(in_time, "{:?}", page(gateway, number, IN_TURN));
}

/// A datagram there and back over a check address: the answer, or the error that a check sees.
fn echoed(gateway: &Namespace, number: u8, port: u16) -> Result<String, std::io::Error> {
    gateway.inside(|| {
        let socket = UdpSocket::bind((CHECKER, 0))?;
        socket.set_read_timeout(Some(Duration::from_secs(2)))?;
        socket.connect((check_address(number), port))?;
        socket.send(b"hello")?;
        let mut buffer = [0; 100];
        let length = socket.recv(&mut buffer)?;
        Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
    })
}

/// The address from which the gateway speaks with servers, and they see checks come.
fn own_address() -> Ipv4Addr {
    lab::GATEWAY_SERVER_SIDE
}

fn checks_reach_the_vip_on_each_server(lab: &Lab, method: Method) {
    let gateway = lab.gateway();
    let (http, echo) = first_of(method);
    for (number, server) in (0..).zip(lab.servers()) {
        wait_for(gateway, http + number);
        let vip = SocketAddrV4::new(lab.vip(method), IN_TURN);
        let seen = format!("{} {} {vip}", server.name(), own_address());
        assert_eq!(page(gateway, http + number, IN_TURN), Ok(seen));

        let address = check_address(http + number);
        gateway.run(&format!("ping -n -c 1 -W 2 -I {CHECKER} {address}"));

        let answer = echoed(gateway, echo + number, udp_echo::PORT).expect("it is answered");
        let seen = format!("{} {} hello", server.name(), own_address());
        assert_eq!(answer, seen);
    }
}

#[test]
fn checks_reach_the_vip_on_each_server_with_one_arm() {
    require_namespaces!();
    let lab = Lab::build(Arms::One);
    let _gateway = Gateway::start(lab.gateway(), binaries!(), &config(&lab));

    for method in [Method::Dr, Method::Tun] {
        checks_reach_the_vip_on_each_server(&lab, method);
    }
}

#[test]
fn checks_reach_the_vip_on_each_server_with_two_arms_while_clients_are_served() {
    require_namespaces!();
    let lab = Lab::build(Arms::Two);
    let gateway = Gateway::start(lab.gateway(), binaries!(), &config(&lab));
    for method in [Method::Dr, Method::Tun] {
        lab.client().wait_for(lab.at(method, IN_TURN));
    }
    let traffic = lab.at(Method::Dr, IN_TURN);
    let sessions = || gateway.sessions_by_server(traffic).values().sum::<u64>();
    let before = sessions();
    // One connection, which ends with the first request that fails.
    let line = format!(
        "curl --silent --fail --fail-early --max-time 5 --output /dev/null \
         http://{traffic}/?[1-1000000]"
    );
    let mut curl = lab.client().namespace().command(&line);
    let curl = curl.stdout(Stdio::null()).spawn();
    let mut curl = curl.expect("curl is installed");

    for method in [Method::Dr, Method::Tun] {
        checks_reach_the_vip_on_each_server(&lab, method);
    }

    let outcome = curl.try_wait();
    assert!(
        matches!(outcome, Ok(None)),
        "the traffic stopped: {outcome:?}"
    );
    let ended = curl.kill().and_then(|()| curl.wait());
    ended.expect("curl is our child");
    assert_eq!(sessions(), before + 1, "checks make no sessions");
    let metrics = gateway.metrics();
    for carried in ["to_servers", "to_checks"] {
        let name = format!("sluice_check_path_{carried}_packets_total");
        assert!(metrics.sum(&name, &[]) > 30.0, "{name}");
    }
}

#[test]
fn a_server_without_the_vip_or_the_service_fails_its_check() {
    require_namespaces!();
    let lab = Lab::build(Arms::Two);
    let gateway = Gateway::start(lab.gateway(), binaries!(), &config(&lab));
    let host = lab.gateway();
    let (dr, dr_echo) = first_of(Method::Dr);
    let (tun, _) = first_of(Method::Tun);
    wait_for(host, dr);
    wait_for(host, tun);

    // Nobody listens there: a reset, and an ICMP error, both come back.
    let refused = page(host, dr, 9).expect_err("nobody listens there");
    // curl's number for it; its words change.
    assert!(refused.contains("curl: (7)"), "{refused}");
    let refused = echoed(host, dr_echo, 9).expect_err("nobody listens there");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);

    // Without the VIP a server is silent, while its own address still answers; also one that
    // forwards, whose packets come back to the gateway.
    let server = lab.servers()[0].namespace();
    server.sysctl("net.ipv4.ip_forward", "1");
    // The decapsulator is no router, which would take from the time to live.
    server.ip(&format!("rule add to {} blackhole", lab.vip(Method::Tun)));
    for method in [Method::Dr, Method::Tun] {
        server.ip(&format!("addr del {}/32 dev lo", lab.vip(method)));
    }
    for number in [dr, tun] {
        let silent = page(host, number, IN_TURN).expect_err("the VIP is gone");
        assert!(silent.contains("curl: (28)"), "{silent}");
        assert!(page(host, number + 1, IN_TURN).is_ok());
    }
    let log = gateway.log();
    assert!(!log.contains("WARN"), "{log}");
    let own = lab.servers()[0].at(IN_TURN);
    host.run(&format!(
        "curl --silent --max-time 2 --output /dev/null http://{own}/"
    ));
}

#[test]
fn only_the_gateways_own_checks_get_through() {
    require_namespaces!();
    let lab = Lab::build(Arms::Two);
    // As on most hosts; the namespaces of tests have none.
    for scope in ["all", "default"] {
        (lab.gateway()).run(&format!(
            "sysctl -q -w net.ipv6.conf.{scope}.disable_ipv6=0"
        ));
    }
    let gateway = Gateway::start(lab.gateway(), binaries!(), &config(&lab));
    let (number, _) = first_of(Method::Dr);
    wait_for(lab.gateway(), number);
    let client = lab.client().namespace();
    client.ip(&format!(
        "route add 198.18.0.0/20 via {}",
        lab::GATEWAY_CLIENT_SIDE
    ));
    let refused = || {
        let name = "sluice_check_path_refused_packets_total";
        let reason = [("reason", "not_a_check")];
        gateway.metrics().sum(name, &reason)
    };
    let before = refused();
    assert_eq!(before, 0.0, "what Linux says of its own accord is no check");

    let address = check_address(number);
    let line = format!("curl --silent --max-time 2 http://{address}:{IN_TURN}/");
    let output = run::output(&mut client.command(&line));

    assert!(!output.status.success(), "{output:?}");
    assert!(refused() > before, "Linux has forwarded it as far as that");
}

fn has_check_interface(host: &Namespace) -> bool {
    host.ip("-o link").contains(&format!(": {INTERFACE}:"))
}

#[test]
fn a_stop_or_a_sudden_death_takes_the_check_interface_along_and_a_start_brings_it_back() {
    require_namespaces!();
    let lab = Lab::build(Arms::Two);
    let host = lab.gateway();
    let (number, _) = first_of(Method::Dr);
    let gateway = Gateway::start(host, binaries!(), &config(&lab));
    wait_for(host, number);
    assert!(has_check_interface(host));
    assert!(
        host.ip("route")
            .contains(&format!("198.18.0.0/20 dev {INTERFACE}"))
    );

    gateway.kill();
    let gateway = Gateway::start(host, binaries!(), &config(&lab));
    wait_for(host, number);
    let (took, status) = gateway.stop();

    assert!(
        took < Duration::from_millis(2_500) && status.success(),
        "{took:?} {status}"
    );
    assert!(!has_check_interface(host));
    assert!(!host.ip("-o link").contains(&twin(CLIENTS)));
    assert!(!host.ip("route").contains("198.18."));

    // Without the range there is none.
    let plain = GatewayConfig::of(&lab).services_of(&lab, Method::Dr);
    let _gateway = Gateway::start(host, binaries!(), &plain.text());
    lab.client().wait_for(lab.at(Method::Dr, IN_TURN));
    assert!(!has_check_interface(host));
}

#[test]
fn a_start_beside_another_interface_of_that_name_says_so_and_leaves_it() {
    require_namespaces!();
    let lab = Lab::build(Arms::Two);
    let host = lab.gateway();
    host.ip(&format!("tuntap add dev {INTERFACE} mode tap"));

    let output = Gateway::expect_refusal(host, binaries!(), &config(&lab));

    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    assert!(!output.status.success(), "{said}");
    assert_eq!(said.lines().count(), 1, "one sentence, no more: {said}");
    for word in [INTERFACE, "check_interface"] {
        assert!(said.contains(word), "{word:?} is missing in: {said}");
    }
    assert!(has_check_interface(host));
    assert!(!host.ip("-o link").contains(&twin(CLIENTS)));
}
