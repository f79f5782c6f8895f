//! The stages a burst goes through.
//!
//! ```text
//! burst → admit (parse, MAC, VLAN) → hash, prefetch buckets → prefetch sessions
//!       → hit: account, state, rewrite → next hop → tx
//!       → miss: classify → new session (schedule, local port) → as hit
//!                        → Linux | another worker | drop
//! ```
//!
//! Each stage runs over the whole burst before the next begins, so that the cache misses of
//! its packets overlap. Packets leave in the order in which they came.

mod fragment;
mod hit;
mod icmp;
mod miss;
mod output;
mod rss;
mod session_life;

use arrayvec::ArrayVec;

use crate::address::{Endpoint, FlowKey, Protocol, V4};
use crate::classify;
use crate::counters::WorkerCounters;
use crate::drop_reason::DropReason;
use crate::handover::{Handed, Visited};
use crate::id::{EthdevId, InterfaceId, WorkerId};
use crate::io::{BURST, Burst, Io, Packet, RxChecksum};
use crate::parse::{self, FragmentKind, Frame, OtherIpv4, Parsed};
use crate::punt::PuntClass;
use crate::rewrite::ip_id::IpIds;
use crate::session::{FragmentTable, HashSecret, SessionTable};
use crate::snapshot::Snapshot;
use crate::time::Tick;

pub use output::Outputs;

/// What every stage may look at: the configuration and the time of this burst.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) now: Tick,
}

/// A packet on its way through the stages: one with ports, or a later fragment, whose ports are
/// written as 0 and which waits for its turn so that it does not overtake its first.
struct Work<P> {
    packet: P,
    interface: InterfaceId,
    parsed: Parsed,
    hash: u64,
    /// The workers it was at before.
    visited: Visited,
}

/// One worker's packet path: its sessions and its ways out.
pub struct Pipeline<I: Io> {
    worker: WorkerId,
    /// The IPv4 sessions this worker owns.
    pub sessions: SessionTable<V4>,
    fragments: FragmentTable<V4>,
    /// Where packets leave.
    pub out: Outputs<I>,
    /// Which local address the next FULLNAT session tries first.
    local_turn: usize,
    ip_ids: IpIds,
    rss: rss::RssWatch,
}

impl<I: Io> Pipeline<I> {
    /// A pipeline without sessions.
    pub fn new(
        worker: WorkerId,
        sessions: SessionTable<V4>,
        secret: HashSecret,
        out: Outputs<I>,
    ) -> Self {
        Self {
            worker,
            sessions,
            fragments: FragmentTable::new(FragmentTable::<V4>::DEFAULT_PLACES, secret),
            out,
            local_turn: usize::from(worker.0),
            ip_ids: IpIds::starting_at(worker.0.wrapping_mul(4_099)),
            rss: rss::RssWatch::default(),
        }
    }

    /// The worker's counters.
    pub fn counters(&self) -> &WorkerCounters {
        &self.out.counters
    }

    /// Takes all packets of a burst that an ethdev received through the stages.
    pub fn receive(
        &mut self,
        snapshot: &Snapshot,
        now: Tick,
        ethdev: EthdevId,
        burst: &mut Burst<I::Packet>,
    ) {
        let context = Context { snapshot, now };
        for packet in burst.iter() {
            packet.prefetch();
        }
        let mut bytes = 0;
        let mut work = ArrayVec::<_, BURST>::new();
        self.counters().received_packets.add(burst.len() as u64);
        for packet in burst.drain(..) {
            bytes += packet.bytes().len();
            work.extend(self.admit(context, ethdev, packet));
        }
        self.counters().received_bytes.add(bytes as u64);
        let Self {
            worker, rss, out, ..
        } = self;
        rss.observe(&snapshot.steering, *worker, ethdev, &work, &out.counters);
        self.run(context, &mut work);
    }

    /// Takes up to a burst of packets that other workers handed over through the stages; returns
    /// how many.
    pub fn take_over(&mut self, snapshot: &Snapshot, now: Tick) -> usize {
        let context = Context { snapshot, now };
        let mut work = ArrayVec::<_, BURST>::new();
        while !work.is_full()
            && let Some(handed) = self.out.take_over()
        {
            work.extend(self.admit_handed(context, handed));
        }
        let count = work.len();
        self.counters().taken_over.add(count as u64);
        self.run(context, &mut work);
        count
    }

