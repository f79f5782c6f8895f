//! The packet that is asked about, read from words.

use std::net::{IpAddr, SocketAddr};

use dataplane::address::{Address, Endpoint, FlowKey, Protocol, V4};
use dataplane::explain::Probe;
use dataplane::handover::Visited;
use dataplane::id::InterfaceId;
use dataplane::snapshot::Snapshot;
use dataplane::wire::sctp::chunk;
use dataplane::wire::tcp::Flags;

use super::ExplainError;
use crate::config::{Config, advice};
use crate::view::ExplainQuery;

/// The control bits of TCP (RFC 9293 §3.1).
const TCP_FLAGS: [(&str, Flags); 6] = [
    ("fin", Flags::FIN),
    ("syn", Flags::SYN),
    ("rst", Flags::RST),
    ("psh", Flags::PSH),
    ("ack", Flags::ACK),
    ("urg", Flags::URG),
];

/// The chunks of SCTP that sessions go by (RFC 9260 §3.2).
const SCTP_CHUNKS: [(&str, u8); 9] = [
    ("data", chunk::DATA),
    ("init", chunk::INIT),
    ("init-ack", chunk::INIT_ACK),
    ("abort", chunk::ABORT),
    ("shutdown", chunk::SHUTDOWN),
    ("shutdown-ack", chunk::SHUTDOWN_ACK),
    ("cookie-echo", chunk::COOKIE_ECHO),
    ("cookie-ack", chunk::COOKIE_ACK),
    ("shutdown-complete", chunk::SHUTDOWN_COMPLETE),
];

/// A packet that makes sense.
pub(super) struct Packet {
    pub(super) protocol: Protocol,
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    /// Its control bits or chunk, in words.
    pub(super) flags: String,
    /// The port on which it arrives.
    pub(super) port: String,
    /// Whether that was said, and not found by the route to its sender.
    pub(super) is_port_given: bool,
    pub(super) interface: InterfaceId,
    tcp_flags: u8,
    sctp_chunk: u8,
}

impl Packet {
    /// The packet that a question means.
    pub(super) fn read(
        query: &ExplainQuery,
        config: &Config,
        snapshot: &Snapshot,
    ) -> Result<Self, ExplainError> {
        let (source, destination) = (query.source, query.destination);
        if source.is_ipv4() != destination.is_ipv4() {
            return Err(ExplainError::MixedFamilies(source.ip(), destination.ip()));
        }
        let mut protocols = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp].into_iter();
        let protocol = protocols
            .find(|protocol| protocol.name() == query.protocol)
            .ok_or_else(|| ExplainError::BadProtocol(query.protocol.clone()))?;
        let interface = match &query.port {
            Some(name) => named(config, name)?,
            None => towards(snapshot, source.ip()),
        };
        let mut interfaces = config.interfaces();
        let numbered = interfaces.find(|numbered| numbered.id == interface);
        let flags = query.flags.as_deref().filter(|flags| !flags.is_empty());
        Self {
            protocol,
            source,
            destination,
            flags: flags
                .unwrap_or_else(|| usual_flags(protocol))
                .to_lowercase(),
            port: numbered.map_or_else(String::new, |it| it.interface.name.clone()),
            is_port_given: query.port.is_some(),
            interface,
            tcp_flags: 0,
            sctp_chunk: 0,
        }
        .with_flags(flags)
    }

    fn with_flags(mut self, given: Option<&str>) -> Result<Self, ExplainError> {
        match self.protocol {
            Protocol::Tcp => {
                for word in self.flags.split([',', '+', '|']).map(str::trim) {
                    let known = TCP_FLAGS.iter().find(|(name, _)| *name == word);
                    let (_, flag) =
                        known.ok_or_else(|| ExplainError::BadTcpFlag(word.to_owned()))?;
                    self.tcp_flags |= flag.0;
                }
            }
            Protocol::Sctp => {
                let known = SCTP_CHUNKS.iter().find(|(name, _)| *name == self.flags);
                let unknown = || ExplainError::BadSctpChunk(self.flags.clone());
                self.sctp_chunk = known.ok_or_else(unknown)?.1;
            }
            Protocol::Udp => {
                if let Some(flags) = given {
                    return Err(ExplainError::NoUdpFlags(flags.to_owned()));
                }
            }
        }
        Ok(self)
    }

    /// What a worker is asked; none for IPv6.
    pub(super) fn probe(&self) -> Option<Probe> {
        let end = |end: SocketAddr| Some(Endpoint::new(V4::from_ip(end.ip())?, end.port()));
        Some(Probe {
            interface: self.interface,
            key: FlowKey {
                source: end(self.source)?,
                destination: end(self.destination)?,
                protocol: self.protocol,
            },
            tcp_flags: self.tcp_flags,
            sctp_chunk: self.sctp_chunk,
            visited: Visited::default(),
        })
    }
}

/// What the first packet of a connection says.
const fn usual_flags(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "syn",
        Protocol::Sctp => "init",
        Protocol::Udp => "",
    }
}

/// The port or VLAN of this name.
fn named(config: &Config, name: &str) -> Result<InterfaceId, ExplainError> {
    let numbered = config.interface(name).map(|numbered| numbered.id);
    numbered.ok_or_else(|| {
        let names: Vec<_> = (config.interfaces())
            .map(|numbered| numbered.interface.name.as_str())
            .collect();
        ExplainError::UnknownPort(name.to_owned(), advice(name, &names))
    })
}

/// Where the route to an address leaves, and so its packets most likely arrive; the first port
/// without a route.
fn towards(snapshot: &Snapshot, addr: IpAddr) -> InterfaceId {
    let hops = V4::from_ip(addr).and_then(|addr| snapshot.routes.lookup(addr));
    let adjacency = hops.and_then(|hops| snapshot.adjacency(*hops.first()?));
    adjacency.map_or(InterfaceId::default(), |adjacency| adjacency.interface)
}
