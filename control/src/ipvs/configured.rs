//! Between the table and the configuration, of which there is one truth: what runs.
//!
//! The configuration says more of a service than `ipvsadm` can (its name, its pool's ports, who
//! places the VIP, the MSS): whatever a line does not speak of stays as it is.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use dataplane::id::Weight;
use dataplane::service::{Persistence, ServiceKey};
use indexmap::IndexSet;

use super::command::{Persistent, ServerLine, ServiceLine, ServiceName, Tunnel};
use super::specs::flags;
use super::table::{Entry, Table};
use crate::config::{AddressRange, Config, Edit, LocalPool, Placement, PortRange, Server, Service};

impl Table {
    /// The services of a configuration.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let services = config.services().iter();
        services.map(|service| entry(service, config)).collect()
    }
}

impl Table {
    /// The table of a configuration, which knows of the edits that this one knows of.
    pub(crate) fn renewed(&self, config: &Config) -> Self {
        let mut table = Self::of(config);
        table.remember_edits(self);
        table
    }

    /// Makes one service what a configuration says of it, in its place, or behind the others if
    /// it left that.
    pub(crate) fn refresh(&mut self, config: &Config, key: ServiceKey, left: bool) {
        let service = config.service(key).map(|it| entry(it, config));
        self.put(ServiceName::of(key), service, left);
    }
}

fn entry(service: &Service, config: &Config) -> Entry {
    let pool = service.local_pool.as_deref();
    let pool = pool.and_then(|name| config.local_pool(name));
    let line = ServiceLine {
        name: ServiceName::of(service.key),
        scheduler: service.scheduler.name().to_owned(),
        flags: flags(service.scheduler).with(service.idle_flags),
        persistence: service.persistence.map(|it| Persistent {
            timeout_seconds: it.timeout_seconds,
            netmask: it.netmask,
        }),
        engine: None,
        one_packet: service.one_packet,
    };
    let servers = service.servers.iter().map(server_line);
    let local_addresses = pool.into_iter().flat_map(LocalPool::lips).collect();
    Entry::configured(line, service.scheduler, servers, local_addresses)
}

/// A server in `ipvsadm`'s words.
pub(crate) const fn server_line(server: &Server) -> ServerLine {
    ServerLine {
        endpoint: server.endpoint,
        method: server.method,
        tunnel: Tunnel::Ipip,
        weight: server.weight.0,
        upper_threshold: server.upper_threshold,
        lower_threshold: server.lower_threshold,
    }
}

impl From<&ServerLine> for Server {
    fn from(line: &ServerLine) -> Self {
        Self {
            endpoint: line.endpoint,
            weight: Weight(line.weight),
            method: line.method,
            upper_threshold: line.upper_threshold,
            lower_threshold: line.lower_threshold,
            health: None,
        }
    }
}

/// The servers as the table says them, watched as before.
fn servers(entry: &Entry, before: Option<&Service>) -> Vec<Server> {
    let watched = before.into_iter().flat_map(|it| &it.servers);
    let watched = watched.filter_map(|it| Some((it.endpoint, it.health.clone()?)));
    let mut watched: HashMap<_, _> = watched.collect();
    let servers = entry.servers().map(|line| Server {
        health: watched.remove(&line.endpoint),
        ..Server::from(line)
    });
    servers.collect()
}

/// What the configuration says of some services before they change.
#[derive(Debug)]
pub struct Configured<'a> {
    config: &'a Config,
    /// The services themselves.
    before: HashMap<ServiceKey, &'a Service>,
    /// The first service of each of their VIPs.
    vips: HashMap<IpAddr, &'a Service>,
    /// How many services of the configuration name each of their pools.
    pools: HashMap<&'a str, usize>,
}

impl<'a> Configured<'a> {
    /// What `config` says of these services.
    #[must_use]
    pub fn new(config: &'a Config, changed: &[ServiceName]) -> Self {
        let keys: HashSet<ServiceKey> = changed.iter().map(ServiceName::key).collect();
        let vips = keys.iter().filter_map(|key| key.virtual_endpoint());
        let vips: HashSet<IpAddr> = vips.map(|end| end.addr).collect();
        let mut configured = Self {
            config,
            before: HashMap::new(),
            vips: HashMap::new(),
            pools: HashMap::new(),
        };
        for service in config.services() {
            if keys.contains(&service.key) {
                configured.before.insert(service.key, service);
            }
            if let Some(vip) = service.vip().filter(|vip| vips.contains(vip)) {
                configured.vips.entry(vip).or_insert(service);
            }
            if let Some(pool) = &service.local_pool {
                *configured.pools.entry(pool).or_default() += 1;
            }
        }
        configured
    }

