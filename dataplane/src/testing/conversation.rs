//! Conversations of every transport, hop by hop, for tests in tables.

use crate::address::{Endpoint, MacAddr, Protocol, V4};

use super::{
    Builder, CLIENT_MAC, GATEWAY_MAC, GATEWAY_SERVER_MAC, RIP_1_MAC, Transport, sctp, tcp, udp,
};

/// One transport as tests in tables need it: packets that open, go on and answer.
#[derive(Clone, Copy, Debug)]
pub struct Talk {
    /// Which transport.
    pub protocol: Protocol,
    /// Builds a client's first packet, its second, and a server's answer between two ends and
    /// two stations, with this TTL.
    build: fn(Step, &Hop) -> Vec<u8>,
}

/// Which packet of a conversation.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// The client's first.
    Open,
    /// The server's first.
    Answer,
    /// The client's second.
    More,
}

/// One packet's way over one link.
#[derive(Clone, Copy, Debug)]
pub struct Hop {
    /// Who sends the frame, and to whom.
    pub stations: (MacAddr, MacAddr),
    /// Who sends the packet, and to whom.
    pub ends: (Endpoint<V4>, Endpoint<V4>),
    /// The time to live.
    pub ttl: u8,
}

impl Talk {
    /// The packet of this step on this hop.
    #[must_use]
    pub fn packet(&self, step: Step, hop: &Hop) -> Vec<u8> {
        (self.build)(step, hop)
    }
}

/// A hop from one station and end to another, with a TTL of 64 or, behind the gateway, 63.
#[must_use]
pub const fn hop(stations: (MacAddr, MacAddr), ends: (Endpoint<V4>, Endpoint<V4>), ttl: u8) -> Hop {
    Hop {
        stations,
        ends,
        ttl,
    }
}

/// Puts a builder on a hop.
#[must_use]
pub fn on<T: Transport>(builder: Builder<T>, hop: &Hop) -> Builder<T> {
    builder
        .eth_from(hop.stations.0)
        .eth_to(hop.stations.1)
        .from(hop.ends.0)
        .to(hop.ends.1)
        .ttl(hop.ttl)
}

/// Tags a builder, if there is a tag.
#[must_use]
pub fn tagged<T: Transport>(builder: Builder<T>, vlan: Option<u16>) -> Builder<T> {
    match vlan {
        Some(id) => builder.vlan(id),
        None => builder,
    }
}

/// TCP, UDP and SCTP.
pub const TALKS: [Talk; 3] = [
    Talk {
        protocol: Protocol::Tcp,
        build: |step, hop| match step {
            Step::Open => on(tcp().syn().seq(7_000).mss(1_460).sack_permitted(), hop).build(),
            Step::Answer => on(tcp().syn_ack().seq(9_000).ack_no(7_001).mss(1_400), hop).build(),
            Step::More => on(tcp().data(b"GET /").seq(7_001).ack_no(9_001), hop).build(),
        },
    },
    Talk {
        protocol: Protocol::Udp,
        build: |step, hop| match step {
            Step::Open => on(udp().payload(b"a long question"), hop).build(),
            Step::Answer => on(udp().payload(b"a long answer"), hop).build(),
            Step::More => on(udp().payload(b"one more question"), hop).build(),
        },
    },
    Talk {
        protocol: Protocol::Sctp,
        build: |step, hop| match step {
            Step::Open => on(sctp().init().payload(&[1; 16]), hop).build(),
            Step::Answer => on(sctp().chunk(2).payload(&[2; 20]), hop).build(),
            Step::More => on(sctp().chunk(10).payload(b"cookie"), hop).build(),
        },
    },
];

/// From the client's NIC to the gateway's.
pub const IN: (MacAddr, MacAddr) = (CLIENT_MAC, GATEWAY_MAC);
/// From the gateway to the first server.
pub const TO_SERVER: (MacAddr, MacAddr) = (GATEWAY_SERVER_MAC, RIP_1_MAC);
/// From the first server to the gateway.
pub const FROM_SERVER: (MacAddr, MacAddr) = (RIP_1_MAC, GATEWAY_SERVER_MAC);
/// From the gateway to the client.
pub const OUT: (MacAddr, MacAddr) = (GATEWAY_MAC, CLIENT_MAC);
