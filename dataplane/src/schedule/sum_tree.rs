//! Finds the place at which the sum of all weights up to it reaches a number.
//!
//! A binary indexed tree (P. M. Fenwick, "A new data structure for cumulative frequency tables",
//! 1994): entry `n`, counted from 1, holds the sum of as many weights up to the `n`-th as the
//! lowest bit of `n` says.
//!
//! ```text
//!   weight  1  2  3  4  5  6  7  8
//!   entry   █  ██ █  ████ █  ██ █  ████████
//! ```
//!
//! As with [`MinTree`](super::min_tree::MinTree), the numbers are atomics only so that the tree
//! can stand behind a lock that does not own it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// The weights of all places of a list, and their sums.
#[derive(Debug)]
pub(super) struct SumTree {
    weights: Box<[AtomicU32]>,
    /// Entry `n` stands at `n − 1`.
    sums: Box<[AtomicU64]>,
    total: AtomicU64,
}

impl SumTree {
    /// A tree of `places` without weight.
    pub(super) fn new(places: usize) -> Self {
        Self {
            weights: (0..places).map(|_| AtomicU32::new(0)).collect(),
            sums: (0..places).map(|_| AtomicU64::new(0)).collect(),
            total: AtomicU64::new(0),
        }
    }

    /// The sum of all weights.
    #[inline]
    pub(super) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Gives a place, which must be one of the tree's, another weight.
    #[inline]
    pub(super) fn set(&self, place: usize, weight: u32) {
        let before = self.weights[place].load(Ordering::Relaxed);
        if before == weight {
            return;
        }
        self.weights[place].store(weight, Ordering::Relaxed);
        let change = u64::from(weight).wrapping_sub(u64::from(before));
        add(&self.total, change);
        let mut entry = place + 1;
        while let Some(sum) = self.sums.get(entry - 1) {
            add(sum, change);
            entry += entry & entry.wrapping_neg();
        }
    }

    /// The first place up to which the weights make `sum`, which must be between 1 and the total.
    #[inline]
    pub(super) fn reaches(&self, sum: u64) -> usize {
        let (mut behind, mut left) = (0, sum);
        let mut step = self.sums.len().next_power_of_two();
        while step > 0 {
            let entry = behind + step;
            let below = self
                .sums
                .get(entry - 1)
                .map(|sum| sum.load(Ordering::Relaxed));
            if let Some(below) = below.filter(|below| *below < left) {
                behind = entry;
                left -= below;
            }
            step /= 2;
        }
        behind
    }
}

/// Adds what may be negative, in two's complement.
#[inline]
fn add(to: &AtomicU64, change: u64) {
    let sum = to.load(Ordering::Relaxed).wrapping_add(change);
    to.store(sum, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn sums_are_reached_where_a_walk_reaches_them(
            (places, changes) in (1..100_usize).prop_flat_map(|places| {
                let change = (0..places, prop_oneof![0..4_u32, Just(u32::MAX)]);
                (Just(places), prop::collection::vec(change, 1..200))
            }),
        ) {
            let tree = SumTree::new(places);
            let mut weights = vec![0_u64; places];
            for (place, weight) in changes {
                tree.set(place, weight);
                weights[place] = weight.into();
            }

            let mut sum = 0;
            for (place, weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0) {
                prop_assert_eq!(tree.reaches(sum + 1), place);
                sum += weight;
                prop_assert_eq!(tree.reaches(sum), place);
            }
            prop_assert_eq!(tree.total(), sum);
        }
    }
}
