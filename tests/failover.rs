//! Two gateways and Debian's keepalived, with the files of `conf/keepalived`: whatever dies, new
//! connections succeed through the other one in time.
// Helpers of tests may panic as tests do.
#![allow(clippy::expect_used)]

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use testnet::gateway_config::twin;
use testnet::lab::{CLIENTS, SERVERS};
use testnet::pair::{INNER, VIP};
use testnet::prober::Outage;
use testnet::witness::Witness;
use testnet::{Gateway, Keepalived, Namespace, Pair, Prober, binaries, require_namespaces, run};

/// `advert_int` of the configurations.
const ADVERT_INTERVAL: Duration = Duration::from_secs(1);

/// On top of three intervals: the last probe's own patience, and what a machine with two cores and
/// two polling gateways takes.
const TOLERANCE: Duration = Duration::from_secs(1);

/// How long new connections may fail.
const LIMIT: Duration = ADVERT_INTERVAL.saturating_mul(3).saturating_add(TOLERANCE);

/// The services of the configurations: by NAT, whose answers need the same gateway, and by DR.
const WEB: SocketAddrV4 = SocketAddrV4::new(VIP, 80);
const FILES: SocketAddrV4 = SocketAddrV4::new(VIP, 81);

const SLUICE: [&str; 2] = [
    include_str!("../conf/keepalived/sluice-1.toml"),
    include_str!("../conf/keepalived/sluice-2.toml"),
];
const KEEPALIVED: [&str; 2] = [
    include_str!("../conf/keepalived/gateway-1.conf"),
    include_str!("../conf/keepalived/gateway-2.conf"),
];

/// The gateway's configuration with this host's paths, and as little memory as a shared machine
/// wants to give.
fn sluice(pair: &Pair, number: usize) -> String {
    let host = &pair.hosts()[number];
    let head = format!(
        "[gateway]\nfile_prefix = \"{}\"\nhuge_pages = false\nmemory_mb = 256\n\
         sessions_per_worker = 65536\nworkers = [{}]\n",
        host.name(),
        // Two polling workers on one core would only wait for each other.
        1 - number
    );
    with_paths(SLUICE[number], host).replacen("[gateway]\n", &head, 1)
}

/// keepalived's configuration with this host's paths.
fn keepalived(pair: &Pair, number: usize) -> String {
    let host = &pair.hosts()[number];
    let socket = Gateway::socket(host);
    let program = format!("{} --socket {}", binaries!().sluicectl, socket.display());
    with_paths(KEEPALIVED[number], host).replace("/usr/bin/sluicectl", &program)
}

fn with_paths(text: &str, host: &Namespace) -> String {
    text.replace("/run/sluice", &host.dir().display().to_string())
}

/// A gateway with its keepalived.
struct Member<'a> {
    gateway: Gateway<'a>,
    keepalived: Keepalived,
}

impl<'a> Member<'a> {
    /// Both with the files as they are, but for what `edit` does to keepalived's.
    fn start(pair: &'a Pair, number: usize, edit: impl Fn(String) -> String) -> Self {
        Self {
            gateway: gateway(pair, number),
            keepalived: Keepalived::start(&pair.hosts()[number], &edit(keepalived(pair, number))),
        }
    }
}

fn gateway(pair: &Pair, number: usize) -> Gateway<'_> {
    Gateway::start(&pair.hosts()[number], binaries!(), &sluice(pair, number))
}

/// Both members, the first one master and all services answering.
fn start(pair: &Pair, edit: impl Fn(String) -> String + Copy) -> [Member<'_>; 2] {
    let members = [0, 1].map(|number| Member::start(pair, number, edit));
    wait_for_master(pair, 0, Duration::from_secs(15));
    pair.client().wait_for(WEB);
    pair.client().wait_for(FILES);
    members
}

fn as_they_are(text: String) -> String {
    text
}

fn has(pair: &Pair, number: usize, port: &str, address: Ipv4Addr) -> bool {
    let shown = pair.hosts()[number].ip(&format!("-o -4 addr show dev {}", twin(port)));
    shown.contains(&format!(" {address}/"))
}

/// Whether this one has the addresses of both sides.
fn is_master(pair: &Pair, number: usize) -> bool {
    has(pair, number, CLIENTS, VIP) && has(pair, number, SERVERS, INNER)
}

/// Waits until this one is master, and says for how long.
fn wait_for_master(pair: &Pair, number: usize, limit: Duration) -> Duration {
    let start = Instant::now();
    let became = run::eventually(limit, || is_master(pair, number));
    assert!(became, "gateway-{} has not become master", number + 1);
    start.elapsed()
}

fn mac(pair: &Pair, number: usize) -> String {
    let path = format!("cat /sys/class/net/{}/address", twin(CLIENTS));
    pair.hosts()[number].run(&path).trim().to_owned()
}

