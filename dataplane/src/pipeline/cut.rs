//! Packets of sessions that end inside their transport header.
//!
//! Their ports are there, so their session is known. As in the kernel they count for it and restart
//! its time-out, but what the missing bytes would have said of its state is not known; by DR and
//! TUN the server gets them as they are. None of them begins a session.

use super::hit::{barrier, begins_anew};
use super::miss::ethdev_of;
use super::overheard::{Heard, may_be_reply};
use super::{Context, Pipeline, Work};
use crate::address::Protocol;
use crate::classify::Target;
use crate::drop_reason::DropReason;
use crate::id::SessionId;
use crate::io::Io;
use crate::parse::{Ipv4Facts, Parsed};
use crate::session::Direction;
use crate::wire::sctp::COMMON_HEADER_LEN;

impl<I: Io> Pipeline<I> {
    /// Takes a packet that is cut short to its session, or does with it what is done without one.
    #[cold]
    pub(super) fn cut(&mut self, context: Context<'_>, work: Work<I::Packet>) {
        let Context { snapshot, now } = context;
        let key = &work.parsed.key;
        let found = self.sessions.find(work.hash, key, now);
        let is_its = |(id, direction): &(SessionId, Direction)| {
            let session = self.sessions.get(*id);
            let to_server = *direction == Direction::ToServer;
            let is_left = key.source.port == 0 || begins_anew(snapshot, session, false);
            !(to_server && is_left || self.is_suspended(snapshot, *id))
        };
        if let Some((id, direction)) = found.filter(is_its) {
            return self.carry_cut(context, id, direction, work);
        }
        let ethdev = ethdev_of(snapshot, work.interface);
        let target = self.recent.classify(snapshot, ethdev, key);
        if let Some(to) = self.next_owner(snapshot, target, key, work.visited) {
            return self.hand_over(to, work);
        }
        let work = match may_be_reply(snapshot, target, &work.parsed.key) {
            true => match self.overhear(context, work, Heard::Cut) {
                Some(work) => work,
                None => return,
            },
            false => work,
        };
        match target {
            Target::Service(_) => {
                let reason = DropReason::TruncatedTransport;
                self.out.discard(work.packet, reason);
            }
            target => self.do_without_session(context, target, work),
        }
    }

    /// Sends a packet of a session on that is cut short. Where its ends would have to change in a
    /// header that is not all there it is dropped, a reply before it counts.
    fn carry_cut(
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
        let is_reply = direction == Direction::ToClient && session.method().sees_replies();
        if is_reply {
            return self.carry_cut_reply(context, id, work);
        }
        self.counters().session_hits.add(1);
        self.account_cut(context, id, direction, &work.parsed);
        self.forward(context, id, direction, work);
    }

    /// The kernel's router looks at a reply before IPVS does, so one that cannot go on is told to
    /// the server first. One that lacks too much of its header does not count, but shows that there
    /// is somebody.
    fn carry_cut_reply(&mut self, context: Context<'_>, id: SessionId, work: Work<I::Packet>) {
        let direction = Direction::ToClient;
        let Some((way, work)) = self.passable(context, id, direction, work) else {
            return;
        };
        if !may_be_readdressed(&work.parsed) {
            self.restart(context, id);
            let reason = DropReason::TruncatedTransport;
            return self.out.discard(work.packet, reason);
        }
        self.counters().session_hits.add(1);
        self.account_cut(context, id, direction, &work.parsed);
        self.send(context, id, direction, &way, work);
    }

    /// Counts a packet that is cut short and restarts its session's time-out. A datagram says as
    /// much as a whole one.
    pub(super) fn account_cut(
        &mut self,
        context: Context<'_>,
        id: SessionId,
        direction: Direction,
        parsed: &Parsed,
    ) {
        if parsed.key.protocol == Protocol::Udp {
            return self.account(context, id, direction, parsed);
        }
        self.count_unread(context, id, direction, parsed.ip.total_len);
        self.restart(context, id);
    }

    /// Restarts a session's time-out in the state it is in.
    fn restart(&mut self, context: Context<'_>, id: SessionId) {
        let state = self.sessions.get(id).state;
        let ticks = context.snapshot.timeouts.ticks(state);
        self.sessions.extend(id, context.now, ticks);
    }
}

/// Whether there is enough of the header for other ports and their checksum.
fn may_be_readdressed(parsed: &Parsed) -> bool {
    let Ipv4Facts {
        total_len,
        header_len,
        ..
    } = parsed.ip;
    let transport = usize::from(total_len).saturating_sub(header_len.into());
    parsed.key.protocol == Protocol::Sctp && transport >= COMMON_HEADER_LEN
}
