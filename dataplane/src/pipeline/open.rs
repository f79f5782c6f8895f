//! A client's first packet: a server is chosen, and a session begins.

use super::choose::Choice;
use super::express::leave;
use super::hit::note_client_end;
use super::known::KnownServer;
use super::miss::event;
use super::way::resolve;
use super::{Context, Pipeline, Work};
use crate::address::{Endpoint, FlowKey, Protocol, V4};
use crate::drop_reason::DropReason;
use crate::icmp_error::IcmpError;
use crate::id::SessionId;
use crate::io::{Io, Packet};
use crate::parse::{FragmentKind, Parsed};
use crate::rewrite::sequence::SeqShift;
use crate::rewrite::{plain, tun};
use crate::schedule::{FlowInfo, load};
use crate::service::{Method, MssClamp, RealServer, Service};
use crate::session::{
    Activity, AdjacencyRef, Direction, FRAGMENT_LIFE_TICKS, Hashes, NewSession, Session,
    SessionFlags, State,
};
use crate::snapshot::Snapshot;
use crate::wire::plain::{PlainIpv4, PlainIpv4Mut};
use crate::wire::tcp::Tcp;

/// The port of FTP's data connections, from which no session begins (connections.md §4.1).
pub(super) const FTP_DATA: u16 = 20;

/// How far behind the last byte of a port's previous user the next one begins.
const SEQUENCE_GAP: u32 = 1 << 16;

/// IPv4 and TCP headers without options: what an MTU is larger than an MSS.
const HEADERS: u16 = 40;

impl<I: Io> Pipeline<I> {
    /// Chooses a server for a client's first packet, lets a session begin and takes the packet on.
    pub(super) fn open(&mut self, context: Context<'_>, service: &Service, work: Work<I::Packet>) {
        self.sessions.prefetch_place();
        let key = work.parsed.key;
        if key.source.port == 0 {
            self.thin_out(context, work.hash, &key);
        }
        let flow = FlowInfo::of(key.source, key.destination.addr, context.now);
        let Some(choice) = self.choose(context, service, &key, flow) else {
            return self.refuse_opening(context, work);
        };
        if choice.one_packet {
            return self.send_one(context, service, choice, work);
        }
        match self.new_session(context, service, choice, &work) {
            Ok(id) => {
                self.counters().sessions_created.add(1);
                if work.parsed.ip.fragment == FragmentKind::First {
                    self.remember_fragment(context, id, Direction::ToServer, &work.parsed);
                }
                self.send_first(context, id, work);
            }
            Err(reason) => {
                self.give_up(context, &choice, work.parsed.key.protocol);
                self.out.discard(work.packet, reason);
            }
        }
    }

    /// Tells a client that there is no server for it; for TCP too, as in the kernel (connections.md
    /// §4.2). There a session with the same ends, one that the client leaves or another from port
    /// 0, takes what its client is told for an answer.
    #[cold]
    fn refuse_opening(&mut self, context: Context<'_>, work: Work<I::Packet>) {
        let Work {
            packet,
            parsed,
            hash,
            ..
        } = work;
        let (key, error) = (&parsed.key, IcmpError::PortUnreachable);
        let told = self.send_icmp_error(context, key.destination.addr, &parsed, &packet, error);
        let old = self.sessions.find(hash, key, context.now);
        if let Some((id, Direction::ToServer)) = old {
            self.count_told(context, id, told);
        }
        self.out.discard(packet, DropReason::NoServer);
    }

    /// Sends a datagram to a server chosen for it alone. Its session ends with it: the next one
    /// has another, and no answer finds it (connections.md §9).
    #[inline(never)]
    fn send_one(
        &mut self,
        context: Context<'_>,
        service: &Service,
        choice: Choice<'_>,
        work: Work<I::Packet>,
    ) {
        let way = self.way_to(context, choice.server);
        let mut session = session_for(context, service, choice, way, &work.parsed.key);
        let _datagrams_are_never_active = self.advance_first(&mut session, &work.parsed);
        self.bind(context, &choice, work.parsed.key.protocol, false);
        self.count_first(choice.server, &work.parsed);
        self.counters().one_packets.add(1);
        let id = (self.sessions).put_aside(&session, context.now, FRAGMENT_LIFE_TICKS);
        if work.parsed.ip.fragment == FragmentKind::First {
            self.remember_fragment(context, id, Direction::ToServer, &work.parsed);
        }
        self.send_first(context, id, work);
        self.let_go(context);
        load::unbind(choice.server, false);
    }

