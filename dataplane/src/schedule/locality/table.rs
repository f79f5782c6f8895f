//! Remembers for each destination the servers it was given to.
//!
//! ```text
//!   hash, 15 bits ─► buckets ─► entry ─► entry        by destination, with times
//!                                 └► member ─► member   its servers, the latest first
//! ```
//!
//! The kernel's table has 1024 buckets, named by the top 10 bits of the same hash: a *section* of
//! 32 buckets here is one of them, and sweeps go by sections as the kernel's go by buckets. More
//! buckets keep chains short, and so the time for which the lock is held.
//!
//! All memory is asked for at the beginning, and touched when it is needed.

use std::collections::HashSet;
use std::ops::Range;

use super::super::fold;
use super::super::spin::SpinLock;
use super::super::static_hashing::hash;
use super::collector::{Collector, SECTIONS};
use crate::time::Tick;

/// Entries that a table may have, as in the kernel: one and a half times as many as it should.
const MAX_ENTRIES: usize = 24_576;

/// Entries in one bucket: clients who choose destinations that hash alike do not make look-ups
/// longer than that.
const MAX_CHAIN: usize = 32;

const BUCKET_BITS: u32 = 15;
const BUCKETS: usize = 1 << BUCKET_BITS;
const SECTION_BUCKETS: usize = BUCKETS / SECTIONS as usize;

/// Sections that one look-up sweeps.
const SECTIONS_AT_ONCE: u16 = 4;

/// Members that control looks at while it has the lock.
const MEMBERS_AT_ONCE: usize = 1024;

/// The number of a server, above 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ServerId(pub(super) u32);

impl ServerId {
    /// What a free member has.
    const NOBODY: Self = Self(0);

    /// This number; the next one takes its place.
    pub(super) const fn take(&mut self) -> Self {
        let taken = *self;
        self.0 += 1;
        taken
    }
}

/// Where something stands: 1 more than its index, so that 0 is nowhere.
type Link = u32;

/// An entry found or made just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EntryAt(usize);

/// Names a set as it is now: another set, or this one after a change, has another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SetName(pub(super) [u64; 2]);

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// The two halves of the destination: a `u128` would ask for 16 bytes more.
    destination: [u64; 2],
    last_use: Tick,
    /// When a server was last added or taken away.
    modified: Tick,
    /// The first of its members; there is one.
    members: Link,
    /// The next entry of the bucket, or the next free one.
    next: Link,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    server: ServerId,
    /// The next member of the entry, or the next free one.
    next: Link,
}

/// What all workers remember of one service.
#[derive(Debug)]
pub(super) struct Table {
    buckets: Box<[Link]>,
    /// Never more than it had room for at the beginning.
    entries: Vec<Entry>,
    free_entry: Link,
    /// Never more than `member_limit`, for which it had room at the beginning.
    members: Vec<Member>,
    free_member: Link,
    member_limit: usize,
    entry_count: usize,
    /// Counts the changes of all sets, from 1.
    changes: u64,
    collector: Collector,
    /// The section that the next sweep begins with.
    rover: u16,
}

impl Table {
    /// A table whose entries have so many servers altogether.
    pub(super) fn new(member_limit: usize) -> Self {
        Self {
            buckets: vec![0; BUCKETS].into(),
            entries: Vec::with_capacity(MAX_ENTRIES),
            free_entry: 0,
            members: Vec::with_capacity(member_limit),
            free_member: 0,
            member_limit,
            entry_count: 0,
            changes: 1,
            collector: Collector::new(),
            rover: 0,
        }
    }

    /// The entry of a destination, which is in use now. Forgets some others if it is time to.
    #[inline]
    pub(super) fn find(
        &mut self,
        destination: u128,
        now: Tick,
        expiration_ticks: u32,
    ) -> Option<EntryAt> {
        (self.collector).advance(now, self.entry_count, expiration_ticks);
        if self.collector.sweep().is_some() {
            self.sweep();
        }
        let bucket = bucket(destination);
        let mut link = self.buckets[bucket];
        while let Some(at) = index(link) {
            let entry = &mut self.entries[at];
            if entry.destination == halves(destination) {
                if self.collector.is_dead(entry.last_use) {
                    let dead = |entry: &Entry| entry.destination == halves(destination);
                    self.forget_where(bucket, dead);
                    return None;
                }
                entry.last_use = now;
                return Some(EntryAt(at));
            }
            link = entry.next;
        }
        None
    }

