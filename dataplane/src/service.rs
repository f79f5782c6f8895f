//! Virtual services and real servers as a worker sees them.
//!
//! A [`RealServer`] and a [`Service`] are immutable versions inside a snapshot; what outlives a
//! change of configuration (session counts, traffic counters) is in [`ServerShared`].

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crate::address::{Endpoint, Protocol};
use crate::counters::PerWorker;
use crate::id::{ServerSlot, ServiceSlot, Weight};
use crate::schedule::load::{Rules, SessionCounts};
use crate::schedule::{Scheduler, Seat, Standings};
use crate::snat::LocalAddress;

/// How packets reach a real server. It belongs to the server, as in LVS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Method {
    /// Direct routing: only the destination MAC changes; the server answers the client itself.
    #[default]
    Dr,
    /// The destination becomes the server's; replies come back through the gateway.
    Nat,
    /// IP in IP (RFC 2003) to the server, which answers the client itself.
    Tun,
    /// Source and destination are rewritten; replies come back to a local address.
    Fullnat,
}

impl Method {
    /// `dr`, `nat`, `tun` or `fullnat`: the word of configuration files, metrics and the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dr => "dr",
            Self::Nat => "nat",
            Self::Tun => "tun",
            Self::Fullnat => "fullnat",
        }
    }

    /// Whether the server's replies pass the gateway and are rewritten there.
    #[inline]
    #[must_use]
    pub const fn sees_replies(self) -> bool {
        matches!(self, Self::Nat | Self::Fullnat)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What names a virtual service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceKey {
    /// A transport, a VIP and a port (0: every port).
    Address {
        /// The transport.
        protocol: Protocol,
        /// VIP and port.
        virtual_endpoint: Endpoint<IpAddr>,
    },
    /// A mark, above 0: all IPv4 packets that the mark rules give it, of any transport and to any
    /// address (`FWM` in `ipvsadm`).
    Mark(u32),
    /// The same mark of IPv6 packets, which is another service (`-f MARK -6` in `ipvsadm`). No
    /// packet gets it yet.
    Mark6(u32),
}

impl ServiceKey {
    /// The service of a transport at a VIP and port.
    #[must_use]
    pub const fn address(protocol: Protocol, virtual_endpoint: Endpoint<IpAddr>) -> Self {
        Self::Address {
            protocol,
            virtual_endpoint,
        }
    }

    /// Its transport; a mark's services have any.
    #[must_use]
    pub const fn protocol(self) -> Option<Protocol> {
        match self {
            Self::Address { protocol, .. } => Some(protocol),
            Self::Mark(_) | Self::Mark6(_) => None,
        }
    }

    /// Its VIP and port; a mark stands for any.
    #[must_use]
    pub const fn virtual_endpoint(self) -> Option<Endpoint<IpAddr>> {
        match self {
            Self::Address {
                virtual_endpoint, ..
            } => Some(virtual_endpoint),
            Self::Mark(_) | Self::Mark6(_) => None,
        }
    }

    /// Whether its packets are of IPv6.
    #[must_use]
    pub const fn is_ipv6(self) -> bool {
        match self {
            Self::Address {
                virtual_endpoint, ..
            } => virtual_endpoint.addr.is_ipv6(),
            Self::Mark(_) => false,
            Self::Mark6(_) => true,
        }
    }

    /// Its port in IPVS's sense, where a mark's services have 0: every port.
    #[inline]
    #[must_use]
    pub const fn port(self) -> u16 {
        match self {
            Self::Address {
                virtual_endpoint, ..
            } => virtual_endpoint.port,
            Self::Mark(_) | Self::Mark6(_) => 0,
        }
    }
}

#[cfg(test)]
impl ServiceKey {
    /// A service for tests that need some service.
    pub(crate) const WEB: Self = Self::address(
        Protocol::Tcp,
        Endpoint::new(IpAddr::V4(std::net::Ipv4Addr::new(10, 1, 0, 100)), 80),
    );
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address {
                protocol,
                virtual_endpoint: Endpoint { addr, port },
            } => write!(f, "{protocol} {}", std::net::SocketAddr::new(*addr, *port)),
            Self::Mark(mark) => write!(f, "mark {mark}"),
            Self::Mark6(mark) => write!(f, "mark6 {mark}"),
        }
    }
}

