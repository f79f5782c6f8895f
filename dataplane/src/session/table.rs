//! The session table of one worker and one family: fixed places, found from both sides.
//!
//! Sessions lie in one slab and never move; the [buckets](super::buckets) find them by hash, the
//! [wheel](super::wheel) by deadline, and a list through the vacant ones gives out places. An
//! overdue session is never found, however late the wheel is; a new one with the same key may
//! stand beside it until it is removed.

use arrayvec::ArrayVec;

use super::buckets::Buckets;
use super::candidate::direction;
use super::entry::Session;
use super::hash::HashSecret;
use super::probes::Probes;
use super::transition::Direction;
use super::wheel::{MAX_NODES, Timed, Wheel};
use crate::address::{Address, FlowKey, Protocol};
use crate::id::SessionId;
use crate::memory::{Backing, HugeSlice, MapError};
use crate::service::Method;
use crate::time::Tick;
use crate::wire::tuple::Tuple;

/// In an entry of the buckets: this is the key of the server's packets.
pub(super) const TO_CLIENT: u32 = 1 << 31;

/// The end of the list of vacant places.
const NO_PLACE: u32 = u32::MAX;

/// How many keys a table has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeysPerSession {
    /// One: no server's replies pass (DR, TUN). Sessions that need two take the room of two.
    One,
    /// Two: every session can be found from both sides (NAT, FULLNAT).
    Two,
}

impl KeysPerSession {
    /// Keys of a table for so many sessions.
    const fn of(self, capacity: usize) -> usize {
        match self {
            Self::One => capacity,
            Self::Two => 2 * capacity,
        }
    }
}

/// Sessions whose ends are taken together.
const BATCH: usize = 16;

/// Under which hashes a session is filed.
#[derive(Clone, Copy, Debug)]
pub struct Hashes {
    /// Of the client's packets.
    pub client: u64,
    /// Of its server's packets, if they pass.
    pub server: Option<u64>,
}

/// There is no place for another session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session table is full")]
pub struct TableFull;

/// A session's name that stays unmistakable when its place is given to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionHandle {
    id: SessionId,
    serial: u32,
}

/// The sessions of one worker and one family.
#[derive(Debug)]
pub struct SessionTable<A: Address> {
    pub(super) sessions: HugeSlice<Session<A>>,
    pub(super) buckets: Buckets,
    wheel: Wheel,
    secret: HashSecret,
    /// The first of the places that were vacated, linked by `next`.
    pub(super) vacated: u32,
    /// Places from here on were never used, so that unused memory is never touched.
    pub(super) unused: u32,
    len: u32,
    keys: usize,
    keys_max: usize,
    pub(super) next_serial: u32,
    /// Where the search for a session to evict goes on.
    pub(super) hand: u32,
}

impl<A: Address> SessionTable<A> {
    /// A table for `capacity` sessions, at `now`.
    ///
    /// # Errors
    ///
    /// [`MapError`] when there is not that much memory, or `capacity` is above 2^31 − 1.
    pub fn new(
        capacity: usize,
        keys: KeysPerSession,
        secret: HashSecret,
        now: Tick,
    ) -> Result<Self, MapError> {
        if capacity >= MAX_NODES {
            return Err(MapError {
                bytes: capacity.saturating_mul(size_of::<Session<A>>()),
                source: std::io::Error::from(std::io::ErrorKind::InvalidInput),
            });
        }
        let keys_max = keys.of(capacity);
        Ok(Self {
            // One more for the session that is put aside.
            sessions: HugeSlice::new(capacity + 1)?,
            buckets: Buckets::new(keys_max)?,
            wheel: Wheel::new(now),
            secret,
            vacated: NO_PLACE,
            unused: 0,
            len: 0,
            keys: 0,
            keys_max,
            next_serial: 0,
            hand: 0,
        })
    }

    /// Bytes in huge pages that [`Self::new`] asks for; what the wheel takes is ordinary memory.
    #[must_use]
    pub fn huge_bytes(capacity: usize, keys: KeysPerSession) -> usize {
        let sessions = HugeSlice::<Session<A>>::huge_bytes(capacity + 1);
        sessions + Buckets::huge_bytes(keys.of(capacity))
    }

    /// The hash of a flow, which the look-up and its prefetches are given.
    #[inline]
    #[must_use]
    pub fn hash(&self, key: &FlowKey<A>) -> u64 {
        self.hash_tuple(&Tuple::of(key), key.protocol)
    }

