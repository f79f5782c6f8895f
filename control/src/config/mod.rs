//! One declarative file: text in, every mistake named, a checked configuration out.
//!
//! ```text
//! TOML ─┐
//!       ├─ document (tree with lines) ─ section (keys) ─ check (relations) ─► Config
//! JSON ─┘
//! ```
//!
//! A [`Config`] is checked: reading one is the only way to get one, and later code does not ask
//! again. Nothing is refused for what the machine lacks, so a file can be checked anywhere; what only
//! the machine knows (cores, NICs, huge pages) is found out when the gateway starts. Programs and
//! certificates of checks that are not there are a warning.

use std::net::IpAddr;
use std::path::Path;

use dataplane::id::{EthdevId, InterfaceId};
use dataplane::knobs::Knobs;
use dataplane::service::{ServiceKey, Unserved};
use dataplane::session::Timeouts;
use serde::Serialize;

mod announce;
mod check;
mod check_range;
mod diff;
mod document;
mod edit;
mod error;
mod gateway;
mod health;
mod ipvs;
mod local_pool;
mod marks;
mod network;
mod part;
mod port;
mod section;
mod service;
mod sizing;
mod timeouts;
mod touched;
mod vip;
mod written;

#[cfg(test)]
mod testing;

pub use announce::Announce;
pub use check_range::CheckInterface;
pub use diff::{Changed, Difference, How, KeyChanged};
pub(crate) use edit::{Done, Plan};
pub use edit::{Edit, EditError};
pub use error::{ConfigError, ConfigErrors, ConfigWarning, Warnings};
pub use gateway::{
    Gateway, HugePages, Idle, MAX_WORKERS, MIN_BUFFER_BYTES, Others, RouteTable, Workers,
};
pub use health::{
    Agent, Check, CheckKind, Damping, Digest, Dns, Grpc, Health, Http, LoadSource,
    Path as CheckPath, Script, ServerHealth, Start, Timing, Tls, Udp,
};
pub use ipvs::Ipvs;
pub use local_pool::{LocalPool, MAX_POOL_ADDRESSES};
pub use marks::Mark;
pub(crate) use network::not_a_host;
pub use network::{AddressRange, InterfaceAddress, MAX_INTERFACE_NAME, PortRange, Route};
pub(crate) use port::normal_pci_address;
pub use port::{Device, Interface, NumberedInterface, Port, Twin, Vlan};
pub(crate) use service::every_client;
pub use service::{Server, Service};
pub use sizing::FRAME_OVERHEAD;
pub(crate) use touched::Fate;
pub use vip::Placement;

pub(crate) use section::{advice, near};

use document::Table;
use section::{Problems, Section, Written};

/// Everything an operator asks for, checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Config {
    gateway: Gateway,
    ipvs: Ipvs,
    #[serde(serialize_with = "timeouts::serialize")]
    timeouts: Timeouts,
    #[serde(rename = "health", skip_serializing_if = "CheckInterface::is_default")]
    check_interface: CheckInterface,
    #[serde(rename = "port")]
    ports: Vec<Port>,
    #[serde(rename = "mark", skip_serializing_if = "Vec::is_empty")]
    marks: Vec<Mark>,
    #[serde(rename = "local_pool", skip_serializing_if = "Vec::is_empty")]
    local_pools: Vec<LocalPool>,
    #[serde(rename = "service", skip_serializing_if = "Vec::is_empty")]
    services: Vec<Service>,
}

/// A VIP with what its services say about it together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vip<'a> {
    /// The address.
    pub address: IpAddr,
    /// Who puts it on a twin.
    pub placement: &'a Placement,
    /// What becomes of packets to it that no service or session serves.
    pub unserved: Unserved,
}

