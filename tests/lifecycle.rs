//! Start, stop, and everything that can go wrong with them.
// Helpers of tests may panic as tests do.
#![allow(clippy::expect_used)]

use std::os::unix::net::UnixDatagram;
use std::process::{Output, Stdio};
use std::time::Duration;

use testnet::gateway_config::{GatewayConfig, IN_TURN, twin};
use testnet::lab::{self, CLIENTS, SERVERS};
use testnet::{Arms, Gateway, Lab, Method, Namespace, binaries, require_namespaces, run};

/// How long a stop may take: a tenth of it, and what a machine needs that stands still meanwhile.
const STOP_LIMIT: Duration = Duration::from_millis(2_500);

fn config(lab: &Lab) -> GatewayConfig {
    GatewayConfig::of(lab)
        .services_of(lab, Method::Nat)
        .services_of(lab, Method::Fullnat)
}

fn addresses(host: &Namespace, interface: &str) -> Vec<String> {
    let text = host.ip(&format!("-o -4 addr show dev {interface}"));
    let address = |line: &str| Some(line.split_whitespace().nth(3)?.to_owned());
    text.lines().filter_map(address).collect()
}

fn exists(host: &Namespace, interface: &str) -> bool {
    host.dir().exists() && host.ip("-o link").contains(&format!(": {interface}:"))
}

/// What the gateway put into Linux besides twins: the rules that keep it from hearing twice.
fn rules(host: &Namespace) -> String {
    host.run("nft list ruleset").trim().to_owned()
}

/// Nothing of the daemon is left, as far as twins do not persist.
fn assert_nothing_left(host: &Namespace) {
    for port in [CLIENTS, SERVERS] {
        assert!(!exists(host, &twin(port)), "{} is still there", twin(port));
    }
    assert_eq!(rules(host), "");
    assert!(!Gateway::socket(host).exists(), "the socket is still there");
    assert_eq!(host.processes(), [] as [i32; 0]);
}

#[test]
fn a_stop_is_quick_leaves_nothing_and_the_next_start_works_at_once() {
    require_namespaces!();
    let lab = Lab::build(Arms::Two);
    let service = lab.at(Method::Nat, IN_TURN);

    for _ in 0..2 {
        let gateway = Gateway::start(lab.gateway(), binaries!(), &config(&lab).text());
        lab.client().wait_for(service);
        assert_eq!(lab.client().get(service, 10).len(), 10);
        assert_ne!(
            rules(lab.gateway()),
            "",
            "Linux must not hear what the gateway hears"
        );

        let (took, status) = gateway.stop();

        assert!(took < STOP_LIMIT, "{took:?}");
        assert!(status.success(), "{status}");
        assert_nothing_left(lab.gateway());
    }
}

#[test]
fn a_persistent_twin_stays_without_carrier_and_without_vips_and_is_taken_again() {
    require_namespaces!();
    let lab = Lab::build(Arms::Two);
    let host = lab.gateway();
    let config = config(&lab).persist(true).text();
    let client_side = twin(CLIENTS);
    let gateway = Gateway::start(host, binaries!(), &config);
    let vip = format!("{}/32", lab.vip(Method::Nat));
    let own = format!("{}/24", lab::GATEWAY_CLIENT_SIDE);
    assert!(addresses(host, &client_side).contains(&vip));
    // What an operator or a routing daemon adds is not the gateway's to remove.
    host.ip(&format!(
        "route add 10.77.0.0/24 via 10.1.0.77 dev {client_side}"
    ));
    let index = host.run(&format!("cat /sys/class/net/{client_side}/ifindex"));

    let (took, status) = gateway.stop();

    assert!(took < STOP_LIMIT && status.success(), "{took:?} {status}");
    assert_eq!(addresses(host, &client_side), [own]);
    assert!(
        host.ip(&format!("link show {client_side}"))
            .contains("NO-CARRIER")
    );
    assert!(host.ip("route").contains("10.77.0.0/24"));
    let local = format!("{}/32", lab::LOCAL_ADDRESS);
    assert!(!addresses(host, &twin(SERVERS)).contains(&local));

    let _gateway = Gateway::start(host, binaries!(), &config);
    lab.client().wait_for(lab.at(Method::Nat, IN_TURN));
    assert_eq!(lab.client().get(lab.at(Method::Nat, IN_TURN), 10).len(), 10);
    assert_eq!(
        host.run(&format!("cat /sys/class/net/{client_side}/ifindex")),
        index
    );
}

