//! Writes what was taken over as the configuration file says it, with comments that say where
//! everything came from.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};

use dataplane::address::Endpoint;
use dataplane::service::ServiceKey;
use serde_json::{Value, json};

use super::draft::{Draft, ServerDraft, ServiceDraft};
use crate::config::{Placement, Service, every_client};

impl Draft {
    /// The sections of a configuration: `[timeouts]` if there are any, and every service behind
    /// its local addresses.
    #[must_use]
    pub fn toml(&self) -> String {
        let mut text = Text::default();
        text.comments(&self.heading);
        if !self.timeouts.is_empty() {
            text.blank();
            text.line("[timeouts]");
        }
        let mut last = None;
        for timeout in &self.timeouts {
            if last.replace(&timeout.place) != Some(&timeout.place) {
                text.comments(&[timeout.place.to_string()]);
            }
            text.line(&format!("{} = {}", timeout.key, timeout.seconds));
        }
        let mut pools = HashSet::new();
        for service in &self.services {
            text.blank();
            // Several services may name one group of addresses.
            let name = service.service.local_pool.as_deref();
            if service.is_left_out || name.is_none_or(|name| pools.insert(name)) {
                text.pool(service);
            }
            text.service(service);
        }
        text.lines
    }
}

/// Lines of a file.
#[derive(Default)]
struct Text {
    lines: String,
    /// Whether everything is written as a comment.
    is_left_out: bool,
}

impl Text {
    fn line(&mut self, line: &str) {
        if self.is_left_out {
            self.lines.push_str("# ");
        }
        self.lines.push_str(line);
        self.lines.push('\n');
    }

    fn blank(&mut self) {
        if !self.lines.is_empty() {
            self.lines.push('\n');
        }
    }

    fn comments(&mut self, lines: &[String]) {
        for line in lines {
            self.lines.push_str("# ");
            self.lines.push_str(&printable(line));
            self.lines.push('\n');
        }
    }

    fn pool(&mut self, draft: &ServiceDraft) {
        let (Some(pool), Some(name)) = (&draft.pool, &draft.service.local_pool) else {
            return;
        };
        self.comments(&[pool.place.to_string()]);
        self.is_left_out = draft.is_left_out;
        self.line("[[local_pool]]");
        self.line(&format!("name = {}", quoted(name)));
        let addresses = pool.addresses.iter();
        let addresses: Vec<_> = addresses.map(|(_, addr)| format!("\"{addr}\"")).collect();
        self.line(&format!("addresses = [{}]", addresses.join(", ")));
        self.is_left_out = false;
        self.blank();
    }

    fn service(&mut self, draft: &ServiceDraft) {
        self.comments(&draft.comments);
        self.is_left_out = draft.is_left_out;
        for line in service_lines(&draft.service) {
            self.line(&line);
        }
        let written = json!(draft.service);
        for line in health_lines(&written, SERVICE_HEALTH, "[[service.check]]") {
            self.line(&line);
        }
        let port = draft.service.key().port();
        for server in &draft.servers {
            self.comments(&server.comments);
            self.is_left_out = draft.is_left_out || server.is_left_out;
            for line in server_lines(server, port) {
                self.line(&line);
            }
            let written = json!(server.server);
            for line in health_lines(&written, &[], "[[service.server.check]]") {
                self.line(&line);
            }
        }
        self.is_left_out = false;
    }
}

/// A comment without what TOML forbids in one.
fn printable(line: &str) -> String {
    let line = line.chars().map(|c| match c {
        '\t' => " ".to_owned(),
        c if c.is_control() => c.escape_default().to_string(),
        c => c.to_string(),
    });
    line.collect()
}

