//! The ends of sessions: what each must give back, and whom to end when the table is full.

use std::sync::Arc;

use super::choose::leave_template;
use super::{Context, Pipeline};
use crate::address::{Address, Endpoint, FlowKey, Protocol, V4};
use crate::counters::Counter;
use crate::drop_reason::DropReason;
use crate::id::{SessionId, WorkerId};
use crate::io::Io;
use crate::schedule::ends::Ends;
use crate::schedule::load;
use crate::service::Method;
use crate::session::{Session, SessionFlags};
use crate::snapshot::Snapshot;
use crate::snat::LocalAddress;
use crate::time::Tick;

/// Sessions that a client without a port may have with one VIP at a time.
const NAMESAKES: usize = 8;

impl<I: Io> Pipeline<I> {
    /// Ends the sessions whose time has come, at most `budget` of them; returns how many. To be
    /// called in each turn when its packets are done.
    pub fn expire(&mut self, snapshot: &Snapshot, now: Tick, budget: u32) -> u32 {
        let context = Context { snapshot, now };
        self.let_go(context);
        self.expire_fragments(context);
        let worker = self.worker;
        snapshot.templates.sweep(snapshot, now);
        let mut ends = Ends::default();
        let soon = |session: &Session<V4>| prefetch_held(context, worker, session);
        let ended = self
            .sessions
            .expire_in_batches(now, budget, soon, &mut |session| {
                if let Some(server) = snapshot.server(session.server_slot) {
                    ends.push(server, session.flags.contains(SessionFlags::ACTIVE));
                }
                release(context, worker, session);
            });
        self.counters().sessions_expired.add(u64::from(ended));
        self.counters().sessions.set(self.sessions.len() as u64);
        ended
    }

    /// Whether a session waits until there is a service again, and its packets are Linux's
    /// (connections.md §1). FULLNAT, which the kernel lacks, has servers whose replies Linux would
    /// reset.
    #[inline]
    pub(super) fn is_suspended(&self, snapshot: &Snapshot, id: SessionId) -> bool {
        !snapshot.has_services && self.sessions.get(id).method() != Method::Fullnat
    }

    /// Ends one session now.
    pub(super) fn end_session(&mut self, context: Context<'_>, id: SessionId) {
        if let Some(session) = self.sessions.remove(id) {
            if let Some(server) = context.snapshot.server(session.server_slot) {
                self.let_go(context);
                load::unbind(server, session.flags.contains(SessionFlags::ACTIVE));
            }
            release(context, self.worker, &session);
        }
    }

    /// Ends a session that gave its local port back, because another session has it now. Gives
    /// the sequence number at which its client ended, if it was TCP.
    pub(super) fn end_for_its_port(&mut self, context: Context<'_>, id: SessionId) -> Option<u32> {
        let end = tcp_end(self.sessions.get(id));
        self.end_session(context, id);
        self.counters().sessions_evicted.add(1);
        end
    }

    /// Whether a session's local port is no longer its own.
    pub(super) fn returned_its_port(&self, id: SessionId) -> bool {
        self.sessions
            .get(id)
            .flags
            .contains(SessionFlags::PORT_RETURNED)
    }

    /// Gives the local port of a session that its server ended back, before the session ends: no
    /// living connection needs it any more.
    pub(super) fn return_port_early(&mut self, context: Context<'_>, id: SessionId) {
        let session = self.sessions.get_mut(id);
        release_port(context, self.worker, session);
        session.flags.insert(SessionFlags::PORT_RETURNED);
    }

    /// Makes sure that one more session fits, by ending one that matters least if need be.
    pub(super) fn make_room(&mut self, context: Context<'_>) -> Result<(), DropReason> {
        if !self.sessions.is_full() {
            return Ok(());
        }
        let least = self
            .sessions
            .eviction_candidate(context.now, &context.snapshot.timeouts);
        let id = least.ok_or(DropReason::SessionTableFull)?;
        self.evict(context, id);
        Ok(())
    }

    /// Makes sure that not too many sessions of one client, VIP and source port 0 are there: each
    /// of its packets begins one (connections.md §3), and the table finds them by one hash. The
    /// kernel knows no limit.
    pub(super) fn thin_out(&mut self, context: Context<'_>, hash: u64, key: &FlowKey<V4>) {
        if let (NAMESAKES.., Some(first)) = self.sessions.namesakes(hash, key) {
            self.evict(context, first);
        }
    }

    /// Ends a session that matters little so that a local port of one of `pools` can be lent
    /// towards `server`: without it, a flood of openings that nobody means would keep all ports.
    /// False when there is none.
    pub(super) fn reclaim_port(
        &mut self,
        context: Context<'_>,
        pools: &[Arc<LocalAddress>],
        server: Endpoint<V4>,
    ) -> bool {
        let Context { snapshot, now } = context;
        let worker = self.worker;
        let timeouts = &snapshot.timeouts;
        let candidate = self.sessions.port_candidate(now, timeouts, |session| {
            let could_move = |pool: &Arc<LocalAddress>| {
                pool.could_move(worker, session.local(), session.server(), server)
            };
            has_port(session) && pools.iter().any(could_move)
        });
        if let Some(id) = candidate {
            self.evict(context, id);
        }
        candidate.is_some()
    }

    /// Ends a session so that another one gets what it had.
    pub(super) fn evict(&mut self, context: Context<'_>, id: SessionId) {
        let overdue = self.sessions.get(id).deadline().is_due(context.now);
        self.end_session(context, id);
        let counters = self.counters();
        let counter: &Counter = if overdue {
            &counters.sessions_expired
        } else {
            &counters.sessions_evicted
        };
        counter.add(1);
    }

    /// Gives a session's local port back that never came into the table.
    pub(super) fn return_port(&self, context: Context<'_>, session: &Session<V4>) {
        release_port(context, self.worker, session);
    }
}

/// Gives back what an ended session held besides its place at the server: that at its template,
/// and its local port.
fn release(context: Context<'_>, worker: WorkerId, session: &Session<V4>) {
    leave_template(context, session);
    release_port(context, worker, session);
}

/// Asks for what a session holds that will soon end.
fn prefetch_held(context: Context<'_>, worker: WorkerId, session: &Session<V4>) {
    if !has_port(session) {
        return;
    }
    let local = session.local();
    if let Some(pool) = context.snapshot.local_pool(local.addr.to_ip()) {
        pool.prefetch(worker, session.server(), local.port);
    }
}

fn release_port(context: Context<'_>, worker: WorkerId, session: &Session<V4>) {
    if !has_port(session) {
        return;
    }
    let local = session.local();
    if let Some(pool) = context.snapshot.local_pool(local.addr.to_ip()) {
        let end = tcp_end(session);
        pool.give_back(worker, session.server(), local.port, context.now, end);
    }
}

/// Whether a local port is lent to a session.
pub(super) const fn has_port(session: &Session<V4>) -> bool {
    matches!(session.method(), Method::Fullnat)
        && !session.flags.contains(SessionFlags::PORT_RETURNED)
}

/// The sequence number, as the server saw it, behind the last that the client of a TCP session
/// sent.
fn tcp_end(session: &Session<V4>) -> Option<u32> {
    let is_tcp = session.protocol() == Protocol::Tcp && session.last_client_end != 0;
    is_tcp.then_some(session.last_client_end)
}
