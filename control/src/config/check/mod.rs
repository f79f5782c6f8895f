//! The relations between the parts of a configuration.
//!
//! Every part was read on its own; here is what only two of them together can get wrong.

use std::collections::HashSet;

use super::document::{Table, Value};
use super::port::Port;
use super::section::Problems;
use super::{Config, RawConfig, Service};

mod addresses;
mod check_range;
mod health;
mod marks;
mod pools;
mod ports;
mod servers;
mod services;
mod values;

pub(super) use services::vips;

/// Notes everything that contradicts something else.
pub(super) fn all(raw: &RawConfig<'_>, problems: &Problems) {
    let names = Names::declared(raw.root);
    ports::check(raw, problems);
    marks::check(raw, &names, problems);
    pools::check(raw, &names, problems);
    pools::check_memory(raw, problems);
    services::check(raw, &names, problems);
    addresses::check(raw, problems);
    check_range::check(raw, problems);
}

/// Notes what is wrong with the services and pools in front, [`RawConfig::edited`] of each, whose
/// values nobody has read from text. Those behind are there to be compared with; `running` is what
/// the others were taken from, and `pools` are the names of all pools that there will be.
pub(super) fn edited(
    raw: &RawConfig<'_>,
    running: &Config,
    pools: HashSet<&str>,
    problems: &Problems,
) {
    values::check(raw, problems);
    let names = Names::given(&running.ports, pools);
    pools::check(raw, &names, problems);
    services::check(raw, &names, problems);
    addresses::check(raw, problems);
    check_range::check(raw, problems);
}

/// Says what edited services need of the machine and it does not have.
pub(super) fn machine<'a>(services: impl Iterator<Item = &'a Service>, problems: &Problems) {
    for service in services {
        health::machine(service, problems);
    }
}

/// The names that the file gives, even to what could not be read: a reference to such a part
/// is not a second mistake.
struct Names<'a> {
    /// Of ports and VLANs.
    interfaces: HashSet<&'a str>,
    /// Of ports alone.
    ports: HashSet<&'a str>,
    /// Of local pools.
    pools: HashSet<&'a str>,
}

impl<'a> Names<'a> {
    fn given(ports: &'a [Port], pools: HashSet<&'a str>) -> Self {
        let name = |interface: &'a super::port::Interface| interface.name.as_str();
        let interfaces = ports.iter().flat_map(|port| port.interfaces());
        Self {
            interfaces: interfaces.map(|(_, it)| name(it)).collect(),
            ports: ports.iter().map(|port| name(&port.interface)).collect(),
            pools,
        }
    }

    fn declared(root: &'a Table) -> Self {
        let ports = tables(root, "port");
        let vlans = ports.iter().flat_map(|port| tables(port, "vlan"));
        Self {
            interfaces: ports
                .iter()
                .copied()
                .chain(vlans)
                .filter_map(name)
                .collect(),
            ports: ports.iter().copied().filter_map(name).collect(),
            pools: tables(root, "local_pool")
                .into_iter()
                .filter_map(name)
                .collect(),
        }
    }
}

fn tables<'a>(table: &'a Table, key: &str) -> Vec<&'a Table> {
    let Some(Value::List(items)) = table.entries.get(key).map(|entry| &entry.node.value) else {
        return Vec::new();
    };
    items
        .iter()
        .filter_map(|item| match &item.value {
            Value::Table(table) => Some(table),
            _ => None,
        })
        .collect()
}

fn name(table: &Table) -> Option<&str> {
    match &table.entries.get("name")?.node.value {
        Value::Text(name) => Some(name),
        _ => None,
    }
}

/// ` (line 12)`, or nothing where there are no lines.
fn see(line: usize) -> String {
    match line {
        0 => String::new(),
        line => format!(" (line {line})"),
    }
}

/// The names for a sentence: `wan, lan`, sorted.
fn listed(names: &HashSet<&str>) -> String {
    let mut names: Vec<_> = names.iter().copied().collect();
    names.sort_unstable();
    names.join(", ")
}
