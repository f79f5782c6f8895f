//! What runs beside the workers: API, metrics, the mirror, signals.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use control::api;
use control::config::Config;
use control::follow::{Follower, Keepers};
use control::gateway::Gateway;
use control::linux::addresses::AddressKeeper;
use control::linux::journal::Journal;
use control::linux::mirror::Mirror;
use control::linux::neighbour::NeighbourKeeper;
use control::linux::pump::Pump;
use control::linux::sysctl;
use control::linux::twin::TwinLink;
use control::metrics;
use futures_util::FutureExt;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};

use super::StartError;
use super::signals::{Signals, Told};

/// How long a killed gateway's sockets may take to be closed.
const PATIENCE: Duration = Duration::from_secs(3);

/// Batches of news from Linux that may wait.
const NEWS: usize = 64;

/// The twins at work.
#[derive(Clone, Copy)]
pub(super) struct Twins<'a> {
    /// What Linux calls them.
    pub(super) links: &'a [TwinLink],
    /// Moves their frames.
    pub(super) pump: &'a Pump,
}

/// What only one gateway can have: the sockets that the outside knocks at, and the journal.
pub(super) struct Doors {
    api: api::ApiSocket,
    metrics: Option<TcpListener>,
    journal: Journal,
}

impl Doors {
    /// Opens the API's socket, the metrics' port and the journal, so that a start beside a running gateway
    /// fails before it touches anything.
    pub(super) async fn open(config: &Config) -> Result<Self, StartError> {
        let gateway = config.gateway();
        let api = api::ApiSocket::bind(&gateway.socket, gateway.control_group.as_deref())?;
        let metrics = match gateway.metrics {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let journal = Journal::open(&gateway.state_dir)?;
        Ok(Self {
            api,
            metrics,
            journal,
        })
    }
}

/// Listens for scrapes; waits a little for a killed gateway's sockets to be closed.
async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match TcpListener::bind(address).await {
            Err(error) if error.kind() == ErrorKind::AddrInUse && Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(source) => {
                let advice = match source.kind() {
                    ErrorKind::AddrInUse => "end the program that listens there",
                    ErrorKind::AddrNotAvailable => "give this machine that address",
                    _ => "mend that",
                };
                return Err(StartError::Metrics {
                    address,
                    advice,
                    source,
                });
            }
            Ok(listener) => return Ok(listener),
        }
    }
}

/// Serves until SIGTERM or SIGINT, and then takes away what Linux was asked for.
pub(super) async fn serve(
    gateway: &Arc<Gateway>,
    doors: Doors,
    twins: Twins<'_>,
    path: &Path,
    signals: &mut Signals,
) -> Result<(), StartError> {
    let (stop, stopped) = watch::channel(false);
    let (mirror, news) = start_mirror(gateway, twins)?;
    let mut follower = Follower::new(Arc::clone(gateway), keepers(doors.journal, twins)?);

    let api = tokio::spawn(api::serve(
        doors.api,
        Arc::clone(gateway),
        until(stopped.clone()),
    ));
    let sources = metrics::Sources {
        gateway: Arc::clone(gateway),
        twins: twins.pump.counters().to_vec(),
        mirror: Some(Arc::clone(mirror.counters())),
    };
    let metrics = doors
        .metrics
        .map(|listener| tokio::spawn(metrics::serve(listener, sources, until(stopped.clone()))));
    warn_about_sysctls(gateway, twins);
    let (settle, settled) = oneshot::channel();
    let told = run_until_told(gateway, path, signals, follower.run(news, settle), settled).await;
    tracing::info!("stopping");
    let _nobody = stop.send(true);
    drop(mirror);
    follower.leave();
    for server in std::iter::once(api).chain(metrics) {
        if let Ok(Err(error)) = server.await {
            tracing::warn!("a listener has failed: {error}");
        }
    }
    told
}

/// Follows Linux, and reads the file again at each SIGHUP, until SIGTERM or SIGINT.
async fn run_until_told(
    gateway: &Gateway,
    path: &Path,
    signals: &mut Signals,
    following: impl Future<Output = ()>,
    settled: oneshot::Receiver<()>,
) -> Result<(), StartError> {
    let mut following = std::pin::pin!(following);
    let mut settled = std::pin::pin!(settled.fuse());
    loop {
        tokio::select! {
            () = &mut following => {
                return Err(StartError::MirrorEnded);
            }
            Ok(()) = &mut settled => {
                let config = gateway.config();
                let workers = config.gateway().workers.count();
                let services = config.services().len();
                tracing::info!("ready (workers {workers}, services {services})");
            }
            told = signals.next() => match told {
                Told::Stop => return Ok(()),
                Told::Reload => apply_file(gateway, path),
            },
        }
    }
}

fn start_mirror(
    gateway: &Gateway,
    twins: Twins<'_>,
) -> Result<
    (
        Mirror,
        mpsc::Receiver<Vec<control::linux::mirror::MirrorEvent>>,
    ),
    StartError,
> {
    let tables: Vec<u32> = gateway
        .config()
        .gateway()
        .route_tables
        .iter()
        .map(|table| table.0)
        .collect();
    let (listener, news) = mpsc::channel(NEWS);
    let mirror = Mirror::start(twins.links, &tables, listener)?;
    Ok((mirror, news))
}

fn keepers(journal: Journal, twins: Twins<'_>) -> Result<Keepers, StartError> {
    Ok(Keepers {
        addresses: AddressKeeper::open(journal, twins.links, twins.pump.sender())
            .map_err(|error| StartError::Linux(error.to_string()))?,
        neighbours: NeighbourKeeper::open(twins.links)?,
    })
}

/// Waits until told to stop.
async fn until(mut stopped: watch::Receiver<bool>) {
    let _closed = stopped.wait_for(|stop| *stop).await.is_err();
}

fn warn_about_sysctls(gateway: &Gateway, twins: Twins<'_>) {
    let names: Vec<&str> = twins.links.iter().map(|link| link.name.as_str()).collect();
    let warnings: Vec<String> = sysctl::warnings(&names)
        .iter()
        .map(ToString::to_string)
        .collect();
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    gateway.set_warnings(warnings);
}

/// SIGHUP: reads the file again and applies it, all of it or none.
fn apply_file(gateway: &Gateway, path: &Path) {
    let (config, warnings) = match Config::load(path) {
        Ok(loaded) => loaded,
        Err(errors) => {
            for error in &errors.0 {
                tracing::error!("{error}");
            }
            return tracing::error!("nothing was changed; mend that and send SIGHUP again");
        }
    };
    for warning in &warnings.0 {
        tracing::warn!("{warning}");
    }
    match gateway.apply(config) {
        Ok(applied) => tracing::info!(
            "{} applied: services {}, real servers {}",
            path.display(),
            applied.services,
            applied.servers
        ),
        Err(error) => tracing::error!("nothing was changed: {error}"),
    }
}
