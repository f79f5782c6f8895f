//! Routes of the file that Linux does not use: they were put on a twin at the start, or should have
//! been, and what Linux has now is another matter.

use dataplane::editor::NextHop;

use super::Gateway;
use crate::config::{NumberedInterface, Route, RouteTable};

impl Gateway {
    /// A sentence for each IPv4 route of the file by which Linux, as far as it was mirrored, does
    /// not send.
    #[must_use]
    pub fn unused_routes(&self) -> Vec<String> {
        let state = self.state.lock();
        let config = &state.config;
        // They stand in the main table, of which nothing is known otherwise.
        if !config.gateway().route_tables.contains(&RouteTable::MAIN) {
            return Vec::new();
        }
        let mut found = Vec::new();
        for numbered in config.interfaces() {
            let routes = numbered.interface.routes.iter();
            for route in routes.filter(|route| route.via.is_ipv4()) {
                let wanted = NextHop {
                    via: Some(route.via),
                    interface: numbered.id,
                };
                let to = route.destination;
                match state.editor.ways_to(to.address, to.prefix_len) {
                    Some(ways) if ways.contains(&wanted) => {}
                    Some(_) => found.push(beside_another(route, &numbered)),
                    None => found.push(missing(route, &numbered)),
                }
            }
        }
        found
    }
}

fn beside_another(route: &Route, of: &NumberedInterface<'_>) -> String {
    let (interface, twin) = (&of.interface.name, &of.interface.twin.name);
    format!(
        "{interface}: the route \"{route}\" is not used, as Linux has another one to the same \
         destination; mend it with `ip route add {route} dev {twin} table 100` and \
         `route_tables = [100, \"main\"]` in [gateway]"
    )
}

fn missing(route: &Route, of: &NumberedInterface<'_>) -> String {
    let (interface, twin) = (&of.interface.name, &of.interface.twin.name);
    format!(
        "{interface}: the route \"{route}\" is not there any more; mend it with \
         `ip route add {route} dev {twin}`"
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dataplane::id::InterfaceId;

    use super::*;
    use crate::gateway::testing::gateway;
    use crate::linux::mirror::{self, MirrorEvent, Prefix, RouteTarget};

    const ROUTES: &str = "twin = { name = \"tw-wan\" }\naddresses = [\"10.1.0.1/24\"]\n\
                          routes = [\"default via 10.1.0.254\"]\n";

    fn default_by(gateway: &Arc<Gateway>, target: RouteTarget) {
        let prefix = Prefix {
            addr: [0, 0, 0, 0].into(),
            len: 0,
        };
        let route = mirror::Route {
            target,
            mtu: None,
            preferred_source: None,
        };
        gateway.mirrored(&[MirrorEvent::RouteSet { prefix, route }]);
    }

    fn router(last: u8) -> RouteTarget {
        RouteTarget::NextHops(vec![mirror::NextHop {
            interface: InterfaceId(0),
            via: Some([10, 1, 0, last].into()),
            weight: 1,
        }])
    }

    #[test]
    fn a_default_route_beside_that_of_the_management_is_said_with_what_to_do() {
        let gateway = gateway(ROUTES);

        default_by(&gateway, RouteTarget::Elsewhere);

        assert_eq!(
            gateway.unused_routes(),
            [
                "wan: the route \"default via 10.1.0.254\" is not used, as Linux has another one to \
                 the same destination; mend it with `ip route add default via 10.1.0.254 dev tw-wan \
                 table 100` and `route_tables = [100, \"main\"]` in [gateway]"
            ]
        );
        default_by(&gateway, router(253));
        assert_eq!(gateway.unused_routes().len(), 1);
    }

    #[test]
    fn a_route_that_is_used_is_nothing_to_say_and_one_that_is_lost_is() {
        let gateway = gateway(ROUTES);
        let lost = "wan: the route \"default via 10.1.0.254\" is not there any more; mend it with \
                    `ip route add default via 10.1.0.254 dev tw-wan`";
        assert_eq!(gateway.unused_routes(), [lost]);

        default_by(&gateway, router(254));

        assert!(gateway.unused_routes().is_empty());
    }

    #[test]
    fn of_a_table_that_is_not_followed_nothing_is_said() {
        let gateway = gateway(&format!("{ROUTES}[gateway]\nroute_tables = [100]\n"));

        assert!(gateway.unused_routes().is_empty());
    }
}