    /// The entry that [`Self::find`] would give. It is not used thereby, and none is forgotten.
    pub(super) fn peek(
        &mut self,
        destination: u128,
        now: Tick,
        expiration_ticks: u32,
    ) -> Option<EntryAt> {
        (self.collector).advance(now, self.entry_count, expiration_ticks);
        let first = index(self.buckets[bucket(destination)]);
        let mut chain = std::iter::successors(first, |at| index(self.entries[*at].next));
        let at = chain.find(|at| self.entries[*at].destination == halves(destination))?;
        let is_dead = self.collector.is_dead(self.entries[at].last_use);
        (!is_dead).then_some(EntryAt(at))
    }

    /// Makes an entry for a destination that has none, with one server. A table that is full goes
    /// on without.
    pub(super) fn insert(&mut self, destination: u128, server: ServerId, now: Tick) {
        let bucket = bucket(destination);
        if self.entry_count >= MAX_ENTRIES || self.chain(bucket) >= MAX_CHAIN {
            return;
        }
        let Some(members) = self.new_member(server, 0) else {
            return;
        };
        let entry = Entry {
            destination: halves(destination),
            last_use: now,
            modified: now,
            members,
            next: self.buckets[bucket],
        };
        self.buckets[bucket] = match index(self.free_entry) {
            Some(at) => {
                let link = self.free_entry;
                self.free_entry = self.entries[at].next;
                self.entries[at] = entry;
                link
            }
            None => push(&mut self.entries, entry),
        };
        self.entry_count += 1;
    }

    /// The servers of an entry, the latest first.
    #[inline]
    pub(super) fn servers(&self, entry: EntryAt) -> impl Iterator<Item = ServerId> + Clone {
        let member = |link| index(link).map(|at| self.members[at]);
        let first = member(self.entries[entry.0].members);
        std::iter::successors(first, move |before| member(before.next)).map(|member| member.server)
    }

    /// Whether an entry has more servers than so many.
    #[inline]
    pub(super) fn has_more(&self, entry: EntryAt, servers: usize) -> bool {
        self.servers(entry).nth(servers).is_some()
    }

    /// The name of an entry's set.
    #[inline]
    pub(super) const fn name(&self, entry: EntryAt) -> SetName {
        SetName([entry.0 as u64, self.changes])
    }

    /// When a server of an entry was last added or taken away.
    pub(super) fn modified(&self, entry: EntryAt) -> Tick {
        self.entries[entry.0].modified
    }

    /// Gives an entry another first server, in the place of the one it has.
    pub(super) fn replace(&mut self, entry: EntryAt, server: ServerId) {
        if let Some(first) = index(self.entries[entry.0].members) {
            self.members[first].server = server;
        }
    }

    /// Gives an entry one more server, in front. When there is no room for more the entry stays
    /// as it is.
    pub(super) fn add(&mut self, entry: EntryAt, server: ServerId, now: Tick) {
        let next = self.entries[entry.0].members;
        if let Some(member) = self.new_member(server, next) {
            let entry = &mut self.entries[entry.0];
            entry.members = member;
            entry.modified = now;
            self.changes += 1;
        }
    }

    /// Takes a server away from an entry that has others.
    pub(super) fn remove(&mut self, entry: EntryAt, server: ServerId, now: Tick) {
        let mut before: Option<usize> = None;
        let mut link = self.entries[entry.0].members;
        while let Some(at) = index(link) {
            let Member { server: this, next } = self.members[at];
            if this == server {
                match before {
                    Some(before) => self.members[before].next = next,
                    None => self.entries[entry.0].members = next,
                }
                self.free_members(link, next);
                self.entries[entry.0].modified = now;
                self.changes += 1;
                return;
            }
            (before, link) = (Some(at), next);
        }
    }

    fn new_member(&mut self, server: ServerId, next: Link) -> Option<Link> {
        let member = Member { server, next };
        if let Some(at) = index(self.free_member) {
            let link = self.free_member;
            self.free_member = self.members[at].next;
            self.members[at] = member;
            return Some(link);
        }
        (self.members.len() < self.member_limit).then(|| push(&mut self.members, member))
    }

    /// Frees the members from `first` up to, but not, `end`.
    fn free_members(&mut self, first: Link, end: Link) {
        let mut link = first;
        while link != end {
            let Some(at) = index(link) else {
                return;
            };
            let free = Member {
                server: ServerId::NOBODY,
                next: self.free_member,
            };
            let member = std::mem::replace(&mut self.members[at], free);
            self.free_member = link;
            link = member.next;
        }
    }

    fn chain(&self, bucket: usize) -> usize {
        let entry = |link| index(link).map(|at| &self.entries[at]);
        std::iter::successors(entry(self.buckets[bucket]), |entry_before| {
            entry(entry_before.next)
        })
        .count()
    }

