//! From a checked configuration to what the packet path is told.

use std::net::IpAddr;

use dataplane::address::{Address, V4};
use dataplane::editor::{LocalSpec, ServerSpec, ServiceSpec};
use dataplane::hasher::FastMap;
use dataplane::id::EthdevId;
use dataplane::knobs::Knobs;
use dataplane::marks::MarkRule;
use dataplane::service::{SchedulerKind, ServiceKey, Unserved};

use crate::config::{Config, InterfaceAddress, Mark, PortRange, Server, Service};
use crate::health::standing::{self, Standing};
use crate::ipvs::{ServiceName, Table};

/// Which servers run of every service that is watched.
pub(super) type Standings = FastMap<ServiceKey, Standing>;

/// How the services of a configuration stand: as before, and new ones as before their first checks.
#[must_use]
pub(super) fn standings(config: &Config, mut before: Standings) -> Standings {
    let watched = config.services().iter().filter_map(|service| {
        let known = before.remove(&service.key());
        let health = standing::health_of(service)?;
        let standing = known.unwrap_or_else(|| Standing::unchecked(service, &health));
        Some((service.key(), standing))
    });
    watched.collect()
}

/// All that services are compiled from.
#[derive(Clone, Copy)]
pub(super) struct Sources<'a> {
    /// What is wished for.
    pub(super) config: &'a Config,
    /// The variables that run.
    pub(super) knobs: &'a Knobs,
    /// How often servers were edited.
    pub(super) table: &'a Table,
    /// What is known of servers.
    pub(super) standings: &'a Standings,
}

impl Sources<'_> {
    /// The services, in the order of the file.
    #[must_use]
    pub(super) fn services(self) -> Vec<ServiceSpec> {
        let vips = self.config.vips();
        let unserved: FastMap<_, _> = vips.iter().map(|vip| (vip.address, vip.unserved)).collect();
        let services = self.config.services().iter().map(|service| {
            let of_vip = service.vip().and_then(|vip| unserved.get(&vip).copied());
            self.service(service, of_vip.unwrap_or_default())
        });
        services.collect()
    }

    /// One service; `unserved` is what all services of its VIP say together.
    #[must_use]
    pub(super) fn service(self, service: &Service, unserved: Unserved) -> ServiceSpec {
        let known = self.table.service(&ServiceName::of(service.key()));
        let edits = |server: &Server| known.map_or(0, |known| known.edits(server.endpoint));
        // No packet path for both families at once: to the others of a service nothing is sent.
        let is_v6 = service.key.is_ipv6();
        let servers = running(service, self.standings).into_iter();
        let servers = servers.filter(|it| it.endpoint.addr.is_ipv6() == is_v6);
        ServiceSpec {
            key: service.key(),
            scheduler: scheduler(self.knobs, service),
            servers: (servers.map(|it| server(&it, edits(&it)))).collect(),
            checked: checked(service),
            local_addresses: local_addresses(self.config, service),
            unserved,
            mss_clamp: service.mss_clamp,
            persistence: service.persistence,
            one_packet: service.one_packet,
        }
    }
}

/// The servers of a service that are in the packet path, with their effective weights, and the
/// thresholds that their agents want.
#[must_use]
pub(super) fn running(service: &Service, standings: &Standings) -> Vec<Server> {
    let servers = service.servers.iter();
    let health = standing::health_of(service);
    let Some((standing, health)) = standings.get(&service.key()).zip(health) else {
        return servers.cloned().collect();
    };
    let sorry = service.sorry_server().filter(|_| standing.sorry);
    let is_sorry = |server: &Server| sorry.is_some_and(|it| it.endpoint == server.endpoint);
    let servers = servers.filter(|it| !is_sorry(it));
    let servers = servers.filter_map(|it| {
        let weight = standing.of(it, &health).weight?;
        let limit = standing.limits.get(&it.endpoint).copied();
        let upper_threshold = limit.unwrap_or(it.upper_threshold);
        Some(Server {
            weight,
            upper_threshold,
            lower_threshold: it.lower_threshold.min(upper_threshold),
            ..it.clone()
        })
    });
    servers.chain(sorry.cloned()).collect()
}

