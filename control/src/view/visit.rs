//! What was seen of real servers from the gateway's side, as the API says it.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which servers are to be looked at (`POST /v1/realserver-check`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VisitQuery {
    /// `10.2.0.11:80`, or `10.2.0.11` for every port of it; all when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Only of this service: its name, or `tcp 10.1.0.100:80`, `tcp-10.1.0.100-80`,
    /// `10.1.0.100:80` or `mark 3`; of all services when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
}

/// A real server that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VisitedView {
    /// Its service: `tcp 10.1.0.100:80`, or `mark 3`.
    pub service: String,
    /// RIP and port.
    #[schema(value_type = String)]
    pub server: SocketAddr,
    /// `nat`, `dr`, `tun` or `fullnat`.
    pub method: String,
    /// What was looked at.
    pub looks: Vec<LookView>,
}

/// One thing that was looked at, or could not be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LookView {
    /// `address` (its own), `arp`, `vip`, `udp_source`, `path_mtu` or `way_back`.
    pub about: String,
    /// `well`, `wrong` or `not_looked_at`.
    pub outcome: String,
    /// What was seen, or why nothing could be.
    pub says: String,
    /// What mends it.
    pub mend: Option<String>,
}
