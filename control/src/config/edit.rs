//! Changing a configuration that runs, a service or a pool at a time.
//!
//! Edits are checked as the file that says the same would be, but only what they touch is looked
//! at again: the rest was right before and has not changed. So one change costs little, however
//! much there is beside it.

use std::collections::HashSet;
use std::net::IpAddr;

use dataplane::hasher::FastSet;
use dataplane::service::ServiceKey;
use indexmap::IndexMap;

use super::document::Table;
use super::section::{Problems, Written};
use super::touched::{Fate, Touched, Touches, carry_out};
use super::vip::Placement;
use super::{Config, LocalPool, RawConfig, Server, Service, check};

/// One change of services or pools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Adds a service behind the others, or replaces the one with its key in its place.
    Put(Service),
    /// Removes a service.
    Remove(ServiceKey),
    /// Adds a pool behind the others, or replaces the one of its name in its place.
    PutPool(LocalPool),
    /// Removes a pool, which no service may name any more.
    RemovePool(String),
}

/// Why nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// There is no service to remove.
    #[error("there is no service {0}")]
    NoService(ServiceKey),
    /// There is no pool to remove.
    #[error("there is no local pool \"{0}\"")]
    NoPool(String),
    /// The result would be a configuration with mistakes: a sentence each, at least one.
    #[error("{}", .0.join("\n"))]
    Refused(Vec<String>),
    /// What the caller asked of the present configuration is not so.
    #[error("{0}")]
    Stale(String),
}

impl Edit {
    /// What this machine does not have of what edits need, a sentence each. It looks at files and
    /// users, so nobody should wait for it.
    pub(crate) fn lacks(edits: &[Self]) -> Vec<String> {
        let services = edits.iter().filter_map(|edit| match edit {
            Self::Put(service) => Some(service),
            _ => None,
        });
        let problems = Problems::default();
        check::machine(services, &problems);
        let [_, warnings] = problems.into_sorted();
        warnings.into_iter().map(|(_, sentence)| sentence).collect()
    }
}

/// Edits that were checked against a configuration.
#[derive(Debug)]
pub(crate) struct Plan {
    services: IndexMap<ServiceKey, Touched<Service>>,
    pools: IndexMap<String, Touched<LocalPool>>,
    /// What is allowed but probably not meant.
    pub(crate) warnings: Vec<String>,
}

/// What edits did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Done {
    /// The services that were touched, in the order of the edits.
    pub(crate) services: Vec<Fate<ServiceKey, Service>>,
    /// The pools likewise.
    pub(crate) pools: Vec<Fate<String, LocalPool>>,
}

impl Config {
    /// Whether all of the edits together can be, and what is to be said of them.
    pub(crate) fn plan(&self, edits: Vec<Edit>) -> Result<Plan, EditError> {
        let mut services = Touches::new(edits.len(), self.services.iter().map(|it| &it.key));
        let mut pools = Touches::new(edits.len(), self.local_pools.iter().map(|it| &it.name));
        for edit in edits {
            match edit {
                Edit::Put(service) => services.put(service.key(), service),
                Edit::Remove(key) => {
                    services.remove(key).map_err(EditError::NoService)?;
                }
                Edit::PutPool(pool) => pools.put(pool.name.clone(), pool),
                Edit::RemovePool(name) => pools.remove(name).map_err(EditError::NoPool)?,
            }
        }
        let mut plan = Plan {
            services: services.touched,
            pools: pools.touched,
            warnings: Vec::new(),
        };
        let problems = Problems::default();
        plan.check(self, &problems);
        let [errors, warnings] = problems.into_sorted();
        let sentences = |found: Vec<(usize, String)>| {
            let found = found.into_iter().map(|(_, sentence)| sentence);
            found.collect::<Vec<_>>()
        };
        if !errors.is_empty() {
            return Err(EditError::Refused(sentences(errors)));
        }
        plan.warnings = sentences(warnings);
        Ok(plan)
    }

    /// Does what was planned for this configuration.
    pub(crate) fn carry_out(&mut self, plan: Plan) -> Done {
        Done {
            services: carry_out(&mut self.services, plan.services),
            pools: carry_out(&mut self.local_pools, plan.pools),
        }
    }
}

