//! Receive and transmit queues: one DPDK call a burst, straight into and out of the burst.

use std::fmt;
use std::mem::size_of;
use std::ptr;
use std::sync::Arc;

use dpdk_sys as sys;

use super::mbuf::DpdkPacket;
use super::port::Port;
use crate::id::QueueId;
use crate::io::{self, BURST, Burst};

// A burst of packets is, for DPDK, an array of pointers to mbufs.
const _: () = assert!(size_of::<DpdkPacket>() == size_of::<*mut sys::rte_mbuf>());
const _: () = assert!(BURST <= u16::MAX as usize);

/// A worker's two queues of one ethdev.
#[derive(Debug)]
pub struct QueuePair {
    /// What arrives for the worker.
    pub rx: RxQueue,
    /// What the worker sends.
    pub tx: TxQueue,
}

impl QueuePair {
    /// # Safety
    /// The ethdev is started, has this queue, and there is no other pair of it.
    pub(super) unsafe fn new(port: &Arc<Port>, queue: QueueId) -> Self {
        Self {
            rx: RxQueue {
                port: Arc::clone(port),
                queue,
            },
            tx: TxQueue {
                port: Arc::clone(port),
                queue,
            },
        }
    }
}

/// The only handle to a receive queue; the ethdev stays open as long as it lives.
pub struct RxQueue {
    port: Arc<Port>,
    queue: QueueId,
}

/// The only handle to a transmit queue; the ethdev stays open as long as it lives.
pub struct TxQueue {
    port: Arc<Port>,
    queue: QueueId,
}

impl io::RxQueue for RxQueue {
    type Packet = DpdkPacket;

    /// Some drivers receive in steps of four: a burst with less room than that stays as it is.
    #[inline]
    fn receive(&mut self, burst: &mut Burst<DpdkPacket>) -> usize {
        let held = burst.len();
        let room = to_u16(burst.remaining_capacity());
        // SAFETY: `held` is at most the capacity, so this points at or one past its last slot.
        let free = unsafe { burst.as_mut_ptr().add(held) };
        // SAFETY: the queue is ours alone and its ethdev runs; `free` has `room` slots, and a
        // DpdkPacket is a transparent pointer to an mbuf.
        let count = unsafe { sys::shim_rx_burst(self.port.id(), self.queue.0, free.cast(), room) };
        let count = usize::from(count.min(room));
        // SAFETY: DPDK wrote `count` valid mbufs from `held` on, and each is now ours alone.
        unsafe { burst.set_len(held + count) };
        count
    }
}

impl io::TxQueue for TxQueue {
    type Packet = DpdkPacket;

    #[inline]
    fn send(&mut self, burst: &mut Burst<DpdkPacket>) -> usize {
        let count = burst.len();
        let packets = burst.as_mut_ptr();
        // SAFETY: the queue is ours alone and its ethdev runs; `packets` are `count` mbufs.
        let taken = unsafe {
            sys::shim_tx_burst(self.port.id(), self.queue.0, packets.cast(), to_u16(count))
        };
        let taken = usize::from(taken).min(count);
        // SAFETY: the first `taken` belong to the ethdev now; nothing of them may be dropped.
        unsafe { burst.set_len(0) };
        // SAFETY: within the first `count` slots.
        let rest = unsafe { packets.add(taken) };
        // SAFETY: the packets left over move to the front, within the first `count` slots.
        unsafe { ptr::copy(rest, packets, count - taken) };
        // SAFETY: these are the packets just moved there, each of them once.
        unsafe { burst.set_len(count - taken) };
        taken
    }
}

#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "at most BURST, asserted above to fit"
)]
const fn to_u16(count: usize) -> u16 {
    count as u16
}

impl fmt::Debug for RxQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RxQueue({} queue {})", self.port.device(), self.queue)
    }
}

impl fmt::Debug for TxQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TxQueue({} queue {})", self.port.device(), self.queue)
    }
}
