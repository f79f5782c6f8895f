//! The order of start and stop.
//!
//! ```text
//! start: signals → API socket, metrics, journal → check interface → fences → EAL → ethdevs → twins
//!        → workers → pump → mirror → API, metrics → checks of servers
//! stop:  (hand-over →) checks of servers → API → VIPs and LIPs → workers → pump, twins and check interface → ethdevs → EAL
//! ```
//!
//! What can fail for an ordinary reason (a socket in use, a device that is not there) comes
//! first; a start that fails, or is told to stop, drops what was made so far in reverse order and
//! leaves nothing behind.

mod beacon;
mod checks;
mod duty;
mod error;
mod ethdevs;
mod hand_over;
mod pools;
mod service;
mod signals;
mod stats;
mod supervisor;
mod twins;
mod workers;

use std::path::Path;
use std::sync::Arc;

use control::config::Config;
use control::gateway::{Gateway, Plane};
use dataplane::editor::Editor;

use service::{Orders, Twins};
use signals::Signals;

pub(crate) use error::StartError;

/// Version and commit.
pub(crate) const VERSION: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (", env!("SLUICE_COMMIT"), ")");

/// Starts the gateway, serves until told to stop, and stops it.
///
/// # Errors
///
/// [`StartError`]: a sentence for the operator.
pub(crate) fn run(config: Config, path: &Path) -> Result<(), StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut signals = runtime.block_on(async { Signals::listen() })?;
    let cores = workers::cores(
        &config.gateway().workers,
        &ethdevs::usable_cores(),
        &ethdevs::reachable_cores(),
    )?;
    let of_workers: Vec<_> = cores.iter().map(|core| core.0).collect();
    if let Err(error) = control::linux::cores::leave(&of_workers) {
        tracing::warn!("control may take time from the workers' cores: {error}");
    }
    let doors = runtime.block_on(service::Doors::open(&config))?;
    if runtime.block_on(signals.stop_asked()) {
        return Ok(());
    }
    let (check_path, check_lane) = checks::open(&config)?.unzip();
    let mut ethdevs = ethdevs::Ethdevs::start(&config)?;
    tracing::info!("this is sluice {VERSION} with {}", path.display());
    let twins = twins::open(&config, &ethdevs)?;
    let links = twins.links();
    let crew = workers::Crew::assemble(&config, cores, &mut ethdevs)?;
    if runtime.block_on(signals.stop_asked()) {
        return Ok(());
    }

    let mut editor = Editor::new(
        crew.count(),
        ethdevs.steering(&config),
        config.timeouts().clone(),
        ethdevs.interfaces(&config),
    );
    let [port_seed] = workers::random_words()?;
    editor.seed_ports(port_seed);
    let plane = Plane {
        mailboxes: crew.mailboxes(),
        counters: crew.counters(),
        cores: crew.cores(),
        session_capacity: u64::from(config.gateway().sessions_per_worker),
        ethdevs: Box::new(ethdevs.stats(&config)?),
        version: VERSION.to_owned(),
        // It says its own name first: `DPDK 22.11.11`.
        dpdk: dataplane::io::dpdk::version().replace("DPDK ", ""),
    };
    let first = editor.snapshot();
    let ethdev_links = ethdevs.links(&config)?;
    let gateway: Arc<Gateway> = Gateway::new(plane, editor, config);
    let twin_ports = crew.twin_ports();
    let crew = crew.start(&ethdevs, &first)?;
    let pump = twins.start(twin_ports, check_lane)?;
    gateway.set_losses(pump.losses().clone());

    let served = runtime.block_on(service::serve(
        &gateway,
        doors,
        Twins {
            links: &links,
            pump: &pump,
            checks: check_path.as_ref(),
        },
        ethdev_links,
        Orders {
            path,
            signals: &mut signals,
        },
    ));

    // The addresses are gone by now, so that no client is still told to come here.
    drop(crew);
    drop(pump);
    // Its tasks hold the gateway, which reads the ethdevs' counters.
    drop(runtime);
    drop(gateway);
    ethdevs.stop();
    served
}
