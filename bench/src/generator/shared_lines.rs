//! Whether packets of established sessions make a worker write a cache line that another writes.
//!
//! ```text
//!   this program ── valgrind --tool=lackey --trace-mem ──► every store of a second copy of it
//!                                                          │
//!   second copy: begin 0 │ worker 0 on its thread │ end    ├─► lines written in between
//!                begin 1 │ worker 1 on its thread │ end    └─► lines written in between
//!
//!   for each method, transport and direction: no line may be in both
//! ```
//!
//! The workers take turns, so that it is known who wrote; which lines they write does
//! not depend on that. Whatever the generator does in their turns is checked with them: it has
//! nothing that both write.

use std::io::{self, BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use dataplane::address::Protocol;
use dataplane::service::{Method, SchedulerKind};

use super::case::{Case, CaseError, Load};
use super::io::FreeBuffers;
use super::pair::Pair;
use super::rig::Rig;
use super::trace::{BASE, BEGIN, END, Phases, Shared};

/// Sessions of both workers.
const FLOWS: u64 = 40;

/// Turns before a phase: what is looked up once is looked up then.
const FIRST_TURNS: usize = 8;

/// Turns of a phase: each session of the worker has a packet twelve times, on average.
const TURNS: usize = 8;

/// How long the threads that wait have until they write nothing any more.
const SETTLING: Duration = Duration::from_millis(100);

/// Lines of a case of which it is said where they are written.
const EXPLAINED: usize = 5;

/// Buffers of each worker: valgrind sees each byte of them made.
const BUFFERS: usize = 64;

/// The options of `sluice-bench shared-lines`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct SharedLines {
    /// Only runs the workers and says when on standard error, for whoever traces them.
    #[arg(long, hide = true)]
    traced: bool,
}

