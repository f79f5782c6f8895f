//! The running gateway as control sees it.
//!
//! One lock holds the editor and the configuration it came from. Everything that changes the
//! packet path (a new configuration, news from Linux, slots that became free) goes through it
//! and ends in one snapshot for all workers; questions are answered from shared counters.

pub(crate) mod actor;
mod alarms;
mod announce;
mod applies;
mod checked;
mod compile;
mod desk;
pub(crate) mod diary;
mod drain;
mod edit;
mod ethdevs;
mod events;
mod explain;
mod fixed;
mod health;
mod import;
mod ledger;
mod lines;
mod listing;
mod local_addresses;
mod mirrored;
mod pulse;
mod readiness;
mod report;
mod resources;
mod session_line;
mod stand;
mod standing_view;
mod sysctl;
mod unused_routes;
mod visits;
#[cfg(test)]
pub(crate) mod testing;

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Instant, SystemTime};

use dataplane::address::Address;
use dataplane::counters::WorkerCounters;
use dataplane::editor::Editor;
use dataplane::id::{CoreId, InterfaceId};
use dataplane::mailbox::Mailbox;
use dataplane::snapshot::Snapshot;
use dataplane::steering::Steering;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::config::Config;
use crate::health::Board;
use crate::health::check_path::CheckPath;
use crate::ipvs::Table;
use crate::linux::addresses::WantedAddress;
use crate::linux::journal::AddressRole;
use crate::linux::losses::Losses;
use crate::linux::mirror::MirrorEvent;
use crate::metrics::Answers;
use crate::view::AppliedView;
use announce::Announcing;
use desk::CountedLock;
use events::Watchers;
use listing::Unanswered;
use pulse::Pulse;
use readiness::Phase;

pub use alarms::Alarms;
pub use applies::Applies;
pub use compile::marks;
pub use drain::DrainError;
pub use edit::{Edit, EditError, Guard};
pub use ethdevs::{EthdevSource, EthdevStats, LinkStats, MempoolStats, QueueStats};
pub use events::{Event, EventKind, ServerName};
pub use explain::ExplainError;
pub use fixed::ApplyError;
pub use import::{Import, ImportError};
pub use ledger::Ledger;
pub use listing::ListingError;
pub use mirrored::Mirrored;
pub use visits::VisitError;

/// The packet path as control holds it.
pub struct Plane {
    /// The way to each worker.
    pub mailboxes: Vec<Arc<Mailbox>>,
    /// What each worker counts.
    pub counters: Vec<Arc<WorkerCounters>>,
    /// The core each worker is pinned to.
    pub cores: Vec<Option<CoreId>>,
    /// Places in each worker's session table.
    pub session_capacity: u64,
    /// The ethdevs' own counters.
    pub ethdevs: Box<dyn EthdevSource>,
    /// Version and commit.
    pub version: String,
    /// DPDK's version.
    pub dpdk: String,
}

struct State {
    editor: Editor,
    config: Arc<Config>,
    /// The services of `config`, as `ipvsadm` speaks of them. Who asks about them holds on to it,
    /// and then the next change is made in a copy.
    table: Arc<Table>,
    /// How the servers stand of every service that is watched.
    standings: compile::Standings,
    /// Counts the changes of the configuration.
    revision: u64,
    changed_at: SystemTime,
    published: Arc<Snapshot>,
    published_at: Instant,
    ledger: Ledger,
    /// What Linux has on the twins.
    mirrored: Mirrored,
    /// What an operator should mend.
    warnings: Vec<String>,
}

/// The running gateway.
pub struct Gateway {
    state: Mutex<State>,
    plane: Plane,
    started: Instant,
    listing: tokio::sync::Mutex<Unanswered>,
    /// How many imports there were; whoever holds it does the present one.
    importing: Arc<tokio::sync::Mutex<u64>>,
    /// What weights servers had that are on their way out.
    drained: Mutex<drain::Drained>,
    /// How many packets were asked about; whoever holds it asks.
    explaining: tokio::sync::Mutex<u64>,
    pulse: Pulse,
    /// What Linux has taken away for good.
    losses: Mutex<Losses>,
    /// Whether it was ill when it last looked at its health.
    ill: AtomicBool,
    phase: Mutex<Phase>,
    /// When a VIP has last left.
    left: Mutex<Option<Instant>>,
    /// Rings when the addresses, neighbours or announcements that are wished for may have changed.
    changed: Notify,
    /// What is known of servers.
    board: Arc<Board>,
    /// Rings when the services or servers may be others.
    reconfigured: Notify,
    watchers: Watchers,
    counted: CountedLock,
    /// The servers that were overloaded at the last look.
    overloaded: Mutex<HashSet<ServerName>>,
    announcing: Mutex<Announcing>,
    applies: Mutex<Applies>,
    answers: Answers,
    /// The way of checks to the VIP on a server.
    check_path: Mutex<Option<CheckPath>>,
    /// Whoever holds it looks at servers.
    visiting: Mutex<()>,
}

