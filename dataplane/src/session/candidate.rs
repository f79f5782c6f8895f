//! The quick look-up of a burst's packets: ask for the buckets, then for the sessions that they name,
//! then see whether those are the right ones. [`find`](SessionTable::find) answers what this leaves open.

use super::buckets::First;
use super::entry::Session;
use super::table::{SessionTable, TO_CLIENT};
use super::transition::Direction;
use crate::address::{Address, Protocol};
use crate::intrinsics::prefetch_read;
use crate::time::Tick;
use crate::wire::tuple::Tuple;

/// The session that probably has a hash: its tag agrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate(u32);

impl Candidate {
    /// None was seen where the look-up begins: no table has this place.
    pub const NONE: Self = Self(!TO_CLIENT);
    /// There was no session with this hash.
    pub const ABSENT: Self = Self(u32::MAX);

    /// Which way packets go that are the candidate's.
    #[inline]
    #[must_use]
    pub const fn direction(self) -> Direction {
        direction(self.0)
    }
}

impl<A: Address> SessionTable<A> {
    /// First prefetch: where the flow's places are noted.
    #[inline]
    pub fn prefetch_bucket(&self, hash: u64) {
        self.buckets.prefetch(hash);
    }

    /// Second prefetch, some packets later: the session that probably has this hash.
    #[inline]
    pub fn prefetch_candidate(&self, hash: u64) -> Candidate {
        let entry = match self.buckets.first_candidate(hash) {
            First::Entry(entry) => entry,
            First::Nothing => return Candidate::ABSENT,
            First::Unknown => return Candidate::NONE,
        };
        let Some(session) = self.sessions.get((entry & !TO_CLIENT) as usize) else {
            return Candidate::NONE;
        };
        prefetch_read(session);
        // Replies count on another line; so does every packet of IPv6, whose keys fill the first.
        if entry & TO_CLIENT != 0 {
            prefetch_read(&session.out_bytes);
        }
        if A::BITS > 32 {
            prefetch_read(&session.deadline);
        }
        Candidate(entry)
    }

    /// The candidate's session when packets with these ends are its own in this direction, and it is
    /// not overdue; `None` leaves the question to [`Self::find`].
    #[inline]
    pub fn confirm(
        &mut self,
        candidate: Candidate,
        direction: Direction,
        tuple: &Tuple<A>,
        protocol: Protocol,
        now: Tick,
    ) -> Option<&mut Session<A>> {
        let place = (candidate.0 & !TO_CLIENT) as usize;
        let session = self.sessions.get_mut(place)?;
        let is_its_own = session.matches(tuple, protocol, direction);
        (is_its_own && !session.deadline.is_due(now)).then_some(session)
    }

    /// Hints the CPU to fetch the place that the next session gets.
    #[inline]
    pub fn prefetch_place(&self) {
        let next = self.vacated.min(self.unused);
        if let Some(place) = self.sessions.get(next as usize) {
            prefetch_read(place);
            prefetch_read(&place.out_bytes);
        }
    }
}

/// Which way the packets of an entry's key go.
#[inline]
pub(super) const fn direction(entry: u32) -> Direction {
    if entry & TO_CLIENT == 0 {
        Direction::ToServer
    } else {
        Direction::ToClient
    }
}
