//! A packet that belongs to a session: account for it, move the state on, rewrite, send.

use super::miss::{event, opens_connection};
use super::session_life::has_port;
use super::way::Way;
use super::{Context, Pipeline, Work};
use crate::address::{Protocol, V4};
use crate::drop_reason::DropReason;
use crate::icmp_error::IcmpError;
use crate::id::{InterfaceId, SessionId};
use crate::io::{Io, Packet};
use crate::parse::{FragmentKind, Ipv4Facts, Parsed};
use crate::rewrite::sequence::SeqShift;
use crate::rewrite::tun::Tunnel;
use crate::rewrite::{self, dr, fullnat, mss, nat, tun};
use crate::schedule::load;
use crate::service::Method;
use crate::session::{Activity, AdjacencyRef, Direction, Session, SessionFlags, State};
use crate::snapshot::Snapshot;
use crate::wire::ipv4::Ipv4;
use crate::wire::tcp::Tcp;

impl<I: Io> Pipeline<I> {
    /// Takes a packet of the session `id` on to its server or client.
    #[inline]
    pub(super) fn hit(
        &mut self,
        context: Context<'_>,
        id: SessionId,
        direction: Direction,
        work: Work<I::Packet>,
    ) {
        let session = self.sessions.get(id);
        if direction == Direction::ToServer
            && begins_anew(context.snapshot, session, opens_connection(&work.parsed))
        {
            return self.begin_anew(context, id, work);
        }
        if let Some(reason) = barrier(context.snapshot, session, direction, work.interface) {
            return self.out.discard(work.packet, reason);
        }
        self.counters().session_hits.add(1);
        self.carry(context, id, direction, work);
    }

    /// Takes a packet that leaves its session behind. In the kernel that ends with the next tick,
    /// so it still counts at its server when the next one is scheduled (connections.md §3.1).
    #[cold]
    #[inline(never)]
    fn begin_anew(&mut self, context: Context<'_>, id: SessionId, work: Work<I::Packet>) {
        // FULLNAT, which the kernel lacks, may need its local port.
        let is_in_the_way =
            self.sessions.is_full() || self.sessions.get(id).method() == Method::Fullnat;
        if is_in_the_way {
            self.end_session(context, id);
            return self.miss(context, work);
        }
        let old = self.sessions.handle(id);
        self.miss(context, work);
        if let Some(id) = self.sessions.resolve(old, context.now) {
            self.end_session(context, id);
        }
    }

    /// What a packet of a session does that is not its first. The kernel's router looks at a
    /// server's packet before IPVS does, so one that cannot go on changes and counts nothing.
    #[inline]
    fn carry(
        &mut self,
        context: Context<'_>,
        id: SessionId,
        direction: Direction,
        work: Work<I::Packet>,
    ) {
        if work.parsed.ip.fragment == FragmentKind::First {
            self.remember_fragment(context, id, direction, &work.parsed);
        }
        match direction {
            Direction::ToServer => {
                self.account(context, id, direction, &work.parsed);
                self.forward(context, id, direction, work);
            }
            Direction::ToClient => {
                if let Some((way, work)) = self.passable(context, id, direction, work) {
                    self.account(context, id, direction, &work.parsed);
                    self.send(context, id, direction, &way, work);
                }
            }
        }
    }

    /// Sends a packet of a session on, or says to its sender why not.
    #[inline]
    pub(super) fn forward(
        &mut self,
        context: Context<'_>,
        id: SessionId,
        direction: Direction,
        work: Work<I::Packet>,
    ) {
        if let Some((way, work)) = self.passable(context, id, direction, work) {
            self.send(context, id, direction, &way, work);
        }
    }

