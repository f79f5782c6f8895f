//! Chooses a real server for a new session.
//!
//! Each scheduler decides as the Linux kernel's of the same name does (IPVS, 6.1), over a
//! service's servers in the kernel's order: newest first. A scheduler belongs to one version of a
//! service; [`Scheduler::changed`] makes the next version's and carries over what the kernel
//! carries over. What a decision changes stands behind a spin lock held for a bounded walk;
//! [`load`] keeps the session counts and overload flags that decisions look at.

use std::sync::Arc;

use arrayvec::ArrayVec;

use crate::address::{Address, Endpoint};
use crate::id::Weight;
use crate::service::{RealServer, SchedulerKind};
use crate::time::Tick;

pub use self::failover::{Failover, Overflow};
pub use self::least_connection::{LeastConnection, WeightedLeastConnection};
pub use self::locality::{LocalityBased, LocalityBasedReplicated};
pub use self::maglev::{MAX_SERVERS as MAGLEV_MAX_SERVERS, Maglev};
pub use self::round_robin::RoundRobin;
pub use self::shortest_delay::{NeverQueue, ShortestExpectedDelay};
pub(crate) use self::spin::SpinLock;
pub(crate) use self::standings::Seat;
pub use self::standings::Standings;
pub use self::static_hashing::{DestinationHashing, SourceHashing};
pub use self::two_choices::TwoChoices;
pub use self::weighted_round_robin::WeightedRoundRobin;

pub mod ends;
mod failover;
mod field;
mod least_connection;
pub mod load;
mod locality;
mod maglev;
mod min_tree;
mod next_in_line;
mod round_robin;
mod shortest_delay;
mod siphash;
mod spin;
mod standings;
mod static_hashing;
mod sum_tree;
mod tournament;
mod turnstile;
mod two_choices;
mod weighted_round_robin;

#[cfg(test)]
mod history_tests;
#[cfg(test)]
mod samples;

/// What a scheduler may know of the session it chooses a server for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowInfo {
    /// The client's address as one word: IPv4 as it is, IPv6 as the XOR of its four words, all in
    /// host order.
    pub folded_source: u32,
    /// The client's port.
    pub source_port: u16,
    /// The address that the client speaks to, as [`Address::to_bits`].
    pub destination: u128,
    /// When it does.
    pub now: Tick,
}

impl FlowInfo {
    /// What a scheduler may know of a session of `client` with `vip`.
    #[inline]
    #[must_use]
    pub fn of<A: Address>(client: Endpoint<A>, vip: A, now: Tick) -> Self {
        Self {
            folded_source: fold(client.addr.to_bits()),
            source_port: client.port,
            destination: vip.to_bits(),
            now,
        }
    }
}

/// The XOR of an address's 32-bit words.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the words are taken one by one"
)]
const fn fold(bits: u128) -> u32 {
    (bits >> 96) as u32 ^ (bits >> 64) as u32 ^ (bits >> 32) as u32 ^ bits as u32
}

/// The greatest common divisor, where gcd(0, b) is b.
const fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Chooses real servers.
pub trait Schedule {
    /// The place in `servers` of the server for the new session `flow`, or `None` when none of
    /// them can take it. `servers` are those the scheduler was made for. Allocates nothing.
    fn pick(&self, servers: &[Arc<RealServer>], flow: FlowInfo) -> Option<usize>;

    /// As [`pick`](Self::pick), and binds the session to the server, in an active state or not
    /// ([`load::bind`]). Who then cannot make the session unbinds it.
    #[inline]
    fn take(&self, servers: &[Arc<RealServer>], flow: FlowInfo, is_active: bool) -> Option<usize> {
        pick_and_bind(self, servers, flow, is_active)
    }
}

#[inline]
fn pick_and_bind(
    scheduler: &(impl Schedule + ?Sized),
    servers: &[Arc<RealServer>],
    flow: FlowInfo,
    is_active: bool,
) -> Option<usize> {
    let place = scheduler.pick(servers, flow)?;
    load::bind(servers.get(place)?, is_active);
    Some(place)
}

/// What happened to a service's list of servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A server of this weight was put in, and stood here then.
    Added(usize, Weight),
    /// A server of this weight was taken out, and stood here.
    Removed(usize, Weight),
    /// A server's weight (from one to the other), thresholds or method was set, perhaps to what it
    /// was.
    Edited(Weight, Weight),
    /// A server weighs more or less (from one to the other), and nobody has said so: its load has,
    /// or a slow start.
    Weighed(Weight, Weight),
}

