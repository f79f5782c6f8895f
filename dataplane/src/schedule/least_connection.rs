//! wlc: the server with the fewest sessions for its weight.

use super::load;
use super::min_tree::Key;
use super::tournament::{Rank, Tournament};
use crate::service::RealServer;

/// Weighted least connection, where an active session costs 257 times an inactive one: the
/// first in the list of those with the least cost for their weight.
pub type WeightedLeastConnection = Tournament<CostPerWeight>;

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
