//! Announces VIPs in a routing table of Linux that nothing is forwarded by.
//!
//! A routing daemon reads the table and tells routers what is in there; the gateway alone fills
//! it. Each VIP is a host route by the twin that has it, or would have it, marked with a protocol
//! number of the gateway's own ([`PROTOCOL`]), so that a start knows what an earlier one left
//! behind. Routes of others in the table are left alone.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use dataplane::id::InterfaceId;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::netlink::RouteSocket;
use super::placement::host_prefix_len;
use super::twin::TwinLink;

/// Who made a route, as Linux calls it (`ip route` shows `proto 201`): a number that no daemon
/// has in iproute2's list.
pub const PROTOCOL: u8 = 201;

/// A VIP that routers shall send here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Announcement {
    /// The VIP.
    pub vip: IpAddr,
    /// The interface by whose twin the route leads. The route is gone with the twin.
    pub interface: InterfaceId,
}

/// Why the table does not say what it should.
#[derive(Debug, thiserror::Error)]
pub enum AnnounceError {
    /// The kernel refused a route.
    #[error("could not {action} {vip} in routing table {table}: {source}")]
    Kernel {
        /// What was tried: `announce` or `withdraw`.
        action: &'static str,
        /// The VIP.
        vip: IpAddr,
        /// The table.
        table: u32,
        /// Its answer.
        source: io::Error,
    },
    /// The kernel would not say what is there.
    #[error("could not read Linux's routing table {table}: {source}")]
    Read {
        /// The table.
        table: u32,
        /// Its answer.
        source: io::Error,
    },
}

/// The gateway's routes in its table.
#[derive(Debug)]
pub struct AnnounceTable {
    socket: RouteSocket,
    table: u32,
    twins: Vec<TwinLink>,
    /// What was announced when that could be told last.
    announced: BTreeSet<IpAddr>,
}

/// A route of ours as Linux has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct HostRoute {
    vip: IpAddr,
    ifindex: u32,
}

impl AnnounceTable {
    /// The table of that number in the calling thread's network namespace. Nothing is changed
    /// before the first [`apply`](Self::apply).
    ///
    /// # Errors
    ///
    /// When no socket can be had.
    pub fn open(table: u32, twins: &[TwinLink]) -> Result<Self, AnnounceError> {
        let socket = RouteSocket::open_strict();
        Ok(Self {
            socket: socket.map_err(|source| AnnounceError::Read { table, source })?,
            table,
            twins: twins.to_vec(),
            announced: BTreeSet::new(),
        })
    }