/// What is new about the services and pools that edits touch, which the others have to agree with.
#[derive(Default)]
struct News<'a> {
    names: HashSet<&'a str>,
    /// VIPs that say something anew about themselves.
    said: FastSet<IpAddr>,
    /// VIPs that a touched service has now.
    vips: FastSet<IpAddr>,
    /// Servers' addresses that a touched service has now.
    servers: FastSet<IpAddr>,
    /// Local addresses that a touched pool has now.
    lips: FastSet<IpAddr>,
    /// Pools that are gone, or have the other family now.
    pools: HashSet<&'a str>,
}

impl Plan {
    /// The VIPs of all services that it touches.
    pub(crate) fn vips(&self) -> FastSet<IpAddr> {
        let ends = self.services.keys().map(|key| key.virtual_endpoint());
        ends.flatten().map(|end| end.addr).collect()
    }

    fn check(&self, config: &Config, problems: &Problems) {
        let news = self.news(config);
        let nowhere = Table::default();
        let written = |service: &Service| Written {
            value: service.clone(),
            at: &nowhere,
            parts: vec![&nowhere; service.servers.len()],
        };
        let mut users = Vec::new();
        let mut companions = Vec::new();
        if !news.is_empty() {
            for service in &config.services {
                if self.services.contains_key(&service.key) {
                    continue;
                }
                let pool = service.local_pool.as_deref();
                if pool.is_some_and(|pool| news.pools.contains(pool)) {
                    users.push(written(service));
                } else if news.concern(service) {
                    companions.push(written(&news.relevant(service)));
                }
            }
        }
        let touched = self.services.values().filter_map(|it| it.after.as_ref());
        let mut services: Vec<_> = touched.map(written).chain(users).collect();
        let checked = services.len();
        services.extend(companions);
        let local_pools = self.pools_to_check(config, &news, &nowhere);
        let edited_pools = self.pools.values().filter(|it| it.after.is_some()).count();
        let raw = RawConfig {
            gateway: config.gateway.clone(),
            ipvs: config.ipvs.clone(),
            timeouts: config.timeouts.clone(),
            check_interface: config.check_interface.clone(),
            // What the gateway's own addresses are matters to pools alone.
            ports: (config.ports.iter().filter(|_| edited_pools > 0))
                .map(|port| Written {
                    value: port.clone(),
                    at: &nowhere,
                    parts: Vec::new(),
                })
                .collect(),
            marks: Vec::new(),
            local_pools,
            services,
            root: &nowhere,
            edited: Some((edited_pools, checked)),
        };
        check::edited(&raw, config, self.pool_names(config), problems);
    }

    /// The names of all pools that there will be.
    fn pool_names<'a>(&'a self, config: &'a Config) -> HashSet<&'a str> {
        let names = config.local_pools.iter().map(|pool| pool.name.as_str());
        let mut names: HashSet<_> = names.collect();
        for (name, touched) in &self.pools {
            match touched.after {
                Some(_) => names.insert(name),
                None => names.remove(name.as_str()),
            };
        }
        names
    }

    /// The pools that edits touch, and behind them those of the others that matter to them.
    fn pools_to_check<'a>(
        &self,
        config: &Config,
        news: &News<'_>,
        nowhere: &'a Table,
    ) -> Vec<Written<'a, LocalPool>> {
        let touched = self.services.values().filter_map(|it| it.after.as_ref());
        let named: HashSet<&str> = touched.filter_map(|it| it.local_pool.as_deref()).collect();
        let others = config.local_pools.iter().filter(|pool| {
            let matters = || {
                let mut addresses = news.vips.iter().chain(&news.servers).chain(&news.lips);
                named.contains(pool.name.as_str()) || addresses.any(|addr| pool.has(*addr))
            };
            !self.pools.contains_key(&pool.name) && matters()
        });
        let edited = self.pools.values().filter_map(|it| it.after.as_ref());
        let written = edited.chain(others).map(|pool| Written {
            value: pool.clone(),
            at: nowhere,
            parts: Vec::new(),
        });
        written.collect()
    }

    fn news<'a>(&'a self, config: &'a Config) -> News<'a> {
        let mut news = News::default();
        for touched in self.services.values() {
            if let Some(after) = &touched.after {
                let before = touched.at.and_then(|at| config.services.get(at));
                news.of_service(before, after);
            }
        }
        for (name, touched) in &self.pools {
            let before = touched.at.and_then(|at| config.local_pools.get(at));
            match &touched.after {
                Some(after) => {
                    let known = |addr| before.is_some_and(|before| before.has(addr));
                    let lips = after.addresses.iter().take(1).flat_map(|_| after.lips());
                    if super::local_pool::check_ranges(&after.addresses).is_ok() {
                        news.lips.extend(lips.filter(|lip| !known(*lip)));
                    }
                    if before.is_some_and(|it| it.is_ipv4() != after.is_ipv4()) {
                        news.pools.insert(name);
                    }
                }
                None => drop(news.pools.insert(name)),
            }
        }
        news
    }
}

