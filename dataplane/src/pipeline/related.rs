//! ICMP errors about packets of sessions (connections.md §8): each goes to who sent the packet.
//!
//! ```text
//! quotes                      came from             goes to
//! VIP:vport -> client         the client's side     the server
//! client    -> RIP:rport      the servers' side     the client, from the VIP    NAT
//! LIP:lport -> RIP:rport      the servers' side     the client, from the VIP    FULLNAT
//! client    -> VIP:vport      the servers' side     the client, as it is        DR, TUN
//! DIP -> RIP, client -> VIP   the servers' side     the client, from the VIP    TUN
//! ```
//!
//! An error comes from any router on the way, so it may arrive anywhere: what makes it believed is
//! that it quotes a packet of a session. It counts as a packet of that session, but leaves its
//! state and its time-out alone. One about no session is Linux's. Nothing here takes more memory or
//! longer for a flood of errors than for the packets they claim to be about.

use super::aside::Aside;
use super::miss::ethdev_of;
use super::way::Way;
use super::{Context, Pipeline};
use crate::address::{FlowKey, V4};
use crate::classify::Target;
use crate::drop_reason::DropReason;
use crate::handover::{Handed, Visited};
use crate::icmp_error::IcmpError;
use crate::id::{InterfaceId, ServerSlot, SessionId, WorkerId};
use crate::io::{Io, Packet};
use crate::parse::{self, About, FragmentKind, OtherIpv4, QuotedTunnel, RelatedError};
use crate::rewrite::{self, icmp, tun};
use crate::schedule::load;
use crate::service::Method;
use crate::session::{Direction, SessionFlags};
use crate::snapshot::Snapshot;
use crate::time::Tick;
use crate::wire::icmp::{Icmp, kind, unreachable};
use crate::wire::ipv4::protocol;

/// An ICMP error that may be about a session.
pub(super) struct Related<P> {
    packet: P,
    interface: InterfaceId,
    /// The error's own IP header.
    outer: OtherIpv4,
    /// The workers it was at before.
    visited: Visited,
}

impl<P: Packet> Related<P> {
    /// A packet without ports, to be looked into.
    pub(super) fn new(aside: Aside<P>, outer: &OtherIpv4) -> Self {
        Self {
            packet: aside.packet,
            interface: aside.interface,
            outer: *outer,
            visited: aside.visited,
        }
    }

    /// An error that the gateway has made about a packet that came by `interface`.
    pub(super) fn made_here(packet: P, interface: InterfaceId) -> Option<Self> {
        Some(Self {
            outer: parse::made_here(packet.bytes())?,
            packet,
            interface,
            visited: Visited::default(),
        })
    }

    /// The interface it came by.
    pub(super) const fn interface(&self) -> InterfaceId {
        self.interface
    }

    /// The packet, as it was.
    pub(super) fn into_packet(self) -> P {
        self.packet
    }

    /// The ICMP message.
    fn message(&self) -> &[u8] {
        let facts = &self.outer.ip;
        let end = usize::from(facts.l3_offset) + usize::from(facts.total_len);
        let message = self.packet.bytes().get(facts.l4_offset.into()..end);
        message.unwrap_or_default()
    }

    /// Passes a router, whose time it takes; false, and nothing changes, when there is none left.
    fn pass_router(&mut self) -> bool {
        let ip = self.packet.bytes_mut();
        let ip = ip.get_mut(self.outer.ip.l3_offset.into()..);
        let passes = rewrite::decrement_ttl(ip.unwrap_or_default()).is_ok();
        self.outer.ip.ttl -= u8::from(passes);
        passes
    }

    fn is_intact(&self) -> bool {
        Icmp::parse(self.message()).is_ok_and(|(icmp, data)| icmp.verify_checksum(data))
    }
}

