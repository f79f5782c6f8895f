//! The daemon under measurement: started and told as an operator would, watched by its metrics.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testnet::metrics::Metrics;
use testnet::{Binaries, Namespace, run};

use super::configuration::{Configuration, METRICS, TWIN};
use super::cores::{Cores, Worker};
use super::failure::Failure;
use super::topology::{ROUTER, SERVERS, server};
use crate::cleanup;

/// How long a start may take; a million frames are read and copied meanwhile.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// A running daemon; it is killed when dropped.
#[derive(Debug)]
pub struct Daemon<'a> {
    host: &'a Namespace,
    programs: Binaries,
    child: Child,
    workers: Vec<Worker>,
}

impl<'a> Daemon<'a> {
    /// Starts it and waits until it is ready, and until Linux knows every next hop.
    ///
    /// # Errors
    ///
    /// When it ends or is not ready in time, with its log.
    pub fn start(
        programs: Binaries,
        cores: Cores,
        configuration: &Configuration<'a>,
    ) -> Result<Self, Failure> {
        let host = configuration.host;
        let file = host.dir().join("sluice.toml");
        // An earlier case's journal is about a twin that went with its daemon.
        let _absent = fs::remove_dir_all(host.dir().join("state"));
        fs::write(&file, configuration.text()).map_err(Failure::io("writing sluice.toml"))?;
        let log = File::create(log_of(host)).map_err(Failure::io("making sluice.log"))?;
        let second = log.try_clone().map_err(Failure::io("making sluice.log"))?;
        let line = format!(
            "taskset --cpu-list {} {} --config {}",
            cores.list(),
            programs.sluice,
            file.display()
        );
        let child = cleanup::spawn(host.command(&line).stdout(second).stderr(log))
            .map_err(Failure::io("starting sluice"))?;
        let mut daemon = Self {
            host,
            programs,
            child,
            workers: Vec::new(),
        };
        let settled = run::eventually(START_LIMIT, || daemon.is_ready() || daemon.has_ended());
        if !settled || !daemon.is_ready() {
            return Err(daemon.failure("did not become ready"));
        }
        let is_worker = |name: &str| name.starts_with("sluice-worker");
        daemon.workers = Worker::find(daemon.pid(), cores.other, is_worker)?;
        daemon.introduce_neighbours()?;
        Ok(daemon)
    }

    /// The threads whose CPU time counts, the first worker's first.
    #[must_use]
    pub fn workers(&self) -> &[Worker] {
        &self.workers
    }

    /// The only one, or the first.
    ///
    /// # Errors
    ///
    /// When it has none, which [`start`](Self::start) would have said.
    pub fn worker(&self) -> Result<Worker, Failure> {
        let first = self.workers.first().copied();
        first.ok_or_else(|| self.failure("has no worker"))
    }

    /// Runs `sluicectl` and returns what it printed.
    ///
    /// # Errors
    ///
    /// When it fails, with its words.
    pub fn ctl(&self, words: &str) -> Result<String, Failure> {
        let line = format!(
            "{} --socket {} {words}",
            self.programs.sluicectl,
            self.host.dir().join("sluice.sock").display()
        );
        succeed(run::output(&mut run::command(&line)), "sluicectl", words)
    }

    /// Makes this the configuration.
    ///
    /// # Errors
    ///
    /// When it is refused.
    pub fn apply(&self, configuration: &Configuration<'_>) -> Result<(), Failure> {
        let file = self.host.dir().join("next.toml");
        fs::write(&file, configuration.text()).map_err(Failure::io("writing next.toml"))?;
        self.ctl(&format!("apply {}", file.display())).map(drop)
    }

    /// Makes the sessions of a file.
    ///
    /// # Errors
    ///
    /// When one of them is refused, with what became of how many.
    pub fn import(&self, file: &Path, sessions: u32) -> Result<(), Failure> {
        let answer = self.ctl(&format!("sessions --import {}", file.display()))?;
        if answer.starts_with(&format!("imported {sessions},")) {
            return Ok(());
        }
        let what = format!("of {sessions} sessions: {}", answer.trim_end());
        Err(Failure::Assertion(what))
    }

    /// Reads its metrics.
    ///
    /// # Errors
    ///
    /// When it does not answer in time.
    pub fn metrics(&self) -> Result<Metrics, Failure> {
        let failed = || Failure::io("asking for metrics");
        let mut stream = (self.host.inside(|| TcpStream::connect(METRICS))).map_err(failed())?;
        stream
            .set_read_timeout(Some(ANSWER_LIMIT))
            .map_err(failed())?;
        // Of HTTP/1.0 so that the answer ends with the connection and comes in one piece.
        let question = "GET /metrics HTTP/1.0\r\nHost: sluice\r\n\r\n";
        stream.write_all(question.as_bytes()).map_err(failed())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(failed())?;
        match answer.split_once("\r\n\r\n") {
            Some((head, body)) if head.contains(" 200 ") => Ok(Metrics::parse(body)),
            _ => Err(self.failure("gave no metrics")),
        }
    }

    /// Stops all its threads, so that another process can have the core.
    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// A failure of the daemon with the end of its log.
    #[must_use]
    pub fn failure(&self, what: &str) -> Failure {
        Failure::Program {
            program: "sluice",
            what: what.to_owned(),
            log: self.log(),
        }
    }

    /// Tells Linux the MACs of the router and the servers, which answer no ARP.
    fn introduce_neighbours(&self) -> Result<(), Failure> {
        let servers = (0..SERVERS).map(server);
        for (addr, mac) in servers.chain([ROUTER]) {
            let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
            let words = format!("neigh replace {addr} lladdr {mac} dev {TWIN} nud permanent");
            let line = format!("ip -n {} {words}", self.host.name());
            succeed(run::output(&mut run::command(&line)), "ip", &words)?;
        }
        Ok(())
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap_or(i32::MAX)
    }

    fn signal(&self, signal: Signal) {
        // It is our child, so the number is its own even after its end.
        let _ended = kill(Pid::from_raw(self.pid()), signal);
    }

    fn log(&self) -> String {
        fs::read_to_string(log_of(self.host)).unwrap_or_default()
    }

    fn is_ready(&self) -> bool {
        let is_ready = |line: &str| line.split_whitespace().any(|word| word == "ready");
        self.log().lines().any(is_ready)
    }

    fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

fn log_of(host: &Namespace) -> PathBuf {
    host.dir().join("sluice.log")
}

/// What a program printed, if it went well.
fn succeed(
    output: std::process::Output,
    program: &'static str,
    words: &str,
) -> Result<String, Failure> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Failure::Program {
        program,
        what: format!("`{words}` failed"),
        log: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
