//! Keeps Linux and the packet path in step while the gateway runs.
//!
//! News from Linux goes to the packet path as they come; addresses and neighbours that the
//! packet path needs are asked of Linux; now and then what is no longer used is freed.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dataplane::id::InterfaceId;
use tokio::sync::{mpsc, oneshot};

use crate::announce::Announcer;
use crate::gateway::{Alarms, Gateway};
use crate::health::check_path::CheckPath;
use crate::linux::addresses::{AddressKeeper, PlacedBy, WantedAddress};
use crate::linux::carrier::CarrierKeeper;
use crate::linux::mirror::MirrorEvent;
use crate::linux::neighbour::{NeighbourKeeper, REFRESH_INTERVAL};
use crate::mending::{self, Mending};

/// How often workers are asked which neighbours they miss; a held packet waits this long more.
const ASKED_INTERVAL: Duration = Duration::from_millis(5);

/// How long changes are collected before Linux is asked for what follows from them.
const SWARM: Duration = Duration::from_millis(20);

/// After a failure to place addresses it is tried again so much later.
const RETRY: Duration = Duration::from_secs(5);

/// How often the links of the ethdevs are looked at.
const LINK_INTERVAL: Duration = Duration::from_millis(100);

/// How often what is no longer used is freed.
const COLLECT_INTERVAL: Duration = Duration::from_secs(1);

/// A neighbour that a worker asked for is kept resolved this long after it was asked for last.
const ASKED_LIFE: Duration = Duration::from_secs(600);

/// The most neighbours kept resolved because workers asked for them.
const ASKED_MAX: usize = 65_536;

/// What Linux is asked to keep.
pub struct Keepers {
    /// Puts VIPs and LIPs on the twins.
    pub addresses: AddressKeeper,
    /// Keeps the MACs of next hops known.
    pub neighbours: NeighbourKeeper,
    /// Gives the twins the carrier of their ethdevs.
    pub carrier: CarrierKeeper,
    /// Announces VIPs, if they are to be.
    pub announcer: Option<Announcer>,
    /// Knows the servers and routes of checks to VIPs, if there is a way for them.
    pub checks: Option<CheckPath>,
}

/// Follows Linux until the mirror ends, which it does when it fails.
pub struct Follower {
    gateway: Arc<Gateway>,
    keepers: Keepers,
    wanted: Vec<WantedAddress>,
    /// Whether addresses or default routes on the twins changed since the wanted ones were placed.
    moved: bool,
    /// When placing is tried again after a failure.
    retry_at: Option<Instant>,
    /// What was said when Linux refused one.
    refused: Option<String>,
    /// What was said of addresses that have no place.
    homeless: BTreeSet<String>,
    wished: BTreeSet<(InterfaceId, IpAddr)>,
    /// When the wishes of the configuration changed and were not yet passed on to Linux.
    changed: Option<Instant>,
    asked: std::collections::HashMap<(InterfaceId, IpAddr), Instant>,
    /// The revision of the configuration whose servers have check addresses.
    checked: Option<u64>,
    synchronised: bool,
    alarms: Alarms,
    mending: Mending,
}

impl Follower {
    /// A follower that has asked Linux for nothing yet.
    #[must_use]
    pub fn new(gateway: Arc<Gateway>, keepers: Keepers) -> Self {
        Self {
            gateway,
            keepers,
            wanted: Vec::new(),
            moved: false,
            retry_at: None,
            refused: None,
            homeless: BTreeSet::new(),
            wished: BTreeSet::new(),
            changed: None,
            asked: std::collections::HashMap::new(),
            checked: None,
            synchronised: false,
            alarms: Alarms::default(),
            mending: Mending::default(),
        }
    }

    /// Runs until the mirror ends. `settled` hears when Linux has been asked for all that the
    /// first configuration needs. Whoever stops it earlier calls [`Self::leave`] then.
    pub async fn run(
        &mut self,
        mut news: mpsc::Receiver<Vec<MirrorEvent>>,
        settled: oneshot::Sender<()>,
    ) {
        let mut settled = Some(settled);
        let gateway = Arc::clone(&self.gateway);
        let mut asking = tokio::time::interval(ASKED_INTERVAL);
        let mut looking = tokio::time::interval(LINK_INTERVAL);
        let mut collecting = tokio::time::interval(COLLECT_INTERVAL);
        let mut refreshing = tokio::time::interval(REFRESH_INTERVAL);
        let mut mending = tokio::time::interval(mending::INTERVAL);
        loop {
            tokio::select! {
                batch = news.recv() => match batch {
                    Some(batch) => self.take_news(&batch),
                    None => return,
                },
                () = gateway.changed() => self.changed = self.changed.or(Some(Instant::now())),
                _ = asking.tick() => {
                    if self.fulfil_wishes()
                        && let Some(settled) = settled.take()
                    {
                        self.mending.look(&gateway);
                        let _nobody_waits = settled.send(());
                    }
                    self.ask_neighbours();
                }
                _ = looking.tick() => self.follow_links(),
                _ = collecting.tick() => self.tidy(),
                _ = mending.tick() => if settled.is_none() { self.mending.look(&gateway) },
                _ = refreshing.tick() => report("refresh neighbours", self.keepers.neighbours.refresh()),
            }
        }
    }

    /// Withdraws all VIPs from routing daemons; what still comes is served as before. To be called
    /// as the first thing of a stop.
    pub fn withdraw_all(&mut self) {
        if let Some(announcer) = &mut self.keepers.announcer {
            announcer.withdraw_all();
        }
    }

    /// Takes away the addresses that the gateway put on its twins.
    pub fn leave(&mut self) {
        report("remove addresses", self.keepers.addresses.remove_all());
    }

