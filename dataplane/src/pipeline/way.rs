//! The next hop of a session's packet, and what may be in its way.

use super::{Context, Pipeline};
use crate::address::V4;
use crate::adjacency::Adjacency;
use crate::drop_reason::DropReason;
use crate::icmp_error::IcmpError;
use crate::id::SessionId;
use crate::io::Io;
use crate::parse::Ipv4Facts;
use crate::rewrite::tun;
use crate::route::select;
use crate::service::Method;
use crate::session::{AdjacencyRef, Direction};
use crate::snapshot::Snapshot;

/// A packet and the next hop it goes to.
pub(super) struct Way<'a> {
    pub(super) adjacency: &'a Adjacency,
    /// The address whose route is used.
    pub(super) destination: V4,
    /// The largest IP packet that gets through this way, in bytes: what the next hop says, or with
    /// a tunnel what routers behind it have said.
    pub(super) mtu: u16,
}

impl<'a> Way<'a> {
    /// The way to an address, which no session knows; none when Linux has no route.
    pub(super) fn towards(snapshot: &'a Snapshot, destination: V4) -> Option<Self> {
        let adjacency = snapshot.adjacency(resolve(snapshot, destination).slot)?;
        Some(Self {
            adjacency,
            destination,
            mtu: adjacency.mtu,
        })
    }
}

impl<I: Io> Pipeline<I> {
    /// The next hop in this direction; looks the route up again only when it may have changed.
    #[inline]
    pub(super) fn way<'a>(
        &mut self,
        context: Context<'a>,
        id: SessionId,
        direction: Direction,
    ) -> Option<Way<'a>> {
        let session = self.sessions.get_mut(id);
        let destination = match direction {
            Direction::ToServer => session.server().addr,
            Direction::ToClient => session.client().addr,
        };
        let known = match direction {
            Direction::ToServer => &mut session.to_server,
            Direction::ToClient => &mut session.to_client,
        };
        let adjacency = match context.snapshot.adjacency(known.slot) {
            Some(adjacency) if adjacency.epoch == known.epoch => adjacency,
            _ => {
                *known = way_in(context.snapshot, direction, destination);
                context.snapshot.adjacency(known.slot)?
            }
        };
        let tunnel = direction == Direction::ToServer && session.method() == Method::Tun;
        let slot = session.server_slot;
        let mtu = if tunnel {
            self.path_mtu(context.now, slot, destination, adjacency.mtu)
        } else {
            adjacency.mtu
        };
        Some(Way {
            adjacency,
            destination,
            mtu,
        })
    }

    /// What keeps a packet from going on, as a router sees it: time to live, then size
    /// (connections.md §7.1, 3 and 4).
    #[inline]
    pub(super) fn obstacle(
        &self,
        context: Context<'_>,
        id: SessionId,
        direction: Direction,
        ip: &Ipv4Facts,
        way: &Way<'_>,
    ) -> Option<(IcmpError, DropReason)> {
        let tunnel =
            self.sessions.get(id).method() == Method::Tun && direction == Direction::ToServer;
        let room = match tunnel {
            true if context.snapshot.knobs.pmtu_disc => tun::room(way.mtu),
            true => u16::MAX,
            false => way.mtu,
        };
        router_obstacle(ip, room)
    }
}

/// What keeps a packet from going on where there is room for so many bytes.
#[inline]
pub(super) fn router_obstacle(ip: &Ipv4Facts, room: u16) -> Option<(IcmpError, DropReason)> {
    if ip.ttl <= 1 {
        return Some((IcmpError::TimeExceeded, DropReason::TtlExpired));
    }
    (ip.dont_fragment && ip.total_len > room).then_some((
        IcmpError::FragmentationNeeded { mtu: room },
        DropReason::TooBig,
    ))
}

/// The next hop of a session's packets in this direction.
#[inline]
pub(super) fn way_in(snapshot: &Snapshot, direction: Direction, destination: V4) -> AdjacencyRef {
    match direction {
        Direction::ToServer => towards_server(snapshot, destination),
        Direction::ToClient => resolve(snapshot, destination),
    }
}

/// The next hop towards `destination`; a reference to no slot when Linux has no route.
#[must_use]
pub(super) fn resolve(snapshot: &Snapshot, destination: V4) -> AdjacencyRef {
    // Of several equal ways an address always takes the same one.
    let turn = destination.0.wrapping_mul(0x9e37_79b1);
    let slot = snapshot
        .routes
        .lookup(destination)
        .and_then(|hops| select(hops, turn));
    slot.and_then(|slot| {
        Some(AdjacencyRef {
            slot,
            epoch: snapshot.adjacency(slot)?.epoch,
        })
    })
    .unwrap_or(AdjacencyRef::NOWHERE)
}

/// The next hop towards the server at `addr`; [`AdjacencyRef::LOCAL`] when that is the gateway
/// itself.
#[must_use]
pub(super) fn towards_server(snapshot: &Snapshot, addr: V4) -> AdjacencyRef {
    if snapshot.is_local(addr) {
        AdjacencyRef::LOCAL
    } else {
        resolve(snapshot, addr)
    }
}
