//! Finds the least of many keys after a few of them changed.
//!
//! A tournament among eight in every match: each group of eight keys is one cache line, and its
//! least key stands in the group above it. With 100 keys that are three levels, with 1000 four:
//!
//! ```text
//!                      [ 3 9 . . . . . . ]                     the root
//!           [ 7 3 8 5 . . . . ]    [ 9 . . . . . . . ]
//!   [ 7 9 7 … ] [ 4 3 3 … ] …                                  the leaves: a key for each place
//! ```
//!
//! A changed key is carried upwards; who is the first of a group is noted, so that the way from
//! the root down to the winner compares nothing. Of equal keys the first wins.
//!
//! The keys are atomics only so that a tree can stand behind a lock that does not own it: whoever
//! calls [`MinTree::fill`], [`MinTree::set`] or [`MinTree::winner`] must be alone.

use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};

use crate::id::Weight;
use crate::intrinsics::prefetch_write;

/// Keys in a group: what a cache line of 64 bytes holds.
const FAN: usize = 8;

/// Bytes of a cache line.
const LINE: usize = 64;

/// What a place is judged by: the least wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(i64);

impl Key {
    /// Of a place that must not win.
    pub(super) const OUT: Self = Self(i64::MAX);

    /// Less than every number and ratio.
    pub(super) const FIRST: Self = Self(i64::MIN);

    /// A number as it is. Such keys do not compare with ratios.
    #[inline]
    pub(super) const fn number(number: i32) -> Self {
        Self(number as i64)
    }

    /// `cost` for each unit of `weight`, which must not be 0. Two such keys compare as the
    /// fractions themselves do: fractions of numbers below 2^31 by weights up to 65,535 that
    /// differ do so by more than 2^-47 of the greater, and a double keeps 2^-53.
    #[inline]
    pub(super) fn ratio(cost: i32, weight: Weight) -> Self {
        let bits = (f64::from(cost) / f64::from(weight.0))
            .to_bits()
            .cast_signed();
        // A negative double is greater the less its other bits are.
        Self(bits ^ ((bits >> 63) & i64::MAX))
    }
}

#[derive(Debug)]
#[repr(align(64))]
struct Group([AtomicI64; FAN]);

impl Group {
    const fn out() -> Self {
        Self([const { AtomicI64::new(Key::OUT.0) }; FAN])
    }

    /// The least key with its first place. Compares in pairs, so that no comparison waits for
    /// all the others and none becomes a jump.
    #[inline]
    fn first(&self) -> (Key, usize) {
        const fn better(one: (Key, usize), later: (Key, usize)) -> (Key, usize) {
            if later.0.0 < one.0.0 { later } else { one }
        }
        let at = |slot| (self.get(slot), slot);
        let front = better(better(at(0), at(1)), better(at(2), at(3)));
        let back = better(better(at(4), at(5)), better(at(6), at(7)));
        better(front, back)
    }

    /// The first slot, from `slot` on, with a key of `most` or less.
    #[inline]
    fn first_at_most(&self, slot: usize, most: Key) -> Option<usize> {
        (slot..FAN).find(|slot| self.get(*slot) <= most)
    }

    #[inline]
    fn get(&self, slot: usize) -> Key {
        Key(self.0[slot].load(Ordering::Relaxed))
    }

    #[inline]
    fn set(&self, slot: usize, key: Key) {
        self.0[slot].store(key.0, Ordering::Relaxed);
    }
}

/// The keys of all places of a list, and who wins.
#[derive(Debug)]
pub(super) struct MinTree {
    /// The root, then the children of each group in order: those of group `n` are
    /// `8 n + 1 ..= 8 n + 8`.
    groups: Box<[Group]>,
    /// The first slot with the least key of each group.
    firsts: Box<[AtomicU8]>,
    /// The first group that has places for children.
    leaves: usize,
}

impl MinTree {
    /// A tree of `places`, all of them out.
    pub(super) fn new(places: usize) -> Self {
        let (leaves, count) = leaves(places);
        Self {
            groups: (0..leaves + count).map(|_| Group::out()).collect(),
            firsts: (0..leaves + count).map(|_| AtomicU8::new(0)).collect(),
            leaves,
        }
    }

    /// How many cache lines it has.
    pub(super) fn lines(&self) -> usize {
        self.groups.len() + self.firsts.len().div_ceil(LINE)
    }

    /// Asks for all of it, to be written soon.
    #[inline]
    pub(super) fn prefetch(&self) {
        self.groups.iter().for_each(prefetch_write);
        self.firsts.chunks(LINE).for_each(prefetch_write);
    }

    /// Gives all places their keys anew.
    pub(super) fn fill(&self, keys: impl Iterator<Item = Key>) {
        let leaves = self.groups[self.leaves..].iter();
        let slots = leaves.flat_map(|group| &group.0);
        for (slot, key) in slots.zip(keys) {
            slot.store(key.0, Ordering::Relaxed);
        }
        for at in (0..self.groups.len()).rev() {
            let least = self.look(at);
            if at > 0 {
                self.groups[(at - 1) / FAN].set((at - 1) % FAN, least);
            }
        }
    }

