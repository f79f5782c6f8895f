//! The local node: a real server that is the gateway itself.
//!
//! ```text
//! client ──► session: count, state, (NAT: server's address) ──► twin of where it came ──► Linux
//! client ◄── (NAT: VIP's address), count, state ◄── worker that owns it ◄── twin ◄── Linux
//! ```
//!
//! Linux takes the packet as it takes any for its own addresses: nobody routed it, so its time to
//! live and size are left alone, and Linux's answers keep the frame that Linux gave them. An answer
//! is known by its source (`Snapshot::local_servers`); what belongs to no session is Linux's own
//! and leaves as it is.

use super::miss::reply_owners;
use super::{Context, Pipeline, Work, for_a_session};
use crate::drop_reason::DropReason;
use crate::handover::{Handed, Visited};
use crate::id::{InterfaceId, SessionId, WorkerId};
use crate::io::{Io, Packet, RxChecksum};
use crate::parse::{self, FragmentKind, Parsed};
use crate::punt::PuntClass;
use crate::rewrite::{mss, nat};
use crate::service::Method;
use crate::session::{AdjacencyRef, Direction, FragmentWay, SessionFlags};
use crate::snapshot::Snapshot;
use crate::time::Tick;

impl<I: Io> Pipeline<I> {
    /// Gives a client's packet to Linux, which is its session's server.
    pub(super) fn deliver(
        &mut self,
        context: Context<'_>,
        id: SessionId,
        mut work: Work<I::Packet>,
    ) {
        let prepared = match self.sessions.get(id).method() {
            Method::Nat | Method::Fullnat => self.translate_for_linux(id, &mut work),
            Method::Dr | Method::Tun => is_linuxs(context.snapshot, &work.parsed),
        };
        match prepared {
            Ok(()) => {
                self.counters().local_node_packets.add(1);
                let class = PuntClass::Host;
                self.out
                    .punt(context.now, work.interface, class, work.packet);
            }
            Err(reason) => self.out.discard(work.packet, reason),
        }
    }

    /// Gives a packet to the server's address, as NAT does, but is no hop on its way.
    fn translate_for_linux(
        &mut self,
        id: SessionId,
        work: &mut Work<I::Packet>,
    ) -> Result<(), DropReason> {
        let server = self.sessions.get(id).server();
        if std::net::Ipv4Addr::from(server.addr).is_loopback() {
            // Linux takes no packet from outside for it, and could not answer.
            return Err(DropReason::LocalServerUnreachable);
        }
        let ip = ip_packet(&work.parsed, &mut work.packet)?;
        if work.parsed.ip.fragment == FragmentKind::First {
            self.settle_checksum(id, Direction::ToServer, ip)?;
        }
        let session = self.sessions.get(id);
        if session.flags.contains(SessionFlags::CLAMP_MSS) {
            mss::clamp(ip, session.mss_clamp());
        }
        nat::to_server(ip, server)
    }

    /// Takes a frame that Linux sent on the twin of an interface on.
    #[inline]
    pub fn inject(
        &mut self,
        snapshot: &Snapshot,
        now: Tick,
        interface: InterfaceId,
        packet: I::Packet,
    ) {
        if snapshot.local_servers.is_empty() {
            return self.out.transmit_injected(snapshot, interface, packet);
        }
        let handed = Handed {
            packet,
            interface,
            visited: Visited::default(),
            from_linux: true,
        };
        let context = Context { snapshot, now };
        self.take_handed(context, handed);
        self.let_go(context);
    }

    /// Takes a packet on that came from elsewhere than an ethdev of this worker.
    #[cold]
    pub(super) fn take_handed(&mut self, context: Context<'_>, handed: Handed<I::Packet>) {
        if !handed.from_linux {
            if let Some(work) = self.admit_handed(context, handed) {
                self.handle(context, work);
            }
            return;
        }
        let Handed {
            packet,
            interface,
            visited,
            ..
        } = handed;
        let frame = parse::parse(packet.bytes(), RxChecksum::Good).ok();
        match frame.and_then(|(_, frame)| for_a_session(&frame)) {
            Some(parsed) => {
                let work = Work {
                    packet,
                    interface,
                    hash: self.sessions.hash(&parsed.key),
                    parsed,
                    visited,
                };
                self.take_from_linux(context, work);
            }
            None => (self.out).transmit_injected(context.snapshot, interface, packet),
        }
    }

    /// Takes a packet of Linux's to the session that it answers in, here or at another worker.
    fn take_from_linux(&mut self, context: Context<'_>, work: Work<I::Packet>) {
        let (found, owner) = if work.parsed.ip.fragment == FragmentKind::Later {
            self.way_of_linuxs_first(context, &work)
        } else {
            match self.local_session(context, &work) {
                Some(id) => (Some(id), None),
                None => (None, self.local_owner(context.snapshot, &work)),
            }
        };
        if let Some(id) = found {
            return self.answer(context, id, work);
        }
        let Work {
            packet,
            interface,
            parsed,
            visited,
            ..
        } = work;
        let Some(to) = owner else {
            return (self.out).transmit_injected(context.snapshot, interface, packet);
        };
        if parsed.ip.fragment == FragmentKind::First {
            self.remember_handed_fragment(context, to, &parsed);
        }
        let handed = Handed {
            packet,
            interface,
            visited,
            from_linux: true,
        };
        self.out.hand_over(to, handed);
    }

