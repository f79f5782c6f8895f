//! What the workers count: relaxed, one writer each, readable by anyone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;

use crate::burst_sizes::BurstSizes;
use crate::drop_reason::DropReason;
use crate::latency::LatencyHistogram;
use crate::punt::PuntClass;
use crate::session::{Direction, ProbeCounters};

/// A number that one worker writes and others read.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `count`. Only the owning worker may call this: two writers would lose counts.
    #[inline]
    pub fn add(&self, count: u64) {
        // One writer: a load and a store are enough, and cheaper than a locked add.
        self.0.store(
            self.0.load(Ordering::Relaxed).wrapping_add(count),
            Ordering::Relaxed,
        );
    }

    /// Sets the number, for gauges. Only the owning worker may call this.
    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The present number.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one worker counts about one real server.
#[derive(Debug, Default)]
pub struct TrafficCounters {
    /// Sessions made.
    pub sessions: Counter,
    /// Packets from clients.
    pub in_packets: Counter,
    /// IP bytes from clients, before any rewriting.
    pub in_bytes: Counter,
    /// Packets from the server.
    pub out_packets: Counter,
    /// IP bytes from the server.
    pub out_bytes: Counter,
}

impl TrafficCounters {
    /// Counts one packet of `bytes` IP bytes.
    #[inline]
    pub fn count(&self, direction: Direction, bytes: u16) {
        let (packets, octets) = match direction {
            Direction::ToServer => (&self.in_packets, &self.in_bytes),
            Direction::ToClient => (&self.out_packets, &self.out_bytes),
        };
        packets.add(1);
        octets.add(u64::from(bytes));
    }

    /// Counts bytes of a packet that was counted before.
    pub fn count_more(&self, direction: Direction, bytes: u16) {
        let octets = match direction {
            Direction::ToServer => &self.in_bytes,
            Direction::ToClient => &self.out_bytes,
        };
        octets.add(u64::from(bytes));
    }
}

/// [`TrafficCounters`] added up at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrafficTotals {
    /// Sessions made.
    pub sessions: u64,
    /// Packets from clients.
    pub in_packets: u64,
    /// IP bytes from clients.
    pub in_bytes: u64,
    /// Packets from servers.
    pub out_packets: u64,
    /// IP bytes from servers.
    pub out_bytes: u64,
}

impl std::ops::AddAssign for TrafficTotals {
    fn add_assign(&mut self, other: Self) {
        self.sessions += other.sessions;
        self.in_packets += other.in_packets;
        self.in_bytes += other.in_bytes;
        self.out_packets += other.out_packets;
        self.out_bytes += other.out_bytes;
    }
}

/// One [`TrafficCounters`] per worker, each on cache lines of its own.
#[derive(Debug)]
pub struct PerWorker(Box<[Arc<CachePadded<TrafficCounters>>]>);

impl PerWorker {
    /// Counters at zero for `workers` workers.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| Arc::default()).collect())
    }

    /// The counters of one worker.
    #[inline]
    #[must_use]
    pub fn of(&self, worker: crate::id::WorkerId) -> &TrafficCounters {
        &self.0[worker.index()]
    }

    /// The counters of one worker, to be kept by it.
    #[must_use]
    pub fn shared(&self, worker: crate::id::WorkerId) -> &Arc<CachePadded<TrafficCounters>> {
        &self.0[worker.index()]
    }

    /// All workers' counters added up.
    #[must_use]
    pub fn totals(&self) -> TrafficTotals {
        let mut totals = TrafficTotals::default();
        for counters in &self.0 {
            totals += TrafficTotals {
                sessions: counters.sessions.get(),
                in_packets: counters.in_packets.get(),
                in_bytes: counters.in_bytes.get(),
                out_packets: counters.out_packets.get(),
                out_bytes: counters.out_bytes.get(),
            };
        }
        totals
    }
}

