//! What is free, the least of it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::arguments::{Arguments, ConnectionLimit};
use crate::connections::established;
use crate::cpu::{self, CpuHistory, CpuTime};
use crate::load_average;
use crate::note;

/// The least that is said: 0 would take the server out, which is its operator's to do.
const LEAST: u64 = 1;

/// How long counted connections are told again at least, so that many who ask do not cost more.
const COUNTED_FOR: Duration = Duration::from_secs(1);

/// How many times longer than the counting took: at most a twentieth of a core goes into it.
const TIMES_LONGER: u32 = 20;

/// What is free on this server.
#[derive(Debug)]
pub(crate) struct Headroom {
    proc: PathBuf,
    cores: u64,
    cpu_max: u64,
    limits: Vec<ConnectionLimit>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    cpu: CpuHistory,
    /// What is free of the connections, and until when that is told.
    connections: Option<(Instant, Option<u64>)>,
    /// What cannot be read, with why: it is said once.
    troubles: BTreeMap<String, String>,
}

impl Headroom {
    /// Looks for the first time.
    pub(crate) fn new(arguments: &Arguments) -> Result<Self, String> {
        let mut headroom = Self {
            proc: arguments.proc.clone(),
            cores: 1,
            cpu_max: u64::from(arguments.cpu_max),
            limits: arguments.connections.clone(),
            seen: Mutex::default(),
        };
        let stat = headroom
            .read("stat")
            .map_err(|error| format!("{}: {error}", headroom.proc.join("stat").display()))?;
        let time = CpuTime::parse(&stat).ok_or("/proc/stat is not as this agent knows it")?;
        headroom.cores = cpu::cores(&stat);
        headroom.seen().cpu.push(time);
        Ok(headroom)
    }

    /// Looks at the CPU again.
    pub(crate) fn look(&self) {
        let stat = self.tell("/proc/stat", self.read("stat"));
        if let Some(time) = stat.as_deref().and_then(CpuTime::parse) {
            self.seen().cpu.push(time);
        }
    }

    /// The percentage of its weight that the server can bear: the least of what its CPU, its run
    /// queue and its connections leave. `None` before anything is known.
    pub(crate) fn percent(&self) -> Option<u64> {
        let left = [self.cpu(), self.run_queue(), self.connections()];
        left.into_iter()
            .flatten()
            .min()
            .map(|least| least.clamp(LEAST, 100))
    }

    fn cpu(&self) -> Option<u64> {
        let busy = self.seen().cpu.busy_percent()?;
        Some(self.cpu_max.saturating_sub(busy) * 100 / self.cpu_max)
    }

    fn run_queue(&self) -> Option<u64> {
        let load = load_average::parse(&self.read("loadavg").ok()?)?;
        Some(load_average::share_percent(load, self.cores))
    }

    fn connections(&self) -> Option<u64> {
        if self.limits.is_empty() {
            return None;
        }
        let started = Instant::now();
        let told = self.seen().connections;
        if let Some((_, left)) = told.filter(|&(until, _)| started < until) {
            return left;
        }
        let left = self
            .limits
            .iter()
            .filter_map(|limit| self.left_of(*limit))
            .min();
        let counted_for = COUNTED_FOR.max(started.elapsed() * TIMES_LONGER);
        self.seen().connections = Some((started + counted_for, left));
        left
    }

    fn left_of(&self, limit: ConnectionLimit) -> Option<u64> {
        let what = format!("the connections of port {}", limit.port);
        let count = self.tell(&what, established(&self.proc, limit.port))?;
        let max = u64::from(limit.max);
        Some(max.saturating_sub(count) * 100 / max)
    }

    /// What was read; if it could not be, the operator hears of it.
    fn tell<T>(&self, what: &str, read: io::Result<T>) -> Option<T> {
        let why = read.as_ref().err().map(ToString::to_string);
        if let Some(words) = self.seen().news(what, why) {
            note(&words);
        }
        read.ok()
    }

    fn read(&self, name: &str) -> io::Result<String> {
        fs::read_to_string(self.proc.join(name))
    }

