//! Why the gateway did not start, in sentences.

use control::linux::check_device::CheckDeviceError;
use control::linux::device::DeviceError;
use control::linux::fence::FenceError;
use control::linux::furnish::FurnishError;
use control::linux::journal::JournalError;
use control::linux::twin::TwinError;
use dataplane::id::CoreId;
use dataplane::io::dpdk::{EalError, EthdevError, MempoolError, ThreadError};

/// Why the gateway did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// The API's socket could not be had.
    #[error(transparent)]
    Socket(#[from] control::api::SocketError),
    /// The metrics' port could not be had.
    #[error("cannot listen for metrics on {address}: {source}: {advice}, or change `metrics`")]
    Metrics {
        /// Where to listen.
        address: std::net::SocketAddr,
        /// What would help.
        advice: &'static str,
        /// What Linux says.
        source: std::io::Error,
    },
    /// The journal of addresses could not be had.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A kernel interface is in use.
    #[error("port {port}: {source}")]
    Device {
        /// The port's name.
        port: String,
        /// What is wrong.
        source: DeviceError,
    },
    /// The kernel could not be kept off an interface.
    #[error("port {port}: {source}")]
    Fence {
        /// The port's name.
        port: String,
        /// What is wrong.
        source: FenceError,
    },
    /// DPDK does not start.
    #[error("{0}{advice}", advice = advice(.0))]
    Eal(#[from] EalError),
    /// There is no memory for packets.
    #[error(transparent)]
    Mempool(#[from] MempoolError),
    /// A NIC or vdev does not start.
    #[error("port {port}: {source}")]
    Ethdev {
        /// The port's name.
        port: String,
        /// What is wrong.
        source: EthdevError,
    },
    /// A twin cannot be made.
    #[error(transparent)]
    Twin(#[from] TwinError),
    /// An address or route cannot be put on a twin.
    #[error(transparent)]
    Furnish(#[from] FurnishError),
    /// The check interface cannot be made.
    #[error(transparent)]
    CheckDevice(#[from] CheckDeviceError),
    /// There is no memory for the session tables.
    #[error("{sessions} sessions per worker do not fit: {source}")]
    Sessions {
        /// Places asked for.
        sessions: u32,
        /// What is wrong.
        source: dataplane::memory::MapError,
    },
    /// A worker cannot run on its core.
    #[error(transparent)]
    Thread(#[from] ThreadError),
    /// The configuration asks for more workers than there are cores.
    #[error(
        "{wanted} workers need {wanted} cores, but this process may use {usable}: lower `workers`"
    )]
    TooFewCores {
        /// Workers asked for.
        wanted: u16,
        /// Cores there are.
        usable: usize,
    },
    /// The configuration names a core that there is not.
    #[error(
        "`workers` names core {core}, but this process may use only {usable}: name other cores"
    )]
    NoSuchCore {
        /// The core asked for.
        core: CoreId,
        /// Cores there are, in words.
        usable: String,
    },
    /// The mirror or another part that speaks to Linux cannot start.
    #[error("cannot follow Linux's addresses and routes: {0}")]
    Linux(String),
    /// The mirror failed while the gateway ran.
    #[error("Linux's routes can no longer be followed: start the gateway again")]
    MirrorEnded,
    /// Something else of Linux's.
    #[error("cannot start: {0}")]
    Io(#[from] std::io::Error),
}

/// What the configuration can do about DPDK's complaint.
const fn advice(error: &EalError) -> &'static str {
    match error {
        EalError::TooFewHugePages { .. } => {
            ": reserve more in /proc/sys/vm/nr_hugepages, lower `memory_mb`, or set \
             `huge_pages = \"auto\"`"
        }
        EalError::NotEnoughMemory(_) => ": lower `memory_mb`",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no_memory() -> std::io::Error {
        std::io::Error::from(std::io::ErrorKind::OutOfMemory)
    }

    #[test]
    fn what_keeps_the_gateway_from_starting_is_said_with_the_key_that_helps() {
        let metrics = StartError::Metrics {
            address: ([127, 0, 0, 1], 9_911).into(),
            advice: "stop what uses it",
            source: no_memory(),
        };
        let sessions = StartError::Sessions {
            sessions: 7,
            source: dataplane::memory::MapError {
                bytes: 4_096,
                source: no_memory(),
            },
        };

        assert_eq!(
            metrics.to_string(),
            "cannot listen for metrics on 127.0.0.1:9911: out of memory: stop what uses it, or \
             change `metrics`"
        );
        assert!(
            sessions
                .to_string()
                .starts_with("7 sessions per worker do not fit: "),
            "{sessions}"
        );
        let few = EalError::TooFewHugePages { asked: 64, free: 2 };
        assert_eq!(
            StartError::Eal(few).to_string(),
            "only 2 MB of huge pages are free, but 64 MB are configured: reserve more in \
             /proc/sys/vm/nr_hugepages, lower `memory_mb`, or set `huge_pages = \"auto\"`"
        );
    }
}
