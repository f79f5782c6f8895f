//! Which servers are looked at from the gateway's side, and what has to be known for it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use dataplane::address::{Address, V4};
use dataplane::id::InterfaceId;
use dataplane::service::{Method, ServiceKey};
use nix::net::if_::if_nametoindex;

use super::drain::{is_called, meant};
use super::{DrainError, Gateway, session_line};
use crate::config::{Config, Placement, Server};
use crate::health::check_path::{CheckPath, Way};
use crate::health::visit::{Neighbour, Visit};
use crate::view::{DrainQuery, VisitQuery, VisitedView};

/// How many servers are looked at in one go: those that are well take three seconds each.
const MOST: usize = 64;

/// Why no server is looked at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VisitError {
    /// No such server, or service.
    #[error(transparent)]
    Nobody(#[from] DrainError),
    /// Nothing is called so, or it has no servers.
    #[error("there is nothing to look at: no service{0} has a server")]
    Nothing(String),
    /// That would take too long.
    #[error(
        "{0} servers are meant, more than {MOST} are not looked at in one go: name a service or a \
         server"
    )]
    TooMany(usize),
    /// One at a time.
    #[error("somebody looks at servers already: ask again when that has ended")]
    Busy,
}

impl Gateway {
    /// Looks at servers by this path from now on.
    pub fn use_check_path(&self, path: CheckPath) {
        *self.check_path.lock() = Some(path);
    }

    /// Looks at servers, one after the other, for the mistakes of setting them up. Takes long, and
    /// ends between two when nobody `is_waiting` any more.
    ///
    /// # Errors
    ///
    /// When no server is meant, or too many are.
    pub fn visit(
        &self,
        query: &VisitQuery,
        is_waiting: &dyn Fn() -> bool,
    ) -> Result<Vec<VisitedView>, VisitError> {
        let _visiting = self.visiting.try_lock().ok_or(VisitError::Busy)?;
        let config = self.config();
        let servers = servers(&config, query)?;
        if servers.len() > MOST {
            return Err(VisitError::TooMany(servers.len()));
        }
        let view = |(service, server): (ServiceKey, &Server)| VisitedView {
            service: service.to_string(),
            server: session_line::socket(server.endpoint),
            method: server.method.to_string(),
            looks: self.prepare(&config, service, server).look(),
        };
        let servers = servers.into_iter().take_while(|_| is_waiting());
        Ok(servers.map(view).collect())
    }

    fn prepare(&self, config: &Arc<Config>, service: ServiceKey, server: &Server) -> Visit {
        let snapshot = self.published();
        let path = self.check_path.lock().clone();
        let addr = V4::from_ip(server.endpoint.addr);
        let way = addr.and_then(|addr| Way::towards(&snapshot, addr));
        let neighbour = way.filter(|way| way.is_neighbour).and_then(|way| {
            let mut interfaces = config.interfaces();
            let twin = interfaces.find(|it| it.id == way.interface)?;
            let ifindex = if_nametoindex(twin.interface.twin.name.as_str()).ok()?;
            let mac = way.mac;
            Some(Neighbour { ifindex, mac })
        });
        let vip = service.virtual_endpoint().map(session_line::socket);
        let is_external = config.vips().iter().any(|it| {
            vip.is_some_and(|vip| vip.ip() == it.address)
                && matches!(it.placement, Placement::External)
        });
        let is_here = |vip: SocketAddr| self.external_vips_here().contains(&vip.ip());
        let by_vip = matches!(server.method, Method::Dr | Method::Tun);
        Visit {
            method: server.method,
            service: service.protocol().zip(vip),
            server: session_line::socket(server.endpoint),
            neighbour,
            own: way.map(|way| way.own_addr.into()),
            source: path.as_ref().map(CheckPath::source),
            check: (path.filter(|_| by_vip)).and_then(|it| it.address(service, server.endpoint)),
            mtu: way.map_or(0, |way| way.mtu),
            is_vip_away: is_external && !vip.is_some_and(is_here),
            only_own: way.and_then(|way| self.only_address(config, way.interface)),
            is_local: addr.is_some_and(|addr| snapshot.is_local(addr)),
        }
    }
}