/// What could be read, before the relations between its parts are checked.
struct RawConfig<'a> {
    gateway: Gateway,
    ipvs: Ipvs,
    timeouts: Timeouts,
    check_interface: CheckInterface,
    ports: Vec<Written<'a, Port>>,
    marks: Vec<Written<'a, Mark>>,
    local_pools: Vec<Written<'a, LocalPool>>,
    services: Vec<Written<'a, Service>>,
    /// The document, which knows the line of everything, read or not.
    root: &'a Table,
    /// How many pools and services in front are to be checked; `None` is all.
    edited: Option<(usize, usize)>,
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it: it cannot be read, is not TOML, has keys or values
    /// that do not exist, or parts that contradict each other.
    pub fn load(path: &Path) -> Result<(Self, Warnings), ConfigErrors> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::from_toml(&text, path),
            Err(error) => Err(ConfigErrors(vec![ConfigError {
                path: path.to_owned(),
                line: 0,
                message: format!("cannot be read: {error}"),
            }])),
        }
    }

    /// Reads and checks TOML; `path` is what errors call it.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, as in [`Self::load`].
    pub fn from_toml(text: &str, path: &Path) -> Result<(Self, Warnings), ConfigErrors> {
        let problems = Problems::default();
        let (root, syntax_errors) = document::from_toml(text);
        // What the parser could not read is missing from the tree: complaining about that too
        // would hide the mistake.
        if syntax_errors.is_empty() {
            let config = Self::read(&root, &problems);
            return conclude(config, problems, path);
        }
        for (line, message) in syntax_errors {
            problems.refuse(line, message);
        }
        conclude(None, problems, path)
    }

    /// Reads and checks the JSON that a [`Config`] serialises to; `path` is what errors call it.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, without lines; the sentences say the place instead.
    pub fn from_json(
        json: &serde_json::Value,
        path: &Path,
    ) -> Result<(Self, Warnings), ConfigErrors> {
        let problems = Problems::default();
        let config = match document::from_json(json) {
            Ok(root) => Self::read(&root, &problems),
            Err(message) => {
                problems.refuse(0, message);
                None
            }
        };
        conclude(config, problems, path)
    }

    /// The configuration as TOML that reads as an equal one.
    ///
    /// # Errors
    ///
    /// None that is known of: every value of a checked configuration can be written.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }

    /// `[gateway]`.
    #[must_use]
    pub const fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// `[ipvs]`.
    #[must_use]
    pub const fn ipvs(&self) -> &Ipvs {
        &self.ipvs
    }

    /// `[timeouts]`.
    #[must_use]
    pub const fn timeouts(&self) -> &Timeouts {
        &self.timeouts
    }

    /// `[health]`: the interface to which check addresses are routed.
    #[must_use]
    pub const fn check_interface(&self) -> &CheckInterface {
        &self.check_interface
    }

    /// Replaces `[timeouts]`.
    pub(crate) fn set_timeouts(&mut self, timeouts: Timeouts) {
        self.timeouts = timeouts;
    }

    /// Replaces the variables of `[ipvs]`.
    pub(crate) fn set_knobs(&mut self, knobs: Knobs) {
        self.ipvs.knobs = knobs;
    }

    /// Every `[[port]]`, at least one; the index is its [`EthdevId`].
    #[must_use]
    pub fn ports(&self) -> &[Port] {
        &self.ports
    }

    /// Every `[[mark]]`, in the order in which they are asked.
    #[must_use]
    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// Every `[[local_pool]]`; no address is in two.
    #[must_use]
    pub fn local_pools(&self) -> &[LocalPool] {
        &self.local_pools
    }

    /// Every `[[service]]`; no two have the same key.
    #[must_use]
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// The service of this key.
    #[must_use]
    pub fn service(&self, key: ServiceKey) -> Option<&Service> {
        self.services.iter().find(|service| service.key == key)
    }

    /// The pool of this name.
    #[must_use]
    pub fn local_pool(&self, name: &str) -> Option<&LocalPool> {
        self.local_pools.iter().find(|pool| pool.name == name)
    }

    /// Every ethdev and VLAN, in the order of their numbers.
    pub fn interfaces(&self) -> impl Iterator<Item = NumberedInterface<'_>> {
        let interfaces = self.ports.iter().zip(0..).flat_map(|(port, ethdev)| {
            port.interfaces()
                .map(move |(vlan, interface)| (EthdevId(ethdev), vlan, interface))
        });
        interfaces
            .zip(0..)
            .map(|((ethdev, vlan, interface), id)| NumberedInterface {
                id: InterfaceId(id),
                ethdev,
                vlan,
                interface,
            })
    }

    /// The ethdev or VLAN of this name.
    #[must_use]
    pub fn interface(&self, name: &str) -> Option<NumberedInterface<'_>> {
        self.interfaces()
            .find(|numbered| numbered.interface.name == name)
    }

    /// Every VIP once, in the order of their first services.
    #[must_use]
    pub fn vips(&self) -> Vec<Vip<'_>> {
        check::vips(&self.services)
    }

    /// Bytes of one packet buffer with its headroom: as written, else what the largest MTU
    /// needs, at least [`MIN_BUFFER_BYTES`].
    #[must_use]
    pub fn buffer_bytes(&self) -> u16 {
        sizing::buffer_bytes(&self.gateway, self.ports.iter())
    }

    /// Packet buffers per socket: as written, else what fills every descriptor twice over and
    /// leaves each worker some to work with.
    #[must_use]
    pub fn pool_buffers(&self) -> u32 {
        sizing::pool_buffers(&self.gateway, self.ports.iter())
    }

    /// The least `memory_mb` that holds the packet buffers.
    pub(crate) fn memory_mb_needed(&self) -> u64 {
        sizing::memory_mb(self.pool_buffers(), self.buffer_bytes())
    }

    /// Bytes of huge pages that one worker's session table takes: whole ones, or less than one.
    pub(crate) fn session_table_bytes(&self) -> u64 {
        sizing::session_table_bytes(&self.gateway)
    }

    fn read(root: &Table, problems: &Problems) -> Option<Self> {
        RawConfig::read(root, problems).check(problems)
    }
}

