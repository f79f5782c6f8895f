//! The lines that make a change outlive a reboot, in files that are all the gateway's own.
//!
//! A line stands for one thing, which its key names; a later wish about the same thing replaces it,
//! and others stay.
//!
//! NICs are bound by a rule of udev's, and not by tmpfiles.d or a unit: the rule acts when the
//! kernel shows the NIC, before anybody knows its interface, and also after the initial RAM disk
//! has given it to its own driver, and when it is plugged in later.

use std::collections::BTreeMap;
use std::io;

use super::change::Change;
use super::drivers::VFIO;
use super::tree::Tree;

/// Values in /sys.
pub(super) const TMPFILES: &str = "/etc/tmpfiles.d/sluice-host.conf";
/// Kernel parameters.
pub(super) const SYSCTL: &str = "/etc/sysctl.d/90-sluice-host.conf";
/// Options of modules.
pub(super) const MODPROBE: &str = "/etc/modprobe.d/sluice-host.conf";
/// Modules to load.
pub(super) const MODULES: &str = "/etc/modules-load.d/sluice-host.conf";
/// NICs to bind; before 80-drivers.rules, which loads their own drivers.
pub(super) const UDEV: &str = "/etc/udev/rules.d/70-sluice-host.rules";

/// The option that lets vfio do without an IOMMU.
pub(super) const NO_IOMMU: &str = "options vfio enable_unsafe_noiommu_mode=1";

/// What each file begins with.
const HEADER: &str = "# Written by `sluicectl setup-host`, which takes it back with --undo.";

/// Files as they are and as they shall be.
#[derive(Debug, Default)]
pub(super) struct Files(BTreeMap<&'static str, (Option<String>, Vec<String>)>);

impl Files {
    /// Puts a line into a file, instead of the one that has `key` in it.
    pub(super) fn put(
        &mut self,
        tree: &Tree,
        file: &'static str,
        key: &str,
        line: String,
    ) -> io::Result<()> {
        let lines = self.lines(tree, file)?;
        match lines.iter_mut().find(|line| line.contains(key)) {
            Some(there) => *there = line,
            None => lines.push(line),
        }
        Ok(())
    }

    /// Takes the line out that has `key` in it, and says whether there are others.
    pub(super) fn drop(&mut self, tree: &Tree, file: &'static str, key: &str) -> io::Result<bool> {
        let lines = self.lines(tree, file)?;
        lines.retain(|line| !line.contains(key));
        Ok(!lines.is_empty())
    }

    fn lines(&mut self, tree: &Tree, file: &'static str) -> io::Result<&mut Vec<String>> {
        if !self.0.contains_key(file) {
            let text = tree.read(file)?;
            let lines = text.iter().flat_map(|text| text.lines());
            let lines = lines.filter(|line| *line != HEADER);
            let lines = lines.map(ToOwned::to_owned).collect();
            self.0.insert(file, (text, lines));
        }
        let (_, lines) = self.0.entry(file).or_default();
        Ok(lines)
    }

    /// Those that differ from what is there.
    pub(super) fn changes(self) -> Vec<Change> {
        let changes = self.0.into_iter().map(|(path, (before, lines))| {
            let text = || format!("{HEADER}\n{}\n", lines.join("\n"));
            Change::file(path, before, (!lines.is_empty()).then(text))
        });
        changes
            .filter(|change| change.before != change.after)
            .collect()
    }
}

/// What of a rule names the NIC.
pub(super) fn rule_key(device: &str) -> String {
    format!("KERNEL==\"{device}\"")
}

/// The rule that gives a NIC to vfio-pci, unless it has it: a gateway may be using it. Slots are
/// counted anew when a card is added, so what lies there has to be the same kind of NIC.
pub(super) fn rule(tree: &Tree, device: &str) -> String {
    let bus = "/sys/bus/pci";
    let kinds = ["vendor", "device", "subsystem_vendor", "subsystem_device"];
    let kinds = kinds.iter().filter_map(|name| {
        let value = tree.text(&format!("{bus}/devices/{device}/{name}"))?;
        Some(format!("ATTR{{{name}}}==\"{value}\", "))
    });
    let kinds: String = kinds.collect();
    format!(
        "ACTION==\"add\", SUBSYSTEM==\"pci\", {}, ATTR{{class}}==\"0x02*\", {kinds}DRIVER!=\"{VFIO}\", \
         ATTR{{driver_override}}=\"{VFIO}\", RUN{{builtin}}+=\"kmod load {VFIO}\", \
         RUN+=\"/bin/sh -c 'echo %k >{bus}/devices/%k/driver/unbind; \
         echo %k >{bus}/drivers_probe'\"",
        rule_key(device)
    )
}
