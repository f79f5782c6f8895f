//! A whole gateway in memory: workers, rings and twins, with a clock that tests turn.
//!
//! ```text
//! receive(ethdev, frame) ──► worker 0 ──► sent(ethdev)
//!                            worker 1 ──► punted(interface)     moved(): which counters
//! ```
//!
//! Frames go to worker 0 unless a test says otherwise; all workers then take turns until
//! nothing moves, so a frame that is handed over arrives in the same call.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::address::{Address, Endpoint, V4};
use crate::counters::{Counter, TrafficTotals, WorkerCounters};
use crate::drop_reason::DropReason;
use crate::editor::{Editor, REMEMBERED};
use crate::explain::{Explanation, Outcome, Probe, Question};
use crate::handover::Handover;
use crate::id::{EthdevId, InterfaceId, WorkerId};
use crate::import::{Binder, Outcomes, SessionBatch};
use crate::io::memory::{MemoryIo, MemoryPacket, MemoryPool, Wire};
use crate::mailbox::{Mailbox, SessionFilter, SessionPage, WantedNeighbour};
use crate::persistence::TemplateRecord;
use crate::pipeline::{Outputs, Pipeline};
use crate::punt::{PuntClass, RingTwinPort, TwinPort, TwinRings};
use crate::service::RealServer;
use crate::session::{HashSecret, KeysPerSession, SessionRecord, SessionTable};
use crate::snapshot::Snapshot;
use crate::time::Tick;
use crate::worker::Worker;

use super::services::TestService;
use super::setup::Setup;

const SECRET: HashSecret = HashSecret([
    0x243f_6a88_85a3_08d3,
    0x1319_8a2e_0370_7344,
    0xa409_3822_299f_31d0,
    0x082e_fa98_ec4e_6c89,
]);

/// Expiry passes 32 slots of 62.5 ms in a turn; this is a little less.
const EXPIRY_MILLIS_PER_TURN: u128 = 1_900;

/// One worker with the ends of what reaches it.
struct TestWorker {
    worker: Worker<MemoryIo>,
    mailbox: Arc<Mailbox>,
    counters: Arc<WorkerCounters>,
    /// By ethdev.
    receive: Vec<Wire>,
}

/// A gateway in memory; made by [`Setup::start`].
pub struct TestGateway {
    /// What configures it; [`Self::change`] publishes what was changed.
    pub editor: Editor,
    workers: Vec<TestWorker>,
    /// By ethdev; all workers send there.
    sent: Vec<Wire>,
    twins: Vec<RingTwinPort<MemoryPacket, MemoryPool>>,
    nanos: u64,
    /// The counters when [`Self::moved`] was last called.
    seen: Vec<(&'static str, u64)>,
}

impl TestGateway {
    pub(super) fn new(setup: &Setup) -> Self {
        let mut editor = setup.editor();
        let snapshot = editor.snapshot();
        let rings: Vec<Arc<TwinRings<MemoryPacket>>> =
            setup.interface_ids().map(|_| Arc::default()).collect();
        let wire = |_| Wire::with_capacity(setup.transmit_room);
        let sent: Vec<Wire> = (0..setup.ethdevs()).map(wire).collect();
        let handover = Handover::new(setup.workers);
        let workers = (setup.mailboxes().into_iter())
            .map(|mailbox| TestWorker::new(setup, mailbox, &snapshot, &sent, &rings, &handover))
            .collect();
        let twins = setup.interface_ids().zip(rings);
        let mut gateway = Self {
            editor,
            workers,
            sent,
            twins: twins
                .map(|(id, rings)| RingTwinPort::new(id, rings, MemoryPool::default()))
                .collect(),
            nanos: 1_000_000_000,
            seen: Vec::new(),
        };
        gateway.seen = gateway.counts();
        gateway
    }

    /// Replaces all services.
    pub fn serve(&mut self, services: &[TestService]) {
        let specs: Vec<_> = services.iter().map(TestService::spec).collect();
        self.change(|editor| editor.set_services(&specs));
    }

    /// Changes the configuration; all workers adopt it.
    pub fn change(&mut self, change: impl FnOnce(&mut Editor)) {
        change(&mut self.editor);
        let snapshot = self.editor.snapshot();
        for worker in &self.workers {
            worker.mailbox.publish(Arc::clone(&snapshot));
        }
        self.turn();
    }

    /// Frees what removed servers and local addresses held, as control does when the servers
    /// without sessions have been so for long.
    pub fn collect(&mut self) {
        self.collect_at(Duration::ZERO);
        self.collect_at(REMEMBERED);
    }

