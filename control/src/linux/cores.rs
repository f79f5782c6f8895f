//! Which cores this process may use.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
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

/// Keeps the calling thread, and all that it starts from now on, off the workers' cores, so that
/// they do not take time from packets. Without another core they stay where they are.
///
/// # Errors
///
/// What Linux says when it refuses.
pub fn leave(workers: &[u16]) -> Result<(), nix::Error> {
    let others = allowed();
    let mut others = others
        .iter()
        .filter(|core| !workers.contains(core))
        .peekable();
    if others.peek().is_none() {
        return Ok(());
    }
    let mut set = CpuSet::new();
    for core in others {
        set.set(usize::from(*core))?;
    }
    sched_setaffinity(Pid::from_raw(0), &set)
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

    #[test]
    fn whoever_leaves_a_core_runs_on_the_others_unless_there_are_none() {
        // A thread of its own, because the others must not move.
        let (before, after, nowhere) = std::thread::spawn(|| {
            let before = allowed();
            leave(&before[..1]).unwrap();
            let after = allowed();
            leave(&before).unwrap();
            (before, after, allowed())
        })
        .join()
        .unwrap();

        let expected = if before.len() > 1 {
            &before[1..]
        } else {
            &before[..]
        };
        assert_eq!(after, expected);
        assert_eq!(nowhere, after);
    }
}
