//! Remembers which server a client of a persistent service has.
//!
//! ```text
//!  client & netmask ─┐
//!  VIP and port,     ├─ hash ─► shard ─► template ─► server
//!  or mark           ┘          (lock)       ▲
//!                                            └ children: the sessions made by it
//! ```
//!
//! All workers share one table, so that a client whose connections land on different workers meets
//! one server. They look into it only when a session of a persistent service is made, proves
//! itself or ends; each shard stands behind a spin lock that is held for a bounded walk. All memory
//! is asked for at the beginning, and touched when it is needed.
//!
//! A template's time is a matter of arithmetic ([`timer`]): nothing has to happen in the moment
//! when it is over. A sweep, a few places each tick, gives back what has ended.

mod early;
mod record;
mod shard;
mod timer;

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use arrayvec::ArrayVec;
use crossbeam_utils::CachePadded;
use parking_lot::Mutex;

pub use self::record::TemplateRecord;
use self::record::record;
use self::shard::{Entry, Shard, Standing};
use self::timer::Timer;
use crate::address::{Address, Endpoint, Protocol};
use crate::id::ServerSlot;
use crate::schedule::SpinLock;
use crate::service::RealServer;
use crate::session::HashSecret;
use crate::snapshot::Snapshot;
use crate::time::{TICKS_PER_SECOND, Tick};
use crate::wire::tuple::Tuple;

/// Shards; a power of two, for more workers than there are.
const SHARDS: usize = 64;

/// The bits of a [`TemplateLink`] that name the shard.
const SHARD_BITS: u32 = SHARDS.trailing_zeros();

/// Places that one sweep looks at.
const SWEEP_PLACES: usize = 256;

/// How long the sweep leaves a deadline alone that finds sessions: workers tell of sessions that
/// have ended a little later, and one that ended before the deadline does not keep its template.
const GRACE_TICKS: u32 = TICKS_PER_SECOND;

/// Places that are looked at while a lock is held.
const PLACES_AT_ONCE: usize = 32;

/// Whose template it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TemplateKey<A> {
    /// The client's address under the service's netmask.
    pub client: A,
    /// What it speaks to.
    pub of: Virtual<A>,
}

/// What the clients of a template speak to (connections.md §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Virtual<A> {
    /// A VIP, and a port or all ports (0).
    Address(Protocol, Endpoint<A>),
    /// Whatever has this mark.
    Mark(u32),
}

/// Where a session's template stands; it stays there as long as it has sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct TemplateLink(u32);

impl TemplateLink {
    /// No template.
    pub const NONE: Self = Self(0);

    /// Whether there is a template.
    #[inline]
    #[must_use]
    pub const fn is_some(self) -> bool {
        self.0 != 0
    }

    /// The template in a place of a shard.
    fn new(shard: usize, place: usize) -> Self {
        let number = place << SHARD_BITS | shard;
        // No table has that many places: see `Templates::new`.
        Self(u32::try_from(number + 1).unwrap_or(0))
    }

    /// Its shard and place.
    const fn split(self) -> Option<(usize, usize)> {
        match (self.0 as usize).checked_sub(1) {
            Some(number) => Some((number % SHARDS, number >> SHARD_BITS)),
            None => None,
        }
    }
}

/// What a template is made from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewTemplate<'a> {
    /// The server.
    pub(crate) server: &'a RealServer,
    /// The port that listings show of it.
    pub(crate) server_port: u16,
    /// How long it lasts after each new session.
    pub(crate) timeout_seconds: u32,
}

/// What a new session finds in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Joined {
    /// The template, which has the session as a child.
    pub(crate) link: TemplateLink,
    /// Its server.
    pub(crate) server: ServerSlot,
}

/// What a worker may look at when it asks for a template.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visit<'a> {
    /// The worker's configuration.
    pub(crate) snapshot: &'a Snapshot,
    /// The time.
    pub(crate) now: Tick,
    /// Whether the session will be one of the template's children: one-packet ones have ended
    /// before they could be.
    pub(crate) as_child: bool,
}

impl Visit<'_> {
    /// What the session remembers of a template.
    fn link(&self, shard: usize, place: usize) -> TemplateLink {
        if self.as_child {
            TemplateLink::new(shard, place)
        } else {
            TemplateLink::NONE
        }
    }
}

/// The templates of all services.
#[derive(Debug)]
pub struct Templates<A: Address> {
    shards: Box<[CachePadded<SpinLock<Shard<A>>>]>,
    /// Places of a shard.
    shard_places: usize,
    secret: HashSecret,
    /// Templates in the table.
    len: CachePadded<AtomicUsize>,
    /// The tick of the last sweep.
    swept: CachePadded<AtomicU32>,
    /// Where the next sweep begins.
    rover: Mutex<Rover>,
}

/// A place of a shard.
#[derive(Clone, Copy, Debug, Default)]
struct Rover {
    shard: usize,
    place: usize,
}

impl<A: Address> Default for Templates<A> {
    /// A table that never has room.
    fn default() -> Self {
        Self::new(0, HashSecret([0; 4]))
    }
}

