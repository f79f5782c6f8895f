//! A gateway as big as a case asks for, around the daemon's own worker and pipeline.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use dataplane::address::{Address, Endpoint, MacAddr, Protocol, V4};
use dataplane::counters::WorkerCounters;
use dataplane::editor::{Editor, LocalSpec, NextHop, ServerSpec, ServiceSpec};
use dataplane::handover::Handover;
use dataplane::id::{EthdevId, InterfaceId, Weight, WorkerId};
use dataplane::mailbox::Mailbox;
use dataplane::memory::MapError;
use dataplane::pipeline::{Outputs, Pipeline};
use dataplane::punt::TwinRings;
use dataplane::service::{Method, MssClamp, Persistence, SchedulerKind, ServiceKey, Unserved};
use dataplane::session::{HashSecret, KeysPerSession, SessionTable, State, Timeouts};
use dataplane::snapshot::{Interface, Snapshot};
use dataplane::steering::Steering;
use dataplane::time::Tick;
use dataplane::worker::Worker;

use super::frames::Frames;
use super::io::{GeneratedPacket, GeneratorIo, Inspect, NoPool, Receive, Transmit};

/// The MAC of the one ethdev, behind which clients and servers are.
pub(super) const GATEWAY_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// The next hop of all clients.
const ROUTER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xfe]);
const ROUTER: V4 = V4(0x0a01_00fe);
const GATEWAY: V4 = V4(0x0a01_0001);
/// 10.1.0.100:80.
pub(super) const VIP: Endpoint<V4> = Endpoint::new(V4(0x0a01_0064), 80);
/// Servers are 10.1.1.1 and what follows, port 8080.
const FIRST_SERVER: u32 = 0x0a01_0101;
/// Local addresses are 10.1.128.1 and what follows.
const FIRST_LOCAL: u32 = 0x0a01_8001;

/// Sessions that a local address carries at least, over all servers.
const SESSIONS_PER_LOCAL_ADDRESS: usize = 200_000;

/// What a case needs of its gateway.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) method: Method,
    pub(super) protocol: Protocol,
    pub(super) scheduler: SchedulerKind,
    pub(super) servers: u32,
    /// Sessions the table has room for.
    pub(super) sessions: usize,
    /// Every state's time-out; the kernel's otherwise.
    pub(super) timeout_seconds: Option<u32>,
    /// How many workers there are; each has as many sessions at most.
    pub(super) workers: u16,
    /// Whether the service is persistent.
    pub(super) persistent: bool,
}

/// One worker of a gateway.
pub(super) struct Gateway<F: Frames, S: Inspect> {
    pub(super) worker: Worker<GeneratorIo<F, S>>,
    pub(super) counters: Arc<WorkerCounters>,
}

/// What the workers of a gateway share.
pub(super) struct Shared {
    snapshot: Arc<Snapshot>,
    twins: Vec<Arc<TwinRings<GeneratedPacket>>>,
    handover: Handover<GeneratedPacket>,
}

impl Shared {
    pub(super) fn new(shape: &Shape) -> Self {
        Self {
            snapshot: editor(shape).snapshot(),
            twins: vec![Arc::new(TwinRings::default())],
            handover: Handover::new(shape.workers),
        }
    }
}

/// A worker before it knows the others, as the daemon gathers them.
pub(super) struct Recruit {
    sessions: SessionTable<V4>,
    mailbox: Arc<Mailbox>,
    counters: Arc<WorkerCounters>,
}

impl Recruit {
    pub(super) fn new(shape: &Shape, worker: WorkerId) -> Result<Self, MapError> {
        let keys = KeysPerSession::Two;
        Ok(Self {
            sessions: SessionTable::new(shape.sessions, keys, SECRET, Tick(0))?,
            mailbox: Arc::new(Mailbox::new(worker)),
            counters: Arc::new(WorkerCounters::default()),
        })
    }

