//! DPDK ethdevs behind the [`io`](crate::io) traits.
//!
//! The order of a life: [`Eal::start`] once per process, [`Mempool::create`] for each NUMA
//! socket, [`OpenEthdev::open`] and [`OpenEthdev::start`] for each NIC or vdev, then one
//! [`RxQueue`] and [`TxQueue`] for each worker, whose thread holds a [`WorkerThread`]. Dropping
//! the handles goes the same way back; [`Eal::cleanup`] is the last step and refuses to run while
//! anything else is left.
//!
//! All of the crate's calls into DPDK are in here, and what DPDK answers in negative numbers
//! leaves as an error that reads as a sentence, with what DPDK logged about it ([`Cause`]).
#![allow(unsafe_code)]

mod cause;
mod clock;
mod eal;
mod ethdev;
mod log;
mod mbuf;
mod mempool;
mod port;
mod queue;
mod rss;
mod start;
mod thread;

#[cfg(test)]
mod tests;

use std::ffi::{CStr, c_char};

use dpdk_sys as sys;

pub use cause::Cause;
pub use clock::Clock;
pub use eal::{Eal, EalConfig, EalError, Memory, arguments};
pub use ethdev::{COUNTED_QUEUES, Ethdev, EthdevStats, LinkState, OpenEthdev, QueueStats};
pub use log::{LogLevel, LogSink};
pub use mbuf::DpdkPacket;
pub use mempool::{Mempool, MempoolConfig, MempoolError};
pub use port::EthdevError;
pub use queue::{QueuePair, RxQueue, TxQueue};
pub use rss::{RssConfig, RssState};
pub use start::{EthdevConfig, EthdevNote, StartedEthdev};
pub use thread::{ThreadError, WorkerThread};

/// Packets, queues and pool of DPDK.
#[derive(Clone, Copy, Debug)]
pub struct DpdkIo;

impl super::Io for DpdkIo {
    type Packet = DpdkPacket;
    type Rx = RxQueue;
    type Tx = TxQueue;
    type Pool = Mempool;
}

/// The version of the DPDK this process runs with, as `DPDK 22.11.11`.
#[must_use]
pub fn version() -> String {
    // SAFETY: reads a constant string.
    text(unsafe { sys::rte_version() })
}

/// The text of a string of DPDK's, which must be null or live as long as the program.
fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: not null, and DPDK ends its strings with a zero.
    unsafe { CStr::from_ptr(pointer) }
        .to_string_lossy()
        .into_owned()
}
