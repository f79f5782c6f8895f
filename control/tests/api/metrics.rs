//! What Prometheus scrapes: every metric explained, and each moves with what it counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use control::gateway::Gateway;
use control::health::check_path::{CheckPath, Refusal};
use control::linux::mirror::MirrorCounters;
use control::linux::pump::TwinCounters;
use control::linux::twin::TwinLink;
use control::metrics::{self, Sources};
use dataplane::counters::Counter;
use dataplane::drop_reason::DropReason;
use dataplane::id::InterfaceId;
use dataplane::punt::PuntClass;
use dataplane::schedule::{FlowInfo, Schedule};
use dataplane::snapshot::Snapshot;
use dataplane::testing::{CLIENT, GATEWAY_MAC, VIP};
use dataplane::time::Tick;
use tokio::net::TcpListener;

use crate::fixture::{CAPACITY, CONFIG, Running, gateway, gateway_of};
use crate::http::get_tcp;

pub(crate) fn sources() -> Sources {
    let (gateway, ..) = gateway();
    let link = TwinLink {
        interface: InterfaceId(0),
        ifindex: 1,
        name: "sl-wan".to_owned(),
        mac: GATEWAY_MAC,
    };
    Sources {
        gateway,
        twins: vec![(link, Arc::new(TwinCounters::default()))],
        mirror: Some(Arc::new(MirrorCounters::default())),
        checks: Some(CheckPath::new("198.18.0.0/20".parse().unwrap())),
    }
}

pub(crate) fn without_twins(gateway: &Arc<Gateway>) -> Sources {
    Sources {
        gateway: Arc::clone(gateway),
        twins: vec![],
        mirror: None,
        checks: None,
    }
}

/// Each series, its labels included, with its value.
pub(crate) fn series(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.to_owned(), value.parse().unwrap())
        })
        .collect()
}

/// What `change` changes, with by how much.
pub(crate) fn moved(sources: &Sources, change: impl FnOnce()) -> Vec<(String, f64)> {
    let before = series(&metrics::text(sources));
    change();
    let after = series(&metrics::text(sources));
    let moved = after.into_iter().map(|(series, value)| {
        let by = value - before.get(&series).copied().unwrap_or(0.0);
        (series, by)
    });
    // A worker that is not there stands still, which shows after two seconds.
    let of_time = ["sluice_uptime_seconds", "sluice_healthy", "sluice_ready"];
    moved
        .filter(|(series, by)| *by != 0.0 && !of_time.contains(&&**series))
        .collect()
}

#[test]
fn every_metric_has_a_sentence_and_a_name_that_says_its_type() {
    let text = metrics::text(&sources());

    let mut seen = 0;
    let lines: Vec<_> = text.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        let Some(typed) = line.strip_prefix("# TYPE ") else {
            continue;
        };
        seen += 1;
        let (name, kind) = typed.split_once(' ').unwrap();
        let help = lines[index - 1].strip_prefix(&format!("# HELP {name} "));
        assert!(
            help.is_some_and(|help| help.ends_with('.')),
            "{name}: {help:?}"
        );
        assert!(name.starts_with("sluice_"), "{name}");
        assert_eq!(
            name.ends_with("_total"),
            kind == "counter",
            "{name} is a {kind}"
        );
        let promised = text.matches(&format!("# TYPE {name} ")).count();
        assert_eq!(promised, 1, "{name} comes twice");
    }
    assert!(seen > 50, "{seen}");
}

