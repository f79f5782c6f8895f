//! Carries snapshots, questions and sessions from control to one worker, and back.
//!
//! A snapshot goes through a one-place slot: a newer one replaces an older one that the worker
//! has not taken yet. The worker sends the one it leaves back, so that control frees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam_queue::ArrayQueue;
use crossbeam_utils::CachePadded;
use crossbeam_utils::atomic::AtomicCell;

use crate::address::V4;
use crate::explain::Question;
use crate::id::{InterfaceId, WorkerId};
use crate::import::SessionBatch;
use crate::session::SessionRecord;
use crate::snapshot::Snapshot;

/// Left snapshots that may wait for control.
const RETURNS: usize = 64;

/// Session pages that may wait on either side.
const PAGES: usize = 4;

/// Batches of sessions that may wait on either side.
const BATCHES: usize = 4;

/// Probes that may wait on either side.
const PROBES: usize = 4;

/// Neighbours a worker may ask for before control looks.
const WANTED: usize = 256;

/// Which sessions a listing shows; an empty filter shows all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionFilter {
    /// Only sessions of this client address.
    pub client: Option<std::net::IpAddr>,
    /// Only sessions to this VIP.
    pub vip: Option<std::net::IpAddr>,
    /// Only sessions on this real server address.
    pub server: Option<std::net::IpAddr>,
    /// Only sessions of this transport.
    pub protocol: Option<crate::address::Protocol>,
}

impl SessionFilter {
    /// Whether a listing with this filter shows the session.
    #[must_use]
    pub fn shows(&self, record: &SessionRecord) -> bool {
        self.client.is_none_or(|addr| addr == record.client.addr)
            && self.vip.is_none_or(|addr| addr == record.vip.addr)
            && self.server.is_none_or(|addr| addr == record.server.addr)
            && self
                .protocol
                .is_none_or(|protocol| protocol == record.protocol)
    }
}

/// A piece of a session listing: control sends it empty, the worker fills it.
#[derive(Debug)]
pub struct SessionPage {
    /// Where to go on; 0 at the beginning.
    pub cursor: u32,
    /// Whether the whole table was seen.
    pub finished: bool,
    /// Which sessions are wanted.
    pub filter: SessionFilter,
    /// The sessions; no more than the capacity it came with.
    pub records: Vec<SessionRecord>,
}

impl SessionPage {
    /// An empty page for up to `limit` sessions, from `cursor` on.
    #[must_use]
    pub fn new(cursor: u32, limit: usize, filter: SessionFilter) -> Self {
        Self {
            cursor,
            finished: false,
            filter,
            records: Vec::with_capacity(limit),
        }
    }
}

/// A next hop whose MAC a worker needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WantedNeighbour {
    /// Where it is.
    pub interface: InterfaceId,
    /// Its address.
    pub addr: V4,
}

/// What lies between control and one worker.
pub struct Mailbox {
    /// The worker's number.
    pub worker: WorkerId,
    published: CachePadded<AtomicU64>,
    adopted: CachePadded<AtomicU64>,
    stop: CachePadded<AtomicBool>,
    slot: AtomicCell<Option<Arc<Snapshot>>>,
    returned: ArrayQueue<Arc<Snapshot>>,
    asked: ArrayQueue<Box<SessionPage>>,
    answered: ArrayQueue<Box<SessionPage>>,
    importing: ArrayQueue<Box<SessionBatch>>,
    imported: ArrayQueue<Box<SessionBatch>>,
    probing: ArrayQueue<Box<Question>>,
    explained: ArrayQueue<Box<Question>>,
    wanted: ArrayQueue<WantedNeighbour>,
}

impl Mailbox {
    /// An empty mailbox.
    #[must_use]
    pub fn new(worker: WorkerId) -> Self {
        Self {
            worker,
            published: CachePadded::default(),
            adopted: CachePadded::default(),
            stop: CachePadded::default(),
            slot: AtomicCell::new(None),
            returned: ArrayQueue::new(RETURNS),
            asked: ArrayQueue::new(PAGES),
            answered: ArrayQueue::new(PAGES),
            importing: ArrayQueue::new(BATCHES),
            imported: ArrayQueue::new(BATCHES),
            probing: ArrayQueue::new(PROBES),
            explained: ArrayQueue::new(PROBES),
            wanted: ArrayQueue::new(WANTED),
        }
    }

    /// Control: offers a snapshot, and frees those the worker has left.
    pub fn publish(&self, snapshot: Arc<Snapshot>) {
        let generation = snapshot.generation;
        drop(self.slot.swap(Some(snapshot)));
        self.published.store(generation, Ordering::Release);
        while self.returned.pop().is_some() {}
    }

    /// Control: the generation the worker works with.
    #[must_use]
    pub fn adopted(&self) -> u64 {
        self.adopted.load(Ordering::Acquire)
    }

    /// Control: asks for a page of sessions; gives it back when too many are waiting.
    ///
    /// # Errors
    /// The page, when the worker has not answered earlier ones.
    pub fn ask(&self, page: Box<SessionPage>) -> Result<(), Box<SessionPage>> {
        self.asked.push(page)
    }

    /// Control: a page the worker has filled.
    #[must_use]
    pub fn answer(&self) -> Option<Box<SessionPage>> {
        self.answered.pop()
    }

    /// Control: asks what would become of a packet; gives it back when too many are asked about.
    ///
    /// # Errors
    /// The question, when the worker has not answered earlier ones.
    pub fn probe(&self, question: Box<Question>) -> Result<(), Box<Question>> {
        self.probing.push(question)
    }

