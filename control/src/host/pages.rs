//! Memory in huge pages, node by node.

use super::tree::Tree;

/// Memory of one size on one NUMA node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pages {
    pub(super) node: u16,
    pub(super) size: PageSize,
    pub(super) total: u64,
    pub(super) free: u64,
}

/// The sizes of huge pages that DPDK takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageSize {
    /// 2 MiB.
    Small,
    /// 1 GiB.
    Large,
}

impl PageSize {
    pub(super) const ALL: [Self; 2] = [Self::Small, Self::Large];

    pub(super) const fn kibibytes(self) -> u64 {
        match self {
            Self::Small => 2048,
            Self::Large => 1 << 20,
        }
    }

    /// As the kernel's command line has it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Small => "2M",
            Self::Large => "1G",
        }
    }

    /// As a sentence has it.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Small => "2 MiB",
            Self::Large => "1 GiB",
        }
    }
}

/// The NUMA nodes; a kernel without NUMA has none in /sys, and then there is 0.
pub(super) fn nodes(tree: &Tree) -> Vec<u16> {
    let names = tree.names("/sys/devices/system/node");
    let number = |name: &String| name.strip_prefix("node")?.parse().ok();
    let mut nodes: Vec<u16> = names.iter().filter_map(number).collect();
    nodes.sort_unstable();
    if nodes.is_empty() { vec![0] } else { nodes }
}

/// The directory of a node's pages of one size.
pub(super) fn place(node: u16, size: PageSize) -> String {
    format!(
        "/sys/devices/system/node/node{node}/hugepages/hugepages-{}kB",
        size.kibibytes()
    )
}

/// The file that says how many pages there are, and takes how many there shall be.
pub(super) fn count_file(node: u16, size: PageSize) -> String {
    format!("{}/nr_hugepages", place(node, size))
}

/// All pages of all nodes.
pub(super) fn all(tree: &Tree) -> Vec<Pages> {
    let mut found = Vec::new();
    for node in nodes(tree) {
        found.extend(PageSize::ALL.iter().filter_map(|size| {
            let place = place(node, *size);
            Some(Pages {
                node,
                size: *size,
                total: tree.number(&format!("{place}/nr_hugepages"))?,
                free: tree.number(&format!("{place}/free_hugepages"))?,
            })
        }));
    }
    found
}
