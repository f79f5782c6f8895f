//! What happens to the configuration that runs, told to whoever watches.

use std::collections::HashSet;
use std::fmt::Display;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use dataplane::address::Endpoint;
use dataplane::service::ServiceKey;
use serde::{Serialize, Serializer};
use tokio::sync::broadcast;

use super::Gateway;
use super::diary::{self, Change, Entry};
use crate::config::{Fate, Server, Service};

/// Events that a slow watcher may fall behind before it misses some.
const BACKLOG: usize = 4096;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// The revision of the configuration with it ([`Gateway::revision`]).
    pub revision: u64,
    /// When; as milliseconds since 1970 where it is serialised.
    #[serde(serialize_with = "milliseconds")]
    pub at: SystemTime,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What can happen. Services are serialised as their keys are shown: `tcp 10.1.0.100:80`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum EventKind {
    /// A whole configuration was applied; what it changed is not told one by one.
    ConfigurationApplied,
    /// A part changed that is neither a service nor a server: a pool, a time-out, a variable.
    ConfigurationChanged {
        /// Which, like `local pool "lips"` or `sysctl conn_reuse_mode`.
        what: String,
    },
    /// A service is new.
    ServiceAdded {
        /// Its key.
        #[serde(serialize_with = "shown")]
        service: ServiceKey,
    },
    /// A service is no longer as it was, beside its servers.
    ServiceChanged {
        /// Its key.
        #[serde(serialize_with = "shown")]
        service: ServiceKey,
    },
    /// A service is gone, with its servers.
    ServiceRemoved {
        /// Its key.
        #[serde(serialize_with = "shown")]
        service: ServiceKey,
    },
    /// A service has a server more.
    ServerAdded(ServerName),
    /// A server is no longer as it was.
    ServerChanged(ServerName),
    /// A service no longer has a server.
    ServerRemoved(ServerName),
    /// A server has as many sessions as its upper threshold.
    ServerOverloaded(ServerName),
    /// A server takes sessions again that was overloaded.
    ServerAvailable(ServerName),
    /// Maintenance has begun, or is over.
    MaintenanceChanged {
        /// Whether it is on now.
        on: bool,
    },
    /// A routing daemon may tell routers of a VIP.
    VipAnnounced {
        /// The VIP.
        vip: IpAddr,
    },
    /// Routing daemons have to tell routers that a VIP is no longer here.
    VipWithdrawn {
        /// The VIP.
        vip: IpAddr,
    },
    /// A server serves, as its checks say.
    ServerUp(ServerName),
    /// A server does not serve, as its checks say.
    ServerDown {
        /// Which.
        #[serde(flatten)]
        name: ServerName,
        /// Why.
        reason: Option<String>,
    },
    /// A server gets no new sessions.
    ServerDraining {
        /// Which.
        #[serde(flatten)]
        name: ServerName,
        /// Why.
        reason: Option<String>,
    },
    /// A server was taken out.
    ServerDisabled {
        /// Which.
        #[serde(flatten)]
        name: ServerName,
        /// Why.
        reason: Option<String>,
    },
    /// The servers of a service that are up are enough again.
    ServiceQuorumGained {
        /// Its key.
        #[serde(serialize_with = "shown")]
        service: ServiceKey,
    },
    /// The servers of a service that are up are too few.
    ServiceQuorumLost {
        /// Its key.
        #[serde(serialize_with = "shown")]
        service: ServiceKey,
    },
    /// There is something new that an operator should mend.
    Warning {
        /// A sentence, with the command that mends it.
        message: String,
    },
}

/// A server of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct ServerName {
    /// The service's key.
    #[serde(serialize_with = "shown")]
    pub service: ServiceKey,
    /// RIP and port.
    #[serde(serialize_with = "socket")]
    pub server: Endpoint<IpAddr>,
}

/// Tells events to all who watch, and the log.
#[derive(Debug)]
pub(super) struct Watchers(broadcast::Sender<Event>);

impl Default for Watchers {
    fn default() -> Self {
        Self(broadcast::Sender::new(BACKLOG))
    }
}

impl Watchers {
    pub(super) fn tell<T: Into<Change>>(
        &self,
        revision: u64,
        changes: impl IntoIterator<Item = T>,
    ) {
        let at = SystemTime::now();
        let mut entry = Entry::default();
        for change in changes {
            let change = change.into();
            entry.note(&change);
            let kind = change.kind;
            // The log knows it, whether anybody watches or not.
            let _watchers = self.0.send(Event { revision, at, kind });
        }
        entry.end();
    }
}