/// Kills a gateway in the middle of traffic; what happens next is the test's.
fn kill_under_traffic(lab: &Lab, config: &str) {
    let gateway = Gateway::start(lab.gateway(), binaries!(), config);
    let service = lab.at(Method::Nat, IN_TURN);
    lab.client().wait_for(service);
    let line =
        format!("curl --silent --max-time 1 --output /dev/null http://{service}/?[1-100000]");
    let mut curl = lab.client().namespace().command(&line);
    let mut curl = curl
        .stdout(Stdio::null())
        .spawn()
        .expect("curl is installed");
    std::thread::sleep(Duration::from_millis(500));

    gateway.kill();

    assert!(
        matches!(curl.try_wait(), Ok(None)),
        "the traffic was still flowing"
    );
    curl.kill()
        .and_then(|()| curl.wait())
        .expect("curl is our child");
    let gone = run::eventually(Duration::from_secs(10), || rules(lab.gateway()).is_empty());
    assert!(gone, "rules outlive their owner: {}", rules(lab.gateway()));
}

#[test]
fn after_kill_9_twins_that_do_not_persist_are_gone_and_a_start_carries_traffic() {
    require_namespaces!();
    let lab = Lab::build(Arms::Two);
    let service = lab.at(Method::Nat, IN_TURN);

    kill_under_traffic(&lab, &config(&lab).text());

    let host = lab.gateway();
    let gone = || !exists(host, &twin(CLIENTS)) && !exists(host, &twin(SERVERS));
    assert!(run::eventually(Duration::from_secs(10), gone));
    let gateway = Gateway::start(host, binaries!(), &config(&lab).text());
    lab.client().wait_for(service);
    assert_eq!(lab.client().get(service, 30).len(), 30);
    let (_, status) = gateway.stop();
    assert!(status.success());
    assert_nothing_left(host);
}

#[test]
fn after_kill_9_a_start_removes_the_addresses_the_configuration_no_longer_has() {
    require_namespaces!();
    let lab = Lab::build(Arms::Two);
    let host = lab.gateway();
    let service = lab.at(Method::Nat, IN_TURN);
    let vips = || addresses(host, &twin(CLIENTS));
    let address = |method| format!("{}/32", lab.vip(method));
    // An address that was there before is not the gateway's to remove, then or later.
    host.ip("tuntap add dev tw-clients mode tap");
    host.ip(&format!("addr add {} dev tw-clients", address(Method::Dr)));
    let with_dr = config(&lab).services_of(&lab, Method::Dr).persist(true);

    kill_under_traffic(&lab, &with_dr.text());

    assert!(vips().contains(&address(Method::Fullnat)), "{:?}", vips());
    let less = GatewayConfig::of(&lab)
        .services_of(&lab, Method::Nat)
        .persist(true);
    let gateway = Gateway::start(host, binaries!(), &less.text());
    lab.client().wait_for(service);
    assert_eq!(lab.client().get(service, 30).len(), 30);
    let now = vips();
    assert_eq!(
        now.iter()
            .filter(|vip| **vip == address(Method::Nat))
            .count(),
        1,
        "{now:?}"
    );
    assert!(!now.contains(&address(Method::Fullnat)), "{now:?}");
    assert!(now.contains(&address(Method::Dr)), "{now:?}");
    let (_, status) = gateway.stop();
    assert!(status.success());
    let left = vips();
    assert!(!left.contains(&address(Method::Nat)), "{left:?}");
    assert!(left.contains(&address(Method::Dr)), "{left:?}");
}

#[test]
fn a_stop_in_the_middle_of_the_start_leaves_nothing_either() {
    require_namespaces!();
    let lab = Lab::build(Arms::Two);
    let host = lab.gateway();
    let file = host.dir().join("stopped.toml");
    std::fs::write(&file, config(&lab).text()).expect("the directory is writable");
    let line = format!("{} --config {}", binaries!().sluice, file.display());

    // The socket is made first; then come the EAL, the ethdevs and the twins.
    for milliseconds in [0, 60, 120, 180] {
        let mut daemon = host.command(&line).spawn().expect("it can be started");
        let begun = || Gateway::socket(host).exists();
        assert!(run::eventually(Duration::from_secs(10), begun));
        std::thread::sleep(Duration::from_millis(milliseconds));
        // `ip netns exec` has become the daemon.
        run::must(&mut run::command(&format!("kill -TERM {}", daemon.id())));

        let status = daemon.wait().expect("it is our child");

        assert!(status.success(), "after {milliseconds} ms: {status}");
        assert_nothing_left(host);
    }
}

