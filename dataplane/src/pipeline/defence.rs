//! The defences that `drop_packet`, `drop_entry` and `secure_tcp` switch on (connections.md §11).
//!
//! Each worker judges for itself, once a second and with each new configuration, whether it is
//! short of memory: of places in its session table, counted in pages of 4 KiB as `amemthresh`
//! is. The modes 1 and 2, which the kernel turns into each other, so are the same.

use super::{Context, Pipeline};
use crate::id::SessionId;
use crate::io::Io;
use crate::knobs::Knobs;
use crate::session::{HashSecret, State, TcpRules, quiet_ticks};
use crate::snapshot::Snapshot;
use crate::time::{TICKS_PER_SECOND, Tick};

/// Sessions in a page of 4 KiB.
const SESSIONS_PER_PAGE: usize = 32;

/// Of so many places one is drawn each second.
const PLACES_PER_DRAW: u32 = 32;

/// Sessions, and templates, that `drop_entry` looks at in one turn. Each may be a wait for memory.
const DRAWS_PER_TURN: u64 = 32;

/// Ticks without a packet after which an open session may be ended: a minute.
const IDLE_TICKS: i32 = (60 * TICKS_PER_SECOND).cast_signed();

/// Sessions with more packets than this are not ended while they are open.
const FEW_PACKETS: usize = 8;

/// How a worker defends itself now.
#[derive(Debug)]
pub(super) struct Defence {
    /// When it was judged last.
    judged: Option<Tick>,
    /// Every so many-th packet that would begin a session is dropped; 0 is none.
    drop_rate: u32,
    /// How many of them pass until one is dropped, less 1.
    drop_counter: i64,
    /// Whether sessions are ended at random.
    drops_entries: bool,
    /// Sessions that are still to be drawn.
    draws: u64,
    /// Templates that are still to be drawn, among so many places.
    template_draws: (u64, u32),
    /// How many open sessions with so many packets are met until one is ended.
    spared: [u8; FEW_PACKETS],
    rules: TcpRules,
    random: u64,
}

impl Defence {
    /// None; `secret` begins the random numbers.
    pub(super) const fn new(secret: HashSecret) -> Self {
        let HashSecret([seed, ..]) = secret;
        Self {
            judged: None,
            drop_rate: 0,
            drop_counter: 0,
            drops_entries: false,
            draws: 0,
            template_draws: (0, 0),
            spared: [0; FEW_PACKETS],
            rules: TcpRules::Usual,
            random: seed,
        }
    }

    /// By which rules TCP sessions change their states.
    #[inline]
    pub(super) const fn tcp_rules(&self) -> TcpRules {
        self.rules
    }

    /// Judges what the modes mean with so many pages free.
    pub(super) fn judge(&mut self, knobs: &Knobs, free_pages: u32) {
        let lacking = knobs.amemthresh.saturating_sub(free_pages);
        let acts = |mode| match mode {
            0 => false,
            1 | 2 => lacking > 0,
            _ => true,
        };
        self.drops_entries = acts(knobs.drop_entry);
        self.rules = if acts(knobs.secure_tcp) {
            TcpRules::Secure
        } else {
            TcpRules::Usual
        };
        self.drop_rate = match knobs.drop_packet {
            3 => knobs.am_droprate,
            mode if acts(mode) => {
                let rate = knobs.amemthresh / lacking;
                self.drop_counter = rate.into();
                rate
            }
            _ => 0,
        };
    }

    /// Whether a packet that would begin a session is dropped: the first one, and then every
    /// so many-th.
    pub(super) const fn drops_opening(&mut self) -> bool {
        let drops = self.would_drop_opening();
        if drops {
            self.drop_counter = self.drop_rate as i64;
        } else if self.drop_rate != 0 {
            self.drop_counter -= 1;
        }
        drops
    }

    /// Whether the next packet that would begin a session is dropped.
    pub(super) const fn would_drop_opening(&self) -> bool {
        self.drop_rate != 0 && self.drop_counter <= 1
    }

    /// Whether a session that was drawn is to be ended: it is half open, or open, without a
    /// packet for a minute, and of those that had as few packets the one whose turn it is.
    fn ends(&mut self, state: State, idle_ticks: i32, in_packets: u64) -> bool {
        match state {
            State::SynRecv | State::SynAck | State::SctpInit1 | State::SctpInit => true,
            State::Established | State::SctpEstablished | State::Udp => {
                idle_ticks >= IDLE_TICKS && self.has_turn(in_packets)
            }
            _ => false,
        }
    }

