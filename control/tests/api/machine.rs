//! What Prometheus learns of workers' turns, their tables, ethdevs and mempools.

use std::sync::Arc;

use control::metrics;

use crate::fixture::Running;
use crate::metrics::{moved, series, sources, without_twins};

#[test]
fn bursts_are_sorted_by_their_size() {
    let sources = sources();
    let counters = Arc::clone(&sources.gateway.plane().counters[0]);

    // When the ethdev had nothing, three packets, and 32.
    let moved = moved(&sources, || {
        for packets in [0, 3, 32] {
            counters.bursts.record(packets);
        }
        counters.received_packets.add(35);
    });

    let bucket = |bound: &str, bursts| {
        let name = "sluice_burst_packets_bucket";
        (format!("{name}{{worker=\"0\",le=\"{bound}\"}}"), bursts)
    };
    let mut expected: Vec<_> = ["0", "1", "2"].map(|bound| bucket(bound, 1.0)).into();
    expected.extend(["4", "8", "16"].map(|bound| bucket(bound, 2.0)));
    expected.extend(["32", "+Inf"].map(|bound| bucket(bound, 3.0)));
    let of = |what: &str| format!("sluice_burst_packets_{what}{{worker=\"0\"}}");
    expected.push((of("count"), 3.0));
    expected.push((of("sum"), 35.0));
    expected.push((
        "sluice_received_packets_total{worker=\"0\"}".to_owned(),
        35.0,
    ));
    expected.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(moved, expected);
}

#[test]
fn turns_with_packets_take_time_and_new_sessions_a_place_in_the_table() {
    let running = Running::start();
    let counters = Arc::clone(&running.gateway.plane().counters[0]);
    let sources = without_twins(&running.gateway);

    running.open_sessions(1_000..1_002);
    running.until("their turn is over", |_| counters.busy_nanos.get() > 0);

    let series = series(&metrics::text(&sources));
    assert!(series["sluice_worker_busy_seconds_total{worker=\"0\"}"] > 0.0);
    let probes = |what: &str| series[&format!("sluice_session_probe_buckets_{what}")];
    // By DR only what clients send is looked up; so early each bucket has room.
    assert_eq!(probes("count{worker=\"0\"}"), 2.0);
    assert_eq!(probes("sum{worker=\"0\"}"), 2.0);
    assert_eq!(probes("bucket{worker=\"0\",le=\"1\"}"), 2.0);
}

#[test]
fn ethdevs_their_queues_links_and_mempools_are_told() {
    let series = series(&metrics::text(&sources()));

    for (name, value) in [
        ("sluice_ethdev_received_packets_total{ethdev=\"wan\"}", 1.0),
        ("sluice_ethdev_received_bytes_total{ethdev=\"wan\"}", 2.0),
        (
            "sluice_ethdev_transmitted_packets_total{ethdev=\"wan\"}",
            3.0,
        ),
        ("sluice_ethdev_transmitted_bytes_total{ethdev=\"wan\"}", 4.0),
        ("sluice_ethdev_missed_packets_total{ethdev=\"wan\"}", 5.0),
        ("sluice_ethdev_receive_errors_total{ethdev=\"wan\"}", 6.0),
        ("sluice_ethdev_transmit_errors_total{ethdev=\"wan\"}", 7.0),
        ("sluice_ethdev_no_buffer_packets_total{ethdev=\"wan\"}", 8.0),
        ("sluice_ethdev_link_up{ethdev=\"wan\"}", 1.0),
        ("sluice_ethdev_link_speed_bytes{ethdev=\"wan\"}", 3.125e9),
        ("sluice_ethdev_link_full_duplex{ethdev=\"wan\"}", 1.0),
        ("sluice_mempool_buffers{mempool=\"socket 0\"}", 14.0),
        ("sluice_mempool_in_use_buffers{mempool=\"socket 0\"}", 15.0),
    ] {
        assert_eq!(series.get(name), Some(&value), "{name}");
    }
    for (what, value) in [
        ("received_packets", 9.0),
        ("received_bytes", 10.0),
        ("transmitted_packets", 11.0),
        ("transmitted_bytes", 12.0),
        ("lost_packets", 13.0),
    ] {
        let name = format!("sluice_ethdev_queue_{what}_total{{ethdev=\"wan\",queue=\"0\"}}");
        assert_eq!(series.get(&name), Some(&value), "{name}");
    }
}
