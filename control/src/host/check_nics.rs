//! What the host's NICs are good for: who drives them, who uses them, and what vfio needs.

use std::collections::BTreeSet;

use super::doctor::pci_ports;
use super::drivers::{self, VFIO, Way};
use super::finding::{Finding, State};
use super::modules;
use super::nics::{self, Nic};
use super::tree::Tree;
use super::uses::{self, Use};
use crate::config::{Config, Port};

/// What taking a NIC from Linux needs, if one is or could be.
pub(super) fn iommu(tree: &Tree, config: Option<&Config>) -> Vec<Finding> {
    let is_taken = |nic: &Nic| match nic.driver.as_deref() {
        None | Some(VFIO) => true,
        Some(driver) => matches!(drivers::way(driver), Some(Way::Taken(_))),
    };
    let needs: Vec<Nic> = match config {
        Some(config) => pci_ports(config)
            .filter_map(|device| nics::one(tree, device))
            .filter(is_taken)
            .collect(),
        None => nics::all(tree).into_iter().filter(is_taken).collect(),
    };
    if needs.is_empty() {
        return Vec::new();
    }
    let mut findings = vec![iommu_itself(tree, config.is_some())];
    if config.is_some() {
        findings.push(vfio(tree, &needs));
    }
    findings
}

fn iommu_itself(tree: &Tree, is_needed: bool) -> Finding {
    const NAME: &str = "iommu";

    if nics::has_iommu(tree) {
        return Finding::ok(
            NAME,
            "The IOMMU is on: a NIC reaches the gateway's memory only",
        );
    }
    if nics::may_do_without_iommu(tree) {
        return Finding::ok(
            NAME,
            "There is no IOMMU, and vfio may do without: a NIC that is taken may write to all of \
             the memory",
        );
    }
    let said = "There is no IOMMU, so vfio-pci takes no NIC from Linux (AF_PACKET, AF_XDP and mlx5 \
                need none)";
    let command = "switch it on in the firmware, and on Intel's put `intel_iommu=on iommu=pt` on \
                   the kernel's command line; in a virtual machine without one: sluicectl \
                   setup-host --no-iommu --bind ...";
    let state = if is_needed {
        State::Problem
    } else {
        State::Advice
    };
    Finding::ok(NAME, said).with(state, command)
}

fn vfio(tree: &Tree, needs: &[Nic]) -> Finding {
    const NAME: &str = "vfio";

    // That loads it, and at each boot.
    let command = || bind_command(tree, needs);
    if !modules::is_loaded(tree, VFIO) {
        return Finding::problem(
            NAME,
            "vfio-pci is not loaded, so no NIC can be taken from Linux",
            command(),
        );
    }
    let directory = "/etc/modules-load.d";
    let files = tree.names(directory);
    let mut texts = files
        .iter()
        .filter_map(|file| tree.text(&format!("{directory}/{file}")));
    if texts.any(|text| text.lines().any(|line| line.trim() == VFIO)) {
        return Finding::ok(NAME, "vfio-pci is loaded, and will be at each boot");
    }
    Finding::advice(
        NAME,
        "vfio-pci is loaded, and will not be after a reboot",
        command(),
    )
}

/// Each NIC by itself, or each port of a configuration.
pub(super) fn nics(tree: &Tree, config: Option<&Config>) -> Vec<Finding> {
    match config {
        Some(config) => config
            .ports()
            .iter()
            .map(|port| of_port(tree, port))
            .collect(),
        None => nics::all(tree)
            .iter()
            .map(|nic| of_nic(tree, nic))
            .collect(),
    }
}

/// A NIC that no configuration names: what could be done with it.
fn of_nic(tree: &Tree, nic: &Nic) -> Finding {
    const NAME: &str = "nic";

    let name = nic.name();
    let uses = uses::of_nic(tree, nic);
    if !uses.is_empty() {
        return Finding::ok(NAME, format!("{name} stays Linux's: {}", listed(&uses)));
    }
    let driver = nic.driver.as_deref();
    match driver.map(|driver| (driver, drivers::way(driver))) {
        None => Finding {
            command: Some(format!("sluicectl setup-host --bind {}", nic.device)),
            ..Finding::ok(NAME, format!("{name} has no driver, and may be taken"))
        },
        Some((driver, _)) if drivers::is_for_programs(driver) => {
            Finding::ok(NAME, format!("{name} is with {driver}, ready for a port"))
        }
        Some((driver, Some(Way::Taken(ours)))) => Finding {
            command: Some(bind_command(tree, std::slice::from_ref(nic))),
            ..Finding::ok(
                NAME,
                format!("{name} is with {driver} and free: DPDK's {ours} may take it"),
            )
        },
        Some((driver, Some(Way::Shared(ours)))) => Finding::ok(
            NAME,
            format!("{name} stays with {driver}: DPDK's {ours} works beside it, ready for a port"),
        ),
        Some((driver, Some(Way::Closed))) => Finding::ok(
            NAME,
            format!(
                "{name} is with {driver}, whose ports the gateway cannot open but by AF_PACKET"
            ),
        ),
        Some((driver, None)) => Finding::ok(
            NAME,
            format!("{name} is with {driver}, which DPDK does not know: use it by AF_PACKET"),
        ),
    }
}

