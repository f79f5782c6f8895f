//! What a line of `ipvsadm` asks for, once it has been understood.
//!
//! These types say what was written, not what IPVS thinks of it: that a service exists or a
//! scheduler is known is for the [`Table`](super::Table) to say.

use std::net::IpAddr;

use dataplane::address::{Endpoint, Protocol};
use dataplane::service::Method;

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    #[must_use]
    pub const fn of(addr: IpAddr) -> Self {
        match addr {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

/// What names a virtual service: `-t`, `-u`, `--sctp-service`, or `-f`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServiceName {
    /// Transport, VIP and port (0: every port).
    Address {
        /// The transport.
        protocol: Protocol,
        /// VIP and port.
        endpoint: Endpoint<IpAddr>,
    },
    /// A firewall mark, never 0.
    Mark {
        /// The mark.
        mark: u32,
        /// Of which packets; IPv6 with `-6`.
        family: Family,
    },
}

impl ServiceName {
    /// The family of its packets.
    #[must_use]
    pub const fn family(&self) -> Family {
        match self {
            Self::Address { endpoint, .. } => Family::of(endpoint.addr),
            Self::Mark { family, .. } => *family,
        }
    }

    /// Its transport; a mark has none.
    #[must_use]
    pub const fn protocol(&self) -> Option<Protocol> {
        match self {
            Self::Address { protocol, .. } => Some(*protocol),
            Self::Mark { .. } => None,
        }
    }

    /// Its port; 0 for a mark.
    #[must_use]
    pub const fn port(&self) -> u16 {
        match self {
            Self::Address { endpoint, .. } => endpoint.port,
            Self::Mark { .. } => 0,
        }
    }
}

/// A service as `-A` and `-E` describe it. `-E` means all of it: what is not said is reset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceLine {
    /// Which service.
    pub name: ServiceName,
    /// The scheduler's name, known or not; `wlc` when it was not said.
    pub scheduler: String,
    /// `-b`.
    pub flags: SchedulerFlags,
    /// `-p`.
    pub persistence: Option<Persistent>,
    /// `--pe`: a persistence engine.
    pub engine: Option<String>,
    /// `-o`.
    pub one_packet: bool,
}

/// `-p`, with what only means something beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Persistent {
    /// How long a template lives.
    pub timeout_seconds: u32,
    /// `-M`: which clients are one. IPv4: the mask in host order; IPv6: the prefix's length.
    pub netmask: u32,
}

/// The flags of a scheduler, by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SchedulerFlags(u8);

impl SchedulerFlags {
    /// None of them.
    pub const NONE: Self = Self(0);
    /// `flag-1`; of sh and mh: look for another server when the hashed one takes no sessions.
    pub const FIRST: Self = Self(1);
    /// `flag-2`; of sh and mh: hash the client's port too.
    pub const SECOND: Self = Self(2);
    /// `flag-3`, which no scheduler asks for.
    pub const THIRD: Self = Self(4);

    const ALL: [Self; 3] = [Self::FIRST, Self::SECOND, Self::THIRD];

    /// Whether it has all flags of `other`.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Its flags and those of `other`.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Its flags but those of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether none is set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The names of the flags set, as a service with this scheduler lists them: `a,b`. Those of sh
    /// and mh do not list their third.
    #[must_use]
    pub fn names(self, scheduler: &str) -> String {
        let names: &[_] = match scheduler {
            "sh" => &["sh-fallback", "sh-port"],
            "mh" => &["mh-fallback", "mh-port"],
            _ => &["flag-1", "flag-2", "flag-3"],
        };
        let named = Self::ALL.into_iter().zip(names);
        let set = named.filter(|(flag, _)| self.contains(*flag));
        let names: Vec<_> = set.map(|(_, name)| *name).collect();
        names.join(",")
    }
}

/// A real server as `-a` and `-e` describe it. `-e` means all of it: what is not said is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerLine {
    /// RIP and port.
    pub endpoint: Endpoint<IpAddr>,
    /// `-g`, `-i`, `-m` or `-b`.
    pub method: Method,
    /// How it is reached, if `method` is [`Method::Tun`].
    pub tunnel: Tunnel,
    /// `-w`: 0 to 2,147,483,647.
    pub weight: u32,
    /// `-x`: sessions at which it is overloaded; 0 is never.
    pub upper_threshold: u32,
    /// `-y`: sessions below which it no longer is; 0 is three quarters of `upper_threshold`.
    pub lower_threshold: u32,
}

