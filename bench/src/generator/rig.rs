//! One worker of a gateway with what it receives and sends, and the same without the worker.

use std::sync::Arc;

use dataplane::address::{Endpoint, V4};
use dataplane::id::WorkerId;
use dataplane::io::{Burst, Packet, RxQueue, TxQueue};
use dataplane::memory::MapError;
use parking_lot::Mutex;

use super::case::Case;
use super::frames::{AnyFrames, Owner, Segment, number_of};
use super::gateway::{Gateway, Recruit, Shape, Shared};
use super::io::{Apart, FreeBuffers, GeneratedPacket, Inspect, Receive, Supply, Transmit};
use super::measure::Clock;

/// Buffers of a worker: a few bursts, so that they stay in the cache as a mempool's do.
pub(super) const BUFFERS: usize = 256;

/// Server and local end of every flow.
pub(super) type Ends = Vec<(Endpoint<V4>, Endpoint<V4>)>;

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

/// What a worker receives from and sends to.
pub(super) struct Queues {
    pub(super) receive: Receive<AnyFrames>,
    pub(super) transmit: Transmit<Watch>,
}

impl Queues {
    /// Queues that take buffers from here and give them back.
    pub(super) fn new(case: &Case, free: &FreeBuffers) -> Self {
        let receive = Receive {
            supply: Arc::new(Apart(Mutex::new(Supply {
                frames: case.beginnings(Segment::Syn, None),
                left: 0,
            }))),
            free: free.clone(),
        };
        let transmit = Transmit {
            inspect: Arc::default(),
            free: free.clone(),
        };
        Self { receive, transmit }
    }
}

/// A worker, and the same loop without one, with what both receive and send.
///
/// On cache lines of its own, as a worker is that lies on its thread's stack.
#[repr(align(128))]
pub(super) struct Rig {
    pub(super) gateway: Gateway<AnyFrames, Watch>,
    pub(super) receive: Receive<AnyFrames>,
    pub(super) transmit: Transmit<Watch>,
    pub(super) clock: Clock,
}

impl Rig {
    /// A gateway with one worker.
    pub(super) fn new(case: &Case) -> Result<Self, MapError> {
        Self::shaped(case, &case.shape(1))
    }

    /// A gateway with one worker, shaped in another way than the case says.
    pub(super) fn shaped(case: &Case, shape: &Shape) -> Result<Self, MapError> {
        let recruit = Recruit::new(shape, WorkerId(0))?;
        let queues = Queues::new(case, &FreeBuffers::new(BUFFERS));
        let clock = Clock::start(case.virtual_clock);
        Ok(Self::of(recruit, &Shared::new(shape), queues, clock))
    }

    /// One worker of a gateway.
    pub(super) fn of(recruit: Recruit, shared: &Shared, queues: Queues, clock: Clock) -> Self {
        let Queues { receive, transmit } = queues;
        Self {
            gateway: recruit.join(shared, receive.clone(), transmit.clone()),
            receive,
            transmit,
            clock,
        }
    }

    /// What arrives from now on, and how many of it.
    pub(super) fn supply(&self, frames: AnyFrames, left: u64) {
        *self.receive.supply.0.lock() = Supply { frames, left };
    }

    pub(super) fn turn(&mut self) -> usize {
        self.gateway.worker.turn(self.clock.nanos())
    }

    /// Receives and sends, and nothing between.
    pub(super) fn pass_through(&mut self, burst: &mut Burst<GeneratedPacket>) -> usize {
        std::hint::black_box(self.clock.nanos());
        self.receive.receive(burst);
        self.transmit.send(burst)
    }

    /// Runs until as many sessions have ended in a second as have begun in it.
    pub(super) fn let_as_many_end_as_begin(&mut self) {
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

    /// Lets each flow begin that belongs to the worker, and with TCP be established; gives the ends
    /// they got, and nobody's for those of others.
    pub(super) fn make_sessions(&mut self, case: &Case, owner: Option<Owner>) -> Ends {
        let nobody = Endpoint::new(V4(0), 0);
        let flows = usize::try_from(case.flows).unwrap_or(usize::MAX);
        self.transmit.inspect.0.lock().ends = Some(vec![(nobody, nobody); flows]);
        let owned = |flow: &u64| owner.is_none_or(|owner| owner.owns(*flow));
        let count = (0..case.flows).filter(owned).count() as u64;
        for segment in [Segment::Syn, Segment::Ack] {
            self.supply(case.beginnings(segment, owner), count);
            while self.turn() > 0 {}
        }
        self.transmit
            .inspect
            .0
            .lock()
            .ends
            .take()
            .unwrap_or_default()
    }
}