    /// Forgets some entries of a bucket, and says how many.
    fn forget_where(&mut self, bucket: usize, goes: impl Fn(&Entry) -> bool) -> usize {
        let mut forgotten = 0;
        let mut before: Option<usize> = None;
        let mut link = self.buckets[bucket];
        while let Some(at) = index(link) {
            let entry = self.entries[at];
            if goes(&entry) {
                match before {
                    Some(before) => self.set_next(before, entry.next),
                    None => self.buckets[bucket] = entry.next,
                }
                self.free_members(entry.members, 0);
                self.set_next(at, self.free_entry);
                self.free_entry = link;
                forgotten += 1;
                self.changes += 1;
            } else {
                before = Some(at);
            }
            link = entry.next;
        }
        self.entry_count -= forgotten;
        forgotten
    }

    fn set_next(&mut self, at: usize, next: Link) {
        self.entries[at].next = next;
    }

    /// Goes on with the sweep that is under way.
    #[cold]
    fn sweep(&mut self) {
        for _ in 0..SECTIONS_AT_ONCE {
            let Some(mut sweep) = self.collector.sweep().take() else {
                return;
            };
            let first = usize::from(self.rover) * SECTION_BUCKETS;
            let forgotten: usize = (first..first + SECTION_BUCKETS)
                .map(|bucket| {
                    self.forget_where(bucket, |entry| entry.last_use.is_due(sweep.unused_since))
                })
                .sum();
            self.rover = (self.rover + 1) % SECTIONS;
            sweep.sections -= 1;
            sweep.goal = sweep.goal.saturating_sub(forgotten);
            if sweep.sections > 0 && sweep.goal > 0 {
                *self.collector.sweep() = Some(sweep);
            }
        }
    }

    /// Adds the servers of some members, free ones left out.
    fn servers_among(&self, members: Range<usize>, to: &mut HashSet<ServerId>) {
        let members = self.members.iter().skip(members.start).take(members.len());
        let servers = members.map(|member| member.server);
        to.extend(servers.filter(|server| *server != ServerId::NOBODY));
    }
}

/// All servers that a table has in its entries. For control: workers are kept waiting only for a
/// part of the walk at a time.
pub(super) fn remembered(table: &SpinLock<Table>) -> HashSet<ServerId> {
    let mut servers = HashSet::new();
    let mut from = 0;
    loop {
        // So much room that nothing is allocated under the lock.
        servers.reserve(MEMBERS_AT_ONCE);
        let table = table.lock();
        if from >= table.members.len() {
            return servers;
        }
        table.servers_among(from..from + MEMBERS_AT_ONCE, &mut servers);
        from += MEMBERS_AT_ONCE;
    }
}

#[inline]
const fn index(link: Link) -> Option<usize> {
    (link as usize).checked_sub(1)
}

/// Puts one more behind the others.
#[expect(clippy::cast_possible_truncation, reason = "there are never so many")]
fn push<T>(all: &mut Vec<T>, one: T) -> Link {
    all.push(one);
    all.len() as Link
}

