//! One boot of user-mode Linux, from its start to its certain end.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use super::folder::RunFolder;
use super::guest::settings;
use super::image::Kernel;
use super::watcher;

/// What the guest has for itself and the connections of a batch.
const MEMORY: &str = "256M";

/// A booted guest; dropping ends it.
#[derive(Debug)]
pub(super) struct Machine {
    watcher: Child,
}

impl Machine {
    /// Boots `kernel` with what lies in `folder`.
    pub(super) fn boot(kernel: &Kernel, folder: &RunFolder) -> io::Result<Self> {
        let console = folder.console()?;
        let watcher = Command::new(&kernel.player)
            .arg("watch")
            .args([folder.path(), &kernel.program])
            .args(arguments(kernel, folder))
            .env("TMPDIR", folder.path())
            // Where a kernel that dies may leave its memory.
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(console.try_clone()?)
            .stderr(console)
            // Whoever interrupts this process leaves the watcher alive.
            .process_group(0)
            .spawn()?;
        Ok(Self { watcher })
    }

    /// Whether the guest has ended.
    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.watcher.try_wait(), Ok(None))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(mut lifeline) = self.watcher.stdin.take() {
            // A watcher that is gone has ended the guest.
            let _ = lifeline.write_all(watcher::END);
        }
        let _ = self.watcher.wait();
    }
}

/// The kernel's command line. What the kernel does not know becomes the environment of its first
/// process.
fn arguments(kernel: &Kernel, folder: &RunFolder) -> Vec<String> {
    let run = folder.path().display();
    let mut arguments = vec![
        format!("mem={MEMORY}"),
        // This machine's files, read-only.
        "rootfstype=hostfs".to_owned(),
        "rootflags=/".to_owned(),
        "ro".to_owned(),
        format!("init=\"{}\"", kernel.player.display()),
        "con=null".to_owned(),
        "con0=fd:0,fd:1".to_owned(),
        "quiet".to_owned(),
        "panic=-1".to_owned(),
        // Its sockets for administration, which lie in the home folder otherwise.
        format!("uml_dir={run}/"),
        "umid=guest".to_owned(),
        format!("{}=\"{run}\"", settings::RUN),
    ];
    if kernel.virtual_time {
        arguments.push("time-travel=inf-cpu".to_owned());
    } else {
        arguments.push(format!("{}=1", settings::REAL_TIME));
    }
    if let Some(modules) = &kernel.modules {
        arguments.push(format!("{}=\"{}\"", settings::MODULES, modules.display()));
    }
    arguments
}
