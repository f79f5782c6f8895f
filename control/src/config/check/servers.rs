//! Real servers against their service.

use std::collections::HashMap;

use dataplane::service::Method;

use super::super::RawConfig;
use super::super::document::Table;
use super::super::section::{Problems, Written};
use super::super::service::{Server, Service};
use super::see;

pub(super) fn check(service: &Written<'_, Service>, raw: &RawConfig<'_>, problems: &Problems) {
    let mut endpoints = HashMap::new();
    for (server, at) in service.value.servers.iter().zip(&service.parts) {
        let (addr, port) = (server.endpoint.addr, server.endpoint.port);
        let shown = shown(server);
        if let Some(first) = endpoints.insert((addr, port), at.line) {
            let message = format!(
                "server {shown} of {} is already there{}: give it once, with its whole weight",
                service.value.key(),
                see(first)
            );
            problems.refuse(at.line, message);
        }
        check_one(service, server, at, raw, problems);
        check_thresholds(server, at, problems);
    }
}

/// Whether packets of the service can be forwarded to this server.
pub(super) fn check_one(
    service: &Written<'_, Service>,
    server: &Server,
    at: &Table,
    raw: &RawConfig<'_>,
    problems: &Problems,
) {
    check_family(&service.value, server, at, problems);
    check_port(&service.value, server, at, problems);
    if server.method == Method::Fullnat {
        check_pool(service, server, at, raw, problems);
        check_sessions(&service.value, server, at, problems);
    }
}

pub(super) fn shown(server: &Server) -> std::net::SocketAddr {
    std::net::SocketAddr::new(server.endpoint.addr, server.endpoint.port)
}

fn check_family(service: &Service, server: &Server, at: &Table, problems: &Problems) {
    let address = server.endpoint.addr;
    let is_v6 = service.key.is_ipv6();
    if server.method == Method::Tun && address.is_ipv6() != is_v6 {
        let message = format!(
            "server {address} gets no connections: this version sends no packets of one family \
             through tunnels of the other"
        );
        return problems.warn(at.line_of("address"), message);
    }
    let message = match service.vip() {
        Some(vip) if address.is_ipv4() != vip.is_ipv4() => format!(
            "server {address} and VIP {vip} are of different families: \
             give the server's address in the VIP's family"
        ),
        None if address.is_ipv6() && !is_v6 => format!(
            "server {address} is of IPv6, but the mark is of IPv4 packets: give an IPv4 address, \
             or the service `family = \"ipv6\"`"
        ),
        None if address.is_ipv4() && is_v6 => format!(
            "server {address} is of IPv4, but the mark is of IPv6 packets: give an IPv6 address, \
             or take `family` away"
        ),
        _ => return,
    };
    problems.refuse(at.line_of("address"), message);
}

fn check_port(service: &Service, server: &Server, at: &Table, problems: &Problems) {
    let (port, service_port) = (server.endpoint.port, service.key().port());
    // Of a mark's packets each has its own port, whatever is said here.
    let is_any = service.vip().is_none() && !server.method.sees_replies();
    let message = if port == service_port || is_any {
        return;
    } else if !server.method.sees_replies() {
        // A word that is no method was noted where it stands, and may have been another.
        let written = at.entries.get("method");
        if written.is_some_and(|entry| entry.node.text() != Ok(server.method.name())) {
            return;
        }
        format!(
            "server {} has another port than its service ({service_port}), but {} delivers \
             packets unchanged: take `port` away, or use method \"nat\" or \"fullnat\"",
            shown(server),
            server.method
        )
    } else if port == 0 {
        format!(
            "port 0 of server {} keeps the packet's port, which only a service with port 0 can \
             have: give the server's port, or leave it out for {service_port}",
            server.endpoint.addr
        )
    } else {
        return;
    };
    problems.refuse(at.line_of("port"), message);
}

