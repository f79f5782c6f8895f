//! How long packets stay while a million sessions end together.
//!
//! ```text
//!   clock stands still │ runs: hits of other sessions, as many as the worker can do
//!   make all sessions  │ nothing is due      │ all are due at once ...   │ until all have ended
//!                      └── turns without ────┘ └── turns with ───────────┘
//! ```
//!
//! Every state lives a second, and all sessions are made at one moment of the worker's clock, so
//! that their ends fall into one slot of the wheel: it cannot be worse. Those that are hit live on.
//! A turn lasts from the receive burst to the transmit burst. Linux takes the core away now and
//! then, which a long turn may be as well; windows without that are told apart.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::case::{Case, CaseError, Counts, expect};
use super::frames::{AnyFrames, Order, Requests, Segment};
use super::gateway::{GATEWAY_MAC, Shape, VIP};
use super::latency::Schedule;
use super::measure::Clock;
use super::rig::Rig;

/// Sessions that are hit.
const ALIVE: u64 = 10_000;

/// Each of them is hit, at random, so many times in a second of the worker's clock at least: that
/// one of them is not hit once happens never (10,000 × e^-40).
const HITS: u64 = 40;

/// Every state's time-out.
const TIMEOUT_SECONDS: u32 = 1;

/// Nanoseconds behind the making in which nothing is due, the first milliseconds left out.
const QUIET: std::ops::Range<u64> = 100_000_000..900_000_000;

/// When the first session may be due: a tick before its second is over.
const DUE: u64 = 990_000_000;

/// When all must have ended.
const LATEST: u64 = 10_000_000_000;

/// Nanoseconds of a window: short, so that other work takes few of them.
const WINDOW: u64 = 1_000_000;

/// No burst may be delayed longer, in nanoseconds.
const LIMIT: u64 = 100_000;

/// The turns while sessions end, and while none does.
#[derive(Clone, Copy, Debug, Default)]
pub struct MassExpiry {
    /// While sessions ended.
    pub with: Turns,
    /// While none did.
    pub without: Turns,
    /// How long it took until all had ended, in nanoseconds, at most.
    pub took: u64,
}

/// Turns in some windows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turns {
    /// In all.
    pub all: Longest,
    /// In those in which Linux left the core to the thread all the time.
    pub undisturbed: Longest,
}

/// The longest of some turns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Longest {
    /// Windows that were looked at.
    pub windows: u64,
    /// Nanoseconds of the longest turn.
    pub nanos: u64,
    /// Turns longer than 100 µs.
    pub too_long: u64,
}

/// A clock for the worker that passes no time in which nothing is hit.
struct HeldBack {
    clock: Clock,
    /// Nanoseconds that it is behind Linux's clock.
    behind: u64,
}

impl HeldBack {
    fn start() -> Self {
        Self {
            clock: Clock::start(false),
            behind: 0,
        }
    }

    #[inline]
    fn nanos(&mut self) -> u64 {
        self.clock.nanos() - self.behind
    }

    /// When a turn from `start` to `end` that handled so many packets has ended by this clock. An
    /// empty one is never too long, so that a rig without packets comes to its end.
    #[inline]
    fn limit(&mut self, start: u64, end: u64, handled: u64) -> u64 {
        let now = match handled {
            0 => end,
            hits => end.min(start + hits * 1_000_000_000 / (ALIVE * HITS)),
        };
        self.behind += end - now;
        now
    }

    /// What has passed since `now` has not.
    fn go_on_at(&mut self, now: u64) {
        self.behind += self.nanos() - now;
    }
}

impl MassExpiry {
    /// Lets as many sessions end together as the case has flows, once for each of its windows.
    ///
    /// # Errors
    ///
    /// What was not as it has to be; there is no figure then.
    pub fn measure(case: &Case) -> Result<Self, CaseError> {
        let shape = Shape {
            sessions: usize::try_from(case.flows + ALIVE).unwrap_or(usize::MAX),
            timeout_seconds: Some(TIMEOUT_SECONDS),
            ..case.shape(1)
        };
        let mut rig = Rig::shaped(case, &shape)?;
        let mut result = Self::default();
        let mut epoch = 0;
        for _ in 0..case.windows {
            epoch = result.add_round(case, &mut rig, epoch)?;
        }
        Ok(result)
    }

    /// One round whose sessions are made at `epoch` of the worker's clock; gives when it ended.
    fn add_round(&mut self, case: &Case, rig: &mut Rig, epoch: u64) -> Result<u64, CaseError> {
        let counters = Arc::clone(&rig.gateway.counters);
        for (first, count) in [(0, ALIVE), (ALIVE, case.flows)] {
            let ascending = Order::Ascending { next: first };
            rig.supply(requests(case, Segment::Syn, ascending), count);
            while rig.gateway.worker.turn(epoch) > 0 {}
        }
        expect("sessions", ALIVE + case.flows, counters.sessions.get())?;
        let random = Order::random(ALIVE);
        rig.supply(requests(case, Segment::Ack, random), u64::MAX);
        let (before, expired) = (Counts::of(&counters), counters.sessions_expired.get());
        let schedule = Schedule::open()?;
        let mut clock = HeldBack::start();
        let mut now = 0;
        while now < LATEST && counters.sessions.get() > ALIVE {
            let (slices, start) = (schedule.slices()?, now);
            let mut window = Longest::default();
            while now - start < WINDOW {
                let (handled, end) = timed_turn(rig, &mut clock, epoch, now);
                if handled > 0 {
                    window.add_turn(end - now);
                }
                now = clock.limit(now, end, handled as u64);
            }
            let calm = schedule.slices()? == slices;
            if QUIET.contains(&start) {
                self.without.add(&window, calm);
            } else if start >= DUE {
                self.with.add(&window, calm);
                self.took = self.took.max(now - DUE);
            }
            // Reading takes time that is no turn's.
            clock.go_on_at(now);
        }
        let ended = counters.sessions_expired.get() - expired;
        expect("sessions that ended together", case.flows, ended)?;
        Counts::of(&counters).check(&before, case)?;
        self.let_the_others_end(rig, epoch + now)
    }

