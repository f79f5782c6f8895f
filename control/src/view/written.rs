//! Services, servers, pools and rules as a configuration writes them, in JSON as in TOML.
//!
//! These types say what is written, and what the API's document says of it; what it means, and
//! whether it can be, is [`config`](crate::config)'s to say, which reads and writes the same keys.
//! A test holds the two together.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{AgentWritten, CheckWritten, DampingWritten, SorryServerWritten};

/// A virtual service, as `[[service]]` says it: either `protocol`, `vip` and `port`, or `mark`
/// with its `family`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "protocol": "tcp", "vip": "10.1.0.100", "port": 80, "scheduler": "wrr",
    "server": [{"address": "10.2.0.11", "weight": 2}],
}))]
pub struct ServiceWritten {
    /// What tables and metrics call it: 1 to 64 printable characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 64)]
    pub name: Option<String>,
    /// `tcp`, `udp` or `sctp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^(tcp|udp|sctp)$")]
    pub protocol: Option<String>,
    /// The address that clients speak to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vip: Option<VipWritten>,
    /// The port that clients speak to; 0 is every port that no other service of the VIP has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The firewall mark of its packets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub mark: Option<u32>,
    /// Of which packets the mark is: `ipv4`, as when not said, or `ipv6`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^(ipv4|ipv6)$")]
    pub family: Option<String>,
    /// How a server is chosen: the kernel's names; `wlc` when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^(rr|wrr|lc|wlc|sed|nq|fo|ovf|twos|dh|sh|mh|lblc|lblcr|none)$")]
    pub scheduler: Option<String>,
    /// What is said to the scheduler, like `sh-port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler_flags: Option<Vec<String>>,
    /// The pool that its FULLNAT servers' local addresses come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_pool: Option<String>,
    /// What becomes of other packets to the VIP: `linux`, `reject` or `drop`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^(linux|reject|drop)$")]
    pub unserved: Option<String>,
    /// Whether the MSS of TCP is lowered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mss_clamp: Option<MssClampWritten>,
    /// For how long after its last new session a client meets its server again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent: Option<DurationWritten>,
    /// Which clients count as one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_netmask: Option<NetmaskWritten>,
    /// Whether every datagram is scheduled for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub one_packet: Option<bool>,
    /// The sum of weights below which the service has lost its servers; 1 when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 2_147_483_647)]
    pub quorum: Option<u32>,
    /// How far the sum must leave `quorum` behind to lose or to gain it; 0 when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 2_147_483_647)]
    pub hysteresis: Option<u32>,
    /// Who serves while there is no quorum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sorry_server: Option<SorryServerWritten>,
    /// Whether a server that is down stays with the weight 0, instead of leaving.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inhibit_on_failure: Option<bool>,
    /// What a server is taken for before its first check: `up`, as when not said, or `down`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^(up|down)$")]
    pub start: Option<String>,
    /// For how long the weight of a server that has come up grows; not at all when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_start: Option<DurationWritten>,
    /// What becomes of servers that come and go all the time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damping: Option<DampingWritten>,
    /// The least and the most percent of its weight to which a server's load may move it; 1 and
    /// 100 when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_items = 2, max_items = 2)]
    pub weight_bounds: Option<Vec<u16>>,
    /// Where every server that names no agent of its own is asked for its load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentWritten>,
    /// The checks of every server that has none of its own; all must be good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<Vec<CheckWritten>>,
    /// Its real servers, in the order in which they were added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Vec<ServerWritten>>,
}

/// A real server, as `[[service.server]]` says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"address": "10.2.0.11", "port": 80, "weight": 2, "method": "nat"}))]
pub struct ServerWritten {
    /// Its address; only where the path says it, it may be left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub address: Option<IpAddr>,
    /// Its port; the service's when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Its share of new sessions, 1 when not said; 0 takes none, and keeps those it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 2_147_483_647)]
    pub weight: Option<u32>,
    /// How packets reach it: `dr` (when not said), `nat`, `tun` or `fullnat`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^(dr|nat|tun|fullnat)$")]
    pub method: Option<String>,
    /// Sessions at which it is overloaded; 0, or not said, is never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 2_147_483_647)]
    pub upper_threshold: Option<u32>,
    /// Sessions below which it no longer is; 0, or not said, is three quarters of the upper one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 2_147_483_647)]
    pub lower_threshold: Option<u32>,
    /// Whether it serves and is checked, as when not said; `false` takes it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Where it is asked for its load, instead of as the service says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentWritten>,
    /// Its checks, instead of the service's; of an empty list there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<Vec<CheckWritten>>,
}

