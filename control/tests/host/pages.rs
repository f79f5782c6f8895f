//! Huge pages that others have: they are not taken unless by force, and `doctor` counts beside them.

use control::ctl::Exit;

use crate::doctor::{configured, findings};
use crate::tree::Machine;

fn place(node: u8) -> String {
    format!("sys/devices/system/node/node{node}/hugepages/hugepages-2048kB")
}

/// A machine whose databases have most of the pages of the first node.
fn with_databases() -> Machine {
    let machine = Machine::new();
    machine.write(&format!("{}/nr_hugepages", place(0)), "4096\n");
    machine.write(&format!("{}/free_hugepages", place(0)), "1096\n");
    machine
}

fn count(machine: &Machine, node: u8) -> String {
    let text = machine.read(&format!("{}/nr_hugepages", place(node)));
    text.trim_end().to_owned()
}

#[test]
fn fewer_pages_than_there_are_are_refused() {
    let machine = with_databases();
    let before = machine.contents();

    for (wish, wanted, more) in [
        ("2M/350", 350, " (4446 to have 350 more)"),
        ("2M/4095@0", 4095, " (8191 to have 4095 more)"),
        ("2M/0@0", 0, ""),
    ] {
        let ran = machine.run(&format!("setup-host --sysctls --huge-pages {wish}"));

        assert_eq!((ran.exit, &*ran.out), (Exit::No, ""));
        assert_eq!(
            ran.err,
            format!(
                "node 0 has 4096 pages of 2 MiB, 3000 of them in use, and {wanted} would take some \
                 from whoever reserved them: name at least 4096{more}, or insist with --force\n"
            )
        );
        assert_eq!(machine.contents(), before);
    }
    machine.well("setup-host --huge-pages 2M/4096@0,2M/350@1");
    assert_eq!([0, 1].map(|node| count(&machine, node)), ["4096", "350"]);
}

#[test]
fn force_leaves_fewer_pages_and_undo_brings_them_back() {
    let machine = with_databases();
    let before = machine.contents();

    let made = machine.well("setup-host --huge-pages 2M/350@0 --force");

    assert!(made.contains("nr_hugepages: 4096 -> 350\n"), "{made}");
    assert_eq!(count(&machine, 0), "350");
    machine.well("setup-host --undo");
    assert_eq!(machine.contents(), before);
}

#[test]
fn pages_that_were_added_here_may_go_again_but_no_others() {
    let machine = with_databases();
    let before = machine.contents();
    for wanted in ["4608", "4446", "4500"] {
        machine.well(&format!("setup-host --huge-pages 2M/{wanted}@0"));
        assert_eq!(count(&machine, 0), wanted);
    }

    let ran = machine.run("setup-host --huge-pages 2M/350@0");
    let begin = "node 0 has 4500 pages of 2 MiB, ";
    assert!(ran.err.starts_with(begin), "{}", ran.err);
    let least = "name at least 4096 (4446 to have 350 more), or insist with --force\n";
    assert!(ran.err.ends_with(least), "{}", ran.err);

    // Somebody has added some since, and nobody knows which are whose.
    machine.write(&format!("{}/nr_hugepages", place(0)), "5000\n");
    let ran = machine.run("setup-host --huge-pages 2M/4446@0");
    assert!(ran.err.contains("name at least 5000 ("), "{}", ran.err);

    machine.write(&format!("{}/nr_hugepages", place(0)), "4500\n");
    machine.well("setup-host --undo");
    assert_eq!(machine.contents(), before);
}

#[test]
fn doctor_names_no_fewer_pages_than_there_are() {
    let machine = with_databases();
    let gateway = "workers = [2]\nmemory_mb = 4096\nhuge_pages = true";
    let words = configured(&machine, gateway, &["0000:02:00.0"]);

    for (total, free) in [(4096, 1096), (4096, 0), (16, 16), (0, 0)] {
        for (name, value) in [("nr_hugepages", total), ("free_hugepages", free)] {
            machine.write(&format!("{}/{name}", place(0)), &format!("{value}\n"));
        }
        let found = findings(&machine, &words, "huge-pages");
        let command = found[0].2.strip_prefix("sluicectl ").unwrap();

        // It is not refused.
        machine.well(command);
        let wanted = count(&machine, 0).parse::<u32>().unwrap();
        assert!(wanted > total, "{command}");
        machine.well("setup-host --undo");
    }
}
