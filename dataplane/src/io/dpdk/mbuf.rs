//! A packet in an mbuf.
//!
//! ```text
//!  buf_addr        + data_off         + data_len           + buf_len
//!     ▼                ▼                  ▼                    ▼
//!     ┌────────────────┬──────────────────┬────────────────────┐
//!     │ headroom (128) │ the frame        │ tailroom           │
//!     └────────────────┴──────────────────┴────────────────────┘
//! ```

use std::fmt;
use std::ptr::NonNull;
use std::slice;

use dpdk_sys as sys;

use crate::io::{Packet, RxChecksum, prefetch_read};

/// A packet buffer of a [`Mempool`](super::Mempool), owned; dropping it gives it back.
///
/// Laid out as the pointer DPDK's bursts are made of, so that bursts need no copying.
#[repr(transparent)]
pub struct DpdkPacket(NonNull<sys::rte_mbuf>);

// SAFETY: an mbuf is plain memory without ties to a thread, and pools take it back on any.
unsafe impl Send for DpdkPacket {}

impl DpdkPacket {
    /// Takes ownership of an mbuf.
    ///
    /// # Safety
    /// The mbuf is valid, nobody else uses it, its reference count is 1 and its pool lives on.
    pub(super) unsafe fn from_raw(mbuf: NonNull<sys::rte_mbuf>) -> Self {
        Self(mbuf)
    }

    #[inline]
    fn head(&self) -> &sys::shim_mbuf {
        let head = self.0.cast::<sys::shim_mbuf>();
        // SAFETY: ours while `self` lives, and shim.c asserts that the layouts are the same.
        unsafe { head.as_ref() }
    }

    #[inline]
    fn head_mut(&mut self) -> &mut sys::shim_mbuf {
        let mut head = self.0.cast::<sys::shim_mbuf>();
        // SAFETY: as in `head`, and `&mut self` makes it exclusive.
        unsafe { head.as_mut() }
    }

    /// Plays the ethdev: sets what a driver would about a received packet.
    #[cfg(test)]
    pub(super) fn set_receive_flags(&mut self, flags: u64, hash: u32) {
        let head = self.head_mut();
        head.ol_flags = flags;
        head.hash_rss = hash;
    }

    #[inline]
    fn data(&self) -> *mut u8 {
        let head = self.head();
        let offset = usize::from(head.data_off);
        // SAFETY: the data offset lies within the buffer, as everyone who sets it checks.
        unsafe { head.buf_addr.cast::<u8>().add(offset) }
    }

    /// Moves the start of the frame and keeps its end.
    #[inline]
    fn reshape(&mut self, data_off: u16, data_len: u16) {
        let head = self.head_mut();
        // Other segments, if there are any, keep their share of the whole length.
        let others = head.pkt_len.saturating_sub(u32::from(head.data_len));
        head.data_off = data_off;
        head.data_len = data_len;
        head.pkt_len = others + u32::from(data_len);
    }
}

impl Packet for DpdkPacket {
    #[inline]
    fn bytes(&self) -> &[u8] {
        let len = usize::from(self.head().data_len);
        // SAFETY: the first segment holds `data_len` bytes from `data` on, ours while borrowed.
        unsafe { slice::from_raw_parts(self.data(), len) }
    }

    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        let len = usize::from(self.head().data_len);
        // SAFETY: as in `bytes`, and `&mut self` makes it exclusive.
        unsafe { slice::from_raw_parts_mut(self.data(), len) }
    }

    #[inline]
    fn push_front(&mut self, count: usize) -> Option<&mut [u8]> {
        let count = u16::try_from(count).ok()?;
        let head = self.head();
        let (offset, len) = (head.data_off, head.data_len);
        self.reshape(offset.checked_sub(count)?, len.checked_add(count)?);
        Some(self.bytes_mut())
    }

    #[inline]
    fn pull_front(&mut self, count: usize) -> bool {
        let head = self.head();
        let (offset, len) = (head.data_off, head.data_len);
        let Some((count, left)) = u16::try_from(count)
            .ok()
            .and_then(|count| Some((count, len.checked_sub(count)?)))
        else {
            return false;
        };
        self.reshape(offset + count, left);
        true
    }

    #[inline]
    fn set_len(&mut self, len: usize) -> bool {
        let head = self.head();
        let (offset, room) = (head.data_off, head.buf_len.saturating_sub(head.data_off));
        match u16::try_from(len) {
            // The end of a frame in several pieces is not in this one.
            Ok(len) if len <= room && self.is_contiguous() => {
                self.reshape(offset, len);
                true
            }
            _ => false,
        }
    }

    #[inline]
    fn prefetch_head(&self) {
        prefetch_read(self.head());
    }

    #[inline]
    fn prefetch(&self) {
        prefetch_read(self.bytes());
    }

    #[inline]
    fn is_contiguous(&self) -> bool {
        self.head().nb_segs == 1
    }

    #[inline]
    fn ip_checksum(&self) -> RxChecksum {
        match self.head().ol_flags & sys::SHIM_MBUF_RX_IP_CKSUM_MASK {
            sys::SHIM_MBUF_RX_IP_CKSUM_GOOD => RxChecksum::Good,
            sys::SHIM_MBUF_RX_IP_CKSUM_BAD => RxChecksum::Bad,
            // The remaining value says that the header itself is not intact in the packet.
            _ => RxChecksum::Unknown,
        }
    }

    #[inline]
    fn rss_hash(&self) -> Option<u32> {
        let head = self.head();
        (head.ol_flags & sys::SHIM_MBUF_RX_RSS_HASH != 0).then_some(head.hash_rss)
    }
}

impl Drop for DpdkPacket {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the mbuf is ours, and nobody can use it after us.
        unsafe { sys::shim_pktmbuf_free(self.0.as_ptr()) };
    }
}

impl fmt::Debug for DpdkPacket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DpdkPacket")
            .field("len", &self.head().pkt_len)
            .field("segments", &self.head().nb_segs)
            .finish_non_exhaustive()
    }
}
