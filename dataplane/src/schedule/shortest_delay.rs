//! sed and nq: the server that would have the fewest active sessions for its weight, the new one
//! being counted.

use super::min_tree::Key;
use super::tournament::{Rank, Tournament};
use crate::service::RealServer;

/// Shortest expected delay: the first in the list of those with the fewest active sessions, and
/// one more, for their weight. Inactive sessions do not count.
pub type ShortestExpectedDelay = Tournament<Delay>;

/// Never queue: the first in the list without active sessions, whatever its weight; when all have
/// some, as sed.
pub type NeverQueue = Tournament<IdleOrDelay>;

/// The rank of sed.
#[derive(Debug)]
pub enum Delay {}

impl Rank for Delay {
    #[inline]
    fn key(server: &RealServer) -> Key {
        if server.is_eligible() {
            let active = server.shared.active().cast_signed();
            Key::ratio(active.wrapping_add(1), server.weight)
        } else {
            Key::OUT
        }
    }
}

/// The rank of nq.
#[derive(Debug)]
pub enum IdleOrDelay {}

impl Rank for IdleOrDelay {
    #[inline]
    fn key(server: &RealServer) -> Key {
        if server.is_eligible() && server.shared.active() == 0 {
            Key::FIRST
        } else {
            Delay::key(server)
        }
    }
}
