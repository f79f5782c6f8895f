//! A gateway of one worker on `net_pcap` ethdevs.

use std::path::PathBuf;
use std::slice;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use dataplane::address::MacAddr;
use dataplane::counters::WorkerCounters;
use dataplane::handover::Handover;
use dataplane::id::{EthdevId, InterfaceId, WorkerId};
use dataplane::io::dpdk::{
    DpdkIo, DpdkPacket, Eal, EalConfig, Ethdev, EthdevConfig, Memory, Mempool, MempoolConfig,
    OpenEthdev, QueuePair, WorkerThread,
};
use dataplane::mailbox::Mailbox;
use dataplane::pipeline::{Outputs, Pipeline};
use dataplane::punt::{RingTwinPort, TwinPort, TwinRings};
use dataplane::session::{HashSecret, KeysPerSession, SessionTable};
use dataplane::snapshot::Snapshot;
use dataplane::testing::*;
use dataplane::time::Tick;
use dataplane::worker::Worker;

use crate::capture::{self, Scratch};

const SECRET: HashSecret = HashSecret([1, 2, 3, 4]);
const SESSIONS: usize = 1_024;
/// When all turns take place, in nanoseconds since the start of the gateway.
const NOW: u64 = 1_000_000_000;
/// Packet buffers of a gateway: a test may have more packets, as long as they come home in time.
pub(crate) const BUFFERS: u32 = 255;

type Rings = Arc<TwinRings<DpdkPacket>>;

/// DPDK starts once in a process, so all tests share it.
fn eal() -> &'static Eal {
    static EAL: OnceLock<Eal> = OnceLock::new();
    EAL.get_or_init(|| {
        let config = EalConfig {
            memory: Memory::NoHuge { megabytes: 64 },
            file_prefix: format!("sluice-packets-{}", std::process::id()),
            ..EalConfig::default()
        };
        Eal::start(&config).expect("DPDK starts without huge pages")
    })
}

/// An ethdev between two capture files.
struct PcapEthdev {
    ethdev: Ethdev,
    input: PathBuf,
    output: PathBuf,
}

/// A gateway on this thread, which it makes known to DPDK as a worker's.
pub(crate) struct PcapGateway {
    worker: Worker<DpdkIo>,
    twins: Vec<RingTwinPort<DpdkPacket, Mempool>>,
    ethdevs: Vec<PcapEthdev>,
    counters: Arc<WorkerCounters>,
    pool: Mempool,
    _thread: WorkerThread,
    /// Goes last, when nobody writes into it any more.
    _scratch: Scratch,
}

impl PcapGateway {
    /// Opens the ethdevs of `setup`, gives it their MACs and starts to serve.
    pub(crate) fn start(mut setup: Setup, services: &[TestService]) -> Self {
        let thread = WorkerThread::enter(eal(), None).unwrap();
        let scratch = Scratch::new();
        let config = MempoolConfig {
            packets: BUFFERS,
            cache: 64,
            ..MempoolConfig::default()
        };
        let pool = Mempool::create(eal(), &config).unwrap();
        let (mut ethdevs, mut queues) = (Vec::new(), Vec::new());
        for id in (0..setup.ethdevs()).map(EthdevId) {
            let (ethdev, pair) = open(id, &scratch, &pool);
            setup = setup.mac(id, ethdev.ethdev.mac());
            ethdevs.push(ethdev);
            queues.push(pair);
        }
        let rings: Vec<Rings> = setup.interface_ids().map(|_| Rings::default()).collect();
        let counters = Arc::default();
        let worker = worker(&setup, services, queues, &pool, &rings, &counters);
        let twins = setup.interface_ids().zip(rings);
        Self {
            worker,
            twins: twins
                .map(|(id, rings)| RingTwinPort::new(id, rings, pool.clone()))
                .collect(),
            ethdevs,
            counters,
            pool,
            _thread: thread,
            _scratch: scratch,
        }
    }

    /// Puts a frame into what ethdev `ethdev` will receive. Before the first turn only: at the
    /// end of its file an ethdev stops to read.
    pub(crate) fn put(&self, ethdev: u16, frame: &[u8]) {
        let frame = self.addressed(frame);
        let input = &self.ethdevs[usize::from(ethdev)].input;
        capture::append(input, std::iter::once(frame.as_slice()));
    }

    /// Takes turns until everything that arrived is handled and sent.
    pub(crate) fn settle(&mut self) {
        while self.worker.turn(NOW) > 0 {}
    }

