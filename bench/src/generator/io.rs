//! Packets that are made where they are received: buffers, queues and their pool.
//!
//! ```text
//!            ┌──────────── free buffers (last in, first out) ◄───────────┐
//!            ▼                                                           │
//!  Receive: write the next frame ──► worker, pipeline ──► Transmit: look at the first, give back
//! ```
//!
//! Nothing is allocated while it runs, and a buffer that comes back is used next, as a mempool's
//! cache does. A frame that the pipeline drops is freed for good: cases assert that there is none.
//!
//! Receiving and sending are never inlined: `scripts/instructions` takes what they cost, which is
//! not the gateway's, from the count, and knows them by name.

use std::sync::Arc;

use dataplane::io::{Burst, Io, Packet, PacketPool, RxQueue, TxQueue, prefetch_read};
use parking_lot::Mutex;

use super::frames::Frames;

/// Bytes in front of a frame: as in an mbuf it begins with a cache line.
const HEADROOM: usize = 128 - 2 * size_of::<usize>();

/// Bytes of a buffer.
const ROOM: usize = HEADROOM + 1_536;

/// One buffer with a frame in it, on cache lines of its own.
#[repr(C, align(64))]
struct Buffer {
    start: usize,
    end: usize,
    bytes: [u8; ROOM],
}

/// A generated packet.
pub(super) struct GeneratedPacket(Box<Buffer>);

impl GeneratedPacket {
    fn empty() -> Self {
        Self(Box::new(Buffer {
            start: HEADROOM,
            end: HEADROOM,
            bytes: [0; ROOM],
        }))
    }

    /// Makes it a frame of `len` bytes, which hold what the buffer held before.
    fn reset(&mut self, len: usize) {
        self.0.start = HEADROOM;
        self.0.end = HEADROOM + len;
    }
}

impl Packet for GeneratedPacket {
    #[inline(always)]
    fn bytes(&self) -> &[u8] {
        &self.0.bytes[self.0.start..self.0.end]
    }

    #[inline(always)]
    fn bytes_mut(&mut self) -> &mut [u8] {
        let Buffer { start, end, bytes } = &mut *self.0;
        &mut bytes[*start..*end]
    }

    #[inline(always)]
    fn push_front(&mut self, count: usize) -> Option<&mut [u8]> {
        self.0.start = self.0.start.checked_sub(count)?;
        Some(self.bytes_mut())
    }

    #[inline(always)]
    fn pull_front(&mut self, count: usize) -> bool {
        let fits = count <= self.0.end - self.0.start;
        if fits {
            self.0.start += count;
        }
        fits
    }

    #[inline(always)]
    fn set_len(&mut self, len: usize) -> bool {
        let fits = self.0.start + len <= ROOM;
        if fits {
            self.0.end = self.0.start + len;
        }
        fits
    }

    #[inline(always)]
    fn prefetch_head(&self) {
        prefetch_read(&*self.0);
    }

    #[inline(always)]
    fn prefetch(&self) {
        prefetch_read(self.bytes());
    }
}

/// The buffers nobody uses now.
#[derive(Clone)]
pub(super) struct FreeBuffers(Arc<Apart<Mutex<Vec<GeneratedPacket>>>>);

impl FreeBuffers {
    pub(super) fn new(count: usize) -> Self {
        let buffers = (0..count).map(|_| GeneratedPacket::empty()).collect();
        Self(Arc::new(Apart(Mutex::new(buffers))))
    }
}

/// Something on cache lines of its own, so that one worker's I/O disturbs no other's; in pairs,
/// because that is how CPUs fetch them.
#[repr(align(128))]
#[derive(Default)]
pub(super) struct Apart<T>(pub(super) T);

/// What arrives, and how much of it still does.
pub(super) struct Supply<F> {
    pub(super) frames: F,
    pub(super) left: u64,
}

/// Receives what it makes.
pub(super) struct Receive<F> {
    pub(super) supply: Arc<Apart<Mutex<Supply<F>>>>,
    pub(super) free: FreeBuffers,
}

// Not derived: that would ask `F` to be `Clone`.
impl<F> Clone for Receive<F> {
    fn clone(&self) -> Self {
        Self {
            supply: Arc::clone(&self.supply),
            free: self.free.clone(),
        }
    }
}

impl<F: Frames> RxQueue for Receive<F> {
    type Packet = GeneratedPacket;

    #[inline(never)]
    fn receive(&mut self, burst: &mut Burst<GeneratedPacket>) -> usize {
        let mut supply = self.supply.0.lock();
        let left = usize::try_from(supply.left).unwrap_or(usize::MAX);
        let room = burst.remaining_capacity().min(left);
        let mut free = self.free.0.0.lock();
        let rest = free.len().saturating_sub(room);
        let count = free.len() - rest;
        for mut packet in free.drain(rest..) {
            packet.reset(F::LEN);
            supply.frames.write_next(packet.bytes_mut());
            burst.push(packet);
        }
        supply.left -= count as u64;
        count
    }
}

/// What left the gateway, as far as a case looks at it.
pub(super) trait Inspect: Send + 'static {
    /// Looks at a burst before its buffers are used again.
    fn look(&mut self, burst: &[GeneratedPacket]);
}

/// Gives buffers back.
pub(super) struct Transmit<S> {
    pub(super) inspect: Arc<Apart<Mutex<S>>>,
    pub(super) free: FreeBuffers,
}

impl<S> Clone for Transmit<S> {
    fn clone(&self) -> Self {
        Self {
            inspect: Arc::clone(&self.inspect),
            free: self.free.clone(),
        }
    }
}

impl<S: Inspect> TxQueue for Transmit<S> {
    type Packet = GeneratedPacket;

    #[inline(never)]
    fn send(&mut self, burst: &mut Burst<GeneratedPacket>) -> usize {
        self.inspect.0.lock().look(burst);
        let count = burst.len();
        self.free.0.0.lock().extend(burst.drain(..));
        count
    }
}

/// Lends no buffer: no case may need one.
pub(super) struct NoPool;

impl PacketPool for NoPool {
    type Packet = GeneratedPacket;

    fn allocate(&mut self, _len: usize) -> Option<GeneratedPacket> {
        None
    }
}

/// The generator as a kind of I/O.
pub(super) struct GeneratorIo<F, S>(std::marker::PhantomData<(F, S)>);

impl<F: Frames, S: Inspect> Io for GeneratorIo<F, S> {
    type Packet = GeneratedPacket;
    type Rx = Receive<F>;
    type Tx = Transmit<S>;
    type Pool = NoPool;
}
