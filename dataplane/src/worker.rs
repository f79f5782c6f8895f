//! One core's loop.
//!
//! A turn receives a burst from each ethdev, takes it through the pipeline, does a bounded piece
//! of everything else (expiry, frames from Linux, sessions listed and brought in) and sends.
//! Nothing in a turn waits for anything.

use std::sync::Arc;
use std::time::Duration;

use crate::explain::Question;
use crate::id::{EthdevId, InterfaceId};
use crate::import::SessionBatch;
use crate::io::{BURST, Burst, Io, RxQueue};
use crate::mailbox::{Mailbox, SessionPage};
use crate::pipeline::Pipeline;
use crate::session::SessionRecord;
use crate::snapshot::Snapshot;
use crate::time::Tick;

/// Steps of work that expiry may do in any turn; at ten million sessions of 15 minutes' life a
/// turn in 10 µs needs less than one. Each may wait for memory several times, and so may delay
/// the packets of the turn by half a microsecond.
const EXPIRY_BUDGET: u32 = 32;

/// Steps more for each session that the turn made. It costs two: to be filed anew when its first
/// three seconds are over, and to end. So expiry keeps up with any flood, and packets that make
/// none are not delayed for it.
const EXPIRY_STEPS_PER_SESSION: u32 = 3;

/// Places of the session table that a listing looks at in one turn.
const LISTING_BUDGET: usize = 256;

/// What a worker does when there is nothing to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Idle {
    /// Ask the ethdevs again at once: the core is always busy and nothing waits.
    Spin,
    /// Pause while packets are frequent, and sleep for short times when they are not: for
    /// machines that are shared.
    #[default]
    Sleep,
}

impl Idle {
    /// Nanoseconds after a packet in which a worker that may sleep does not: whoever is asked 50
    /// times a second or more never waits for it to wake up.
    const PATIENCE: u64 = 20_000_000;

    /// A sleep is this part of the time since the last packet, so that what it adds to a gap
    /// between packets cannot be seen in it.
    const PART: u64 = 1_000;

    /// No sleep is longer, in nanoseconds; it leaves the core more than nine tenths of its time.
    const LONGEST: u64 = 100_000;

    /// How long to sleep when the last packet was `quiet` nanoseconds ago; zero is not at all.
    #[must_use]
    pub const fn pause(self, quiet: u64) -> Duration {
        match self {
            Self::Spin => Duration::ZERO,
            Self::Sleep if quiet < Self::PATIENCE => Duration::ZERO,
            Self::Sleep if quiet / Self::PART > Self::LONGEST => {
                Duration::from_nanos(Self::LONGEST)
            }
            Self::Sleep => Duration::from_nanos(quiet / Self::PART),
        }
    }
}

/// What was done in a turn.
#[derive(Clone, Copy)]
struct Done {
    packets: usize,
    /// Sessions that come in that were looked at.
    imported: usize,
    /// Sessions that ended.
    expired: u32,
}

