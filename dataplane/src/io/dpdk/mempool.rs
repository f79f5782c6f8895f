//! Mempools: fixed numbers of equal packet buffers, on one NUMA socket each.
//!
//! Any thread may take from and give back to a pool; a thread registered with DPDK
//! ([`WorkerThread`](super::WorkerThread)) does so through a cache of its own.

use std::ffi::CString;
use std::mem::{self, ManuallyDrop};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use dpdk_sys as sys;

use super::cause::Cause;
use super::eal::Eal;
use super::mbuf::DpdkPacket;
use crate::io::{Packet, PacketPool};

/// A pool's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MempoolConfig {
    /// Buffers in all; DPDK wastes least with a power of two minus one.
    pub packets: u32,
    /// Bytes a frame may take, headroom not counted.
    pub frame_room: u16,
    /// Buffers a worker keeps at hand without touching what it shares with others; 0–512.
    pub cache: u32,
    /// The NUMA socket its memory lies on; `None` is any.
    pub socket: Option<u16>,
}

impl Default for MempoolConfig {
    /// 16,383 frames of up to 2,048 bytes on any socket: 39 MB.
    fn default() -> Self {
        Self {
            packets: 16_383,
            frame_room: 2_048,
            cache: 256,
            socket: None,
        }
    }
}

/// Why there is no pool.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MempoolError {
    /// The cache takes more than a pool can spare.
    #[error(
        "a cache of {cache} packets is too large for a mempool of {packets}: \
         at most two thirds of it, and at most 512"
    )]
    CacheTooLarge {
        /// The cache asked for.
        cache: u32,
        /// The pool's size.
        packets: u32,
    },
    /// Headroom and frame do not fit DPDK's 16-bit length.
    #[error("frames of {frame_room} bytes are too long for a mempool: at most 65407")]
    FrameRoomTooLarge {
        /// The frame room asked for.
        frame_room: u16,
    },
    /// There is not enough memory (on that socket).
    #[error(
        "there is no memory for a mempool of {packets} packets of {frame_room} bytes{}: \
         give DPDK more memory or ask for fewer packets",
        on_socket(*.socket)
    )]
    NoMemory {
        /// The pool's size.
        packets: u32,
        /// Bytes a frame may take.
        frame_room: u16,
        /// The socket asked for.
        socket: Option<u16>,
    },
    /// DPDK refused for another reason.
    #[error("DPDK does not make a mempool of {packets} packets: {cause}")]
    Refused {
        /// The pool's size.
        packets: u32,
        /// What DPDK says.
        cause: Cause,
    },
}

fn on_socket(socket: Option<u16>) -> String {
    socket.map_or_else(String::new, |socket| format!(" on NUMA socket {socket}"))
}

/// A pool of packets; clones are handles to the same pool.
///
/// When the last handle goes while packets are still outside (on another ethdev's transmit ring,
/// say), the pool's memory stays where it is, so that those packets stay valid.
#[derive(Clone, Debug)]
pub struct Mempool(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    pool: NonNull<sys::rte_mempool>,
    config: MempoolConfig,
    eal: ManuallyDrop<Eal>,
}

// SAFETY: a DPDK mempool with its default ring is made for use by any number of threads.
unsafe impl Send for Pool {}
// SAFETY: as above.
unsafe impl Sync for Pool {}

impl Mempool {
    /// Makes a pool.
    ///
    /// # Errors
    /// See [`MempoolError`].
    pub fn create(eal: &Eal, config: &MempoolConfig) -> Result<Self, MempoolError> {
        let data_room = check(config)?;
        let socket = config.socket.map_or(sys::SOCKET_ID_ANY, i32::from);
        let name = unique_name();
        let pool = Cause::check_errno(|| {
            // SAFETY: the name is a C string; DPDK checks the numbers.
            let pool = unsafe {
                sys::rte_pktmbuf_pool_create(
                    name.as_ptr(),
                    config.packets,
                    config.cache,
                    0,
                    data_room,
                    socket,
                )
            };
            NonNull::new(pool)
        })
        .map_err(|cause| explain(config, cause))?;
        Ok(Self(Arc::new(Pool {
            pool,
            config: *config,
            eal: ManuallyDrop::new(eal.clone()),
        })))
    }

