//! Each worker.

use std::sync::Arc;
use std::time::Duration;

use dataplane::burst_sizes::BurstSizes;
use dataplane::counters::{Counter, WorkerCounters};
use dataplane::drop_reason::DropReason;
use dataplane::latency::LatencyHistogram;
use dataplane::mailbox::Mailbox;
use dataplane::punt::PuntClass;
use dataplane::session::Probes;

use super::family::Family;
use crate::gateway::Plane;

type Read = fn(&WorkerCounters) -> &Counter;

/// What a worker counts with no label but its own: name, help, and where it stands.
const COUNTERS: [(&str, &str, Read); 21] = [
    (
        "sluice_received_packets_total",
        "Packets received from ethdevs.",
        |it| &it.received_packets,
    ),
    (
        "sluice_received_bytes_total",
        "Bytes received from ethdevs, Ethernet headers included.",
        |it| &it.received_bytes,
    ),
    (
        "sluice_transmitted_packets_total",
        "Packets given to ethdevs.",
        |it| &it.transmitted_packets,
    ),
    (
        "sluice_transmitted_bytes_total",
        "Bytes given to ethdevs, Ethernet headers included.",
        |it| &it.transmitted_bytes,
    ),
    (
        "sluice_session_hit_packets_total",
        "Packets that met an existing session.",
        |it| &it.session_hits,
    ),
    ("sluice_created_sessions_total", "Sessions made.", |it| {
        &it.sessions_created
    }),
    (
        "sluice_imported_sessions_total",
        "Sessions brought in from elsewhere.",
        |it| &it.sessions_imported,
    ),
    (
        "sluice_expired_sessions_total",
        "Sessions that ended by their time-out.",
        |it| &it.sessions_expired,
    ),
    (
        "sluice_evicted_sessions_total",
        "Sessions that ended to make room for another.",
        |it| &it.sessions_evicted,
    ),
    (
        "sluice_arrived_at_wrong_worker_packets_total",
        "Packets handed to the worker that owns their session.",
        |it| &it.arrived_at_wrong_worker,
    ),
    (
        "sluice_taken_over_packets_total",
        "Packets taken over from other workers.",
        |it| &it.taken_over,
    ),
    (
        "sluice_icmp_error_packets_total",
        "ICMP errors sent about packets that could not be forwarded.",
        |it| &it.icmp_errors,
    ),
    (
        "sluice_suppressed_icmp_error_packets_total",
        "ICMP errors not sent because of the rate limit.",
        |it| &it.icmp_errors_suppressed,
    ),
    (
        "sluice_ipv6_packets_total",
        "IPv6 packets given to Linux.",
        |it| &it.ipv6_packets,
    ),
    (
        "sluice_injected_packets_total",
        "Frames that Linux sent on the twins.",
        |it| &it.injected_packets,
    ),
    (
        "sluice_local_node_packets_total",
        "Packets of sessions whose server is the gateway itself, given to Linux.",
        |it| &it.local_node_packets,
    ),
    (
        "sluice_local_node_replies_total",
        "Linux's answers in sessions whose server is the gateway itself.",
        |it| &it.local_node_replies,
    ),
    (
        "sluice_reused_local_ports_total",
        "FULLNAT sessions that took a local port freed less than 120 s ago.",
        |it| &it.local_port_reuses,
    ),
    (
        "sluice_one_packet_datagrams_total",
        "Datagrams of one-packet services, each of which was scheduled for itself.",
        |it| &it.one_packets,
    ),
    (
        "sluice_refused_templates_total",
        "Sessions of persistent services whose clients got no template, because there was no room.",
        |it| &it.templates_refused,
    ),
    (
        "sluice_rss_mismatches_total",
        "Ethdevs whose RSS hash was found to be not what they say.",
        |it| &it.rss_mismatches,
    ),
];

pub(super) fn gather(plane: &Plane) -> Vec<Family> {
    let counters = &plane.counters;
    let mut families: Vec<_> = (COUNTERS.iter())
        .map(|(name, help, read)| {
            let numbered = counters.iter().enumerate();
            Family::counter(name, help).each(numbered, |(id, counters)| {
                (worker(id), read(counters).get())
            })
        })
        .collect();
    families.extend([turns(counters), busy(counters), bursts(counters)]);
    families.extend([latency(counters), drops(counters)]);
    families.extend([punts(counters), punt_limits(counters), probes(counters)]);
    families.extend(tables(plane));
    families.push(generations(&plane.mailboxes));
    families
}