impl Done {
    const fn handled(self) -> usize {
        self.packets + self.imported
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

    /// Runs until told to stop. `clock` gives nanoseconds since the start of the gateway; it is
    /// read once a turn, and once more after a sleep.
    pub fn run(&mut self, idle: Idle, mut clock: impl FnMut() -> u64) {
        let mut now = clock();
        let mut last_packet = now;
        while !self.mailbox.is_stopped() {
            let handled;
            (handled, now) = self.timed_turn(now, &mut clock);
            if handled > 0 {
                self.pipeline.counters().busy_turns.add(1);
                last_packet = now;
                continue;
            }
            self.pipeline.counters().idle_turns.add(1);
            let pause = idle.pause(now.saturating_sub(last_packet));
            if pause.is_zero() {
                std::hint::spin_loop();
            } else {
                std::thread::sleep(pause);
                now = clock();
            }
        }
    }

    /// Does one turn that begins at `start`, and records how long its packets stayed. Returns
    /// what [`Self::turn`] does, and when it ended.
    #[inline]
    pub fn timed_turn(&mut self, start: u64, clock: &mut impl FnMut() -> u64) -> (usize, u64) {
        let done = self.work(start);
        let end = clock();
        let (took, counters) = (end.saturating_sub(start), self.pipeline.counters());
        if done.packets > 0 {
            counters.latency.record(took, done.packets as u64);
        }
        if done.handled() > 0 || done.expired > 0 {
            counters.busy_nanos.add(took);
        }
        (done.handled(), end)
    }

    /// Does one turn at the time `nanos`; returns how many packets and sessions that come in
    /// it handled.
    pub fn turn(&mut self, nanos: u64) -> usize {
        self.work(nanos).handled()
    }

    /// One turn.
    #[inline]
    fn work(&mut self, nanos: u64) -> Done {
        let now = Tick::from_nanos(nanos);
        let adopted = self.mailbox.adopt(&mut self.snapshot);
        if adopted {
            self.pipeline.adopt(&self.snapshot);
        }
        if adopted || self.pipeline.out.holds_packets() {
            self.pipeline.out.release_held(&self.snapshot, now);
        }
        let mut handled = 0;
        let made_before = self.pipeline.counters().sessions_created.get();
        let mut burst = Burst::new();
        for (ethdev, queue) in &mut self.receive {
            let count = queue.receive(&mut burst);
            self.pipeline.counters().bursts.record(count);
            if count > 0 {
                self.pipeline
                    .receive(&self.snapshot, now, *ethdev, &mut burst);
                handled += count;
            }
        }
        handled += self.take_over(now);
        let made = self.pipeline.counters().sessions_created.get() - made_before;
        let made = u32::try_from(made).unwrap_or(u32::MAX);
        let budget = EXPIRY_BUDGET.saturating_add(made.saturating_mul(EXPIRY_STEPS_PER_SESSION));
        let expired = self.pipeline.expire(&self.snapshot, now, budget);
        self.pipeline.defend(&self.snapshot, now);
        self.pipeline.sweep(&self.snapshot, now);
        handled += self.inject(now);
        self.list_sessions(now);
        self.explain(now);
        let imported = self.import_sessions(now);
        if made > 0 || imported > 0 {
            let probes = self.pipeline.sessions.probes();
            self.pipeline.counters().probes.tell(probes);
        }
        self.pipeline.out.flush();
        Done {
            packets: handled,
            imported,
            expired,
        }
    }

    /// Takes over what other workers handed on, up to a burst for each queue: what arrives at the
    /// wrong worker is no less than what arrives at the right one.
    fn take_over(&mut self, now: Tick) -> usize {
        let mut count = 0;
        for _ in 0..self.receive.len().max(1) {
            let taken = self.pipeline.take_over(&self.snapshot, now);
            count += taken;
            if taken == 0 {
                break;
            }
        }
        count
    }

    /// Takes on what Linux sent on the twins, up to a burst for each.
    fn inject(&mut self, now: Tick) -> usize {
        let mut count = 0;
        for interface in &self.injecting {
            for _ in 0..BURST {
                let Some(packet) = self.pipeline.out.next_injected(*interface) else {
                    break;
                };
                self.pipeline
                    .inject(&self.snapshot, now, *interface, packet);
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

    /// Says what would become of a packet that control asks about.
    #[inline]
    fn explain(&mut self, now: Tick) {
        if let Some(question) = self.mailbox.probed() {
            self.answer(question, now);
        }
    }

    #[cold]
    #[inline(never)]
    fn answer(&mut self, mut question: Box<Question>, now: Tick) {
        let answer = self.pipeline.explain(&self.snapshot, now, &question.probe);
        question.answer = Some(answer);
        self.mailbox.give_explained(question);
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

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: u64 = 1_000_000;

    #[test]
    fn whoever_is_asked_fifty_times_a_second_never_sleeps() {
        assert_eq!(Idle::Sleep.pause(0), Duration::ZERO);
        assert_eq!(Idle::Sleep.pause(20 * MILLISECOND - 1), Duration::ZERO);
        assert!(!Idle::Sleep.pause(20 * MILLISECOND).is_zero());
    }

    #[test]
    fn a_sleep_is_a_thousandth_of_the_quiet_before_it_and_at_most_100_us() {
        for (quiet_ms, micros) in [(20, 20), (50, 50), (100, 100), (101, 100), (3_600_000, 100)] {
            let pause = Idle::Sleep.pause(quiet_ms * MILLISECOND);
            assert_eq!(pause, Duration::from_micros(micros), "after {quiet_ms} ms");
        }
        assert_eq!(Idle::Sleep.pause(u64::MAX), Duration::from_micros(100));
    }

    #[test]
    fn who_is_to_spin_never_sleeps() {
        for quiet_ms in [0, 20, 100, 3_600_000] {
            assert_eq!(Idle::Spin.pause(quiet_ms * MILLISECOND), Duration::ZERO);
        }
    }
}