    /// Where the first fragment of a datagram of Linux's went: Linux sends them in order.
    fn way_of_linuxs_first(
        &self,
        context: Context<'_>,
        work: &Work<I::Packet>,
    ) -> (Option<SessionId>, Option<WorkerId>) {
        match self.note_of(context, &work.parsed).map(|note| note.way) {
            Some(FragmentWay::Session(handle, Direction::ToClient)) => {
                (self.sessions.resolve(handle, context.now), None)
            }
            Some(FragmentWay::Worker(to)) if !work.visited.contains(to) => (None, Some(to)),
            _ => (None, None),
        }
    }

    /// The session of this worker that a packet of Linux's is an answer in. By NAT it comes from
    /// the server's address, else from the VIP (connections.md §3, reply lookup).
    fn local_session(&self, context: Context<'_>, work: &Work<I::Packet>) -> Option<SessionId> {
        let key = &work.parsed.key;
        let by_nat = self.sessions.find(work.hash, key, context.now);
        let found = by_nat.filter(|(_, direction)| *direction == Direction::ToClient);
        let (id, _) = found.or_else(|| {
            let question = key.reversed();
            let hash = self.sessions.hash(&question);
            let found = self.sessions.find(hash, &question, context.now)?;
            (!self.sessions.get(found.0).method().sees_replies()).then_some(found)
        })?;
        let is_local = self.sessions.get(id).to_server == AdjacencyRef::LOCAL;
        (is_local && !self.is_suspended(context.snapshot, id)).then_some(id)
    }

    /// The next worker that may own the session of a packet of Linux's: one for each VIP that the
    /// gateway serves from that address, each once.
    fn local_owner(&self, snapshot: &Snapshot, work: &Work<I::Packet>) -> Option<WorkerId> {
        if snapshot.steering.workers() == 1 {
            return None;
        }
        let key = &work.parsed.key;
        let visited = work.visited.with(self.worker);
        let source = (key.protocol, key.source);
        let serves_a_mark = snapshot.serves_a_mark_locally(source);
        let vips = snapshot.local_vips(source);
        reply_owners(&snapshot.steering, key, vips, serves_a_mark)
            .find(|owner| !visited.contains(*owner))
    }

    /// Sends Linux's answer to the client, as coming from the VIP.
    fn answer(&mut self, context: Context<'_>, id: SessionId, mut work: Work<I::Packet>) {
        let direction = Direction::ToClient;
        self.counters().session_hits.add(1);
        self.counters().local_node_replies.add(1);
        match work.parsed.ip.fragment {
            FragmentKind::Later => self.count_more(context, id, direction, &work.parsed),
            FragmentKind::First => {
                self.remember_fragment(context, id, direction, &work.parsed);
                self.account(context, id, direction, &work.parsed);
            }
            FragmentKind::Whole => self.account(context, id, direction, &work.parsed),
        }
        match self.restore(id, &mut work) {
            Ok(()) => {
                let Work {
                    packet, interface, ..
                } = work;
                self.out
                    .transmit_injected(context.snapshot, interface, packet);
            }
            Err(reason) => self.out.discard(work.packet, reason),
        }
    }

    /// Gives a packet of Linux's the VIP as its source.
    fn restore(&self, id: SessionId, work: &mut Work<I::Packet>) -> Result<(), DropReason> {
        let session = self.sessions.get(id);
        if !session.method().sees_replies() {
            return Ok(());
        }
        let ip = ip_packet(&work.parsed, &mut work.packet)?;
        if session.flags.contains(SessionFlags::CLAMP_MSS) {
            mss::clamp(ip, session.mss_clamp());
        }
        nat::to_client(ip, session.vip())
    }
}

/// Linux takes a packet unchanged only if it is for an address of its own (connections.md §7.1,
/// 2).
pub(super) fn is_linuxs(snapshot: &Snapshot, parsed: &Parsed) -> Result<(), DropReason> {
    if snapshot.is_local(parsed.key.destination.addr) {
        Ok(())
    } else {
        Err(DropReason::LocalServerUnreachable)
    }
}

/// The IP packet in a frame, without what Ethernet put behind it.
fn ip_packet<'a, P: Packet>(
    parsed: &Parsed,
    packet: &'a mut P,
) -> Result<&'a mut [u8], DropReason> {
    let start = usize::from(parsed.ip.l3_offset);
    let end = start + usize::from(parsed.ip.total_len);
    let ip = packet.bytes_mut().get_mut(start..end);
    ip.ok_or(DropReason::TruncatedIp)
}
