//! Next hops with their MAC addresses, mirrored from Linux.
//!
//! A session refers to its next hops by slot. The adjacency behind the slot may change (a new
//! MAC takes effect with the next snapshot); when routes change so that sessions using a slot may
//! now belong to another one, the slot's epoch moves on and those sessions look up their route
//! again.

use std::net::IpAddr;

use crate::address::MacAddr;
use crate::id::InterfaceId;

/// One next hop on one interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adjacency {
    /// Where frames to it leave.
    pub interface: InterfaceId,
    /// Its MAC; `None` until Linux knows it.
    pub mac: Option<MacAddr>,
    /// Its address; `None` for a connected subnet as a whole, where each destination is its own
    /// next hop and becomes an adjacency of its own once Linux knows its MAC.
    pub next_hop: Option<IpAddr>,
    /// The largest IP packet that may go this way, in bytes.
    pub mtu: u16,
    /// Moves on when users of this slot must look up their route again.
    pub epoch: u32,
}

impl Adjacency {
    /// The address whose MAC is needed to send to `destination` this way.
    #[must_use]
    pub fn neighbour(&self, destination: IpAddr) -> IpAddr {
        self.next_hop.unwrap_or(destination)
    }
}