    /// Frees what removed servers and local addresses held, as control does now and then; `now`
    /// is the time since some beginning.
    pub fn collect_at(&mut self, now: Duration) {
        let adopted = self.workers.iter().map(|worker| worker.mailbox.adopted());
        let oldest = adopted.min().expect("there is a worker");
        if self.editor.collect(oldest, now) {
            self.change(|_| {});
        }
    }

    /// Lets worker 0 receive a frame, and all workers finish with it.
    pub fn receive(&mut self, ethdev: u16, frame: &[u8]) {
        self.receive_at(0, ethdev, MemoryPacket::new(frame));
    }

    /// Lets a worker receive a packet, and all workers finish with it.
    pub fn receive_at(&mut self, worker: usize, ethdev: u16, packet: MemoryPacket) {
        self.put(worker, ethdev, packet);
        self.settle();
    }

    /// What would become of a packet that worker 0 received, as the last worker says that it would
    /// come to.
    #[must_use]
    pub fn explain(&mut self, probe: Probe) -> Explanation {
        self.explain_at(0, probe)
    }

    /// What would become of a packet that a worker received, as the last worker says that it would
    /// come to.
    #[must_use]
    pub fn explain_at(&mut self, worker: usize, mut probe: Probe) -> Explanation {
        let mut worker = worker;
        loop {
            let mailbox = Arc::clone(&self.workers[worker].mailbox);
            let question = Question {
                number: 0,
                probe,
                answer: None,
            };
            mailbox.probe(Box::new(question)).expect("nobody else asks");
            self.turn();
            let answered = mailbox.explained().expect("it is answered at once");
            let answer = answered.answer.expect("it has an answer");
            let Outcome::HandedOver(to) = answer.outcome else {
                return answer;
            };
            probe.visited = probe.visited.with(answer.worker);
            worker = to.index();
        }
    }

    /// Puts a packet on a worker's receive queue, for the next turn.
    pub fn put(&mut self, worker: usize, ethdev: u16, packet: MemoryPacket) {
        self.workers[worker].receive[usize::from(ethdev)].push(packet);
    }

    /// Lets worker 0 receive a frame on ethdev 0 and gives what is sent on any.
    #[must_use]
    pub fn forward(&mut self, frame: &[u8]) -> Vec<Vec<u8>> {
        self.forward_from(0, frame)
    }

    /// Lets worker 0 receive a frame and gives what is sent on any ethdev.
    #[must_use]
    pub fn forward_from(&mut self, ethdev: u16, frame: &[u8]) -> Vec<Vec<u8>> {
        self.receive(ethdev, frame);
        self.sent.iter().flat_map(Wire::take).collect()
    }

    /// The frames sent on an ethdev since this was last asked.
    #[must_use]
    pub fn sent(&self, ethdev: u16) -> Vec<Vec<u8>> {
        self.sent[usize::from(ethdev)].take()
    }

    /// The frames given to Linux on an interface since this was last asked, most urgent first.
    #[must_use]
    pub fn punted(&mut self, interface: InterfaceId) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        let twin = &mut self.twins[interface.index()];
        while twin.receive_punted(&mut |frame| frames.push(frame.to_vec())) > 0 {}
        frames
    }

    /// Lets Linux send a frame on the twin of an interface; false when its ring is full.
    pub fn inject(&mut self, interface: InterfaceId, frame: &[u8]) -> bool {
        let taken = self.twins[interface.index()].inject(frame);
        self.settle();
        taken
    }

    /// Lets time pass; what is due then ends.
    pub fn advance(&mut self, time: Duration) {
        self.nanos += u64::try_from(time.as_nanos()).expect("not that long");
        for _ in 0..time.as_millis() / EXPIRY_MILLIS_PER_TURN + 2 {
            self.turn();
        }
    }

    /// Lets every worker do one turn; gives how many packets they handled.
    pub fn turn(&mut self) -> usize {
        let turns = self.workers.iter_mut();
        turns.map(|worker| worker.worker.turn(self.nanos)).sum()
    }

    /// Lets one worker do one turn; gives how many packets it handled.
    pub fn turn_of(&mut self, worker: usize) -> usize {
        self.workers[worker].worker.turn(self.nanos)
    }

    /// Lets all workers take turns until nothing moves.
    pub fn settle(&mut self) {
        while self.turn() > 0 {}
    }

    /// The counters that moved since this was last asked, by name; bytes and turns left out.
    #[must_use]
    pub fn moved(&mut self) -> Vec<(&'static str, u64)> {
        let now = self.counts();
        let before = std::mem::replace(&mut self.seen, now);
        (self.seen.iter().zip(before))
            .filter(|(now, before)| now.1 != before.1)
            .map(|(now, before)| (now.0, now.1 - before.1))
            .collect()
    }

