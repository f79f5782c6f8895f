//! The way out of a worker: transmit queues, Linux, other workers, or a counted drop.

use std::net::IpAddr;
use std::sync::Arc;

use arrayvec::ArrayVec;

use super::way::resolve;
use crate::address::V4;
use crate::adjacency::Adjacency;
use crate::counters::WorkerCounters;
use crate::drop_reason::DropReason;
use crate::framing::{self, FrameHeader};
use crate::handover::{BATCH, Batch, Handed, Handover};
use crate::id::{InterfaceId, WorkerId};
use crate::io::{BURST, Burst, Io, Packet, TxQueue};
use crate::mailbox::{Mailbox, WantedNeighbour};
use crate::punt::{PuntClass, TwinRings};
use crate::rate_limit::RateLimit;
use crate::snapshot::Snapshot;
use crate::time::{TICKS_PER_SECOND, Tick};

/// Packets that may wait for their next hops.
const HELD: usize = 128;

/// Packets that may wait for one next hop: a browser opens a handful of connections at once.
const HELD_FOR_ONE: usize = 16;

/// How long a packet waits for its next hop: as long as a TCP client waits before it tries again.
const HOLD_TICKS: u32 = TICKS_PER_SECOND;

/// ICMP errors a worker sends in a second, and at once.
const ICMP_PER_SECOND: u32 = 1_000;

/// One ethdev's transmit queue with the packets that will leave at the end of the turn.
struct TxPort<T: TxQueue> {
    queue: T,
    waiting: Burst<T::Packet>,
    waiting_bytes: usize,
}

/// The way to Linux by one interface. Its limits are its own, so that no flood on one interface takes
/// from what comes in by another.
struct ToTwin<P> {
    rings: Arc<TwinRings<P>>,
    /// By class.
    limits: [RateLimit; PuntClass::COUNT],
}

impl<P> ToTwin<P> {
    fn new(rings: Arc<TwinRings<P>>) -> Self {
        let limits = PuntClass::ALL.map(|class| {
            let rate = class.packets_per_second();
            RateLimit::new(rate, rate.div_ceil(4), Tick(0))
        });
        Self { rings, limits }
    }

    /// Gives a packet to Linux; gives it back when it is beyond its class's rate or room.
    fn punt(&mut self, now: Tick, class: PuntClass, packet: P) -> Result<(), P> {
        if self.limits[class as usize].allow(now) {
            self.rings.punt(class, packet)
        } else {
            Err(packet)
        }
    }
}

/// A packet whose next hop's MAC is not known yet. It is ready but for its Ethernet header.
struct Held<P> {
    packet: P,
    l3: usize,
    /// Where the route look-up starts.
    destination: V4,
    neighbour: WantedNeighbour,
    since: Tick,
}

/// Everything a packet may leave a worker by.
pub struct Outputs<I: Io> {
    worker: WorkerId,
    ports: Vec<TxPort<I::Tx>>,
    /// Lends buffers for ICMP errors and fragments.
    pub pool: I::Pool,
    /// By interface.
    twins: Vec<ToTwin<I::Packet>>,
    handover: Handover<I::Packet>,
    /// What will be handed over at the end of the turn, by worker.
    handing: Vec<Batch<I::Packet>>,
    /// The worker whose handed frames come next.
    giver: u16,
    /// The worker's counters.
    pub counters: Arc<WorkerCounters>,
    mailbox: Arc<Mailbox>,
    held: ArrayVec<Held<I::Packet>, HELD>,
    icmp_limit: RateLimit,
}

impl<I: Io> Outputs<I> {
    /// The way out over these transmit queues (by ethdev) and twins (by interface).
    pub fn new(
        mailbox: Arc<Mailbox>,
        queues: Vec<I::Tx>,
        pool: I::Pool,
        twins: Vec<Arc<TwinRings<I::Packet>>>,
        handover: Handover<I::Packet>,
        counters: Arc<WorkerCounters>,
    ) -> Self {
        let ports = queues.into_iter().map(|queue| TxPort {
            queue,
            waiting: Burst::new(),
            waiting_bytes: 0,
        });
        Self {
            worker: mailbox.worker,
            ports: ports.collect(),
            pool,
            twins: twins.into_iter().map(ToTwin::new).collect(),
            handing: (0..handover.workers()).map(|_| Batch::new()).collect(),
            handover,
            giver: 0,
            counters,
            mailbox,
            held: ArrayVec::new(),
            icmp_limit: RateLimit::new(ICMP_PER_SECOND, ICMP_PER_SECOND / 4, Tick(0)),
        }
    }