    /// Looks all packets up and then handles them one after the other.
    fn run(&mut self, context: Context<'_>, work: &mut ArrayVec<Work<I::Packet>, BURST>) {
        for item in work.iter_mut() {
            item.hash = self.sessions.hash(&item.parsed.key);
            self.sessions.prefetch_bucket(item.hash);
        }
        for item in work.iter() {
            self.sessions.prefetch_candidate(item.hash);
        }
        for item in work.drain(..) {
            self.handle(context, item);
        }
    }

    #[inline]
    fn handle(&mut self, context: Context<'_>, work: Work<I::Packet>) {
        if work.parsed.ip.fragment == FragmentKind::Later {
            return self.later_fragment(context, work);
        }
        match self.sessions.find(work.hash, &work.parsed.key, context.now) {
            Some((id, direction)) => self.hit(context, id, direction, work),
            None => self.miss(context, work),
        }
    }

    /// Parses a received frame. What cannot belong to a session goes its way at once.
    #[inline]
    fn admit(
        &mut self,
        context: Context<'_>,
        ethdev: EthdevId,
        packet: I::Packet,
    ) -> Option<Work<I::Packet>> {
        if !packet.is_contiguous() {
            self.out.discard(packet, DropReason::MultiSegment);
            return None;
        }
        let (link, frame) = match parse::parse(packet.bytes(), packet.ip_checksum()) {
            Ok(parsed) => parsed,
            Err(reason) => {
                self.out.discard(packet, reason);
                return None;
            }
        };
        let Some(interface) = context.snapshot.interfaces.find(ethdev, link.vlan) else {
            self.out.discard(packet, DropReason::UnknownVlan);
            return None;
        };
        let group = link.destination.is_group();
        if !group && link.destination != interface.mac {
            self.out.discard(packet, DropReason::NotOurMac);
            return None;
        }
        let id = interface.id;
        match for_a_session(&frame) {
            Some(parsed) if !group => Some(Work {
                packet,
                interface: id,
                parsed,
                hash: 0,
                visited: Visited::default(),
            }),
            _ => {
                self.not_for_a_session(context, id, group, &frame, packet);
                None
            }
        }
    }

    /// Parses a frame again that another worker has parsed before.
    fn admit_handed(
        &self,
        context: Context<'_>,
        handed: Handed<I::Packet>,
    ) -> Option<Work<I::Packet>> {
        let Handed {
            packet,
            interface,
            visited,
        } = handed;
        debug_assert!(context.snapshot.interfaces.get(interface).is_some());
        let frame = parse::parse(packet.bytes(), RxChecksum::Good);
        let Some(parsed) = frame.ok().and_then(|(_, frame)| for_a_session(&frame)) else {
            self.out.discard(packet, DropReason::BadIpHeader);
            return None;
        };
        Some(Work {
            packet,
            interface,
            parsed,
            hash: 0,
            visited,
        })
    }

    /// Gives what can belong to no session to Linux.
    fn not_for_a_session(
        &mut self,
        context: Context<'_>,
        interface: InterfaceId,
        group: bool,
        frame: &Frame,
        packet: I::Packet,
    ) {
        let class = match frame {
            Frame::Ipv4Other(other) => classify::other_class(
                context.snapshot,
                other.ip.protocol,
                other.destination,
                group,
            ),
            Frame::Ipv4(parsed) => {
                let class = classify::host_class(&parsed.key);
                debug_assert!(group);
                class
            }
            Frame::Ipv6(other) => {
                self.counters().ipv6_packets.add(1);
                let icmp_type = packet.bytes().get(usize::from(other.l4_offset)).copied();
                classify::ipv6_class(other.protocol, icmp_type)
            }
            Frame::Arp => PuntClass::Control,
            Frame::Other(_) => PuntClass::Host,
        };
        self.out.punt(context.now, interface, class, packet);
    }
}

/// The packets that a session may want: those with ports, and later fragments of some.
#[inline]
fn for_a_session(frame: &Frame) -> Option<Parsed> {
    match frame {
        Frame::Ipv4(parsed) => Some(*parsed),
        Frame::Ipv4Other(other) if other.ip.fragment == FragmentKind::Later => without_ports(other),
        _ => None,
    }
}

#[cold]
fn without_ports(other: &OtherIpv4) -> Option<Parsed> {
    Some(Parsed {
        key: FlowKey {
            source: Endpoint::new(other.source, 0),
            destination: Endpoint::new(other.destination, 0),
            protocol: Protocol::from_number(other.ip.protocol)?,
        },
        ip: other.ip,
        tcp_flags: 0,
        sctp_chunk: 0,
    })
}
