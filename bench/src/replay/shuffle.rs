//! An order that looks like chance and is the same in every run.

/// The numbers below `count`, each once, in an order that neither follows their own nor that of
/// memory: sessions are made in the order of their numbers, and a replay in that order would let
/// the processor's prefetcher find them for the gateway.
#[must_use]
pub fn shuffled(count: u32) -> Vec<u32> {
    let mut numbers: Vec<u32> = (0..count).collect();
    let mut random = Xorshift(0x2545_f491_4f6c_dd1d);
    // Fisher and Yates, from the end.
    for last in (1..numbers.len()).rev() {
        numbers.swap(last, random.below(last + 1));
    }
    numbers
}

/// Marsaglia's generator with 64 bits of state.
struct Xorshift(u64);

impl Xorshift {
    /// The next number below `bound`; the bias is below one in 2³².
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the product's upper half is below `bound`"
    )]
    const fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 as u128 * bound as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_once_and_rarely_beside_its_neighbour() {
        let order = shuffled(10_000);

        let neighbours = order
            .windows(2)
            .filter(|pair| pair[0].abs_diff(pair[1]) == 1);
        assert!(neighbours.count() < 20);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..10_000).collect::<Vec<_>>());
        assert_eq!(order, shuffled(10_000));
    }

    #[test]
    fn one_number_and_none_need_no_order() {
        assert_eq!(shuffled(1), vec![0]);
        assert!(shuffled(0).is_empty());
    }
}
