//! The way from an open port to one that runs: configure, queues, MTU, start, RSS.
//!
//! What an ethdev offers is asked before it is used. What it refuses without harm (an MTU, the
//! promiscuous mode) becomes an [`EthdevNote`] for the operator instead of an error.

use std::fmt;
use std::sync::Arc;

use dpdk_sys as sys;

use super::cause::Cause;
use super::ethdev::Ethdev;
use super::mempool::Mempool;
use super::port::{EthdevError, Port};
use super::queue::QueuePair;
use super::rss::{self, RssConfig, Wish};
use crate::id::QueueId;

/// Ethernet header, one VLAN tag and the checksum some NICs leave in the buffer.
const FRAME_OVERHEAD: u32 = sys::RTE_ETHER_HDR_LEN + 4 + sys::RTE_ETHER_CRC_LEN;

/// What an ethdev is started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EthdevConfig {
    /// Pairs of queues: one for each worker.
    pub queues: u16,
    /// Packets a receive queue holds; the driver rounds it to what it can.
    pub rx_descriptors: u16,
    /// Packets a transmit queue holds; the driver rounds it to what it can.
    pub tx_descriptors: u16,
    /// Bytes of the largest IP packet.
    pub mtu: u16,
    /// How to spread flows over the queues; `None` leaves RSS off.
    pub rss: Option<RssConfig>,
    /// Whether every packet that will ever be sent here comes from one mempool and lies in one
    /// piece. Only then may the ethdev free packets the fast way, if it offers that.
    pub one_pool: bool,
}

impl Default for EthdevConfig {
    /// One pair of queues of 1,024 packets, MTU 1500, no RSS.
    fn default() -> Self {
        Self {
            queues: 1,
            rx_descriptors: 1_024,
            tx_descriptors: 1_024,
            mtu: 1_500,
            rss: None,
            one_pool: false,
        }
    }
}

/// A running ethdev and the handles of its queues.
#[derive(Debug)]
pub struct StartedEthdev {
    /// The ethdev.
    pub ethdev: Ethdev,
    /// Queue n's pair at place n.
    pub queues: Vec<QueuePair>,
    /// What it refused without harm.
    pub notes: Vec<EthdevNote>,
}

/// Something an ethdev refused that it can work without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EthdevNote {
    /// Its MTU is not the configured one.
    MtuKept {
        /// The device's name.
        device: String,
        /// Bytes asked for.
        asked: u16,
        /// Bytes DPDK keeps.
        kept: u16,
        /// What DPDK says; `None` when the driver's own limit rules it out.
        cause: Option<Cause>,
    },
    /// It receives only what is addressed to its MAC.
    NotPromiscuous {
        /// The device's name.
        device: String,
        /// What DPDK says.
        cause: Cause,
    },
    /// It spreads flows, but not as told, or does not say how: no use for choosing owners.
    RssUnknown {
        /// The device's name.
        device: String,
        /// What DPDK says.
        cause: Cause,
    },
}

impl fmt::Display for EthdevNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MtuKept {
                device,
                asked,
                kept,
                cause,
            } => {
                write!(
                    f,
                    "{device}: DPDK cannot set an MTU of {asked} and keeps {kept}; \
                     the interface's own MTU holds"
                )?;
                cause.iter().try_for_each(|cause| write!(f, ": {cause}"))
            }
            Self::NotPromiscuous { device, cause } => write!(
                f,
                "{device} receives only frames for its own MAC address: {cause}"
            ),
            Self::RssUnknown { device, cause } => write!(
                f,
                "{device} does not tell how it spreads flows over queues, \
                 so they are spread in software: {cause}"
            ),
        }
    }
}

