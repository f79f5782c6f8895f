//! Services, servers and local addresses as they should be.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use crate::address::Endpoint;
use crate::id::Weight;
use crate::service::{Method, MssClamp, Persistence, SchedulerKind, ServiceKey, Unserved};

/// A real server as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSpec {
    /// RIP and port.
    pub endpoint: Endpoint<IpAddr>,
    /// 0–65535.
    pub weight: Weight,
    /// How packets reach it.
    pub method: Method,
    /// Sessions at which it is overloaded; 0 is never.
    pub upper_threshold: u32,
    /// Sessions below which it no longer is; 0 is three quarters of the upper threshold.
    pub lower_threshold: u32,
    /// How often somebody has set it since it was added, perhaps to what it was: schedulers are
    /// told each time, as the kernel's are (`schedulers.md` §1.7). 0 if only differences matter.
    pub edits: u32,
}

impl ServerSpec {
    /// The same with another weight.
    pub(super) fn weighing(&self, weight: Weight) -> Self {
        Self {
            weight,
            ..self.clone()
        }
    }
}

/// A FULLNAT local address as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalSpec {
    /// The address.
    pub addr: IpAddr,
    /// The ports that sessions may get.
    pub ports: RangeInclusive<u16>,
    /// Whether it is one of the box's own addresses too, so that other ports are Linux's.
    pub host: bool,
}

/// A virtual service as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceSpec {
    /// What it is for; services differ in it.
    pub key: ServiceKey,
    /// Chooses among the servers.
    pub scheduler: SchedulerKind,
    /// In the order in which an operator would add them; endpoints differ.
    pub servers: Vec<ServerSpec>,
    /// Where answers to health checks come from, of those servers too that nothing is sent to for now.
    pub checked: Vec<IpAddr>,
    /// Local addresses of its FULLNAT servers.
    pub local_addresses: Vec<LocalSpec>,
    /// What becomes of packets to the VIP that nothing serves; a mark's service has no say in it.
    pub unserved: Unserved,
    /// Whether SYNs get a lower MSS.
    pub mss_clamp: MssClamp,
    /// Whether its clients meet their servers again, and for how long.
    pub persistence: Option<Persistence>,
    /// Whether each of its datagrams is scheduled for itself (UDP only; FULLNAT servers, which
    /// could not answer, get sessions all the same).
    pub one_packet: bool,
}
