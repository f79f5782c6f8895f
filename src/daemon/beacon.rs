//! Shows those who send traffic here whether they should: keepalived by a file, the supervisor by
//! its socket.
//!
//! ```text
//!   state_dir/not-ready:  1  while the gateway starts, stops or is ill
//!                         0  while it is ready
//! ```
//!
//! keepalived watches the file (`track_file`) and acts on a change at once, where a script that it
//! runs now and then would let a second pass. After a sudden death the file still says what it
//! said last, but the twins have lost their carrier, which keepalived sees too.

use std::path::{Path, PathBuf};
use std::time::Instant;

use control::gateway::Gateway;

use super::supervisor::Supervisor;

/// The file in the state directory.
const FILE_NAME: &str = "not-ready";

/// The file and the supervisor, and what they were told last.
#[derive(Debug)]
pub(super) struct Beacon {
    file: PathBuf,
    supervisor: Supervisor,
    /// Whether the file says that the gateway is ready.
    ready: Option<bool>,
    /// Whether the supervisor was ever told so.
    was_ready: bool,
    status: String,
}

impl Beacon {
    /// Says from now on that the gateway is not ready; `state_dir` is there.
    pub(super) fn light(state_dir: &Path, supervisor: Supervisor) -> Self {
        let mut beacon = Self {
            file: state_dir.join(FILE_NAME),
            supervisor,
            ready: None,
            was_ready: false,
            status: String::new(),
        };
        beacon.write(false);
        beacon.say("starting");
        beacon
    }

    /// Shows whether traffic should come here now. To be called several times a second.
    pub(super) fn show(&mut self, gateway: &Gateway, now: Instant) {
        let health = gateway.look_at_health();
        let is_healthy = health.healthy;
        let readiness = gateway.readiness_with(health);
        self.write(readiness.ready);
        if readiness.ready {
            if !self.was_ready {
                self.was_ready = true;
                self.supervisor.ready();
            }
            self.say("ready");
        } else {
            self.say(&format!("not ready: {}", readiness.reasons.join("; ")));
        }
        if is_healthy {
            self.supervisor.alive(now);
        }
    }

    /// Shows that the configuration is read again while `work` is done.
    pub(super) fn reloading(&self, work: impl FnOnce()) {
        self.supervisor.reloading();
        work();
        self.supervisor.ready();
    }

    /// Shows that the gateway was told to stop.
    pub(super) fn stopping(&self) {
        self.supervisor.stopping();
    }

    fn say(&mut self, status: &str) {
        if self.status != status {
            status.clone_into(&mut self.status);
            self.supervisor.status(status);
        }
    }

    /// Writes the file in place, which is what keepalived waits for.
    fn write(&mut self, ready: bool) {
        if self.ready.replace(ready) == Some(ready) {
            return;
        }
        let text = if ready { "0\n" } else { "1\n" };
        if let Err(error) = std::fs::write(&self.file, text) {
            tracing::warn!(
                "whoever watches {} is not told that the gateway is {}ready: {error}",
                self.file.display(),
                if ready { "" } else { "not " }
            );
        }
    }
}
