//! A packet that belongs to no session here: a new session, another worker's, Linux's, or none.

use super::hit::resolve;
use super::{Context, Pipeline, Work};
use crate::address::{Address, Endpoint, FlowKey, Protocol, V4};
use crate::classify::{self, Target};
use crate::drop_reason::DropReason;
use crate::handover::{Handed, Visited};
use crate::icmp_error::IcmpError;
use crate::id::{SessionId, WorkerId};
use crate::io::{Io, Packet};
use crate::parse::{FragmentKind, Parsed};
use crate::punt::PuntClass;
use crate::rewrite::sequence::SeqShift;
use crate::rewrite::tun;
use crate::schedule::{FlowInfo, Schedule, load};
use crate::service::{Method, MssClamp, RealServer, Service, Unserved};
use crate::session::{AdjacencyRef, Direction, Event, Hashes, NewSession, Session, SessionFlags};
use crate::snapshot::Snapshot;
use crate::snat::Lent;
use crate::steering::Steering;
use crate::wire::tcp::Tcp;

/// Local ports, each of the next local address, that one new session tries before it gives up.
const LOCAL_TRIES: usize = 16;

/// How far behind the last byte of a port's previous user the next one begins.
const SEQUENCE_GAP: u32 = 1 << 16;

/// IPv4 and TCP headers without options: what an MTU is larger than an MSS.
const HEADERS: u16 = 40;

impl<I: Io> Pipeline<I> {
    /// Decides what becomes of a packet that met no session.
    pub(super) fn miss(&mut self, context: Context<'_>, work: Work<I::Packet>) {
        let key = work.parsed.key;
        let snapshot = context.snapshot;
        let target = classify::classify(snapshot, &key);
        let owner = self.next_owner(snapshot, &target, &key, work.visited);
        if let Some(to) = owner.filter(|owner| *owner != self.worker) {
            if work.parsed.ip.fragment == FragmentKind::First {
                self.remember_handed_fragment(context, to, &work.parsed);
            }
            return self.hand_over(to, work);
        }
        match target {
            Target::Service(service) if opens_session(&work.parsed) => {
                self.open(context, service, work);
            }
            Target::Service(service) => {
                self.unserved(context, unserved_at(snapshot, service), work)
            }
            Target::UnservedVip(policy) => self.unserved(context, policy, work),
            Target::LocalAddress => {
                self.out
                    .discard(work.packet, DropReason::NoSessionForLocalAddress);
            }
            Target::Host => self.punt(context, classify::host_class(&key), work),
            Target::NatReply | Target::Transit => self.punt(context, PuntClass::Transit, work),
        }
    }

    /// Hands a packet to the worker that owns its session, or may.
    pub(super) fn hand_over(&self, to: WorkerId, work: Work<I::Packet>) {
        let Work {
            packet,
            interface,
            visited,
            ..
        } = work;
        let visited = visited.with(self.worker);
        let handed = Handed {
            packet,
            interface,
            visited,
        };
        self.out.hand_over(to, handed);
    }

    fn punt(&mut self, context: Context<'_>, class: PuntClass, work: Work<I::Packet>) {
        self.out
            .punt(context.now, work.interface, class, work.packet);
    }

    /// The worker a packet should visit next, or none when it has visited all it may belong to.
    fn next_owner(
        &self,
        snapshot: &Snapshot,
        target: &Target<'_>,
        key: &FlowKey<V4>,
        visited: Visited,
    ) -> Option<WorkerId> {
        let steering = &*snapshot.steering;
        if steering.workers() == 1 {
            return None;
        }
        match target {
            Target::Service(_) if visited.is_empty() => Some(client_owner(steering, key)),
            Target::LocalAddress if visited.is_empty() => Some(steering.local_reply_owner(key)),
            Target::NatReply => self.nat_reply_owner(snapshot, key, visited),
            _ => None,
        }
    }

    /// The candidates of a NAT reply are the owners of the sessions it could belong to, one for
    /// each VIP its server serves; it visits them in order, each once.
    fn nat_reply_owner(
        &self,
        snapshot: &Snapshot,
        key: &FlowKey<V4>,
        visited: Visited,
    ) -> Option<WorkerId> {
        let visited = visited.with(self.worker);
        let vips = snapshot.nat_vips((key.protocol, key.source));
        let owners = vips.map(|vip| {
            let from_client = FlowKey {
                source: key.destination,
                destination: vip,
                protocol: key.protocol,
            };
            client_owner(&snapshot.steering, &from_client)
        });
        owners.into_iter().find(|owner| !visited.contains(*owner))
    }

