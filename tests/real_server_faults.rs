//! `sluicectl realserver-check`: each classic mistake in a server's set-up is seen from the gateway,
//! and a server without one is well.
// Helpers of tests may panic as tests do.
#![allow(clippy::panic)]

use std::net::{Ipv4Addr, UdpSocket};

use serde_json::Value;
use testnet::gateway_config::{GatewayConfig, IN_TURN, Service};
use testnet::lab::{self, ROUTER_SERVER_SIDE};
use testnet::{Arms, Gateway, Lab, Method, binaries, require_namespaces, run, udp_echo};

/// A UDP service whose program is bound to 0.0.0.0.
const WILDCARD: u16 = 5_300;

/// Services by DR, TUN and NAT; who has the VIP itself is checked there, once.
fn config(lab: &Lab) -> String {
    let wildcard = Service {
        vip: lab.vip(Method::Dr),
        port: WILDCARD,
        protocol: "udp",
        scheduler: "rr",
        method: Method::Dr,
        servers: vec![(lab::server_address(2), WILDCARD, 1)],
    };
    let config = GatewayConfig::of(lab)
        .services_of(lab, Method::Dr)
        .service(wildcard)
        .services_of(lab, Method::Tun)
        .services_of(lab, Method::Nat);
    let text = config.text();
    let direct = [Method::Dr, Method::Tun].map(|method| format!("vip = \"{}\"", lab.vip(method)));
    let check = "[[service.check]]\ntype = \"tcp\"\nvia = \"vip\"\ndelay = 3600\n";
    let mut parts = text.split("\n[[service]]\n");
    let head = parts.next().unwrap_or_default().to_owned();
    let services = parts.map(|service| {
        let is_direct = direct.iter().any(|vip| service.contains(vip));
        let check = if is_direct { check } else { "" };
        format!("\n[[service]]\n{service}\n{check}")
    });
    let services: String = services.collect();
    format!("{head}{services}\n[health]\ncheck_addresses = \"198.18.0.0/20\"\n")
}

/// What is said of a server of the service of a method at a port: the exit code, and each look.
fn looks(
    gateway: &Gateway<'_>,
    lab: &Lab,
    number: u8,
    (method, port): (Method, u16),
) -> (i32, Value) {
    let (server, service) = (lab::server_address(number), lab.at(method, port));
    let words = format!("--json realserver-check --server {server} --service {service}");
    let output = run::output(&mut gateway.ctl(&words));
    let servers: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{words}: {error}: {output:?}"));
    let code = output.status.code().unwrap_or(-1);
    (code, servers[0]["looks"].clone())
}

fn outcome<'a>(looks: &'a Value, about: &str) -> (&'a str, &'a str) {
    let mut all = looks.as_array().into_iter().flatten();
    let look = all.find(|look| look["about"] == about);
    let look = look.unwrap_or_else(|| panic!("nothing about {about}: {looks}"));
    let word = |key: &str| look[key].as_str().unwrap_or_default();
    (word("outcome"), word("says"))
}

#[test]
fn each_mistake_is_seen_and_a_server_without_one_is_well() {
    require_namespaces!();
    let lab = Lab::build(Arms::Two);
    let gateway = Gateway::start(lab.gateway(), binaries!(), &config(&lab));
    for method in [Method::Dr, Method::Tun, Method::Nat] {
        lab.client().wait_for(lab.at(method, IN_TURN));
    }

    servers_that_are_set_up_right_are_well(&gateway, &lab);
    mistakes_on_the_way_are_seen(&gateway, &lab);
    mistakes_at_the_vip_are_seen(&gateway, &lab);
    a_server_that_is_gone_is_not_judged_further(&gateway, &lab);
    drop(gateway);
    what_cannot_be_seen_is_said(&lab);
}

fn servers_that_are_set_up_right_are_well(gateway: &Gateway<'_>, lab: &Lab) {
    for (service, expected) in [
        ((Method::Dr, IN_TURN), &["address", "arp", "vip"][..]),
        (
            (Method::Dr, udp_echo::PORT),
            &["address", "arp", "udp_source"],
        ),
        (
            (Method::Tun, IN_TURN),
            &["address", "arp", "vip", "path_mtu"],
        ),
        ((Method::Nat, IN_TURN), &["address", "way_back"]),
    ] {
        let (code, looks) = looks(gateway, lab, 1, service);
        for about in expected {
            let (outcome, says) = outcome(&looks, about);
            assert_eq!(outcome, "well", "{about}: {says}");
        }
        assert_eq!(code, 0, "{looks}");
        assert_eq!(
            looks.as_array().map(Vec::len),
            Some(expected.len()),
            "{looks}"
        );
    }
    assert!(!gateway.log().contains("ERROR"), "{}", gateway.log());
}

/// Looks at server-2, and expects that something is wrong.
fn wrong(gateway: &Gateway<'_>, lab: &Lab, service: (Method, u16), about: &str, says: &str) {
    let (code, looks) = looks(gateway, lab, 2, service);
    let (outcome, said) = outcome(&looks, about);
    assert_eq!((outcome, code), ("wrong", 1), "{about}: {looks}");
    assert!(said.contains(says), "{about}: {said}");
}

