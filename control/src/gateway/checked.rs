//! What the way of checks to VIPs has to know of the gateway.

use std::sync::Arc;

use dataplane::snapshot::Snapshot;

use super::Gateway;
use crate::health::check_path::CheckedServer;
use crate::health::standing::{health_of, is_checked_by_vip};

impl Gateway {
    /// All servers with a check at the VIP, in the order of the file, with the revision of the
    /// configuration that has them; `None` when that is `seen`.
    #[must_use]
    pub fn checked_servers(&self, seen: Option<u64>) -> Option<(u64, Vec<CheckedServer>)> {
        let state = self.state.lock();
        if seen == Some(state.revision) {
            return None;
        }
        let services = state.config.services().iter();
        let servers = services.flat_map(|service| {
            let health = health_of(service);
            let servers = service.servers.iter().filter(move |server| {
                let health = health.as_ref();
                health.is_some_and(|it| is_checked_by_vip(server, it))
            });
            servers.map(|server| CheckedServer {
                service: service.key(),
                server: server.endpoint,
                method: server.method,
            })
        });
        Some((state.revision, servers.collect()))
    }

    /// The snapshot that workers were told of last.
    #[must_use]
    pub fn published(&self) -> Arc<Snapshot> {
        Arc::clone(&self.state.lock().published)
    }
}

#[cfg(test)]
mod tests {
    use dataplane::service::Method;

    use crate::config::Edit;
    use crate::gateway::testing::gateway;

    const SERVICES: &str = "[health]\ncheck_addresses = \"198.18.0.0/24\"\n\
        [[service]]\nprotocol = \"tcp\"\nvip = \"10.1.0.100\"\nport = 80\n\
        [[service.check]]\ntype = \"tcp\"\nvia = \"vip\"\n\
        [[service.server]]\naddress = \"10.2.0.12\"\nmethod = \"tun\"\n\
        [[service.server]]\naddress = \"10.2.0.11\"\nmethod = \"dr\"\n\
        [[service.server]]\naddress = \"10.2.0.13\"\nmethod = \"dr\"\ncheck = []\n\
        [[service]]\nprotocol = \"tcp\"\nvip = \"10.1.0.100\"\nport = 81\n\
        [[service.check]]\ntype = \"tcp\"\n\
        [[service.server]]\naddress = \"10.2.0.14\"\nmethod = \"dr\"\n";

    #[test]
    fn servers_that_are_checked_at_the_vip_are_told_in_their_order_and_again_when_they_change() {
        let gateway = gateway(SERVICES);

        let (revision, servers) = gateway.checked_servers(None).unwrap();

        let told = servers.iter();
        let told = told.map(|it| (it.server.addr.to_string(), it.method));
        let told: Vec<_> = told.collect();
        assert_eq!(
            told,
            [
                ("10.2.0.12".to_owned(), Method::Tun),
                ("10.2.0.11".to_owned(), Method::Dr)
            ]
        );
        assert_eq!(gateway.checked_servers(Some(revision)), None);
        let key = servers[0].service;
        let removal = vec![Edit::Remove(key)];
        gateway.edit(removal, &|_| Ok(())).unwrap();
        let (_, servers) = gateway.checked_servers(Some(revision)).unwrap();
        assert_eq!(servers, []);
    }
}