fn service_lines(service: &Service) -> Vec<String> {
    let mut lines = vec!["[[service]]".to_owned()];
    if let Some(name) = &service.name {
        lines.push(format!("name = {}", quoted(name)));
    }
    match service.key() {
        ServiceKey::Address {
            protocol,
            virtual_endpoint: Endpoint { addr, port },
        } => {
            lines.push(format!("protocol = \"{protocol}\""));
            lines.push(format!("vip = {}", vip(addr, &service.placement)));
            lines.push(format!("port = {port}"));
        }
        ServiceKey::Mark(mark) => lines.push(format!("mark = {mark}")),
        ServiceKey::Mark6(mark) => {
            lines.push(format!("mark = {mark}"));
            lines.push("family = \"ipv6\"".to_owned());
        }
    }
    lines.push(format!("scheduler = \"{}\"", service.scheduler.name()));
    let flags = service.scheduler_flags();
    if !flags.is_empty() {
        let flags: Vec<_> = flags.iter().map(|word| format!("\"{word}\"")).collect();
        lines.push(format!("scheduler_flags = [{}]", flags.join(", ")));
    }
    if let Some(pool) = &service.local_pool {
        lines.push(format!("local_pool = {}", quoted(pool)));
    }
    if let Some(persistence) = service.persistence {
        lines.push(format!("persistent = {}", persistence.timeout_seconds));
        let (netmask, is_ipv6) = (persistence.netmask, service.key.is_ipv6());
        if netmask != every_client(is_ipv6) {
            lines.push(match is_ipv6 {
                true => format!("persistent_netmask = {netmask}"),
                false => format!("persistent_netmask = \"{}\"", Ipv4Addr::from_bits(netmask)),
            });
        }
    }
    if service.one_packet {
        lines.push("one_packet = true".to_owned());
    }
    lines
}

fn vip(addr: IpAddr, placement: &Placement) -> String {
    match placement {
        Placement::Auto => format!("\"{addr}\""),
        Placement::Interface(name) => {
            format!("{{ address = \"{addr}\", interface = {} }}", quoted(name))
        }
        Placement::External => format!("{{ address = \"{addr}\", place = \"external\" }}"),
    }
}

fn server_lines(draft: &ServerDraft, service_port: u16) -> Vec<String> {
    let server = &draft.server;
    let mut lines = vec![
        "[[service.server]]".to_owned(),
        format!("address = \"{}\"", server.endpoint.addr),
    ];
    if server.endpoint.port != service_port {
        lines.push(format!("port = {}", server.endpoint.port));
    }
    lines.push(format!("weight = {}", server.weight));
    lines.push(format!("method = \"{}\"", server.method));
    let thresholds = [
        ("upper_threshold", server.upper_threshold),
        ("lower_threshold", server.lower_threshold),
    ];
    let set = thresholds.iter().filter(|(_, sessions)| *sessions != 0);
    lines.extend(set.map(|(key, sessions)| format!("{key} = {sessions}")));
    lines
}

/// Keys of a service that are about health and may be taken over, but for its checks.
const SERVICE_HEALTH: &[&str] = &[
    "quorum",
    "hysteresis",
    "sorry_server",
    "inhibit_on_failure",
    "damping",
    "start",
];

/// What is said about health in a service or server, as it is written in JSON.
fn health_lines(written: &Value, keys: &[&str], header: &str) -> Vec<String> {
    let said = keys
        .iter()
        .filter_map(|key| Some((*key, written.get(key)?)));
    let mut lines: Vec<_> = said.map(|(key, value)| key_line(key, value)).collect();
    let checks = written.get("check").and_then(Value::as_array);
    for check in checks.into_iter().flatten().filter_map(Value::as_object) {
        lines.push(header.to_owned());
        let kind = check
            .get("type")
            .into_iter()
            .map(|kind| key_line("type", kind));
        lines.extend(kind);
        let others = check.iter().filter(|(key, _)| *key != "type");
        lines.extend(others.map(|(key, value)| key_line(key, value)));
    }
    lines
}

fn key_line(key: &str, value: &Value) -> String {
    format!("{key} = {}", inline(value))
}

/// A value of JSON on one line of TOML.
fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(inline).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(keys) => {
            let keys: Vec<_> = keys.iter().map(|(key, it)| key_line(key, it)).collect();
            format!("{{ {} }}", keys.join(", "))
        }
        other => other.to_string(),
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
