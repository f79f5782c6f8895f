//! What the session table costs a packet: looking a session up (found, or not), making one,
//! ending one, and letting one expire, by the number of sessions and how full the table is.
//!
//! Bursts of 32 go through the table as in the pipeline: all hashes, then all prefetches of one
//! stage, then the next. Which sessions they belong to is random, so that from 100,000 sessions
//! on they lie in no cache. Sessions are FULLNAT's, with a key in each direction; what is found
//! is asserted. Counting, states and deadlines are the pipeline's.
//!
//! ```text
//! cargo bench -p sluice-dataplane --bench table
//! ```
// A bench that cannot set up its case stops, which is what a panic is for.
#![allow(clippy::expect_used, missing_docs)]

use std::cell::RefCell;
use std::fmt;

use dataplane::address::{Endpoint, FlowKey, Protocol, V4};
use dataplane::id::{ServerSlot, ServiceSlot, SessionId};
use dataplane::service::Method;
use dataplane::session::{
    AdjacencyRef, HashSecret, KeysPerSession, NewSession, Session, SessionTable,
};
use dataplane::time::{TICKS_PER_SECOND, Tick};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};

const BURST: usize = 32;

/// Longer than any bench runs.
const LONG: u32 = 7_200 * TICKS_PER_SECOND;

/// How many sessions there are, in a table they fill by so many per cent.
#[derive(Clone, Copy)]
struct Case {
    sessions: u32,
    load: u32,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {} %", self.sessions, self.load)
    }
}

const CASES: [Case; 12] = {
    let sessions = [1_000, 100_000, 1_000_000];
    let loads = [25, 50, 75, 85];
    let mut cases = [Case {
        sessions: 0,
        load: 0,
    }; 12];
    let mut n = 0;
    while n < cases.len() {
        cases[n].sessions = sessions[n / 4];
        cases[n].load = loads[n % 4];
        n += 1;
    }
    cases
};

fn main() {
    divan::main();
}

#[divan::bench(args = CASES)]
fn hit_to_server(bencher: Bencher<'_, '_>, case: Case) {
    look_up(bencher, case, |n| session(n).client_key(), 0, BURST);
}

#[divan::bench(args = CASES)]
fn hit_to_client(bencher: Bencher<'_, '_>, case: Case) {
    look_up(bencher, case, |n| session(n).server_key(), 0, BURST);
}

/// Keys of nobody.
#[divan::bench(args = CASES)]
fn miss(bencher: Bencher<'_, '_>, case: Case) {
    let beyond = case.sessions;
    look_up(bencher, case, |n| session(n).client_key(), beyond, 0);
}

/// Makes sessions; they are ended again outside of what is measured.
#[divan::bench(args = CASES, sample_size = 1, sample_count = 200)]
fn insert(bencher: Bencher<'_, '_>, case: Case) {
    let table = RefCell::new(Table::filled(case));
    let batch = batch(case);
    let made = RefCell::new(Vec::new());
    bencher
        .counter(ItemsCount::new(batch))
        .with_inputs(|| {
            for id in made.borrow_mut().drain(..) {
                table.borrow_mut().sessions.remove(id).expect("it was made");
            }
            table.borrow_mut().newcomers(batch)
        })
        .bench_local_refs(|newcomers| {
            *made.borrow_mut() = table.borrow_mut().insert(newcomers, LONG);
        });
}

/// Ends sessions made just before.
#[divan::bench(args = CASES, sample_size = 1, sample_count = 200)]
fn remove(bencher: Bencher<'_, '_>, case: Case) {
    let table = RefCell::new(Table::filled(case));
    let batch = batch(case);
    bencher
        .counter(ItemsCount::new(batch))
        .with_inputs(|| {
            let mut table = table.borrow_mut();
            let newcomers = table.newcomers(batch);
            table.insert(&newcomers, LONG)
        })
        .bench_local_refs(|made| {
            let sessions = &mut table.borrow_mut().sessions;
            for id in made.iter() {
                black_box(sessions.remove(*id)).expect("it was made");
            }
        });
}

