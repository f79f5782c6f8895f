//! The timing wheel: when which session has to be looked at.
//!
//! ```text
//!              reached                    farthest = reached + 16,383
//!                 ▼                          ▼
//!  slots  ┌───┬───┬───┬───┬─ … ─┬───┬───┬───┐      one slot = 16 ticks = 62.5 ms
//!         │   │ ● │   │ ● │     │   │   │   │      all slots = 1,024 s
//!         └───┴─┼─┴───┴─┼─┴─ … ─┴───┴───┴───┘
//!               ●       ●   ◄─ a doubly linked list through the sessions themselves
//! ```
//!
//! A list is walked from node to node, and each lies somewhere else in memory. So a node also
//! remembers the one that was filed [`AHEAD`] turns before it, to be asked for in time; that is
//! a hint and may be wrong.
//!
//! Filing and unfiling are O(1). A deadline beyond the farthest slot is filed there and filed
//! again when that slot is reached; so is a session whose deadline has moved later since. The
//! wheel never removes anything by itself: it says what is due.

use crate::memory::plain_data;
use crate::time::Tick;

/// Slots of the wheel; a power of two.
const SLOTS: u32 = 1 << 14;

/// A slot covers 2^4 = 16 ticks.
const SLOT_SHIFT: u32 = 4;

/// Slot numbers count on, in the 28 bits that are left of a tick.
const NUMBER_MASK: u32 = u32::MAX >> SLOT_SHIFT;

/// The end of a list.
const END: u32 = u32::MAX;

/// In [`Links::prev`]: the rest of the number is a slot, whose list begins here.
const HEAD: u32 = 1 << 31;

/// The most nodes a wheel can file: numbers above mean the heads of lists.
pub(super) const MAX_NODES: usize = HEAD as usize;

plain_data! {
    /// A node's neighbours in its slot's list.
    #[derive(Clone, Copy, Debug, Default)]
    #[repr(C)]
    pub(super) struct Links {
        pub(super) next: u32,
        prev: u32,
        /// The node [`AHEAD`] places behind this one, when both were filed.
        ahead: u32,
    }
}

/// How many nodes ahead a list asks for.
const AHEAD: usize = 4;

/// The beginning of a slot's list.
#[derive(Clone, Copy, Debug)]
struct Slot {
    /// The first node.
    head: u32,
    /// The nodes filed last, the oldest first.
    filed: [u32; AHEAD],
}

impl Slot {
    const EMPTY: Self = Self {
        head: END,
        filed: [END; AHEAD],
    };
}

/// What a wheel can file.
pub(super) trait Timed {
    /// When it is due.
    fn deadline(&self) -> Tick;

    /// Its neighbours.
    fn links(&self) -> Links;

    /// Its neighbours, to be changed.
    fn links_mut(&mut self) -> &mut Links;

    /// Hints the CPU to fetch what the wheel will ask.
    fn prefetch(&self) {}
}

/// The slots; the lists run through a slice of nodes that is given to every call.
#[derive(Debug)]
pub(super) struct Wheel {
    slots: Box<[Slot]>,
    /// The number of the first slot that may still hold something due.
    reached: u32,
}

impl Wheel {
    /// An empty wheel that begins to turn at `now`.
    pub(super) fn new(now: Tick) -> Self {
        Self {
            slots: vec![Slot::EMPTY; SLOTS as usize].into_boxed_slice(),
            reached: slot_number(now),
        }
    }

    /// Files node `id`, which must not be filed, under its deadline.
    pub(super) fn file<T: Timed>(&mut self, nodes: &mut [T], id: u32) {
        let deadline = slot_number(nodes[id as usize].deadline());
        // Relative to what was reached, so that a list never holds two turns' sessions, however
        // far the wheel lags behind.
        let ahead = slots_until(self.reached, deadline).clamp(0, SLOTS.cast_signed() - 1);
        let slot = self.reached.wrapping_add_signed(ahead) & (SLOTS - 1);

        let Slot { head, filed } = &mut self.slots[slot as usize];
        let next = std::mem::replace(head, id);
        let ahead = filed[0];
        filed.rotate_left(1);
        filed[AHEAD - 1] = id;
        if next != END {
            nodes[next as usize].links_mut().prev = id;
        }
        *nodes[id as usize].links_mut() = Links {
            next,
            prev: HEAD | slot,
            ahead,
        };
    }

