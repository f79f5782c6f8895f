//! Loadable parts of the kernel.

use std::io;
use std::path::Path;
use std::process::Command;

use super::imitation;
use super::tree::Tree;

/// Whether it is there, loaded or built in.
pub(super) fn is_loaded(tree: &Tree, name: &str) -> bool {
    tree.exists(&format!("/sys/module/{}", name.replace('-', "_")))
        || tree.exists(&format!("/sys/bus/pci/drivers/{name}"))
}

/// Loads it with what it needs.
pub(super) fn load(tree: &Tree, name: &str) -> io::Result<()> {
    if tree.is_live() {
        modprobe(&[name])
    } else {
        imitation::load(tree, name)
    }
}

/// Unloads it with what nobody else needs.
pub(super) fn unload(tree: &Tree, name: &str) -> io::Result<()> {
    if tree.is_live() {
        modprobe(&["--remove", name])
    } else {
        imitation::unload(tree, name)
    }
}

fn modprobe(words: &[&str]) -> io::Result<()> {
    // Whoever became root by `su` may have no path to it.
    let place = Path::new("/sbin/modprobe");
    let program = if place.exists() {
        place
    } else {
        Path::new("modprobe")
    };
    let done = Command::new(program).args(words).output()?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    Err(io::Error::other(said.trim().to_owned()))
}
