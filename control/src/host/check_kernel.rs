//! What the host's kernel is good for: parameters, limits, TUN, and DPDK's drivers beside it.

use std::collections::BTreeSet;

use super::doctor::pci_ports;
use super::drivers::{self, Way};
use super::finding::Finding;
use super::modules;
use super::nics;
use super::tree::Tree;
use crate::config::Config;
use crate::linux::sysctl;

/// Where a package or an operator puts the unit.
const UNITS: [&str; 3] = [
    "/etc/systemd/system/sluice.service",
    "/usr/lib/systemd/system/sluice.service",
    "/lib/systemd/system/sluice.service",
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

    if let Some((path, unit)) = UNITS.iter().find_map(|path| Some((path, tree.text(path)?))) {
        let value = unit
            .lines()
            .find_map(|line| line.strip_prefix("LimitMEMLOCK="));
        return Some(if value == Some("infinity") {
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

/// Twins are TAPs.
fn tun(tree: &Tree) -> Finding {
    const NAME: &str = "tun";

    if tree.exists("/dev/net/tun") || modules::is_loaded(tree, "tun") {
        Finding::ok(NAME, "Linux offers /dev/net/tun, which the twins need")
    } else {
        Finding::problem(
            NAME,
            "There is no /dev/net/tun, so no port can have its twin",
            "modprobe tun",
        )
    }
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
