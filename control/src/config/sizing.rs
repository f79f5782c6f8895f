//! How many packet buffers of which size the ports need, and what session tables take.

use dataplane::address::V4;
use dataplane::session::{KeysPerSession, SessionTable};
use dataplane::snat::PORT_BYTES;

use super::gateway::{Gateway, MIN_BUFFER_BYTES};
use super::port::Port;

/// What a buffer holds besides the IP packet: 128 bytes of headroom, an Ethernet header with
/// one VLAN tag, and the frame check sequence that some NICs leave in place.
pub const FRAME_OVERHEAD: u16 = 128 + 14 + 4 + 4;

/// Bytes in front of each frame, for headers that the gateway adds: DPDK's headroom.
const HEADROOM: u32 = 128;

/// What the kernel keeps in front of the IP packet in a frame of AF_PACKET's ring.
const RING_OVERHEAD: u32 = 80;

/// What DPDK keeps with each buffer: the mbuf's 128 bytes and a cache line of the pool's.
const BUFFER_KEEPING_BYTES: u64 = 128 + 64;

/// What EAL and the ethdevs take besides the buffers: 64 MB are enough to start.
const OTHER_MB: u64 = 64;

/// Bytes of huge pages that one worker's session table takes: whole ones, or less than one.
pub(super) fn session_table_bytes(gateway: &Gateway) -> u64 {
    let sessions = usize::try_from(gateway.sessions_per_worker).unwrap_or(usize::MAX);
    SessionTable::<V4>::huge_bytes(sessions, KeysPerSession::Two) as u64
}

/// Bytes of one buffer with its headroom: as written, else what the largest MTU or AF_PACKET's
/// ring needs.
pub(super) fn buffer_bytes<'a>(gateway: &Gateway, ports: impl Iterator<Item = &'a Port>) -> u16 {
    let needed = |port: &Port| {
        // A VLAN's MTU is at most its port's.
        let frame = port.interface.mtu.saturating_add(FRAME_OVERHEAD);
        let ring = port.device.ring_frame_bytes().map_or(0, ring_buffer_bytes);
        frame.max(u16::try_from(ring).unwrap_or(u16::MAX))
    };
    let given = gateway.buffer_bytes;
    given.unwrap_or_else(|| ports.map(needed).max().unwrap_or(0).max(MIN_BUFFER_BYTES))
}

/// Bytes of a buffer for frames of AF_PACKET's ring: the driver wants room for all of one.
pub(super) const fn ring_buffer_bytes(frame: u32) -> u32 {
    frame.saturating_add(HEADROOM)
}

/// The largest IP packet in a frame of AF_PACKET's ring; the kernel cuts what is longer.
pub(super) const fn largest_in_ring(frame: u32) -> u32 {
    frame.saturating_sub(RING_OVERHEAD)
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

/// Megabytes of ordinary memory that so many ports of local addresses may take: where NICs steer by
/// RSS every worker may lend each of them, and keeps a record of it.
pub(super) const fn local_ports_mb(ports: u64, workers: u16) -> u64 {
    (ports * workers as u64 * PORT_BYTES as u64).div_ceil(1 << 20)
}

/// Megabytes that this many buffers of this size need, with what DPDK needs besides.
pub(super) fn memory_mb(buffers: u32, buffer_bytes: u16) -> u64 {
    let bytes = u64::from(buffers) * (u64::from(buffer_bytes) + BUFFER_KEEPING_BYTES);
    bytes.div_ceil(1 << 20) + OTHER_MB
}

#[cfg(test)]
mod tests {
    use dataplane::session::HashSecret;
    use dataplane::time::Tick;

    use super::*;

    #[test]
    fn the_bytes_of_a_session_table_are_those_that_it_maps() {
        for sessions in [1024, 100_000, 1_000_000] {
            let gateway = Gateway {
                sessions_per_worker: sessions,
                ..Gateway::default()
            };
            let secret = HashSecret([1, 2, 3, 4]);
            let table =
                SessionTable::<V4>::new(sessions as usize, KeysPerSession::Two, secret, Tick(0));

            // The wheel's slots are ordinary memory, and pages of 4 KiB are rounded up to.
            let mapped = table.unwrap().memory_bytes() as u64;

            let wheel = 320 << 10;
            let said = session_table_bytes(&gateway);
            assert!(mapped.abs_diff(said + wheel) <= 4 << 20, "{sessions}");
        }
    }
}
