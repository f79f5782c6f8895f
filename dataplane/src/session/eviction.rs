//! Which session gives its place to a new one when the table is full.

use super::entry::Session;
use super::state::Phase;
use super::table::SessionTable;
use super::timeouts::Timeouts;
use crate::address::Address;
use crate::id::SessionId;
use crate::time::{TICKS_PER_SECOND, Tick};

/// Places one search looks at.
const SEARCH_PLACES: usize = 64;

/// Ticks without a packet after which a UDP flow counts as idle: 30 s.
const IDLE_TICKS: i32 = (30 * TICKS_PER_SECOND).cast_signed();

/// Ticks without a packet before a session is ended for its local port: 1 s, as long as a client
/// waits for an answer before it asks again.
const QUIET_TICKS: i32 = TICKS_PER_SECOND.cast_signed();

/// How willingly a session goes, the most willing first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Overdue,
    Opening,
    Closing,
    Datagram,
}

impl<A: Address> SessionTable<A> {
    /// The session that should make room: of the next 64 places, one that is overdue, else one
    /// that is half open, else one that is closing, else a UDP flow of a single packet or
    /// without packets for 30 s; within a class the one that would end first. `None` when there
    /// is none of these: an open session is never given.
    ///
    /// Each search goes on where the last one ended. `timeouts` tells how long a flow is idle.
    pub fn eviction_candidate(&mut self, now: Tick, timeouts: &Timeouts) -> Option<SessionId> {
        self.search(|session| {
            let class = class(session, now, timeouts)?;
            Some((class, now.until(session.deadline)))
        })
    }

    /// The session that should give its local port to another, of those that `has_port` says yes
    /// to: of the next 64 places, one of those that would make room in a full table and had no
    /// packet for a second, so that whoever is still opening gets an answer first; the one that
    /// would end first.
    ///
    /// Each search goes on where the last one ended.
    pub fn port_candidate(
        &mut self,
        now: Tick,
        timeouts: &Timeouts,
        has_port: impl Fn(&Session<A>) -> bool,
    ) -> Option<SessionId> {
        self.search(|session| {
            class(session, now, timeouts)?;
            let is_quiet = quiet_ticks(session, now, timeouts) >= QUIET_TICKS;
            (is_quiet && has_port(session)).then(|| now.until(session.deadline))
        })
    }

    /// The session in the place that `random` falls on, of those that were ever used, if there is
    /// one that is not overdue.
    #[must_use]
    pub fn drawn(&self, random: u32, now: Tick) -> Option<SessionId> {
        let places = u64::from(self.unused);
        let place = u32::try_from((u64::from(random) * places) >> 32).ok()?;
        if place >= self.unused {
            return None;
        }
        let session = self.sessions.get(place as usize)?;
        let lives = session.is_occupied() && !session.deadline.is_due(now);
        lives.then_some(SessionId(place))
    }

    /// Places that were ever used, from which [`Self::drawn`] draws.
    #[must_use]
    pub const fn used_places(&self) -> u32 {
        self.unused
    }

    /// Places for which there is no session.
    #[must_use]
    pub fn free_places(&self) -> usize {
        self.capacity() - self.len()
    }

    /// The first by `rank` of the next 64 places.
    fn search<R: Ord>(&mut self, rank: impl Fn(&Session<A>) -> Option<R>) -> Option<SessionId> {
        let mut best: Option<(R, u32)> = None;
        // Places from `unused` on never held a session, and their memory is not to be touched.
        let places = self.unused as usize;
        for _ in 0..places.min(SEARCH_PLACES) {
            let place = self.hand;
            let is_last = place as usize + 1 >= places;
            self.hand = if is_last { 0 } else { place + 1 };

            let Some(rank) = rank(&self.sessions[place as usize]) else {
                continue;
            };
            let candidate = (rank, place);
            if best.as_ref().is_none_or(|best| candidate < *best) {
                best = Some(candidate);
            }
        }
        best.map(|(_, place)| SessionId(place))
    }
}

/// How willingly the session in this place goes; `None` when it must stay or is no session.
fn class<A: Address>(session: &Session<A>, now: Tick, timeouts: &Timeouts) -> Option<Class> {
    if !session.is_occupied() {
        return None;
    }
    if session.deadline.is_due(now) {
        return Some(Class::Overdue);
    }
    match session.state.phase() {
        Phase::Opening => Some(Class::Opening),
        Phase::Closing => Some(Class::Closing),
        Phase::Datagram => {
            let is_single = session.in_packets + session.out_packets <= 1;
            let is_idle = quiet_ticks(session, now, timeouts) >= IDLE_TICKS;
            (is_single || is_idle).then_some(Class::Datagram)
        }
        Phase::Open => None,
    }
}

