//! `-S`: the services as lines of `ipvsadm`. As there, thresholds are not among what is saved.
//! Local addresses are, which only this `ipvsadm` reads.

use std::fmt::Write;

use dataplane::address::Protocol;
use dataplane::service::Method;

use super::naming::Naming;
use super::services::{mask_text, sorted};
use super::{ServerRow, ServiceRow};
use crate::ipvs::command::{ServiceLine, Tunnel, TunnelChecksum};

/// The lines that make these services.
#[must_use]
pub fn save(rows: Vec<ServiceRow>, naming: Naming<'_>) -> String {
    let mut text = String::new();
    for row in sorted(rows) {
        let option = naming.service_option(&row.service.name);
        text.push_str(&service_line(&row.service, &option));
        for local in &row.local_addresses {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "-P {option} -z {local}");
        }
        for server in &row.servers {
            let protocol = row.service.name.protocol();
            text.push_str(&server_line(server, &option, protocol, naming));
        }
    }
    text
}

fn service_line(service: &ServiceLine, option: &str) -> String {
    let mut line = format!("-A {option} -s {}", service.scheduler);
    if let Some(persistent) = &service.persistence {
        // Writing to a string cannot fail.
        let _ = write!(line, " -p {}", persistent.timeout_seconds);
        if let Some(mask) = mask_text(service.name.family(), persistent.netmask) {
            let _ = write!(line, " -M {mask}");
        }
    }
    if let Some(engine) = &service.engine {
        let _ = write!(line, " --pe {engine}");
    }
    if service.one_packet {
        line.push_str(" -o");
    }
    if !service.flags.is_empty() {
        let flags = service.flags.names(&service.scheduler);
        let _ = write!(line, " -b {flags}");
    }
    line.push('\n');
    line
}

fn server_line(
    row: &ServerRow,
    option: &str,
    protocol: Option<Protocol>,
    naming: Naming<'_>,
) -> String {
    let server = &row.server;
    let endpoint = naming.endpoint(server.endpoint, protocol);
    let method = match server.method {
        Method::Dr => "-g",
        Method::Tun => "-i",
        Method::Nat => "-m",
        Method::Fullnat => "-b",
    };
    let mut line = format!("-a {option} -r {endpoint} {method} -w {}", server.weight);
    if server.method == Method::Tun {
        line.push_str(&tunnel_options(server.tunnel));
    }
    line.push('\n');
    line
}

fn tunnel_options(tunnel: Tunnel) -> String {
    let name = tunnel.name();
    match tunnel {
        Tunnel::Ipip => format!(" --tun-type {name}"),
        Tunnel::Gue { port, checksum } => {
            let checksum = checksum_option(checksum);
            format!(" --tun-type {name} --tun-port {port} {checksum}")
        }
        Tunnel::Gre { checksum } => format!(" --tun-type {name} {}", checksum_option(checksum)),
    }
}

const fn checksum_option(checksum: TunnelChecksum) -> &'static str {
    match checksum {
        TunnelChecksum::None => "--tun-nocsum",
        TunnelChecksum::Full => "--tun-csum",
        TunnelChecksum::Remote => "--tun-remcsum",
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{LINES, rows};
    use super::*;

    #[test]
    fn services_are_saved_as_ipvsadm_saves_them() {
        let text = save(rows(LINES), Naming::NUMERIC);
        assert_eq!(text, include_str!("samples/save.txt"));
    }

    #[test]
    fn fullnat_is_saved_with_its_local_addresses() {
        let lines = "-A -t 10.1.0.100:80 -s wlc\n\
                     -P -t 10.1.0.100:80 -z 10.2.0.1\n\
                     -P -t 10.1.0.100:80 -z 10.2.0.2\n\
                     -a -t 10.1.0.100:80 -r 10.2.0.11:8080 -b -w 1\n";
        assert_eq!(save(rows(lines), Naming::NUMERIC), lines);
    }

    #[test]
    fn what_was_saved_makes_the_same_services() {
        let saved = save(rows(LINES), Naming::NUMERIC);
        assert_eq!(save(rows(&saved), Naming::NUMERIC), saved);
    }
}