#[test]
fn each_counter_of_a_worker_moves_its_own_metric() {
    let sources = sources();
    let counters = Arc::clone(&sources.gateway.plane().counters[0]);
    let expected: [(&str, &Counter); 21] = [
        ("sluice_received_bytes_total", &counters.received_bytes),
        (
            "sluice_transmitted_packets_total",
            &counters.transmitted_packets,
        ),
        (
            "sluice_transmitted_bytes_total",
            &counters.transmitted_bytes,
        ),
        ("sluice_session_hit_packets_total", &counters.session_hits),
        ("sluice_created_sessions_total", &counters.sessions_created),
        (
            "sluice_imported_sessions_total",
            &counters.sessions_imported,
        ),
        ("sluice_expired_sessions_total", &counters.sessions_expired),
        ("sluice_evicted_sessions_total", &counters.sessions_evicted),
        ("sluice_sessions", &counters.sessions),
        (
            "sluice_arrived_at_wrong_worker_packets_total",
            &counters.arrived_at_wrong_worker,
        ),
        ("sluice_taken_over_packets_total", &counters.taken_over),
        ("sluice_icmp_error_packets_total", &counters.icmp_errors),
        (
            "sluice_suppressed_icmp_error_packets_total",
            &counters.icmp_errors_suppressed,
        ),
        ("sluice_ipv6_packets_total", &counters.ipv6_packets),
        ("sluice_injected_packets_total", &counters.injected_packets),
        (
            "sluice_local_node_packets_total",
            &counters.local_node_packets,
        ),
        (
            "sluice_local_node_replies_total",
            &counters.local_node_replies,
        ),
        (
            "sluice_reused_local_ports_total",
            &counters.local_port_reuses,
        ),
        ("sluice_one_packet_datagrams_total", &counters.one_packets),
        (
            "sluice_refused_templates_total",
            &counters.templates_refused,
        ),
        ("sluice_rss_mismatches_total", &counters.rss_mismatches),
    ];

    for (name, counter) in expected {
        let moved = moved(&sources, || counter.add(3));
        assert_eq!(moved, [(format!("{name}{{worker=\"0\"}}"), 3.0)]);
    }
    for (kind, counter) in [
        ("busy", &counters.busy_turns),
        ("idle", &counters.idle_turns),
    ] {
        let moved = moved(&sources, || counter.add(2));
        let expected = format!("sluice_turns_total{{worker=\"0\",kind=\"{kind}\"}}");
        assert_eq!(moved, [(expected, 2.0)]);
    }
}

#[test]
fn how_long_packets_stay_is_a_histogram() {
    let sources = sources();
    let counters = Arc::clone(&sources.gateway.plane().counters[0]);

    // When 32 packets stay 15 µs and one stays 2 ms.
    let moved = moved(&sources, || {
        counters.latency.record(15_000, 32);
        counters.latency.record(2_000_000, 1);
    });

    // Then every bound that a stay is within counts it.
    let bucket = |bound: &str, packets| {
        let name = "sluice_packet_latency_seconds_bucket";
        (format!("{name}{{worker=\"0\",le=\"{bound}\"}}"), packets)
    };
    let bounds = ["0.00002", "0.00005", "0.0001", "0.0002", "0.0005", "0.001"];
    let mut expected: Vec<_> = bounds.map(|bound| bucket(bound, 32.0)).into();
    expected.push(bucket("+Inf", 33.0));
    let of = |what: &str| format!("sluice_packet_latency_seconds_{what}{{worker=\"0\"}}");
    expected.push((of("count"), 33.0));
    expected.push((of("sum"), 0.002_48));
    expected.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(moved, expected);
}

#[test]
fn each_drop_reason_and_punt_class_has_a_series() {
    let sources = sources();
    let counters = Arc::clone(&sources.gateway.plane().counters[0]);

    for reason in DropReason::ALL {
        let moved = moved(&sources, || counters.drops(*reason).add(1));
        let expected = format!("sluice_dropped_packets_total{{worker=\"0\",reason=\"{reason}\"}}");
        assert_eq!(moved, [(expected, 1.0)]);
    }
    for class in PuntClass::ALL {
        let moved = moved(&sources, || counters.punts(class).add(1));
        let name = class.name();
        let expected = format!("sluice_punted_packets_total{{worker=\"0\",class=\"{name}\"}}");
        assert_eq!(moved, [(expected, 1.0)]);
        let moved = self::moved(&sources, || counters.punt_limits(class).add(1));
        let expected =
            format!("sluice_punt_limited_packets_total{{worker=\"0\",class=\"{name}\"}}");
        assert_eq!(moved, [(expected, 1.0)]);
    }
}