    /// The next hop of a packet; its sender is told if there is none, or something in the way.
    #[inline]
    pub(super) fn passable<'a>(
        &mut self,
        context: Context<'a>,
        id: SessionId,
        direction: Direction,
        work: Work<I::Packet>,
    ) -> Option<(Way<'a>, Work<I::Packet>)> {
        let Some(way) = self.way(context, id, direction) else {
            self.without_way(context, id, direction, work);
            return None;
        };
        let obstacle = self.obstacle(context, id, direction, &work.parsed.ip, &way);
        if let Some(obstacle) = obstacle {
            self.refuse(context, id, direction, work, obstacle);
            return None;
        }
        Some((way, work))
    }

    /// Sends a packet of a session to the next hop.
    #[inline]
    pub(super) fn send(
        &mut self,
        context: Context<'_>,
        id: SessionId,
        direction: Direction,
        way: &Way<'_>,
        work: Work<I::Packet>,
    ) {
        let Work {
            mut packet, parsed, ..
        } = work;
        match self.rewrite(context, id, direction, way, &parsed.ip, &mut packet) {
            Ok(()) => self.dispatch(context, way, packet, usize::from(parsed.ip.l3_offset)),
            Err(reason) => self.out.discard(packet, reason),
        }
    }

    /// What becomes of a packet for which there is no next hop: it is there already, or its sender
    /// is told. Later fragments say nothing (RFC 1122 §3.2.2).
    #[cold]
    pub(super) fn without_way(
        &mut self,
        context: Context<'_>,
        id: SessionId,
        direction: Direction,
        work: Work<I::Packet>,
    ) {
        let to_server = self.sessions.get(id).to_server;
        if direction == Direction::ToServer && to_server == AdjacencyRef::LOCAL {
            return self.deliver(context, id, work);
        }
        if work.parsed.ip.fragment == FragmentKind::Later {
            return self.out.discard(work.packet, DropReason::NoRoute);
        }
        let obstacle = (IcmpError::HostUnreachable, DropReason::NoRoute);
        self.refuse(context, id, direction, work, obstacle);
    }

    /// Changes an IP packet, whole or fragment, as its session's method says. It stands where it
    /// stood before, without the padding that Ethernet may have put behind it.
    pub(super) fn rewrite(
        &mut self,
        context: Context<'_>,
        id: SessionId,
        direction: Direction,
        way: &Way<'_>,
        facts: &Ipv4Facts,
        packet: &mut I::Packet,
    ) -> Result<(), DropReason> {
        let l3 = usize::from(facts.l3_offset);
        let end = l3 + usize::from(facts.total_len);
        packet.set_len(end);
        let ip = packet
            .bytes_mut()
            .get_mut(l3..end)
            .ok_or(DropReason::TruncatedIp)?;
        if facts.fragment == FragmentKind::First {
            self.settle_checksum(id, direction, ip)?;
        }
        let session = self.sessions.get_mut(id);
        match direction {
            Direction::ToServer => to_server(session, ip)?,
            Direction::ToClient => return to_client(session, ip),
        }
        if session.method() != Method::Tun {
            return Ok(());
        }
        let interface = context.snapshot.interfaces.get(way.adjacency.interface);
        let source = interface.and_then(|interface| interface.address);
        let tunnel = Tunnel {
            source: source.ok_or(DropReason::NoTunnelSource)?,
            destination: session.server().addr,
        };
        if context.snapshot.knobs.pmtu_disc {
            tun::encapsulate(packet, l3, tunnel, &mut self.ip_ids)
        } else {
            tun::encapsulate_fragmentable(packet, l3, tunnel, &mut self.ip_ids)
        }
    }

    /// Sends a finished IP packet, in pieces when it is larger than the way allows.
    pub(super) fn dispatch(
        &mut self,
        context: Context<'_>,
        way: &Way<'_>,
        packet: I::Packet,
        l3: usize,
    ) {
        let len = packet.bytes().len().saturating_sub(l3);
        if len > usize::from(way.mtu) {
            return self.send_in_pieces(context, way, packet, l3);
        }
        let Way {
            adjacency,
            destination,
            ..
        } = way;
        self.out.send(
            context.snapshot,
            context.now,
            adjacency,
            *destination,
            packet,
            l3,
        );
    }

    /// Counts the packet, moves the session's state on and restarts its time-out. This happens
    /// also when the packet is then dropped on its way (connections.md §1, 8).
    #[inline]
    pub(super) fn account(
        &mut self,
        context: Context<'_>,
        id: SessionId,
        direction: Direction,
        parsed: &Parsed,
    ) {
        let bytes = u64::from(parsed.ip.total_len);
        let session = self.sessions.get_mut(id);
        session.count(direction, bytes);
        let before = session.state;
        let activity = session.advance_under(self.defence.tcp_rules(), direction, event(parsed));
        let state = session.state;
        let frees_port = has_port(session) && frees_port(before, direction, state);
        if session.proves_template(before, direction) {
            context.snapshot.templates.assure(session.template);
        }
        if let Some(server) = context.snapshot.server(session.server_slot) {
            if server.available {
                let traffic = server.shared.traffic.of(self.worker);
                traffic.count(direction, parsed.ip.total_len);
            }
            if activity != Activity::Unchanged {
                self.let_go(context);
            }
            match activity {
                Activity::Unchanged => {}
                Activity::Began => load::activate(&server.shared),
                Activity::Ended => load::deactivate(&server.shared),
            }
        }
        self.sessions
            .extend(id, context.now, context.snapshot.timeouts.ticks(state));
        if frees_port {
            self.return_port_early(context, id);
        }
    }
}

/// Whether a client's packet that met this session is as good as one that met none
/// (connections.md §1, 5 and 6); `opens` says that it asks for a new connection.
#[inline]
pub(super) fn begins_anew(snapshot: &Snapshot, session: &Session<V4>, opens: bool) -> bool {
    let knobs = &snapshot.knobs;
    // What gave its local port back has nothing left to be reused.
    opens
        && (is_reusable(knobs.conn_reuse_mode, session)
            || session.flags.contains(SessionFlags::PORT_RETURNED))
        || knobs.expire_nodest_conn && is_nobodys(snapshot, session, opens)
}

/// Whether a new connection may take the place of this one (connections.md §6.4). That of a
/// persistent client goes on.
const fn is_reusable(mode: u8, session: &Session<V4>) -> bool {
    const ONE_SIDED_TOO: u8 = 2;

    if session.template.is_some() {
        return false;
    }
    match session.state {
        State::FinWait => {
            mode & ONE_SIDED_TOO != 0 && session.flags.contains(SessionFlags::NO_OUTPUT)
        }
        state => mode != 0 && is_over(state),
    }
}

