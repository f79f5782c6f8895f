//! One core's loop.
//!
//! A turn receives a burst from each ethdev, takes it through the pipeline, does a bounded piece
//! of everything else (expiry, frames from Linux, sessions listed and brought in) and sends.
//! Nothing in a turn waits for anything.

use std::sync::Arc;
use std::time::Duration;

use crate::id::{EthdevId, InterfaceId};
use crate::import::SessionBatch;
use crate::io::{BURST, Burst, Io, RxQueue};
use crate::mailbox::{Mailbox, SessionPage};
use crate::pipeline::Pipeline;
use crate::session::SessionRecord;
use crate::snapshot::Snapshot;
use crate::time::Tick;

/// Steps of work that expiry may do in any turn; at ten million sessions of 15 minutes' life a
/// turn in 10 µs needs less than one.
const EXPIRY_BUDGET: u32 = 64;

/// Steps more for each packet of the turn. One that makes a session costs two: to file it anew
/// when its first three seconds are over, and to end it. So expiry keeps up with any flood.
const EXPIRY_STEPS_PER_PACKET: u32 = 3;

/// Places of the session table that a listing looks at in one turn.
const LISTING_BUDGET: usize = 256;

/// What a worker does when there is nothing to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Idle {
    /// Ask the ethdevs again at once: the core is always busy and nothing waits.
    Spin,
    /// After some empty turns pause, then sleep for short times: for machines that are shared.
    #[default]
    Sleep,
}

impl Idle {
    /// Empty turns after which a worker that may sleep does.
    const PATIENCE: u32 = 2_000;

    /// How long to sleep after `empty` turns without a packet; zero is not at all.
    #[must_use]
    pub const fn pause(self, empty: u32) -> Duration {
        match self {
            Self::Spin => Duration::ZERO,
            Self::Sleep if empty < Self::PATIENCE => Duration::ZERO,
            Self::Sleep if empty < 2 * Self::PATIENCE => Duration::from_micros(20),
            Self::Sleep => Duration::from_micros(100),
        }
    }
}

/// A worker with everything it owns.
pub struct Worker<I: Io> {
    mailbox: Arc<Mailbox>,
    snapshot: Arc<Snapshot>,
    receive: Vec<(EthdevId, I::Rx)>,
    pipeline: Pipeline<I>,
    /// Interfaces whose frames from Linux leave by this worker.
    injecting: Vec<InterfaceId>,
    listing: Option<Box<SessionPage>>,
    importing: Option<Box<SessionBatch>>,
}

impl<I: Io> Worker<I> {
    /// A worker that receives from these queues and starts with this snapshot.
    pub fn new(
        mailbox: Arc<Mailbox>,
        snapshot: Arc<Snapshot>,
        receive: Vec<(EthdevId, I::Rx)>,
        mut pipeline: Pipeline<I>,
        injecting: Vec<InterfaceId>,
    ) -> Self {
        pipeline.adopt(&snapshot);
        Self {
            mailbox,
            snapshot,
            receive,
            pipeline,
            injecting,
            listing: None,
            importing: None,
        }
    }

    /// What happens to its packets.
    pub const fn pipeline(&mut self) -> &mut Pipeline<I> {
        &mut self.pipeline
    }

    /// Runs until told to stop. `clock` gives nanoseconds since the start of the gateway.
    pub fn run(&mut self, idle: Idle, mut clock: impl FnMut() -> u64) {
        let mut empty: u32 = 0;
        while !self.mailbox.is_stopped() {
            if self.turn(clock()) > 0 {
                self.pipeline.counters().busy_turns.add(1);
                empty = 0;
                continue;
            }
            self.pipeline.counters().idle_turns.add(1);
            empty = empty.saturating_add(1);
            let pause = idle.pause(empty);
            if pause.is_zero() {
                std::hint::spin_loop();
            } else {
                std::thread::sleep(pause);
            }
        }
    }

    /// Does one turn at the time `nanos`; returns how many packets and sessions that come in
    /// it handled.
    pub fn turn(&mut self, nanos: u64) -> usize {
        let now = Tick::from_nanos(nanos);
        let adopted = self.mailbox.adopt(&mut self.snapshot);
        if adopted {
            self.pipeline.adopt(&self.snapshot);
        }
        if adopted || self.pipeline.out.holds_packets() {
            self.pipeline.out.release_held(&self.snapshot, now);
        }
        let mut handled = 0;
        let mut burst = Burst::new();
        for (ethdev, queue) in &mut self.receive {
            let count = queue.receive(&mut burst);
            if count > 0 {
                self.pipeline
                    .receive(&self.snapshot, now, *ethdev, &mut burst);
                handled += count;
            }
        }
        handled += self.take_over(now);
        let packets = u32::try_from(handled).unwrap_or(u32::MAX);
        let budget = EXPIRY_BUDGET.saturating_add(packets.saturating_mul(EXPIRY_STEPS_PER_PACKET));
        self.pipeline.expire(&self.snapshot, now, budget);
        handled += self.inject();
        self.list_sessions(now);
        handled += self.import_sessions(now);
        self.pipeline.out.flush();
        handled
    }

    /// Takes over what other workers handed on, up to a burst for each queue: what arrives at the
    /// wrong worker is no less than what arrives at the right one.
    fn take_over(&mut self, now: Tick) -> usize {
        let mut count = 0;
        for _ in 0..self.receive.len().max(1) {
            let taken = self.pipeline.take_over(&self.snapshot, now);
            count += taken;
            if taken < BURST {
                break;
            }
        }
        count
    }

    /// Sends what Linux sent on the twins, up to a burst for each.
    fn inject(&mut self) -> usize {
        let mut count = 0;
        for interface in &self.injecting {
            for _ in 0..BURST {
                let Some(packet) = self.pipeline.out.next_injected(*interface) else {
                    break;
                };
                self.pipeline
                    .out
                    .transmit_injected(&self.snapshot, *interface, packet);
                count += 1;
            }
        }
        count
    }

    /// Goes on with sessions that control brings in; returns how many it looked at.
    fn import_sessions(&mut self, now: Tick) -> usize {
        let waiting = self.importing.take();
        let Some(mut batch) = waiting.or_else(|| self.mailbox.to_import()) else {
            return 0;
        };
        let count = self.pipeline.import(&self.snapshot, now, &mut batch);
        if batch.is_finished() {
            self.mailbox.give_imported(batch);
        } else {
            self.importing = Some(batch);
        }
        count
    }

    /// Goes on with a listing of sessions that control asked for.
    fn list_sessions(&mut self, now: Tick) {
        let Some(mut page) = self.listing.take().or_else(|| self.mailbox.asked()) else {
            return;
        };
        let SessionPage {
            cursor,
            finished,
            filter,
            records,
        } = &mut *page;
        let room = records.capacity() - records.len();
        let sessions = &self.pipeline.sessions;
        let next = sessions.page(*cursor, room, LISTING_BUDGET, |_, session| {
            let record = SessionRecord::new(session, now);
            let shown = filter.shows(&record);
            if shown {
                records.push(record);
            }
            shown
        });
        match next {
            Some(next) => *cursor = next,
            None => *finished = true,
        }
        if *finished || records.len() == records.capacity() {
            self.mailbox.give_answer(page);
        } else {
            self.listing = Some(page);
        }
    }
}
