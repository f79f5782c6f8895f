//! Real DPDK on vdevs, without huge pages, NICs or root.

use std::fs;
use std::path::{Path, PathBuf};
use std::slice;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

mod burst;
mod ethdev;
mod packet;
mod process;
mod steering;

use super::*;
use crate::id::{CoreId, QueueId};
use crate::io::{Burst, Packet, PacketPool, RxChecksum, RxQueue as _, TxQueue as _};

/// Free bytes in front of a fresh packet.
const HEADROOM: usize = dpdk_sys::RTE_PKTMBUF_HEADROOM as usize;

/// DPDK starts once in a process, so all tests share it.
fn eal() -> &'static Eal {
    static EAL: OnceLock<Eal> = OnceLock::new();
    EAL.get_or_init(|| Eal::start(&config()).expect("DPDK starts without huge pages"))
}

fn config() -> EalConfig {
    EalConfig {
        memory: Memory::NoHuge { megabytes: 64 },
        file_prefix: format!("sluice-unit-{}", std::process::id()),
        main_core: first_allowed_core(),
        ..EalConfig::default()
    }
}

fn allowed_cores() -> Vec<u16> {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
        .unwrap();
    list.trim()
        .split(',')
        .flat_map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            first.parse::<u16>().unwrap()..=last.parse().unwrap()
        })
        .collect()
}

fn first_allowed_core() -> CoreId {
    CoreId(allowed_cores()[0])
}

fn pool(packets: u32) -> Mempool {
    let config = MempoolConfig {
        packets,
        cache: 0,
        ..MempoolConfig::default()
    };
    Mempool::create(eal(), &config).expect("64 MB hold the tests' pools")
}

/// Starts a device with one queue pair for each pool.
fn start(device: &str, pools: &[Mempool]) -> StartedEthdev {
    let config = EthdevConfig {
        queues: u16::try_from(pools.len()).unwrap(),
        ..EthdevConfig::default()
    };
    let open = OpenEthdev::open(eal(), device).expect(device);
    open.start(&config, pools).expect(device)
}

/// A directory that goes away with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sluice-dpdk-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Writes a capture file of Ethernet frames (the format of libpcap 2.4, little endian).
fn write_pcap(path: &str, frames: &[Vec<u8>]) {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1] {
        file.extend(word.to_le_bytes());
    }
    for frame in frames {
        let len = u32::try_from(frame.len()).unwrap();
        for word in [0, 0, len, len] {
            file.extend(word.to_le_bytes());
        }
        file.extend(frame);
    }
    fs::write(path, file).unwrap();
}

fn read_pcap(path: impl AsRef<Path>) -> Vec<Vec<u8>> {
    let file = fs::read(path).unwrap();
    let mut rest = &file[24..];
    let mut frames = Vec::new();
    while let Some((header, after)) = rest.split_first_chunk::<16>() {
        let len = u32::from_le_bytes([header[8], header[9], header[10], header[11]]);
        let (frame, after) = after.split_at(len as usize);
        frames.push(frame.to_vec());
        rest = after;
    }
    frames
}

/// Frames of different lengths and contents.
fn frames(count: u8) -> Vec<Vec<u8>> {
    (0..count)
        .map(|n| (0..60 + n).map(|byte| byte ^ n).collect())
        .collect()
}