    /// What it was made with.
    #[must_use]
    pub fn config(&self) -> &MempoolConfig {
        &self.0.config
    }

    /// Packets that can still be taken, those in workers' caches included.
    #[must_use]
    pub fn available(&self) -> u32 {
        self.0.available()
    }

    /// Packets somebody holds: a worker, or an ethdev's rings.
    #[must_use]
    pub fn in_use(&self) -> u32 {
        self.0.config.packets.saturating_sub(self.available())
    }

    pub(super) fn as_ptr(&self) -> *mut sys::rte_mempool {
        self.0.pool.as_ptr()
    }
}

impl Pool {
    fn available(&self) -> u32 {
        // SAFETY: the pool lives as long as `self`.
        unsafe { sys::rte_mempool_avail_count(self.pool.as_ptr()) }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if self.available() != self.config.packets {
            // A packet outside still points in here. The EAL's token stays with it, so that
            // `Eal::cleanup` knows.
            return;
        }
        // SAFETY: all packets are home and no handle is left to take one.
        unsafe { sys::rte_mempool_free(self.pool.as_ptr()) };
        // SAFETY: taken once, in the destructor.
        mem::drop(unsafe { ManuallyDrop::take(&mut self.eal) });
    }
}

impl PacketPool for Mempool {
    type Packet = DpdkPacket;

    #[inline]
    fn allocate(&mut self, len: usize) -> Option<DpdkPacket> {
        // SAFETY: the pool lives as long as `self`.
        let mbuf = unsafe { sys::shim_pktmbuf_alloc(self.as_ptr()) };
        // SAFETY: a fresh mbuf is ours alone.
        let mut packet = unsafe { DpdkPacket::from_raw(NonNull::new(mbuf)?) };
        packet.set_len(len).then_some(packet)
    }
}

/// Checks what DPDK would refuse without a clear word; gives its data room, headroom included.
fn check(config: &MempoolConfig) -> Result<u16, MempoolError> {
    let MempoolConfig {
        packets,
        frame_room,
        cache,
        ..
    } = *config;
    // Three halves of the cache must fit: DPDK's flush threshold.
    if cache > sys::RTE_MEMPOOL_CACHE_MAX_SIZE || u64::from(cache) * 3 > u64::from(packets) * 2 {
        return Err(MempoolError::CacheTooLarge { cache, packets });
    }
    u16::try_from(u32::from(frame_room) + sys::RTE_PKTMBUF_HEADROOM)
        .map_err(|_| MempoolError::FrameRoomTooLarge { frame_room })
}

fn explain(config: &MempoolConfig, cause: Cause) -> MempoolError {
    let MempoolConfig {
        packets,
        frame_room,
        socket,
        ..
    } = *config;
    match cause.code() {
        // The second when there is memory for the pool's ring, but not for all its packets.
        libc::ENOMEM | libc::ENOBUFS => MempoolError::NoMemory {
            packets,
            frame_room,
            socket,
        },
        _ => MempoolError::Refused { packets, cause },
    }
}

/// DPDK knows pools by name, and nobody else here does.
fn unique_name() -> CString {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    CString::new(format!("sluice_{number}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_larger_than_two_thirds_of_the_pool_is_refused() {
        let config = MempoolConfig {
            packets: 96,
            cache: 65,
            ..MempoolConfig::default()
        };

        assert_eq!(
            check(&config),
            Err(MempoolError::CacheTooLarge {
                cache: 65,
                packets: 96
            })
        );
        assert_eq!(
            check(&MempoolConfig {
                cache: 64,
                ..config
            }),
            Ok(2_176)
        );
    }

    #[test]
    fn a_frame_that_leaves_no_room_for_headroom_is_refused() {
        let config = MempoolConfig {
            frame_room: 65_408,
            ..MempoolConfig::default()
        };

        assert_eq!(
            check(&config).unwrap_err().to_string(),
            "frames of 65408 bytes are too long for a mempool: at most 65407"
        );
    }
}
