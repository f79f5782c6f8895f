//! How many packet buffers of which size the ports need.

use super::gateway::{Gateway, MIN_BUFFER_BYTES};
use super::port::Port;

/// What a buffer holds besides the IP packet: 128 bytes of headroom, an Ethernet header with
/// one VLAN tag, and the frame check sequence that some NICs leave in place.
pub const FRAME_OVERHEAD: u16 = 128 + 14 + 4 + 4;

/// What DPDK keeps with each buffer: the mbuf's 128 bytes and a cache line of the pool's.
const BUFFER_KEEPING_BYTES: u64 = 128 + 64;

/// What EAL and the ethdevs take besides the buffers: 64 MB are enough to start.
const OTHER_MB: u64 = 64;

/// Bytes of one buffer with its headroom: as written, else what the largest MTU needs.
pub(super) fn buffer_bytes<'a>(gateway: &Gateway, ports: impl Iterator<Item = &'a Port>) -> u16 {
    // A VLAN's MTU is at most its port's.
    let largest_mtu = ports.map(|port| port.interface.mtu).max().unwrap_or(0);
    let needed = largest_mtu.saturating_add(FRAME_OVERHEAD);
    let given = gateway.buffer_bytes;
    given.unwrap_or_else(|| needed.max(MIN_BUFFER_BYTES))
}

/// Buffers per socket: as written, else what fills every descriptor twice over and leaves each
/// worker some to work with.
pub(super) fn pool_buffers<'a>(gateway: &Gateway, ports: impl Iterator<Item = &'a Port>) -> u32 {
    // Bursts, DPDK's per-core cache, and packets that wait for another worker, for Linux, or, as
    // fragments do (256 at most), for each other.
    let at_work = u32::from(gateway.workers.count()) * 4096;
    let given = gateway.pool_buffers;
    given.unwrap_or_else(|| buffers_in_descriptors(gateway, ports) * 2 + at_work)
}

/// Buffers that lie in the descriptors of every queue when all of them are full.
pub(super) fn buffers_in_descriptors<'a>(
    gateway: &Gateway,
    ports: impl Iterator<Item = &'a Port>,
) -> u32 {
    let workers = u32::from(gateway.workers.count());
    ports
        .map(|port| workers * (u32::from(port.rx_descriptors) + u32::from(port.tx_descriptors)))
        .sum()
}

/// Megabytes that this many buffers of this size need, with what DPDK needs besides.
pub(super) fn memory_mb(buffers: u32, buffer_bytes: u16) -> u64 {
    let bytes = u64::from(buffers) * (u64::from(buffer_bytes) + BUFFER_KEEPING_BYTES);
    bytes.div_ceil(1 << 20) + OTHER_MB
}
