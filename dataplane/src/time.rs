//! Time as the packet path sees it: ticks counted from the start of the gateway.
//!
//! A tick is 1/256 s in a wrapping 32-bit counter, so two ticks can be compared as long as they
//! are less than 97 days apart, and no time-out may be longer than [`Tick::MAX_TIMEOUT_SECONDS`].

/// Ticks in one second.
pub const TICKS_PER_SECOND: u32 = 256;

/// A moment, in 1/256 s since the start of the gateway, wrapping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Tick(pub u32);

impl Tick {
    /// The longest time-out that still compares correctly: 31 days, as in `ipvsadm`.
    pub const MAX_TIMEOUT_SECONDS: u32 = 31 * 86_400;

    /// The tick in which `nanos` nanoseconds after the start fall.
    #[inline]
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "ticks wrap by design")]
    pub const fn from_nanos(nanos: u64) -> Self {
        // 1e9 / 256 = 3,906,250 ns a tick.
        Self((nanos / 3_906_250) as u32)
    }

    /// This moment moved `ticks` into the future.
    #[inline]
    #[must_use]
    pub const fn plus(self, ticks: u32) -> Self {
        Self(self.0.wrapping_add(ticks))
    }

    /// This moment moved `ticks` into the past.
    #[inline]
    #[must_use]
    pub const fn minus(self, ticks: u32) -> Self {
        Self(self.0.wrapping_sub(ticks))
    }

    /// Ticks from `self` until `later`; negative when `later` has passed.
    #[inline]
    #[must_use]
    pub const fn until(self, later: Self) -> i32 {
        later.0.wrapping_sub(self.0).cast_signed()
    }

    /// Whether this moment, as a deadline, has come at `now`.
    #[inline]
    #[must_use]
    pub const fn is_due(self, now: Self) -> bool {
        now.until(self) <= 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_256_ticks() {
        assert_eq!(Tick::from_nanos(1_000_000_000), Tick(TICKS_PER_SECOND));
    }

    #[test]
    fn deadlines_compare_across_the_wrap() {
        let now = Tick(u32::MAX - 1);
        let deadline = now.plus(5);

        assert_eq!(now.until(deadline), 5);
        assert!(!deadline.is_due(now));
        assert!(deadline.is_due(now.plus(5)));
    }

    #[test]
    fn the_longest_timeout_compares() {
        let now = Tick(u32::MAX - 77);
        let deadline = now.plus(Tick::MAX_TIMEOUT_SECONDS * TICKS_PER_SECOND);

        assert!(!deadline.is_due(now));
    }
}
