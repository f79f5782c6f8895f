//! What workers look services and servers up by, kept as services and servers come and go.
//!
//! Everything here is counted, so that a change costs what it changes: an entry appears with the
//! first that needs it and goes with the last.

use std::net::IpAddr;
use std::sync::Arc;

use super::Editor;
use crate::address::{Address, Endpoint, Protocol, V4};
use crate::hasher::FastMap;
use crate::id::ServiceSlot;
use crate::service::ServiceKey;
use crate::snapshot::{ReplySource, ReplyVips};

/// The least endpoint there is.
const FIRST: Endpoint<IpAddr> = Endpoint::new(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);

/// What workers find a service by.
enum Looked {
    Vip(Protocol, Endpoint<V4>),
    Mark(u32),
}

impl Looked {
    /// That of a service; nothing if its packets are IPv6, which are Linux's.
    fn up(key: ServiceKey) -> Option<Self> {
        match key {
            ServiceKey::Address {
                protocol,
                virtual_endpoint,
            } => Some(Self::Vip(protocol, v4_endpoint(virtual_endpoint)?)),
            ServiceKey::Mark(mark) => Some(Self::Mark(mark)),
            ServiceKey::Mark6(_) => None,
        }
    }
}

/// How many there are of what stands in an index once.
#[derive(Debug, Default)]
pub(super) struct IndexBook {
    /// Services that workers look for: those of IPv6 are Linux's.
    services: usize,
    /// Why a server of a service may send replies by NAT: it is one now, it left, or was one.
    nat: FastMap<(ServiceKey, Endpoint<IpAddr>), u32>,
    /// Marks that have a server by NAT.
    nat_of_marks: FastMap<Endpoint<V4>, u32>,
    /// Servers by NAT at an address.
    nat_at: FastMap<V4, u32>,
    /// Marks whose service is gone while sessions of it may be left.
    past_marks: std::collections::BTreeSet<u32>,
    /// Whether something changed about which servers are the gateway itself.
    local_moved: bool,
}

#[cfg(test)]
impl IndexBook {
    /// Lets the next look find what is local, whatever is known.
    pub(super) const fn look_at_local_servers(&mut self) {
        self.local_moved = true;
    }
}

impl Editor {
    /// Learns that a VIP and port, or a mark, belong to a new service.
    pub(super) fn index_service(&mut self, key: ServiceKey, slot: ServiceSlot) {
        let Some(key) = Looked::up(key) else { return };
        self.index.services += 1;
        self.next.has_services = true;
        match key {
            Looked::Mark(mark) => {
                Arc::make_mut(&mut self.next.marked_services).insert(mark, slot);
            }
            Looked::Vip(protocol, vip) => {
                Arc::make_mut(&mut self.next.service_index).insert((protocol, vip), slot);
            }
        }
    }

    /// Forgets what belonged to a service.
    pub(super) fn unindex_service(&mut self, key: ServiceKey) {
        let Some(key) = Looked::up(key) else { return };
        self.index.services -= 1;
        self.next.has_services = self.index.services > 0;
        match key {
            Looked::Mark(mark) => {
                Arc::make_mut(&mut self.next.marked_services).remove(&mark);
            }
            Looked::Vip(protocol, vip) => {
                Arc::make_mut(&mut self.next.service_index).remove(&(protocol, vip));
            }
        }
    }

    /// Notes one reason why a server of a service may send replies by NAT.
    pub(super) fn expect_replies(&mut self, key: ServiceKey, server: Endpoint<IpAddr>) {
        let Some(source) = v4_endpoint(server) else {
            return;
        };
        let reasons = self.index.nat.entry((key, server)).or_default();
        *reasons += 1;
        if *reasons > 1 {
            return;
        }
        let at = self.index.nat_at.entry(source.addr).or_default();
        *at += 1;
        if *at == 1 {
            let addresses = Arc::make_mut(&mut self.next.nat_addresses);
            addresses.insert(source.addr);
        }
        match Looked::up(key) {
            Some(Looked::Vip(protocol, vip)) => {
                let source = (protocol, source);
                let part = self.next.nat_servers.part_of(&source);
                part.entry(source).or_default().vips.push(vip);
            }
            Some(Looked::Mark(_)) => {
                let marks = self.index.nat_of_marks.entry(source).or_default();
                *marks += 1;
                if *marks == 1 {
                    self.expect_any(source, true);
                }
            }
            None => {}
        }
    }

    /// Takes one such reason back.
    pub(super) fn expect_no_replies(&mut self, key: ServiceKey, server: Endpoint<IpAddr>) {
        let Some(source) = v4_endpoint(server) else {
            return;
        };
        if !is_last(&mut self.index.nat, (key, server)) {
            return;
        }
        if is_last(&mut self.index.nat_at, source.addr) {
            let addresses = Arc::make_mut(&mut self.next.nat_addresses);
            addresses.remove(&source.addr);
        }
        match Looked::up(key) {
            Some(Looked::Vip(protocol, vip)) => {
                self.change_replies((protocol, source), |replies| {
                    replies.vips.retain(|it| *it != vip);
                });
            }
            Some(Looked::Mark(_)) => {
                let was_last = is_last(&mut self.index.nat_of_marks, source);
                if was_last {
                    self.expect_any(source, false);
                }
            }
            None => {}
        }
    }

