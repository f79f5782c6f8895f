//! Tells a service's scheduler which servers' loads changed since it last decided.
//!
//! Every server of a service has a [`Seat`] in the service's [`Standings`], for life. Whoever
//! changes what a scheduler may judge the server by marks the seat: one bit, no lock, and only a
//! look when it is marked already. A scheduler that ranks servers clears the marks and judges
//! those servers anew, so that a decision costs what changed, not what there is.
//!
//! ```text
//!   session made or ended ─► count, then mark  │ 0 0 1 0 … │  64 seats a word
//!   decision ──────────────► clear, then count │           │  16 words a page
//! ```
//!
//! The counts of eight seats share a cache line, since who decides for many sessions looks at those
//! of many servers, and what another worker wrote comes a line at a time.
//!
//! Mark and clearing are sequentially consistent, so of a mark that is left out because the seat was marked
//! already, and a clearing at that moment, one sees the other: no change is ever missed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::load::{Rules, SessionCounts};
use super::turnstile::Turnstile;
use crate::intrinsics::prefetch_write;

/// Seats in a word.
pub(super) const WORD_SEATS: usize = 64;

/// Words in a page.
pub(super) const PAGE_WORDS: usize = 16;

/// Seats whose counts share a cache line.
const TALLY_SEATS: usize = 8;

/// The counts of eight seats.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Tally([SessionCounts; TALLY_SEATS]);

/// Marks of 1024 seats.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Page([AtomicU64; PAGE_WORDS]);

impl Page {
    /// Its words in the order of their seats.
    #[inline]
    pub(super) const fn words(&self) -> &[AtomicU64; PAGE_WORDS] {
        &self.0
    }
}

/// Clears the marks of a word, and gives them.
#[inline]
pub(super) fn clear(word: &AtomicU64) -> u64 {
    // Mostly nothing is marked, and a look leaves the cache line where it is.
    if word.load(Ordering::Relaxed) == 0 {
        return 0;
    }
    word.swap(0, Ordering::SeqCst)
}

/// What all versions of one service, whatever their schedulers, share about the loads of its
/// servers. It lives as long as any of the servers.
#[derive(Debug, Default)]
pub struct Standings {
    /// Who ranks servers, and clears marks, does so alone.
    pub(super) turnstile: Turnstile,
    /// The version whose ranking the marks cleared last went into; 0 is none. Guarded by the
    /// turnstile. While workers have different versions it goes back and forth.
    pub(super) ranked: AtomicU64,
    /// How its servers are judged.
    rules: Rules,
    /// Only for whoever makes servers and versions.
    seating: Mutex<Seating>,
}

#[derive(Debug, Default)]
struct Seating {
    pages: Vec<Arc<Page>>,
    tallies: Vec<Arc<Tally>>,
    taken: usize,
    vacant: Vec<usize>,
    versions: u64,
}

impl Standings {
    /// Of a service without servers, under the default rules.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Of a service without servers, under these rules.
    #[must_use]
    pub fn under(rules: Rules) -> Arc<Self> {
        Arc::new(Self {
            rules,
            ..Self::default()
        })
    }

    /// How its servers are judged.
    #[must_use]
    pub const fn rules(&self) -> Rules {
        self.rules
    }

    /// A place for one more server.
    pub(crate) fn seat(self: &Arc<Self>) -> Seat {
        let mut seating = self.seating.lock();
        let number = seating.vacant.pop().unwrap_or(seating.taken);
        seating.taken = seating.taken.max(number + 1);
        let page = number / (PAGE_WORDS * WORD_SEATS);
        if page == seating.pages.len() {
            seating.pages.push(Arc::default());
        }
        let tally = number / TALLY_SEATS;
        if tally == seating.tallies.len() {
            seating.tallies.push(Arc::default());
        }
        let tally = Arc::clone(&seating.tallies[tally]);
        tally.0[number % TALLY_SEATS].reset();
        Seat {
            page: Arc::clone(&seating.pages[page]),
            tally,
            standings: Arc::clone(self),
            number,
        }
    }

    /// The number of one more version of the service.
    pub(super) fn version(&self) -> u64 {
        let mut seating = self.seating.lock();
        seating.versions += 1;
        seating.versions
    }

    /// The pages there are; later servers may add some.
    pub(super) fn pages(&self) -> Vec<Arc<Page>> {
        self.seating.lock().pages.clone()
    }
}

/// One server's place in the [`Standings`] of its service.
#[derive(Debug)]
pub(crate) struct Seat {
    page: Arc<Page>,
    tally: Arc<Tally>,
    standings: Arc<Standings>,
    number: usize,
}

impl Seat {
    /// Notes that what the server is judged by changed. To be called after the change, which
    /// must be sequentially consistent.
    #[inline]
    pub(crate) fn mark(&self) {
        let word = self.word();
        let mark = 1 << (self.number % WORD_SEATS);
        if word.load(Ordering::SeqCst) & mark == 0 {
            word.fetch_or(mark, Ordering::SeqCst);
        }
    }

    /// Asks for the line that [`Self::mark`] writes.
    #[inline]
    pub(super) fn prefetch_mark(&self) {
        prefetch_write(self.word());
    }

    #[inline]
    fn word(&self) -> &AtomicU64 {
        &self.page.0[self.number / WORD_SEATS % PAGE_WORDS]
    }

    /// The counts of its server's sessions.
    #[inline]
    pub(crate) fn counts(&self) -> &SessionCounts {
        &self.tally.0[self.number % TALLY_SEATS]
    }

    /// The counts of all whose counts share a line with its own.
    pub(super) const fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    /// Where its service's servers are ranked.
    pub(super) const fn standings(&self) -> &Arc<Standings> {
        &self.standings
    }

    /// Its number; vacated ones are given out again.
    pub(super) const fn number(&self) -> usize {
        self.number
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.standings.seating.lock().vacant.push(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_cleared_once() {
        let standings = Standings::new();
        let seats: Vec<_> = (0..70).map(|_| standings.seat()).collect();

        for at in [3, 5, 5, 69] {
            seats[at].mark();
        }

        let pages = standings.pages();
        assert_eq!(clear(&pages[0].words()[0]), 1 << 3 | 1 << 5);
        assert_eq!(clear(&pages[0].words()[0]), 0);
        assert_eq!(clear(&pages[0].words()[1]), 1 << 5);
    }

    #[test]
    fn a_vacated_seat_is_given_out_again() {
        let standings = Standings::new();
        let seats: Vec<_> = (0..1025).map(|_| standings.seat()).collect();
        assert_eq!(seats[1024].number(), 1024);
        assert_eq!(standings.pages().len(), 2);

        drop(seats);
        let again: Vec<_> = (0..1025).map(|_| standings.seat()).collect();

        let mut numbers: Vec<_> = again.iter().map(Seat::number).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..1025).collect::<Vec<_>>());
        assert_eq!(standings.seat().number(), 1025);
    }

    #[test]
    fn a_seat_that_is_given_out_again_has_no_sessions() {
        let standings = Standings::new();
        let seats: Vec<_> = (0..9).map(|_| standings.seat()).collect();
        assert!(!Arc::ptr_eq(seats[7].tally(), seats[8].tally()));
        for seat in &seats {
            seat.counts().set_active(1);
        }

        let kept: Vec<_> = seats.into_iter().take(7).collect();
        let again = standings.seat();

        assert_eq!((again.number(), again.counts().active()), (8, 0));
        assert_eq!(kept[6].counts().active(), 1);
    }
}
