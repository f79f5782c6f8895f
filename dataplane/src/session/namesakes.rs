//! Sessions of one client, VIP and ports: a client without a port may have several.

use super::candidate::direction;
use super::entry::Session;
use super::table::{SessionTable, TO_CLIENT};
use super::transition::Direction;
use crate::address::{Address, FlowKey};
use crate::id::SessionId;
use crate::time::Tick;
use crate::wire::tuple::Tuple;

impl<A: Address> SessionTable<A> {
    /// How many sessions are filed under a client's key, overdue ones included, and the one of
    /// them that was made first.
    #[must_use]
    pub fn namesakes(&self, hash: u64, key: &FlowKey<A>) -> (usize, Option<SessionId>) {
        let (mut count, mut first) = (0, None);
        self.visit_namesakes(hash, key, |age, id| {
            count += 1;
            first = first.max(Some((age, id)));
        });
        (count, first.map(|(_, id)| id))
    }

    /// The session that was made last of those filed under a client's key that are not overdue and
    /// `is_right` agrees to.
    #[must_use]
    pub fn newest(
        &self,
        hash: u64,
        key: &FlowKey<A>,
        now: Tick,
        is_right: impl Fn(&Session<A>) -> bool,
    ) -> Option<SessionId> {
        let mut newest: Option<(u32, SessionId)> = None;
        self.visit_namesakes(hash, key, |age, id| {
            let session = self.get(id);
            if !session.deadline.is_due(now) && is_right(session) {
                newest = Some(newest.map_or((age, id), |newest| newest.min((age, id))));
            }
        });
        newest.map(|(_, id)| id)
    }

    /// Shows every session that is filed under a client's key, and how many were made since.
    fn visit_namesakes(&self, hash: u64, key: &FlowKey<A>, mut visit: impl FnMut(u32, SessionId)) {
        let tuple = Tuple::of(key);
        let _end = self.buckets.find(hash, |entry| {
            let session = &self.sessions[(entry & !TO_CLIENT) as usize];
            if session.matches(&tuple, key.protocol, Direction::ToServer)
                && direction(entry) == Direction::ToServer
            {
                let age = self.next_serial.wrapping_sub(session.serial);
                visit(age, SessionId(entry));
            }
            false
        });
    }
}
