//! What the API shows, as types both ends share: the daemon writes them, `sluicectl` reads them.
//! The API's document is made of them: their comments are its descriptions.

mod checks;
mod written;

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

pub use checks::{
    AgentWritten, CheckWritten, DampingTold, DampingWritten, SorryServerWritten, StatusRunWritten,
    StatusWritten,
};
pub use written::{
    ConfigWritten, DurationWritten, LocalPoolWritten, MarkWritten, MssClampWritten, NetmaskWritten,
    PortsWritten, ServerWritten, ServiceWritten, VipWritten,
};

mod drain;
mod explain;
mod health;
mod maintenance;
mod readiness;
mod visit;

pub use drain::{DrainQuery, DrainView, DrainedView};
pub use explain::{ExplainQuery, ExplainView, HopView, StepView};
pub use health::{AgentView, CheckView, RunsView, ServerHealthView, ServiceHealthView};
pub use maintenance::{AnnouncedView, MaintenanceView, MaintenanceWish};
pub use readiness::ReadinessView;
pub use visit::{LookView, VisitQuery, VisitedView};

/// The gateway as a whole (`GET /v1/status`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StatusView {
    /// Version and commit.
    pub version: String,
    /// DPDK's version, or `none`.
    pub dpdk: String,
    /// Seconds since the start.
    pub uptime_seconds: u64,
    /// The snapshot control has published last.
    pub generation: u64,
    /// Virtual services.
    pub services: usize,
    /// Real servers of all services.
    pub servers: usize,
    /// Sessions of all workers.
    pub sessions: u64,
    /// Each worker.
    pub workers: Vec<WorkerView>,
    /// Each port and VLAN.
    pub interfaces: Vec<InterfaceView>,
    /// Each FULLNAT local address.
    pub local_addresses: Vec<LocalAddressView>,
    /// The table of persistence templates.
    pub templates: TemplatesView,
    /// Dropped packets by reason, all workers together; reasons that never happened are left out.
    pub drops: Vec<DropView>,
    /// What an operator should mend, each with the command that mends it.
    pub warnings: Vec<String>,
}

/// One worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WorkerView {
    /// Its number.
    pub id: u16,
    /// Its core, when it is pinned to one.
    pub core: Option<u16>,
    /// The snapshot it works with.
    pub generation: u64,
    /// Sessions in its table.
    pub sessions: u64,
    /// Places in its table.
    pub session_capacity: u64,
    /// Packets received.
    pub received_packets: u64,
    /// Packets sent.
    pub transmitted_packets: u64,
    /// Packets that met a session.
    pub session_hits: u64,
    /// Sessions made.
    pub sessions_created: u64,
    /// Packets handed to the worker that owns their session.
    pub arrived_at_wrong_worker: u64,
    /// Packets given to Linux.
    pub punted_packets: u64,
    /// Packets dropped.
    pub dropped_packets: u64,
}

/// A port, or a VLAN of one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct InterfaceView {
    /// Its name in the configuration.
    pub name: String,
    /// The DPDK device.
    pub device: String,
    /// Its 802.1Q tag.
    pub vlan: Option<u16>,
    /// Its Linux interface.
    pub twin: String,
    /// Its MAC.
    pub mac: String,
    /// The largest IP packet it carries, in bytes.
    pub mtu: u16,
    /// Linux's addresses on the twin.
    pub addresses: Vec<String>,
}

/// A FULLNAT local address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LocalAddressView {
    /// The address.
    #[schema(value_type = String)]
    pub address: IpAddr,
    /// The local pools that have it, with commas between them.
    pub pool: String,
    /// Sessions that have one of its ports.
    pub in_use: u64,
    /// Sessions towards the servers that are available now that can have one.
    pub capacity: u64,
}

/// The local addresses of a service (`GET /v1/services/{service}/local-addresses`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LocalAddressesView {
    /// The local pool that has them; none when the service names no pool.
    pub pool: Option<String>,
    /// Each address.
    pub addresses: Vec<LocalAddressView>,
}

/// A port of the gateway (`GET /v1/ports`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PortView {
    /// Its name in the configuration.
    pub name: String,
    /// The DPDK device.
    pub device: String,
    /// Its untagged traffic's interface, then each VLAN's.
    pub interfaces: Vec<InterfaceView>,
    /// Packets received.
    pub received_packets: u64,
    /// Bytes received.
    pub received_bytes: u64,
    /// Packets sent.
    pub transmitted_packets: u64,
    /// Bytes sent.
    pub transmitted_bytes: u64,
    /// Packets for which the device had no descriptor.
    pub missed_packets: u64,
    /// Packets received with errors.
    pub receive_errors: u64,
    /// Packets that could not be sent.
    pub transmit_errors: u64,
    /// Packets for which no buffer was free.
    pub no_buffer: u64,
}