impl<I: Io> Pipeline<I> {
    /// Takes an ICMP error about a packet of a session on to who sent that packet, or to the
    /// worker that may know the session. Gives back, as it was, any other packet: it is Linux's.
    pub(super) fn related(
        &mut self,
        context: Context<'_>,
        related: Related<I::Packet>,
    ) -> Option<I::Packet> {
        let facts = &related.outer.ip;
        if facts.protocol != protocol::ICMP || facts.fragment != FragmentKind::Whole {
            return Some(related.packet);
        }
        match RelatedError::parse(related.message()) {
            Some(error) => self.take_error(context, &error, related),
            None => Some(related.packet),
        }
    }

    fn take_error(
        &mut self,
        context: Context<'_>,
        error: &RelatedError,
        related: Related<I::Packet>,
    ) -> Option<I::Packet> {
        let receiver = related.outer.destination;
        let (about, is_known) = match &error.about {
            About::Flow(flow) => (flow, self.session_of(flow, context.now)),
            About::Tunnel(tunnel) => (&tunnel.inner, self.tunnelled(context, tunnel, receiver)),
        };
        let is_suspended = |(id, _)| self.is_suspended(context.snapshot, id);
        if is_known.is_some_and(is_suspended) {
            return Some(related.packet);
        }
        match (is_known, &error.about) {
            // The kernel sees what passes it on its way to the client, not what is for itself.
            (Some((_, Direction::ToClient)), _) if receiver != about.source.addr => {
                return Some(related.packet);
            }
            (Some((id, direction)), About::Flow(_)) => {
                self.carry_error(context, id, direction, related);
            }
            (Some((id, _)), About::Tunnel(tunnel)) => {
                self.tell_client(context, id, error, tunnel, related);
            }
            (None, _) => return self.pass_error_on(context, error, about, related),
        }
        None
    }

    /// The session that a quoted packet belongs to, and where the error goes.
    fn session_of(&self, quoted: &FlowKey<V4>, now: Tick) -> Option<(SessionId, Direction)> {
        // Who sends the packet that is quoted receives packets with its ends exchanged.
        let received = quoted.reversed();
        let found = self.with_key(&received, now);
        // A client's port 0 names no session (connections.md §3).
        let names_it = |(_, direction): &(SessionId, Direction)| {
            received.source.port != 0 || *direction != Direction::ToServer
        };
        if let Some(found) = found.filter(names_it) {
            return Some(found);
        }
        // With DR and TUN the server gets the client's packet as it is.
        Some((self.unchanged(quoted, now)?, Direction::ToClient))
    }

    fn with_key(&self, key: &FlowKey<V4>, now: Tick) -> Option<(SessionId, Direction)> {
        self.sessions.find(self.sessions.hash(key), key, now)
    }

    /// The session whose packet a quoted tunnel packet carries, if the tunnel is one of ours.
    fn tunnelled(
        &self,
        context: Context<'_>,
        tunnel: &QuotedTunnel,
        receiver: V4,
    ) -> Option<(SessionId, Direction)> {
        if receiver != tunnel.source {
            return None;
        }
        let mut interfaces = context.snapshot.interfaces.iter();
        if !interfaces.any(|interface| interface.address == Some(tunnel.source)) {
            return None;
        }
        let (id, direction) = self.with_key(&tunnel.inner, context.now)?;
        let session = self.sessions.get(id);
        let is_ours = session.method() == Method::Tun
            && session.server().addr == tunnel.destination
            && direction == Direction::ToServer;
        is_ours.then_some((id, direction))
    }

    /// Hands an error about no session here to the worker that may know one, lets one begin with
    /// it, or gives it back.
    fn pass_error_on(
        &mut self,
        context: Context<'_>,
        error: &RelatedError,
        about: &FlowKey<V4>,
        related: Related<I::Packet>,
    ) -> Option<I::Packet> {
        let snapshot = context.snapshot;
        let Some(to) = self.error_owner(snapshot, related.interface, about, related.visited) else {
            return match error.about {
                About::Flow(_) if snapshot.knobs.schedule_icmp => {
                    self.begin_with_error(context, about, related)
                }
                _ => Some(related.packet),
            };
        };
        let handed = Handed {
            packet: related.packet,
            interface: related.interface,
            visited: related.visited,
            from_linux: false,
        };
        self.out.hand_over(to, handed);
        None
    }

