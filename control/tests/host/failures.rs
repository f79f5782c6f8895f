//! What goes wrong midway, and that it can be taken back from there.

use std::fs::{self, File};

use control::ctl::Exit;
use nix::fcntl::{Flock, FlockArg};

use crate::tree::Machine;

/// Where changes are noted.
const JOURNAL: &str = "var/lib/sluice/setup-host.json";

#[test]
fn what_was_done_before_a_failure_is_taken_back() {
    let machine = Machine::new();
    // No module can be loaded, which comes after the files and before pages and NICs.
    fs::remove_dir(machine.at("sys/module")).unwrap();
    let before = machine.contents();
    let words = "setup-host --bind eno3 --huge-pages 2M/16";

    for changes in [
        "/etc/modules-load.d/sluice-host.conf: new file\n",
        "Changes made: 0.\n",
    ] {
        let ran = machine.run(words);
        assert_eq!(ran.exit, Exit::Failed);
        assert!(ran.out.starts_with(changes), "{}", ran.out);
        assert_eq!(
            ran.err,
            "module vfio-pci failed: No such file or directory (os error 2). What was changed \
             before stays, and `sluicectl setup-host --undo` takes it back\n"
        );
    }
    let ran = machine.run(&format!("{words} --force --bind eno1 --json"));
    let said: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let rules = "/etc/udev/rules.d/70-sluice-host.rules";
    assert_eq!(said["changes"][0]["subject"], rules, "{said}");
    assert_eq!(said["changes"].as_array().unwrap().len(), 1);
    let error = said["errors"][0].as_str().unwrap();
    assert!(error.starts_with("module vfio-pci failed"), "{said}");
    assert_eq!(ran.exit, Exit::Failed);

    // What is not made is noted all the same: a process that was killed could not tell.
    assert!(machine.read(JOURNAL).contains("\"kind\": \"module\""));
    let undone = machine.well("setup-host --undo");
    assert!(undone.ends_with("Changes taken back: 3.\n"), "{undone}");
    assert_eq!(machine.contents(), before);
}

#[test]
fn after_a_failure_the_same_words_go_on_from_there() {
    let machine = Machine::new();
    let before = machine.contents();
    fs::remove_dir(machine.at("sys/module")).unwrap();
    let words = "setup-host --bind eno3 --huge-pages 2M/16";
    assert_eq!(machine.run(words).exit, Exit::Failed);
    fs::create_dir(machine.at("sys/module")).unwrap();

    let made = machine.well(words);

    assert!(made.ends_with("Changes made: 4.\n"), "{made}");
    machine.well("setup-host --undo");
    assert_eq!(machine.contents(), before);
}

#[test]
fn a_kernel_that_gives_less_is_told_and_what_it_gave_is_taken_back() {
    let machine = Machine::new();
    let pages = "sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages";
    // Whatever is written there, nothing can be read.
    fs::remove_file(machine.at(pages)).unwrap();
    machine.link("/dev/null", pages);

    let ran = machine.run("setup-host --huge-pages 2M/16@0");

    assert_eq!(ran.exit, Exit::No, "{}", ran.err);
    let note = format!(
        "note: /{pages} is nothing and not 16: the memory is in pieces or in use; after a reboot there is \
         more\n"
    );
    assert!(ran.out.contains(&note), "{}", ran.out);
}

#[test]
fn what_cannot_be_taken_back_stays_in_the_journal_alone() {
    let machine = Machine::new();
    let before = machine.contents();
    machine.well("setup-host --bind eno3");
    // Somebody holds the module.
    machine.write("sys/module/vfio_pci/holder", "");

    let ran = machine.run("setup-host --undo");

    assert_eq!(ran.exit, Exit::Failed);
    assert_eq!(
        ran.err,
        "module vfio-pci could not be taken back: Directory not empty (os error 39). Mend that, \
         then `sluicectl setup-host --undo` takes back what is left\n"
    );
    assert!(!machine.at("etc/udev/rules.d/70-sluice-host.rules").exists());
    assert_eq!(machine.driver("0000:02:00.0").as_deref(), Some("ixgbe"));
    fs::remove_file(machine.at("sys/module/vfio_pci/holder")).unwrap();
    machine.well("setup-host --undo");
    assert_eq!(machine.contents(), before);
}

#[test]
fn a_module_that_others_use_by_now_is_left() {
    let machine = Machine::new();
    machine.well("setup-host --bind eno3");
    let other = "sys/devices/pci0000:00/0000:af:00.0";
    fs::remove_file(machine.at(&format!("{other}/driver"))).unwrap();
    machine.link(
        "../../../bus/pci/drivers/vfio-pci",
        &format!("{other}/driver"),
    );

    let ran = machine.run("setup-host --undo");

    let note = "note: module vfio-pci is left: other devices use it\n";
    assert!(ran.out.contains(note), "{}", ran.out);
    assert_eq!((ran.exit, &*ran.err), (Exit::No, ""));
    assert!(machine.at("sys/module/vfio_pci").exists());
    assert!(!machine.at(JOURNAL).exists());
}

#[test]
fn a_journal_that_cannot_be_used_changes_nothing() {
    let machine = Machine::new();
    let words = "setup-host --huge-pages 2M/16";
    machine.write(JOURNAL, "{");
    let ran = machine.run(words);
    assert_eq!(ran.exit, Exit::Failed);
    let begin = "/var/lib/sluice/setup-host.json does not say what was changed (EOF";
    assert!(ran.err.starts_with(begin), "{}", ran.err);
    let end = "): look at it, then move it away\n";
    assert!(ran.err.ends_with(end), "{}", ran.err);

    fs::remove_file(machine.at(JOURNAL)).unwrap();
    let directory = File::open(machine.at("var/lib/sluice")).unwrap();
    let held = Flock::lock(directory, FlockArg::LockExclusive).unwrap();
    let ran = machine.run(words);
    assert_eq!(
        ran.err,
        "another `sluicectl setup-host` is at work on /var/lib/sluice: wait for it\n"
    );
    drop(held);

    fs::remove_dir_all(machine.at("var")).unwrap();
    machine.write("var", "no directory");
    let before = machine.contents();
    let ran = machine.run(words);
    assert_eq!(ran.exit, Exit::Failed);
    assert!(ran.err.contains("Not a directory"), "{}", ran.err);
    assert!(ran.err.ends_with(": are you root?\n"), "{}", ran.err);
    assert_eq!(machine.contents(), before);
}