/// Ticks since the session's last packet.
pub(crate) fn quiet_ticks<A: Address>(session: &Session<A>, now: Tick, timeouts: &Timeouts) -> i32 {
    let left = now.until(session.deadline);
    timeouts.ticks(session.state).cast_signed() - left
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::{Protocol, V4};
    use crate::session::state::State;
    use crate::session::table::KeysPerSession;
    use crate::session::testing::{SECRET, dr};

    const NOW: Tick = Tick(1_000);

    /// A full table of sessions in these states, each with 100 s left but as `change` says.
    fn full(states: &[State]) -> SessionTable<V4> {
        let mut table = SessionTable::new(states.len(), KeysPerSession::One, SECRET, NOW).unwrap();
        for (state, number) in states.iter().zip(0..) {
            let mut session = dr(number, Protocol::Tcp, NOW);
            session.state = *state;
            session.in_packets = 5;
            table.insert(&session, NOW, 100 * TICKS_PER_SECOND).unwrap();
        }
        table
    }

    fn candidate(table: &mut SessionTable<V4>) -> Option<u32> {
        let timeouts = Timeouts::default();
        table.eviction_candidate(NOW, &timeouts).map(|id| id.0)
    }

    #[test]
    fn sessions_go_in_the_order_of_their_worth() {
        // Given one session of every class, the worthiest first; the UDP flow is idle, since it
        // has 100 s left of 300.
        let mut table = full(&[
            State::Established,
            State::Udp,
            State::TimeWait,
            State::SynRecv,
            State::Established,
        ]);
        table.extend(SessionId(4), NOW, 0);

        // When they are evicted one after the other.
        let mut order = Vec::new();
        while let Some(id) = candidate(&mut table) {
            table.remove(SessionId(id));
            order.push(id);
        }

        // Then overdue, half open, closing and idle ones went, and the open one stayed.
        assert_eq!(order, [4, 3, 2, 1]);
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn an_established_session_is_never_given() {
        let mut table = full(&[State::Established, State::SctpEstablished]);

        assert_eq!(candidate(&mut table), None);
    }

    #[test]
    fn within_a_class_the_one_that_ends_first_goes() {
        let mut table = full(&[State::Close; 3]);
        table.extend(SessionId(1), NOW, 50);

        assert_eq!(candidate(&mut table), Some(1));
    }

    #[test]
    fn a_busy_udp_flow_stays_until_it_is_idle_or_had_one_packet_only() {
        let timeouts = Timeouts::default();
        let mut table = full(&[State::Udp]);
        table.extend(SessionId(0), NOW, timeouts.ticks(State::Udp));

        assert_eq!(candidate(&mut table), None);
        let almost = NOW.plus(30 * TICKS_PER_SECOND - 1);
        assert_eq!(table.eviction_candidate(almost, &timeouts), None);
        assert!(
            table
                .eviction_candidate(almost.plus(1), &timeouts)
                .is_some()
        );

        table.get_mut(SessionId(0)).in_packets = 1;
        assert_eq!(candidate(&mut table), Some(0));
    }

    #[test]
    fn a_search_looks_at_64_places_and_goes_on_there_the_next_time() {
        let mut states = [State::Established; 200];
        states[130] = State::SynRecv;
        let mut table = full(&states);

        let found: Vec<_> = (0..7).map(|_| candidate(&mut table)).collect();

        // 130 lies in the third search, and after a round of 200 places in the sixth.
        let none = None;
        assert_eq!(found, [none, none, Some(130), none, none, Some(130), none]);
    }

    #[test]
    fn every_session_may_be_drawn_and_no_vacant_or_overdue_place() {
        let mut table = full(&[State::SynRecv; 4]);
        table.remove(SessionId(1));
        table.extend(SessionId(2), NOW, 0);

        let quarter = u32::MAX / 4 + 1;
        let drawn = [0, 1, 2, 3].map(|n| table.drawn(n * quarter, NOW).map(|id| id.0));

        assert_eq!(drawn, [Some(0), None, None, Some(3)]);
        assert_eq!(table.drawn(u32::MAX, NOW), Some(SessionId(3)));
        assert_eq!((table.used_places(), table.free_places()), (4, 1));
        let empty = SessionTable::<V4>::new(4, KeysPerSession::One, SECRET, NOW).unwrap();
        assert_eq!(empty.drawn(7, NOW), None);
    }

    #[test]
    fn vacant_places_are_no_candidates() {
        let mut table = SessionTable::<V4>::new(100, KeysPerSession::One, SECRET, NOW).unwrap();

        assert_eq!(candidate(&mut table), None);
    }
}
