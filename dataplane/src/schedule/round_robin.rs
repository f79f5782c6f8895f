//! rr: one server after the other, weights above 0 being all the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::next_in_line::NextInLine;
use super::turnstile::Turnstile;
use super::{Change, FlowInfo, Schedule};
use crate::service::RealServer;

/// In front of the list.
const FRONT: usize = usize::MAX;

/// Round robin. Its state is the place of the server it chose last, or [`FRONT`].
#[derive(Debug)]
pub struct RoundRobin {
    turnstile: Turnstile,
    /// Guarded by the turnstile.
    cursor: AtomicUsize,
    line: NextInLine,
}

impl RoundRobin {
    pub(super) fn new(servers: &[Arc<RealServer>]) -> Self {
        Self {
            turnstile: Turnstile::default(),
            cursor: AtomicUsize::new(FRONT),
            line: NextInLine::new(servers),
        }
    }

    /// The cursor stays at its server while others come and go. When that server goes, the
    /// cursor steps to the one in front, so that the one behind is next.
    pub(super) fn changed(&self, servers: &[Arc<RealServer>], changes: &[Change]) -> Self {
        let _passage = self.turnstile.pass();
        let at = self.cursor.load(Ordering::Relaxed);
        let cursor = changes.iter().fold(at, |at, change| match *change {
            Change::Added(new, _) if new <= at && at != FRONT => at + 1,
            Change::Removed(old, _) if old <= at && at != FRONT => at.wrapping_sub(1),
            _ => at,
        });
        Self {
            turnstile: self.turnstile.successor(),
            cursor: AtomicUsize::new(cursor),
            line: NextInLine::new(servers),
        }
    }

    /// Looks on from a place to the end of the list, then from its front.
    #[cold]
    fn search(&self, servers: &[Arc<RealServer>], from: usize) -> Option<usize> {
        let further = self.line.find(servers, from, 1);
        further.or_else(|| self.line.find(servers, 0, 1))
    }

    /// The server that [`Schedule::pick`] would give next.
    pub(super) fn peek(&self, servers: &[Arc<RealServer>]) -> Option<usize> {
        let _passage = self.turnstile.pass();
        self.next(servers)
    }

    /// The next server; whoever asks has passed the turnstile.
    #[inline(always)]
    fn next(&self, servers: &[Arc<RealServer>]) -> Option<usize> {
        let behind = self.cursor.load(Ordering::Relaxed).wrapping_add(1);
        let next = if behind < servers.len() { behind } else { 0 };
        if servers.get(next)?.is_eligible() {
            Some(next)
        } else {
            self.search(servers, next)
        }
    }

    pub(super) fn lock_waits(&self) -> u64 {
        self.turnstile.waits() + self.line.lock_waits()
    }
}

impl Schedule for RoundRobin {
    /// Mostly the one behind the cursor.
    #[inline(never)]
    fn pick(&self, servers: &[Arc<RealServer>], _client: FlowInfo) -> Option<usize> {
        let _passage = self.turnstile.pass();
        let chosen = self.next(servers)?;
        self.cursor.store(chosen, Ordering::Relaxed);
        Some(chosen)
    }
}
