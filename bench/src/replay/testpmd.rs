//! DPDK's own testpmd over the same replay: the baselines.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testnet::Namespace;

use super::configuration::{buffers, memory_mb};
use super::cores::{Cores, Worker};
use super::failure::Failure;
use crate::cleanup;

/// How long a start may take.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// What testpmd does with each packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nothing: the limit of the device.
    Io,
    /// Swaps the MACs.
    Macswap,
    /// Swaps MACs, addresses and ports.
    FiveTupleSwap,
    /// Computes the checksums of IP, TCP and UDP in software.
    Csum,
}

impl Mode {
    /// Every baseline.
    pub const ALL: [Self; 4] = [Self::Io, Self::Macswap, Self::FiveTupleSwap, Self::Csum];

    /// What testpmd calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Io => "io",
            Self::Macswap => "macswap",
            Self::FiveTupleSwap => "5tswap",
            Self::Csum => "csum",
        }
    }
}

/// A running testpmd; it is killed when dropped.
#[derive(Debug)]
pub struct Testpmd {
    child: Child,
    commands: ChildStdin,
    lines: Receiver<String>,
    /// What it has said so far.
    log: String,
    /// Where DPDK's own complaints go.
    complaints: PathBuf,
    worker: Option<Worker>,
}

impl Testpmd {
    /// Starts it over the replay in `capture` and waits until it forwards.
    ///
    /// # Errors
    ///
    /// When it ends or does not answer in time, with what it said.
    pub fn start(
        host: &Namespace,
        cores: Cores,
        huge_pages: bool,
        capture: &Path,
        frames: u32,
    ) -> Result<Self, Failure> {
        let memory = if huge_pages {
            "--in-memory"
        } else {
            "--no-huge --no-shconf"
        };
        let line = format!(
            "taskset --cpu-list {list} stdbuf --output=L dpdk-testpmd -l {list} --main-lcore {main} \
             {memory} -m {mb} --no-pci --no-telemetry --file-prefix {prefix}-testpmd \
             --vdev net_pcap0,rx_pcap={capture},infinite_rx=1 -- --interactive --auto-start \
             --nb-cores=1 --port-topology=loop --forward-mode=io --total-num-mbufs={buffers}",
            list = cores.list(),
            main = cores.other,
            mb = memory_mb(frames),
            prefix = host.name(),
            capture = capture.display(),
            buffers = buffers(frames),
        );
        let mut command = host.command(&line);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let complaints = host.dir().join("testpmd.log");
        let file = File::create(&complaints).map_err(Failure::io("making testpmd.log"))?;
        command.stderr(file);
        let mut child =
            cleanup::spawn(&mut command).map_err(Failure::io("starting dpdk-testpmd"))?;
        let (Some(commands), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Failure::Machine("testpmd has no pipes".to_owned()));
        };
        let mut testpmd = Self {
            child,
            commands,
            lines: follow(output),
            log: String::new(),
            complaints,
            worker: None,
        };
        testpmd.wait_for(START_LIMIT, |line| {
            line.contains("forwarding cores=1").then_some(())
        })?;
        let is_worker = |name: &str| name.contains("worker");
        let found = Worker::find(testpmd.pid(), cores.other, is_worker)?;
        testpmd.worker = found.first().copied();
        Ok(testpmd)
    }

    /// The thread whose CPU time counts.
    ///
    /// # Errors
    ///
    /// When it has none, which [`start`](Self::start) would have said.
    pub fn worker(&self) -> Result<Worker, Failure> {
        self.worker.ok_or_else(|| self.failure("has no worker"))
    }

    /// Forwards in this mode from now on.
    ///
    /// # Errors
    ///
    /// When it does not obey in time.
    pub fn forward(&mut self, mode: Mode) -> Result<(), Failure> {
        let name = mode.name();
        self.tell(&format!("stop\nset fwd {name}\nstart\n"))?;
        let started = format!("{name} packet forwarding packets/burst");
        let started = |line: &str| line.trim().starts_with(&started).then_some(());
        self.wait_for(ANSWER_LIMIT, started)
    }

    /// Packets received since the start.
    ///
    /// # Errors
    ///
    /// When it does not answer in time.
    pub fn received(&mut self) -> Result<u64, Failure> {
        self.tell("show port stats all\n")?;
        self.wait_for(ANSWER_LIMIT, received_in)
    }

    /// Stops all its threads, so that another process can have the core.
    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn tell(&mut self, commands: &str) -> Result<(), Failure> {
        let written = self.commands.write_all(commands.as_bytes());
        written.map_err(Failure::io("commanding testpmd"))
    }

    /// Reads on until `pick` finds something.
    fn wait_for<T>(
        &mut self,
        limit: Duration,
        pick: impl Fn(&str) -> Option<T>,
    ) -> Result<T, Failure> {
        let end = Instant::now() + limit;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                return Err(self.failure("did not answer"));
            };
            self.log.push_str(&line);
            self.log.push('\n');
            if let Some(found) = pick(&line) {
                return Ok(found);
            }
        }
    }

    fn failure(&self, what: &str) -> Failure {
        let complaints = fs::read_to_string(&self.complaints).unwrap_or_default();
        Failure::Program {
            program: "dpdk-testpmd",
            what: what.to_owned(),
            log: self.log.clone() + &complaints,
        }
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap_or(i32::MAX)
    }

    fn signal(&self, signal: Signal) {
        // It is our child, so the number is its own even after its end.
        let _ended = kill(Pid::from_raw(self.pid()), signal);
    }
}

impl Drop for Testpmd {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// Reads lines on a thread of its own, which ends with the process.
fn follow(output: ChildStdout) -> Receiver<String> {
    let (line, lines) = mpsc::channel();
    thread::spawn(move || {
        for read in BufReader::new(output).lines().map_while(Result::ok) {
            if line.send(read).is_err() {
                break;
            }
        }
    });
    lines
}

/// The received packets in a line of `show port stats`; those of `stop` have no `RX-missed`.
fn received_in(line: &str) -> Option<u64> {
    let rest = line.trim().strip_prefix("RX-packets:")?;
    let (packets, _) = rest.trim().split_once(' ')?;
    let packets = packets.parse().ok()?;
    rest.contains("RX-missed").then_some(packets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn received_packets_are_told_from_those_that_stop_prints() {
        let shown = "  RX-packets: 35044032   RX-missed: 0          RX-bytes:  2102641920";
        let stopped = "  RX-packets: 52833600       RX-dropped: 0             RX-total: 52833600";

        assert_eq!(received_in(shown), Some(35_044_032));
        assert_eq!(received_in(stopped), None);
        assert_eq!(received_in("  RX-errors: 0"), None);
    }
}