    fn take_news(&mut self, batch: &[MirrorEvent]) {
        self.gateway.mirrored(batch);
        self.synchronised |= batch.contains(&MirrorEvent::Synchronised);
        // They decide where an address without a named interface belongs.
        self.moved |= batch.iter().any(|event| match event {
            MirrorEvent::AddressAdded(_) | MirrorEvent::AddressRemoved(_) => true,
            MirrorEvent::RouteSet { prefix, .. } | MirrorEvent::RouteRemoved(prefix) => {
                prefix.len == 0
            }
            _ => false,
        });
    }

    /// Asks Linux for the addresses and next hops of the present configuration, once it is known
    /// what Linux has. Changes that come in swarms (a routing daemon's) are taken together.
    /// Returns whether it asked.
    fn fulfil_wishes(&mut self) -> bool {
        let due = self.changed.is_some_and(|since| since.elapsed() >= SWARM);
        if !self.synchronised || !due {
            return false;
        }
        self.changed = None;
        self.renew_checks();
        let addresses = self.gateway.wished_addresses();
        let moved = std::mem::take(&mut self.moved);
        if moved || addresses != self.wanted {
            self.wanted = addresses;
            self.place_addresses();
        }
        if let Some(announcer) = &mut self.keepers.announcer {
            announcer.renew(&mut self.keepers.addresses, moved);
        }
        let wished: BTreeSet<_> = self.gateway.wished_neighbours().into_iter().collect();
        for (interface, addr) in self.wished.difference(&wished) {
            report(
                "let a neighbour go",
                self.keepers.neighbours.unwant(*interface, *addr),
            );
        }
        for (interface, addr) in wished.difference(&self.wished) {
            report(
                "resolve a neighbour",
                self.keepers.neighbours.want(*interface, *addr),
            );
        }
        self.wished = wished;
        true
    }

    /// Gives servers their check addresses, and checks the present routes.
    fn renew_checks(&mut self) {
        let Some(checks) = &self.keepers.checks else {
            return;
        };
        if let Some((revision, servers)) = self.gateway.checked_servers(self.checked) {
            checks.set(&servers);
            self.checked = Some(revision);
        }
        checks.learn(self.gateway.published());
    }

    /// Puts the wanted addresses on the twins, and says once of each that has no place yet.
    fn place_addresses(&mut self) {
        let placed = match self.keepers.addresses.apply(&self.wanted) {
            Ok(placed) => placed,
            Err(error) => {
                let sentence = error.to_string();
                if self.refused.as_ref() != Some(&sentence) {
                    tracing::warn!("could not place all addresses, will try again: {sentence}");
                }
                self.refused = Some(sentence);
                self.retry_at = Some(Instant::now() + RETRY);
                return;
            }
        };
        self.retry_at = None;
        self.refused = None;
        let homeless: BTreeSet<String> = (placed.iter())
            .filter_map(|placed| match placed.by {
                PlacedBy::Nobody(error) => Some(error.to_string()),
                PlacedBy::Gateway(_) | PlacedBy::Operator => None,
            })
            .collect();
        for sentence in homeless.difference(&self.homeless) {
            tracing::warn!("{sentence}");
        }
        self.homeless = homeless;
    }

    /// Asks Linux for the clients' side next hops that workers missed.
    fn ask_neighbours(&mut self) {
        for (interface, addr) in self.gateway.asked_neighbours() {
            let room = self.asked.len() < ASKED_MAX;
            let is_new = !self.asked.contains_key(&(interface, addr));
            if room || !is_new {
                self.asked.insert((interface, addr), Instant::now());
            }
            if is_new && room {
                report(
                    "resolve a neighbour",
                    self.keepers.neighbours.want(interface, addr),
                );
            }
        }
    }

    /// Lets Linux know which links are cut, and asks again for the neighbours that a cut one lost.
    fn follow_links(&mut self) {
        let changes = match self.keepers.carrier.follow() {
            Ok(changes) => changes,
            Err(error) => return tracing::warn!("could not pass on the state of a link: {error}"),
        };
        for change in &changes {
            if change.up {
                tracing::info!("the twin {} has carrier again", change.twin);
            } else {
                tracing::warn!(
                    "the link beside the twin {} is down: the twin has no carrier",
                    change.twin
                );
            }
        }
        if changes.iter().any(|change| change.up) {
            report("refresh neighbours", self.keepers.neighbours.refresh());
        }
    }

    fn tidy(&mut self) {
        if self.retry_at.is_some_and(|at| at <= Instant::now()) {
            self.place_addresses();
        }
        if let Some(announcer) = &mut self.keepers.announcer {
            announcer.verify(&mut self.keepers.addresses);
        }
        self.gateway.collect();
        // A server's method may have changed, which moves nothing else of Linux's.
        self.renew_checks();
        for line in self.alarms.sound(&self.gateway, Instant::now()) {
            tracing::warn!("{line}");
        }
        if self.gateway.distrust_rss() {
            tracing::error!(
                "an ethdev's RSS hash is not what it says: flows are steered by software from now on"
            );
        }
        let old: Vec<_> = (self.asked.iter())
            .filter(|(_, since)| since.elapsed() > ASKED_LIFE)
            .map(|(key, _)| *key)
            .collect();
        for (interface, addr) in old {
            self.asked.remove(&(interface, addr));
            if !self.wished.contains(&(interface, addr)) {
                report(
                    "let a neighbour go",
                    self.keepers.neighbours.unwant(interface, addr),
                );
            }
        }
    }
}

/// Logs what Linux refused; the gateway goes on with what it has.
fn report<T, E: std::fmt::Display>(action: &str, result: Result<T, E>) {
    if let Err(error) = result {
        tracing::warn!("could not {action}: {error}");
    }
}
