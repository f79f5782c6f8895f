//! What would become of a packet, as the API says it.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::SessionView;

/// A packet that nobody sends (`GET /v1/explain?…`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExplainQuery {
    /// Who sends it.
    #[param(value_type = String)]
    pub source: SocketAddr,
    /// To whom.
    #[param(value_type = String)]
    pub destination: SocketAddr,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// What it says about its connection: control bits of TCP (`syn,ack`; `syn` when not said), or
    /// a chunk of SCTP (`data`, `init` when not said).
    pub flags: Option<String>,
    /// The port or VLAN on which it arrives; the one that leads to its sender when not said.
    pub port: Option<String>,
}

/// What would become of a packet, and why (`GET /v1/explain`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExplainView {
    /// `sent`, `waits` (for its next hop's MAC), `delivered` (to the gateway itself, as a server),
    /// `punted` (to Linux) or `dropped`.
    pub outcome: String,
    /// Why it would be dropped: the name that metrics have.
    pub drop_reason: Option<String>,
    /// The class in which Linux would get it.
    pub punt_class: Option<String>,
    /// Where it arrives.
    pub port: String,
    /// The worker that decides.
    pub worker: u16,
    /// Its mark; 0 is none.
    pub mark: u32,
    /// The service it is for, if no session has it: `tcp 10.1.0.100:80`, or `mark 3`.
    pub service: Option<String>,
    /// The session that it meets.
    pub session: Option<SessionView>,
    /// Whether it would begin a session.
    pub begins_session: bool,
    /// The real server it would go to.
    #[schema(value_type = Option<String>)]
    pub server: Option<SocketAddr>,
    /// How.
    pub method: Option<String>,
    /// From where the server would see it, with FULLNAT.
    #[schema(value_type = Option<String>)]
    pub local: Option<SocketAddr>,
    /// The next hop it would go to.
    pub next_hop: Option<HopView>,
    /// All of it in sentences, in the order in which it is decided.
    pub steps: Vec<StepView>,
}

/// A next hop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HopView {
    /// The port or VLAN it is at.
    pub port: String,
    /// Its address.
    #[schema(value_type = String)]
    pub address: IpAddr,
    /// Its MAC, once Linux knows it.
    pub mac: Option<String>,
    /// The largest IP packet that may go there, in bytes.
    pub mtu: u16,
}

/// One thing that decides what becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StepView {
    /// What it is about, in a word.
    pub about: String,
    /// A sentence.
    pub text: String,
}