/// A VIP: its address, or the address and who puts it on a twin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum VipWritten {
    /// The gateway puts it on the twin whose subnet covers it, else on that of the default route.
    Address(String),
    /// Somebody else does, or the twin is named.
    Placed {
        /// The address.
        #[schema(value_type = String)]
        address: IpAddr,
        /// `external`: keepalived, BIRD or an operator puts it somewhere; or `auto`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(pattern = "^(auto|external)$")]
        place: Option<String>,
        /// The port or VLAN whose twin has it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        interface: Option<String>,
    },
}

/// To what the MSS of TCP is lowered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum MssClampWritten {
    /// To so many bytes, 536 to 65,495.
    Bytes(u16),
    /// `auto` (what fits through the tunnel, when there is one), or `off`.
    Word(String),
}

/// A time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum DurationWritten {
    /// Seconds, at most 31 days of them.
    Seconds(u32),
    /// A number and `s`, `m`, `h` or `d`; what is about checks may have `ms` too.
    Text(String),
}

/// The part of a client's address that counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum NetmaskWritten {
    /// The length of a prefix.
    Length(u8),
    /// A mask of IPv4, like `255.255.255.0`.
    Mask(String),
}

/// Local addresses for FULLNAT, as `[[local_pool]]` says them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "lips", "addresses": ["10.2.0.200-10.2.0.203"]}))]
pub struct LocalPoolWritten {
    /// What services call it; in a path's body it may be left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Addresses and ranges of them, like `10.2.0.200-10.2.0.203`; at most 1,024 addresses.
    #[schema(min_items = 1)]
    pub addresses: Vec<String>,
    /// The ports lent out on each address, `1024-65535` when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<String>,
    /// The port or VLAN whose twin has the addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
}

/// A rule that gives packets a firewall mark, as `[[mark]]` says it. What is not said is not asked
/// of a packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"mark": 1, "protocol": "tcp", "destination": "10.1.0.100/32"}))]
pub struct MarkWritten {
    /// The mark; 0 exempts packets from the rules behind.
    pub mark: u32,
    /// The port by which the packet comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// `tcp`, `udp` or `sctp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^(tcp|udp|sctp)$")]
    pub protocol: Option<String>,
    /// The sender's network, or address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The receiver's network, or address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// The sender's ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_ports: Option<PortsWritten>,
    /// The receiver's ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_ports: Option<PortsWritten>,
}

/// Ports of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum PortsWritten {
    /// One.
    One(u16),
    /// One, or a run of them like `80-90`.
    Run(String),
}

/// A whole configuration, with the keys of the file (`conf/sluice.toml` explains each).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigWritten {
    /// `[gateway]`: what the daemon needs before any port or service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<BTreeMap<String, Value>>,
    /// `[ipvs]`: `rules`, and the kernel's variables under their names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipvs: Option<BTreeMap<String, Value>>,
    /// `[timeouts]`: seconds for each state of a session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<BTreeMap<String, DurationWritten>>,
    /// `[health]`: the addresses that checks to VIPs go to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<BTreeMap<String, Value>>,
    /// `[[port]]`: each port, with its `[[port.vlan]]`s.
    pub port: Vec<BTreeMap<String, Value>>,
    /// `[[mark]]`: the rules for firewall marks, in the order in which they are asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<Vec<MarkWritten>>,
    /// `[[local_pool]]`: local addresses for FULLNAT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_pool: Option<Vec<LocalPoolWritten>>,
    /// `[[service]]`: the virtual services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Vec<ServiceWritten>>,
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    /// Something of everything that services, pools and marks can say.
    const ALL: &str = r#"
