//! What is not done, with the reason and what helps; nothing is changed then.

use std::fs;

use control::ctl::Exit;

use crate::tree::Machine;

/// Asks for something that is refused, and gives what is said.
fn refused(machine: &Machine, words: &str) -> Vec<String> {
    let before = machine.contents();
    let ran = machine.run(&format!("setup-host {words}"));
    assert_eq!((ran.exit, &*ran.out), (Exit::No, ""), "{}", ran.err);
    assert_eq!(machine.contents(), before, "{words}");
    ran.err.lines().map(ToOwned::to_owned).collect()
}

#[test]
fn nics_that_linux_uses_are_not_taken() {
    let machine = Machine::new();
    let end = ". Free it first, or insist with --force";
    for (nic, sentence) in [
        (
            "eno1",
            "0000:01:00.0 (eno1) is not taken: eno1 carries the default route, Linux has \
             addresses on eno1 (192.0.2.0/24)",
        ),
        (
            "0000:01:00.1",
            "0000:01:00.1 (eno2) is not taken: eno2 carries an ssh session (to 198.51.100.5), \
             Linux has addresses on eno2 (198.51.100.0/24)",
        ),
        (
            "enp5",
            "0000:00:05.0 (enp5) is not taken: Linux has addresses on enp5 (10.9.0.0/24)",
        ),
        (
            "ens5",
            "0000:d8:00.0 (ens5) is not taken: ens5 is a part of bond0, Linux has addresses on \
             bond0 (10.8.0.0/24)",
        ),
    ] {
        let said = refused(&machine, &format!("--bind {nic}"));
        assert_eq!(said, [format!("{sentence}{end}")]);
    }
}

#[test]
fn the_session_of_whoever_asks_counts_on_any_port_and_over_other_interfaces() {
    let machine = Machine::new();
    // A VLAN on eno3 has the address that sshd answers at, on a port of its own.
    machine.write("sys/devices/virtual/net/eno3.7/mtu", "1500\n");
    machine.link("../../devices/virtual/net/eno3.7", "sys/class/net/eno3.7");
    machine.link("../eno3.7", "sys/class/net/eno3/upper_eno3.7");
    let mut routes = machine.read("proc/net/route");
    routes += "eno3.7\t0007070A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
    machine.write("proc/net/route", &routes);
    let session = "HOME=/root\0SSH_CONNECTION=10.7.7.9 50000 10.7.7.1 2222\0";
    machine.write("proc/self/environ", session);

    let said = refused(&machine, "--bind eno3");
    assert!(
        said[0].contains("eno3.7 carries an ssh session (to 10.7.7.1)"),
        "{said:?}"
    );

    // sudo takes the variable away; the connection is among the kernel's.
    machine.write("proc/self/environ", "HOME=/root\0");
    machine.write("etc/ssh/sshd_config", "# Port 22\nPort 2222\n");
    let connection = "   3: 0107070A:08AE 0907070A:C350 01 00000000:00000000 02:0 0 0\n";
    machine.write("proc/net/tcp", connection);
    let said = refused(&machine, "--bind eno3");
    assert!(
        said[0].contains("eno3.7 carries an ssh session (to 10.7.7.1)"),
        "{said:?}"
    );
}

#[test]
fn addresses_and_routes_of_ipv6_count_too() {
    let machine = Machine::new();
    let zeros = "0".repeat(32);
    let route = format!("{zeros} 00 {zeros} 00 {zeros} 00000400 0 0 00000003 eno3\n");
    machine.write("proc/net/ipv6_route", &route);
    let link_local = "fe80000000000000000000000000000a 04 40 20 80  ens1f0\n";
    let global = "20010db8000000000000000000000009 05 40 00 80  ens1f1\n";
    machine.write("proc/net/if_inet6", &format!("{link_local}{global}"));

    let said = refused(&machine, "--bind eno3,ens1f0,ens1f1");

    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("eno3 carries the default route"));
    assert!(said[1].contains("Linux has addresses on ens1f1 (2001:db8::9/128)"));
}

#[test]
fn what_is_no_nic_of_dpdks_is_named_with_what_it_is() {
    let machine = Machine::new();
    assert_eq!(
        refused(
            &machine,
            "--bind bond0,nope,00:1f.2,0000:99:00.0,enp95s0,ens4"
        ),
        [
            "bond0 is not a NIC on the PCI bus (a bridge, bond, VLAN, or virtual): name the NIC \
             below it, or leave it to Linux and give the port `device = \
             \"net_af_packet0,iface=bond0\"`",
            "there is no NIC \"nope\": see `ip -br link` and `sluicectl doctor`",
            "0000:00:1f.2 is not a network device: its class is 010601",
            "there is no NIC \"0000:99:00.0\": see `ip -br link` and `sluicectl doctor`",
            "0000:5f:00.0 (enp95s0) cannot be opened by this gateway: DPDK's mlx4 gives its ports \
             names that `device` cannot say. Leave it to Linux and give the port `device = \
             \"net_af_packet0,iface=…\"`",
            "DPDK has no driver for 0000:af:00.0 (ens4), which Linux drives with tg3: leave it to \
             Linux and use net_af_packet, or insist with --force",
        ]
    );
}