impl Gateway {
    /// The gateway's address on a twin, where it has one besides VIPs and LIPs.
    fn only_address(&self, config: &Config, interface: InterfaceId) -> Option<Ipv4Addr> {
        let state = self.state.lock();
        let vips = config.vips();
        let all = state.mirrored.addresses().get(&interface)?.iter();
        let mut own = all.filter_map(|it| match it.addr {
            IpAddr::V4(addr) if !vips.iter().any(|vip| vip.address == it.addr) => Some(addr),
            _ => None,
        });
        own.next().filter(|_| own.next().is_none())
    }
}

/// The servers that are meant, in the order of the configuration.
fn servers<'a>(
    config: &'a Config,
    query: &VisitQuery,
) -> Result<Vec<(ServiceKey, &'a Server)>, VisitError> {
    let service = query.service.as_deref();
    let services = config.services().iter();
    let services = services.filter(|it| service.is_none_or(|wanted| is_called(it, wanted)));
    let all = services.flat_map(|it| it.servers.iter().map(|server| (it.key(), server)));
    let mut all: Vec<_> = all.collect();
    if let Some(server) = &query.server {
        let query = DrainQuery {
            server: server.clone(),
            service: query.service.clone(),
        };
        let meant = meant(config, &query)?;
        all.retain(|(service, server)| meant.contains(&(*service, server.endpoint)));
    }
    if all.is_empty() {
        let named = service.map_or_else(String::new, |it| format!(" \"{it}\""));
        return Err(VisitError::Nothing(named));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::testing::gateway;

    const SERVICES: &str = "[[service]]\nname = \"web\"\nprotocol = \"tcp\"\nvip = \"10.1.0.100\"\n\
        port = 80\n[[service.server]]\naddress = \"10.2.0.11\"\nmethod = \"dr\"\n";

    fn refusal(text: &str, server: Option<&str>, service: Option<&str>) -> String {
        let query = VisitQuery {
            server: server.map(str::to_owned),
            service: service.map(str::to_owned),
        };
        gateway(text)
            .visit(&query, &|| true)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn who_is_not_there_is_not_looked_at() {
        assert!(
            refusal(SERVICES, Some("10.2.0.99"), None).starts_with("there is no server 10.2.0.99")
        );
        assert_eq!(
            refusal(SERVICES, None, Some("mail")),
            "there is nothing to look at: no service \"mail\" has a server"
        );
    }

    #[test]
    fn so_many_that_it_would_take_minutes_are_refused() {
        let server =
            |last| format!("[[service.server]]\naddress = \"10.2.1.{last}\"\nmethod = \"dr\"\n");
        let many: String = (1..=64).map(server).collect();

        assert_eq!(
            refusal(&format!("{SERVICES}{many}"), None, Some("web")),
            "65 servers are meant, more than 64 are not looked at in one go: name a service or a \
             server"
        );
    }

    #[test]
    fn one_look_at_a_time_is_enough() {
        let gateway = gateway(SERVICES);
        let _visiting = gateway.visiting.lock();

        let refused = gateway.visit(&VisitQuery::default(), &|| true).unwrap_err();

        assert_eq!(
            refused.to_string(),
            "somebody looks at servers already: ask again when that has ended"
        );
    }

    #[test]
    fn when_nobody_waits_any_more_nobody_is_asked() {
        let visited = gateway(SERVICES).visit(&VisitQuery::default(), &|| false);

        assert_eq!(visited.unwrap(), []);
    }

    #[test]
    fn a_server_without_a_way_is_said_to_have_none() {
        let gateway = gateway(SERVICES);

        let visited = gateway.visit(&VisitQuery::default(), &|| true).unwrap();

        assert_eq!(visited[0].looks.len(), 1);
        assert_eq!(visited[0].looks[0].outcome, "wrong");
        assert!(
            visited[0].looks[0]
                .says
                .starts_with("the gateway has no way to 10.2.0.11")
        );
    }
}
