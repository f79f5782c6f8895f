//! Sessions that begin with an error about a packet of theirs, under `schedule_icmp`
//! (connections.md §8).
//!
//! A client's side may speak of an answer that no session here has sent: the answer of another
//! director, whose sessions come here now. A server is chosen as for the client's own packet: one
//! by the hash of the client (sh, mh) gets the error that gave the answer. dh, lblc and lblcr, which
//! go by the VIP otherwise, go by the client. The session lasts three seconds
//! unless a packet of it follows, and is not restarted by further errors.

use super::miss::ethdev_of;
use super::open::{FTP_DATA, session_for};
use super::related::Related;
use super::{Context, Pipeline};
use crate::address::{FlowKey, Protocol, V4};
use crate::classify::Target;
use crate::drop_reason::DropReason;
use crate::id::SessionId;
use crate::io::Io;
use crate::schedule::{FlowInfo, load};
use crate::service::{Method, Service};
use crate::session::{Direction, Event, Hashes};
use crate::time::TICKS_PER_SECOND;

/// How long a session lasts that nothing but errors belong to.
const LIFE_TICKS: u32 = 3 * TICKS_PER_SECOND;

impl<I: Io> Pipeline<I> {
    /// Takes an error to the server of the session that begins with it, if it is about the answer
    /// of a service; gives any other back. Those of FULLNAT would need a local port.
    pub(super) fn begin_with_error(
        &mut self,
        context: Context<'_>,
        quoted: &FlowKey<V4>,
        related: Related<I::Packet>,
    ) -> Option<I::Packet> {
        let key = quoted.reversed();
        let ethdev = ethdev_of(context.snapshot, related.interface());
        let Target::Service(service) = self.recent.classify(context.snapshot, ethdev, &key) else {
            return Some(related.into_packet());
        };
        if !service.local_addresses.is_empty() {
            return Some(related.into_packet());
        }
        if self.defence.drops_opening() {
            let reason = DropReason::DropPacket;
            self.out.discard(related.into_packet(), reason);
            return None;
        }
        if key.source.port == FTP_DATA {
            return Some(related.into_packet());
        }
        match self.open_for_error(context, service, &key) {
            Ok(id) => self.carry_error(context, id, Direction::ToServer, related),
            Err(reason) => self.out.discard(related.into_packet(), reason),
        }
        None
    }

    /// Lets a session begin of which nothing has been seen yet.
    fn open_for_error(
        &mut self,
        context: Context<'_>,
        service: &Service,
        key: &FlowKey<V4>,
    ) -> Result<SessionId, DropReason> {
        let hash = self.sessions.hash(key);
        if key.source.port == 0 {
            self.thin_out(context, hash, key);
        }
        // The kernel's schedulers that go by the address that a packet is for go by that of the
        // packet quoted, which is the client's.
        let flow = FlowInfo::of(key.source, key.source.addr, context.now);
        // Errors are not answered with errors.
        let choice = self.choose(context, service, key, flow);
        let choice = choice.ok_or(DropReason::NoServer)?;
        let way = self.way_to(context, choice.server);
        if way.method == Method::Fullnat {
            self.give_up(context, &choice, key.protocol);
            return Err(DropReason::NoServer);
        }
        let mut session = session_for(context, service, choice, way, key);
        if key.protocol == Protocol::Udp {
            // It has no other state.
            let rules = self.defence.tcp_rules();
            let _never_active = session.advance_under(rules, Direction::ToServer, Event::Datagram);
        }
        let traffic = choice.server.shared.traffic.of(self.worker);
        if choice.one_packet {
            self.bind(context, &choice, key.protocol, false);
            traffic.sessions.add(1);
            self.let_go(context);
            load::unbind(choice.server, false);
            return Ok((self.sessions).put_aside(&session, context.now, LIFE_TICKS));
        }
        let server = (way.method.sees_replies()).then(|| self.sessions.hash(&session.server_key()));
        let hashes = Hashes {
            client: hash,
            server,
        };
        let filed = self.file(context, &session, hashes, LIFE_TICKS);
        match filed {
            Ok(_) => {
                self.bind(context, &choice, key.protocol, false);
                traffic.sessions.add(1);
                self.counters().sessions_created.add(1);
            }
            Err(_) => self.give_up(context, &choice, key.protocol),
        }
        filed
    }
}
