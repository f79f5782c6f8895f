//! Longest-prefix routes, mirrored from Linux.
//!
//! A [`ForwardingTable`] is part of a snapshot: cloning it copies one pointer, and changing a
//! clone copies only the nodes on the way to the changed prefix. Eight bits of the address are
//! looked at in each node (see [`node`]), so an IPv4 look-up touches at most four.

use std::sync::Arc;

use self::node::Node;
use crate::address::Address;
use crate::id::AdjacencySlot;

mod node;

#[cfg(test)]
mod tests;

/// The next hops of a route. None at all is a route that leads nowhere (`unreachable`,
/// `blackhole`, `prohibit`), which is not the same as having no route.
pub type NextHops = Arc<[AdjacencySlot]>;

/// Bits of the address each node decides.
const STRIDE: u8 = 8;

/// Routes of one family, longest prefix first.
#[derive(Clone, Debug)]
pub struct ForwardingTable<A> {
    root: Arc<Node>,
    family: std::marker::PhantomData<A>,
}

impl<A> Default for ForwardingTable<A> {
    fn default() -> Self {
        Self {
            root: Arc::default(),
            family: std::marker::PhantomData,
        }
    }
}

impl<A: Address> ForwardingTable<A> {
    /// A table without routes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The next hops of the longest prefix that covers `addr`; `None` without a route.
    #[inline]
    #[must_use]
    pub fn lookup(&self, addr: A) -> Option<&[AdjacencySlot]> {
        let mut node = &*self.root;
        let mut best = None;
        for depth in 0..A::BITS / STRIDE {
            let byte = byte_of(addr, depth);
            best = node.best(byte).or(best);
            match node.child(byte) {
                Some(child) => node = child,
                None => break,
            }
        }
        best.map(|hops| &**hops)
    }

    /// Sets the route to the first `len` bits of `prefix` (the others are ignored; `len` 0 is the
    /// default route), and gives what packets to it used before: the next hops of the route that
    /// was replaced, or else of the next shorter prefix that covers it.
    pub fn insert(&mut self, prefix: A, len: u8, hops: &[AdjacencySlot]) -> Option<NextHops> {
        let len = len.min(A::BITS);
        let before = self.covering(prefix, len).cloned();
        let depth = depth_of(len);
        let mut node = Arc::make_mut(&mut self.root);
        for depth in 0..depth {
            node = node.child_or_new(byte_of(prefix, depth));
        }
        node.set(byte_of(prefix, depth), len - depth * STRIDE, hops.into());
        before
    }

    /// Removes the route to the first `len` bits of `prefix` and gives its next hops; packets to
    /// it then use the next shorter prefix that covers it. `None`, and nothing changes, when
    /// there is no such route.
    pub fn remove(&mut self, prefix: A, len: u8) -> Option<NextHops> {
        // A table that is shared with a snapshot must not be copied for nothing.
        self.exact(prefix, len)?;
        remove_below(Arc::make_mut(&mut self.root), prefix, len, 0)
    }

    /// The next hops of exactly this prefix.
    #[must_use]
    pub fn exact(&self, prefix: A, len: u8) -> Option<&NextHops> {
        if len > A::BITS {
            return None;
        }
        let depth = depth_of(len);
        let mut node = &*self.root;
        for depth in 0..depth {
            node = node.child(byte_of(prefix, depth))?;
        }
        node.exact(byte_of(prefix, depth), len - depth * STRIDE)
    }

    /// The next hops of the longest prefix, at most `len` bits long, that covers the first `len`
    /// bits of `prefix`.
    fn covering(&self, prefix: A, len: u8) -> Option<&NextHops> {
        let mut node = &*self.root;
        let mut best = None;
        for depth in 0..=depth_of(len) {
            let byte = byte_of(prefix, depth);
            let within = (len - depth * STRIDE).min(STRIDE);
            best = node.longest(byte, within).or(best);
            match node.child(byte) {
                Some(child) => node = child,
                None => break,
            }
        }
        best
    }
}

/// Chooses one of several next hops for a flow, the same for all its packets.
#[inline]
#[must_use]
pub fn select(hops: &[AdjacencySlot], flow_hash: u32) -> Option<AdjacencySlot> {
    let scaled = (u64::from(flow_hash) * hops.len() as u64) >> 32;
    hops.get(usize::try_from(scaled).ok()?).copied()
}

/// Removes a route from `node`, which stands at `depth`, or from below it, with the nodes that
/// are left without any.
fn remove_below<A: Address>(node: &mut Node, prefix: A, len: u8, depth: u8) -> Option<NextHops> {
    let byte = byte_of(prefix, depth);
    if depth == depth_of(len) {
        return node.unset(byte, len - depth * STRIDE);
    }
    let removed = remove_below(node.child_mut(byte)?, prefix, len, depth + 1);
    node.prune(byte);
    removed
}

/// The depth of the node that holds prefixes of this length: 1–8 bits and the default route in
/// the root, 9–16 bits below it, and so on.
const fn depth_of(len: u8) -> u8 {
    len.saturating_sub(1) / STRIDE
}

/// The byte of the address that a node at `depth` decides by.
#[inline]
fn byte_of<A: Address>(addr: A, depth: u8) -> u8 {
    addr.byte(depth)
}
