//! Services and servers by the names that Prometheus's node_exporter has for the kernel's IPVS, so
//! that dashboards and alerts made for those go on.
//!
//! Names, help, types and labels are its collector's, which reads `/proc/net/ip_vs_stats` and
//! `/proc/net/ip_vs`: a mark is eight hexadecimal digits, its service has no address and the port 0,
//! and servers are there that new sessions can meet. It knows no SCTP; here its `proto` is `SCTP`.

use std::net::SocketAddr;

use dataplane::counters::TrafficTotals;

use super::family::{Family, Page, Written};
use crate::view::{ServerView, ServiceView};

/// Where a number stands.
type Read<T, N> = fn(&T) -> N;

/// What node_exporter says of the whole: name, help, and where it stands.
const TOTALS: [(&str, &str, Read<TrafficTotals, u64>); 5] = [
    (
        "node_ipvs_connections_total",
        "The total number of connections made.",
        |it| it.sessions,
    ),
    (
        "node_ipvs_incoming_packets_total",
        "The total number of incoming packets.",
        |it| it.in_packets,
    ),
    (
        "node_ipvs_outgoing_packets_total",
        "The total number of outgoing packets.",
        |it| it.out_packets,
    ),
    (
        "node_ipvs_incoming_bytes_total",
        "The total amount of incoming data.",
        |it| it.in_bytes,
    ),
    (
        "node_ipvs_outgoing_bytes_total",
        "The total amount of outgoing data.",
        |it| it.out_bytes,
    ),
];

/// What it says of each server.
const BACKENDS: [(&str, &str, Read<ServerView, u32>); 3] = [
    (
        "node_ipvs_backend_connections_active",
        "The current active connections by local and remote address.",
        |it| it.active,
    ),
    (
        "node_ipvs_backend_connections_inactive",
        "The current inactive connections by local and remote address.",
        |it| it.inactive,
    ),
    (
        "node_ipvs_backend_weight",
        "The current backend weight by local and remote address.",
        |it| it.weight,
    ),
];

pub(super) fn write(page: &mut Page, services: &[ServiceView], total: TrafficTotals) {
    let backends: Vec<_> = (services.iter())
        .flat_map(|service| {
            // Whoever is not in the packet path is not in the kernel's list either.
            let servers = service.servers.iter().filter(|it| it.available);
            servers.map(move |server| (labels(service, server), server))
        })
        .collect();
    let totals = TOTALS
        .iter()
        .map(|(name, help, read)| Family::counter(name, help).only(read(&total)));
    let of_backends = BACKENDS.iter().map(|(name, help, read)| {
        Family::gauge(name, help).each(&backends, |(labels, server)| (labels, read(server).into()))
    });
    page.extend(totals.chain(of_backends));
}

