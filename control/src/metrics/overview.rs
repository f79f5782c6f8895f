//! The gateway as a whole, its local addresses and its persistence templates.

use super::family::Family;
use crate::view::{LocalAddressView, MaintenanceView, StatusView, TemplatesView};

pub(super) fn gather(status: &StatusView) -> Vec<Family> {
    let count = |number: usize| number as u64;
    let build = [(&status.version, &status.dpdk)];
    let mut families = vec![
        Family::gauge("sluice_build_info", "What runs; always 1.")
            .each(build, |(version, dpdk)| {
                ([("version", version.clone()), ("dpdk", dpdk.clone())], 1)
            }),
        Family::gauge(
            "sluice_uptime_seconds",
            "Seconds since the gateway's start.",
        )
        .only(status.uptime_seconds),
        Family::gauge("sluice_generation", "The snapshot that was published last.")
            .only(status.generation),
        Family::gauge("sluice_services", "Virtual services.").only(count(status.services)),
        Family::gauge("sluice_servers", "Real servers of all services.")
            .only(count(status.servers)),
        Family::gauge(
            "sluice_warnings",
            "Things an operator should mend; `sluicectl status` names them.",
        )
        .only(count(status.warnings.len())),
    ];
    families.extend(local_addresses(&status.local_addresses));
    families.extend(templates(&status.templates));
    families
}

/// Maintenance, and which VIPs routers are told of.
pub(super) fn announcements(maintenance: &MaintenanceView) -> [Family; 2] {
    [
        Family::gauge(
            "sluice_maintenance",
            "1 while `sluicectl maintenance` is on: no VIP is announced.",
        )
        .only(maintenance.on.into()),
        Family::gauge(
            "sluice_vip_announced",
            "1 while the VIP is in the routing table that routing daemons announce.",
        )
        .each(&maintenance.vips, |it| {
            ([("vip", it.vip.to_string())], it.announced.into())
        }),
    ]
}

fn templates(templates: &TemplatesView) -> [Family; 3] {
    [
        Family::gauge(
            "sluice_templates",
            "Persistence templates, with those that ended and were not swept away yet.",
        )
        .only(templates.held),
        Family::gauge(
            "sluice_template_capacity",
            "Persistence templates that there is room for; 0 until a service is persistent.",
        )
        .only(templates.capacity),
        Family::counter(
            "sluice_template_lock_waits_total",
            "Times that a part of the table of persistence templates was found taken.",
        )
        .only(templates.lock_waits),
    ]
}

fn local_addresses(addresses: &[LocalAddressView]) -> [Family; 3] {
    let label = |view: &LocalAddressView| {
        let address = ("address", view.address.to_string());
        [("pool", view.pool.clone()), address]
    };
    [
        Family::gauge(
            "sluice_local_address_sessions",
            "FULLNAT sessions that have a port of the local address.",
        )
        .each(addresses, |view| (label(view), view.in_use)),
        Family::gauge(
            "sluice_local_address_capacity",
            "FULLNAT sessions towards the available servers that can have a port of the local address.",
        )
        .each(addresses, |view| (label(view), view.capacity)),
        Family::gauge(
            "sluice_local_address_free",
            "FULLNAT sessions more that can have a port of the local address, over all workers.",
        )
        .each(addresses, |view| {
            (label(view), view.capacity.saturating_sub(view.in_use))
        }),
    ]
}