/// A neighbour (`GET /v1/neighbours`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct NeighbourView {
    /// The port or VLAN behind which it is.
    pub interface: String,
    /// Its address.
    #[schema(value_type = String)]
    pub address: IpAddr,
    /// Its MAC; none while Linux looks for it.
    pub mac: Option<String>,
    /// Whether it is a real server, or a router towards one or another.
    pub wanted: bool,
}

/// The table of persistence templates, which all workers share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TemplatesView {
    /// Templates in it, with those that have ended and were not swept away yet.
    pub held: u64,
    /// Templates that it has room for; 0 until there is a persistent service.
    pub capacity: u64,
    /// How often somebody found a part of it taken by somebody else, and waited.
    pub lock_waits: u64,
}

/// Packets dropped for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DropView {
    /// The reason's name.
    pub reason: String,
    /// The reason in a sentence.
    pub meaning: String,
    /// How many.
    pub packets: u64,
}

/// Packets and bytes, with sessions made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TrafficView {
    /// Sessions made.
    pub sessions: u64,
    /// Packets from clients.
    pub in_packets: u64,
    /// Bytes from clients.
    pub in_bytes: u64,
    /// Packets from servers.
    pub out_packets: u64,
    /// Bytes from servers.
    pub out_bytes: u64,
}

/// A virtual service at work (`GET /v1/status/services`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ServiceView {
    /// The operator's name for it.
    pub name: Option<String>,
    /// `tcp`, `udp` or `sctp`; none for the service of a mark.
    pub protocol: Option<String>,
    /// VIP and port; none for the service of a mark.
    #[schema(value_type = Option<String>)]
    pub vip: Option<SocketAddr>,
    /// The mark of its packets, if they are not told by their destination.
    pub mark: Option<u32>,
    /// `ipv6` when these are packets of IPv6; none for those of IPv4, and without a mark.
    pub family: Option<String>,
    /// Its scheduler.
    pub scheduler: String,
    /// How often a worker found this scheduler taken by another one, and waited.
    pub scheduler_lock_waits: u64,
    /// For how many seconds after their last new session its clients meet their servers again.
    pub persistent_seconds: Option<u32>,
    /// Whether every datagram is scheduled for itself.
    pub one_packet: bool,
    /// Whether its packets are forwarded; IPv6 services are Linux's in this version.
    pub forwarded: bool,
    /// All its servers' traffic, with that of servers it no longer has.
    pub traffic: TrafficView,
    /// Its servers, in the order in which they were added.
    pub servers: Vec<ServerView>,
}

impl ServiceView {
    /// What names it: `tcp 10.1.0.100:80`, `mark 3`, or `mark6 3` for packets of IPv6.
    #[must_use]
    pub fn key(&self) -> String {
        let marked = self.family.as_ref().map_or("mark", |_| "mark6");
        let first = self.protocol.as_deref().unwrap_or(marked);
        match (self.vip, self.mark) {
            (Some(vip), _) => format!("{first} {vip}"),
            (None, mark) => format!("{first} {}", mark.unwrap_or_default()),
        }
    }
}

/// A real server of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ServerView {
    /// RIP and port.
    #[schema(value_type = String)]
    pub address: SocketAddr,
    /// How packets reach it.
    pub method: String,
    /// Its weight: what is left of the configured one, if the service is watched.
    pub weight: u32,
    /// The configured weight.
    pub configured_weight: u32,
    /// `up`, `down`, `draining`, `disabled` or `unknown`; none when nobody watches it.
    pub state: Option<String>,
    /// Why it is in its state, or has another weight than is configured.
    #[serde(default)]
    pub reasons: Vec<String>,
    /// Sessions in an active state.
    pub active: u32,
    /// Other sessions.
    pub inactive: u32,
    /// Clients that meet it again, or networks of them.
    pub persistent: u32,
    /// Whether its upper threshold was reached.
    pub overloaded: bool,
    /// False when it is not in the packet path: it was removed and its last sessions have not
    /// ended yet, or it is down.
    pub available: bool,
    /// Its traffic.
    pub traffic: TrafficView,
}

/// Which sessions are wanted (`GET /v1/sessions?…`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SessionsQuery {
    /// Only this client address.
    #[param(value_type = Option<String>)]
    pub client: Option<IpAddr>,
    /// Only this VIP.
    #[param(value_type = Option<String>)]
    pub vip: Option<IpAddr>,
    /// Only this real server address.
    #[param(value_type = Option<String>)]
    pub server: Option<IpAddr>,
    /// Only this transport.
    pub protocol: Option<String>,
    /// At most this many; 100 when not said, 10,000 at most.
    pub limit: Option<usize>,
    /// Where the last page ended.
    pub cursor: Option<String>,
}

