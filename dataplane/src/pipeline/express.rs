//! The express lane: a plain packet of a session in full swing, taken from the look-up to the wire
//! in one go.
//!
//! Nearly all packets change nothing but counters and a time stamp: their session stays in its
//! state, its server is still a server, the next hops are as they were. For these everything that
//! the general way ([`hit`](super::hit)) decides step by step comes down to a few comparisons. A
//! packet that is anything else is given back as it was, and goes the general way. So the general
//! way says what is right; this one does the same, or nothing.

use super::known::KnownHop;
use super::{Context, Lane, Outputs, Pipeline};
use crate::address::{Protocol, V4};
use crate::drop_reason::DropReason;
use crate::io::{Io, Packet};
use crate::parse::Plain;
use crate::rewrite::plain;
use crate::rewrite::tun::{self, Inner, Tunnel};
use crate::service::Method;
use crate::session::{Direction, Session, SessionFlags, SessionTable};
use crate::time::Tick;
use crate::wire::plain::{PlainIpv4, PlainIpv4Mut};

/// Bytes of an IP header without options.
const IP_HEADER: u16 = 20;

impl<I: Io> Pipeline<I> {
    /// Takes a plain packet of a steady session all the way; gives back, as it was, any other.
    #[inline(always)]
    pub(super) fn express(
        &mut self,
        context: Context<'_>,
        lane: &Lane,
        packet: I::Packet,
    ) -> Result<(), I::Packet> {
        match lane.candidate.direction() {
            Direction::ToServer => self.express_to_server(context, lane, packet),
            Direction::ToClient => self.express_to_client(context, lane, packet),
        }
    }

    /// A client's packet. It goes where its server is, which is where its session says unless the
    /// routes have changed.
    #[inline(always)]
    fn express_to_server(
        &mut self,
        context: Context<'_>,
        lane: &Lane,
        mut packet: I::Packet,
    ) -> Result<(), I::Packet> {
        let Context { snapshot, now } = context;
        let (plain, direction) = (&lane.plain, Direction::ToServer);
        let l3 = usize::from(plain.l3_offset);
        let ip = packet.bytes_mut().get_mut(l3..);
        let Some(mut ip) = ip.and_then(PlainIpv4Mut::new) else {
            return Err(packet);
        };
        let Some(session) = steady(&mut self.sessions, lane, direction, &ip.view(), now) else {
            return Err(packet);
        };
        let slot = session.server_slot;
        let Some(server) = self.servers.get(snapshot, self.worker, slot) else {
            return Err(packet);
        };
        let hop = &server.hop;
        let is_tunnelled = session.method() == Method::Tun;
        let room = if is_tunnelled {
            hop.tunnel_room
        } else {
            hop.room
        };
        let deadline = now.plus(snapshot.timeouts.ticks(session.state));
        let may_go = server.available
            && session.to_server == server.way
            && fits(plain, &ip.view(), room)
            && session.may_be_stamped(deadline);
        if !may_go || !rewrite_for_server(session, plain, &mut ip) {
            return Err(packet);
        }
        let inner = is_tunnelled.then(|| Inner::of(&ip.view()));
        session.stamp(deadline);
        session.count(direction, u64::from(plain.total_len));
        server.traffic.count(direction, plain.total_len);
        if let Some(inner) = inner {
            let tunnel = Tunnel {
                source: hop.tunnel_source,
                destination: session.server().addr,
            };
            if let Err(reason) = tun::enclose(&mut packet, l3, tunnel, &inner, &mut self.ip_ids) {
                self.out.discard(packet, reason);
                return Ok(());
            }
        } else {
            cut_padding(&mut packet, plain);
        }
        leave(&mut self.out, hop, packet, l3);
        Ok(())
    }