/// Configures and starts the port; on an error dropping it closes it.
pub(super) fn start(
    mut port: Port,
    config: &EthdevConfig,
    pools: &[Mempool],
) -> Result<StartedEthdev, EthdevError> {
    let info = port.info()?;
    check(&port, &info, config, pools)?;
    let mut notes = Vec::new();
    let mtu = config.mtu.min(largest_mtu(&info));
    let wish = configure(&port, &info, config, mtu)?;
    port.keep(pools);
    set_up_queues(&port, &info, config, pools)?;
    notes.extend(set_mtu(&port, config.mtu, mtu)?);
    port.start()?;
    notes.extend(be_promiscuous(&port));
    let wishes = config.rss.as_ref().zip(wish);
    let rss = wishes.and_then(|(rss, wish)| {
        rss::settle(&port, &info, rss, wish)
            .map_err(|cause| notes.push(unknown_rss(&port, cause)))
            .ok()
    });

    let port = Arc::new(port);
    let queues = (0..config.queues)
        // SAFETY: the port is started with this many queues, and each is named once.
        .map(|queue| unsafe { QueuePair::new(&port, QueueId(queue)) })
        .collect();
    Ok(StartedEthdev {
        ethdev: Ethdev::new(port, rss)?,
        queues,
        notes,
    })
}

/// Refuses what DPDK would accept and then do wrong, or refuse without a clear word.
fn check(
    port: &Port,
    info: &sys::rte_eth_dev_info,
    config: &EthdevConfig,
    pools: &[Mempool],
) -> Result<(), EthdevError> {
    let device = || port.device().to_owned();
    let queues = config.queues;
    let max = info.max_rx_queues.min(info.max_tx_queues);
    if queues > max {
        return Err(EthdevError::TooFewQueues {
            device: device(),
            asked: queues,
            max,
        });
    }
    if queues == 0 || pools.len() != usize::from(queues) {
        return Err(EthdevError::PoolForEachQueue {
            device: device(),
            pools: pools.len(),
            queues,
        });
    }
    let needed = u32::from(config.mtu) + FRAME_OVERHEAD;
    let rooms = pools.iter().map(|pool| pool.config().frame_room);
    if let Some(frame_room) = rooms.min().filter(|room| u32::from(*room) < needed) {
        return Err(EthdevError::FrameRoomTooSmall {
            device: device(),
            mtu: config.mtu,
            needed,
            frame_room,
        });
    }
    let mut targets = config.rss.iter().flat_map(|rss| &rss.reta);
    match targets.find(|queue| queue.0 >= queues) {
        Some(&queue) => Err(EthdevError::NoSuchQueue {
            device: device(),
            queue,
            queues,
        }),
        None => Ok(()),
    }
}

/// The largest MTU DPDK lets the port be configured with, by DPDK's own arithmetic: where the
/// driver gives no MTU, the longest frame less header and checksum.
fn largest_mtu(info: &sys::rte_eth_dev_info) -> u16 {
    let overhead = sys::RTE_ETHER_HDR_LEN + sys::RTE_ETHER_CRC_LEN;
    if info.max_mtu != u16::MAX {
        return info.max_mtu;
    }
    u16::try_from(info.max_rx_pktlen.saturating_sub(overhead)).unwrap_or(u16::MAX)
}

/// Sets number of queues, MTU, offloads and RSS; gives what of RSS there is.
fn configure(
    port: &Port,
    info: &sys::rte_eth_dev_info,
    config: &EthdevConfig,
    mtu: u16,
) -> Result<Option<Wish>, EthdevError> {
    let mut conf = sys::rte_eth_conf::default();
    let mut wish = config.rss.as_ref().and_then(|rss| Wish::new(rss, info));
    let mut rx_offloads = sys::SHIM_RX_OFFLOAD_IPV4_CKSUM;
    if let Some(wish) = &mut wish {
        conf.rxmode.mq_mode = sys::RTE_ETH_MQ_RX_RSS;
        conf.rx_adv_conf.rss_conf = wish.for_configure();
        rx_offloads |= sys::SHIM_RX_OFFLOAD_RSS_HASH;
    }
    conf.rxmode.mtu = u32::from(mtu);
    conf.rxmode.offloads = rx_offloads & info.rx_offload_capa;
    if config.one_pool {
        conf.txmode.offloads = sys::SHIM_TX_OFFLOAD_MBUF_FAST_FREE & info.tx_offload_capa;
    }
    // SAFETY: `conf` and the key it points into live until DPDK has copied both.
    port.step("configure it", || unsafe {
        sys::rte_eth_dev_configure(port.id(), config.queues, config.queues, &raw const conf)
    })?;
    Ok(wish)
}

