//! Asks a server once whether it is well.
//!
//! A [`Probe`] is made of a configured check and run as often as one likes, against any server,
//! many at a time. It decides nothing: attempts, counts and what becomes of the server are its
//! caller's. Every kind is asynchronous, ends within the check's timeout (a script may need 4 s
//! more to die), holds a bounded part of what a server says, and leaves nothing behind when its
//! future is dropped: no task, no socket, no process.

/// How long an attempt has, and what it is called when it takes longer.
mod deadline;

/// Why a server is not well.
mod failure;

/// Connected sockets, from the address that the check is to come from.
mod socket;

/// TLS with servers whose certificates are verified, or not.
mod tls;

/// What the body of an answer must be.
mod body;

/// The load that a server says in its answer.
mod load;

/// Moves a connection's bytes while something is asked over it.
mod beside;

/// A TCP connection comes about.
mod tcp;

/// An HTTP request is answered as expected.
mod http;

/// A datagram, and perhaps one back.
mod udp;

/// A DNS question is answered.
mod dns;

/// A mail server greets and says goodbye.
mod smtp;

/// `grpc.health.v1.Health/Check` says SERVING.
mod grpc;

/// A program of the operator ends well.
mod script;

/// An ICMP echo is answered.
mod icmp;

/// Servers of the tests.
#[cfg(test)]
mod testing;

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

pub(super) use self::deadline::Deadline;
pub use self::failure::ProbeFailure;
pub(super) use self::failure::quoted;
pub(super) use self::load::percentage;
pub(super) use self::socket::connect;

use crate::config::{Check, CheckKind, CheckPath};

/// What the gateway calls itself.
const OUR_NAME: &str = concat!("sluice/", env!("CARGO_PKG_VERSION"));

/// Whom to ask, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeTarget {
    /// Where to connect: the server's or its check address, with the check's port.
    pub server: SocketAddr,
    /// The address that the check comes from; `None` leaves it to Linux.
    pub source: Option<IpAddr>,
    /// Address and port of the service; `None` for services of a firewall mark.
    pub vip: Option<SocketAddr>,
    /// The service's name, for scripts.
    pub service: String,
}

/// What a server that is well has said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProbeOutcome {
    /// How long it took.
    pub took: Duration,
    /// The percentage of its weight that the server asks for, 0 to 999; `None` if it is not asked,
    /// or says nothing that is one.
    pub load: Option<u16>,
    /// What a script adds to the weight; `None` where it has no say in it.
    pub weight_delta: Option<i32>,
}

/// What a kind of check finds out besides that the server is well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Found {
    load: Option<u16>,
    weight_delta: Option<i32>,
}

/// A check, ready to be run.
#[derive(Debug)]
pub struct Probe {
    kind: Kind,
    timeout: Duration,
}

#[derive(Debug)]
enum Kind {
    Tcp,
    Http(Box<http::HttpProbe>),
    Udp(udp::UdpProbe),
    Dns(Box<dns::DnsProbe>),
    Smtp(smtp::SmtpProbe),
    Grpc(Box<grpc::GrpcProbe>),
    Script(script::ScriptProbe),
    Icmp,
}

impl Probe {
    /// Makes a check ready: compiles its expression, reads its certificates, finds its user.
    ///
    /// # Errors
    ///
    /// A sentence about what cannot be had: an expression that is none, a file that cannot be read
    /// or has no certificate in it, a user that does not exist, a name that is none.
    pub fn new(check: &Check) -> Result<Self, String> {
        let by_vip = check.path == CheckPath::Vip;
        let kind = match &check.kind {
            CheckKind::Tcp => Kind::Tcp,
            CheckKind::Http(http) => {
                let probe = http::HttpProbe::new(http, check.load.as_ref(), by_vip)?;
                Kind::Http(Box::new(probe))
            }
            CheckKind::Udp(udp) => Kind::Udp(udp::UdpProbe::new(udp)),
            CheckKind::Dns(dns) => Kind::Dns(Box::new(dns::DnsProbe::new(dns)?)),
            CheckKind::Smtp { helo } => Kind::Smtp(smtp::SmtpProbe::new(helo)?),
            CheckKind::Grpc(grpc) => Kind::Grpc(Box::new(grpc::GrpcProbe::new(grpc, by_vip)?)),
            CheckKind::Script(script) => Kind::Script(script::ScriptProbe::new(script)?),
            CheckKind::Icmp => Kind::Icmp,
        };
        Ok(Self {
            kind,
            timeout: check.timing.timeout,
        })
    }

    /// Asks once. Needs tokio's timers and I/O (`enable_all`). Dropping the future gives up at
    /// once.
    ///
    /// # Errors
    ///
    /// The server is not well, or did not say in time that it is.
    pub async fn run(&self, target: &ProbeTarget) -> Result<ProbeOutcome, ProbeFailure> {
        let started = Instant::now();
        let deadline = Deadline::new(started, self.timeout);
        let found = match &self.kind {
            Kind::Tcp => tcp::run(target, deadline).await,
            Kind::Http(probe) => probe.run(target, deadline).await,
            Kind::Udp(probe) => probe.run(target, deadline).await,
            Kind::Dns(probe) => probe.run(target, deadline).await,
            Kind::Smtp(probe) => probe.run(target, deadline).await,
            Kind::Grpc(probe) => probe.run(target, deadline).await,
            Kind::Script(probe) => probe.run(target, deadline).await,
            Kind::Icmp => icmp::run(target, deadline).await,
        }?;
        Ok(ProbeOutcome {
            took: started.elapsed(),
            load: found.load,
            weight_delta: found.weight_delta,
        })
    }
}

/// The address that the other side takes a check for: the VIP for checks to the VIP, whose check
/// address means nothing to the server.
fn asked(target: &ProbeTarget, by_vip: bool) -> SocketAddr {
    match target.vip {
        Some(vip) if by_vip => vip,
        _ => target.server,
    }
}