    /// [`Self::hash`] of a flow whose packets have these ends.
    #[inline]
    #[must_use]
    pub fn hash_tuple(&self, tuple: &Tuple<A>, protocol: Protocol) -> u64 {
        self.secret.hash(tuple, protocol)
    }

    /// The session whose packets have this key, unless it is overdue.
    #[inline(always)]
    #[must_use]
    pub fn find(&self, hash: u64, key: &FlowKey<A>, now: Tick) -> Option<(SessionId, Direction)> {
        let tuple = Tuple::of(key);
        let entry = self.buckets.find(hash, |entry| {
            let session = &self.sessions[(entry & !TO_CLIENT) as usize];
            session.matches(&tuple, key.protocol, direction(entry)) && !session.deadline.is_due(now)
        })?;
        Some((SessionId(entry & !TO_CLIENT), direction(entry)))
    }

    /// The session filed under this key, overdue or not: whoever takes over what a session holds
    /// must end it, however late the wheel is.
    #[must_use]
    pub fn holder(&self, hash: u64, key: &FlowKey<A>) -> Option<SessionId> {
        let tuple = Tuple::of(key);
        let entry = self.buckets.find(hash, |entry| {
            let session = &self.sessions[(entry & !TO_CLIENT) as usize];
            session.matches(&tuple, key.protocol, direction(entry))
        })?;
        Some(SessionId(entry & !TO_CLIENT))
    }

    /// Files a session under the client's key and, when its server's replies pass, under
    /// theirs, to end `ticks` after `now`.
    ///
    /// # Errors
    ///
    /// [`TableFull`] when every place or key is taken. Nothing is evicted here.
    pub fn insert(
        &mut self,
        session: &Session<A>,
        now: Tick,
        ticks: u32,
    ) -> Result<SessionId, TableFull> {
        let hashes = self.hashes(session);
        self.insert_under(hashes, session, now, ticks)
    }

    /// [`Self::insert`] for who knows the hashes of the session's keys already.
    ///
    /// # Errors
    ///
    /// As [`Self::insert`].
    pub fn insert_under(
        &mut self,
        hashes: Hashes,
        session: &Session<A>,
        now: Tick,
        ticks: u32,
    ) -> Result<SessionId, TableFull> {
        let keys = 1 + usize::from(hashes.server.is_some());
        if self.keys + keys > self.keys_max {
            return Err(TableFull);
        }
        let id = self.take_place().ok_or(TableFull)?;

        let place = &mut self.sessions[id as usize];
        *place = *session;
        place.deadline = now.plus(ticks);
        place.serial = self.next_serial;
        self.next_serial = self.next_serial.wrapping_add(1);
        self.wheel.file(&mut self.sessions, id);
        // The buckets have room for `keys_max` keys, so neither call can fail.
        self.buckets.insert(hashes.client, id);
        if let Some(hash) = hashes.server {
            self.buckets.insert(hash, id | TO_CLIENT);
        }
        if session.method() == Method::Nat {
            self.put_in_front(&session.server_key(), id | TO_CLIENT);
        }
        if session.client().port == 0 {
            // By DR and TUN, replies that pass are found by it.
            self.put_in_front(&session.client_key(), id);
        }
        self.keys += keys;
        self.len += 1;
        Ok(SessionId(id))
    }

    /// How far entries had to go until they found a place.
    #[must_use]
    pub const fn probes(&self) -> &Probes {
        self.buckets.probes()
    }

    /// Puts a session where no packet finds it, until the next one is put there: it is for one
    /// packet, and for later fragments of that within `ticks`. It needs no place of the table's.
    pub fn put_aside(&mut self, session: &Session<A>, now: Tick, ticks: u32) -> SessionId {
        let id = self.capacity();
        let place = &mut self.sessions[id];
        *place = *session;
        place.deadline = now.plus(ticks);
        place.serial = self.next_serial;
        self.next_serial = self.next_serial.wrapping_add(1);
        // A table has fewer than 2^31 places.
        SessionId(u32::try_from(id).unwrap_or(u32::MAX))
    }

    /// Whether a session is the one that was put aside.
    #[must_use]
    pub fn is_aside(&self, id: SessionId) -> bool {
        id.index() == self.capacity()
    }

