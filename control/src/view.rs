//! What the API shows, as types both ends share: the daemon writes them, `sluicectl` reads them.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// The gateway as a whole (`GET /v1/status`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LocalAddressView {
    /// The address.
    pub address: IpAddr,
    /// Sessions that have one of its ports.
    pub in_use: u64,
    /// Sessions that can have one.
    pub capacity: u64,
}

/// The table of persistence templates, which all workers share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplatesView {
    /// Templates in it, with those that have ended and were not swept away yet.
    pub held: u64,
    /// Templates that it has room for; 0 until there is a persistent service.
    pub capacity: u64,
    /// How often somebody found a part of it taken by somebody else, and waited.
    pub lock_waits: u64,
}

/// Packets dropped for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropView {
    /// The reason's name.
    pub reason: String,
    /// The reason in a sentence.
    pub meaning: String,
    /// How many.
    pub packets: u64,
}

/// Packets and bytes, with sessions made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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

/// A virtual service (`GET /v1/services`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceView {
    /// The operator's name for it.
    pub name: Option<String>,
    /// `tcp`, `udp` or `sctp`; none for the service of a mark.
    pub protocol: Option<String>,
    /// VIP and port; none for the service of a mark.
    pub vip: Option<SocketAddr>,
    /// The mark of its packets, if they are not told by their destination.
    pub mark: Option<u32>,
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
    /// What names it: `tcp 10.1.0.100:80`, or `mark 3`.
    #[must_use]
    pub fn key(&self) -> String {
        let first = self.protocol.as_deref().unwrap_or("mark");
        match (self.vip, self.mark) {
            (Some(vip), _) => format!("{first} {vip}"),
            (None, mark) => format!("{first} {}", mark.unwrap_or_default()),
        }
    }
}

/// A real server of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerView {
    /// RIP and port.
    pub address: SocketAddr,
    /// How packets reach it.
    pub method: String,
    /// Its weight.
    pub weight: u32,
    /// Sessions in an active state.
    pub active: u32,
    /// Other sessions.
    pub inactive: u32,
    /// Clients that meet it again, or networks of them.
    pub persistent: u32,
    /// Whether its upper threshold was reached.
    pub overloaded: bool,
    /// False when it was removed and its last sessions have not ended yet.
    pub available: bool,
    /// Its traffic.
    pub traffic: TrafficView,
}

/// Which sessions are wanted (`GET /v1/sessions?…`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionsQuery {
    /// Only this client address.
    pub client: Option<IpAddr>,
    /// Only this VIP.
    pub vip: Option<IpAddr>,
    /// Only this real server address.
    pub server: Option<IpAddr>,
    /// Only this transport.
    pub protocol: Option<String>,
    /// At most this many; 100 when not said, 10,000 at most.
    pub limit: Option<usize>,
    /// Where the last page ended.
    pub cursor: Option<String>,
}

/// A page of sessions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionsView {
    /// The sessions; their order means nothing.
    pub sessions: Vec<SessionView>,
    /// Where the next page begins; none at the end.
    pub next_cursor: Option<String>,
}

/// One session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionView {
    /// The worker that owns it.
    pub worker: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// Its state, as `ipvsadm -Lnc` names it.
    pub state: String,
    /// The client.
    pub client: SocketAddr,
    /// The VIP.
    pub vip: SocketAddr,
    /// The local address and port, with FULLNAT.
    pub local: Option<SocketAddr>,
    /// The real server.
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SysctlView {
    /// Its name below `net.ipv4.vs`.
    pub name: String,
    /// What it is now: a number.
    pub value: String,
    /// What the configuration that runs says, and will say again when it is applied.
    pub configured: String,
}

/// What became of sessions brought in (`POST /v1/sessions/import`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedView {
    /// The snapshot that carries it.
    pub generation: u64,
    /// Virtual services now.
    pub services: usize,
    /// Real servers now.
    pub servers: usize,
    /// What is allowed but worth knowing.
    pub warnings: Vec<String>,
}

/// What is to be said of a configuration that is right (`POST /v1/config/check`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckedView {
    /// Virtual services.
    pub services: usize,
    /// Real servers.
    pub servers: usize,
    /// What is allowed but worth knowing.
    pub warnings: Vec<String>,
}

/// What runs (`GET /v1/version`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionView {
    /// Version and commit.
    pub version: String,
    /// DPDK's version, or `none`.
    pub dpdk: String,
}

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorView {
    /// Sentences for an operator, one per problem.
    pub errors: Vec<String>,
}

/// Whether the gateway works (`GET /v1/health`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthView {
    /// Whether every worker runs and has the newest configuration.
    pub healthy: bool,
    /// What is wrong.
    pub problems: Vec<String>,
    /// Version and commit.
    pub version: String,
}
