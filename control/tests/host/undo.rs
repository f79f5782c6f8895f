//! Everything that is changed is taken back, byte for byte, and nothing else.

use control::ctl::Exit;

use crate::tree::Machine;

/// Everything that can be asked for.
const ALL: &str = "setup-host --huge-pages 2M/16,1G/1@1 --bind eno3,ens1f0,ens1f1 --sysctls \
                   --governor performance";

#[test]
fn everything_is_made_twice_changes_nothing_and_undo_restores_all() {
    let machine = Machine::new();
    let before = machine.contents();

    let made = machine.well(ALL);
    assert!(made.ends_with("Changes made: 22.\n"), "{made}");
    let after = machine.contents();
    assert_eq!(machine.driver("0000:02:00.0").as_deref(), Some("vfio-pci"));
    assert_eq!(machine.driver("0000:3b:00.1").as_deref(), Some("vfio-pci"));
    let pages = "sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages";
    assert_eq!(machine.read(pages), "16\n");

    // The interfaces are gone by now, and known all the same.
    let again = machine.well(ALL);
    assert!(again.ends_with("\nNothing to change.\n"), "{again}");
    assert_eq!(machine.contents(), after);

    let planned = machine.well("setup-host --undo --dry-run");
    assert_eq!(machine.contents(), after);
    let undone = machine.well("setup-host --undo");
    let said = planned.replace("that would be taken back", "taken back");
    assert_eq!(undone, said);
    assert!(undone.ends_with("Changes taken back: 22.\n"), "{undone}");
    assert_eq!(machine.contents(), before);
    assert_eq!(machine.well("setup-host --undo"), "Nothing to change.\n");
    assert_eq!(machine.contents(), before);
}

#[test]
fn two_runs_with_other_words_are_taken_back_as_one() {
    let machine = Machine::new();
    let before = machine.contents();

    machine.well("setup-host --huge-pages 2M/16 --bind eno3");
    machine.well("setup-host --huge-pages 2M/32@0 --bind ens1f0,ens1f1");
    let tmpfiles = machine.read("etc/tmpfiles.d/sluice-host.conf");
    assert!(tmpfiles.contains("node0/hugepages/hugepages-2048kB/nr_hugepages - - - - 32\n"));
    assert!(tmpfiles.contains("node1/hugepages/hugepages-2048kB/nr_hugepages - - - - 16\n"));
    let rules = machine.read("etc/udev/rules.d/70-sluice-host.rules");
    assert_eq!(rules.lines().count(), 4, "{rules}");

    machine.well("setup-host --undo");

    assert_eq!(machine.contents(), before);
}

#[test]
fn what_somebody_else_changed_since_is_left_and_said() {
    let machine = Machine::new();
    machine.well("setup-host --huge-pages 2M/16 --sysctls");
    let pages = "sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages";
    machine.write(pages, "64\n");
    let own = "net.ipv4.ip_forward = 1\nvm.swappiness = 1\n";
    machine.write("etc/sysctl.d/90-sluice-host.conf", own);

    let ran = machine.run("setup-host --undo");

    let said = ran.out;
    assert_eq!((ran.exit, &*ran.err), (Exit::No, ""), "{said}");
    for note in [
        "note: /sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages is left at \
         64: it was changed since\n",
        "note: /etc/sysctl.d/90-sluice-host.conf is left: it was edited since\n",
    ] {
        assert!(said.contains(note), "{said}");
    }
    assert_eq!(machine.read(pages), "64\n");
    assert_eq!(machine.read("etc/sysctl.d/90-sluice-host.conf"), own);
    assert_eq!(machine.read("proc/sys/net/ipv4/ip_forward"), "0\n");
    assert_eq!(machine.well("setup-host --undo"), "Nothing to change.\n");
}

#[test]
fn what_somebody_else_changed_between_two_runs_stays_his() {
    let machine = Machine::new();
    let pages = "sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages";
    machine.well("setup-host --huge-pages 2M/16@0");
    machine.write(pages, "20\n");
    machine.well("setup-host --huge-pages 2M/24@0");

    let said = machine.run("setup-host --undo").out;

    assert!(said.contains("nr_hugepages: 24 -> 20\n"), "{said}");
    assert!(said.contains("nr_hugepages is left at 20"), "{said}");
    assert_eq!(machine.read(pages), "20\n");
}
