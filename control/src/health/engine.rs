//! Asks the servers, on a thread of its own.
//!
//! ```text
//! configuration ──► Watched ──► a task for each check and each agent ──► reports ──► Watched
//!                      └──► standings, at most every 5 ms ──► Gateway::stand, log, events
//! ```
//!
//! Tasks sleep until their server's turn; nothing looks whether there is something to do. All of
//! it is one thread, which shares with others only what [`Board`] holds.

use std::borrow::Cow;
use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dataplane::hasher::FastMap;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio::task::{AbortHandle, LocalSet, spawn_local};
use tokio::time::MissedTickBehavior;

use super::agent::{self, AgentWord};
use super::asked::{RunId, Timed};
use super::check_path::CheckPath;
use super::pace::Pace;
use super::probe::{Probe, ProbeFailure, ProbeOutcome, ProbeTarget};
use super::watched::{Answer, Changes, Errand, Report, Watched, What};
use crate::config::{Agent, Check, CheckPath as ConfiguredPath, Timing};
use crate::gateway::{Gateway, ServerName, diary};

/// The thread's name.
pub const THREAD: &str = "sluice-health";

/// How long what has followed may wait for more, so that many changes are published as one.
const GATHER: Duration = Duration::from_millis(5);

/// How often weights move that move with time.
const TICK: Duration = Duration::from_secs(1);

/// What is known of servers, for whoever asks.
#[derive(Debug)]
pub struct Board {
    began: Instant,
    watched: Mutex<Watched>,
}

impl Default for Board {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            watched: Mutex::default(),
        }
    }
}

impl Board {
    /// The time since the watch began.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Looks at what is known, or changes it.
    pub fn with<T>(&self, act: impl FnOnce(&mut Watched, Duration) -> T) -> T {
        let mut watched = self.watched.lock();
        act(&mut watched, self.now())
    }
}

/// How servers are asked.
pub trait Prober: 'static {
    /// A check that was made ready.
    type Ready: 'static;

    /// Makes a check ready.
    ///
    /// # Errors
    ///
    /// A sentence about what cannot be had.
    fn ready(&self, check: &Check) -> Result<Self::Ready, String>;

    /// Asks once whether a server is well.
    fn check(
        &self,
        ready: &Self::Ready,
        target: &ProbeTarget,
    ) -> impl Future<Output = Result<ProbeOutcome, ProbeFailure>>;

    /// Asks a server once for its load.
    fn agent(
        &self,
        agent: Agent,
        at: SocketAddr,
    ) -> impl Future<Output = Result<AgentWord, ProbeFailure>>;
}

/// Asks over the network.
#[derive(Clone, Copy, Debug, Default)]
pub struct Probes;

impl Prober for Probes {
    type Ready = Probe;

    fn ready(&self, check: &Check) -> Result<Probe, String> {
        Probe::new(check)
    }

    async fn check(
        &self,
        ready: &Probe,
        target: &ProbeTarget,
    ) -> Result<ProbeOutcome, ProbeFailure> {
        ready.run(target).await
    }

    async fn agent(&self, agent: Agent, at: SocketAddr) -> Result<AgentWord, ProbeFailure> {
        agent::ask(at, agent.timeout).await
    }
}

/// The thread that asks the servers. Dropping it ends the thread, and whatever was being asked.
#[derive(Debug)]
pub struct Engine {
    thread: Option<JoinHandle<()>>,
    stop: Arc<Notify>,
}

impl Engine {
    /// Asks the servers of a gateway from now on; `path` is the way of checks to the VIP.
    ///
    /// # Errors
    ///
    /// When there can be no thread, or no runtime in it.
    pub fn start(gateway: Arc<Gateway>, path: Option<CheckPath>) -> io::Result<Self> {
        allow_sockets();
        Self::start_with(gateway, path, || Probes)
    }

    /// As [`Self::start`], asking in another way.
    ///
    /// # Errors
    ///
    /// As [`Self::start`].
    pub fn start_with<P: Prober>(
        gateway: Arc<Gateway>,
        path: Option<CheckPath>,
        prober: impl FnOnce() -> P + Send + 'static,
    ) -> io::Result<Self> {
        let stop = Arc::new(Notify::new());
        let stopped = Arc::clone(&stop);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = std::thread::Builder::new().name(THREAD.to_owned());
        let thread = thread.spawn(move || {
            let tasks = LocalSet::new();
            tasks.block_on(&runtime, async move {
                let mut crew = Crew::new(gateway, path, Rc::new(prober()));
                tokio::select! {
                    () = stopped.notified() => {}
                    () = crew.run() => {}
                }
            });
        })?;
        Ok(Self {
            thread: Some(thread),
            stop,
        })
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that checked the servers had ended before its time");
        }
    }
}