#[test]
fn no_force_opens_what_the_gateway_cannot_open() {
    let machine = Machine::new();

    let said = refused(&machine, "--force --bind enp95s0,bond0,0000:00:1f.2");

    assert_eq!(said.len(), 3, "{said:?}");
}

#[test]
fn an_iommu_group_goes_as_a_whole() {
    let machine = Machine::new();
    assert_eq!(
        refused(&machine, "--bind ens1f0"),
        [
            "0000:3b:00.0 (ens1f0) shares IOMMU group 30 with 0000:3b:00.1 (ens1f1), which i40e \
             has, and a group goes as a whole: add `--bind ens1f1`, or use a slot of another group"
        ]
    );
    // A disk is not to be bound.
    let disk = "sys/devices/pci0000:00/0000:00:1f.2";
    machine.link("../../../bus/pci/drivers/ahci", &format!("{disk}/driver"));
    let group = "sys/kernel/iommu_groups/12/devices/0000:00:1f.2";
    machine.link("../../../../devices/pci0000:00/0000:00:1f.2", group);
    assert_eq!(
        refused(&machine, "--bind eno3"),
        [
            "0000:02:00.0 (eno3) shares IOMMU group 12 with 0000:00:1f.2, which ahci has, and a \
             group goes as a whole: use a slot of another group"
        ]
    );
}

#[test]
fn without_an_iommu_nics_are_taken_only_at_the_operators_word() {
    let machine = Machine::new();
    fs::remove_dir_all(machine.at("sys/kernel/iommu_groups")).unwrap();
    assert_eq!(
        refused(&machine, "--bind eno3"),
        [
            "there is no IOMMU, and vfio-pci wants one: switch it on in the firmware and with \
             `intel_iommu=on iommu=pt` on the kernel's command line, or, in a virtual machine \
             that has none, say --no-iommu: the NIC may then write to all of the memory"
        ]
    );
    let before = machine.contents();

    machine.well("setup-host --bind eno3 --no-iommu");

    let options = machine.read("etc/modprobe.d/sluice-host.conf");
    let wanted = "\noptions vfio enable_unsafe_noiommu_mode=1\n";
    assert!(options.ends_with(wanted), "{options}");
    machine.well("setup-host --undo");
    assert_eq!(machine.contents(), before);

    // Where vfio is loaded already, the option comes too late and the value is set.
    let value = "sys/module/vfio/parameters/enable_unsafe_noiommu_mode";
    machine.write(value, "N\n");
    machine.well("setup-host --bind eno3 --no-iommu");
    assert_eq!(machine.read(value), "Y\n");
    // Set by hand it would be gone after a reboot, and the NIC with it: the word is needed still.
    let said = refused(&machine, "--bind ens1f0,ens1f1");
    assert!(said[0].starts_with("there is no IOMMU"), "{said:?}");
    machine.well("setup-host --unbind eno3");
    assert!(!machine.at("etc/modprobe.d/sluice-host.conf").exists());
    machine.well("setup-host --bind eno3 --no-iommu");
    // The kernel makes a group of a NIC that vfio has, and it is still no IOMMU.
    machine.write("sys/kernel/iommu_groups/0/name", "vfio-noiommu\n");
    let said = machine.run("doctor").out;
    let begin = "ok       iommu: There is no IOMMU, and vfio may do without";
    assert!(said.starts_with(begin), "{said}");
}

#[test]
fn memory_and_clocks_that_are_not_there_cannot_be_set() {
    let machine = Machine::new();
    let node = machine.at("sys/devices/system/node/node1/hugepages");
    fs::remove_dir_all(node.join("hugepages-1048576kB")).unwrap();
    assert_eq!(
        refused(&machine, "--huge-pages 2M/16@7,1G/1 --governor fast"),
        [
            "there is no NUMA node 7: see `lscpu`",
            "this kernel has no pages of 1 GiB on node 1: the processor or the kernel lacks them",
            "there is no governor \"fast\" here, but performance powersave",
        ]
    );
    for cpu in 0..8 {
        let clock = format!("sys/devices/system/cpu/cpu{cpu}/cpufreq");
        fs::remove_dir_all(machine.at(&clock)).unwrap();
    }
    assert_eq!(
        refused(&machine, "--governor performance"),
        ["Linux does not set the clock of this machine's processors: look in the firmware"]
    );
}

#[test]
fn whoever_asks_for_nothing_is_told_what_there_is() {
    let machine = Machine::new();
    for words in ["", "--dry-run", "--force"] {
        assert_eq!(
            refused(&machine, words),
            [
                "nothing was asked for: say --huge-pages, --bind, --unbind, --sysctls, --governor \
                 or --undo; `sluicectl doctor` says what this machine lacks"
            ]
        );
    }
    for (words, wanted) in [
        ("--huge-pages 4M/1", "write 2M/1024 or 1G/4 for each node"),
        ("--huge-pages 2M", "2M/1024@0 for node 0 alone"),
        ("--undo --bind eno3", "cannot be used with"),
        ("--no-iommu", "--bind"),
    ] {
        let ran = machine.run(&format!("setup-host {words}"));
        assert_eq!(ran.exit, Exit::Failed, "{words}");
        assert!(ran.err.contains(wanted), "{}", ran.err);
    }
}
