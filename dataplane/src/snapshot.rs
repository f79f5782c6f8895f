//! The immutable configuration a worker adopts between two bursts.
//!
//! A snapshot is a root of shared parts: deriving one with a change in one part costs that part
//! and a reference count for each of the others.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use crate::address::{Address, Endpoint, FlowKey, MacAddr, Protocol, V4};
use crate::adjacency::Adjacency;
use crate::hasher::{FastMap, FastSet};
use crate::id::{AdjacencySlot, EthdevId, InterfaceId, ServerSlot, ServiceSlot, VlanId};
use crate::knobs::Knobs;
use crate::marks::MarkRules;
use crate::paged::Paged;
use crate::persistence::Templates;
use crate::route::ForwardingTable;
use crate::service::{RealServer, Service, Unserved};
use crate::session::Timeouts;
use crate::sharded::Sharded;
use crate::snat::LocalAddress;
use crate::steering::Steering;

/// An ethdev, or one VLAN of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its number.
    pub id: InterfaceId,
    /// The ethdev that carries it.
    pub ethdev: EthdevId,
    /// The 802.1Q tag of its frames; `None` for untagged ones.
    pub vlan: Option<VlanId>,
    /// The MAC of the ethdev and of the twin.
    pub mac: MacAddr,
    /// The largest IP packet it carries, in bytes.
    pub mtu: u16,
    /// The box's own address here, from which tunnels begin.
    pub address: Option<V4>,
    /// Whether servers' replies are accepted here even if no route to the server points here.
    pub accept_replies: bool,
}

/// All interfaces, found by number or by ethdev and tag.
#[derive(Clone, Debug, Default)]
pub struct Interfaces {
    list: Vec<Interface>,
    /// For each ethdev, its interfaces with their tags.
    by_ethdev: Vec<Vec<(Option<VlanId>, InterfaceId)>>,
}

impl Interfaces {
    /// The interfaces of the configuration; each stands at the index of its number.
    #[must_use]
    pub fn new(list: Vec<Interface>) -> Self {
        let ethdevs = list
            .iter()
            .map(|interface| interface.ethdev.index() + 1)
            .max()
            .unwrap_or(0);
        let mut by_ethdev = vec![Vec::new(); ethdevs];
        for interface in &list {
            by_ethdev[interface.ethdev.index()].push((interface.vlan, interface.id));
        }
        Self { list, by_ethdev }
    }

    /// The interface with this number.
    #[inline]
    #[must_use]
    pub fn get(&self, id: InterfaceId) -> Option<&Interface> {
        self.list.get(id.index())
    }

    /// The interface that frames with this tag belong to.
    #[inline]
    #[must_use]
    pub fn find(&self, ethdev: EthdevId, vlan: Option<VlanId>) -> Option<&Interface> {
        let tags = self.by_ethdev.get(ethdev.index())?;
        let (_, id) = tags.iter().find(|(tag, _)| *tag == vlan)?;
        self.get(*id)
    }

    /// All interfaces, by number.
    pub fn iter(&self) -> impl Iterator<Item = &Interface> {
        self.list.iter()
    }
}

/// What an address of the gateway is for.
#[derive(Clone, Debug)]
pub enum Role {
    /// The box's own: Linux answers.
    Host,
    /// A virtual service's.
    Vip(Unserved),
    /// A FULLNAT local address; `host` when it is also one of the box's own.
    Local {
        /// The pool of its ports.
        pool: Arc<LocalAddress>,
        /// Whether ports outside the pool are Linux's.
        host: bool,
    },
}

/// A transport and an endpoint of a real server, as replies carry them in their source.
pub type ReplySource = (Protocol, Endpoint<V4>);

/// The sessions that a server's reply may belong to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplyVips {
    /// Those with these VIPs and ports (port 0: the server's own port).
    pub vips: Vec<Endpoint<V4>>,
    /// Those with any: the server serves a mark.
    pub any: bool,
}

/// Services that are gone while sessions of theirs may be left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PastServices {
    /// Those of a VIP, by its port (port 0: of all ports).
    pub ends: FastSet<(Protocol, Endpoint<V4>)>,
    /// Whether there is one of a mark.
    pub marks: bool,
}

