//! Says what would become of a packet: the pipeline's decisions one after the other, looked at and
//! not made.
//!
//! Everything that decides is a function that the stages use too; here is only the order in which
//! they ask, and nothing is counted, lent, moved on or sent.

use super::choose::{end_for, is_one_packet, template_key};
use super::hit::{barrier, begins_anew};
use super::local::is_linuxs;
use super::miss::{Fate, ethdev_of, may_open, opens_connection, without_session};
use super::open::{FTP_DATA, method_by};
use super::overheard::may_be_reply;
use super::way::{towards_server, way_in};
use super::{Context, Pipeline};
use crate::address::{Address, Endpoint, FlowKey, V4};
use crate::classify::{self, Target};
use crate::drop_reason::DropReason;
use crate::explain::{Explanation, Hop, Met, NotOpened, Opening, Outcome, Probe, Purpose};
use crate::id::SessionId;
use crate::io::Io;
use crate::parse::Parsed;
use crate::punt::PuntClass;
use crate::schedule::FlowInfo;
use crate::service::{Method, RealServer, Service};
use crate::session::{AdjacencyRef, Direction, SessionRecord};
use crate::snapshot::Snapshot;
use crate::time::Tick;

impl<I: Io> Pipeline<I> {
    /// What this worker would do with a packet that arrived now.
    #[cold]
    #[must_use]
    pub fn explain(&self, snapshot: &Snapshot, now: Tick, probe: &Probe) -> Explanation {
        let context = Context { snapshot, now };
        let hash = self.sessions.hash(&probe.key);
        let mut explanation = Explanation {
            worker: self.worker,
            met: None,
            purpose: None,
            not_opened: None,
            opening: None,
            outcome: Outcome::Punted(PuntClass::Transit),
        };
        let met = self.met_by(context, hash, &probe.key);
        let taken = met.and_then(|met| self.explain_hit(context, met, probe, &mut explanation));
        explanation.outcome = match taken {
            Some(outcome) => outcome,
            None => self.explain_miss(context, probe, &mut explanation),
        };
        explanation
    }

    /// What becomes of a session's packet; `None` when it leaves the session behind.
    fn explain_hit(
        &self,
        context: Context<'_>,
        (id, direction): (SessionId, Direction),
        probe: &Probe,
        explanation: &mut Explanation,
    ) -> Option<Outcome> {
        let session = self.sessions.get(id);
        let opens = opens_connection(&probe.parsed());
        let anew =
            direction == Direction::ToServer && begins_anew(context.snapshot, session, opens);
        explanation.met = Some(self.met(context, id, direction, anew));
        if anew {
            return None;
        }
        if let Some(reason) = barrier(context.snapshot, session, direction, probe.interface) {
            return Some(Outcome::Dropped(reason));
        }
        let (known, destination) = match direction {
            Direction::ToServer => (session.to_server, session.server().addr),
            Direction::ToClient => (session.to_client, session.client().addr),
        };
        let is_fresh = (context.snapshot.adjacency(known.slot))
            .is_some_and(|adjacency| adjacency.epoch == known.epoch);
        let way = if is_fresh {
            known
        } else {
            way_in(context.snapshot, direction, destination)
        };
        let tunnels = direction == Direction::ToServer && session.method() == Method::Tun;
        Some(match (way, direction) {
            (AdjacencyRef::LOCAL, Direction::ToServer) => delivered(
                context.snapshot,
                session.method(),
                destination,
                &probe.parsed(),
            ),
            _ => sent(context.snapshot, way, destination, tunnels),
        })
    }

    /// A session as it stands.
    fn met(&self, context: Context<'_>, id: SessionId, direction: Direction, anew: bool) -> Met {
        Met {
            session: SessionRecord::new(self.sessions.get(id), context.now),
            direction,
            begins_anew: anew,
        }
    }

    /// What becomes of a packet without a session.
    fn explain_miss(
        &self,
        context: Context<'_>,
        probe: &Probe,
        explanation: &mut Explanation,
    ) -> Outcome {
        let snapshot = context.snapshot;
        let ethdev = ethdev_of(snapshot, probe.interface);
        let target = classify::classify(snapshot, ethdev, &probe.key);
        explanation.purpose = Some(purpose(target));
        if let Some(to) = self.next_owner(snapshot, target, &probe.key, probe.visited) {
            return Outcome::HandedOver(to);
        }
        if may_be_reply(snapshot, target, &probe.key)
            && let Some(id) = self.answered_so(context, probe.interface, &probe.key)
        {
            explanation.met = Some(self.met(context, id, Direction::ToClient, false));
            return Outcome::Punted(PuntClass::Transit);
        }
        self.explain_unmet(context, target, probe, explanation)
    }

    /// What becomes of a packet without a session that is no reply.
    fn explain_unmet(
        &self,
        context: Context<'_>,
        target: Target<'_>,
        probe: &Probe,
        explanation: &mut Explanation,
    ) -> Outcome {
        let parsed = probe.parsed();
        let Target::Service(service) = target else {
            return unopened(context, target, probe);
        };
        explanation.not_opened = self.bar(context, &parsed);
        match explanation.not_opened {
            None => self.explain_opening(context, service, &parsed, explanation),
            Some(NotOpened::DropPacket) => Outcome::Dropped(DropReason::DropPacket),
            Some(NotOpened::Kind | NotOpened::FtpData) => {
                let target = classify::by_role(context.snapshot, &probe.key);
                let target = target.unwrap_or(Target::Transit);
                unopened(context, target, probe)
            }
        }
    }

