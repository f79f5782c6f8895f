//! Where the later fragments of a datagram go: they carry no ports, so the first one's session
//! is remembered.
//!
//! ```text
//!            ┌─────────┬─────────┬─────────┬─────────┐
//!  hash ───► │ place 0 │ place 1 │ place 2 │ place 3 │   a new one takes the place that is
//!            └─────────┴─────────┴─────────┴─────────┘   forgotten first
//! ```
//!
//! The table has a fixed number of places and never grows: a flood of first fragments makes it
//! forget others sooner, nothing worse. What it gives is a [`SessionHandle`], which must be
//! resolved by the session table, so a session that has ended misdirects nothing; or the worker
//! that was handed the first fragment, which then knows more; or that the first one went to Linux,
//! or nowhere.

use super::hash::HashSecret;
use super::table::SessionHandle;
use super::transition::Direction;
use crate::address::{Address, Protocol};
use crate::id::WorkerId;
use crate::time::{TICKS_PER_SECOND, Tick};
use crate::wire::tuple::Tuple;

/// Places of a bucket.
const WAYS: usize = 4;

/// Ticks a first fragment is remembered, and a later one waits for it: 30 s, as long as Linux keeps
/// unfinished datagrams.
pub const FRAGMENT_LIFE_TICKS: u32 = 30 * TICKS_PER_SECOND;

/// What all fragments of a datagram have in common (RFC 791 §3.2, RFC 8200 §4.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FragmentKey<A> {
    /// The sender.
    pub source: A,
    /// The receiver.
    pub destination: A,
    /// The identification: 16 bits in IPv4, 32 in IPv6.
    pub id: u32,
    /// The transport.
    pub protocol: Protocol,
}

/// Where the first fragment of a datagram went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FragmentWay {
    /// To a session of this worker, in this direction.
    Session(SessionHandle, Direction),
    /// To the worker that owns its session.
    Worker(WorkerId),
    /// To Linux.
    Linux,
    /// Nowhere yet: it waits at this worker until all others are here.
    Waiting,
    /// Nowhere: it was dropped.
    Nowhere,
}

/// What is known of a datagram whose first fragment was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentNote {
    /// Where the first fragment went.
    pub way: FragmentWay,
    /// Bytes of the first fragment's payload: none of the later ones begins before that.
    pub first_len: u16,
}

/// One datagram of which the first fragment was seen.
#[derive(Clone, Copy, Debug)]
struct Place<A> {
    key: FragmentKey<A>,
    forgotten_at: Tick,
    note: FragmentNote,
}

/// The datagrams a worker has seen the first fragment of.
#[derive(Debug)]
pub struct FragmentTable<A> {
    buckets: Box<[[Option<Place<A>>; WAYS]]>,
    secret: HashSecret,
}

impl<A: Address> FragmentTable<A> {
    /// Places of a table that is made without saying how many.
    pub const DEFAULT_PLACES: usize = 4096;

    /// A table of about `places` places.
    #[must_use]
    pub fn new(places: usize, secret: HashSecret) -> Self {
        let buckets = places.div_ceil(WAYS).max(1);
        Self {
            buckets: vec![[None; WAYS]; buckets].into_boxed_slice(),
            secret,
        }
    }

    /// Remembers which way the datagram `key` goes, for 30 s from `now` on.
    pub fn remember(&mut self, key: &FragmentKey<A>, note: FragmentNote, now: Tick) {
        let bucket = self.bucket(key);
        let place = Place {
            key: *key,
            forgotten_at: now.plus(FRAGMENT_LIFE_TICKS),
            note,
        };
        // The datagram's own place, else the one that has the least life left.
        let worth = |place: &Option<Place<A>>| match place {
            Some(old) if old.key == *key => i32::MIN,
            Some(old) => now.until(old.forgotten_at),
            None => i32::MIN + 1,
        };
        if let Some(worst) = self.buckets[bucket].iter_mut().min_by_key(|p| worth(p)) {
            *worst = Some(place);
        }
    }

    /// What is known of the datagram.
    #[must_use]
    pub fn find(&self, key: &FragmentKey<A>, now: Tick) -> Option<FragmentNote> {
        self.buckets[self.bucket(key)]
            .iter()
            .flatten()
            .find(|place| place.key == *key && !place.forgotten_at.is_due(now))
            .map(|place| place.note)
    }