/// Clients of a persistent service meet the same server again: what `ipvsadm -p` and `-M` say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Persistence {
    /// For how long after a client's last new session.
    pub timeout_seconds: u32,
    /// The bits of a client's address, in host order, that tell it from others.
    pub netmask: u32,
}

impl Persistence {
    /// The netmask that tells every client from every other.
    pub const NETMASK: u32 = u32::MAX;
}

/// How long lblc and lblcr remember a VIP, by default: a day.
pub const LOCALITY_EXPIRATION_SECONDS: u32 = 86_400;

/// A scheduler's name, with its options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SchedulerKind {
    /// Round robin.
    Rr,
    /// Weighted round robin.
    Wrr,
    /// Least connection.
    Lc,
    /// Weighted least connection, the default of `ipvsadm` and keepalived.
    #[default]
    Wlc,
    /// Shortest expected delay.
    Sed,
    /// Never queue.
    Nq,
    /// Weighted failover.
    Fo,
    /// Overflow.
    Ovf,
    /// The power of two choices.
    Twos,
    /// Destination hashing: of the VIP.
    Dh,
    /// Source hashing: of the client's address.
    Sh {
        /// Look for another server when the hashed one takes no new sessions.
        fallback: bool,
        /// Hash the client's port too.
        port: bool,
    },
    /// Maglev hashing of the client's address.
    Mh {
        /// Look for another server when the hashed one takes no new sessions.
        fallback: bool,
        /// Hash the client's port too.
        port: bool,
    },
    /// Locality-based least connection: a VIP keeps its server, unless that has too much to do.
    Lblc {
        /// A VIP that nobody asks for is forgotten after so long (`lblc_expiration`).
        expiration_seconds: u32,
    },
    /// Locality-based least connection with replication: a VIP has a set of servers.
    Lblcr {
        /// A VIP that nobody asks for is forgotten after so long, and one of a set that has not
        /// changed leaves it (`lblcr_expiration`).
        expiration_seconds: u32,
    },
    /// No scheduler: every new session is refused.
    None,
}

impl SchedulerKind {
    /// The scheduler's name in IPVS.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rr => "rr",
            Self::Wrr => "wrr",
            Self::Lc => "lc",
            Self::Wlc => "wlc",
            Self::Sed => "sed",
            Self::Nq => "nq",
            Self::Fo => "fo",
            Self::Ovf => "ovf",
            Self::Twos => "twos",
            Self::Dh => "dh",
            Self::Sh { .. } => "sh",
            Self::Mh { .. } => "mh",
            Self::Lblc { .. } => "lblc",
            Self::Lblcr { .. } => "lblcr",
            Self::None => "none",
        }
    }
}

/// What becomes of packets to a VIP that no service or session serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Unserved {
    /// Linux answers, within the limit of its punt class.
    #[default]
    Linux,
    /// The sender is told: ICMP port unreachable.
    Reject,
    /// Nobody answers.
    Drop,
}

/// Whether the MSS in SYN and SYN-ACK segments is lowered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MssClamp {
    /// To what the path to a TUN server carries; other methods are left alone.
    #[default]
    Auto,
    /// To this many bytes, with every method.
    To(u16),
    /// Never.
    Off,
}

/// What a real server keeps when the configuration around it changes. On a cache line of its own:
/// sessions that begin and end do not make other workers lose it.
#[derive(Debug)]
#[repr(align(64))]
pub struct ServerShared {
    /// Templates of persistent clients bound to the server.
    templates: AtomicU32,
    /// The overload flag of the upper and lower thresholds.
    pub overloaded: AtomicBool,
    /// How it is judged.
    rules: Rules,
    /// The snapshot's purges when it was removed last.
    removed_after: AtomicU64,
    /// What the workers count about it.
    pub traffic: PerWorker,
    /// Where its sessions are counted, and its service's schedulers learn that its load changed.
    seat: Seat,
}

impl ServerShared {
    /// A server without sessions, counted by `workers` workers, of the service with these
    /// standings.
    #[must_use]
    pub fn new(workers: usize, standings: &Arc<Standings>) -> Self {
        Self {
            templates: AtomicU32::new(0),
            overloaded: AtomicBool::new(false),
            removed_after: AtomicU64::new(0),
            rules: standings.rules(),
            traffic: PerWorker::new(workers),
            seat: standings.seat(),
        }
    }

