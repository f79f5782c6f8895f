//! Why something that was asked for is not done.

use super::uses::Use;

/// What is in the way, and what helps.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No wish was told.
    #[error(
        "nothing was asked for: say --huge-pages, --bind, --unbind, --sysctls, --governor or \
         --undo; `sluicectl doctor` says what this machine lacks"
    )]
    Nothing,
    /// Linux has none of that name.
    #[error("there is no NIC \"{0}\": see `ip -br link` and `sluicectl doctor`")]
    NoNic(String),
    /// It has no PCI address.
    #[error(
        "{0} is not a NIC on the PCI bus (a bridge, bond, VLAN, or virtual): name the NIC below \
         it, or leave it to Linux and give the port `device = \"net_af_packet0,iface={0}\"`"
    )]
    NotPci(String),
    /// It is a disk, or a graphics card.
    #[error("{device} is not a network device: its class is {class:06x}")]
    NotNetwork {
        /// The PCI address.
        device: String,
        /// What it is instead.
        class: u32,
    },
    /// DPDK gives its ports names that `device` cannot say.
    #[error(
        "{0} cannot be opened by this gateway: DPDK's mlx4 gives its ports names that `device` \
         cannot say. Leave it to Linux and give the port `device = \"net_af_packet0,iface=…\"`"
    )]
    Closed(String),
    /// DPDK does not know it.
    #[error(
        "DPDK has no driver for {nic}, which Linux drives with {driver}: leave it to Linux and \
         use net_af_packet, or insist with --force"
    )]
    Unknown {
        /// The NIC.
        nic: String,
        /// The kernel's driver.
        driver: String,
    },
    /// Linux would lose it.
    #[error("{nic} is not taken: {}. Free it first, or insist with --force", listed(.uses))]
    InUse {
        /// The NIC.
        nic: String,
        /// What for.
        uses: Vec<Use>,
    },
    /// The machine's interfaces cannot be seen from here.
    #[error(
        "this is another network namespace than that of the machine's first process, so nobody \
         can say what its NICs are used for: run it there (`nsenter --target 1 --net`), or insist \
         with --force"
    )]
    Elsewhere,
    /// Others would have to go with it.
    #[error(
        "{nic} shares IOMMU group {group} with {others}, and a group goes as a whole: {advice}"
    )]
    Group {
        /// The NIC.
        nic: String,
        /// The number of the group.
        group: String,
        /// Those that Linux drives.
        others: String,
        /// What helps.
        advice: String,
    },
    /// The device could write anywhere.
    #[error(
        "there is no IOMMU, and vfio-pci wants one: switch it on in the firmware and with \
         `intel_iommu=on iommu=pt` on the kernel's command line, or, in a virtual machine that \
         has none, say --no-iommu: the NIC may then write to all of the memory"
    )]
    NoIommu,
    /// The IOMMU is not before this one.
    #[error(
        "{0} has no IOMMU group though there is an IOMMU, and vfio-pci would not take it: another \
         slot may be behind the IOMMU, or say --no-iommu: the NIC may then write to all of the \
         memory"
    )]
    NoGroup(String),
    /// Linux gives its name to another by now.
    #[error(
        "{name} was {before} when it was bound, and is {now} by now: say which one is meant, by \
         its PCI address"
    )]
    Renamed {
        /// The interface.
        name: String,
        /// The PCI address in the journal.
        before: String,
        /// The one of the interface.
        now: String,
    },
    /// The node is not there.
    #[error("there is no NUMA node {0}: see `lscpu`")]
    NoNode(u16),
    /// The kernel has no such pages.
    #[error(
        "this kernel has no pages of {size} on node {node}: the processor or the kernel lacks them"
    )]
    NoPages {
        /// Their size.
        size: &'static str,
        /// The node.
        node: u16,
    },
    /// Somebody else has reserved them.
    #[error(
        "node {node} has {total} pages of {size}, {used} of them in use, and {wanted} would take \
         some from whoever reserved them: name at least {least}{}, or insist with --force",
        beside(*.least, *.wanted)
    )]
    TooFewPages {
        /// The node.
        node: u16,
        /// Their size.
        size: &'static str,
        /// How many there are.
        total: u64,
        /// How many of them are not free.
        used: u64,
        /// How many there shall be.
        wanted: u64,
        /// How many there were before any were added here.
        least: u64,
    },
    /// Linux has no hand on the clock.
    #[error("Linux does not set the clock of this machine's processors: look in the firmware")]
    NoGovernor,
    /// The clock's driver does not know it.
    #[error("there is no governor \"{wanted}\" here, but {available}")]
    WrongGovernor {
        /// What was asked for.
        wanted: String,
        /// What there is.
        available: String,
    },
}

/// How many it takes for the pages that were wanted to be added.
fn beside(least: u64, wanted: u64) -> String {
    match wanted {
        0 => String::new(),
        _ => format!(" ({} to have {wanted} more)", least.saturating_add(wanted)),
    }
}

fn listed(uses: &[Use]) -> String {
    let words: Vec<String> = uses.iter().map(ToString::to_string).collect();
    words.join(", ")
}