#[test]
fn twins_and_the_mirror_are_counted() {
    let sources = sources();
    let twin = Arc::clone(&sources.twins[0].1);
    let mirror = Arc::clone(sources.mirror.as_ref().unwrap());
    let expected: [(&str, &Counter); 12] = [
        (
            "sluice_twin_to_linux_frames_total{twin=\"sl-wan\"}",
            &twin.frames_to_linux,
        ),
        (
            "sluice_twin_to_linux_failed_frames_total{twin=\"sl-wan\"}",
            &twin.frames_to_linux_failed,
        ),
        (
            "sluice_twin_from_linux_frames_total{twin=\"sl-wan\"}",
            &twin.frames_from_linux,
        ),
        (
            "sluice_twin_from_linux_failed_frames_total{twin=\"sl-wan\"}",
            &twin.frames_from_linux_failed,
        ),
        (
            "sluice_twin_read_failures_total{twin=\"sl-wan\"}",
            &twin.read_failures,
        ),
        ("sluice_twin_removed{twin=\"sl-wan\"}", &twin.removed),
        ("sluice_mirror_events_total", &mirror.events),
        ("sluice_mirror_resyncs_total", &mirror.resyncs),
        ("sluice_mirror_overruns_total", &mirror.overruns),
        ("sluice_mirror_entries{kind=\"address\"}", &mirror.addresses),
        ("sluice_mirror_entries{kind=\"route\"}", &mirror.routes),
        (
            "sluice_mirror_entries{kind=\"neighbour\"}",
            &mirror.neighbours,
        ),
    ];

    for (name, counter) in expected {
        assert_eq!(moved(&sources, || counter.add(1)), [(name.to_owned(), 1.0)]);
    }
    let moved = moved(&sources, || mirror.changed_at.set(1_500));
    let name = "sluice_mirror_last_change_timestamp_seconds";
    assert_eq!(moved, [(name.to_owned(), 1.5)]);
}

#[test]
fn packets_of_checks_are_counted() {
    let sources = sources();
    let counters = sources.checks.as_ref().unwrap().counters();
    let expected: [(&str, &Counter); 3] = [
        (
            "sluice_check_path_to_servers_packets_total",
            &counters.to_servers,
        ),
        (
            "sluice_check_path_to_checks_packets_total",
            &counters.to_checks,
        ),
        (
            "sluice_check_path_not_delivered_packets_total",
            &counters.not_delivered,
        ),
    ];
    for (name, counter) in expected {
        assert_eq!(moved(&sources, || counter.add(1)), [(name.to_owned(), 1.0)]);
    }
    for refusal in Refusal::ALL {
        let reason = refusal.name();
        let expected = format!("sluice_check_path_refused_packets_total{{reason=\"{reason}\"}}");
        let moved = moved(&sources, || counters.refused(refusal).add(1));
        assert_eq!(moved, [(expected, 1.0)]);
    }
}

#[test]
fn sessions_move_their_service_and_server() {
    let running = Running::start();
    let sources = without_twins(&running.gateway);

    let moved = moved(&sources, || running.open_sessions(1_000..1_002));

    let moved: BTreeMap<_, _> = moved.into_iter().collect();
    let service = "service=\"tcp 10.1.0.100:80\"";
    assert_eq!(
        moved[&format!("sluice_service_sessions_total{{{service}}}")],
        2.0
    );
    assert_eq!(
        moved[&format!("sluice_service_in_packets_total{{{service}}}")],
        2.0
    );
    for rip in ["10.2.0.11:80", "10.2.0.12:80"] {
        let server = format!("{{{service},server=\"{rip}\",method=\"dr\"}}");
        assert_eq!(moved[&format!("sluice_server_sessions_total{server}")], 1.0);
        assert_eq!(
            moved[&format!("sluice_server_in_bytes_total{server}")],
            40.0
        );
        assert_eq!(
            moved[&format!("sluice_server_active_sessions{server}")],
            1.0
        );
    }
}

/// Does something on two threads at once, until it has happened that one waited for the other.
fn contend(something: impl Fn() + Sync, has_waited: impl Fn() -> bool + Sync) {
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !has_waited() {
                    something();
                }
            });
        }
    });
}

/// A gateway that serves what `text` says, and its snapshot, which no worker takes.
fn sources_of(text: &str) -> (Sources, Arc<Snapshot>) {
    let (gateway, ..) = gateway_of(text, CAPACITY);
    let mut snapshot = Arc::new(Snapshot::default());
    assert!(gateway.plane().mailboxes[0].adopt(&mut snapshot));
    (without_twins(&gateway), snapshot)
}

