//! NICs between two drivers: what refuses them, and how they come back.

use std::fs;

use control::ctl::Exit;

use crate::tree::Machine;

/// Where changes are noted.
const JOURNAL: &str = "var/lib/sluice/setup-host.json";

/// eno3.
const DEVICE: &str = "0000:02:00.0";

/// What the driver of eno3 is a link to.
fn driver_link() -> String {
    format!("sys/devices/pci0000:00/{DEVICE}/driver")
}

/// How many changes of drivers are noted.
fn noted(machine: &Machine) -> usize {
    let text = machine.read(JOURNAL);
    text.matches("\"kind\": \"driver\"").count()
}

#[test]
fn one_that_vfio_refuses_has_its_driver_again() {
    let machine = Machine::new();
    // It is loaded, and takes nothing.
    fs::create_dir(machine.at("sys/module/vfio_pci")).unwrap();
    let before = machine.contents();

    for _ in 0..2 {
        let ran = machine.run("setup-host --bind eno3");
        assert_eq!(ran.exit, Exit::Failed);
        assert_eq!(
            ran.err,
            "0000:02:00.0 (eno3) failed: vfio-pci did not take it, see `dmesg`; now it is: ixgbe. \
             What was changed before stays, and `sluicectl setup-host --undo` takes it back\n"
        );
        assert_eq!(machine.driver(DEVICE).as_deref(), Some("ixgbe"));
        assert!(machine.at("sys/class/net/eno3/mtu").exists());
        assert_eq!(noted(&machine), 1);
    }

    machine.well("setup-host --undo");
    assert_eq!(machine.contents(), before);
}

#[test]
fn one_that_was_left_without_a_driver_comes_back() {
    for again in [false, true] {
        let machine = Machine::new();
        let before = machine.contents();
        machine.well("setup-host --bind eno3");
        // The process died between two writes, or vfio refused it after a boot.
        fs::remove_file(machine.at(&driver_link())).unwrap();

        if again {
            let made = machine.well("setup-host --bind eno3");
            let line = "0000:02:00.0: no driver, reserved for vfio-pci -> vfio-pci";
            assert!(made.starts_with(line), "{made}");
            assert_eq!(noted(&machine), 1);
        }
        let undone = machine.well("setup-host --undo");

        let is = if again { "vfio-pci" } else { "no driver" };
        let line = ", reserved for vfio-pci -> ixgbe\n";
        assert!(undone.contains(&format!(": {is}{line}")), "{undone}");
        assert_eq!(machine.driver(DEVICE).as_deref(), Some("ixgbe"));
        assert_eq!(machine.contents(), before);
    }
}

#[test]
fn one_that_somebody_else_gave_away_is_told_until_it_is_back() {
    let machine = Machine::new();
    let before = machine.contents();
    machine.well("setup-host --bind eno3");
    let only = format!("sys/bus/pci/devices/{DEVICE}/driver_override");
    let give_to = |driver: &str| {
        fs::remove_file(machine.at(&driver_link())).unwrap();
        machine.link(
            &format!("../../../bus/pci/drivers/{driver}"),
            &driver_link(),
        );
        machine.write(&only, "(null)\n");
    };
    give_to("uio_pci_generic");

    for end in ["Changes taken back: 3.", "Nothing to change."] {
        let ran = machine.run("setup-host --undo");
        assert_eq!((ran.exit, &*ran.err), (Exit::No, ""));
        let note = "note: 0000:02:00.0 (eno3) is left at uio_pci_generic: it was changed since; \
                    --undo forgets it when it is back at ixgbe\n";
        assert!(ran.out.contains(note), "{}", ran.out);
        assert!(ran.out.ends_with(&format!("{end}\n")), "{}", ran.out);
        assert_eq!(noted(&machine), 1);
    }

    give_to("ixgbe");
    let device = machine.at(&format!("sys/devices/pci0000:00/{DEVICE}"));
    fs::rename(device.join(".net"), device.join("net")).unwrap();
    machine.well("setup-host --undo");
    assert_eq!(machine.contents(), before);
}

