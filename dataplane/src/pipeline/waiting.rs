//! Where fragments wait: for their first one, or for all the others of their datagram.
//!
//! ```text
//!         ┌──────────┬──────────┬───────┬──────────┬────
//! labels: │ A 1480.. │ A 2960.. │ -     │ B 0..    │      256 places, at most 48 of one datagram
//! things: │ fragment │ fragment │ -     │ fragment │      when all are taken, who came first goes
//!         └──────────┴──────────┴───────┴──────────┴────
//! ```
//!
//! A flood of fragments whose others never come fills the room and then only pushes itself out: no
//! more than 256 packet buffers of a worker are ever here, and nothing is allocated after the
//! start. What waits is not looked at; only which bytes of its datagram it carries is known.

use arrayvec::ArrayVec;

use crate::address::V4;
use crate::session::{FRAGMENT_LIFE_TICKS, FragmentKey};
use crate::time::Tick;

/// Fragments that may wait at a worker: a sixteenth of the packet buffers that a pool of the
/// default size has for each.
const PLACES: usize = 256;

/// Fragments of one datagram that may wait: the longest has 45 on Ethernet.
pub(super) const PLACES_OF_ONE: usize = 48;

/// Which bytes of its datagram's payload a fragment carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// The first of them.
    pub(super) start: u16,
    /// The one behind them.
    pub(super) end: u16,
    /// Whether the datagram ends here.
    pub(super) is_last: bool,
}

/// Why a fragment may not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The same bytes of the same datagram wait already.
    Known,
    /// It had to make room, or found none.
    NoRoom,
}

/// How much of a datagram waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gathered {
    /// Something is missing.
    Incomplete,
    /// All of it.
    Complete,
    /// Some bytes are there more than once, or more than the datagram has.
    Overlapping,
}

#[derive(Clone, Copy, Debug)]
struct Label {
    key: FragmentKey<V4>,
    part: Part,
    since: Tick,
    /// Who has the lower number came before.
    number: u32,
}

/// A bounded number of things that wait.
#[derive(Debug)]
pub(super) struct WaitingRoom<T> {
    labels: Box<[Option<Label>]>,
    things: Box<[Option<T>]>,
    len: usize,
    next_number: u32,
    /// No thing has waited too long before that.
    next_due: Tick,
}

impl<T> WaitingRoom<T> {
    /// An empty room.
    pub(super) fn new() -> Self {
        Self {
            labels: vec![None; PLACES].into_boxed_slice(),
            things: (0..PLACES).map(|_| None).collect(),
            len: 0,
            next_number: 0,
            next_due: Tick(0),
        }
    }

    /// Whether nothing waits.
    #[inline]
    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Lets a fragment wait. When the room is full, the one that has waited longest comes out of
    /// it instead; a fragment that may not wait comes back itself.
    pub(super) fn admit(
        &mut self,
        key: &FragmentKey<V4>,
        part: Part,
        now: Tick,
        thing: T,
    ) -> Result<(), (T, Refusal)> {
        let same = || {
            let labels = self.labels.iter().flatten();
            labels.filter(|label| label.key == *key)
        };
        if same().any(|label| label.part == part) {
            return Err((thing, Refusal::Known));
        }
        if same().count() == PLACES_OF_ONE {
            return Err((thing, Refusal::NoRoom));
        }
        let Some(place) = self.place() else {
            return Err((thing, Refusal::NoRoom));
        };
        let displaced = self.vacate(place);
        if self.is_empty() {
            self.next_due = now.plus(FRAGMENT_LIFE_TICKS);
        }
        self.fill(place, key, part, now, thing);
        displaced.map_or(Ok(()), |thing| Err((thing, Refusal::NoRoom)))
    }

    /// Takes what waits of a datagram out, in the order of its bytes.
    pub(super) fn take(&mut self, key: &FragmentKey<V4>) -> ArrayVec<T, PLACES_OF_ONE> {
        let places = self.places_of(key);
        let things = places.iter().filter_map(|(place, _)| self.vacate(*place));
        things.collect()
    }

    /// How much of a datagram waits.
    pub(super) fn gathered(&self, key: &FragmentKey<V4>) -> Gathered {
        let mut end = 0;
        let mut is_whole = false;
        for (_, part) in self.places_of(key) {
            if part.start < end || is_whole {
                return Gathered::Overlapping;
            }
            if part.start > end {
                return Gathered::Incomplete;
            }
            (end, is_whole) = (part.end, part.is_last);
        }
        if is_whole {
            Gathered::Complete
        } else {
            Gathered::Incomplete
        }
    }

    /// Whether something may have waited too long.
    #[inline]
    pub(super) const fn has_overdue(&self, now: Tick) -> bool {
        !self.is_empty() && self.next_due.is_due(now)
    }

    /// Something that has waited 30 s; call it until there is no more.
    pub(super) fn take_overdue(&mut self, now: Tick) -> Option<T> {
        let numbered = self.labels.iter().enumerate();
        let waiting = numbered.filter_map(|(place, label)| Some((place, (*label)?.since)));
        let (place, since) = waiting.min_by_key(|(_, since)| now.until(*since))?;
        self.next_due = since.plus(FRAGMENT_LIFE_TICKS);
        if !self.next_due.is_due(now) {
            return None;
        }
        self.vacate(place)
    }

    /// A vacant place, or that of the one that came first.
    fn place(&self) -> Option<usize> {
        let rank = |label: &Option<Label>| {
            label.map_or(u32::MAX, |label| {
                self.next_number.wrapping_sub(label.number)
            })
        };
        let numbered = self.labels.iter().enumerate();
        let place = numbered.max_by_key(|(_, label)| rank(label));
        place.map(|(place, _)| place)
    }

