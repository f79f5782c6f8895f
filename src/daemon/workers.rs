//! The workers' threads and what lies between them and control.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;

use control::config::{Config, Idle, Workers};
use dataplane::counters::WorkerCounters;
use dataplane::handover::Handover;
use dataplane::id::{CoreId, EthdevId, InterfaceId, WorkerId};
use dataplane::io::dpdk::{DpdkIo, DpdkPacket, Mempool, QueuePair, ThreadError, WorkerThread};
use dataplane::mailbox::Mailbox;
use dataplane::pipeline::{Outputs, Pipeline};
use dataplane::punt::{RingTwinPort, TwinPort, TwinRings};
use dataplane::session::{HashSecret, KeysPerSession, SessionTable};
use dataplane::snapshot::Snapshot;
use dataplane::time::Tick;
use dataplane::worker::{self, Worker};

use super::StartError;
use super::ethdevs::Ethdevs;

/// One worker before its thread starts.
struct Recruit {
    core: CoreId,
    queues: Vec<QueuePair>,
    sessions: SessionTable<dataplane::address::V4>,
    mailbox: Arc<Mailbox>,
    counters: Arc<WorkerCounters>,
}

/// All workers before they start.
pub(super) struct Crew {
    recruits: Vec<Recruit>,
    twins: Vec<Arc<TwinRings<DpdkPacket>>>,
    handover: Handover<DpdkPacket>,
    secret: HashSecret,
    idle: worker::Idle,
    pool: Mempool,
}

/// All workers at work.
pub(super) struct RunningCrew(Vec<(Arc<Mailbox>, JoinHandle<()>)>);

impl Crew {
    /// Reserves queues and session tables for one worker on each of `cores`.
    pub(super) fn assemble(
        config: &Config,
        cores: Vec<CoreId>,
        ethdevs: &mut Ethdevs,
    ) -> Result<Self, StartError> {
        let secret = HashSecret(random_words()?);
        let capacity = config.gateway().sessions_per_worker;
        let mut recruits = Vec::new();
        // Queues are taken from the last to the first.
        for (index, core) in (0..)
            .zip(cores)
            .collect::<Vec<(u16, CoreId)>>()
            .into_iter()
            .rev()
        {
            let sessions = SessionTable::new(
                usize::try_from(capacity).unwrap_or(usize::MAX),
                KeysPerSession::Two,
                secret,
                Tick(0),
            )
            .map_err(|source| StartError::Sessions {
                sessions: capacity,
                source,
            })?;
            recruits.insert(
                0,
                Recruit {
                    core,
                    queues: ethdevs.take_queues(),
                    sessions,
                    mailbox: Arc::new(Mailbox::new(WorkerId(index))),
                    counters: Arc::new(WorkerCounters::default()),
                },
            );
        }
        Ok(Self {
            twins: config
                .interfaces()
                .map(|_| Arc::new(TwinRings::default()))
                .collect(),
            handover: Handover::new(config.gateway().workers.count()),
            recruits,
            secret,
            idle: match config.gateway().idle {
                Idle::Sleep => worker::Idle::Sleep,
                Idle::Spin => worker::Idle::Spin,
            },
            pool: ethdevs.pools().own().clone(),
        })
    }

    pub(super) fn count(&self) -> usize {
        self.recruits.len()
    }

    pub(super) fn mailboxes(&self) -> Vec<Arc<Mailbox>> {
        self.recruits
            .iter()
            .map(|recruit| Arc::clone(&recruit.mailbox))
            .collect()
    }

    pub(super) fn counters(&self) -> Vec<Arc<WorkerCounters>> {
        self.recruits
            .iter()
            .map(|recruit| Arc::clone(&recruit.counters))
            .collect()
    }

    pub(super) fn cores(&self) -> Vec<Option<CoreId>> {
        self.recruits
            .iter()
            .map(|recruit| Some(recruit.core))
            .collect()
    }

    /// The twins' ends of the rings, one for each interface.
    pub(super) fn twin_ports(&self) -> Vec<Box<dyn TwinPort>> {
        (0..)
            .map(InterfaceId)
            .zip(&self.twins)
            .map(|(interface, rings)| -> Box<dyn TwinPort> {
                Box::new(RingTwinPort::new(
                    interface,
                    Arc::clone(rings),
                    self.pool.clone(),
                ))
            })
            .collect()
    }

    /// Starts every worker on its core with the first snapshot; all of them, or none.
    pub(super) fn start(
        self,
        ethdevs: &Ethdevs,
        first: &Arc<Snapshot>,
    ) -> Result<RunningCrew, StartError> {
        let (report, reports) = mpsc::channel();
        let count = self.recruits.len();
        let mut running = RunningCrew(Vec::new());
        for recruit in self.recruits {
            let mailbox = Arc::clone(&recruit.mailbox);
            let core = recruit.core;
            let out = (self.twins.clone(), self.handover.clone(), self.pool.clone());
            let worker = worker(recruit, out, self.secret, first, count);
            let (eal, clock, idle) = (ethdevs.eal.clone(), ethdevs.clock, self.idle);
            let report = report.clone();
            let thread = std::thread::Builder::new()
                .name(format!("sluice-worker{}", mailbox.worker))
                .spawn(move || work(worker, &eal, core, idle, &clock, &report))?;
            running.0.push((mailbox, thread));
        }
        drop(report);
        for outcome in reports.iter().take(count) {
            outcome?;
        }
        Ok(running)
    }
}

