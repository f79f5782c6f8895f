//! The way to Linux and back: punt classes, their rings and limits.
//!
//! Workers put packets for Linux into bounded rings, one per class of each interface; the thread
//! that owns the twins empties them, most urgent class first. What Linux sends comes back through
//! one ring per interface and leaves by one worker, so that its order is kept.

use std::sync::Arc;

use crossbeam_queue::ArrayQueue;

use crate::id::InterfaceId;
use crate::io::{Packet, PacketPool};

/// Packets a ring of one class holds.
const PUNT_RING: usize = 256;

/// Frames from Linux that may wait for their worker.
const INJECT_RING: usize = 512;

/// Punted frames handed over in one call.
const PUNT_BATCH: usize = 64;

/// How urgent a packet for Linux is; each class of an interface has a ring and a limit of its own, so
/// that a flood in one never starves another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum PuntClass {
    /// ARP, and what neighbours say: neighbour discovery, VRRP, BFD, BGP, OSPF and the like. First
    /// in everything.
    Control,
    /// Answers to health checks, as far as their source says so.
    Check,
    /// BGP, multihop BFD and other routing protocols of those who are no neighbours, or just say
    /// that it is that.
    Multihop,
    /// Other traffic to the gateway's own addresses.
    Host,
    /// Traffic to a VIP that no service or session serves.
    Unserved,
    /// Traffic that Linux may forward.
    Transit,
}

impl PuntClass {
    /// Every class, most urgent first.
    pub const ALL: [Self; 6] = [
        Self::Control,
        Self::Check,
        Self::Multihop,
        Self::Host,
        Self::Unserved,
        Self::Transit,
    ];

    /// How many classes there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The label of metrics and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Check => "check",
            Self::Multihop => "multihop",
            Self::Host => "host",
            Self::Unserved => "unserved",
            Self::Transit => "transit",
        }
    }

    /// Packets a second of this class that one worker gives to Linux from one interface.
    #[must_use]
    pub const fn packets_per_second(self) -> u32 {
        match self {
            Self::Control | Self::Check | Self::Host => 20_000,
            Self::Multihop => 2_000,
            Self::Unserved => 1_000,
            Self::Transit => 100_000,
        }
    }
}

/// The rings between the workers and one twin.
#[derive(Debug)]
pub struct TwinRings<P> {
    punted: [ArrayQueue<P>; PuntClass::COUNT],
    injected: ArrayQueue<P>,
}

impl<P> Default for TwinRings<P> {
    fn default() -> Self {
        Self {
            punted: std::array::from_fn(|_| ArrayQueue::new(PUNT_RING)),
            injected: ArrayQueue::new(INJECT_RING),
        }
    }
}

impl<P> TwinRings<P> {
    /// Gives a packet to Linux; gives it back when the ring of its class is full.
    ///
    /// # Errors
    /// The packet, when there is no room.
    pub fn punt(&self, class: PuntClass, packet: P) -> Result<(), P> {
        self.punted[class as usize].push(packet)
    }

    /// The next frame that Linux sent.
    #[must_use]
    pub fn next_injected(&self) -> Option<P> {
        self.injected.pop()
    }
}

/// One interface's side of the rings as the owner of its twin sees it; knows no mbuf.
pub trait TwinPort: Send {
    /// The interface whose twin this is.
    fn interface(&self) -> InterfaceId;

    /// Hands a bounded batch of punted frames to `sink`, most urgent first, and says how many.
    fn receive_punted(&mut self, sink: &mut dyn FnMut(&[u8])) -> usize;

    /// Sends a frame that Linux sent on the twin; false when it had to be dropped.
    fn inject(&mut self, frame: &[u8]) -> bool;
}

/// A [`TwinPort`] over rings and a pool.
#[derive(Debug)]
pub struct RingTwinPort<P, Q> {
    interface: InterfaceId,
    rings: Arc<TwinRings<P>>,
    pool: Q,
}

impl<P, Q> RingTwinPort<P, Q> {
    /// The twin's side of `rings`, with a pool for the frames that Linux sends.
    pub const fn new(interface: InterfaceId, rings: Arc<TwinRings<P>>, pool: Q) -> Self {
        Self {
            interface,
            rings,
            pool,
        }
    }
}

impl<P: Packet, Q: PacketPool<Packet = P>> TwinPort for RingTwinPort<P, Q> {
    fn interface(&self) -> InterfaceId {
        self.interface
    }

    fn receive_punted(&mut self, sink: &mut dyn FnMut(&[u8])) -> usize {
        let waiting = self
            .rings
            .punted
            .iter()
            .flat_map(|ring| std::iter::from_fn(|| ring.pop()));
        waiting
            .take(PUNT_BATCH)
            .map(|packet| sink(packet.bytes()))
            .count()
    }

    fn inject(&mut self, frame: &[u8]) -> bool {
        let Some(mut packet) = self.pool.allocate(frame.len()) else {
            return false;
        };
        packet.bytes_mut().copy_from_slice(frame);
        self.rings.injected.push(packet).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::memory::{MemoryPacket, MemoryPool};

    #[test]
    fn control_traffic_overtakes_a_flood_and_has_room_of_its_own() {
        let rings = Arc::new(TwinRings::default());
        while rings
            .punt(PuntClass::Unserved, MemoryPacket::new(&[9]))
            .is_ok()
        {}

        rings
            .punt(PuntClass::Control, MemoryPacket::new(&[1]))
            .unwrap();

        let mut seen = Vec::new();
        let mut port = RingTwinPort::new(InterfaceId(0), rings, MemoryPool::default());
        assert_eq!(
            port.receive_punted(&mut |frame| seen.push(frame[0])),
            PUNT_BATCH
        );
        assert_eq!(seen[..2], [1, 9]);
    }

    #[test]
    fn a_frame_without_a_buffer_is_refused() {
        let rings: Arc<TwinRings<MemoryPacket>> = Arc::default();
        let mut port =
            RingTwinPort::new(InterfaceId(0), Arc::clone(&rings), MemoryPool { left: 1 });

        assert!(port.inject(&[1, 2]));
        assert!(!port.inject(&[3]));

        assert_eq!(
            rings.next_injected().map(|packet| packet.to_vec()),
            Some(vec![1, 2])
        );
        assert!(rings.next_injected().is_none());
    }
}
