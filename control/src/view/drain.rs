//! Servers on their way out, as the API says it.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Which servers are meant (`POST /v1/drain`, `POST /v1/undrain`, `GET /v1/drain?…`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DrainQuery {
    /// `10.2.0.11:80`, or `10.2.0.11` for every port of it.
    pub server: String,
    /// Only of this service: its name, or `tcp 10.1.0.100:80`, `tcp-10.1.0.100-80`,
    /// `10.1.0.100:80` or `mark 3`; of all services when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
}

/// The servers that were meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DrainView {
    /// Each of them, in the order of the configuration.
    pub servers: Vec<DrainedView>,
    /// Their sessions.
    pub sessions: u64,
}

/// A server, perhaps on its way out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DrainedView {
    /// Its service: `tcp 10.1.0.100:80`, or `mark 3`.
    pub service: String,
    /// RIP and port.
    #[schema(value_type = String)]
    pub server: SocketAddr,
    /// Its weight now.
    pub weight: u32,
    /// Its weight before it was drained, which undoing it brings back.
    pub weight_before: Option<u32>,
    /// Whether the operator has taken it out.
    #[serde(default)]
    pub disabled: bool,
    /// Sessions in an active state.
    pub active: u32,
    /// Other sessions.
    pub inactive: u32,
}
