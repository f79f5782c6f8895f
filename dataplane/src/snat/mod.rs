//! Lends local addresses and ports to FULLNAT sessions.
//!
//! A session towards a server leaves with a local address (LIP) and a local port in place of the
//! client's. While it lives, no other session has the same (LIP, local port, RIP, server port),
//! whatever the transport. The port is chosen so that the server's replies come back to the
//! worker that lent it (see [`steering`](crate::steering)), so a worker lends from a pool of its
//! own and never waits for another. It rests long before it is lent again.
//!
//! Memory: 64 bytes for each port and worker that can lend it, so 4 MB for a local address with
//! all its ports under software steering, and 4 MB for each worker under RSS.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use crossbeam_utils::CachePadded;

use self::cell::Cell32;
use self::port_pool::{BUCKETS, PortPool};
use crate::address::{Address, Endpoint, FlowKey, Protocol, V4, V6};
use crate::id::WorkerId;
use crate::steering::{Rss, Steering};
use crate::time::Tick;

pub use self::reuse::{Lent, REUSE_WINDOW_SECONDS};

mod cell;
mod port_pool;
mod reuse;

/// The ports of a local address when the configuration names none.
pub const DEFAULT_PORTS: RangeInclusive<u16> = 1024..=65_535;

/// Buckets into which servers fall: a port is lent once in each.
pub const SERVER_BUCKETS: usize = BUCKETS;

/// Bytes for a port, for each worker that may lend it.
pub const PORT_BYTES: usize = port_pool::PORT_BYTES;

/// One local address with its ports. It outlives the snapshots that name it.
///
/// What lends, reserves, takes back or asks for a port of a worker is called by that worker alone.
#[derive(Debug)]
pub struct LocalAddress {
    addr: IpAddr,
    ports: RangeInclusive<u16>,
    steering: Steering,
    shares: Box<[CachePadded<WorkerShare>]>,
}

/// What one worker has of a local address.
#[derive(Debug)]
struct WorkerShare {
    /// Classes of reply hashes that come to this worker.
    classes: Box<[u16]>,
    /// Written by the worker alone.
    in_use: Cell32,
    /// Used by the worker alone.
    pool: PortPool,
}

impl LocalAddress {
    /// A local address that lends `ports` (0 is never lent) to sessions of `workers` workers.
    ///
    /// `seed` says with which it begins. A gateway that starts anew should begin elsewhere than
    /// before: servers still keep the last connections of the ports lent last in TIME_WAIT
    /// (RFC 9293 §3.6.1), and answer a SYN on such a port with a challenge ACK when it looks
    /// older than that connection. With 0 it begins with the lowest.
    #[must_use]
    pub fn new(
        addr: IpAddr,
        ports: RangeInclusive<u16>,
        steering: &Steering,
        workers: usize,
        seed: u64,
    ) -> Self {
        let ports = (*ports.start()).max(1)..=*ports.end();
        let workers = u16::try_from(workers).unwrap_or(u16::MAX);
        let share = |worker| match steering {
            Steering::Software { workers } => WorkerShare::by_port(&ports, seed, worker, *workers),
            Steering::Toeplitz(rss) => {
                WorkerShare::by_hash(&ports, seed, worker, rss, addr.is_ipv4())
            }
        };
        Self {
            addr,
            steering: steering.clone(),
            shares: (0..workers).map(|n| CachePadded::new(share(n))).collect(),
            ports,
        }
    }

    /// The address.
    #[must_use]
    pub fn addr(&self) -> IpAddr {
        self.addr
    }

    /// The ports it lends.
    #[must_use]
    pub fn ports(&self) -> RangeInclusive<u16> {
        self.ports.clone()
    }

