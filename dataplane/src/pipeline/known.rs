//! What a worker has looked up in its snapshot, kept flat: one load away instead of five.
//!
//! A snapshot shares its parts, so finding a server's counters or a next hop in it goes through
//! pages and reference counts. The worker keeps what it found by slot until it adopts another
//! snapshot; the first packet that needs a slot then looks it up again.

use std::sync::Arc;

use crossbeam_utils::CachePadded;

use super::way::towards_server;
use crate::address::{Address, V4};
use crate::counters::TrafficCounters;
use crate::framing::FrameHeader;
use crate::id::{AdjacencySlot, EthdevId, InterfaceId, ServerSlot, WorkerId};
use crate::rewrite::tun;
use crate::session::AdjacencyRef;
use crate::snapshot::Snapshot;

/// The version of what was never looked up.
const NEVER: u32 = 0;

/// A real server: one cache line.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(super) struct KnownServer {
    version: u32,
    /// False once it was removed from its service, and when there is none.
    pub(super) available: bool,
    /// The next hop towards it; none once it was removed.
    pub(super) way: AdjacencyRef,
    /// What is known of that next hop.
    pub(super) hop: KnownHop,
    /// What this worker counts about it.
    pub(super) traffic: Arc<CachePadded<TrafficCounters>>,
}

const _: () = assert!(size_of::<KnownServer>() == 64);

impl Default for KnownServer {
    fn default() -> Self {
        Self {
            version: NEVER,
            available: false,
            way: AdjacencyRef::NOWHERE,
            hop: KnownHop::default(),
            traffic: Arc::default(),
        }
    }
}

/// A next hop.
#[derive(Clone, Copy, Debug)]
pub(super) struct KnownHop {
    /// The ethdev it is at.
    pub(super) ethdev: EthdevId,
    /// The interface it is at.
    pub(super) interface: InterfaceId,
    /// The largest IP packet that may go there, in bytes; 0 when its MAC is not known.
    pub(super) room: u16,
    /// The largest IP packet that may go there through a tunnel; 0 also when there is no address
    /// that the tunnel could come from, and when the outer packets say other things than those
    /// inside (`pmtu_disc=0`): that is the general way's.
    pub(super) tunnel_room: u16,
    /// From where tunnels go there.
    pub(super) tunnel_source: V4,
    /// What stands in front of a packet that goes there.
    pub(super) header: FrameHeader,
}

impl Default for KnownHop {
    /// None: no packet may go there, and none came from there.
    fn default() -> Self {
        Self {
            ethdev: EthdevId::default(),
            interface: InterfaceId(u16::MAX),
            room: 0,
            tunnel_room: 0,
            tunnel_source: V4::default(),
            header: FrameHeader::default(),
        }
    }
}

/// A next hop, and which one it is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KnownWay {
    version: u32,
    epoch: u32,
    hop: KnownHop,
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

    /// Lets only packets of up to `room` bytes go through the tunnel to the server in `slot` the
    /// short way.
    pub(super) fn narrow(
        &mut self,
        snapshot: &Snapshot,
        worker: WorkerId,
        slot: ServerSlot,
        room: u16,
    ) {
        if self.get(snapshot, worker, slot).is_some()
            && let Some(known) = self.entries.get_mut(slot.index())
        {
            known.hop.tunnel_room = known.hop.tunnel_room.min(room);
        }
    }

    /// Has the server in `slot` looked up again.
    pub(super) fn forget(&mut self, slot: ServerSlot) {
        if let Some(known) = self.entries.get_mut(slot.index()) {
            known.version = NEVER;
        }
    }
}

impl Known<KnownWay> {
    /// The next hop behind `way`, if the way is still the one.
    #[inline]
    pub(super) fn get(&mut self, snapshot: &Snapshot, way: AdjacencyRef) -> Option<&KnownHop> {
        let known = self.entries.get_mut(way.slot.index())?;
        if known.version != self.version {
            *known = look_way_up(snapshot, way.slot, self.version);
        }
        (known.epoch == way.epoch).then_some(&known.hop)
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
    // Replies of a removed server go the general way, which counts them in their session only.
    let addr = addr.filter(|_| server.available);
    let way = addr.map_or(AdjacencyRef::NOWHERE, |addr| towards_server(snapshot, addr));
    KnownServer {
        version,
        available: server.available,
        way,
        hop: look_hop_up(snapshot, way.slot),
        traffic: Arc::clone(server.shared.traffic.shared(worker)),
    }
}

#[cold]
fn look_way_up(snapshot: &Snapshot, slot: AdjacencySlot, version: u32) -> KnownWay {
    let adjacency = snapshot.adjacency(slot);
    KnownWay {
        version,
        epoch: adjacency.map_or(0, |adjacency| adjacency.epoch),
        hop: look_hop_up(snapshot, slot),
    }
}

fn look_hop_up(snapshot: &Snapshot, slot: AdjacencySlot) -> KnownHop {
    let Some(adjacency) = snapshot.adjacency(slot) else {
        return KnownHop::default();
    };
    let interface = snapshot.interfaces.get(adjacency.interface);
    let (Some(interface), Some(mac)) = (interface, adjacency.mac) else {
        return KnownHop {
            interface: adjacency.interface,
            ..KnownHop::default()
        };
    };
    KnownHop {
        ethdev: interface.ethdev,
        interface: interface.id,
        room: adjacency.mtu,
        tunnel_room: match interface.address {
            Some(_) if snapshot.knobs.pmtu_disc => tun::room(adjacency.mtu),
            _ => 0,
        },
        tunnel_source: interface.address.unwrap_or_default(),
        header: FrameHeader::new(mac, interface.mac, interface.vlan),
    }
}
