//! One case: sessions first, then pairs of windows, then what must be true afterwards.

use std::ops::Add;
use std::sync::Arc;
use std::time::Duration;

use dataplane::address::Protocol;
use dataplane::counters::WorkerCounters;
use dataplane::drop_reason::DropReason;
use dataplane::io::Burst;
use dataplane::memory::MapError;
use dataplane::punt::PuntClass;
use dataplane::service::{Method, SchedulerKind};
use thiserror::Error;

use super::frames::{AnyFrames, Both, Order, Owner, Replies, Requests, Segment};
use super::gateway::{GATEWAY_MAC, Shape, VIP};
use super::measure::{nanos_per_packet, resident_bytes};
use super::rig::{Ends, Rig};
use crate::median::median;
use crate::replay::failure::Failure;

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
    /// Whether the service is persistent, for 65,536 groups of clients.
    pub persistent: bool,
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
    /// There are not enough cores, or a thread may not be kept on one.
    #[error(transparent)]
    Cores(#[from] Failure),
    /// A worker's thread has ended before its time.
    #[error("a worker's thread has ended")]
    Ended,
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
        let ends = Arc::new(rig.make_sessions(self, None));
        let resident = resident_bytes().saturating_sub(memory_before + size_of_val(&**ends));
        // Pages of the table that nothing was written to yet are its memory too.
        let memory = resident.max(rig.gateway.worker.pipeline().sessions.memory_bytes());
        expect("sessions", self.flows, rig.gateway.counters.sessions.get())?;
        rig.supply(self.frames(&ends, None), u64::MAX);
        if self.load == Load::New {
            rig.let_as_many_end_as_begin();
        }
        Ok((rig, memory))
    }

    /// What a gateway with so many workers needs for this case.
    pub(super) fn shape(&self, workers: u16) -> Shape {
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
            workers,
            persistent: self.persistent,
        }
    }

    /// The packets that begin each flow, or carry it on, in turn: all flows, or those of one
    /// worker.
    pub(super) fn beginnings(&self, segment: Segment, owner: Option<Owner>) -> AnyFrames {
        let order = owned(Order::Ascending { next: 0 }, owner);
        let requests = Requests::new(self.protocol, segment, GATEWAY_MAC, VIP, order);
        AnyFrames::Requests(requests.numbered())
    }

    /// What arrives while it is measured: of all flows, or of those of one worker.
    pub(super) fn frames(&self, ends: &Arc<Ends>, owner: Option<Owner>) -> AnyFrames {
        let order = || owned(Order::random(self.flows), owner);
        let first_new = self.flows;
        let requests_in =
            |segment, order| Requests::new(self.protocol, segment, GATEWAY_MAC, VIP, order);
        let requests = || requests_in(Segment::Ack, order());
        let replies = || Replies::new(self.protocol, GATEWAY_MAC, order(), Arc::clone(ends));
        match self.load {
            Load::Request => AnyFrames::Requests(requests()),
            Load::Reply => AnyFrames::Replies(replies()),
            Load::Mixed => {
                let mixed = owned(Order::mixed(first_new), owner);
                AnyFrames::Requests(requests_in(Segment::Syn, mixed))
            }
            Load::New | Load::Begin => {
                let ascending = owned(Order::Ascending { next: first_new }, owner);
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

fn owned(order: Order, owner: Option<Owner>) -> Order {
    match owner {
        Some(owner) => Order::Owned {
            among: Box::new(order),
            owner,
        },
        None => order,
    }
}

/// What a worker counted, or several together.
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

impl Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            received: self.received + other.received,
            hits: self.hits + other.hits,
            created: self.created + other.created,
            transmitted: self.transmitted + other.transmitted,
            lost: self.lost + other.lost,
        }
    }
}

/// That something is as it has to be.
pub(super) fn expect(what: &'static str, expected: u64, found: u64) -> Result<(), CaseError> {
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
            persistent: false,
            windows: 2,
        };

        // The case itself asserts that there are as many new sessions as packets.
        let figures = case.run(Duration::ZERO);

        assert!(figures.is_ok_and(|figures| figures.nanos > 0.0));
    }
}
