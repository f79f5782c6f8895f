//! Servers that fail, come back and are taken out, before clients and operators.
// Helpers of tests may panic as tests do.
#![allow(clippy::expect_used)]

use std::fmt::Write as _;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use testnet::client::spread;
use testnet::gateway_config::{GatewayConfig, IN_TURN, http_port};
use testnet::lab;
use testnet::nginx::Nginx;
use testnet::run::Running;
use testnet::{Arms, Gateway, Lab, Method, binaries, require_namespaces, run};

/// How long what follows from a check may take: two intervals, and what a busy machine needs.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is said of checks: one in 200 ms, without second attempts. Whoever died refuses at once, so
/// only a busy machine needs the time.
const CHECK: &str = "[[service.check]]\ntype = \"tcp\"\ninterval = \"200ms\"\ntimeout = \"5s\"\n\
                     retry = 0\n";

/// A lab with one service by NAT for the first `servers` servers, of which `health` is said.
fn config(lab: &Lab, servers: u8, weight: u32, health: &str) -> String {
    let mut text = GatewayConfig::of(lab).text();
    let (vip, port) = (lab.vip(Method::Nat), http_port(Method::Nat, IN_TURN));
    let _ = write!(
        text,
        "\n[[service]]\nname = \"web\"\nvip = \"{vip}\"\nport = {IN_TURN}\nprotocol = \"tcp\"\n\
         scheduler = \"rr\"\ndamping = false\n{health}\n{CHECK}"
    );
    for number in 1..=servers {
        let address = lab::server_address(number);
        let _ = write!(
            text,
            "\n[[service.server]]\naddress = \"{address}\"\nport = {port}\nmethod = \"nat\"\n\
             weight = {weight}\n"
        );
    }
    text
}

/// Kills the web server of a host as an accident would.
fn kill_nginx(lab: &Lab, number: usize) {
    let host = lab.servers()[number - 1].namespace();
    let file = host.dir().join("nginx.pid");
    let id = std::fs::read_to_string(file).expect("nginx has written it");
    host.run(&format!("kill -9 {}", id.trim()));
}

/// Starts it again; it ends when dropped.
fn start_nginx(lab: &Lab, number: usize) -> Nginx {
    let server = &lab.servers()[number - 1];
    let blob = server.namespace().dir().join("no-blob");
    Nginx::start(server.namespace(), server.name(), &blob)
}

/// What is known of a server of the service `web`.
fn server(gateway: &Gateway<'_>, number: u8) -> Value {
    // A service without quorum makes an exit code of its own.
    let output = run::output(&mut gateway.ctl("--json health web"));
    let services: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let servers = services[0]["servers"]
        .as_array()
        .expect("servers are a list");
    let address = lab::server_address(number).to_string();
    let is_it = |it: &&Value| {
        let text = it["address"].as_str().expect("a server has an address");
        text.starts_with(&format!("{address}:"))
    };
    servers.iter().find(is_it).expect("it is watched").clone()
}

fn wait_for_state(gateway: &Gateway<'_>, number: u8, state: &str) {
    let is_so = run::eventually(PATIENCE, || server(gateway, number)["state"] == state);
    assert!(
        is_so,
        "{number} is not {state}: {}",
        server(gateway, number)
    );
}

/// `sluice-agent` on a real server, which says what an operator has written for it; it ends when
/// dropped.
struct Agent {
    _child: Running,
    file: PathBuf,
}

impl Agent {
    fn start(lab: &Lab, number: usize) -> Self {
        let host = lab.servers()[number - 1].namespace();
        let program = Path::new(binaries!().sluice).with_file_name("sluice-agent");
        assert!(program.exists(), "build it: cargo build -p sluice-agent");
        let file = host.dir().join("agent");
        std::fs::write(&file, "").expect("the host's directory is writable");
        let line = format!("{} --file {}", program.display(), file.display());
        let child = host.command(&line).spawn().expect("it was just there");
        Self {
            _child: Running(child),
            file,
        }
    }

    fn say(&self, word: &str) {
        std::fs::write(&self.file, word).expect("the host's directory is writable");
    }
}

fn listed(gateway: &Gateway<'_>) -> String {
    run::must(&mut gateway.ctl("ipvsadm -Ln"))
}

fn by_server(lab: &Lab, service: SocketAddrV4, requests: usize) -> Vec<(String, usize)> {
    let answers = lab.client().get(service, requests);
    assert_eq!(answers.len(), requests, "every request is answered");
    let spread = spread(&answers).into_iter();
    spread
        .map(|(name, count)| (name.to_owned(), count))
        .collect()
}

fn of(numbers: &[u8], each: usize) -> Vec<(String, usize)> {
    let name = |number: &u8| (format!("server-{number}"), each);
    numbers.iter().map(name).collect()
}

