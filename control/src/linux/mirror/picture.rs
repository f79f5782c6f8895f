//! Everything Linux knows about the twins, read when somebody asks.
//!
//! The mirror's thread reads it at its start and when notifications were lost; whoever can wait
//! for each change, as a test, needs no thread.

use std::io;

use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::LinkMessage;
use netlink_packet_route::neighbour::NeighbourMessage;
use netlink_packet_route::route::RouteMessage;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::event::MirrorEvent;
use super::fact::Scope;
use super::view::View;
use crate::linux::netlink::RouteSocket;
use crate::linux::twin::TwinLink;

/// What Linux knew when it was last asked.
#[derive(Debug)]
pub struct Picture {
    pub(super) scope: Scope,
    pub(super) view: View,
    requests: RouteSocket,
}

impl Picture {
    /// An empty picture of `twins` and the routing `tables` (first looked at first) of the
    /// calling thread's network namespace.
    ///
    /// # Errors
    ///
    /// When no socket can be made.
    pub fn new(twins: &[TwinLink], tables: &[u32]) -> io::Result<Self> {
        let scope = Scope {
            twins: (twins.iter())
                .map(|twin| (twin.ifindex, twin.interface))
                .collect(),
            tables: tables.to_vec(),
        };
        Ok(Self {
            view: View::new(scope.twins.clone()),
            scope,
            requests: RouteSocket::open()?,
        })
    }

    /// Reads everything and tells what differs from what was known.
    ///
    /// # Errors
    ///
    /// The kernel's refusal.
    pub fn look(&mut self) -> io::Result<Vec<MirrorEvent>> {
        let mut fresh = View::new(self.scope.twins.clone());
        for question in questions() {
            for answer in self.requests.dump(question)? {
                if let Some(fact) = self.scope.fact(&answer) {
                    fresh.fill(fact);
                }
            }
        }
        let events = self.view.differences(&fresh);
        self.view = fresh;
        Ok(events)
    }
}

/// The dumps that make a whole picture.
fn questions() -> [RouteNetlinkMessage; 5] {
    let routes = |family| {
        let mut message = RouteMessage::default();
        message.header.address_family = family;
        RouteNetlinkMessage::GetRoute(message)
    };
    [
        RouteNetlinkMessage::GetLink(LinkMessage::default()),
        RouteNetlinkMessage::GetAddress(AddressMessage::default()),
        RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default()),
        routes(AddressFamily::Inet),
        routes(AddressFamily::Inet6),
    ]
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use dataplane::address::MacAddr;
    use dataplane::id::InterfaceId;

    use super::*;
    use crate::linux::mirror::{InterfaceAddress, MAIN_TABLE};

    #[test]
    fn the_first_look_tells_all_and_the_second_nothing_new() {
        // Given the loopback interface, which is there everywhere, in the place of a twin.
        let twin = TwinLink {
            interface: InterfaceId(4),
            ifindex: 1,
            name: "lo".to_owned(),
            mac: MacAddr::default(),
        };
        let mut picture = Picture::new(&[twin], &[MAIN_TABLE]).unwrap();

        let events = picture.look().unwrap();

        let loopback = MirrorEvent::AddressAdded(InterfaceAddress {
            interface: InterfaceId(4),
            addr: IpAddr::V4(Ipv4Addr::LOCALHOST),
            prefix_len: 8,
        });
        assert!(events.contains(&loopback), "{events:?}");
        let again = picture.look().unwrap();
        assert!(!again.contains(&loopback), "{again:?}");
    }
}