    /// The edits by which the configuration becomes right when `table` says it of this service.
    #[must_use]
    pub fn changes(&self, service: &ServiceName, table: &Table) -> Vec<Edit> {
        let key = service.key();
        let before = self.before.get(&key).copied();
        let Some(entry) = table.service(service) else {
            return self.removal(key, before);
        };
        let mut changed = self.service(entry, key, before);
        let mut changes = Vec::new();
        let pool = self.pool_of(before);
        let known = pool.into_iter().flat_map(LocalPool::lips);
        let mut unneeded = None;
        if !known.eq(entry.local_addresses.iter().copied()) {
            let new = self.pool(key, pool, &entry.local_addresses);
            changed.local_pool = new.as_ref().map(|pool| pool.name.clone());
            if new.is_none() {
                unneeded = self.pool_of_its_own(before);
            }
            changes.extend(new.map(Edit::PutPool));
        }
        changes.push(Edit::Put(changed));
        changes.extend(unneeded);
        changes
    }

    fn removal(&self, key: ServiceKey, before: Option<&Service>) -> Vec<Edit> {
        let mut changes = Vec::new();
        if let Some(before) = before {
            changes.push(Edit::Remove(key));
            let is_made_here = before.local_pool.as_ref() == Some(&pool_name(key));
            changes.extend(self.pool_of_its_own(Some(before)).filter(|_| is_made_here));
        }
        changes
    }

    /// The service as the table says it, with what `ipvsadm` cannot say as it was, or as the VIP's
    /// other services have it.
    fn service(&self, entry: &Entry, key: ServiceKey, before: Option<&Service>) -> Service {
        let line = &entry.service;
        let beside = key.virtual_endpoint();
        let beside = beside.and_then(|end| self.vips.get(&end.addr).copied());
        // Nobody but the operator or keepalived adds a VIP to an LVS.
        let placement = match key {
            ServiceKey::Mark(_) | ServiceKey::Mark6(_) => Placement::Auto,
            ServiceKey::Address { .. } => Placement::External,
        };
        let placement = beside.map_or(placement, |it| it.placement.clone());
        Service {
            name: before.and_then(|it| it.name.clone()),
            key,
            placement,
            scheduler: entry.scheduler,
            idle_flags: entry.idle_flags(),
            local_pool: before.and_then(|it| it.local_pool.clone()),
            unserved: before.and_then(|it| it.unserved),
            mss_clamp: (before.or(beside)).map_or_else(Default::default, |it| it.mss_clamp),
            persistence: line.persistence.map(|it| Persistence {
                timeout_seconds: it.timeout_seconds,
                netmask: it.netmask,
            }),
            one_packet: line.one_packet,
            health: before.and_then(|it| it.health.clone()),
            servers: servers(entry, before),
        }
    }

    fn pool_of(&self, service: Option<&Service>) -> Option<&'a LocalPool> {
        self.config.local_pool(service?.local_pool.as_deref()?)
    }

    /// The service's pool with these addresses; none without addresses. A pool that others name
    /// too stays theirs.
    fn pool(
        &self,
        key: ServiceKey,
        known: Option<&LocalPool>,
        addresses: &IndexSet<IpAddr>,
    ) -> Option<LocalPool> {
        let first = addresses.first()?;
        let own = known.filter(|pool| self.pools.get(pool.name.as_str()) == Some(&1));
        // An address has the same ports in all its pools.
        let same = self.config.local_pools().iter();
        let mut same = same.filter(|pool| pool.lips().any(|lip| lip == *first));
        let like = own.or(known).or_else(|| same.next());
        let single = |addr: &IpAddr| AddressRange {
            first: *addr,
            last: *addr,
        };
        Some(LocalPool {
            name: own.map_or_else(|| pool_name(key), |pool| pool.name.clone()),
            addresses: addresses.iter().map(single).collect(),
            ports: like.map_or(PortRange::UNPRIVILEGED, |pool| pool.ports),
            interface: like.and_then(|pool| pool.interface.clone()),
        })
    }

    /// The end of a service's pool, if no other service names it.
    fn pool_of_its_own(&self, service: Option<&Service>) -> Option<Edit> {
        let name = service?.local_pool.as_deref()?;
        let is_own = self.pools.get(name) == Some(&1);
        is_own.then(|| Edit::RemovePool(name.to_owned()))
    }
}

/// What a pool is called that `ipvsadm -P` made.
pub(crate) fn pool_name(key: ServiceKey) -> String {
    format!("ipvsadm {key}")
}

#[cfg(test)]
#[path = "configured_tests.rs"]
mod tests;
