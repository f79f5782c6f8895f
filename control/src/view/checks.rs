//! How servers are watched, as a configuration writes it: the health keys of services and servers.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::DurationWritten;

/// A check, as `[[service.check]]` and `[[service.server.check]]` say it. Keys of another `type`
/// are refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"type": "http", "path": "/health", "interval": 1, "fall": 3}))]
pub struct CheckWritten {
    /// What is asked: `tcp`, `http`, `https`, `udp`, `dns`, `smtp`, `grpc`, `script` or `icmp`.
    #[serde(rename = "type")]
    #[schema(pattern = "^(tcp|https?|udp|dns|smtp|grpc|script|icmp)$")]
    pub kind: String,
    /// Where; the server's port when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub port: Option<u16>,
    /// At which address; the server's when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub address: Option<IpAddr>,
    /// Which way: `route`, as when not said, or `vip`, to the VIP on the server, as the clients'
    /// packets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^(route|vip)$")]
    pub via: Option<String>,
    /// From the start of one check to that of the next; 5 s when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<DurationWritten>,
    /// How long an attempt may take; 2 s when not said, and no more than the interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<DurationWritten>,
    /// How long after a failed attempt the next begins; 1 s when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_delay: Option<DurationWritten>,
    /// How long after the start the first check may be; not at all when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<DurationWritten>,
    /// By how much of the interval, in percent, each is earlier or later; 10 when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 50)]
    pub jitter: Option<u8>,
    /// Attempts after the first that failed; 1 when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 100)]
    pub retry: Option<u16>,
    /// Good checks in a row that bring a server up; 1 when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100)]
    pub rise: Option<u16>,
    /// Failed ones in a row that bring it down; 1 when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100)]
    pub fall: Option<u16>,
    /// HTTP: the method, `GET` when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// HTTP: path and query, `/` when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// HTTP: the Host header; the address that is asked when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// HTTP: the status codes that are right; `200-299` when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<StatusWritten>,
    /// HTTP: a regular expression that the body has to match somewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_regex: Option<String>,
    /// HTTP: the body's digest, `md5:` or `sha256:` and hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^(md5:[0-9A-Fa-f]{32}|sha256:[0-9A-Fa-f]{64})$")]
    pub body_digest: Option<String>,
    /// gRPC: whether TLS is spoken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<bool>,
    /// TLS: the server's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    /// TLS: whether the certificate is verified; it is not when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<bool>,
    /// TLS: a file (PEM) with the certificates that are trusted; the system's when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// UDP: what is sent, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send: Option<String>,
    /// UDP: what is sent, in hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_hex: Option<String>,
    /// UDP: how the answer begins; none has to come when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<String>,
    /// UDP: how the answer begins, in hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect_hex: Option<String>,
    /// DNS: the name that is asked for; the root's when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// DNS: the type of record, `SOA` when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^(A|AAAA|CNAME|MX|NS|PTR|SOA|SRV|TXT)$")]
    pub record: Option<String>,
    /// DNS: what one of the answers must be; any without an error when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// SMTP: the name in HELO, `localhost` when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub helo: Option<String>,
    /// gRPC: the service that is asked for; the server as a whole when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Script: the program, an absolute path, and its arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_items = 1)]
    pub command: Option<Vec<String>>,
    /// Script: whether the statuses 2 to 255 are good too and change the weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_by_status: Option<bool>,
    /// Script: the user that it runs as; the gateway's when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// HTTP: the header that says the server's load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_header: Option<String>,
    /// HTTP: the field of a body in JSON that says it, as a JSON pointer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^/")]
    pub load_json: Option<String>,
}

/// Status codes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum StatusWritten {
    /// One.
    Code(u16),
    /// Codes and runs of them, like `200-299,301`.
    Runs(String),
    /// A list of both.
    List(Vec<StatusRunWritten>),
}

/// A status code, or a run of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum StatusRunWritten {
    /// One.
    Code(u16),
    /// Codes and runs of them.
    Runs(String),
}

/// Where a server is asked for its load, in the protocol of `HAProxy`'s agent check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"port": 9909, "interval": 2}))]
pub struct AgentWritten {
    /// TCP port at the server's address.
    #[schema(minimum = 1)]
    pub port: u16,
    /// From one question to the next; 2 s when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<DurationWritten>,
    /// How long an answer may take; 1 s when not said, and no more than the interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<DurationWritten>,
}

/// What becomes of servers that come and go all the time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum DampingWritten {
    /// `false` lets them; `true` is as when not said.
    Word(bool),
    /// They are kept out, as this table says.
    Told(DampingTold),
}

/// How a server that comes and goes is kept out: each time that it goes down counts 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DampingTold {
    /// The time in which the count is halved; 1 min when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub half_life: Option<DurationWritten>,
    /// At which count it is kept out; 4 when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 2, maximum = 1000)]
    pub suppress: Option<u16>,
    /// Below which it may serve again; 2 when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1000)]
    pub reuse: Option<u16>,
    /// The longest that it is kept out at a time; 5 min when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longest: Option<DurationWritten>,
}

/// Who serves while a service has no quorum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"address": "10.2.0.99", "method": "nat"}))]
pub struct SorryServerWritten {
    /// Its address.
    #[schema(value_type = String)]
    pub address: IpAddr,
    /// Its port; the service's when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Its weight, 1 when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 2_147_483_647)]
    pub weight: Option<u32>,
    /// How packets reach it: `dr` (when not said), `nat`, `tun` or `fullnat`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^(dr|nat|tun|fullnat)$")]
    pub method: Option<String>,
}
