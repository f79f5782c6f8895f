//! A made machine: two NUMA nodes of four threads, and NICs of several kinds.
//!
//! | NIC | driver | group | |
//! |---|---|---|---|
//! | eno1 | ixgbe | 10 | the default route |
//! | eno2 | ixgbe | 11 | an ssh session |
//! | eno3 | ixgbe | 12 | free |
//! | ens1f0, ens1f1 | i40e | 30 | free, one group |
//! | enp94s0 | mlx5_core | 40 | free, node 1 |
//! | enp95s0 | mlx4_core | 41 | free, node 1 |
//! | enp5 | virtio-pci | 5 | an address |
//! | ens4 | tg3 | 42 | free |
//! | ens5 | ice | 43 | in bond0 |

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use control::ctl::{self, Exit};

/// PCI address, interface, driver, NUMA node, IOMMU group.
const NICS: [(&str, &str, &str, i8, u8); 10] = [
    ("0000:01:00.0", "eno1", "ixgbe", 0, 10),
    ("0000:01:00.1", "eno2", "ixgbe", 0, 11),
    ("0000:02:00.0", "eno3", "ixgbe", 0, 12),
    ("0000:3b:00.0", "ens1f0", "i40e", 0, 30),
    ("0000:3b:00.1", "ens1f1", "i40e", 0, 30),
    ("0000:5e:00.0", "enp94s0", "mlx5_core", 1, 40),
    ("0000:5f:00.0", "enp95s0", "mlx4_core", 1, 41),
    ("0000:00:05.0", "enp5", "virtio-pci", -1, 5),
    ("0000:af:00.0", "ens4", "tg3", 1, 42),
    ("0000:d8:00.0", "ens5", "ice", 1, 43),
];

/// eno1 192.0.2.0/24 with the default route, eno2 198.51.100.0/24, enp5 10.9.0.0/24, bond0
/// 10.8.0.0/24.
const ROUTES: &str = "\
Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT
eno1\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eno1\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
eno2\t006433C6\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
enp5\t0000090A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
bond0\t0000080A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
";

/// sshd at 198.51.100.5 with a session of 198.51.100.77, and a client of its own elsewhere.
const CONNECTIONS: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0
   1: 056433C6:0016 4D6433C6:C0DE 01 00000000:00000000 02:000AFD5C 00000000     0
   2: 0500090A:A0DE 4D00090A:0016 01 00000000:00000000 02:000AFD5C 00000000     0
";

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A directory that is removed at the end.
pub(crate) struct Machine(PathBuf);

/// What a run of `sluicectl` came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) exit: Exit,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Every file with its mode and contents, every link with its target, every directory.
pub(crate) type Contents = BTreeMap<PathBuf, String>;

