//! This machine itself: its own /sys and /proc, beside an /etc and /var of the test's.
//!
//! Huge pages are set to a few more than there are, and set back; kernel parameters are those of a
//! network namespace of the test's own.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use control::ctl::Exit;
use nix::sched::{CloneFlags, unshare};

use crate::tree::Machine;

/// How many pages of 2 MiB the first node has.
const PAGES: &str = "sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages";

/// This machine as root, if that can be had.
fn this_machine() -> Option<Machine> {
    let why = if !nix::unistd::geteuid().is_root() {
        "needs root"
    } else if !Path::new("/").join(PAGES).exists() {
        "needs huge pages"
    } else {
        let machine = Machine::empty();
        machine.link("/sys", "sys");
        machine.link("/proc", "proc");
        return Some(machine);
    };
    // Past the capture of the test harness, which swallows what passing tests print.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
    assert!(
        std::env::var_os("CI_NO_SKIP").is_none_or(|value| value != "1"),
        "this test {why}, and CI_NO_SKIP=1 forbids to skip it"
    );
    None
}

/// Sets the pages back, whatever becomes of the test.
struct Restored<'a>(&'a Machine, String);

impl Drop for Restored<'_> {
    fn drop(&mut self) {
        let _ = fs::write(self.0.at(PAGES), &self.1);
    }
}

#[test]
fn huge_pages_of_this_machine_are_set_and_set_back() {
    let Some(machine) = this_machine() else {
        return;
    };
    let restored = Restored(&machine, machine.read(PAGES));
    let earlier: u64 = restored.1.trim().parse().unwrap();
    let wanted = earlier + 16;
    let words = format!("setup-host --huge-pages 2M/{wanted}@0");

    let made = machine.well(&words);
    assert_eq!(machine.read(PAGES), format!("{wanted}\n"));
    let line = format!("/{PAGES}: {earlier} -> {wanted}\n");
    assert!(made.contains(&line), "{made}");
    assert_eq!(machine.well(&words), "Nothing to change.\n");

    machine.well("setup-host --undo");
    assert_eq!(machine.read(PAGES), restored.1);
    assert!(!machine.at("etc").exists() && !machine.at("var").exists());

    // Already so: only the file for the next boot is new.
    let words = format!("setup-host --huge-pages 2M/{earlier}@0");
    let made = machine.well(&words);
    assert!(made.ends_with("Changes made: 1.\n"), "{made}");
    machine.well("setup-host --undo");
    assert_eq!(machine.read(PAGES), restored.1);
}

/// With an interface that is unlike the others.
fn parameters_there_and_back(machine: &Machine, redirects: &str) {
    let path = |name| format!("proc/sys/net/ipv4/{name}");
    for (name, value) in [
        ("ip_forward", "0"),
        ("conf/all/send_redirects", "1"),
        ("conf/default/send_redirects", "1"),
        ("conf/all/accept_redirects", redirects),
        ("conf/one/forwarding", "1"),
        ("conf/two/accept_redirects", redirects),
    ] {
        fs::write(machine.at(&path(name)), value).unwrap();
    }
    let before = ipv4_parameters(machine);

    machine.well("setup-host --sysctls");
    for (name, value) in [
        ("ip_forward", "1\n"),
        ("conf/all/send_redirects", "0\n"),
        ("conf/default/send_redirects", "0\n"),
        ("conf/all/accept_redirects", "0\n"),
        ("conf/two/forwarding", "1\n"),
    ] {
        assert_eq!(machine.read(&path(name)), value, "{name}");
    }
    let again = machine.well("setup-host --sysctls");
    assert_eq!(again, "Nothing to change.\n");
    machine.well("setup-host --undo");

    assert_eq!(ipv4_parameters(machine), before);
}

/// `ip_forward`, and all of every interface's.
fn ipv4_parameters(machine: &Machine) -> BTreeMap<String, String> {
    const PLACE: &str = "proc/sys/net/ipv4";
    let names = |directory: &str| -> Vec<String> {
        let entries = fs::read_dir(machine.at(directory)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name());
        let paths = names.map(|name| format!("{directory}/{}", name.to_str().unwrap()));
        paths.collect()
    };
    let interfaces = names(&format!("{PLACE}/conf"));
    let paths = interfaces.iter().flat_map(|interface| names(interface));
    let paths = paths.chain([format!("{PLACE}/ip_forward")]);
    let found: BTreeMap<_, _> = paths
        .map(|path| (path.clone(), machine.read(&path)))
        .collect();
    let of_one = format!("{PLACE}/conf/two/forwarding");
    assert!(found.contains_key(&of_one), "{found:?}");
    found
}

#[test]
fn kernel_parameters_of_a_namespace_are_set_and_set_back() {
    let Some(machine) = this_machine() else {
        return;
    };
    let test = move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let words = ["link", "add", "one", "type", "veth", "peer", "name", "two"];
        assert!(Command::new("ip").args(words).status().unwrap().success());
        for redirects in ["0", "1"] {
            parameters_there_and_back(&machine, redirects);
        }
    };
    // The namespace is that of one thread.
    if let Err(panic) = std::thread::spawn(test).join() {
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn this_machine_can_be_looked_at() {
    let machine = Machine::empty();
    machine.link("/sys", "sys");
    machine.link("/proc", "proc");

    let ran = machine.run("doctor --json");

    assert_ne!(ran.exit, Exit::Failed, "{}", ran.err);
    let said: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let findings = said["findings"].as_array().unwrap();
    assert!(!findings.is_empty());
    for finding in findings {
        let is_said = |key: &str| !finding[key].as_str().unwrap_or_default().is_empty();
        assert!(is_said("name") && is_said("why"), "{finding}");
        assert!(finding["state"] == "ok" || is_said("command"), "{finding}");
    }
}