/// Whether a session's server was removed; or takes no new sessions, if that is what `opens`.
#[cold]
fn is_nobodys(snapshot: &Snapshot, session: &Session<V4>, opens: bool) -> bool {
    let server = snapshot.server(session.server_slot);
    server.is_none_or(|server| !server.available || opens && server.weight.0 == 0)
}

/// Whether both sides have finished: the session stays only for late packets.
const fn is_over(state: State) -> bool {
    matches!(state, State::TimeWait | State::Close | State::SctpClosed)
}

/// Whether a packet ended the connection for its server too, so that another one may have the
/// local port at once. Anybody can forge the client's packets: as long as the server has not
/// ended its side, they end nothing there, and another client with the port would get its bytes.
const fn frees_port(before: State, direction: Direction, after: State) -> bool {
    let server_ended = match direction {
        Direction::ToClient => true,
        Direction::ToServer => matches!(
            before,
            State::FinWait | State::SctpShutdownSent | State::SctpShutdownAckSent
        ),
    };
    server_ended && is_over(after) && !is_over(before)
}

/// Why a packet that came by `from` may not go on with its session: its server is no longer a
/// server, or a reply came from where its server is not.
#[inline]
pub(super) fn barrier(
    snapshot: &Snapshot,
    session: &Session<V4>,
    direction: Direction,
    from: InterfaceId,
) -> Option<DropReason> {
    let Some(server) = snapshot.server(session.server_slot) else {
        return Some(DropReason::ServerRemoved);
    };
    match direction {
        Direction::ToServer => (!server.available).then_some(DropReason::ServerRemoved),
        Direction::ToClient => {
            let accepted = accepts_reply(snapshot, session, from);
            (!accepted).then_some(DropReason::ReplyOnWrongPort)
        }
    }
}

/// Whether an interface leads to the server, or is allowed to bring any reply.
#[inline]
pub(super) fn accepts_reply(snapshot: &Snapshot, session: &Session<V4>, from: InterfaceId) -> bool {
    let known = snapshot.adjacency(session.to_server.slot);
    // Behind another epoch may stand another next hop, at another interface.
    let known = known.filter(|adjacency| adjacency.epoch == session.to_server.epoch);
    if known.is_some_and(|adjacency| adjacency.interface == from) {
        return true;
    }
    if session.to_server == AdjacencyRef::LOCAL {
        // Linux's answers come from a twin.
        return false;
    }
    let interface = snapshot.interfaces.get(from);
    interface.is_some_and(|interface| interface.accept_replies)
        || snapshot.routes_to(session.server().addr, from)
}

/// Rewrites a client's packet for its server, up to the tunnel header.
#[inline]
fn to_server(session: &mut Session<V4>, ip: &mut [u8]) -> Result<(), DropReason> {
    if session.flags.contains(SessionFlags::CLAMP_MSS) {
        mss::clamp(ip, session.mss_clamp());
    }
    match session.method() {
        Method::Dr | Method::Tun => dr::to_server(ip),
        Method::Nat => {
            rewrite::decrement_ttl(ip)?;
            nat::to_server(ip, session.server())
        }
        Method::Fullnat => {
            rewrite::decrement_ttl(ip)?;
            fullnat::to_server(ip, session.local(), session.server())?;
            if session.flags.contains(SessionFlags::SEQ_SHIFT) {
                SeqShift {
                    delta: session.seq_delta,
                }
                .to_server(ip)?;
            }
            note_client_end(session, ip);
            Ok(())
        }
    }
}

/// Rewrites a server's reply for its client.
#[inline]
fn to_client(session: &Session<V4>, ip: &mut [u8]) -> Result<(), DropReason> {
    rewrite::decrement_ttl(ip)?;
    if session.flags.contains(SessionFlags::CLAMP_MSS) {
        mss::clamp(ip, session.mss_clamp());
    }
    match session.method() {
        Method::Dr | Method::Tun => Ok(()),
        Method::Nat => nat::to_client(ip, session.vip()),
        Method::Fullnat => {
            if session.flags.contains(SessionFlags::SEQ_SHIFT) {
                SeqShift {
                    delta: session.seq_delta,
                }
                .to_client(ip)?;
            }
            fullnat::to_client(ip, session.vip(), session.client())
        }
    }
}

/// Remembers how far the client has come.
#[inline]
pub(super) fn note_client_end(session: &mut Session<V4>, ip: &[u8]) {
    if session.protocol() != Protocol::Tcp {
        return;
    }
    if let Some(end) = end_of_sequence(ip) {
        session.note_client_end(end);
    }
}

/// The sequence number behind a segment; `None` for a later fragment.
#[inline]
fn end_of_sequence(ip: &[u8]) -> Option<u32> {
    let (header, segment) = Ipv4::parse(ip).ok()?;
    let tcp = Tcp::parse(segment)
        .ok()
        .filter(|_| header.fragment_offset() == 0)?;
    tcp.end_of_sequence()
}
