//! IP fragments: later ones follow their first, and packets too large for their way become some.
//!
//! A later fragment has no ports. The first one leaves a note in a bounded table, at each worker
//! it passes; later ones that find it go the same way with their addresses rewritten. With several
//! workers all fragments of a datagram meet at one of them before they go on, wherever they arrive.
//!
//! At the worker that owns their session they [wait](super::waiting) until all are there, and then
//! go on in order: an incomplete datagram does nothing, as in the kernel. When the room is needed,
//! those that waited longest go on as they are, if their first one is there and its checksum can be
//! carried over without the others; those that come later follow it.

use arrayvec::ArrayVec;

use super::hit::barrier;
use super::miss::ethdev_of;
use super::waiting::{Gathered, PLACES_OF_ONE, Part, Refusal, WaitingRoom};
use super::way::Way;
use super::{Context, Pipeline, Work};
use crate::address::{Endpoint, Protocol, V4};
use crate::classify::{self, Origin, Target};
use crate::drop_reason::DropReason;
use crate::framing;
use crate::handover::Visited;
use crate::id::{SessionId, WorkerId};
use crate::io::{Io, Packet};
use crate::parse::{FragmentKind, Parsed};
use crate::punt::PuntClass;
use crate::rewrite::datagram::{self, Tail};
use crate::rewrite::fragment;
use crate::session::{
    Direction, FragmentKey, FragmentNote, FragmentTable, FragmentWay, HashSecret,
};
use crate::snapshot::{Role, Snapshot};
use crate::wire::ipv4::Ipv4;
use crate::wire::udp::Udp;

/// What a worker knows of datagrams that come in fragments.
pub(super) struct Datagrams<P> {
    /// Where their first fragments went.
    notes: FragmentTable<V4>,
    /// Fragments that wait for others.
    waiting: WaitingRoom<Work<P>>,
    /// The rest of the datagram whose first fragment is on its way, if all of it is here.
    tail: Option<Tail>,
}

impl<P> Datagrams<P> {
    /// None.
    pub(super) fn new(secret: HashSecret) -> Self {
        Self {
            notes: FragmentTable::new(FragmentTable::<V4>::DEFAULT_PLACES, secret),
            waiting: WaitingRoom::new(),
            tail: None,
        }
    }
}

impl<I: Io> Pipeline<I> {
    /// Takes a fragment on, by way of the worker where all of its datagram meet.
    #[cold]
    #[inline(never)]
    pub(super) fn fragment(&mut self, context: Context<'_>, mut work: Work<I::Packet>) {
        let steering = &context.snapshot.steering;
        if steering.workers() > 1 && concerns_sessions(context.snapshot, &work.parsed) {
            // The identification stands where a flow has its port.
            let end = Endpoint::new(work.parsed.key.source.addr, work.parsed.ip.id);
            let meeting = steering.client_owner_software(work.parsed.key.protocol, end);
            if meeting == self.worker {
                // From here it goes to its owner, who may have received it.
                work.visited = Visited::default();
            } else if work.visited.is_empty() {
                return self.hand_over(meeting, work);
            }
        }
        if work.parsed.ip.fragment == FragmentKind::Later {
            self.later_fragment(context, work);
        } else if self.is_for_a_session(context, &work) {
            self.gather(context, work);
        } else {
            self.first_fragment(context, work);
        }
    }

    /// Takes a first fragment on as a packet, and those behind it that came before.
    fn first_fragment(&mut self, context: Context<'_>, work: Work<I::Packet>) {
        let key = key_of(&work.parsed);
        if concerns_sessions(context.snapshot, &work.parsed) {
            // Until it is known to have gone somewhere.
            self.remember(context, FragmentWay::Nowhere, &work.parsed);
        }
        self.handle_flow(context, work);
        if self.datagrams.waiting.is_empty() {
            return;
        }
        for later in self.datagrams.waiting.take(&key) {
            self.later_fragment(context, later);
        }
    }

    fn remember(&mut self, context: Context<'_>, way: FragmentWay, parsed: &Parsed) {
        let first_len = payload_len(parsed);
        let note = FragmentNote { way, first_len };
        self.datagrams
            .notes
            .remember(&key_of(parsed), note, context.now);
    }

