//! The local ports of one local address that one worker lends.
//!
//! Servers fall into [`BUCKETS`] buckets. A port is lent at most once in each, so that towards
//! servers of different buckets it carries a session each. Within a bucket the free ports stand
//! in one first-in-first-out list for every class of reply hashes:
//!
//! ```text
//!   bucket 0   lists    [ class 0: head ── tail ] [ class 1: … ] …
//!              records  [ port 1024 | port 1025 | … ]   linked by `next`
//!   bucket 1   …
//! ```
//!
//! A list begins with the ports that were never lent; what comes back is put at its end. So the
//! head is always the port of its class that rested longest.

use super::reuse::{Lent, TcpEnd};
use crate::address::Protocol;
use crate::time::Tick;

/// Into how many buckets servers fall.
pub(super) const BUCKETS: usize = 4;

/// The end of a list.
const NIL: u16 = u16::MAX;

/// What is kept of a port in one bucket: 16 bytes, so that none lies on two cache lines.
#[derive(Clone, Copy, Debug, Default)]
struct PortRecord {
    /// When it was last given back; nothing before the first time.
    freed: Tick,
    /// Nothing before `had_tcp`.
    tcp_end: TcpEnd,
    /// The port behind it in its free list.
    next: u16,
    lent: bool,
    had_tcp: bool,
}

const _: () = assert!(size_of::<PortRecord>() == 16);

impl PortRecord {
    /// The session that had the port ended now: TCP at this sequence number, or another
    /// transport, which leaves the record of TCP alone.
    #[inline]
    fn free(&mut self, now: Tick, tcp_end: Option<u32>) {
        self.lent = false;
        self.freed = now;
        if let Some(sequence) = tcp_end {
            self.tcp_end = TcpEnd {
                sequence,
                freed: now,
            };
            self.had_tcp = true;
        }
    }

    /// What a new session of `protocol` must know of the last one of TCP.
    #[inline]
    fn previous_end(&self, protocol: Protocol, now: Tick) -> Option<u32> {
        let asks = self.had_tcp && protocol == Protocol::Tcp;
        self.tcp_end.within_reuse_window(now).filter(|_| asks)
    }
}

/// The free ports of one class in one bucket.
#[derive(Clone, Copy, Debug)]
struct FreeList {
    head: u16,
    tail: u16,
    /// How many ports at its front were never lent.
    never_lent: u16,
    /// When the head was given back, once no port in front of it was never lent.
    head_freed: Tick,
}

impl FreeList {
    const EMPTY: Self = Self {
        head: NIL,
        tail: NIL,
        never_lent: 0,
        head_freed: Tick(0),
    };
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
    buckets: [Bucket; BUCKETS],
}

impl PortPool {
    /// A pool of `count` ports, none of them lent, in `classes` classes; `class_of` names a
    /// port's.
    pub(super) fn new(
        first: u16,
        step: u16,
        count: u16,
        classes: usize,
        class_of: impl Fn(u16) -> usize,
    ) -> Self {
        let mut bucket = Bucket::new(count, classes);
        for index in 0..count {
            let list = class_of(first + index * step);
            bucket.append(list, index);
            bucket.lists[list].never_lent += 1;
        }
        let copy = || Bucket {
            records: bucket.records.clone(),
            lists: bucket.lists.clone(),
        };
        Self {
            first,
            step,
            buckets: [copy(), copy(), copy(), bucket],
        }
    }

    /// Lends the port of one of `classes` that rested longest; `None` when all of them are lent.
    /// Looks at each of `classes` at most once.
    #[inline]
    pub(super) fn take(
        &mut self,
        bucket: usize,
        classes: impl Iterator<Item = usize>,
        protocol: Protocol,
        now: Tick,
    ) -> Option<Lent> {
        let bucket = &mut self.buckets[bucket];
        let class = bucket.longest_rested(classes, now)?;
        let (index, record) = bucket.pop(class)?;
        Some(Lent {
            port: self.first + index * self.step,
            previous_end: record.previous_end(protocol, now),
        })
    }

