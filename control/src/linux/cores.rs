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

/// The cores a thread of this process may move to if it asks, lowest first: isolated ones too
/// (`isolcpus`), on which Linux starts nobody by itself, but none outside its cpuset.
#[must_use]
pub fn reachable() -> Vec<u16> {
    let ask_for_all = || {
        let mut all = CpuSet::new();
        for core in 0..CpuSet::count() {
            // Fails for none of these.
            let _ = all.set(core);
        }
        // Linux takes of the set what the cpuset has.
        let _ = sched_setaffinity(Pid::from_raw(0), &all);
        allowed()
    };
    // A thread of its own, because the caller stays where it is.
    std::thread::scope(|scope| scope.spawn(ask_for_all).join()).unwrap_or_else(|_| allowed())
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
    fn a_core_that_was_left_can_be_reached_and_asking_moves_nobody() {
        let (before, after, reached) = std::thread::spawn(|| {
            leave(&allowed()[..1]).unwrap();
            let before = allowed();
            let reached = reachable();
            (before, allowed(), reached)
        })
        .join()
        .unwrap();

        assert_eq!(before, after);
        assert!(allowed().iter().all(|core| reached.contains(core)));
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
