//! What a cache line takes from one core to another: the least that anything shared can cost.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use crossbeam_utils::CachePadded;

use crate::median::median;
use crate::replay::cores::{Cores, pin};
use crate::replay::failure::Failure;

/// Times that the line goes there and back in a round.
const TRIPS: usize = 100_000;

/// Rounds; the figure is their median.
const ROUNDS: usize = 9;

/// Nanoseconds from a store of one of the two workers' cores until the other one sees it.
///
/// # Errors
///
/// When there is one core only.
pub fn nanos() -> Result<f64, Failure> {
    let [here, there] = Cores::choose()?.of_two_workers();
    let line = CachePadded::new(AtomicU64::new(0));
    let await_value = |value| {
        while line.load(Ordering::Acquire) != value {
            std::hint::spin_loop();
        }
    };
    let trips = || (0..ROUNDS * TRIPS).map(|trip| 2 * trip as u64 + 1);
    thread::scope(|scope| {
        // Not pinned, it would still answer, only slower.
        scope.spawn(|| {
            let _ = pin(0, there);
            for value in trips() {
                await_value(value);
                line.store(value + 1, Ordering::Release);
            }
        });
        let player = scope.spawn(|| {
            let pinned = pin(0, here);
            let mut values = trips();
            let rounds: Vec<_> = (0..ROUNDS)
                .map(|_| {
                    let start = Instant::now();
                    for value in values.by_ref().take(TRIPS) {
                        line.store(value, Ordering::Release);
                        await_value(value + 1);
                    }
                    start.elapsed().as_secs_f64() * 1e9 / (2 * TRIPS) as f64
                })
                .collect();
            pinned.map(|()| median(rounds).unwrap_or_default())
        });
        let ended = |_| Failure::Machine("a thread ended before its time".to_owned());
        player.join().map_err(ended)?
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_line_takes_some_time_and_no_eternity() {
        let nanos = super::nanos().unwrap();

        assert!(nanos > 1.0 && nanos < 1e6, "{nanos}");
    }
}