    fn bucket(&self, key: &FragmentKey<A>) -> usize {
        // The identification stands where a flow has its ports.
        let tuple = Tuple::<A> {
            addresses: A::pair(key.source, key.destination),
            ports: key.id,
        };
        let hash = self.secret.hash(&tuple, key.protocol);
        (((hash >> 32) * self.buckets.len() as u64) >> 32) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::{V4, V6};
    use crate::session::table::{KeysPerSession, SessionTable};
    use crate::session::testing::{SECRET, addr, nat};

    const NOW: Tick = Tick(u32::MAX - 100);

    const NOTE: FragmentNote = FragmentNote {
        way: FragmentWay::Worker(WorkerId(1)),
        first_len: 1_480,
    };

    fn key<A: Address>(id: u32) -> FragmentKey<A> {
        FragmentKey {
            source: addr(1),
            destination: addr(2),
            id,
            protocol: Protocol::Udp,
        }
    }

    /// A table with one session, its handle, and what a fragment should find.
    fn one_session() -> (SessionTable<V4>, SessionHandle) {
        let mut table = SessionTable::new(10, KeysPerSession::Two, SECRET, NOW).unwrap();
        let id = table.insert(&nat(1, NOW), NOW, 100_000).unwrap();
        let handle = table.handle(id);
        (table, handle)
    }

    fn every_field_counts<A: Address>() {
        let (_, handle) = one_session();
        let mut fragments = FragmentTable::<A>::new(16, SECRET);
        let note = FragmentNote {
            way: FragmentWay::Session(handle, Direction::ToClient),
            ..NOTE
        };
        fragments.remember(&key(7), note, NOW);

        let other_source = FragmentKey {
            source: addr(3),
            ..key(7)
        };
        let other_destination = FragmentKey {
            destination: addr(3),
            ..key(7)
        };
        let tcp = FragmentKey {
            protocol: Protocol::Tcp,
            ..key(7)
        };
        assert_eq!(fragments.find(&key(7), NOW), Some(note));
        for other in [
            key(8),
            key(7 + (1 << 16)),
            other_source,
            other_destination,
            tcp,
        ] {
            assert_eq!(fragments.find(&other, NOW), None);
        }
    }

    #[test]
    fn a_datagram_is_named_by_addresses_identification_and_protocol() {
        every_field_counts::<V4>();
        every_field_counts::<V6>();
    }

    #[test]
    fn a_datagram_is_forgotten_after_30_seconds() {
        let mut fragments = FragmentTable::<V4>::new(16, SECRET);
        fragments.remember(&key(7), NOTE, NOW);

        assert!(fragments.find(&key(7), NOW.plus(30 * 256 - 1)).is_some());
        assert!(fragments.find(&key(7), NOW.plus(30 * 256)).is_none());
    }

    #[test]
    fn the_oldest_gives_its_place_and_a_known_one_keeps_its_own() {
        // Given a table of one bucket that is full.
        let mut fragments = FragmentTable::<V4>::new(WAYS, SECRET);
        for id in 0..4 {
            fragments.remember(&key(id), NOTE, NOW.plus(id));
        }

        // When the oldest datagram is seen again, and then a new one.
        fragments.remember(&key(0), NOTE, NOW.plus(10));
        fragments.remember(&key(9), NOTE, NOW.plus(11));

        // Then the one that is the oldest by now had to go.
        let known = [0, 1, 2, 3, 9].map(|id| fragments.find(&key(id), NOW.plus(11)).is_some());
        assert_eq!(known, [true, false, true, true, true]);
    }

    #[test]
    fn what_a_fragment_finds_is_worthless_once_the_session_is_gone() {
        // Given a fragment's session whose place was given to another.
        let (mut table, handle) = one_session();
        let mut fragments = FragmentTable::<V4>::new(16, SECRET);
        let note = FragmentNote {
            way: FragmentWay::Session(handle, Direction::ToServer),
            ..NOTE
        };
        fragments.remember(&key(7), note, NOW);
        let id = table.resolve(handle, NOW).unwrap();
        table.remove(id);
        assert_eq!(table.insert(&nat(2, NOW), NOW, 100), Ok(id));

        // When a later fragment asks.
        let found = fragments.find(&key(7), NOW);

        // Then the table does not take the new session for the old one.
        assert_eq!(found, Some(note));
        assert_eq!(table.resolve(handle, NOW), None);
    }
}
