//! What holds for the guest as a whole: file systems, modules, limits on ICMP.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use nix::mount::{MsFlags, mount};

use super::command;
use super::settings::Settings;
use super::trouble::Trouble;
use crate::kernel::folder;

/// Where the run folder is in the guest.
pub(super) const RUN: &str = "/run/sluice";

/// A folder in which `lib/modules` is what the kernel needs; `/lib/modules` is another machine's.
const MODULES: &str = "/run/modules";

/// What the kernel calls when it misses a module.
const LOADER: &str = "/run/modprobe";

/// Modules that must be there before a scenario's first line: their variables may be in it. The
/// others come when they are missed.
const LOADED: [&str; 15] = [
    "veth",
    "ip_vs",
    "ip_vs_rr",
    "ip_vs_wrr",
    "ip_vs_lc",
    "ip_vs_wlc",
    "ip_vs_lblc",
    "ip_vs_lblcr",
    "ip_vs_dh",
    "ip_vs_sh",
    "ip_vs_mh",
    "ip_vs_sed",
    "ip_vs_nq",
    "ip_vs_fo",
    "ip_vs_ovf",
];

/// Makes the guest ready for its first scenario.
pub(super) fn prepare(settings: &Settings) -> Result<(), Trouble> {
    file_system("proc", "/proc")?;
    file_system("sysfs", "/sys")?;
    file_system("tmpfs", "/run")?;
    fs::create_dir(RUN)?;
    let writable = Some(settings.run.as_path());
    mount(
        Some("none"),
        RUN,
        Some("hostfs"),
        MsFlags::empty(),
        writable,
    )
    .map_err(Trouble::when("cannot mount the run folder"))?;
    fs::write(Path::new(RUN).join(folder::UP), "")?;
    if let Some(modules) = &settings.modules {
        load_modules(modules)?;
    }
    // These hold for all namespaces together, and a batch sends many errors at once.
    command::set("net.ipv4.icmp_msgs_per_sec", "1000000")?;
    command::set("net.ipv4.icmp_msgs_burst", "1000000")
}

fn file_system(what: &'static str, at: &'static str) -> Result<(), Trouble> {
    mount(Some(what), at, Some(what), MsFlags::empty(), None::<&str>)
        .map_err(|source| Trouble::Mount { what, at, source })
}

fn load_modules(modules: &Path) -> Result<(), Trouble> {
    // Which of the two is looked into depends on the loader's release.
    for lib in ["lib", "usr/lib"] {
        let lib = Path::new(MODULES).join(lib);
        fs::create_dir_all(&lib)?;
        symlink(modules, lib.join("modules"))?;
    }
    let script = format!("#!/bin/sh\nexec modprobe --dirname {MODULES} \"$@\"\n");
    fs::write(LOADER, script)?;
    fs::set_permissions(LOADER, Permissions::from_mode(0o755))?;
    command::set("kernel.modprobe", LOADER)?;
    let arguments = [&["--dirname", MODULES, "--all"], &LOADED[..]].concat();
    command::must("modprobe", &arguments, "")
}
