//! Packet buffers: one mempool on each NUMA socket that an ethdev is attached to.

use control::config::Config;
use dataplane::io::dpdk::{Eal, Mempool, MempoolConfig, MempoolError};

/// Buffers that a worker keeps at hand.
const CACHE: u32 = 256;

/// DPDK's headroom in front of each frame.
const HEADROOM: u16 = 128;

/// The mempools by socket; at least one.
pub(super) struct Pools {
    first: Mempool,
    /// The socket that the first one was made for.
    first_socket: Option<u16>,
    others: Vec<(Option<u16>, Mempool)>,
}

impl Pools {
    /// Makes a pool for each different socket among those of the ethdevs; `None` is any socket.
    pub(super) fn create(
        eal: &Eal,
        config: &Config,
        sockets: &[Option<u16>],
    ) -> Result<Self, MempoolError> {
        let different = different(sockets);
        let (first, others) = match different.split_first() {
            Some((first, others)) => (*first, others),
            None => (None, &[][..]),
        };
        Ok(Self {
            first: create(eal, config, first)?,
            first_socket: first,
            others: (others.iter())
                .map(|socket| Ok((*socket, create(eal, config, *socket)?)))
                .collect::<Result<_, _>>()?,
        })
    }

    /// The pool of ethdevs on this socket.
    pub(super) fn of(&self, socket: Option<u16>) -> &Mempool {
        let other = self.others.iter().find(|(of, _)| *of == socket);
        other.map_or(&self.first, |(_, pool)| pool)
    }

    /// Where packets come from that no ethdev received: ICMP errors, fragments, Linux's frames.
    pub(super) const fn own(&self) -> &Mempool {
        &self.first
    }

    /// Every pool by the socket that it was made for.
    pub(super) fn named(&self) -> Vec<(String, Mempool)> {
        let name = |socket: Option<u16>| match socket {
            Some(socket) => format!("socket {socket}"),
            None => "any socket".to_owned(),
        };
        let first = (name(self.first_socket), self.first.clone());
        let others = self.others.iter();
        let others = others.map(|(socket, pool)| (name(*socket), pool.clone()));
        std::iter::once(first).chain(others).collect()
    }

    /// Whether every packet comes from the same pool.
    pub(super) fn is_one(&self) -> bool {
        self.others.is_empty()
    }
}

/// Each socket once, in the order of its first ethdev.
fn different(sockets: &[Option<u16>]) -> Vec<Option<u16>> {
    let mut different = Vec::new();
    for socket in sockets {
        if !different.contains(socket) {
            different.push(*socket);
        }
    }
    different
}

/// A pool on a socket, or where there is memory if that socket has none.
fn create(eal: &Eal, config: &Config, socket: Option<u16>) -> Result<Mempool, MempoolError> {
    let packets = config.pool_buffers();
    let wanted = MempoolConfig {
        packets,
        frame_room: config.buffer_bytes().saturating_sub(HEADROOM),
        cache: CACHE.min(packets / 4),
        socket,
    };
    let anywhere = MempoolConfig {
        socket: None,
        ..wanted
    };
    Mempool::create(eal, &wanted).or_else(|error| {
        let pool = Mempool::create(eal, &anywhere)?;
        tracing::warn!("packet buffers lie on another NUMA socket than their port: {error}");
        Ok(pool)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ethdevs_of_one_socket_share_a_pool() {
        assert_eq!(different(&[Some(1), Some(0), Some(1)]), [Some(1), Some(0)]);
        assert_eq!(different(&[None, None]), [None]);
        assert_eq!(different(&[]), []);
    }
}
