//! A gateway that is whole but for its ethdevs, with a worker that polls empty wires, and what that
//! worker notices of whatever is done to the gateway.
//!
//! The worker's gaps are those between two of its turns: by the clock, where the machine itself makes
//! some (hence a phase without anything in the same run), and by the CPU time of its thread, where it
//! makes none.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use control::config::Config;
use control::gateway::Gateway;
use dataplane::counters::WorkerCounters;
use dataplane::handover::Handover;
use dataplane::id::{EthdevId, InterfaceId, WorkerId};
use dataplane::io::memory::{MemoryIo, MemoryPool, Wire};
use dataplane::mailbox::Mailbox;
use dataplane::pipeline::{Outputs, Pipeline};
use dataplane::punt::TwinRings;
use dataplane::session::{HashSecret, KeysPerSession, SessionTable};
use dataplane::snapshot::Snapshot;
use dataplane::time::Tick;
use dataplane::worker::{Idle, Worker};
use nix::time::{ClockId, clock_gettime};

/// Gaps are counted by microsecond up to here; the last place has all that are longer.
const MICROSECONDS: usize = 1_000;

/// A gap that an operator could notice.
const LONG: Duration = Duration::from_micros(100);

/// Why there is no figure.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The configuration that was made up for it is wrong.
    #[error("the configuration of the benchmark is refused: {0}")]
    Refused(String),
    /// The worker does not do its part.
    #[error("the worker has not adopted a change within 10 s")]
    NotAdopted,
    /// The rest.
    #[error("{0}")]
    Machine(String),
}

/// The gaps of one phase.
struct Gaps {
    counts: Vec<AtomicU64>,
    longest_nanos: AtomicU64,
}

impl Default for Gaps {
    fn default() -> Self {
        let mut counts = Vec::new();
        counts.resize_with(MICROSECONDS + 1, AtomicU64::default);
        Self {
            counts,
            longest_nanos: AtomicU64::default(),
        }
    }
}

impl Gaps {
    /// Counts one; only the worker does.
    fn record(&self, nanos: u64) {
        let place = usize::try_from(nanos / 1_000).unwrap_or(usize::MAX);
        let count = &self.counts[place.min(MICROSECONDS)];
        count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        if nanos > self.longest_nanos.load(Ordering::Relaxed) {
            self.longest_nanos.store(nanos, Ordering::Relaxed);
        }
    }

    fn longest(&self) -> Duration {
        Duration::from_nanos(self.longest_nanos.load(Ordering::Relaxed))
    }

    fn total(&self) -> u64 {
        self.at_least(0)
    }

    fn at_least(&self, micros: usize) -> u64 {
        let counts = self.counts.iter().skip(micros);
        counts.map(|it| it.load(Ordering::Relaxed)).sum()
    }

    /// The whole microseconds that `share` of all gaps do not exceed.
    fn quantile(&self, share: f64) -> usize {
        let total = self.total();
        let mut passed = 0;
        for (micros, count) in self.counts.iter().enumerate() {
            passed += count.load(Ordering::Relaxed);
            // Counts stay far below what a double counts exactly.
            if passed as f64 >= share * total as f64 {
                return micros + 1;
            }
        }
        MICROSECONDS
    }
}

/// One phase: what the worker's gaps are by the clock and by its CPU time.
#[derive(Default)]
struct Phase {
    wall: Gaps,
    cpu: Gaps,
}

/// A gateway with a worker that polls.
pub(crate) struct Running {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) mailbox: Arc<Mailbox>,
    /// What happens in each phase.
    names: &'static [&'static str],
    phases: Arc<[Phase]>,
    phase: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

/// A gateway without services; `keys` is said of the gateway.
pub(crate) fn bare(keys: &str) -> String {
    format!(
        "[gateway]\nsessions_per_worker = 4096\n{keys}\
         [[port]]\nname = \"wan\"\ndevice = \"net_null0\"\n"
    )
}

/// So many services by NAT with so many servers each behind a [`bare`] gateway; `more` is said of
/// each service.
pub(crate) fn configuration(bare: &str, services: usize, servers: usize, more: &str) -> String {
    let mut text = bare.to_owned();
    for service in 0..services {
        let [high, low] = [service / 250, service % 250 + 1];
        let _written = writeln!(
            text,
            "[[service]]\nprotocol = \"tcp\"\nvip = {{ address = \"10.{}.{}.{low}\", \
             place = \"external\" }}\nport = 80\nscheduler = \"wrr\"\n{more}",
            100 + high / 250,
            high % 250,
        );
        for server in 0..servers {
            let number = service * servers + server;
            let _written = writeln!(
                text,
                "[[service.server]]\naddress = \"11.{}.{}.{}\"\nmethod = \"nat\"",
                number / 62_500,
                number / 250 % 250,
                number % 250 + 1
            );
        }
    }
    text
}

/// The configuration that a text says.
pub(crate) fn read(text: &str) -> Result<Config, Failure> {
    let read = Config::from_toml(text, Path::new("made-up.toml"));
    let (config, _) = read.map_err(|errors| Failure::Refused(errors.to_string()))?;
    Ok(config)
}

