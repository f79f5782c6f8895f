//! What it costs to check many servers, and whether their checks keep their times.
//!
//! Everything that checks is the daemon's: the thread, its tasks, sockets and timers, and the gateway
//! that is told. The servers are addresses of the loopback interface of a namespace of their own,
//! where one listener answers for all of them.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use clap::Args;
use control::config::{Check, CheckKind, CheckPath, Config, Health, Timing};
use control::gateway::{Edit, Gateway};
use control::health::Engine;
use control::health::engine::THREAD;
use control::health::lateness::{BOUNDS, Lateness};
use dataplane::id::WorkerId;
use dataplane::mailbox::Mailbox;
use nix::time::{ClockId, clock_gettime};
use testnet::Namespace;

/// Where the servers listen.
const PORT: u16 = 8_080;

/// The servers' network, all addresses of which are the namespace's.
const SERVERS: &str = "10.99.0.0/16";

/// Until all servers have been checked once, and everything is warm.
const WARM_UP: Duration = Duration::from_secs(3);

/// How many, and for how long.
#[derive(Clone, Copy, Debug, Args)]
pub struct Options {
    /// Servers, each checked by a TCP connection.
    #[arg(long, default_value_t = 2_000)]
    servers: u16,
    /// Milliseconds from one check of a server to the next.
    #[arg(long, default_value_t = 1_000)]
    interval: u64,
    /// Seconds that are measured.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
}

/// Why there is no figure.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The configuration that was made up for it is wrong.
    #[error("the configuration of the benchmark is refused: {0}")]
    Refused(String),
    /// Servers that answer were taken for down.
    #[error("{0} servers are not up")]
    NotUp(usize),
    /// The rest.
    #[error("{0}")]
    Machine(#[from] io::Error),
}

/// Checks servers, and prints what it cost. Returns whether every server was up.
///
/// # Errors
///
/// [`Failure`], when there can be no figure.
pub fn run(options: &Options) -> Result<bool, Failure> {
    let gateway = gateway(options)?;
    let host = Namespace::create("health");
    host.ip(&format!("address add {SERVERS} dev lo"));
    let listener = host.inside(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)))?;
    // It ends with the process: whoever is accepted is let go.
    thread::spawn(move || listener.incoming().for_each(drop));
    let checked = Arc::clone(&gateway);
    let engine = host.inside(move || Engine::start(checked, None))?;
    thread::sleep(WARM_UP);
    let thread = own_thread(THREAD)?;

    let before = seen(&gateway);
    let (cpu, begin) = (cpu_time(thread)?, Instant::now());
    thread::sleep(Duration::from_secs(options.seconds));
    let (took, cpu) = (begin.elapsed(), cpu_time(thread)?.saturating_sub(cpu));
    let after = seen(&gateway);

    let services = gateway.watched();
    let servers = services.iter().flat_map(|it| &it.servers);
    let down = servers.filter(|server| server.state != "up").count();
    drop(engine);
    if down > 0 {
        return Err(Failure::NotUp(down));
    }
    report(
        options,
        took,
        cpu,
        &less(&after.0, &before.0),
        after.1 - before.1,
    );
    Ok(true)
}

fn report(options: &Options, took: Duration, cpu: Duration, late: &Lateness, overruns: u64) {
    let runs: u64 = late.counts.iter().sum();
    let seconds = took.as_secs_f64();
    let quantile = |per_mille| match late.quantile(per_mille) {
        Some(bound) => format!("at most {} ms", bound.as_secs_f64() * 1e3),
        None => "above 1 s".to_owned(),
    };
    println!(
        "servers {}, one check in {} ms each",
        options.servers, options.interval
    );
    println!("checks made            {runs} in {seconds:.1} s");
    println!(
        "CPU of the thread      {:.1} % of one core",
        100.0 * cpu.as_secs_f64() / seconds
    );
    println!(
        "start after its time   p50 {}, p99 {}",
        quantile(500),
        quantile(990)
    );
    println!("late for a long check  {overruns}");
}

/// How late checks began until now, and how many because of the check before.
fn seen(gateway: &Gateway) -> (Lateness, u64) {
    let board = gateway.board();
    board.with(|watched, _| (watched.lateness(), watched.overruns()))
}

fn less(after: &Lateness, before: &Lateness) -> Lateness {
    let mut counts = [0; BOUNDS.len() + 1];
    for (count, (after, before)) in counts
        .iter_mut()
        .zip(after.counts.iter().zip(before.counts))
    {
        *count = after - before;
    }
    Lateness {
        counts,
        nanos: after.nanos - before.nanos,
    }
}

/// A gateway with one service of so many servers, and without workers.
fn gateway(options: &Options) -> Result<Arc<Gateway>, Failure> {
    let mut text = "[[port]]\nname = \"wan\"\ndevice = \"net_null0\"\n[[service]]\n\
                    protocol = \"tcp\"\nvip = \"10.1.0.100\"\nport = 80\n"
        .to_owned();
    for server in 1..=options.servers {
        let [high, low] = server.to_be_bytes();
        let address = format!("10.99.{high}.{low}");
        text += &format!(
            "[[service.server]]\naddress = \"{address}\"\nport = {PORT}\nmethod = \"nat\"\n"
        );
    }
    let config = Config::from_toml(&text, Path::new("benchmark"));
    let (config, _) = config.map_err(|errors| Failure::Refused(errors.to_string()))?;
    let mailbox = Arc::new(Mailbox::new(WorkerId(0)));
    let gateway = crate::bare::gateway(config, mailbox, Arc::default(), 0);
    let mut service = gateway.config().services()[0].clone();
    service.health = Some(Arc::new(health(options)));
    let watched = gateway.edit(vec![Edit::Put(service)], &|_| Ok(()));
    watched.map_err(|refused| Failure::Refused(refused.to_string()))?;
    Ok(gateway)
}

fn health(options: &Options) -> Health {
    let check = Check {
        kind: CheckKind::Tcp,
        port: None,
        address: None,
        path: CheckPath::Route,
        timing: Timing {
            interval: Duration::from_millis(options.interval),
            ..Timing::default()
        },
        load: None,
    };
    Health {
        checks: [check].into(),
        ..Health::default()
    }
}

/// The id of this process's thread of this name.
fn own_thread(name: &str) -> io::Result<i32> {
    for entry in fs::read_dir("/proc/self/task")? {
        let entry = entry?;
        let is_it = fs::read_to_string(entry.path().join("comm"))?.trim_end() == name;
        let id = entry.file_name().into_string().ok();
        if let Some(id) = id.filter(|_| is_it).and_then(|id| id.parse().ok()) {
            return Ok(id);
        }
    }
    Err(io::Error::other(format!("there is no thread {name}")))
}

/// The CPU time of a thread of this process.
fn cpu_time(thread: i32) -> io::Result<Duration> {
    // As clock_getcpuclockid(3) and pthread_getcpuclockid(3) make them: the inverted number above
    // three bits, which say that it is a thread's (4) and by the scheduler (2).
    let clock = ClockId::from_raw((!thread << 3) | 6);
    Ok(clock_gettime(clock)?.into())
}
