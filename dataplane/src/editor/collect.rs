//! What services leave behind, until no worker and no session needs it any more.

use std::time::Duration;

use super::Editor;
use crate::id::ServerSlot;
use crate::schedule::load;

/// How long a server without sessions is remembered that left its service: as long as the kernel
/// does at least (`schedulers.md` §1.8).
pub const REMEMBERED: Duration = Duration::from_secs(120);

/// A server that left its service.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retired {
    pub(super) slot: ServerSlot,
    /// The generation from which on no worker gives it new sessions.
    pub(super) generation: u64,
    /// Since when it was seen without sessions.
    pub(super) idle_since: Option<Duration>,
}

impl Editor {
    /// Frees the slots of servers and local addresses whose last session has ended, of servers
    /// [`REMEMBERED`] later. Call it now and then with the oldest generation that a worker still
    /// uses, and the time since some beginning.
    ///
    /// Returns whether the next snapshot differs.
    pub fn collect(&mut self, oldest_adopted: u64, now: Duration) -> bool {
        let book = &mut self.services;
        let free = |(generation, _): &mut (u64, ServerSlot)| oldest_adopted >= *generation;
        let freed = book.leaving.extract_if(.., free);
        book.free_servers.extend(freed.map(|(_, slot)| slot));
        let known_by_nat = self.forget_once_nat(oldest_adopted);
        let servers = self.forget_servers(oldest_adopted, now);
        self.settle_thresholds(oldest_adopted);
        let pools = self.collect_pools(oldest_adopted);
        self.index_local_servers();
        known_by_nat || servers || pools
    }

    /// A worker with an older snapshot might still bind a session to a server.
    fn is_drained(&self, oldest_adopted: u64, generation: u64, slot: ServerSlot) -> bool {
        let server = self.next.server(slot);
        let has_sessions = server
            .is_some_and(|server| server.shared.sessions() > 0 || server.shared.persistent() > 0);
        oldest_adopted >= generation && !has_sessions
    }

    /// Forgets that servers once had sessions by NAT. Returns whether there was one.
    fn forget_once_nat(&mut self, oldest_adopted: u64) -> bool {
        let once = self.services.once_nat.iter();
        let over: Vec<_> = once
            .filter(|(_, (generation, slot))| self.is_drained(oldest_adopted, *generation, *slot))
            .map(|(name, _)| *name)
            .collect();
        for (key, endpoint) in &over {
            self.services.once_nat.remove(&(*key, *endpoint));
            self.expect_no_replies(*key, *endpoint);
        }
        !over.is_empty()
    }

    /// Forgets servers that left and are not waited for any more. Returns whether there was one.
    fn forget_servers(&mut self, oldest_adopted: u64, now: Duration) -> bool {
        let mut retired = std::mem::take(&mut self.services.retired);
        let mut over = Vec::new();
        retired.retain(|name, server| {
            let is_idle = self.is_drained(oldest_adopted, server.generation, server.slot);
            let since = is_idle.then(|| server.idle_since.unwrap_or(now));
            server.idle_since = since;
            let is_over = since.is_some_and(|since| now.saturating_sub(since) >= REMEMBERED);
            if is_over {
                over.push((*name, *server));
            }
            !is_over
        });
        self.services.retired = retired;
        for ((key, endpoint), server) in &over {
            let leaving = (self.next.generation + 1, server.slot);
            self.services.leaving.push(leaving);
            if let Some(entry) = self.next.servers.get_mut(server.slot.index()) {
                *entry = None;
            }
            self.server_went(endpoint.addr);
            self.expect_no_replies(*key, *endpoint);
            self.judge_past(*key);
        }
        if !over.is_empty() {
            let standings = &mut self.services.standings;
            standings.retain(|_, standings| standings.strong_count() > 0);
        }
        !over.is_empty()
    }

    /// Judges servers with new thresholds once more when all workers know them: one that did not
    /// may have set the overload flag by the old ones.
    fn settle_thresholds(&mut self, oldest_adopted: u64) {
        let known = |(generation, _): &mut (u64, ServerSlot)| oldest_adopted >= *generation;
        for (_, slot) in self.services.settling.extract_if(.., known) {
            if let Some(Some(server)) = self.next.servers.get(slot.index()) {
                load::thresholds_changed(server, server.upper_threshold);
            }
        }
    }
}
