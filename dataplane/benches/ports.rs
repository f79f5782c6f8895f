//! What lending a local port costs a FULLNAT session: taking one, and giving one back.
//!
//! The pool of one local address with all its ports is filled to a part of what it can lend
//! towards one server, and mixed: sessions that end are drawn at random, until no port is left
//! that was never lent. Every turn takes a port and gives a random one back.
//!
//! ```text
//! cargo bench -p sluice-dataplane --bench ports
//! ```
// A bench that cannot set up its case stops, which is what a panic is for.
#![allow(clippy::expect_used, missing_docs)]

use dataplane::address::{Endpoint, Protocol, V4};
use dataplane::id::WorkerId;
use dataplane::snat::{DEFAULT_PORTS, LocalAddress};
use dataplane::steering::{DEFAULT_KEY, Steering};
use dataplane::time::Tick;
use divan::Bencher;
use divan::counter::ItemsCount;

/// Per cent of the ports towards one server that are lent.
const OCCUPANCY: [usize; 3] = [50, 90, 99];

fn main() {
    divan::main();
}

/// Without RSS the remainder of the port names the worker.
#[divan::bench(args = OCCUPANCY, sample_size = 1000)]
fn by_remainder_of_2_workers(bencher: Bencher<'_, '_>, occupancy: usize) {
    turn(bencher, &Steering::Software { workers: 2 }, occupancy);
}

/// A table that repeats itself has one class of ports for each worker.
#[divan::bench(args = OCCUPANCY, sample_size = 1000)]
fn by_rss_of_2_workers(bencher: Bencher<'_, '_>, occupancy: usize) {
    turn(bencher, &rss(128, 2), occupancy);
}

#[divan::bench(args = OCCUPANCY, sample_size = 1000)]
fn by_rss_of_3_workers(bencher: Bencher<'_, '_>, occupancy: usize) {
    turn(bencher, &rss(128, 3), occupancy);
}

/// The most classes that a table of DPDK's usual sizes gives one of several workers.
#[divan::bench(args = OCCUPANCY, sample_size = 1000)]
fn by_rss_of_3_workers_and_512_entries(bencher: Bencher<'_, '_>, occupancy: usize) {
    turn(bencher, &rss(512, 3), occupancy);
}

#[divan::bench(args = OCCUPANCY, sample_size = 1000)]
fn by_rss_of_15_workers_and_512_entries(bencher: Bencher<'_, '_>, occupancy: usize) {
    turn(bencher, &rss(512, 15), occupancy);
}

fn rss(entries: usize, workers: u16) -> Steering {
    let table: Vec<_> = (0..workers).cycle().take(entries).map(WorkerId).collect();
    Steering::toeplitz(&DEFAULT_KEY, &table).expect("a power of two")
}

/// One worker's share of an address, lent to a part.
struct Pool {
    local: LocalAddress,
    lent: Vec<u16>,
    now: Tick,
    dice: u64,
}

impl Pool {
    const WORKER: WorkerId = WorkerId(1);
    const SERVER: Endpoint<V4> = Endpoint::new(V4(0x0a02_000b), 80);

    fn filled(steering: &Steering, occupancy: usize) -> Self {
        let workers = usize::from(steering.workers());
        let addr = [10, 2, 0, 1].into();
        let mut pool = Self {
            local: LocalAddress::new(addr, DEFAULT_PORTS, steering, workers, 0),
            lent: Vec::new(),
            now: Tick(1_000_000),
            dice: 1,
        };
        while pool.take() {}
        let all = pool.lent.len();
        while pool.lent.len() * 100 > all * occupancy {
            pool.give_back();
        }
        for _ in 0..2 * all {
            pool.give_back();
            pool.take();
        }
        pool
    }

    fn take(&mut self) -> bool {
        let taken = self
            .local
            .take(Self::WORKER, Self::SERVER, Protocol::Tcp, self.now);
        self.lent.extend(taken.map(|lent| lent.port));
        taken.is_some()
    }

    fn give_back(&mut self) {
        // Knuth's multiplier; the high bits are random enough to draw a session by.
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005) + 1;
        self.now = self.now.plus(u32::from(self.dice >> 60 == 0));
        let at = usize::try_from(self.dice >> 32).expect("32 bits") % self.lent.len();
        let port = self.lent.swap_remove(at);
        self.local
            .give_back(Self::WORKER, Self::SERVER, port, self.now, Some(7));
    }
}

fn turn(bencher: Bencher<'_, '_>, steering: &Steering, occupancy: usize) {
    let mut pool = Pool::filled(steering, occupancy);
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| {
        assert!(pool.take());
        pool.give_back();
    });
}
