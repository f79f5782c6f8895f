//! What a change of the configuration costs, and what a worker that polls notices of it.
//!
//! The gateway is whole but for its ethdevs: configuration, checks, packet path and a worker that
//! polls empty wires. A change is over when the worker has adopted it. The worker's gaps are those
//! between two of its turns: by the clock, where the machine itself makes some (hence a phase
//! without changes in the same run), and by the CPU time of its thread, where it makes none.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use clap::Args;
use control::config::{Config, Service};
use control::gateway::{Edit, Gateway};
use control::ipvs::Call;
use dataplane::counters::WorkerCounters;
use dataplane::handover::Handover;
use dataplane::id::{EthdevId, InterfaceId, Weight, WorkerId};
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

/// How many, and for how long.
#[derive(Clone, Copy, Debug, Args)]
pub struct Options {
    /// Services to begin with.
    #[arg(long, default_value_t = 10_000)]
    services: usize,
    /// Servers of each.
    #[arg(long, default_value_t = 10)]
    servers: usize,
    /// Changes of each kind.
    #[arg(long, default_value_t = 1_000)]
    changes: usize,
    /// Seconds without changes, to see what the machine does by itself.
    #[arg(long, default_value_t = 5)]
    quiet: u64,
}

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

/// What happens meanwhile.
const PHASES: [&str; 5] = [
    "loading",
    "nothing",
    "weights by the API",
    "weights by ipvsadm",
    "servers come and go",
];