/// One version of a service's scheduler, with its state.
#[derive(Debug)]
pub enum Scheduler {
    /// Round robin.
    Rr(RoundRobin),
    /// Weighted round robin.
    Wrr(WeightedRoundRobin),
    /// Least connection.
    Lc(LeastConnection),
    /// Weighted least connection.
    Wlc(WeightedLeastConnection),
    /// Shortest expected delay.
    Sed(ShortestExpectedDelay),
    /// Never queue.
    Nq(NeverQueue),
    /// Weighted failover.
    Fo(Failover),
    /// Overflow.
    Ovf(Overflow),
    /// The power of two choices.
    Twos(TwoChoices),
    /// Destination hashing.
    Dh(DestinationHashing),
    /// Source hashing.
    Sh(SourceHashing),
    /// Maglev hashing.
    Mh(Maglev),
    /// Locality-based least connection.
    Lblc(LocalityBased),
    /// Locality-based least connection with replication.
    Lblcr(LocalityBasedReplicated),
    /// Nobody is ever chosen.
    None,
}

impl Scheduler {
    /// A scheduler in its first state.
    #[must_use]
    pub fn new(kind: SchedulerKind, servers: &[Arc<RealServer>]) -> Self {
        use SchedulerKind as Kind;
        match kind {
            Kind::Rr => Self::Rr(RoundRobin::new(servers)),
            Kind::Wrr => Self::Wrr(WeightedRoundRobin::new(servers)),
            Kind::Lc => Self::Lc(LeastConnection::new(servers)),
            Kind::Wlc => Self::Wlc(WeightedLeastConnection::new(servers)),
            Kind::Sed => Self::Sed(ShortestExpectedDelay::new(servers)),
            Kind::Nq => Self::Nq(NeverQueue::new(servers)),
            Kind::Fo => Self::Fo(Failover::new(servers)),
            Kind::Ovf => Self::Ovf(Overflow::new(servers)),
            Kind::Twos => Self::Twos(TwoChoices::new(servers)),
            Kind::Dh => Self::Dh(DestinationHashing),
            Kind::Sh { fallback, port } => Self::Sh(SourceHashing::new(fallback, port, servers)),
            Kind::Mh { fallback, port } => Self::Mh(Maglev::new(fallback, port, servers)),
            Kind::Lblc { expiration_seconds } => {
                Self::Lblc(LocalityBased::new(expiration_seconds, servers))
            }
            Kind::Lblcr { expiration_seconds } => {
                Self::Lblcr(LocalityBasedReplicated::new(expiration_seconds, servers))
            }
            Kind::None => Self::None,
        }
    }

    /// The scheduler of the service's next version, after changes that led, one after the other, to
    /// `servers`; without any, only the service changed. With another `kind` it starts anew; with
    /// the same it goes on where this one is now, as after the kernel's add, update and delete
    /// hooks.
    #[must_use]
    pub fn changed(
        &self,
        kind: SchedulerKind,
        servers: &[Arc<RealServer>],
        changes: &[Change],
    ) -> Self {
        use SchedulerKind as Kind;
        match (self, kind) {
            (Self::Rr(rr), Kind::Rr) => Self::Rr(rr.changed(servers, changes)),
            (Self::Wrr(wrr), Kind::Wrr) => Self::Wrr(wrr.changed(servers, changes)),
            (Self::Sh(sh), Kind::Sh { fallback, port }) => {
                Self::Sh(sh.changed(fallback, port, servers, changes))
            }
            (Self::Mh(mh), Kind::Mh { fallback, port }) => {
                Self::Mh(mh.changed(fallback, port, servers, changes))
            }
            (Self::Lblc(lblc), Kind::Lblc { expiration_seconds }) => {
                Self::Lblc(lblc.changed(expiration_seconds, servers))
            }
            (Self::Lblcr(lblcr), Kind::Lblcr { expiration_seconds }) => {
                Self::Lblcr(lblcr.changed(expiration_seconds, servers))
            }
            _ => Self::new(kind, servers),
        }
    }

    /// Whether it decides by the counts of the servers alone, so that a worker may choose for
    /// several sessions at once.
    #[inline]
    #[must_use]
    pub const fn can_choose_ahead(&self) -> bool {
        matches!(
            self,
            Self::Lc(_) | Self::Wlc(_) | Self::Sed(_) | Self::Nq(_) | Self::Fo(_) | Self::Ovf(_)
        )
    }