    /// Control: a question with its answer.
    #[must_use]
    pub fn explained(&self) -> Option<Box<Question>> {
        self.explained.pop()
    }

    /// Control: brings sessions in; gives them back when too many are waiting.
    ///
    /// # Errors
    /// The batch, when the worker has not taken earlier ones, or control has not taken them back.
    pub fn import(&self, batch: Box<SessionBatch>) -> Result<(), Box<SessionBatch>> {
        self.importing.push(batch)
    }

    /// Control: a batch of which the worker has seen all sessions.
    #[must_use]
    pub fn imported(&self) -> Option<Box<SessionBatch>> {
        self.imported.pop()
    }

    /// Control: a neighbour the worker asked for.
    #[must_use]
    pub fn wanted_neighbour(&self) -> Option<WantedNeighbour> {
        self.wanted.pop()
    }

    /// Control: tells the worker to end its loop.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// Worker: whether it was told to end.
    #[inline]
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Worker: a snapshot newer than `current`, in exchange for it.
    #[inline]
    pub fn adopt(&self, current: &mut Arc<Snapshot>) -> bool {
        if self.published.load(Ordering::Acquire) == current.generation || self.returned.is_full() {
            return false;
        }
        let Some(newer) = self.slot.take() else {
            return false;
        };
        let generation = newer.generation;
        let left = std::mem::replace(current, newer);
        // There is room: this worker is the only one that fills the ring.
        drop(self.returned.push(left));
        self.adopted.store(generation, Ordering::Release);
        true
    }

    /// Worker: a page to fill.
    #[inline]
    #[must_use]
    pub fn asked(&self) -> Option<Box<SessionPage>> {
        if self.answered.is_full() {
            None
        } else {
            self.asked.pop()
        }
    }

    /// Worker: sends a filled page back.
    pub fn give_answer(&self, page: Box<SessionPage>) {
        drop(self.answered.push(page));
    }

    /// Worker: a packet to be explained.
    #[inline]
    #[must_use]
    pub fn probed(&self) -> Option<Box<Question>> {
        // To look is cheaper than to try, and nearly always there is nothing.
        if self.probing.is_empty() || self.explained.is_full() {
            None
        } else {
            self.probing.pop()
        }
    }

    /// Worker: sends a question back, answered.
    pub fn give_explained(&self, question: Box<Question>) {
        // There is room: there was when the question was taken.
        drop(self.explained.push(question));
    }

    /// Worker: a batch of sessions to bring in.
    #[inline]
    #[must_use]
    pub fn to_import(&self) -> Option<Box<SessionBatch>> {
        // To look is cheaper than to try, and nearly always there is nothing.
        if self.importing.is_empty() || self.imported.is_full() {
            None
        } else {
            self.importing.pop()
        }
    }

    /// Worker: sends a batch back whose sessions it has all seen.
    pub fn give_imported(&self, batch: Box<SessionBatch>) {
        // There is room: there was when the batch was taken.
        drop(self.imported.push(batch));
    }

    /// Worker: asks for a neighbour's MAC; when too many are asked for, this one has to wait
    /// until a packet asks again.
    pub fn want(&self, neighbour: WantedNeighbour) {
        let _full = self.wanted.push(neighbour);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(generation: u64) -> Arc<Snapshot> {
        Arc::new(Snapshot {
            generation,
            ..Snapshot::default()
        })
    }

    #[test]
    fn a_worker_adopts_the_newest_snapshot_and_control_frees_the_left_one() {
        let mailbox = Mailbox::new(WorkerId(0));
        let mut current = snapshot(0);
        let first = Arc::downgrade(&current);
        mailbox.publish(snapshot(1));
        mailbox.publish(snapshot(2));

        assert!(mailbox.adopt(&mut current));

        assert_eq!((current.generation, mailbox.adopted()), (2, 2));
        assert!(first.upgrade().is_some(), "the worker frees nothing");
        mailbox.publish(snapshot(3));
        assert!(first.upgrade().is_none());
    }

    #[test]
    fn nothing_new_means_nothing_to_adopt() {
        let mailbox = Mailbox::new(WorkerId(0));
        let mut current = snapshot(0);

        assert!(!mailbox.adopt(&mut current));
    }

    #[test]
    fn a_worker_takes_sessions_only_while_it_can_send_batches_back() {
        let mailbox = Mailbox::new(WorkerId(0));
        let batch = || Box::new(SessionBatch::new(1, 1));

        // Given that control brings as many batches as it may, twice.
        let mut taken = 0;
        for _ in 0..2 {
            while mailbox.import(batch()).is_ok() {}
            while let Some(batch) = mailbox.to_import() {
                mailbox.give_imported(batch);
                taken += 1;
            }
        }

        // Then the worker takes no more than find room on the way back, and none is lost.
        assert_eq!(taken, BATCHES);
        assert!(mailbox.import(batch()).is_err());
        assert_eq!(std::iter::from_fn(|| mailbox.imported()).count(), BATCHES);
        assert!(mailbox.to_import().is_some());
    }

    #[test]
    fn a_worker_keeps_its_snapshot_while_control_does_not_take_the_left_ones() {
        let mailbox = Mailbox::new(WorkerId(0));
        let mut current = snapshot(0);
        for _ in 0..RETURNS {
            mailbox.returned.push(snapshot(0)).unwrap();
        }
        drop(mailbox.slot.swap(Some(snapshot(1))));
        mailbox.published.store(1, Ordering::Release);

        assert!(!mailbox.adopt(&mut current));
    }
}
