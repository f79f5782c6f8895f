//! What `doctor` finds, with and without a configuration.

use std::fs;

use control::ctl::Exit;

use crate::tree::Machine;

/// What is said of a thing: its state, the sentence, the command.
pub(crate) fn findings(
    machine: &Machine,
    words: &str,
    name: &str,
) -> Vec<(String, String, String)> {
    let ran = machine.run(&format!("doctor --json {words}"));
    let said: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let found = said["findings"].as_array().unwrap().iter();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    found
        .filter(|finding| finding["name"] == name)
        .map(|one| {
            (
                text(&one["state"]),
                text(&one["why"]),
                text(&one["command"]),
            )
        })
        .collect()
}

/// The only thing that is said of it.
pub(crate) fn finding(machine: &Machine, words: &str, name: &str) -> (String, String, String) {
    let mut found = findings(machine, words, name);
    assert_eq!(found.len(), 1, "{name}: {found:?}");
    found.remove(0)
}

/// A configuration with these ports, in a file of the machine's.
pub(crate) fn configured(machine: &Machine, gateway: &str, devices: &[&str]) -> String {
    let ports = devices
        .iter()
        .enumerate()
        .map(|(number, device)| format!("[[port]]\nname = \"p{number}\"\ndevice = \"{device}\"\n"));
    let ports: String = ports.collect();
    machine.write(
        "etc/sluice/sluice.toml",
        &format!("[gateway]\n{gateway}\n{ports}"),
    );
    format!(
        "--config {}",
        machine.at("etc/sluice/sluice.toml").display()
    )
}

#[test]
fn every_nic_is_told_with_what_could_be_done_with_it() {
    let machine = Machine::new();

    let nics = findings(&machine, "", "nic");

    let said: Vec<_> = nics
        .iter()
        .map(|(_, why, command)| (&**why, &**command))
        .collect();
    assert_eq!(
        said,
        [
            (
                "0000:00:05.0 (enp5) stays Linux's: Linux has addresses on enp5 (10.9.0.0/24)",
                ""
            ),
            (
                "0000:01:00.0 (eno1) stays Linux's: eno1 carries the default route, Linux has \
                 addresses on eno1 (192.0.2.0/24)",
                ""
            ),
            (
                "0000:01:00.1 (eno2) stays Linux's: eno2 carries an ssh session (to \
                 198.51.100.5), Linux has addresses on eno2 (198.51.100.0/24)",
                ""
            ),
            (
                "0000:02:00.0 (eno3) is with ixgbe and free: DPDK's ixgbe may take it",
                "sluicectl setup-host --bind eno3"
            ),
            (
                "0000:3b:00.0 (ens1f0) is with i40e and free: DPDK's i40e may take it",
                "sluicectl setup-host --bind ens1f0,ens1f1"
            ),
            (
                "0000:3b:00.1 (ens1f1) is with i40e and free: DPDK's i40e may take it",
                "sluicectl setup-host --bind ens1f1,ens1f0"
            ),
            (
                "0000:5e:00.0 (enp94s0) stays with mlx5_core: DPDK's mlx5 works beside it, ready \
                 for a port",
                ""
            ),
            (
                "0000:5f:00.0 (enp95s0) is with mlx4_core, whose ports the gateway cannot open \
                 but by AF_PACKET",
                ""
            ),
            (
                "0000:af:00.0 (ens4) is with tg3, which DPDK does not know: use it by AF_PACKET",
                ""
            ),
            (
                "0000:d8:00.0 (ens5) stays Linux's: ens5 is a part of bond0, Linux has addresses \
                 on bond0 (10.8.0.0/24)",
                ""
            ),
        ]
    );
}

#[test]
fn the_commands_that_it_names_mend_what_it_found() {
    let machine = Machine::new();
    let words = configured(
        &machine,
        "workers = [2, 3]\nhuge_pages = true",
        &["0000:02:00.0", "0000:3b:00.0"],
    );
    let ran = machine.run(&format!("doctor {words}"));
    assert_eq!(ran.exit, Exit::No, "{}", ran.out);

    // The second NIC's command is refused, and says what goes with it.
    let mut commands: Vec<String> = Vec::new();
    for name in ["port", "huge-pages", "kernel-parameters", "governor"] {
        let found = findings(&machine, &words, name).into_iter();
        commands.extend(found.map(|(_, _, command)| command));
    }
    assert_eq!(
        commands,
        [
            "sluicectl setup-host --bind eno3",
            "sluicectl setup-host --bind ens1f0,ens1f1",
            "sluicectl setup-host --huge-pages 2M/396@0",
            "sluicectl setup-host --sysctls",
            "sluicectl setup-host --sysctls",
            "sluicectl setup-host --governor performance",
        ]
    );
    for command in commands {
        machine.well(command.trim_start_matches("sluicectl "));
    }
    let free = "sys/devices/system/node/node0/hugepages/hugepages-2048kB/free_hugepages";
    machine.write(free, "396\n");

    let said = machine.well(&format!("doctor {words}"));
    assert!(said.contains("\nProblems: 0, advice: "), "{said}");
    let well = machine.well(&format!("doctor --json {words}"));
    assert!(well.contains("\"problems\":0"), "{well}");
}

