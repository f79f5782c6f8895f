//! From the start to the stop: follows Linux, obeys signals, shows whether it is ready.
//!
//! ```text
//! SIGHUP   the configuration file is read again
//! SIGTERM  hands external VIPs over, then stops; the second one stops at once (SIGINT too)
//! ```

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use control::config::{Config, Difference};
use control::gateway::Gateway;
use control::health::Engine;
use control::health::check_path::CheckPath;
use futures_util::FutureExt;
use tokio::sync::oneshot;

use super::StartError;
use super::beacon::Beacon;
use super::hand_over::{End, HandOver, Sight, Traffic};
use super::service::Orders;
use super::signals::Told;
use crate::log;

/// How often the gateway looks at itself.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Lines about what SIGHUP has changed.
const LOGGED_CHANGES: usize = 20;

/// A gateway on duty.
pub(super) struct Duty<'a> {
    gateway: &'a Arc<Gateway>,
    /// The way of checks to the VIP on a server.
    checks: Option<&'a CheckPath>,
    /// Checks the servers, once the gateway can reach them.
    engine: Option<Engine>,
    beacon: Beacon,
    orders: Orders<'a>,
    traffic: Traffic,
    leaving: Option<HandOver>,
}

/// Whether it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Serve,
    Stop,
}

impl<'a> Duty<'a> {
    /// One that has not begun.
    pub(super) fn new(
        gateway: &'a Arc<Gateway>,
        checks: Option<&'a CheckPath>,
        beacon: Beacon,
        orders: Orders<'a>,
    ) -> Self {
        Self {
            gateway,
            checks,
            engine: None,
            beacon,
            orders,
            traffic: Traffic::default(),
            leaving: None,
        }
    }

    /// Serves while `following` keeps up with Linux, until told to stop and until others have
    /// taken over; `settled` says when all of the start is done.
    pub(super) async fn run(
        &mut self,
        following: impl Future<Output = ()>,
        settled: oneshot::Receiver<()>,
    ) -> Result<(), StartError> {
        let mut following = std::pin::pin!(following);
        let mut settled = std::pin::pin!(settled.fuse());
        let mut looking = tokio::time::interval(LOOK_INTERVAL);
        loop {
            let next = tokio::select! {
                () = &mut following => return Err(StartError::MirrorEnded),
                Ok(()) = &mut settled => self.begin()?,
                _ = looking.tick() => self.look(),
                told = self.orders.signals.next() => self.obey(told),
            };
            if next == Next::Stop {
                // Servers are not down because the gateway no longer reaches them.
                self.engine = None;
                return Ok(());
            }
        }
    }

    fn begin(&mut self) -> Result<Next, StartError> {
        self.gateway.settled();
        // Not before: what Linux cannot reach yet would be taken for down.
        let engine = Engine::start(Arc::clone(self.gateway), self.checks.cloned())?;
        if let Some(path) = self.checks {
            self.gateway.use_check_path(path.clone());
        }
        self.engine = Some(engine);
        let config = self.gateway.config();
        let workers = config.gateway().workers.count();
        let services = config.services().len();
        tracing::info!("ready (workers {workers}, services {services})");
        Ok(Next::Serve)
    }

    fn look(&mut self) -> Next {
        let now = Instant::now();
        log::tell_of_repeats();
        self.beacon.show(self.gateway, now);
        self.traffic.see(self.gateway.served_packets(), now);
        // What is seen takes a look at all VIPs, so only while it matters.
        if self.leaving.is_none() {
            return Next::Serve;
        }
        let sight = self.sight();
        let ended = self.leaving.as_mut().and_then(|it| it.look(sight, now));
        let Some(end) = ended else {
            return Next::Serve;
        };
        match end {
            End::Done => tracing::info!("the VIPs are handed over"),
            End::StillAsked => {
                tracing::warn!("the VIPs are handed over, but packets still come for them");
            }
            End::StillHere(vips) => tracing::warn!(
                "{vips} VIPs were not handed over in time: nobody has taken them off the twins"
            ),
        }
        Next::Stop
    }

    fn obey(&mut self, told: Told) -> Next {
        match told {
            Told::Stop if self.leaving.is_some() => Next::Stop,
            Told::Stop => self.leave(),
            Told::Reload if self.leaving.is_some() => Next::Serve,
            Told::Reload => {
                let (gateway, path) = (self.gateway, self.orders.path);
                self.beacon.reloading(|| apply_file(gateway, path));
                Next::Serve
            }
        }
    }

    /// Lets others know, and begins to hand over if there is something to.
    fn leave(&mut self) -> Next {
        let now = Instant::now();
        self.gateway.leave();
        self.beacon.stopping();
        self.beacon.show(self.gateway, now);
        let limit = Duration::from_secs(self.gateway.config().gateway().hand_over.into());
        self.leaving = if self.gateway.may_hand_over() {
            self.traffic.see(self.gateway.served_packets(), now);
            let left = self.gateway.vip_left_at();
            HandOver::begin(self.sight(), self.traffic, left, now, limit)
        } else {
            None
        };
        if self.leaving.is_none() {
            return Next::Stop;
        }
        tracing::info!("handing the VIPs over, for at most {} s", limit.as_secs());
        Next::Serve
    }

    fn sight(&self) -> Sight {
        Sight {
            vips: self.gateway.vips_to_hand_over(),
            packets: self.gateway.served_packets(),
        }
    }
}

/// SIGHUP: reads the file again and applies it, all of it or none.
fn apply_file(gateway: &Gateway, path: &Path) {
    let (config, warnings) = match Config::load(path) {
        Ok(loaded) => loaded,
        Err(errors) => {
            gateway.refuse_unread();
            for error in &errors.0 {
                tracing::error!("{error}");
            }
            return tracing::error!("nothing was changed; mend that and send SIGHUP again");
        }
    };
    for warning in &warnings.0 {
        tracing::warn!("{warning}");
    }
    let difference = Difference::between(&gateway.running(), &config);
    match gateway.apply(config) {
        Ok(applied) => {
            log_difference(&difference);
            tracing::info!(
                "{} applied: services {}, real servers {}",
                path.display(),
                applied.services,
                applied.servers
            );
        }
        Err(error) => tracing::error!("nothing was changed: {error}"),
    }
}

/// Says what became otherwise: what an operator had changed since the last time is undone now.
fn log_difference(difference: &Difference) {
    let text = difference.to_string();
    for line in text.lines().take(LOGGED_CHANGES) {
        tracing::info!("{line}");
    }
    let rest = text.lines().count().saturating_sub(LOGGED_CHANGES);
    if rest > 0 {
        tracing::info!("and {rest} lines more, as `sluicectl diff` would have said before");
    }
}