    /// What a service's administrator wants done with packets that it does not serve.
    fn unserved(&mut self, context: Context<'_>, policy: Unserved, work: Work<I::Packet>) {
        match policy {
            Unserved::Linux => self.punt(context, PuntClass::Unserved, work),
            Unserved::Drop => self.out.discard(work.packet, DropReason::Unserved),
            Unserved::Reject => {
                let Work { packet, parsed, .. } = work;
                let source = parsed.key.destination.addr;
                self.send_icmp_error(
                    context,
                    source,
                    &parsed,
                    &packet,
                    IcmpError::PortUnreachable,
                );
                self.out.discard(packet, DropReason::Rejected);
            }
        }
    }

    /// Makes a session for a client's first packet and takes the packet on.
    fn open(&mut self, context: Context<'_>, service: &Service, work: Work<I::Packet>) {
        let key = work.parsed.key;
        let flow = FlowInfo::of(key.source, key.destination.addr, context.now);
        let Some(server) = service
            .scheduler
            .pick(&service.servers, flow)
            .and_then(|index| service.servers.get(index))
        else {
            // The kernel answers so for TCP too (connections.md §4.2).
            let Work { packet, parsed, .. } = work;
            let vip = key.destination.addr;
            self.send_icmp_error(context, vip, &parsed, &packet, IcmpError::PortUnreachable);
            return self.out.discard(packet, DropReason::NoServer);
        };
        match self.new_session(context, service, server, &work) {
            Ok(id) => {
                load::bind(server);
                server.shared.traffic.of(self.worker).sessions.add(1);
                self.counters().sessions_created.add(1);
                self.carry(context, id, Direction::ToServer, work);
            }
            Err(reason) => self.out.discard(work.packet, reason),
        }
    }

    /// Puts the session into the table, with a local port if its server is reached by FULLNAT.
    fn new_session(
        &mut self,
        context: Context<'_>,
        service: &Service,
        server: &RealServer,
        work: &Work<I::Packet>,
    ) -> Result<SessionId, DropReason> {
        let key = work.parsed.key;
        let server_addr = V4::from_ip(server.endpoint.addr).ok_or(DropReason::NoServer)?;
        let server_port = if server.endpoint.port == 0 {
            key.destination.port
        } else {
            server.endpoint.port
        };
        let server_end = Endpoint::new(server_addr, server_port);
        // The port first, then the routes: meanwhile the bucket of the reply comes nearer.
        let first = match server.method {
            Method::Fullnat => self.lend(context, service, server_end, key.protocol, 0),
            Method::Dr | Method::Nat | Method::Tun => None,
        };
        let known = self.servers.get(context.snapshot, self.worker, server.slot);
        let to_server = known.map_or(AdjacencyRef::NOWHERE, |known| known.way);
        let to_client = if server.method.sees_replies() {
            resolve(context.snapshot, key.source.addr)
        } else {
            AdjacencyRef::default()
        };
        let loan = match server.method {
            Method::Fullnat => {
                Some(self.find_port(context, service, server_end, key.protocol, first)?)
            }
            Method::Dr | Method::Nat | Method::Tun => None,
        };
        let mut session = Session::new(
            &NewSession {
                client: key.source,
                vip: key.destination,
                local: loan.map_or(key.source, |loan| loan.local),
                server: server_end,
                protocol: key.protocol,
                method: server.method,
                service: service.slot,
                server_slot: server.slot,
                to_server,
                to_client,
            },
            context.now,
        );
        session.set_mss_clamp(mss_clamp(context.snapshot, service.mss_clamp, &session));
        if let Some(end) = loan.and_then(|loan| loan.lent.previous_end) {
            shift_sequence(&mut session, work, end);
            self.counters().local_port_reuses.add(1);
        }
        let sees_replies = server.method.sees_replies();
        let hashes = Hashes {
            client: work.hash,
            server: sees_replies.then(|| match loan {
                Some(loan) => loan.reply_hash,
                None => self.sessions.hash(&session.server_key()),
            }),
        };
        self.file(context, &session, hashes)
    }

