//! Each ethdev.

use super::family::Family;
use crate::gateway::EthdevStats;

type Read = fn(&EthdevStats) -> u64;

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

pub(super) fn gather(ethdevs: &[EthdevStats]) -> Vec<Family> {
    let families = COUNTERS.iter().map(|(name, help, read)| {
        Family::counter(name, help).each(ethdevs, |ethdev| {
            ([("ethdev", ethdev.name.clone())], read(ethdev))
        })
    });
    families.collect()
}