impl<'a> News<'a> {
    fn of_service(&mut self, before: Option<&Service>, after: &'a Service) {
        if before.is_none_or(|before| before.name != after.name) {
            self.names.extend(after.name.as_deref());
        }
        let own = |it: &Service| (it.unserved, it.placement.clone());
        if before.is_none_or(|before| own(before) != own(after)) {
            self.said.extend(after.vip());
        }
        if before.is_none() {
            self.vips.extend(after.vip());
        }
        let known: FastSet<IpAddr> = before.map_or_else(FastSet::default, |before| {
            every_server(before).map(|it| it.endpoint.addr).collect()
        });
        let addresses = every_server(after).map(|it| it.endpoint.addr);
        self.servers
            .extend(addresses.filter(|addr| !known.contains(addr)));
    }

    fn is_empty(&self) -> bool {
        let addresses = [&self.said, &self.vips, &self.servers, &self.lips];
        addresses.iter().all(|it| it.is_empty()) && self.names.is_empty() && self.pools.is_empty()
    }

    /// Whether a service that no edit touches may contradict one that an edit does.
    fn concern(&self, service: &Service) -> bool {
        let has_name = |name: &str| self.names.contains(name);
        !self.names.is_empty() && service.name.as_deref().is_some_and(has_name)
            || service.vip().is_some_and(|vip| {
                let speaks = || service.unserved.is_some() || service.placement != Placement::Auto;
                self.said.contains(&vip) && speaks()
                    || self.servers.contains(&vip)
                    || self.lips.contains(&vip)
            })
            || self.concerned_servers(service).next().is_some()
    }