/// What tells a server of a service from all others.
fn labels(service: &ServiceView, server: &ServerView) -> Written {
    let address = |vip: SocketAddr| vip.ip().to_string();
    let proto = service.protocol.as_deref().unwrap_or("fwm");
    let mark = service.mark.map(|mark| format!("{mark:08X}"));
    Written::of(&[
        (
            "local_address",
            service.vip.map(address).unwrap_or_default(),
        ),
        ("local_mark", mark.unwrap_or_default()),
        (
            "local_port",
            service.vip.map_or(0, |it| it.port()).to_string(),
        ),
        ("proto", proto.to_uppercase()),
        ("remote_address", server.address.ip().to_string()),
        ("remote_port", server.address.port().to_string()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::TrafficView;

    fn server(address: &str, active: u32, inactive: u32, weight: u32) -> ServerView {
        ServerView {
            address: address.parse().unwrap(),
            method: "nat".to_owned(),
            weight,
            configured_weight: weight,
            state: None,
            reasons: vec![],
            active,
            inactive,
            persistent: 0,
            overloaded: false,
            available: true,
            traffic: TrafficView::default(),
        }
    }

    fn service(protocol: &str, vip: &str, servers: Vec<ServerView>) -> ServiceView {
        ServiceView {
            name: None,
            protocol: Some(protocol.to_owned()),
            vip: Some(vip.parse().unwrap()),
            mark: None,
            family: None,
            scheduler: "wlc".to_owned(),
            scheduler_lock_waits: 0,
            persistent_seconds: None,
            one_packet: false,
            forwarded: true,
            traffic: TrafficView::default(),
            servers,
        }
    }

    #[test]
    fn a_gateway_is_shown_as_node_exporter_shows_the_kernels_ipvs() {
        let gone = ServerView {
            available: false,
            ..server("10.2.0.13:80", 9, 9, 9)
        };
        let marked = ServiceView {
            protocol: None,
            vip: None,
            mark: Some(0x1a),
            ..service("tcp", "10.1.0.100:80", vec![server("10.2.0.14:0", 0, 5, 1)])
        };
        let services = [
            service(
                "tcp",
                "10.1.0.100:80",
                vec![server("10.2.0.11:8080", 3, 4, 100), gone],
            ),
            service(
                "udp",
                "[2001:db8::1]:53",
                vec![server("[2001:db8::2]:53", 0, 1, 0)],
            ),
            marked,
        ];
        let total = TrafficTotals {
            sessions: 23,
            in_packets: 1_000,
            in_bytes: 70_000,
            out_packets: 900,
            out_bytes: 800_000,
        };

        let mut page = Page::default();
        write(&mut page, &services, total);
        let text = page.text();

        assert_eq!(
            text,
            r#"# HELP node_ipvs_connections_total The total number of connections made.
# TYPE node_ipvs_connections_total counter
node_ipvs_connections_total 23
# HELP node_ipvs_incoming_packets_total The total number of incoming packets.
# TYPE node_ipvs_incoming_packets_total counter
node_ipvs_incoming_packets_total 1000
# HELP node_ipvs_outgoing_packets_total The total number of outgoing packets.
# TYPE node_ipvs_outgoing_packets_total counter
node_ipvs_outgoing_packets_total 900
# HELP node_ipvs_incoming_bytes_total The total amount of incoming data.
# TYPE node_ipvs_incoming_bytes_total counter
node_ipvs_incoming_bytes_total 70000
# HELP node_ipvs_outgoing_bytes_total The total amount of outgoing data.
# TYPE node_ipvs_outgoing_bytes_total counter
node_ipvs_outgoing_bytes_total 800000
# HELP node_ipvs_backend_connections_active The current active connections by local and remote address.
# TYPE node_ipvs_backend_connections_active gauge
node_ipvs_backend_connections_active{local_address="10.1.0.100",local_mark="",local_port="80",proto="TCP",remote_address="10.2.0.11",remote_port="8080"} 3
node_ipvs_backend_connections_active{local_address="2001:db8::1",local_mark="",local_port="53",proto="UDP",remote_address="2001:db8::2",remote_port="53"} 0
node_ipvs_backend_connections_active{local_address="",local_mark="0000001A",local_port="0",proto="FWM",remote_address="10.2.0.14",remote_port="0"} 0
# HELP node_ipvs_backend_connections_inactive The current inactive connections by local and remote address.
# TYPE node_ipvs_backend_connections_inactive gauge
node_ipvs_backend_connections_inactive{local_address="10.1.0.100",local_mark="",local_port="80",proto="TCP",remote_address="10.2.0.11",remote_port="8080"} 4
node_ipvs_backend_connections_inactive{local_address="2001:db8::1",local_mark="",local_port="53",proto="UDP",remote_address="2001:db8::2",remote_port="53"} 1
node_ipvs_backend_connections_inactive{local_address="",local_mark="0000001A",local_port="0",proto="FWM",remote_address="10.2.0.14",remote_port="0"} 5
# HELP node_ipvs_backend_weight The current backend weight by local and remote address.
# TYPE node_ipvs_backend_weight gauge
node_ipvs_backend_weight{local_address="10.1.0.100",local_mark="",local_port="80",proto="TCP",remote_address="10.2.0.11",remote_port="8080"} 100
node_ipvs_backend_weight{local_address="2001:db8::1",local_mark="",local_port="53",proto="UDP",remote_address="2001:db8::2",remote_port="53"} 0
node_ipvs_backend_weight{local_address="",local_mark="0000001A",local_port="0",proto="FWM",remote_address="10.2.0.14",remote_port="0"} 1
"#
        );
    }
}