#[test]
fn a_supervisor_hears_of_readiness_reloads_signs_of_life_illness_and_the_stop() {
    require_namespaces!();
    let lab = Lab::build(Arms::Two);
    let host = lab.gateway();
    let socket = host.dir().join("notify");
    let supervisor = UnixDatagram::bind(&socket).expect("the directory is writable");
    (supervisor.set_read_timeout(Some(Duration::from_secs(20)))).expect("it is more than nothing");
    let hear = || {
        let mut said = [0; 512];
        let length = supervisor.recv(&mut said).expect("something is said");
        String::from_utf8_lossy(&said[..length]).into_owned()
    };
    let hear_all_until = |last: &str| -> Vec<String> {
        let mut heard = Vec::new();
        while heard.last().is_none_or(|said| said != last) {
            heard.push(hear());
        }
        heard
    };
    let file = host.dir().join("notifying.toml");
    std::fs::write(&file, config(&lab).text()).expect("the directory is writable");
    let line = format!("{} --config {}", binaries!().sluice, file.display());
    let mut daemon = host.command(&line);
    let mut daemon = daemon
        .env("NOTIFY_SOCKET", &socket)
        .env("WATCHDOG_USEC", "900000")
        .spawn()
        .expect("it can be started");
    let signal =
        |name: &str| run::must(&mut run::command(&format!("kill -{name} {}", daemon.id())));
    let not_ready = || std::fs::read_to_string(host.dir().join("state/not-ready"));

    let start = hear_all_until("STATUS=ready");
    let while_ready = not_ready();
    let alive = hear_all_until("WATCHDOG=1");
    signal("HUP");
    let reload = hear_all_until("READY=1");
    host.ip(&format!("link delete {}", twin(SERVERS)));
    let removed = format!("the twin {} was removed", twin(SERVERS));
    hear_all_until(&format!("STATUS=not ready: {removed}"));
    let while_ill = not_ready();
    // Two deadlines without a sign of life.
    (supervisor.set_read_timeout(Some(Duration::from_millis(1800)))).expect("it is not nothing");
    let silent = supervisor.recv(&mut [0; 512]).is_err();
    signal("TERM");
    let stop = hear_all_until(&format!(
        "STATUS=not ready: the gateway is stopping; {removed}"
    ));

    let ready = start.iter().position(|said| said == "READY=1");
    assert_eq!(ready, Some(start.len() - 2), "{start:?}");
    assert_eq!(start[0], "STATUS=starting");
    assert_eq!(while_ready.expect("it is there"), "0\n");
    assert_eq!(alive, ["WATCHDOG=1"]);
    assert_eq!(while_ill.expect("it is there"), "1\n");
    assert!(silent, "an ill gateway gives no sign of life");
    let reloading = |said: &String| said.starts_with("RELOADING=1\nMONOTONIC_USEC=");
    assert!(reload.iter().any(reloading), "{reload:?}");
    assert!(stop.iter().any(|said| said == "STOPPING=1"), "{stop:?}");
    assert!(daemon.wait().expect("it is our child").success());
    assert_eq!(not_ready().expect("it is there"), "1\n");
}

/// A refused start ends in failure with one sentence that has all of `words`.
fn assert_refused(output: &Output, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    assert!(!output.status.success(), "it must fail: {said}");
    assert_eq!(said.lines().count(), 1, "one sentence, no more: {said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is missing in: {said}");
    }
}

#[test]
fn a_start_without_its_device_says_which_and_leaves_nothing() {
    require_namespaces!();
    let lab = Lab::build(Arms::Two);
    let text = config(&lab)
        .text()
        .replace("iface=servers", "iface=nowhere");

    let output = Gateway::expect_refusal(lab.gateway(), binaries!(), &text);

    assert_refused(&output, &["nowhere"]);
    assert_nothing_left(lab.gateway());
}

#[test]
fn a_start_with_a_wrong_configuration_names_the_line_and_leaves_nothing() {
    require_namespaces!();
    let lab = Lab::build(Arms::Two);
    let text = config(&lab)
        .text()
        .replace("[gateway]\n", "[gateway]\nwrokers = 3\n");

    let output = Gateway::expect_refusal(lab.gateway(), binaries!(), &text);

    assert_refused(&output, &["refused.toml:2", "wrokers"]);
    assert_nothing_left(lab.gateway());
}

#[test]
fn a_start_on_the_socket_of_a_living_gateway_is_refused_and_disturbs_nothing() {
    require_namespaces!();
    let lab = Lab::build(Arms::Two);
    let service = lab.at(Method::Nat, IN_TURN);
    let _gateway = Gateway::start(lab.gateway(), binaries!(), &config(&lab).text());
    lab.client().wait_for(service);
    let before = (
        rules(lab.gateway()),
        addresses(lab.gateway(), &twin(CLIENTS)),
    );

    let output = Gateway::expect_refusal(lab.gateway(), binaries!(), &config(&lab).text());

    assert_refused(
        &output,
        &[&Gateway::socket(lab.gateway()).display().to_string()],
    );
    let after = (
        rules(lab.gateway()),
        addresses(lab.gateway(), &twin(CLIENTS)),
    );
    assert_eq!(after, before);
    assert_eq!(lab.client().get(service, 30).len(), 30);
}

#[test]
fn a_port_that_carries_an_address_is_refused_until_told_to_take_it() {
    require_namespaces!();
    let lab = Lab::build(Arms::Two);
    lab.gateway()
        .ip(&format!("addr add 10.1.0.99/24 dev {CLIENTS}"));

    let output = Gateway::expect_refusal(lab.gateway(), binaries!(), &config(&lab).text());

    assert_refused(&output, &[CLIENTS, "take_interface"]);
    assert_nothing_left(lab.gateway());
}