    /// How many packets were dropped for a reason.
    #[must_use]
    pub fn drops(&self, reason: DropReason) -> u64 {
        self.sum(|counters| counters.drops(reason))
    }

    /// A counter, over all workers.
    #[must_use]
    pub fn sum(&self, counter: impl Fn(&WorkerCounters) -> &Counter) -> u64 {
        let counters = self.workers.iter().map(|worker| &worker.counters);
        counters.map(|counters| counter(counters).get()).sum()
    }

    /// What one worker counts.
    #[must_use]
    pub fn counters(&self, worker: usize) -> &WorkerCounters {
        &self.workers[worker].counters
    }

    /// The present snapshot's parts.
    #[must_use]
    pub fn state(&self) -> &Snapshot {
        self.editor.state()
    }

    /// The pipeline of a worker.
    pub fn pipeline(&mut self, worker: usize) -> &mut Pipeline<MemoryIo> {
        self.workers[worker].worker.pipeline()
    }

    /// A real server, of whichever service, with those that left while they have sessions.
    #[must_use]
    pub fn server(&self, server: Endpoint<V4>) -> Option<&RealServer> {
        let endpoint = Endpoint::new(server.addr.to_ip(), server.port);
        let servers = self.editor.state().servers.iter().flatten();
        servers
            .map(|server| &**server)
            .find(|server| server.endpoint == endpoint)
    }

    /// What was counted about a real server.
    #[must_use]
    pub fn traffic(&self, server: Endpoint<V4>) -> TrafficTotals {
        let server = self.server(server).expect("there is such a server");
        server.shared.traffic.totals()
    }

    /// Active sessions of a real server, and all of them.
    #[must_use]
    pub fn load(&self, server: Endpoint<V4>) -> (u32, u32) {
        let shared = &self.server(server).expect("there is such a server").shared;
        (shared.active(), shared.sessions())
    }

    /// Templates of persistent clients that name a real server.
    #[must_use]
    pub fn persistent(&self, server: Endpoint<V4>) -> u32 {
        let server = self.server(server).expect("there is such a server");
        server.shared.persistent()
    }

    /// All templates of persistent clients.
    #[must_use]
    pub fn templates(&self) -> Vec<TemplateRecord> {
        let now = Tick::from_nanos(self.nanos);
        self.editor.state().templates.records(now)
    }

    /// All sessions, worker by worker, as a listing shows them.
    #[must_use]
    pub fn sessions(&mut self) -> Vec<SessionRecord> {
        let workers = 0..self.workers.len();
        workers
            .flat_map(|worker| self.sessions_at(worker))
            .collect()
    }

    /// The sessions of one worker.
    #[must_use]
    pub fn sessions_at(&mut self, worker: usize) -> Vec<SessionRecord> {
        let mailbox = Arc::clone(&self.workers[worker].mailbox);
        let page = SessionPage::new(0, 100_000, SessionFilter::default());
        mailbox.ask(Box::new(page)).expect("nobody else asks");
        loop {
            self.turn();
            if let Some(page) = mailbox.answer() {
                return page.records;
            }
        }
    }

    /// Brings sessions in, as control does, and gives what became of them.
    #[must_use]
    pub fn import(&mut self, records: &[SessionRecord]) -> Outcomes {
        let mut outcomes = self.begin_import(records);
        self.settle();
        outcomes += self.imported();
        outcomes
    }

    /// Puts sessions before their workers, one batch each, and gives what became of the rest.
    #[must_use]
    pub fn begin_import(&mut self, records: &[SessionRecord]) -> Outcomes {
        let mut outcomes = Outcomes::default();
        let mut binder = Binder::new(Arc::new(self.editor.state().clone()));
        let mut batches: Vec<_> = (self.workers.iter())
            .map(|_| SessionBatch::new(0, records.len()))
            .collect();
        for mut record in records.iter().cloned() {
            match binder.bind(&mut record) {
                Ok(owner) => batches[owner.index()].records.push(record),
                Err(outcome) => outcomes.add(outcome),
            }
        }
        for (worker, batch) in self.workers.iter().zip(batches) {
            worker
                .mailbox
                .import(Box::new(batch))
                .expect("nobody else does");
        }
        outcomes
    }

    /// What became of the sessions that workers were given.
    #[must_use]
    pub fn imported(&self) -> Outcomes {
        let mut outcomes = Outcomes::default();
        for worker in &self.workers {
            while let Some(batch) = worker.mailbox.imported() {
                outcomes += batch.outcomes();
            }
        }
        outcomes
    }