    /// Drops a packet for a reason.
    #[inline]
    pub fn discard(&self, packet: I::Packet, reason: DropReason) {
        self.counters.drops(reason).add(1);
        drop(packet);
    }

    /// Gives a frame, as it was received, to Linux; its twin knows no tags.
    pub fn punt(
        &mut self,
        now: Tick,
        interface: InterfaceId,
        class: PuntClass,
        mut packet: I::Packet,
    ) {
        framing::remove_tag(&mut packet);
        let outcome = match self.twins.get_mut(interface.index()) {
            Some(twin) => twin.punt(now, class, packet),
            None => Err(packet),
        };
        match outcome {
            Ok(()) => self.counters.punts(class).add(1),
            Err(packet) => {
                self.counters.punt_limits(class).add(1);
                self.discard(packet, DropReason::PuntLimit);
            }
        }
    }

    /// Hands a frame, as it was received, to the worker that owns its session, and notes that it
    /// was here.
    pub fn hand_over(&mut self, to: WorkerId, mut handed: Handed<I::Packet>) {
        handed.visited = handed.visited.with(self.worker);
        let Some(batch) = self.handing.get_mut(to.index()) else {
            return self.discard(handed.packet, DropReason::HandoverFull);
        };
        batch.push(handed);
        if batch.is_full() {
            self.pass_on(to);
        }
    }

    /// Lets the packets for a worker go.
    fn pass_on(&mut self, to: WorkerId) {
        let Some(batch) = self.handing.get_mut(to.index()).map(std::mem::take) else {
            return;
        };
        let count = batch.len() as u64;
        match self.handover.push(self.worker, to, batch) {
            Ok(()) => self.counters.arrived_at_wrong_worker.add(count),
            Err(_full) => self.counters.drops(DropReason::HandoverFull).add(count),
        }
    }

    /// Puts frames that other workers handed to this one into `burst`, while there is room for
    /// whole batches.
    pub fn take_over(&mut self, burst: &mut ArrayVec<Handed<I::Packet>, BURST>) {
        while burst.remaining_capacity() >= BATCH
            && let Some(batch) = self.handover.pop(self.worker, &mut self.giver)
        {
            burst.extend(batch);
        }
    }

    /// Whether one more ICMP error may be sent now; counts it either way.
    pub fn may_send_icmp_error(&mut self, now: Tick) -> bool {
        let allowed = self.icmp_limit.allow(now);
        let counter = if allowed {
            &self.counters.icmp_errors
        } else {
            &self.counters.icmp_errors_suppressed
        };
        counter.add(1);
        allowed
    }

    /// Sends an IP packet that stands at `l3` in its buffer to a next hop; when its MAC is not
    /// known, asks for it and lets a few packets for each next hop wait.
    #[inline]
    pub fn send(
        &mut self,
        snapshot: &Snapshot,
        now: Tick,
        adjacency: &Adjacency,
        destination: V4,
        packet: I::Packet,
        l3: usize,
    ) {
        match self.framed(snapshot, adjacency, packet, l3) {
            Ok(()) => {}
            Err((packet, DropReason::NextHopUnresolved)) => {
                self.hold(now, adjacency, destination, packet, l3);
            }
            Err((packet, reason)) => self.discard(packet, reason),
        }
    }

    /// Writes the Ethernet header and queues the frame.
    #[inline]
    fn framed(
        &mut self,
        snapshot: &Snapshot,
        adjacency: &Adjacency,
        mut packet: I::Packet,
        l3: usize,
    ) -> Result<(), (I::Packet, DropReason)> {
        let Some(mac) = adjacency.mac else {
            return Err((packet, DropReason::NextHopUnresolved));
        };
        let Some(interface) = snapshot.interfaces.get(adjacency.interface) else {
            return Err((packet, DropReason::NoRoute));
        };
        let header = FrameHeader::new(mac, interface.mac, interface.vlan);
        if !header.write(&mut packet, l3) {
            return Err((packet, DropReason::NoHeadroom));
        }
        self.transmit(interface.ethdev.index(), packet);
        Ok(())
    }

