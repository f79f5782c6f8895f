//! What the host's kernel is good for: parameters, limits, TUN, and DPDK's drivers beside it.

use std::collections::{BTreeMap, BTreeSet};

use super::doctor::pci_ports;
use super::drivers::{self, Way};
use super::finding::Finding;
use super::modules;
use super::nics;
use super::tree::Tree;
use crate::config::Config;
use crate::linux::sysctl;

/// Where the system, somebody until the next boot, and an operator put units and what changes them.
const UNITS: [&str; 4] = [
    "/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/run/systemd/system",
    "/etc/systemd/system",
];

/// All but NICs, memory and processors.
pub(super) fn all(tree: &Tree, config: Option<&Config>) -> Vec<Finding> {
    let mut findings = parameters(tree, config);
    findings.extend(config.and_then(|config| neighbours(tree, config)));
    findings.extend(memlock(tree, config));
    findings.push(tun(tree));
    findings.push(dpdk_drivers(tree));
    findings
}

/// What the gateway itself warns of when it starts; its twins need not be there yet.
fn parameters(tree: &Tree, config: Option<&Config>) -> Vec<Finding> {
    const NAME: &str = "kernel-parameters";

    let twins = config.into_iter().flat_map(Config::interfaces);
    let twins = twins.map(|numbered| numbered.interface.twin.name.as_str());
    let twins: Vec<&str> = twins
        .filter(|twin| tree.exists(&format!("/proc/sys/net/ipv4/conf/{twin}")))
        .collect();
    // Twins begin with what `default` says.
    let is_before = twins.is_empty();
    let asked = if is_before { vec!["default"] } else { twins };
    let found = sysctl::warnings_in(&tree.at("/proc/sys/net"), &asked);
    if found.is_empty() {
        let said = "Linux forwards, and sends and filters nothing that harms";
        return vec![Finding::ok(NAME, said)];
    }
    (found.into_iter())
        .map(|warning| match is_before {
            true => {
                let said = warning.consequence.replace("default", "new interfaces");
                Finding::problem(NAME, said, "sluicectl setup-host --sysctls")
            }
            false => Finding::problem(NAME, warning.consequence, warning.command),
        })
        .collect()
}

/// Linux keeps only so many neighbours.
fn neighbours(tree: &Tree, config: &Config) -> Option<Finding> {
    let limit: usize = tree.number("/proc/sys/net/ipv4/neigh/default/gc_thresh3")?;
    let servers = config
        .services()
        .iter()
        .flat_map(|service| &service.servers);
    let servers: BTreeSet<_> = servers.map(|server| server.endpoint.addr).collect();
    let count = servers.len();
    (count * 2 > limit).then(|| {
        let (first, second, third) = (count * 2, count * 4, count * 8);
        Finding::advice(
            "neighbours",
            format!(
                "Linux knows at most {limit} neighbours, and there are {count} servers besides \
                 clients: those on the gateway's own subnets may be forgotten"
            ),
            format!(
                "sysctl -w net.ipv4.neigh.default.gc_thresh1={first} \
                 net.ipv4.neigh.default.gc_thresh2={second} \
                 net.ipv4.neigh.default.gc_thresh3={third}"
            ),
        )
    })
}

/// vfio counts the memory that a NIC may reach as locked.
fn memlock(tree: &Tree, config: Option<&Config>) -> Option<Finding> {
    const NAME: &str = "memlock";

    let unit = unit(tree);
    if !unit.is_empty() {
        let limits = unit.iter().flat_map(|(path, text)| {
            let values = text
                .lines()
                .filter_map(|line| line.strip_prefix("LimitMEMLOCK="));
            values.map(move |value| (path, value))
        });
        let (path, value) = limits.last().unwrap_or((&unit[0].0, ""));
        return Some(if value == "infinity" {
            Finding::ok(
                NAME,
                format!("{path} lets the gateway lock all of its memory"),
            )
        } else {
            Finding::problem(
                NAME,
                format!("{path} limits the memory that may be locked, and vfio locks all of it"),
                "systemctl edit sluice: LimitMEMLOCK=infinity below [Service]",
            )
        });
    }
    // Without a unit it is started by hand, and then the shell's limit holds.
    config.and_then(|config| pci_ports(config).next())?;
    let limits = tree.text("/proc/self/limits")?;
    let line = (limits.lines()).find_map(|line| line.strip_prefix("Max locked memory"))?;
    let is_unlimited = line.split_whitespace().next() == Some("unlimited");
    Some(if is_unlimited {
        Finding::ok(NAME, "This shell lets the gateway lock all of its memory")
    } else {
        Finding::advice(
            NAME,
            "This shell limits the memory that may be locked, and vfio locks all of it, unless \
             the gateway runs as root",
            "ulimit -l unlimited",
        )
    })
}

/// The gateway's unit and then what was added to it, each with its path, as systemd reads them: of
/// one name the operator's counts, and drop-ins go by their names.
fn unit(tree: &Tree) -> Vec<(String, String)> {
    let mut unit = None;
    let mut drop_ins = BTreeMap::new();
    for place in UNITS {
        let path = format!("{place}/sluice.service");
        unit = tree.text(&path).map(|text| (path.clone(), text)).or(unit);
        for name in tree.names(&format!("{path}.d")) {
            let path = format!("{path}.d/{name}");
            if let Some(text) = tree.text(&path).filter(|_| name.ends_with(".conf")) {
                drop_ins.insert(name, (path, text));
            }
        }
    }
    let Some(unit) = unit else {
        return Vec::new();
    };
    std::iter::once(unit)
        .chain(drop_ins.into_values())
        .collect()
}

/// Twins are TAPs.
fn tun(tree: &Tree) -> Finding {
    const NAME: &str = "tun";

    if tree.exists("/dev/net/tun") {
        return Finding::ok(NAME, "Linux offers /dev/net/tun, which the twins need");
    }
    let said = "There is no /dev/net/tun, so no port can have its twin";
    if modules::is_loaded(tree, "tun") {
        let said = format!("{said}; Linux has it, so this is a container that was not given it");
        return Finding::problem(NAME, said, "docker run --device /dev/net/tun ...");
    }
    Finding::problem(NAME, said, "modprobe tun")
}

/// The libraries that open NICs, for those that are here.
fn dpdk_drivers(tree: &Tree) -> Finding {
    const NAME: &str = "dpdk-drivers";

    let installed = drivers::installed(tree);
    let command = "apt-get install libdpdk-dev, or the librte-net-* packages of your NICs";
    if installed.is_empty() {
        let said = "No driver of DPDK's is installed, so no port can be opened";
        return Finding::problem(NAME, said, command);
    }
    let mut missing = BTreeSet::new();
    for nic in nics::all(tree) {
        let way = nic.driver.as_deref().and_then(drivers::way);
        if let Some(Way::Taken(name) | Way::Shared(name)) = way
            && !installed.iter().any(|there| there == name)
        {
            missing.insert(format!("{name} for {}", nic.name()));
        }
    }
    if missing.is_empty() {
        let said = format!("{} drivers of DPDK's are installed", installed.len());
        return Finding::ok(NAME, said);
    }
    let missing: Vec<String> = missing.into_iter().collect();
    Finding::advice(
        NAME,
        format!("DPDK's driver is not installed: {}", missing.join(", ")),
        command,
    )
}