/// Where answers to the checks of a service come from, as far as it is watched.
fn checked(service: &Service) -> Vec<IpAddr> {
    let Some(health) = standing::health_of(service) else {
        return Vec::new();
    };
    let addresses = service.servers.iter().flat_map(|server| {
        let elsewhere = standing::checks_of(server, &health).iter();
        let elsewhere = elsewhere.filter_map(|check| check.address);
        std::iter::once(server.endpoint.addr).chain(elsewhere)
    });
    addresses.collect()
}

/// The scheduler with the options that all services share.
const fn scheduler(knobs: &Knobs, service: &Service) -> SchedulerKind {
    match service.scheduler {
        SchedulerKind::Lblc { .. } => SchedulerKind::Lblc {
            expiration_seconds: knobs.lblc_expiration,
        },
        SchedulerKind::Lblcr { .. } => SchedulerKind::Lblcr {
            expiration_seconds: knobs.lblcr_expiration,
        },
        other => other,
    }
}

/// The rules for firewall marks, in the order of the file.
#[must_use]
pub fn marks(config: &Config) -> Vec<MarkRule> {
    let marks = config.marks().iter();
    marks.map(|rule| mark(config, rule)).collect()
}

fn mark(config: &Config, rule: &Mark) -> MarkRule {
    let ethdev = |name: &String| {
        let mut ports = config.ports().iter().zip(0..);
        let found = ports.find(|(port, _)| port.interface.name == *name);
        found.map(|(_, number)| EthdevId(number))
    };
    let prefix =
        |network: InterfaceAddress| Some((V4::from_ip(network.address)?, network.prefix_len));
    let ports = |ports: Option<PortRange>| ports.map_or(0..=u16::MAX, |ports| ports.ports());
    MarkRule {
        ethdev: rule.port.as_ref().and_then(ethdev),
        protocol: rule.protocol.map(|protocol| protocol as u8),
        source: rule.source.and_then(prefix),
        destination: rule.destination.and_then(prefix),
        source_ports: ports(rule.source_ports),
        destination_ports: ports(rule.destination_ports),
        mark: rule.mark,
    }
}

const fn server(server: &Server, edits: u32) -> ServerSpec {
    ServerSpec {
        endpoint: server.endpoint,
        weight: server.weight,
        method: server.method,
        upper_threshold: server.upper_threshold,
        lower_threshold: server.lower_threshold,
        edits,
    }
}

fn local_addresses(config: &Config, service: &Service) -> Vec<LocalSpec> {
    let pool = service
        .local_pool
        .as_deref()
        .and_then(|name| config.local_pool(name));
    pool.into_iter()
        .flat_map(|pool| pool.lips().map(|addr| (addr, pool.ports)))
        .map(|(addr, ports)| LocalSpec {
            addr,
            ports: ports.first..=ports.last,
            host: is_host_address(config, addr),
        })
        .collect()
}