    /// Every n-th session with n packets has its turn, the first one at once.
    fn has_turn(&mut self, packets: u64) -> bool {
        let spared = usize::try_from(packets)
            .ok()
            .and_then(|packets| self.spared.get_mut(packets.checked_sub(1)?));
        let Some(spared) = spared else {
            return false;
        };
        if let Some(left) = spared.checked_sub(1) {
            *spared = left;
            return false;
        }
        *spared = u8::try_from(packets - 1).unwrap_or(0);
        true
    }

    /// Remembers how many sessions are to be drawn after `seconds`, of so many places, and how many
    /// templates, of which others of `workers` draw as many.
    fn plan(&mut self, seconds: u32, places: u32, template_places: u32, workers: u16) {
        if !self.drops_entries {
            self.draws = 0;
            self.template_draws = (0, 0);
            return;
        }
        let due = self.due(seconds, places, 1);
        // What could not be done in time is not owed for ever.
        self.draws = (self.draws + due).min(places.into());
        let due = self.due(seconds, template_places, workers) + self.template_draws.0;
        self.template_draws = (due.min(template_places.into()), template_places);
    }

    /// How many of so many places are to be drawn after `seconds` by one of `workers`.
    fn due(&mut self, seconds: u32, places: u32, workers: u16) -> u64 {
        let one_of = u64::from(PLACES_PER_DRAW) * u64::from(workers.max(1));
        let due = u64::from(seconds) * u64::from(places);
        let one_more = u64::from(self.random()) % one_of < due % one_of;
        due / one_of + u64::from(one_more)
    }

    /// The next random number (xorshift64*; S. Vigna, 2016).
    fn random(&mut self) -> u32 {
        let mut next = self.random | 1;
        next ^= next >> 12;
        next ^= next << 25;
        next ^= next >> 27;
        self.random = next;
        let mixed = next.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        u32::try_from(mixed).unwrap_or(0)
    }
}

impl<I: Io> Pipeline<I> {
    /// Judges anew what the defences do, as with each new configuration.
    pub(super) fn judge_defence(&mut self, snapshot: &Snapshot) {
        let pages = self.sessions.free_places() / SESSIONS_PER_PAGE;
        let pages = u32::try_from(pages).unwrap_or(u32::MAX);
        self.defence.judge(&snapshot.knobs, pages);
    }

    /// Does what the defences do without a packet; call it in each turn.
    #[inline]
    pub fn defend(&mut self, snapshot: &Snapshot, now: Tick) {
        let judged = *self.defence.judged.get_or_insert(now);
        let seconds = judged.until(now) / TICKS_PER_SECOND.cast_signed();
        if seconds != 0 {
            self.defence.judged = Some(now);
            self.judge_defence(snapshot);
            self.plan_drops(snapshot, seconds.unsigned_abs());
        }
        if self.defence.draws > 0 || self.defence.template_draws.0 > 0 {
            self.drop_entries(Context { snapshot, now });
        }
    }

    fn plan_drops(&mut self, snapshot: &Snapshot, seconds: u32) {
        let places = self.sessions.used_places();
        let template_places = match self.defence.drops_entries {
            true => snapshot.templates.places(),
            false => 0,
        };
        let workers = snapshot.steering.workers();
        self.defence.plan(seconds, places, template_places, workers);
    }

    /// Draws some sessions and templates, and ends those that matter least.
    #[cold]
    fn drop_entries(&mut self, context: Context<'_>) {
        let Context { snapshot, now } = context;
        for _ in 0..self.defence.draws.min(DRAWS_PER_TURN) {
            self.defence.draws -= 1;
            let random = self.defence.random();
            let drawn = self.sessions.drawn(random, now);
            if let Some(id) = drawn.filter(|id| self.is_to_end(context, *id)) {
                let template = self.sessions.get(id).template;
                self.evict(context, id);
                snapshot.templates.end_with_session(template, snapshot);
            }
        }
        let (left, places) = self.defence.template_draws;
        let now_drawn = left.min(DRAWS_PER_TURN);
        self.defence.template_draws.0 = left - now_drawn;
        for _ in 0..now_drawn {
            let number = self.defence.random() % places.max(1);
            snapshot.templates.end_drawn(number, snapshot);
        }
    }

