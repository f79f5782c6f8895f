//! What routers have said about the paths to TUN servers: how large a packet gets through.
//!
//! A router that cannot pass a tunnel packet on tells its sender, the gateway (RFC 2003 §5.1). The
//! gateway tells the client, and remembers it here, so that the next packet that is too large is
//! answered by the gateway itself. Each worker has its own notes, in a table of fixed size: a note
//! whose place another server takes is learned again from the next error.

use crate::address::V4;
use crate::id::ServerSlot;
use crate::time::{TICKS_PER_SECOND, Tick};

/// The smallest path MTU that is believed, in bytes: as Linux's `min_pmtu`, so that nobody can make
/// the gateway cut everything to pieces.
const LEAST: u16 = 552;

/// How long a note is believed: a path may become wider again (Linux's `mtu_expires`; RFC 1191
/// §6.3 says ten minutes too).
const BELIEVED_SECONDS: u32 = 600;

const BELIEVED_TICKS: u32 = BELIEVED_SECONDS * TICKS_PER_SECOND;

/// Places, each for the servers whose slots differ by a multiple of this.
const PLACES: usize = 1_024;

/// What is known about the path to one server.
#[derive(Clone, Copy, Debug, Default)]
struct Note {
    slot: ServerSlot,
    /// The server's address: another server may get the slot.
    server: V4,
    /// The largest IP packet that gets through, in bytes; 0 when nothing is known.
    mtu: u16,
    /// When it was said last.
    learned: Tick,
}

impl Note {
    fn is_about(&self, slot: ServerSlot, server: V4) -> bool {
        self.mtu != 0 && self.slot == slot && self.server == server
    }

    /// Whether it may still be believed. A note that nobody asked for in 97 days looks as if it
    /// was learned in the future, and is not believed either.
    fn is_fresh(&self, now: Tick) -> bool {
        let age = self.learned.until(now);
        u32::try_from(age).is_ok_and(|age| age < BELIEVED_TICKS)
    }
}

/// The path MTUs that one worker has learned.
#[derive(Debug)]
pub(super) struct PathMtus(Box<[Note]>);

impl PathMtus {
    /// Nothing learned yet.
    pub(super) fn new() -> Self {
        Self(vec![Note::default(); PLACES].into())
    }

    /// The largest packet that is known to get through to a server at `now`.
    #[inline]
    pub(super) fn get(&self, slot: ServerSlot, server: V4, now: Tick) -> Option<u16> {
        let note = self.0.get(slot.index() % PLACES)?;
        (note.is_about(slot, server) && note.is_fresh(now)).then_some(note.mtu)
    }

    /// Notes that packets larger than `mtu` do not get through to a server, and gives what is
    /// known now: never less than [`LEAST`], never more than before.
    pub(super) fn learn(&mut self, slot: ServerSlot, server: V4, mtu: u16, now: Tick) -> u16 {
        let known = self.get(slot, server, now).unwrap_or(u16::MAX);
        let mtu = mtu.max(LEAST).min(known);
        if let Some(note) = self.0.get_mut(slot.index() % PLACES) {
            *note = Note {
                slot,
                server,
                mtu,
                learned: now,
            };
        }
        mtu
    }

    /// Forgets what was learned about a server, if that is no longer to be believed; says whether
    /// it did.
    #[inline]
    pub(super) fn forget_old(&mut self, slot: ServerSlot, now: Tick) -> bool {
        let note = self.0.get_mut(slot.index() % PLACES);
        let old = note.filter(|note| note.mtu != 0 && note.slot == slot && !note.is_fresh(now));
        old.map(|note| note.mtu = 0).is_some()
    }

    /// The servers that something is known about.
    pub(super) fn servers(&self) -> impl Iterator<Item = (ServerSlot, u16)> {
        let known = self.0.iter().filter(|note| note.mtu != 0);
        known.map(|note| (note.slot, note.mtu))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Tick = Tick(u32::MAX - 100);
    const SLOT: ServerSlot = ServerSlot(7);
    const SERVER: V4 = V4(0x0a02_000b);

    #[test]
    fn what_was_learned_is_believed_for_ten_minutes() {
        let mut mtus = PathMtus::new();

        assert_eq!(mtus.learn(SLOT, SERVER, 1_000, NOW), 1_000);

        let last = NOW.plus(BELIEVED_TICKS - 1);
        assert_eq!(mtus.get(SLOT, SERVER, last), Some(1_000));
        assert!(!mtus.forget_old(SLOT, last));
        assert_eq!(mtus.servers().collect::<Vec<_>>(), [(SLOT, 1_000)]);
        let later = last.plus(1);
        assert_eq!(mtus.get(SLOT, SERVER, later), None);
        assert!(mtus.forget_old(SLOT, later));
        assert_eq!(mtus.servers().count(), 0);
    }

    #[test]
    fn a_path_becomes_narrower_but_not_wider_while_it_is_believed() {
        let mut mtus = PathMtus::new();
        mtus.learn(SLOT, SERVER, 1_000, NOW);

        assert_eq!(mtus.learn(SLOT, SERVER, 1_400, NOW), 1_000);
        assert_eq!(mtus.learn(SLOT, SERVER, 900, NOW), 900);

        let later = NOW.plus(BELIEVED_TICKS);
        assert_eq!(mtus.learn(SLOT, SERVER, 1_400, later), 1_400);
    }

    #[test]
    fn nobody_can_make_a_path_narrower_than_linux_would() {
        let mut mtus = PathMtus::new();

        for mtu in [0, 68, 551] {
            assert_eq!(mtus.learn(SLOT, SERVER, mtu, NOW), LEAST);
        }
    }

    #[test]
    fn another_server_in_the_slot_or_at_the_place_knows_nothing() {
        let mut mtus = PathMtus::new();
        mtus.learn(SLOT, SERVER, 1_000, NOW);
        let neighbour = ServerSlot(SLOT.0 + 1_024);

        assert_eq!(mtus.get(SLOT, V4(1), NOW), None);
        assert_eq!(mtus.get(neighbour, SERVER, NOW), None);
        mtus.learn(neighbour, SERVER, 1_200, NOW);
        assert_eq!(mtus.get(SLOT, SERVER, NOW), None);
        assert_eq!(mtus.get(neighbour, SERVER, NOW), Some(1_200));
    }
}
