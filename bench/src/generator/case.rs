//! One case: sessions first, then pairs of windows, then what must be true afterwards.

use std::sync::Arc;
use std::time::Duration;

use dataplane::address::{Endpoint, Protocol, V4};
use dataplane::counters::WorkerCounters;
use dataplane::drop_reason::DropReason;
use dataplane::io::{Burst, Packet, RxQueue, TxQueue};
use dataplane::memory::MapError;
use dataplane::punt::PuntClass;
use dataplane::service::{Method, SchedulerKind};
use parking_lot::Mutex;
use thiserror::Error;

use super::frames::{AnyFrames, Both, Order, Replies, Requests, Segment, number_of};
use super::gateway::{GATEWAY_MAC, Gateway, Shape, VIP};
use super::io::{FreeBuffers, GeneratedPacket, Inspect, Receive, Supply, Transmit};
use super::measure::{Clock, nanos_per_packet, resident_bytes};
use crate::median::median;

/// Buffers in all: a few bursts, so that they stay in the cache as a mempool's do.
const BUFFERS: usize = 256;

/// Room for the sessions that begin in the second that each of them lives, and for those whose
/// end is late.
const NEW_SESSIONS: u64 = 10_000_000;

/// What arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Load {
    /// Clients' packets of sessions that exist.
    Request,
    /// Servers' packets of sessions that exist.
    Reply,
    /// Both in turn.
    Both,
    /// 70 of 100 packets belong to a session that exists, 30 make one.
    Mixed,
    /// Every packet makes a session, and as many end.
    New,
    /// Every packet makes a session, and none ends: the table has room for all.
    Begin,
}

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The forwarding method.
    pub method: Method,
    /// The transport.
    pub protocol: Protocol,
    /// Sessions that exist.
    pub flows: u64,
    /// What arrives.
    pub load: Load,
    /// The scheduler.
    pub scheduler: SchedulerKind,
    /// How many servers there are.
    pub servers: u32,
    /// Packets of one window.
    pub window: u64,
    /// Leaves the pass-through out.
    pub without_baseline: bool,
    /// Lets a microsecond pass with each turn, however long it takes.
    pub virtual_clock: bool,
    /// Pairs of windows, of which the median counts.
    pub windows: usize,
}

/// What came out.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// CPU nanoseconds of the worker for each packet.
    pub nanos: f64,
    /// The same of the pass-through.
    pub baseline_nanos: f64,
    /// Memory that the gateway took when its sessions were there, by their number; none without
    /// sessions.
    pub bytes_per_session: Option<f64>,
}

impl Figures {
    /// What the gateway costs more than passing through.
    #[must_use]
    pub fn net_nanos(&self) -> f64 {
        self.nanos - self.baseline_nanos
    }
}

