//! Ethdevs: opened by name, started with queues, asked for their link and counters.

use std::sync::Arc;

use dpdk_sys as sys;

use super::eal::Eal;
use super::mempool::Mempool;
use super::port::{EthdevError, Port};
use super::rss::RssState;
use super::start::{EthdevConfig, StartedEthdev, start};
use super::text;
use crate::address::MacAddr;

/// An ethdev that is there and not yet started; dropping it closes it.
#[derive(Debug)]
pub struct OpenEthdev {
    port: Port,
}

impl OpenEthdev {
    /// Opens a NIC by its PCI address (`0000:3b:00.0`, which the EAL must be allowed to touch)
    /// or any vdev by its string (`net_af_packet0,iface=veth1,framecnt=4096,qpairs=2`).
    ///
    /// # Errors
    /// One of [`EthdevError`] up to `NotAnEthdev`, naming the device.
    pub fn open(eal: &Eal, device: &str) -> Result<Self, EthdevError> {
        let port = Port::open(eal, device)?;
        Ok(Self { port })
    }

    /// The device's name, without its arguments.
    #[must_use]
    pub fn device(&self) -> &str {
        self.port.device()
    }

    /// Pairs of queues it has at most.
    ///
    /// # Errors
    /// When the driver does not answer.
    pub fn max_queues(&self) -> Result<u16, EthdevError> {
        let info = self.port.info()?;
        Ok(info.max_rx_queues.min(info.max_tx_queues))
    }

    /// The driver's name.
    ///
    /// # Errors
    /// When the driver does not answer.
    pub fn driver(&self) -> Result<String, EthdevError> {
        Ok(text(self.port.info()?.driver_name))
    }

    /// Entries of its redirection table; 0 if it has none that could be set.
    #[must_use]
    pub fn redirection_entries(&self) -> u16 {
        self.port.info().map_or(0, |info| info.reta_size)
    }

    /// The NUMA socket it is attached to, if it is to one.
    #[must_use]
    pub fn socket(&self) -> Option<u16> {
        u16::try_from(self.port.socket()).ok()
    }

    /// Configures and starts it; `pools[n]` is where queue n takes its packets from.
    ///
    /// # Errors
    /// One of [`EthdevError`] from `TooFewQueues` on; the ethdev is closed then.
    pub fn start(
        self,
        config: &EthdevConfig,
        pools: &[Mempool],
    ) -> Result<StartedEthdev, EthdevError> {
        start(self.port, config, pools)
    }
}

/// A link, as the ethdev sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkState {
    /// Whether there is a carrier.
    pub up: bool,
    /// Megabits per second, when it knows.
    pub speed_mbps: Option<u32>,
    /// Whether both sides may send at once.
    pub full_duplex: bool,
}

/// What the ethdev has counted since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EthdevStats {
    /// Packets received.
    pub rx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets lost because no worker took them in time (`imissed`).
    pub rx_missed: u64,
    /// Packets that arrived broken (`ierrors`).
    pub rx_errors: u64,
    /// Packets lost because the mempool was empty (`rx_nombuf`).
    pub rx_no_buffer: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets that could not be sent (`oerrors`).
    pub tx_errors: u64,
    /// The first queues; all zeros where the driver does not count them.
    pub queues: [QueueStats; COUNTED_QUEUES],
}

/// Queues that DPDK has counters for (`RTE_ETHDEV_QUEUE_STAT_CNTRS` as Debian builds it).
pub const COUNTED_QUEUES: usize = 16;

/// What one pair of queues has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Packets received.
    pub rx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets that the receive queue lost (`q_errors`).
    pub rx_errors: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
}

/// A started ethdev. It stops and closes when this handle and all its queues are dropped.
#[derive(Clone, Debug)]
pub struct Ethdev {
    port: Arc<Port>,
    mac: MacAddr,
    rss: Option<Arc<RssState>>,
}

impl Ethdev {
    pub(super) fn new(port: Arc<Port>, rss: Option<RssState>) -> Result<Self, EthdevError> {
        Ok(Self {
            mac: port.mac()?,
            rss: rss.map(Arc::new),
            port,
        })
    }

    /// The device's name, without its arguments.
    #[must_use]
    pub fn device(&self) -> &str {
        self.port.device()
    }

    /// Its MAC address.
    #[must_use]
    pub const fn mac(&self) -> MacAddr {
        self.mac
    }

    /// Key and table of its RSS as read back; `None` when it does not spread flows by RSS, or
    /// does not say how.
    #[must_use]
    pub fn rss(&self) -> Option<&RssState> {
        self.rss.as_deref()
    }

    /// The MTU it believes in, in bytes.
    ///
    /// # Errors
    /// When the driver does not answer.
    pub fn mtu(&self) -> Result<u16, EthdevError> {
        self.port.mtu()
    }

    /// Asks for the link without waiting for it to settle.
    ///
    /// # Errors
    /// When the driver does not answer.
    pub fn link(&self) -> Result<LinkState, EthdevError> {
        let mut link = sys::shim_link::default();
        // SAFETY: DPDK checks the port's number; the shim fills `link`.
        self.port.step("read its link", || unsafe {
            sys::shim_link_get_nowait(self.port.id(), &raw mut link)
        })?;
        let known = 1..sys::RTE_ETH_SPEED_NUM_UNKNOWN;
        Ok(LinkState {
            up: link.up,
            speed_mbps: Some(link.speed_mbps).filter(|speed| known.contains(speed)),
            full_duplex: link.full_duplex,
        })
    }

    /// Reads its counters.
    ///
    /// # Errors
    /// When the driver does not answer.
    pub fn stats(&self) -> Result<EthdevStats, EthdevError> {
        let mut stats = sys::rte_eth_stats::default();
        // SAFETY: DPDK checks the port's number and fills `stats`.
        self.port.step("read its counters", || unsafe {
            sys::rte_eth_stats_get(self.port.id(), &raw mut stats)
        })?;
        Ok(EthdevStats {
            rx_packets: stats.ipackets,
            rx_bytes: stats.ibytes,
            rx_missed: stats.imissed,
            rx_errors: stats.ierrors,
            rx_no_buffer: stats.rx_nombuf,
            tx_packets: stats.opackets,
            tx_bytes: stats.obytes,
            tx_errors: stats.oerrors,
            queues: std::array::from_fn(|queue| queue_stats(&stats, queue)),
        })
    }
}

/// A queue's counters; zeros where DPDK was built with fewer.
fn queue_stats(stats: &sys::rte_eth_stats, queue: usize) -> QueueStats {
    let of = |counters: &[u64]| counters.get(queue).copied().unwrap_or(0);
    QueueStats {
        rx_packets: of(&stats.q_ipackets),
        rx_bytes: of(&stats.q_ibytes),
        rx_errors: of(&stats.q_errors),
        tx_packets: of(&stats.q_opackets),
        tx_bytes: of(&stats.q_obytes),
    }
}
