//! Turns rtnetlink messages into the facts the mirror keeps, and leaves out all others.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dataplane::address::MacAddr;
use dataplane::id::InterfaceId;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::LinkMessage;
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteMetric, RouteNextHop,
    RouteNextHopFlags, RouteType, RouteVia,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::event::{InterfaceAddress, NextHop, Prefix, Route, RouteTarget};
use crate::linux::link::Link;

/// What the mirror cares for.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    /// The twins, by Linux's number for them.
    pub(super) twins: HashMap<u32, InterfaceId>,
    /// Routing tables, the one looked at first first.
    pub(super) tables: Vec<u32>,
}

/// One thing Linux states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fact {
    /// Any interface: routes may leave by it.
    Link(Link),
    /// An interface that is gone.
    LinkGone { ifindex: u32 },
    /// A twin has this address.
    Address(InterfaceAddress),
    /// A twin no longer has it.
    AddressGone(InterfaceAddress),
    /// There is this route.
    Route(RankedRoute),
    /// There no longer is.
    RouteGone(RankedRoute),
    /// A neighbour's MAC; `None` when it is not known.
    Neighbour {
        interface: InterfaceId,
        addr: IpAddr,
        mac: Option<MacAddr>,
    },
}

/// A route and its place among those to the same prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RankedRoute {
    pub(super) prefix: Prefix,
    pub(super) rank: Rank,
    pub(super) route: Route,
}

/// Lower is better: the table's place in the configuration, then the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    pub(super) table: usize,
    pub(super) metric: u32,
}

impl Scope {
    /// What `message` states, if it is about something in scope.
    pub(super) fn fact(&self, message: &RouteNetlinkMessage) -> Option<Fact> {
        match message {
            // Those of other families say that an interface joined or left a bridge.
            RouteNetlinkMessage::NewLink(link) if is_plain(link) => {
                Some(Fact::Link(Link::from_message(link)))
            }
            RouteNetlinkMessage::DelLink(link) if is_plain(link) => Some(Fact::LinkGone {
                ifindex: link.header.index,
            }),
            RouteNetlinkMessage::NewAddress(address) => self.address(address).map(Fact::Address),
            RouteNetlinkMessage::DelAddress(address) => {
                self.address(address).map(Fact::AddressGone)
            }
            RouteNetlinkMessage::NewRoute(route) => self.route(route).map(Fact::Route),
            RouteNetlinkMessage::DelRoute(route) => self.route(route).map(Fact::RouteGone),
            RouteNetlinkMessage::NewNeighbour(neighbour) => {
                self.neighbour(neighbour, known_mac(neighbour))
            }
            RouteNetlinkMessage::DelNeighbour(neighbour) => self.neighbour(neighbour, None),
            _ => None,
        }
    }

    fn address(&self, message: &AddressMessage) -> Option<InterfaceAddress> {
        let interface = *self.twins.get(&message.header.index)?;
        let mut addr = None;
        for attribute in &message.attributes {
            match attribute {
                // On a point-to-point address this is the local end, and Address the peer.
                AddressAttribute::Local(local) => addr = Some(*local),
                AddressAttribute::Address(other) if addr.is_none() => addr = Some(*other),
                _ => {}
            }
        }
        Some(InterfaceAddress {
            interface,
            addr: addr?,
            prefix_len: message.header.prefix_len,
        })
    }

    fn neighbour(&self, message: &NeighbourMessage, mac: Option<MacAddr>) -> Option<Fact> {
        let interface = *self.twins.get(&message.header.ifindex)?;
        if message.header.flags.contains(NeighbourFlags::Proxy) {
            return None;
        }
        let addr = message.attributes.iter().find_map(|attribute| {
            let NeighbourAttribute::Destination(destination) = attribute else {
                return None;
            };
            match destination {
                NeighbourAddress::Inet(addr) => Some(IpAddr::V4(*addr)),
                NeighbourAddress::Inet6(addr) => Some(IpAddr::V6(*addr)),
                _ => None,
            }
        })?;
        (!addr.is_multicast()).then_some(Fact::Neighbour {
            interface,
            addr,
            mac,
        })
    }

    fn route(&self, message: &RouteMessage) -> Option<RankedRoute> {
        let header = &message.header;
        // Routes for one TOS or one source are policy the packet path does not know, and cloned
        // ones are entries of Linux's own cache.
        if header.tos != 0
            || header.source_prefix_length != 0
            || header.flags.contains(RouteFlags::Cloned)
        {
            return None;
        }
        let parts = RouteParts::read(message);
        let table = self.tables.iter().position(|&id| id == parts.table)?;
        let target = match header.kind {
            RouteType::Unicast => self.target(&parts),
            RouteType::BlackHole => RouteTarget::Blackhole,
            RouteType::Unreachable => RouteTarget::Unreachable,
            RouteType::Prohibit => RouteTarget::Prohibited,
            // Local, broadcast, multicast and anycast routes forward nothing.
            _ => return None,
        };
        let any = match header.address_family {
            AddressFamily::Inet => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            AddressFamily::Inet6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            _ => return None,
        };
        Some(RankedRoute {
            prefix: Prefix {
                addr: parts.destination.unwrap_or(any),
                len: header.destination_prefix_length,
            },
            rank: Rank {
                table,
                metric: parts.metric,
            },
            route: Route {
                target,
                mtu: parts.mtu,
                preferred_source: parts.preferred_source,
            },
        })
    }

