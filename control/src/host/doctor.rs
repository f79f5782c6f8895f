//! All findings, in the order in which a host is made ready.

use std::path::PathBuf;

use super::finding::Finding;
use super::tree::Tree;
use super::{check_cores, check_kernel, check_memory, check_nics};
use crate::config::{Config, Device};

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum DoctorError {
    /// It is no Linux, or one without /proc and /sys.
    #[error("there is no {}: without /proc and /sys nothing can be said of this machine", .0.display())]
    Blind(PathBuf),
}

/// Looks at a host, and where there is a configuration at what it asks of it.
///
/// # Errors
///
/// [`DoctorError`], when the host does not show itself.
pub fn examine(tree: &Tree, config: Option<&Config>) -> Result<Vec<Finding>, DoctorError> {
    for needed in ["/proc/meminfo", "/sys/class/net", "/sys/devices/system/cpu"] {
        if !tree.exists(needed) {
            return Err(DoctorError::Blind(tree.at(needed)));
        }
    }
    let mut findings = check_nics::iommu(tree, config);
    findings.extend(check_nics::nics(tree, config));
    findings.extend(check_memory::all(tree, config));
    findings.extend(check_cores::all(tree, config));
    findings.extend(check_kernel::all(tree, config));
    Ok(findings)
}

/// The PCI addresses of a configuration's ports.
pub(super) fn pci_ports(config: &Config) -> impl Iterator<Item = &str> {
    let devices = config.ports().iter().map(|port| &port.device);
    devices.filter_map(|device| match device {
        Device::Pci(_) => Some(device.name()),
        Device::Vdev(_) => None,
    })
}