    /// Nothing that holds this can panic half-way.
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    /// What is to be said of something that could not be read just now, or could: only what is new.
    fn news(&mut self, what: &str, why: Option<String>) -> Option<String> {
        let Some(why) = why else {
            let known = self.troubles.remove(what);
            return known.map(|_| format!("{what}: can be read again"));
        };
        let words = format!("{what}: {why}");
        let known = self.troubles.insert(what.to_owned(), why.clone());
        (known != Some(why)).then_some(words)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    /// A /proc of its own, which goes with the test.
    struct Proc(PathBuf);

    impl Proc {
        fn new(name: &str) -> Self {
            let name = format!("sluice-agent-{name}-{}", std::process::id());
            let proc = Self(std::env::temp_dir().join(name));
            fs::create_dir_all(proc.0.join("net")).unwrap();
            proc.write("stat", "cpu  0 0 0 0 0 0 0 0 0 0\n");
            proc.write("loadavg", "0.00 0.00 0.00 1/1 1\n");
            proc
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.0.join(name), text).unwrap();
        }

        fn headroom(&self, more: &[&str]) -> Headroom {
            let proc = self.0.to_str().unwrap();
            let arguments = [&["sluice-agent", "--proc", proc], more].concat();
            Headroom::new(&Arguments::try_parse_from(arguments).unwrap()).unwrap()
        }
    }

    impl Drop for Proc {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_cpu_leaves_what_is_below_its_maximum() {
        let proc = Proc::new("cpu");
        let headroom = proc.headroom(&["--cpu-max", "80"]);

        proc.write("stat", "cpu  20 0 0 80 0 0 0 0 0 0\n");
        headroom.look();
        assert_eq!(headroom.percent(), Some(75), "20 of 80");

        proc.write("stat", "cpu  1000 0 0 80 0 0 0 0 0 0\n");
        headroom.look();
        assert_eq!(headroom.percent(), Some(1), "never nothing");
    }

    #[test]
    fn a_long_run_queue_leaves_a_share_of_a_core() {
        let proc = Proc::new("run-queue");
        proc.write(
            "stat",
            "cpu  0 0 0 0\ncpu0 0 0 0 0\ncpu1 0 0 0 0\ncpu2 0 0 0 0\n",
        );
        let headroom = proc.headroom(&[]);

        proc.write("loadavg", "12.00 0 0 1/1 1\n");

        assert_eq!(headroom.percent(), Some(25));
    }

    #[test]
    fn the_least_wins() {
        let proc = Proc::new("least");
        let headroom = proc.headroom(&["--connections", "80:4", "--connections", "81:4"]);
        let line = "0: 0100007F:0050 0100007F:C350 01\n";
        proc.write("net/tcp", &line.repeat(3));
        proc.write("stat", "cpu  45 0 0 55 0 0 0 0 0 0\n");
        headroom.look();

        assert_eq!(headroom.cpu(), Some(50));
        assert_eq!(headroom.run_queue(), Some(100));
        assert_eq!(headroom.percent(), Some(25), "three of four connections");
    }

    #[test]
    fn what_cannot_be_read_has_no_say() {
        let proc = Proc::new("missing");
        let headroom = proc.headroom(&["--connections", "80:4"]);
        fs::remove_file(proc.0.join("loadavg")).unwrap();

        assert_eq!(headroom.percent(), None);
    }

    #[test]
    fn what_cannot_be_read_is_said_once_and_again_when_it_has_changed() {
        let mut seen = Seen::default();
        let mut read = |why: Option<&str>| seen.news("port 80", why.map(str::to_owned));

        assert_eq!(read(None), None);
        assert_eq!(read(Some("denied")), Some("port 80: denied".to_owned()));
        assert_eq!(read(Some("denied")), None);
        assert_eq!(read(Some("gone")), Some("port 80: gone".to_owned()));
        let again = "port 80: can be read again".to_owned();
        assert_eq!(read(None), Some(again));
        assert_eq!(read(None), None);
    }

    #[test]
    fn connections_are_counted_at_most_once_a_second_whoever_asks() {
        let proc = Proc::new("counted");
        let headroom = proc.headroom(&["--connections", "80:4"]);
        proc.write("net/tcp", "0: 0100007F:0050 0100007F:C350 01\n");
        assert_eq!(headroom.connections(), Some(75));

        proc.write("net/tcp", "");

        assert_eq!(headroom.connections(), Some(75));
        headroom.seen().connections = None;
        assert_eq!(headroom.connections(), Some(100));
    }

    #[test]
    fn without_a_proc_there_is_no_agent() {
        let arguments = ["sluice-agent", "--proc", "/nonexistent"];

        let refused = Headroom::new(&Arguments::try_parse_from(arguments).unwrap());

        let words = refused.unwrap_err();
        assert!(
            words.starts_with("/nonexistent/stat: No such file"),
            "{words}"
        );
    }
}