#[test]
fn ports_are_looked_at_as_the_file_has_them() {
    let machine = Machine::new();
    machine.well("setup-host --bind eno3");
    let words = configured(
        &machine,
        "workers = [1]",
        &[
            "0000:02:00.0",
            "0000:5e:00.0",
            "0000:5f:00.0",
            "0000:99:00.0",
            "0000:01:00.0",
            "net_null0",
            "net_af_packet0,iface=ens4,framecnt=4096",
            "net_af_packet1,iface=eno1,framecnt=4096",
            "net_af_xdp2,iface=nope",
        ],
    );

    let ports = findings(&machine, &words, "port");

    let said: Vec<_> = ports
        .iter()
        .map(|(state, why, _)| (&**state, &**why))
        .collect();
    assert_eq!(
        said,
        [
            (
                "ok",
                "Port p0 is 0000:02:00.0 and is with vfio-pci, as it should be"
            ),
            (
                "ok",
                "Port p1 is 0000:5e:00.0 and stays with mlx5_core, as it should"
            ),
            (
                "problem",
                "Port p2 is 0000:5f:00.0, and mlx4_core's NICs cannot be opened by this gateway"
            ),
            (
                "problem",
                "Port p3 is 0000:99:00.0, and there is no such device"
            ),
            (
                "problem",
                "Port p4 is 0000:01:00.0, which is still Linux's (ixgbe), and eno1 carries the \
                 default route, Linux has addresses on eno1 (192.0.2.0/24): DPDK cannot open it"
            ),
            ("ok", "Port p5 is net_null0, a device of DPDK's own"),
            ("ok", "Port p6 is the interface ens4, which stays Linux's"),
            (
                "problem",
                "Port p7 is the interface eno1, which the gateway will not take: eno1 carries \
                 the default route, Linux has addresses on eno1 (192.0.2.0/24)"
            ),
            (
                "problem",
                "Port p8 is the interface nope, and there is none of that name"
            ),
        ]
    );
}

#[test]
fn workers_are_looked_at_where_they_run() {
    let machine = Machine::new();
    machine.write("sys/devices/system/cpu/isolated", "4\n");
    let words = configured(&machine, "workers = [4, 5, 9]", &["0000:02:00.0"]);

    for (name, why, command) in [
        (
            "workers",
            "`workers` names cores 9, which do not run here: the gateway will not start",
            "workers = [...] in [gateway], out of 0-7",
        ),
        (
            "isolated-cores",
            "Cores 4-5,9 are not the workers' alone (isolcpus, nohz_full, rcu_nocbs missing): \
             what Linux runs there delays packets",
            "on the kernel's command line: isolcpus=4-5,9 nohz_full=4-5,9 rcu_nocbs=4-5,9 \
             irqaffinity=0-3,6-7 (GRUB_CMDLINE_LINUX in /etc/default/grub, then `update-grub`, \
             then a reboot)",
        ),
        (
            "core-threads",
            "Cores 4-5 are threads of the same cores: each of those workers gets about half",
            "workers = [...] in [gateway], one thread of each core",
        ),
        (
            "numa",
            "0000:02:00.0 (eno3) is on node 0, and workers run on cores 4-5 of another: each \
             packet crosses between them",
            "workers = [...] in [gateway], out of 0-3",
        ),
        (
            "interrupts",
            "1 interrupts come to cores 4-5,9, and each one stops a worker",
            "for irq in /proc/irq/*/smp_affinity_list; do echo 0-3,6-7 >$irq; done",
        ),
    ] {
        let (state, said, mends) = finding(&machine, &words, name);
        let wanted = if name == "workers" {
            "problem"
        } else {
            "advice"
        };
        assert_eq!((&*state, &*said, &*mends), (wanted, why, command));
    }
}

