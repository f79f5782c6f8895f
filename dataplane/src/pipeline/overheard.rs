//! Replies that pass the gateway although their session's method sends them past it.
//!
//! ```text
//! client ──► gateway ──► server              DR and TUN
//! client ◄── Linux ◄── gateway ◄── server    the server's router is the gateway
//! ```
//!
//! Such a reply comes from the VIP already. It is counted and moves its session's state, as in the
//! kernel (connections.md §3 and §6.2); sending it on is Linux's work, as with all that is forwarded.
//!
//! One that cannot be sent on is the gateway's to say so about: by its source the error is for the
//! VIP, where the kernel's IPVS finds the session and takes it to the server.

use super::hit::accepts_reply;
use super::miss::client_owner;
use super::related::Related;
use super::way::{Way, router_obstacle};
use super::{Context, Pipeline, Work};
use crate::address::{FlowKey, V4};
use crate::classify::Target;
use crate::drop_reason::DropReason;
use crate::icmp_error::IcmpError;
use crate::id::{InterfaceId, SessionId, WorkerId};
use crate::io::Io;
use crate::parse::FragmentKind;
use crate::punt::PuntClass;
use crate::service::ServiceKey;
use crate::session::{Direction, Session};
use crate::snapshot::{Role, Snapshot};
use crate::time::Tick;

/// How much of a packet's transport header there is.
#[derive(Clone, Copy)]
pub(super) enum Heard {
    /// All of it.
    Whole,
    /// The ports.
    Cut,
}

impl<I: Io> Pipeline<I> {
    /// Lets the session that a packet is a reply of know about it, and leaves the packet to Linux.
    /// Gives back one that is no reply.
    #[inline(never)]
    pub(super) fn overhear(
        &mut self,
        context: Context<'_>,
        work: Work<I::Packet>,
        heard: Heard,
    ) -> Option<Work<I::Packet>> {
        let session = self.spoken_for(context, work.interface, &work.parsed.key);
        let way = Way::towards(context.snapshot, work.parsed.key.destination.addr);
        let obstacle = (way.as_ref()).and_then(|way| router_obstacle(&work.parsed.ip, way.mtu));
        let work = match obstacle {
            Some(obstacle) => self.tell_vip(context, session, work, obstacle)?,
            None => work,
        };
        let Some(id) = self.answered_so(context, work.interface, &work.parsed.key) else {
            return Some(work);
        };
        // What a router refuses has not passed (connections.md §7.1).
        if way.is_some() && obstacle.is_none() {
            match heard {
                Heard::Whole => self.account(context, id, Direction::ToClient, &work.parsed),
                Heard::Cut => self.account_cut(context, id, Direction::ToClient, &work.parsed),
            }
        }
        self.punt(context, PuntClass::Transit, work);
        None
    }

    /// The session in whose VIP's name a packet comes, if it comes from where its server is. A
    /// client's port 0 names none (connections.md §3).
    fn spoken_for(
        &self,
        context: Context<'_>,
        interface: InterfaceId,
        key: &FlowKey<V4>,
    ) -> Option<SessionId> {
        let from_client = key.reversed();
        if from_client.source.port == 0 {
            return None;
        }
        let hash = self.sessions.hash(&from_client);
        let (id, direction) = self.sessions.find(hash, &from_client, context.now)?;
        let session = self.sessions.get(id);
        let is_its =
            direction == Direction::ToServer && accepts_reply(context.snapshot, session, interface);
        is_its.then_some(id)
    }

    /// The session of which such a packet is the reply: a server by NAT sends it in its own name.
    pub(super) fn answered_so(
        &self,
        context: Context<'_>,
        interface: InterfaceId,
        key: &FlowKey<V4>,
    ) -> Option<SessionId> {
        let id = self.unchanged(&key.reversed(), context.now)?;
        let session = self.sessions.get(id);
        accepts_reply(context.snapshot, session, interface).then_some(id)
    }

    /// The session of a client's packet that its server gets as it is (DR, TUN). Of a client without
    /// a port, which may have several with a VIP, it is the one begun last.
    pub(super) fn unchanged(&self, from_client: &FlowKey<V4>, now: Tick) -> Option<SessionId> {
        let hash = self.sessions.hash(from_client);
        let is_unchanged = |session: &Session<V4>| !session.method().sees_replies();
        if from_client.source.port == 0 {
            return self.sessions.newest(hash, from_client, now, is_unchanged);
        }
        let (id, direction) = self.sessions.find(hash, from_client, now)?;
        let is_it = direction == Direction::ToServer && is_unchanged(self.sessions.get(id));
        is_it.then_some(id)
    }

    /// Tells who sent a packet that cannot go on: by its source that is the VIP, and so the server
    /// of the session. From Linux the VIP would hear it itself. Gives a packet back that nobody is
    /// told about.
    fn tell_vip(
        &mut self,
        context: Context<'_>,
        session: Option<SessionId>,
        work: Work<I::Packet>,
        (error, reason): (IcmpError, DropReason),
    ) -> Option<Work<I::Packet>> {
        let key = work.parsed.key;
        let (snapshot, vip) = (context.snapshot, key.source.addr);
        let may_begin =
            snapshot.knobs.schedule_icmp && matches!(snapshot.role(vip), Some(Role::Vip(_)));
        let is_heard = session.is_some() || may_begin;
        if work.parsed.ip.fragment != FragmentKind::Whole || !is_heard {
            return Some(work);
        }
        let made = self.make_icmp_error(context, vip, &work.parsed, &work.packet, error);
        let Some(related) = made.and_then(|error| Related::made_here(error, work.interface)) else {
            return Some(work);
        };
        match session {
            Some(id) => self.carry_error(context, id, Direction::ToServer, related),
            None if self.begin_with_error(context, &key, related).is_some() => return Some(work),
            None => {}
        }
        self.out.discard(work.packet, reason);
        None
    }
}

/// Whether a packet may be the reply of a session that it does not have the key of: it comes from
/// a VIP, or from what only a mark makes one.
pub(super) fn may_be_reply(snapshot: &Snapshot, target: Target<'_>, key: &FlowKey<V4>) -> bool {
    let is_for_others = match target {
        Target::Transit | Target::NatReply => true,
        Target::Service(service) => matches!(service.key, ServiceKey::Mark(_)),
        Target::UnservedVip(_) | Target::LocalAddress | Target::Host => false,
    };
    let is_from_vip = || matches!(snapshot.role(key.source.addr), Some(Role::Vip(_)));
    is_for_others && (!snapshot.marked_services.is_empty() || is_from_vip())
}

/// The worker that owns the session whose reply this may be.
pub(super) fn overhearing_owner(
    snapshot: &Snapshot,
    target: Target<'_>,
    key: &FlowKey<V4>,
) -> Option<WorkerId> {
    may_be_reply(snapshot, target, key).then(|| client_owner(&snapshot.steering, &key.reversed()))
}