fn worker(id: usize) -> [(&'static str, String); 1] {
    [("worker", id.to_string())]
}

fn turns(counters: &[Arc<WorkerCounters>]) -> Family {
    let turns = counters.iter().enumerate().flat_map(|(id, counters)| {
        let busy = (id, "busy", &counters.busy_turns);
        [busy, (id, "idle", &counters.idle_turns)]
    });
    Family::counter(
        "sluice_turns_total",
        "Turns of the workers' loops: busy ones found packets, idle ones none.",
    )
    .each(turns, |(id, kind, counter)| {
        let labels = [("worker", id.to_string()), ("kind", kind.to_owned())];
        (labels, counter.get())
    })
}

fn busy(counters: &[Arc<WorkerCounters>]) -> Family {
    let busy = counters.iter().enumerate().map(|(id, counters)| {
        let busy = Duration::from_nanos(counters.busy_nanos.get());
        (worker(id), busy.as_secs_f64())
    });
    Family::counter(
        "sluice_worker_busy_seconds_total",
        "Time of the worker's turns that found packets, or made or ended sessions.",
    )
    .seconds(busy)
}

fn bursts(counters: &[Arc<WorkerCounters>]) -> Family {
    let bursts = counters.iter().map(|counters| {
        let packets = counters.received_packets.get();
        (counters.bursts.counts(), packets)
    });
    Family::histogram(
        "sluice_burst_packets",
        "Bursts by how many packets the ethdev had for the worker when it asked.",
    )
    .sizes(
        &BurstSizes::BOUNDS,
        bursts.enumerate(),
        |(id, (counts, packets))| (worker(*id), counts, *packets),
    )
}

fn probes(counters: &[Arc<WorkerCounters>]) -> Family {
    let probes = counters.iter().map(|counters| counters.probes.counts());
    Family::histogram(
        "sluice_session_probe_buckets",
        "Entries put into the worker's session table by the buckets of the table that were looked at.",
    )
    .sizes(
        &Probes::BOUNDS,
        probes.enumerate(),
        |(id, (counts, buckets))| (worker(*id), counts, *buckets),
    )
}

fn latency(counters: &[Arc<WorkerCounters>]) -> Family {
    let latencies = counters.iter().map(|counters| counters.latency.counts());
    Family::histogram(
        "sluice_packet_latency_seconds",
        "Packets by the time from the receive burst they came in to the transmit burst of its turn.",
    )
    .times(
        &LatencyHistogram::BOUNDS,
        latencies.enumerate(),
        |(id, counts)| (worker(*id), &counts.packets, counts.nanos),
    )
}

fn drops(counters: &[Arc<WorkerCounters>]) -> Family {
    let drops = counters.iter().enumerate().flat_map(|(id, counters)| {
        (DropReason::ALL.iter()).map(move |reason| (id, *reason, counters.drops(*reason)))
    });
    Family::counter(
        "sluice_dropped_packets_total",
        "Packets that were not forwarded, by reason.",
    )
    .each(drops, |(id, reason, counter)| {
        let reason = ("reason", reason.name().to_owned());
        ([("worker", id.to_string()), reason], counter.get())
    })
}

fn punts(counters: &[Arc<WorkerCounters>]) -> Family {
    Family::counter(
        "sluice_punted_packets_total",
        "Packets given to Linux, by class.",
    )
    .each(by_class(counters, WorkerCounters::punts), |it| it)
}

fn punt_limits(counters: &[Arc<WorkerCounters>]) -> Family {
    Family::counter(
        "sluice_punt_limited_packets_total",
        "Packets for Linux that were over the limit of their class: the drops `punt_limit`.",
    )
    .each(by_class(counters, WorkerCounters::punt_limits), |it| it)
}

fn by_class(
    counters: &[Arc<WorkerCounters>],
    read: fn(&WorkerCounters, PuntClass) -> &Counter,
) -> impl Iterator<Item = ([(&'static str, String); 2], u64)> {
    let workers = counters.iter().enumerate();
    workers.flat_map(move |(id, counters)| {
        PuntClass::ALL.into_iter().map(move |class| {
            let class_label = ("class", class.name().to_owned());
            let labels = [("worker", id.to_string()), class_label];
            (labels, read(counters, class).get())
        })
    })
}

fn tables(plane: &Plane) -> [Family; 2] {
    let numbered = || plane.counters.iter().enumerate();
    [
        Family::gauge("sluice_sessions", "Sessions in the worker's table.")
            .each(numbered(), |(id, counters)| {
                (worker(id), counters.sessions.get())
            }),
        Family::gauge("sluice_session_capacity", "Places in the worker's table.")
            .each(numbered(), |(id, _)| (worker(id), plane.session_capacity)),
    ]
}

fn generations(mailboxes: &[Arc<Mailbox>]) -> Family {
    Family::gauge(
        "sluice_worker_generation",
        "The snapshot the worker works with.",
    )
    .each(mailboxes.iter().enumerate(), |(id, mailbox)| {
        (worker(id), mailbox.adopted())
    })
}
