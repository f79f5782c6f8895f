//! Which kernel drivers' NICs DPDK can open, and by which of its own.
//!
//! The names are those of `docs/nics.md`, which has them from DPDK 22.11.

use super::tree::Tree;

/// The driver that gives a device to programs.
pub(super) const VFIO: &str = "vfio-pci";

/// Whether a driver gives devices to programs.
pub(super) fn is_for_programs(driver: &str) -> bool {
    [VFIO, "igb_uio", "uio_pci_generic"].contains(&driver)
}

/// How the gateway comes by the NICs of a kernel driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// They are taken from Linux; the name of DPDK's driver.
    Taken(&'static str),
    /// They stay with their kernel driver (bifurcated); the name of DPDK's.
    Shared(&'static str),
    /// They cannot be opened.
    Closed,
}

/// Kernel drivers with DPDK's for the same NICs.
const TAKEN: [(&str, &str); 32] = [
    ("amd-xgbe", "axgbe"),
    ("atlantic", "atlantic"),
    ("bnx2x", "bnx2x"),
    ("bnxt_en", "bnxt"),
    ("cxgb4", "cxgbe"),
    ("cxgb4vf", "cxgbe"),
    ("e1000", "e1000"),
    ("e1000e", "e1000"),
    ("ena", "ena"),
    ("enic", "enic"),
    ("fm10k", "fm10k"),
    ("gve", "gve"),
    ("hinic", "hinic"),
    ("i40e", "i40e"),
    ("iavf", "iavf"),
    ("ice", "ice"),
    ("idpf", "idpf"),
    ("igb", "e1000"),
    ("igbvf", "e1000"),
    ("igc", "igc"),
    ("ionic", "ionic"),
    ("ixgbe", "ixgbe"),
    ("ixgbevf", "ixgbe"),
    ("nfp", "nfp"),
    ("ngbe", "ngbe"),
    ("qede", "qede"),
    ("sfc", "sfc"),
    ("sfc_ef100", "sfc"),
    ("txgbe", "txgbe"),
    ("virtio-pci", "virtio"),
    ("vmxnet3", "vmxnet3"),
    ("xgbe", "axgbe"),
];

/// How the gateway comes by the NICs of a kernel driver; nothing if DPDK does not know them.
pub(super) fn way(kernel_driver: &str) -> Option<Way> {
    match kernel_driver {
        "mlx5_core" => Some(Way::Shared("mlx5")),
        "mlx4_core" => Some(Way::Closed),
        driver => (TAKEN.iter())
            .find(|(kernel, _)| *kernel == driver)
            .map(|(_, ours)| Way::Taken(ours)),
    }
}

/// The drivers of DPDK that are installed: `ixgbe` of `librte_net_ixgbe.so.23`.
pub(super) fn installed(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for machine in tree.names("/usr/lib") {
        let dpdk = format!("/usr/lib/{machine}/dpdk");
        for version in tree.names(&dpdk) {
            for file in tree.names(&format!("{dpdk}/{version}")) {
                let name = file.strip_prefix("librte_net_");
                let name = name.and_then(|name| name.split_once(".so"));
                found.extend(name.map(|(name, _)| name.to_owned()));
            }
        }
    }
    found.sort();
    found.dedup();
    found
}