/// Lets sessions expire that were made a second before.
#[divan::bench(args = CASES, sample_size = 1, sample_count = 200)]
fn expire(bencher: Bencher<'_, '_>, case: Case) {
    let table = RefCell::new(Table::filled(case));
    let batch = batch(case);
    bencher
        .counter(ItemsCount::new(batch))
        .with_inputs(|| {
            let mut table = table.borrow_mut();
            let newcomers = table.newcomers(batch);
            table.insert(&newcomers, TICKS_PER_SECOND);
            table.now = table.now.plus(2 * TICKS_PER_SECOND);
        })
        .bench_local_refs(|()| {
            let Table { sessions, now, .. } = &mut *table.borrow_mut();
            let expired = sessions.expire(*now, u32::MAX, &mut |session| {
                black_box(session);
            });
            assert_eq!(expired as usize, batch);
        });
}

/// Looks random sessions up, numbered from `first`, of which `expected` in a burst are found.
fn look_up(
    bencher: Bencher<'_, '_>,
    case: Case,
    key: impl Fn(u32) -> FlowKey<V4>,
    first: u32,
    expected: usize,
) {
    let Table { sessions, now, .. } = Table::filled(case);
    let mut dice = Dice(1);
    bencher
        .counter(ItemsCount::new(BURST))
        .with_inputs(|| -> [_; BURST] {
            std::array::from_fn(|_| key(first + dice.below(case.sessions)))
        })
        .bench_local_refs(|keys| {
            let hashes = keys.map(|key| sessions.hash(&key));
            for hash in hashes {
                sessions.prefetch_bucket(hash);
            }
            for hash in hashes {
                sessions.prefetch_candidate(hash);
            }
            let found = hashes
                .iter()
                .zip(keys)
                .filter(|(hash, key)| black_box(sessions.find(**hash, key, now)).is_some());
            assert_eq!(found.count(), expected);
        });
}

/// How many sessions one sample makes or ends: whole bursts, yet too few to change how full the
/// table is.
fn batch(case: Case) -> usize {
    let part = (case.sessions / 25).min(4_096);
    part as usize / BURST * BURST
}

struct Table {
    sessions: SessionTable<V4>,
    now: Tick,
    /// The number of the next session that was never there.
    next: u32,
}

impl Table {
    fn filled(case: Case) -> Self {
        let now = Tick(1_000);
        let capacity = u64::from(case.sessions) * 100 / u64::from(case.load);
        let capacity = usize::try_from(capacity).expect("some millions");
        let secret = HashSecret([3, 5, 7, 9]);
        let mut table = Self {
            sessions: SessionTable::new(capacity, KeysPerSession::Two, secret, now)
                .expect("there is as much memory"),
            now,
            next: case.sessions,
        };
        let first: Vec<_> = (0..case.sessions).map(session).collect();
        table.insert(&first, LONG);
        table
    }

    fn newcomers(&mut self, count: usize) -> Vec<Session<V4>> {
        let first = self.next;
        self.next += u32::try_from(count).expect("a batch");
        (first..self.next).map(session).collect()
    }

    /// Makes sessions in bursts, whose buckets are on their way since the look-up that missed.
    fn insert(&mut self, newcomers: &[Session<V4>], ticks: u32) -> Vec<SessionId> {
        let mut made = Vec::with_capacity(newcomers.len());
        for burst in newcomers.chunks(BURST) {
            for session in burst {
                let hash = self.sessions.hash(&session.client_key());
                self.sessions.prefetch_bucket(hash);
            }
            let inserted = (burst.iter()).map(|new| self.sessions.insert(new, self.now, ticks));
            made.extend(inserted.map(|id| id.expect("the table is not full")));
        }
        made
    }
}

/// Session `number`, of a client of its own, by a local port of its own.
fn session(number: u32) -> Session<V4> {
    let (addr, port) = (number / 50_000, number % 50_000);
    let port = 1_024 + u16::try_from(port).expect("below 50,000");
    Session::new(
        &NewSession {
            client: Endpoint::new(V4(0x0a01_0000 + addr), port),
            vip: Endpoint::new(V4(0x0a01_ff64), 80),
            local: Endpoint::new(V4(0x0a02_ff00 + addr), port),
            server: Endpoint::new(V4(0x0a02_0000 + number % 100), 8080),
            protocol: Protocol::Tcp,
            method: Method::Fullnat,
            service: ServiceSlot(0),
            server_slot: ServerSlot(number % 100),
            to_server: AdjacencyRef::default(),
            to_client: AdjacencyRef::default(),
        },
        Tick(1_000),
    )
}

/// A multiplicative generator: its high bits are random enough to draw sessions by.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        u32::try_from(((self.0 >> 32) * u64::from(limit)) >> 32).expect("below 2^32")
    }
}