/// Checks every case and prints a line for each; it fails when two workers write one line.
#[must_use]
pub fn check(options: SharedLines) -> ExitCode {
    let checked = if options.traced {
        run_cases()
            .map(|()| true)
            .map_err(|error| error.to_string())
    } else {
        trace().map_err(|error| error.to_string())
    };
    match checked {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("sluice-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs this program under valgrind; false when something is shared.
fn trace() -> io::Result<bool> {
    let mut child = Command::new("valgrind")
        .args(["--tool=lackey", "--trace-mem=yes", "--log-fd=2"])
        .arg(std::env::current_exe()?)
        .args(["shared-lines", "--traced"])
        .stderr(Stdio::piped())
        .spawn()?;
    let Some(trace) = child.stderr.take() else {
        return Err(io::Error::other("valgrind has no standard error"));
    };
    let (phases, said) = read(BufReader::with_capacity(1 << 20, trace))?;
    let ended = child.wait()?;
    if !ended.success() {
        return Err(io::Error::other(format!("the traced run failed: {said}")));
    }
    Ok(judge(&phases))
}

/// Reads a trace to its end; gives what it says of the phases, and the last line that is no part
/// of a trace.
fn read(mut trace: impl BufRead) -> io::Result<(Phases, String)> {
    let (mut phases, mut said) = (Phases::default(), String::new());
    let mut line = Vec::new();
    while trace.read_until(b'\n', &mut line)? > 0 {
        if !phases.take(&line) && !line.starts_with(b"==") {
            said = String::from_utf8_lossy(&line).trim_end().to_owned();
        }
        line.clear();
    }
    Ok((phases, said))
}

/// Prints what was found; false when anything is shared, or when a case is missing.
fn judge(phases: &Phases) -> bool {
    let mut good = true;
    for (name, _) in cases() {
        let Some(lines) = phases.of(&name) else {
            println!("{name}: not traced");
            good = false;
            continue;
        };
        let [first, second] = lines.each_ref().map(|lines| lines.len());
        let shared = phases.shared(&name);
        println!(
            "{name}: {first} and {second} cache lines written, {} by both",
            shared.len()
        );
        let each = shared.iter().take(EXPLAINED);
        each.for_each(|shared| explain(phases.base(), shared));
        good &= shared.is_empty() && first > 0 && second > 0;
    }
    good
}

/// Says where in the source a line is written.
fn explain(base: u64, shared: &Shared) {
    println!("  the line at {:#x} is written", shared.line);
    for (worker, writer) in shared.writers.iter().enumerate() {
        let at = writer.saturating_sub(base);
        let place = source_of(at).unwrap_or_else(|| format!("instruction {at:#x}"));
        println!("    by worker {worker}: {place}");
    }
}

/// Function, file and line of an instruction of this program.
fn source_of(at: u64) -> Option<String> {
    let program = std::env::current_exe().ok()?;
    let output = Command::new("addr2line")
        .args([
            "--functions",
            "--demangle",
            "--pretty-print",
            "--inlines",
            "--basenames",
            "--exe",
        ])
        .arg(program)
        .arg(format!("{at:#x}"))
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

/// The cases with their names.
fn cases() -> Vec<(String, Case)> {
    let mut cases = Vec::new();
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        for method in [Method::Dr, Method::Tun, Method::Nat, Method::Fullnat] {
            let load = if method.sees_replies() {
                Load::Both
            } else {
                Load::Request
            };
            let name = format!("{method} {protocol} {load:?}").to_lowercase();
            cases.push((name, case(method, protocol, load)));
        }
    }
    cases
}

const fn case(method: Method, protocol: Protocol, load: Load) -> Case {
    Case {
        method,
        protocol,
        flows: FLOWS,
        load,
        scheduler: SchedulerKind::Wlc,
        servers: 2,
        window: 0,
        without_baseline: true,
        virtual_clock: true,
        persistent: false,
        windows: 0,
    }
}

/// What the second copy does.
fn run_cases() -> Result<(), CaseError> {
    say(&format!("{BASE}{:x}\n", base()?))?;
    for (name, case) in cases() {
        let buffers = [BUFFERS; 2].map(FreeBuffers::new);
        let mut pair = Pair::new(&case, [&buffers[0], &buffers[1]])?;
        pair.supply(&case, 0, 0);
        pair.supply(&case, 1, 1);
        let before = pair.counts();
        let [first, second] = &mut pair.rigs;
        phases(&name, first, second)?;
        pair.counts().check(&before, &case)?;
    }
    Ok(())
}

/// Where this program begins in memory: proc_pid_maps, the first range of its file.
fn base() -> io::Result<u64> {
    let program = std::env::current_exe()?;
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    let first = maps
        .lines()
        .find(|line| line.ends_with(&*program.to_string_lossy()));
    let start = first.and_then(|line| u64::from_str_radix(line.split_once('-')?.0, 16).ok());
    start.ok_or_else(|| io::Error::other("this program is not in its own memory"))
}

/// Lets both work, one after the other. Their threads are there at the same time, or they would
/// have the same stack.
fn phases(case: &str, first: &mut Rig, second: &mut Rig) -> Result<(), CaseError> {
    let turn_over = Barrier::new(2);
    thread::scope(|scope| {
        let first = scope.spawn(|| {
            let worked = phase(first, &format!("{BEGIN}0 {case}\n"));
            turn_over.wait();
            turn_over.wait();
            worked
        });
        let second = scope.spawn(|| {
            turn_over.wait();
            let worked = phase(second, &format!("{BEGIN}1 {case}\n"));
            turn_over.wait();
            worked
        });
        for worker in [first, second] {
            worker.join().map_err(|_| CaseError::Ended)??;
        }
        Ok(())
    })
}

/// Lets a worker work, and says when what counts begins and ends.
fn phase(rig: &mut Rig, begin: &str) -> io::Result<()> {
    (0..FIRST_TURNS).for_each(|_| timed_turn(rig));
    thread::sleep(SETTLING);
    say(begin)?;
    (0..TURNS).for_each(|_| timed_turn(rig));
    say(END)
}

/// A turn as the daemon's workers do it.
fn timed_turn(rig: &mut Rig) {
    let now = rig.clock.nanos();
    let Rig { gateway, clock, .. } = rig;
    gateway.worker.timed_turn(now, &mut || clock.nanos());
}

/// Writes to standard error at once, and without the lock that all threads share.
fn say(line: &str) -> io::Result<()> {
    nix::unistd::write(io::stderr(), line.as_bytes())?;
    Ok(())
}