    /// Puts a session's entry in front of older ones with the same key: a client may use one port
    /// for two VIPs of one server, or port 0 again and again, and the server's packets then belong
    /// to the connection it began last (as in the kernel, whose lists begin with the newest).
    fn put_in_front(&mut self, key: &FlowKey<A>, entry: u32) {
        let hash = self.hash(key);
        let (id, side) = (entry & !TO_CLIENT, entry & TO_CLIENT);
        if let Some(first) = self.holder(hash, key).filter(|first| first.0 != id) {
            self.buckets.swap(hash, first.0 | side, entry);
            self.get_mut(first).become_outdated();
        }
    }

    /// Removes a session and gives it back; `None` when the place is vacant.
    pub fn remove(&mut self, id: SessionId) -> Option<Session<A>> {
        if !self.sessions.get(id.index())?.is_occupied() {
            return None;
        }
        self.wheel.unfile(&mut self.sessions, id.0);
        let hashes = self.hashes(self.get(id));
        Some(self.release(id.0, &hashes))
    }

    /// The session at `id`, which must come from this table.
    ///
    /// # Panics
    ///
    /// When `id` is beyond the table, which is a bug in the caller.
    #[inline]
    #[must_use]
    pub fn get(&self, id: SessionId) -> &Session<A> {
        &self.sessions[id.index()]
    }

    /// The session at `id`, which must come from this table, to be changed.
    ///
    /// # Panics
    ///
    /// When `id` is beyond the table, which is a bug in the caller.
    #[inline]
    #[must_use]
    pub fn get_mut(&mut self, id: SessionId) -> &mut Session<A> {
        &mut self.sessions[id.index()]
    }

    /// A name for the session at `id` that can be kept longer than the session lives.
    #[inline]
    #[must_use]
    pub fn handle(&self, id: SessionId) -> SessionHandle {
        let serial = self.get(id).serial;
        SessionHandle { id, serial }
    }

    /// The session a handle was made for, if it still lives.
    #[inline]
    #[must_use]
    pub fn resolve(&self, handle: SessionHandle, now: Tick) -> Option<SessionId> {
        let session = self.sessions.get(handle.id.index())?;
        let lives = session.is_occupied()
            && session.serial == handle.serial
            && !session.deadline.is_due(now);
        lives.then_some(handle.id)
    }

    /// Lets a session that was found at `now` end `ticks` later. Later than before only stamps
    /// the session; earlier (0: at once) files it anew.
    #[inline]
    pub fn extend(&mut self, id: SessionId, now: Tick, ticks: u32) {
        let deadline = now.plus(ticks);
        let session = &mut self.sessions[id.index()];
        let is_later = session.deadline.until(deadline) >= 0;
        session.deadline = deadline;
        if !is_later {
            self.wheel.unfile(&mut self.sessions, id.0);
            self.wheel.file(&mut self.sessions, id.0);
        }
    }

    /// Removes what is due at `now`, at most `budget` steps of work, and shows each removed
    /// session to `removed`. Gives how many were removed; a session ends at most 62.5 ms after
    /// its deadline if the budget lasts.
    pub fn expire(&mut self, now: Tick, budget: u32, removed: &mut impl FnMut(&Session<A>)) -> u32 {
        self.expire_in_batches(now, budget, |_| (), removed)
    }

    /// [`Self::expire`], which shows each session to `soon` some sessions before it is removed:
    /// sessions that end lie anywhere in memory, and so does what they hold. So it can be asked
    /// for all at once.
    pub fn expire_in_batches(
        &mut self,
        now: Tick,
        mut budget: u32,
        mut soon: impl FnMut(&Session<A>),
        removed: &mut impl FnMut(&Session<A>),
    ) -> u32 {
        let mut count = 0;
        loop {
            let mut due = ArrayVec::<(u32, Hashes), BATCH>::new();
            while !due.is_full()
                && let Some(id) = self.wheel.next_due(&mut self.sessions, now, &mut budget)
            {
                let session = &self.sessions[id as usize];
                let hashes = self.hashes(session);
                self.buckets.prefetch(hashes.client);
                hashes.server.inspect(|hash| self.buckets.prefetch(*hash));
                soon(session);
                due.push((id, hashes));
            }
            for (id, hashes) in &due {
                let session = self.release(*id, hashes);
                removed(&session);
            }
            count += u32::try_from(due.len()).unwrap_or(0);
            if !due.is_full() {
                return count;
            }
        }
    }

