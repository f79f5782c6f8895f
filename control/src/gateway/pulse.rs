//! Tells a worker that turns from one that is stuck.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The turns of each worker when they were last seen to change.
#[derive(Debug, Default)]
pub(super) struct Pulse(Mutex<Vec<Beat>>);

#[derive(Clone, Copy, Debug)]
struct Beat {
    turns: u64,
    since: Instant,
}

impl Pulse {
    /// For how long each worker is known to stand still, given how many turns each has done
    /// until `now`. Zero the first time: a stuck worker shows when it is looked at again.
    pub(super) fn still(&self, turns: impl Iterator<Item = u64>, now: Instant) -> Vec<Duration> {
        let mut beats = self.0.lock();
        let looks = turns.enumerate().map(|(worker, turns)| {
            let beat = Beat { turns, since: now };
            match beats.get_mut(worker) {
                Some(known) if known.turns == turns => now.saturating_duration_since(known.since),
                Some(known) => {
                    *known = beat;
                    Duration::ZERO
                }
                None => {
                    beats.push(beat);
                    Duration::ZERO
                }
            }
        });
        looks.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_turns_is_not_still_and_one_that_does_not_is() {
        let (pulse, start) = (Pulse::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(pulse.still([5, 5].into_iter(), start), [Duration::ZERO; 2]);

        let still = pulse.still([5, 6].into_iter(), after(3));

        assert_eq!(still, [Duration::from_secs(3), Duration::ZERO]);
        assert_eq!(
            pulse.still([6, 6].into_iter(), after(4)),
            [Duration::ZERO, Duration::from_secs(1)]
        );
    }
}
