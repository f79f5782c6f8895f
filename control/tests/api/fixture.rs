//! A gateway with one worker over wires in memory, and a socket to ask it.
//!
//! ```text
//! CLIENT --wire--> [worker, thread of its own] --wire--> RIP_1, RIP_2
//!                       │ mailbox
//!                    Gateway <-- API <-- socket in a directory of its own
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use control::api::ApiSocket;
use control::config::Config;
use control::gateway::{
    EthdevSource, EthdevStats, Gateway, LinkStats, MempoolStats, Plane, QueueStats,
};
use control::linux::mirror::{InterfaceAddress, MirrorEvent, NextHop, Prefix, Route, RouteTarget};
use dataplane::address::{Address, Endpoint, MacAddr, V4};
use dataplane::counters::WorkerCounters;
use dataplane::editor::Editor;
use dataplane::handover::Handover;
use dataplane::id::{CoreId, EthdevId, InterfaceId, WorkerId};
use dataplane::io::memory::{MemoryIo, MemoryPacket, MemoryPool, Wire};
use dataplane::mailbox::Mailbox;
use dataplane::pipeline::{Outputs, Pipeline};
use dataplane::punt::TwinRings;
use dataplane::session::{HashSecret, KeysPerSession, SessionTable, Timeouts};
use dataplane::snapshot::{Interface, Snapshot};
use dataplane::steering::Steering;
use dataplane::testing::{CLIENT, GATEWAY_MAC, RIP_1, RIP_1_MAC, RIP_2, RIP_2_MAC, tcp};
use dataplane::time::Tick;
use dataplane::worker::{Idle, Worker};
use tokio::sync::oneshot;

/// Places in the worker's session table.
pub(crate) const CAPACITY: usize = 4_096;

/// How long to wait for what happens within milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

const WAN: InterfaceId = InterfaceId(0);

/// Two services: one with two real servers, one with none.
pub(crate) const CONFIG: &str = r#"
[gateway]
sessions_per_worker = 4096

[[port]]
name = "wan"
device = "net_null0"

[[service]]
name = "web"
protocol = "tcp"
vip = "10.1.0.100"
port = 80
scheduler = "rr"

[[service.server]]
address = "10.2.0.11"
method = "dr"

[[service.server]]
address = "10.2.0.12"
method = "dr"

[[service]]
protocol = "udp"
vip = "10.1.0.100"
port = 53
"#;

pub(crate) fn config(text: &str) -> Config {
    Config::from_toml(text, Path::new("t.toml"))
        .map(|(config, _)| config)
        .unwrap_or_else(|errors| panic!("{errors}"))
}

/// Counters that stand still.
struct Ethdevs;

impl EthdevSource for Ethdevs {
    fn stats(&self) -> Vec<EthdevStats> {
        vec![EthdevStats {
            name: "wan".to_owned(),
            received: (1, 2),
            transmitted: (3, 4),
            missed: 5,
            receive_errors: 6,
            transmit_errors: 7,
            no_buffer: 8,
            link: Some(LinkStats {
                up: true,
                speed_mbps: Some(25_000),
                full_duplex: Some(true),
            }),
            queues: vec![QueueStats {
                received: (9, 10),
                transmitted: (11, 12),
                lost: 13,
            }],
        }]
    }

    fn mempools(&self) -> Vec<MempoolStats> {
        vec![MempoolStats {
            name: "socket 0".to_owned(),
            buffers: 14,
            in_use: 15,
        }]
    }
}

/// A directory that is removed with everything in it.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sluice-api-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _kept = std::fs::remove_dir_all(&self.0);
    }
}

/// A gateway whose worker has not been started.
pub(crate) fn gateway() -> (Arc<Gateway>, Worker<MemoryIo>, [Wire; 2]) {
    gateway_of(CONFIG, CAPACITY)
}

/// One that serves what `text` says, with room for so many sessions.
pub(crate) fn gateway_of(
    text: &str,
    capacity: usize,
) -> (Arc<Gateway>, Worker<MemoryIo>, [Wire; 2]) {
    let mailbox = Arc::new(Mailbox::new(WorkerId(0)));
    let counters = Arc::new(WorkerCounters::default());
    let interface = Interface {
        id: WAN,
        ethdev: EthdevId(0),
        vlan: None,
        mac: GATEWAY_MAC,
        mtu: 1_500,
        address: None,
        accept_replies: false,
    };
    let editor = Editor::new(
        1,
        Steering::Software { workers: 1 },
        Timeouts::default(),
        vec![interface],
    );
    let plane = Plane {
        mailboxes: vec![Arc::clone(&mailbox)],
        counters: vec![Arc::clone(&counters)],
        cores: vec![Some(CoreId(3))],
        session_capacity: capacity as u64,
        ethdevs: Box::new(Ethdevs),
        version: "0.1.0 (test)".to_owned(),
        dpdk: "none".to_owned(),
    };
    let gateway = Gateway::new(plane, editor, config(text));
    gateway.mirrored(&what_linux_knows());
    let [received, sent] = [Wire::new(), Wire::new()];
    let out = Outputs::new(
        Arc::clone(&mailbox),
        vec![sent.clone()],
        MemoryPool::default(),
        vec![Arc::new(TwinRings::default())],
        Handover::new(1),
        counters,
    );
    let secret = HashSecret([1, 2, 3, 4]);
    let sessions = SessionTable::new(capacity, KeysPerSession::Two, secret, Tick(0)).unwrap();
    let pipeline = Pipeline::new(WorkerId(0), sessions, secret, out);
    let receive = vec![(EthdevId(0), received.clone())];
    let snapshot = Arc::new(Snapshot::default());
    let worker = Worker::new(mailbox, snapshot, receive, pipeline, vec![WAN]);
    (gateway, worker, [received, sent])
}