    /// Makes the gateway's routes in the table exactly those `wanted`, and says which VIPs it
    /// announces now. One that Linux refuses keeps the others from nothing.
    ///
    /// # Errors
    ///
    /// [`AnnounceError`], with what is announced all the same; if that cannot be read nothing was
    /// changed, and it is what was announced before.
    pub fn apply(
        &mut self,
        wanted: &[Announcement],
    ) -> (BTreeSet<IpAddr>, Result<(), AnnounceError>) {
        let present = match self.routes() {
            Ok(present) => present,
            Err(source) => {
                let table = self.table;
                let error = AnnounceError::Read { table, source };
                return (self.announced.clone(), Err(error));
            }
        };
        let wanted: BTreeSet<HostRoute> = wanted.iter().filter_map(|it| self.route(it)).collect();
        let mut refused = None;
        let mut there: BTreeSet<IpAddr> = BTreeSet::new();
        for route in &wanted {
            let added = if present.contains(route) {
                Ok(())
            } else {
                self.add(route, present.iter().any(|it| it.vip == route.vip))
            };
            match added {
                Ok(()) => drop(there.insert(route.vip)),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        for route in present.difference(&wanted) {
            // One by another twin was replaced just now.
            if there.contains(&route.vip) {
                continue;
            }
            if let Err(error) = self.remove(route) {
                there.insert(route.vip);
                refused = refused.or(Some(error));
            }
        }
        self.announced.clone_from(&there);
        (there, refused.map_or(Ok(()), Err))
    }

    fn route(&self, announcement: &Announcement) -> Option<HostRoute> {
        let mut twins = self.twins.iter();
        let twin = twins.find(|twin| twin.interface == announcement.interface)?;
        Some(HostRoute {
            vip: announcement.vip,
            ifindex: twin.ifindex,
        })
    }

    /// The routes in the table that are the gateway's, whichever start of it made them.
    fn routes(&mut self) -> io::Result<BTreeSet<HostRoute>> {
        let mut found = BTreeSet::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut question = RouteMessage::default();
            question.header.address_family = family;
            question.header.protocol = RouteProtocol::from(PROTOCOL);
            question.attributes.push(RouteAttribute::Table(self.table));
            let answers = match self.socket.dump(RouteNetlinkMessage::GetRoute(question)) {
                // Linux makes a table with its first route.
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Vec::new(),
                answers => answers?,
            };
            found.extend(answers.iter().filter_map(|it| own(it, self.table)));
        }
        Ok(found)
    }

    /// Adds a route. One of ours by another twin makes room; one of another program never does.
    fn add(&mut self, route: &HostRoute, replaces_own: bool) -> Result<(), AnnounceError> {
        let message = RouteNetlinkMessage::NewRoute(message(self.table, route));
        let flag = if replaces_own {
            NLM_F_REPLACE
        } else {
            NLM_F_EXCL
        };
        let added = self.socket.change(message, NLM_F_CREATE | flag);
        added.map_err(|source| {
            let source = if source.kind() == io::ErrorKind::AlreadyExists {
                io::Error::other("another program has a route for it in there")
            } else {
                source
            };
            self.refused("announce", route, source)
        })
    }

    fn remove(&mut self, route: &HostRoute) -> Result<(), AnnounceError> {
        let message = RouteNetlinkMessage::DelRoute(message(self.table, route));
        match self.socket.change(message, 0) {
            // It went with its twin a moment ago.
            Err(error) if error.raw_os_error() != Some(libc::ESRCH) => {
                Err(self.refused("withdraw", route, error))
            }
            _ => Ok(()),
        }
    }

    fn refused(&self, action: &'static str, route: &HostRoute, source: io::Error) -> AnnounceError {
        AnnounceError::Kernel {
            action,
            vip: route.vip,
            table: self.table,
            source,
        }
    }
}

/// Withdraws what an earlier start announced in that table and did not withdraw, before this one
/// is able to serve it.
///
/// # Errors
///
/// As [`AnnounceTable::apply`].
pub fn clear(table: u32) -> Result<(), AnnounceError> {
    AnnounceTable::open(table, &[])?.apply(&[]).1
}

/// What Linux says, if it is a route of ours. Kernels before 4.20 say all routes of all tables.
fn own(answer: &RouteNetlinkMessage, table: u32) -> Option<HostRoute> {
    let RouteNetlinkMessage::NewRoute(route) = answer else {
        return None;
    };
    let mut number = u32::from(route.header.table);
    let (mut vip, mut ifindex) = (None, None);
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Table(id) => number = *id,
            RouteAttribute::Oif(index) => ifindex = Some(*index),
            RouteAttribute::Destination(RouteAddress::Inet(addr)) => vip = Some((*addr).into()),
            RouteAttribute::Destination(RouteAddress::Inet6(addr)) => vip = Some((*addr).into()),
            _ => {}
        }
    }
    let vip = vip?;
    let is_own = number == table
        && u8::from(route.header.protocol) == PROTOCOL
        && route.header.destination_prefix_length == host_prefix_len(vip);
    let route = HostRoute {
        vip,
        ifindex: ifindex?,
    };
    is_own.then_some(route)
}

fn message(table: u32, route: &HostRoute) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = match route.vip {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    message.header.destination_prefix_length = host_prefix_len(route.vip);
    message.header.protocol = RouteProtocol::from(PROTOCOL);
    // What is reached without a router, as `ip route add ADDRESS dev TWIN` has it.
    message.header.scope = RouteScope::Link;
    message.header.kind = RouteType::Unicast;
    message.attributes.extend([
        RouteAttribute::Destination(RouteAddress::from(route.vip)),
        RouteAttribute::Oif(route.ifindex),
        RouteAttribute::Table(table),
    ]);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTE: HostRoute = HostRoute {
        vip: IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 10)),
        ifindex: 7,
    };

    #[test]
    fn what_is_written_is_recognised_as_our_own() {
        let answer = RouteNetlinkMessage::NewRoute(message(70_000, &ROUTE));

        assert_eq!(own(&answer, 70_000), Some(ROUTE));
        assert_eq!(own(&answer, 201), None, "another table");
    }

    #[test]
    fn routes_of_others_and_networks_are_not_ours() {
        let mut others = message(201, &ROUTE);
        others.header.protocol = RouteProtocol::Static;
        let mut network = message(201, &ROUTE);
        network.header.destination_prefix_length = 24;

        assert_eq!(own(&RouteNetlinkMessage::NewRoute(others), 201), None);
        assert_eq!(own(&RouteNetlinkMessage::NewRoute(network), 201), None);
    }

    #[test]
    fn a_table_that_cannot_be_read_is_named() {
        let error = AnnounceError::Read {
            table: 201,
            source: io::Error::from_raw_os_error(libc::EPERM),
        };

        assert_eq!(
            error.to_string(),
            "could not read Linux's routing table 201: Operation not permitted (os error 1)"
        );
    }
}