    /// Puts the session into the table, with a local port if its server is reached by FULLNAT, and
    /// accounts for its first packet.
    #[inline]
    fn new_session(
        &mut self,
        context: Context<'_>,
        service: &Service,
        choice: Choice<'_>,
        work: &Work<I::Packet>,
    ) -> Result<SessionId, DropReason> {
        let key = work.parsed.key;
        let mut way = self.way_to(context, choice.server);
        let loan = match way.method {
            Method::Fullnat => Some(self.find_port(context, service, choice.end, key.protocol)?),
            Method::Dr | Method::Nat | Method::Tun => None,
        };
        way.local = loan.map(|loan| loan.local);
        let mut session = session_for(context, service, choice, way, &key);
        if let Some(end) = loan.and_then(|loan| loan.lent.previous_end) {
            shift_sequence(&mut session, work, end);
            self.counters().local_port_reuses.add(1);
        }
        let hashes = Hashes {
            client: work.hash,
            server: way.method.sees_replies().then(|| match loan {
                Some(loan) => loan.reply_hash,
                None => self.sessions.hash(&session.server_key()),
            }),
        };
        self.begin(context, &choice, &mut session, hashes, &work.parsed)
    }

    /// How packets reach a server.
    #[inline]
    pub(super) fn way_to(&mut self, context: Context<'_>, server: &RealServer) -> WayTo {
        let known = self.servers.get(context.snapshot, self.worker, server.slot);
        let to_server = known.map_or(AdjacencyRef::NOWHERE, |known| known.way);
        WayTo {
            to_server,
            method: method_by(to_server, server),
            local: None,
        }
    }

    /// Lets a session begin with its first packet: as that leaves it, it comes into the table and
    /// is counted at its server. This happens also when the packet is then dropped on its way
    /// (connections.md §1, 8).
    #[inline]
    fn begin(
        &mut self,
        context: Context<'_>,
        choice: &Choice<'_>,
        session: &mut Session<V4>,
        hashes: Hashes,
        first: &Parsed,
    ) -> Result<SessionId, DropReason> {
        let activity = self.advance_first(session, first);
        let ticks = context.snapshot.timeouts.ticks(session.state);
        let id = self.file(context, session, hashes, ticks)?;
        if session.proves_template(State::None, Direction::ToServer) {
            context.snapshot.templates.assure(session.template);
        }
        self.bind(
            context,
            choice,
            first.key.protocol,
            activity == Activity::Began,
        );
        self.count_first(choice.server, first);
        Ok(id)
    }

    /// Counts a session's first packet and moves its state on.
    #[inline]
    fn advance_first(&self, session: &mut Session<V4>, first: &Parsed) -> Activity {
        session.count(Direction::ToServer, u64::from(first.ip.total_len));
        session.advance_under(self.defence.tcp_rules(), Direction::ToServer, event(first))
    }

    /// Counts a session and its first packet at its server.
    fn count_first(&self, server: &RealServer, first: &Parsed) {
        let traffic = server.shared.traffic.of(self.worker);
        traffic.sessions.add(1);
        traffic.count(Direction::ToServer, first.ip.total_len);
    }

    /// Puts a session into the table for so many ticks, in the place of a lesser one if need be.
    /// One that finds no place gives its local port back.
    #[inline]
    pub(super) fn file(
        &mut self,
        context: Context<'_>,
        session: &Session<V4>,
        hashes: Hashes,
        ticks: u32,
    ) -> Result<SessionId, DropReason> {
        let room = self.make_room(context);
        let filed = room.and_then(|()| {
            let inserted = self
                .sessions
                .insert_under(hashes, session, context.now, ticks);
            inserted.map_err(|_full| DropReason::SessionTableFull)
        });
        if filed.is_err() {
            self.return_port(context, session);
        }
        filed
    }

    /// Sends the packet that began a session on: the short way when it is plain, and nothing in it
    /// but its ends has to be changed.
    #[inline(always)]
    fn send_first(&mut self, context: Context<'_>, id: SessionId, mut work: Work<I::Packet>) {
        let session = self.sessions.get_mut(id);
        let slot = session.server_slot;
        let server = self.servers.get(context.snapshot, self.worker, slot);
        let facts = &work.parsed.ip;
        let may_go = |server: &&KnownServer| {
            session.to_server == server.way && facts.total_len <= server.hop.room && facts.ttl > 1
        };
        let l3 = usize::from(facts.l3_offset);
        let end = l3 + usize::from(facts.total_len);
        let hop = server
            .filter(may_go)
            .filter(|_| self.has_express_lane)
            .map(|server| &server.hop);
        let ip = work.packet.bytes_mut().get_mut(l3..end);
        if let (Some(hop), Some(ip)) = (hop, ip)
            && rewrite_first(session, ip)
        {
            work.packet.set_len(end);
            return leave(&mut self.out, hop, work.packet, l3);
        }
        self.forward(context, id, Direction::ToServer, work);
    }
}

