//! Replies that pass the gateway although their session's method sends them past it.
//!
//! ```text
//! client ──► gateway ──► server              DR and TUN
//! client ◄── Linux ◄── gateway ◄── server    the server's router is the gateway
//! ```
//!
//! Such a reply comes from the VIP already. It is counted and moves its session's state, as in the
//! kernel (connections.md §3 and §6.2); sending it on is Linux's work, as with all that is forwarded.

use super::hit::accepts_reply;
use super::miss::client_owner;
use super::way::Way;
use super::{Context, Pipeline, Work};
use crate::address::{FlowKey, V4};
use crate::classify::Target;
use crate::id::{SessionId, WorkerId};
use crate::io::Io;
use crate::parse::Parsed;
use crate::service::ServiceKey;
use crate::session::Direction;
use crate::snapshot::{Role, Snapshot};

impl<I: Io> Pipeline<I> {
    /// Lets the session that a packet is a reply of know about it, in the way that `account` has.
    /// Says whether there is one.
    pub(super) fn overhear(
        &mut self,
        context: Context<'_>,
        target: Target<'_>,
        work: &Work<I::Packet>,
        account: fn(&mut Self, Context<'_>, SessionId, Direction, &Parsed),
    ) -> bool {
        let found = self.overheard(context, target, work);
        if let Some(id) = found
            && goes_on(context.snapshot, &work.parsed)
        {
            account(self, context, id, Direction::ToClient, &work.parsed);
        }
        found.is_some()
    }

    /// The session that a packet is a reply of, although it passes only because of its server's
    /// router.
    fn overheard(
        &self,
        context: Context<'_>,
        target: Target<'_>,
        work: &Work<I::Packet>,
    ) -> Option<SessionId> {
        let Context { snapshot, now } = context;
        let key = &work.parsed.key;
        if !may_be_reply(snapshot, target, key) {
            return None;
        }
        let from_client = key.reversed();
        let hash = self.sessions.hash(&from_client);
        let (id, direction) = self.sessions.find(hash, &from_client, now)?;
        let session = self.sessions.get(id);
        let is_its = direction == Direction::ToServer
            && !session.method().sees_replies()
            && accepts_reply(snapshot, session, work.interface);
        is_its.then_some(id)
    }
}

/// Whether a packet may be the reply of a session that it does not have the key of: it comes from
/// a VIP, or from what only a mark makes one.
fn may_be_reply(snapshot: &Snapshot, target: Target<'_>, key: &FlowKey<V4>) -> bool {
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

/// Whether a router passes the packet on: what it refuses has not passed (connections.md §7.1).
fn goes_on(snapshot: &Snapshot, parsed: &Parsed) -> bool {
    let fits = |way: Way<'_>| !parsed.ip.dont_fragment || parsed.ip.total_len <= way.mtu;
    parsed.ip.ttl > 1 && Way::towards(snapshot, parsed.key.destination.addr).is_some_and(fits)
}
