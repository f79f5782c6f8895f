//! wrr: each server as often as its weight says, heavier ones more often in a row.
//!
//! The scheduler passes over the list again and again with a falling bar: a pass serves, in
//! order, the servers whose weight reaches the bar. The bar falls from the greatest weight by
//! the greatest common divisor of all weights.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::next_in_line::NextInLine;
use super::spin::SpinLock;
use super::{Change, FlowInfo, Schedule, gcd};
use crate::id::Weight;
use crate::service::RealServer;

/// Weighted round robin.
#[derive(Debug)]
pub struct WeightedRoundRobin {
    bars: Bars,
    place: SpinLock<Place>,
    line: NextInLine,
}

/// Which bars there are. Overloaded servers count here too, as in the kernel.
#[derive(Clone, Copy, Debug)]
struct Bars {
    /// The first one, after which the lowest comes at `step` or below; 0 when no server has a
    /// weight.
    highest: u32,
    /// The greatest common divisor of the weights, 1 without any.
    step: u32,
}

/// Where the scheduler stands.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// The server it looked at last; `None` is in front of the list.
    cursor: Option<usize>,
    bar: u32,
}

/// The weights of a list of servers, each with how many have it: the bar falls by the step after
/// each of several commands, so where it comes to rest depends on all of them.
#[derive(Debug, Default)]
struct Weights(BTreeMap<u32, isize>);

impl Weights {
    /// Those of the list before the changes that led to `servers`.
    fn before(changes: &[Change], servers: &[Arc<RealServer>]) -> Self {
        let mut weights = Self::default();
        for server in servers {
            weights.put(server.weight);
        }
        for change in changes {
            match *change {
                Change::Added(_, weight) => weights.take(weight),
                Change::Removed(_, weight) => weights.put(weight),
                Change::Edited(from, to) | Change::Weighed(from, to) => {
                    weights.put(from);
                    weights.take(to);
                }
            }
        }
        weights
    }

    fn follow(&mut self, change: Change) {
        match change {
            Change::Added(_, weight) => self.put(weight),
            Change::Removed(_, weight) => self.take(weight),
            Change::Edited(from, to) | Change::Weighed(from, to) => {
                self.put(to);
                self.take(from);
            }
        }
    }

    fn put(&mut self, weight: Weight) {
        self.count(weight, 1);
    }

    fn take(&mut self, weight: Weight) {
        self.count(weight, -1);
    }

    fn count(&mut self, weight: Weight, more: isize) {
        let count = self.0.entry(weight.0).or_default();
        *count += more;
        if *count == 0 {
            self.0.remove(&weight.0);
        }
    }

    fn bars(&self) -> Bars {
        Bars::among(self.0.keys().copied())
    }
}

impl Bars {
    fn of(servers: &[Arc<RealServer>]) -> Self {
        Self::among(servers.iter().map(|server| server.weight.0))
    }

    fn among(weights: impl Iterator<Item = u32> + Clone) -> Self {
        let step = weights.clone().fold(0, gcd).max(1);
        Self {
            highest: weights.max().unwrap_or(0).saturating_sub(step - 1),
            step,
        }
    }

    /// The bar after a change of the servers, when it was at `bar` before.
    fn align(self, bar: u32) -> u32 {
        if bar > self.highest || bar == 0 {
            self.highest
        } else if self.step > 1 {
            bar / self.step * self.step + 1
        } else {
            bar
        }
    }

    /// The first bar, from `bar` downwards, at or below the weight `reached` of the heaviest server
    /// that takes sessions, or else the lowest. The passes left out would serve nobody; taking them one by one would hold the lock
    /// for as many passes as the greatest weight.
    fn skip_idle(self, bar: u32, reached: u32) -> u32 {
        let above = bar.saturating_sub(reached.max(self.step));
        bar - above.div_ceil(self.step) * self.step
    }
}

impl WeightedRoundRobin {
    pub(super) fn new(servers: &[Arc<RealServer>]) -> Self {
        let bars = Bars::of(servers);
        let place = Place {
            cursor: None,
            bar: bars.highest,
        };
        Self {
            bars,
            place: SpinLock::new(place),
            line: NextInLine::new(servers),
        }
    }

    /// Any command about a server starts a new pass at about the present bar. Weights that move by
    /// themselves, perhaps each second, do not: of a long list nobody would come to the end.
    pub(super) fn changed(&self, servers: &[Arc<RealServer>], changes: &[Change]) -> Self {
        let place = *self.place.lock();
        if changes.is_empty() {
            return Self {
                bars: self.bars,
                place: self.place.successor(place),
                line: NextInLine::new(servers),
            };
        }
        let bars = Bars::of(servers);
        let is_command = |change: &Change| !matches!(change, Change::Weighed(..));
        let mut next = place;
        if changes.iter().any(is_command) {
            next.cursor = None;
            let mut weights = Weights::before(changes, servers);
            for change in changes {
                weights.follow(*change);
                if is_command(change) {
                    next.bar = weights.bars().align(next.bar);
                }
            }
        }
        next.bar = bars.align(next.bar);
        Self {
            bars,
            place: self.place.successor(next),
            line: NextInLine::new(servers),
        }
    }

    pub(super) fn lock_waits(&self) -> u64 {
        self.place.waits() + self.line.lock_waits()
    }

    /// The server that [`Schedule::pick`] would give next.
    pub(super) fn peek(&self, servers: &[Arc<RealServer>]) -> Option<usize> {
        if self.bars.highest == 0 {
            return None;
        }
        let place = self.place.lock();
        self.walk(servers, &mut { *place })
    }

    /// Goes on from a place to the next server whose weight reaches the bar, and leaves the place
    /// there.
    #[inline(always)]
    fn walk(&self, servers: &[Arc<RealServer>], place: &mut Place) -> Option<usize> {
        let bars = self.bars;
        let began = place.cursor;
        let mut from = began.map_or(0, |at| at + 1);
        let mut stop = None;
        let (mut lowest, mut restarted) = (false, false);
        loop {
            let next = self.line.find(servers, from, place.bar);
            let stop_here = stop.filter(|at| *at >= from);
            let is_first = |at| next.is_none_or(|next| at < next);
            if let Some(at) = stop_here.filter(|at| is_first(*at)) {
                place.cursor = Some(at);
                return None;
            }
            if next.is_some() {
                place.cursor = next;
                return next;
            }
            let was_whole = from == 0;
            from = 0;
            place.bar = place.bar.saturating_sub(bars.step);
            if place.bar == 0 {
                place.bar = bars.highest;
                if lowest || began.is_none() {
                    place.cursor = None;
                    return None;
                }
                restarted = true;
            }
            // A whole pass that served nobody tells that the heaviest take no sessions now.
            if was_whole {
                place.bar = bars.skip_idle(place.bar, self.line.heaviest(servers));
            }
            lowest = place.bar <= bars.step;
            if lowest && restarted {
                stop = began;
            }
        }
    }
}

impl Schedule for WeightedRoundRobin {
    /// At most eight passes over the list: the rest of the present one, and twice the way down. A
    /// pass looks at the servers near by, and else asks a tree who is next.
    #[inline(never)]
    fn pick(&self, servers: &[Arc<RealServer>], _client: FlowInfo) -> Option<usize> {
        if self.bars.highest == 0 {
            return None;
        }
        self.walk(servers, &mut self.place.lock())
    }
}