/// What a tunnel looks like between the outer and the inner IP header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tunnel {
    /// Nothing (RFC 2003).
    #[default]
    Ipip,
    /// Generic UDP encapsulation.
    Gue {
        /// The UDP port it goes to, never 0.
        port: u16,
        /// Its checksum.
        checksum: TunnelChecksum,
    },
    /// Generic routing encapsulation (RFC 2784).
    Gre {
        /// Its checksum; never [`TunnelChecksum::Remote`].
        checksum: TunnelChecksum,
    },
}

impl Tunnel {
    /// `ipip`, `gue` or `gre`: the word of `--tun-type`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ipip => "ipip",
            Self::Gue { .. } => "gue",
            Self::Gre { .. } => "gre",
        }
    }
}

/// The checksum of a tunnel's own header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TunnelChecksum {
    /// `--tun-nocsum`.
    #[default]
    None,
    /// `--tun-csum`.
    Full,
    /// `--tun-remcsum`: the remote end may compute the inner packet's.
    Remote,
}

/// A change of the table of services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// `-A`.
    AddService(ServiceLine),
    /// `-E`.
    EditService(ServiceLine),
    /// `-D`.
    DeleteService(ServiceName),
    /// `-a`.
    AddServer(ServiceName, ServerLine),
    /// `-e`.
    EditServer(ServiceName, ServerLine),
    /// `-d`.
    DeleteServer(ServiceName, Endpoint<IpAddr>),
    /// `-P`: a local address, from which FULLNAT speaks to the service's servers.
    AddLocal(ServiceName, IpAddr),
    /// `-Q`.
    DeleteLocal(ServiceName, IpAddr),
    /// `-C`.
    Flush,
}

impl Change {
    /// The service it is about; none for all of them.
    #[must_use]
    pub const fn service(&self) -> Option<ServiceName> {
        match self {
            Self::AddService(line) | Self::EditService(line) => Some(line.name),
            Self::DeleteService(name)
            | Self::AddServer(name, _)
            | Self::EditServer(name, _)
            | Self::DeleteServer(name, _)
            | Self::AddLocal(name, _)
            | Self::DeleteLocal(name, _) => Some(*name),
            Self::Flush => None,
        }
    }
}

/// A line of `ipvsadm`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `-A`, `-E`, `-D`, `-a`, `-e`, `-d`, `-P`, `-Q`, `-C`.
    Change(Change),
    /// `-Z`: of one service, or of all.
    Zero(Option<ServiceName>),
    /// `--set`; 0 leaves a time-out as it is.
    SetTimeouts {
        /// Of established TCP sessions, in seconds.
        tcp: u32,
        /// Of TCP sessions that one side has closed, in seconds.
        tcp_fin: u32,
        /// Of UDP sessions, in seconds.
        udp: u32,
    },
    /// `-L`.
    List(ListOptions),
    /// `-G`: the local addresses of one service, or of all.
    ListLocal(Option<ServiceName>),
    /// `-S`.
    Save {
        /// `-n`.
        numeric: bool,
    },
    /// `-R`.
    Restore,
    /// `--start-daemon`.
    StartDaemon,
    /// `--stop-daemon`.
    StopDaemon,
    /// `-h`.
    Help,
    /// `-v`.
    Version,
}

impl Command {
    /// Whether it changes nothing.
    #[must_use]
    pub const fn only_asks(&self) -> bool {
        match self {
            Self::List(_) | Self::ListLocal(_) | Self::Save { .. } | Self::Help | Self::Version => {
                true
            }
            Self::Change(_)
            | Self::Zero(_)
            | Self::SetTimeouts { .. }
            | Self::Restore
            | Self::StartDaemon
            | Self::StopDaemon => false,
        }
    }
}

/// What `-L` lists, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// What.
    pub subject: Subject,
    /// `-n`: addresses and ports as numbers.
    pub numeric: bool,
    /// The columns of a listing of services.
    pub columns: Columns,
    /// `--exact`: all digits of large numbers.
    pub exact: bool,
    /// `--nosort`.
    pub unsorted: bool,
    /// `--persistent-conn`, which beside `-c` means the columns of persistence engines.
    pub engines: bool,
}

/// What `-L` lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Subject {
    /// All services.
    #[default]
    Services,
    /// One service.
    Service(ServiceName),
    /// `-c`: sessions and templates.
    Connections,
    /// `--timeout`.
    Timeouts,
    /// `--daemon`: connection synchronisation.
    Daemons,
}

/// The columns of a listing of services.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Columns {
    /// Method, weight and sessions.
    #[default]
    Forwarding,
    /// `--stats`: what was counted.
    Stats,
    /// `--rate`: what is counted each second.
    Rate,
    /// `--thresholds`.
    Thresholds,
    /// `--persistent-conn`: templates beside sessions.
    Persistent,
    /// `--tun-info`: the method in detail.
    Tunnels,
}