    /// Queues a whole frame on an ethdev.
    #[inline(always)]
    pub(super) fn transmit(&mut self, ethdev: usize, packet: I::Packet) {
        let Some(port) = self.ports.get_mut(ethdev) else {
            return self.discard(packet, DropReason::NoRoute);
        };
        if port.waiting.is_full() {
            flush(port, &self.counters);
        }
        port.waiting_bytes += packet.bytes().len();
        port.waiting.push(packet);
    }

    /// Sends a frame of Linux's on an interface, with that interface's tag.
    pub fn transmit_injected(
        &mut self,
        snapshot: &Snapshot,
        id: InterfaceId,
        mut packet: I::Packet,
    ) {
        self.counters.injected_packets.add(1);
        let Some(interface) = snapshot.interfaces.get(id) else {
            return self.discard(packet, DropReason::InjectFailed);
        };
        if let Some(vlan) = interface.vlan
            && !framing::insert_tag(&mut packet, vlan)
        {
            return self.discard(packet, DropReason::InjectFailed);
        }
        self.transmit(interface.ethdev.index(), packet);
    }

    /// The next frame Linux sent on the twin of `interface`.
    pub fn next_injected(&self, interface: InterfaceId) -> Option<I::Packet> {
        self.twins.get(interface.index())?.rings.next_injected()
    }

    /// Hands all queued frames to the ethdevs and the other workers.
    pub fn flush(&mut self) {
        for to in (0..self.handover.workers()).map(WorkerId) {
            if self
                .handing
                .get(to.index())
                .is_some_and(|batch| !batch.is_empty())
            {
                self.pass_on(to);
            }
        }
        for port in self
            .ports
            .iter_mut()
            .filter(|port| !port.waiting.is_empty())
        {
            flush(port, &self.counters);
        }
    }

    fn hold(
        &mut self,
        now: Tick,
        adjacency: &Adjacency,
        destination: V4,
        packet: I::Packet,
        l3: usize,
    ) {
        let addr = match adjacency.next_hop {
            Some(IpAddr::V4(addr)) => addr.into(),
            _ => destination,
        };
        let neighbour = WantedNeighbour {
            interface: adjacency.interface,
            addr,
        };
        let same = self.held.iter().filter(|held| held.neighbour == neighbour);
        let waiting = same.count();
        if waiting == 0 {
            // Once: asking for each packet would leave no room for other neighbours.
            self.mailbox.want(neighbour);
        }
        if waiting == HELD_FOR_ONE || self.held.is_full() {
            return self.discard(packet, DropReason::NextHopUnresolved);
        }
        self.held.push(Held {
            packet,
            l3,
            destination,
            neighbour,
            since: now,
        });
    }

    /// Sends the packets whose next hop is known by now and drops those that waited too long.
    /// Call it when a snapshot was adopted, and now and then.
    pub fn release_held(&mut self, snapshot: &Snapshot, now: Tick) {
        for held in std::mem::take(&mut self.held) {
            let way = resolve(snapshot, held.destination);
            match snapshot.adjacency(way.slot) {
                Some(adjacency) if adjacency.mac.is_some() => {
                    let Held {
                        packet,
                        l3,
                        destination,
                        ..
                    } = held;
                    self.send(snapshot, now, adjacency, destination, packet, l3);
                }
                _ if held.since.plus(HOLD_TICKS).is_due(now) => {
                    self.discard(held.packet, DropReason::NextHopUnresolved);
                }
                _ => self.held.push(held),
            }
        }
    }

    /// Whether packets are waiting for their next hop.
    #[inline]
    pub const fn holds_packets(&self) -> bool {
        !self.held.is_empty()
    }
}

fn flush<T: TxQueue>(port: &mut TxPort<T>, counters: &WorkerCounters) {
    let bytes = std::mem::take(&mut port.waiting_bytes);
    let sent = port.queue.send(&mut port.waiting);
    let unsent: usize = port.waiting.iter().map(|packet| packet.bytes().len()).sum();
    counters.transmitted_packets.add(sent as u64);
    counters.transmitted_bytes.add((bytes - unsent) as u64);
    counters
        .drops(DropReason::TransmitFull)
        .add(port.waiting.len() as u64);
    port.waiting.clear();
}
