//! What ethdevs and mempools count themselves, for metrics.

use control::config::Port;
use control::gateway::{EthdevSource, EthdevStats, LinkStats, MempoolStats, QueueStats};
use control::linux::link;
use control::linux::netlink::RouteSocket;
use dataplane::io::dpdk::{self, COUNTED_QUEUES, Ethdev, Mempool};
use parking_lot::Mutex;

/// Reads it when somebody asks.
pub(super) struct StatsReader {
    ports: Vec<Counted>,
    /// Pairs of queues of each ethdev, as far as they are counted.
    queues: usize,
    mempools: Vec<(String, Mempool)>,
    /// Asks Linux for the links of its own interfaces.
    socket: Mutex<RouteSocket>,
}

struct Counted {
    name: String,
    /// The interface of Linux that the ethdev shares.
    interface: Option<String>,
    ethdev: Ethdev,
}

impl StatsReader {
    /// A reader of these ports with `workers` pairs of queues each.
    pub(super) fn new<'a>(
        ports: impl Iterator<Item = (&'a Port, Ethdev)>,
        workers: u16,
        mempools: Vec<(String, Mempool)>,
    ) -> std::io::Result<Self> {
        let ports = ports.map(|(port, ethdev)| Counted {
            name: port.interface.name.clone(),
            interface: port.device.linux_interface().map(str::to_owned),
            ethdev,
        });
        Ok(Self {
            ports: ports.collect(),
            queues: usize::from(workers).min(COUNTED_QUEUES),
            mempools,
            socket: Mutex::new(RouteSocket::open()?),
        })
    }

    /// The link as Linux sees it where it has the interface, whose drivers say what they like.
    fn link(&self, port: &Counted) -> Option<LinkStats> {
        if let Some(interface) = &port.interface {
            let found = link::by_name(&mut self.socket.lock(), interface).ok()?;
            return Some(LinkStats {
                // One that was removed carries nothing.
                up: found.is_some_and(|link| link.running),
                speed_mbps: None,
                full_duplex: None,
            });
        }
        let link = port.ethdev.link().ok()?;
        Some(LinkStats {
            up: link.up,
            speed_mbps: link.speed_mbps,
            full_duplex: Some(link.full_duplex),
        })
    }
}

impl EthdevSource for StatsReader {
    fn stats(&self) -> Vec<EthdevStats> {
        let ports = self.ports.iter().filter_map(|port| {
            let stats = port.ethdev.stats().ok()?;
            let queues = stats.queues.iter().take(self.queues);
            Some(EthdevStats {
                name: port.name.clone(),
                received: (stats.rx_packets, stats.rx_bytes),
                transmitted: (stats.tx_packets, stats.tx_bytes),
                missed: stats.rx_missed,
                receive_errors: stats.rx_errors,
                transmit_errors: stats.tx_errors,
                no_buffer: stats.rx_no_buffer,
                link: self.link(port),
                queues: queues.map(queue_stats).collect(),
            })
        });
        ports.collect()
    }

    fn mempools(&self) -> Vec<MempoolStats> {
        let pools = self.mempools.iter().map(|(name, pool)| MempoolStats {
            name: name.clone(),
            buffers: pool.config().packets.into(),
            in_use: pool.in_use().into(),
        });
        pools.collect()
    }
}

const fn queue_stats(queue: &dpdk::QueueStats) -> QueueStats {
    QueueStats {
        received: (queue.rx_packets, queue.rx_bytes),
        transmitted: (queue.tx_packets, queue.tx_bytes),
        lost: queue.rx_errors,
    }
}
