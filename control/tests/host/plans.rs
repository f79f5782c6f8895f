//! What `--dry-run` says, word by word, and that it changes nothing.

use crate::tree::Machine;

/// What a plan says; made of a machine that it leaves as it was.
fn planned(words: &str) -> String {
    let machine = Machine::new();
    let before = machine.contents();
    let said = machine.well(&format!("setup-host --dry-run {words}"));
    assert_eq!(machine.contents(), before, "{words}");
    said
}

#[test]
fn huge_pages_are_set_on_each_node_now_and_at_each_boot() {
    assert_eq!(
        planned("--huge-pages 2M/512,1G/2@1"),
        "\
note: pages of 1 GiB are surest to be had at boot: put `hugepagesz=1G hugepages=1:2` on the kernel's \
command line (GRUB_CMDLINE_LINUX in /etc/default/grub, then `update-grub`)
/etc/tmpfiles.d/sluice-host.conf: new file
    + w! /sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages - - - - 512
    + w! /sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages - - - - 512
    + w! /sys/devices/system/node/node1/hugepages/hugepages-1048576kB/nr_hugepages - - - - 2
/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages: 0 -> 512
/sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages: 0 -> 512
/sys/devices/system/node/node1/hugepages/hugepages-1048576kB/nr_hugepages: 0 -> 2
Changes that would be made: 4.
"
    );
}

#[test]
fn of_two_wishes_about_the_same_pages_the_last_one_counts() {
    let machine = Machine::new();
    let words = "setup-host --huge-pages 2M/512,2M/1024@0";

    machine.well(words);

    let pages = |node| {
        format!("sys/devices/system/node/node{node}/hugepages/hugepages-2048kB/nr_hugepages")
    };
    assert_eq!(
        [0, 1].map(|node| machine.read(&pages(node))),
        ["1024\n", "512\n"]
    );
    assert_eq!(machine.well(words), "Nothing to change.\n");
}

/// The rule of udev's for a NIC.
fn rule(device: &str) -> String {
    format!(
        "    + ACTION==\"add\", SUBSYSTEM==\"pci\", KERNEL==\"{device}\", \
         ATTR{{class}}==\"0x02*\", ATTR{{vendor}}==\"0x8086\", ATTR{{device}}==\"0x10fb\", \
         ATTR{{subsystem_vendor}}==\"0x8086\", ATTR{{subsystem_device}}==\"0x000c\", DRIVER!=\"vfio-pci\", \
         ATTR{{driver_override}}=\"vfio-pci\", RUN{{builtin}}+=\"kmod load vfio-pci\", \
         RUN+=\"/bin/sh -c 'echo %k >/sys/bus/pci/devices/%k/driver/unbind; \
         echo %k >/sys/bus/pci/drivers_probe'\""
    )
}

#[test]
fn nics_are_bound_by_interface_or_address_and_bifurcated_ones_stay() {
    let rules: Vec<String> = ["0000:02:00.0", "0000:3b:00.0", "0000:3b:00.1"]
        .map(rule)
        .into();
    assert_eq!(
        planned("--bind eno3 --bind 3b:00.0,ens1f1,enp94s0"),
        format!(
            "\
note: 0000:5e:00.0 (enp94s0) stays with mlx5_core: DPDK's mlx5 works beside it, and the interface stays
/etc/modules-load.d/sluice-host.conf: new file
    + vfio-pci
/etc/udev/rules.d/70-sluice-host.rules: new file
{}
module vfio-pci: none -> loaded
0000:02:00.0 (eno3): ixgbe -> vfio-pci, reserved for vfio-pci
0000:3b:00.0 (ens1f0): i40e -> vfio-pci, reserved for vfio-pci
0000:3b:00.1 (ens1f1): i40e -> vfio-pci, reserved for vfio-pci
Changes that would be made: 6.
",
            rules.join("\n")
        )
    );
}

#[test]
fn kernel_parameters_and_governor_are_set_and_kept() {
    let clocks: String = (0..8)
        .map(|cpu| {
            format!(
                "/sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor: powersave -> performance\n"
            )
        })
        .collect();
    assert_eq!(
        planned("--sysctls --governor performance"),
        format!(
            "\
note: with ip_forward Linux sets `forwarding` of every interface to 1 and `accept_redirects` of all to \
0; --undo sets them back
/etc/sysctl.d/90-sluice-host.conf: new file
    + net.ipv4.ip_forward = 1
    + net.ipv4.conf.all.send_redirects = 0
    + net.ipv4.conf.default.send_redirects = 0
/etc/tmpfiles.d/sluice-host.conf: new file
    + w! /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor - - - - performance
/proc/sys/net/ipv4/ip_forward: 0 -> 1
/proc/sys/net/ipv4/conf/all/send_redirects: 1 -> 0
/proc/sys/net/ipv4/conf/default/send_redirects: 1 -> 0
{clocks}Changes that would be made: 13.
"
        )
    );
}

#[test]
fn a_strict_filter_is_loosened_for_twins_to_come() {
    let machine = Machine::new();
    machine.write("proc/sys/net/ipv4/conf/all/rp_filter", "1\n");

    let said = machine.well("setup-host --dry-run --sysctls");

    let wanted = "/proc/sys/net/ipv4/conf/default/rp_filter: 0 -> 2\n";
    assert!(said.contains(wanted), "{said}");
}

#[test]
fn json_has_every_change_with_both_values() {
    let machine = Machine::new();

    let said = machine.well("setup-host --dry-run --json --huge-pages 2M/16@0");

    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    let path = "/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages";
    assert_eq!(
        said["changes"][1],
        serde_json::json!({"kind": "value", "subject": path, "before": "0", "after": "16"})
    );
    assert_eq!(said["made"], false);
    assert_eq!(said["notes"], serde_json::json!([]));
}

#[test]
fn what_takes_force_says_what_is_lost() {
    let said = planned("--force --bind eno1,eno2,ens4");

    for wanted in [
        "0000:01:00.0 (eno1): ixgbe -> vfio-pci, reserved for vfio-pci\n",
        "0000:af:00.0 (ens4): tg3 -> vfio-pci, reserved for vfio-pci\n",
        "note: taken by force: eno1 carries the default route\n",
        "note: taken by force: eno2 carries an ssh session (to 198.51.100.5)\n",
    ] {
        assert!(said.contains(wanted), "{said}");
    }
}