fn set_up_queues(
    port: &Port,
    info: &sys::rte_eth_dev_info,
    config: &EthdevConfig,
    pools: &[Mempool],
) -> Result<(), EthdevError> {
    let id = port.id();
    let (mut rx, mut tx) = (config.rx_descriptors, config.tx_descriptors);
    // SAFETY: DPDK checks the port's number and changes the two numbers.
    port.step("choose its queue lengths", || unsafe {
        sys::rte_eth_dev_adjust_nb_rx_tx_desc(id, &raw mut rx, &raw mut tx)
    })?;
    // Of an unsigned type there, so -1 (any socket) is its largest number.
    let socket = u32::from_ne_bytes(port.socket().to_ne_bytes());
    for (queue, pool) in (0..config.queues).zip(pools) {
        let rx_conf = info.default_rxconf;
        let pool = pool.as_ptr();
        // SAFETY: the port keeps the pool alive until it is closed; DPDK copies `rx_conf`.
        port.step("set up a receive queue", || unsafe {
            sys::rte_eth_rx_queue_setup(id, queue, rx, socket, &raw const rx_conf, pool)
        })?;
        let tx_conf = info.default_txconf;
        // SAFETY: DPDK copies `tx_conf`.
        port.step("set up a transmit queue", || unsafe {
            sys::rte_eth_tx_queue_setup(id, queue, tx, socket, &raw const tx_conf)
        })?;
    }
    Ok(())
}

/// Tells the device its MTU, where it can be told.
fn set_mtu(port: &Port, asked: u16, possible: u16) -> Result<Option<EthdevNote>, EthdevError> {
    let cause = if asked == possible {
        // SAFETY: DPDK checks the port's number and the MTU.
        match Cause::check(|| unsafe { sys::rte_eth_dev_set_mtu(port.id(), asked) }) {
            Ok(_) => return Ok(None),
            // Nothing to set: frames of the configured length pass as they are.
            Err(cause) if cause.code() == libc::ENOTSUP => return Ok(None),
            Err(cause) => Some(cause),
        }
    } else {
        // The device itself may well pass more than its driver admits (AF_PACKET does), so the
        // smaller value is not forced on it.
        None
    };
    Ok(Some(EthdevNote::MtuKept {
        device: port.device().to_owned(),
        asked,
        kept: port.mtu()?,
        cause,
    }))
}

/// Frames for the twin's additional addresses (VRRP's, say) must arrive too.
fn be_promiscuous(port: &Port) -> Option<EthdevNote> {
    // SAFETY: DPDK checks the port's number.
    Cause::check(|| unsafe { sys::rte_eth_promiscuous_enable(port.id()) })
        .err()
        .map(|cause| EthdevNote::NotPromiscuous {
            device: port.device().to_owned(),
            cause,
        })
}

fn unknown_rss(port: &Port, cause: Cause) -> EthdevNote {
    EthdevNote::RssUnknown {
        device: port.device().to_owned(),
        cause,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_mtu_follows_from_the_longest_frame_where_the_driver_gives_none() {
        // net_af_packet in DPDK 22.11 gives a frame length of 1518 and no MTU.
        let info = sys::rte_eth_dev_info {
            max_mtu: u16::MAX,
            max_rx_pktlen: 1_518,
            ..Default::default()
        };

        assert_eq!(largest_mtu(&info), 1_500);
        assert_eq!(
            largest_mtu(&sys::rte_eth_dev_info {
                max_mtu: 9_000,
                ..info
            }),
            9_000
        );
    }

    #[test]
    fn a_note_reads_as_a_sentence() {
        let note = EthdevNote::MtuKept {
            device: "net_af_packet0".to_owned(),
            asked: 9_000,
            kept: 1_500,
            cause: None,
        };

        assert_eq!(
            note.to_string(),
            "net_af_packet0: DPDK cannot set an MTU of 9000 and keeps 1500; \
             the interface's own MTU holds"
        );
    }
}
