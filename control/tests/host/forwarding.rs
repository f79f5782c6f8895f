//! What Linux changes along with `ip_forward`: it comes back, too, and what is somebody else's stays.

use std::fs;

use control::ctl::Exit;

use crate::tree::Machine;

const PLACE: &str = "proc/sys/net/ipv4";
const REDIRECTS: &str = "conf/all/accept_redirects";

fn set(machine: &Machine, name: &str, value: &str) {
    machine.write(&format!("{PLACE}/{name}"), &format!("{value}\n"));
}

fn get(machine: &Machine, name: &str) -> String {
    let text = machine.read(&format!("{PLACE}/{name}"));
    text.trim_end().to_owned()
}

/// A machine that takes no redirects, and forwards what comes in by eno1.
fn hardened() -> Machine {
    let machine = Machine::new();
    set(&machine, REDIRECTS, "0");
    set(&machine, "conf/eno1/forwarding", "1");
    machine
}

/// What Linux does when it is told to forward no more.
fn ends_to_forward(machine: &Machine) {
    for name in ["all", "default", "eno1", "lo"] {
        set(machine, &format!("conf/{name}/forwarding"), "0");
    }
    set(machine, "ip_forward", "0");
    set(machine, REDIRECTS, "1");
}

#[test]
fn what_changes_along_is_said_and_comes_back() {
    let machine = hardened();
    let before = machine.contents();

    let made = machine.well("setup-host --sysctls");

    let state = "0 (conf/all/accept_redirects 0, conf/eno1/forwarding 1)";
    for line in [
        "note: with ip_forward Linux sets `forwarding` of every interface to 1 and \
         `accept_redirects` of all to 0; --undo sets them back\n",
        &format!("/{PLACE}/ip_forward: {state} -> 1\n"),
    ] {
        assert!(made.contains(line), "{made}");
    }
    assert_eq!(get(&machine, "conf/lo/forwarding"), "1");
    let after = machine.contents();
    let again = machine.well("setup-host --sysctls");
    assert_eq!(again, "Nothing to change.\n");

    let planned = machine.well("setup-host --undo --dry-run");
    assert_eq!(machine.contents(), after);
    let undone = machine.well("setup-host --undo");
    let line = format!("/{PLACE}/ip_forward: 1 -> {state}\n");
    assert!(undone.contains(&line), "{undone}");
    let said = planned.replace("that would be taken back", "taken back");
    assert_eq!(undone, said);
    assert_eq!(machine.contents(), before);
}

#[test]
fn an_undo_that_was_killed_goes_on_from_there() {
    for killed_before_it_was_made in [false, true] {
        let machine = hardened();
        let before = machine.contents();
        machine.well("setup-host --sysctls");
        ends_to_forward(&machine);
        if killed_before_it_was_made {
            set(&machine, REDIRECTS, "0");
            set(&machine, "conf/eno1/forwarding", "1");
        }

        let undone = machine.well("setup-host --undo");

        let is_told = undone.contains("ip_forward: 0 -> 0 (conf/all/accept_redirects 0, ");
        assert_eq!(is_told, !killed_before_it_was_made, "{undone}");
        assert_eq!(machine.contents(), before);
    }
}

#[test]
fn what_somebody_else_changed_of_it_stays_his() {
    let machine = hardened();
    machine.well("setup-host --sysctls");
    set(&machine, REDIRECTS, "1");
    set(&machine, "conf/lo/forwarding", "0");

    let ran = machine.run("setup-host --undo");

    assert_eq!((ran.exit, &*ran.err), (Exit::No, ""), "{}", ran.out);
    let note = format!("note: /{PLACE}/{REDIRECTS} is left at 1: it was changed since\n");
    assert!(ran.out.contains(&note), "{}", ran.out);
    // As it was before, whoever did it.
    assert_eq!(ran.out.matches("note: ").count(), 1, "{}", ran.out);
    let names = ["ip_forward", "conf/lo/forwarding", "conf/eno1/forwarding"];
    assert_eq!(names.map(|name| get(&machine, name)), ["0", "0", "1"]);
    assert_eq!(get(&machine, REDIRECTS), "1");
}

#[test]
fn forwarding_that_somebody_ended_between_two_runs_is_as_he_left_it_but_for_the_rest() {
    let machine = hardened();
    machine.well("setup-host --sysctls");
    ends_to_forward(&machine);
    set(&machine, "conf/lo/forwarding", "1");
    machine.well("setup-host --sysctls");
    assert_eq!(get(&machine, "ip_forward"), "1");

    let ran = machine.run("setup-host --undo");

    let note = format!("note: /{PLACE}/conf/lo/forwarding is left at 1: it was changed since\n");
    assert!(ran.out.contains(&note), "{}", ran.out);
    let names = ["ip_forward", REDIRECTS, "conf/eno1/forwarding"];
    assert_eq!(names.map(|name| get(&machine, name)), ["0", "0", "1"]);
}

#[test]
fn an_interface_that_has_gone_is_left_out() {
    let machine = hardened();
    machine.well("setup-host --sysctls");
    fs::remove_dir_all(machine.at(&format!("{PLACE}/conf/eno1"))).unwrap();

    machine.well("setup-host --undo");

    assert!(!machine.at(&format!("{PLACE}/conf/eno1")).exists());
    assert_eq!(get(&machine, REDIRECTS), "0");
}