fn mistakes_on_the_way_are_seen(gateway: &Gateway<'_>, lab: &Lab) {
    let server = lab.servers()[1].namespace();
    // First and for good: who answers ARP is not waited for.
    server.sysctl("net.ipv4.conf.all.arp_ignore", "0");
    let dr = (Method::Dr, IN_TURN);
    wrong(gateway, lab, dr, "arp", "answers ARP for 10.1.0.102");

    // By UDP, a program at 0.0.0.0 answers from wherever the route begins.
    let echo = server.inside(|| UdpSocket::bind(("0.0.0.0", WILDCARD)));
    let echo = echo.unwrap_or_else(|error| panic!("{error}"));
    std::thread::spawn(move || {
        let mut buffer = [0; 2_048];
        while let Ok((len, from)) = echo.recv_from(&mut buffer) {
            let _ = echo.send_to(&buffer[..len], from);
        }
    });
    let udp = (Method::Dr, WILDCARD);
    wrong(
        gateway,
        lab,
        udp,
        "udp_source",
        "from its own address 10.2.0.12",
    );

    server.ip(&format!("route replace default via {ROUTER_SERVER_SIDE}"));
    let nat = (Method::Nat, IN_TURN);
    wrong(gateway, lab, nat, "way_back", "past the gateway");

    server.ip("link set eth0 mtu 1400");
    let tun = (Method::Tun, IN_TURN);
    wrong(gateway, lab, tun, "path_mtu", "those of 1380 do");
    server.ip("link set eth0 mtu 1500");
}

fn mistakes_at_the_vip_are_seen(gateway: &Gateway<'_>, lab: &Lab) {
    let server = lab.servers()[1].namespace();
    for method in [Method::Dr, Method::Tun] {
        let vip = lab.vip(method);
        server.run("nft add table ip refuse");
        server.run("nft add chain ip refuse input { type filter hook input priority 0; }");
        server.run(&format!(
            "nft add rule ip refuse input ip daddr {vip} tcp dport {IN_TURN} reject with tcp reset"
        ));
        let service = (method, IN_TURN);
        wrong(gateway, lab, service, "vip", "refuses port 80, though");
        server.run("nft delete table ip refuse");

        // The decapsulator is no router, which would take from the time to live.
        server.ip(&format!("rule add to {vip} blackhole"));
        server.ip(&format!("addr del {vip}/32 dev lo"));
        wrong(
            gateway,
            lab,
            service,
            "vip",
            &format!("does not have {vip}"),
        );
    }
}

fn a_server_that_is_gone_is_not_judged_further(gateway: &Gateway<'_>, lab: &Lab) {
    lab.servers()[1].namespace().ip("link set eth0 down");
    let words = "realserver-check --server 10.2.0.12 --service 10.1.0.101:80";
    let table = run::output(&mut gateway.ctl(words));
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    let heading = "tcp 10.1.0.101:80 -> 10.2.0.12:8080 by nat\n  wrong: ";
    assert!(table.starts_with(heading), "{table}");
    assert!(!table.contains("well:"), "{table}");
    // A service of UDP does not have to take connections, so their silence says nothing.
    for (port, expected) in [(IN_TURN, ("wrong", 1)), (WILDCARD, ("not_looked_at", 0))] {
        let (code, looks) = looks(gateway, lab, 2, (Method::Dr, port));
        assert_eq!((outcome(&looks, "address").0, code), expected, "{looks}");
        assert!(!looks.to_string().contains("\"well\""), "{looks}");
    }
}

/// The VIP is the gateway's only address in its subnet, and Linux would ask with it.
#[test]
fn a_vip_of_no_subnet_is_asked_for_by_the_gateways_own_address() {
    require_namespaces!();
    let lab = Lab::build(Arms::One);
    let vip = Ipv4Addr::new(198, 51, 100, 7);
    let service = Service {
        vip,
        port: IN_TURN,
        protocol: "tcp",
        scheduler: "rr",
        method: Method::Dr,
        servers: vec![(lab::server_address(2), IN_TURN, 1)],
    };
    let config = GatewayConfig::of(&lab)
        .services_of(&lab, Method::Dr)
        .service(service);
    let server = lab.servers()[1].namespace();
    server.ip(&format!("addr add {vip}/32 dev lo"));
    let gateway = Gateway::start(lab.gateway(), binaries!(), &config.text());
    lab.client().wait_for(lab.at(Method::Dr, IN_TURN));
    let arp = |arp_ignore: &str| {
        server.sysctl("net.ipv4.conf.all.arp_ignore", arp_ignore);
        let words = format!("--json realserver-check --service {vip}:{IN_TURN}");
        let output = run::output(&mut gateway.ctl(&words));
        let servers: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{words}: {error}: {output:?}"));
        let (outcome, says) = outcome(&servers[0]["looks"], "arp");
        (outcome.to_owned(), says.to_owned())
    };

    let wrong = arp("0");
    let well = arp("1");

    assert_eq!(
        (wrong.0.as_str(), well.0.as_str()),
        ("wrong", "well"),
        "{wrong:?} {well:?}"
    );
}

fn what_cannot_be_seen_is_said(lab: &Lab) {
    let plain = config(lab).replace("check_addresses = \"198.18.0.0/20\"\n", "");
    let plain = plain.replace("via = \"vip\"\n", "");
    let gateway = Gateway::start(lab.gateway(), binaries!(), &plain);
    lab.client().wait_for(lab.at(Method::Tun, IN_TURN));

    let (code, looks) = looks(&gateway, lab, 1, (Method::Tun, IN_TURN));

    assert_eq!(code, 0, "what was not looked at is not wrong: {looks}");
    for about in ["vip", "path_mtu"] {
        let (outcome, says) = outcome(&looks, about);
        assert_eq!(outcome, "not_looked_at");
        assert!(says.contains("check_addresses"), "{says}");
    }
}