#[test]
fn waits_for_a_scheduler_move_its_service() {
    let (sources, snapshot) = sources_of(CONFIG);
    let services = snapshot.services.iter().flatten();
    let service = services.max_by_key(|service| service.servers.len());
    let service = service.unwrap();
    let flow = FlowInfo::of(CLIENT, VIP.addr, Tick(0));
    let pick = || {
        let place = service.scheduler.pick(&service.servers, flow);
        assert!(place.is_some_and(|place| place < 2));
    };
    let waits = || service.scheduler.lock_waits();

    let moved = moved(&sources, || contend(pick, || waits() > 0));

    let name = "sluice_service_scheduler_lock_waits_total{service=\"tcp 10.1.0.100:80\"}";
    let waits = u32::try_from(waits()).unwrap();
    assert_eq!(moved, [(name.to_owned(), waits.into())]);
}

/// The configuration whose service over TCP is persistent.
fn persistent() -> String {
    CONFIG.replacen("scheduler = \"rr\"", "persistent = 300", 1)
}

#[test]
fn waits_for_the_table_of_templates_move_their_metric() {
    let (sources, snapshot) = sources_of(&persistent());
    let templates = &snapshot.templates;
    let look = || drop(templates.records(Tick(0)));

    let moved = moved(&sources, || contend(look, || templates.lock_waits() > 0));

    let name = "sluice_template_lock_waits_total";
    let waits = u32::try_from(templates.lock_waits()).unwrap();
    assert_eq!(moved, [(name.to_owned(), waits.into())]);
}

#[test]
fn a_client_of_a_persistent_service_has_one_template() {
    let running = Running::start_with(&persistent(), CAPACITY);
    let sources = without_twins(&running.gateway);

    let moved = moved(&sources, || running.open_sessions(1_000..1_002));

    let moved: BTreeMap<_, _> = moved.into_iter().collect();
    assert_eq!(moved["sluice_templates"], 1.0);
    assert_eq!(moved["sluice_sessions{worker=\"0\"}"], 2.0);
    let series = series(&metrics::text(&sources));
    assert_eq!(series["sluice_template_capacity"], f64::from(1 << 20));
}

#[test]
fn what_stands_still_is_there_too() {
    let series = series(&metrics::text(&sources()));

    let server = "service=\"tcp 10.1.0.100:80\",server=\"10.2.0.11:80\",method=\"dr\"";
    for (name, value) in [
        (
            "sluice_build_info{version=\"0.1.0 (test)\",dpdk=\"none\"}",
            1.0,
        ),
        ("sluice_services", 2.0),
        ("sluice_servers", 2.0),
        ("sluice_session_capacity{worker=\"0\"}", 4_096.0),
        ("sluice_worker_generation{worker=\"0\"}", 0.0),
        (
            "sluice_service_info{service=\"tcp 10.1.0.100:80\",name=\"web\"}",
            1.0,
        ),
        (&format!("sluice_server_weight{{{server}}}"), 1.0),
        (&format!("sluice_server_configured_weight{{{server}}}"), 1.0),
        (&format!("sluice_server_available{{{server}}}"), 1.0),
        (&format!("sluice_server_overloaded{{{server}}}"), 0.0),
    ] {
        assert_eq!(series.get(name), Some(&value), "{name}");
    }
}

#[test]
fn prometheus_and_load_balancers_can_ask() {
    let running = Running::start();
    let sources = without_twins(&running.gateway);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let serving = runtime.spawn(metrics::serve(listener, sources, std::future::pending()));

    let scraped = get_tcp(address, "/metrics");
    let health = get_tcp(address, "/healthz");
    let early = get_tcp(address, "/readyz");
    running.gateway.settled();
    let ready = get_tcp(address, "/readyz");

    assert_eq!(scraped.status, 200);
    assert!(
        scraped
            .head
            .contains("content-type: text/plain; version=0.0.4")
    );
    assert!(scraped.body.contains("\nsluice_services 2\n"));
    assert_eq!((health.status, health.body.as_str()), (200, "ok\n"));
    assert_eq!(
        (early.status, early.body.as_str()),
        (503, "the gateway is starting\n")
    );
    assert_eq!((ready.status, ready.body.as_str()), (200, "ok\n"));
    serving.abort();
}
