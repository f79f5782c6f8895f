//! Lets one worker through at a time, to work on numbers for a few dozen nanoseconds.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A spin lock beside what it guards, which is atomics that need no order of their own: what one
/// worker wrote there before it left, the next one sees. Coming in is one atomic exchange and
/// leaving a plain store, half of what a mutex takes.
#[derive(Debug, Default)]
pub(super) struct Turnstile {
    taken: AtomicBool,
    waits: AtomicU64,
}

/// While it lives, nobody else passes.
#[derive(Debug)]
pub(super) struct Passage<'a>(&'a AtomicBool);

impl Turnstile {
    /// Waits until nobody else is in. Whoever is stays for bounded work only.
    #[inline]
    pub(super) fn pass(&self) -> Passage<'_> {
        if self.taken.swap(true, Ordering::Acquire) {
            self.wait();
        }
        Passage(&self.taken)
    }

    #[cold]
    fn wait(&self) {
        self.waits.fetch_add(1, Ordering::Relaxed);
        loop {
            // Looks only, which leaves the cache line with whoever is in.
            while self.taken.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
            if !self.taken.swap(true, Ordering::Acquire) {
                return;
            }
        }
    }

    /// A turnstile for another state that goes on counting.
    pub(super) fn successor(&self) -> Self {
        Self {
            taken: AtomicBool::default(),
            waits: AtomicU64::new(self.waits()),
        }
    }

    /// How often somebody had to wait.
    pub(super) fn waits(&self) -> u64 {
        self.waits.load(Ordering::Relaxed)
    }
}

impl Drop for Passage<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waits_is_counted_once_and_sees_what_was_done() {
        let turnstile = Turnstile::default();
        let value = AtomicU64::new(0);

        std::thread::scope(|scope| {
            let passage = turnstile.pass();
            let waiter = scope.spawn(|| {
                let _passage = turnstile.pass();
                value.load(Ordering::Relaxed)
            });
            while turnstile.waits() == 0 {
                std::thread::yield_now();
            }
            value.store(7, Ordering::Relaxed);
            drop(passage);
            assert_eq!(waiter.join().unwrap(), 7);
        });

        assert_eq!(turnstile.waits(), 1);
        assert_eq!(turnstile.successor().waits(), 1);
    }

    #[test]
    fn one_at_a_time() {
        let turnstile = Turnstile::default();
        let count = AtomicU64::new(0);

        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        let _passage = turnstile.pass();
                        count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
                    }
                });
            }
        });

        assert_eq!(count.into_inner(), 30_000);
    }
}