    /// The other worker that an error should visit next: the one that a packet with the quoted
    /// ends exchanged should, or for packets that a server gets as they are, the quoted one.
    fn error_owner(
        &mut self,
        snapshot: &Snapshot,
        interface: InterfaceId,
        quoted: &FlowKey<V4>,
        visited: Visited,
    ) -> Option<WorkerId> {
        let ethdev = ethdev_of(snapshot, interface);
        let received = quoted.reversed();
        let (target, key) = match self.recent.classify(snapshot, ethdev, &received) {
            Target::Transit => (self.recent.classify(snapshot, ethdev, quoted), quoted),
            target => (target, &received),
        };
        self.next_owner(snapshot, target, key, visited)
    }

    /// Sends an error to a session's server or client.
    pub(super) fn carry_error(
        &mut self,
        context: Context<'_>,
        id: SessionId,
        direction: Direction,
        mut related: Related<I::Packet>,
    ) {
        let session = self.sessions.get(id);
        let is_rewritten = session.method().sees_replies();
        let receiver = related.outer.destination;
        let is_ours = context.snapshot.role(receiver).is_some() || receiver == session.vip().addr;
        let is_looked_at = is_rewritten || {
            let server = context.snapshot.server(session.server_slot);
            direction == Direction::ToServer && server.is_some_and(load::is_old)
        };
        if is_looked_at && !related.is_intact() {
            let reason = DropReason::BadIcmpChecksum;
            return self.out.discard(related.packet, reason);
        }
        self.counters().session_hits.add(1);
        // The kernel's router sees before IPVS, and before anything counts, what is not for itself.
        // On its way to a server that takes from the time to live twice.
        let passes = match direction {
            Direction::ToClient => related.outer.ip.ttl > 1,
            Direction::ToServer => is_ours || related.pass_router(),
        };
        if !passes {
            let reason = DropReason::TtlExpired;
            return self.out.discard(related.packet, reason);
        }
        self.count_unread(context, id, direction, related.outer.ip.total_len);
        let Some(way) = self.error_way(context, id, direction) else {
            return self.out.discard(related.packet, DropReason::NoRoute);
        };
        // No error is sent about an error (RFC 1122 §3.2.2).
        if let Some((_, reason)) = self.obstacle(context, id, direction, &related.outer.ip, &way) {
            return self.out.discard(related.packet, reason);
        }
        let Related {
            mut packet, outer, ..
        } = related;
        let l3 = usize::from(outer.ip.l3_offset);
        let rewritten = if is_rewritten {
            let end = l3 + usize::from(outer.ip.total_len);
            packet.set_len(end);
            let ip = packet.bytes_mut().get_mut(l3..end).unwrap_or_default();
            self.rewrite_error(id, direction, ip)
        } else {
            self.rewrite(context, id, direction, &way, &outer.ip, &mut packet)
        };
        match rewritten {
            Ok(()) => self.dispatch(context, &way, packet, l3),
            Err(reason) => self.out.discard(packet, reason),
        }
    }

    /// Changes the error of a NAT or FULLNAT session.
    fn rewrite_error(
        &self,
        id: SessionId,
        direction: Direction,
        ip: &mut [u8],
    ) -> Result<(), DropReason> {
        rewrite::decrement_ttl(ip)?;
        let session = self.sessions.get(id);
        match direction {
            Direction::ToServer => icmp::to_server(ip, session.local(), session.server()),
            Direction::ToClient => {
                let is_shifted = session.flags.contains(SessionFlags::SEQ_SHIFT);
                let delta = if is_shifted { session.seq_delta } else { 0 };
                icmp::to_client(ip, session.vip(), session.client(), delta)
            }
        }
    }

