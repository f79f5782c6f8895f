//! What the way of checks to VIPs has to know of the gateway.

use std::sync::Arc;

use dataplane::snapshot::Snapshot;

use super::Gateway;
use crate::health::check_path::CheckedServer;

impl Gateway {
    /// All servers, in the order of the file, with the revision of the configuration that has
    /// them; `None` when that is `seen`.
    #[must_use]
    pub fn checked_servers(&self, seen: Option<u64>) -> Option<(u64, Vec<CheckedServer>)> {
        let state = self.state.lock();
        if seen == Some(state.revision) {
            return None;
        }
        let services = state.config.services().iter();
        let servers = services.flat_map(|service| {
            let servers = service.servers.iter();
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

    const SERVICES: &str = "[[service]]\nprotocol = \"tcp\"\nvip = \"10.1.0.100\"\nport = 80\n\
                            [[service.server]]\naddress = \"10.2.0.12\"\nmethod = \"tun\"\n\
                            [[service.server]]\naddress = \"10.2.0.11\"\nmethod = \"nat\"\n";

    #[test]
    fn servers_are_told_in_their_order_and_again_when_they_change() {
        let gateway = gateway(SERVICES);

        let (revision, servers) = gateway.checked_servers(None).unwrap();

        let told = servers.iter();
        let told = told.map(|it| (it.server.addr.to_string(), it.method));
        let told: Vec<_> = told.collect();
        assert_eq!(
            told,
            [
                ("10.2.0.12".to_owned(), Method::Tun),
                ("10.2.0.11".to_owned(), Method::Nat)
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
