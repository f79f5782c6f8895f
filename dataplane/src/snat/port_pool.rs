//! The local ports of one local address that one worker lends.
//!
//! Servers fall into [`BUCKETS`] buckets. A port is lent at most once in each, so that towards
//! servers of different buckets it carries a session each. Within a bucket the free ports stand
//! in one first-in-first-out list for every class of reply hashes:
//!
//! ```text
//!   bucket 0   lists    [ class 0: head ── tail ] [ class 1: … ] …
//!              records  [ port 1024 | port 1025 | … ]   linked by `next` and `previous`
//!   bucket 1   …
//! ```
//!
//! A list begins with the ports that were never lent; what comes back is put at its end. So the
//! head is always the port of its class that rested longest. Of the classes that suit a session,
//! a few are looked at, in turn. One particular port is taken out of the middle of its list.
//!
//! A pool has one user, its worker, whose [cells](super::cell) let it stand in what all share.

use super::cell::{Cell16, Cell32};
use super::reuse::{Lent, TcpEnd};
use crate::address::Protocol;
use crate::intrinsics::prefetch_index;
use crate::time::Tick;

/// Into how many buckets servers fall.
pub(super) const BUCKETS: usize = 4;

/// How many free lists a session chooses among. A redirection table that the workers do not share
/// evenly gives each of them up to some hundred classes: looking at all of them would take longer
/// than all else, and a port that rested almost longest is as good.
pub(super) const CHOICES: usize = 4;

/// The end of a list.
const NIL: u16 = u16::MAX;

/// What is kept of a port in one bucket: 16 bytes, so that none lies on two cache lines.
#[derive(Debug, Default)]
#[repr(align(16))]
struct PortRecord {
    /// A [`Release`].
    release: Cell32,
    /// A [`TcpEnd`]; nothing before the first TCP session.
    end_sequence: Cell32,
    end_freed: Cell32,
    /// The port behind it in its free list.
    next: Cell16,
    /// The port in front of it in its free list.
    previous: Cell16,
}

const _: () = assert!(size_of::<PortRecord>() == 16);

/// What a port takes in a pool.
pub(super) const PORT_BYTES: usize = BUCKETS * size_of::<PortRecord>();

impl PortRecord {
    #[inline]
    fn release(&self) -> Release {
        Release(self.release.get())
    }

    /// The session that had the port ended now: TCP at this sequence number, or another
    /// transport, which leaves the record of TCP alone.
    #[inline]
    fn free(&self, now: Tick, tcp_end: Option<u32>) {
        let mut release = self.release();
        release.give_back(now);
        if let Some(sequence) = tcp_end {
            self.end_sequence.set(sequence);
            self.end_freed.set(now.0);
            release.set(Release::HAD_TCP);
        }
        self.release.set(release.0);
    }

    /// What a new session of `protocol` must know of the last one of TCP.
    #[inline]
    fn previous_end(&self, protocol: Protocol, now: Tick) -> Option<u32> {
        if protocol != Protocol::Tcp || !self.release().has(Release::HAD_TCP) {
            return None;
        }
        let end = TcpEnd {
            sequence: self.end_sequence.get(),
            freed: Tick(self.end_freed.get()),
        };
        end.within_reuse_window(now)
    }
}

/// When a port was last given back, to 1/32 s, and in the three bits that this leaves, what else
/// is true of it.
#[derive(Clone, Copy, Debug, Default)]
struct Release(u32);

impl Release {
    /// A session has it.
    const LENT: u32 = 1;
    /// A TCP session had it.
    const HAD_TCP: u32 = 1 << 1;
    /// It was given back before: the time means something.
    const WAS_LENT: u32 = 1 << 2;
    const FLAGS: u32 = Self::LENT | Self::HAD_TCP | Self::WAS_LENT;

    #[inline]
    const fn has(self, flag: u32) -> bool {
        self.0 & flag != 0
    }

    #[inline]
    const fn set(&mut self, flag: u32) {
        self.0 |= flag;
    }

