//! Services built by name: `service(Protocol::Tcp, VIP).nat(RIP_1)`.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use crate::address::{Address, Endpoint, Protocol, V4};
use crate::editor::{LocalSpec, ServerSpec, ServiceSpec};
use crate::id::Weight;
use crate::service::{Method, MssClamp, Persistence, SchedulerKind, ServiceKey, Unserved};

use super::LIP;

/// A service in the making: round robin, [`LIP`] with ports 20000–20063 for its FULLNAT servers.
#[derive(Clone, Debug)]
pub struct TestService {
    spec: ServiceSpec,
}

/// A service of `protocol` on `vip`, without servers.
#[must_use]
pub fn service(protocol: Protocol, vip: Endpoint<V4>) -> TestService {
    service_of(ServiceKey::address(protocol, to_ip(vip)))
}

/// The service of what has this mark, without servers.
#[must_use]
pub fn marked_service(mark: u32) -> TestService {
    service_of(ServiceKey::Mark(mark))
}

fn service_of(key: ServiceKey) -> TestService {
    TestService {
        spec: ServiceSpec {
            key,
            scheduler: SchedulerKind::Rr,
            servers: Vec::new(),
            checked: Vec::new(),
            local_addresses: Vec::new(),
            unserved: Unserved::Linux,
            mss_clamp: MssClamp::Auto,
            persistence: None,
            one_packet: false,
        },
    }
}

impl TestService {
    /// Adds a server with weight 1 that is reached by `method`; by FULLNAT, from [`LIP`].
    #[must_use]
    pub fn server(self, server: Endpoint<V4>, method: Method) -> Self {
        self.weighted(server, method, 1)
    }

    /// Adds a server that is checked although nothing is sent to it.
    #[must_use]
    pub fn checking(mut self, server: Endpoint<V4>) -> Self {
        self.spec.checked.push(server.addr.to_ip());
        self
    }

    /// Adds a server with a weight.
    #[must_use]
    pub fn weighted(mut self, server: Endpoint<V4>, method: Method, weight: u32) -> Self {
        self.spec.servers.push(ServerSpec {
            endpoint: to_ip(server),
            weight: Weight(weight),
            method,
            upper_threshold: 0,
            lower_threshold: 0,
            edits: 0,
        });
        if method == Method::Fullnat && self.spec.local_addresses.is_empty() {
            return self.local(LIP.addr, LIP.port..=LIP.port + 63);
        }
        self
    }

    /// Adds a DR server.
    #[must_use]
    pub fn dr(self, server: Endpoint<V4>) -> Self {
        self.server(server, Method::Dr)
    }

    /// Adds a NAT server.
    #[must_use]
    pub fn nat(self, server: Endpoint<V4>) -> Self {
        self.server(server, Method::Nat)
    }

    /// Adds a TUN server.
    #[must_use]
    pub fn tun(self, server: Endpoint<V4>) -> Self {
        self.server(server, Method::Tun)
    }

    /// Adds a FULLNAT server.
    #[must_use]
    pub fn fullnat(self, server: Endpoint<V4>) -> Self {
        self.server(server, Method::Fullnat)
    }

    /// Lends these ports of `addr` to its FULLNAT sessions; say it before the servers, or
    /// [`LIP`] is lent too.
    #[must_use]
    pub fn local(mut self, addr: V4, ports: RangeInclusive<u16>) -> Self {
        self.spec.local_addresses.push(LocalSpec {
            addr: addr.to_ip(),
            ports,
            host: false,
        });
        self
    }

    /// Sets the scheduler; round robin otherwise.
    #[must_use]
    pub fn scheduler(mut self, scheduler: SchedulerKind) -> Self {
        self.spec.scheduler = scheduler;
        self
    }

    /// Sets what becomes of what it does not serve.
    #[must_use]
    pub fn unserved(mut self, unserved: Unserved) -> Self {
        self.spec.unserved = unserved;
        self
    }

    /// Sets what becomes of the MSS of SYNs.
    #[must_use]
    pub fn mss_clamp(mut self, clamp: MssClamp) -> Self {
        self.spec.mss_clamp = clamp;
        self
    }

    /// Lets clients meet their servers again for so many seconds.
    #[must_use]
    pub const fn persistent(self, seconds: u32) -> Self {
        self.persistent_by(seconds, Persistence::NETMASK)
    }

    /// Lets clients whose addresses agree in the bits of `netmask` meet their servers again.
    #[must_use]
    pub const fn persistent_by(mut self, seconds: u32, netmask: u32) -> Self {
        self.spec.persistence = Some(Persistence {
            timeout_seconds: seconds,
            netmask,
        });
        self
    }

    /// Schedules every datagram for itself.
    #[must_use]
    pub const fn one_packet(mut self) -> Self {
        self.spec.one_packet = true;
        self
    }

    /// As the editor takes it.
    #[must_use]
    pub fn spec(&self) -> ServiceSpec {
        self.spec.clone()
    }
}

fn to_ip(end: Endpoint<V4>) -> Endpoint<IpAddr> {
    Endpoint::new(end.addr.to_ip(), end.port)
}
