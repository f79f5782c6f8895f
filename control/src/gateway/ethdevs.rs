//! What ethdevs and their memory say about themselves, to whoever asks.

/// What an ethdev counted, and its link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EthdevStats {
    /// The port's name in the configuration.
    pub name: String,
    /// Packets and bytes received.
    pub received: (u64, u64),
    /// Packets and bytes sent.
    pub transmitted: (u64, u64),
    /// Packets the ethdev had no descriptor for.
    pub missed: u64,
    /// Packets received with errors.
    pub receive_errors: u64,
    /// Packets that could not be sent.
    pub transmit_errors: u64,
    /// Packets for which no buffer was free.
    pub no_buffer: u64,
    /// Its link, if somebody knows of it.
    pub link: Option<LinkStats>,
    /// Its queues; empty when they are not counted.
    pub queues: Vec<QueueStats>,
}

/// An ethdev's link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Whether there is a carrier.
    pub up: bool,
    /// Megabits a second, if it knows.
    pub speed_mbps: Option<u32>,
    /// Whether both sides may send at once, if it knows.
    pub full_duplex: Option<bool>,
}

/// What one pair of queues of an ethdev counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Packets and bytes received.
    pub received: (u64, u64),
    /// Packets and bytes sent.
    pub transmitted: (u64, u64),
    /// Packets that the receive queue lost.
    pub lost: u64,
}

/// How full a mempool is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MempoolStats {
    /// Its name: the NUMA socket that it was made for.
    pub name: String,
    /// Buffers in all.
    pub buffers: u64,
    /// Those that a worker or an ethdev holds.
    pub in_use: u64,
}

/// Reads what ethdevs and mempools count themselves.
pub trait EthdevSource: Send + Sync {
    /// What each ethdev counted, in the order of the configuration.
    fn stats(&self) -> Vec<EthdevStats>;

    /// How full each mempool is.
    fn mempools(&self) -> Vec<MempoolStats> {
        Vec::new()
    }
}
