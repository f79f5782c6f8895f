//! The way of checks that go where the traffic goes: to the VIP *on one server*.
//!
//! With DR and TUN a server answers at the VIP. On the gateway the VIP is Linux's own, so nobody
//! here could connect to it anywhere else. Therefore each such server has a *check address*, out of
//! a range that Linux routes to the *check interface*. What Linux sends there is carried to the server
//! by its own method, and what the server answers is carried back:
//!
//! ```text
//! check ── 198.18.0.1 > 198.18.0.2:80 ──► check interface ──► 10.2.0.1 > VIP:80 ──► server
//! check ◄─ 198.18.0.2:80 > 198.18.0.1 ─── check interface ◄── VIP:80 > 10.2.0.1 ◄── server
//! ```
//!
//! The packet path knows nothing of it. Linux's packets leave as if Linux had sent them on the twin, and
//! answers are traffic to the box: the thread that serves the twins (`linux::pump`) asks before it
//! gives Linux a frame from a VIP whether a check waits for it. This module moves no frame itself.

mod carrier;
mod range;
mod refusal;
mod translations;
mod way;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use dataplane::address::{Address, Endpoint, V4};
use dataplane::counters::Counter;
use dataplane::hasher::{FastMap, FastSet};
use dataplane::service::{Method, ServiceKey};
use dataplane::snapshot::Snapshot;
use parking_lot::{Mutex, RwLock};

use range::AddressBook;

pub(crate) use carrier::Carrier;
pub use range::{CheckRange, MAX_PREFIX_LEN, MIN_PREFIX_LEN};
pub use refusal::Refusal;
pub(crate) use way::Way;

/// A server that is to have a check address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckedServer {
    /// The service at whose VIP it is checked.
    pub service: ServiceKey,
    /// Its own address and port, as configured.
    pub server: Endpoint<IpAddr>,
    /// How packets reach it.
    pub method: Method,
}

impl CheckedServer {
    /// Where checks of it go; `None` unless it is a server of IPv4 by DR or TUN, of a service with
    /// a VIP.
    fn target(&self) -> Option<Target> {
        if self.method.sees_replies() {
            return None;
        }
        let vip = self.service.virtual_endpoint()?;
        Some(Target {
            vip: V4::from_ip(vip.addr)?,
            server: V4::from_ip(self.server.addr)?,
            method: self.method,
        })
    }
}

/// Where the packets to a check address go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Target {
    vip: V4,
    server: V4,
    method: Method,
}

/// What carriers go by: replaced as a whole.
#[derive(Debug)]
struct Plan {
    /// By check address.
    targets: Arc<FastMap<V4, Target>>,
    /// The VIPs of all targets.
    vips: Arc<FastSet<V4>>,
    /// Routes and next hops.
    snapshot: Arc<Snapshot>,
}

/// What is counted of the packets of checks. The thread that serves the twins writes it.
#[derive(Debug, Default)]
pub struct CheckPathCounters {
    /// Packets carried from checks to servers.
    pub to_servers: Counter,
    /// Packets carried from servers to checks.
    pub to_checks: Counter,
    /// Packets for checks that the check interface would not take.
    pub not_delivered: Counter,
    refused: [Counter; Refusal::ALL.len()],
}

impl CheckPathCounters {
    /// Packets on the check interface that were not carried to a server for this reason.
    #[must_use]
    pub const fn refused(&self, refusal: Refusal) -> &Counter {
        &self.refused[refusal as usize]
    }
}

#[derive(Debug)]
struct Shared {
    range: CheckRange,
    book: Mutex<AddressBook>,
    plan: RwLock<Arc<Plan>>,
    counters: CheckPathCounters,
}

/// The check addresses of all servers; clones are the same.
#[derive(Clone, Debug)]
pub struct CheckPath(Arc<Shared>);

impl CheckPath {
    /// A path whose check addresses are of `range`; nobody has one yet.
    #[must_use]
    pub fn new(range: CheckRange) -> Self {
        let plan = Plan {
            targets: Arc::default(),
            vips: Arc::default(),
            snapshot: Arc::default(),
        };
        Self(Arc::new(Shared {
            range,
            book: Mutex::new(AddressBook::new(range)),
            plan: RwLock::new(Arc::new(plan)),
            counters: CheckPathCounters::default(),
        }))
    }

    /// The range that Linux routes to the check interface.
    #[must_use]
    pub fn range(&self) -> CheckRange {
        self.0.range
    }

    /// The check interface's own address: the source of checks. Sockets are bound to it.
    #[must_use]
    pub fn source(&self) -> Ipv4Addr {
        self.0.range.own()
    }

    /// Lets exactly these servers have check addresses, new ones in this order; those that had one
    /// keep it. Servers by NAT or FULLNAT, of IPv6 and of marks are passed over: they have
    /// none.
    pub fn set(&self, servers: &[CheckedServer]) {
        let servers: Vec<_> = (servers.iter())
            .filter_map(|it| Some(((it.service, it.server), it.target()?)))
            .collect();
        let names: Vec<_> = servers.iter().map(|(name, _)| *name).collect();
        let mut book = self.0.book.lock();
        let before = book.without();
        let without = book.renew(&names);
        if without > 0 && without != before {
            tracing::warn!(
                "{without} servers have no check address, since `check_addresses` has too few: \
                 give it a shorter prefix"
            );
        }
        let plan = self.plan();
        let mut targets = FastMap::default();
        for ((service, server), target) in servers {
            let Some(address) = book.address(&(service, server)) else {
                continue;
            };
            let key = V4::from(address);
            if plan.targets.get(&key) != Some(&target) {
                let server = SocketAddr::new(server.addr, server.port);
                let method = target.method;
                tracing::debug!("check address {address}: {server} of {service} by {method}");
            }
            targets.insert(key, target);
        }
        let vips = targets.values().map(|target| target.vip).collect();
        self.replace(Plan {
            targets: Arc::new(targets),
            vips: Arc::new(vips),
            snapshot: Arc::clone(&plan.snapshot),
        });
    }

    /// Takes the routes and next hops of `snapshot` from now on.
    pub fn learn(&self, snapshot: Arc<Snapshot>) {
        // Whoever changes the plan holds the book.
        let _book = self.0.book.lock();
        let plan = self.plan();
        self.replace(Plan {
            targets: Arc::clone(&plan.targets),
            vips: Arc::clone(&plan.vips),
            snapshot,
        });
    }

    /// The check address of a server of a service: who connects there from [`Self::source`] is at
    /// the service's VIP on that server, whatever port it is. `None` for one that [`Self::set`] was not told of,
    /// or passed over, or that the range had no address for.
    #[must_use]
    pub fn address(&self, service: ServiceKey, server: Endpoint<IpAddr>) -> Option<Ipv4Addr> {
        self.0.book.lock().address(&(service, server))
    }

    /// What is counted.
    #[must_use]
    pub fn counters(&self) -> &CheckPathCounters {
        &self.0.counters
    }

    fn own(&self) -> V4 {
        V4::from(self.source())
    }

    fn plan(&self) -> Arc<Plan> {
        Arc::clone(&self.0.plan.read())
    }

    fn replace(&self, plan: Plan) {
        // The old one is dropped when the lock is free again: a snapshot may be large.
        let _old = std::mem::replace(&mut *self.0.plan.write(), Arc::new(plan));
    }
}

#[cfg(test)]
mod tests;
