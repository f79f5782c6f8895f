//! What `doctor` finds where others have made or used something: units, pages, cores, drivers.

use std::fs;

use crate::doctor::{configured, finding};
use crate::tree::Machine;

#[test]
fn what_was_added_to_the_unit_counts_and_the_last_of_it_most() {
    let machine = Machine::new();
    let memlock = || finding(&machine, "", "memlock");
    let add = |path: &str, value: &str| {
        machine.write(path, &format!("[Service]\nLimitMEMLOCK={value}\n"));
    };
    add("usr/lib/systemd/system/sluice.service", "8M");
    assert_eq!(memlock().0, "problem");

    // What `systemctl edit` writes.
    add(
        "etc/systemd/system/sluice.service.d/override.conf",
        "infinity",
    );
    let why = "/etc/systemd/system/sluice.service.d/override.conf lets the gateway lock all of its \
               memory";
    assert_eq!(memlock().1, why);
    add("run/systemd/system/sluice.service.d/zz.conf", "8M");
    assert_eq!(memlock().0, "problem");
    add("etc/systemd/system/sluice.service.d/zz.conf", "infinity");
    assert_eq!(memlock().0, "ok");
}

#[test]
fn pages_that_others_have_are_not_the_gateways() {
    let machine = Machine::new();
    let pages = |node: u8, total: u32, free: u32| {
        let place = format!("sys/devices/system/node/node{node}/hugepages/hugepages-2048kB");
        machine.write(&format!("{place}/nr_hugepages"), &format!("{total}\n"));
        machine.write(&format!("{place}/free_hugepages"), &format!("{free}\n"));
    };
    let words = configured(
        &machine,
        "workers = [2, 4]\nhuge_pages = true",
        &["net_null0"],
    );
    // Another program has all of node 0, and node 1 has more than is needed there.
    pages(0, 600, 0);
    pages(1, 900, 900);

    let (state, why, command) = finding(&machine, &words, "huge-pages");
    assert_eq!(state, "problem");
    let begin = "Of pages of 2 MiB there are 0 on node 0 and 900 on node 1 free, and the";
    assert!(why.starts_with(begin), "{why}");
    let needed = why.split_once("takes about ").unwrap().1;
    let needed: u32 = needed.split_once(' ').unwrap().0.parse().unwrap();
    let count = 600 + needed.div_ceil(2);
    assert_eq!(
        command,
        format!("sluicectl setup-host --huge-pages 2M/{count}@0")
    );

    // What a gateway that runs has is what it needs.
    machine.write("proc/77/comm", "sluice\n");
    assert_eq!(finding(&machine, &words, "huge-pages").0, "ok");
}

#[test]
fn linux_keeps_the_first_core() {
    let machine = Machine::new();
    let words = configured(
        &machine,
        "workers = [0, 1, 2, 3, 4, 5, 6, 7]",
        &["net_null0"],
    );

    let command = finding(&machine, &words, "isolated-cores").2;

    let begin =
        "on the kernel's command line: isolcpus=1-7 nohz_full=1-7 rcu_nocbs=1-7 irqaffinity=0 (";
    assert!(command.starts_with(begin), "{command}");
}

#[test]
fn a_container_that_was_not_given_the_tun_device_is_told() {
    let machine = Machine::new();
    fs::remove_file(machine.at("dev/net/tun")).unwrap();
    fs::create_dir(machine.at("sys/module/tun")).unwrap();

    let (state, _, command) = finding(&machine, "", "tun");

    assert_eq!(
        (&*state, &*command),
        ("problem", "docker run --device /dev/net/tun ...")
    );
}

#[test]
fn drivers_for_programs_are_called_by_their_names() {
    let machine = Machine::new();
    let place = "sys/devices/pci0000:00/0000:02:00.0";
    fs::remove_file(machine.at(&format!("{place}/driver"))).unwrap();
    fs::rename(
        machine.at(&format!("{place}/net")),
        machine.at(&format!("{place}/.net")),
    )
    .unwrap();
    machine.link(
        "../../../bus/pci/drivers/igb_uio",
        &format!("{place}/driver"),
    );
    let said = machine.run("doctor").out;
    assert!(
        said.contains("nic: 0000:02:00.0 is with igb_uio, ready for a port\n"),
        "{said}"
    );

    let words = configured(&machine, "workers = [1]", &["0000:02:00.0"]);
    let why = finding(&machine, &words, "port").1;
    assert_eq!(
        why,
        "Port p0 is 0000:02:00.0 and is with igb_uio, which leaves it all of the memory"
    );
    // It may be moved to vfio-pci.
    machine.well("setup-host --bind 0000:02:00.0");
    assert_eq!(finding(&machine, &words, "vfio").0, "ok");
}

#[test]
fn what_loads_vfio_does_so_at_each_boot() {
    let machine = Machine::new();
    let words = configured(&machine, "workers = [1]", &["0000:3b:00.0"]);
    let command = "sluicectl setup-host --bind ens1f0,ens1f1";
    assert_eq!(finding(&machine, &words, "vfio").2, command);
    fs::create_dir(machine.at("sys/module/vfio_pci")).unwrap();
    fs::create_dir(machine.at("sys/bus/pci/drivers/vfio-pci")).unwrap();
    assert_eq!(finding(&machine, &words, "vfio").2, command);

    machine.well(command.trim_start_matches("sluicectl "));

    assert_eq!(finding(&machine, &words, "vfio").0, "ok");
}