    /// Notes which session a first fragment belongs to.
    pub(super) fn remember_fragment(
        &mut self,
        context: Context<'_>,
        id: SessionId,
        direction: Direction,
        parsed: &Parsed,
    ) {
        let way = FragmentWay::Session(self.sessions.handle(id), direction);
        self.remember(context, way, parsed);
    }

    /// Notes which worker a first fragment was handed to: later ones have no ports that would
    /// tell it.
    pub(super) fn remember_handed_fragment(
        &mut self,
        context: Context<'_>,
        to: WorkerId,
        parsed: &Parsed,
    ) {
        self.remember(context, FragmentWay::Worker(to), parsed);
    }

    /// Notes that a first fragment went to Linux, which puts its datagram together.
    pub(super) fn remember_punted_fragment(&mut self, context: Context<'_>, parsed: &Parsed) {
        if concerns_sessions(context.snapshot, parsed) {
            self.remember(context, FragmentWay::Linux, parsed);
        }
    }

    /// What is known of the way of a later fragment.
    pub(super) fn note_of(&self, context: Context<'_>, parsed: &Parsed) -> Option<FragmentNote> {
        self.datagrams.notes.find(&key_of(parsed), context.now)
    }

    /// Sends a later fragment where its first one went.
    fn later_fragment(&mut self, context: Context<'_>, work: Work<I::Packet>) {
        let Some(note) = self.note_of(context, &work.parsed) else {
            return self.without_first(context, work);
        };
        if note.way == FragmentWay::Waiting {
            return self.gather(context, work);
        }
        if part_of(&work).is_none_or(|part| part.start < note.first_len) {
            // It would overwrite what the gateway has gone by (RFC 1858 §3, RFC 3128).
            let reason = DropReason::FragmentOverlap;
            return self.out.discard(work.packet, reason);
        }
        match note.way {
            FragmentWay::Worker(to) if !work.visited.contains(to) => self.hand_over(to, work),
            FragmentWay::Session(handle, direction) => {
                match self.sessions.resolve(handle, context.now) {
                    Some(id) => self.carry_fragment(context, id, direction, work),
                    None => self.lose(work),
                }
            }
            FragmentWay::Linux => self.leave_to_linux(context, work),
            FragmentWay::Worker(_) | FragmentWay::Waiting | FragmentWay::Nowhere => {
                self.lose(work);
            }
        }
    }

    /// A later fragment whose first one has not come: Linux's, unless it may be a session's.
    fn without_first(&mut self, context: Context<'_>, work: Work<I::Packet>) {
        if concerns_sessions(context.snapshot, &work.parsed) {
            self.let_wait(context, work);
        } else {
            self.leave_to_linux(context, work);
        }
    }

    fn leave_to_linux(&mut self, context: Context<'_>, work: Work<I::Packet>) {
        let Context { snapshot, .. } = context;
        let class = match snapshot.role(work.parsed.key.destination.addr) {
            Some(Role::Vip(_)) => PuntClass::Unserved,
            Some(Role::Host | Role::Local { .. }) => {
                classify::box_class(snapshot, Origin::of(work.interface, &work.parsed))
            }
            None => PuntClass::Transit,
        };
        self.out
            .punt(context.now, work.interface, class, work.packet);
    }

    fn lose(&self, work: Work<I::Packet>) {
        let reason = DropReason::FragmentWithoutFirst;
        self.out.discard(work.packet, reason);
    }

    /// Lets a fragment wait, in the place of the one that has waited longest if need be.
    fn let_wait(&mut self, context: Context<'_>, work: Work<I::Packet>) {
        let Some(part) = part_of(&work) else {
            return self.out.discard(work.packet, DropReason::BadIpHeader);
        };
        let key = key_of(&work.parsed);
        if let Err((work, refusal)) = self.datagrams.waiting.admit(&key, part, context.now, work) {
            match refusal {
                Refusal::Known => self.out.discard(work.packet, DropReason::FragmentOverlap),
                Refusal::NoRoom => self.release_early(context, work),
            }
        }
    }