#[test]
fn one_that_was_pulled_out_is_forgotten() {
    let machine = Machine::new();
    machine.well("setup-host --bind eno3");
    fs::remove_file(machine.at(&format!("sys/bus/pci/devices/{DEVICE}"))).unwrap();

    let ran = machine.run("setup-host --undo");

    assert_eq!(ran.exit, Exit::No);
    let note = "note: 0000:02:00.0 (eno3) is left at gone: it was changed since\n";
    assert!(ran.out.contains(note), "{}", ran.out);
    assert!(!machine.at(JOURNAL).exists());
}

#[test]
fn one_that_a_program_has_keeps_nothing_else_from_being_taken_back() {
    let machine = Machine::new();
    let before = machine.contents();
    machine.well("setup-host --bind eno3 --huge-pages 2M/16");
    machine.write("proc/77/comm", "sluice\n");
    machine.link("/dev/vfio/12", "proc/77/fd/9");

    let ran = machine.run("setup-host --undo");

    assert_eq!(ran.exit, Exit::Failed);
    assert_eq!(
        ran.err,
        "0000:02:00.0 (eno3) could not be taken back: sluice (process 77) is using it, stop it \
         first. Mend that, then `sluicectl setup-host --undo` takes back what is left\n"
    );
    assert!(!machine.at("etc/udev/rules.d/70-sluice-host.rules").exists());
    assert!(!machine.at("etc/tmpfiles.d/sluice-host.conf").exists());
    let pages = "sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages";
    assert_eq!(machine.read(pages), "0\n");
    assert_eq!(machine.driver(DEVICE).as_deref(), Some("vfio-pci"));

    fs::remove_dir_all(machine.at("proc/77")).unwrap();
    machine.well("setup-host --undo");
    assert_eq!(machine.contents(), before);
}

#[test]
fn one_without_a_group_is_refused_where_there_is_an_iommu() {
    let machine = Machine::new();
    let device = format!("sys/devices/pci0000:00/{DEVICE}");
    fs::remove_file(machine.at(&format!("{device}/iommu_group"))).unwrap();
    let before = machine.contents();

    let ran = machine.run("setup-host --bind eno3");

    assert_eq!(ran.exit, Exit::No);
    assert_eq!(
        ran.err,
        "0000:02:00.0 (eno3) has no IOMMU group though there is an IOMMU, and vfio-pci would not \
         take it: another slot may be behind the IOMMU, or say --no-iommu: the NIC may then write \
         to all of the memory\n"
    );
    assert_eq!(machine.contents(), before);
    machine.well("setup-host --bind eno3 --no-iommu");
    assert!(machine.at("etc/modprobe.d/sluice-host.conf").exists());
}

#[test]
fn a_name_that_another_has_by_now_is_not_guessed() {
    let machine = Machine::new();
    machine.well("setup-host --bind eno3");
    // After a reboot Linux counts again, and this is the third of those that are left.
    let device = "sys/devices/pci0000:00/0000:af:00.0";
    fs::remove_file(machine.at("sys/class/net/eno3")).unwrap();
    machine.write(&format!("{device}/net/eno3/mtu"), "1500\n");
    machine.link("../..", &format!("{device}/net/eno3/device"));
    machine.link(
        "../../devices/pci0000:00/0000:af:00.0/net/eno3",
        "sys/class/net/eno3",
    );

    for words in ["--bind eno3", "--unbind eno3"] {
        let ran = machine.run(&format!("setup-host {words}"));
        assert_eq!(ran.exit, Exit::No, "{}", ran.out);
        assert_eq!(
            ran.err,
            "eno3 was 0000:02:00.0 when it was bound, and is 0000:af:00.0 by now: say which one \
             is meant, by its PCI address\n"
        );
    }
    machine.well("setup-host --unbind 0000:02:00.0");
    assert_eq!(machine.driver(DEVICE).as_deref(), Some("ixgbe"));
}
