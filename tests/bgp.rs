//! Two gateways at once behind a router, announced by BIRD: what clients see when one leaves, in
//! good order or not.
//!
//! Figures that `docs/operations.md` shows are printed (`--nocapture`).
// Helpers of tests may panic as tests do.
#![allow(clippy::expect_used)]

use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use testnet::bird::Bird;
use testnet::ecmp::{DR_VIP, Ecmp, TUN_VIP};
use testnet::prober::Prober;
use testnet::{Gateway, Namespace, binaries, require_namespaces, run};

/// Downloads that run while something happens, half of them by DR, half by TUN.
const DOWNLOADS: usize = 16;

/// Bytes a second of each.
const RATE: u64 = 1_500_000;

/// Clients that ask for a page after the other meanwhile.
const CLIENTS: usize = 12;

/// Where an outage is measured, a page that takes so long is lost: Linux sends a second SYN after a
/// second, which would hide that.
const BRIEF: Duration = Duration::from_millis(900);

/// Where nothing may be lost, clients wait as people would: what a full ring of a busy machine
/// loses, TCP sends again.
const PATIENT: Duration = Duration::from_secs(10);

/// BGP has to connect, which it tries every few seconds.
const PATIENCE: Duration = Duration::from_secs(30);

const BOTH: [&str; 2] = ["10.3.0.1", "10.3.0.2"];

/// Where nobody dies, BFD could only take a machine that is too busy for a second for dead.
fn without_bfd(text: &str) -> String {
    text.replace("bfd on;", "bfd off;")
}

/// Downloads at work.
struct Downloads {
    running: Vec<(Child, PathBuf)>,
    /// What each brings.
    bytes: u64,
}

impl Downloads {
    /// Starts them all; each will take so many seconds.
    fn start(lab: &Ecmp, seconds: u64) -> Self {
        let host = lab.client().namespace();
        let bytes = RATE * seconds;
        let one = |number: usize| {
            let vip = [DR_VIP, TUN_VIP][number % 2];
            let file = host.dir().join(format!("download-{number}"));
            let line = format!(
                "curl --silent --show-error --fail --max-time 180 --limit-rate {RATE} \
                 --range 0-{} --output {} http://{vip}/blob",
                bytes - 1,
                file.display()
            );
            let child = host.command(&line).stdout(Stdio::null()).spawn();
            (child.expect("curl is installed"), file)
        };
        let downloads = Self {
            running: (0..DOWNLOADS).map(one).collect(),
            bytes,
        };
        let begun = |(_, file): &(Child, PathBuf)| file.metadata().is_ok_and(|it| it.len() > 0);
        let all = || downloads.running.iter().all(begun);
        assert!(run::eventually(Duration::from_secs(10), all), "all begin");
        downloads
    }

    /// None of them is done yet, or has failed.
    fn assert_running(&mut self) {
        for (number, (child, file)) in self.running.iter_mut().enumerate() {
            let ended = child.try_wait().expect("curl is our child");
            let bytes = file.metadata().map_or(0, |it| it.len());
            assert_eq!(
                ended, None,
                "download {number} has {bytes} of {}",
                self.bytes
            );
        }
    }

    /// Waits for all of them; each must have brought what the servers have.
    fn finish(self, lab: &Ecmp) {
        let blob = std::fs::read(lab.blob().file()).expect("the servers have it");
        for (number, (mut child, file)) in self.running.into_iter().enumerate() {
            let status = child.wait().expect("curl is our child");
            assert!(status.success(), "download {number}: {status}");
            let came = std::fs::read(&file).expect("curl has written it");
            assert!(blob.starts_with(&came), "download {number} is another file");
            assert_eq!(came.len() as u64, self.bytes, "download {number}");
        }
    }
}

fn start(lab: &Ecmp, index: usize) -> Gateway<'_> {
    Gateway::start(lab.gateway(index), binaries!(), &lab.config(index))
}

fn next_hops(lab: &Ecmp, vip: std::net::SocketAddrV4) -> Vec<String> {
    let mut hops = lab.next_hops(*vip.ip());
    hops.sort();
    hops
}

/// Waits until the router sends both VIPs to these gateways, and says how long that took.
fn wait_for_routes(lab: &Ecmp, wanted: &[&str]) -> Duration {
    let since = Instant::now();
    let there = || [DR_VIP, TUN_VIP].map(|vip| next_hops(lab, vip)) == [wanted, wanted];
    let arrived = run::eventually(PATIENCE, there);
    let seen = [DR_VIP, TUN_VIP].map(|vip| next_hops(lab, vip));
    assert!(arrived, "{wanted:?} are wanted, {seen:?} are there");
    since.elapsed()
}

/// What the gateway on `host` has put into its table, in Linux's words.
fn table(host: &Namespace) -> Vec<String> {
    let text = host.ip("route show table all");
    let lines = text.lines().filter(|line| line.contains("table 201"));
    let vip = |line: &str| line.split_whitespace().next().map(str::to_owned);
    lines.filter_map(vip).collect()
}

