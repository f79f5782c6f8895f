//! IP fragments: later ones follow their first, and packets too large for their way become some.
//!
//! A later fragment has no ports. The first one leaves a note in a bounded table, at each worker
//! it passes; later ones that find it go the same way with their addresses rewritten. One that
//! comes before its first, or after the note was replaced, is dropped (`fragment_without_first`):
//! the sender tries again.

use super::hit::{Way, barrier};
use super::{Context, Pipeline, Work};
use crate::address::V4;
use crate::drop_reason::DropReason;
use crate::framing;
use crate::id::{SessionId, WorkerId};
use crate::io::{Io, Packet};
use crate::parse::Parsed;
use crate::punt::PuntClass;
use crate::rewrite::fragment;
use crate::session::{Direction, FragmentKey, FragmentWay};
use crate::snapshot::Role;

impl<I: Io> Pipeline<I> {
    /// Notes which session a first fragment belongs to.
    pub(super) fn remember_fragment(
        &mut self,
        context: Context<'_>,
        id: SessionId,
        direction: Direction,
        parsed: &Parsed,
    ) {
        let way = FragmentWay::Session(self.sessions.handle(id), direction);
        self.fragments.remember(&key_of(parsed), way, context.now);
    }

    /// Notes which worker a first fragment was handed to: later ones have no ports that would
    /// tell it.
    pub(super) fn remember_handed_fragment(
        &mut self,
        context: Context<'_>,
        to: WorkerId,
        parsed: &Parsed,
    ) {
        let way = FragmentWay::Worker(to);
        self.fragments.remember(&key_of(parsed), way, context.now);
    }

    /// Sends a later fragment where its first one went.
    pub(super) fn later_fragment(&mut self, context: Context<'_>, work: Work<I::Packet>) {
        match self.fragments.find(&key_of(&work.parsed), context.now) {
            Some(FragmentWay::Worker(to)) if !work.visited.contains(to) => {
                self.hand_over(to, work);
            }
            Some(FragmentWay::Session(handle, direction)) => {
                match self.sessions.resolve(handle, context.now) {
                    Some(id) => self.carry_fragment(context, id, direction, work),
                    None => self.lost_fragment(context, work),
                }
            }
            _ => self.lost_fragment(context, work),
        }
    }

    /// A later fragment without a note: Linux's, unless it is for a VIP or a local address.
    fn lost_fragment(&mut self, context: Context<'_>, work: Work<I::Packet>) {
        let destination = work.parsed.key.destination.addr;
        let class = match context.snapshot.role(destination) {
            Some(Role::Vip(_) | Role::Local { .. }) => {
                let reason = DropReason::FragmentWithoutFirst;
                return self.out.discard(work.packet, reason);
            }
            Some(Role::Host) => PuntClass::Host,
            None => PuntClass::Transit,
        };
        self.out
            .punt(context.now, work.interface, class, work.packet);
    }

    /// Sends a later fragment on as a packet of its session, but leaves the session's state and
    /// counters to the first one.
    fn carry_fragment(
        &mut self,
        context: Context<'_>,
        id: SessionId,
        direction: Direction,
        work: Work<I::Packet>,
    ) {
        let session = self.sessions.get(id);
        if let Some(reason) = barrier(context.snapshot, session, direction, work.interface) {
            return self.out.discard(work.packet, reason);
        }
        self.counters().session_hits.add(1);
        let Work {
            mut packet,
            parsed: Parsed { ip, .. },
            ..
        } = work;
        let Some(way) = self.way(context, id, direction) else {
            return self.out.discard(packet, DropReason::NoRoute);
        };
        match self.rewrite(context, id, direction, &way, &ip, &mut packet) {
            Ok(()) => self.dispatch(context, &way, packet, usize::from(ip.l3_offset)),
            Err(reason) => self.out.discard(packet, reason),
        }
    }

    /// Cuts a packet that is larger than its way allows into fragments (RFC 791 §3.2).
    pub(super) fn send_in_pieces(
        &mut self,
        context: Context<'_>,
        way: &Way<'_>,
        packet: I::Packet,
        l3: usize,
    ) {
        let mtu = usize::from(way.mtu);
        let ip = packet.bytes().get(l3..).unwrap_or_default();
        let pieces = match fragment::split(&mut self.out.pool, ip, framing::ETHERNET, mtu) {
            Ok(pieces) => pieces,
            Err(reason) => return self.out.discard(packet, reason),
        };
        drop(packet);
        for piece in pieces {
            let Way {
                adjacency,
                destination,
                ..
            } = way;
            let l3 = framing::ETHERNET;
            self.out.send(
                context.snapshot,
                context.now,
                adjacency,
                *destination,
                piece,
                l3,
            );
        }
    }
}

const fn key_of(parsed: &Parsed) -> FragmentKey<V4> {
    FragmentKey {
        source: parsed.key.source.addr,
        destination: parsed.key.destination.addr,
        id: parsed.ip.id as u32,
        protocol: parsed.key.protocol,
    }
}