    /// The next round begins without sessions; gives the time on the worker's clock.
    fn let_the_others_end(&self, rig: &mut Rig, now: u64) -> Result<u64, CaseError> {
        rig.receive.supply.0.lock().left = 0;
        let later = now + 2_000_000_000 * u64::from(TIMEOUT_SECONDS);
        for _ in 0..ALIVE {
            rig.gateway.worker.turn(later);
        }
        expect("sessions", 0, rig.gateway.counters.sessions.get())?;
        Ok(later)
    }
}

/// A turn that begins `now` nanoseconds behind `epoch`; gives what it handled and when it ended.
fn timed_turn(rig: &mut Rig, clock: &mut HeldBack, epoch: u64, now: u64) -> (usize, u64) {
    let mut later = || epoch + clock.nanos();
    let (handled, end) = rig.gateway.worker.timed_turn(epoch + now, &mut later);
    (handled, end - epoch)
}

fn requests(case: &Case, segment: Segment, order: Order) -> AnyFrames {
    let requests = Requests::new(case.protocol, segment, GATEWAY_MAC, VIP, order);
    AnyFrames::Requests(requests)
}

impl Turns {
    fn add(&mut self, window: &Longest, calm: bool) {
        self.all.add(window);
        if calm {
            self.undisturbed.add(window);
        }
    }
}

impl Longest {
    fn add_turn(&mut self, nanos: u64) {
        self.nanos = self.nanos.max(nanos);
        self.too_long += u64::from(nanos > LIMIT);
    }

    fn add(&mut self, window: &Self) {
        self.windows += 1;
        self.nanos = self.nanos.max(window.nanos);
        self.too_long += window.too_long;
    }

    /// Microseconds of the longest turn; none where there was no window.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub fn micros(&self) -> Option<f64> {
        (self.windows > 0).then_some(self.nanos as f64 / 1e3)
    }
}

impl fmt::Display for MassExpiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "all ended within {:?}", Duration::from_nanos(self.took))?;
        writeln!(f, "  while they ended: {}", self.with)?;
        write!(f, "  while none did: {}", self.without)
    }
}

impl fmt::Display for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "undisturbed {}; all {}", self.undisturbed, self.all)
    }
}

impl fmt::Display for Longest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let longest = Duration::from_nanos(self.nanos);
        let Self {
            windows, too_long, ..
        } = self;
        write!(
            f,
            "{windows} windows, longest turn {longest:?}, {too_long} longer than 100µs"
        )
    }
}

#[cfg(test)]
mod tests {
    use dataplane::address::Protocol;
    use dataplane::service::{Method, SchedulerKind};

    use super::super::case::Load;
    use super::*;

    #[test]
    fn all_sessions_end_together_while_the_others_live_on() {
        let case = Case {
            method: Method::Fullnat,
            protocol: Protocol::Udp,
            flows: 50_000,
            load: Load::Request,
            scheduler: SchedulerKind::Wlc,
            servers: 10,
            window: 0,
            without_baseline: true,
            virtual_clock: false,
            persistent: false,
            windows: 1,
        };

        // The case itself asserts that they end, and that every packet meets a session.
        let figures = MassExpiry::measure(&case).unwrap();

        assert!(figures.without.all.windows > 50, "{figures}");
        assert!(figures.with.all.windows > 0, "{figures}");
    }

    #[test]
    fn the_clock_passes_no_time_in_which_nothing_is_hit() {
        let mut clock = HeldBack::start();

        // 32 packets are worth 80 µs, however long they took.
        assert_eq!(clock.limit(1_000, 5_000, 32), 5_000);
        assert_eq!(clock.limit(5_000, 700_005_000, 32), 85_000);
        assert_eq!(clock.behind, 699_920_000);
        assert_eq!(clock.limit(85_000, 300_000, 0), 300_000);
        assert_eq!(clock.behind, 699_920_000);
    }

    #[test]
    fn a_clock_that_goes_on_forgets_what_passed_meanwhile() {
        let mut clock = HeldBack::start();
        std::thread::sleep(Duration::from_millis(20));

        clock.go_on_at(5_000);

        assert!(
            (5_000..15_000_000).contains(&clock.nanos()),
            "{}",
            clock.behind
        );
    }

    #[test]
    fn disturbed_windows_count_among_all_only() {
        let mut turns = Turns::default();
        let mut window = Longest::default();
        window.add_turn(2_000);
        turns.add(&window, true);
        window.add_turn(150_000);

        turns.add(&window, false);

        assert_eq!(turns.undisturbed.micros(), Some(2.0));
        assert_eq!(turns.all.micros(), Some(150.0));
        assert_eq!((turns.all.windows, turns.all.too_long), (2, 1));
        assert_eq!(Longest::default().micros(), None);
    }
}