    /// Sessions bound to the server, active or not. Templates do not count.
    #[inline]
    #[must_use]
    pub fn sessions(&self) -> u32 {
        self.counts().sessions()
    }

    /// Sessions in an active state (for TCP: SYN_RECV, ESTABLISHED and alike).
    #[inline]
    #[must_use]
    pub fn active(&self) -> u32 {
        self.counts().active()
    }

    /// Templates of persistent clients that name the server (`PersistConn`). One whose time is over
    /// counts until it is found, a moment later.
    #[must_use]
    pub fn persistent(&self) -> u32 {
        self.templates.load(Ordering::Acquire)
    }

    /// A template names it from now on.
    pub(crate) fn bind_template(&self) {
        self.templates.fetch_add(1, Ordering::AcqRel);
    }

    /// A template that named it is gone.
    pub(crate) fn unbind_template(&self) {
        let before = self.templates.fetch_sub(1, Ordering::AcqRel);
        debug_assert!(before > 0, "a template ended that was not bound");
    }

    /// Notes that it is removed from its service after so many purges.
    pub(crate) fn note_removal(&self, purges: u64) {
        self.removed_after.store(purges, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn counts(&self) -> &SessionCounts {
        self.seat.counts()
    }

    #[inline]
    pub(crate) const fn rules(&self) -> Rules {
        self.rules
    }

    #[inline]
    pub(crate) const fn seat(&self) -> &Seat {
        &self.seat
    }
}

/// One version of a real server of one service.
#[derive(Clone, Debug)]
pub struct RealServer {
    /// Where it stands in the snapshot.
    pub slot: ServerSlot,
    /// The service it belongs to.
    pub service: ServiceKey,
    /// RIP and port. For DR and TUN the port is the service's; 0 keeps the packet's.
    pub endpoint: Endpoint<IpAddr>,
    /// Its weight now.
    pub weight: Weight,
    /// Its weight at the beginning, and then the last one given that was not 0 (only mh asks).
    pub last_weight: Weight,
    /// How packets reach it.
    pub method: Method,
    /// Sessions at which it is overloaded; 0 is never.
    pub upper_threshold: u32,
    /// Sessions below which it no longer is; 0 is three quarters of the upper threshold.
    pub lower_threshold: u32,
    /// False once it was removed from its service while sessions refer to it.
    pub available: bool,
    /// What outlives this version.
    pub shared: Arc<ServerShared>,
}

impl RealServer {
    /// Whether it may take a new session (IPVS: not overloaded and weight above 0).
    #[inline]
    #[must_use]
    pub fn is_eligible(&self) -> bool {
        self.weight.0 > 0 && !self.is_overloaded()
    }

    /// Whether it was removed, and sessions of removed servers were to end then or later; `purges`
    /// are the snapshot's.
    pub(crate) fn is_purged(&self, purges: u64) -> bool {
        !self.available && self.shared.removed_after.load(Ordering::Relaxed) < purges
    }

    /// Whether its upper threshold was reached and its lower one not yet left.
    #[inline]
    #[must_use]
    pub fn is_overloaded(&self) -> bool {
        self.shared.overloaded.load(Ordering::SeqCst)
    }
}

/// One version of a virtual service.
#[derive(Debug)]
pub struct Service {
    /// Where it stands in the snapshot.
    pub slot: ServiceSlot,
    /// What it is for.
    pub key: ServiceKey,
    /// The scheduler's name.
    pub kind: SchedulerKind,
    /// Its servers, the one added last first: the order in which IPVS's schedulers look at them.
    pub servers: Vec<Arc<RealServer>>,
    /// Chooses among `servers`.
    pub scheduler: Scheduler,
    /// Where FULLNAT sessions get their local addresses and ports.
    pub local_addresses: Vec<Arc<LocalAddress>>,
    /// Whether SYNs get a lower MSS.
    pub mss_clamp: MssClamp,
    /// Whether its clients meet their servers again, and for how long.
    pub persistence: Option<Persistence>,
    /// Whether each of its datagrams is scheduled for itself (UDP only).
    pub one_packet: bool,
}