/// A page of sessions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SessionsView {
    /// The sessions; their order means nothing.
    pub sessions: Vec<SessionView>,
    /// Where the next page begins; none at the end.
    pub next_cursor: Option<String>,
}

/// One session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SessionView {
    /// The worker that owns it.
    pub worker: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// Its state, as `ipvsadm -Lnc` names it.
    pub state: String,
    /// The client.
    #[schema(value_type = String)]
    pub client: SocketAddr,
    /// The VIP.
    #[schema(value_type = String)]
    pub vip: SocketAddr,
    /// The local address and port, with FULLNAT.
    #[schema(value_type = Option<String>)]
    pub local: Option<SocketAddr>,
    /// The real server.
    #[schema(value_type = String)]
    pub server: SocketAddr,
    /// How packets reach the server.
    pub method: String,
    /// Seconds until it ends without packets.
    pub expires_seconds: f64,
    /// Seconds since it was made.
    pub age_seconds: f64,
    /// Whether its state follows from the client's packets alone, as no other was seen.
    pub one_sided: bool,
    /// Whether its local port is no longer its own, because its server has ended it.
    pub port_returned: bool,
    /// What is added to the client's sequence numbers, if anything is.
    pub seq_delta: Option<u32>,
    /// The sequence number, as the server counts, after the last byte that the client sent.
    pub last_client_end: u32,
    /// The largest segment size that SYN and SYN-ACK may announce; 0 is any.
    pub mss_clamp: u16,
    /// Packets and bytes; `sessions` is 1.
    pub traffic: TrafficView,
}

/// A variable of IPVS (`GET /v1/sysctl`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SysctlView {
    /// Its name below `net.ipv4.vs`.
    pub name: String,
    /// What it is now: a number.
    pub value: String,
    /// What the configuration that runs says, and will say again when it is applied.
    pub configured: String,
}

/// What became of sessions brought in (`POST /v1/sessions/import`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImportView {
    /// They are in the tables.
    pub imported: u64,
    /// There was one between this client and VIP already, or by NAT a younger one that its server
    /// could not tell from it. That stays.
    pub already_there: u64,
    /// No service has their protocol, VIP and port.
    pub no_such_service: u64,
    /// Their service has no such real server, or reaches it by another method.
    pub no_such_server: u64,
    /// Their local port is another session's, or none that their worker lends for the service.
    pub local_port_not_free: u64,
    /// The table of their worker has no place left.
    pub table_full: u64,
    /// Lines that are no session.
    pub not_understood: u64,
    /// Why, for the first ten of those lines, with their numbers.
    pub mistakes: Vec<String>,
}

/// What applying a configuration did (`PUT /v1/config`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AppliedView {
    /// The snapshot that carries it.
    pub generation: u64,
    /// Which change of the configuration this is, counted from the start.
    #[serde(default)]
    pub revision: u64,
    /// Virtual services now.
    pub services: usize,
    /// Real servers now.
    pub servers: usize,
    /// What is allowed but worth knowing.
    pub warnings: Vec<String>,
}

/// What is to be said of a configuration that is right (`POST /v1/config/check`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CheckedView {
    /// Virtual services.
    pub services: usize,
    /// Real servers.
    pub servers: usize,
    /// What is allowed but worth knowing.
    pub warnings: Vec<String>,
}

/// What runs (`GET /v1/version`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VersionView {
    /// Version and commit.
    pub version: String,
    /// DPDK's version, or `none`.
    pub dpdk: String,
}

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorView {
    /// Sentences for an operator, one per problem.
    pub errors: Vec<String>,
}

/// Something that happened (`GET /v1/watch`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventView {
    /// What: `configuration-applied`, `configuration-changed`, `service-added`, `service-changed`,
    /// `service-removed`, `server-added`, `server-changed`, `server-removed`, `server-overloaded`,
    /// `server-available`, `server-up`, `server-down`, `server-draining`, `server-disabled`,
    /// `service-quorum-gained`, `service-quorum-lost`, `maintenance-changed`, `vip-announced`,
    /// `vip-withdrawn` or `warning`.
    pub kind: String,
    /// How often the configuration had been changed, with this.
    pub revision: u64,
    /// When, in seconds since 1970.
    pub at: f64,
    /// The service, as paths name it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The server, as paths name it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// What else there is to say: what was changed, why a server is down, or the warning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub what: Option<String>,
}

/// Whether the gateway works (`GET /v1/health`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HealthView {
    /// Whether every worker runs and has the newest configuration, and no interface was removed.
    pub healthy: bool,
    /// What is wrong.
    pub problems: Vec<String>,
    /// Version and commit.
    pub version: String,
}
