//! A host of its own: a network namespace.
//!
//! Names are `slt-<process>-<number>-<role>`, so that test processes never meet, and so that
//! what a killed one left behind can be recognised and swept.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::run;

const PREFIX: &str = "slt-";
const MOUNTS: &str = "/run/netns";

/// A network namespace with a directory for its files; both go when it is dropped.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    dir: PathBuf,
}

impl Namespace {
    /// Makes a namespace with its loopback up and IPv6 off.
    ///
    /// # Panics
    ///
    /// When `ip` cannot make it.
    #[must_use]
    pub fn create(role: &str) -> Self {
        static SWEEP: Once = Once::new();
        static NEXT: AtomicU32 = AtomicU32::new(0);
        SWEEP.call_once(sweep);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}-{role}", std::process::id());
        run::must(&mut run::command(&format!("ip netns add {name}")));
        let dir = std::env::temp_dir().join(&name);
        let namespace = Self { name, dir };
        std::fs::create_dir_all(&namespace.dir).expect("the temporary directory is writable");
        namespace.ip("link set lo up");
        for scope in ["all", "default"] {
            namespace.sysctl(&format!("net.ipv6.conf.{scope}.disable_ipv6"), "1");
            namespace.sysctl(&format!("net.ipv4.conf.{scope}.rp_filter"), "0");
        }
        namespace
    }

    /// The name `ip netns` knows it by.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A directory for the files of the programs that run here.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A command that will run here.
    #[must_use]
    pub fn command(&self, line: &str) -> Command {
        run::command(&format!("ip netns exec {} {line}", self.name))
    }

    /// Runs a command line here and returns what it printed.
    ///
    /// # Panics
    ///
    /// When it fails.
    pub fn run(&self, line: &str) -> String {
        run::must(&mut self.command(line))
    }

    /// Runs `ip` on this namespace.
    ///
    /// # Panics
    ///
    /// When it fails.
    pub fn ip(&self, line: &str) -> String {
        run::must(&mut run::command(&format!("ip -n {} {line}", self.name)))
    }

    /// Sets a kernel setting of this namespace.
    ///
    /// # Panics
    ///
    /// When the kernel refuses it.
    pub fn sysctl(&self, key: &str, value: &str) {
        self.run(&format!("sysctl -q -w {key}={value}"));
    }

    /// Does `work` on a thread that has entered the namespace. Sockets it returns stay in the
    /// namespace wherever they are used afterwards.
    ///
    /// # Panics
    ///
    /// When the namespace cannot be entered, or `work` panics.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let entered = scope.spawn(|| {
                let file = File::open(Path::new(MOUNTS).join(&self.name)).expect("it was made");
                setns(file, CloneFlags::CLONE_NEWNET).expect("root may enter a namespace");
                work()
            });
            entered
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Does `work` on a thread of its own that has entered the namespace.
    ///
    /// # Panics
    ///
    /// When the namespace cannot be found; the thread, when it cannot be entered.
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> thread::JoinHandle<T> {
        let file = File::open(Path::new(MOUNTS).join(&self.name)).expect("it was made");
        thread::spawn(move || {
            setns(file, CloneFlags::CLONE_NEWNET).expect("root may enter a namespace");
            work()
        })
    }

    /// The processes that run here.
    #[must_use]
    pub fn processes(&self) -> Vec<i32> {
        processes_in(&self.name)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

/// Ends every namespace this process has made, with everything in it: for programs that end
/// without unwinding, on a signal or by `panic = "abort"`.
pub fn remove_own() {
    // One that was being made meanwhile is found by the second look.
    for _ in 0..2 {
        sweep_where(|maker| maker == std::process::id());
    }
}

/// Removes what test processes that no longer live have left behind.
fn sweep() {
    sweep_where(|maker| !Path::new("/proc").join(maker.to_string()).exists());
}

fn sweep_where(unwanted: impl Fn(u32) -> bool) {
    let Ok(entries) = std::fs::read_dir(MOUNTS) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if maker(&name).is_some_and(&unwanted) {
            remove(&name);
        }
    }
}

/// The process that made a namespace, from its name.
fn maker(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok()
}

/// Ends everything in a namespace, then the namespace and its files. Errors are left alone: a
/// drop during a failing test must not hide why it failed.
fn remove(name: &str) {
    for pid in processes_in(name) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    run::eventually(Duration::from_secs(10), || processes_in(name).is_empty());
    let _ = run::output(&mut run::command(&format!("ip netns del {name}")));
    let _ = std::fs::remove_dir_all(std::env::temp_dir().join(name));
}

fn processes_in(name: &str) -> Vec<i32> {
    let output = run::output(&mut run::command(&format!("ip netns pids {name}")));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines()
        .filter_map(|line| line.trim().parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_which_process_made_it() {
        assert_eq!(maker("slt-4711-0-client"), Some(4711));
        assert_eq!(maker("slt-x-0-client"), None);
        assert_eq!(maker("other"), None);
    }
}
