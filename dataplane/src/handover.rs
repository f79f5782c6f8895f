//! Bounded rings that carry packets to the worker that owns their session.
//!
//! One ring for each ordered pair of workers, so that each has one producer and one consumer.

use std::sync::Arc;

use crossbeam_queue::ArrayQueue;

use crate::id::{InterfaceId, WorkerId};

/// Packets that may wait between two workers.
const RING: usize = 1_024;

/// A packet on its way to its owner.
#[derive(Debug)]
pub struct Handed<P> {
    /// The frame as it was received.
    pub packet: P,
    /// Where it was received.
    pub interface: InterfaceId,
    /// The workers it has been at; it visits each candidate once.
    pub visited: Visited,
}

/// A set of workers. Those whose numbers differ by 128 count as one: no machine has that many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Visited(u128);

impl Visited {
    /// Whether the packet has been at no worker but the one that has it.
    #[inline]
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether the packet has been at `worker`.
    #[inline]
    #[must_use]
    pub const fn contains(self, worker: WorkerId) -> bool {
        self.0 & Self::bit(worker) != 0
    }

    /// The set with `worker` in it.
    #[inline]
    #[must_use]
    pub const fn with(self, worker: WorkerId) -> Self {
        Self(self.0 | Self::bit(worker))
    }

    const fn bit(worker: WorkerId) -> u128 {
        1 << (worker.0 % 128)
    }
}

/// The rings between all workers; clones share them.
#[derive(Debug)]
pub struct Handover<P> {
    workers: usize,
    rings: Arc<[ArrayQueue<Handed<P>>]>,
}

impl<P> Clone for Handover<P> {
    fn clone(&self) -> Self {
        Self {
            workers: self.workers,
            rings: Arc::clone(&self.rings),
        }
    }
}

impl<P> Handover<P> {
    /// Empty rings between `workers` workers.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        let rings = (0..workers * workers)
            .map(|_| ArrayQueue::new(RING))
            .collect();
        Self { workers, rings }
    }

    fn ring(&self, from: WorkerId, to: WorkerId) -> Option<&ArrayQueue<Handed<P>>> {
        self.rings.get(from.index() * self.workers + to.index())
    }

    /// Hands a packet from one worker to another; gives it back when the ring is full.
    ///
    /// # Errors
    /// The packet, when there is no room or no such worker.
    pub fn push(&self, from: WorkerId, to: WorkerId, handed: Handed<P>) -> Result<(), Handed<P>> {
        match self.ring(from, to) {
            Some(ring) => ring.push(handed),
            None => Err(handed),
        }
    }

    /// The next packet for `to`. `turn` names the worker whose ring is looked into first, and then
    /// the one behind the giver, so that all that have packets are taken from alike.
    #[must_use]
    pub fn pop(&self, to: WorkerId, turn: &mut usize) -> Option<Handed<P>> {
        let workers = (*turn..self.workers).chain(0..(*turn).min(self.workers));
        let (from, handed) = workers
            .filter_map(|from| Some((from, self.rings.get(from * self.workers + to.index())?)))
            .find_map(|(from, ring)| Some((from, ring.pop()?)))?;
        *turn = from + 1;
        Some(handed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handed(packet: u8) -> Handed<u8> {
        Handed {
            packet,
            interface: InterfaceId(0),
            visited: Visited::default(),
        }
    }

    #[test]
    fn a_packet_reaches_the_worker_it_was_handed_to_and_no_other() {
        let rings = Handover::new(3);

        rings.push(WorkerId(0), WorkerId(2), handed(7)).unwrap();

        assert!(rings.pop(WorkerId(1), &mut 0).is_none());
        let popped = rings.pop(WorkerId(2), &mut 0);
        assert_eq!(popped.map(|handed| handed.packet), Some(7));
    }

    #[test]
    fn workers_that_have_packets_are_taken_from_in_turn() {
        let rings = Handover::new(3);
        for (from, packet) in [(0, 1), (0, 2), (0, 3), (1, 11), (2, 21), (2, 22)] {
            let handed = handed(packet);
            rings.push(WorkerId(from), WorkerId(1), handed).unwrap();
        }

        let mut turn = 0;
        let popped: Vec<_> = std::iter::from_fn(|| rings.pop(WorkerId(1), &mut turn))
            .map(|handed| handed.packet)
            .collect();

        assert_eq!(popped, [1, 11, 21, 2, 22, 3]);
    }

    #[test]
    fn a_full_ring_gives_the_packet_back() {
        let rings = Handover::new(2);
        (0..RING).for_each(|_| rings.push(WorkerId(0), WorkerId(1), handed(0)).unwrap());

        assert!(rings.push(WorkerId(0), WorkerId(1), handed(9)).is_err());
    }
}