impl Drop for RunningCrew {
    /// Tells all workers to end their loops and waits for them.
    fn drop(&mut self) {
        for (mailbox, _) in &self.0 {
            mailbox.stop();
        }
        for (_, thread) in self.0.drain(..) {
            // A panic has told of itself.
            let _panicked = thread.join();
        }
    }
}

type Out = (
    Vec<Arc<TwinRings<DpdkPacket>>>,
    Handover<DpdkPacket>,
    Mempool,
);

fn worker(
    recruit: Recruit,
    (twins, handover, pool): Out,
    secret: HashSecret,
    first: &Arc<Snapshot>,
    workers: usize,
) -> Worker<DpdkIo> {
    let Recruit {
        queues,
        sessions,
        mailbox,
        counters,
        ..
    } = recruit;
    let id = mailbox.worker;
    let (receive, send): (Vec<_>, Vec<_>) = (queues.into_iter().zip(0..))
        .map(|(pair, ethdev)| ((EthdevId(ethdev), pair.rx), pair.tx))
        .unzip();
    // Each twin's frames leave by one worker, so that they keep their order.
    let injecting = (first.interfaces.iter())
        .map(|interface| interface.id)
        .filter(|interface| interface.index() % workers == id.index())
        .collect();
    let out = Outputs::new(Arc::clone(&mailbox), send, pool, twins, handover, counters);
    let pipeline = Pipeline::new(id, sessions, secret, out);
    Worker::new(mailbox, Arc::clone(first), receive, pipeline, injecting)
}

/// What a worker's thread does.
fn work(
    mut worker: Worker<DpdkIo>,
    eal: &dataplane::io::dpdk::Eal,
    core: CoreId,
    idle: worker::Idle,
    clock: &dataplane::io::dpdk::Clock,
    report: &mpsc::Sender<Result<(), ThreadError>>,
) {
    let entered = WorkerThread::enter(eal, Some(core));
    let (outcome, thread) = match entered {
        Ok(thread) => (Ok(()), Some(thread)),
        Err(error) => (Err(error), None),
    };
    // The receiver waits for as many reports as there are workers.
    let _gone = report.send(outcome);
    if thread.is_some() {
        worker.run(idle, || clock.nanos());
    }
    // Its packets go back to their pool before the thread leaves DPDK.
    drop(worker);
    drop(thread);
}

/// The cores to use, one for each worker: any that is named and can be reached, or some of those
/// on which this process runs anyway.
pub(super) fn cores(
    workers: &Workers,
    usable: &[CoreId],
    reachable: &[CoreId],
) -> Result<Vec<CoreId>, StartError> {
    match workers {
        Workers::Cores(cores) => match cores.iter().find(|core| !reachable.contains(core)) {
            Some(&core) => Err(StartError::NoSuchCore {
                core,
                usable: in_words(reachable),
            }),
            None => Ok(cores.clone()),
        },
        Workers::Count(count) => {
            let wanted = usize::from(*count);
            // The first core is left to control and Linux when there are enough.
            let skip = usize::from(usable.len() > wanted);
            let chosen: Vec<_> = usable.iter().copied().skip(skip).take(wanted).collect();
            if chosen.len() < wanted {
                return Err(StartError::TooFewCores {
                    wanted: *count,
                    usable: usable.len(),
                });
            }
            Ok(chosen)
        }
    }
}

/// Cores as people write them: `0-3, 8`.
fn in_words(cores: &[CoreId]) -> String {
    let runs = cores.chunk_by(|one, next| one.0 + 1 == next.0);
    let runs: Vec<_> = runs
        .map(|run| match run {
            [only] => only.to_string(),
            [first, .., last] => format!("{first}-{last}"),
            [] => String::new(),
        })
        .collect();
    runs.join(", ")
}

/// Numbers that nobody can guess, new at each start.
pub(super) fn random_words<const N: usize>() -> std::io::Result<[u64; N]> {
    use std::io::Read;
    let mut words = [0; N];
    let mut random = std::fs::File::open("/dev/urandom")?;
    for word in &mut words {
        let mut bytes = [0; 8];
        random.read_exact(&mut bytes)?;
        *word = u64::from_ne_bytes(bytes);
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    const USABLE: [CoreId; 4] = [CoreId(0), CoreId(1), CoreId(2), CoreId(8)];

    #[test]
    fn a_count_of_workers_leaves_the_first_core_to_linux_while_it_can() {
        let chosen = |count| cores(&Workers::Count(count), &USABLE, &USABLE).unwrap();

        assert_eq!(chosen(2), [CoreId(1), CoreId(2)]);
        assert_eq!(chosen(4), USABLE);
    }

    #[test]
    fn an_isolated_core_is_taken_when_it_is_named_and_never_else() {
        let usable = [CoreId(0), CoreId(1)];
        let chosen = |workers| cores(&workers, &usable, &USABLE).unwrap();

        assert_eq!(chosen(Workers::Cores(vec![CoreId(8)])), [CoreId(8)]);
        assert_eq!(chosen(Workers::Count(1)), [CoreId(1)]);
    }

    #[test]
    fn cores_that_there_are_not_are_refused_by_name_or_number() {
        let refused = |workers| cores(&workers, &USABLE, &USABLE).unwrap_err().to_string();

        assert_eq!(
            refused(Workers::Cores(vec![CoreId(1), CoreId(7)])),
            "`workers` names core 7, but this process may use only 0-2, 8: name other cores"
        );
        assert_eq!(
            refused(Workers::Count(5)),
            "5 workers need 5 cores, but this process may use 4: lower `workers`"
        );
    }
}