/// Everything a worker needs to know that it does not find out itself.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Counts the snapshots.
    pub generation: u64,
    /// Ethdevs and VLANs.
    pub interfaces: Arc<Interfaces>,
    /// The gateway's IPv4 addresses.
    pub roles: Arc<FastMap<V4, Role>>,
    /// Which service a VIP and port belong to.
    pub service_index: Arc<FastMap<(Protocol, Endpoint<V4>), ServiceSlot>>,
    /// Which service a mark belongs to.
    pub marked_services: Arc<FastMap<u32, ServiceSlot>>,
    /// Which packets have which mark.
    pub marks: Arc<MarkRules>,
    /// The services by slot.
    pub services: Paged<Option<Arc<Service>>>,
    /// Whether there is a service of IPv4. Without any, its packets are Linux's, also those of
    /// sessions (connections.md §1).
    pub has_services: bool,
    /// The real servers by slot, those with sessions left included.
    pub servers: Paged<Option<Arc<RealServer>>>,
    /// What [`Self::was_served`] is asked by.
    pub past_services: Arc<PastServices>,
    /// Whose replies come back by NAT (port 0: from any port), and what they may belong to.
    /// [`Self::nat_vips`] and [`Self::serves_a_mark_by_nat`] ask it.
    pub nat_servers: Sharded<ReplySource, ReplyVips>,
    /// The addresses in `nat_servers`.
    pub nat_addresses: Arc<FastSet<V4>>,
    /// What the gateway itself answers with as a real server, by what [`Self::local_vips`] is
    /// asked; empty in most gateways.
    pub local_servers: Arc<FastMap<ReplySource, ReplyVips>>,
    /// How many real servers are at an address, or are checked there: those included that have but
    /// sessions left, or that nothing is sent to while their checks fail.
    pub servers_at: Sharded<V4, u32>,
    /// IPv4 routes.
    pub routes: ForwardingTable<V4>,
    /// The next hops by slot.
    pub adjacencies: Paged<Adjacency>,
    /// Which worker owns a flow.
    pub steering: Arc<Steering>,
    /// How long sessions last.
    pub timeouts: Arc<Timeouts>,
    /// What steers IPVS.
    pub knobs: Arc<Knobs>,
    /// Counts the servers that were removed while `expire_nodest_conn` said that sessions of removed
    /// servers end: with each of them all those do.
    pub purges: u64,
    /// Which servers persistent clients have: one table for all snapshots of a gateway, once it
    /// has a persistent service.
    pub templates: Arc<Templates<V4>>,
}

impl Snapshot {
    /// The service that takes new sessions to this VIP and port: the exact port's, else the one
    /// for all ports (`connections.md` §2).
    #[inline]
    #[must_use]
    pub fn service_for(&self, protocol: Protocol, vip: Endpoint<V4>) -> Option<&Arc<Service>> {
        let any_port = Endpoint::new(vip.addr, 0);
        let slot = self
            .service_index
            .get(&(protocol, vip))
            .or_else(|| self.service_index.get(&(protocol, any_port)))?;
        self.services.get(slot.index())?.as_ref()
    }

    /// The service whose mark the rules give to packets that arrive on `ethdev` with this key.
    #[inline]
    #[must_use]
    pub fn marked_service(&self, ethdev: EthdevId, key: &FlowKey<V4>) -> Option<&Arc<Service>> {
        if self.marked_services.is_empty() {
            return None;
        }
        let mark = self
            .marks
            .mark(ethdev, key.protocol as u8, key.source, key.destination);
        let slot = self.marked_services.get(&mark)?;
        self.services.get(slot.index())?.as_ref()
    }

    /// Whether what is sent to `destination` may belong to a session that outlives its service.
    #[must_use]
    pub fn was_served(&self, protocol: Protocol, destination: Endpoint<V4>) -> bool {
        let PastServices { ends, marks } = &*self.past_services;
        let any_port = Endpoint::new(destination.addr, 0);
        *marks || ends.contains(&(protocol, destination)) || ends.contains(&(protocol, any_port))
    }

    /// Whether `source` may send NAT replies.
    #[must_use]
    pub fn may_reply_by_nat(&self, source: ReplySource) -> bool {
        self.nat_replies(source).next().is_some()
    }

    /// Whether `source` may send NAT replies of sessions to any address, since it serves a mark.
    #[must_use]
    pub fn serves_a_mark_by_nat(&self, source: ReplySource) -> bool {
        self.nat_replies(source).any(|replies| replies.any)
    }

    /// Whether Linux's packets from `source` may belong to sessions to any address.
    #[must_use]
    pub fn serves_a_mark_locally(&self, source: ReplySource) -> bool {
        self.local_replies(source).any(|replies| replies.any)
    }