/// What gives NICs to vfio-pci, with all that their groups have.
fn bind_command(tree: &Tree, nics: &[Nic]) -> String {
    let mut names: Vec<String> = Vec::new();
    for nic in nics {
        let mut others = nics::neighbours(tree, nic);
        others.retain(|other| other.driver.as_deref() != Some(VFIO));
        for nic in std::iter::once(nic).chain(&others) {
            if !names.iter().any(|name| name == nic.short_name()) {
                names.push(nic.short_name().to_owned());
            }
        }
    }
    let is_free = |nic: &Nic| nics::is_behind_iommu(tree, nic);
    let option = match nics.iter().all(is_free) {
        true => "",
        false => " --no-iommu",
    };
    format!("sluicectl setup-host --bind {}{option}", names.join(","))
}

fn listed(uses: &[Use]) -> String {
    let words: Vec<String> = uses.iter().map(ToString::to_string).collect();
    words.join(", ")
}

/// What a port of the configuration asks for.
fn of_port(tree: &Tree, port: &Port) -> Finding {
    const NAME: &str = "port";

    let named = format!("Port {} is {}", port.interface.name, port.device.name());
    if let Some(interface) = port.device.linux_interface() {
        return of_interface(tree, port, interface);
    }
    let mut devices = [port.device.name()]
        .into_iter()
        .filter(|name| name.contains(':'));
    let Some(device) = devices.next() else {
        return Finding::ok(NAME, format!("{named}, a device of DPDK's own"));
    };
    let Some(nic) = nics::one(tree, device) else {
        return Finding::problem(
            NAME,
            format!("{named}, and there is no such device"),
            "sluicectl doctor lists the NICs",
        );
    };
    let driver = nic.driver.as_deref();
    match driver.map(|driver| (driver, drivers::way(driver))) {
        Some((VFIO, _)) => group(tree, &nic, &named),
        Some((driver, _)) if drivers::is_for_programs(driver) => Finding::ok(
            NAME,
            format!("{named} and is with {driver}, which leaves it all of the memory"),
        ),
        Some((driver, Some(Way::Shared(_)))) => Finding::ok(
            NAME,
            format!("{named} and stays with {driver}, as it should"),
        ),
        Some((driver, Some(Way::Closed))) => Finding::problem(
            NAME,
            format!("{named}, and {driver}'s NICs cannot be opened by this gateway"),
            format!(
                "device = \"net_af_packet0,iface={},framecnt=4096\"",
                nic.short_name()
            ),
        ),
        Some((driver, _)) => {
            let uses = uses::of_nic(tree, &nic);
            let uses = match listed(&uses) {
                uses if uses.is_empty() => String::new(),
                uses => format!(", and {uses}"),
            };
            Finding::problem(
                NAME,
                format!("{named}, which is still Linux's ({driver}){uses}: DPDK cannot open it"),
                bind_command(tree, std::slice::from_ref(&nic)),
            )
        }
        None => Finding::problem(
            NAME,
            format!("{named}, which no driver has: DPDK cannot open it"),
            format!("sluicectl setup-host --bind {}", nic.device),
        ),
    }
}

/// A NIC that is taken, whose group has to be.
fn group(tree: &Tree, nic: &Nic, named: &str) -> Finding {
    const NAME: &str = "port";

    let mut others = nics::neighbours(tree, nic);
    others.retain(|other| other.driver.as_deref() != Some(VFIO));
    let names: BTreeSet<String> = others.iter().map(Nic::name).collect();
    if names.is_empty() {
        return Finding::ok(
            NAME,
            format!("{named} and is with vfio-pci, as it should be"),
        );
    }
    let names: Vec<String> = names.into_iter().collect();
    let words: String = (others.iter())
        .map(|other| format!(" --bind {}", other.short_name()))
        .collect();
    Finding::problem(
        NAME,
        format!(
            "{named}, whose IOMMU group Linux still has a part of ({}): vfio opens none of it",
            names.join(", ")
        ),
        format!("sluicectl setup-host{words}"),
    )
}

/// A port that shares an interface with Linux.
fn of_interface(tree: &Tree, port: &Port, interface: &str) -> Finding {
    const NAME: &str = "port";

    let name = &port.interface.name;
    if !tree.exists(&format!("/sys/class/net/{interface}")) {
        return Finding::problem(
            NAME,
            format!("Port {name} is the interface {interface}, and there is none of that name"),
            "ip -br link",
        );
    }
    let mut uses = uses::uses(tree, interface);
    uses.retain(Use::is_linuxs);
    if uses.is_empty() || port.take_interface {
        let said = format!("Port {name} is the interface {interface}, which stays Linux's");
        return Finding::ok(NAME, said);
    }
    Finding::problem(
        NAME,
        format!(
            "Port {name} is the interface {interface}, which the gateway will not take: {}",
            listed(&uses)
        ),
        "another interface in `device`, or take_interface = true on the port",
    )
}
