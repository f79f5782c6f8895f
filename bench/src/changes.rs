//! What a change of the configuration costs, and what a worker that polls notices of it.
//!
//! A change is over when the worker has adopted it.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use clap::Args;
use control::config::Service;
use control::gateway::Edit;
use control::ipvs::Call;
use dataplane::id::Weight;

use crate::polled::{Failure, Running, bare, configuration, read};

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

/// What happens meanwhile.
const PHASES: [&str; 5] = [
    "loading",
    "nothing",
    "weights by the API",
    "weights by ipvsadm",
    "servers come and go",
];

/// Measures, and prints a table.
///
/// # Errors
///
/// When the gateway does not do what it is told.
pub fn run(options: &Options) -> Result<bool, Failure> {
    let bare = bare("");
    let text = configuration(&bare, options.services, options.servers, "");
    let running = Running::start(&PHASES, &bare)?;
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
        let took = repeat(&running, options.changes, change)?;
        let _written = writeln!(lines, "| {} | {} |", PHASES[phase], quantiles(took));
    }
    lines.push_str(&running.gaps());
    running.end()?;
    println!("{lines}");
    Ok(true)
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

fn repeat(
    running: &Running,
    times: usize,
    change: fn(&Running, usize) -> Result<Duration, Failure>,
) -> Result<Vec<Duration>, Failure> {
    let changes = (0..times).map(|turn| {
        // Not faster than the worker polls undisturbed in between.
        std::thread::sleep(Duration::from_millis(2));
        change(running, turn)
    });
    changes.collect()
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
}
