//! fo and ovf: the heaviest server takes all, as long as it can.

use super::min_tree::Key;
use super::tournament::{Rank, Tournament};
use crate::service::RealServer;

/// Weighted failover: the first in the list of the heaviest servers that are not overloaded.
pub type Failover = Tournament<Heaviest>;

/// Overflow: as fo, among those with no more active sessions than their weight. So a server takes
/// one more active session than its weight says.
pub type Overflow = Tournament<HeaviestWithRoom>;

/// The rank of fo.
#[derive(Debug)]
pub enum Heaviest {}

impl Heaviest {
    /// The key of those of this weight.
    #[inline]
    pub(super) const fn of(weight: u32) -> Key {
        // Weights are 16 bits wide, the negative of one fits.
        Key::number(0_i32.wrapping_sub_unsigned(weight))
    }
}

impl Rank for Heaviest {
    #[inline]
    fn key(server: &RealServer) -> Key {
        if server.is_eligible() {
            Self::of(server.weight.0)
        } else {
            Key::OUT
        }
    }
}

/// The rank of ovf.
#[derive(Debug)]
pub enum HeaviestWithRoom {}

impl Rank for HeaviestWithRoom {
    #[inline]
    fn key(server: &RealServer) -> Key {
        if server.shared.active() > server.weight.0 {
            Key::OUT
        } else {
            Heaviest::key(server)
        }
    }
}
