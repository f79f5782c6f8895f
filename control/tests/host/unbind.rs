//! NICs that are given back.

use control::ctl::Exit;

use crate::tree::Machine;

#[test]
fn a_nic_goes_back_to_the_driver_it_had_by_the_name_it_had() {
    let machine = Machine::new();
    let before = machine.contents();
    machine.well("setup-host --bind eno3");

    let said = machine.well("setup-host --unbind eno3");

    let line = "0000:02:00.0: vfio-pci, reserved for vfio-pci -> ixgbe\n";
    assert!(said.contains(line), "{said}");
    assert_eq!(machine.driver("0000:02:00.0").as_deref(), Some("ixgbe"));
    assert!(!machine.at("etc/udev").exists() || !rules(&machine).exists());
    assert!(!machine.at("etc/modules-load.d/sluice-host.conf").exists());
    machine.well("setup-host --undo");
    assert_eq!(machine.contents(), before);
}

fn rules(machine: &Machine) -> std::path::PathBuf {
    machine.at("etc/udev/rules.d/70-sluice-host.rules")
}

#[test]
fn the_rule_of_another_nic_stays() {
    let machine = Machine::new();
    machine.well("setup-host --bind eno3,ens1f0,ens1f1");

    machine.well("setup-host --unbind eno3");

    let rules = std::fs::read_to_string(rules(&machine)).unwrap();
    assert_eq!(rules.lines().count(), 3, "{rules}");
    assert!(!rules.contains("0000:02:00.0"), "{rules}");
    assert!(machine.at("etc/modules-load.d/sluice-host.conf").exists());
    assert_eq!(machine.driver("0000:3b:00.0").as_deref(), Some("vfio-pci"));
}

#[test]
fn one_that_somebody_else_has_bound_goes_where_the_kernel_wants_and_undo_brings_it_back() {
    let machine = Machine::new();
    machine.well("setup-host --bind eno3");
    std::fs::remove_file(machine.at("var/lib/sluice/setup-host.json")).unwrap();
    let before = machine.contents();

    let said = machine.well("setup-host --unbind 02:00.0");

    let line = "vfio-pci, reserved for vfio-pci -> a driver of the kernel's choice\n";
    assert!(said.contains(line), "{said}");
    assert_eq!(machine.driver("0000:02:00.0").as_deref(), Some("ixgbe"));
    machine.well("setup-host --undo");
    assert_eq!(machine.contents(), before);
}

#[test]
fn one_that_is_linuxs_stays_linuxs() {
    let machine = Machine::new();
    let before = machine.contents();

    let said = machine.well("setup-host --unbind eno1");

    let note = "note: 0000:01:00.0 (eno1) is Linux's already\nNothing to change.\n";
    assert_eq!(said, note);
    assert_eq!(machine.contents(), before);
}

#[test]
fn one_that_a_program_uses_is_not_taken_from_it() {
    let machine = Machine::new();
    let before = machine.contents();
    machine.well("setup-host --bind eno3");
    machine.write("proc/77/comm", "sluice\n");
    machine.link("/dev/vfio/12", "proc/77/fd/9");

    let end = "sluice (process 77) is using it, stop it first.";
    let unbound = machine.run("setup-host --unbind eno3");
    let wanted = format!("0000:02:00.0 failed: {end} What was changed before stays");
    assert!(unbound.err.starts_with(&wanted), "{}", unbound.err);
    let undone = machine.run("setup-host --undo");
    let wanted = format!("0000:02:00.0 (eno3) could not be taken back: {end} Mend that");
    assert!(undone.err.starts_with(&wanted), "{}", undone.err);
    assert_eq!((unbound.exit, undone.exit), (Exit::Failed, Exit::Failed));
    assert_eq!(machine.driver("0000:02:00.0").as_deref(), Some("vfio-pci"));

    std::fs::remove_dir_all(machine.at("proc/77")).unwrap();
    machine.well("setup-host --undo");
    assert_eq!(machine.contents(), before);
}