    /// Gives a place another key. Always goes up to the root: to find out where nothing changes
    /// any more takes jumps that no CPU foresees, and those cost more than the way.
    #[inline]
    pub(super) fn set(&self, place: usize, mut key: Key) {
        let (mut at, mut slot) = (self.leaves + place / FAN, place % FAN);
        while let Some(group) = self.groups.get(at) {
            group.set(slot, key);
            key = self.look(at);
            if at == 0 {
                return;
            }
            (at, slot) = ((at - 1) / FAN, (at - 1) % FAN);
        }
    }

    /// The first place with the least key, if any place may win.
    #[inline]
    pub(super) fn winner(&self) -> Option<usize> {
        let mut at = 0;
        loop {
            let slot = usize::from(self.firsts[at].load(Ordering::Relaxed));
            if at == 0 && self.groups[at].get(slot) == Key::OUT {
                return None;
            }
            if at >= self.leaves {
                return Some((at - self.leaves) * FAN + slot);
            }
            at = at * FAN + 1 + slot;
        }
    }

    /// The first place, from `place` on, whose key is `most` or less; `most` must not be
    /// [`Key::OUT`]. Goes up from there until it is in a group on the way, and down again.
    #[inline]
    pub(super) fn first_from(&self, place: usize, most: Key) -> Option<usize> {
        let (mut at, mut slot) = (self.leaves + place / FAN, place % FAN);
        loop {
            // Behind the last group there is nothing.
            if let Some(found) = self.groups.get(at)?.first_at_most(slot, most) {
                return self.down(at, found, most);
            }
            if at == 0 {
                return None;
            }
            (at, slot) = ((at - 1) / FAN, (at - 1) % FAN + 1);
        }
    }

    /// The first place below a slot whose key is `most` or less.
    #[inline]
    fn down(&self, mut at: usize, mut slot: usize, most: Key) -> Option<usize> {
        while at < self.leaves {
            at = at * FAN + 1 + slot;
            slot = self.groups.get(at)?.first_at_most(0, most)?;
        }
        Some((at - self.leaves) * FAN + slot)
    }

    /// Finds the first of a group, and gives its key.
    #[inline]
    fn look(&self, at: usize) -> Key {
        let (key, slot) = self.groups[at].first();
        self.note(at, slot);
        key
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "a group has 8 slots")]
    fn note(&self, at: usize, slot: usize) {
        self.firsts[at].store(slot as u8, Ordering::Relaxed);
    }
}

/// The number of the first group that has `places` for children, and how many such there are.
fn leaves(places: usize) -> (usize, usize) {
    let (mut first, mut level) = (0, 1);
    while level * FAN < places {
        first += level;
        level *= FAN;
    }
    (first, places.div_ceil(FAN).max(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn first_least(keys: &[Key]) -> Option<usize> {
        let least = keys.iter().min().filter(|key| **key != Key::OUT)?;
        keys.iter().position(|key| key == least)
    }

    #[test]
    fn an_empty_tree_has_no_winner() {
        assert_eq!(MinTree::new(0).winner(), None);
    }

    #[test]
    fn a_place_beyond_the_tree_changes_nothing() {
        let tree = MinTree::new(9);

        tree.set(16, Key(1));

        assert_eq!(tree.winner(), None);
    }

    proptest! {
        #[test]
        fn the_winner_is_the_first_of_the_least(
            (mut keys, changes) in prop::collection::vec(0..40_i64, 1..700).prop_flat_map(|keys| {
                let places = keys.len();
                let change = (0..places, 0..40_i64);
                (Just(keys), prop::collection::vec(change, 0..100))
            }),
        ) {
            // Every tenth key or so is out.
            let key = |n| if n == 39 { Key::OUT } else { Key(n - 20) };
            let tree = MinTree::new(keys.len());
            tree.fill(keys.iter().map(|n| key(*n)));
            for (place, n) in changes {
                tree.set(place, key(n));
                keys[place] = n;

                let model: Vec<_> = keys.iter().map(|n| key(*n)).collect();
                prop_assert_eq!(tree.winner(), first_least(&model));
                let most = key(place as i64 % 39);
                let walked = (place..model.len()).find(|at| model[*at] <= most);
                prop_assert_eq!(tree.first_from(place, most), walked);
            }
        }

        #[test]
        fn ratios_compare_as_fractions_do(
            a in any::<i32>(), v in 1..=65_535_u32, b in any::<i32>(), w in 1..=65_535_u32,
        ) {
            let cross = (i64::from(a) * i64::from(w)).cmp(&(i64::from(b) * i64::from(v)));

            prop_assert_eq!(Key::ratio(a, Weight(v)).cmp(&Key::ratio(b, Weight(w))), cross);
        }

        /// The closest fractions there are: neighbours a/v and b/w with |a w − b v| at most 1.
        #[test]
        fn the_closest_ratios_compare_as_fractions_do(
            sign in prop_oneof![Just(1), Just(-1)],
            v in 65_000..=65_535_u32, w in 65_000..=65_535_u32, scale in 30_000..32_767_i64,
            shift in -2..=2_i64,
        ) {
            let a = scale * 65_536 + i64::from(v);
            let b = a * i64::from(w) / i64::from(v) + shift;
            let (Ok(a), Ok(b)) = (i32::try_from(sign * a), i32::try_from(sign * b)) else {
                return Ok(());
            };
            let cross = (i64::from(a) * i64::from(w)).cmp(&(i64::from(b) * i64::from(v)));

            prop_assert_eq!(Key::ratio(a, Weight(v)).cmp(&Key::ratio(b, Weight(w))), cross);
        }
    }
}