#[test]
fn a_server_that_dies_gets_no_clients_until_it_is_back_and_starts_slowly() {
    require_namespaces!();
    let lab = Lab::build(Arms::Two);
    let text = config(&lab, 3, 100, "slow_start = \"20s\"");
    let gateway = Gateway::start(lab.gateway(), binaries!(), &text);
    let web = lab.at(Method::Nat, IN_TURN);
    lab.client().wait_for(web);
    for number in 1..=3 {
        wait_for_state(&gateway, number, "up");
    }
    assert_eq!(by_server(&lab, web, 30), of(&[1, 2, 3], 10));

    kill_nginx(&lab, 2);

    wait_for_state(&gateway, 2, "down");
    assert_eq!(by_server(&lab, web, 30), of(&[1, 3], 15));
    assert!(!listed(&gateway).contains("10.2.0.12"));
    let services = run::must(&mut gateway.ctl("services"));
    assert!(services.contains("down: connection refused"), "{services}");
    let line = "is down: connection refused";
    assert!(gateway.log().contains(line), "{}", gateway.log());
    assert!(run::must(&mut gateway.ctl("config")).contains("10.2.0.12"));

    let _nginx = start_nginx(&lab, 2);

    wait_for_state(&gateway, 2, "up");
    let services = run::must(&mut gateway.ctl("services"));
    assert!(services.contains("of weight 100: slow start"), "{services}");
    let weight = server(&gateway, 2)["effective_weight"].as_u64();
    assert!(
        weight.is_some_and(|it| (10..100).contains(&it)),
        "{weight:?}"
    );
    let all = by_server(&lab, web, 30);
    assert!(all.iter().any(|(name, _)| name == "server-2"), "{all:?}");
    let before = weight;
    let grows = run::eventually(PATIENCE, || {
        server(&gateway, 2)["effective_weight"].as_u64() > before
    });
    assert!(grows, "its weight stays {before:?}");
}

#[test]
fn without_quorum_the_sorry_server_answers_until_there_is_one_again() {
    require_namespaces!();
    let lab = Lab::build(Arms::Two);
    let (sorry, port) = (lab::server_address(3), http_port(Method::Nat, IN_TURN));
    let health = format!(
        "quorum = 2\nsorry_server = {{ address = \"{sorry}\", port = {port}, method = \"nat\" }}"
    );
    let gateway = Gateway::start(lab.gateway(), binaries!(), &config(&lab, 2, 1, &health));
    let web = lab.at(Method::Nat, IN_TURN);
    lab.client().wait_for(web);
    for number in 1..=2 {
        wait_for_state(&gateway, number, "up");
    }
    assert_eq!(by_server(&lab, web, 10), of(&[1, 2], 5));

    kill_nginx(&lab, 1);

    wait_for_state(&gateway, 1, "down");
    assert_eq!(by_server(&lab, web, 10), of(&[3], 10));
    let saved = run::must(&mut gateway.ctl("ipvsadm -Sn"));
    assert!(saved.contains("10.2.0.12") && !saved.contains("10.2.0.13"));
    assert!(gateway.log().contains("has lost its quorum"));

    let _nginx = start_nginx(&lab, 1);

    wait_for_state(&gateway, 1, "up");
    assert_eq!(by_server(&lab, web, 10), of(&[1, 2], 5));
}

#[test]
fn a_server_can_be_inhibited_or_taken_out_by_the_operator() {
    require_namespaces!();
    let lab = Lab::build(Arms::Two);
    let text = config(&lab, 3, 1, "inhibit_on_failure = true");
    let gateway = Gateway::start(lab.gateway(), binaries!(), &text);
    let web = lab.at(Method::Nat, IN_TURN);
    lab.client().wait_for(web);
    for number in 1..=3 {
        wait_for_state(&gateway, number, "up");
    }

    kill_nginx(&lab, 1);

    wait_for_state(&gateway, 1, "down");
    let line = "  -> 10.2.0.11:8080               Masq    0 ";
    assert!(listed(&gateway).contains(line), "{}", listed(&gateway));
    assert_eq!(by_server(&lab, web, 10), of(&[2, 3], 5));

    let said = run::must(&mut gateway.ctl("disable 10.2.0.12"));
    assert!(said.contains("10.2.0.12:8080: disabled"), "{said}");
    assert_eq!(by_server(&lab, web, 10), of(&[3], 10));
    wait_for_state(&gateway, 2, "disabled");
    assert!(run::must(&mut gateway.ctl("config --toml")).contains("enabled = false"));

    run::must(&mut gateway.ctl("enable 10.2.0.12 --service web"));
    wait_for_state(&gateway, 2, "up");
    assert_eq!(by_server(&lab, web, 10), of(&[2, 3], 5));
}

#[test]
fn a_servers_agent_drains_it_and_brings_it_back() {
    require_namespaces!();
    let lab = Lab::build(Arms::Two);
    let agent = Agent::start(&lab, 1);
    let health = "agent = { port = 9999, interval = \"200ms\" }";
    let gateway = Gateway::start(lab.gateway(), binaries!(), &config(&lab, 2, 100, health));
    let web = lab.at(Method::Nat, IN_TURN);
    lab.client().wait_for(web);
    // The second server has no agent, and its checks alone decide.
    for number in 1..=2 {
        wait_for_state(&gateway, number, "up");
    }
    assert_eq!(by_server(&lab, web, 10), of(&[1, 2], 5));

    agent.say("drain");

    wait_for_state(&gateway, 1, "draining");
    let line = "  -> 10.2.0.11:8080               Masq    0 ";
    assert!(listed(&gateway).contains(line), "{}", listed(&gateway));
    assert_eq!(by_server(&lab, web, 10), of(&[2], 10));

    agent.say("up");

    wait_for_state(&gateway, 1, "up");
    let both = by_server(&lab, web, 10);
    assert!(both.iter().any(|(name, _)| name == "server-1"), "{both:?}");
}
