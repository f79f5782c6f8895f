//! The stages a burst goes through.
//!
//! ```text
//! burst → plain? hash, prefetch buckets → prefetch sessions → express: rewrite, count → tx
//!                                                             else ▼
//!       → admit (parse, MAC, VLAN) → hit: account, state, rewrite → next hop → tx
//!                                  → miss: classify → new session (schedule, port) → as hit
//!                                                   → Linux | another worker | drop
//! ```
//!
//! Each stage runs over the whole burst before the next begins, so that the cache misses of
//! its packets overlap. Packets leave in the order in which they came.

mod allotment;
mod aside;
mod choose;
mod cut;
mod defence;
mod explain;
mod express;
mod fragment;
mod hit;
mod icmp;
mod import;
mod known;
mod lend;
mod local;
mod miss;
mod open;
mod output;
mod overheard;
mod path_mtu;
mod related;
mod rss;
mod scheduled_error;
mod session_life;
mod sweep;
mod waiting;
mod way;

use arrayvec::ArrayVec;

use crate::address::{FlowKey, V4};
use crate::classify::RecentServices;
use crate::counters::WorkerCounters;
use crate::drop_reason::DropReason;
use crate::handover::{Handed, Visited};
use crate::id::{EthdevId, InterfaceId, SessionId, WorkerId};
use crate::io::{BURST, Burst, Io, Packet, RxChecksum};
use crate::parse::{self, FragmentKind, Parsed, Plain, PlainLink};
use crate::rewrite::ip_id::IpIds;
use crate::rewrite::tun;
use crate::session::{Candidate, Direction, HashSecret, SessionTable};
use crate::snapshot::Snapshot;
use crate::time::Tick;
use crate::wire::plain::PlainIpv4;

use allotment::Allotment;
use aside::{Aside, for_a_session};
use defence::Defence;
use fragment::Datagrams;
use known::{Known, KnownServer, KnownWay};
pub use output::Outputs;
use path_mtu::PathMtus;
use sweep::Sweep;

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

/// A plain packet on the express lane; the packet itself waits in its burst.
struct Lane {
    plain: Plain,
    hash: u64,
    candidate: Candidate,
    interface: InterfaceId,
}

/// The lanes of a burst: one for each packet, none for those that are not plain.
type Lanes = ArrayVec<Option<Lane>, BURST>;

