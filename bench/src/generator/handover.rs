//! What it costs more when a packet arrives at another worker than its owner.
//!
//! ```text
//!   core A: receive ── worker 0 ──► ring ──┐ then waits
//!   core B:                    then works  └──► worker 1 ── send ──► buffers back to A
//! ```
//!
//! The two take turns: A hands over as many packets as go into its ring, then B takes them all. So
//! neither polls while its CPU time counts, and every cache line of packet and ring still goes
//! from core to core. The baseline of both kinds of packets is the same without workers.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use dataplane::io::{Burst, RxQueue, TxQueue};
use parking_lot::Mutex;

use super::case::{Case, CaseError, expect};
use super::io::{FreeBuffers, GeneratedPacket};
use super::measure::thread_cpu_nanos;
use super::pair::Pair;
use super::rig::Rig;
use crate::median::median;
use crate::replay::cores::{Cores, pin};

/// Turns of A before B has its own: their packets fit the ring between them.
const TURNS: usize = 24;

/// More buffers than are on their way at a time.
const BUFFERS: usize = 1_024;

/// B's turns in a row that find nothing while A says there is something: then it is lost.
const PATIENCE: usize = 1_000;

/// What packets cost, with the baseline of each window taken off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HandedOver {
    /// Nanoseconds for a packet that arrives at its owner.
    pub home: f64,
    /// Nanoseconds of both workers for one that arrives at the other.
    pub handed: f64,
    /// The median of the difference.
    pub more: f64,
}

impl HandedOver {
    /// Measures the case.
    ///
    /// # Errors
    ///
    /// What was not as it has to be; there is no figure then.
    pub fn measure(case: &Case) -> Result<Self, CaseError> {
        let free = FreeBuffers::new(BUFFERS);
        let mut pair = Pair::new(case, [&free, &free])?;
        pair.pause(1, true);
        let before = pair.counts();
        let (mut home, mut handed) = (Vec::new(), Vec::new());
        // The first round only warms up.
        for round in 0..=case.windows {
            let costs = [0, 1].map(|owner| {
                pair.supply(case, 0, owner);
                cost(&mut pair, case.window, owner == 0)
            });
            let [at_home, away] = costs;
            let (at_home, away) = (at_home?, away?);
            if round > 0 {
                home.push(at_home);
                handed.push(away);
            }
        }
        pair.counts().check(&before, case)?;
        let differences = home.iter().zip(&handed).map(|(home, handed)| handed - home);
        let more = median(differences.collect()).unwrap_or(f64::NAN);
        Ok(Self {
            home: median(home).unwrap_or(f64::NAN),
            handed: median(handed).unwrap_or(f64::NAN),
            more,
        })
    }
}

impl fmt::Display for HandedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { home, handed, more } = self;
        write!(
            f,
            "net {handed:.1} ns handed over, {home:.1} at home: {more:.1} more"
        )
    }
}

/// Net nanoseconds for a packet that arrives at worker 0, whether that is its home or not.
fn cost(pair: &mut Pair, packets: u64, is_home: bool) -> Result<f64, CaseError> {
    let handed_before = handed_over(pair);
    let [first, second] = &mut pair.rigs;
    let without = if is_home {
        let mut burst = Burst::new();
        in_turns(packets, || first.pass_through(&mut burst), || None)?
    } else {
        carry(first, second, packets)?
    };
    let with = if is_home {
        in_turns(packets, || first.turn(), || None)?
    } else {
        in_turns(packets, || first.turn(), || Some(second.turn()))?
    };
    let handed = handed_over(pair) - handed_before;
    let expected = if is_home { 0 } else { with.packets };
    expect("packets handed over", expected, handed)?;
    Ok(with.nanos() - without.nanos())
}

fn handed_over(pair: &Pair) -> u64 {
    let [first, second] = &pair.rigs;
    first.gateway.counters.arrived_at_wrong_worker.get()
        + second.gateway.counters.arrived_at_wrong_worker.get()
}

/// One side receives and the other sends, with nothing but a list between.
fn carry(first: &mut Rig, second: &mut Rig, packets: u64) -> Result<Taken, CaseError> {
    let between = Mutex::new(Vec::<GeneratedPacket>::with_capacity(BUFFERS));
    let mut burst = Burst::new();
    let receive = || {
        let count = first.receive.receive(&mut burst);
        between.lock().extend(burst.drain(..));
        count
    };
    let mut burst = Burst::new();
    let send = || {
        let mut waiting = between.lock();
        let rest = waiting.len().saturating_sub(burst.capacity());
        burst.extend(waiting.drain(rest..));
        Some(second.transmit.send(&mut burst))
    };
    in_turns(packets, receive, send)
}

