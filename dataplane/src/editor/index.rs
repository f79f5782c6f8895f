//! What workers look services and servers up by, from what the editor knows of them.

use std::net::IpAddr;
use std::sync::Arc;

use super::Editor;
use crate::address::{Address, Endpoint, Protocol, V4};
use crate::hasher::FastMap;
use crate::service::{Method, ServiceKey};
use crate::snapshot::{PastServices, ReplySource, ReplyVips};

impl Editor {
    /// Learns which service a VIP and port, or a mark, belong to.
    pub(super) fn index_services(&mut self) {
        let mut by_address = FastMap::default();
        let mut by_mark = FastMap::default();
        for (key, (slot, _)) in &self.services.specs {
            match *key {
                ServiceKey::Mark(mark) => {
                    by_mark.insert(mark, *slot);
                }
                ServiceKey::Address {
                    protocol,
                    virtual_endpoint,
                } => {
                    if let Some(endpoint) = v4_endpoint(virtual_endpoint) {
                        by_address.insert((protocol, endpoint), *slot);
                    }
                }
            }
        }
        self.next.service_index = Arc::new(by_address);
        self.next.marked_services = Arc::new(by_mark);
    }

    /// Learns whose replies come back by NAT, and to which VIPs they may belong; servers with
    /// sessions left still send some.
    pub(super) fn index_nat_servers(&mut self) {
        let mut sources: FastMap<ReplySource, ReplyVips> = FastMap::default();
        let present = self.services.specs.values().flat_map(|(_, spec)| {
            let by_nat = spec
                .servers
                .iter()
                .filter(|server| server.method == Method::Nat);
            by_nat.map(|server| (spec.key, server.endpoint))
        });
        let past = (self.services.retired.keys()).chain(self.services.once_nat.keys());
        for (key, endpoint) in present.chain(past.copied()) {
            let Some(server) = v4_endpoint(endpoint) else {
                continue;
            };
            note_replies(&mut sources, key, server);
        }
        if *self.next.nat_servers != sources {
            let addresses = sources.keys().map(|(_, server)| server.addr).collect();
            self.next.nat_addresses = Arc::new(addresses);
            self.next.nat_servers = Arc::new(sources);
        }
    }

    /// Learns which services are gone while sessions of theirs may be left.
    pub(super) fn index_past_services(&mut self) {
        let mut past = PastServices::default();
        let known = &self.services.specs;
        let gone = self.services.retired.keys().map(|(key, _)| *key);
        for key in gone.filter(|key| !known.contains_key(key)) {
            match key {
                ServiceKey::Mark(_) => past.marks = true,
                ServiceKey::Address {
                    protocol,
                    virtual_endpoint,
                } => {
                    let end = v4_endpoint(virtual_endpoint);
                    past.ends.extend(end.map(|end| (protocol, end)));
                }
            }
        }
        if *self.next.past_services != past {
            self.next.past_services = Arc::new(past);
        }
    }

    /// Learns which servers, those with sessions left included, are the gateway itself, and what
    /// Linux's answers come from: the server by NAT, else the VIP.
    pub(super) fn index_local_servers(&mut self) {
        let mut sources: FastMap<ReplySource, ReplyVips> = FastMap::default();
        for server in self.next.servers.iter().flatten() {
            let Some(end) = v4_endpoint(server.endpoint).filter(|end| self.next.is_local(end.addr))
            else {
                continue;
            };
            note_replies(&mut sources, server.service, end);
            // Except by NAT they come from the VIP. A mark has any: answers to its sessions that
            // are right as they are go unseen.
            if let ServiceKey::Address {
                virtual_endpoint, ..
            } = server.service
                && let Some(vip) = v4_endpoint(virtual_endpoint)
            {
                note_replies(&mut sources, server.service, vip);
            }
        }
        if *self.next.local_servers != sources {
            self.next.local_servers = Arc::new(sources);
        }
    }
}

/// Notes that packets from `source` may be replies of this service's sessions.
fn note_replies(
    sources: &mut FastMap<ReplySource, ReplyVips>,
    key: ServiceKey,
    source: Endpoint<V4>,
) {
    match key {
        ServiceKey::Address {
            protocol,
            virtual_endpoint,
        } => {
            if let Some(vip) = v4_endpoint(virtual_endpoint) {
                let vips = &mut sources.entry((protocol, source)).or_default().vips;
                if !vips.contains(&vip) {
                    vips.push(vip);
                }
            }
        }
        ServiceKey::Mark(_) => {
            for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
                sources.entry((protocol, source)).or_default().any = true;
            }
        }
    }
}

fn v4_endpoint(endpoint: Endpoint<IpAddr>) -> Option<Endpoint<V4>> {
    Some(Endpoint::new(V4::from_ip(endpoint.addr)?, endpoint.port))
}