    /// Lends a port for a session of `worker` towards `server`: one that was never lent, or else
    /// one that rested long. `None` when all ports towards this server whose replies come to
    /// `worker` are lent, or when `server` is of the other family.
    ///
    /// Of ports that come home alike (one class; without RSS, or under a table that repeats
    /// itself, all of them) the one that rested longest is lent. Of the classes, which a table
    /// that the workers do not share evenly has many of, four with a free port are looked at in
    /// turn; only when there are not that many are all looked at.
    #[inline]
    pub fn take<A: Address>(
        &self,
        worker: WorkerId,
        server: Endpoint<A>,
        protocol: Protocol,
        now: Tick,
    ) -> Option<Lent> {
        let reply_class = self.reply_class(server, 0)?;
        let share = self.shares.get(worker.index())?;
        // The class of the whole reply is that of its other fields XOR that of the port.
        let (bucket, classes) = (bucket_of(server), &share.classes);
        let lent = share
            .pool
            .take(bucket, classes, reply_class, protocol, now)?;
        share.in_use.change(1);
        Some(lent)
    }

    /// The port that [`Self::take`] would lend; it stays free.
    #[must_use]
    pub fn peek<A: Address>(
        &self,
        worker: WorkerId,
        server: Endpoint<A>,
        now: Tick,
    ) -> Option<u16> {
        let reply_class = self.reply_class(server, 0)?;
        let share = self.shares.get(worker.index())?;
        let bucket = bucket_of(server);
        share.pool.peek(bucket, &share.classes, reply_class, now)
    }

    /// Lends one particular port for a session of `worker` towards `server` that had it before,
    /// here or at another gateway; takes bounded time. False when it is lent, is none of
    /// [`Self::ports`], or its replies would not come to `worker`.
    #[must_use]
    pub fn reserve<A: Address>(&self, worker: WorkerId, server: Endpoint<A>, port: u16) -> bool {
        let Some(addr) = A::from_ip(self.addr) else {
            return false;
        };
        let reply = FlowKey {
            source: server,
            destination: Endpoint::new(addr, port),
            protocol: Protocol::default(),
        };
        let comes_home = self.steering.local_reply_owner(&reply) == worker;
        let share = self.shares.get(worker.index()).filter(|_| comes_home);
        let reserved = share.filter(|share| {
            let class = self.port_class::<A>(port);
            share.pool.reserve(bucket_of(server), class, port)
        });
        if let Some(share) = reserved {
            share.in_use.change(1);
        }
        reserved.is_some()
    }

    /// Takes back a port that `worker` lent to a session towards `server`. `tcp_end` is the
    /// sequence number behind the last one sent to the server, as the server saw it; `None` for
    /// other transports, which leave the record of an earlier TCP session alone. A port that this
    /// pool did not lend (a session has it from a pool that this one replaced) changes nothing.
    #[inline]
    pub fn give_back<A: Address>(
        &self,
        worker: WorkerId,
        server: Endpoint<A>,
        port: u16,
        now: Tick,
        tcp_end: Option<u32>,
    ) {
        let class = self.port_class::<A>(port);
        if let Some(share) = self.shares.get(worker.index()) {
            let bucket = bucket_of(server);
            let was_lent = share.pool.give_back(bucket, class, port, now, tcp_end);
            if was_lent {
                share.in_use.change(-1);
            }
        }
    }

    /// Hints the CPU to fetch what is kept of a port that `worker` will soon give back.
    #[inline]
    pub fn prefetch<A: Address>(&self, worker: WorkerId, server: Endpoint<A>, port: u16) {
        if let Some(share) = self.shares.get(worker.index()) {
            share.pool.prefetch(bucket_of(server), port);
        }
    }

    /// Whether the port of `local`, once a session of `worker` towards `from` gave it back, could
    /// be lent to one towards `to`.
    #[must_use]
    pub fn could_move<A: Address>(
        &self,
        worker: WorkerId,
        local: Endpoint<A>,
        from: Endpoint<A>,
        to: Endpoint<A>,
    ) -> bool {
        let reply = FlowKey {
            source: to,
            destination: local,
            protocol: Protocol::default(),
        };
        local.addr.to_ip() == self.addr
            && self.ports.contains(&local.port)
            && bucket_of(from) == bucket_of(to)
            && self.steering.local_reply_owner(&reply) == worker
    }

