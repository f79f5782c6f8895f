//! Where packets come from and go to.
//!
//! The pipeline is generic over these traits, so that it runs over DPDK ethdevs ([`dpdk`]) and
//! over plain memory ([`memory`]) with the same code. A packet is one contiguous piece of bytes
//! with room to grow at its front; what is behind it (an mbuf, a `Vec`) stays in here.

use arrayvec::ArrayVec;

pub use crate::intrinsics::prefetch_read;

#[cfg(feature = "dpdk")]
pub mod dpdk;
pub mod memory;

/// The most packets one call receives or sends.
pub const BURST: usize = 32;

/// Up to [`BURST`] packets.
pub type Burst<P> = ArrayVec<P, BURST>;

/// What the ethdev found out about a received packet's checksums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RxChecksum {
    /// The ethdev did not look: software must.
    #[default]
    Unknown,
    /// The ethdev found it right.
    Good,
    /// The ethdev found it wrong.
    Bad,
}

/// One packet buffer, owned by whoever holds it; dropping it gives it back to its pool.
pub trait Packet: Sized + Send + 'static {
    /// The frame's bytes, from the Ethernet header on.
    fn bytes(&self) -> &[u8];

    /// The frame's bytes, to be changed in place.
    fn bytes_mut(&mut self) -> &mut [u8];

    /// Grows the frame by `count` bytes at its front and gives the whole new frame; the new
    /// bytes hold anything. `None` when the buffer has no such headroom (nothing is changed).
    fn push_front(&mut self, count: usize) -> Option<&mut [u8]>;

    /// Cuts `count` bytes off the front; false (and nothing changed) when there are fewer.
    fn pull_front(&mut self, count: usize) -> bool;

    /// Makes the frame `len` bytes long by cutting or growing its end (grown bytes hold
    /// anything); false (and nothing changed) when the buffer is smaller.
    fn set_len(&mut self, len: usize) -> bool;

    /// Hints the CPU to fetch what says where the frame lies: for packets that another core had.
    fn prefetch_head(&self) {}

    /// Hints the CPU to fetch the frame's first cache line.
    fn prefetch(&self) {}

    /// Whether the frame lies in one piece; if not, `bytes` is only its beginning.
    fn is_contiguous(&self) -> bool {
        true
    }

    /// What the ethdev said of the IPv4 header checksum.
    fn ip_checksum(&self) -> RxChecksum {
        RxChecksum::Unknown
    }

    /// The RSS hash the ethdev computed, if it did.
    fn rss_hash(&self) -> Option<u32> {
        None
    }
}

/// Receives packets; one per ethdev and worker.
pub trait RxQueue: Send {
    /// What arrives.
    type Packet: Packet;

    /// Appends up to the free room of `burst` of received packets, in order of arrival, and
    /// returns how many.
    fn receive(&mut self, burst: &mut Burst<Self::Packet>) -> usize;
}

/// Sends packets; one per ethdev and worker.
pub trait TxQueue: Send {
    /// What leaves.
    type Packet: Packet;

    /// Hands the front of `burst` to the ethdev and removes it from `burst`; what stays in
    /// `burst` did not fit. Returns how many were taken.
    fn send(&mut self, burst: &mut Burst<Self::Packet>) -> usize;
}

/// Where new packets (ICMP errors, fragments, frames from Linux) get their buffers.
pub trait PacketPool: Send {
    /// What it lends.
    type Packet: Packet;

    /// A packet of `len` bytes of any content with the usual headroom; `None` when the pool is
    /// empty or `len` does not fit a buffer.
    fn allocate(&mut self, len: usize) -> Option<Self::Packet>;
}

/// A family of packet, queues and pool that belong together.
pub trait Io: 'static {
    /// The packet.
    type Packet: Packet;
    /// The receive side.
    type Rx: RxQueue<Packet = Self::Packet>;
    /// The transmit side.
    type Tx: TxQueue<Packet = Self::Packet>;
    /// The pool.
    type Pool: PacketPool<Packet = Self::Packet>;
}
