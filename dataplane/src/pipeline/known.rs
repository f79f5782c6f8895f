//! What a worker has looked up in its snapshot, kept flat: one load away instead of five.
//!
//! A snapshot shares its parts, so finding a server's counters or a next hop in it goes through
//! pages and reference counts. The worker keeps what it found by slot until it adopts another
//! snapshot; the first packet that needs a slot then looks it up again.

use std::sync::Arc;

use crossbeam_utils::CachePadded;

use super::hit::resolve;
use crate::address::{Address, V4};
use crate::counters::TrafficCounters;
use crate::framing::FrameHeader;
use crate::id::{AdjacencySlot, EthdevId, InterfaceId, ServerSlot, WorkerId};
use crate::session::AdjacencyRef;
use crate::snapshot::Snapshot;

/// The version of what was never looked up.
const NEVER: u32 = 0;

/// A real server.
#[derive(Clone, Debug)]
pub(super) struct KnownServer {
    version: u32,
    /// False once it was removed from its service, and when there is none.
    pub(super) available: bool,
    /// The next hop towards it.
    pub(super) way: AdjacencyRef,
    /// What this worker counts about it.
    pub(super) traffic: Arc<CachePadded<TrafficCounters>>,
}

impl Default for KnownServer {
    fn default() -> Self {
        Self {
            version: NEVER,
            available: false,
            way: AdjacencyRef::NOWHERE,
            traffic: Arc::default(),
        }
    }
}

/// A next hop.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KnownHop {
    version: u32,
    epoch: u32,
    /// The ethdev it is at.
    pub(super) ethdev: EthdevId,
    /// The interface it is at.
    pub(super) interface: InterfaceId,
    /// The largest IP packet that may go there, in bytes; 0 when its MAC is not known.
    pub(super) mtu: u16,
    /// From where tunnels go there.
    pub(super) tunnel_source: Option<V4>,
    /// What stands in front of a packet that goes there.
    pub(super) header: FrameHeader,
}

/// What was looked up, by slot.
#[derive(Debug)]
pub(super) struct Known<T> {
    /// Counts the snapshots adopted, without 0; what was looked up in another is looked up again.
    version: u32,
    entries: Vec<T>,
}

impl<T: Clone + Default> Known<T> {
    /// Nothing looked up yet.
    pub(super) const fn new() -> Self {
        Self {
            version: NEVER,
            entries: Vec::new(),
        }
    }

    /// Forgets what another snapshot said, and makes room for all `slots` of the present one, so
    /// that nothing is allocated later.
    pub(super) fn adopt(&mut self, slots: usize) {
        self.version = self.version.wrapping_add(1);
        if self.version == NEVER {
            // After 2^32 snapshots versions come again.
            self.version += 1;
            self.entries.fill(T::default());
        }
        if self.entries.len() < slots {
            self.entries.resize(slots.next_power_of_two(), T::default());
        }
    }
}

impl Known<KnownServer> {
    /// The server in `slot`.
    #[inline]
    pub(super) fn get(
        &mut self,
        snapshot: &Snapshot,
        worker: WorkerId,
        slot: ServerSlot,
    ) -> Option<&KnownServer> {
        let known = self.entries.get_mut(slot.index())?;
        if known.version != self.version {
            *known = look_server_up(snapshot, slot, self.version, worker);
        }
        Some(known)
    }
}

impl Known<KnownHop> {
    /// The next hop behind `way`, if the way is still the one.
    #[inline]
    pub(super) fn get(&mut self, snapshot: &Snapshot, way: AdjacencyRef) -> Option<&KnownHop> {
        let known = self.entries.get_mut(way.slot.index())?;
        if known.version != self.version {
            *known = look_hop_up(snapshot, way.slot, self.version);
        }
        (known.epoch == way.epoch).then_some(known)
    }
}

#[cold]
fn look_server_up(
    snapshot: &Snapshot,
    slot: ServerSlot,
    version: u32,
    worker: WorkerId,
) -> KnownServer {
    let Some(server) = snapshot.server(slot) else {
        return KnownServer {
            version,
            ..KnownServer::default()
        };
    };
    let addr = V4::from_ip(server.endpoint.addr);
    KnownServer {
        version,
        available: server.available,
        way: addr.map_or(AdjacencyRef::NOWHERE, |addr| resolve(snapshot, addr)),
        traffic: Arc::clone(server.shared.traffic.shared(worker)),
    }
}

#[cold]
fn look_hop_up(snapshot: &Snapshot, slot: AdjacencySlot, version: u32) -> KnownHop {
    let unusable = KnownHop {
        version,
        ..KnownHop::default()
    };
    let Some(adjacency) = snapshot.adjacency(slot) else {
        return unusable;
    };
    let interface = snapshot.interfaces.get(adjacency.interface);
    let (Some(interface), Some(mac)) = (interface, adjacency.mac) else {
        return KnownHop {
            epoch: adjacency.epoch,
            interface: adjacency.interface,
            ..unusable
        };
    };
    KnownHop {
        version,
        epoch: adjacency.epoch,
        ethdev: interface.ethdev,
        interface: interface.id,
        mtu: adjacency.mtu,
        tunnel_source: interface.address,
        header: FrameHeader::new(mac, interface.mac, interface.vlan),
    }
}
