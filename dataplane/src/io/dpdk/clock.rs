//! Time for the packet path: nanoseconds since the start, from the CPU's time stamp counter.
//!
//! Reading the counter costs a few nanoseconds and no system call. Workers copy one clock, so
//! that they agree on the start.

use dpdk_sys as sys;

use super::eal::Eal;

/// Counts nanoseconds since it was made; copies count from the same moment.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: u64,
    scale: Scale,
}

/// Turns counter cycles into nanoseconds with a multiplication and a shift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Scale {
    /// Nanoseconds per cycle, in units of 2^-32.
    nanos_per_cycle: u64,
}

impl Scale {
    const fn from_hertz(hertz: u64) -> Self {
        // Exact to 2^-32 ns a cycle: at 3 GHz that is 23 ms a year.
        Self {
            nanos_per_cycle: (1_000_000_000 << 32) / hertz,
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "584 years of nanoseconds fit in 64 bits"
    )]
    const fn nanos(self, cycles: u64) -> u64 {
        ((cycles as u128 * self.nanos_per_cycle as u128) >> 32) as u64
    }
}

impl Clock {
    /// Starts counting. The EAL has measured how fast the counter runs.
    #[must_use]
    pub fn start(_eal: &Eal) -> Self {
        // SAFETY: reads a number the EAL's start has set.
        let hertz = unsafe { sys::rte_get_tsc_hz() };
        Self {
            start: cycles(),
            scale: Scale::from_hertz(hertz.max(1)),
        }
    }

    /// Nanoseconds since the start.
    #[inline]
    #[must_use]
    pub fn nanos(&self) -> u64 {
        // A core whose counter lags a little behind the starting core's reads zero.
        self.scale.nanos(cycles().saturating_sub(self.start))
    }
}

#[inline]
fn cycles() -> u64 {
    // SAFETY: reads a counter.
    unsafe { sys::shim_rdtsc() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_of_cycles_is_a_second_at_any_frequency() {
        for hertz in [24_000_000_u64, 2_445_405_000, 5_700_000_000] {
            let nanos = Scale::from_hertz(hertz).nanos(hertz);

            assert!((999_999_990..=1_000_000_000).contains(&nanos), "{nanos}");
        }
    }

    #[test]
    fn a_year_of_cycles_does_not_overflow() {
        let year = 365 * 86_400_u64;

        let nanos = Scale::from_hertz(3_000_000_000).nanos(year * 3_000_000_000);

        assert!(nanos.abs_diff(year * 1_000_000_000) < 30_000_000);
    }
}