    /// The next hop of an error. A session whose server answers by itself knows none to its
    /// client.
    fn error_way<'a>(
        &mut self,
        context: Context<'a>,
        id: SessionId,
        direction: Direction,
    ) -> Option<Way<'a>> {
        let session = self.sessions.get(id);
        if direction == Direction::ToServer || session.method().sees_replies() {
            return self.way(context, id, direction);
        }
        Way::towards(context.snapshot, session.client().addr)
    }

    /// Counts an error, or what says nothing else, as a packet of its session, and of its server as long as that is one
    /// (connections.md §12).
    pub(super) fn count_unread(
        &mut self,
        context: Context<'_>,
        id: SessionId,
        direction: Direction,
        bytes: u16,
    ) {
        let session = self.sessions.get_mut(id);
        // An error is no answer, and proves no template.
        if direction == Direction::ToServer || !session.awaits_proof() {
            session.count(direction, bytes.into());
        }
        let server = context.snapshot.server(session.server_slot);
        if let Some(server) = server.filter(|server| server.available) {
            let traffic = server.shared.traffic.of(self.worker);
            traffic.count(direction, bytes);
        }
    }

    /// Tells the client what a router said about the tunnel packet that carried its packet; of
    /// one that was too big, only if the client's must not be fragmented: the tunnel's next ones
    /// are made small enough anyway.
    fn tell_client(
        &mut self,
        context: Context<'_>,
        id: SessionId,
        error: &RelatedError,
        tunnel: &QuotedTunnel,
        related: Related<I::Packet>,
    ) {
        if !related.is_intact() {
            let reason = DropReason::BadIcmpChecksum;
            return self.out.discard(related.packet, reason);
        }
        let is_too_big =
            (error.kind, error.code) == (kind::UNREACHABLE, unreachable::FRAGMENTATION_NEEDED);
        let told = if is_too_big {
            let mtu = tun::room(self.learn_path_mtu(context, id, error.mtu));
            tunnel
                .dont_fragment
                .then_some(IcmpError::FragmentationNeeded { mtu })
        } else {
            let (kind, code) = (error.kind, error.code);
            Some(IcmpError::Relayed { kind, code })
        };
        let part = related.message().get(tunnel.inner_offset.into()..);
        if let (Some(told), Some(part)) = (told, part) {
            let sent = self.send_icmp_error_about_part(context, &tunnel.inner, part, told);
            // The kernel counts what it tells, and what it tells about: twice a packet.
            let quoted = sent.and_then(|_| u16::try_from(part.len()).ok());
            self.count_told(context, id, sent);
            self.count_told(context, id, quoted);
        }
        self.out.discard(related.packet, DropReason::TunnelError);
    }

    /// Notes how large a packet gets through to a TUN session's server, and gives what is known.
    fn learn_path_mtu(&mut self, context: Context<'_>, id: SessionId, said: u16) -> u16 {
        let session = self.sessions.get(id);
        let (slot, server) = (session.server_slot, session.server().addr);
        let learned = self.path_mtus.learn(slot, server, said, context.now);
        let room = tun::room(learned);
        self.servers
            .narrow(context.snapshot, self.worker, slot, room);
        let way = self.way(context, id, Direction::ToServer);
        way.map_or(learned, |way| way.mtu)
    }

    /// The largest packet that gets through to a TUN server behind a link that carries `link`
    /// bytes.
    pub(super) fn path_mtu(&mut self, now: Tick, slot: ServerSlot, server: V4, link: u16) -> u16 {
        if self.path_mtus.forget_old(slot, now) {
            self.servers.forget(slot);
        }
        let learned = self.path_mtus.get(slot, server, now);
        learned.map_or(link, |learned| learned.min(link))
    }
}