    /// The VIPs and ports that a NAT reply from `source` may belong to; none when `source` is no
    /// server that is reached by NAT, or serves nothing but a mark.
    pub fn nat_vips(&self, source: ReplySource) -> impl Iterator<Item = Endpoint<V4>> {
        vips_of(source.1, self.nat_replies(source))
    }

    /// Whether some server at `addr` is reached by NAT.
    #[must_use]
    pub fn is_nat_server(&self, addr: V4) -> bool {
        self.nat_addresses.contains(&addr)
    }

    /// The VIPs and ports that Linux's packets from `source` may belong to, when the gateway
    /// itself is a real server there.
    pub fn local_vips(&self, source: ReplySource) -> impl Iterator<Item = Endpoint<V4>> {
        vips_of(source.1, self.local_replies(source))
    }

    fn nat_replies(&self, source: ReplySource) -> impl Iterator<Item = &ReplyVips> {
        let sources = by_port_and_any(source).into_iter();
        sources.filter_map(|source| self.nat_servers.get(&source))
    }

    fn local_replies(&self, source: ReplySource) -> impl Iterator<Item = &ReplyVips> {
        let sources = by_port_and_any(source).into_iter();
        sources.filter_map(|source| self.local_servers.get(&source))
    }

    /// Whether Linux takes packets to `addr` as its own, so that a real server there is the
    /// gateway itself (IPVS: a local node).
    #[must_use]
    pub fn is_local(&self, addr: V4) -> bool {
        match self.role(addr) {
            Some(Role::Host | Role::Vip(_)) => true,
            Some(Role::Local { host, .. }) => *host,
            None => Ipv4Addr::from(addr).is_loopback(),
        }
    }

    /// The real server in `slot`.
    #[inline]
    #[must_use]
    pub fn server(&self, slot: ServerSlot) -> Option<&RealServer> {
        self.servers.get(slot.index())?.as_deref()
    }

    /// The next hop in `slot`.
    #[inline]
    #[must_use]
    pub fn adjacency(&self, slot: AdjacencySlot) -> Option<&Adjacency> {
        self.adjacencies.get(slot.index())
    }

    /// Whether Linux has a route to `addr` that leaves by `interface`.
    #[must_use]
    pub fn routes_to(&self, addr: V4, interface: InterfaceId) -> bool {
        let hops = self.routes.lookup(addr).unwrap_or_default();
        hops.iter()
            .filter_map(|slot| self.adjacency(*slot))
            .any(|adjacency| adjacency.interface == interface)
    }

    /// Whether `addr` is on the link of `interface`, by Linux's routes.
    #[must_use]
    pub fn is_neighbour(&self, addr: V4, interface: InterfaceId) -> bool {
        let hops = self.routes.lookup(addr).unwrap_or_default();
        let mut hops = hops.iter().filter_map(|slot| self.adjacency(*slot));
        hops.any(|hop| hop.interface == interface && hop.neighbour(addr.to_ip()) == addr.to_ip())
    }

    /// Whether a health check may be answered from `source`: that of a real server, or of a VIP, as
    /// servers by DR and TUN do.
    #[must_use]
    pub fn may_answer_checks(&self, source: V4) -> bool {
        self.servers_at.get(&source).is_some() || matches!(self.role(source), Some(Role::Vip(_)))
    }

    /// What `addr` is for, if it is one of the gateway's.
    #[inline]
    #[must_use]
    pub fn role(&self, addr: V4) -> Option<&Role> {
        self.roles.get(&addr)
    }

    /// The pool of a local address.
    #[must_use]
    pub fn local_pool(&self, addr: IpAddr) -> Option<&Arc<LocalAddress>> {
        match self.roles.get(&V4::from_ip(addr)?)? {
            Role::Local { pool, .. } => Some(pool),
            Role::Host | Role::Vip(_) => None,
        }
    }
}

/// The VIPs and ports among `replies` to packets from `server`.
fn vips_of<'a>(
    server: Endpoint<V4>,
    replies: impl Iterator<Item = &'a ReplyVips>,
) -> impl Iterator<Item = Endpoint<V4>> {
    let vips = replies.flat_map(|replies| &replies.vips);
    vips.map(move |vip| match vip.port {
        0 => Endpoint::new(vip.addr, server.port),
        _ => *vip,
    })
}

/// `source` by its port, and as a server of all ports.
const fn by_port_and_any(source: ReplySource) -> [ReplySource; 2] {
    let (protocol, server) = source;
    [source, (protocol, Endpoint::new(server.addr, 0))]
}
