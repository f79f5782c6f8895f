//! CPU time of this thread, and pairs of windows.

use std::time::Duration;

use nix::sys::time::TimeValLike;
use nix::time::{ClockId, clock_gettime};

/// CPU time that this thread has used.
pub(super) fn thread_cpu_nanos() -> i64 {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(0, |time| time.num_nanoseconds())
}

/// Runs `turn`, which says how many packets it handled, until `packets` are done; gives the CPU
/// nanoseconds for each, or NaN when none arrive any more.
///
/// Never inlined, because `scripts/instructions` counts what is done in here, and knows it by name.
#[inline(never)]
#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
pub(super) fn nanos_per_packet(packets: u64, mut turn: impl FnMut() -> usize) -> f64 {
    let start = thread_cpu_nanos();
    let mut done = 0;
    while done < packets {
        let handled = turn() as u64;
        if handled == 0 {
            // Buffers are gone, so packets were dropped, which the case will say.
            return f64::NAN;
        }
        done += handled;
    }
    (thread_cpu_nanos() - start) as f64 / done as f64
}

/// Memory of this process that is really there, in ordinary and in huge pages.
pub(super) fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = |name: &str| -> usize {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.unwrap_or(0)
    };
    (kib("VmRSS:") + kib("HugetlbPages:")) * 1_024
}

/// A clock for workers: nanoseconds since it was made.
#[derive(Clone, Copy)]
pub(super) enum Clock {
    Real(std::time::Instant),
    /// One microsecond later whenever it is asked, however long that took.
    Virtual(u64),
}

impl Clock {
    pub(super) fn start(is_virtual: bool) -> Self {
        if is_virtual {
            Self::Virtual(0)
        } else {
            Self::Real(std::time::Instant::now())
        }
    }

    #[inline]
    pub(super) fn nanos(&mut self) -> u64 {
        match self {
            Self::Real(start) => {
                let elapsed: Duration = start.elapsed();
                elapsed.as_secs() * 1_000_000_000 + u64::from(elapsed.subsec_nanos())
            }
            Self::Virtual(nanos) => {
                *nanos += 1_000;
                *nanos
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_was_touched_is_counted() {
        let before = resident_bytes();
        let touched = std::hint::black_box(vec![1_u8; 32 << 20]);

        let grown = resident_bytes() - before;

        assert!(grown >= touched.len() / 2, "{grown}");
    }

    #[test]
    fn a_virtual_clock_goes_by_how_often_it_is_asked() {
        let mut clock = Clock::start(true);

        assert_eq!([clock.nanos(), clock.nanos()], [1_000, 2_000]);
    }
}