    /// Puts a session into the table, in the place of a lesser one if need be. One that finds no
    /// place gives its local port back.
    fn file(
        &mut self,
        context: Context<'_>,
        session: &Session<V4>,
        hashes: Hashes,
    ) -> Result<SessionId, DropReason> {
        let room = self.make_room(context);
        let filed = room.and_then(|()| {
            let ticks = context.snapshot.timeouts.new_session_ticks();
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

    /// A local port for a session to `server`: the `first` that was lent if it will do, or another
    /// one, if need be from a session that matters less.
    fn find_port(
        &mut self,
        context: Context<'_>,
        service: &Service,
        server: Endpoint<V4>,
        protocol: Protocol,
        first: Option<Loan>,
    ) -> Result<Loan, DropReason> {
        let mut lent = first.and_then(|lent| self.settle(context, server, protocol, lent));
        if lent.is_none() {
            lent = self.borrow_port(context, service, server, protocol);
        }
        if lent.is_none() && self.reclaim_port(context, &service.local_addresses, server) {
            lent = self.borrow_port(context, service, server, protocol);
        }
        self.local_turn = self.local_turn.wrapping_add(1);
        lent.ok_or(DropReason::LocalPortsExhausted)
    }

    /// Tries the service's local addresses in turn.
    fn borrow_port(
        &mut self,
        context: Context<'_>,
        service: &Service,
        server: Endpoint<V4>,
        protocol: Protocol,
    ) -> Option<Loan> {
        (0..LOCAL_TRIES).find_map(|step| {
            let lent = self.lend(context, service, server, protocol, step)?;
            self.settle(context, server, protocol, lent)
        })
    }

    /// Takes a free local port of the local address whose turn it is, or of one `step` turns
    /// later, and asks for the bucket of the reply.
    fn lend(
        &self,
        context: Context<'_>,
        service: &Service,
        server: Endpoint<V4>,
        protocol: Protocol,
        step: usize,
    ) -> Option<Loan> {
        let pools = &service.local_addresses;
        let turn = self
            .local_turn
            .wrapping_add(step)
            .checked_rem(pools.len())?;
        let pool = pools.get(turn)?;
        let addr = V4::from_ip(pool.addr())?;
        let lent = pool.take(self.worker, server, protocol, context.now)?;
        let local = Endpoint::new(addr, lent.port);
        let reply_hash = self.sessions.hash(&reply_to(local, server, protocol));
        self.sessions.prefetch_bucket(reply_hash);
        Some(Loan {
            local,
            lent,
            reply_hash,
        })
    }

    /// Makes sure that no session has the port that was lent: one that gave it back ends now.
    fn settle(
        &mut self,
        context: Context<'_>,
        server: Endpoint<V4>,
        protocol: Protocol,
        mut loan: Loan,
    ) -> Option<Loan> {
        let reply = reply_to(loan.local, server, protocol);
        if let Some(id) = self.sessions.holder(loan.reply_hash, &reply) {
            if !self.returned_its_port(id) {
                // It has the port from a pool that this one replaced (its range was changed)
                // and gives it back here when it ends.
                return None;
            }
            let end = self.end_for_its_port(context, id);
            let previous_end = &mut loan.lent.previous_end;
            *previous_end = previous_end.and(end).or(*previous_end);
        }
        Some(loan)
    }
}

/// A local port that a session gets, if nobody has it.
#[derive(Clone, Copy)]
struct Loan {
    local: Endpoint<V4>,
    lent: Lent,
    /// The hash of the server's packets.
    reply_hash: u64,
}

/// The key of the server's packets to a local port.
const fn reply_to(local: Endpoint<V4>, server: Endpoint<V4>, protocol: Protocol) -> FlowKey<V4> {
    FlowKey {
        source: server,
        destination: local,
        protocol,
    }
}

/// Whether a packet may begin a session (connections.md §4.1): for TCP a SYN without RST, for
/// SCTP an INIT, for UDP anything; and never from port 20 (§4.1, step 1).
const fn opens_session(parsed: &Parsed) -> bool {
    const TCP_SYN: u8 = 0x02;
    const TCP_RST: u8 = 0x04;
    const SCTP_INIT: u8 = 1;

    let may = match parsed.key.protocol {
        Protocol::Tcp => parsed.tcp_flags & (TCP_SYN | TCP_RST) == TCP_SYN,
        Protocol::Udp => true,
        Protocol::Sctp => parsed.sctp_chunk == SCTP_INIT,
    };
    may && parsed.key.source.port != 20
}

/// The worker that owns a client's sessions with this VIP.
fn client_owner(steering: &Steering, key: &FlowKey<V4>) -> WorkerId {
    match steering {
        Steering::Software { .. } => steering.client_owner_software(key.protocol, key.source),
        Steering::Toeplitz(_) => steering.client_owner_rss(key),
    }
}

/// The policy of the VIP of a service.
fn unserved_at(snapshot: &Snapshot, service: &Service) -> Unserved {
    use crate::snapshot::Role;
    let vip = V4::from_ip(service.key.virtual_endpoint.addr);
    match vip.and_then(|vip| snapshot.role(vip)) {
        Some(Role::Vip(policy)) => *policy,
        _ => Unserved::Linux,
    }
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

/// What a packet means to its session's state.
#[inline]
pub(super) const fn event(parsed: &Parsed) -> Event {
    match parsed.key.protocol {
        Protocol::Tcp => Event::from_tcp_flags(parsed.tcp_flags),
        Protocol::Udp => Event::Datagram,
        Protocol::Sctp => Event::from_sctp_chunks(parsed.sctp_chunk, None),
    }
}

/// Whether a packet asks for a new connection (connections.md §1, step 5): a SYN, with or
/// without ACK, or an INIT.
#[inline]
pub(super) fn opens_connection(parsed: &Parsed) -> bool {
    matches!(event(parsed), Event::Syn | Event::Init)
}