[health]
check_addresses = "198.18.0.0/20"
[[port]]
name = "wan"
device = "net_null0"
[[mark]]
mark = 3
port = "wan"
protocol = "udp"
source = "10.0.0.0/8"
destination = "10.1.0.0/16"
source_ports = "1024-65535"
destination_ports = 53
[[local_pool]]
name = "lips"
addresses = ["10.2.0.200-10.2.0.203", "10.2.0.210"]
ports = "20000-29999"
interface = "wan"
[[service]]
name = "web"
protocol = "tcp"
vip = { address = "10.1.0.100", place = "external" }
port = 80
scheduler = "sh"
scheduler_flags = ["sh-fallback", "sh-port"]
local_pool = "lips"
unserved = "reject"
mss_clamp = 1400
persistent = "5m"
persistent_netmask = "255.255.255.0"
quorum = 3
hysteresis = 1
sorry_server = { address = "10.2.0.99", port = 8080, method = "nat", weight = 2 }
inhibit_on_failure = true
start = "down"
slow_start = "90s"
damping = { half_life = 30, suppress = 6, reuse = 3, longest = "10m" }
weight_bounds = [10, 120]
agent = { port = 9909, interval = "1500ms", timeout = "500ms" }
check = [
    { type = "tcp", port = 22, address = "10.3.0.11", interval = 7, timeout = 3, jitter = 0, retry = 3, retry_delay = 2, rise = 2, fall = 3, delay = 4 },
    { type = "http", method = "HEAD", path = "/a", host = "b", status = [200, "300-399"], body_regex = "c", body_digest = "md5:d41d8cd98f00b204e9800998ecf8427e", load_header = "d" },
    { type = "https", sni = "a", verify = true, ca = "/ca.pem", load_json = "/a" },
    { type = "udp", send = "a", expect_hex = "00" },
    { type = "udp", send_hex = "00", expect = "b" },
    { type = "dns", query = "a", record = "A", answer = "10.0.0.1" },
    { type = "smtp", helo = "a" },
    { type = "grpc", tls = true, service = "a" },
    { type = "script", command = ["/a", "b"], weight_by_status = true, user = "nobody" },
]
server = [
    { address = "10.2.0.11", method = "fullnat", port = 8080, weight = 7, upper_threshold = 9, lower_threshold = 3, enabled = false, check = [{ type = "icmp" }], agent = { port = 1 } },
    { address = "10.2.0.12", check = [] },
]
[[service]]
protocol = "udp"
vip = { address = "10.1.0.101", interface = "wan" }
port = 53
one_packet = true
mss_clamp = "off"
damping = false
[[service.check]]
type = "udp"
via = "vip"
[[service]]
mark = 3
[[service]]
mark = 3
family = "ipv6"
"#;

    #[test]
    fn what_a_configuration_writes_these_types_read_and_write_again() {
        let conf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conf");
        let examples = std::fs::read_dir(conf).unwrap();
        let examples = examples.map(|entry| entry.unwrap().path());
        let texts = examples
            .filter(|path| path.extension().is_some_and(|it| it == "toml"))
            .map(|path| std::fs::read_to_string(path).unwrap());
        for text in texts.chain([ALL.to_owned()]) {
            let (config, _) = Config::from_toml(&text, Path::new("t.toml")).unwrap();
            let json = serde_json::to_value(&config).unwrap();

            let written: ConfigWritten = serde_json::from_value(json.clone()).unwrap();

            assert_eq!(serde_json::to_value(&written).unwrap(), json, "{text}");
        }
    }

    #[test]
    fn what_these_types_write_a_configuration_reads() {
        let (config, _) = Config::from_toml(ALL, Path::new("t.toml")).unwrap();
        let json = serde_json::to_value(&config).unwrap();
        let mut written: ConfigWritten = serde_json::from_value(json).unwrap();
        let services = written.service.as_mut().unwrap();
        services[0].persistent = Some(DurationWritten::Text("300s".to_owned()));
        services[0].persistent_netmask = Some(NetmaskWritten::Length(24));

        let json = serde_json::to_value(&written).unwrap();

        let (again, _) = Config::from_json(&json, Path::new("api")).unwrap();
        assert_eq!(again, config);
    }
}
