//! Takes sessions that ended off their servers, many at a time.
//!
//! Another worker may have written the counts last. Their cache lines are asked for together, so
//! that one is waited for, not each.

use arrayvec::ArrayVec;

use super::load;
use crate::intrinsics::prefetch_write;
use crate::service::RealServer;

/// As many as end between two looks at them.
const AT_ONCE: usize = 32;

/// Sessions that ended and are still counted at their servers, each with whether it was active.
/// All of them are taken off when this is dropped.
#[derive(Debug, Default)]
pub struct Ends<'a>(ArrayVec<(&'a RealServer, bool), AT_ONCE>);

impl<'a> Ends<'a> {
    /// A session of `server` ended, in an active state or not.
    #[inline]
    pub fn push(&mut self, server: &'a RealServer, is_active: bool) {
        if self.0.is_full() {
            self.settle();
        }
        self.0.push((server, is_active));
    }

    /// Takes them off their servers, and marks those when all is done.
    fn settle(&mut self) {
        for (server, _) in &self.0 {
            prefetch_write(server.shared.counts());
            server.shared.seat().prefetch_mark();
        }
        for (server, is_active) in &self.0 {
            load::unbind_unmarked(server, *is_active);
        }
        for (server, _) in &self.0 {
            server.shared.seat().mark();
        }
        self.0.clear();
    }
}

impl Drop for Ends<'_> {
    #[inline]
    fn drop(&mut self) {
        if !self.0.is_empty() {
            self.settle();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::servers;
    use super::*;

    #[test]
    fn sessions_are_taken_off_when_there_are_many_and_at_the_end() {
        // Given two servers with 20 active and 20 other sessions.
        let servers = servers(&[1, 1]);
        for _ in 0..20 {
            load::bind(&servers[0], true);
            load::bind(&servers[1], false);
        }
        let sessions = || [&servers[0], &servers[1]].map(|server| server.shared.sessions());

        // When all of them end in turns.
        let mut ends = Ends::default();
        for _ in 0..20 {
            ends.push(&servers[0], true);
            ends.push(&servers[1], false);
        }

        // Then the first 32 are off at once, the others when there are no more.
        assert_eq!(sessions(), [4, 4]);
        drop(ends);
        assert_eq!(sessions(), [0, 0]);
        assert_eq!(servers[0].shared.active(), 0);
    }
}
