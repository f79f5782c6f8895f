//! The way of checks to VIPs.

use super::family::Family;
use crate::health::check_path::{CheckPath, Refusal};

pub(super) fn gather(path: Option<&CheckPath>) -> Vec<Family> {
    let counted = path.map(CheckPath::counters);
    let refusals = counted.into_iter().flat_map(|counters| {
        let refusals = Refusal::ALL.into_iter();
        refusals.map(|refusal| (refusal, counters.refused(refusal)))
    });
    vec![
        Family::counter(
            "sluice_check_path_to_servers_packets_total",
            "Packets of checks carried to the VIP on their server.",
        )
        .each(counted, |it| ((), it.to_servers.get())),
        Family::counter(
            "sluice_check_path_to_checks_packets_total",
            "Packets of servers carried back to the checks that wait for them.",
        )
        .each(counted, |it| ((), it.to_checks.get())),
        Family::counter(
            "sluice_check_path_not_delivered_packets_total",
            "Packets for checks that the check interface would not take.",
        )
        .each(counted, |it| ((), it.not_delivered.get())),
        Family::counter(
            "sluice_check_path_refused_packets_total",
            "Packets on the check interface that were not carried to a server, and why.",
        )
        .each(refusals, |(refusal, counter)| {
            ([("reason", refusal.name().to_owned())], counter.get())
        }),
    ]
}