    /// As [`Schedule::take`] one time after the other, `count` times or fewer, while nobody else
    /// decides; the decisions are added to `places`. None is when no server takes a new session,
    /// or it cannot [choose ahead](Self::can_choose_ahead).
    pub fn choose_ahead<const MOST: usize>(
        &self,
        servers: &[Arc<RealServer>],
        is_active: bool,
        count: usize,
        places: &mut ArrayVec<u32, MOST>,
    ) {
        match self {
            Self::Lc(lc) => lc.choose_ahead(servers, is_active, count, places),
            Self::Wlc(wlc) => wlc.choose_ahead(servers, is_active, count, places),
            Self::Sed(sed) => sed.choose_ahead(servers, is_active, count, places),
            Self::Nq(nq) => nq.choose_ahead(servers, is_active, count, places),
            Self::Fo(fo) => fo.choose_ahead(servers, is_active, count, places),
            Self::Ovf(ovf) => ovf.choose_ahead(servers, is_active, count, places),
            _ => {}
        }
    }

    /// What [`Schedule::pick`] would give now; nothing moves on, so the next one to ask gets the
    /// same.
    #[must_use]
    pub fn peek(&self, servers: &[Arc<RealServer>], flow: FlowInfo) -> Option<usize> {
        match self {
            Self::Rr(rr) => rr.peek(servers),
            Self::Wrr(wrr) => wrr.peek(servers),
            Self::Twos(twos) => twos.peek(servers, flow),
            Self::Lblc(lblc) => lblc.peek(servers, flow),
            Self::Lblcr(lblcr) => lblcr.peek(servers, flow),
            // These only look.
            _ => self.pick(servers, flow),
        }
    }

    /// How often a worker found the scheduler's lock taken, over all versions of the service
    /// with this scheduler.
    #[must_use]
    pub fn lock_waits(&self) -> u64 {
        match self {
            Self::Rr(rr) => rr.lock_waits(),
            Self::Wrr(wrr) => wrr.lock_waits(),
            Self::Lc(lc) => lc.lock_waits(),
            Self::Wlc(wlc) => wlc.lock_waits(),
            Self::Sed(sed) => sed.lock_waits(),
            Self::Nq(nq) => nq.lock_waits(),
            Self::Fo(fo) => fo.lock_waits(),
            Self::Ovf(ovf) => ovf.lock_waits(),
            Self::Twos(twos) => twos.lock_waits(),
            Self::Lblc(lblc) => lblc.lock_waits(),
            Self::Lblcr(lblcr) => lblcr.lock_waits(),
            Self::Dh(_) | Self::Sh(_) | Self::Mh(_) | Self::None => 0,
        }
    }
}

impl Schedule for Scheduler {
    #[inline]
    fn pick(&self, servers: &[Arc<RealServer>], flow: FlowInfo) -> Option<usize> {
        match self {
            Self::Rr(rr) => rr.pick(servers, flow),
            Self::Wrr(wrr) => wrr.pick(servers, flow),
            Self::Lc(lc) => lc.pick(servers, flow),
            Self::Wlc(wlc) => wlc.pick(servers, flow),
            Self::Sed(sed) => sed.pick(servers, flow),
            Self::Nq(nq) => nq.pick(servers, flow),
            Self::Fo(fo) => fo.pick(servers, flow),
            Self::Ovf(ovf) => ovf.pick(servers, flow),
            Self::Twos(twos) => twos.pick(servers, flow),
            Self::Dh(dh) => dh.pick(servers, flow),
            Self::Sh(sh) => sh.pick(servers, flow),
            Self::Mh(mh) => mh.pick(servers, flow),
            Self::Lblc(lblc) => lblc.pick(servers, flow),
            Self::Lblcr(lblcr) => lblcr.pick(servers, flow),
            Self::None => None,
        }
    }

    #[inline]
    fn take(&self, servers: &[Arc<RealServer>], flow: FlowInfo, is_active: bool) -> Option<usize> {
        match self {
            Self::Lc(lc) => lc.take(servers, flow, is_active),
            Self::Wlc(wlc) => wlc.take(servers, flow, is_active),
            Self::Sed(sed) => sed.take(servers, flow, is_active),
            Self::Nq(nq) => nq.take(servers, flow, is_active),
            Self::Fo(fo) => fo.take(servers, flow, is_active),
            Self::Ovf(ovf) => ovf.take(servers, flow, is_active),
            _ => pick_and_bind(self, servers, flow, is_active),
        }
    }
}