impl Gateway {
    /// A gateway that runs `plane` with the services of `config`; `editor` knows the interfaces.
    #[must_use]
    pub fn new(plane: Plane, mut editor: Editor, config: Config) -> Arc<Self> {
        editor.set_rules(config.ipvs().rules);
        editor.set_timeouts(config.timeouts().clone());
        editor.set_knobs(config.ipvs().knobs.clone());
        editor.set_marks(compile::marks(&config));
        let table = Table::of(&config);
        let standings = compile::standings(&config, compile::Standings::default());
        let sources = compile::Sources {
            config: &config,
            knobs: &config.ipvs().knobs,
            table: &table,
            standings: &standings,
        };
        editor.set_services(&sources.services());
        let published = editor.snapshot();
        let workers = plane.mailboxes.len();
        let gateway = Self {
            state: Mutex::new(State {
                editor,
                config: Arc::new(config),
                table: Arc::new(table),
                standings,
                revision: 0,
                changed_at: SystemTime::now(),
                published,
                published_at: Instant::now(),
                ledger: Ledger::default(),
                mirrored: Mirrored::default(),
                warnings: Vec::new(),
            }),
            plane,
            started: Instant::now(),
            listing: tokio::sync::Mutex::new(Unanswered::new(workers)),
            importing: Arc::default(),
            drained: Mutex::default(),
            explaining: tokio::sync::Mutex::default(),
            pulse: Pulse::default(),
            losses: Mutex::default(),
            ill: AtomicBool::new(false),
            phase: Mutex::default(),
            left: Mutex::default(),
            changed: Notify::new(),
            board: Arc::default(),
            reconfigured: Notify::new(),
            watchers: Watchers::default(),
            counted: CountedLock::default(),
            overloaded: Mutex::default(),
            announcing: Mutex::default(),
            applies: Mutex::default(),
            answers: Answers::default(),
            check_path: Mutex::default(),
            visiting: Mutex::default(),
        };
        let state = gateway.state.lock();
        gateway.count(&state, &desk::names(&state.config));
        drop(state);
        gateway.send(&gateway.state.lock().published);
        Arc::new(gateway)
    }