    /// What becomes of a fragment that has no place any more: all that is here of its datagram goes
    /// on without the rest, if it can.
    fn release_early(&mut self, context: Context<'_>, work: Work<I::Packet>) {
        let key = key_of(&work.parsed);
        let is_first = |work: &Work<I::Packet>| work.parsed.ip.fragment == FragmentKind::First;
        let note = self.note_of(context, &work.parsed);
        // A flood may have pushed the note out before the fragment.
        let first_is_here = note.is_some_and(|note| note.way == FragmentWay::Waiting);
        if !first_is_here && !is_first(&work) {
            return self.out.discard(work.packet, DropReason::FragmentNoRoom);
        }
        let others = self.datagrams.waiting.take(&key).into_iter();
        let mut parts: ArrayVec<_, { PLACES_OF_ONE + 1 }> = others.chain([work]).collect();
        let place = parts.iter().position(is_first);
        if let Some(place) = place
            && !checksum_is_over_all(&parts[place])
        {
            let first = parts.remove(place);
            self.first_fragment(context, first);
            for later in parts {
                self.later_fragment(context, later);
            }
            return;
        }
        let note = FragmentNote {
            way: FragmentWay::Nowhere,
            first_len: 0,
        };
        self.datagrams.notes.remember(&key, note, context.now);
        for work in parts {
            self.out.discard(work.packet, DropReason::FragmentNoRoom);
        }
    }

    /// Drops what has waited too long.
    pub(super) fn expire_fragments(&mut self, context: Context<'_>) {
        if !self.datagrams.waiting.has_overdue(context.now) {
            return;
        }
        while let Some(work) = self.datagrams.waiting.take_overdue(context.now) {
            self.out.discard(work.packet, DropReason::FragmentTimeout);
        }
    }

    /// Whether a first fragment belongs to a session of this worker, or may begin one.
    fn is_for_a_session(&mut self, context: Context<'_>, work: &Work<I::Packet>) -> bool {
        let Context { snapshot, now } = context;
        let key = &work.parsed.key;
        if let Some((id, _)) = self.sessions.find(work.hash, key, now) {
            return !self.is_suspended(snapshot, id);
        }
        let ethdev = ethdev_of(snapshot, work.interface);
        let target = self.recent.classify(snapshot, ethdev, key);
        let foreign_owner = self.next_owner(snapshot, target, key, work.visited);
        foreign_owner.is_none() && matches!(target, Target::Service(_))
    }

    /// Keeps a fragment until all of its datagram are here, and then takes them on in order.
    fn gather(&mut self, context: Context<'_>, work: Work<I::Packet>) {
        let parsed = work.parsed;
        let key = key_of(&parsed);
        if parsed.ip.fragment == FragmentKind::First {
            self.remember(context, FragmentWay::Waiting, &parsed);
        }
        self.let_wait(context, work);
        match self.datagrams.waiting.gathered(&key) {
            Gathered::Incomplete => {}
            Gathered::Complete => {
                let parts = self.datagrams.waiting.take(&key);
                self.take_gathered(context, parts);
            }
            Gathered::Overlapping => {
                for work in self.datagrams.waiting.take(&key) {
                    self.out.discard(work.packet, DropReason::FragmentOverlap);
                }
            }
        }
    }

    /// Takes a complete datagram on, with what its first fragment has to know of the others.
    fn take_gathered(
        &mut self,
        context: Context<'_>,
        parts: ArrayVec<Work<I::Packet>, PLACES_OF_ONE>,
    ) {
        let mut tail = Tail::default();
        for work in parts.iter().skip(1) {
            tail.add(payload_of(work));
        }
        let mut parts = parts.into_iter();
        let Some(first) = parts.next() else { return };
        self.datagrams.tail = Some(tail);
        self.first_fragment(context, first);
        self.datagrams.tail = None;
        for later in parts {
            self.later_fragment(context, later);
        }
    }

    /// The length of the datagram of which this is the first fragment, if all of it is here.
    pub(super) fn len_of_gathered(&self, parsed: &Parsed) -> Option<u16> {
        let tail = self.datagrams.tail.as_ref()?;
        let tail = u16::try_from(tail.bytes()).ok()?;
        parsed.ip.total_len.checked_add(tail)
    }