fn check_thresholds(server: &Server, at: &Table, problems: &Problems) {
    let Server {
        upper_threshold: upper,
        lower_threshold: lower,
        ..
    } = *server;
    let message = if lower <= upper {
        return;
    } else if upper == 0 {
        format!("`lower_threshold` {lower} needs an `upper_threshold` above it: give both or none")
    } else {
        format!("`lower_threshold` {lower} is above `upper_threshold` {upper}: exchange them")
    };
    problems.refuse(at.line_of("lower_threshold"), message);
}

/// Without a session there is no local port by which a reply could come home.
fn check_sessions(service: &Service, server: &Server, at: &Table, problems: &Problems) {
    if service.one_packet {
        let message = format!(
            "server {} is reached by fullnat, which needs sessions, but its service has none \
             (`one_packet`): use another method, or take `one_packet` away",
            shown(server)
        );
        problems.refuse(at.line_of("method"), message);
    }
}

fn check_pool(
    service: &Written<'_, Service>,
    server: &Server,
    at: &Table,
    raw: &RawConfig<'_>,
    problems: &Problems,
) {
    let Some(name) = &service.value.local_pool else {
        // A pool that is named but could not be read was noted where it stands.
        if !service.at.entries.contains_key("local_pool") {
            let message = format!(
                "server {} is reached by fullnat, but its service has no local addresses: its \
                 connections are dropped until there is a `local_pool`",
                shown(server)
            );
            problems.warn(at.line_of("method"), message);
        }
        return;
    };
    let pool = raw.local_pools.iter().find(|pool| pool.value.name == *name);
    if pool.is_some_and(|pool| pool.value.is_ipv4() != server.endpoint.addr.is_ipv4()) {
        let message = format!(
            "server {} and local pool \"{name}\" are of different families: \
             give the service a pool of the server's family",
            server.endpoint.addr
        );
        problems.refuse(at.line_of("address"), message);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{config, refusals, warnings};

    /// A service on lines 1 to 4 and its servers behind it.
    fn service(port: u16, servers: &str) -> String {
        format!("[[service]]\nprotocol = \"tcp\"\nvip = \"10.1.0.1\"\nport = {port}\n{servers}")
    }

    fn server(lines: &str) -> String {
        format!("[[service.server]]\naddress = \"10.2.0.11\"\n{lines}\n")
    }

    #[test]
    fn a_server_is_there_once() {
        let text = service(
            80,
            &(server("method = \"nat\"") + &server("method = \"dr\"")),
        );

        assert_eq!(
            refusals(&text),
            [
                "8: server 10.2.0.11:80 of tcp 10.1.0.1:80 is already there (line 5): \
                 give it once, with its whole weight"
            ]
        );
        let other_port = service(80, &(server("") + &server("method = \"nat\"\nport = 81")));
        config(&other_port);
    }

    #[test]
    fn mixed_families_are_refused() {
        let text = service(80, "[[service.server]]\naddress = \"2001:db8::11\"\n");

        assert_eq!(
            refusals(&text),
            [
                "6: server 2001:db8::11 and VIP 10.1.0.1 are of different families: \
                 give the server's address in the VIP's family"
            ]
        );
    }

    #[test]
    fn a_tunnel_to_the_other_family_may_be_said_and_is_a_warning() {
        let six = "[[service.server]]\naddress = \"2001:db8::11\"\nmethod = \"tun\"\n";

        assert_eq!(
            warnings(&service(80, six)),
            [
                "6: server 2001:db8::11 gets no connections: this version sends no packets of one \
                 family through tunnels of the other"
            ]
        );
    }

    #[test]
    fn a_server_may_be_the_gateway_itself() {
        let text = service(80, &server("").replace("10.2.0.11", "127.0.0.1"));

        assert!(
            config(&text).services()[0].servers[0]
                .endpoint
                .addr
                .is_loopback()
        );
    }

    #[test]
    fn fullnat_without_local_addresses_is_a_warning() {
        assert_eq!(
            warnings(&service(80, &server("method = \"fullnat\""))),
            [
                "7: server 10.2.0.11:80 is reached by fullnat, but its service has no local \
                 addresses: its connections are dropped until there is a `local_pool`"
            ]
        );
    }

    #[test]
    fn a_pool_of_the_other_family_is_refused() {
        let text = service(80, "local_pool = \"six\"\n")
            + &server("method = \"fullnat\"")
            + "[[local_pool]]\nname = \"six\"\naddresses = [\"2001:db8::200\"]\n";

        assert_eq!(
            refusals(&text),
            [
                "7: server 10.2.0.11 and local pool \"six\" are of different families: \
                 give the service a pool of the server's family"
            ]
        );
    }

    #[test]
    fn dr_and_tun_cannot_map_ports() {
        for method in ["dr", "tun"] {
            let text = service(80, &server(&format!("port = 8080\nmethod = \"{method}\"")));

            assert_eq!(
                refusals(&text),
                [format!(
                    "7: server 10.2.0.11:8080 has another port than its service (80), but \
                     {method} delivers packets unchanged: take `port` away, or use method \
                     \"nat\" or \"fullnat\""
                )]
            );
        }
        config(&service(80, &server("port = 8080\nmethod = \"nat\"")));
    }

    #[test]
    fn port_0_is_for_services_of_every_port() {
        assert_eq!(
            refusals(&service(80, &server("port = 0\nmethod = \"nat\""))),
            [
                "7: port 0 of server 10.2.0.11 keeps the packet's port, which only a service \
                 with port 0 can have: give the server's port, or leave it out for 80"
            ]
        );
        config(&service(0, &server("port = 0\nmethod = \"nat\"")));
        config(&service(0, &server("port = 8080\nmethod = \"nat\"")));
        config(&service(0, &server("")));
    }

    #[test]
    fn thresholds_that_cannot_be_left_are_refused() {
        assert_eq!(
            refusals(&service(
                80,
                &server("lower_threshold = 20\nupper_threshold = 10")
            )),
            ["7: `lower_threshold` 20 is above `upper_threshold` 10: exchange them"]
        );
        assert_eq!(
            refusals(&service(80, &server("lower_threshold = 20"))),
            ["7: `lower_threshold` 20 needs an `upper_threshold` above it: give both or none"]
        );
        config(&service(
            80,
            &server("lower_threshold = 10\nupper_threshold = 10"),
        ));
    }

    #[test]
    fn fullnat_needs_sessions() {
        let text = "[[service]]\nprotocol = \"udp\"\nvip = \"10.1.0.1\"\nport = 53\n\
                    one_packet = true\nlocal_pool = \"lips\"\n"
            .to_owned()
            + &server("method = \"fullnat\"")
            + "[[local_pool]]\nname = \"lips\"\naddresses = [\"10.2.0.200\"]\n";

        assert_eq!(
            refusals(&text),
            [
                "9: server 10.2.0.11:53 is reached by fullnat, which needs sessions, but its \
                 service has none (`one_packet`): use another method, or take `one_packet` away"
            ]
        );
    }

    #[test]
    fn servers_of_a_mark_keep_the_packets_port_unless_they_say_another() {
        let text = "[[service]]\nmark = 3\n".to_owned();
        assert_eq!(config(&(text.clone() + &server(""))).services().len(), 1);
        config(&(text.clone() + &server("method = \"nat\"\nport = 8080")));
        assert_eq!(
            refusals(&(text + &server("port = 80") + &server("").replace("10.2.0.11", "::2"))),
            [
                "7: server ::2 is of IPv6, but the mark is of IPv4 packets: give an IPv4 address, \
                 or the service `family = \"ipv6\"`",
            ]
        );
    }

    #[test]
    fn servers_of_a_mark_of_ipv6_are_of_ipv6() {
        let text = "[[service]]\nmark = 3\nfamily = \"ipv6\"\n".to_owned();
        let v6 = server("method = \"nat\"").replace("10.2.0.11", "2001:db8::2");

        assert_eq!(
            warnings(&(text.clone() + &v6)),
            ["3: mark6 3: this version does not forward IPv6; its packets go to Linux"]
        );
        assert_eq!(
            refusals(&(text + &server("method = \"nat\""))),
            [
                "5: server 10.2.0.11 is of IPv4, but the mark is of IPv6 packets: give an IPv6 \
              address, or take `family` away"
            ]
        );
    }
}