    /// Takes back a port of `class`. False, and nothing changes, when it is not lent.
    #[inline]
    pub(super) fn give_back(
        &mut self,
        bucket: usize,
        class: usize,
        port: u16,
        now: Tick,
        tcp_end: Option<u32>,
    ) -> bool {
        let bucket = &mut self.buckets[bucket];
        let Some((index, record)) = bucket.record(self.first, self.step, port) else {
            return false;
        };
        if !record.lent {
            return false;
        }
        record.free(now, tcp_end);
        bucket.append(class, index);
        true
    }
}

impl Bucket {
    fn new(count: u16, classes: usize) -> Self {
        Self {
            records: vec![PortRecord::default(); usize::from(count)].into(),
            lists: vec![FreeList::EMPTY; classes].into(),
        }
    }

    /// A port's record with its place, if the port is one of the pool's.
    #[inline]
    fn record(&mut self, first: u16, step: u16, port: u16) -> Option<(u16, &mut PortRecord)> {
        let offset = port
            .checked_sub(first)
            .filter(|offset| offset % step == 0)?;
        let index = offset / step;
        Some((index, self.records.get_mut(usize::from(index))?))
    }

    /// The class among `classes` whose head rested longest.
    #[inline]
    fn longest_rested(&self, classes: impl Iterator<Item = usize>, now: Tick) -> Option<usize> {
        let mut best = None;
        for class in classes {
            let list = &self.lists[class];
            if list.never_lent > 0 {
                return Some(class);
            }
            let rested = now.0.wrapping_sub(list.head_freed.0);
            if list.head != NIL && best.is_none_or(|(_, most)| rested > most) {
                best = Some((class, rested));
            }
        }
        best.map(|(class, _)| class)
    }

    /// Takes the head off a list; gives its record as it was.
    #[inline]
    fn pop(&mut self, class: usize) -> Option<(u16, PortRecord)> {
        let list = &mut self.lists[class];
        let index = list.head;
        let record = self.records.get_mut(usize::from(index))?;
        let popped = *record;
        record.lent = true;

        list.never_lent = list.never_lent.saturating_sub(1);
        list.head = popped.next;
        match self.records.get(usize::from(list.head)) {
            Some(head) => list.head_freed = head.freed,
            None => *list = FreeList::EMPTY,
        }
        Some((index, popped))
    }

    /// Puts a port at the end of a list.
    #[inline]
    fn append(&mut self, class: usize, index: u16) {
        let list = &mut self.lists[class];
        let record = &mut self.records[usize::from(index)];
        record.next = NIL;
        if list.head == NIL {
            list.head = index;
            list.head_freed = record.freed;
        } else {
            self.records[usize::from(list.tail)].next = index;
        }
        list.tail = index;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Tick = Tick(1_000_000);

    #[test]
    fn a_port_given_back_twice_or_never_lent_changes_nothing() {
        let mut pool = PortPool::new(1024, 2, 3, 1, |_| 0);
        let lent = pool.take(0, 0..1, Protocol::Tcp, NOW).unwrap();

        assert!(pool.give_back(0, 0, lent.port, NOW, None));

        assert!(!pool.give_back(0, 0, lent.port, NOW, None));
        for foreign in [1, 1023, 1025, 1026, 1030, u16::MAX] {
            assert!(!pool.give_back(0, 0, foreign, NOW, None), "{foreign}");
        }
        let left: Vec<_> = std::iter::from_fn(|| pool.take(0, 0..1, Protocol::Tcp, NOW))
            .map(|lent| lent.port)
            .collect();
        assert_eq!(left, [1026, 1028, 1024]);
    }

    #[test]
    fn buckets_lend_the_same_port_once_each() {
        let mut pool = PortPool::new(1024, 1, 1, 1, |_| 0);

        for bucket in 0..BUCKETS {
            let lent = pool.take(bucket, 0..1, Protocol::Udp, NOW);
            assert_eq!(lent.map(|lent| lent.port), Some(1024));
            assert_eq!(pool.take(bucket, 0..1, Protocol::Udp, NOW), None);
        }
    }
}
