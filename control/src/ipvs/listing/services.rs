//! `-L`: services and servers, with the columns that are asked for.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

use dataplane::address::{Endpoint, Protocol};
use dataplane::counters::TrafficTotals;
use dataplane::service::Method;

use super::naming::Naming;
use super::numbers::column;
use super::{method_word, order};
use crate::ipvs::command::{Columns, Family, ServerLine, ServiceLine, Tunnel, TunnelChecksum};
use crate::ipvs::meter::Rates;

/// Characters of a server's name with an IPv4 address; what follows is cut off.
const SERVER_CHARACTERS: usize = 28;

/// What the first line says of IPVS: a version, and the kernel's size of the table of sessions,
/// which means nothing here but is what scripts expect.
const TITLE: &str = "IP Virtual Server version 1.2.1 (size=4096)\n";

/// A service as it is listed.
#[derive(Clone, Debug)]
pub struct ServiceRow {
    /// As it was said.
    pub service: ServiceLine,
    /// What was counted about it.
    pub traffic: TrafficTotals,
    /// What there is of it in a second.
    pub rates: Rates,
    /// Its servers, the one added last first.
    pub servers: Vec<ServerRow>,
    /// Its local addresses, in the order in which they were added.
    pub local_addresses: Vec<IpAddr>,
}

/// A server as it is listed.
#[derive(Clone, Debug)]
pub struct ServerRow {
    /// As it was said.
    pub server: ServerLine,
    /// Sessions in an active state.
    pub active: u32,
    /// Sessions in other states.
    pub inactive: u32,
    /// Persistence templates.
    pub templates: u32,
    /// What was counted about it.
    pub traffic: TrafficTotals,
    /// What there is of it in a second.
    pub rates: Rates,
}

/// How services are listed.
#[derive(Clone, Copy, Debug)]
pub struct Style<'a> {
    /// Which columns.
    pub columns: Columns,
    /// Whether large numbers are shown with all their digits.
    pub exact: bool,
    /// Numbers or names.
    pub naming: Naming<'a>,
}

/// The services and servers in the order in which they are listed.
pub(super) fn sorted(mut rows: Vec<ServiceRow>) -> Vec<ServiceRow> {
    order::sort(&mut rows, &|left: &ServiceRow, right: &ServiceRow| {
        order::services(&left.service.name, &right.service.name)
    });
    for row in &mut rows {
        order::sort(&mut row.servers, &|left: &ServerRow, right: &ServerRow| {
            order::endpoints(&left.server.endpoint, &right.server.endpoint)
        });
    }
    rows
}

/// The listing. With `titled` it begins with a line about IPVS, as that of all services does; with
/// `unsorted` rows stay as they are.
#[must_use]
pub fn services(rows: Vec<ServiceRow>, style: Style<'_>, titled: bool, unsorted: bool) -> String {
    let mut text = if titled { TITLE } else { "" }.to_owned();
    text.push_str(&headings(style.columns));
    let rows = if unsorted { rows } else { sorted(rows) };
    for row in &rows {
        text.push_str(style.service(row).as_str());
        text.push('\n');
        let protocol = row.service.name.protocol();
        for server in &row.servers {
            text.push_str(&style.server(server, protocol));
            text.push('\n');
        }
    }
    text
}

fn headings(columns: Columns) -> String {
    const SERVICE: &str = "Prot LocalAddress:Port";
    const SERVER: &str = "  -> RemoteAddress:Port";
    let counted = |names: [&str; 5]| {
        let mut line = format!("{SERVICE:<33}");
        for name in names {
            // Writing to a string cannot fail.
            let _ = write!(line, " {name:>8}");
        }
        format!("{line}\n{SERVER}\n")
    };
    match columns {
        Columns::Forwarding => format!(
            "{SERVICE} Scheduler Flags\n{SERVER}           Forward Weight ActiveConn InActConn\n"
        ),
        Columns::Tunnels => format!(
            "{SERVICE} Scheduler Flags\n{SERVER}           Forward TunnelInfo    Weight ActiveConn \
             InActConn\n"
        ),
        Columns::Stats => counted(["Conns", "InPkts", "OutPkts", "InBytes", "OutBytes"]),
        Columns::Rate => counted(["CPS", "InPPS", "OutPPS", "InBPS", "OutBPS"]),
        Columns::Thresholds => format!(
            "{SERVICE:<33} {:<10} {:<10} {:<10} {:<10}\n{SERVER}\n",
            "Uthreshold", "Lthreshold", "ActiveConn", "InActConn"
        ),
        Columns::Persistent => format!(
            "{SERVICE:<33} {:<9} {:<11} {:<10} {:<10}\n{SERVER}\n",
            "Weight", "PersistConn", "ActiveConn", "InActConn"
        ),
    }
}