impl<'a> RawConfig<'a> {
    fn read(root: &'a Table, problems: &'a Problems) -> Self {
        let mut section = Section::root(root, problems);
        let gateway = section.inner("gateway").map(Gateway::read);
        let ipvs = section.inner("ipvs").map(Ipvs::read);
        let timeouts = section.inner("timeouts").map(timeouts::read);
        let check_interface = section.inner("health").map(CheckInterface::read);
        let ports = section.tables("port").into_iter();
        let marks = section.tables("mark").into_iter();
        let local_pools = section.tables("local_pool").into_iter();
        let services = section.tables("service").into_iter();
        let raw = Self {
            gateway: gateway.unwrap_or_default(),
            ipvs: ipvs.unwrap_or_default(),
            timeouts: timeouts.unwrap_or_default(),
            check_interface: check_interface.unwrap_or_default(),
            ports: ports.filter_map(Port::read).collect(),
            marks: marks.filter_map(Mark::read).collect(),
            local_pools: local_pools.filter_map(LocalPool::read).collect(),
            services: services.filter_map(Service::read).collect(),
            root,
            edited: None,
        };
        section.finish();
        raw
    }

    /// The services to be checked; the others may be as they are.
    fn checked_services(&self) -> &[Written<'a, Service>] {
        let count = self.edited.map_or(self.services.len(), |(_, count)| count);
        self.services.get(..count).unwrap_or_default()
    }

    /// The pools to be checked.
    fn checked_pools(&self) -> &[Written<'a, LocalPool>] {
        let count = (self.edited).map_or(self.local_pools.len(), |(count, _)| count);
        self.local_pools.get(..count).unwrap_or_default()
    }

    /// The configuration, which is only meant when no problem was noted.
    fn check(self, problems: &Problems) -> Option<Config> {
        check::all(&self, problems);
        problems.has_no_errors().then(|| Config {
            gateway: self.gateway,
            ipvs: self.ipvs,
            timeouts: self.timeouts,
            check_interface: self.check_interface,
            ports: self.ports.into_iter().map(|port| port.value).collect(),
            marks: self.marks.into_iter().map(|mark| mark.value).collect(),
            local_pools: self
                .local_pools
                .into_iter()
                .map(|pool| pool.value)
                .collect(),
            services: self
                .services
                .into_iter()
                .map(|service| service.value)
                .collect(),
        })
    }
}