/// A task, which ends with this.
#[derive(Debug)]
struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Checks that were made ready, as long as a server is asked them.
type Shared<P> = Rc<RefCell<Vec<(Check, Weak<<P as Prober>::Ready>)>>>;

/// All that runs on the thread.
struct Crew<P: Prober> {
    gateway: Arc<Gateway>,
    board: Arc<Board>,
    path: Option<CheckPath>,
    prober: Rc<P>,
    tasks: FastMap<RunId, Task>,
    /// Checks that were made ready: servers that are asked the same share one.
    ready: Shared<P>,
    reports: mpsc::UnboundedReceiver<Report>,
    reporter: mpsc::UnboundedSender<Report>,
    /// When the gateway was told last.
    told: Duration,
}

impl<P: Prober> Crew<P> {
    fn new(gateway: Arc<Gateway>, path: Option<CheckPath>, prober: Rc<P>) -> Self {
        let (reporter, reports) = mpsc::unbounded_channel();
        Self {
            board: Arc::clone(gateway.board()),
            gateway,
            path,
            prober,
            tasks: FastMap::default(),
            ready: Shared::<P>::default(),
            reports,
            reporter,
            told: Duration::ZERO,
        }
    }

    async fn run(&mut self) {
        self.configure();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let gateway = Arc::clone(&self.gateway);
        loop {
            let unsettled = self.board.with(|watched, _| watched.is_unsettled());
            let gathered = (self.told + GATHER).saturating_sub(self.board.now());
            tokio::select! {
                () = tokio::time::sleep(gathered), if unsettled => self.settle(),
                () = gateway.reconfigured() => self.configure(),
                _ = tick.tick() => self.board.with(|watched, _| watched.tick()),
                Some(report) = self.reports.recv() => self.hear(&report),
            }
        }
    }

    /// Takes in a report, and all others that have come.
    fn hear(&mut self, first: &Report) {
        self.board.with(|watched, _| {
            watched.hear(first);
            while let Ok(report) = self.reports.try_recv() {
                watched.hear(&report);
            }
        });
    }

    fn configure(&mut self) {
        let config = self.gateway.config();
        let changes = self
            .board
            .with(|watched, now| watched.configure(&config, now));
        // A service that went and came back between two looks begins anew there, but not here.
        let known = self.board.with(|watched, _| watched.standings());
        self.gateway.stand(known);
        // Whoever changes the configuration while others hold it has to copy it.
        drop(config);
        let Changes { start, stop } = changes;
        for id in stop {
            self.tasks.remove(&id);
        }
        for errand in start {
            let id = errand.id;
            let run = Run {
                board: Arc::clone(&self.board),
                path: self.path.clone(),
                prober: Rc::clone(&self.prober),
                shared: Rc::clone(&self.ready),
                reporter: self.reporter.clone(),
            };
            let task = spawn_local(run.repeat(errand)).abort_handle();
            self.tasks.insert(id, Task(task));
        }
    }

    /// Tells the gateway, the log and whoever watches what has followed.
    fn settle(&mut self) {
        let (standings, news) = self.board.with(Watched::settle);
        self.told = self.board.now();
        if !standings.is_empty() {
            self.gateway.stand(standings);
        }
        for news in &news {
            if news.is_expected() {
                tracing::debug!("{news}");
            } else {
                let event = news.event();
                diary::write(news.is_bad(), event.as_ref(), &news.to_string());
            }
        }
        self.gateway.tell_news(&news);
    }
}

/// Asks one server one thing, again and again.
struct Run<P: Prober> {
    board: Arc<Board>,
    path: Option<CheckPath>,
    prober: Rc<P>,
    shared: Shared<P>,
    reporter: mpsc::UnboundedSender<Report>,
}