/// How packets reach a server by this way.
#[inline(always)]
pub(super) fn method_by(to_server: AdjacencyRef, server: &RealServer) -> Method {
    match server.method {
        // Linux would answer a local address of its own without a twin, so the client stays.
        Method::Fullnat if to_server == AdjacencyRef::LOCAL => Method::Nat,
        method => method,
    }
}

/// How a session's packets reach its server.
#[derive(Clone, Copy)]
pub(super) struct WayTo {
    to_server: AdjacencyRef,
    pub(super) method: Method,
    /// Whom the server sees, if that is not the client.
    local: Option<Endpoint<V4>>,
}

/// The session that a packet with this key begins, with its next hops.
#[inline]
pub(super) fn session_for(
    context: Context<'_>,
    service: &Service,
    choice: Choice<'_>,
    way: WayTo,
    key: &FlowKey<V4>,
) -> Session<V4> {
    let to_client = if way.method.sees_replies() {
        resolve(context.snapshot, key.source.addr)
    } else {
        AdjacencyRef::default()
    };
    let new = NewSession {
        client: key.source,
        vip: key.destination,
        local: way.local.unwrap_or(key.source),
        server: choice.end,
        protocol: key.protocol,
        method: way.method,
        service: service.slot,
        server_slot: choice.server.slot,
        to_server: way.to_server,
        to_client,
    };
    let mut session = Session::new(&new, context.now);
    session.set_mss_clamp(mss_clamp(context.snapshot, service.mss_clamp, &session));
    session.template = choice.template;
    session
}

/// Changes a plain packet as its session's method says; false, with the packet as it was, when
/// that is the general way's to do.
#[inline]
fn rewrite_first(session: &mut Session<V4>, ip: &mut [u8]) -> bool {
    let more = [SessionFlags::CLAMP_MSS, SessionFlags::SEQ_SHIFT];
    let method = session.method();
    let needs_more = more.iter().any(|flag| session.flags.contains(*flag));
    if needs_more || method == Method::Tun || PlainIpv4::parse(ip).is_none() {
        return false;
    }
    let Some(mut packet) = PlainIpv4Mut::new(ip) else {
        return false;
    };
    if method == Method::Dr {
        packet.decrement_ttl();
        return true;
    }
    let ends = session.arriving(Direction::ToClient).turned();
    let is_done = plain::readdress(&mut packet, session.protocol(), ends);
    if is_done && method == Method::Fullnat {
        note_client_end(session, ip);
    }
    is_done
}

/// The MSS that a session's SYNs may carry at most; 0 leaves them alone.
fn mss_clamp(snapshot: &Snapshot, clamp: MssClamp, session: &Session<V4>) -> u16 {
    match clamp {
        MssClamp::Off => 0,
        MssClamp::To(most) => most,
        MssClamp::Auto if session.method() == Method::Tun => {
            let path = snapshot.adjacency(session.to_server.slot);
            path.map_or(0, |adjacency| {
                tun::room(adjacency.mtu).saturating_sub(HEADERS)
            })
        }
        MssClamp::Auto => 0,
    }
}

/// Makes the client's sequence numbers begin behind those of the port's previous user, which
/// ended at `previous_end` (`fullnat.md` §1.3; RFC 6191 §2 is what the server goes by).
fn shift_sequence<P: Packet>(session: &mut Session<V4>, work: &Work<P>, previous_end: u32) {
    let segment = work
        .packet
        .bytes()
        .get(usize::from(work.parsed.ip.l4_offset)..);
    let Some(tcp) = segment.and_then(|segment| Tcp::parse(segment).ok()) else {
        return;
    };
    if work.parsed.key.protocol == Protocol::Tcp {
        let first = previous_end.wrapping_add(SEQUENCE_GAP);
        session.seq_delta = SeqShift::between(tcp.sequence(), first).delta;
        session.flags.insert(SessionFlags::SEQ_SHIFT);
    }
}