#[test]
fn cores_of_the_workers_alone_are_well() {
    let machine = Machine::new();
    machine.write("sys/devices/system/cpu/isolated", "2-3\n");
    machine.write(
        "proc/cmdline",
        "quiet isolcpus=managed_irq,domain,2-3 nohz_full=2-3 rcu_nocbs=2-3\n",
    );
    machine.write("proc/irq/24/effective_affinity_list", "0\n");
    let words = configured(&machine, "workers = [2]", &["0000:02:00.0"]);

    for (name, why) in [
        ("isolated-cores", "Cores 2 are the workers' alone"),
        ("numa", "0000:02:00.0 (eno3) and all workers are on node 0"),
        ("interrupts", "No interrupt comes to cores 2"),
    ] {
        let (state, said, _) = finding(&machine, &words, name);
        assert_eq!((&*state, &*said), ("ok", why));
    }
    assert!(findings(&machine, &words, "core-threads").is_empty());
}

#[test]
fn what_the_kernel_lacks_is_told() {
    let machine = Machine::new();
    fs::remove_dir_all(machine.at("dev")).unwrap();
    fs::remove_dir_all(machine.at("usr")).unwrap();
    fs::remove_dir_all(machine.at("sys/kernel/iommu_groups")).unwrap();
    machine.write("proc/77/comm", "irqbalance\n");
    machine.write(
        "sys/kernel/mm/transparent_hugepage/enabled",
        "always madvise [never]\n",
    );
    machine.write(
        "proc/self/limits",
        "Max locked memory  8388608  8388608  bytes\n",
    );
    let words = configured(&machine, "workers = [2]", &["0000:02:00.0"]);

    for (name, state, begin) in [
        ("tun", "problem", "There is no /dev/net/tun"),
        (
            "dpdk-drivers",
            "problem",
            "No driver of DPDK's is installed",
        ),
        (
            "iommu",
            "problem",
            "There is no IOMMU, so vfio-pci takes no NIC",
        ),
        ("vfio", "problem", "vfio-pci is not loaded"),
        ("irqbalance", "advice", "irqbalance runs"),
        (
            "transparent-huge-pages",
            "advice",
            "Transparent huge pages are off",
        ),
        ("memlock", "advice", "This shell limits the memory"),
    ] {
        let (is, said, command) = finding(&machine, &words, name);
        assert_eq!(is, state, "{name}");
        assert!(said.starts_with(begin), "{said}");
        assert!(!command.is_empty(), "{name}");
    }
    machine.write(
        "etc/systemd/system/sluice.service",
        "[Service]\nLimitMEMLOCK=8M\n",
    );
    assert_eq!(finding(&machine, &words, "memlock").0, "problem");
    machine.write(
        "etc/systemd/system/sluice.service",
        "[Service]\nLimitMEMLOCK=infinity\n",
    );
    assert_eq!(finding(&machine, &words, "memlock").0, "ok");
}

#[test]
fn a_file_or_host_that_cannot_be_seen_gives_no_answer() {
    let machine = Machine::new();
    let words = configured(&machine, "workers = []", &[]);
    for words in [&*words, "--config /nowhere.toml"] {
        let ran = machine.run(&format!("doctor {words}"));
        assert_eq!((ran.exit, &*ran.out), (Exit::Failed, ""), "{}", ran.err);
    }

    let ran = Machine::empty().run("doctor");

    assert_eq!(ran.exit, Exit::Failed);
    assert_eq!(
        ran.err,
        "there is no /proc/meminfo: without /proc and /sys nothing can be said of this machine\n"
    );
}

#[test]
fn every_finding_has_its_place_in_the_book() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/host-setup.md");
    let page = fs::read_to_string(page).unwrap();
    let machine = Machine::new();
    machine.write("proc/77/comm", "irqbalance\n");
    machine.write("etc/systemd/system/sluice.service", "[Service]\n");
    let named = configured(&machine, "workers = [2, 4]", &["0000:02:00.0"]);

    let ran = [
        machine.run("doctor --json"),
        machine.run(&format!("doctor --json {named}")),
    ];

    let mut names = 0;
    for ran in ran {
        let said: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        for finding in said["findings"].as_array().unwrap() {
            let name = finding["name"].as_str().unwrap();
            let headings = page.lines().filter(|line| line.starts_with("### "));
            let mut words = headings.flat_map(|line| line.split([' ', ',']));
            assert!(words.any(|word| word == name), "{name}");
            names += 1;
        }
    }
    assert!(names > 25, "only {names} findings were made");
}
