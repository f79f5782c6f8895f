//! When each request of an open loop is due, and on what connection.
//!
//! The times are fixed before the first request leaves, and a response time counts from them. So
//! a request that has to wait because an earlier one stalls counts its wait ("coordinated
//! omission" would hide it).

use std::time::{Duration, Instant};

/// What is asked of one path for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Requests a second.
    pub rate: u32,
    /// How long requests are sent.
    pub window: Duration,
    /// One request in so many makes a connection of its own.
    pub new_every: u32,
    /// Connections that are kept for all the others.
    pub kept: usize,
}

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// When it should leave.
    pub at: Instant,
    /// Whether it makes a connection of its own.
    pub opens: bool,
}

/// The requests of a window, in the order of their times.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    start: Instant,
    load: Load,
    next: u32,
}

impl Schedule {
    /// The requests of `load`, the first one due at `start`.
    #[must_use]
    pub const fn new(start: Instant, load: Load) -> Self {
        Self {
            start,
            load,
            next: 0,
        }
    }

    /// How many requests the window has.
    #[must_use]
    pub fn len(&self) -> u32 {
        let requests = u128::from(self.load.rate) * self.load.window.as_millis() / 1_000;
        u32::try_from(requests).unwrap_or(u32::MAX)
    }

    /// Whether the window has no request.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next request, which stays the next one.
    #[must_use]
    pub fn peek(&self) -> Option<Due> {
        (self.next < self.len()).then(|| {
            let nanos = u64::from(self.next) * 1_000_000_000 / u64::from(self.load.rate.max(1));
            Due {
                at: self.start + Duration::from_nanos(nanos),
                opens: self.next % self.load.new_every.max(1) == self.load.new_every.max(1) - 1,
            }
        })
    }
}

impl Iterator for Schedule {
    type Item = Due;

    fn next(&mut self) -> Option<Due> {
        let due = self.peek()?;
        self.next += 1;
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOAD: Load = Load {
        rate: 300,
        window: Duration::from_secs(2),
        new_every: 5,
        kept: 4,
    };

    #[test]
    fn requests_are_evenly_spaced_and_rounding_does_not_add_up() {
        let start = Instant::now();

        let dues: Vec<Due> = Schedule::new(start, LOAD).collect();

        assert_eq!(dues.len(), 600);
        assert_eq!(dues[0].at, start);
        assert_eq!(dues[300].at, start + Duration::from_secs(1));
        let gaps = dues.windows(2).map(|pair| pair[1].at - pair[0].at);
        assert!(
            gaps.clone()
                .all(|gap| gap.as_nanos().abs_diff(3_333_333) <= 1)
        );
    }

    #[test]
    fn one_in_five_makes_a_connection_of_its_own() {
        let opens = Schedule::new(Instant::now(), LOAD).filter(|due| due.opens);

        assert_eq!(opens.count(), 120);
    }

    #[test]
    fn looking_at_the_next_request_does_not_take_it() {
        let mut schedule = Schedule::new(Instant::now(), LOAD);

        let seen = schedule.peek();

        assert_eq!(schedule.next(), seen);
        assert_ne!(schedule.peek(), seen);
    }
}
