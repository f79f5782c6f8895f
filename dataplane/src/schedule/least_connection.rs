//! wlc: the server with the fewest sessions for its weight.

use std::sync::Arc;

use super::{FlowInfo, Schedule, load};
use crate::service::RealServer;

/// Weighted least connection, where an active session costs 257 times an inactive one.
///
/// It keeps no state: the session counts of the servers are all it looks at.
#[derive(Clone, Copy, Debug)]
pub struct WeightedLeastConnection;

impl Schedule for WeightedLeastConnection {
    /// The first in the list of those with the least cost per weight, compared by cross
    /// multiplication as there are no fractions in a kernel.
    #[inline]
    fn pick(&self, servers: &[Arc<RealServer>], _client: FlowInfo) -> Option<usize> {
        let mut best: Option<(usize, i64, i64)> = None;
        for (at, server) in servers.iter().enumerate() {
            if server.weight.0 == 0 || server.is_overloaded() {
                continue;
            }
            let (weight, cost) = (
                i64::from(server.weight.0),
                i64::from(load::overhead(server)),
            );
            if best.is_none_or(|(_, least, its)| least * weight > cost * its) {
                best = Some((at, cost, weight));
            }
        }
        best.map(|(at, ..)| at)
    }
}