/// What two threads took together.
struct Taken {
    packets: u64,
    cpu_nanos: i64,
}

impl Taken {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    fn nanos(&self) -> f64 {
        self.cpu_nanos as f64 / self.packets as f64
    }
}

/// Lets `give` and `take`, each on a core of its own, work in turns until `packets` are done.
/// `take` says nothing when nothing is for it to do.
fn in_turns(
    packets: u64,
    give: impl FnMut() -> usize + Send,
    take: impl FnMut() -> Option<usize> + Send,
) -> Result<Taken, CaseError> {
    let [core_of_giver, core_of_taker] = Cores::choose()?.of_two_workers();
    // What B has to take; A waits until it is nothing again.
    let given = AtomicU64::new(0);
    thread::scope(|scope| {
        let giver = scope.spawn(|| {
            pin(0, core_of_giver)?;
            Ok::<_, CaseError>(all_given(packets, give, &given))
        });
        let taker = scope.spawn(|| {
            pin(0, core_of_taker)?;
            Ok::<_, CaseError>(all_taken(take, &given))
        });
        let ended = |_| CaseError::Ended;
        let gave = giver.join().map_err(ended)??;
        let took = taker.join().map_err(ended)??;
        expect("packets taken over", gave.packets, took.packets)?;
        Ok(Taken {
            packets: gave.packets,
            cpu_nanos: gave.cpu_nanos + took.cpu_nanos,
        })
    })
}

/// In [`in_turns`]: there will be no more.
const ALL: u64 = u64::MAX;

fn all_given(packets: u64, mut give: impl FnMut() -> usize, given: &AtomicU64) -> Taken {
    let (mut done, mut cpu_nanos) = (0, 0);
    while done < packets {
        let start = thread_cpu_nanos();
        let count = (0..TURNS).map(|_| give() as u64).sum::<u64>();
        cpu_nanos += thread_cpu_nanos() - start;
        if count == 0 {
            // Buffers are gone, so packets were dropped, which the case will say.
            break;
        }
        done += count;
        given.store(count, Ordering::Release);
        while given.load(Ordering::Acquire) > 0 {
            thread::yield_now();
        }
    }
    given.store(ALL, Ordering::Release);
    Taken {
        packets: done,
        cpu_nanos,
    }
}

fn all_taken(mut take: impl FnMut() -> Option<usize>, given: &AtomicU64) -> Taken {
    let (mut done, mut cpu_nanos) = (0, 0);
    loop {
        let count = given.load(Ordering::Acquire);
        match count {
            0 => {
                thread::yield_now();
                continue;
            }
            ALL => break,
            _ => {}
        }
        let start = thread_cpu_nanos();
        let (mut taken, mut in_vain) = (0, 0);
        while taken < count && in_vain < PATIENCE {
            // Who has nothing to do has taken everything.
            let more = take().map_or(count, |more| more as u64);
            taken += more;
            in_vain = if more == 0 { in_vain + 1 } else { 0 };
        }
        cpu_nanos += thread_cpu_nanos() - start;
        done += taken;
        given.store(0, Ordering::Release);
    }
    Taken {
        packets: done,
        cpu_nanos,
    }
}

#[cfg(test)]
mod tests {
    use dataplane::address::Protocol;
    use dataplane::service::{Method, SchedulerKind};

    use super::super::case::Load;
    use super::*;

    #[test]
    fn packets_that_arrive_at_the_other_worker_all_reach_their_owner() {
        for (method, load) in [(Method::Dr, Load::Request), (Method::Nat, Load::Reply)] {
            let case = Case {
                method,
                protocol: Protocol::Udp,
                flows: 100,
                load,
                scheduler: SchedulerKind::Rr,
                servers: 10,
                window: 2_000,
                without_baseline: false,
                virtual_clock: true,
                persistent: false,
                windows: 1,
            };

            // The case itself asserts that none is lost and that all were handed over.
            let figures = HandedOver::measure(&case);

            assert!(figures.is_ok_and(|it| it.more.is_finite()), "{method}");
        }
    }
}
