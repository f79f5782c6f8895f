//! Debian's keepalived, unmodified, in the foreground of a host.

use std::fs::File;
use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::namespace::Namespace;
use crate::run;

/// A keepalived that does VRRP; it is killed when dropped.
#[derive(Debug)]
pub struct Keepalived {
    child: Child,
    log: PathBuf,
}

impl Keepalived {
    /// Starts it on `host` with this configuration.
    ///
    /// # Panics
    ///
    /// When it cannot be started, or finds a mistake in the configuration.
    #[must_use]
    pub fn start(host: &Namespace, configuration: &str) -> Self {
        let dir = host.dir().display();
        let file = host.dir().join("keepalived.conf");
        std::fs::write(&file, configuration).expect("the directory is writable");
        run::must(&mut host.command(&format!(
            "keepalived --config-test --use-file {dir}/keepalived.conf"
        )));
        let log = host.dir().join("keepalived.log");
        let output = File::create(&log).expect("the directory is writable");
        let mut command = host.command(&format!(
            "keepalived --dont-fork --log-console --log-detail --vrrp \
             --use-file {dir}/keepalived.conf --pid {dir}/keepalived.pid --vrrp_pid {dir}/vrrp.pid"
        ));
        command
            .stdout(output.try_clone().expect("a file can be shared"))
            .stderr(output);
        let child = command.spawn().expect("keepalived is installed");
        Self { child, log }
    }

    /// Kills all its processes as `kill -9` does.
    pub fn kill(mut self) {
        self.end();
    }

    /// Everything it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The parent first, as it would start the others again.
    fn end(&mut self) {
        let parent = self.child.id();
        let family = [vec![parent], children(parent)].concat();
        for process in family.iter().filter_map(|id| i32::try_from(*id).ok()) {
            let _ = kill(Pid::from_raw(process), Signal::SIGKILL);
        }
        let _ = self.child.wait();
        // Whoever takes an orphan in may take its time to bury it: it has no command line then.
        let runs = |id: &u32| {
            let command = std::fs::read(format!("/proc/{id}/cmdline"));
            command.is_ok_and(|command| !command.is_empty())
        };
        run::eventually(Duration::from_secs(10), || !family.iter().any(runs));
    }
}

impl Drop for Keepalived {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("keepalived's log:\n{}", self.log());
        }
        self.end();
    }
}

/// The processes that `parent` has started.
fn children(parent: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
    let text = text.unwrap_or_default();
    text.split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect()
}
