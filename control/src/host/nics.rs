//! Network devices on the PCI bus: their drivers, interfaces, NUMA nodes and IOMMU groups.

use std::fs;
use std::path::Path;

use super::tree::Tree;

/// Where the kernel lists PCI devices.
const DEVICES: &str = "/sys/bus/pci/devices";

/// The class of network devices, in the first byte of three.
const NETWORK: u32 = 0x02;

/// What a PCI device is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Nic {
    /// Its PCI address.
    pub(super) device: String,
    /// What Linux calls it, while it has it.
    pub(super) interfaces: Vec<String>,
    /// Who drives it.
    pub(super) driver: Option<String>,
    /// Who alone may drive it.
    pub(super) only: Option<String>,
    /// The NUMA node it is at, where that matters.
    pub(super) node: Option<u16>,
    /// The devices that the IOMMU cannot tell apart from it.
    pub(super) group: Option<String>,
    /// What kind of device it is.
    pub(super) class: u32,
}

impl Nic {
    pub(super) const fn is_network(&self) -> bool {
        self.class >> 16 == NETWORK
    }

    /// Its address, and its interface if there is one.
    pub(super) fn name(&self) -> String {
        match self.interfaces.first() {
            Some(interface) => format!("{} ({interface})", self.device),
            None => self.device.clone(),
        }
    }

    /// What an operator calls it.
    pub(super) fn short_name(&self) -> &str {
        self.interfaces.first().unwrap_or(&self.device)
    }
}

/// The directory of a device.
pub(super) fn place(device: &str) -> String {
    format!("{DEVICES}/{device}")
}

/// All network devices.
pub(super) fn all(tree: &Tree) -> Vec<Nic> {
    let devices = tree.names(DEVICES);
    let nics = devices.iter().filter_map(|device| one(tree, device));
    nics.filter(Nic::is_network).collect()
}

/// The device at a PCI address, of whatever class.
pub(super) fn one(tree: &Tree, device: &str) -> Option<Nic> {
    let place = place(device);
    if !tree.exists(&place) {
        return None;
    }
    let class = tree.text(&format!("{place}/class")).unwrap_or_default();
    let node: Option<i32> = tree.number(&format!("{place}/numa_node"));
    let only = tree.text(&format!("{place}/driver_override"));
    Some(Nic {
        device: device.to_owned(),
        interfaces: interfaces(tree, device),
        driver: tree.link(&format!("{place}/driver")),
        only: only.filter(|only| !only.is_empty() && only != "(null)"),
        node: node.and_then(|node| u16::try_from(node).ok()),
        group: tree.link(&format!("{place}/iommu_group")),
        class: u32::from_str_radix(class.trim_start_matches("0x"), 16).unwrap_or_default(),
    })
}

/// The PCI device of an interface; none has a bridge, a bond, a VLAN.
pub(super) fn device_of(tree: &Tree, interface: &str) -> Option<String> {
    let place = tree.at(&format!("/sys/class/net/{interface}/device"));
    let place = fs::canonicalize(place).ok()?;
    // virtio's own device lies below that of the bus.
    let mut parents = place.ancestors().filter_map(Path::file_name);
    let is_device = |name: &str| tree.exists(&self::place(name));
    parents.find_map(|name| Some(name.to_str()?.to_owned()).filter(|name| is_device(name)))
}

fn interfaces(tree: &Tree, device: &str) -> Vec<String> {
    let mut names = tree.names("/sys/class/net");
    names.retain(|name| device_of(tree, name).as_deref() == Some(device));
    names
}

/// The other devices of a group that somebody drives; bridges do not count.
pub(super) fn neighbours(tree: &Tree, nic: &Nic) -> Vec<Nic> {
    const BRIDGE: u32 = 0x06;

    let Some(group) = &nic.group else {
        return Vec::new();
    };
    let devices = tree.names(&format!("/sys/kernel/iommu_groups/{group}/devices"));
    let others = devices.iter().filter(|other| **other != nic.device);
    let others = others.filter_map(|device| one(tree, device));
    others
        .filter(|other| other.class >> 16 != BRIDGE && other.driver.is_some())
        .collect()
}

/// The program that has a device by vfio, with its process number.
pub(super) fn holder(tree: &Tree, device: &str) -> Option<String> {
    let group = one(tree, device)?.group?;
    let files = [
        format!("/dev/vfio/{group}"),
        format!("/dev/vfio/noiommu-{group}"),
    ];
    let is_number = |name: &String| name.bytes().all(|digit| digit.is_ascii_digit());
    let mut processes = tree.names("/proc").into_iter().filter(is_number);
    let holder = processes.find(|process| {
        let place = format!("/proc/{process}/fd");
        let mut open = tree.names(&place).into_iter();
        open.any(|file| {
            let target = fs::read_link(tree.at(&format!("{place}/{file}")));
            target.is_ok_and(|target| files.iter().any(|file| target == Path::new(file)))
        })
    })?;
    let name = tree.text(&format!("/proc/{holder}/comm"));
    Some(format!("{} (process {holder})", name.unwrap_or_default()))
}

/// Where the kernel lists the groups of its IOMMU.
const GROUPS: &str = "/sys/kernel/iommu_groups";

/// Whether a group is an IOMMU's: vfio makes one of a NIC that it took without one, too.
fn is_of_iommu(tree: &Tree, group: &str) -> bool {
    let place = format!("{GROUPS}/{group}");
    tree.exists(&place) && tree.text(&format!("{place}/name")).as_deref() != Some("vfio-noiommu")
}

/// Whether the kernel has an IOMMU at work.
pub(super) fn has_iommu(tree: &Tree) -> bool {
    let groups = tree.names(GROUPS);
    groups.iter().any(|group| is_of_iommu(tree, group))
}

/// Whether a device is behind it.
pub(super) fn is_behind_iommu(tree: &Tree, nic: &Nic) -> bool {
    let group = nic.group.as_deref();
    group.is_some_and(|group| is_of_iommu(tree, group))
}

/// Whether vfio may be used without one.
pub(super) fn may_do_without_iommu(tree: &Tree) -> bool {
    tree.text(NO_IOMMU_FILE).is_some_and(|value| value == "Y")
}

/// Where the kernel is told that it may.
pub(super) const NO_IOMMU_FILE: &str = "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode";
