//! rr: one server after the other, weights above 0 being all the same.

use std::sync::Arc;

use super::next_in_line::NextInLine;
use super::spin::SpinLock;
use super::{Change, FlowInfo, Schedule};
use crate::service::RealServer;

/// Round robin. Its state is the place of the server it chose last; `None` is in front of the
/// list.
#[derive(Debug)]
pub struct RoundRobin {
    cursor: SpinLock<Option<usize>>,
    line: NextInLine,
}

impl RoundRobin {
    pub(super) fn new(servers: &[Arc<RealServer>]) -> Self {
        Self {
            cursor: SpinLock::new(None),
            line: NextInLine::new(servers),
        }
    }

    /// The cursor stays at its server while others come and go. When that server goes, the
    /// cursor steps to the one in front, so that the one behind is next.
    pub(super) fn changed(&self, servers: &[Arc<RealServer>], change: Change) -> Self {
        let cursor = self.cursor.lock().and_then(|at| match change {
            Change::Added(new) if new <= at => Some(at + 1),
            Change::Removed(old) if old <= at => at.checked_sub(1),
            _ => Some(at),
        });
        Self {
            cursor: self.cursor.successor(cursor),
            line: NextInLine::new(servers),
        }
    }

    pub(super) fn lock_waits(&self) -> u64 {
        self.cursor.waits() + self.line.lock_waits()
    }
}

impl Schedule for RoundRobin {
    /// Looks behind the cursor, then from the front of the list.
    #[inline]
    fn pick(&self, servers: &[Arc<RealServer>], _client: FlowInfo) -> Option<usize> {
        let mut cursor = self.cursor.lock();
        let behind = cursor.map_or(0, |at| at + 1);
        let chosen =
            (self.line.find(servers, behind, 1)).or_else(|| self.line.find(servers, 0, 1))?;
        *cursor = Some(chosen);
        Some(chosen)
    }
}