/// Clients and servers are on the subnets of the only interface.
fn what_linux_knows() -> Vec<MirrorEvent> {
    let address = MirrorEvent::AddressAdded(InterfaceAddress {
        interface: WAN,
        addr: [10, 1, 0, 1].into(),
        prefix_len: 8,
    });
    let route = MirrorEvent::RouteSet {
        prefix: Prefix {
            addr: [10, 0, 0, 0].into(),
            len: 8,
        },
        route: Route {
            target: RouteTarget::NextHops(vec![NextHop {
                via: None,
                interface: WAN,
                weight: 1,
            }]),
            preferred_source: None,
            mtu: None,
        },
    };
    let neighbour = |server: Endpoint<V4>, mac: MacAddr| MirrorEvent::NeighbourSet {
        interface: WAN,
        addr: server.addr.to_ip(),
        mac,
    };
    let servers = [neighbour(RIP_1, RIP_1_MAC), neighbour(RIP_2, RIP_2_MAC)];
    [address, route].into_iter().chain(servers).collect()
}

/// A gateway that runs and answers on a socket.
pub(crate) struct Running {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) socket: PathBuf,
    pub(crate) directory: Directory,
    received: Wire,
    sent: Wire,
    worker: Option<JoinHandle<()>>,
    api: Option<JoinHandle<()>>,
    stop: Option<oneshot::Sender<()>>,
}

impl Running {
    pub(crate) fn start() -> Self {
        Self::start_with(CONFIG, CAPACITY)
    }

    /// One that serves what `text` says, with room for so many sessions.
    pub(crate) fn start_with(text: &str, capacity: usize) -> Self {
        let (gateway, mut worker, [received, sent]) = gateway_of(text, capacity);
        let asked = gateway.config();
        let (group, others) = (
            asked.gateway().control_group.as_deref(),
            asked.gateway().others,
        );
        let start = Instant::now();
        let nanos = move || u64::try_from(start.elapsed().as_nanos()).unwrap();
        let worker = std::thread::spawn(move || worker.run(Idle::Sleep, nanos));
        let directory = Directory::new();
        let socket = directory.path("run/sluice.sock");
        let bound = ApiSocket::bind(&socket, group, others).unwrap();
        let (stop, stopped) = oneshot::channel();
        let asked = Arc::clone(&gateway);
        let api = std::thread::spawn(move || {
            let stopped = async { drop(stopped.await) };
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap();
            runtime
                .block_on(control::api::serve(bound, asked, stopped))
                .unwrap();
        });
        let running = Self {
            gateway,
            socket,
            directory,
            received,
            sent,
            worker: Some(worker),
            api: Some(api),
            stop: Some(stop),
        };
        running.until("the worker has its snapshot", |gateway| {
            gateway.health().healthy
        });
        running
    }

    /// Waits until something is so.
    pub(crate) fn until(&self, what: &str, is_so: impl Fn(&Gateway) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is_so(&self.gateway) {
            assert!(Instant::now() < end, "{what}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Opens a session from each of these client ports.
    pub(crate) fn open_sessions(&self, ports: std::ops::Range<u16>) {
        let before = self.gateway.status().sessions;
        let count = u64::try_from(ports.len()).unwrap();
        for port in ports {
            let frame = tcp().from(Endpoint::new(CLIENT.addr, port)).syn().build();
            self.received.push(MemoryPacket::new(&frame));
        }
        self.until("all sessions are there", |gateway| {
            gateway.status().sessions == before + count
        });
    }

    /// Sends a frame through the worker.
    pub(crate) fn send(&self, frame: &[u8]) {
        let handled = |gateway: &Gateway| gateway.status().workers[0].received_packets;
        let before = handled(&self.gateway);
        self.received.push(MemoryPacket::new(frame));
        self.until("the packet has arrived", |gateway| {
            handled(gateway) > before
        });
    }

    /// What the worker has sent.
    pub(crate) fn sent(&self) -> Vec<Vec<u8>> {
        self.sent.take()
    }

    /// Stops the worker and waits for it.
    pub(crate) fn stop_worker(&mut self) {
        for mailbox in &self.gateway.plane().mailboxes {
            mailbox.stop();
        }
        if let Some(worker) = self.worker.take() {
            worker.join().unwrap();
        }
    }

    /// Stops the API and waits for it.
    pub(crate) fn stop_api(&mut self) {
        drop(self.stop.take());
        if let Some(api) = self.api.take() {
            api.join().unwrap();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop_api();
        self.stop_worker();
    }
}