    #[inline]
    const fn give_back(&mut self, now: Tick) {
        let had_tcp = self.0 & Self::HAD_TCP;
        self.0 = now.0 & !Self::FLAGS | had_tcp | Self::WAS_LENT;
    }

    #[inline]
    const fn at(self) -> Tick {
        Tick(self.0 & !Self::FLAGS)
    }
}

/// The free ports of one class in one bucket.
#[derive(Debug)]
struct FreeList {
    head: Cell16,
    tail: Cell16,
    /// How many ports at its front were never lent.
    never_lent: Cell16,
}

impl FreeList {
    const fn empty() -> Self {
        Self {
            head: Cell16::new(NIL),
            tail: Cell16::new(NIL),
            never_lent: Cell16::new(0),
        }
    }
}

#[derive(Debug)]
struct Bucket {
    records: Box<[PortRecord]>,
    lists: Box<[FreeList]>,
}

/// Ports `first`, `first + step`, … in all buckets.
#[derive(Debug)]
pub(super) struct PortPool {
    first: u16,
    step: u16,
    /// 2^32 / `step`, rounded up: what is multiplied with instead of a division, which is exact
    /// for 16 bits.
    per_step: u64,
    /// Where the next session begins to look among the classes that suit it.
    turn: Cell16,
    buckets: [Bucket; BUCKETS],
}

impl PortPool {
    /// A pool of `count` ports, none of them lent, in `classes` classes; `class_of` names a
    /// port's. The lists begin at a port that `seed` names, go on upwards, and then from below;
    /// with 0 they begin at `first`.
    pub(super) fn new(
        (first, step, count): (u16, u16, u16),
        seed: u64,
        classes: usize,
        class_of: impl Fn(u16) -> usize,
    ) -> Self {
        let begin = part_of(count, seed);
        let buckets = [(); BUCKETS].map(|()| Bucket::new(count, classes));
        for index in (begin..count).chain(0..begin) {
            let class = class_of(first + index * step);
            for bucket in &buckets {
                bucket.append(class, index);
                bucket.lists[class].never_lent.change(1);
            }
        }
        Self {
            first,
            step,
            per_step: (1_u64 << 32).div_ceil(u64::from(step)),
            turn: Cell16::new(0),
            buckets,
        }
    }

    /// Lends a port of one of `classes`, each XOR `mask`: the one that rested longest of the next
    /// [`CHOICES`] of them that have a free one. `None` when all their ports are lent. Looks at
    /// each of `classes` at most once.
    #[inline]
    pub(super) fn take(
        &self,
        bucket: usize,
        classes: &[u16],
        mask: usize,
        protocol: Protocol,
        now: Tick,
    ) -> Option<Lent> {
        let bucket = &self.buckets[bucket];
        let class = match classes {
            [only] => usize::from(*only) ^ mask,
            _ => bucket.longest_rested(self.in_turn(classes, mask), now)?,
        };
        let (index, record) = bucket.pop(class)?;
        Some(Lent {
            port: self.first + index * self.step,
            previous_end: record.previous_end(protocol, now),
        })
    }

    /// The port that [`Self::take`] would give; it stays where it is.
    pub(super) fn peek(
        &self,
        bucket: usize,
        classes: &[u16],
        mask: usize,
        now: Tick,
    ) -> Option<u16> {
        let bucket = &self.buckets[bucket];
        let class = match classes {
            [only] => usize::from(*only) ^ mask,
            _ => {
                let turn = self.turn.get();
                let class = bucket.longest_rested(self.in_turn(classes, mask), now);
                self.turn.set(turn);
                class?
            }
        };
        let index = bucket.lists[class].head.get();
        (index != NIL).then(|| self.first + index * self.step)
    }

