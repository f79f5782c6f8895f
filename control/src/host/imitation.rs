//! What the kernel would do when one of its files is written, in a tree that is not its own.
//!
//! It is as much as is seen from outside: a NIC leaves its driver and loses its interfaces, and
//! goes to the driver that is named for it, or to the one in the file `.driver`, which a made tree
//! has for that; and what changes with `ip_forward`. On a real host none of this runs.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::forwarding;
use super::tree::Tree;

/// Does what a write of `value` to the file `path` starts.
pub(super) fn poked(tree: &Tree, path: &str, value: &str) -> io::Result<()> {
    let device = tree.at(&format!("/sys/bus/pci/devices/{value}"));
    match path.rsplit('/').next() {
        Some("unbind") => unbind(&device),
        Some("drivers_probe") => probe(tree, &device),
        Some("ip_forward") => forwarding::imitate(tree, value),
        // The kernel shows that no driver is named in words.
        Some("driver_override") if value.is_empty() => tree.set(path, "(null)"),
        _ => tree.set(path, value),
    }
}

fn unbind(device: &Path) -> io::Result<()> {
    fs::remove_file(device.join("driver"))?;
    rename_if_there(&device.join("net"), &device.join(".net"))
}

fn probe(tree: &Tree, device: &Path) -> io::Result<()> {
    let named = fs::read_to_string(device.join("driver_override"))?;
    let own = fs::read_to_string(device.join(".driver")).unwrap_or_default();
    let own = own.trim();
    let driver = match named.trim() {
        "" | "(null)" => own,
        named => named,
    };
    let place = format!("/sys/bus/pci/drivers/{driver}");
    if driver.is_empty() || !tree.exists(&place) || device.join("driver").exists() {
        return Ok(());
    }
    symlink(
        Path::new("../../../bus/pci/drivers").join(driver),
        device.join("driver"),
    )?;
    if driver == own {
        rename_if_there(&device.join(".net"), &device.join("net"))?;
    }
    Ok(())
}

fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    if from.exists() {
        fs::rename(from, to)
    } else {
        Ok(())
    }
}

/// Loads a module that is a driver of PCI devices.
pub(super) fn load(tree: &Tree, name: &str) -> io::Result<()> {
    for place in places(tree, name) {
        fs::create_dir(place)?;
    }
    Ok(())
}

/// Unloads it.
pub(super) fn unload(tree: &Tree, name: &str) -> io::Result<()> {
    for place in places(tree, name) {
        fs::remove_dir(place)?;
    }
    Ok(())
}

fn places(tree: &Tree, name: &str) -> [std::path::PathBuf; 2] {
    [
        tree.at(&format!("/sys/module/{}", name.replace('-', "_"))),
        tree.at(&format!("/sys/bus/pci/drivers/{name}")),
    ]
}
