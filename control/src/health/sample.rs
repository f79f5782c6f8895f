//! What is known of the servers, for metrics: copied in one go and made into text by whoever asked,
//! so that a scrape of thousands of servers holds up nobody who checks them.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use dataplane::address::Endpoint;
use dataplane::service::ServiceKey;

use super::asked::Counted;
use super::lateness::Lateness;
use super::server::{ServerState, WatchedServer};
use super::service::WatchedService;
use super::watched::Watched;

/// All services that are watched, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Each service.
    pub services: Vec<ServiceSample>,
    /// Checks and agents that are asked again and again.
    pub runs: usize,
    /// How often a server came into each state, in the order of [`ServerState::ALL`].
    pub state_changes: [u64; ServerState::ALL.len()],
    /// How late runs began.
    pub lateness: Lateness,
    /// Runs that left a turn out because they took too long.
    pub overruns: u64,
}

/// A service that is watched.
#[derive(Clone, Debug)]
pub struct ServiceSample {
    /// Its key.
    pub key: ServiceKey,
    /// Whether the servers that are up are enough.
    pub quorum: bool,
    /// Its servers, in the order of the configuration.
    pub servers: Vec<ServerSample>,
}

/// A server that is watched.
#[derive(Clone, Copy, Debug)]
pub struct ServerSample {
    /// RIP and port.
    pub address: SocketAddr,
    /// How it is.
    pub state: ServerState,
    /// The weight that it has now; 0 too when it is not in the packet path.
    pub effective_weight: u32,
    /// The runs of all its checks, those it has no longer included.
    pub counted: Counted,
    /// How long the last run took, of several checks the longest.
    pub took: Option<Duration>,
}

impl Watched {
    /// Copies what metrics tell of all that is watched.
    #[must_use]
    pub fn sample(&self) -> Sample {
        Sample {
            services: self.services.values().map(service).collect(),
            runs: self.runs.len(),
            state_changes: self.state_changes,
            lateness: self.lateness,
            overruns: self.overruns,
        }
    }
}

fn service(service: &WatchedService) -> ServiceSample {
    let standing = service.standing.as_ref();
    let weight = |end: &Endpoint<IpAddr>| {
        let stand = standing.and_then(|it| it.servers.get(end));
        stand.and_then(|it| it.weight).map_or(0, |it| it.0)
    };
    let servers = service.servers.iter();
    ServiceSample {
        key: service.key(),
        quorum: standing.is_none_or(|it| it.quorum),
        servers: servers
            .map(|(end, it)| server(*end, it, weight(end)))
            .collect(),
    }
}

fn server(end: Endpoint<IpAddr>, server: &WatchedServer, effective_weight: u32) -> ServerSample {
    let took = (server.checks.iter()).filter_map(|it| Some(it.runs.last?.1));
    ServerSample {
        address: SocketAddr::new(end.addr, end.port),
        state: server.state,
        effective_weight,
        counted: server.counted,
        took: took.max(),
    }
}