impl<P: Prober> Run<P> {
    async fn repeat(self, errand: Errand) {
        let id = errand.id;
        let timing = match &errand.what {
            What::Check(check, _) if errand.is_known => Timing {
                delay: Duration::ZERO,
                ..check.timing
            },
            What::Check(check, _) => check.timing,
            What::Agent(agent, _) => Timing {
                interval: agent.interval,
                ..Timing::default()
            },
        };
        let ready = RefCell::new(None);
        let mut pace = Pace::new(&timing, seed());
        let mut planned = pace.first(self.board.now());
        let mut is_known = errand.is_known;
        loop {
            let wait = planned.saturating_sub(self.board.now());
            tokio::time::sleep(wait).await;
            let began = self.board.now();
            let answer = match &errand.what {
                What::Check(check, target) => {
                    // The first result is to come soon.
                    let retries = if is_known { check.timing.retry } else { 0 };
                    let run = self.check(errand.of, check, target, &ready, retries);
                    run.await
                }
                What::Agent(agent, at) => Answer::Agent(self.prober.agent(*agent, *at).await),
            };
            let ended = self.board.now();
            let turn = if answer.lack().is_some() {
                pace.again(ended)
            } else {
                is_known = true;
                pace.next(planned, ended)
            };
            let report = Report {
                id,
                timed: Timed {
                    ended,
                    took: ended.saturating_sub(began),
                    next: turn.at,
                },
                late: began.saturating_sub(planned),
                overran: turn.is_late,
                answer,
            };
            if self.reporter.send(report).is_err() {
                return;
            }
            planned = turn.at;
        }
    }

    /// One run: an attempt, and so many others while they fail.
    async fn check(
        &self,
        of: ServerName,
        check: &Check,
        target: &ProbeTarget,
        ready: &RefCell<Option<Rc<P::Ready>>>,
        retries: u16,
    ) -> Answer {
        let mut attempts = 1;
        loop {
            let prepared = self.ready(check, ready);
            let result = match (prepared, self.way(of, check, target)) {
                (Ok(ready), Ok(target)) => self.prober.check(&ready, &target).await,
                (Err(failure), _) | (_, Err(failure)) => Err(failure),
            };
            let is_failure = result.as_ref().is_err_and(|failure| !failure.is_ours());
            if !is_failure || attempts > retries {
                return Answer::Check(result, attempts);
            }
            attempts += 1;
            tokio::time::sleep(check.timing.retry_delay).await;
        }
    }

    /// Whom to ask for a check, and from where: at the VIP on the server, that is the server's
    /// check address.
    fn way<'a>(
        &self,
        of: ServerName,
        check: &Check,
        target: &'a ProbeTarget,
    ) -> Result<Cow<'a, ProbeTarget>, ProbeFailure> {
        if check.path == ConfiguredPath::Route {
            return Ok(Cow::Borrowed(target));
        }
        let path = self.path.as_ref();
        let way = path.and_then(|path| Some((path.address(of.service, of.server)?, path.source())));
        let Some((address, source)) = way else {
            let words = "there is no check address for it: give `check_addresses` a larger range";
            return Err(ProbeFailure::ours(words));
        };
        Ok(Cow::Owned(ProbeTarget {
            server: SocketAddr::new(address.into(), target.server.port()),
            source: Some(source.into()),
            ..target.clone()
        }))
    }

    /// The check made ready: at the first attempt, and again as long as something for it is
    /// missing.
    fn ready(
        &self,
        check: &Check,
        ready: &RefCell<Option<Rc<P::Ready>>>,
    ) -> Result<Rc<P::Ready>, ProbeFailure> {
        let mut ready = ready.borrow_mut();
        if let Some(ready) = &*ready {
            return Ok(Rc::clone(ready));
        }
        let mut shared = self.shared.borrow_mut();
        let mut known = shared.iter().filter(|(of, _)| of == check);
        let made = match known.find_map(|(_, made)| made.upgrade()) {
            Some(made) => made,
            None => {
                let made = Rc::new(self.prober.ready(check).map_err(ProbeFailure::ours)?);
                shared.retain(|(_, made)| made.strong_count() > 0);
                shared.push((check.clone(), Rc::downgrade(&made)));
                made
            }
        };
        *ready = Some(Rc::clone(&made));
        Ok(made)
    }
}

/// A number that nobody can guess, for what shall not happen at the same time everywhere.
fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish()
}

/// Lets this process have as many sockets as it may: each check in flight has one, and checks of
/// servers that do not answer are in flight until their time is over.
fn allow_sockets() {
    let allowed = getrlimit(Resource::RLIMIT_NOFILE);
    let raised = allowed.and_then(|(_, most)| setrlimit(Resource::RLIMIT_NOFILE, most, most));
    if let Err(error) = raised {
        tracing::warn!("cannot have more sockets for checks: {error}");
    }
}

#[cfg(test)]
mod tests;