    /// Takes the filed node `id` out of its list.
    pub(super) fn unfile<T: Timed>(&mut self, nodes: &mut [T], id: u32) {
        let Links { next, prev, .. } = nodes[id as usize].links();
        if prev & HEAD != 0 {
            self.slots[(prev & !HEAD) as usize].head = next;
        } else {
            nodes[prev as usize].links_mut().next = next;
        }
        if next != END {
            nodes[next as usize].links_mut().prev = prev;
        }
    }

    /// Turns the wheel towards `now` until a node is due, and gives it unfiled; `None` when the
    /// wheel has caught up or `budget` is used up. Passing a slot and looking at a node cost
    /// one each.
    pub(super) fn next_due<T: Timed>(
        &mut self,
        nodes: &mut [T],
        now: Tick,
        budget: &mut u32,
    ) -> Option<u32> {
        let present = slot_number(now);
        if slots_until(self.reached, present) > SLOTS.cast_signed() {
            // More than a turn behind: one turn passes every slot, so the rest is skipped.
            self.reached = present.wrapping_sub(SLOTS) & NUMBER_MASK;
        }
        while *budget > 0 && slots_until(self.reached, present) > 0 {
            *budget -= 1;
            let id = self.slots[(self.reached & (SLOTS - 1)) as usize].head;
            if id == END {
                self.reached = (self.reached + 1) & NUMBER_MASK;
                continue;
            }
            let ahead = nodes[id as usize].links().ahead;
            if let Some(ahead) = nodes.get(ahead as usize) {
                ahead.prefetch();
            }
            self.unfile(nodes, id);
            if nodes[id as usize].deadline().is_due(now) {
                return Some(id);
            }
            // Its deadline lies beyond the slot reached, so it goes to another list.
            self.file(nodes, id);
        }
        None
    }

    /// Bytes the slots take.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.slots)
    }
}

/// The number of the slot in which `tick` lies.
const fn slot_number(tick: Tick) -> u32 {
    tick.0 >> SLOT_SHIFT
}

