//! Keeps what a scheduler knows of its servers' loads up to date, at the cost of what changed.
//!
//! The marks of the service's [`Standings`](super::standings) tell whose load may have changed.
//! Before each decision those servers are judged anew, on a [`Board`] that only this version of
//! the service has. The first decision of a version judges all servers, and so does every one
//! while workers still decide by different versions, in turn.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::min_tree::MinTree;
use super::standings::{PAGE_WORDS, Page, Standings, Tally, WORD_SEATS, clear};
use crate::intrinsics::prefetch_write;
use crate::service::RealServer;

/// In a row of seats: nobody of this version.
const NOBODY: u32 = u32::MAX;

/// Where a worker decides so many times less often than there are cache lines to look at, it waits
/// for those that it needs, and else asks for all of them first.
const LINES_OF_A_DECISION: usize = 4;

/// So many servers are judged in the time that it takes to judge one of them on its own.
const SERVERS_FOR_ONE: usize = 8;

/// What a scheduler notes of each server, to decide without looking at all of them. What it
/// notes may depend on the version and on what the server's seat is marked for: the counts of
/// its sessions and the overload flag. Only one worker at a time is at a board.
pub(super) trait Board {
    /// A board for so many places, to be filled.
    fn new(places: usize) -> Self;

    /// Notes all servers anew.
    fn fill(&self, servers: &[Arc<RealServer>]);

    /// Notes the server at `place` anew.
    fn judge(&self, place: usize, server: &RealServer);
}

/// The servers of one version of a service, and the board about them.
#[derive(Debug)]
pub(super) struct Field<B> {
    standings: Arc<Standings>,
    version: u64,
    blocks: Box<[Block]>,
    /// Where the servers' sessions are counted.
    tallies: Box<[Arc<Tally>]>,
    /// Guarded by the turnstile of the standings.
    board: B,
}

/// The seats of one page.
#[derive(Debug)]
struct Block {
    page: Arc<Page>,
    /// For the seats of each word, up to the last that matters, where their servers stand in
    /// the list.
    rows: Box<[[u32; WORD_SEATS]]>,
}

impl<B: Board> Field<B> {
    /// `None` without servers.
    pub(super) fn new(servers: &[Arc<RealServer>]) -> Option<Self> {
        let seats = || servers.iter().map(|server| server.shared.seat());
        let standings = Arc::clone(seats().next()?.standings());
        debug_assert!(
            seats().all(|seat| Arc::ptr_eq(seat.standings(), &standings)),
            "the servers of a service share its standings"
        );
        let mut tallies: Vec<_> = seats().map(|seat| Arc::clone(seat.tally())).collect();
        tallies.sort_unstable_by_key(Arc::as_ptr);
        tallies.dedup_by_key(|tally| Arc::as_ptr(tally));
        let highest = seats().map(|seat| seat.number()).max()?;
        let mut rows = vec![[NOBODY; WORD_SEATS]; highest / WORD_SEATS + 1];
        for (seat, place) in seats().zip(0..) {
            rows[seat.number() / WORD_SEATS][seat.number() % WORD_SEATS] = place;
        }
        let rows = rows.chunks(PAGE_WORDS).map(Box::from);
        let blocks = standings.pages().into_iter().zip(rows);
        Some(Self {
            version: standings.version(),
            blocks: blocks.map(|(page, rows)| Block { page, rows }).collect(),
            tallies: tallies.into(),
            board: B::new(servers.len()),
            standings,
        })
    }

    /// Lets `decide` look at the board when it is up to date. `servers` are those the field was
    /// made of. Costs what judging costs, for each server whose load changed since the last
    /// decision of any worker.
    #[inline]
    pub(super) fn decide<T>(&self, servers: &[Arc<RealServer>], decide: impl FnOnce(&B) -> T) -> T {
        let _passage = self.standings.turnstile.pass();
        self.update(servers);
        decide(&self.board)
    }

    /// As [`Self::decide`], for who decides so many times: other workers have written most of what
    /// it will look at, and a cache line takes as long to come as ten of them together. `tree` is what
    /// the board mostly consists of.
    #[inline]
    pub(super) fn decide_often<T>(
        &self,
        servers: &[Arc<RealServer>],
        times: usize,
        tree: impl FnOnce(&B) -> &MinTree,
        decide: impl FnOnce(&B) -> T,
    ) -> T {
        let _passage = self.standings.turnstile.pass();
        let tree = tree(&self.board);
        if self.tallies.len() + tree.lines() <= times * LINES_OF_A_DECISION {
            tree.prefetch();
            self.tallies
                .iter()
                .for_each(|tally| prefetch_write(&**tally));
        }
        if times > 1 && self.marked() * SERVERS_FOR_ONE > servers.len() {
            self.take_over(servers);
        } else {
            self.update(servers);
        }
        decide(&self.board)
    }

    /// How many servers are marked, some of them perhaps only in other versions.
    #[inline]
    fn marked(&self) -> usize {
        let words =
            (self.blocks.iter()).flat_map(|block| block.page.words().iter().zip(&block.rows));
        let marks = words.map(|(word, _)| word.load(Ordering::Relaxed));
        marks.map(|marks| marks.count_ones() as usize).sum()
    }

    /// Notes what changed since the last decision.
    #[inline]
    fn update(&self, servers: &[Arc<RealServer>]) {
        if self.standings.ranked.load(Ordering::Relaxed) == self.version {
            self.catch_up(servers);
        } else {
            self.take_over(servers);
        }
    }

    /// How often a worker found another one at a board of the service.
    pub(super) fn lock_waits(&self) -> u64 {
        self.standings.turnstile.waits()
    }

    /// Judges the servers anew whose seats are marked.
    #[inline]
    fn catch_up(&self, servers: &[Arc<RealServer>]) {
        for block in &self.blocks {
            for (word, places) in block.page.words().iter().zip(&block.rows) {
                let mut marks = clear(word);
                while marks != 0 {
                    let place = places[marks.trailing_zeros() as usize % WORD_SEATS] as usize;
                    if let Some(server) = servers.get(place) {
                        self.board.judge(place, server);
                    }
                    marks &= marks - 1;
                }
            }
        }
    }

    /// Judges all servers anew: another version has taken the marks before, or most are marked.
    #[inline(never)]
    fn take_over(&self, servers: &[Arc<RealServer>]) {
        // First the marks, then the counts: what changes meanwhile is judged once more.
        for block in &self.blocks {
            for (word, _) in block.page.words().iter().zip(&block.rows) {
                clear(word);
            }
        }
        self.board.fill(servers);
        self.standings.ranked.store(self.version, Ordering::Relaxed);
    }
}
