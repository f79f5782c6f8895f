//! What the packet path would do with a packet, and why: asked by control, answered by a worker.
//!
//! ```text
//! control ── probe ──► worker: decides as with a packet, and writes nothing ── explanation ──► control
//!                         └─ "its session would be with worker 3": control asks that one
//! ```
//!
//! The packet of a [`Probe`] is whole, small and has hops to spare, so that nothing but what its
//! headers say about its flow decides.

use std::net::IpAddr;

use crate::address::{Endpoint, FlowKey, MacAddr, Protocol, V4};
use crate::drop_reason::DropReason;
use crate::handover::Visited;
use crate::id::{InterfaceId, ServerSlot, ServiceSlot, WorkerId};
use crate::parse::{FragmentKind, Ipv4Facts, Parsed};
use crate::punt::PuntClass;
use crate::service::{Method, Unserved};
use crate::session::{Direction, SessionRecord};

/// The time to live of a probe's packet, as most hosts send it (RFC 1340, "IP TIME TO LIVE").
const TTL: u8 = 64;

/// Bytes of an untagged frame in front of its IP header.
const L3_OFFSET: u8 = 14;

/// Bytes of an IPv4 header without options.
const IP_HEADER_LEN: u8 = 20;

/// Bytes of a probe's packet: IPv4 and TCP headers without options.
const LEN: u16 = 40;

/// A packet that nobody sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Where it arrives.
    pub interface: InterfaceId,
    /// Who sends to whom.
    pub key: FlowKey<V4>,
    /// The control bits of a TCP segment.
    pub tcp_flags: u8,
    /// The type of the first chunk of an SCTP packet.
    pub sctp_chunk: u8,
    /// The workers it was at before.
    pub visited: Visited,
}

impl Probe {
    /// The packet as the pipeline sees it.
    pub(crate) fn parsed(&self) -> Parsed {
        let only = |protocol, value| {
            if self.key.protocol == protocol {
                value
            } else {
                0
            }
        };
        Parsed {
            key: self.key,
            ip: Ipv4Facts {
                vlan: None,
                total_len: LEN,
                l4_offset: u16::from(L3_OFFSET + IP_HEADER_LEN),
                id: 0,
                l3_offset: L3_OFFSET,
                header_len: IP_HEADER_LEN,
                ttl: TTL,
                protocol: self.key.protocol as u8,
                fragment: FragmentKind::Whole,
                dont_fragment: false,
                has_options: false,
            },
            tcp_flags: only(Protocol::Tcp, self.tcp_flags),
            sctp_chunk: only(Protocol::Sctp, self.sctp_chunk),
        }
    }
}

/// A packet that control asks about, and in the end what a worker said.
#[derive(Clone, Debug)]
pub struct Question {
    /// Which question it is, as whoever asked has counted.
    pub number: u64,
    /// The packet.
    pub probe: Probe,
    /// What would become of it, once the worker has said so.
    pub answer: Option<Explanation>,
}

/// What a worker would do with a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Who says so.
    pub worker: WorkerId,
    /// The session that the packet meets.
    pub met: Option<Met>,
    /// What it is without one; `None` when a session takes it.
    pub purpose: Option<Purpose>,
    /// Why it begins no session of its service.
    pub not_opened: Option<NotOpened>,
    /// The session that it would begin.
    pub opening: Option<Opening>,
    /// What becomes of it.
    pub outcome: Outcome,
}

/// A session that a packet meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Met {
    /// The session.
    pub session: SessionRecord,
    /// Which way the packet goes.
    pub direction: Direction,
    /// Whether the packet leaves it behind, for a new one.
    pub begins_anew: bool,
}

/// What a packet without a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It is for this service.
    Service(ServiceSlot),
    /// It is for a VIP, but for no service there.
    UnservedVip(Unserved),
    /// It is for a local address's pool of ports.
    LocalAddress,
    /// It comes from a server that answers by NAT.
    NatReply,
    /// It is for the box itself.
    Host,
    /// It is for somebody else.
    Transit,
}

/// Why a service's packet begins no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotOpened {
    /// A packet like it never does: no SYN, no INIT, or one that ends something.
    Kind,
    /// It comes from FTP's data port.
    FtpData,
    /// `drop_packet` defends, and it is this packet's turn.
    DropPacket,
}

/// A session that would begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Its server's place in the snapshot.
    pub server: ServerSlot,
    /// Where its packets go there.
    pub end: Endpoint<V4>,
    /// How.
    pub method: Method,
    /// Whether the client has this server by its persistence template; else the scheduler chose.
    pub by_template: bool,
    /// Whether the session ends with its packet.
    pub one_packet: bool,
    /// The local address and port that it would have; `None` also when none is free.
    pub local: Option<Endpoint<V4>>,
    /// Whether the session table is full, so that a session that matters less has to end.
    pub table_full: bool,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It goes to the worker that has its session, or may.
    HandedOver(WorkerId),
    /// It is sent to a next hop.
    Sent(Hop),
    /// It waits a second at most until Linux has found the next hop's MAC.
    Waits(Hop),
    /// It is given to Linux, which is its server.
    Delivered,
    /// It is given to Linux.
    Punted(PuntClass),
    /// It is dropped; its sender is told when the reason says so.
    Dropped(DropReason),
}

/// A next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Where it is.
    pub interface: InterfaceId,
    /// Its address.
    pub addr: IpAddr,
    /// Its MAC, once Linux knows it.
    pub mac: Option<MacAddr>,
    /// The largest IP packet that may go there, in bytes.
    pub mtu: u16,
}