    /// The one session there is.
    #[must_use]
    pub fn session(&mut self) -> SessionRecord {
        let mut sessions = self.sessions();
        assert_eq!(sessions.len(), 1, "{sessions:?}");
        sessions.remove(0)
    }

    /// A neighbour that a worker asked for.
    #[must_use]
    pub fn wanted(&self) -> Option<WantedNeighbour> {
        let mailboxes = self.workers.iter().map(|worker| &worker.mailbox);
        mailboxes
            .filter_map(|mailbox| mailbox.wanted_neighbour())
            .next()
    }

    /// Ports of a local address that are lent now.
    #[must_use]
    pub fn lent_ports(&self, addr: V4) -> Option<usize> {
        let addr: IpAddr = addr.to_ip();
        Some(self.editor.state().local_pool(addr)?.in_use())
    }

    fn counts(&self) -> Vec<(&'static str, u64)> {
        let workers: Vec<_> = (self.workers.iter())
            .map(|worker| &*worker.counters)
            .collect();
        counts(&workers)
    }
}

/// What workers counted together, by name; bytes and turns left out.
#[must_use]
pub fn counts(workers: &[&WorkerCounters]) -> Vec<(&'static str, u64)> {
    let sum = |counter: &dyn Fn(&WorkerCounters) -> u64| workers.iter().map(|c| counter(c)).sum();
    let mut counts: Vec<(_, u64)> = (COUNTERS.iter())
        .map(|(name, counter)| (*name, sum(&|c| counter(c).get())))
        .collect();
    let punts = PuntClass::ALL.iter();
    counts.extend(punts.map(|class| (class.name(), sum(&|c| c.punts(*class).get()))));
    let drops = DropReason::ALL.iter();
    counts.extend(drops.map(|reason| (reason.name(), sum(&|c| c.drops(*reason).get()))));
    counts
}

type CounterOf = fn(&WorkerCounters) -> &Counter;

/// The counters of packets and sessions; punts follow by class, drops by reason.
const COUNTERS: [(&str, CounterOf); 19] = [
    ("received", |c| &c.received_packets),
    ("transmitted", |c| &c.transmitted_packets),
    ("hits", |c| &c.session_hits),
    ("created", |c| &c.sessions_created),
    ("imported", |c| &c.sessions_imported),
    ("expired", |c| &c.sessions_expired),
    ("evicted", |c| &c.sessions_evicted),
    ("handed_over", |c| &c.arrived_at_wrong_worker),
    ("taken_over", |c| &c.taken_over),
    ("icmp_errors", |c| &c.icmp_errors),
    ("icmp_suppressed", |c| &c.icmp_errors_suppressed),
    ("ipv6", |c| &c.ipv6_packets),
    ("injected", |c| &c.injected_packets),
    ("local_node", |c| &c.local_node_packets),
    ("local_replies", |c| &c.local_node_replies),
    ("port_reuses", |c| &c.local_port_reuses),
    ("one_packets", |c| &c.one_packets),
    ("templates_refused", |c| &c.templates_refused),
    ("rss_mismatches", |c| &c.rss_mismatches),
];

impl TestWorker {
    fn new(
        setup: &Setup,
        mailbox: Arc<Mailbox>,
        snapshot: &Arc<Snapshot>,
        sent: &[Wire],
        rings: &[Arc<TwinRings<MemoryPacket>>],
        handover: &Handover<MemoryPacket>,
    ) -> Self {
        let counters: Arc<WorkerCounters> = Arc::default();
        let sessions = SessionTable::new(setup.sessions, KeysPerSession::Two, SECRET, Tick(0))
            .expect("there is memory");
        let out = Outputs::new(
            Arc::clone(&mailbox),
            sent.to_vec(),
            MemoryPool::default(),
            rings.to_vec(),
            handover.clone(),
            Arc::clone(&counters),
        );
        let receive: Vec<Wire> = sent.iter().map(|_| Wire::new()).collect();
        let queues = (0..).map(EthdevId).zip(receive.iter().cloned()).collect();
        let injecting = if mailbox.worker == WorkerId(0) {
            setup.interface_ids().collect()
        } else {
            Vec::new()
        };
        let mut pipeline = Pipeline::new(mailbox.worker, sessions, SECRET, out);
        if !setup.has_express_lane {
            pipeline = pipeline.without_express_lane();
        }
        Self {
            worker: Worker::new(
                Arc::clone(&mailbox),
                Arc::clone(snapshot),
                queues,
                pipeline,
                injecting,
            ),
            mailbox,
            counters,
            receive,
        }
    }
}