/// The client and its switch go to this one for the VIP.
fn assert_traffic_goes_to(pair: &Pair, number: usize) {
    let mac = mac(pair, number);
    assert_eq!(pair.mac_at_client(VIP).as_ref(), Some(&mac));
    let behind = pair.network().macs_behind(&pair.hosts()[number], CLIENTS);
    assert!(behind.contains(&mac), "{mac} is not among {behind:?}");
}

/// Makes something happen while the client asks both services all the time, until `over`, and says
/// what it noticed; the outage is without the time in which the whole machine stood still.
fn outage_of(pair: &Pair, what: &str, happens: impl FnOnce(), over: impl FnOnce()) -> Outage {
    let probers = [WEB, FILES].map(|service| Prober::start(pair.client().namespace(), service));
    std::thread::sleep(Duration::from_millis(500));
    let witness = Witness::start();
    let event = Instant::now();
    happens();
    over();
    // What comes behind shows whether it lasts.
    std::thread::sleep(Duration::from_secs(1));
    let outages = probers.map(|prober| prober.finish().outage(event));
    let stood_still = witness.stood_still();
    eprintln!(
        "{what}: NAT {:?} ({} lost), DR {:?} ({} lost); the machine stood still for {stood_still:?}",
        outages[0].lasted, outages[0].lost, outages[1].lasted, outages[1].lost
    );
    Outage {
        lost: outages.iter().map(|outage| outage.lost).sum(),
        late: outages.iter().map(|outage| outage.late).sum(),
        lasted: (outages[0].lasted.max(outages[1].lasted)).saturating_sub(stood_still),
    }
}

#[test]
fn the_backup_takes_over_from_a_killed_gateway_which_is_master_again_once_it_is_back() {
    require_namespaces!();
    let pair = Pair::build();
    let [first, _second] = start(&pair, as_they_are);

    let killed = outage_of(
        &pair,
        "kill -9 of the master's gateway",
        || first.gateway.kill(),
        || {
            wait_for_master(&pair, 1, LIMIT);
        },
    );

    assert!(killed.lasted <= LIMIT, "{killed:?}");
    assert_traffic_goes_to(&pair, 1);
    // keepalived has run all the time.
    let mut took = Duration::MAX;
    let mut again = None;
    let back = outage_of(
        &pair,
        "return of the killed gateway",
        || again = Some(gateway(&pair, 0)),
        || took = wait_for_master(&pair, 0, Duration::from_secs(15)),
    );
    eprintln!("master again {took:?} after it was ready");
    assert!(took <= LIMIT, "{took:?}");
    assert!(back.lasted <= LIMIT, "{back:?}");
    assert_traffic_goes_to(&pair, 0);
}

#[test]
fn the_backup_takes_over_from_a_gateway_whose_keepalived_was_killed() {
    require_namespaces!();
    let pair = Pair::build();
    let [first, second] = start(&pair, as_they_are);
    let sessions = || {
        second
            .gateway
            .by_worker("sessions_created")
            .iter()
            .sum::<u64>()
    };
    let before = sessions();
    let mut took = Duration::MAX;

    let killed = outage_of(
        &pair,
        "kill -9 of the master's keepalived",
        || {
            let start = Instant::now();
            first.keepalived.kill();
            let has_come = run::eventually(LIMIT, || sessions() > before);
            assert!(has_come, "no connection came by the backup");
            took = start.elapsed();
        },
        || (),
    );

    eprintln!("new connections by the backup after {took:?}");
    assert!(took <= LIMIT, "{took:?}");
    assert!(killed.lasted <= LIMIT, "{killed:?}");
    assert!(is_master(&pair, 1));
    assert_traffic_goes_to(&pair, 1);
}

#[test]
fn the_backup_takes_over_from_a_gateway_that_hangs_whose_script_takes_the_vip_away() {
    require_namespaces!();
    let pair = Pair::build();
    let [first, _second] = start(&pair, as_they_are);

    let frozen = outage_of(
        &pair,
        "the master's gateway hangs",
        || first.gateway.freeze(),
        || {
            wait_for_master(&pair, 1, LIMIT);
        },
    );

    assert!(frozen.lasted <= LIMIT, "{frozen:?}");
    assert_traffic_goes_to(&pair, 1);
    // Its twins have carrier and its file says that it is ready: three answers have to fail to come.
    let gone = run::eventually(Duration::from_secs(15), || !has(&pair, 0, CLIENTS, VIP));
    assert!(gone, "{}", first.keepalived.log());
}

