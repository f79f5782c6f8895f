//! Numbers of one worker inside what all workers share.
//!
//! A pool of ports stands in the snapshot, which every worker may read; but only the worker it was
//! made for uses it. So its numbers need no lock. They are relaxed atomics, which on every CPU
//! are read and written as plain numbers are: two writers would lose changes, and no more than
//! that.

use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};

/// A 16-bit number that one worker reads and writes.
#[derive(Debug, Default)]
pub(super) struct Cell16(AtomicU16);

impl Cell16 {
    pub(super) const fn new(value: u16) -> Self {
        Self(AtomicU16::new(value))
    }

    #[inline]
    pub(super) fn get(&self) -> u16 {
        self.0.load(Ordering::Relaxed)
    }

    #[inline]
    pub(super) fn set(&self, value: u16) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Adds `change`.
    #[inline]
    pub(super) fn change(&self, change: i16) {
        self.set(self.get().wrapping_add_signed(change));
    }
}

/// A 32-bit number that one worker reads and writes.
#[derive(Debug, Default)]
pub(super) struct Cell32(AtomicU32);

impl Cell32 {
    #[inline]
    pub(super) fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    #[inline]
    pub(super) fn set(&self, value: u32) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Adds `change`.
    #[inline]
    pub(super) fn change(&self, change: i32) {
        self.set(self.get().wrapping_add_signed(change));
    }
}