/// Why a case has no figure.
#[derive(Debug, Error)]
pub enum CaseError {
    /// There is not enough memory.
    #[error(transparent)]
    Memory(#[from] MapError),
    /// Linux does not say what it has to.
    #[error("cannot tell when Linux took the core away: {0}")]
    Schedule(#[from] std::io::Error),
    /// Something is not as it has to be.
    #[error("{what}: {found} instead of {expected}")]
    Unexpected {
        /// What was looked at.
        what: &'static str,
        /// What it has to be.
        expected: u64,
        /// What it is.
        found: u64,
    },
}

/// Server and local end of every flow.
type Ends = Vec<(Endpoint<V4>, Endpoint<V4>)>;

/// Looks at what leaves: while sessions are made, which ends they got.
#[derive(Default)]
pub(super) struct Watch {
    ends: Option<Ends>,
}

impl Inspect for Watch {
    #[inline]
    fn look(&mut self, burst: &[GeneratedPacket]) {
        if let Some(ends) = &mut self.ends {
            burst
                .iter()
                .for_each(|packet| note_ends(ends, packet.bytes()));
        }
    }
}

fn note_ends(ends: &mut Ends, frame: &[u8]) {
    let Some(number) = number_of(frame) else {
        return;
    };
    let end = |addr: usize, port: usize| {
        let addr = frame.get(addr..)?.first_chunk().copied()?;
        let port = frame.get(port..)?.first_chunk().copied()?;
        Some(Endpoint::new(V4::from(addr), u16::from_be_bytes(port)))
    };
    let index = usize::try_from(number).unwrap_or(usize::MAX);
    if let (Some(local), Some(server), Some(slot)) = (end(26, 34), end(30, 36), ends.get_mut(index))
    {
        *slot = (server, local);
    }
}

/// A gateway, and the same loop without one, with what both receive and send.
pub(super) struct Rig {
    pub(super) gateway: Gateway<AnyFrames, Watch>,
    pub(super) receive: Receive<AnyFrames>,
    transmit: Transmit<Watch>,
    pub(super) clock: Clock,
}

impl Rig {
    fn new(case: &Case) -> Result<Self, MapError> {
        let free = FreeBuffers::new(BUFFERS);
        let receive = Receive {
            supply: Arc::new(Mutex::new(Supply {
                frames: case.beginnings(Segment::Syn),
                left: 0,
            })),
            free: free.clone(),
        };
        let transmit = Transmit {
            inspect: Arc::default(),
            free,
        };
        Ok(Self {
            gateway: Gateway::new(&case.shape(), receive.clone(), transmit.clone())?,
            receive,
            transmit,
            clock: Clock::start(case.virtual_clock),
        })
    }

    /// What arrives from now on, and how many of it.
    fn supply(&self, frames: AnyFrames, left: u64) {
        *self.receive.supply.lock() = Supply { frames, left };
    }

    pub(super) fn turn(&mut self) -> usize {
        self.gateway.worker.turn(self.clock.nanos())
    }

    /// Receives and sends, and nothing between.
    fn pass_through(&mut self, burst: &mut Burst<GeneratedPacket>) -> usize {
        std::hint::black_box(self.clock.nanos());
        self.receive.receive(burst);
        self.transmit.send(burst)
    }

    /// Runs until as many sessions have ended in a second as have begun in it.
    fn let_as_many_end_as_begin(&mut self) {
        let counters = Arc::clone(&self.gateway.counters);
        loop {
            let counts = || {
                (
                    counters.sessions_created.get(),
                    counters.sessions_expired.get(),
                )
            };
            let before = counts();
            let end = self.clock.nanos() + 1_000_000_000;
            while self.clock.nanos() < end {
                self.turn();
            }
            let (begun, ended) = (counts().0 - before.0, counts().1 - before.1);
            // Ten expiries of a table that is only filling up would be equal to nothing.
            if ended > 0 && begun.abs_diff(ended) < begun / 50 {
                return;
            }
        }
    }

    /// Lets each flow begin, and with TCP be established; gives the ends they got.
    fn make_sessions(&mut self, case: &Case) -> Ends {
        let nobody = Endpoint::new(V4(0), 0);
        let flows = usize::try_from(case.flows).unwrap_or(usize::MAX);
        self.transmit.inspect.lock().ends = Some(vec![(nobody, nobody); flows]);
        for segment in [Segment::Syn, Segment::Ack] {
            self.supply(case.beginnings(segment), case.flows);
            while self.turn() > 0 {}
        }
        self.transmit.inspect.lock().ends.take().unwrap_or_default()
    }
}

impl Case {
    /// Runs the case; for `profile` it does nothing else first, so that a profiler sees it.
    ///
    /// # Errors
    ///
    /// What was not as it has to be; there is no figure then.
    #[expect(clippy::cast_precision_loss, reason = "memory is far below 2^52 bytes")]
    pub fn run(&self, profile: Duration) -> Result<Figures, CaseError> {
        let (mut rig, memory) = self.rig_at_work()?;
        let counters = Arc::clone(&rig.gateway.counters);
        let before = Counts::of(&counters);
        let end = std::time::Instant::now() + profile;
        while std::time::Instant::now() < end {
            rig.turn();
        }
        let mut burst = Burst::new();
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for _ in 0..self.windows {
            if !self.without_baseline {
                without.push(nanos_per_packet(self.window, || {
                    rig.pass_through(&mut burst)
                }));
            }
            with.push(nanos_per_packet(self.window, || rig.turn()));
        }
        Counts::of(&counters).check(&before, self)?;
        Ok(Figures {
            nanos: median(with).unwrap_or(f64::NAN),
            baseline_nanos: median(without).unwrap_or(f64::NAN),
            bytes_per_session: (self.flows > 0).then(|| memory as f64 / self.flows as f64),
        })
    }

    /// A gateway with its sessions, and what arrives from now on; and the bytes of memory that
    /// both took.
    pub(super) fn rig_at_work(&self) -> Result<(Rig, usize), CaseError> {
        let memory_before = resident_bytes();
        let mut rig = Rig::new(self)?;
        let ends = Arc::new(rig.make_sessions(self));
        let memory = resident_bytes().saturating_sub(memory_before + size_of_val(&**ends));
        expect("sessions", self.flows, rig.gateway.counters.sessions.get())?;
        rig.supply(self.frames(&ends), u64::MAX);
        if self.load == Load::New {
            rig.let_as_many_end_as_begin();
        }
        Ok((rig, memory))
    }

    fn shape(&self) -> Shape {
        let windows = self.window * self.windows as u64;
        let (sessions, timeout_seconds) = match self.load {
            Load::Request | Load::Reply | Load::Both => (self.flows, None),
            Load::Mixed => (self.flows + windows / 3, None),
            // The last burst of a window may be too much for it.
            Load::Begin => (self.flows + 2 * windows, None),
            Load::New => (NEW_SESSIONS, Some(1)),
        };
        Shape {
            method: self.method,
            protocol: self.protocol,
            scheduler: self.scheduler,
            servers: self.servers,
            sessions: usize::try_from(sessions).unwrap_or(usize::MAX).max(1_024),
            timeout_seconds,
        }
    }

    /// The packets that begin each flow, or carry it on, in turn.
    fn beginnings(&self, segment: Segment) -> AnyFrames {
        let order = Order::Ascending { next: 0 };
        let requests = Requests::new(self.protocol, segment, GATEWAY_MAC, VIP, order);
        AnyFrames::Requests(requests.numbered())
    }

    /// What arrives while it is measured.
    fn frames(&self, ends: &Arc<Ends>) -> AnyFrames {
        let order = || Order::random(self.flows);
        let first_new = self.flows;
        let requests_in =
            |segment, order| Requests::new(self.protocol, segment, GATEWAY_MAC, VIP, order);
        let requests = || requests_in(Segment::Ack, order());
        let replies = || Replies::new(self.protocol, GATEWAY_MAC, order(), Arc::clone(ends));
        match self.load {
            Load::Request => AnyFrames::Requests(requests()),
            Load::Reply => AnyFrames::Replies(replies()),
            Load::Mixed => AnyFrames::Requests(requests_in(Segment::Syn, Order::mixed(first_new))),
            Load::New | Load::Begin => {
                let ascending = Order::Ascending { next: first_new };
                AnyFrames::Requests(requests_in(Segment::Syn, ascending))
            }
            Load::Both => AnyFrames::Both(Both {
                requests: requests(),
                replies: replies(),
                reply_next: false,
            }),
        }
    }
}

/// What the worker counted.
pub(super) struct Counts {
    received: u64,
    hits: u64,
    created: u64,
    transmitted: u64,
    lost: u64,
}

impl Counts {
    pub(super) fn of(counters: &WorkerCounters) -> Self {
        let drops = DropReason::ALL
            .iter()
            .map(|reason| counters.drops(*reason).get());
        let punts = PuntClass::ALL
            .iter()
            .map(|class| counters.punts(*class).get());
        Self {
            received: counters.received_packets.get(),
            hits: counters.session_hits.get(),
            created: counters.sessions_created.get(),
            transmitted: counters.transmitted_packets.get(),
            lost: drops.chain(punts).sum::<u64>() + counters.sessions_evicted.get(),
        }
    }

    /// Whether every packet since `before` was what the case says.
    pub(super) fn check(&self, before: &Self, case: &Case) -> Result<(), CaseError> {
        let received = self.received - before.received;
        let (hits, created) = (self.hits - before.hits, self.created - before.created);
        expect("hits and new sessions", received, hits + created)?;
        match case.load {
            Load::Request | Load::Reply | Load::Both => expect("hits", received, hits)?,
            Load::New | Load::Begin => expect("new sessions", received, created)?,
            Load::Mixed => {
                // Of n packets 30 of 100 are new, give or take 5 standard deviations.
                let off = (created * 10).abs_diff(received * 3);
                let most = 50 * received.isqrt();
                expect(
                    "new sessions that were not meant",
                    0,
                    off.saturating_sub(most),
                )?;
            }
        }
        let transmitted = self.transmitted - before.transmitted;
        expect("packets sent", received, transmitted)?;
        expect("drops, punts and evictions", 0, self.lost - before.lost)
    }
}

fn expect(what: &'static str, expected: u64, found: u64) -> Result<(), CaseError> {
    if expected == found {
        return Ok(());
    }
    Err(CaseError::Unexpected {
        what,
        expected,
        found,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_packet_begins_a_session_while_a_virtual_clock_hardly_moves() {
        let case = Case {
            method: Method::Fullnat,
            protocol: Protocol::Tcp,
            flows: 100,
            load: Load::Begin,
            scheduler: SchedulerKind::Rr,
            servers: 10,
            window: 2_000,
            without_baseline: true,
            virtual_clock: true,
            windows: 2,
        };

        // The case itself asserts that there are as many new sessions as packets.
        let figures = case.run(Duration::ZERO);

        assert!(figures.is_ok_and(|figures| figures.nanos > 0.0));
    }
}