    /// Begins its work between these queues.
    pub(super) fn join<F: Frames, S: Inspect>(
        self,
        shared: &Shared,
        receive: Receive<F>,
        transmit: Transmit<S>,
    ) -> Gateway<F, S> {
        let Self {
            sessions,
            mailbox,
            counters,
        } = self;
        let id = mailbox.worker;
        let out = Outputs::new(
            Arc::clone(&mailbox),
            vec![transmit],
            NoPool,
            shared.twins.clone(),
            shared.handover.clone(),
            Arc::clone(&counters),
        );
        // Each twin's frames leave by one worker.
        let injecting = [InterfaceId(0)].into_iter().filter(|_| id.0 == 0);
        let worker = Worker::new(
            mailbox,
            Arc::clone(&shared.snapshot),
            vec![(EthdevId(0), receive)],
            Pipeline::new(id, sessions, SECRET, out),
            injecting.collect(),
        );
        Gateway { worker, counters }
    }
}

/// Any numbers do: nobody attacks a benchmark.
const SECRET: HashSecret = HashSecret([
    0x243f_6a88,
    0x1319_8a2e_0370,
    0xa409_3822_299f,
    0x082e_fa98_ec4e,
]);

/// The netmask of persistent services. Its bits are the ones in which clients differ most, so that
/// there are as many groups of them as it may tell apart.
const CLIENT_GROUPS: u32 = 0xffff;

/// The MAC of the server with this number.
pub(super) fn server_mac(server: u32) -> MacAddr {
    let [a, b, c, d] = server.to_be_bytes();
    MacAddr([2, 1, a, b, c, d])
}

/// The end of the server with this number.
pub(super) const fn server_end(server: u32) -> Endpoint<V4> {
    Endpoint::new(V4(FIRST_SERVER + server), 8_080)
}

fn editor(shape: &Shape) -> Editor {
    let mut timeouts = Timeouts::default();
    if let Some(seconds) = shape.timeout_seconds {
        State::ALL
            .iter()
            .for_each(|state| timeouts.set(*state, seconds));
    }
    let interface = InterfaceId(0);
    let mut editor = Editor::new(
        shape.workers.into(),
        Steering::Software {
            workers: shape.workers,
        },
        timeouts,
        vec![Interface {
            id: interface,
            ethdev: EthdevId(0),
            vlan: None,
            mac: MacAddr(GATEWAY_MAC),
            mtu: 1_500,
            address: Some(GATEWAY),
            accept_replies: false,
        }],
    );
    let connected = NextHop {
        via: None,
        interface,
    };
    let router = NextHop {
        via: Some(ROUTER.to_ip()),
        interface,
    };
    editor.add_host_address(GATEWAY.to_ip());
    editor.set_route(GATEWAY.to_ip(), 16, &[connected], None);
    editor.set_route(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0, &[router], None);
    editor.set_neighbour(interface, ROUTER.to_ip(), Some(ROUTER_MAC));
    for server in 0..shape.servers {
        let addr = server_end(server).addr.to_ip();
        editor.set_neighbour(interface, addr, Some(server_mac(server)));
    }
    editor.set_services(&[service(shape)]);
    editor
}

fn service(shape: &Shape) -> ServiceSpec {
    let to_ip = |end: Endpoint<V4>| Endpoint::new(end.addr.to_ip(), end.port);
    let port = |method: Method, end: Endpoint<V4>| match method {
        Method::Dr | Method::Tun => Endpoint::new(end.addr, VIP.port),
        Method::Nat | Method::Fullnat => end,
    };
    let servers = (0..shape.servers).map(|server| ServerSpec {
        endpoint: to_ip(port(shape.method, server_end(server))),
        weight: Weight(1),
        method: shape.method,
        upper_threshold: 0,
        lower_threshold: 0,
        edits: 0,
    });
    let locals = match shape.method {
        Method::Fullnat => {
            let sessions = shape.sessions * usize::from(shape.workers);
            sessions.div_ceil(SESSIONS_PER_LOCAL_ADDRESS).max(1)
        }
        Method::Dr | Method::Nat | Method::Tun => 0,
    };
    let locals = (FIRST_LOCAL..).take(locals).map(|addr| LocalSpec {
        addr: V4(addr).to_ip(),
        ports: 1_024..=65_535,
        host: false,
    });
    ServiceSpec {
        key: ServiceKey::address(shape.protocol, to_ip(VIP)),
        scheduler: shape.scheduler,
        servers: servers.collect(),
        checked: Vec::new(),
        local_addresses: locals.collect(),
        unserved: Unserved::Drop,
        mss_clamp: MssClamp::Auto,
        persistence: shape.persistent.then_some(Persistence {
            timeout_seconds: 300,
            netmask: CLIENT_GROUPS,
        }),
        one_packet: false,
    }
}