impl Machine {
    /// An empty directory.
    pub(crate) fn empty() -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sluice-host-{}-{number}", std::process::id());
        // In memory, where there is such a place: each change is synced several times.
        let memory = PathBuf::from("/dev/shm");
        let place = Some(memory).filter(|place| place.is_dir());
        let root = place.unwrap_or_else(std::env::temp_dir).join(name);
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(&root).unwrap();
        Self(root)
    }

    /// The machine of the table above.
    pub(crate) fn new() -> Self {
        let machine = Self::empty();
        machine.processors();
        machine.memory();
        for nic in NICS {
            machine.nic(nic);
        }
        machine.write("sys/devices/virtual/net/bond0/mtu", "1500\n");
        machine.link("../../devices/virtual/net/bond0", "sys/class/net/bond0");
        machine.write("sys/class/net/ens5/mtu", "1500\n");
        machine.link("../bond0", "sys/class/net/ens5/master");
        machine.link("../bond0", "sys/class/net/ens5/upper_bond0");
        machine.disk();
        machine.kernel();
        machine
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub(crate) fn link(&self, target: &str, path: &str) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }

    /// The driver of a device.
    pub(crate) fn driver(&self, device: &str) -> Option<String> {
        let link = self.at(&format!("sys/bus/pci/devices/{device}/driver"));
        let target = fs::read_link(link).ok()?;
        Some(target.file_name()?.to_string_lossy().into_owned())
    }

    /// `sluicectl WORDS --root`.
    pub(crate) fn run(&self, words: &str) -> Ran {
        let words = ["sluicectl"].into_iter().chain(words.split_whitespace());
        let words = words.map(ToOwned::to_owned);
        let root = ["--root".to_owned(), self.0.to_str().unwrap().to_owned()];
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let exit = ctl::run(words.chain(root), &mut out, &mut err);
        // Where the tree lies is no part of what is said.
        let text = |bytes| {
            let text = String::from_utf8(bytes).unwrap();
            text.replace(self.0.to_str().unwrap(), "")
        };
        Ran {
            exit,
            out: text(out),
            err: text(err),
        }
    }

    /// The same, which goes well.
    pub(crate) fn well(&self, words: &str) -> String {
        let ran = self.run(words);
        assert_eq!((ran.exit, &*ran.err), (Exit::Well, ""), "{}", ran.out);
        ran.out
    }

    /// Everything that is there.
    pub(crate) fn contents(&self) -> Contents {
        let mut found = Contents::new();
        let mut waiting = vec![self.0.clone()];
        while let Some(directory) = waiting.pop() {
            for entry in fs::read_dir(&directory).unwrap() {
                let path = entry.unwrap().path();
                let about = fs::symlink_metadata(&path).unwrap();
                let said = if about.is_symlink() {
                    format!("link to {}", fs::read_link(&path).unwrap().display())
                } else if about.is_dir() {
                    waiting.push(path.clone());
                    "directory".to_owned()
                } else {
                    let mode = about.permissions().mode();
                    format!("{mode:o} {}", fs::read_to_string(&path).unwrap())
                };
                found.insert(path, said);
            }
        }
        found
    }

    fn processors(&self) {
        self.write("sys/devices/system/cpu/online", "0-7\n");
        self.write("sys/devices/system/cpu/isolated", "\n");
        for cpu in 0..8 {
            let place = format!("sys/devices/system/cpu/cpu{cpu}");
            let first = cpu / 2 * 2;
            let siblings = format!("{first}-{}\n", first + 1);
            self.write(&format!("{place}/topology/thread_siblings_list"), &siblings);
            let clock = format!("{place}/cpufreq");
            self.write(&format!("{clock}/scaling_governor"), "powersave\n");
            let available = "performance powersave\n";
            self.write(&format!("{clock}/scaling_available_governors"), available);
        }
        for (irq, cpus) in [(0, "0"), (24, "0-3"), (25, "4")] {
            let place = format!("proc/irq/{irq}");
            self.write(&format!("{place}/smp_affinity_list"), &format!("{cpus}\n"));
        }
    }

    fn memory(&self) {
        for (node, cpus) in [(0, "0-3"), (1, "4-7")] {
            let node = format!("sys/devices/system/node/node{node}");
            self.write(&format!("{node}/cpulist"), &format!("{cpus}\n"));
            for size in [2048, 1_048_576] {
                let pages = format!("{node}/hugepages/hugepages-{size}kB");
                self.write(&format!("{pages}/nr_hugepages"), "0\n");
                self.write(&format!("{pages}/free_hugepages"), "0\n");
            }
        }
        let transparent = "sys/kernel/mm/transparent_hugepage/enabled";
        self.write(transparent, "always [madvise] never\n");
    }

    fn nic(&self, (device, interface, driver, node, group): (&str, &str, &str, i8, u8)) {
        let place = format!("sys/devices/pci0000:00/{device}");
        self.write(&format!("{place}/class"), "0x020000\n");
        for (name, value) in [
            ("vendor", "0x8086"),
            ("device", "0x10fb"),
            ("subsystem_vendor", "0x8086"),
            ("subsystem_device", "0x000c"),
        ] {
            self.write(&format!("{place}/{name}"), &format!("{value}\n"));
        }
        self.write(&format!("{place}/numa_node"), &format!("{node}\n"));
        self.write(&format!("{place}/driver_override"), "(null)\n");
        // What the kernel would choose.
        self.write(&format!("{place}/.driver"), driver);
        fs::create_dir_all(self.at(&format!("sys/bus/pci/drivers/{driver}"))).unwrap();
        self.link(
            &format!("../../../bus/pci/drivers/{driver}"),
            &format!("{place}/driver"),
        );
        let groups = format!("sys/kernel/iommu_groups/{group}/devices");
        self.link(
            &format!("../../../../devices/pci0000:00/{device}"),
            &format!("{groups}/{device}"),
        );
        self.link(
            &format!("../../../kernel/iommu_groups/{group}"),
            &format!("{place}/iommu_group"),
        );
        self.link(
            &format!("../../../devices/pci0000:00/{device}"),
            &format!("sys/bus/pci/devices/{device}"),
        );
        // virtio's own device lies between.
        let above = if driver == "virtio-pci" {
            "virtio2/net"
        } else {
            "net"
        };
        let net = format!("{place}/{above}/{interface}");
        self.write(&format!("{net}/mtu"), "1500\n");
        self.link("../..", &format!("{net}/device"));
        self.link(
            &format!("../../devices/pci0000:00/{device}/{above}/{interface}"),
            &format!("sys/class/net/{interface}"),
        );
    }

    fn disk(&self) {
        let place = "sys/devices/pci0000:00/0000:00:1f.2";
        self.write(&format!("{place}/class"), "0x010601\n");
        self.link(
            "../../../devices/pci0000:00/0000:00:1f.2",
            "sys/bus/pci/devices/0000:00:1f.2",
        );
    }

    fn kernel(&self) {
        self.write("proc/meminfo", "MemTotal: 1 kB\n");
        self.write("proc/cmdline", "quiet\n");
        self.write("proc/self/environ", "HOME=/root\0");
        self.write("proc/self/mounts", "proc /proc proc rw 0 0\n");
        self.write("proc/net/route", ROUTES);
        self.write("proc/net/tcp", CONNECTIONS);
        for (name, value) in [
            ("ip_forward", 0),
            ("conf/all/send_redirects", 1),
            ("conf/default/send_redirects", 1),
            ("conf/all/accept_redirects", 1),
            ("conf/all/forwarding", 0),
            ("conf/default/forwarding", 0),
            ("conf/eno1/forwarding", 0),
            ("conf/lo/forwarding", 0),
            ("conf/all/rp_filter", 0),
            ("conf/default/rp_filter", 0),
        ] {
            let path = format!("proc/sys/net/ipv4/{name}");
            self.write(&path, &format!("{value}\n"));
        }
        self.write("dev/net/tun", "");
        fs::create_dir_all(self.at("sys/module")).unwrap();
        for driver in ["ixgbe", "i40e", "ice", "mlx5", "virtio", "af_packet"] {
            let directory = "usr/lib/x86_64-linux-gnu/dpdk/pmds-23.0";
            self.write(&format!("{directory}/librte_net_{driver}.so.23"), "");
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
