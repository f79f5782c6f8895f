//! With `expire_nodest_conn`, sessions end when their server is removed (connections.md §9).
//!
//! A removal lets each worker pass over its whole table once, a few places in each turn. Until
//! its session is met there, a client's packet ends it on its own.

use arrayvec::ArrayVec;

use super::{Context, Pipeline};
use crate::address::V4;
use crate::id::SessionId;
use crate::io::Io;
use crate::session::Session;
use crate::snapshot::Snapshot;
use crate::time::Tick;

/// Places that are passed in one turn.
const PLACES_PER_TURN: u32 = 32;

/// How far a worker has come.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    /// The purges that it knows of.
    purges: u64,
    /// The place that comes next.
    next: u32,
    /// Places left to pass.
    left: u32,
}

impl<I: Io> Pipeline<I> {
    /// Begins anew when servers were removed since the last snapshot and their sessions are to
    /// end.
    pub(super) fn notice_purges(&mut self, snapshot: &Snapshot) {
        let known = std::mem::replace(&mut self.sweep.purges, snapshot.purges);
        if known != snapshot.purges {
            self.sweep.left = self.sessions.used_places();
        }
    }

    /// Goes on; call it in each turn.
    #[inline]
    pub fn sweep(&mut self, snapshot: &Snapshot, now: Tick) {
        if self.sweep.left > 0 {
            self.sweep_some(Context { snapshot, now });
        }
    }

    #[cold]
    fn sweep_some(&mut self, context: Context<'_>) {
        let places = self.sessions.used_places().max(1);
        let first = self.sweep.next % places;
        // Up to the last place at most: what comes behind it is the next turn's.
        let count = PLACES_PER_TURN.min(self.sweep.left).min(places - first);
        let mut orphans = ArrayVec::<SessionId, { PLACES_PER_TURN as usize }>::new();
        let looked_at = count as usize;
        let _next = self
            .sessions
            .page(first, looked_at, looked_at, |id, session| {
                if is_orphan(context.snapshot, session) {
                    orphans.push(id);
                }
                true
            });
        for id in orphans {
            self.end_session(context, id);
            self.counters().sessions_expired.add(1);
        }
        self.sweep.next = first + count;
        self.sweep.left -= count;
    }
}

/// Whether a session's server was removed from its service, and its sessions are to end.
fn is_orphan(snapshot: &Snapshot, session: &Session<V4>) -> bool {
    let server = snapshot.server(session.server_slot);
    server.is_none_or(|server| server.is_purged(snapshot.purges))
}
