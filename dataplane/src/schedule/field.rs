//! Keeps what a scheduler knows of its servers' loads up to date, at the cost of what changed.
//!
//! The marks of the service's [`Standings`](super::standings) tell whose load may have changed.
//! Before each decision those servers are judged anew, on a [`Board`] that only this version of
//! the service has. The first decision of a version judges all servers, and so does every one
//! while workers still decide by different versions, in turn.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::standings::{PAGE_WORDS, Page, Standings, WORD_SEATS, clear};
use crate::service::RealServer;

/// In a row of seats: nobody of this version.
const NOBODY: u32 = u32::MAX;

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
        if self.standings.ranked.load(Ordering::Relaxed) == self.version {
            self.catch_up(servers);
        } else {
            self.take_over(servers);
        }
        decide(&self.board)
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

    /// Judges all servers anew, another version having taken the marks before.
    #[cold]
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
