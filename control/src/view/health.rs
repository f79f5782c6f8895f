//! What is known of the servers that are watched, as the API says it.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A service that is watched (`GET /v1/health/services`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ServiceHealthView {
    /// `tcp 10.1.0.100:80`, or `mark 3`.
    pub service: String,
    /// The operator's name for it.
    pub name: Option<String>,
    /// Whether the servers that are up are enough.
    pub quorum: bool,
    /// What of the servers that are up counts for the quorum: their weights, before slow start and
    /// load.
    pub weight: u64,
    /// The sum that it takes to keep the quorum, or to gain it again.
    pub needed: u64,
    /// The server that serves instead of all others when there is no quorum.
    #[schema(value_type = Option<String>)]
    pub sorry_server: Option<SocketAddr>,
    /// Its servers, in the order of the configuration.
    pub servers: Vec<ServerHealthView>,
}

/// A server that is watched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ServerHealthView {
    /// RIP and port.
    #[schema(value_type = String)]
    pub address: SocketAddr,
    /// `up`, `down`, `draining`, `disabled` or `unknown`.
    pub state: String,
    /// For how many seconds it has been so.
    pub state_seconds: f64,
    /// The configured weight.
    pub weight: u32,
    /// The weight that it has now; none when it is not in the packet path.
    pub effective_weight: Option<u32>,
    /// Why it is in its state, or has another weight: `connection refused`, `slow start 40 %`,
    /// `agent 75 %`, `damped for 12 s`.
    pub reasons: Vec<String>,
    /// How often it has gone down, of which half is forgotten in each half-life of damping.
    pub penalty: f64,
    /// For how many seconds it is kept out, because it came and went too often.
    pub damped_seconds: Option<f64>,
    /// Its checks.
    pub checks: Vec<CheckView>,
    /// Where it is asked for its load.
    pub agent: Option<AgentView>,
}

/// A check of a server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CheckView {
    /// `tcp`, `http`, `https`, `udp`, `dns`, `smtp`, `grpc`, `script` or `icmp`.
    pub kind: String,
    /// `good`, `bad` or `unknown`.
    pub verdict: String,
    /// Its runs.
    #[serde(flatten)]
    pub runs: RunsView,
}

/// Where a server is asked for its load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AgentView {
    /// The agent's port.
    pub port: u16,
    /// How often it was asked.
    #[serde(flatten)]
    pub runs: RunsView,
}

/// What was asked again and again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunsView {
    /// Runs that ended well.
    pub good: u64,
    /// Runs that did not.
    pub bad: u64,
    /// Runs that could not be made: the gateway lacked something.
    pub unasked: u64,
    /// Why the last one did not end well, or was not made.
    pub failure: Option<String>,
    /// How many seconds ago the last one ended.
    pub last_seconds_ago: Option<f64>,
    /// How many seconds it took, with all attempts.
    pub took_seconds: Option<f64>,
    /// In how many seconds the next one begins; none before the first.
    pub next_in_seconds: Option<f64>,
}
