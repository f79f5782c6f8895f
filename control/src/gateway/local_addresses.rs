//! The local addresses of FULLNAT: how many sessions each has and can have.
//!
//! What an address can carry depends on the servers of the services that use its pool, since a port
//! is lent once towards the servers of each bucket.

use std::collections::HashMap;
use std::net::IpAddr;

use dataplane::address::Endpoint;
use dataplane::hasher::{FastMap, FastSet};
use dataplane::service::Method;
use dataplane::snapshot::{Role, Snapshot};
use dataplane::snat::ServersByBucket;

use crate::config::Config;
use crate::view::LocalAddressView;

/// Every local address of the packet path, in the order of the addresses.
pub(super) fn views(config: &Config, snapshot: &Snapshot) -> Vec<LocalAddressView> {
    let lent = lent_addresses(config, snapshot);
    let mut views: Vec<_> = (snapshot.roles.values())
        .filter_map(|role| match role {
            Role::Local { pool, .. } => {
                let (pools, servers) = lent.get(&pool.addr()).cloned().unwrap_or_default();
                Some(LocalAddressView {
                    address: pool.addr(),
                    pool: pools.join(","),
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

/// The pools of each local address, and towards whom it speaks: servers that may have new sessions
/// now. Who is down, and a sorry server that is not needed, asks for no port.
fn lent_addresses<'a>(
    config: &'a Config,
    snapshot: &Snapshot,
) -> HashMap<IpAddr, (Vec<&'a str>, ServersByBucket)> {
    let pool_of: FastMap<_, _> = (config.services().iter())
        .filter_map(|service| Some((service.key(), service.local_pool.as_deref()?)))
        .collect();
    let mut servers: HashMap<&str, FastSet<Endpoint<IpAddr>>> = HashMap::new();
    for service in snapshot.services.iter().flatten() {
        if let Some(pool) = pool_of.get(&service.key) {
            let present = service.servers.iter();
            let fullnat = present.filter(|it| it.method == Method::Fullnat);
            let known = servers.entry(pool).or_default();
            known.extend(fullnat.map(|server| server.endpoint));
        }
    }
    let mut pools_of: HashMap<IpAddr, Vec<&str>> = HashMap::new();
    for pool in config.local_pools() {
        for lip in pool.lips() {
            pools_of.entry(lip).or_default().push(&pool.name);
        }
    }
    // Addresses of the same pools speak to the same servers.
    let mut by_pools: HashMap<Vec<&str>, ServersByBucket> = HashMap::new();
    let lent = pools_of.into_iter().map(|(lip, pools)| {
        let towards = *by_pools.entry(pools.clone()).or_insert_with(|| {
            let known = pools.iter().filter_map(|pool| servers.get(pool));
            let each_once: FastSet<_> = known.flatten().copied().collect();
            let mut towards = ServersByBucket::default();
            towards.extend(each_once);
            towards
        });
        (lip, (pools, towards))
    });
    lent.collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dataplane::id::Weight;

    use super::super::Gateway;
    use super::super::testing::gateway;
    use crate::config::Service;
    use crate::health::standing::{Fitness, Standing, health_of};

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

    #[test]
    fn who_is_down_and_a_sorry_server_that_is_not_needed_ask_for_no_port() {
        let (gateway, web) = watched();
        let capacity = || {
            let addresses = gateway.status().local_addresses;
            (addresses[0].pool.clone(), addresses[0].capacity)
        };
        let tell = |known: [Fitness; 2]| {
            let health = health_of(&web).unwrap();
            let ends = web.servers.iter().map(|it| it.endpoint).zip(known);
            let standing = Standing::new(ends, None, &health);
            gateway.stand(vec![(web.key(), standing)]);
        };
        let fit = || Fitness::fit(Weight(1));
        assert_eq!(capacity(), ("lips,others".to_owned(), 2_000));

        tell([fit(), Fitness::Unfit]);
        assert_eq!(capacity().1, 1_000);
        tell([Fitness::Unfit, Fitness::Unfit]);
        assert_eq!(capacity().1, 1_000);
        assert!(!gateway.quorum(web.key()));
        tell([fit(), fit()]);
        assert_eq!(capacity().1, 2_000);
    }

    /// A gateway with two servers and a sorry server, whose address is in two pools.
    fn watched() -> (Arc<Gateway>, Service) {
        let pool = |name: &str| {
            format!(
                "[[local_pool]]\nname = \"{name}\"\naddresses = [\"10.2.0.200\"]\n\
                 ports = \"2000-2999\"\n"
            )
        };
        let text = format!(
            "{}{}[[service]]\nprotocol = \"tcp\"\nvip = \"10.1.0.100\"\nport = 80\n\
             local_pool = \"lips\"\nstart = \"up\"\n\
             sorry_server = {{ address = \"10.2.0.13\", method = \"fullnat\" }}\n\
             [[service.check]]\ntype = \"tcp\"\n\
             [[service.server]]\naddress = \"10.2.0.11\"\nmethod = \"fullnat\"\n\
             [[service.server]]\naddress = \"10.2.0.12\"\nmethod = \"fullnat\"\n",
            pool("lips"),
            pool("others"),
        );
        let gateway = gateway(&text);
        let web = gateway.config().services()[0].clone();
        (gateway, web)
    }
}
