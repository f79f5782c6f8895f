//! Debian's Prometheus scrapes a gateway at work with the files of `conf/prometheus`, and every
//! panel, variable and alert of ours is asked of it.
// Helpers of tests may panic as tests do.
#![allow(clippy::expect_used, clippy::panic)]

mod panels;

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use testnet::gateway_config::{GatewayConfig, IN_TURN, MAPPED, servers_at};
use testnet::udp_echo::{self, UdpEcho};
use testnet::{
    Arms, Gateway, Lab, Method, Prometheus, binaries, gateway_config, lab, require_namespaces, run,
};

use panels::{Asked, asked, dashboards, every_exception_is_of_one_query, filled, list, text};

/// How long data may take to be there: a few scrapes, and what a busy machine needs.
const PATIENCE: Duration = Duration::from_secs(120);

/// The port of the UDP service whose datagrams are scheduled each for itself.
const ONE_PACKET: u16 = 8;

/// A port of a real server where nobody listens.
const DEAD: u16 = 8099;

fn place(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// A gateway that has something to tell for each panel.
fn config(lab: &Lab) -> String {
    let [nat, dr, fullnat] = [Method::Nat, Method::Dr, Method::Fullnat].map(|it| lab.vip(it));
    let server = |address: Ipv4Addr, port: u16, method: &str| {
        format!(
            "[[service.server]]\naddress = \"{address}\"\nport = {port}\nmethod = \"{method}\"\n"
        )
    };
    let three = |port: u16, method: &str| -> String {
        let servers = servers_at(port, [1; 3]).into_iter();
        servers
            .map(|(it, port, _)| server(it, port, method))
            .collect()
    };
    let service = |vip: Ipv4Addr, port: u16, protocol: &str, more: &str| {
        format!(
            "\n[[service]]\nvip = \"{vip}\"\nport = {port}\nprotocol = \"{protocol}\"\n\
             scheduler = \"rr\"\n{more}\n"
        )
    };
    let check = "[[service.check]]\ntype = \"tcp\"\ninterval = \"500ms\"\ntimeout = \"5s\"\n";
    let text = GatewayConfig::of(lab).workers(2).text();
    let text = text.replacen(
        "[gateway]",
        "[gateway]\nannounce_table = 201\nnode_ipvs_metrics = true",
        1,
    );
    let pool = format!(
        "\n[health]\ncheck_addresses = \"198.18.0.0/20\"\n\
         \n[[local_pool]]\nname = \"local\"\naddresses = [\"{}\"]\n",
        lab::LOCAL_ADDRESS
    );
    [
        text,
        pool,
        service(nat, IN_TURN, "tcp", "persistent = \"5m\"\ndamping = false"),
        check.to_owned(),
        three(MAPPED, "nat"),
        // Nobody is there: a server that is down.
        server(lab::server_address(1), DEAD, "nat"),
        service(dr, IN_TURN, "tcp", ""),
        format!("{check}via = \"vip\"\n"),
        three(IN_TURN, "dr"),
        service(fullnat, IN_TURN, "tcp", "local_pool = \"local\""),
        three(MAPPED, "fullnat"),
        service(dr, ONE_PACKET, "udp", "one_packet = true"),
        three(ONE_PACKET, "dr"),
        // The gateway itself is a server, too.
        service(nat, udp_echo::PORT, "udp", ""),
        server(lab::GATEWAY_SERVER_SIDE, udp_echo::PORT, "nat"),
        server(lab::server_address(1), udp_echo::PORT, "nat"),
    ]
    .concat()
}

/// Something of everything that clients do, well or badly; the connection stays open until it is
/// dropped.
fn traffic(lab: &Lab) -> TcpStream {
    let client = lab.client();
    let web = lab.at(Method::Nat, IN_TURN);
    let open = client.namespace().inside(|| TcpStream::connect(web));
    for method in [Method::Nat, Method::Dr, Method::Fullnat] {
        // A busy machine may lose one; the panels say what came.
        let _answers = client.get(lab.at(method, IN_TURN), 5);
    }
    for _ in 0..2 {
        let _answer = client.udp(lab.at(Method::Nat, udp_echo::PORT), "hello");
    }
    let socket = client.udp_socket();
    // Nobody echoes there, which is nothing to a datagram.
    let _sent = socket.send_to(b"hello", lab.at(Method::Dr, ONE_PACKET));
    // This one must not go on.
    socket.set_ttl(1).expect("it is a small number");
    let _sent = socket.send_to(b"hello", lab.at(Method::Dr, ONE_PACKET));
    let vip = lab.vip(Method::Nat);
    let ping = format!("ping -n -q -c 1 -W 1 {vip}");
    let _pinged = run::output(&mut client.namespace().command(&ping));
    // A route that comes and goes is news of Linux's.
    for verb in ["add", "del"] {
        let twin = gateway_config::twin(lab::SERVERS);
        let line = format!("route {verb} 10.9.0.0/24 dev {twin}");
        lab.gateway().ip(&line);
    }
    open.expect("the service was there before")
}

/// Whether Debian's Prometheus is there; without it a test may be skipped where that is allowed.
fn has_prometheus() -> bool {
    if Command::new("prometheus").arg("--version").output().is_ok() {
        return true;
    }
    let may_skip = std::env::var_os("CI_NO_SKIP").is_none_or(|value| value != "1");
    assert!(may_skip, "prometheus is missing: run scripts/setup --test");
    // Tests that pass hide what `eprintln!` says.
    let _ = writeln!(std::io::stderr(), "SKIPPED prometheus: it is missing");
    false
}

#[test]
fn a_real_prometheus_has_data_for_every_panel_variable_and_alert() {
    require_namespaces!();
    if !has_prometheus() {
        return;
    }
    // Given a gateway at work that Prometheus scrapes.
    let lab = Lab::build(Arms::Two);
    let gateway = Gateway::start(lab.gateway(), binaries!(), &config(&lab));
    let own = [lab::GATEWAY_SERVER_SIDE];
    let _echo = UdpEcho::start(lab.gateway(), "gateway", &own);
    let web = lab.at(Method::Nat, IN_TURN);
    lab.client().wait_for(web);
    let prometheus = Prometheus::start(lab.gateway(), &place("conf/prometheus"));

    every_metric_is_well_formed(&lab);
    let all = asked(&format!("tcp {web}"));
    every_exception_is_of_one_query(&all);
    every_panel_has_data(&lab, &gateway, &prometheus, &all);
    every_variable_has_values(&prometheus);
    every_alert_is_evaluated(&prometheus);
    node_exporters_names_are_there_too(&prometheus);
    an_ill_gateway_is_shown(&lab, &gateway, &prometheus, &all);
    drop(gateway);
}

/// `promtool check metrics`, which knows what names and types should be like.
fn every_metric_is_well_formed(lab: &Lab) {
    let scraped = lab.gateway().dir().join("scraped");
    let line = format!(
        "curl --silent --show-error --fail --output {} http://127.0.0.1:9911/metrics",
        scraped.display()
    );
    lab.gateway().run(&line);
    let file = fs::File::open(scraped).expect("curl has written it");
    let mut promtool = run::command("promtool check metrics");
    let said = run::output(promtool.stdin(Stdio::from(file)));
    assert!(said.status.success() && said.stderr.is_empty(), "{said:?}");
}

/// Waits until every query gives numbers, and those that are not quiet one above zero.
fn every_panel_has_data(
    lab: &Lab,
    gateway: &Gateway<'_>,
    prometheus: &Prometheus<'_>,
    all: &[Asked],
) {
    let mut waiting: Vec<_> = all.iter().filter(|it| !it.is_of_the_ill()).collect();
    let mut open = Vec::new();
    run::eventually(PATIENCE, || {
        // Connections of the round before end when the new one is open.
        open = vec![traffic(lab)];
        gateway.apply(&config(lab));
        waiting.retain(|it| {
            let numbers = it.numbers(prometheus);
            numbers.is_empty() || !it.is_quiet() && !numbers.iter().any(|it| *it > 0.0)
        });
        waiting.is_empty()
    });

    assert!(waiting.is_empty(), "without data, or zero: {waiting:#?}");
}

/// Takes away what the gateway needs, and waits until all that tells of it does.
fn an_ill_gateway_is_shown(
    lab: &Lab,
    gateway: &Gateway<'_>,
    prometheus: &Prometheus<'_>,
    all: &[Asked],
) {
    let of_the_ill = || all.iter().filter(|it| it.is_of_the_ill());
    // What counts those that are ill counts none before.
    let mut waiting: Vec<_> = of_the_ill()
        .filter(|it| it.query.contains(" == "))
        .collect();
    run::eventually(PATIENCE, || {
        waiting.retain(|it| it.numbers(prometheus) != [0.0]);
        waiting.is_empty()
    });
    assert!(waiting.is_empty(), "ill without reason: {waiting:#?}");

    gateway.reload("[gateway");
    run::must(&mut gateway.ctl("maintenance on"));
    lab.network().cut(lab.gateway(), lab::SERVERS);
    let twin = gateway_config::twin(lab::CLIENTS);
    lab.gateway().ip(&format!("link delete {twin}"));
    let mut waiting: Vec<_> = of_the_ill().collect();
    run::eventually(PATIENCE, || {
        waiting.retain(|it| !it.numbers(prometheus).iter().any(|it| *it > 0.0));
        waiting.is_empty()
    });
    assert!(waiting.is_empty(), "nothing is shown: {waiting:#?}");
}

/// Asks for the values that an operator chooses from.
fn every_variable_has_values(prometheus: &Prometheus<'_>) {
    let boards = dashboards();
    let variables = boards
        .iter()
        .flat_map(|(_, it)| list(&it["templating"]["list"]));
    for variable in variables.filter(|it| it["type"] == "query") {
        let query = filled(&text(&variable["query"]["query"]), "");
        let inner = query.strip_prefix("label_values(");
        let inner = inner.and_then(|it| it.strip_suffix(')'));
        let (series, label) = inner
            .and_then(|it| it.rsplit_once(", "))
            .unwrap_or_else(|| panic!("{query}"));
        let values = prometheus.ask(&format!("label/{label}/values"), &[("match[]", series)]);
        assert!(list(&values).count() > 0, "{query}");
    }
}

/// What a dashboard for the kernel's IPVS asks for.
fn node_exporters_names_are_there_too(prometheus: &Prometheus<'_>) {
    for query in [
        "node_ipvs_connections_total",
        "rate(node_ipvs_incoming_bytes_total[1m])",
        "sum by (proto) (node_ipvs_backend_connections_inactive{local_port=\"80\"})",
        "max by (remote_address, remote_port) (node_ipvs_backend_weight{proto=\"TCP\"})",
    ] {
        let values = prometheus.query(query);
        assert!(values.iter().any(|it| *it > 0.0), "{query}: {values:?}");
    }
}

/// Prometheus has evaluated each of them without an error; one that should tell does.
fn every_alert_is_evaluated(prometheus: &Prometheus<'_>) {
    let alerts = || -> Vec<Value> {
        let groups = prometheus.ask("rules", &[]);
        let rules = list(&groups["groups"]).flat_map(|it| list(&it["rules"]).cloned());
        rules.collect()
    };
    let is_evaluated = |alert: &Value| alert["health"] == "ok";
    run::eventually(PATIENCE, || alerts().iter().all(is_evaluated));
    let alerts = alerts();
    assert!(alerts.len() > 30, "only {} alerts", alerts.len());
    for alert in &alerts {
        assert!(is_evaluated(alert), "{alert}");
        let _values = prometheus.query(&text(&alert["query"]));
    }
    let down = alerts.iter().find(|it| it["name"] == "SluiceServerDown");
    let down = down.expect("there is an alert about servers that are down");
    assert_eq!(prometheus.query(&text(&down["query"])), [1.0]);
}