    fn expect_any(&mut self, server: Endpoint<V4>, any: bool) {
        for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
            self.change_replies((protocol, server), |replies| replies.any = any);
        }
    }

    fn change_replies(&mut self, source: ReplySource, change: impl FnOnce(&mut ReplyVips)) {
        let part = self.next.nat_servers.part_of(&source);
        let replies = part.entry(source).or_default();
        change(replies);
        if replies.vips.is_empty() && !replies.any {
            part.remove(&source);
        }
    }

    /// Learns whether a service is gone while sessions of it may be left.
    pub(super) fn judge_past(&mut self, key: ServiceKey) {
        let mut retired = self.services.retired.range((key, FIRST)..);
        let has_left = retired.next().is_some_and(|((of, _), _)| *of == key);
        let is_past = has_left && !self.services.specs.contains_key(&key);
        match Looked::up(key) {
            Some(Looked::Mark(mark)) => {
                let marks = &mut self.index.past_marks;
                let _known = if is_past {
                    marks.insert(mark)
                } else {
                    marks.remove(&mark)
                };
                let any = !marks.is_empty();
                if self.next.past_services.marks != any {
                    Arc::make_mut(&mut self.next.past_services).marks = any;
                }
            }
            Some(Looked::Vip(protocol, vip)) => {
                let end = (protocol, vip);
                if self.next.past_services.ends.contains(&end) == is_past {
                    return;
                }
                let past = Arc::make_mut(&mut self.next.past_services);
                let _changed = if is_past {
                    past.ends.insert(end)
                } else {
                    past.ends.remove(&end)
                };
            }
            None => {}
        }
    }

    /// Learns where answers to the health checks of a service come from.
    pub(super) fn index_checked(&mut self, before: &[IpAddr], after: &[IpAddr]) {
        if before != after {
            after.iter().for_each(|addr| self.server_came(*addr));
            before.iter().for_each(|addr| self.server_went(*addr));
        }
    }

    /// Notes that a server came to an address.
    pub(super) fn server_came(&mut self, addr: IpAddr) {
        if let Some(addr) = V4::from_ip(addr) {
            let at = self.next.servers_at.part_of(&addr);
            *at.entry(addr).or_default() += 1;
            self.index.local_moved |= self.next.is_local(addr);
        }
    }

    /// Notes that a server left an address for good.
    pub(super) fn server_went(&mut self, addr: IpAddr) {
        if let Some(addr) = V4::from_ip(addr) {
            is_last(self.next.servers_at.part_of(&addr), addr);
            self.index.local_moved |= self.next.is_local(addr);
        }
    }

    /// Notes that an address became one of the gateway's own, or is none any more.
    pub(super) fn address_moved(&mut self, addr: V4) {
        self.index.local_moved |= self.next.servers_at.get(&addr).is_some();
    }

    /// Learns which servers, those with sessions left included, are the gateway itself, and what
    /// Linux's answers come from: the server by NAT, else the VIP.
    pub(super) fn index_local_servers(&mut self) {
        if !std::mem::take(&mut self.index.local_moved) {
            return;
        }
        let mut sources: FastMap<ReplySource, ReplyVips> = FastMap::default();
        for server in self.next.servers.iter().flatten() {
            let Some(end) = v4_endpoint(server.endpoint).filter(|end| self.next.is_local(end.addr))
            else {
                continue;
            };
            note_replies(&mut sources, server.service, end);
            // Except by NAT they come from the VIP. A mark has any: answers to its sessions that
            // are right as they are go unseen.
            if let Some(Looked::Vip(_, vip)) = Looked::up(server.service) {
                note_replies(&mut sources, server.service, vip);
            }
        }
        if *self.next.local_servers != sources {
            self.next.local_servers = Arc::new(sources);
        }
    }
}

/// Takes one of what is counted under `key`; returns whether it was the last.
fn is_last<K: Eq + std::hash::Hash>(counts: &mut FastMap<K, u32>, key: K) -> bool {
    let std::collections::hash_map::Entry::Occupied(mut count) = counts.entry(key) else {
        return false;
    };
    *count.get_mut() -= 1;
    let is_last = *count.get() == 0;
    if is_last {
        count.remove();
    }
    is_last
}

/// Notes that packets from `source` may be replies of this service's sessions.
pub(super) fn note_replies(
    sources: &mut FastMap<ReplySource, ReplyVips>,
    key: ServiceKey,
    source: Endpoint<V4>,
) {
    match Looked::up(key) {
        Some(Looked::Vip(protocol, vip)) => {
            let vips = &mut sources.entry((protocol, source)).or_default().vips;
            if !vips.contains(&vip) {
                vips.push(vip);
            }
        }
        Some(Looked::Mark(_)) => {
            for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
                sources.entry((protocol, source)).or_default().any = true;
            }
        }
        None => {}
    }
}

fn v4_endpoint(endpoint: Endpoint<IpAddr>) -> Option<Endpoint<V4>> {
    Some(Endpoint::new(V4::from_ip(endpoint.addr)?, endpoint.port))
}