/// Slots from one number to another, negative when the other has passed.
const fn slots_until(from: u32, to: u32) -> i32 {
    // Shifted up, the 28-bit difference wraps as ticks do.
    (to.wrapping_sub(from) << SLOT_SHIFT).cast_signed() >> SLOT_SHIFT
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::session::testing::Dice;
    use crate::time::TICKS_PER_SECOND;

    #[derive(Clone, Copy, Default)]
    struct Node {
        deadline: Tick,
        links: Links,
    }

    impl Timed for Node {
        fn deadline(&self) -> Tick {
            self.deadline
        }

        fn links(&self) -> Links {
            self.links
        }

        fn links_mut(&mut self) -> &mut Links {
            &mut self.links
        }
    }

    /// A wheel and its nodes beside a model: which node is filed, and until when.
    struct Pair {
        wheel: Wheel,
        nodes: Vec<Node>,
        model: BTreeMap<u32, Tick>,
        now: Tick,
    }

    impl Pair {
        fn new(nodes: usize, now: Tick) -> Self {
            Self {
                wheel: Wheel::new(now),
                nodes: vec![Node::default(); nodes],
                model: BTreeMap::new(),
                now,
            }
        }

        fn file(&mut self, id: u32, ticks: u32) {
            if self.model.contains_key(&id) {
                self.wheel.unfile(&mut self.nodes, id);
            }
            self.nodes[id as usize].deadline = self.now.plus(ticks);
            self.wheel.file(&mut self.nodes, id);
            self.model.insert(id, self.now.plus(ticks));
        }

        fn stamp_later(&mut self, id: u32, ticks: u32) {
            if let Some(deadline) = self.model.get_mut(&id) {
                *deadline = deadline.plus(ticks);
                self.nodes[id as usize].deadline = *deadline;
            }
        }

        fn unfile(&mut self, id: u32) {
            if self.model.remove(&id).is_some() {
                self.wheel.unfile(&mut self.nodes, id);
            }
        }

        /// Takes what is due within `budget`; everything given must be due and filed.
        fn turn(&mut self, mut budget: u32) -> u32 {
            let mut count = 0;
            while let Some(id) = self.wheel.next_due(&mut self.nodes, self.now, &mut budget) {
                let deadline = self.model.remove(&id).expect("given twice or never filed");
                assert!(deadline.is_due(self.now));
                count += 1;
            }
            count
        }

        fn assert_nothing_is_late(&self) {
            for deadline in self.model.values() {
                let late = -self.now.until(*deadline);
                assert!(late < 16, "{late} ticks late");
            }
        }
    }

    #[test]
    fn the_wheel_gives_what_a_sorted_list_would_across_jumps_and_wraps() {
        for seed in 0..8 {
            let mut dice = Dice(seed);
            // The counter of ticks wraps after some steps.
            let mut pair = Pair::new(300, Tick(u32::MAX - 50_000));
            for _ in 0..3_000 {
                let id = dice.below(300);
                match dice.below(8) {
                    0..3 => pair.file(id, dice.below(2_000 * TICKS_PER_SECOND)),
                    3 => pair.file(id, dice.below(64)),
                    4 => pair.stamp_later(id, dice.below(3_000 * TICKS_PER_SECOND)),
                    5 => pair.unfile(id),
                    _ => {
                        let is_jump = dice.once_in(10);
                        let hours = 7_200 * TICKS_PER_SECOND;
                        let ticks = dice.below(if is_jump { hours } else { 400 });
                        pair.now = pair.now.plus(ticks);
                        pair.turn(u32::MAX);
                        pair.assert_nothing_is_late();
                    }
                }
            }
            pair.now = pair.now.plus(5_000 * TICKS_PER_SECOND);
            pair.turn(u32::MAX);
            assert!(pair.model.is_empty());
        }
    }

    #[test]
    fn a_jump_of_days_is_caught_up_with_in_bounded_steps() {
        // Given 1,000 nodes that end within half an hour, and nobody looking for three days.
        let mut pair = Pair::new(1_000, Tick(0));
        for id in 0..1_000 {
            pair.file(id, id * 450);
        }
        pair.now = Tick(3 * 86_400 * TICKS_PER_SECOND);

        // When the wheel turns in calls of 100 steps.
        let mut calls = 0;
        while !pair.model.is_empty() {
            assert!(pair.turn(100) <= 100);
            calls += 1;
        }

        // Then one turn of the wheel and a step for each node were enough.
        assert!(calls <= (SLOTS + 1_000) / 100 + 1, "{calls} calls");
    }

    #[test]
    fn what_is_filed_while_the_wheel_lags_is_neither_early_nor_lost() {
        let mut pair = Pair::new(1_000, Tick(0));
        for id in 0..500 {
            pair.file(id, 300);
        }
        // Given a wheel that is hours behind and catches up a little.
        pair.now = Tick(10 * 3_600 * TICKS_PER_SECOND);
        pair.turn(600);

        // When nodes are filed before it has caught up.
        for id in 500..1_000 {
            pair.file(id, 60 * TICKS_PER_SECOND + id);
        }

        // Then they are given at their time.
        pair.turn(u32::MAX);
        assert_eq!(pair.model.len(), 500);
        pair.now = pair.now.plus(60 * TICKS_PER_SECOND + 750);
        pair.turn(u32::MAX);
        pair.assert_nothing_is_late();
        assert!(pair.model.len() <= 265);
        assert!(pair.model.len() >= 249);
    }

    #[test]
    fn a_deadline_of_31_days_is_kept() {
        let mut pair = Pair::new(1, Tick(u32::MAX - 5));
        let ticks = Tick::MAX_TIMEOUT_SECONDS * TICKS_PER_SECOND;
        pair.file(0, ticks);

        for _ in 0..31 * 24 {
            pair.now = pair.now.plus(3_599 * TICKS_PER_SECOND);
            assert_eq!(pair.turn(u32::MAX), 0);
        }

        pair.now = Tick(u32::MAX - 5).plus(ticks + 16);
        assert_eq!(pair.turn(u32::MAX), 1);
    }
}