    /// A server's packet, when it came from where its server is.
    #[inline(always)]
    fn express_to_client(
        &mut self,
        context: Context<'_>,
        lane: &Lane,
        mut packet: I::Packet,
    ) -> Result<(), I::Packet> {
        let Context { snapshot, now } = context;
        let (plain, direction) = (&lane.plain, Direction::ToClient);
        let l3 = usize::from(plain.l3_offset);
        let ip = packet.bytes_mut().get_mut(l3..);
        let Some(mut ip) = ip.and_then(PlainIpv4Mut::new) else {
            return Err(packet);
        };
        let Some(session) = steady(&mut self.sessions, lane, direction, &ip.view(), now) else {
            return Err(packet);
        };
        let slot = session.server_slot;
        let server = self.servers.get(snapshot, self.worker, slot);
        let hop = self.hops.get(snapshot, session.to_client);
        let (Some(server), Some(hop)) = (server, hop) else {
            return Err(packet);
        };
        let came_from_there =
            session.to_server == server.way && server.hop.interface == lane.interface;
        let deadline = now.plus(snapshot.timeouts.ticks(session.state));
        let may_go = came_from_there
            && session.method().sees_replies()
            && fits(plain, &ip.view(), hop.room)
            && session.may_be_stamped(deadline);
        let ends = session.arriving(Direction::ToServer).turned();
        if !may_go || !plain::readdress(&mut ip, plain.protocol, ends) {
            return Err(packet);
        }
        session.stamp(deadline);
        session.count(direction, u64::from(plain.total_len));
        server.traffic.count(direction, plain.total_len);
        cut_padding(&mut packet, plain);
        leave(&mut self.out, hop, packet, l3);
        Ok(())
    }
}

/// The session that the packet belongs to, if the packet leaves it in the state it is in, and
/// nobody but the session and the counters has to know of it.
#[inline(always)]
fn steady<'a>(
    sessions: &'a mut SessionTable<V4>,
    lane: &Lane,
    direction: Direction,
    ip: &PlainIpv4<'_>,
    now: Tick,
) -> Option<&'a mut Session<V4>> {
    let (tuple, protocol) = (ip.tuple(), lane.plain.protocol);
    let session = sessions.confirm(lane.candidate, direction, &tuple, protocol, now)?;
    let is_steady = session.flags.contains(SessionFlags::STEADY);
    (is_steady && lane.plain.is_more_of_the_same).then_some(session)
}

/// Whether the packet may be sent on: it has hops left to live, and its way is wide enough.
#[inline(always)]
fn fits(plain: &Plain, ip: &PlainIpv4<'_>, room: u16) -> bool {
    ip.ttl() > 1 && plain.total_len <= room
}

/// Changes a client's packet as its session's method says, up to the tunnel header; false, with
/// the packet as it was, when that is the general way's to do.
#[inline(always)]
fn rewrite_for_server(session: &mut Session<V4>, plain: &Plain, ip: &mut PlainIpv4Mut<'_>) -> bool {
    let method = session.method();
    if matches!(method, Method::Dr | Method::Tun) {
        ip.decrement_ttl();
        return true;
    }
    let ends = session.arriving(Direction::ToClient).turned();
    if !plain::readdress(ip, plain.protocol, ends) {
        return false;
    }
    if method == Method::Fullnat && plain.protocol == Protocol::Tcp {
        let headers = IP_HEADER + u16::from(ip.view().tcp_header_len());
        let payload = u32::from(plain.total_len - headers);
        session.note_client_end(ip.view().tcp_sequence().wrapping_add(payload));
    }
    true
}

/// Cuts off what Ethernet filled the frame up with.
#[inline(always)]
fn cut_padding<P: Packet>(packet: &mut P, plain: &Plain) {
    let end = usize::from(plain.l3_offset) + usize::from(plain.total_len);
    if packet.bytes().len() > end {
        packet.set_len(end);
    }
}

/// Sends the finished IP packet at `l3`.
#[inline(always)]
pub(super) fn leave<I: Io>(out: &mut Outputs<I>, hop: &KnownHop, mut packet: I::Packet, l3: usize) {
    if hop.header.write(&mut packet, l3) {
        out.transmit(hop.ethdev.index(), packet);
    } else {
        out.discard(packet, DropReason::NoHeadroom);
    }
}
