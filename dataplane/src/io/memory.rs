//! Packets in plain memory: the same seam as DPDK's, for tests, benches and fuzzing.
//!
//! A [`Wire`] is one direction of a cable: what one side sends, the other receives, in order.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Burst, Io, Packet, PacketPool, RxChecksum, RxQueue, TxQueue};

/// Free bytes in front of a new frame, as DPDK's `RTE_PKTMBUF_HEADROOM`.
pub const HEADROOM: usize = 128;

/// Bytes a frame may grow to behind its headroom.
pub const DATA_ROOM: usize = 9_216;

/// A frame in a `Vec`.
#[derive(Clone, Debug)]
pub struct MemoryPacket {
    buffer: Vec<u8>,
    start: usize,
    /// What [`Packet::ip_checksum`] says.
    pub checksum: RxChecksum,
    /// What [`Packet::rss_hash`] says.
    pub rss: Option<u32>,
}

impl MemoryPacket {
    /// A packet with these bytes, from the Ethernet header on.
    #[must_use]
    pub fn new(frame: &[u8]) -> Self {
        let mut buffer = vec![0; HEADROOM];
        buffer.extend_from_slice(frame);
        Self {
            buffer,
            start: HEADROOM,
            checksum: RxChecksum::Unknown,
            rss: None,
        }
    }

    /// The frame as a `Vec` of its own.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        self.bytes().to_vec()
    }
}

impl Packet for MemoryPacket {
    fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[self.start..]
    }

    fn push_front(&mut self, count: usize) -> Option<&mut [u8]> {
        self.start = self.start.checked_sub(count)?;
        Some(self.bytes_mut())
    }

    fn pull_front(&mut self, count: usize) -> bool {
        let fits = count <= self.bytes().len();
        if fits {
            self.start += count;
        }
        fits
    }

    fn set_len(&mut self, len: usize) -> bool {
        let fits = len <= DATA_ROOM;
        if fits {
            self.buffer.resize(self.start + len, 0);
        }
        fits
    }

    fn ip_checksum(&self) -> RxChecksum {
        self.checksum
    }

    fn rss_hash(&self) -> Option<u32> {
        self.rss
    }
}

/// One direction of a cable, with the frames that are on it.
#[derive(Clone, Debug, Default)]
pub struct Wire {
    frames: Arc<Mutex<VecDeque<MemoryPacket>>>,
    /// Frames the wire takes before [`TxQueue::send`] leaves packets behind; 0 is any number.
    capacity: usize,
}

impl Wire {
    /// A cable that carries any number of frames.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A cable that takes no more than `capacity` frames at a time.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            capacity,
            ..Self::default()
        }
    }

    /// Puts a packet on the cable.
    pub fn push(&self, packet: MemoryPacket) {
        self.frames.lock().push_back(packet);
    }

    /// Takes all frames off the cable.
    #[must_use]
    pub fn take(&self) -> Vec<Vec<u8>> {
        self.frames
            .lock()
            .drain(..)
            .map(|packet| packet.to_vec())
            .collect()
    }
}

impl RxQueue for Wire {
    type Packet = MemoryPacket;

    fn receive(&mut self, burst: &mut Burst<MemoryPacket>) -> usize {
        let mut frames = self.frames.lock();
        let count = frames.len().min(burst.remaining_capacity());
        burst.extend(frames.drain(..count));
        count
    }
}

impl TxQueue for Wire {
    type Packet = MemoryPacket;

    fn send(&mut self, burst: &mut Burst<MemoryPacket>) -> usize {
        let mut frames = self.frames.lock();
        let room = if self.capacity == 0 {
            usize::MAX
        } else {
            self.capacity - frames.len()
        };
        let count = burst.len().min(room);
        frames.extend(burst.drain(..count));
        count
    }
}

/// A pool that never runs dry unless told to.
#[derive(Clone, Debug)]
pub struct MemoryPool {
    /// Packets it still lends.
    pub left: usize,
}

impl Default for MemoryPool {
    fn default() -> Self {
        Self { left: usize::MAX }
    }
}

impl PacketPool for MemoryPool {
    type Packet = MemoryPacket;

    fn allocate(&mut self, len: usize) -> Option<MemoryPacket> {
        self.left = self.left.checked_sub(1)?;
        (len <= DATA_ROOM).then(|| MemoryPacket::new(&vec![0; len]))
    }
}

/// Packets, queues and pool in memory.
#[derive(Debug)]
pub struct MemoryIo;

impl Io for MemoryIo {
    type Packet = MemoryPacket;
    type Rx = Wire;
    type Tx = Wire;
    type Pool = MemoryPool;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_grows_at_its_front_until_the_headroom_is_used() {
        let mut packet = MemoryPacket::new(&[1, 2, 3]);

        assert!(packet.push_front(HEADROOM + 1).is_none());
        assert_eq!(packet.push_front(2).map(|frame| frame.len()), Some(5));
        assert_eq!(packet.bytes()[2..], [1, 2, 3]);
        assert!(packet.pull_front(5));
        assert!(!packet.pull_front(1));
    }

    #[test]
    fn a_full_wire_leaves_packets_in_the_burst() {
        let mut wire = Wire::with_capacity(1);
        let mut burst: Burst<_> = [MemoryPacket::new(&[1]), MemoryPacket::new(&[2])]
            .into_iter()
            .collect();

        assert_eq!(wire.send(&mut burst), 1);

        assert_eq!(burst.len(), 1);
        assert_eq!(wire.take(), [[1]]);
    }
}