#[inline]
const fn bucket(destination: u128) -> usize {
    hash(fold(destination), BUCKET_BITS) as usize
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "they are the halves")]
const fn halves(destination: u128) -> [u64; 2] {
    [(destination >> 64) as u64, destination as u64]
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::super::ticks;
    use super::*;

    const DAY: u32 = ticks(86_400);
    const ONE: ServerId = ServerId(1);
    const TWO: ServerId = ServerId(2);

    fn at(seconds: u32) -> Tick {
        Tick(0).plus(ticks(seconds))
    }

    fn servers(table: &Table, entry: EntryAt) -> Vec<u32> {
        table.servers(entry).map(|server| server.0).collect()
    }

    #[test]
    fn a_section_is_a_bucket_of_the_kernel() {
        for destination in [0x0a01_0064, 0xc0a8_0001, u128::MAX / 3] {
            let kernels = hash(fold(destination), 10) as usize;

            assert_eq!(bucket(destination) / SECTION_BUCKETS, kernels);
        }
    }

    #[test]
    fn a_full_table_goes_on_without_the_new_entry() {
        let mut table = Table::new(MAX_ENTRIES);
        let many = u128::try_from(MAX_ENTRIES).unwrap();
        for destination in 0..=many {
            table.insert(destination, ONE, at(0));
        }

        assert!(table.find(many - 1, at(1), DAY).is_some());
        assert!(table.find(many, at(1), DAY).is_none());
        assert_eq!(table.entries.capacity(), MAX_ENTRIES);
    }

    #[test]
    fn destinations_that_hash_alike_do_not_make_chains_without_end() {
        // IPv6 addresses whose halves fold to nothing.
        let alike = |n: u128| n << 96 | n << 64 | 7 << 32 | 9;
        let mut table = Table::new(MAX_ENTRIES);
        for n in 0..100 {
            table.insert(alike(n), ONE, at(0));
        }

        let found = (0..100).filter(|n| table.find(alike(*n), at(0), DAY).is_some());
        assert_eq!(found.count(), MAX_CHAIN);
    }

    #[test]
    fn servers_beyond_the_limit_are_not_remembered() {
        let mut table = Table::new(2);
        table.insert(7, ONE, at(0));
        let entry = table.find(7, at(0), DAY).unwrap();
        table.add(entry, TWO, at(1));
        table.add(entry, ServerId(3), at(2));
        table.insert(8, ONE, at(2));

        assert_eq!(servers(&table, entry), [2, 1]);
        assert_eq!(table.modified(entry), at(1));
        assert_eq!(table.find(8, at(2), DAY), None);
        table.remove(entry, ONE, at(3));
        table.insert(8, ONE, at(3));
        assert!(table.find(8, at(3), DAY).is_some());
        assert_eq!(servers(&table, entry), [2]);
    }

    #[test]
    fn an_entry_unused_for_too_long_is_gone_even_before_it_is_swept() {
        let mut table = Table::new(4);
        assert!(table.find(7, at(0), DAY).is_none());
        table.insert(7, ONE, at(0));
        table.insert(8, ONE, at(1));

        // Every thirtieth minute everything is looked through, and so a day after the beginning.
        assert_eq!(table.find(6, at(86_399), DAY), None);
        assert_eq!(table.entry_count, 2);
        assert_eq!(table.find(7, at(86_400), DAY), None);

        assert_eq!(table.entry_count, 1);
        assert!(table.find(8, at(86_400), DAY).is_some());
    }

    #[test]
    fn a_sweep_ends_when_enough_is_forgotten_and_goes_on_there_the_next_time() {
        // Given 16,500 entries, too many by 116, and one of them in use.
        let mut table = Table::new(MAX_ENTRIES);
        for destination in 0..16_500 {
            table.insert(destination, ONE, at(0));
        }
        let mut minute = |minute: u32| {
            for _ in 0..SECTIONS {
                assert!(table.find(0, at(60 * minute), DAY).is_some());
            }
            (16_500 - table.entry_count, table.rover)
        };

        // When they were not used for less than six minutes, then all are kept.
        assert!((0..6).all(|passed| minute(passed) == (0, 0)));

        // After that 154 go, and the rest of their section; about 16 are in one.
        let (forgotten, rover) = minute(6);
        assert!((154..190).contains(&forgotten), "{forgotten}");
        assert!((8..14).contains(&rover), "{rover}");
        assert_eq!(minute(7), (forgotten, rover));
    }

    #[test]
    fn control_learns_all_servers_that_are_remembered() {
        let mut table = Table::new(10_000);
        for n in 1..3000 {
            table.insert(n.into(), ServerId(n), at(0));
        }
        table.forget_where(bucket(5), |entry| entry.destination == halves(5));
        let table = SpinLock::new(table);

        let remembered = remembered(&table);

        assert_eq!(remembered.len(), 2998);
        assert!(!remembered.contains(&ServerId(5)));
    }

    proptest! {
        #[test]
        fn it_remembers_as_a_map_would(
            steps in prop::collection::vec((0..40_u128, 0..5_u32, 1..9_u32), 1..400),
        ) {
            let mut table = Table::new(60);
            let mut model: HashMap<u128, Vec<u32>> = HashMap::new();
            for (destination, step, server) in steps {
                let found = table.find(destination, at(0), DAY);
                let known = model.get(&destination).cloned();
                prop_assert_eq!(found.map(|entry| servers(&table, entry)), known);
                let used: usize = model.values().map(Vec::len).sum();
                match (found, model.get_mut(&destination)) {
                    (Some(entry), Some(set)) if step == 0 && !set.contains(&server) => {
                        table.add(entry, ServerId(server), at(0));
                        if used < 60 {
                            set.insert(0, server);
                        }
                    }
                    (Some(entry), Some(set)) if step == 1 && set.len() > 1 => {
                        table.remove(entry, ServerId(server), at(0));
                        set.retain(|this| *this != server);
                    }
                    (Some(entry), Some(set)) if step == 2 && !set.contains(&server) => {
                        table.replace(entry, ServerId(server));
                        set[0] = server;
                    }
                    (Some(_), _) if step == 3 => {
                        let this = |entry: &Entry| entry.destination == halves(destination);
                        table.forget_where(bucket(destination), this);
                        model.remove(&destination);
                    }
                    (None, _) => {
                        table.insert(destination, ServerId(server), at(0));
                        if used < 60 {
                            model.insert(destination, vec![server]);
                        }
                    }
                    _ => {}
                }
            }
        }
    }
}