impl<A: Address> Templates<A> {
    /// Templates that a table has room for unless something else is said.
    pub const CAPACITY: usize = 1 << 20;

    /// A table with room for about `capacity` templates; at most 2^31.
    #[must_use]
    pub fn new(capacity: usize, secret: HashSecret) -> Self {
        let shard_places = capacity.min(1 << 31).div_ceil(SHARDS);
        let shard = || CachePadded::new(SpinLock::new(Shard::new(shard_places)));
        Self {
            shards: (0..SHARDS).map(|_| shard()).collect(),
            shard_places,
            secret,
            len: CachePadded::default(),
            swept: CachePadded::default(),
            rover: Mutex::default(),
        }
    }

    /// Templates in the table, with those that have ended and were not swept away yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Whether there is no template in the table.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Templates for which the table has places.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.shard_places * SHARDS
    }

    /// The moment up to which workers have come, while there are templates.
    #[must_use]
    pub fn seen(&self) -> Tick {
        Tick(self.swept.load(Ordering::Relaxed))
    }

    /// How often a worker found a lock taken.
    #[must_use]
    pub fn lock_waits(&self) -> u64 {
        self.shards.iter().map(|shard| shard.waits()).sum()
    }

    /// All templates that live at `now`, in no order. For control: it allocates.
    #[must_use]
    pub fn records(&self, now: Tick) -> Vec<TemplateRecord> {
        let mut records = Vec::new();
        for shard in &self.shards {
            let mut next = Some(0);
            while let Some(first) = next {
                let mut some = ArrayVec::<Entry<A>, PLACES_AT_ONCE>::new();
                next = shard.lock().copy(first, &mut some);
                for entry in &mut some {
                    entry.pass(now);
                    if entry.is_filled() && !entry.is_over(now) {
                        records.push(record(entry, now));
                    }
                }
            }
        }
        records
    }

    /// Lets a new session join the template of its client, if there is one that can be used. One
    /// that cannot, because its server is gone or takes nobody any more, is never found again.
    pub(crate) fn join(&self, visit: Visit<'_>, key: &TemplateKey<A>) -> Option<Joined> {
        let (hash, number) = self.home(key);
        let mut shard = self.shards[number].lock();
        self.join_in(&mut shard, number, hash, visit, key).ok()?
    }

    /// The server of the template that [`Self::join`] would find; nothing changes.
    pub(crate) fn peek(
        &self,
        snapshot: &Snapshot,
        now: Tick,
        key: &TemplateKey<A>,
    ) -> Option<ServerSlot> {
        let (hash, number) = self.home(key);
        let mut shard = self.shards[number].lock();
        let place = shard.find(hash, key)?;
        let entry = shard.entry(place).filter(|entry| !entry.is_over(now))?;
        let server = snapshot.server(entry.server)?;
        is_usable(snapshot, server).then_some(server.slot)
    }

    /// Makes a template, and lets a new session join it, or joins one that another worker has made
    /// since. `None` without room for one more, or when this worker has not yet heard of the
    /// server that its client has.
    pub(crate) fn found(
        &self,
        visit: Visit<'_>,
        key: &TemplateKey<A>,
        new: NewTemplate<'_>,
    ) -> Option<Joined> {
        let (hash, number) = self.home(key);
        let mut shard = self.shards[number].lock();
        let joined = self.join_in(&mut shard, number, hash, visit, key);
        if let Some(joined) = joined.ok()? {
            return Some(joined);
        }
        let seconds = new.timeout_seconds.clamp(1, Tick::MAX_TIMEOUT_SECONDS);
        let place = shard.insert(
            hash,
            Entry {
                key: *key,
                server: new.server.slot,
                server_end: Endpoint::new(A::from_ip(new.server.endpoint.addr)?, new.server_port),
                timer: Timer::new(visit.now, seconds * TICKS_PER_SECOND),
                children: visit.as_child.into(),
                standing: Standing::Listed,
                is_assured: false,
                is_one_packets: !visit.as_child,
                next: 0,
            },
        )?;
        self.len.fetch_add(1, Ordering::Relaxed);
        new.server.shared.bind_template();
        Some(Joined {
            link: visit.link(number, place),
            server: new.server.slot,
        })
    }

    /// A session of a template ended at `end`.
    pub(crate) fn leave(&self, link: TemplateLink, end: Tick) {
        self.with(link, |entry| {
            entry.timer.pass_until(end);
            debug_assert!(entry.children > 0, "a session left that had not joined");
            entry.children = entry.children.saturating_sub(1);
        });
    }

    /// A session of a template has proven itself: its connection is established, or its server
    /// has answered.
    pub(crate) fn assure(&self, link: TemplateLink) {
        self.with(link, |entry| entry.is_assured = true);
    }

    /// Gives the places of some templates back that have ended, once in a tick.
    pub(crate) fn sweep(&self, snapshot: &Snapshot, now: Tick) {
        if self.is_empty() || self.swept.load(Ordering::Relaxed) == now.0 {
            return;
        }
        let Some(mut rover) = self.rover.try_lock() else {
            return;
        };
        self.swept.store(now.0, Ordering::Relaxed);
        let (mut places, mut shards) = (SWEEP_PLACES, SHARDS);
        while places > 0 && shards > 0 {
            let Rover { shard, place } = *rover;
            let end = place + PLACES_AT_ONCE;
            let mut sweeping = self.shards[shard].lock();
            for place in place..end.min(sweeping.places()) {
                if let Some(entry) = sweeping.entry(place) {
                    entry.pass(now.minus(GRACE_TICKS));
                }
                self.free_if(&mut sweeping, place, snapshot, |entry, server| {
                    entry.is_over(now) || early::is_orphan(snapshot, entry, server)
                });
            }
            let looked_at = end.min(sweeping.places()).saturating_sub(place);
            // An empty shard takes its time too.
            places = places.saturating_sub(looked_at + 1);
            let is_last = end >= sweeping.places();
            *rover = Rover {
                shard: if is_last { (shard + 1) % SHARDS } else { shard },
                place: if is_last { 0 } else { end },
            };
            shards -= usize::from(is_last);
        }
    }

    fn with(&self, link: TemplateLink, change: impl FnOnce(&mut Entry<A>)) {
        let Some((shard, place)) = link.split() else {
            return;
        };
        if let Some(entry) = self.shards[shard].lock().entry(place) {
            change(entry);
        }
    }

    /// [`Self::join`] with the lock in hand; an error when the template may be usable, but not
    /// here.
    fn join_in(
        &self,
        shard: &mut Shard<A>,
        number: usize,
        hash: u64,
        visit: Visit<'_>,
        key: &TemplateKey<A>,
    ) -> Result<Option<Joined>, NotHere> {
        let Some(place) = shard.find(hash, key) else {
            return Ok(None);
        };
        if self.free_if_over(shard, place, visit.snapshot, visit.now) {
            return Ok(None);
        }
        let Some(entry) = shard.entry(place) else {
            return Ok(None);
        };
        let server = visit.snapshot.server(entry.server).ok_or(NotHere)?;
        if !is_usable(visit.snapshot, server) {
            shard.unlist(hash, place, Standing::Outcast);
            return Ok(None);
        }
        entry.pass(visit.now);
        entry.children += u32::from(visit.as_child);
        entry.timer.restart(visit.now);
        Ok(Some(Joined {
            link: visit.link(number, place),
            server: entry.server,
        }))
    }

    /// Gives a template's place back if its time is over; says whether that is so.
    fn free_if_over(
        &self,
        shard: &mut Shard<A>,
        place: usize,
        snapshot: &Snapshot,
        now: Tick,
    ) -> bool {
        self.free_if(shard, place, snapshot, |entry, _| entry.is_over(now))
    }

    /// Gives a template's place back if it, with its server, is over; says whether that is so.
    fn free_if(
        &self,
        shard: &mut Shard<A>,
        place: usize,
        snapshot: &Snapshot,
        is_over: impl FnOnce(&mut Entry<A>, Option<&RealServer>) -> bool,
    ) -> bool {
        let Some(entry) = shard.entry(place).filter(|entry| entry.is_filled()) else {
            return false;
        };
        let server = snapshot.server(entry.server);
        if !is_over(entry, server) {
            return false;
        }
        let hash = self.hash(&entry.key);
        match server {
            Some(server) => {
                shard.free(hash, place);
                server.shared.unbind_template();
                self.len.fetch_sub(1, Ordering::Relaxed);
            }
            // This worker has not heard of the server yet, so another one has to count it.
            None => shard.unlist(hash, place, Standing::Outcast),
        }
        true
    }

    /// The hash of a key, and its shard.
    fn home(&self, key: &TemplateKey<A>) -> (u64, usize) {
        let hash = self.hash(key);
        (hash, usize::try_from(hash >> 32).unwrap_or(0) % SHARDS)
    }

    fn hash(&self, key: &TemplateKey<A>) -> u64 {
        let (protocol, port, end) = match key.of {
            Virtual::Address(protocol, end) => (protocol, 0, end),
            Virtual::Mark(mark) => {
                let [a, b, c, d] = mark.to_be_bytes();
                let low = Endpoint::new(A::default(), u16::from_be_bytes([c, d]));
                (Protocol::Tcp, u16::from_be_bytes([a, b]), low)
            }
        };
        let tuple = Tuple::new(Endpoint::new(key.client, port), end);
        self.secret.hash(&tuple, protocol)
    }
}

/// The server of a template is not in a worker's snapshot.
struct NotHere;

/// Whether a template's server takes its client's new sessions (connections.md §5, 1): also one
/// whose weight is 0 or that is overloaded, unless `expire_quiescent_template` says otherwise.
fn is_usable(snapshot: &Snapshot, server: &RealServer) -> bool {
    let is_quiescent = snapshot.knobs.expire_quiescent_template && server.weight.0 == 0;
    server.available && !is_quiescent
}

#[cfg(test)]
mod tests;
