//! How servers are watched: `[[service.check]]`, `[[service.server.check]]`, and what a service
//! does about servers that fail.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::service::Server;

mod bytes;
mod check;
mod kind;
mod read;
mod span;
mod status;
mod write;

pub(super) use span::Span;
pub(super) use write::{SERVER_KEYS, SERVICE_KEYS};

/// What a service asks of its servers, and does when they fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// The checks of every server that has none of its own; all must be good.
    pub checks: Arc<[Check]>,
    /// Where every server that names no agent of its own is asked for its load.
    pub agent: Option<Agent>,
    /// The sum of weights, before slow start and load, below which the service has lost its
    /// servers (keepalived's `quorum`).
    pub quorum: u32,
    /// How far above `quorum` the sum must come to gain it, and below to lose it.
    pub hysteresis: u32,
    /// Who serves while there is no quorum.
    pub sorry_server: Option<Server>,
    /// A server that is down stays with the weight 0, instead of leaving.
    pub inhibit_on_failure: bool,
    /// What a server is taken for before its first check.
    pub start: Start,
    /// For how long the weight of a server that has come up grows; zero is not at all.
    pub slow_start: Duration,
    /// What becomes of servers that come and go all the time; `None` lets them.
    pub damping: Option<Damping>,
    /// Between which percentages of its weight a server's load may move it.
    pub weight_bounds: RangeInclusive<u16>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            checks: Arc::default(),
            agent: None,
            quorum: 1,
            hysteresis: 0,
            sorry_server: None,
            inhibit_on_failure: false,
            start: Start::Up,
            slow_start: Duration::ZERO,
            damping: Some(Damping::default()),
            weight_bounds: 1..=100,
        }
    }
}

/// What a server says of itself, instead of its service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerHealth {
    /// The operator has taken it out: it is not checked, and gets nothing.
    pub disabled: bool,
    /// Its checks; `None` are those of the service, and none at all is a server that is always up.
    pub checks: Option<Arc<[Check]>>,
    /// Where it is asked for its load; `None` is as the service says.
    pub agent: Option<Agent>,
}

/// What a server is taken for before its first check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// It serves at once.
    #[default]
    Up,
    /// It waits (keepalived's `alpha`).
    Down,
}

/// One way to find out whether a server is well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What is asked, and what is the right answer.
    pub kind: CheckKind,
    /// Where; `None` is the server's port.
    pub port: Option<u16>,
    /// At which address; `None` is the server's.
    pub address: Option<IpAddr>,
    /// Which way.
    pub path: Path,
    /// When, and how often.
    pub timing: Timing,
    /// Where in the answer the server says its load.
    pub load: Option<LoadSource>,
}

/// Which way a check takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Path {
    /// To the server's own address, by Linux's routes.
    #[default]
    Route,
    /// To the VIP on the server, by DR or TUN as the clients' packets.
    Vip,
}

/// When a server is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// From the start of one check to that of the next (keepalived's `delay_loop`).
    pub interval: Duration,
    /// By how much of the interval, in percent, each is earlier or later.
    pub jitter: u8,
    /// How long an attempt may take.
    pub timeout: Duration,
    /// Attempts after the first that failed, before the check has.
    pub retry: u16,
    /// How long after a failed attempt the next begins.
    pub retry_delay: Duration,
    /// Good checks in a row that bring a server up.
    pub rise: u16,
    /// Failed ones in a row that bring it down.
    pub fall: u16,
    /// How long after the start the first may be (keepalived's `warmup`); it begins anywhere in
    /// one interval after that.
    pub delay: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(5),
            jitter: 10,
            timeout: Duration::from_secs(2),
            retry: 1,
            retry_delay: Duration::from_secs(1),
            rise: 1,
            fall: 1,
            delay: Duration::ZERO,
        }
    }
}

/// What is asked, and what is the right answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// A TCP connection comes about.
    Tcp,
    /// An HTTP request is answered as expected (RFC 9110).
    Http(Box<Http>),
    /// A datagram, and perhaps one back.
    Udp(Udp),
    /// A DNS question over UDP (RFC 1035).
    Dns(Dns),
    /// Greeting, HELO and QUIT (RFC 5321).
    Smtp {
        /// The name in HELO.
        helo: String,
    },
    /// `grpc.health.v1.Health/Check` says SERVING.
    Grpc(Grpc),
    /// A program ends with the status 0.
    Script(Script),
    /// An ICMP echo is answered (RFC 792).
    Icmp,
}

/// An HTTP request and the answer that is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// The method.
    pub method: String,
    /// Path and query, with its leading `/`.
    pub path: String,
    /// The Host header; `None` is the address that is asked.
    pub host: Option<String>,
    /// Status codes that are right.
    pub status: Vec<RangeInclusive<u16>>,
    /// A regular expression that the body has to match somewhere.
    pub body_regex: Option<String>,
    /// The body's digest.
    pub body_digest: Option<Digest>,
    /// TLS; `None` is plain HTTP.
    pub tls: Option<Tls>,
}

/// The digest of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Digest {
    /// 16 bytes, as keepalived's `digest`.
    Md5([u8; 16]),
    /// 32 bytes.
    Sha256([u8; 32]),
}

/// How TLS is spoken with a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// The name in SNI, and the one the certificate must have; `None` is the Host header.
    pub sni: Option<String>,
    /// Whether the certificate is verified.
    pub verify: bool,
    /// The certificates (PEM) that are trusted; `None` are the system's.
    pub ca: Option<PathBuf>,
}

/// A datagram and the answer that is right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Udp {
    /// What is sent.
    pub send: Vec<u8>,
    /// How the answer begins; `None` is that no ICMP error comes before the timeout.
    pub expect: Option<Vec<u8>>,
}

/// A DNS question and the answer that is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// The name that is asked for.
    pub query: String,
    /// The record type in capitals: `A`, `AAAA`, `SOA`, ...
    pub record: String,
    /// What one of the answers must be, as text; `None` is any answer without an error.
    pub answer: Option<String>,
}

/// A question for gRPC's health protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grpc {
    /// The service that is asked for; empty is the server as a whole.
    pub service: String,
    /// TLS; `None` is plain HTTP/2.
    pub tls: Option<Tls>,
}

/// A program of the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// The program, an absolute path, and its arguments.
    pub command: Vec<String>,
    /// The statuses 2 to 255 are good too, and add the status less 2 to the weight (keepalived's
    /// `misc_dynamic`).
    pub weight_by_status: bool,
    /// The user that it runs as; `None` is the gateway's.
    pub user: Option<String>,
}

/// Where an answer says how loaded its server is: a percentage of its weight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadSource {
    /// In a header of HTTP.
    Header(String),
    /// In a field of a body in JSON, as a JSON pointer (RFC 6901).
    Json(String),
}

/// Where a server is asked for its load, in the protocol of `HAProxy`'s agent check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agent {
    /// TCP port at the server's address.
    pub port: u16,
    /// From one question to the next.
    pub interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
}

/// How a server that comes and goes is kept out: route flap damping (RFC 2439). Each time that it
/// goes down counts 1; what was counted is halved again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damping {
    /// The time in which the count is halved.
    pub half_life: Duration,
    /// At which count it is kept out.
    pub suppress: u16,
    /// Below which it may serve again.
    pub reuse: u16,
    /// The longest that it is kept out at a time.
    pub longest: Duration,
}

impl Default for Damping {
    fn default() -> Self {
        Self {
            half_life: Duration::from_secs(60),
            suppress: 4,
            reuse: 2,
            longest: Duration::from_secs(300),
        }
    }
}

#[cfg(test)]
mod tests;