    /// The servers of a service whose address something touched has got.
    fn concerned_servers(&self, service: &'a Service) -> impl Iterator<Item = &'a Server> {
        let matter = !self.vips.is_empty() || !self.lips.is_empty();
        let servers = every_server(service).filter(move |_| matter);
        servers.filter(|server| {
            let addr = server.endpoint.addr;
            self.vips.contains(&addr) || self.lips.contains(&addr)
        })
    }

    /// As much of such a service as can contradict; what a sorry server's address contradicts, any
    /// server's does.
    fn relevant(&self, service: &'a Service) -> Service {
        let servers = self.concerned_servers(service).cloned().collect();
        Service {
            name: service.name.clone(),
            placement: service.placement.clone(),
            local_pool: None,
            health: None,
            servers,
            ..*service
        }
    }
}

/// The service's servers, and the one that serves when they cannot.
fn every_server(service: &Service) -> impl Iterator<Item = &Server> {
    service.servers.iter().chain(service.sorry_server())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::path::Path;

    use dataplane::address::{Endpoint, Protocol};
    use dataplane::id::Weight;
    use dataplane::service::{Method, Unserved};
    use proptest::prelude::*;

    use super::super::testing::config;
    use super::super::{AddressRange, PortRange};
    use super::*;

    const BASE: &str = "[[port]]\nname = \"wan\"\ndevice = \"net_null0\"\n\
        addresses = [\"10.0.0.9/24\"]\n\
        [[local_pool]]\nname = \"a\"\naddresses = [\"10.0.0.7\"]\n\
        [[local_pool]]\nname = \"b\"\naddresses = [\"10.0.0.8\"]\n\
        [[service]]\nname = \"web\"\nprotocol = \"tcp\"\nport = 80\nunserved = \"drop\"\n\
        vip = { address = \"10.0.0.1\", place = \"external\" }\nlocal_pool = \"a\"\n\
        [[service.server]]\naddress = \"10.0.0.4\"\nmethod = \"fullnat\"\n\
        [[service]]\nprotocol = \"udp\"\nport = 80\nvip = \"10.0.0.1\"\n\
        [[service.server]]\naddress = \"10.0.0.5\"\n\
        [[service]]\nname = \"dns\"\nprotocol = \"udp\"\nport = 81\nvip = \"10.0.0.2\"\n\
        [[service.server]]\naddress = \"10.0.0.6\"\n\
        [[service]]\nmark = 3\n";

    /// One of a few addresses that stand for everything there can be.
    fn address() -> impl Strategy<Value = IpAddr> {
        let v4 = (1..10_u8).prop_map(|last| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)));
        prop_oneof![
            9 => v4,
            1 => Just("2001:db8::1".parse().unwrap()),
            1 => Just("224.0.0.1".parse().unwrap()),
        ]
    }

    fn key() -> impl Strategy<Value = ServiceKey> {
        let protocol = prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp)];
        let by_address = (protocol, address(), 80..82_u16).prop_map(|(protocol, addr, port)| {
            ServiceKey::address(protocol, Endpoint::new(addr, port))
        });
        prop_oneof![
            8 => by_address,
            2 => (0..4_u32).prop_map(ServiceKey::Mark),
            1 => (1..4_u32).prop_map(ServiceKey::Mark6),
        ]
    }

    fn server() -> impl Strategy<Value = Server> {
        let method = prop_oneof![Just(Method::Dr), Just(Method::Nat), Just(Method::Fullnat)];
        let weight = prop_oneof![9 => Just(1), 1 => Just(u32::MAX)];
        let port = prop_oneof![4 => Just(80_u16), 1 => 0..82_u16];
        (address(), port, method, weight, 0..2_u32).prop_map(
            |(addr, port, method, weight, lower_threshold)| Server {
                endpoint: Endpoint::new(addr, port),
                weight: Weight(weight),
                method,
                upper_threshold: 1,
                lower_threshold,
                health: None,
            },
        )
    }

    fn service() -> impl Strategy<Value = Service> {
        let name = proptest::option::weighted(0.3, prop_oneof![Just("web"), Just("dns")]);
        let placement = prop_oneof![
            4 => Just(Placement::Auto),
            2 => Just(Placement::External),
            1 => Just(Placement::Interface("wan".to_owned())),
            1 => Just(Placement::Interface("lan".to_owned())),
        ];
        let unserved = proptest::option::weighted(
            0.3,
            prop_oneof![Just(Unserved::Drop), Just(Unserved::Reject)],
        );
        let pool = proptest::option::of(prop_oneof![Just("a"), Just("b"), Just("c")]);
        let servers = proptest::collection::vec(server(), 0..3);
        let all = (
            key(),
            name,
            placement,
            unserved,
            pool,
            any::<bool>(),
            servers,
        );
        all.prop_map(
            |(key, name, placement, unserved, pool, one_packet, servers)| {
                let template = config(BASE).services[0].clone();
                let idle_flags = if one_packet {
                    crate::ipvs::SchedulerFlags::THIRD
                } else {
                    crate::ipvs::SchedulerFlags::default()
                };
                let is_marked = key.virtual_endpoint().is_none();
                Service {
                    name: name.map(str::to_owned),
                    key,
                    // A mark's service has no way to say where its VIP stands.
                    placement: if is_marked {
                        Placement::Auto
                    } else {
                        placement
                    },
                    unserved,
                    idle_flags,
                    local_pool: pool.map(str::to_owned),
                    one_packet,
                    servers,
                    ..template
                }
            },
        )
    }

    fn pool() -> impl Strategy<Value = LocalPool> {
        let name = prop_oneof![Just("a"), Just("b"), Just("c")];
        (
            name,
            address(),
            proptest::option::weighted(0.1, Just("lan")),
        )
            .prop_map(|(name, addr, interface)| LocalPool {
                name: name.to_owned(),
                addresses: vec![AddressRange {
                    first: addr,
                    last: addr,
                }],
                ports: PortRange::UNPRIVILEGED,
                interface: interface.map(str::to_owned),
            })
    }

    fn edit() -> impl Strategy<Value = Edit> {
        prop_oneof![
            6 => service().prop_map(Edit::Put),
            2 => key().prop_map(Edit::Remove),
            2 => pool().prop_map(Edit::PutPool),
            1 => prop_oneof![Just("a"), Just("b")].prop_map(|it| Edit::RemovePool(it.to_owned())),
        ]
    }

    /// What the edits come to when nobody asks whether they can be, unless something to be removed
    /// is not there.
    fn unchecked(mut config: Config, edits: &[Edit]) -> Option<Config> {
        for edit in edits.iter().cloned() {
            let services = &mut config.services;
            let pools = &mut config.local_pools;
            match edit {
                Edit::Put(new) => match services.iter_mut().find(|it| it.key == new.key) {
                    Some(old) => *old = new,
                    None => services.push(new),
                },
                Edit::Remove(key) => {
                    let at = services.iter().position(|it| it.key == key)?;
                    services.remove(at);
                }
                Edit::PutPool(new) => match pools.iter_mut().find(|it| it.name == new.name) {
                    Some(old) => *old = new,
                    None => pools.push(new),
                },
                Edit::RemovePool(name) => {
                    let at = pools.iter().position(|it| it.name == name)?;
                    pools.remove(at);
                }
            }
        }
        Some(config)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn edits_can_be_exactly_when_the_file_could_that_says_the_same(
            edits in proptest::collection::vec(edit(), 1..4),
        ) {
            let base = config(BASE);

            let planned = base.plan(edits.clone());

            let Some(wanted) = unchecked(base.clone(), &edits) else {
                prop_assert!(matches!(
                    planned,
                    Err(EditError::NoService(_) | EditError::NoPool(_))
                ));
                return Ok(());
            };
            let json = serde_json::to_value(&wanted).unwrap();
            match (planned, Config::from_json(&json, Path::new("api"))) {
                (Ok(plan), Ok((read, warnings))) => {
                    for warning in &plan.warnings {
                        let mut known = warnings.0.iter().map(|it| &it.message);
                        prop_assert!(known.any(|it| it == warning), "{warning}");
                    }
                    let mut config = base;
                    config.carry_out(plan);
                    prop_assert_eq!(&config, &wanted);
                    prop_assert_eq!(config, read);
                }
                (Err(EditError::Refused(_)), Err(_)) => {}
                (planned, read) => {
                    panic!("{planned:?}\n{:?}", read.map_err(|it| it.to_string()));
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_is_said_without_lines() {
        let base = config(BASE);
        let mut web = base.services[0].clone();
        web.servers[0].weight = Weight(u32::MAX);
        web.servers[0].endpoint.addr = "10.0.0.8".parse().unwrap();

        let refused = base.plan(vec![Edit::Put(web), Edit::RemovePool("a".to_owned())]);

        assert_eq!(
            refused.unwrap_err().to_string(),
            "service tcp 10.0.0.1:80: `weight` 4294967295 is above 2147483647: give 0 to \
             2147483647\n\
             there is no local pool \"a\": the names are b\n\
             server 10.0.0.8 has a local address of a pool: give the server's own address, or \
             take it out of the pool"
        );
    }

    #[test]
    fn what_is_removed_and_added_again_stands_behind_what_was_added_meanwhile() {
        let mut config = config(BASE);
        let pool = |name: &str, last| {
            let addr = Ipv4Addr::new(10, 9, 9, last).into();
            let addresses = vec![AddressRange {
                first: addr,
                last: addr,
            }];
            Edit::PutPool(LocalPool {
                name: name.to_owned(),
                addresses,
                ..config.local_pools[0].clone()
            })
        };
        let edits = vec![Edit::RemovePool("a".to_owned()), pool("c", 1), pool("a", 2)];

        let plan = config.plan(edits).unwrap();
        config.carry_out(plan);

        let names = config.local_pools.iter().map(|it| it.name.as_str());
        assert_eq!(names.collect::<Vec<_>>(), ["b", "c", "a"]);
    }
}