    /// The places of a datagram's fragments, in the order of their bytes.
    fn places_of(&self, key: &FragmentKey<V4>) -> ArrayVec<(usize, Part), PLACES_OF_ONE> {
        let numbered = self.labels.iter().enumerate();
        let of_it = numbered.filter_map(|(place, label)| {
            let label = label.filter(|label| label.key == *key)?;
            Some((place, label.part))
        });
        let mut places: ArrayVec<_, PLACES_OF_ONE> = of_it.take(PLACES_OF_ONE).collect();
        places.sort_unstable_by_key(|(_, part)| (part.start, part.end));
        places
    }

    fn fill(&mut self, place: usize, key: &FragmentKey<V4>, part: Part, now: Tick, thing: T) {
        let (Some(label), Some(free)) = (self.labels.get_mut(place), self.things.get_mut(place))
        else {
            return;
        };
        *label = Some(Label {
            key: *key,
            part,
            since: now,
            number: self.next_number,
        });
        *free = Some(thing);
        self.next_number = self.next_number.wrapping_add(1);
        self.len += 1;
    }

    fn vacate(&mut self, place: usize) -> Option<T> {
        *self.labels.get_mut(place)? = None;
        let thing = self.things.get_mut(place)?.take();
        self.len -= usize::from(thing.is_some());
        thing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Protocol;

    const NOW: Tick = Tick(u32::MAX - 100);

    fn key(id: u32) -> FragmentKey<V4> {
        FragmentKey {
            source: V4(1),
            destination: V4(2),
            id,
            protocol: Protocol::Udp,
        }
    }

    fn part(start: u16, end: u16, is_last: bool) -> Part {
        Part {
            start,
            end,
            is_last,
        }
    }

    /// A room with parts of the datagram 7, numbered as they came.
    fn room(parts: &[Part]) -> WaitingRoom<usize> {
        let mut room = WaitingRoom::new();
        for (number, part) in parts.iter().enumerate() {
            room.admit(&key(7), *part, NOW, number).unwrap();
        }
        room
    }

    #[test]
    fn fragments_come_out_in_the_order_of_their_bytes_and_others_stay() {
        let mut room = room(&[part(16, 24, true), part(0, 8, false), part(8, 16, false)]);
        room.admit(&key(8), part(8, 16, false), NOW, 99).unwrap();

        assert_eq!(room.take(&key(7)).as_slice(), [1, 2, 0]);

        assert!(room.take(&key(7)).is_empty());
        assert_eq!(room.take(&key(8)).as_slice(), [99]);
        assert!(room.is_empty());
    }

    #[test]
    fn a_datagram_is_gathered_when_every_byte_is_there_once() {
        let [first, second, last] = [part(0, 8, false), part(8, 16, false), part(16, 20, true)];
        for (parts, expected) in [
            (&[][..], Gathered::Incomplete),
            (&[first, second], Gathered::Incomplete),
            (&[first, last], Gathered::Incomplete),
            (&[second, last], Gathered::Incomplete),
            (&[last, first, second], Gathered::Complete),
            (&[first, part(0, 16, false), last], Gathered::Overlapping),
            (&[first, second, part(8, 12, true)], Gathered::Overlapping),
            (&[first, part(8, 16, true), last], Gathered::Overlapping),
        ] {
            assert_eq!(room(parts).gathered(&key(7)), expected, "{parts:?}");
        }
    }

    #[test]
    fn the_same_fragment_again_comes_back() {
        let mut room = room(&[part(8, 16, false)]);

        let again = room.admit(&key(7), part(8, 16, false), NOW, 5);

        assert_eq!(again, Err((5, Refusal::Known)));
    }

    #[test]
    fn in_a_full_room_the_one_that_came_first_has_to_go() {
        // Given a full room, from which the second to come has left for another.
        let mut room = WaitingRoom::new();
        for id in 0..256 {
            room.admit(&key(id), part(8, 16, false), NOW, id).unwrap();
        }
        assert_eq!(room.take(&key(1)).as_slice(), [1]);
        room.admit(&key(256), part(8, 16, false), NOW, 256).unwrap();

        let displaced = [257, 258].map(|id| room.admit(&key(id), part(8, 16, false), NOW, id));

        assert_eq!(
            displaced,
            [Err((0, Refusal::NoRoom)), Err((2, Refusal::NoRoom))]
        );
        assert_eq!(room.take(&key(258)).as_slice(), [258]);
    }

    #[test]
    fn one_datagram_has_a_bounded_number_of_places() {
        let mut room = WaitingRoom::new();
        let admitted = (1..=60).filter(|number| {
            let part = part(number * 8, number * 8 + 8, false);
            room.admit(&key(7), part, NOW, ()).is_ok()
        });

        assert_eq!(admitted.count(), PLACES_OF_ONE);
        assert_eq!(room.admit(&key(8), part(8, 16, false), NOW, ()), Ok(()));
    }

    #[test]
    fn nobody_waits_longer_than_30_seconds() {
        // Given one that waits, and another that came ten seconds later.
        let mut room = WaitingRoom::new();
        room.admit(&key(1), part(8, 16, false), NOW, 1).unwrap();
        let later = NOW.plus(10 * 256);
        room.admit(&key(2), part(8, 16, false), later, 2).unwrap();

        let mut gone_at = |seconds: u32| {
            let now = NOW.plus(seconds * 256);
            let due = room.has_overdue(now);
            due.then(|| room.take_overdue(now)).flatten()
        };

        let gone = [29, 30, 30, 39, 40, 41].map(&mut gone_at);
        assert_eq!(gone, [None, Some(1), None, None, Some(2), None]);
        assert!(room.is_empty());
    }
}