/// Clients that ask for pages all the time, half of them at each VIP.
struct Clients(Vec<Prober>);

/// What they noticed of an event.
struct Noticed {
    lost: usize,
    late: usize,
    lasted: Duration,
}

impl Clients {
    fn start(lab: &Ecmp, patience: Duration) -> Self {
        let host = lab.client().namespace();
        let one = |number: usize| Prober::patient(host, [DR_VIP, TUN_VIP][number % 2], patience);
        Self((0..CLIENTS).map(one).collect())
    }

    /// Sends them home, and says aloud what they noticed.
    fn noticed(self, what: &str, event: Instant) -> Noticed {
        let probes = self.0.into_iter().map(Prober::finish);
        let outages: Vec<_> = probes.map(|it| it.outage(event)).collect();
        let noticed = Noticed {
            lost: outages.iter().map(|it| it.lost).sum(),
            late: outages.iter().map(|it| it.late).sum(),
            lasted: (outages.iter().map(|it| it.lasted).max()).unwrap_or_default(),
        };
        println!(
            "{what}: {} pages of {CLIENTS} clients were lost, within {} ms; {} came late",
            noticed.lost,
            noticed.lasted.as_millis(),
            noticed.late
        );
        noticed
    }
}

#[test]
fn maintenance_moves_all_traffic_to_the_other_gateway_and_back_without_losing_a_connection() {
    require_namespaces!();
    // Given two gateways that both serve.
    let lab = Ecmp::build();
    let birds = lab.start_birds(without_bfd);
    let [first, second] = [start(&lab, 0), start(&lab, 1)];
    wait_for_routes(&lab, &BOTH);
    for vip in [DR_VIP, TUN_VIP] {
        assert_eq!(lab.client().get(vip, 40).len(), 40);
    }
    for gateway in [&first, &second] {
        let created: u64 = gateway.by_worker("sessions_created").iter().sum();
        assert!(created > 10, "the router spreads flows: {created}");
    }
    assert_eq!(first.metrics().sum("sluice_vip_announced", &[]), 2.0);
    // One VIP is an address of the gateway, the other is nobody's; they are served alike.
    assert_eq!(lab.client().ping(*DR_VIP.ip(), 3).answered, 3);
    let addresses = lab.gateway(0).ip("address");
    assert!(addresses.contains("198.51.100.10/32"), "{addresses}");
    assert!(!addresses.contains("198.51.100.11"), "{addresses}");
    let learnt = birds[1].ask("show route protocol vips");
    assert!(learnt.contains("198.51.100.10/32"), "{learnt}");
    let mut downloads = Downloads::start(&lab, 20);
    let clients = Clients::start(&lab, PATIENT);
    std::thread::sleep(Duration::from_millis(500));

    // When one of them goes into maintenance.
    let begun = Instant::now();
    let said = run::must(&mut first.ctl("maintenance on"));
    assert!(said.contains("vip 198.51.100.11: withdrawn\n"), "{said}");
    let withdrawn = wait_for_routes(&lab, &BOTH[1..]);
    let waited = run::must(&mut first.ctl("maintenance on --wait --quiet 1s"));

    // Then the router no longer sends it anything, and nobody has noticed.
    println!("maintenance: withdrawn after {} ms", withdrawn.as_millis());
    assert!(
        waited.contains("Nobody uses the") || waited.contains("There are no sessions"),
        "{waited}"
    );
    assert_eq!(table(lab.gateway(0)), [] as [&str; 0]);
    assert_eq!(first.metrics().sum("sluice_maintenance", &[]), 1.0);
    downloads.assert_running();

    // When maintenance is over.
    let said = run::must(&mut first.ctl("maintenance off"));
    assert!(said.contains("vip 198.51.100.11: announced\n"), "{said}");
    wait_for_routes(&lab, &BOTH);

    // Then flows come back to it in their middle, and still nobody has noticed.
    downloads.assert_running();
    downloads.finish(&lab);
    assert_eq!(clients.noticed("maintenance", begun).lost, 0);
}

/// Kills a gateway under downloads and new connections, starts it again, and says how long new
/// connections failed.
fn kill_and_restart(what: &str, change: impl Fn(&str) -> String, limit: Duration) {
    // Long enough for the flows to move there and back.
    let seconds = limit.as_secs() + 15;
    let lab = Ecmp::build();
    let _birds: [Bird; 3] = lab.start_birds(change);
    let [first, _second] = [start(&lab, 0), start(&lab, 1)];
    wait_for_routes(&lab, &BOTH);
    let mut downloads = Downloads::start(&lab, seconds);
    let clients = Clients::start(&lab, BRIEF);
    std::thread::sleep(Duration::from_millis(500));

    let killed = Instant::now();
    first.kill();
    wait_for_routes(&lab, &BOTH[1..]);
    let noticed = killed.elapsed();

    std::thread::sleep(Duration::from_secs(1));
    println!(
        "{what}: the router noticed after {} ms",
        noticed.as_millis()
    );
    let lasted = clients.noticed(what, killed).lasted;
    assert!(lasted < limit, "{what}: {lasted:?}");
    downloads.assert_running();

    // Its sessions come back to a gateway that knows none of them.
    let _first = start(&lab, 0);
    let back = wait_for_routes(&lab, &BOTH);
    println!(
        "{what}: announced again {} ms after it was ready",
        back.as_millis()
    );
    downloads.finish(&lab);
}

