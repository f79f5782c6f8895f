//! twos: of two servers drawn by weight, the one with less to do.
//!
//! M. Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (1996).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::field::{Board, Field};
use super::load;
use super::sum_tree::SumTree;
use super::{FlowInfo, Schedule};
use crate::service::RealServer;

/// The power of two choices.
#[derive(Debug)]
pub struct TwoChoices {
    /// `None` without servers.
    field: Option<Field<Lots>>,
}

/// The weights of the servers that take sessions, and how far the drawing has come.
#[derive(Debug)]
struct Lots {
    weights: SumTree,
    drawn: AtomicU64,
}

impl Board for Lots {
    fn new(places: usize) -> Self {
        Self {
            weights: SumTree::new(places),
            drawn: AtomicU64::new(0),
        }
    }

    fn fill(&self, servers: &[Arc<RealServer>]) {
        for (place, server) in servers.iter().enumerate() {
            self.judge(place, server);
        }
    }

    #[inline]
    fn judge(&self, place: usize, server: &RealServer) {
        let weight = if server.is_eligible() {
            server.weight.0
        } else {
            0
        };
        self.weights.set(place, weight);
    }
}

impl Lots {
    /// Two places, drawn one independent of the other; `None` when nobody takes sessions.
    #[inline]
    fn draw(&self, flow: FlowInfo) -> Option<[usize; 2]> {
        let total = self.weights.total();
        if total == 0 {
            return None;
        }
        // As in the kernel, 0 is drawn too and means the first: it has one lot more than others.
        let lot = || lot(self.random(flow), total).max(1);
        let lots = [lot(), lot()];
        Some(lots.map(|lot| self.weights.reaches(lot)))
    }

    /// The next random number. The client is mixed in, so that gateways with the same history do
    /// not all draw the same.
    #[inline]
    fn random(&self, flow: FlowInfo) -> u64 {
        // SplitMix64 (G. L. Steele, D. Lea, C. H. Flood, 2014).
        let client = u64::from(flow.folded_source) << 16 | u64::from(flow.source_port);
        let before = self.drawn.load(Ordering::Relaxed);
        let state = before.wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.drawn.store(state, Ordering::Relaxed);
        mix(state ^ mix(client))
    }
}

/// The finaliser of SplitMix64.
#[inline]
const fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// Brings a random number down to 0 up to and including `total`.
#[inline]
fn lot(random: u64, total: u64) -> u64 {
    let scaled = u128::from(random) * (u128::from(total) + 1);
    u64::try_from(scaled >> 64).unwrap_or(total)
}

/// Of two places, the one the kernel takes: the second if it has less cost for its weight, in
/// wrapping 32-bit numbers.
#[inline]
fn lesser(servers: &[Arc<RealServer>], [one, other]: [usize; 2]) -> usize {
    let cost = |at: usize| load::overhead(&servers[at]);
    let weight = |at: usize| servers[at].weight.0.cast_signed();
    let left = weight(other).wrapping_mul(cost(one));
    let right = weight(one).wrapping_mul(cost(other));
    if left > right { other } else { one }
}

impl TwoChoices {
    pub(super) fn new(servers: &[Arc<RealServer>]) -> Self {
        Self {
            field: Field::new(servers),
        }
    }

    pub(super) fn lock_waits(&self) -> u64 {
        self.field.as_ref().map_or(0, Field::lock_waits)
    }
}

impl TwoChoices {
    /// The server that [`Schedule::pick`] would give next.
    pub(super) fn peek(&self, servers: &[Arc<RealServer>], flow: FlowInfo) -> Option<usize> {
        let field = self.field.as_ref()?;
        let drawn = field.decide(servers, |lots| {
            let before = lots.drawn.load(Ordering::Relaxed);
            let drawn = lots.draw(flow);
            lots.drawn.store(before, Ordering::Relaxed);
            drawn
        })?;
        Some(lesser(servers, drawn))
    }
}

