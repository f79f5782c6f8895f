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
//! A changed key is carried upwards until a least key stays what it was; the winner is found
//! from the root downwards. Of equal keys the first wins.

use crate::id::Weight;

/// Keys in a group: what a cache line of 64 bytes holds.
const FAN: usize = 8;

/// What a place is judged by: the least wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(i64);

impl Key {
    /// Of a place that must not win.
    pub(super) const OUT: Self = Self(i64::MAX);

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

#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Group([Key; FAN]);

impl Group {
    const OUT: Self = Self([Key::OUT; FAN]);

    /// The least key with its first place. Compares in pairs, so that no comparison waits for
    /// all the others and none becomes a jump.
    #[inline]
    fn first(&self) -> (Key, usize) {
        const fn better(one: (Key, usize), later: (Key, usize)) -> (Key, usize) {
            if later.0.0 < one.0.0 { later } else { one }
        }
        let [a, b, c, d, e, f, g, h] = self.0;
        let front = better(better((a, 0), (b, 1)), better((c, 2), (d, 3)));
        let back = better(better((e, 4), (f, 5)), better((g, 6), (h, 7)));
        better(front, back)
    }
}

/// The keys of all places of a list, and who wins.
#[derive(Debug, Default)]
pub(super) struct MinTree {
    /// The root, then the children of each group in order: those of group `n` are
    /// `8 n + 1 ..= 8 n + 8`.
    groups: Vec<Group>,
    /// The first group that has places for children.
    leaves: usize,
}

impl MinTree {
    /// A tree with room for `places`.
    pub(super) fn with_room(places: usize) -> Self {
        let (first, count) = leaves(places);
        Self {
            groups: vec![Group::OUT; first + count],
            leaves: first,
        }
    }

    /// Whether it has room for `places`.
    pub(super) fn has_room(&self, places: usize) -> bool {
        let (first, count) = leaves(places);
        self.groups.len() >= first + count
    }

    /// Starts anew with these keys, for which there must be room. Allocates nothing.
    pub(super) fn fill(&mut self, keys: impl ExactSizeIterator<Item = Key>) {
        let (first, count) = leaves(keys.len());
        self.leaves = first;
        self.groups[..first + count].fill(Group::OUT);
        let leaves = self.groups[first..].iter_mut();
        let slots = leaves.flat_map(|group| &mut group.0);
        for (slot, key) in slots.zip(keys) {
            *slot = key;
        }
        for group in (1..first + count).rev() {
            let (key, _) = self.groups[group].first();
            let above = (group - 1) / FAN;
            self.groups[above].0[(group - 1) % FAN] = key;
        }
    }

    /// Gives a place another key.
    #[inline]
    pub(super) fn set(&mut self, place: usize, mut key: Key) {
        let (mut group, mut slot) = (self.leaves + place / FAN, place % FAN);
        loop {
            let Some(keys) = self.groups.get_mut(group) else {
                return;
            };
            keys.0[slot] = key;
            if group == 0 {
                return;
            }
            (key, _) = keys.first();
            (group, slot) = ((group - 1) / FAN, (group - 1) % FAN);
            if self.groups[group].0[slot] == key {
                return;
            }
        }
    }

    /// The first place with the least key, if any place may win.
    #[inline]
    pub(super) fn winner(&self) -> Option<usize> {
        let mut group = 0;
        loop {
            let (key, slot) = self.groups.get(group)?.first();
            if key == Key::OUT {
                return None;
            }
            if group >= self.leaves {
                return Some((group - self.leaves) * FAN + slot);
            }
            group = group * FAN + 1 + slot;
        }
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
        assert_eq!(MinTree::default().winner(), None);
        let mut tree = MinTree::with_room(0);
        tree.fill([].into_iter());
        assert_eq!(tree.winner(), None);
    }

    #[test]
    fn a_larger_tree_serves_a_shorter_list() {
        let mut tree = MinTree::with_room(600);
        tree.fill((0..600_i32).rev().map(|n| Key(n.into())));
        assert_eq!(tree.winner(), Some(599));

        tree.fill([4, 2, 3].map(Key).into_iter());

        assert_eq!(tree.winner(), Some(1));
        tree.set(1, Key(9));
        assert_eq!(tree.winner(), Some(2));
        assert!(tree.has_room(600) && !tree.has_room(4097));
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
            let mut tree = MinTree::with_room(keys.len());
            tree.fill(keys.iter().map(|n| key(*n)));
            for (place, n) in changes {
                tree.set(place, key(n));
                keys[place] = n;

                let model: Vec<_> = keys.iter().map(|n| key(*n)).collect();
                prop_assert_eq!(tree.winner(), first_least(&model));
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