    /// The configuration that runs.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.state.lock().config)
    }

    /// The packet path.
    #[must_use]
    pub const fn plane(&self) -> &Plane {
        &self.plane
    }

    /// What it answered.
    pub(crate) const fn answers(&self) -> &Answers {
        &self.answers
    }

    /// Makes the services, pools, marks, time-outs and variables of IPVS those of `config`: all of
    /// it or none.
    ///
    /// # Errors
    ///
    /// [`ApplyError::Fixed`] when it differs in what only a restart can change.
    pub fn apply(&self, config: Config) -> Result<AppliedView, ApplyError> {
        self.apply_at(config, None)
    }

    /// As [`Self::apply`], if the configuration is still of this revision.
    ///
    /// # Errors
    ///
    /// [`ApplyError::Stale`] when it is not; else as [`Self::apply`].
    pub fn apply_at(
        &self,
        config: Config,
        revision: Option<u64>,
    ) -> Result<AppliedView, ApplyError> {
        let mut state = self.state.lock();
        if revision.is_some_and(|revision| revision != state.revision) {
            return Err(ApplyError::Stale);
        }
        if let Err(error) = fixed::check(&state.config, &config) {
            self.note_apply(false);
            return Err(error);
        }
        state.editor.set_timeouts(config.timeouts().clone());
        state.editor.set_knobs(config.ipvs().knobs.clone());
        state.editor.set_marks(compile::marks(&config));
        let mut names = desk::names(&state.config);
        names.extend(desk::names(&config));
        state.table = Arc::new(state.table.renewed(&config));
        self.count(&state, &names);
        state.config = Arc::new(config);
        state.settle_standings();
        let specs = state.sources(&state.config.ipvs().knobs).services();
        state.editor.set_services(&specs);
        state.forget_services_gone();
        state.revise();
        let generation = self.publish(&mut state);
        self.note_apply(true);
        let applied = state.applied(generation);
        let revision = state.revision;
        self.watchers
            .tell(revision, [EventKind::ConfigurationApplied]);
        drop(state);
        self.reconfigured.notify_one();
        self.changed.notify_one();
        Ok(applied)
    }

    /// Whether [`Self::apply`] would accept `config`; changes nothing.
    ///
    /// # Errors
    ///
    /// As [`Self::apply`].
    pub fn check(&self, config: &Config) -> Result<(), ApplyError> {
        fixed::check(&self.config(), config)
    }

    /// Takes over what Linux said.
    pub fn mirrored(&self, events: &[MirrorEvent]) {
        let mut state = self.state.lock();
        let State {
            mirrored, editor, ..
        } = &mut *state;
        for event in events {
            mirrored.apply(event, editor);
        }
        self.publish(&mut state);
        drop(state);
        let is_removal = |it: &MirrorEvent| matches!(it, MirrorEvent::AddressRemoved(_));
        if events.iter().any(is_removal) {
            self.vip_left();
        }
        self.changed.notify_one();
    }

    /// Steers by software from now on if a worker found that an ethdev's RSS does not do what it
    /// says. Returns whether that was so; call it about once a second.
    pub fn distrust_rss(&self) -> bool {
        let mismatch = self
            .plane
            .counters
            .iter()
            .any(|counters| counters.rss_mismatches.get() > 0);
        let mut state = self.state.lock();
        let by_rss = matches!(*state.editor.state().steering, Steering::Toeplitz(_));
        if mismatch && by_rss {
            let workers = u16::try_from(self.plane.mailboxes.len()).unwrap_or(u16::MAX);
            state.editor.set_steering(Steering::Software { workers });
            self.publish(&mut state);
        }
        mismatch && by_rss
    }

    /// Frees what no worker and no session refers to any more. Call it about once a second.
    pub fn collect(&self) {
        let oldest = self
            .plane
            .mailboxes
            .iter()
            .map(|mailbox| mailbox.adopted())
            .min();
        let mut state = self.state.lock();
        let before = Arc::clone(&state.published);
        if (state.editor).collect(oldest.unwrap_or(0), self.started.elapsed()) {
            self.publish(&mut state);
            let State {
                ledger, published, ..
            } = &mut *state;
            ledger.close(&before, published);
            state.forget_services_gone();
        }
        drop(state);
        self.look();
        self.look_at_loads();
    }

    /// Waits until the wishes below may have changed.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The addresses the gateway should put on its twins.
    #[must_use]
    pub fn wished_addresses(&self) -> Vec<WantedAddress> {
        let config = self.config();
        let by_name = |name: &str| config.interface(name).map(|numbered| numbered.id);
        let vips = config.vips().into_iter().filter_map(|vip| {
            let interface = match vip.placement {
                crate::config::Placement::Auto => None,
                crate::config::Placement::Interface(name) => Some(by_name(name)?),
                crate::config::Placement::External => return None,
            };
            Some(WantedAddress {
                addr: vip.address,
                role: AddressRole::Vip,
                interface,
            })
        });
        let lips = config.local_pools().iter().flat_map(|pool| {
            let interface = pool.interface.as_deref().and_then(by_name);
            pool.lips().map(move |addr| WantedAddress {
                addr,
                role: AddressRole::Lip,
                interface,
            })
        });
        vips.chain(lips).collect()
    }

    /// The neighbours whose MACs the packet path needs: next hops towards all real servers, and
    /// all routers.
    #[must_use]
    pub fn wished_neighbours(&self) -> Vec<(InterfaceId, IpAddr)> {
        let state = self.state.lock();
        let servers = state
            .config
            .services()
            .iter()
            .flat_map(|service| service.servers.iter().chain(service.sorry_server()));
        let mut wished: Vec<_> = servers
            .flat_map(|server| state.editor.neighbours_towards(server.endpoint.addr))
            .chain(state.editor.routers())
            .collect();
        wished.sort_unstable();
        wished.dedup();
        wished
    }

    /// The neighbours that workers asked for since the last call and Linux has not told yet.
    #[must_use]
    pub fn asked_neighbours(&self) -> Vec<(InterfaceId, IpAddr)> {
        let asked = self.plane.mailboxes.iter();
        let asked: Vec<_> = asked
            .flat_map(|mailbox| std::iter::from_fn(|| mailbox.wanted_neighbour()))
            .collect();
        if asked.is_empty() {
            return Vec::new();
        }
        let state = self.state.lock();
        let unknown = asked
            .iter()
            .filter(|it| !state.editor.knows_neighbour(it.interface, it.addr));
        unknown.map(|it| (it.interface, it.addr.to_ip())).collect()
    }

    /// Replaces the list of what an operator should mend.
    pub fn set_warnings(&self, warnings: Vec<String>) {
        let mut state = self.state.lock();
        let new = warnings.iter().filter(|it| !state.warnings.contains(it));
        let new = new.map(|message| EventKind::Warning {
            message: message.clone(),
        });
        self.watchers.tell(state.revision, new);
        state.warnings = warnings;
    }

    fn publish(&self, state: &mut State) -> u64 {
        state.published = state.editor.snapshot();
        state.published_at = Instant::now();
        self.send(&state.published);
        state.published.generation
    }

    fn send(&self, snapshot: &Arc<Snapshot>) {
        for mailbox in &self.plane.mailboxes {
            mailbox.publish(Arc::clone(snapshot));
        }
    }
}

impl State {
    /// What there is now.
    fn applied(&self, generation: u64) -> AppliedView {
        let services = self.config.services();
        AppliedView {
            generation,
            revision: self.revision,
            services: services.len(),
            servers: services.iter().map(|service| service.servers.len()).sum(),
            warnings: Vec::new(),
        }
    }

    fn forget_services_gone(&mut self) {
        self.ledger.keep_only(&self.config);
    }
}