/// What one worker counts about itself.
#[derive(Debug)]
pub struct WorkerCounters {
    /// Packets received from ethdevs.
    pub received_packets: Counter,
    /// Bytes received from ethdevs.
    pub received_bytes: Counter,
    /// Packets given to ethdevs.
    pub transmitted_packets: Counter,
    /// Bytes given to ethdevs.
    pub transmitted_bytes: Counter,
    /// Packets that met an existing session.
    pub session_hits: Counter,
    /// Sessions made.
    pub sessions_created: Counter,
    /// Sessions brought in from elsewhere.
    pub sessions_imported: Counter,
    /// Sessions that ended by their time-out.
    pub sessions_expired: Counter,
    /// Sessions that ended to make room for another.
    pub sessions_evicted: Counter,
    /// Sessions in the table now (a gauge).
    pub sessions: Counter,
    /// Packets that arrived here and were handed to the worker that owns their session.
    pub arrived_at_wrong_worker: Counter,
    /// Packets taken over from other workers.
    pub taken_over: Counter,
    /// ICMP errors built and sent.
    pub icmp_errors: Counter,
    /// ICMP errors not sent because of the rate limit.
    pub icmp_errors_suppressed: Counter,
    /// IPv6 packets given to Linux.
    pub ipv6_packets: Counter,
    /// Frames Linux sent.
    pub injected_packets: Counter,
    /// Packets of sessions whose server is the gateway itself, given to Linux.
    pub local_node_packets: Counter,
    /// Linux's answers in such sessions.
    pub local_node_replies: Counter,
    /// FULLNAT sessions that took a port freed less than 120 s ago.
    pub local_port_reuses: Counter,
    /// Datagrams of one-packet services, each of which was scheduled for itself.
    pub one_packets: Counter,
    /// Sessions of persistent services whose clients got no template: there was no room.
    pub templates_refused: Counter,
    /// Ethdevs whose RSS hash is not what they say.
    pub rss_mismatches: Counter,
    /// Loop turns that found packets.
    pub busy_turns: Counter,
    /// Loop turns that found none.
    pub idle_turns: Counter,
    /// Nanoseconds of turns that found packets, or made or ended sessions.
    pub busy_nanos: Counter,
    /// How many packets came at a time.
    pub bursts: BurstSizes,
    /// How far the table's entries stand from where look-ups begin.
    pub probes: ProbeCounters,
    /// How long packets stayed.
    pub latency: LatencyHistogram,
    drops: [Counter; DropReason::COUNT],
    punts: [Counter; PuntClass::COUNT],
    punt_limits: [Counter; PuntClass::COUNT],
}

impl Default for WorkerCounters {
    fn default() -> Self {
        Self {
            received_packets: Counter::default(),
            received_bytes: Counter::default(),
            transmitted_packets: Counter::default(),
            transmitted_bytes: Counter::default(),
            session_hits: Counter::default(),
            sessions_created: Counter::default(),
            sessions_imported: Counter::default(),
            sessions_expired: Counter::default(),
            sessions_evicted: Counter::default(),
            sessions: Counter::default(),
            arrived_at_wrong_worker: Counter::default(),
            taken_over: Counter::default(),
            icmp_errors: Counter::default(),
            icmp_errors_suppressed: Counter::default(),
            ipv6_packets: Counter::default(),
            injected_packets: Counter::default(),
            local_node_packets: Counter::default(),
            local_node_replies: Counter::default(),
            local_port_reuses: Counter::default(),
            one_packets: Counter::default(),
            templates_refused: Counter::default(),
            rss_mismatches: Counter::default(),
            busy_turns: Counter::default(),
            idle_turns: Counter::default(),
            busy_nanos: Counter::default(),
            bursts: BurstSizes::default(),
            probes: ProbeCounters::default(),
            latency: LatencyHistogram::default(),
            drops: std::array::from_fn(|_| Counter::default()),
            punts: std::array::from_fn(|_| Counter::default()),
            punt_limits: std::array::from_fn(|_| Counter::default()),
        }
    }
}

impl WorkerCounters {
    /// The counter of packets dropped for `reason`.
    #[inline]
    #[must_use]
    pub fn drops(&self, reason: DropReason) -> &Counter {
        &self.drops[reason as usize]
    }

    /// The counter of packets given to Linux in `class`.
    #[inline]
    #[must_use]
    pub fn punts(&self, class: PuntClass) -> &Counter {
        &self.punts[class as usize]
    }

    /// The counter of packets in `class` that were over its limit, or found its ring full.
    #[must_use]
    pub fn punt_limits(&self, class: PuntClass) -> &Counter {
        &self.punt_limits[class as usize]
    }
}
