//! A lock that spins: for state that workers share for a few dozen nanoseconds at a time.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};

/// A mutex that never enters the kernel, and counts how often it was found taken.
#[derive(Debug, Default)]
pub(crate) struct SpinLock<T> {
    value: Mutex<T>,
    waits: AtomicU64,
}

impl<T> SpinLock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self {
            value: Mutex::new(value),
            waits: AtomicU64::new(0),
        }
    }

    /// A lock on another value that goes on counting.
    pub(crate) fn successor(&self, value: T) -> Self {
        Self {
            value: Mutex::new(value),
            waits: AtomicU64::new(self.waits()),
        }
    }

    /// Waits until the lock is free. Whoever holds it does so for bounded work only.
    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        if let Some(guard) = self.value.try_lock() {
            return guard;
        }
        self.waits.fetch_add(1, Ordering::Relaxed);
        loop {
            std::hint::spin_loop();
            if let Some(guard) = self.value.try_lock() {
                return guard;
            }
        }
    }

    /// How often the lock was found taken.
    pub(crate) fn waits(&self) -> u64 {
        self.waits.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_lock_is_waited_for_and_the_wait_counted() {
        let lock = SpinLock::new(0_u32);

        std::thread::scope(|scope| {
            let mut held = lock.lock();
            let waiter = scope.spawn(|| *lock.lock());
            while lock.waits() == 0 {
                std::thread::yield_now();
            }
            *held = 7;
            drop(held);
            assert_eq!(waiter.join().unwrap(), 7);
        });

        assert_eq!(lock.waits(), 1);
        assert_eq!(lock.successor(0).waits(), 1);
    }
}