/// Whether the file itself makes this address one of the box's own.
fn is_host_address(config: &Config, addr: std::net::IpAddr) -> bool {
    config
        .interfaces()
        .flat_map(|numbered| &numbered.interface.addresses)
        .any(|address| address.address == addr)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use dataplane::service::Method;

    use super::*;

    const TEXT: &str = r#"
[[port]]
name = "wan"
device = "net_null0"
addresses = ["10.1.0.1/24"]

[[local_pool]]
name = "lips"
addresses = ["10.1.0.200-10.1.0.201", "10.1.0.1"]
ports = "30000-39999"

[[service]]
protocol = "tcp"
vip = "10.1.0.100"
port = 443
unserved = "drop"
local_pool = "lips"
[[service.server]]
address = "10.2.0.11"
method = "fullnat"
port = 8443
weight = 3
[[service.server]]
address = "10.2.0.12"
method = "nat"
upper_threshold = 100

[[service]]
protocol = "udp"
vip = "10.1.0.101"
port = 53
"#;

    fn services(config: &Config) -> Vec<ServiceSpec> {
        let sources = Sources {
            config,
            knobs: &config.ipvs().knobs,
            table: &Table::of(config),
            standings: &Standings::default(),
        };
        sources.services()
    }

    fn compiled() -> Vec<ServiceSpec> {
        let (config, _) = Config::from_toml(TEXT, Path::new("t.toml")).unwrap();
        services(&config)
    }

    #[test]
    fn services_and_servers_keep_their_order_and_what_is_said_of_them() {
        let specs = compiled();

        let keys: Vec<_> = specs.iter().map(|spec| spec.key.to_string()).collect();
        assert_eq!(keys, ["tcp 10.1.0.100:443", "udp 10.1.0.101:53"]);
        let [one, other] = specs[0].servers.as_slice() else {
            panic!("there are two servers");
        };
        assert_eq!(
            (one.endpoint.port, one.weight.0, one.method),
            (8443, 3, Method::Fullnat)
        );
        assert_eq!(
            (other.endpoint.port, other.weight.0, other.method),
            (443, 1, Method::Nat)
        );
        assert_eq!((other.upper_threshold, other.lower_threshold), (100, 0));
        assert!(specs[1].servers.is_empty());
    }

    #[test]
    fn locality_is_remembered_for_as_long_as_is_said_for_all_services() {
        let text = format!(
            "[ipvs]\nlblc_expiration = 5\nlblcr_expiration = 6\n{}",
            TEXT.replacen("port = 443", "port = 443\nscheduler = \"lblc\"", 1)
                .replacen("port = 53", "port = 53\nscheduler = \"lblcr\"", 1)
        );
        let (config, _) = Config::from_toml(&text, Path::new("t.toml")).unwrap();

        let schedulers: Vec<_> = (services(&config).iter())
            .map(|spec| spec.scheduler)
            .collect();

        let expected = [
            SchedulerKind::Lblc {
                expiration_seconds: 5,
            },
            SchedulerKind::Lblcr {
                expiration_seconds: 6,
            },
        ];
        assert_eq!(schedulers, expected);
    }

    #[test]
    fn a_rule_for_marks_asks_the_same_of_a_packet() {
        let text = format!(
            "{TEXT}\n[[port]]\nname = \"lan\"\ndevice = \"net_null1\"\n\
             [[mark]]\nmark = 7\nport = \"lan\"\nprotocol = \"udp\"\nsource = \"10.1.0.0/16\"\n\
             destination_ports = \"53-54\"\n[[mark]]\nmark = 8\n"
        );
        let (config, _) = Config::from_toml(&text, Path::new("t.toml")).unwrap();

        let one = MarkRule {
            ethdev: Some(EthdevId(1)),
            protocol: Some(17),
            source: Some((V4(0x0a01_0000), 16)),
            destination_ports: 53..=54,
            ..MarkRule::any(7)
        };
        assert_eq!(marks(&config), [one, MarkRule::any(8)]);
    }

    #[test]
    fn what_a_vip_does_with_the_rest_belongs_to_its_services() {
        let specs = compiled();

        assert_eq!(specs[0].unserved, Unserved::Drop);
        assert_eq!(specs[1].unserved, Unserved::default());
    }

    #[test]
    fn every_local_address_has_the_pools_ports_and_knows_whether_the_box_has_it_too() {
        let specs = compiled();

        let locals: Vec<_> = (specs[0].local_addresses.iter())
            .map(|local| (local.addr.to_string(), local.ports.clone(), local.host))
            .collect();
        let local = |addr: &str, host| (addr.to_owned(), 30_000..=39_999, host);
        assert_eq!(
            locals,
            [
                local("10.1.0.200", false),
                local("10.1.0.201", false),
                local("10.1.0.1", true)
            ]
        );
        assert!(specs[1].local_addresses.is_empty());
    }
}
