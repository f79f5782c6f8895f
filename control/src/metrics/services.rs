//! Each service and each of its servers.

use super::family::{Family, Page, Written};
use crate::view::{ServerView, ServiceView, TrafficView};

/// What both count: the end of the name, the help, and where it stands.
struct Traffic {
    of_service: (&'static str, &'static str),
    of_server: (&'static str, &'static str),
    read: fn(&TrafficView) -> u64,
}

const TRAFFIC: [Traffic; 5] = [
    Traffic {
        of_service: (
            "sluice_service_sessions_total",
            "Sessions made, those on servers it no longer has included.",
        ),
        of_server: (
            "sluice_server_sessions_total",
            "Sessions made on the real server.",
        ),
        read: |it| it.sessions,
    },
    Traffic {
        of_service: (
            "sluice_service_in_packets_total",
            "Packets from clients of the service.",
        ),
        of_server: (
            "sluice_server_in_packets_total",
            "Packets from clients to the real server.",
        ),
        read: |it| it.in_packets,
    },
    Traffic {
        of_service: (
            "sluice_service_in_bytes_total",
            "IP bytes from clients of the service.",
        ),
        of_server: (
            "sluice_server_in_bytes_total",
            "IP bytes from clients to the real server.",
        ),
        read: |it| it.in_bytes,
    },
    Traffic {
        of_service: (
            "sluice_service_out_packets_total",
            "Packets from servers that passed the gateway (NAT and FULLNAT).",
        ),
        of_server: (
            "sluice_server_out_packets_total",
            "Packets from the real server that passed the gateway (NAT and FULLNAT).",
        ),
        read: |it| it.out_packets,
    },
    Traffic {
        of_service: (
            "sluice_service_out_bytes_total",
            "IP bytes from servers that passed the gateway (NAT and FULLNAT).",
        ),
        of_server: (
            "sluice_server_out_bytes_total",
            "IP bytes from the real server that passed the gateway (NAT and FULLNAT).",
        ),
        read: |it| it.out_bytes,
    },
];

type Read = fn(&ServerView) -> u64;

/// What goes up and down about a server.
const GAUGES: [(&str, &str, Read); 7] = [
    (
        "sluice_server_active_sessions",
        "Sessions in an active state (TCP: established and alike).",
        |it| it.active.into(),
    ),
    ("sluice_server_inactive_sessions", "Other sessions.", |it| {
        it.inactive.into()
    }),
    (
        "sluice_server_persistent_clients",
        "Clients of persistent services, or networks of them, that meet the real server again.",
        |it| it.persistent.into(),
    ),
    (
        "sluice_server_weight",
        "The real server's weight now, as health, load and slow start leave it; 0 takes no new sessions.",
        |it| if it.available { it.weight.into() } else { 0 },
    ),
    (
        "sluice_server_configured_weight",
        "The real server's weight as it is configured, or was when it was removed.",
        |it| it.configured_weight.into(),
    ),
    (
        "sluice_server_overloaded",
        "1 while the real server has reached its upper threshold.",
        |it| it.overloaded.into(),
    ),
    (
        "sluice_server_available",
        "0 while the real server is out of the packet path: removed, disabled or down.",
        |it| it.available.into(),
    ),
];

pub(super) fn write(page: &mut Page, services: &[ServiceView]) {
    // A server's labels are written once, for all of its metrics.
    let servers: Vec<_> = (services.iter())
        .flat_map(|service| {
            let service_label = service.key();
            let servers = service.servers.iter();
            servers.map(move |server| (server_labels(&service_label, server), server))
        })
        .collect();
    let of_services = TRAFFIC.iter().map(|traffic| {
        let (name, help) = traffic.of_service;
        Family::counter(name, help).each(services, |service| {
            (
                [("service", service.key())],
                (traffic.read)(&service.traffic),
            )
        })
    });
    let of_servers = TRAFFIC.iter().map(|traffic| {
        let (name, help) = traffic.of_server;
        Family::counter(name, help).each(&servers, |(labels, server)| {
            (labels, (traffic.read)(&server.traffic))
        })
    });
    let gauges = GAUGES.iter().map(|(name, help, read)| {
        Family::gauge(name, help).each(&servers, |(labels, server)| (labels, read(server)))
    });
    page.extend(of_services.chain(of_servers).chain(gauges));
    page.add(&scheduler_lock_waits(services));
    page.add(&names(services));
}

fn names(services: &[ServiceView]) -> Family {
    let named = services
        .iter()
        .filter_map(|it| Some((it, it.name.clone()?)));
    Family::gauge(
        "sluice_service_info",
        "The operator's name of the service; always 1, and only where there is one.",
    )
    .each(named, |(service, name)| {
        ([("service", service.key()), ("name", name)], 1)
    })
}

fn scheduler_lock_waits(services: &[ServiceView]) -> Family {
    Family::counter(
        "sluice_service_scheduler_lock_waits_total",
        "Times that a worker found the service's scheduler taken by another worker.",
    )
    .each(services, |service| {
        ([("service", service.key())], service.scheduler_lock_waits)
    })
}

fn server_labels(service: &str, server: &ServerView) -> Written {
    Written::of(&[
        ("service", service),
        ("server", &server.address.to_string()),
        ("method", &server.method),
    ])
}