#[test]
fn downloads_outlive_the_death_of_their_gateway_which_bfd_notices() {
    require_namespaces!();

    kill_and_restart("kill -9, BFD", str::to_owned, Duration::from_secs(6));
}

#[test]
fn downloads_outlive_the_death_of_their_gateway_when_only_the_hold_time_tells() {
    require_namespaces!();
    kill_and_restart(
        "kill -9, hold time 9 s",
        without_bfd,
        Duration::from_secs(13),
    );
}

#[test]
fn a_stop_withdraws_first_and_a_start_takes_back_what_a_killed_one_announced() {
    require_namespaces!();
    let lab = Ecmp::build();
    let _birds = lab.start_birds(without_bfd);
    let _second = start(&lab, 1);
    let persistent = |text: String| {
        let twin = |name| format!("name = \"{name}\"\n");
        let kept =
            |name| twin(name) + &format!("twin = {{ name = \"sl-{name}\", persist = true }}\n");
        text.replace(&twin("uplink"), &kept("uplink"))
    };
    let host = lab.gateway(0);
    let config = persistent(lab.config(0));
    let first = Gateway::start(host, binaries!(), &config);
    wait_for_routes(&lab, &BOTH);

    // A sudden death leaves the routes with the twin; the next start begins without them.
    first.kill();
    assert_eq!(table(host).len(), 2, "{}", host.ip("route show table all"));
    let without = config.replace("198.51.100.11", "198.51.100.12");
    let first = Gateway::start(host, binaries!(), &without);
    // No server has the new one.
    let now = || table(host) == ["198.51.100.10"];
    assert!(
        run::eventually(Duration::from_secs(5), now),
        "{:?}",
        table(host)
    );
    drop(first);
    let first = Gateway::start(host, binaries!(), &config);
    wait_for_routes(&lab, &BOTH);

    // A stop withdraws before anything else.
    let mut downloads = Downloads::start(&lab, 15);
    let clients = Clients::start(&lab, PATIENT);
    std::thread::sleep(Duration::from_millis(500));
    let stopped = Instant::now();
    let (took, status) = first.stop();
    let withdrawn = wait_for_routes(&lab, &BOTH[1..]);
    std::thread::sleep(Duration::from_millis(500));

    assert!(status.success(), "{status}");
    println!(
        "SIGTERM: the gateway took {} ms, the router had no route to it {} ms after that",
        took.as_millis(),
        withdrawn.as_millis()
    );
    assert_eq!(clients.noticed("SIGTERM", stopped).lost, 0);
    assert_eq!(table(host), [] as [&str; 0]);
    downloads.assert_running();
    downloads.finish(&lab);
}

#[test]
fn a_vip_that_no_server_answers_at_is_withdrawn_until_one_does() {
    require_namespaces!();
    // Given two gateways that check their servers at the VIP, as clients would ask them.
    let lab = Ecmp::build();
    let _birds = lab.start_birds(without_bfd);
    let [first, _second] = [start(&lab, 0), start(&lab, 1)];
    wait_for_routes(&lab, &BOTH);
    let on_all_servers = |action: &str| {
        for server in lab.servers() {
            let host = server.namespace();
            host.ip(&format!("addr {action} {}/32 dev lo", DR_VIP.ip()));
        }
    };

    // When one VIP leaves all of them, though their web servers run on.
    on_all_servers("del");

    // Then the router has no way to it any more, and both to the other.
    let gone = || next_hops(&lab, DR_VIP).is_empty();
    assert!(
        run::eventually(PATIENCE, gone),
        "{:?}",
        next_hops(&lab, DR_VIP)
    );
    assert_eq!(next_hops(&lab, TUN_VIP), BOTH);
    let log = first.log();
    assert!(log.contains("has lost its quorum"), "{log}");

    // When a gateway is started meanwhile, which knows of no server yet.
    drop(first);
    let _first = start(&lab, 0);

    // Then it announces what it has found to be well, and nothing before.
    let host = lab.gateway(0);
    let announced = || table(host) == ["198.51.100.11"];
    let in_time = run::eventually(PATIENCE, || {
        assert!(!table(host).contains(&"198.51.100.10".to_owned()));
        announced()
    });
    assert!(in_time, "{:?}", table(host));

    // When it is back on them.
    on_all_servers("add");

    // Then clients are served at it again.
    wait_for_routes(&lab, &BOTH);
    assert_eq!(lab.client().get(DR_VIP, 10).len(), 10);
}