impl Running {
    /// Starts one with the configuration `bare` and nothing to do, in the first of these phases.
    pub(crate) fn start(names: &'static [&'static str], bare: &str) -> Result<Self, Failure> {
        let (mailbox, counters) = (
            Arc::new(Mailbox::new(WorkerId(0))),
            Arc::new(WorkerCounters::default()),
        );
        let gateway = crate::bare::gateway(
            read(bare)?,
            Arc::clone(&mailbox),
            Arc::clone(&counters),
            4_096,
        );
        let [received, sent] = [Wire::new(), Wire::new()];
        let out = Outputs::new(
            Arc::clone(&mailbox),
            vec![sent],
            MemoryPool::default(),
            vec![Arc::new(TwinRings::default())],
            Handover::new(1),
            counters,
        );
        let secret = HashSecret([1, 2, 3, 4]);
        let sessions = SessionTable::new(4_096, KeysPerSession::Two, secret, Tick(0));
        let sessions = sessions.map_err(|error| Failure::Machine(error.to_string()))?;
        let pipeline = Pipeline::new(WorkerId(0), sessions, secret, out);
        let worker = Worker::<MemoryIo>::new(
            Arc::clone(&mailbox),
            Arc::new(Snapshot::default()),
            vec![(EthdevId(0), received)],
            pipeline,
            vec![InterfaceId(0)],
        );
        let mut running = Self {
            gateway,
            mailbox,
            names,
            phases: names.iter().map(|_| Phase::default()).collect(),
            phase: Arc::default(),
            threads: Vec::new(),
            stop: Arc::default(),
        };
        running.poll(worker);
        running.collect();
        Ok(running)
    }

    /// Lets the worker poll on a thread of its own, and look at the clock between its turns.
    fn poll(&mut self, mut worker: Worker<MemoryIo>) {
        let (phases, phase) = (Arc::clone(&self.phases), Arc::clone(&self.phase));
        self.threads.push(std::thread::spawn(move || {
            let start = Instant::now();
            let wall = || u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
            let (mut last_wall, mut last_cpu) = (wall(), thread_cpu());
            worker.run(Idle::Spin, || {
                let phase = &phases[phase.load(Ordering::Relaxed)];
                let (now, cpu) = (wall(), thread_cpu());
                phase.wall.record(now.saturating_sub(last_wall));
                phase.cpu.record(cpu.saturating_sub(last_cpu));
                (last_wall, last_cpu) = (wall(), thread_cpu());
                now
            });
        }));
    }

    /// Frees what is no longer used once a second, as the daemon does.
    fn collect(&mut self) {
        let (gateway, stop) = (Arc::clone(&self.gateway), Arc::clone(&self.stop));
        self.threads.push(std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_secs(1));
                gateway.collect();
            }
        }));
    }

    /// Begins another phase.
    pub(crate) fn enter(&self, phase: usize) {
        self.phase.store(phase, Ordering::Relaxed);
    }

    /// Waits until the worker has a snapshot.
    pub(crate) fn adopted(&self, generation: u64) -> Result<(), Failure> {
        let start = Instant::now();
        while self.mailbox.adopted() < generation {
            if start.elapsed() > Duration::from_secs(10) {
                return Err(Failure::NotAdopted);
            }
            std::hint::spin_loop();
        }
        Ok(())
    }

    /// What the worker noticed, as a table.
    pub(crate) fn gaps(&self) -> String {
        let mut lines = "\n| Meanwhile | turns | 99.99 % of gaps | longest | over 100 µs | \
                         99.99 % of CPU time | longest | over 100 µs |\n\
                         |---|---|---|---|---|---|---|---|\n"
            .to_owned();
        for (name, Phase { wall, cpu }) in self.names.iter().zip(&*self.phases) {
            let of = |gaps: &Gaps| {
                let long = usize::try_from(LONG.as_micros()).unwrap_or(usize::MAX);
                format!(
                    "{} µs | {:.0} µs | {}",
                    gaps.quantile(0.9999),
                    gaps.longest().as_secs_f64() * 1e6,
                    gaps.at_least(long)
                )
            };
            let total = wall.total();
            let _written = writeln!(lines, "| {name} | {total} | {} | {} |", of(wall), of(cpu));
        }
        lines
    }

    /// Stops the worker.
    pub(crate) fn end(self) -> Result<(), Failure> {
        self.stop.store(true, Ordering::Relaxed);
        self.mailbox.stop();
        for thread in self.threads {
            let ended = thread.join();
            ended.map_err(|_| Failure::Machine("a thread has panicked".to_owned()))?;
        }
        Ok(())
    }
}

/// The CPU time of the calling thread, in nanoseconds.
pub(crate) fn thread_cpu() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from);
    time.map_or(0, |it| u64::try_from(it.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_the_microsecond_that_so_many_do_not_exceed() {
        let gaps = Gaps::default();
        for nanos in [500, 700, 1_500, 99_000, 100_000, 5_000_000] {
            gaps.record(nanos);
        }

        assert_eq!(gaps.quantile(0.5), 2);
        assert_eq!(gaps.at_least(100), 2);
        assert_eq!(gaps.longest(), Duration::from_millis(5));
    }
}
