//! Which interfaces Linux's default routes leave by.

use std::io;

use netlink_packet_route::route::{RouteAttribute, RouteMessage, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::mirror::MAIN_TABLE;
use super::netlink::RouteSocket;

/// Linux's numbers of the interfaces that default routes leave by, the best route's first.
///
/// # Errors
///
/// What the kernel answers.
pub(super) fn interfaces(socket: &mut RouteSocket, family: AddressFamily) -> io::Result<Vec<u32>> {
    let mut question = RouteMessage::default();
    question.header.address_family = family;
    let mut found: Vec<(u32, u32)> = Vec::new();
    for answer in socket.dump(RouteNetlinkMessage::GetRoute(question))? {
        let RouteNetlinkMessage::NewRoute(route) = answer else {
            continue;
        };
        let header = &route.header;
        if header.kind == RouteType::Unicast
            && header.destination_prefix_length == 0
            && header.address_family == family
        {
            found.extend(main_table_exits(&route));
        }
    }
    found.sort_unstable();
    Ok(found.into_iter().map(|(_, ifindex)| ifindex).collect())
}

/// The metric and the interfaces of a route, if it is in the main table.
fn main_table_exits(route: &RouteMessage) -> Vec<(u32, u32)> {
    let mut table = u32::from(route.header.table);
    let mut metric = 0;
    let mut exits = Vec::new();
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Table(id) => table = *id,
            RouteAttribute::Priority(value) => metric = *value,
            RouteAttribute::Oif(ifindex) => exits.push(*ifindex),
            RouteAttribute::MultiPath(hops) => {
                exits.extend(hops.iter().map(|hop| hop.interface_index));
            }
            _ => {}
        }
    }
    exits.retain(|_| table == MAIN_TABLE);
    exits.into_iter().map(|ifindex| (metric, ifindex)).collect()
}
