//! One node of the forwarding table: what eight bits of an address decide.
//!
//! ```text
//!   byte of the address ──► best[byte]  ──► routes[n]   the longest prefix that ends in here
//!                      └──► is there a child? ──► its place is the number of children before it
//! ```
//!
//! A node keeps the routes that end in it as they were given, and beside them, for each value of
//! the byte, which of them is the longest: a look-up reads one number, and a change computes the
//! 256 numbers anew. Most nodes have few children, which stand without gaps.

use std::sync::Arc;

use super::NextHops;

/// A route that ends in a node.
#[derive(Clone, Debug)]
struct Route {
    /// The bits the prefix has here, from the top; those behind `len` are 0.
    bits: u8,
    /// How many bits: 1–8, and 0 for the default route.
    len: u8,
    hops: NextHops,
}

/// Routes and children behind eight bits of an address.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// For each byte 1 + the place in `routes` of the longest route that covers it, or 0.
    best: [u16; 256],
    /// Shortest first.
    routes: Vec<Route>,
    /// One bit for each byte that has a child.
    present: [u64; 4],
    children: Vec<Arc<Node>>,
}

impl Default for Node {
    fn default() -> Self {
        Self {
            best: [0; 256],
            routes: Vec::new(),
            present: [0; 4],
            children: Vec::new(),
        }
    }
}

impl Node {
    /// The next hops of the longest route in here that covers `byte`.
    #[inline]
    pub(super) fn best(&self, byte: u8) -> Option<&NextHops> {
        let place = usize::from(self.best[usize::from(byte)]).checked_sub(1)?;
        self.routes.get(place).map(|route| &route.hops)
    }

    /// As [`Self::best`], of the routes no longer than `len`.
    pub(super) fn longest(&self, byte: u8, len: u8) -> Option<&NextHops> {
        let mut longest_first = self.routes.iter().rev();
        longest_first
            .find(|route| route.len <= len && top(byte, route.len) == route.bits)
            .map(|route| &route.hops)
    }

    /// The next hops of exactly this prefix.
    pub(super) fn exact(&self, byte: u8, len: u8) -> Option<&NextHops> {
        let place = self.place_of(byte, len).ok()?;
        Some(&self.routes[place].hops)
    }

    /// Sets a route.
    pub(super) fn set(&mut self, byte: u8, len: u8, hops: NextHops) {
        match self.place_of(byte, len) {
            Ok(place) => self.routes[place].hops = hops,
            Err(place) => {
                let bits = top(byte, len);
                self.routes.insert(place, Route { bits, len, hops });
                self.recompute();
            }
        }
    }

    /// Takes a route out.
    pub(super) fn unset(&mut self, byte: u8, len: u8) -> Option<NextHops> {
        let place = self.place_of(byte, len).ok()?;
        let route = self.routes.remove(place);
        self.recompute();
        Some(route.hops)
    }

    /// Where the prefix stands among the routes, or would.
    fn place_of(&self, byte: u8, len: u8) -> Result<usize, usize> {
        let key = (len, top(byte, len));
        self.routes
            .binary_search_by_key(&key, |route| (route.len, route.bits))
    }

    /// Finds the longest route of each byte: longer ones come later and cover shorter ones.
    fn recompute(&mut self) {
        self.best = [0; 256];
        for (number, route) in (1..).zip(&self.routes) {
            let first = usize::from(route.bits);
            self.best[first..first + (256 >> route.len)].fill(number);
        }
    }

    /// The node behind `byte`.
    #[inline]
    pub(super) fn child(&self, byte: u8) -> Option<&Node> {
        let place = self.child_place(byte).ok()?;
        self.children.get(place).map(|child| &**child)
    }

    /// The node behind `byte`, no longer shared with other tables.
    pub(super) fn child_mut(&mut self, byte: u8) -> Option<&mut Node> {
        let place = self.child_place(byte).ok()?;
        self.children.get_mut(place).map(Arc::make_mut)
    }

    /// As [`Self::child_mut`], with an empty node where there was none.
    pub(super) fn child_or_new(&mut self, byte: u8) -> &mut Node {
        let place = self.child_place(byte).unwrap_or_else(|place| {
            self.present[usize::from(byte) / 64] |= 1 << (byte % 64);
            self.children.insert(place, Arc::default());
            place
        });
        Arc::make_mut(&mut self.children[place])
    }

    /// Removes the node behind `byte` if nothing is in it.
    pub(super) fn prune(&mut self, byte: u8) {
        let Ok(place) = self.child_place(byte) else {
            return;
        };
        if self.children[place].is_empty() {
            self.present[usize::from(byte) / 64] &= !(1 << (byte % 64));
            self.children.remove(place);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.routes.is_empty() && self.children.is_empty()
    }

    /// Where the child behind `byte` stands among the children, or would.
    #[inline]
    fn child_place(&self, byte: u8) -> Result<usize, usize> {
        let (word, bit) = (usize::from(byte) / 64, byte % 64);
        let bits = self.present[word];
        let before = bits & ((1 << bit) - 1);
        let words_before = self.present[..word].iter().map(|bits| bits.count_ones());
        let place = (words_before.sum::<u32>() + before.count_ones()) as usize;
        if bits >> bit & 1 == 1 {
            Ok(place)
        } else {
            Err(place)
        }
    }
}

/// The first `len` bits of `byte`, the others 0.
const fn top(byte: u8, len: u8) -> u8 {
    match len {
        0 => 0,
        len => byte & (u8::MAX << (8 - len)),
    }
}