    fn target(&self, parts: &RouteParts) -> RouteTarget {
        let mut hops: Vec<NextHop> = parts
            .hops
            .iter()
            .filter_map(|hop| {
                Some(NextHop {
                    via: hop.via,
                    interface: *self.twins.get(&hop.ifindex)?,
                    weight: hop.weight,
                })
            })
            .collect();
        // Linux tells the same hops in one order in a notification and another in a dump.
        hops.sort_unstable();
        if hops.is_empty() {
            RouteTarget::Elsewhere
        } else {
            RouteTarget::NextHops(hops)
        }
    }
}

fn is_plain(link: &LinkMessage) -> bool {
    link.header.interface_family == AddressFamily::Unspec
}

/// The attributes of a route that count.
#[derive(Default)]
struct RouteParts {
    table: u32,
    metric: u32,
    mtu: Option<u32>,
    destination: Option<IpAddr>,
    preferred_source: Option<IpAddr>,
    /// Those Linux uses at present.
    hops: Vec<RawHop>,
}

struct RawHop {
    via: Option<IpAddr>,
    ifindex: u32,
    weight: u16,
}

impl RouteParts {
    fn read(message: &RouteMessage) -> Self {
        let mut parts = Self {
            table: u32::from(message.header.table),
            ..Self::default()
        };
        let mut single = RawHop {
            via: None,
            ifindex: 0,
            weight: 1,
        };
        for attribute in &message.attributes {
            match attribute {
                RouteAttribute::Table(table) => parts.table = *table,
                RouteAttribute::Priority(metric) => parts.metric = *metric,
                RouteAttribute::Destination(addr) => parts.destination = ip_of(addr),
                RouteAttribute::PrefSource(addr) => parts.preferred_source = ip_of(addr),
                RouteAttribute::Metrics(metrics) => parts.mtu = mtu_of(metrics),
                RouteAttribute::Oif(ifindex) => single.ifindex = *ifindex,
                RouteAttribute::MultiPath(hops) => {
                    parts.hops = hops.iter().filter_map(hop_of).collect();
                }
                other => single.via = single.via.or_else(|| router_of(other)),
            }
        }
        if single.ifindex != 0 && !message.header.flags.contains(RouteFlags::Dead) {
            parts.hops.push(single);
        }
        parts
    }
}

fn hop_of(hop: &RouteNextHop) -> Option<RawHop> {
    (!hop.flags.contains(RouteNextHopFlags::Dead)).then(|| RawHop {
        via: hop.attributes.iter().find_map(router_of),
        ifindex: hop.interface_index,
        // rtnh_hops is the weight less one.
        weight: u16::from(hop.hops) + 1,
    })
}

fn router_of(attribute: &RouteAttribute) -> Option<IpAddr> {
    match attribute {
        RouteAttribute::Gateway(addr) => ip_of(addr),
        // An IPv4 route through an IPv6 router.
        RouteAttribute::Via(RouteVia::Inet(addr)) => Some(IpAddr::V4(*addr)),
        RouteAttribute::Via(RouteVia::Inet6(addr)) => Some(IpAddr::V6(*addr)),
        _ => None,
    }
}

fn ip_of(addr: &RouteAddress) -> Option<IpAddr> {
    match addr {
        RouteAddress::Inet(addr) => Some(IpAddr::V4(*addr)),
        RouteAddress::Inet6(addr) => Some(IpAddr::V6(*addr)),
        _ => None,
    }
}

fn mtu_of(metrics: &[RouteMetric]) -> Option<u32> {
    metrics.iter().find_map(|metric| match metric {
        RouteMetric::Mtu(mtu) => Some(*mtu),
        _ => None,
    })
}

/// The MAC in a state in which Linux would send to it.
fn known_mac(message: &NeighbourMessage) -> Option<MacAddr> {
    match message.header.state {
        NeighbourState::Reachable
        | NeighbourState::Stale
        | NeighbourState::Delay
        | NeighbourState::Probe
        | NeighbourState::Permanent
        | NeighbourState::Noarp => {}
        _ => return None,
    }
    message.attributes.iter().find_map(|attribute| {
        let NeighbourAttribute::LinkLayerAddress(bytes) = attribute else {
            return None;
        };
        bytes.as_slice().try_into().ok().map(MacAddr)
    })
}
