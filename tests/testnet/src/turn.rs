//! One heavy test at a time, over all test processes.
//!
//! A gateway polls, so two labs at once on a small machine would only measure each other.

use std::fs::{File, OpenOptions};

use nix::fcntl::{Flock, FlockArg};

/// Holds the turn until it is dropped; the kernel gives it back when the process dies.
#[derive(Debug)]
pub struct Turn(#[expect(dead_code, reason = "held for its drop")] Flock<File>);

impl Turn {
    /// Waits for the turn.
    ///
    /// # Panics
    ///
    /// When the lock file cannot be made.
    #[must_use]
    pub fn wait() -> Self {
        let path = std::env::temp_dir().join("sluice-testnet.lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .unwrap_or_else(|error| panic!("cannot open {}: {error}", path.display()));
        match Flock::lock(file, FlockArg::LockExclusive) {
            Ok(held) => Self(held),
            Err((_, error)) => panic!("cannot lock {}: {error}", path.display()),
        }
    }
}
