//! The local addresses of FULLNAT: how many sessions each has and can have.
//!
//! What an address can carry depends on the servers of the services that use its pool, since a port
//! is lent once towards the servers of each bucket.

use std::collections::HashMap;
use std::net::IpAddr;

use dataplane::address::Endpoint;
use dataplane::hasher::FastSet;
use dataplane::service::Method;
use dataplane::snapshot::{Role, Snapshot};
use dataplane::snat::ServersByBucket;

use crate::config::Config;
use crate::view::LocalAddressView;

/// Every local address of the packet path, in the order of the addresses.
pub(super) fn views(config: &Config, snapshot: &Snapshot) -> Vec<LocalAddressView> {
    let towards = servers_of_addresses(config);
    let mut views: Vec<_> = (snapshot.roles.values())
        .filter_map(|role| match role {
            Role::Local { pool, .. } => {
                let servers = towards.get(&pool.addr()).copied().unwrap_or_default();
                Some(LocalAddressView {
                    address: pool.addr(),
                    in_use: pool.in_use() as u64,
                    capacity: pool.capacity_towards(servers) as u64,
                })
            }
            Role::Host | Role::Vip(_) => None,
        })
        .collect();
    views.sort_by_key(|view| view.address);
    views
}

/// Towards whom each local address speaks.
fn servers_of_addresses(config: &Config) -> HashMap<IpAddr, ServersByBucket> {
    let mut of_pools: HashMap<&str, FastSet<Endpoint<IpAddr>>> = HashMap::new();
    for service in config.services() {
        if let Some(pool) = service.local_pool.as_deref() {
            let servers = service.servers.iter().chain(service.sorry_server());
            let fullnat = servers.filter(|it| it.method == Method::Fullnat);
            let known = of_pools.entry(pool).or_default();
            known.extend(fullnat.map(|server| server.endpoint));
        }
    }
    let mut of_addresses = HashMap::new();
    for pool in config.local_pools() {
        let Some(servers) = of_pools.remove(pool.name.as_str()) else {
            continue;
        };
        let mut by_bucket = ServersByBucket::default();
        by_bucket.extend(servers);
        of_addresses.extend(pool.lips().map(|lip| (lip, by_bucket)));
    }
    of_addresses
}

#[cfg(test)]
mod tests {
    use super::super::testing::gateway;

    #[test]
    fn an_address_can_carry_a_session_on_each_port_for_each_bucket_with_servers() {
        let server = |last: &u8| {
            format!("[[service.server]]\naddress = \"10.2.0.{last}\"\nmethod = \"fullnat\"\n")
        };
        let text = |servers: &[u8]| {
            let servers: String = servers.iter().map(server).collect();
            format!(
                "[[local_pool]]\nname = \"lips\"\naddresses = [\"10.2.0.200\"]\n\
                 ports = \"2000-2999\"\n[[service]]\nprotocol = \"tcp\"\nvip = \"10.1.0.100\"\n\
                 port = 80\nlocal_pool = \"lips\"\n{servers}"
            )
        };
        // The third is of the first one's bucket.
        for (servers, capacity) in [
            (&[11][..], 1_000),
            (&[11, 12], 2_000),
            (&[11, 12, 15], 2_000),
        ] {
            let status = gateway(&text(servers)).status();

            let [address] = &status.local_addresses[..] else {
                panic!("{:?}", status.local_addresses);
            };
            assert_eq!((address.in_use, address.capacity), (0, capacity));
        }
    }
}
