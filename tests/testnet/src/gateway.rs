//! The running gateway, started and asked as an operator would.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::metrics::Metrics;
use crate::namespace::Namespace;
use crate::run;

/// The programs under test.
#[derive(Clone, Copy, Debug)]
pub struct Binaries {
    /// The daemon.
    pub sluice: &'static str,
    /// The tool that asks it.
    pub sluicectl: &'static str,
}

/// The programs Cargo built for the calling integration test.
#[macro_export]
macro_rules! binaries {
    () => {
        $crate::Binaries {
            sluice: env!("CARGO_BIN_EXE_sluice"),
            sluicectl: env!("CARGO_BIN_EXE_sluicectl"),
        }
    };
}

/// How long a start may take: EAL alone needs 0.2 s, on a busy machine much more.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A daemon that is ready; it is killed when dropped.
#[derive(Debug)]
pub struct Gateway<'a> {
    host: &'a Namespace,
    binaries: Binaries,
    child: Child,
    files: Files,
}

impl<'a> Gateway<'a> {
    /// Starts the daemon on `host` with `configuration` and waits until it is ready.
    ///
    /// # Panics
    ///
    /// When it ends or is not ready in time, with its log.
    #[must_use]
    pub fn start(host: &'a Namespace, binaries: Binaries, configuration: &str) -> Self {
        let files = Files::of(host);
        std::fs::write(&files.configuration, configuration).expect("the directory is writable");
        let log = File::create(&files.log).expect("the directory is writable");
        let mut command = daemon(host, binaries, &files.configuration);
        command
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log);
        let child = command.spawn().expect("the daemon can be started");
        let mut gateway = Self {
            host,
            binaries,
            child,
            files,
        };
        let settled = run::eventually(START_LIMIT, || gateway.is_ready() || gateway.has_ended());
        assert!(
            settled && gateway.is_ready(),
            "the gateway did not become ready:\n{}",
            gateway.log()
        );
        gateway
    }

    /// Runs the daemon where it is expected to refuse to start, and returns what it said.
    ///
    /// # Panics
    ///
    /// When it is still running after ten seconds.
    #[must_use]
    pub fn expect_refusal(host: &Namespace, binaries: Binaries, configuration: &str) -> Output {
        let file = host.dir().join("refused.toml");
        std::fs::write(&file, configuration).expect("the directory is writable");
        let line = format!("timeout 10 {} --config {}", binaries.sluice, file.display());
        let output = run::output(&mut host.command(&line));
        // 124 is how timeout says that it had to end the program.
        assert_ne!(output.status.code(), Some(124), "it started: {output:?}");
        output
    }

    /// Where its API socket is, for the configuration of a gateway on `host`.
    #[must_use]
    pub fn socket(host: &Namespace) -> PathBuf {
        host.dir().join("sluice.sock")
    }

    /// Everything it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.files.log).unwrap_or_default()
    }

    /// Asks through `sluicectl --json`.
    ///
    /// # Panics
    ///
    /// When it fails or prints something else.
    #[must_use]
    pub fn ask(&self, words: &str) -> Value {
        let text = run::must(&mut self.ctl(&format!("--json {words}")));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{words}: {error}: {text}"))
    }

    /// A `sluicectl` command for this gateway.
    #[must_use]
    pub fn ctl(&self, words: &str) -> Command {
        let socket = Self::socket(self.host);
        let program = self.binaries.sluicectl;
        run::command(&format!("{program} --socket {} {words}", socket.display()))
    }

    /// Applies another configuration to the running gateway.
    ///
    /// # Panics
    ///
    /// When it is refused.
    pub fn apply(&self, configuration: &str) {
        std::fs::write(&self.files.configuration, configuration).expect("it was written before");
        run::must(&mut self.ctl(&format!("apply {}", self.files.configuration.display())));
    }

    /// Writes another configuration to the gateway's file, and tells it by SIGHUP to read that.
    ///
    /// # Panics
    ///
    /// When the file cannot be written, or the gateway is gone.
    pub fn reload(&self, configuration: &str) {
        std::fs::write(&self.files.configuration, configuration).expect("it was written before");
        let id = i32::try_from(self.child.id()).expect("process ids are small");
        kill(Pid::from_raw(id), Signal::SIGHUP).expect("the gateway runs");
    }

    /// How many sessions each real server (`address:port`) of the TCP service at `service` was
    /// given, by `sluicectl services`.
    ///
    /// # Panics
    ///
    /// When there is no such service.
    #[must_use]
    pub fn sessions_by_server(&self, service: SocketAddrV4) -> BTreeMap<String, u64> {
        let answer = self.ask("services");
        let services = answer.as_array().expect("services are a list");
        let is_asked_for = |candidate: &&Value| {
            candidate["vip"] == service.to_string() && candidate["protocol"] == "tcp"
        };
        let found = services.iter().find(is_asked_for);
        let found = found.unwrap_or_else(|| panic!("no service {service}: {answer}"));
        let servers = found["servers"].as_array().expect("servers are a list");
        let sessions = servers.iter().map(|server| {
            let address = server["address"].as_str().expect("a server has an address");
            let sessions = server["traffic"]["sessions"].as_u64();
            (address.to_owned(), sessions.expect("sessions are counted"))
        });
        sessions.collect()
    }

    /// A number every worker has in `sluicectl status`, such as `sessions_created`, in the order
    /// of the workers.
    ///
    /// # Panics
    ///
    /// When workers have no such number.
    #[must_use]
    pub fn by_worker(&self, number: &str) -> Vec<u64> {
        let status = self.ask("status");
        let workers = status["workers"].as_array().expect("workers are a list");
        let of = |worker: &Value| {
            worker[number]
                .as_u64()
                .unwrap_or_else(|| panic!("{worker}"))
        };
        workers.iter().map(of).collect()
    }

    /// Reads `/metrics` as Prometheus would.
    ///
    /// # Panics
    ///
    /// When the listener does not answer.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let line = "curl --silent --show-error --fail --max-time 5 http://127.0.0.1:9911/metrics";
        Metrics::parse(&self.host.run(line))
    }

    /// How many packets were dropped for `reason`, over all workers, by `sluicectl status`.
    ///
    /// # Panics
    ///
    /// When the status has no list of drops.
    #[must_use]
    pub fn drops(&self, reason: &str) -> u64 {
        let status = self.ask("status");
        let drops = status["drops"].as_array().expect("drops are a list");
        let found = drops.iter().find(|drop| drop["reason"] == reason);
        found.map_or(0, |drop| {
            drop["packets"].as_u64().expect("packets are counted")
        })
    }

    /// Asks the daemon to stop and returns how long it took and how it ended.
    ///
    /// # Panics
    ///
    /// When it is still there after ten seconds.
    pub fn stop(mut self) -> (Duration, ExitStatus) {
        let start = Instant::now();
        self.signal(Signal::SIGTERM);
        let ended = run::eventually(Duration::from_secs(10), || self.has_ended());
        let took = start.elapsed();
        assert!(ended, "SIGTERM did not stop the gateway:\n{}", self.log());
        (took, self.child.wait().expect("it has ended"))
    }

    /// Kills the daemon as `kill -9` does.
    ///
    /// # Panics
    ///
    /// When it cannot be waited for.
    pub fn kill(mut self) {
        self.signal(Signal::SIGKILL);
        self.child
            .wait()
            .expect("a killed process can be waited for");
    }

    /// Has the daemon hang: it is there, and does nothing any more.
    ///
    /// # Panics
    ///
    /// When it is gone.
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Whether the process has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("process numbers fit");
        kill(Pid::from_raw(pid), signal).expect("it is our child");
    }

    fn is_ready(&self) -> bool {
        self.log()
            .lines()
            .any(|line| line.split_whitespace().any(|word| word == "ready"))
    }
}

impl Drop for Gateway<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the gateway's log:\n{}", self.log());
            // What it dropped often says why.
            let socket = Self::socket(self.host);
            let program = self.binaries.sluicectl;
            let line = format!("timeout 5 {program} --socket {} status", socket.display());
            let status = run::output(&mut run::command(&line));
            eprintln!("{}", String::from_utf8_lossy(&status.stdout));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The files of one gateway, in its host's directory.
#[derive(Debug)]
struct Files {
    configuration: PathBuf,
    log: PathBuf,
}

impl Files {
    fn of(host: &Namespace) -> Self {
        Self {
            configuration: host.dir().join("sluice.toml"),
            log: host.dir().join("sluice.log"),
        }
    }
}

fn daemon(host: &Namespace, binaries: Binaries, configuration: &Path) -> Command {
    host.command(&format!(
        "{} --config {}",
        binaries.sluice,
        configuration.display()
    ))
}