    /// How many ports are lent now, counted once for each session.
    #[must_use]
    pub fn in_use(&self) -> usize {
        let shares = self.shares.iter();
        shares.map(|share| share.in_use.get() as usize).sum()
    }

    /// How many sessions it can carry at most towards these servers. One server takes at most as
    /// many as there are [`Self::ports`], and without RSS so do all servers of a bucket; under RSS
    /// each worker lends the same ports to those servers of a bucket whose replies come to it.
    #[must_use]
    pub fn capacity_towards(&self, servers: ServersByBucket) -> usize {
        let lenders = match &self.steering {
            Steering::Software { .. } => 1,
            Steering::Toeplitz(_) => self.shares.len(),
        };
        let times = servers.0.iter().map(|servers| lenders.min(*servers));
        self.ports.len() * times.sum::<usize>()
    }

    /// The class of the hash of a reply from `server` to `port`.
    #[inline]
    fn reply_class<A: Address>(&self, server: Endpoint<A>, port: u16) -> Option<usize> {
        let addr = A::from_ip(self.addr)?;
        match &self.steering {
            Steering::Software { .. } => Some(0),
            Steering::Toeplitz(rss) => Some(rss.class_of(rss.hash(&FlowKey {
                source: server,
                destination: Endpoint::new(addr, port),
                protocol: Protocol::default(),
            }))),
        }
    }

    /// The class of the list in which a port waits.
    #[inline]
    fn port_class<A: Address>(&self, port: u16) -> usize {
        match &self.steering {
            Steering::Software { .. } => 0,
            Steering::Toeplitz(rss) => rss.destination_port_class::<A>(port),
        }
    }
}

impl WorkerShare {
    /// The ports that leave `worker` as remainder: all in one class.
    fn by_port(ports: &RangeInclusive<u16>, seed: u64, worker: u16, workers: u16) -> Self {
        let mut own = ports.clone().filter(|port| port % workers.max(1) == worker);
        let first = own.next();
        let count = first.map_or(0, |_| own.fold(1, |count, _| count + 1));
        Self {
            classes: [0].into(),
            in_use: Cell32::default(),
            pool: PortPool::new((first.unwrap_or(1), workers.max(1), count), seed, 1, |_| 0),
        }
    }

    /// All ports, each in the class of its share of the hash: a port that comes home to another
    /// worker from one server comes home to this one from another.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "there are at most 2048 classes, and 65,535 ports"
    )]
    fn by_hash(ports: &RangeInclusive<u16>, seed: u64, worker: u16, rss: &Rss, ipv4: bool) -> Self {
        let class_of = |port| match ipv4 {
            true => rss.destination_port_class::<V4>(port),
            false => rss.destination_port_class::<V6>(port),
        };
        let own = rss.classes_to(WorkerId(worker)).map(|class| class as u16);
        let count = ports.clone().count() as u16;
        Self {
            classes: own.collect(),
            in_use: Cell32::default(),
            pool: PortPool::new((*ports.start(), 1, count), seed, rss.classes(), class_of),
        }
    }
}

/// How many servers there are in each bucket; each is to be counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServersByBucket([usize; BUCKETS]);

impl Extend<Endpoint<IpAddr>> for ServersByBucket {
    fn extend<T: IntoIterator<Item = Endpoint<IpAddr>>>(&mut self, servers: T) {
        for Endpoint { addr, port } in servers {
            let bucket = match addr {
                IpAddr::V4(addr) => bucket_of(Endpoint::new(V4::from(addr), port)),
                IpAddr::V6(addr) => bucket_of(Endpoint::new(V6::from(addr), port)),
            };
            self.0[bucket] += 1;
        }
    }
}

/// The bucket of a server: servers that differ little in address or port, as they do, fall into
/// different ones.
#[inline]
fn bucket_of<A: Address>(server: Endpoint<A>) -> usize {
    let sum = server.addr.to_bits().wrapping_add(u128::from(server.port));
    (sum % BUCKETS as u128) as usize
}

#[cfg(test)]
mod tests;
