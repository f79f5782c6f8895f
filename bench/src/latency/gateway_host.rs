//! The gateway's worker as Linux sees it: its core, and how long it had to wait for one.
//!
//! A worker has its core to itself where a gateway is in earnest. Here clients and servers share
//! the machine with it, so they are kept off its core, whether they ask directly or through the
//! gateway. What still takes the core away from the worker is counted, because no gateway can
//! answer while it does not run.

use std::fs;
use std::path::PathBuf;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::{Pid, gettid};
use testnet::{Lab, Namespace};

use super::failure::Failure;

/// The thread of the gateway's only worker.
#[derive(Clone, Debug)]
pub struct Worker {
    task: PathBuf,
}

impl Worker {
    /// Finds it among the processes of the gateway's host.
    ///
    /// # Errors
    ///
    /// When no gateway runs there.
    pub fn find(gateway: &Namespace) -> Result<Self, Failure> {
        let tasks = gateway.processes().into_iter().flat_map(tasks_of);
        let mut named = tasks.filter(|task| {
            fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "sluice-worker0")
        });
        let task = named.next();
        let task = task.ok_or_else(|| Failure::Broken("the gateway has no worker".to_owned()))?;
        Ok(Self { task })
    }

    /// How long it was ready to run but another thread had its core, in nanoseconds since its
    /// start (the second number of `schedstat`).
    #[must_use]
    pub fn waited_nanos(&self) -> u64 {
        let text = fs::read_to_string(self.task.join("schedstat")).unwrap_or_default();
        let second = text.split_whitespace().nth(1);
        second.and_then(|word| word.parse().ok()).unwrap_or(0)
    }

    /// The core it is pinned to.
    fn core(&self) -> Option<usize> {
        let tid = self.task.file_name()?.to_str()?.parse().ok()?;
        let cores = sched_getaffinity(Pid::from_raw(tid)).ok()?;
        (0..CpuSet::count()).find(|core| cores.is_set(*core).unwrap_or(false))
    }

    /// Keeps the web servers and what runs in this process beside the main thread off its core.
    /// The main thread starts the next gateway, which may use all cores.
    pub fn have_its_core_alone(&self, lab: &Lab) {
        let servers = lab.servers().iter();
        let servers = servers.flat_map(|server| server.namespace().processes());
        let main = nix::unistd::getpid().as_raw();
        let own = tasks_of(main).filter_map(|task| task.file_name()?.to_str()?.parse().ok());
        let own = own.filter(|tid: &i32| *tid != main);
        for tid in servers.chain(own) {
            self.keep_off(Pid::from_raw(tid));
        }
    }

    /// Keeps the calling thread off its core.
    pub fn stay_off(&self) {
        self.keep_off(gettid());
    }

    /// On a machine with one core there is nowhere to go, and a thread that has ended meanwhile
    /// needs no core: both are left as they are.
    fn keep_off(&self, thread: Pid) {
        let Some(core) = self.core() else { return };
        // The main thread's cores are all there are.
        let Ok(mut others) = sched_getaffinity(nix::unistd::getpid()) else {
            return;
        };
        if others.unset(core).is_ok() {
            let _ = sched_setaffinity(thread, &others);
        }
    }
}

fn tasks_of(process: i32) -> impl Iterator<Item = PathBuf> {
    let tasks = fs::read_dir(format!("/proc/{process}/task"));
    tasks
        .into_iter()
        .flatten()
        .flatten()
        .map(|task| task.path())
}
