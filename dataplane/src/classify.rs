//! Decides what a packet without a session is: a new session, Linux's, or nobody's.
//!
//! Only packets that met no session come here, so nothing in it has to be as fast as a look-up
//! in the session table; only which service a new session is for is worth remembering.

use std::sync::Arc;

use crate::address::{Endpoint, FlowKey, Protocol, V4};
use crate::id::{EthdevId, InterfaceId, ServiceSlot};
use crate::parse::Parsed;
use crate::punt::PuntClass;
use crate::service::{Service, Unserved};
use crate::snapshot::{Role, Snapshot};

/// What a TCP, UDP or SCTP packet without a session is.
#[derive(Clone, Copy, Debug)]
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

/// Says what a packet with this key is that arrived on `ethdev`.
#[must_use]
pub fn classify<'a>(snapshot: &'a Snapshot, ethdev: EthdevId, key: &FlowKey<V4>) -> Target<'a> {
    match marked_service(snapshot, ethdev, key) {
        Some(service) => Target::Service(service),
        None => by_address(snapshot, key),
    }
}

/// The services that packets without a session were for lately: one look instead of two or three
/// in the maps of the snapshot. Whoever keeps it forgets it all when the snapshot is another.
#[derive(Debug)]
pub struct RecentServices([Option<(Protocol, Endpoint<V4>, ServiceSlot)>; Self::PLACES]);

impl RecentServices {
    /// Places; a service has one of them.
    const PLACES: usize = 64;

    /// None.
    #[must_use]
    pub const fn new() -> Self {
        Self([None; Self::PLACES])
    }

    /// Says what a packet with this key is that arrived on `ethdev`; the snapshot is the one that
    /// it is always asked with.
    #[inline]
    pub fn classify<'a>(
        &mut self,
        snapshot: &'a Snapshot,
        ethdev: EthdevId,
        key: &FlowKey<V4>,
    ) -> Target<'a> {
        if let Some(service) = marked_service(snapshot, ethdev, key) {
            return Target::Service(service);
        }
        let Endpoint { addr, port } = key.destination;
        // 2^32 divided by the golden ratio: neighbours get places apart.
        let mixed = (addr.0 ^ u32::from(port)).wrapping_mul(0x9e37_79b1);
        let place = &mut self.0[(mixed >> 26) as usize % Self::PLACES];
        if let Some((protocol, vip, slot)) = place
            && (*protocol, *vip) == (key.protocol, key.destination)
            && let Some(Some(service)) = snapshot.services.get(slot.index())
        {
            return Target::Service(service);
        }
        let target = by_address(snapshot, key);
        if let Target::Service(service) = target {
            *place = Some((key.protocol, key.destination, service.slot));
        }
        target
    }
}

impl Default for RecentServices {
    fn default() -> Self {
        Self::new()
    }
}

/// The service of the packet's mark, which comes before any of its destination's (connections.md
/// §2). Only what is for a local address's pool of ports is never its: no client speaks to that.
#[inline]
fn marked_service<'a>(
    snapshot: &'a Snapshot,
    ethdev: EthdevId,
    key: &FlowKey<V4>,
) -> Option<&'a Arc<Service>> {
    let service = snapshot.marked_service(ethdev, key)?;
    let is_reply = matches!(by_role(snapshot, key), Some(Target::LocalAddress));
    (!is_reply).then_some(service)
}

/// What a packet is that has no mark, or one that no service has.
fn by_address<'a>(snapshot: &'a Snapshot, key: &FlowKey<V4>) -> Target<'a> {
    match by_role(snapshot, key) {
        Some(Target::UnservedVip(unserved)) => snapshot
            .service_for(key.protocol, key.destination)
            .map_or(Target::UnservedVip(unserved), Target::Service),
        Some(target) => target,
        None if snapshot.may_reply_by_nat((key.protocol, key.source)) => Target::NatReply,
        None => Target::Transit,
    }
}

/// What a packet is to an address of the gateway that no service wants.
pub(crate) fn by_role<'a>(snapshot: &'a Snapshot, key: &FlowKey<V4>) -> Option<Target<'a>> {
    Some(match snapshot.role(key.destination.addr)? {
        Role::Local { pool, host } => {
            if *host && !pool.ports().contains(&key.destination.port) {
                Target::Host
            } else {
                Target::LocalAddress
            }
        }
        Role::Vip(unserved) => Target::UnservedVip(*unserved),
        Role::Host => Target::Host,
    })
}

/// Where a packet for Linux comes from, as far as its punt class depends on that.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// Where it arrived.
    pub interface: InterfaceId,
    /// Its sender, as it says itself.
    pub source: V4,
    /// The time to live, as it arrived.
    pub ttl: u8,
    /// Whether its frame was for a group.
    pub group: bool,
}

