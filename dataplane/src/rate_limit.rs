//! A token bucket over ticks: so many a second on average, so many at once.

use crate::time::{TICKS_PER_SECOND, Tick};

/// A token bucket, owned by one worker.
#[derive(Clone, Copy, Debug)]
pub struct RateLimit {
    /// Tokens that come in each second, which is also the 1/256 tokens that come in each tick.
    per_second: u32,
    /// The most tokens that wait, in 1/256 of a token.
    capacity: u64,
    /// The tokens waiting now, in 1/256 of a token.
    waiting: u64,
    /// When `waiting` was right.
    counted_at: Tick,
}

impl RateLimit {
    /// A full bucket of `burst` tokens that gets `per_second` tokens each second. A `burst` of 0
    /// allows nothing; a `per_second` of 0 allows `burst` once.
    #[must_use]
    pub fn new(per_second: u32, burst: u32, now: Tick) -> Self {
        let capacity = u64::from(burst) * u64::from(TICKS_PER_SECOND);
        Self {
            per_second,
            capacity,
            waiting: capacity,
            counted_at: now,
        }
    }

    /// Takes one token, if there is one.
    #[inline]
    pub fn allow(&mut self, now: Tick) -> bool {
        self.fill(now);
        let left = self.waiting.checked_sub(u64::from(TICKS_PER_SECOND));
        self.waiting = left.unwrap_or(self.waiting);
        left.is_some()
    }

    #[inline]
    fn fill(&mut self, now: Tick) {
        // A clock that went back gives nothing, and is waited for.
        if let Ok(ticks) = u64::try_from(self.counted_at.until(now)) {
            let filled = self.waiting + ticks * u64::from(self.per_second);
            self.waiting = filled.min(self.capacity);
            self.counted_at = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Tick = Tick(u32::MAX - 100);

    fn allowed(limit: &mut RateLimit, now: Tick, asked: usize) -> usize {
        (0..asked).filter(|_| limit.allow(now)).count()
    }

    #[test]
    fn a_full_bucket_allows_its_burst_and_no_more() {
        let mut limit = RateLimit::new(1000, 50, START);

        assert_eq!(allowed(&mut limit, START, 60), 50);
    }

    #[test]
    fn tokens_come_back_at_the_rate_across_the_wrap_of_ticks() {
        let mut limit = RateLimit::new(100, 50, START);
        assert_eq!(allowed(&mut limit, START, 50), 50);

        let mut count = 0;
        for tick in 1..=10 * TICKS_PER_SECOND {
            count += allowed(&mut limit, START.plus(tick), 3);
        }

        assert_eq!(count, 1000);
    }

    #[test]
    fn a_long_rest_fills_no_more_than_the_bucket() {
        let mut limit = RateLimit::new(u32::MAX, 3, START);
        assert_eq!(allowed(&mut limit, START, 3), 3);

        let later = START.plus(Tick::MAX_TIMEOUT_SECONDS * TICKS_PER_SECOND);

        assert_eq!(allowed(&mut limit, later, 10), 3);
    }

    #[test]
    fn a_clock_that_went_back_gives_nothing() {
        let mut limit = RateLimit::new(256, 1, START.plus(10));
        assert!(limit.allow(START.plus(10)));

        assert!(!limit.allow(START));
        assert!(!limit.allow(START.plus(10)));
        assert!(limit.allow(START.plus(11)));
    }

    #[test]
    fn an_empty_bucket_never_allows_anything() {
        let mut limit = RateLimit::new(1000, 0, START);

        assert_eq!(allowed(&mut limit, START.plus(5000), 5), 0);
    }
}