impl Schedule for TwoChoices {
    /// Costs a binary search for each choice, and a walk of that length for each server that
    /// begins or ceases to take sessions.
    #[inline(never)]
    fn pick(&self, servers: &[Arc<RealServer>], flow: FlowInfo) -> Option<usize> {
        let field = self.field.as_ref()?;
        let drawn = field.decide(servers, |lots| lots.draw(flow))?;
        Some(lesser(servers, drawn))
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{FLOW, server, servers};
    use super::*;
    use crate::schedule::Standings;

    /// The chance that the kernel chooses each place when all cost the same: it has `weight` lots
    /// of all, the first that takes sessions one more; the first choice stands.
    fn chances(weights: &[u32]) -> Vec<f64> {
        let lots = f64::from(weights.iter().sum::<u32>() + 1);
        let first = weights.iter().position(|weight| *weight > 0).unwrap();
        let of = |(at, weight): (usize, &u32)| f64::from(weight + u32::from(at == first)) / lots;
        weights.iter().enumerate().map(of).collect()
    }

    #[test]
    fn idle_servers_are_chosen_by_weight_the_first_a_little_more() {
        const DRAWS: u32 = 100_000;
        let weights = [1, 0, 4, 2, 3];
        let servers = servers(&weights);
        let scheduler = TwoChoices::new(&servers);
        let mut chosen = [0_u32; 5];

        for _ in 0..DRAWS {
            chosen[scheduler.pick(&servers, FLOW).unwrap()] += 1;
        }

        // Five standard deviations of the greatest chance are 0.8 % of all.
        for (chosen, chance) in chosen.into_iter().zip(chances(&weights)) {
            let share = f64::from(chosen) / f64::from(DRAWS);
            assert!((share - chance).abs() < 0.008, "{share} of {chance}");
        }
    }

    #[test]
    fn of_two_the_one_with_less_to_do_for_its_weight_is_chosen() {
        let servers = servers(&[1, 2]);
        for _ in 0..2 {
            load::activate(&servers[0].shared);
        }
        for _ in 0..4 {
            load::activate(&servers[1].shared);
        }

        // 2 · 512 is not more than 1 · 1024: the first choice stands.
        assert_eq!(lesser(&servers, [0, 1]), 0);
        assert_eq!(lesser(&servers, [1, 0]), 1);
        load::deactivate(&servers[1].shared);
        assert_eq!(lesser(&servers, [0, 1]), 1);
    }

    #[test]
    fn a_server_with_more_to_do_is_chosen_when_it_is_drawn_twice() {
        const DRAWS: u32 = 100_000;
        let servers = servers(&[3, 6]);
        load::activate(&servers[1].shared);
        let scheduler = TwoChoices::new(&servers);

        let busy = (0..DRAWS)
            .filter(|_| scheduler.pick(&servers, FLOW) == Some(1))
            .count();

        // It has 6 of 10 lots: 0.6 · 0.6.
        let share = f64::from(u32::try_from(busy).unwrap()) / f64::from(DRAWS);
        assert!((share - 0.36).abs() < 0.008, "{share}");
    }

    #[test]
    fn nobody_is_chosen_when_nobody_takes_sessions() {
        assert_eq!(TwoChoices::new(&[]).pick(&[], FLOW), None);
        let standings = Standings::new();
        let servers = [server(&standings, 0, 0), server(&standings, 5, 1)];
        let scheduler = TwoChoices::new(&servers);
        assert_eq!(scheduler.pick(&servers, FLOW), Some(1));

        load::bind(&servers[1], false);

        assert_eq!(scheduler.pick(&servers, FLOW), None);
        load::unbind(&servers[1], false);
        assert_eq!(scheduler.pick(&servers, FLOW), Some(1));
    }

    #[test]
    fn every_lot_from_none_to_all_can_be_drawn() {
        assert_eq!(lot(0, 9), 0);
        assert_eq!(lot(u64::MAX, 9), 9);
        assert_eq!(lot(u64::MAX / 10 * 5, 9), 4);
    }
}
