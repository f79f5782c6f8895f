//! Decides what a packet without a session is: a new session, Linux's, or nobody's.
//!
//! Only packets that met no session come here, so nothing in it has to be as fast as a look-up
//! in the session table.

use std::sync::Arc;

use crate::address::{FlowKey, Protocol, V4};
use crate::punt::PuntClass;
use crate::service::{Service, Unserved};
use crate::snapshot::{Role, Snapshot};

/// What a TCP, UDP or SCTP packet without a session is.
#[derive(Debug)]
pub enum Target<'a> {
    /// It may begin a session of this service.
    Service(&'a Arc<Service>),
    /// It is for a VIP, but for no service there.
    UnservedVip(Unserved),
    /// It is for a local address's pool of ports: only a reply could have been meant.
    LocalAddress,
    /// It comes from a server that answers by NAT: a reply, of a session that ended or that
    /// another worker owns.
    NatReply,
    /// It is for the box itself.
    Host,
    /// It is for somebody else; Linux may forward it.
    Transit,
}

/// Says what a packet with this key is.
#[must_use]
pub fn classify<'a>(snapshot: &'a Snapshot, key: &FlowKey<V4>) -> Target<'a> {
    match snapshot.role(key.destination.addr) {
        Some(Role::Local { pool, host }) => {
            if *host && !pool.ports().contains(&key.destination.port) {
                Target::Host
            } else {
                Target::LocalAddress
            }
        }
        Some(Role::Vip(unserved)) => snapshot
            .service_for(key.protocol, key.destination)
            .map_or(Target::UnservedVip(*unserved), Target::Service),
        Some(Role::Host) => Target::Host,
        None => match snapshot.nat_vips((key.protocol, key.source)).next() {
            Some(_) => Target::NatReply,
            None => Target::Transit,
        },
    }
}

/// The punt class of a packet to the box itself.
#[must_use]
pub const fn host_class(key: &FlowKey<V4>) -> PuntClass {
    // BGP (RFC 4271) from either side; BFD (RFC 5881 §4, RFC 5883 §5); DHCP (RFC 2131 §4.1).
    match (key.protocol, key.destination.port, key.source.port) {
        (Protocol::Tcp, 179, _) | (Protocol::Tcp, _, 179) => PuntClass::Control,
        (Protocol::Udp, 3784 | 3785 | 4784 | 67 | 68, _) => PuntClass::Control,
        _ => PuntClass::Host,
    }
}

/// The punt class of an IPv4 packet that is neither TCP, UDP nor SCTP, or that went to a group.
#[must_use]
pub fn other_class(snapshot: &Snapshot, protocol: u8, destination: V4, group: bool) -> PuntClass {
    // IGMP, OSPF, PIM and VRRP (IANA protocol numbers): what keeps the box in its network.
    const ROUTING: [u8; 4] = [2, 89, 103, 112];
    if ROUTING.contains(&protocol) {
        PuntClass::Control
    } else if group || snapshot.role(destination).is_some() {
        PuntClass::Host
    } else {
        PuntClass::Transit
    }
}

/// The punt class of an IPv6 packet: neighbour discovery (RFC 4861) and routing first.
#[must_use]
pub const fn ipv6_class(next_header: u8, icmp_type: Option<u8>) -> PuntClass {
    match (next_header, icmp_type) {
        (58, Some(133..=137)) | (89 | 103 | 112, _) => PuntClass::Control,
        _ => PuntClass::Host,
    }
}