fn conclude(
    config: Option<Config>,
    problems: Problems,
    path: &Path,
) -> Result<(Config, Warnings), ConfigErrors> {
    let [errors, warnings] = problems.into_sorted();
    let located = |(line, message)| (path.to_owned(), line, message);
    match config {
        Some(config) => {
            let warnings = warnings.into_iter().map(located);
            let warnings = warnings.map(|(path, line, message)| ConfigWarning {
                path,
                line,
                message,
            });
            Ok((config, Warnings(warnings.collect())))
        }
        None => {
            let errors = errors.into_iter().map(located);
            let errors = errors.map(|(path, line, message)| ConfigError {
                path,
                line,
                message,
            });
            Err(ConfigErrors(errors.collect()))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    use super::testing::config;
    use super::*;

    /// The repository's `conf/`, with every example in it and in the folders of its neighbours.
    fn examples() -> Vec<PathBuf> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conf");
        let entries = |folder: &Path| -> Vec<PathBuf> {
            let entries = std::fs::read_dir(folder).unwrap();
            entries.map(|entry| entry.unwrap().path()).collect()
        };
        let mut paths = entries(&folder);
        let folders: Vec<_> = paths.iter().filter(|path| path.is_dir()).cloned().collect();
        paths.extend(folders.iter().flat_map(|folder| entries(folder)));
        paths.retain(|path| path.extension().is_some_and(|ext| ext == "toml"));
        paths.sort();
        paths
    }

    fn assert_survives_writing(config: &Config) {
        let toml = config.to_toml().unwrap();
        let (from_toml, _) = Config::from_toml(&toml, Path::new("written.toml"))
            .unwrap_or_else(|errors| panic!("{errors}\n{toml}"));
        assert_eq!(&from_toml, config, "{toml}");

        let json = serde_json::to_value(config).unwrap();
        let (from_json, _) = Config::from_json(&json, Path::new("api"))
            .unwrap_or_else(|errors| panic!("{errors}\n{json}"));
        assert_eq!(&from_json, config, "{json}");
    }

    #[test]
    fn every_example_loads_without_a_warning_and_survives_writing() {
        let examples = examples();
        assert!(examples.len() >= 7);
        for path in examples {
            let (config, warnings) =
                Config::load(&path).unwrap_or_else(|errors| panic!("{errors}"));
            // What a package starts with tells of the port that is to come.
            let expected = usize::from(path.ends_with("package.toml"));
            assert_eq!(warnings.0.len(), expected, "{warnings:?}");
            assert_survives_writing(&config);
        }
    }

    #[test]
    fn the_annotated_example_shows_every_default() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conf/sluice.toml");
        let (shown, _) = Config::load(&path).unwrap();
        let default = config("");

        assert_eq!(shown.gateway(), default.gateway());
        assert_eq!(shown.ipvs(), default.ipvs());
        assert_eq!(shown.timeouts(), default.timeouts());
        assert_eq!(shown.check_interface(), default.check_interface());
        let (shown, default) = (&shown.ports()[0], &default.ports()[0]);
        assert_eq!(shown.interface.twin, default.interface.twin);
        assert_eq!(shown.interface.mtu, default.interface.mtu);
        assert_eq!(shown.rx_descriptors, default.rx_descriptors);
        assert_eq!(shown.tx_descriptors, default.tx_descriptors);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_one_sentence() {
        let errors = Config::load(Path::new("/nowhere/x.toml")).unwrap_err();

        assert_eq!(
            errors.to_string(),
            "/nowhere/x.toml: cannot be read: No such file or directory (os error 2)"
        );
    }

    #[test]
    fn every_mistake_is_reported_in_the_order_of_lines() {
        let text = "[[service]]\nprotocol = \"icmp\"\nvip = \"10.1.0.1\"\nport = 80\n\
                    [[port]]\nname = \"a\"\ndevice = \"eth0\"\n[gateway]\nworkers = 0\n";

        let errors = Config::from_toml(text, Path::new("t.toml")).unwrap_err();

        let lines: Vec<_> = errors.0.iter().map(|error| error.line).collect();
        assert_eq!(lines, [2, 7, 9]);
    }

    #[test]
    fn mistakes_in_json_say_their_place() {
        let json = json!({
            "port": [{"name": "a", "device": "net_null0"}],
            "service": [{
                "protocol": "tcp", "vip": "10.1.0.1", "port": 80,
                "server": [{"address": "10.2.0.1"}, {"address": "10.2.0.2", "weight": 2_147_483_648_u32}],
            }],
        });

        let errors = Config::from_json(&json, Path::new("api")).unwrap_err();

        assert_eq!(
            errors.to_string(),
            "api: service[0].server[1]: `weight` 2147483648 is above 2147483647: give 0 to \
             2147483647"
        );
    }

    #[test]
    fn broken_toml_is_reported_without_what_follows_from_it() {
        let errors = Config::from_toml("[gateway\nworkers = 1\n", Path::new("t.toml")).unwrap_err();

        assert_eq!(errors.0.len(), 1);
        assert!(
            errors
                .to_string()
                .starts_with("t.toml:1: this is not TOML: ")
        );
    }

    fn server() -> impl Strategy<Value = Json> {
        let thresholds = (0..500_u32, 500..1000_u32);
        let health = (checks(), any::<bool>());
        let all = (0..4_usize, 0..=u32::MAX >> 1, thresholds, health);
        all.prop_map(|(method, weight, (lower, upper), (checks, is_enabled))| {
            let mut server = json!({
                "check": checks,
                "enabled": is_enabled,
                "method": (["dr", "nat", "tun", "fullnat"][method]),
                "weight": weight,
                "upper_threshold": upper,
                "lower_threshold": lower,
            });
            if method % 2 == 1 {
                server["port"] = json!(8080);
            }
            server
        })
    }

    /// A check of any kind.
    fn check() -> impl Strategy<Value = Json> {
        let kinds = [
            json!({"type": "tcp"}),
            json!({"type": "http", "path": "/a?b", "host": "a.example", "load_header": "X-Load"}),
            json!({"type": "http", "method": "HEAD", "body_regex": "^a\\b", "load_json": "/a/0"}),
            json!({"type": "https", "sni": "b", "verify": true, "ca": "/ca.pem", "status": 301}),
            json!({"type": "https", "body_digest": format!("sha256:{}", "0f".repeat(32))}),
            json!({"type": "udp"}),
            json!({"type": "dns", "query": "a.example", "record": "AAAA", "answer": "::1"}),
            json!({"type": "smtp", "helo": "gw"}),
            json!({"type": "grpc", "service": "shop", "tls": true, "sni": "shop.example"}),
            json!({"type": "script", "command": ["/bin/true", "é"], "weight_by_status": true}),
            json!({"type": "icmp", "address": "2001:db8::7"}),
        ];
        let kind = prop::sample::select(kinds.to_vec());
        let times = (100..9000_u32, 10..9000_u32, 0..3000_u32, 0..=50_u8, 1..9_u8);
        let bytes = prop::collection::vec(any::<u8>(), 0..9);
        (kind, times, bytes, any::<bool>()).prop_map(|(mut check, times, bytes, is_usual)| {
            let (interval, timeout, delay, jitter, count) = times;
            match check["type"].as_str() {
                Some("icmp" | "script") => {}
                Some("udp") => {
                    let hex: String = bytes.iter().map(|byte| format!("{byte:02x} ")).collect();
                    check["send_hex"] = json!(hex);
                    check["expect"] = json!(hex);
                    check["port"] = json!(53);
                }
                _ => check["port"] = json!(8080),
            }
            if !is_usual {
                check["interval"] = json!(format!("{interval}ms"));
                check["timeout"] = json!(format!("{timeout}ms"));
                check["delay"] = json!(format!("{delay}ms"));
                check["retry_delay"] = json!(delay / 1000);
                check["jitter"] = json!(jitter);
                check["retry"] = json!(count);
                check["rise"] = json!(count);
                check["fall"] = json!(count);
            }
            check
        })
    }

    fn checks() -> impl Strategy<Value = Json> {
        let some = prop::collection::vec(check(), 0..3).prop_map(|checks| json!(checks));
        prop_oneof![Just(Json::Null), some]
    }

    /// The keys of a service that are about health; any of them may be null.
    fn health() -> impl Strategy<Value = Json> {
        let agent = prop_oneof![
            Just(Json::Null),
            (1..9000_u32, 100..9000_u32).prop_map(|(port, interval)| {
                json!({"port": port, "interval": format!("{interval}ms")})
            }),
        ];
        let damping = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(|word| json!(word)),
            (1..9_u16, 1..900_u32).prop_map(|(reuse, longest)| {
                json!({"suppress": reuse + 1, "reuse": reuse, "longest": longest})
            }),
        ];
        let sorry = prop_oneof![
            Just(Json::Null),
            Just(json!({"address": "10.2.9.9", "method": "tun"})),
        ];
        let bounds = (1..=1000_u16, 1..=1000_u16)
            .prop_map(|(one, other)| json!([one.min(other), one.max(other)]));
        let numbers = (1..9_u32, 0..9_u32, 0..200_u32, any::<bool>());
        (agent, damping, sorry, bounds, numbers, checks()).prop_map(
            |(agent, damping, sorry, bounds, (quorum, below, slow, is_down), checks)| {
                json!({
                    "agent": agent, "damping": damping, "sorry_server": sorry,
                    "weight_bounds": bounds, "quorum": quorum, "hysteresis": below % quorum,
                    "slow_start": slow, "start": (["up", "down"][usize::from(is_down)]),
                    "inhibit_on_failure": is_down, "check": checks,
                })
            },
        )
    }

    const SCHEDULERS: [&str; 8] = ["rr", "wrr", "wlc", "nq", "mh", "sh", "lblc", "lblcr"];

    fn service() -> impl Strategy<Value = Json> {
        let servers = prop::collection::vec(server(), 0..4);
        let persistence = (0..3_usize, 1..=86_400_u32);
        (
            0..3_usize,
            0..SCHEDULERS.len(),
            0..4_usize,
            any::<bool>(),
            persistence,
            servers,
            proptest::option::of(health()),
        )
            .prop_map(|(protocol, scheduler, clamp, is_named, (mask, seconds), mut servers, health)| {
                for (index, server) in servers.iter_mut().enumerate() {
                    server["address"] = json!(format!("10.2.0.{}", index + 1));
                }
                let flags = match SCHEDULERS[scheduler] {
                    "mh" => json!(["mh-port"]),
                    "sh" => json!(["sh-port", "sh-fallback"]),
                    _ => Json::Null,
                };
                let mut service = health.unwrap_or_else(|| json!({}));
                let others = json!({
                    "protocol": (["tcp", "udp", "sctp"][protocol]),
                    "scheduler": (SCHEDULERS[scheduler]),
                    "scheduler_flags": flags,
                    "mss_clamp": ([json!("auto"), json!("off"), json!(1400), json!(536)][clamp]),
                    "local_pool": "lips",
                    "persistent": ([Json::Null, json!(seconds), json!(seconds)][mask]),
                    "persistent_netmask": ([Json::Null, Json::Null, json!("255.0.255.0")][mask]),
                    "unserved": (is_named.then_some("reject")),
                    "server": servers,
                });
                let keys = service.as_object_mut().unwrap();
                keys.extend(others.as_object().unwrap().clone());
                service
            })
    }

    prop_compose! {
        /// JSON that reads as a configuration.
        fn document()(
            workers in prop_oneof![
                (1..8_u16).prop_map(|count| json!(count)),
                prop::collection::btree_set(0..64_u16, 1..8).prop_map(|cores| json!(cores)),
            ],
            huge_pages in prop_oneof![Just(json!("auto")), any::<bool>().prop_map(|b| json!(b))],
            metrics in prop_oneof![Just(json!("off")), Just(json!("[::1]:9911"))],
            timeout in 1..=2_678_400_u32,
            rules in prop::sample::select(vec!["6.1.192", "6.1.176"]),
            modes in 0..4_u8,
            mtu in 1280..9000_u16,
            persist in any::<bool>(),
            vlans in prop::collection::btree_set(1..=4094_u16, 0..4),
            lips in 0..255_u8,
            services in prop::collection::vec(service(), 0..6),
            placement in 0..3_usize,
            marks in any::<bool>(),
        ) -> Json {
            let vlans: Vec<_> = vlans
                .iter()
                .map(|id| json!({"id": id, "name": format!("v{id}")}))
                .collect();
            let services: Vec<_> = services
                .into_iter()
                .zip(80_u16..)
                .map(|(mut service, port)| {
                    if marks {
                        let unlike_addresses = service.as_object_mut().unwrap();
                        unlike_addresses.retain(|key, _| key != "protocol" && key != "unserved");
                        service["mark"] = json!(port);
                        service["one_packet"] = json!(port % 2 == 0);
                        service["server"] = json!([{"address": "10.2.0.1", "method": "nat"}]);
                        return service;
                    }
                    service["port"] = json!(port);
                    service["vip"] = [
                        json!("10.1.0.100"),
                        json!({"address": "10.1.0.100", "place": "external"}),
                        json!({"address": "10.1.0.100", "interface": "wan"}),
                    ][placement].clone();
                    service
                })
                .collect();
            json!({
                "gateway": {
                    "workers": workers, "huge_pages": huge_pages, "metrics": metrics,
                    "memory_mb": 4096, "route_tables": ["main", 7],
                },
                "ipvs": {
                    "rules": rules, "lblc_expiration": timeout, "drop_entry": modes,
                    "conn_reuse_mode": modes, "sloppy_tcp": persist,
                },
                "timeouts": {"udp": timeout},
                "health": {"check_addresses": format!("198.18.0.0/{}", 16 + lips % 8)},
                "port": [{
                    "name": "wan", "device": "0000:3b:00.0", "mtu": mtu,
                    "twin": {"name": "up", "persist": persist},
                    "addresses": ["10.1.0.1/24"], "routes": ["default via 10.1.0.254"],
                    "vlan": vlans,
                }],
                "mark": [
                    {"mark": timeout, "port": "wan", "protocol": "udp", "source": "10.1.0.0/16"},
                    {"mark": 0, "destination_ports": mtu, "source_ports": "7-9"},
                ],
                "local_pool": [{"name": "lips", "addresses": [format!("10.3.0.0-10.3.0.{lips}")]}],
                "service": services,
            })
        }
    }

    /// Lines that may stand in a configuration, right or wrong.
    fn line() -> impl Strategy<Value = String> {
        prop_oneof![
            prop::sample::select(vec![
                "[gateway]",
                "[timeouts]",
                "[[port]]",
                "[[port.vlan]]",
                "[[local_pool]]",
                "[[service]]",
                "[[service.server]]",
                "[service]",
                "name = \"a\"",
                "device = \"net_null0\"",
                "vip = { address = 1, interface = \"b\" }",
                "addresses = [\"10.0.0.1-10.0.0.9\", 7]",
                "addresses = [\"0.0.0.0-255.255.255.255\"]",
                "twin = { name = \"é\" }",
                "mtu = 65535",
                "workers = [65536, -1]",
            ])
            .prop_map(str::to_owned),
            ("[a-z_]{1,12}", "[ -~]{0,12}").prop_map(|(key, value)| format!("{key} = {value}")),
            ("[a-z_]{1,12}", any::<i64>()).prop_map(|(key, value)| format!("{key} = {value}")),
        ]
    }

    proptest! {
        #[test]
        fn any_configuration_survives_writing(json in document()) {
            let (config, _) = Config::from_json(&json, Path::new("api"))
                .unwrap_or_else(|errors| panic!("{errors}\n{json}"));

            assert_survives_writing(&config);
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            let result = Config::from_toml(&text, Path::new("t.toml"));

            prop_assert!(result.is_err(), "text without a port is refused");
        }

        #[test]
        fn no_lines_panic_and_errors_are_in_the_text(lines in prop::collection::vec(line(), 0..40)) {
            let result = Config::from_toml(&lines.join("\n"), Path::new("t.toml"));

            if let Err(ConfigErrors(errors)) = result {
                prop_assert!(!errors.is_empty());
                for error in errors {
                    prop_assert!((1..=lines.len().max(1)).contains(&error.line), "{}", error);
                }
            }
        }
    }
}
