//! Each ethdev with its queues and its link, and the mempools.

use super::family::Family;
use crate::gateway::{EthdevStats, LinkStats, MempoolStats, QueueStats};

const BYTES_PER_MEGABIT: u64 = 125_000;

type Read = fn(&EthdevStats) -> u64;
type ReadQueue = fn(&QueueStats) -> u64;

const COUNTERS: [(&str, &str, Read); 8] = [
    (
        "sluice_ethdev_received_packets_total",
        "Packets the ethdev received.",
        |it| it.received.0,
    ),
    (
        "sluice_ethdev_received_bytes_total",
        "Bytes the ethdev received.",
        |it| it.received.1,
    ),
    (
        "sluice_ethdev_transmitted_packets_total",
        "Packets the ethdev sent.",
        |it| it.transmitted.0,
    ),
    (
        "sluice_ethdev_transmitted_bytes_total",
        "Bytes the ethdev sent.",
        |it| it.transmitted.1,
    ),
    (
        "sluice_ethdev_missed_packets_total",
        "Packets lost because the workers did not take them in time.",
        |it| it.missed,
    ),
    (
        "sluice_ethdev_receive_errors_total",
        "Packets the ethdev received with errors.",
        |it| it.receive_errors,
    ),
    (
        "sluice_ethdev_transmit_errors_total",
        "Packets the ethdev could not send.",
        |it| it.transmit_errors,
    ),
    (
        "sluice_ethdev_no_buffer_packets_total",
        "Packets lost because no buffer was free.",
        |it| it.no_buffer,
    ),
];

/// What each queue counts.
const QUEUE_COUNTERS: [(&str, &str, ReadQueue); 5] = [
    (
        "sluice_ethdev_queue_received_packets_total",
        "Packets the ethdev's queue received.",
        |it| it.received.0,
    ),
    (
        "sluice_ethdev_queue_received_bytes_total",
        "Bytes the ethdev's queue received.",
        |it| it.received.1,
    ),
    (
        "sluice_ethdev_queue_transmitted_packets_total",
        "Packets the ethdev's queue sent.",
        |it| it.transmitted.0,
    ),
    (
        "sluice_ethdev_queue_transmitted_bytes_total",
        "Bytes the ethdev's queue sent.",
        |it| it.transmitted.1,
    ),
    (
        "sluice_ethdev_queue_lost_packets_total",
        "Packets that the ethdev's receive queue lost, as far as its driver knows.",
        |it| it.lost,
    ),
];

pub(super) fn gather(ethdevs: &[EthdevStats], mempools: &[MempoolStats]) -> Vec<Family> {
    let counters = COUNTERS.iter().map(|(name, help, read)| {
        Family::counter(name, help).each(ethdevs, |ethdev| (label(ethdev), read(ethdev)))
    });
    let queues: Vec<_> = ethdevs.iter().flat_map(queues).collect();
    let of_queues = QUEUE_COUNTERS.iter().map(|(name, help, read)| {
        Family::counter(name, help).each(&queues, |(labels, queue)| (labels.clone(), read(queue)))
    });
    let families = counters.chain(of_queues).chain(links(ethdevs));
    families.chain(fill(mempools)).collect()
}

fn label(ethdev: &EthdevStats) -> [(&'static str, String); 1] {
    [("ethdev", ethdev.name.clone())]
}

fn queues(
    ethdev: &EthdevStats,
) -> impl Iterator<Item = ([(&'static str, String); 2], &QueueStats)> {
    let numbered = ethdev.queues.iter().enumerate();
    numbered.map(|(number, queue)| {
        let name = ("ethdev", ethdev.name.clone());
        ([name, ("queue", number.to_string())], queue)
    })
}

fn links(ethdevs: &[EthdevStats]) -> [Family; 3] {
    let links = || ethdevs.iter().filter_map(|it| Some((it, it.link?)));
    let known = |read: fn(LinkStats) -> Option<u64>| {
        links().filter_map(move |(ethdev, link)| Some((label(ethdev), read(link)?)))
    };
    [
        Family::gauge(
            "sluice_ethdev_link_up",
            "1 while the ethdev's link has a carrier.",
        )
        .each(known(|link| Some(link.up.into())), |it| it),
        Family::gauge(
            "sluice_ethdev_link_speed_bytes",
            "Bytes a second that the ethdev's link carries, where the driver knows.",
        )
        .each(
            known(|link| Some(u64::from(link.speed_mbps?) * BYTES_PER_MEGABIT)),
            |it| it,
        ),
        Family::gauge(
            "sluice_ethdev_link_full_duplex",
            "1 while both sides of the ethdev's link may send at once, where the driver knows.",
        )
        .each(known(|link| Some(link.full_duplex?.into())), |it| it),
    ]
}

fn fill(mempools: &[MempoolStats]) -> [Family; 2] {
    let label = |it: &MempoolStats| [("mempool", it.name.clone())];
    [
        Family::gauge("sluice_mempool_buffers", "Packet buffers in the mempool.")
            .each(mempools, |it| (label(it), it.buffers)),
        Family::gauge(
            "sluice_mempool_in_use_buffers",
            "Packet buffers of the mempool that a worker or an ethdev holds.",
        )
        .each(mempools, |it| (label(it), it.in_use)),
    ]
}
