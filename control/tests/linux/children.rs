//! Child processes that hold something until they are killed: this test binary once more.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};

use dataplane::address::MacAddr;
use dataplane::id::InterfaceId;

use control::linux::fence::Fence;
use control::linux::twin::{Twin, TwinConfig};

/// Names what the child holds.
const HOLD: &str = "SLUICE_TEST_HOLD";

/// The line a child prints once it holds what it should.
const READY: &str = "holding";

/// A child of this process, killed with SIGKILL at the end at the latest.
pub(crate) struct Holder {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Holder {
    /// Starts a child in this thread's namespace that does `what`; see [`hold_for_parent`].
    pub(crate) fn start(what: &str) -> Self {
        let exe = std::env::current_exe().unwrap();
        Self::spawn(Command::new(exe), what)
    }

    /// The same, in a process that may not change the network.
    pub(crate) fn start_without_net_admin(what: &str) -> Self {
        let mut command = Command::new("setpriv");
        command
            .arg("--bounding-set=-net_admin")
            .arg(std::env::current_exe().unwrap());
        Self::spawn(command, what)
    }

    fn spawn(mut command: Command, what: &str) -> Self {
        let mut child = command
            .args(["--exact", "children::hold_for_parent", "--ignored"])
            .arg("--nocapture")
            .env(HOLD, what)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    /// Waits until the child holds what it should.
    pub(crate) fn ready(mut self) -> Self {
        let outcome = self.outcome();
        assert_eq!(outcome, READY);
        self
    }

    /// What the child says: [`READY`], or why it could not.
    pub(crate) fn outcome(&mut self) -> String {
        for line in self.output.by_ref().lines() {
            let line = line.unwrap();
            if let Some((_, outcome)) = line.split_once("outcome: ") {
                return outcome.to_owned();
            }
        }
        panic!("the child said nothing");
    }

    /// Kills it with SIGKILL and collects it.
    pub(crate) fn kill(self) {
        drop(self);
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Not a test: what a child runs. It takes what `SLUICE_TEST_HOLD` names, says so, and waits to
/// be killed (or for its parent's end, which closes its input).
#[test]
#[ignore = "run by other tests as a child process"]
fn hold_for_parent() {
    let Ok(what) = std::env::var(HOLD) else {
        return;
    };
    let held = hold(&what);
    println!(
        "outcome: {}",
        held.as_ref().map_or_else(String::as_str, |_| READY)
    );
    let _ = std::io::stdin().read(&mut [0]);
}

fn hold(what: &str) -> Result<Box<dyn std::any::Any>, String> {
    match what.split_once(' ') {
        Some((kind @ ("persistent-twin" | "twin"), name)) => {
            let config = TwinConfig {
                interface: InterfaceId(0),
                name: name.to_owned(),
                mac: MacAddr([2, 0, 0, 0, 0, 1]),
                mtu: 1500,
                persist: kind == "persistent-twin",
            };
            let twin = Twin::open(&config).map_err(|error| error.to_string())?;
            twin.keep().map_err(|error| error.to_string())?;
            Ok(Box::new(twin))
        }
        Some(("fence", interface)) => {
            let fence = Fence::raise(interface).map_err(|error| error.to_string())?;
            Ok(Box::new(fence))
        }
        _ => panic!("a child cannot hold {what}"),
    }
}