#[test]
fn the_backup_takes_over_from_a_gateway_that_loses_either_of_its_links() {
    require_namespaces!();
    let pair = Pair::build();
    let _members = start(&pair, as_they_are);
    let first = &pair.hosts()[0];

    for side in [CLIENTS, SERVERS] {
        let cut = outage_of(
            &pair,
            &format!("link of the master to the {side} cut"),
            || pair.network().cut(first, side),
            || {
                wait_for_master(&pair, 1, LIMIT);
            },
        );

        assert!(cut.lasted <= LIMIT, "{side}: {cut:?}");
        assert_traffic_goes_to(&pair, 1);
        assert!(!has(&pair, 0, CLIENTS, VIP), "it must not be on both");
        let mended = outage_of(
            &pair,
            &format!("link to the {side} mended"),
            || pair.network().mend(first, side),
            || {
                wait_for_master(&pair, 0, Duration::from_secs(15));
            },
        );
        assert!(mended.lasted <= LIMIT, "{side}: {mended:?}");
    }
}

/// Lets the first gateway leave in some way while curl asks for a page after the other, and says how
/// long it took to stop.
fn leaves(
    pair: &Pair,
    first: Member<'_>,
    what: &str,
    before: impl FnOnce(&Gateway<'_>),
) -> Duration {
    let stop = AtomicBool::new(false);
    let line = format!(
        "curl --silent --fail --max-time 5 --output /dev/null --write-out %{{time_total}} http://{WEB}/"
    );
    // How long a page took, if it came.
    let ask = || {
        let output = run::output(&mut pair.client().namespace().command(&line));
        let seconds = String::from_utf8_lossy(&output.stdout).parse().ok();
        let seconds = seconds.filter(|_| output.status.success());
        seconds.map(Duration::from_secs_f64)
    };

    let witness = Witness::start();
    let (asked, (took, status)) = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut asked = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                asked.push(ask());
            }
            asked
        });
        std::thread::sleep(Duration::from_millis(500));
        before(&first.gateway);
        let stopped = first.gateway.stop();
        std::thread::sleep(Duration::from_millis(2500));
        stop.store(true, Ordering::Relaxed);
        (asking.join().expect("curl is installed"), stopped)
    });
    let stood_still = witness.stood_still();

    let lost = asked.iter().filter(|it| it.is_none()).count();
    let longest = asked.iter().flatten().max().copied().unwrap_or_default();
    let all = asked.len();
    eprintln!(
        "{what}: {lost} of {all} requests lost, the longest {longest:?}, stopped after {took:?}"
    );
    assert!(all > 20 && lost <= 1, "{lost} of {all}");
    // One SYN may be sent again, after a second; the next one would come two seconds later.
    assert!(
        longest < Duration::from_millis(2500) + stood_still,
        "{longest:?}"
    );
    assert!(status.success());
    assert!(is_master(pair, 1));
    assert_traffic_goes_to(pair, 1);
    took
}

#[test]
fn sigterm_hands_over_and_the_backup_never_answered_arp_before() {
    require_namespaces!();
    let pair = Pair::build();
    let [first, _second] = start(&pair, as_they_are);
    assert_eq!(pair.macs_that_answer(VIP), [mac(&pair, 0)]);

    let took = leaves(&pair, first, "SIGTERM", |_| ());

    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(pair.macs_that_answer(VIP), [mac(&pair, 1)]);
}

#[test]
fn a_stop_right_after_maintenance_has_begun_hands_over_too() {
    require_namespaces!();
    let pair = Pair::build();
    let [first, _second] = start(&pair, as_they_are);

    leaves(&pair, first, "maintenance, then SIGTERM", |gateway| {
        run::must(&mut gateway.ctl("maintenance on"));
        let gone = run::eventually(LIMIT, || !has(&pair, 0, CLIENTS, VIP));
        assert!(gone, "keepalived takes the VIP away in maintenance");
    });
}

#[test]
fn with_nopreempt_whoever_is_master_stays_master() {
    require_namespaces!();
    let pair = Pair::build();
    let nopreempt = |text: String| text.replace("# nopreempt", "nopreempt");
    let [first, second] = start(&pair, nopreempt);
    first.gateway.kill();
    wait_for_master(&pair, 1, LIMIT);

    // The one with the higher priority is ready and hears the other for longer than it would wait.
    let mut again = None;
    let back = outage_of(
        &pair,
        "return of a gateway with nopreempt",
        || again = Some(gateway(&pair, 0)),
        || std::thread::sleep(ADVERT_INTERVAL * 4),
    );

    assert!(back.lost <= 2, "nothing has moved: {back:?}");
    assert!(is_master(&pair, 1) && !has(&pair, 0, CLIENTS, VIP));
    let killed = outage_of(
        &pair,
        "kill -9 of the master's gateway with nopreempt",
        || second.gateway.kill(),
        || {
            wait_for_master(&pair, 0, LIMIT);
        },
    );
    assert!(killed.lasted <= LIMIT, "{killed:?}");
    assert_traffic_goes_to(&pair, 0);
}