    /// Shows sessions to `take` from place `cursor` on, until it has taken `limit` of them or
    /// `scan_limit` places were passed. Gives the cursor to go on from; `None` at the end.
    pub fn page(
        &self,
        cursor: u32,
        limit: usize,
        scan_limit: usize,
        mut take: impl FnMut(SessionId, &Session<A>) -> bool,
    ) -> Option<u32> {
        let scan_limit = u32::try_from(scan_limit).unwrap_or(u32::MAX);
        let end = cursor.saturating_add(scan_limit).min(self.unused);
        let mut taken = 0;
        for id in cursor..end {
            if taken == limit {
                return Some(id);
            }
            let session = &self.sessions[id as usize];
            if session.is_occupied() && take(SessionId(id), session) {
                taken += 1;
            }
        }
        (end < self.unused).then_some(end)
    }

    /// Sessions in the table, overdue ones included.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there is no session in the table.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Sessions for which the table has places.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.sessions.len() - 1
    }

    /// Whether a session that can be found from both sides would not be taken.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.len() == self.capacity() || self.keys + 2 > self.keys_max
    }

    /// Bytes of memory set aside for the table; what was never used is not touched.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.sessions.memory_bytes() + self.buckets.memory_bytes() + self.wheel.memory_bytes()
    }

    /// What the sessions lie in.
    #[must_use]
    pub const fn backing(&self) -> Backing {
        self.sessions.backing()
    }

    /// A vacant place: the one vacated last, whose memory is the warmest, or a new one.
    fn take_place(&mut self) -> Option<u32> {
        if self.vacated != NO_PLACE {
            let id = self.vacated;
            self.vacated = self.sessions[id as usize].links().next;
            return Some(id);
        }
        let is_left = (self.unused as usize) < self.capacity();
        is_left.then(|| {
            self.unused += 1;
            self.unused - 1
        })
    }

    /// Under which hashes a session is, or would be, filed.
    #[must_use]
    pub fn hashes(&self, session: &Session<A>) -> Hashes {
        let sees_replies = session.method().sees_replies();
        let hash = |direction| self.hash_tuple(&session.arriving(direction), session.protocol());
        Hashes {
            client: hash(Direction::ToServer),
            server: sees_replies.then(|| hash(Direction::ToClient)),
        }
    }

    /// Removes an unfiled session's keys and gives its place free.
    fn release(&mut self, id: u32, hashes: &Hashes) -> Session<A> {
        let session = self.sessions[id as usize];
        let mut is_whole = self.buckets.remove(hashes.client, id);
        self.keys -= 1;
        if let Some(hash) = hashes.server {
            is_whole &= self.buckets.remove(hash, id | TO_CLIENT);
            self.keys -= 1;
        }
        debug_assert!(is_whole, "a session's keys are filed as long as it lives");

        let place = &mut self.sessions[id as usize];
        place.vacate();
        place.links_mut().next = self.vacated;
        self.vacated = id;
        self.len -= 1;
        session
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::address::{V4, V6};
    use crate::service::Method;
    use crate::session::testing::{Dice, SECRET, dr, flow, nat};
    use crate::time::TICKS_PER_SECOND;

    const NOW: Tick = Tick(1_000);

    fn table<A: Address>(capacity: usize) -> SessionTable<A> {
        SessionTable::new(capacity, KeysPerSession::Two, SECRET, NOW).unwrap()
    }

    fn find<A: Address>(
        table: &SessionTable<A>,
        key: &FlowKey<A>,
        now: Tick,
    ) -> Option<(SessionId, Direction)> {
        let hash = table.hash(key);
        table.prefetch_bucket(hash);
        table.prefetch_candidate(hash);
        table.find(hash, key, now)
    }

    const METHODS: [Method; 4] = [Method::Dr, Method::Nat, Method::Tun, Method::Fullnat];

    /// A table beside a model that knows the sessions by their number.
    struct Pair<A: Address> {
        table: SessionTable<A>,
        model: HashMap<SessionId, (u32, Tick)>,
        now: Tick,
    }

    impl<A: Address> Pair<A> {
        fn session(&self, number: u32) -> Session<A> {
            let method = METHODS[number as usize % METHODS.len()];
            let protocol = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp][number as usize % 3];
            Session::new(&flow(number, method, protocol), self.now)
        }

        fn living(&self, number: u32) -> Option<SessionId> {
            let mut same = self.model.iter().filter(|(_, (other, _))| *other == number);
            let (id, _) = same.find(|(_, (_, deadline))| !deadline.is_due(self.now))?;
            Some(*id)
        }

        fn check(&self, number: u32) {
            let session = self.session(number);
            let living = self.living(number);
            let forward = find(&self.table, &session.client_key(), self.now);
            assert_eq!(forward, living.map(|id| (id, Direction::ToServer)));
            let reverse = find(&self.table, &session.server_key(), self.now);
            let expected = living.filter(|_| session.method().sees_replies());
            assert_eq!(reverse, expected.map(|id| (id, Direction::ToClient)));
        }

        fn insert(&mut self, number: u32, ticks: u32) {
            if self.living(number).is_some() {
                return;
            }
            let is_full = self.model.len() == self.table.capacity();
            match self.table.insert(&self.session(number), self.now, ticks) {
                Ok(id) => {
                    assert!(!is_full);
                    let replaced = self.model.insert(id, (number, self.now.plus(ticks)));
                    assert_eq!(replaced, None, "a place was given out twice");
                }
                Err(TableFull) => assert!(is_full),
            }
        }

        fn any(&self, dice: &mut Dice) -> Option<SessionId> {
            let mut ids: Vec<_> = self.model.keys().copied().collect();
            ids.sort_unstable();
            let at = dice.below(u32::try_from(ids.len()).unwrap().max(1));
            ids.get(at as usize).copied()
        }

        fn step(&mut self, dice: &mut Dice) {
            let number = dice.below(120);
            match dice.below(10) {
                0..5 => self.insert(number, dice.below(200)),
                5 => {
                    if let Some(id) = self.any(dice) {
                        let removed = self.table.remove(id).unwrap();
                        let (number, _) = self.model.remove(&id).unwrap();
                        assert_eq!(removed.client(), self.session(number).client());
                    }
                }
                6 => {
                    // Only a session that was found is extended, so none comes back to life.
                    if let Some(id) = self.living(number) {
                        let ticks = dice.below(300);
                        self.table.extend(id, self.now, ticks);
                        self.model.get_mut(&id).unwrap().1 = self.now.plus(ticks);
                    }
                }
                7 => self.now = self.now.plus(dice.below(60)),
                _ => {
                    let now = self.now;
                    let (table, model) = (&mut self.table, &mut self.model);
                    let before = model.len();
                    let count = table.expire(now, dice.below(40), &mut |session| {
                        assert!(session.deadline().is_due(now));
                    });
                    model.retain(|id, _| table.sessions[id.index()].is_occupied());
                    assert_eq!(before - model.len(), count as usize);
                }
            }
            self.check(number);
            assert_eq!(self.table.len(), self.model.len());
        }
    }

    fn run_beside_the_model<A: Address>() {
        for seed in 0..10 {
            let mut dice = Dice(seed);
            let mut pair = Pair::<A> {
                table: table(64),
                model: HashMap::new(),
                now: NOW,
            };
            for _ in 0..4_000 {
                pair.step(&mut dice);
            }
            for number in 0..120 {
                pair.check(number);
            }
            pair.now = pair.now.plus(400);
            pair.table.expire(pair.now, u32::MAX, &mut |_| ());
            assert!(pair.table.is_empty());
            assert_eq!(pair.table.keys, 0);
        }
    }

    #[test]
    fn ipv4_sessions_behave_as_in_a_hash_map() {
        run_beside_the_model::<V4>();
    }

    #[test]
    fn ipv6_sessions_behave_as_in_a_hash_map() {
        run_beside_the_model::<V6>();
    }

    #[test]
    fn a_servers_packets_belong_to_the_newest_session_with_their_key() {
        let mut dice = Dice(5);
        for _ in 0..200 {
            // Given a table with holes, so that places are not taken in order.
            let mut table = table(64);
            let ids: Vec<_> = (10..40)
                .map(|number| table.insert(&nat(number, NOW), NOW, 10).unwrap())
                .collect();
            for id in ids {
                if dice.once_in(2) {
                    table.remove(id);
                }
            }

            // When one client port is used for four VIPs of one server.
            for vip_port in 1..5 {
                let mut flow = flow(1, Method::Nat, Protocol::Tcp);
                flow.vip.port = vip_port;
                let session = Session::<V4>::new(&flow, NOW);
                let newest = table.insert(&session, NOW, 10).unwrap();

                // Then what the server sends belongs to the last one.
                let found = find(&table, &session.server_key(), NOW);
                assert_eq!(found, Some((newest, Direction::ToClient)));
            }
        }
    }

    #[test]
    fn a_nat_session_is_found_from_both_sides_and_a_dr_session_from_one() {
        let mut table = table(10);
        let (nat, dr) = (nat(1, NOW), dr(2, Protocol::Tcp, NOW));

        let nat_id = table.insert(&nat, NOW, 10).unwrap();
        let dr_id = table.insert(&dr, NOW, 10).unwrap();

        let found = |session: &Session<V4>| {
            [session.client_key(), session.server_key()].map(|key| find(&table, &key, NOW))
        };
        let to_server = |id| Some((id, Direction::ToServer));
        let to_client = |id| Some((id, Direction::ToClient));
        assert_eq!(found(&nat), [to_server(nat_id), to_client(nat_id)]);
        assert_eq!(found(&dr), [to_server(dr_id), None]);
    }

    #[test]
    fn an_overdue_session_is_not_found_and_its_successor_is() {
        // Given a session that is overdue but still in the table.
        let mut table = table(10);
        let session = nat(1, NOW);
        let old = table.insert(&session, NOW, 10).unwrap();
        let later = NOW.plus(10);
        assert_eq!(find(&table, &session.client_key(), later), None);

        // When a new one with the same keys is made, and the old one removed by its number.
        let new = table.insert(&session, later, 1_000).unwrap();
        assert_ne!(old, new);
        assert!(table.remove(old).is_some());

        // Then the new one is found from both sides, and the old one is gone for good.
        let found = [session.client_key(), session.server_key()].map(|key| {
            let (id, _) = find(&table, &key, later).unwrap();
            id
        });
        assert_eq!(found, [new, new]);
        assert!(table.remove(old).is_none());
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn a_deadline_moved_earlier_takes_effect_at_once() {
        let mut table = table(10);
        let session = nat(1, NOW);
        let id = table.insert(&session, NOW, 900 * TICKS_PER_SECOND).unwrap();

        table.extend(id, NOW, 10 * TICKS_PER_SECOND);

        let later = NOW.plus(10 * TICKS_PER_SECOND + 16);
        assert_eq!(table.expire(later, u32::MAX, &mut |_| ()), 1);
        table.insert(&session, later, 900).unwrap();
        let (id, _) = find(&table, &session.client_key(), later).unwrap();
        table.extend(id, later, 0);
        assert_eq!(find(&table, &session.client_key(), later), None);
    }

    #[test]
    fn a_deadline_moved_later_only_stamps_and_is_honoured() {
        let mut table = table(10);
        let id = table.insert(&nat(1, NOW), NOW, 100).unwrap();

        table.extend(id, NOW.plus(90), 100);

        assert_eq!(table.expire(NOW.plus(150), u32::MAX, &mut |_| ()), 0);
        assert_eq!(table.expire(NOW.plus(190 + 16), u32::MAX, &mut |_| ()), 1);
    }

    #[test]
    fn expiry_does_no_more_than_its_budget() {
        let mut table = table(1_000);
        for number in 0..1_000 {
            table.insert(&nat(number, NOW), NOW, 10).unwrap();
        }
        let later = NOW.plus(100);

        let mut shown = 0;
        let removed = table.expire(later, 100, &mut |_| shown += 1);

        assert!(removed > 0 && removed <= 100);
        assert_eq!(shown, removed);
        assert_eq!(table.len(), 1_000 - removed as usize);
        while table.expire(later, 100, &mut |_| ()) > 0 {}
        assert!(table.is_empty());
    }

    #[test]
    fn a_full_table_refuses_and_takes_again_after_a_removal() {
        let mut table = table(100);
        let ids: Vec<_> = (0..100)
            .map(|number| table.insert(&nat(number, NOW), NOW, 10).unwrap())
            .collect();
        assert!(table.is_full());

        assert_eq!(table.insert(&nat(100, NOW), NOW, 10), Err(TableFull));
        table.remove(ids[50]);

        assert!(!table.is_full());
        assert_eq!(table.insert(&nat(100, NOW), NOW, 10), Ok(ids[50]));
    }

    #[test]
    fn a_table_for_one_key_a_session_holds_half_as_many_with_two() {
        let new = || SessionTable::new(100, KeysPerSession::One, SECRET, NOW).unwrap();
        let (mut of_dr, mut of_nat) = (new(), new());

        let count_dr =
            (0..200).filter(|&n| of_dr.insert(&dr(n, Protocol::Tcp, NOW), NOW, 9).is_ok());
        let count_nat = (0..200).filter(|&n| of_nat.insert(&nat(n, NOW), NOW, 9).is_ok());

        assert_eq!((count_dr.count(), count_nat.count()), (100, 50));
        assert!(of_nat.is_full());
    }

    #[test]
    fn a_handle_never_names_the_next_session_in_the_place() {
        let mut table = table(1);
        let id = table.insert(&nat(1, NOW), NOW, 10).unwrap();
        let handle = table.handle(id);
        assert_eq!(table.resolve(handle, NOW), Some(id));
        assert_eq!(table.resolve(handle, NOW.plus(10)), None);

        table.remove(id);
        assert_eq!(table.resolve(handle, NOW), None);
        assert_eq!(table.insert(&nat(1, NOW), NOW, 10), Ok(id));

        assert_eq!(table.resolve(handle, NOW), None);
    }

    #[test]
    fn pages_show_every_session_once_within_their_limits() {
        let mut table = table(100);
        for number in 0..80 {
            let id = table.insert(&nat(number, NOW), NOW, 10).unwrap();
            if number % 4 == 0 {
                table.remove(id);
            }
        }

        let (mut shown, mut cursor, mut pages) = (Vec::new(), Some(0), 0);
        while let Some(from) = cursor {
            let before = shown.len();
            cursor = table.page(from, 7, 20, |id, session| {
                let is_wanted = session.client().port % 2 == 1;
                if is_wanted {
                    shown.push(id);
                }
                is_wanted
            });
            assert!(shown.len() - before <= 7);
            pages += 1;
        }

        let wanted = table
            .sessions
            .iter()
            .filter(|s| s.is_occupied() && s.client().port % 2 == 1);
        assert_eq!(shown.len(), wanted.count());
        assert!(shown.is_sorted_by(|a, b| a < b));
        assert!(pages >= 4);
        assert_eq!(table.page(u32::MAX, 7, 20, |_, _| true), None);
    }

    #[test]
    fn a_million_nat_sessions_are_found_from_both_sides_and_end() {
        // Given a table for a million sessions of two keys each.
        let count = 1_000_000;
        let mut table = table::<V4>(count as usize);
        assert!(
            table.memory_bytes() <= 300 << 20,
            "{}",
            table.memory_bytes()
        );

        // When it is filled to the last place.
        for number in 0..count {
            table
                .insert(&nat(number, NOW), NOW, 60 * TICKS_PER_SECOND)
                .unwrap();
        }
        assert!(table.is_full());

        // Then each is found from both sides, and all end when their time has come.
        for number in 0..count {
            let session = nat(number, NOW);
            let forward = find(&table, &session.client_key(), NOW).unwrap();
            let reverse = find(&table, &session.server_key(), NOW).unwrap();
            assert_eq!(forward, (SessionId(number), Direction::ToServer));
            assert_eq!(reverse, (SessionId(number), Direction::ToClient));
        }
        let later = NOW.plus(61 * TICKS_PER_SECOND);
        let mut calls = 0;
        while !table.is_empty() {
            table.expire(later, 1_000, &mut |_| ());
            calls += 1;
            assert!(calls <= 1_001, "{} sessions are left", table.len());
        }
        assert_eq!(table.keys, 0);
    }

    #[test]
    fn a_session_put_aside_takes_no_place_and_is_found_by_its_handle_alone() {
        let mut table = table::<V4>(1);
        let filed = table.insert(&nat(1, NOW), NOW, 1_000).unwrap();
        assert!(table.is_full());

        let aside = table.put_aside(&nat(2, NOW), NOW, 100);

        let handle = table.handle(aside);
        assert_eq!(find(&table, &nat(2, NOW).client_key(), NOW), None);
        assert_eq!(table.get(aside).client(), nat(2, NOW).client());
        assert_eq!(table.resolve(handle, NOW), Some(aside));
        assert_eq!(table.resolve(handle, NOW.plus(100)), None);
        assert!(table.is_aside(aside) && !table.is_aside(filed));
        assert_eq!((table.len(), table.capacity()), (1, 1));
        assert_eq!(
            find(&table, &nat(1, NOW).client_key(), NOW).map(|it| it.0),
            Some(filed)
        );

        // The next one takes its place.
        table.put_aside(&nat(3, NOW), NOW, 100);
        assert_eq!(table.resolve(handle, NOW), None);
    }
}
