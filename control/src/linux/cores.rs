//! Which cores this process may use.

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;

/// The cores the calling thread may run on, lowest first; empty if Linux does not tell.
#[must_use]
pub fn allowed() -> Vec<u16> {
    let set = sched_getaffinity(Pid::from_raw(0)).unwrap_or_else(|_| CpuSet::new());
    let numbers = 0..u16::try_from(CpuSet::count()).unwrap_or(u16::MAX);
    numbers
        .filter(|core| set.is_set(usize::from(*core)).unwrap_or(false))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_runs_on_some_core() {
        let cores = allowed();

        assert!(!cores.is_empty());
        assert!(cores.is_sorted());
    }
}
