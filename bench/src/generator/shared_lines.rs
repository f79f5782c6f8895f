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
//! The workers run one after the other, so that it is known who wrote; which lines they write does
//! not depend on that. Whatever the generator does in their turns is checked with them: it has
//! nothing that both write.

use std::io::{self, BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};
use std::thread;

use dataplane::address::Protocol;
use dataplane::service::{Method, SchedulerKind};

use super::case::{Case, CaseError, Load};
use super::io::FreeBuffers;
use super::pair::Pair;
use super::rig::{BUFFERS, Rig};
use super::trace::{BEGIN, END, Phases, Shared};

/// Sessions of both workers.
const FLOWS: u64 = 200;

/// Turns before a phase: what is looked up once is looked up then.
const FIRST_TURNS: usize = 32;

/// Turns of a phase: each session of the worker has a packet ten times, on average.
const TURNS: usize = 32;

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
        shared.iter().for_each(explain);
        good &= shared.is_empty() && first > 0 && second > 0;
    }
    good
}

/// Says which instructions write a line; `scripts/shared-lines` finds their functions.
fn explain(shared: &Shared) {
    let Shared { line, writers } = shared;
    println!(
        "  {:#x} by worker 0 at {:#x}, by worker 1 at {:#x}",
        line, writers[0], writers[1]
    );
}

/// The cases with their names.
fn cases() -> Vec<(String, Case)> {
    let mut cases = Vec::new();
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        for method in [Method::Dr, Method::Tun, Method::Nat, Method::Fullnat] {
            for load in [Load::Request, Load::Reply] {
                if load == Load::Request || method.sees_replies() {
                    let name = format!("{method} {protocol} {load:?}").to_lowercase();
                    cases.push((name, case(method, protocol, load)));
                }
            }
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
        windows: 0,
    }
}

/// What the second copy does.
fn run_cases() -> Result<(), CaseError> {
    for (name, case) in cases() {
        let buffers = [BUFFERS; 2].map(FreeBuffers::new);
        let mut pair = Pair::new(&case, [&buffers[0], &buffers[1]])?;
        pair.supply(&case, 0, 0);
        pair.supply(&case, 1, 1);
        let before = pair.counts();
        for (rig, worker) in pair.rigs.iter_mut().zip(0_usize..) {
            let begin = format!("{}{worker} {name}\n", BEGIN);
            phase(rig, &begin)?;
        }
        pair.counts().check(&before, &case)?;
    }
    Ok(())
}

/// Lets a worker work on a thread of its own, and says when it begins and ends.
fn phase(rig: &mut Rig, begin: &str) -> Result<(), CaseError> {
    let work = || {
        (0..FIRST_TURNS).for_each(|_| timed_turn(rig));
        say(begin)?;
        (0..TURNS).for_each(|_| timed_turn(rig));
        say(END)
    };
    let joined = thread::scope(|scope| scope.spawn(work).join());
    Ok(joined.map_err(|_| CaseError::Ended)??)
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