/// One worker's packet path: its sessions and its ways out.
pub struct Pipeline<I: Io> {
    worker: WorkerId,
    /// The IPv4 sessions this worker owns.
    pub sessions: SessionTable<V4>,
    datagrams: Datagrams<I::Packet>,
    /// Where packets leave.
    pub out: Outputs<I>,
    recent: RecentServices,
    allotment: Allotment,
    /// Which local address the next FULLNAT session tries first.
    local_turn: usize,
    ip_ids: IpIds,
    path_mtus: PathMtus,
    rss: rss::RssWatch,
    servers: Known<KnownServer>,
    hops: Known<KnownWay>,
    defence: Defence,
    sweep: Sweep,
    /// False sends every packet the general way.
    has_express_lane: bool,
    /// Packets that went the general way.
    general_packets: u64,
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
            datagrams: Datagrams::new(secret),
            out,
            recent: RecentServices::new(),
            allotment: Allotment::default(),
            local_turn: usize::from(worker.0),
            ip_ids: IpIds::starting_at(worker.0.wrapping_mul(4_099)),
            path_mtus: PathMtus::new(),
            rss: rss::RssWatch::default(),
            servers: Known::new(),
            hops: Known::new(),
            defence: Defence::new(secret),
            sweep: Sweep::default(),
            has_express_lane: true,
            general_packets: 0,
        }
    }

    /// Sends every packet the general way, which does the same and takes longer: so that tests
    /// can compare.
    #[must_use]
    pub fn without_express_lane(mut self) -> Self {
        self.has_express_lane = false;
        self
    }

    /// Packets that the express lane did not take, of those that a session may want.
    #[must_use]
    pub const fn general_packets(&self) -> u64 {
        self.general_packets
    }

    /// Gets ready for packets under another snapshot than before.
    pub fn adopt(&mut self, snapshot: &Snapshot) {
        self.servers.adopt(snapshot.servers.len());
        for (slot, mtu) in self.path_mtus.servers() {
            let room = tun::room(mtu);
            self.servers.narrow(snapshot, self.worker, slot, room);
        }
        self.hops.adopt(snapshot.adjacencies.len());
        self.recent = RecentServices::new();
        self.judge_defence(snapshot);
        self.notice_purges(snapshot);
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
        let mut lanes = self.plain_lanes(context, ethdev, burst);
        let Self {
            worker, rss, out, ..
        } = self;
        rss.observe(
            &snapshot.steering,
            *worker,
            ethdev,
            burst.iter().zip(&lanes),
            &out.counters,
        );
        self.prefetch_candidates(&mut lanes);
        let mut general = 0;
        for (packet, lane) in burst.drain(..).zip(&lanes) {
            let Some(lane) = lane else {
                general += 1;
                self.take_other(context, ethdev, packet);
                continue;
            };
            if let Err(packet) = self.express(context, lane, packet) {
                general += 1;
                self.take_slowly(context, lane, packet, Visited::default());
            }
        }
        self.counters()
            .session_hits
            .add(lanes.len() as u64 - general);
    }

    /// Takes up to a burst of packets that other workers handed over through the stages; returns
    /// how many.
    pub fn take_over(&mut self, snapshot: &Snapshot, now: Tick) -> usize {
        let context = Context { snapshot, now };
        let mut burst = ArrayVec::<Handed<I::Packet>, BURST>::new();
        self.out.take_over(&mut burst);
        if burst.is_empty() {
            return 0;
        }
        for handed in &burst {
            handed.packet.prefetch_head();
        }
        for handed in &burst {
            handed.packet.prefetch();
        }
        let mut lanes = self.handed_lanes(&burst);
        self.prefetch_candidates(&mut lanes);
        let count = burst.len();
        self.counters().taken_over.add(count as u64);
        let mut general = 0;
        for (handed, lane) in burst.drain(..).zip(&lanes) {
            let Some(lane) = lane else {
                general += 1;
                self.take_handed(context, handed);
                continue;
            };
            if let Err(packet) = self.express(context, lane, handed.packet) {
                general += 1;
                if handed.from_linux {
                    self.take_handed(context, Handed { packet, ..handed });
                } else {
                    self.take_slowly(context, lane, packet, handed.visited);
                }
            }
        }
        self.counters().session_hits.add(count as u64 - general);
        count
    }

    /// First stage: reads the plain packets of a received burst and asks for their buckets.
    fn plain_lanes(
        &self,
        context: Context<'_>,
        ethdev: EthdevId,
        burst: &Burst<I::Packet>,
    ) -> Lanes {
        let interfaces = &context.snapshot.interfaces;
        let mut interface = interfaces.find(ethdev, None);
        let mut vlan = None;
        let mut lanes = Lanes::new();
        let mut bytes = 0;
        for packet in burst {
            let frame = packet.bytes();
            bytes += frame.len();
            lanes.push(PlainLink::parse(frame).and_then(|link| {
                if vlan != link.vlan {
                    vlan = link.vlan;
                    interface = interfaces.find(ethdev, vlan);
                }
                let interface = interface.filter(|interface| link.is_for(frame, interface.mac))?;
                let (plain, ip) = Plain::parse(frame, link, packet.ip_checksum())?;
                let is_whole = packet.is_contiguous();
                is_whole.then(|| self.lane(plain, &ip, interface.id))
            }));
        }
        self.counters().received_packets.add(burst.len() as u64);
        self.counters().received_bytes.add(bytes as u64);
        lanes
    }

    /// First stage for packets that another worker has received.
    fn handed_lanes(&self, burst: &ArrayVec<Handed<I::Packet>, BURST>) -> Lanes {
        let mut lanes = Lanes::new();
        for handed in burst {
            let frame = handed.packet.bytes();
            lanes.push(PlainLink::parse(frame).and_then(|link| {
                let (plain, ip) = Plain::parse(frame, link, RxChecksum::Good)?;
                Some(self.lane(plain, &ip, handed.interface))
            }));
        }
        lanes
    }

    #[inline]
    fn lane(&self, plain: Plain, ip: &PlainIpv4<'_>, interface: InterfaceId) -> Lane {
        let hash = self.sessions.hash_tuple(&ip.tuple(), plain.protocol);
        self.sessions.prefetch_bucket(hash);
        Lane {
            plain,
            hash,
            candidate: Candidate::NONE,
            interface,
        }
    }

    /// Second stage: asks for the sessions that the packets probably belong to.
    #[inline]
    fn prefetch_candidates(&self, lanes: &mut Lanes) {
        if !self.has_express_lane {
            return lanes.iter_mut().for_each(|lane| *lane = None);
        }
        for lane in lanes.iter_mut().flatten() {
            lane.candidate = self.sessions.prefetch_candidate(lane.hash);
        }
    }

    /// Third stage for a plain packet that the express lane gave back.
    ///
    /// Out of line, so that the express lane keeps its registers.
    #[inline(never)]
    fn take_slowly(
        &mut self,
        context: Context<'_>,
        lane: &Lane,
        packet: I::Packet,
        visited: Visited,
    ) {
        if lane.candidate == Candidate::ABSENT
            && let Some(key) = lane.plain.key(packet.bytes())
            && let Some(to) = self.foreign_owner(context.snapshot, lane.interface, &key, visited)
        {
            self.general_packets += 1;
            let handed = Handed {
                packet,
                interface: lane.interface,
                visited,
                from_linux: false,
            };
            return self.out.hand_over(to, handed);
        }
        let Some(interface) = context.snapshot.interfaces.get(lane.interface) else {
            return self.out.discard(packet, DropReason::UnknownVlan);
        };
        let Some(parsed) = lane.plain.to_parsed(packet.bytes(), interface.vlan) else {
            return self.take_other(context, interface.ethdev, packet);
        };
        let work = Work {
            packet,
            interface: lane.interface,
            parsed,
            hash: lane.hash,
            visited,
        };
        self.handle(context, work);
    }

    /// Third stage for a packet that is not plain.
    #[cold]
    fn take_other(&mut self, context: Context<'_>, ethdev: EthdevId, packet: I::Packet) {
        if let Some(work) = self.admit(context, ethdev, packet) {
            self.handle(context, work);
        }
    }

    #[inline]
    fn handle(&mut self, context: Context<'_>, work: Work<I::Packet>) {
        self.general_packets += 1;
        if work.parsed.ip.fragment == FragmentKind::Whole {
            self.handle_flow(context, work);
        } else {
            self.fragment(context, work);
        }
    }

    /// Takes a packet with ports to its session, or finds out what it is.
    #[inline(always)]
    fn handle_flow(&mut self, context: Context<'_>, work: Work<I::Packet>) {
        match self.met_by(context, work.hash, &work.parsed.key) {
            Some((id, direction)) => self.hit(context, id, direction, work),
            None => self.miss(context, work),
        }
    }

    /// The session that packets with this key belong to.
    #[inline(always)]
    fn met_by(
        &self,
        context: Context<'_>,
        hash: u64,
        key: &FlowKey<V4>,
    ) -> Option<(SessionId, Direction)> {
        let found = self.sessions.find(hash, key, context.now);
        // A client's port 0 names no session (connections.md §3).
        let is_its = |(id, direction): &(SessionId, Direction)| {
            (key.source.port != 0 || *direction != Direction::ToServer)
                && !self.is_suspended(context.snapshot, *id)
        };
        found.filter(is_its)
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
                hash: self.sessions.hash(&parsed.key),
                parsed,
                visited: Visited::default(),
            }),
            _ => {
                let aside = Aside {
                    packet,
                    interface: id,
                    group,
                    visited: Visited::default(),
                };
                self.not_for_a_session(context, &frame, aside);
                None
            }
        }
    }

    /// Parses a frame again that another worker has parsed before.
    fn admit_handed(
        &mut self,
        context: Context<'_>,
        handed: Handed<I::Packet>,
    ) -> Option<Work<I::Packet>> {
        let Handed {
            packet,
            interface,
            visited,
            ..
        } = handed;
        debug_assert!(context.snapshot.interfaces.get(interface).is_some());
        let Ok((_, frame)) = parse::parse(packet.bytes(), RxChecksum::Good) else {
            self.out.discard(packet, DropReason::BadIpHeader);
            return None;
        };
        let Some(parsed) = for_a_session(&frame) else {
            let aside = Aside {
                packet,
                interface,
                group: false,
                visited,
            };
            self.not_for_a_session(context, &frame, aside);
            return None;
        };
        Some(Work {
            packet,
            interface,
            hash: self.sessions.hash(&parsed.key),
            parsed,
            visited,
        })
    }
}
