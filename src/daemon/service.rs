//! What runs beside the workers: API, metrics, the mirror.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use control::announce::Announcer;
use control::api;
use control::config::Config;
use control::follow::{Follower, Keepers};
use control::gateway::Gateway;
use control::health::check_path::CheckPath;
use control::linux::addresses::AddressKeeper;
use control::linux::announce_table::{self, AnnounceError, AnnounceTable};
use control::linux::carrier::{Beside, CarrierKeeper};
use control::linux::journal::Journal;
use control::linux::mirror::Mirror;
use control::linux::neighbour::NeighbourKeeper;
use control::linux::pump::Pump;
use control::linux::twin::TwinLink;
use control::metrics;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};

use super::StartError;
use super::beacon::Beacon;
use super::duty::Duty;
use super::ethdevs::LinkReader;
use super::signals::Signals;
use super::supervisor::Supervisor;

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
    /// Knows the addresses of checks to VIPs.
    pub(super) checks: Option<&'a CheckPath>,
}

/// What only one gateway can have: the sockets that the outside knocks at, the journal, and the
/// beacon that shows whether it is ready.
pub(super) struct Doors {
    api: api::ApiSocket,
    metrics: Option<TcpListener>,
    journal: Journal,
    beacon: Beacon,
}

impl Doors {
    /// Opens the API's socket, the metrics' port and the journal, so that a start beside a running gateway
    /// fails before it touches anything.
    pub(super) async fn open(config: &Config) -> Result<Self, StartError> {
        let gateway = config.gateway();
        let group = gateway.control_group.as_deref();
        let api = api::ApiSocket::bind(&gateway.socket, group, gateway.others)?;
        let metrics = match gateway.metrics {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let journal = Journal::open(&gateway.state_dir)?;
        // The directory is this process's own now.
        let beacon = Beacon::light(&gateway.state_dir, Supervisor::of_environment());
        // Routers shall not send before this start can serve, wherever an earlier one has announced.
        let tables = [journal.announce_table(), gateway.announce_table];
        for table in BTreeSet::from(tables).into_iter().flatten() {
            announce_table::clear(table).map_err(announcing)?;
        }
        journal.record_announce_table(gateway.announce_table)?;
        Ok(Self {
            api,
            metrics,
            journal,
            beacon,
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

/// Where orders come from.
pub(super) struct Orders<'a> {
    /// The configuration file.
    pub(super) path: &'a Path,
    /// The signals.
    pub(super) signals: &'a mut Signals,
}

/// Serves until told to stop, and then takes away what Linux was asked for.
pub(super) async fn serve(
    gateway: &Arc<Gateway>,
    doors: Doors,
    twins: Twins<'_>,
    links: LinkReader,
    orders: Orders<'_>,
) -> Result<(), StartError> {
    let (stop, stopped) = watch::channel(false);
    let (mirror, news) = start_mirror(gateway, twins)?;
    let keepers = keepers(gateway, doors.journal, twins, links)?;
    let mut follower = Follower::new(Arc::clone(gateway), keepers);

    let api = tokio::spawn(api::serve(
        doors.api,
        Arc::clone(gateway),
        until(stopped.clone()),
    ));
    let sources = metrics::Sources {
        gateway: Arc::clone(gateway),
        twins: twins.pump.counters().to_vec(),
        mirror: Some(Arc::clone(mirror.counters())),
        checks: twins.checks.cloned(),
    };
    let metrics = doors
        .metrics
        .map(|listener| tokio::spawn(metrics::serve(listener, sources, until(stopped.clone()))));
    let (settle, settled) = oneshot::channel();
    let mut duty = Duty::new(gateway, twins.checks, doors.beacon, orders);
    let told = duty.run(follower.run(news, settle), settled).await;
    tracing::info!("stopping");
    follower.withdraw_all();
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

fn keepers(
    gateway: &Arc<Gateway>,
    journal: Journal,
    twins: Twins<'_>,
    links: LinkReader,
) -> Result<Keepers, StartError> {
    let config = gateway.config();
    let beside = config.interfaces().zip(twins.links);
    let beside = beside.map(|(numbered, twin)| Beside {
        ethdev: numbered.ethdev,
        ifindex: twin.ifindex,
        name: twin.name.clone(),
    });
    let table = config.gateway().announce_table;
    let table = table.map(|table| AnnounceTable::open(table, twins.links));
    let table = table.transpose().map_err(announcing)?;
    Ok(Keepers {
        carrier: CarrierKeeper::open(Box::new(links), beside.collect())?,
        addresses: AddressKeeper::open(journal, twins.links, twins.pump.sender())
            .map_err(|error| StartError::Linux(error.to_string()))?,
        neighbours: NeighbourKeeper::open(twins.links)?,
        announcer: table.map(|table| Announcer::new(Arc::clone(gateway), table)),
        checks: twins.checks.cloned(),
    })
}

fn announcing(error: AnnounceError) -> StartError {
    StartError::Linux(error.to_string())
}

/// Waits until told to stop.
async fn until(mut stopped: watch::Receiver<bool>) {
    let _closed = stopped.wait_for(|stop| *stop).await.is_err();
}