    /// `classes`, each XOR `mask`, beginning elsewhere each time.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "there are at most 2048 classes"
    )]
    fn in_turn(&self, classes: &[u16], mask: usize) -> impl Iterator<Item = usize> {
        let turn = usize::from(self.turn.get());
        let (front, back) = classes.split_at_checked(turn).unwrap_or_default();
        let next = turn + CHOICES;
        let is_round = next >= classes.len();
        self.turn.set(if is_round { 0 } else { next as u16 });
        let in_turn = back.iter().chain(front);
        in_turn.map(move |class| usize::from(*class) ^ mask)
    }

    /// Takes back a port of `class`. False, and nothing changes, when it is not lent.
    #[inline]
    pub(super) fn give_back(
        &self,
        bucket: usize,
        class: usize,
        port: u16,
        now: Tick,
        tcp_end: Option<u32>,
    ) -> bool {
        let bucket = &self.buckets[bucket];
        let Some((index, record)) = bucket.record(self.index_of(port)) else {
            return false;
        };
        if !record.release().has(Release::LENT) {
            return false;
        }
        record.free(now, tcp_end);
        bucket.append(class, index);
        true
    }

    /// Hints the CPU to fetch what is kept of a port, which will be given back.
    #[inline]
    pub(super) fn prefetch(&self, bucket: usize, port: u16) {
        if let Some(index) = self.index_of(port) {
            self.buckets[bucket].prefetch(index);
        }
    }

    /// Lends one particular port of `class`, wherever it stands in its list. False, and nothing
    /// changes, when it is lent or none of the pool's.
    pub(super) fn reserve(&self, bucket: usize, class: usize, port: u16) -> bool {
        let bucket = &self.buckets[bucket];
        let Some((index, record)) = bucket.record(self.index_of(port)) else {
            return false;
        };
        if record.release().has(Release::LENT) {
            return false;
        }
        bucket.unlink(class, index);
        true
    }

    /// The place of a port's record, if there is one.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "no more than `offset`")]
    fn index_of(&self, port: u16) -> Option<u16> {
        let offset = port.checked_sub(self.first)?;
        let index = ((u64::from(offset) * self.per_step) >> 32) as u16;
        (index * self.step == offset).then_some(index)
    }
}

impl Bucket {
    fn new(count: u16, classes: usize) -> Self {
        Self {
            records: (0..count).map(|_| PortRecord::default()).collect(),
            lists: (0..classes).map(|_| FreeList::empty()).collect(),
        }
    }

    /// The record at a place, if the port there is one of the pool's.
    #[inline]
    fn record(&self, index: Option<u16>) -> Option<(u16, &PortRecord)> {
        let index = index?;
        Some((index, self.records.get(usize::from(index))?))
    }

    /// The class whose head rested longest, of the first [`CHOICES`] of `classes` with a free
    /// port.
    #[inline]
    fn longest_rested(&self, classes: impl Iterator<Item = usize>, now: Tick) -> Option<usize> {
        let free = classes.filter(|class| self.lists[*class].head.get() != NIL);
        free.take(CHOICES).max_by_key(|class| {
            let list = &self.lists[*class];
            let head = &self.records[usize::from(list.head.get())];
            let rested = now.0.wrapping_sub(head.release().at().0);
            (list.never_lent.get() > 0, rested)
        })
    }

    /// Takes the head off a list.
    #[inline]
    fn pop(&self, class: usize) -> Option<(u16, &PortRecord)> {
        let index = self.lists[class].head.get();
        let record = self.records.get(usize::from(index))?;
        self.unlink(class, index);
        Some((index, record))
    }

    /// Takes a free port out of its list; it is lent then.
    #[inline]
    fn unlink(&self, class: usize, index: u16) {
        let list = &self.lists[class];
        let record = &self.records[usize::from(index)];
        let mut release = record.release();
        if !release.has(Release::WAS_LENT) {
            list.never_lent.change(-1);
        }
        release.set(Release::LENT);
        record.release.set(release.0);
        // Nobody asks what stands in front of a head, nor where the tail of an empty list is.
        let next = record.next.get();
        if index == list.head.get() {
            list.head.set(next);
        } else {
            let previous = record.previous.get();
            self.records[usize::from(previous)].next.set(next);
            if index == list.tail.get() {
                list.tail.set(previous);
            } else {
                self.records[usize::from(next)].previous.set(previous);
            }
        }
        // It is the next to be lent, and nobody has looked at it for long.
        self.prefetch(list.head.get());
    }

