//! Two workers of one gateway: each has its own sessions, queues and thread, and they share the
//! rest (services, schedulers, counts of servers, local ports) as the daemon's do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dataplane::id::WorkerId;
use dataplane::io::Burst;
use dataplane::memory::MapError;

use super::case::{Case, CaseError, Counts, expect};
use super::frames::Owner;
use super::gateway::{Recruit, Shared};
use super::io::{FreeBuffers, GeneratedPacket};
use super::measure::{Clock, thread_cpu_nanos};
use super::rig::{Ends, Queues, Rig};
use crate::replay::cores::{Cores, pin};
use crate::scaling::Stretch;

/// How many workers there are.
const WORKERS: u16 = 2;

/// Turns between two looks at the time.
const TURNS: usize = 64;

/// The workers, and the ends that their sessions got.
pub(super) struct Pair {
    /// Boxed so that each stays on cache lines of its own.
    pub(super) rigs: [Box<Rig>; 2],
    ends: Arc<Ends>,
}

impl Pair {
    /// Two workers with the sessions of the case, each with its own; `buffers` says where each
    /// takes buffers from and gives them back.
    pub(super) fn new(case: &Case, buffers: [&FreeBuffers; 2]) -> Result<Self, CaseError> {
        let mut rigs = rigs(case, buffers)?;
        let mut ends = Ends::new();
        for (rig, worker) in rigs.iter_mut().zip(0..) {
            merge(
                &mut ends,
                rig.make_sessions(case, Some(owner(case, worker))),
            );
        }
        let sessions = rigs.iter().map(|rig| rig.gateway.counters.sessions.get());
        expect("sessions", case.flows, sessions.sum())?;
        let ends = Arc::new(ends);
        Ok(Self { rigs, ends })
    }

    /// Lets packets of the sessions that `of` owns arrive at the worker `at`.
    pub(super) fn supply(&self, case: &Case, at: usize, of: u16) {
        let frames = case.frames(&self.ends, Some(owner(case, of)));
        self.rigs[at].supply(frames, u64::MAX);
    }

    /// Lets no more arrive at the worker `at`, or everything again.
    pub(super) fn pause(&self, at: usize, paused: bool) {
        let left = if paused { 0 } else { u64::MAX };
        self.rigs[at].receive.supply.0.lock().left = left;
    }

    /// What both counted together.
    pub(super) fn counts(&self) -> Counts {
        let [first, second] = [0, 1].map(|at| Counts::of(&self.rigs[at].gateway.counters));
        first + second
    }
}

fn owner(case: &Case, worker: u16) -> Owner {
    Owner {
        workers: WORKERS,
        worker: WorkerId(worker),
        protocol: case.protocol,
    }
}

/// Both workers, gathered in the daemon's order: it decides what lies beside what in memory.
fn rigs(case: &Case, buffers: [&FreeBuffers; 2]) -> Result<[Box<Rig>; 2], MapError> {
    let shape = case.shape(WORKERS);
    let last = Recruit::new(&shape, WorkerId(1))?;
    let first = Recruit::new(&shape, WorkerId(0))?;
    let shared = Shared::new(&shape);
    let clock = Clock::start(case.virtual_clock);
    let rig = |recruit, free| {
        let queues = Queues::new(case, free);
        Box::new(Rig::of(recruit, &shared, queues, clock))
    };
    Ok([rig(first, buffers[0]), rig(last, buffers[1])])
}

/// Adds the ends of one worker's sessions to those of the other.
fn merge(ends: &mut Ends, more: Ends) {
    if ends.is_empty() {
        *ends = more;
        return;
    }
    for (end, other) in ends.iter_mut().zip(more) {
        let (server, _) = other;
        if server.port != 0 {
            *end = other;
        }
    }
}

/// Gives each worker a thread on a core of its own, lets them prepare, and then work for a window
/// of this length, all at the same time; who is ready first goes on meanwhile. `turn` says how
/// many packets it handled.
pub(super) fn side_by_side<'a>(
    rigs: impl Iterator<Item = &'a mut Box<Rig>>,
    length: Duration,
    prepare: impl Fn(&mut Rig) + Copy + Send,
    turn: impl Fn(&mut Rig, &mut Burst<GeneratedPacket>) -> usize + Copy + Send,
) -> Result<Vec<Stretch>, CaseError> {
    let cores = Cores::choose()?;
    let rigs: Vec<_> = rigs.zip(cores.of_two_workers()).collect();
    let waited_for = AtomicUsize::new(rigs.len());
    thread::scope(|scope| {
        let waited_for = &waited_for;
        let threads: Vec<_> = (rigs.into_iter())
            .map(|(rig, core)| {
                scope.spawn(move || {
                    pin(0, core)?;
                    let mut burst = Burst::new();
                    prepare(rig);
                    waited_for.fetch_sub(1, Ordering::AcqRel);
                    while waited_for.load(Ordering::Acquire) > 0 {
                        turn(rig, &mut burst);
                    }
                    Ok(stretch(length, || turn(rig, &mut burst)))
                })
            })
            .collect();
        let ended = |_| CaseError::Ended;
        let stretches = threads.into_iter().map(|thread| thread.join());
        stretches.map(|joined| joined.map_err(ended)?).collect()
    })
}

fn stretch(length: Duration, mut turn: impl FnMut() -> usize) -> Stretch {
    let (start, cpu) = (Instant::now(), thread_cpu_nanos());
    let mut packets = 0;
    while start.elapsed() < length {
        packets += (0..TURNS).map(|_| turn() as u64).sum::<u64>();
    }
    Stretch {
        packets,
        cpu: Duration::from_nanos((thread_cpu_nanos() - cpu).unsigned_abs()),
        wall: start.elapsed(),
    }
}