    /// The frames given to Linux on an interface since this was last asked.
    pub(crate) fn punted(&mut self, interface: InterfaceId) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        let twin = &mut self.twins[interface.index()];
        while twin.receive_punted(&mut |frame| frames.push(frame.to_vec())) > 0 {}
        frames
    }

    /// Lets Linux send a frame on the twin of an interface; false when its ring is full.
    pub(crate) fn inject(&mut self, interface: InterfaceId, frame: &[u8]) -> bool {
        let frame = self.addressed(frame);
        self.twins[interface.index()].inject(&frame)
    }

    /// A frame with the ethdevs' own MACs in place of [`GATEWAY_MAC`] and
    /// [`GATEWAY_SERVER_MAC`].
    pub(crate) fn addressed(&self, frame: &[u8]) -> Vec<u8> {
        let mut frame = frame.to_vec();
        let stand_ins = [GATEWAY_MAC, GATEWAY_SERVER_MAC];
        for (MacAddr(stand_in), ethdev) in stand_ins.iter().zip(&self.ethdevs) {
            for place in [0..6, 6..12] {
                if frame[place.clone()] == *stand_in {
                    frame[place].copy_from_slice(&ethdev.ethdev.mac().0);
                }
            }
        }
        frame
    }

    /// What moved, by name; bytes and turns left out.
    pub(crate) fn moved(&self) -> Vec<(&'static str, u64)> {
        let counts = counts(&[&self.counters]).into_iter();
        counts.filter(|(_, count)| *count > 0).collect()
    }

    /// Closes the ethdevs and gives what each has sent. All buffers must be home by then.
    pub(crate) fn stop(self) -> Vec<Vec<Vec<u8>>> {
        let Self {
            worker,
            twins,
            ethdevs,
            pool,
            ..
        } = self;
        // The worker's queues keep the ethdevs open.
        drop((worker, twins));
        let close = |PcapEthdev { ethdev, output, .. }: PcapEthdev| {
            let stats = ethdev.stats().unwrap();
            assert_eq!((stats.rx_no_buffer, stats.tx_errors), (0, 0));
            drop(ethdev);
            capture::read(&output)
        };
        let sent = ethdevs.into_iter().map(close).collect();
        assert_eq!(pool.in_use(), 0);
        sent
    }
}

/// Opens and starts an ethdev whose input has no frames yet. (The driver reads the head of the
/// file when it opens it, and what stands behind it with the first burst.)
fn open(id: EthdevId, scratch: &Scratch, pool: &Mempool) -> (PcapEthdev, QueuePair) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let input = scratch.file(&format!("ethdev{}-in.pcap", id.0));
    let output = scratch.file(&format!("ethdev{}-out.pcap", id.0));
    capture::create(&input);
    let device = format!(
        "net_pcap{number},rx_pcap={},tx_pcap={}",
        input.display(),
        output.display()
    );
    let open = OpenEthdev::open(eal(), &device).expect(&device);
    let started = open.start(&EthdevConfig::default(), slice::from_ref(pool));
    let mut started = started.expect(&device);
    assert_eq!(started.notes, []);
    let ethdev = PcapEthdev {
        ethdev: started.ethdev,
        input,
        output,
    };
    (ethdev, started.queues.remove(0))
}

fn worker(
    setup: &Setup,
    services: &[TestService],
    queues: Vec<QueuePair>,
    pool: &Mempool,
    rings: &[Rings],
    counters: &Arc<WorkerCounters>,
) -> Worker<DpdkIo> {
    let mailbox = Arc::new(Mailbox::new(WorkerId(0)));
    let (receive, transmit): (Vec<_>, Vec<_>) =
        queues.into_iter().map(|pair| (pair.rx, pair.tx)).unzip();
    let out = Outputs::new(
        Arc::clone(&mailbox),
        transmit,
        pool.clone(),
        rings.to_vec(),
        Handover::new(1),
        Arc::clone(counters),
    );
    let sessions = SessionTable::new(SESSIONS, KeysPerSession::Two, SECRET, Tick(0)).unwrap();
    Worker::new(
        mailbox,
        snapshot(setup, services),
        (0..).map(EthdevId).zip(receive).collect(),
        Pipeline::new(WorkerId(0), sessions, SECRET, out),
        setup.interface_ids().collect(),
    )
}

fn snapshot(setup: &Setup, services: &[TestService]) -> Arc<Snapshot> {
    let mut editor = setup.editor();
    let specs: Vec<_> = services.iter().map(TestService::spec).collect();
    editor.set_services(&specs);
    editor.snapshot()
}