    /// Hints the CPU to fetch a port's record.
    #[inline]
    fn prefetch(&self, index: u16) {
        prefetch_index(&self.records, usize::from(index));
    }

    /// Puts a port at the end of a list.
    #[inline]
    fn append(&self, class: usize, index: u16) {
        let list = &self.lists[class];
        let record = &self.records[usize::from(index)];
        let tail = list.tail.get();
        record.next.set(NIL);
        record.previous.set(tail);
        if list.head.get() == NIL {
            list.head.set(index);
        } else {
            self.records[usize::from(tail)].next.set(index);
        }
        list.tail.set(index);
    }
}

/// A number below `count`, as far in it as `seed` is among all numbers; 0 when there is none.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the high half of a product with `count` is below it"
)]
const fn part_of(count: u16, seed: u64) -> u16 {
    ((count as u128 * seed as u128) >> u64::BITS) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Tick = Tick(1_000_000);

    #[test]
    fn a_port_given_back_twice_or_never_lent_changes_nothing() {
        let pool = PortPool::new((1024, 2, 3), 0, 1, |_| 0);
        let lent = pool.take(0, &[0], 0, Protocol::Tcp, NOW).unwrap();

        assert!(pool.give_back(0, 0, lent.port, NOW, None));

        assert!(!pool.give_back(0, 0, lent.port, NOW, None));
        for foreign in [1, 1023, 1025, 1026, 1030, u16::MAX] {
            assert!(!pool.give_back(0, 0, foreign, NOW, None), "{foreign}");
        }
        let left: Vec<_> = std::iter::from_fn(|| pool.take(0, &[0], 0, Protocol::Tcp, NOW))
            .map(|lent| lent.port)
            .collect();
        assert_eq!(left, [1026, 1028, 1024]);
    }

    #[test]
    fn seeds_spread_the_beginnings_over_all_ports_and_never_beyond() {
        assert_eq!(part_of(4, 0), 0);
        assert_eq!(part_of(4, 1 << 62), 1);
        assert_eq!(part_of(4, u64::MAX), 3);
        assert_eq!(part_of(u16::MAX, u64::MAX), u16::MAX - 1);
        assert_eq!(part_of(0, u64::MAX), 0);
    }

    #[test]
    fn buckets_lend_the_same_port_once_each() {
        let pool = PortPool::new((1024, 1, 1), 0, 1, |_| 0);

        for bucket in 0..BUCKETS {
            let lent = pool.take(bucket, &[0], 0, Protocol::Udp, NOW);
            assert_eq!(lent.map(|lent| lent.port), Some(1024));
            assert_eq!(pool.take(bucket, &[0], 0, Protocol::Udp, NOW), None);
        }
    }

    #[test]
    fn of_many_classes_the_longest_rested_of_four_is_taken_in_turn() {
        // Given eight classes of one port each, given back one after the other, the odd ones last.
        let classes: Vec<u16> = (0..8).collect();
        let pool = PortPool::new((1000, 1, 8), 0, 8, |port| usize::from(port - 1000));
        let take = |pool: &PortPool, now| {
            let lent = pool.take(0, &classes, 0, Protocol::Udp, now);
            lent.map(|lent| lent.port)
        };
        while take(&pool, NOW).is_some() {}
        for (port, n) in [1002, 1000, 1004, 1006, 1001, 1003, 1005, 1007]
            .iter()
            .zip(1..)
        {
            let class = usize::from(port - 1000);
            assert!(pool.give_back(0, class, *port, NOW.plus(8 * n), None));
        }
        pool.turn.set(0);

        // When they are lent again, then each four in turn give the one that rested longest.
        let later = NOW.plus(1_000);
        let lent: Vec<_> = std::iter::from_fn(|| take(&pool, later)).collect();
        assert_eq!(lent[..4], [1002, 1004, 1000, 1006]);
        assert_eq!(lent.len(), 8);
    }
}
