//! What Prometheus scrapes.
//!
//! Nothing is counted for Prometheus: `GET /metrics` reads the counters that workers, ethdevs and
//! twins keep anyway, at the moment of the scrape. `GET /healthz` answers 200 while every worker
//! runs and follows the configuration, else 503 and why; `GET /readyz` answers 200 while traffic
//! should be sent here, else 503 and why not.
//!
//! Names are `sluice_<noun>_<unit>_total` for what only grows and `sluice_<noun>` for what goes
//! up and down. Labels come from closed sets: workers, drop reasons and punt classes are fixed;
//! services (`tcp 10.1.0.100:80`), servers, ethdevs, twins and local addresses are those of the
//! configuration. No label holds anything a client sends.

/// A metric with its help and samples.
mod family;

/// The gateway as a whole, its local addresses and its persistence templates.
mod overview;

/// The configuration, and whether the gateway is ready.
mod configuration;

/// Each worker.
mod workers;

/// Each service and each of its servers.
mod services;

/// What is known of the servers that are watched.
mod health;

/// Services and servers by the names that node_exporter has for the kernel's IPVS.
mod node_ipvs;

/// Each ethdev.
mod ethdevs;

/// Each twin, and the mirror of Linux's tables.
mod linux;

/// The way of checks to VIPs.
mod checks;

/// What the gateway answered.
pub(crate) mod answers;

/// One scrape at a time.
mod scrapes;

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::api::server;
use crate::gateway::Gateway;
use crate::health::check_path::CheckPath;
use crate::linux::mirror::MirrorCounters;
use crate::linux::pump::TwinCounters;
use crate::linux::twin::TwinLink;

pub use answers::Answers;
use family::Page;
use scrapes::Scrapes;

/// Where the numbers come from.
#[derive(Clone)]
pub struct Sources {
    /// The gateway.
    pub gateway: Arc<Gateway>,
    /// The twins, as [`Pump::counters`](crate::linux::pump::Pump::counters) gives them.
    pub twins: Vec<(TwinLink, Arc<TwinCounters>)>,
    /// The mirror's, as [`Mirror::counters`](crate::linux::mirror::Mirror::counters) gives them.
    pub mirror: Option<Arc<MirrorCounters>>,
    /// The way of checks to VIPs, if there is one.
    pub checks: Option<CheckPath>,
}

/// Answers scrapes until `shutdown` completes.
///
/// # Errors
///
/// None that is known of: a connection that fails ends alone.
pub async fn serve(
    listener: TcpListener,
    sources: Sources,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let service = router(sources);
    let serve = |told| {
        let serving = axum::serve(listener, service).with_graceful_shutdown(told);
        serving.into_future()
    };
    server::run(serve, shutdown).await
}

/// The paths of the metrics' listener.
pub fn router(sources: Sources) -> Router {
    let scrapes = Scrapes::new(sources.clone(), scrapes::PATIENCE);
    Router::new()
        .route("/metrics", get(scrapes::scrape).with_state(scrapes))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(sources)
}

/// All metrics that have a sample in Prometheus's text format, in the order of the modules above.
#[must_use]
pub fn text(sources: &Sources) -> String {
    let gateway = &sources.gateway;
    let mut page = Page::default();
    page.extend(overview::gather(&gateway.status()));
    page.extend(configuration::gather(gateway));
    page.extend(overview::announcements(&gateway.maintenance()));
    page.extend(workers::gather(gateway.plane()));
    let services = gateway.counted_services();
    services::write(&mut page, &services);
    health::write(&mut page, gateway.board());
    if gateway.config().gateway().node_ipvs_metrics {
        node_ipvs::write(&mut page, &services, gateway.total_traffic());
    }
    let source = &gateway.plane().ethdevs;
    page.extend(ethdevs::gather(&source.stats(), &source.mempools()));
    page.extend(linux::gather(&sources.twins, sources.mirror.as_deref()));
    page.extend(checks::gather(sources.checks.as_ref()));
    page.extend(answers::gather(gateway.answers()));
    page.text()
}

async fn healthz(State(sources): State<Sources>) -> (StatusCode, String) {
    verdict(&sources.gateway.health().problems)
}

async fn readyz(State(sources): State<Sources>) -> (StatusCode, String) {
    verdict(&sources.gateway.readiness().reasons)
}

/// Yes if there is nothing against it.
fn verdict(against: &[String]) -> (StatusCode, String) {
    if against.is_empty() {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, against.join("\n") + "\n")
    }
}
