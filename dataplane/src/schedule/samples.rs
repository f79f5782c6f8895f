//! Servers and flows for the tests of schedulers.

use std::sync::Arc;

use super::{FlowInfo, Standings};
use crate::address::{Endpoint, V4};
use crate::id::{ServerSlot, Weight};
use crate::service::{Method, RealServer, ServerShared, ServiceKey};
use crate::time::Tick;

/// A flow for schedulers that do not look at flows.
pub(super) const FLOW: FlowInfo = FlowInfo {
    folded_source: 1,
    source_port: 1,
    destination: 1,
    now: Tick(0),
};

/// A flow of this client to 10.1.0.100, at the beginning of time.
pub(super) fn flow_of(client: [u8; 4], port: u16) -> FlowInfo {
    let vip = V4::from([10, 1, 0, 100]);
    FlowInfo::of(Endpoint::new(V4::from(client), port), vip, Tick(0))
}

/// A server with an upper threshold; 0 is none.
pub(super) fn server(standings: &Arc<Standings>, weight: u32, upper: u32) -> Arc<RealServer> {
    Arc::new(RealServer {
        service: ServiceKey::WEB,
        slot: ServerSlot(0),
        endpoint: Endpoint::new([10, 2, 0, 11].into(), 80),
        weight: Weight(weight),
        last_weight: Weight(weight),
        method: Method::Nat,
        upper_threshold: upper,
        lower_threshold: 0,
        available: true,
        shared: Arc::new(ServerShared::new(1, standings)),
    })
}

/// The servers of one service, with these weights and no thresholds.
pub(super) fn servers(weights: &[u32]) -> Vec<Arc<RealServer>> {
    let standings = Standings::new();
    let server = |weight: &u32| server(&standings, *weight, 0);
    weights.iter().map(server).collect()
}