    fn is_to_end(&mut self, context: Context<'_>, id: SessionId) -> bool {
        let session = self.sessions.get(id);
        let idle = quiet_ticks(session, context.now, &context.snapshot.timeouts);
        self.defence.ends(session.state, idle, session.in_packets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defence(knobs: &Knobs, free_pages: u32) -> Defence {
        let mut defence = Defence::new(HashSecret([7, 1, 2, 3]));
        defence.judge(knobs, free_pages);
        defence
    }

    /// Which of so many openings are dropped.
    fn dropped(defence: &mut Defence, openings: u32) -> Vec<u32> {
        (0..openings).filter(|_| defence.drops_opening()).collect()
    }

    #[test]
    fn modes_mean_never_when_short_of_memory_and_always() {
        for (mode, with_enough, when_short) in [
            (0, false, false),
            (1, false, true),
            (2, false, true),
            (3, true, true),
        ] {
            let knobs = Knobs {
                drop_entry: mode,
                drop_packet: mode,
                secure_tcp: mode,
                ..Knobs::default()
            };
            for (free_pages, expected) in [(1_024, with_enough), (1_023, when_short)] {
                let defence = defence(&knobs, free_pages);
                assert_eq!(defence.drops_entries, expected, "mode {mode}");
                assert_eq!(defence.tcp_rules() == TcpRules::Secure, expected);
                assert_eq!(defence.drop_rate > 0, expected);
            }
        }
    }

    #[test]
    fn the_first_opening_and_then_every_tenth_is_dropped() {
        let knobs = Knobs {
            drop_packet: 3,
            ..Knobs::default()
        };
        let mut defence = defence(&knobs, 9_999);

        assert_eq!(dropped(&mut defence, 25), [0, 10, 20]);
        // Being judged again begins nothing anew.
        defence.judge(&knobs, 0);
        assert_eq!(dropped(&mut defence, 25), [5, 15]);
    }

    #[test]
    fn the_less_memory_is_left_the_more_openings_are_dropped() {
        let knobs = Knobs {
            drop_packet: 1,
            amemthresh: 1_000,
            ..Knobs::default()
        };

        let rates = [999, 750, 500, 0].map(|free| defence(&knobs, free).drop_rate);

        assert_eq!(rates, [1_000, 4, 2, 1]);
        assert_eq!(dropped(&mut defence(&knobs, 750), 9), [3, 7]);
        assert_eq!(dropped(&mut defence(&knobs, 0), 3), [0, 1, 2]);
    }

    #[test]
    fn half_open_sessions_go_and_open_ones_when_they_are_idle_and_it_is_their_turn() {
        let mut defence = defence(&Knobs::default(), 0);
        let mut ends = |state, idle_seconds, packets| {
            let ticks = TICKS_PER_SECOND.cast_signed();
            defence.ends(state, idle_seconds * ticks, packets)
        };

        for state in [
            State::SynRecv,
            State::SynAck,
            State::SctpInit1,
            State::SctpInit,
        ] {
            assert!(ends(state, 0, 1), "{state}");
        }
        for state in [
            State::None,
            State::FinWait,
            State::TimeWait,
            State::SctpClosed,
        ] {
            assert!(!ends(state, 1_000, 1), "{state}");
        }
        for state in [State::Established, State::Udp, State::SctpEstablished] {
            assert!(ends(state, 60, 1) && !ends(state, 59, 1), "{state}");
            assert!(!ends(state, 60, 0) && !ends(state, 60, 9), "{state}");
        }
        let thrice = [(); 7].map(|()| ends(State::Udp, 60, 3));
        assert_eq!(thrice, [true, false, false, true, false, false, true]);
    }

    #[test]
    fn one_of_32_places_is_drawn_each_second_on_average() {
        let knobs = Knobs {
            drop_entry: 3,
            ..Knobs::default()
        };
        let mut defence = defence(&knobs, 0);

        defence.plan(1, 3_200, 0, 1);
        assert_eq!(defence.draws, 100);
        defence.plan(1_000, 3_200, 0, 1);
        assert_eq!(defence.draws, 3_200);

        let few: u64 = (0..3_200)
            .map(|_| {
                defence.draws = 0;
                defence.plan(1, 10, 0, 1);
                defence.draws
            })
            .sum();
        // 1,000 are expected, with a deviation of 26.
        assert!((900..1_100).contains(&few), "{few}");
    }

    #[test]
    fn workers_share_the_drawing_of_templates() {
        let knobs = Knobs {
            drop_entry: 3,
            ..Knobs::default()
        };
        let mut defence = defence(&knobs, 9_999);

        defence.plan(2, 0, 6_400, 4);
        assert_eq!((defence.draws, defence.template_draws), (0, (100, 6_400)));
        defence.judge(&Knobs::default(), 9_999);
        defence.plan(2, 0, 0, 4);
        assert_eq!(defence.template_draws, (0, 0));
    }
}
