//! What a scrape of many services takes, how long it holds the locks of others, and what a worker
//! that polls notices of it.
//!
//! The servers are watched as if they were checked, but nobody asks them: all that a scrape tells of
//! them is there. Somebody else takes the two locks that a scrape takes, the gateway's and that of
//! those who check, again and again, and counts how long it waited for each. By the clock the machine
//! itself adds to that, hence the same without scrapes.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use control::config::Edit;
use control::gateway::Gateway;
use control::metrics::{self, Sources};

use crate::median::median;
use crate::polled::{Failure, Running, bare, configuration, read, thread_cpu};

/// How many.
#[derive(Clone, Copy, Debug, Args)]
pub struct Options {
    /// Services.
    #[arg(long, default_value_t = 10_000)]
    services: usize,
    /// Servers of each, each with a check.
    #[arg(long, default_value_t = 4)]
    servers: usize,
    /// Scrapes.
    #[arg(long, default_value_t = 20)]
    scrapes: usize,
    /// With the names that node_exporter has for the kernel's IPVS besides.
    #[arg(long)]
    node_ipvs: bool,
    /// Seconds without scrapes, to see what the machine does by itself.
    #[arg(long, default_value_t = 5)]
    quiet: u64,
}

const PHASES: [&str; 3] = ["loading", "nothing", "scrapes"];

/// How often somebody else wants the locks.
const WANTED: Duration = Duration::from_micros(200);

/// A change is made each time that they were wanted so often.
const EDITED: u32 = 100;

/// A scrape that takes longer is a failure.
const LIMIT: Duration = Duration::from_secs(1);

/// One scrape.
struct Scrape {
    took: Duration,
    cpu: Duration,
    bytes: usize,
    series: usize,
}

/// How long somebody waited at most for each lock, and how long a change of one service took.
#[derive(Clone, Copy, Default)]
struct Waits {
    gateway: Duration,
    checks: Duration,
    change: Duration,
}

/// Measures, and prints a table.
///
/// # Errors
///
/// [`Failure`], when there can be no figure.
pub fn run(options: &Options) -> Result<bool, Failure> {
    let bare = bare(&format!("node_ipvs_metrics = {}\n", options.node_ipvs));
    let running = Running::start(&PHASES, &bare)?;
    let check = "check = [{ type = \"tcp\" }]\n";
    let (services, servers) = (options.services, options.servers);
    let config = read(&configuration(&bare, services, servers, check))?;
    let gateway = &running.gateway;
    let applied = gateway.apply(config);
    let applied = applied.map_err(|error| Failure::Refused(error.to_string()))?;
    running.adopted(applied.generation)?;
    let board = gateway.board();
    let config = gateway.config();
    board.with(|watched, now| watched.configure(&config, now));

    running.enter(1);
    let (quiet, ()) = wanting(gateway, || {
        std::thread::sleep(Duration::from_secs(options.quiet));
    });
    running.enter(2);
    let (waits, scrapes) = wanting(gateway, || {
        let scrapes = (0..options.scrapes).map(|_| scrape(gateway));
        scrapes.collect::<Result<Vec<_>, _>>()
    });
    let held = held_for(gateway, options.scrapes);
    let scrapes = scrapes?;
    let mut lines = report(&scrapes, held)?;
    for (what, waits) in [("without scrapes", quiet), ("with scrapes", waits)] {
        let _written = writeln!(
            lines,
            "Longest wait for a lock {what}: the gateway's {:.2} ms, the checks' {:.2} ms; longest \
             change of a service: {:.2} ms.",
            millis(waits.gateway),
            millis(waits.checks),
            millis(waits.change)
        );
    }
    lines.push_str(&running.gaps());
    running.end()?;
    println!("{lines}");
    let in_time = scrapes.iter().all(|it| it.took <= LIMIT);
    if !in_time {
        println!("A scrape took longer than {LIMIT:?}.");
    }
    Ok(in_time)
}

fn scrape(gateway: &std::sync::Arc<Gateway>) -> Result<Scrape, Failure> {
    let sources = Sources {
        gateway: gateway.clone(),
        twins: Vec::new(),
        mirror: None,
        checks: None,
    };
    let (cpu, begun) = (thread_cpu(), Instant::now());
    let text = metrics::text(&sources);
    let (took, cpu) = (begun.elapsed(), thread_cpu() - cpu);
    Ok(Scrape {
        took,
        cpu: Duration::from_nanos(cpu),
        bytes: text.len(),
        series: text.lines().filter(|line| !line.starts_with('#')).count(),
    })
}

/// Does something, while somebody else wants the locks.
fn wanting<T>(gateway: &Gateway, act: impl FnOnce() -> T) -> (Waits, T) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let wants = scope.spawn(|| {
            let mut waits = Waits::default();
            let mut turns = 0_u32;
            while !over.load(Ordering::Relaxed) {
                turns = turns.wrapping_add(1);
                if turns.is_multiple_of(EDITED) {
                    waits.change = waits.change.max(change(gateway, turns));
                }
                let begun = Instant::now();
                let _revision = gateway.revision();
                waits.gateway = waits.gateway.max(begun.elapsed());
                let begun = Instant::now();
                gateway.board().with(|_, _| ());
                waits.checks = waits.checks.max(begun.elapsed());
                std::thread::sleep(WANTED);
            }
            waits
        });
        let outcome = act();
        over.store(true, Ordering::Relaxed);
        (wants.join().unwrap_or_default(), outcome)
    })
}

/// Gives the first service another name; returns how long that took.
fn change(gateway: &Gateway, turn: u32) -> Duration {
    let Some(mut service) = gateway.config().services().first().cloned() else {
        return Duration::ZERO;
    };
    service.name = Some(format!("changed in turn {turn}"));
    let begun = Instant::now();
    let _applied = gateway.edit(vec![Edit::Put(service)], &|_| Ok(()));
    begun.elapsed()
}

/// The median of the CPU time for which a scrape holds the lock of those who check.
fn held_for(gateway: &Gateway, times: usize) -> Option<f64> {
    let held = (0..times).map(|_| {
        gateway.board().with(|watched, _| {
            let begun = thread_cpu();
            let sample = watched.sample();
            let held = thread_cpu() - begun;
            drop(sample);
            millis(Duration::from_nanos(held))
        })
    });
    median(held.collect())
}

fn report(scrapes: &[Scrape], held: Option<f64>) -> Result<String, Failure> {
    let of = |read: fn(&Scrape) -> Duration| {
        let longest = scrapes.iter().map(read).max();
        let middle = median(scrapes.iter().map(|it| millis(read(it))).collect());
        middle.zip(longest.map(millis))
    };
    let none = || Failure::Machine("there were no scrapes".to_owned());
    let (took, longest) = of(|it| it.took).ok_or_else(none)?;
    let (cpu, most_cpu) = of(|it| it.cpu).ok_or_else(none)?;
    let last = scrapes.last().ok_or_else(none)?;
    let held = held.unwrap_or_default();
    Ok(format!(
        "{} scrapes of {} series, {:.1} MiB: median {took:.0} ms, longest {longest:.0} ms; \
         CPU time {cpu:.0} ms, at most {most_cpu:.0} ms.\n\
         The checks' lock is held for {held:.2} ms of CPU time.\n",
        scrapes.len(),
        last.series,
        last.bytes as f64 / f64::from(1 << 20),
    ))
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_gateway_is_scraped_and_has_its_figures() {
        let options = Options {
            services: 30,
            servers: 3,
            scrapes: 3,
            node_ipvs: true,
            quiet: 0,
        };

        assert!(run(&options).unwrap());
    }
}
