//! Each twin, and the mirror of Linux's tables.

use std::sync::Arc;
use std::time::Duration;

use dataplane::counters::Counter;

use super::family::Family;
use crate::linux::mirror::MirrorCounters;
use crate::linux::pump::TwinCounters;
use crate::linux::twin::TwinLink;

type Read<T> = fn(&T) -> &Counter;

const TWIN: [(&str, &str, Read<TwinCounters>); 5] = [
    (
        "sluice_twin_to_linux_frames_total",
        "Frames given to Linux on the twin.",
        |it| &it.frames_to_linux,
    ),
    (
        "sluice_twin_to_linux_failed_frames_total",
        "Frames Linux would not take, for instance because the twin is down.",
        |it| &it.frames_to_linux_failed,
    ),
    (
        "sluice_twin_from_linux_frames_total",
        "Frames taken from Linux and given to a worker.",
        |it| &it.frames_from_linux,
    ),
    (
        "sluice_twin_from_linux_failed_frames_total",
        "Frames from Linux that no worker had room for.",
        |it| &it.frames_from_linux_failed,
    ),
    (
        "sluice_twin_read_failures_total",
        "Failures to read from the twin.",
        |it| &it.read_failures,
    ),
];

const MIRROR: [(&str, &str, Read<MirrorCounters>); 3] = [
    (
        "sluice_mirror_events_total",
        "Changes of links, addresses, routes and neighbours that Linux told.",
        |it| &it.events,
    ),
    (
        "sluice_mirror_resyncs_total",
        "Times everything was read from Linux again.",
        |it| &it.resyncs,
    ),
    (
        "sluice_mirror_overruns_total",
        "Times Linux lost notifications because they were not read in time.",
        |it| &it.overruns,
    ),
];

pub(super) fn gather(
    twins: &[(TwinLink, Arc<TwinCounters>)],
    mirror: Option<&MirrorCounters>,
) -> Vec<Family> {
    let label = |link: &TwinLink| [("twin", link.name.clone())];
    let of_twins = TWIN.iter().map(|(name, help, read)| {
        Family::counter(name, help).each(twins, |(link, counters)| {
            (label(link), read(counters).get())
        })
    });
    let removed = Family::gauge(
        "sluice_twin_removed",
        "1 once the twin was removed while the gateway ran.",
    )
    .each(twins, |(link, counters)| {
        (label(link), counters.removed.get())
    });
    let of_mirror = MIRROR.iter().map(|(name, help, read)| {
        Family::counter(name, help).each(mirror, |counters| ((), read(counters).get()))
    });
    let families = of_twins.chain([removed]).chain(of_mirror);
    families.chain(contents(mirror)).collect()
}

/// What the mirror holds.
fn contents(mirror: Option<&MirrorCounters>) -> [Family; 2] {
    let entries = mirror.into_iter().flat_map(|it| {
        [
            ("address", &it.addresses),
            ("route", &it.routes),
            ("neighbour", &it.neighbours),
        ]
    });
    let changed_at = mirror.map(|it| Duration::from_millis(it.changed_at.get()));
    [
        Family::gauge(
            "sluice_mirror_entries",
            "Addresses on the twins, prefixes with a route, and resolved neighbours that Linux told.",
        )
        .each(entries, |(kind, counter)| {
            ([("kind", kind.to_owned())], counter.get())
        }),
        Family::gauge(
            "sluice_mirror_last_change_timestamp_seconds",
            "When Linux told of a change last; seconds since 1970.",
        )
        .seconds(changed_at.map(|it| ((), it.as_secs_f64()))),
    ]
}