/// A gateway with a worker that polls.
struct Running {
    gateway: Arc<Gateway>,
    mailbox: Arc<Mailbox>,
    phases: Arc<[Phase; PHASES.len()]>,
    phase: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

const PORT: &str = "[gateway]\nsessions_per_worker = 4096\n\
                    [[port]]\nname = \"wan\"\ndevice = \"net_null0\"\n";

/// Measures, and prints a table.
///
/// # Errors
///
/// When the gateway does not do what it is told.
pub fn run(options: &Options) -> Result<bool, Failure> {
    let text = configuration(options);
    let running = Running::start()?;
    let mut lines = String::new();

    let start = Instant::now();
    let config = read(&text)?;
    let parsed = start.elapsed();
    let applied = running.gateway.apply(config);
    let applied = applied.map_err(|error| Failure::Refused(error.to_string()))?;
    running.adopted(applied.generation)?;
    let loaded = start.elapsed();
    let _written = writeln!(
        lines,
        "Loading {} services with {} servers: {:.0} ms ({:.0} ms of it to read and check the file, {} KiB).\n",
        applied.services,
        applied.servers,
        millis(loaded),
        millis(parsed),
        text.len() >> 10
    );

    running.enter(1);
    std::thread::sleep(Duration::from_secs(options.quiet));
    lines.push_str("| Change | median | 99 % | longest |\n|---|---|---|---|\n");
    for (phase, change) in [
        (2, change_weight as fn(&Running, usize) -> _),
        (3, change_by_ipvsadm),
        (4, change_servers),
    ] {
        running.enter(phase);
        let took = running.repeat(options.changes, change)?;
        let _written = writeln!(lines, "| {} | {} |", PHASES[phase], quantiles(took));
    }
    lines.push_str(&running.gaps());
    running.end()?;
    println!("{lines}");
    Ok(true)
}

fn configuration(options: &Options) -> String {
    let mut text = PORT.to_owned();
    for service in 0..options.services {
        let [high, low] = [service / 250, service % 250 + 1];
        let _written = writeln!(
            text,
            "[[service]]\nprotocol = \"tcp\"\nvip = {{ address = \"10.{}.{}.{low}\", \
             place = \"external\" }}\nport = 80\nscheduler = \"wrr\"",
            100 + high / 250,
            high % 250,
        );
        for server in 0..options.servers {
            let number = service * options.servers + server;
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

fn read(text: &str) -> Result<Config, Failure> {
    let read = Config::from_toml(text, Path::new("made-up.toml"));
    let (config, _) = read.map_err(|errors| Failure::Refused(errors.to_string()))?;
    Ok(config)
}

/// The service of a turn, any but the last ones' neighbour.
fn chosen(running: &Running, turn: usize) -> (usize, Service) {
    let config = running.gateway.config();
    let services = config.services();
    let service = services[turn * 7_919 % services.len()].clone();
    (turn, service)
}

fn put(running: &Running, service: Service) -> Result<u64, Failure> {
    let edits = vec![Edit::Put(service)];
    let edited = running.gateway.edit(edits, &|_| Ok(()));
    let edited = edited.map_err(|error| Failure::Refused(error.to_string()))?;
    Ok(edited.generation)
}

/// Gives one server another weight; returns how long that took.
fn change_weight(running: &Running, turn: usize) -> Result<Duration, Failure> {
    let (turn, mut service) = chosen(running, turn);
    let servers = service.servers.len();
    service.servers[turn % servers].weight = Weight(2 + u32::try_from(turn % 7).unwrap_or(0));
    let start = Instant::now();
    running.adopted(put(running, service)?)?;
    Ok(start.elapsed())
}

/// The same in the words of LVS.
fn change_by_ipvsadm(running: &Running, turn: usize) -> Result<Duration, Failure> {
    let (turn, service) = chosen(running, turn);
    let vip = service
        .vip()
        .map_or_else(String::new, |vip| vip.to_string());
    let server = service.servers[turn % service.servers.len()].endpoint.addr;
    let line = format!("-e -t {vip}:80 -r {server} -m -w {}", 20 + turn % 7);
    let before = running.mailbox.adopted();
    let start = Instant::now();
    let reply = running.gateway.ipvsadm(&Call::new(line.split(' ')));
    if reply.status != 0 {
        return Err(Failure::Refused(reply.stderr));
    }
    running.adopted(before + 1)?;
    Ok(start.elapsed())
}

/// Takes a server away, and brings it back the next time.
fn change_servers(running: &Running, turn: usize) -> Result<Duration, Failure> {
    let (_, mut service) = chosen(running, turn / 2);
    let endpoint = &mut service.servers[0].endpoint;
    endpoint.port = if turn.is_multiple_of(2) { 8_080 } else { 80 };
    let start = Instant::now();
    running.adopted(put(running, service)?)?;
    Ok(start.elapsed())
}

impl Running {
    fn start() -> Result<Self, Failure> {
        let (mailbox, counters) = (
            Arc::new(Mailbox::new(WorkerId(0))),
            Arc::new(WorkerCounters::default()),
        );
        let gateway = crate::bare::gateway(
            read(PORT)?,
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
            phases: Arc::default(),
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

    fn enter(&self, phase: usize) {
        self.phase.store(phase, Ordering::Relaxed);
    }

    /// Waits until the worker has a snapshot.
    fn adopted(&self, generation: u64) -> Result<(), Failure> {
        let start = Instant::now();
        while self.mailbox.adopted() < generation {
            if start.elapsed() > Duration::from_secs(10) {
                return Err(Failure::NotAdopted);
            }
            std::hint::spin_loop();
        }
        Ok(())
    }

    fn repeat(
        &self,
        times: usize,
        change: fn(&Self, usize) -> Result<Duration, Failure>,
    ) -> Result<Vec<Duration>, Failure> {
        let changes = (0..times).map(|turn| {
            // Not faster than the worker polls undisturbed in between.
            std::thread::sleep(Duration::from_millis(2));
            change(self, turn)
        });
        changes.collect()
    }

    /// What the worker noticed, as a table.
    fn gaps(&self) -> String {
        let mut lines = "\n| Meanwhile | turns | 99.99 % of gaps | longest | over 100 µs | \
                         99.99 % of CPU time | longest | over 100 µs |\n\
                         |---|---|---|---|---|---|---|---|\n"
            .to_owned();
        for (name, Phase { wall, cpu }) in PHASES.iter().zip(&*self.phases) {
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

    fn end(self) -> Result<(), Failure> {
        self.stop.store(true, Ordering::Relaxed);
        self.mailbox.stop();
        for thread in self.threads {
            let ended = thread.join();
            ended.map_err(|_| Failure::Machine("a thread has panicked".to_owned()))?;
        }
        Ok(())
    }
}

fn thread_cpu() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from);
    time.map_or(0, |it| u64::try_from(it.as_nanos()).unwrap_or(u64::MAX))
}

/// The median, what 99 of 100 do not exceed, and the longest, in milliseconds.
fn quantiles(mut took: Vec<Duration>) -> String {
    took.sort_unstable();
    let at = |hundredths: usize| {
        let place = took.len() * hundredths / 100;
        let place = place.min(took.len().saturating_sub(1));
        took.get(place).copied().map_or(0.0, millis)
    };
    format!("{:.3} ms | {:.3} ms | {:.3} ms", at(50), at(99), at(100))
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_of_a_small_run_has_its_figures() {
        let options = Options {
            services: 300,
            servers: 3,
            changes: 5,
            quiet: 0,
        };
        assert!(run(&options).unwrap());
    }

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