impl Origin {
    /// That of a packet whose frame was for the gateway alone.
    #[must_use]
    pub const fn of(interface: InterfaceId, parsed: &Parsed) -> Self {
        Self {
            interface,
            source: parsed.key.source.addr,
            ttl: parsed.ip.ttl,
            group: false,
        }
    }

    /// Whether no router has sent it on (RFC 5082 §2.2: each takes from the time to live).
    const fn is_unrouted(self) -> bool {
        self.ttl == u8::MAX
    }

    /// Whether a neighbour sent it, or at least somebody who says so.
    fn is_neighbour(self, snapshot: &Snapshot) -> bool {
        let Self {
            interface, source, ..
        } = self;
        self.group || self.is_unrouted() || snapshot.is_neighbour(source, interface)
    }
}

/// The punt class of a packet with ports to the box itself, or to a group. Anybody can write the ports
/// of a routing protocol, so the first class is for those that come from the link.
#[must_use]
pub fn host_class(snapshot: &Snapshot, key: &FlowKey<V4>, origin: Origin) -> PuntClass {
    let ports = [key.source.port, key.destination.port];
    match (key.protocol, key.destination.port) {
        // BFD (RFC 5881 §5: the time to live is 255).
        (Protocol::Udp, 3784) if origin.is_unrouted() => PuntClass::Control,
        // BFD's echo (RFC 5881 §4), DHCP (RFC 2131 §4.1).
        (Protocol::Udp, 3785 | 67 | 68) if origin.is_neighbour(snapshot) => PuntClass::Control,
        // BGP (RFC 4271) from either side, BFD over several hops (RFC 5883 §5).
        (Protocol::Tcp, _) if ports.contains(&179) => routing_class(snapshot, origin),
        (Protocol::Udp, 4784) => routing_class(snapshot, origin),
        _ => box_class(snapshot, origin),
    }
}

fn routing_class(snapshot: &Snapshot, origin: Origin) -> PuntClass {
    if origin.is_neighbour(snapshot) {
        PuntClass::Control
    } else {
        PuntClass::Multihop
    }
}

/// The punt class of a packet to the box itself, whatever it says.
#[must_use]
pub fn box_class(snapshot: &Snapshot, origin: Origin) -> PuntClass {
    if !origin.group && snapshot.may_answer_checks(origin.source) {
        PuntClass::Check
    } else {
        PuntClass::Host
    }
}

/// The punt class of an IPv4 packet that is neither TCP, UDP nor SCTP, or that went to a group.
#[must_use]
pub fn other_class(
    snapshot: &Snapshot,
    protocol: u8,
    destination: V4,
    origin: Origin,
) -> PuntClass {
    // IGMP, OSPF, PIM and VRRP (IANA protocol numbers): what keeps the box in its network.
    let is_routing = matches!(protocol, 2 | 89 | 103 | 112);
    if is_routing && origin.is_neighbour(snapshot) {
        PuntClass::Control
    } else if !origin.group && snapshot.role(destination).is_none() {
        PuntClass::Transit
    } else if is_routing {
        PuntClass::Multihop
    } else {
        box_class(snapshot, origin)
    }
}

/// The punt class of an IPv6 packet: first the neighbour discovery (RFC 4861) and routing of those
/// on the link, which those beyond can be told from by their hop limit or address.
#[must_use]
pub const fn ipv6_class(next_header: u8, icmp_type: Option<u8>, on_link: bool) -> PuntClass {
    match (next_header, icmp_type) {
        (58, Some(133..=137)) | (89 | 103 | 112, _) if on_link => PuntClass::Control,
        _ => PuntClass::Host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{CLIENT, RIP_1, Setup, VIP, service};

    #[test]
    fn what_was_for_a_service_lately_is_so_again_and_nothing_else() {
        // Given services at the same port and address for two transports.
        let mut editor = Setup::two_arm().editor();
        let specs = [Protocol::Tcp, Protocol::Udp].map(|protocol| {
            let service = service(protocol, VIP).nat(RIP_1);
            service.spec()
        });
        editor.set_services(&specs);
        let snapshot = editor.snapshot();
        let mut recent = RecentServices::new();
        let mut ask = |protocol, destination| {
            let key = FlowKey {
                source: CLIENT,
                destination,
                protocol,
            };
            match recent.classify(&snapshot, EthdevId(0), &key) {
                Target::Service(service) => service.key.protocol(),
                _ => None,
            }
        };

        let other_port = Endpoint::new(VIP.addr, VIP.port + 1);
        for _ in 0..2 {
            for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Tcp] {
                assert_eq!(ask(protocol, VIP), Some(protocol));
                assert_eq!(ask(protocol, VIP), Some(protocol));
                assert_eq!(ask(protocol, other_port), None);
            }
            assert_eq!(ask(Protocol::Sctp, VIP), None);
            assert_eq!(ask(Protocol::Tcp, CLIENT), None);
        }
    }
}