impl Style<'_> {
    fn service(self, row: &ServiceRow) -> String {
        let name = self.naming.service(&row.service.name);
        match self.columns {
            Columns::Stats => format!("{name:<33}{}", self.totals(row.traffic)),
            Columns::Rate => format!("{name:<33}{}", self.numbers(&row.rates.columns())),
            _ => format!("{name} {}", service_words(&row.service)),
        }
    }

    fn server(self, row: &ServerRow, protocol: Option<Protocol>) -> String {
        let ServerRow {
            server,
            active,
            inactive,
            ..
        } = row;
        let name = self.server_name(server.endpoint, protocol);
        let forward = method_word(server.method);
        let weight = server.weight;
        let said = match self.columns {
            Columns::Forwarding => {
                format!(" {forward:<7} {weight:<6} {active:<10} {inactive:<10}")
            }
            Columns::Tunnels => {
                let tunnel = tunnel_words(server);
                format!(" {forward:<7} {tunnel:<13} {weight:<6} {active:<10} {inactive:<10}")
            }
            Columns::Stats => self.totals(row.traffic),
            Columns::Rate => self.server_rates(row.rates),
            Columns::Thresholds => {
                let (upper, lower) = (server.upper_threshold, server.lower_threshold);
                format!(" {upper:<10} {lower:<10} {active:<10} {inactive:<10}")
            }
            Columns::Persistent => {
                let templates = row.templates;
                format!(" {weight:<9} {templates:<11} {active:<10} {inactive:<10}")
            }
        };
        format!("  -> {name:<28}{said}")
    }

    fn server_name(self, endpoint: Endpoint<IpAddr>, protocol: Option<Protocol>) -> String {
        let name = self.naming.endpoint(endpoint, protocol);
        match Family::of(endpoint.addr) {
            Family::V4 => name.chars().take(SERVER_CHARACTERS).collect(),
            Family::V6 => name,
        }
    }

    fn totals(self, traffic: TrafficTotals) -> String {
        let TrafficTotals {
            sessions,
            in_packets,
            in_bytes,
            out_packets,
            out_bytes,
        } = traffic;
        self.numbers(&[sessions, in_packets, out_packets, in_bytes, out_bytes])
    }

    /// The rates of a server; those of sessions and packets are never shortened.
    fn server_rates(self, rates: Rates) -> String {
        let [sessions, in_packets, out_packets, in_bytes, out_bytes] = rates.columns();
        let bytes = self.numbers(&[in_bytes, out_bytes]);
        format!(" {sessions:>8} {in_packets:>8} {out_packets:>8}{bytes}")
    }

    fn numbers(self, numbers: &[u64]) -> String {
        let columns = numbers.iter().map(|number| column(*number, self.exact));
        columns.collect()
    }
}

/// The scheduler and what else is said of a service.
fn service_words(service: &ServiceLine) -> String {
    let mut words = service.scheduler.clone();
    if !service.flags.is_empty() {
        let flags = service.flags.names(&service.scheduler);
        // Writing to a string cannot fail.
        let _ = write!(words, " ({flags})");
    }
    if let Some(persistent) = &service.persistence {
        let _ = write!(words, " persistent {}", persistent.timeout_seconds);
        if let Some(mask) = mask_text(service.name.family(), persistent.netmask) {
            let _ = write!(words, " mask {mask}");
        }
        if let Some(engine) = &service.engine {
            let _ = write!(words, " pe {engine}");
        }
    }
    if service.one_packet {
        words.push_str(" ops");
    }
    words
}

/// Which clients are one; `None` when each is alone.
pub(super) fn mask_text(family: Family, netmask: u32) -> Option<String> {
    match (family, netmask) {
        (Family::V4, u32::MAX) | (Family::V6, 128) => None,
        (Family::V4, mask) => Some(Ipv4Addr::from_bits(mask).to_string()),
        (Family::V6, length) => Some(length.to_string()),
    }
}

fn tunnel_words(server: &ServerLine) -> String {
    let sum = |checksum| match checksum {
        TunnelChecksum::None => "-c",
        TunnelChecksum::Full => "+c",
        TunnelChecksum::Remote => "r+c",
    };
    match server.tunnel {
        _ if server.method != Method::Tun => "n/a".to_owned(),
        Tunnel::Ipip => "ipip".to_owned(),
        Tunnel::Gue { port, checksum } => format!("gue:{port}:{}", sum(checksum)),
        Tunnel::Gre { checksum } => format!("gre:{}", sum(checksum)),
    }
}

#[cfg(test)]
#[path = "services_tests.rs"]
mod tests;