    /// What keeps a service's packet from beginning a session, in the order in which it is asked.
    fn bar(&self, context: Context<'_>, parsed: &Parsed) -> Option<NotOpened> {
        if !may_open(&context.snapshot.knobs, parsed) {
            Some(NotOpened::Kind)
        } else if self.defence.would_drop_opening() {
            Some(NotOpened::DropPacket)
        } else if parsed.key.source.port == FTP_DATA {
            Some(NotOpened::FtpData)
        } else {
            None
        }
    }

    /// What becomes of a packet that begins a session.
    fn explain_opening(
        &self,
        context: Context<'_>,
        service: &Service,
        parsed: &Parsed,
        explanation: &mut Explanation,
    ) -> Outcome {
        let (snapshot, key) = (context.snapshot, &parsed.key);
        let Some((server, end, by_template)) = chosen(context, service, key) else {
            return Outcome::Dropped(DropReason::NoServer);
        };
        let way = towards_server(snapshot, end.addr);
        let method = method_by(way, server);
        let one_packet = is_one_packet(service, server, key.protocol);
        let needs_port = method == Method::Fullnat;
        let local = needs_port
            .then(|| self.peek_port(context, service, end))
            .flatten();
        explanation.opening = Some(Opening {
            server: server.slot,
            end,
            method,
            by_template,
            one_packet,
            local,
            table_full: !one_packet && self.sessions.is_full(),
        });
        if needs_port && local.is_none() {
            return Outcome::Dropped(DropReason::LocalPortsExhausted);
        }
        match way {
            AdjacencyRef::LOCAL => delivered(snapshot, method, end.addr, parsed),
            _ => sent(snapshot, way, end.addr, method == Method::Tun),
        }
    }
}

/// The server that a new session would have, where its packets go there, and whether a template
/// says so.
fn chosen<'a>(
    context: Context<'a>,
    service: &'a Service,
    key: &FlowKey<V4>,
) -> Option<(&'a RealServer, Endpoint<V4>, bool)> {
    let Context { snapshot, now } = context;
    let known = service.persistence.and_then(|persistence| {
        let key = template_key(service, persistence, key);
        snapshot.server(snapshot.templates.peek(snapshot, now, &key)?)
    });
    let scheduled = || {
        let flow = FlowInfo::of(key.source, key.destination.addr, now);
        let place = service.scheduler.peek(&service.servers, flow)?;
        Some(&**service.servers.get(place)?)
    };
    let server = known.or_else(scheduled)?;
    Some((server, end_for(service, server, key)?, known.is_some()))
}

/// What becomes of a packet to a server that is the gateway itself.
fn delivered(snapshot: &Snapshot, method: Method, server: V4, parsed: &Parsed) -> Outcome {
    let is_taken = match method {
        Method::Nat | Method::Fullnat => !std::net::Ipv4Addr::from(server).is_loopback(),
        Method::Dr | Method::Tun => is_linuxs(snapshot, parsed).is_ok(),
    };
    if is_taken {
        Outcome::Delivered
    } else {
        Outcome::Dropped(DropReason::LocalServerUnreachable)
    }
}

/// What becomes of a packet that goes to a next hop on its way to `destination`.
fn sent(snapshot: &Snapshot, way: AdjacencyRef, destination: V4, tunnels: bool) -> Outcome {
    let Some(adjacency) = snapshot.adjacency(way.slot) else {
        return Outcome::Dropped(DropReason::NoRoute);
    };
    let interface = snapshot.interfaces.get(adjacency.interface);
    if tunnels && interface.and_then(|interface| interface.address).is_none() {
        return Outcome::Dropped(DropReason::NoTunnelSource);
    }
    let hop = Hop {
        interface: adjacency.interface,
        addr: adjacency.neighbour(destination.to_ip()),
        mac: adjacency.mac,
        mtu: adjacency.mtu,
    };
    match (hop.mac, interface) {
        (None, _) => Outcome::Waits(hop),
        (Some(_), None) => Outcome::Dropped(DropReason::NoRoute),
        (Some(_), Some(_)) => Outcome::Sent(hop),
    }
}

/// What becomes of a packet that begins no session.
fn unopened(context: Context<'_>, target: Target<'_>, probe: &Probe) -> Outcome {
    match without_session(context.snapshot, target, probe.interface, &probe.parsed()) {
        Fate::Linux(class) => Outcome::Punted(class),
        Fate::Dropped(reason) => Outcome::Dropped(reason),
    }
}

fn purpose(target: Target<'_>) -> Purpose {
    match target {
        Target::Service(service) => Purpose::Service(service.slot),
        Target::UnservedVip(policy) => Purpose::UnservedVip(policy),
        Target::LocalAddress => Purpose::LocalAddress,
        Target::NatReply => Purpose::NatReply,
        Target::Host => Purpose::Host,
        Target::Transit => Purpose::Transit,
    }
}
