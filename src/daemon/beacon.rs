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

use std::fs::OpenOptions;
use std::io::{self, Write};
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
    /// Whether it could not be written at the last attempt.
    is_unwritten: bool,
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
            is_unwritten: false,
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
        // A gateway that still starts is not ready by that.
        if !self.was_ready {
            return work();
        }
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

    /// Writes the file if it does not say so yet; what fails is tried again at the next look.
    fn write(&mut self, ready: bool) {
        if self.ready == Some(ready) {
            return;
        }
        let written = write_in_place(&self.file, if ready { "0\n" } else { "1\n" });
        let was_unwritten = std::mem::replace(&mut self.is_unwritten, written.is_err());
        match written {
            Ok(()) => self.ready = Some(ready),
            Err(_) if was_unwritten => {}
            Err(error) => tracing::warn!(
                "whoever watches {} is not told that the gateway is {}ready, will try again: {error}",
                self.file.display(),
                if ready { "" } else { "not " }
            ),
        }
    }
}

/// Changes the file in place, which is what keepalived waits for, and in one step: whoever reads it
/// finds one text or the other, which are of the same length.
fn write_in_place(file: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(false)
        .open(file)?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    fn directory(name: &str) -> PathBuf {
        let unique = format!("sluice-beacon-{name}-{}", std::process::id());
        std::env::temp_dir().join(unique)
    }

    #[test]
    fn what_could_not_be_written_is_written_later() {
        let dir = directory("later");
        let mut beacon = Beacon::light(&dir, Supervisor::new(None, None, Instant::now()));
        std::fs::create_dir(&dir).unwrap();
        let said = || std::fs::read_to_string(dir.join(FILE_NAME)).unwrap();

        beacon.write(false);
        assert_eq!(said(), "1\n");
        beacon.write(true);
        assert_eq!(said(), "0\n");

        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_reload_in_the_middle_of_the_start_makes_nobody_ready() {
        let (socket, listener) = UnixDatagram::pair().unwrap();
        let dir = directory("reload");
        std::fs::create_dir(&dir).unwrap();
        let supervisor = Supervisor::new(Some(socket), None, Instant::now());
        let beacon = Beacon::light(&dir, supervisor);

        let mut is_done = false;
        beacon.reloading(|| is_done = true);

        assert!(is_done);
        listener.set_nonblocking(true).unwrap();
        let mut buffer = [0; 256];
        let length = listener.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"STATUS=starting");
        assert!(listener.recv(&mut buffer).is_err(), "nothing else is said");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
