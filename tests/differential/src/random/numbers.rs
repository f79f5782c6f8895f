//! Random numbers from a seed, the same on every machine.

/// SplitMix64 (Steele, Lea, Flood: «Fast Splittable Pseudorandom Number Generators», 2014).
#[derive(Clone, Debug)]
pub(super) struct Numbers(u64);

impl Numbers {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number from 0 to `end - 1`; 0 if there is none.
    pub(super) fn below(&mut self, end: u32) -> u32 {
        // Lemire's multiplication; its bias is below end / 2^32.
        let product = (u128::from(self.next()) * u128::from(end)) >> 64;
        u32::try_from(product).unwrap_or(0)
    }

    /// A number of a range.
    pub(super) fn within(&mut self, first: u32, last: u32) -> u32 {
        first + self.below(last + 1 - first)
    }

    /// Whether something of so many per cent happens.
    pub(super) fn percent(&mut self, chance: u32) -> bool {
        self.below(100) < chance
    }

    /// One of several; none if there are none.
    pub(super) fn pick<'a, T>(&mut self, choices: &'a [T]) -> Option<&'a T> {
        let len = u32::try_from(choices.len()).unwrap_or(u32::MAX);
        let index = usize::try_from(self.below(len)).unwrap_or(0);
        choices.get(index)
    }

    /// One of several, with weights.
    pub(super) fn weighted<T: Copy>(&mut self, choices: &[(u32, T)]) -> Option<T> {
        let total: u32 = choices.iter().map(|(weight, _)| weight).sum();
        let mut rest = self.below(total);
        for (weight, choice) in choices {
            match rest.checked_sub(*weight) {
                Some(less) => rest = less,
                None => return Some(*choice),
            }
        }
        None
    }

    /// Puts things in any order.
    pub(super) fn shuffle<T>(&mut self, things: &mut [T]) {
        for end in (1..things.len()).rev() {
            let other = self.below(u32::try_from(end + 1).unwrap_or(u32::MAX));
            things.swap(end, usize::try_from(other).unwrap_or(end));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_always() {
        let mut numbers = Numbers::new(1_234_567);

        // The values of the reference implementation.
        assert_eq!(numbers.next(), 6_457_827_717_110_365_317);
        assert_eq!(numbers.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn choices_stay_within_bounds_and_follow_their_weights() {
        let mut numbers = Numbers::new(7);
        let mut heavy = 0;
        for _ in 0..1_000 {
            assert!((3..=5).contains(&numbers.within(3, 5)));
            heavy += u32::from(numbers.weighted(&[(9, true), (1, false)]) == Some(true));
        }

        assert!((850..950).contains(&heavy), "{heavy}");
        assert_eq!(numbers.pick::<u8>(&[]), None);
        assert_eq!(numbers.below(0), 0);
    }
}
