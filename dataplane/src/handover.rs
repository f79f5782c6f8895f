//! Bounded rings that carry packets to the worker that owns their session.
//!
//! One ring for each ordered pair of workers, so that each has one producer and one consumer. Packets
//! travel in batches: what passes from core to core for a batch (the ring's counters, the cache line
//! that says it is there) passes once for all its packets.

use std::sync::Arc;

use arrayvec::ArrayVec;
use crossbeam_queue::ArrayQueue;

use crate::id::{InterfaceId, WorkerId};

/// Packets that travel together.
pub const BATCH: usize = 16;

/// Batches that may wait between two workers.
const RING: usize = 256;

/// Packets for one worker, in the order of arrival.
pub type Batch<P> = ArrayVec<Handed<P>, BATCH>;

/// A packet on its way to its owner.
#[derive(Debug)]
pub struct Handed<P> {
    /// The frame as it was received.
    pub packet: P,
    /// Where it was received.
    pub interface: InterfaceId,
    /// The workers it has been at; it visits each candidate once.
    pub visited: Visited,
    /// Whether it is Linux's, who sent it on the twin of that interface, and may be an answer of
    /// the gateway itself as a real server.
    pub from_linux: bool,
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
    workers: u16,
    rings: Arc<[ArrayQueue<Batch<P>>]>,
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
    pub fn new(workers: u16) -> Self {
        let rings = (0..usize::from(workers).pow(2))
            .map(|_| ArrayQueue::new(RING))
            .collect();
        Self { workers, rings }
    }

    /// How many workers there are.
    #[must_use]
    pub const fn workers(&self) -> u16 {
        self.workers
    }

    fn ring(&self, from: WorkerId, to: WorkerId) -> Option<&ArrayQueue<Batch<P>>> {
        self.rings
            .get(from.index() * usize::from(self.workers) + to.index())
    }

    /// Hands packets from one worker to another; gives them back when the ring is full.
    ///
    /// # Errors
    /// The packets, when there is no room or no such worker.
    pub fn push(&self, from: WorkerId, to: WorkerId, batch: Batch<P>) -> Result<(), Batch<P>> {
        match self.ring(from, to) {
            Some(ring) => ring.push(batch),
            None => Err(batch),
        }
    }

    /// The next packets for `to`. `turn` names the worker whose ring is looked into first, and then
    /// the one behind the giver, so that all that have packets are taken from alike.
    #[must_use]
    pub fn pop(&self, to: WorkerId, turn: &mut u16) -> Option<Batch<P>> {
        let workers = (*turn..self.workers).chain(0..(*turn).min(self.workers));
        let (from, batch) = workers
            .map(WorkerId)
            .find_map(|from| Some((from, self.ring(from, to)?.pop()?)))?;
        *turn = from.0 + 1;
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(packets: &[u8]) -> Batch<u8> {
        let handed = packets.iter().map(|packet| Handed {
            packet: *packet,
            interface: InterfaceId(0),
            visited: Visited::default(),
            from_linux: false,
        });
        handed.collect()
    }

    fn packets(batch: &Batch<u8>) -> Vec<u8> {
        batch.iter().map(|handed| handed.packet).collect()
    }

    #[test]
    fn packets_reach_the_worker_they_were_handed_to_and_no_other() {
        let rings = Handover::new(3);

        rings
            .push(WorkerId(0), WorkerId(2), batch(&[7, 8]))
            .unwrap();

        assert!(rings.pop(WorkerId(1), &mut 0).is_none());
        let popped = rings.pop(WorkerId(2), &mut 0);
        assert_eq!(popped.as_ref().map(packets), Some(vec![7, 8]));
    }

    #[test]
    fn workers_that_have_packets_are_taken_from_in_turn() {
        let rings = Handover::new(3);
        for (from, packet) in [(0, 1), (0, 2), (0, 3), (1, 11), (2, 21), (2, 22)] {
            let batch = batch(&[packet]);
            rings.push(WorkerId(from), WorkerId(1), batch).unwrap();
        }

        let mut turn = 0;
        let popped: Vec<_> = std::iter::from_fn(|| rings.pop(WorkerId(1), &mut turn))
            .flat_map(|batch| packets(&batch))
            .collect();

        assert_eq!(popped, [1, 11, 21, 2, 22, 3]);
    }

    #[test]
    fn a_full_ring_gives_the_packets_back() {
        let rings = Handover::new(2);
        (0..RING).for_each(|_| {
            rings.push(WorkerId(0), WorkerId(1), batch(&[0])).unwrap();
        });

        let given_back = rings.push(WorkerId(0), WorkerId(1), batch(&[9]));

        assert_eq!(given_back.as_ref().map_err(packets), Err(vec![9]));
    }
}