    /// Makes a first fragment ready to be rewritten, if the others of its datagram are known: what
    /// is over all of them cannot be carried over from it alone.
    pub(super) fn settle_checksum(
        &mut self,
        id: SessionId,
        direction: Direction,
        ip: &mut [u8],
    ) -> Result<(), DropReason> {
        let session = self.sessions.get(id);
        let other_way = match direction {
            Direction::ToServer => Direction::ToClient,
            Direction::ToClient => Direction::ToServer,
        };
        match self.datagrams.tail.take() {
            Some(tail) if session.method().sees_replies() => {
                datagram::settle(ip, &session.arriving(other_way).turned(), tail)
            }
            _ => Ok(()),
        }
    }

    /// Sends a later fragment on as a part of its session's packet: it adds its bytes to what that
    /// one counted, and leaves the session's state to it.
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
        self.count_more(context, id, direction, &work.parsed);
        let Some(way) = self.way(context, id, direction) else {
            return self.without_way(context, id, direction, work);
        };
        let Work {
            mut packet,
            parsed: Parsed { ip, .. },
            ..
        } = work;
        match self.rewrite(context, id, direction, &way, &ip, &mut packet) {
            Ok(()) => self.dispatch(context, &way, packet, usize::from(ip.l3_offset)),
            Err(reason) => self.out.discard(packet, reason),
        }
    }

    /// Counts the bytes of a later fragment: with those of the others they are the bytes of the
    /// datagram as the kernel puts it together (connections.md §12).
    pub(super) fn count_more(
        &mut self,
        context: Context<'_>,
        id: SessionId,
        direction: Direction,
        parsed: &Parsed,
    ) {
        let bytes = payload_len(parsed);
        let session = self.sessions.get_mut(id);
        session.count_more(direction, u64::from(bytes));
        if let Some(server) = context.snapshot.server(session.server_slot) {
            let traffic = server.shared.traffic.of(self.worker);
            traffic.count_more(direction, bytes);
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

/// Whether a fragment may belong to a session: it is for a VIP or a local address, from a server
/// that answers by NAT, or for anybody where marks make services. All others are Linux's alone.
fn concerns_sessions(snapshot: &Snapshot, parsed: &Parsed) -> bool {
    match snapshot.role(parsed.key.destination.addr) {
        Some(Role::Vip(_) | Role::Local { .. }) => true,
        Some(Role::Host) => false,
        None => {
            !snapshot.marked_services.is_empty() || snapshot.is_nat_server(parsed.key.source.addr)
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

/// Whether new ends change a datagram's checksum by what its first fragment alone does not tell:
/// an SCTP CRC, and a UDP checksum that has to be computed because there is none.
fn checksum_is_over_all<P: Packet>(first: &Work<P>) -> bool {
    match first.parsed.key.protocol {
        Protocol::Tcp => false,
        Protocol::Udp => {
            let transport = first.packet.bytes().get(first.parsed.ip.l4_offset.into()..);
            let header = transport.and_then(|bytes| Udp::parse(bytes).ok());
            header.is_some_and(|(header, _)| header.checksum() == 0)
        }
        Protocol::Sctp => true,
    }
}

/// Bytes of a fragment's payload.
const fn payload_len(parsed: &Parsed) -> u16 {
    parsed
        .ip
        .total_len
        .saturating_sub(parsed.ip.header_len as u16)
}

fn payload_of<P: Packet>(work: &Work<P>) -> &[u8] {
    let start = usize::from(work.parsed.ip.l4_offset);
    let end = start + usize::from(payload_len(&work.parsed));
    work.packet.bytes().get(start..end).unwrap_or_default()
}

/// Which part of its datagram a fragment is.
fn part_of<P: Packet>(work: &Work<P>) -> Option<Part> {
    let ip = work.packet.bytes().get(work.parsed.ip.l3_offset.into()..)?;
    let (header, _) = Ipv4::parse(ip).ok()?;
    let start = header.fragment_offset();
    Some(Part {
        start,
        end: start.checked_add(payload_len(&work.parsed))?,
        is_last: !header.more_fragments(),
    })
}
