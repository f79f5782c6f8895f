//! Two cores: one that is measured, one for everything else.

use std::path::Path;
use std::{fs, io, thread};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use super::failure::Failure;

/// Which core does what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cores {
    /// The gateway's worker or testpmd's, in turn.
    pub measured: usize,
    /// A second worker, where two are measured.
    pub second: usize,
    /// Their other threads, and this program.
    pub other: usize,
}

impl Cores {
    /// The last core this process may use is measured, the first does the rest.
    ///
    /// # Errors
    ///
    /// When there is one core only.
    pub fn choose() -> Result<Self, Failure> {
        let allowed = sched_getaffinity(Pid::from_raw(0)).map_err(errno("reading the cores"))?;
        let is_in = |core: &usize| allowed.is_set(*core).unwrap_or(false);
        let cores: Vec<_> = (0..CpuSet::count()).filter(is_in).collect();
        match cores[..] {
            [other, .., second, measured] => Ok(Self {
                measured,
                second,
                other,
            }),
            [other, measured] => Ok(Self {
                measured,
                second: other,
                other,
            }),
            _ => Err(Failure::Machine(
                "this needs two cores: one for what is measured, one for the rest".to_owned(),
            )),
        }
    }

    /// The cores of two workers: one of them does the rest as well when there are only two.
    #[must_use]
    pub const fn of_two_workers(&self) -> [usize; 2] {
        [self.measured, self.second]
    }

    /// All, as `taskset` and DPDK list them.
    #[must_use]
    pub fn list(&self) -> String {
        if self.second == self.other {
            format!("{},{}", self.other, self.measured)
        } else {
            format!("{},{},{}", self.other, self.second, self.measured)
        }
    }
}

/// Keeps a thread on one core; 0 is the calling one.
///
/// # Errors
///
/// When the thread is gone or the core is not there.
pub fn pin(thread: i32, core: usize) -> Result<(), Failure> {
    let mut set = CpuSet::new();
    set.set(core).map_err(errno("choosing a core"))?;
    sched_setaffinity(Pid::from_raw(thread), &set).map_err(errno("pinning a thread"))
}

fn errno(what: &'static str) -> impl FnOnce(nix::Error) -> Failure {
    move |error| Failure::io(what)(error.into())
}

/// A thread of a process that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Worker {
    process: i32,
    thread: i32,
}

impl Worker {
    /// The threads whose names `is_worker` knows, in the order of names; all others of the process
    /// are kept on `other_core`.
    ///
    /// # Errors
    ///
    /// When no thread has such a name.
    pub fn find(
        process: i32,
        other_core: usize,
        is_worker: impl Fn(&str) -> bool,
    ) -> Result<Vec<Self>, Failure> {
        let mut found = Vec::new();
        let folder = format!("/proc/{process}/task");
        let entries = fs::read_dir(&folder).map_err(Failure::io(&*folder))?;
        for entry in entries.flatten() {
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            let Ok(thread) = entry.file_name().to_string_lossy().parse() else {
                continue;
            };
            if is_worker(name.trim_end()) {
                found.push((name, Self { process, thread }));
            } else if let Err(error) = pin(thread, other_core)
                && Path::new(&entry.path()).exists()
            {
                return Err(error);
            }
        }
        if found.is_empty() {
            let none = format!("process {process} has no worker thread");
            return Err(Failure::Machine(none));
        }
        found.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(found.into_iter().map(|(_, worker)| worker).collect())
    }

    /// Keeps it on a core from now on.
    ///
    /// # Errors
    ///
    /// When it has ended or the core is not there.
    pub fn keep_on(&self, core: usize) -> Result<(), Failure> {
        pin(self.thread, core)
    }

    /// Nanoseconds it has run on a core, by the kernel's scheduler.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn cpu_ns(&self) -> Result<u64, Failure> {
        let Self { process, thread } = self;
        let path = format!("/proc/{process}/task/{thread}/schedstat");
        let text = fs::read_to_string(&path).map_err(Failure::io(&*path))?;
        let first = text.split_whitespace().next().unwrap_or_default();
        let bad = |_| io::Error::other(format!("{text:?} has no run time"));
        first.parse().map_err(bad).map_err(Failure::io(path))
    }
}

/// The number the kernel knows the calling thread by.
#[must_use]
pub fn this_thread() -> i32 {
    nix::unistd::gettid().as_raw()
}

/// Gives the processor away for a moment.
pub fn pause(time: std::time::Duration) {
    thread::sleep(time);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_time_of_a_thread_grows_while_it_works() {
        let process = i32::try_from(std::process::id()).unwrap();
        let worker = Worker {
            process,
            thread: this_thread(),
        };
        let before = worker.cpu_ns().unwrap();

        let start = std::time::Instant::now();
        while start.elapsed().as_millis() < 30 {
            std::hint::spin_loop();
        }

        assert!(worker.cpu_ns().unwrap() > before);
    }

    #[test]
    fn a_process_without_a_worker_is_an_error() {
        let process = i32::try_from(std::process::id()).unwrap();

        let cores = sched_getaffinity(Pid::from_raw(0)).unwrap();
        let first = (0..CpuSet::count()).find(|core| cores.is_set(*core).unwrap_or(false));

        // Only the name is asked of a child without threads of its own, not of this process.
        let mut child = std::process::Command::new("sleep")
            .arg("5")
            .spawn()
            .unwrap();
        let of_child = i32::try_from(child.id()).unwrap();
        assert!(Worker::find(of_child, first.unwrap(), |_| false).is_err());
        let found = Worker::find(of_child, first.unwrap(), |name| name != "x");
        assert_eq!(found.unwrap().len(), 1);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(process > 0);
    }
}