impl Gateway {
    /// Tells which servers became overloaded or available again since the last call.
    pub(super) fn look_at_loads(&self) {
        let state = self.state.lock();
        let (snapshot, revision) = (Arc::clone(&state.published), state.revision);
        drop(state);
        let servers = snapshot.servers.iter().flatten();
        let now: HashSet<_> = servers
            .filter(|server| server.available && server.is_overloaded())
            .map(|server| ServerName {
                service: server.service,
                server: server.endpoint,
            })
            .collect();
        let before = std::mem::replace(&mut *self.overloaded.lock(), now.clone());
        let over = now.difference(&before).copied();
        let over = over.map(EventKind::ServerOverloaded);
        let back = before.difference(&now).copied();
        let back = back.map(EventKind::ServerAvailable);
        self.watchers.tell(revision, over.chain(back));
    }

    /// All events from now on. Who does not keep up misses the oldest, and is told how many.
    #[must_use]
    pub fn watch(&self) -> broadcast::Receiver<Event> {
        self.watchers.0.subscribe()
    }
}

/// What there is to tell of a service that was put or removed; `after` is what it is now.
pub(super) fn of_service(fate: &Fate<ServiceKey, Service>, after: Option<&Service>) -> Vec<Change> {
    let service = fate.key;
    match (&fate.before, after) {
        (None, None) => Vec::new(),
        (None, Some(_)) => vec![EventKind::ServiceAdded { service }.into()],
        (Some(_), None) => vec![EventKind::ServiceRemoved { service }.into()],
        (Some(_), Some(_)) if fate.left => vec![
            EventKind::ServiceRemoved { service }.into(),
            EventKind::ServiceAdded { service }.into(),
        ],
        (Some(before), Some(after)) => {
            let mut changes = Vec::new();
            if !before.is_like(after) {
                changes.push(EventKind::ServiceChanged { service }.into());
            }
            of_servers(before, after, &mut changes);
            changes
        }
    }
}

fn of_servers(before: &Service, after: &Service, changes: &mut Vec<Change>) {
    let name = |server: &Server| ServerName {
        service: after.key(),
        server: server.endpoint,
    };
    for server in &before.servers {
        if find(&after.servers, server.endpoint).is_none() {
            changes.push(EventKind::ServerRemoved(name(server)).into());
        }
    }
    for server in &after.servers {
        match find(&before.servers, server.endpoint) {
            None => changes.push(EventKind::ServerAdded(name(server)).into()),
            Some(before) if before != server => {
                changes.push(Change {
                    kind: EventKind::ServerChanged(name(server)),
                    what: diary::difference(before, server),
                });
            }
            Some(_) => {}
        }
    }
}

fn find(list: &[Server], endpoint: Endpoint<IpAddr>) -> Option<&Server> {
    list.iter().find(|it| it.endpoint == endpoint)
}

fn milliseconds<S: Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    serializer.serialize_u64(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn shown<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn socket<S: Serializer>(end: &Endpoint<IpAddr>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&std::net::SocketAddr::new(end.addr, end.port))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::super::testing::gateway;
    use super::*;

    #[test]
    fn who_listens_hears_of_servers_that_have_too_much_to_do() {
        let text = "[[service]]\nprotocol = \"tcp\"\nvip = \"10.1.0.100\"\nport = 80\n\
                    [[service.server]]\naddress = \"10.2.0.11\"\nupper_threshold = 1\n";
        let gateway = gateway(text);
        let mut events = gateway.watch();
        let snapshot = gateway.published();
        let server = snapshot.servers.iter().flatten().next().unwrap();
        let name = ServerName {
            service: server.service,
            server: server.endpoint,
        };

        gateway.look_at_loads();
        server.shared.overloaded.store(true, Ordering::SeqCst);
        gateway.look_at_loads();
        gateway.look_at_loads();
        server.shared.overloaded.store(false, Ordering::SeqCst);
        gateway.look_at_loads();

        let mut kinds = Vec::new();
        while let Ok(event) = events.try_recv() {
            kinds.push(event.kind);
        }
        assert_eq!(
            kinds,
            [
                EventKind::ServerOverloaded(name),
                EventKind::ServerAvailable(name)
            ]
        );
    }

    #[test]
    fn an_event_is_flat_in_json() {
        let service = ServiceKey::Mark(3);
        let event = Event {
            revision: 7,
            at: UNIX_EPOCH + std::time::Duration::from_millis(5),
            kind: EventKind::ServiceAdded { service },
        };

        assert_eq!(
            serde_json::json!(event),
            serde_json::json!({
                "revision": 7, "at": 5, "kind": "service-added", "service": "mark 3",
            })
        );
    }
}
