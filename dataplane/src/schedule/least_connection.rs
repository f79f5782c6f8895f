//! lc and wlc: the server with the fewest sessions, as they are or for its weight.

use super::load;
use super::min_tree::Key;
use super::tournament::{Rank, Tournament};
use crate::service::RealServer;

/// Least connection, where an active session costs 257 times an inactive one: the first in the
/// list of those with the least cost. Weights above 0 are all the same.
pub type LeastConnection = Tournament<Cost>;

/// Weighted least connection: the first in the list of those with the least cost, as of lc, for
/// their weight.
pub type WeightedLeastConnection = Tournament<CostPerWeight>;

/// The rank of lc.
#[derive(Debug)]
pub enum Cost {}

impl Rank for Cost {
    #[inline]
    fn key(server: &RealServer) -> Key {
        if server.is_eligible() {
            Key::number(load::overhead(server))
        } else {
            Key::OUT
        }
    }
}

/// The rank of wlc.
#[derive(Debug)]
pub enum CostPerWeight {}

impl Rank for CostPerWeight {
    #[inline]
    fn key(server: &RealServer) -> Key {
        if server.is_eligible() {
            Key::ratio(load::overhead(server), server.weight)
        } else {
            Key::OUT
        }
    }
}
