//! Servers on their way out: they get no new sessions, and keep those they have.
//!
//! The weights from before are remembered here, not by whoever asked, so that another operator can
//! bring a server back. They are forgotten with the process; the file has them.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use dataplane::address::Endpoint;
use dataplane::id::Weight;
use dataplane::service::{RealServer, ServiceKey};

use super::edit::{Edit, EditError};
use super::{Gateway, session_line};
use crate::config::{Config, Server, ServerHealth, Service, near};
use crate::health::standing::is_disabled;
use crate::view::{DrainQuery, DrainView, DrainedView};

/// How often a change is tried again because somebody else has changed the services meanwhile.
const TRIES: usize = 8;

/// A server of a service.
type ServerName = (ServiceKey, Endpoint<IpAddr>);

/// The weights that drained servers had.
#[derive(Debug, Default)]
pub(super) struct Drained(HashMap<ServerName, Weight>);

/// Why no weight was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DrainError {
    /// It is no address.
    #[error("\"{0}\" is no server: write 10.2.0.11:80, or 10.2.0.11 for all of its ports")]
    NotAServer(String),
    /// No such service.
    #[error("there is no service \"{0}\": {1}")]
    NoService(String, String),
    /// No such server.
    #[error("there is no server {0} in {1}: {2}")]
    NoServer(String, String, String),
    /// Nobody drained it.
    #[error(
        "the weight of {0} in {1} is 0, and no weight from before is known: set one in the \
         configuration, or with `ipvsadm -e`"
    )]
    NothingKnown(SocketAddr, ServiceKey),
    /// The services change all the time.
    #[error("the services were changed by somebody else again and again: try once more")]
    Busy,
    /// The configuration would have mistakes.
    #[error("{0}")]
    Refused(EditError),
}

impl Gateway {
    /// Gives servers the weight 0, all of them or none, and remembers what they had.
    ///
    /// # Errors
    ///
    /// When no server is meant, or the change is refused.
    pub fn drain(&self, query: &DrainQuery) -> Result<DrainView, DrainError> {
        let mut drained = self.drained.lock();
        let to_nothing = |_, server: &mut Server| {
            let before = server.weight;
            server.weight = Weight(0);
            Ok(before)
        };
        self.change(query, to_nothing)?
            .into_iter()
            .filter(|(_, before)| before.0 > 0)
            .for_each(|(name, before)| {
                drained.0.insert(name, before);
            });
        let config = self.config();
        drained
            .0
            .retain(|name, _| weight_of(&config, name) == Some(Weight(0)));
        drop(drained);
        self.drained(query)
    }

    /// Gives servers the weights back that they had before they were drained; those whose weight
    /// is not 0 keep it.
    ///
    /// # Errors
    ///
    /// When no server is meant, no weight is known, or the change is refused.
    pub fn undrain(&self, query: &DrainQuery) -> Result<DrainView, DrainError> {
        let mut drained = self.drained.lock();
        let restored = self.change(query, |name, server| {
            if server.weight.0 == 0 {
                let known = drained.0.get(&name).copied();
                let (service, end) = name;
                let unknown = || DrainError::NothingKnown(session_line::socket(end), service);
                server.weight = known.ok_or_else(unknown)?;
            }
            Ok(())
        })?;
        for (name, _) in &restored {
            drained.0.remove(name);
        }
        drop(drained);
        self.drained(query)
    }

    /// Takes servers out, all of them or none: they are not checked, and get nothing.
    ///
    /// # Errors
    ///
    /// When no server is meant, or the change is refused.
    pub fn disable(&self, query: &DrainQuery) -> Result<DrainView, DrainError> {
        self.set_disabled(query, true)
    }

    /// Brings servers back that were taken out.
    ///
    /// # Errors
    ///
    /// When no server is meant, or the change is refused.
    pub fn enable(&self, query: &DrainQuery) -> Result<DrainView, DrainError> {
        self.set_disabled(query, false)
    }

    fn set_disabled(&self, query: &DrainQuery, disabled: bool) -> Result<DrainView, DrainError> {
        self.change(query, |_, server| {
            let before = server.health.as_deref().cloned().unwrap_or_default();
            let after = ServerHealth { disabled, ..before };
            let says_something = after != ServerHealth::default();
            server.health = says_something.then(|| Arc::new(after));
            Ok(())
        })?;
        self.drained(query)
    }

    /// The servers that are meant, as they are now.
    ///
    /// # Errors
    ///
    /// When no server is meant.
    pub fn drained(&self, query: &DrainQuery) -> Result<DrainView, DrainError> {
        let (config, snapshot) = self.present();
        let meant = Meant::read(query)?;
        let names = meant.servers(&config)?;
        let running: HashMap<ServerName, &RealServer> = (snapshot.servers.iter().flatten())
            .filter(|server| server.available && meant.is_server(server.endpoint))
            .map(|server| ((server.service, server.endpoint), &**server))
            .collect();
        let drained = self.drained.lock();
        let servers = names.into_iter().map(|name| {
            let shared = running.get(&name).map(|server| &server.shared);
            let active = shared.map_or(0, |shared| shared.active());
            let all = shared.map_or(0, |shared| shared.sessions());
            let configured = find(&config, &name);
            let weight = configured.map_or(0, |it| it.weight.0);
            DrainedView {
                service: name.0.to_string(),
                server: session_line::socket(name.1),
                weight,
                disabled: configured.is_some_and(is_disabled),
                weight_before: (drained.0.get(&name).filter(|_| weight == 0)).map(|it| it.0),
                active,
                inactive: all.saturating_sub(active),
            }
        });
        let servers: Vec<_> = servers.collect();
        let sessions = servers
            .iter()
            .map(|it| u64::from(it.active) + u64::from(it.inactive));
        Ok(DrainView {
            sessions: sessions.sum(),
            servers,
        })
    }

    /// Changes the servers that are meant, all of them or none; gives what `change` said of each.
    fn change<T>(
        &self,
        query: &DrainQuery,
        change: impl Fn(ServerName, &mut Server) -> Result<T, DrainError>,
    ) -> Result<Vec<(ServerName, T)>, DrainError> {
        let meant = Meant::read(query)?;
        for _ in 0..TRIES {
            let config = self.config();
            let names = meant.servers(&config)?;
            let mut before = Vec::new();
            let mut changed: Vec<Service> = Vec::new();
            for service in config.services().iter().filter(|it| meant.is_service(it)) {
                let mut after = service.clone();
                for server in &mut after.servers {
                    let name = (service.key(), server.endpoint);
                    if meant.is_server(server.endpoint) {
                        before.push((name, change(name, server)?));
                    }
                }
                if after != *service {
                    changed.push(after);
                }
            }
            debug_assert_eq!(names.len(), before.len());
            if changed.is_empty() {
                return Ok(before);
            }
            match self.replace(&config, changed) {
                Ok(_) => return Ok(before),
                Err(EditError::Stale(_)) => {}
                Err(refused) => return Err(DrainError::Refused(refused)),
            }
        }
        Err(DrainError::Busy)
    }

    /// Replaces services that are still as they were seen.
    fn replace(&self, seen: &Config, services: Vec<Service>) -> Result<(), EditError> {
        let keys: Vec<_> = services.iter().map(Service::key).collect();
        let edits = services.into_iter().map(Edit::Put).collect();
        let applied = self.edit(edits, &|present| {
            let is_same = |key: &ServiceKey| seen.service(*key) == present.service(*key);
            if keys.iter().all(is_same) {
                Ok(())
            } else {
                Err(EditError::Stale("a service has changed".to_owned()))
            }
        });
        applied.map(|_| ())
    }
}

fn find<'a>(config: &'a Config, (service, server): &ServerName) -> Option<&'a Server> {
    let mut servers = config.service(*service)?.servers.iter();
    servers.find(|it| it.endpoint == *server)
}

fn weight_of(config: &Config, name: &ServerName) -> Option<Weight> {
    find(config, name).map(|server| server.weight)
}

/// The servers that are meant: of all that have it, or of one service.
pub(super) fn meant(config: &Config, query: &DrainQuery) -> Result<Vec<ServerName>, DrainError> {
    Meant::read(query)?.servers(config)
}

/// Which servers are meant.
struct Meant<'a> {
    query: &'a DrainQuery,
    addr: IpAddr,
    port: Option<u16>,
}

impl<'a> Meant<'a> {
    fn read(query: &'a DrainQuery) -> Result<Self, DrainError> {
        let text = query.server.trim();
        let end = text
            .parse::<SocketAddr>()
            .map(|end| (end.ip(), Some(end.port())));
        let end = end.or_else(|_| text.parse::<IpAddr>().map(|addr| (addr, None)));
        let (addr, port) = end.map_err(|_| DrainError::NotAServer(query.server.clone()))?;
        Ok(Self { query, addr, port })
    }

    fn is_server(&self, end: Endpoint<IpAddr>) -> bool {
        end.addr == self.addr && self.port.is_none_or(|port| port == end.port)
    }

    fn is_service(&self, service: &Service) -> bool {
        let wanted = self.query.service.as_ref();
        wanted.is_none_or(|wanted| is_called(service, wanted))
    }

    /// The servers; at least one.
    fn servers(&self, config: &Config) -> Result<Vec<ServerName>, DrainError> {
        let services = || config.services().iter().filter(|it| self.is_service(it));
        if services().next().is_none() {
            let names = config
                .services()
                .iter()
                .map(service_name)
                .collect::<Vec<_>>();
            let wanted = self.query.service.clone().unwrap_or_default();
            let advice = near(&wanted, &names, "sluicectl services");
            return Err(DrainError::NoService(wanted, advice));
        }
        let all = || {
            services().flat_map(|it| it.servers.iter().map(|server| (it.key(), server.endpoint)))
        };
        let meant: Vec<_> = all().filter(|(_, end)| self.is_server(*end)).collect();
        if meant.is_empty() {
            let names = all().map(|(_, end)| match self.port {
                Some(_) => session_line::socket(end).to_string(),
                None => end.addr.to_string(),
            });
            let names: Vec<_> = names.collect();
            let service = self.query.service.as_ref();
            let place = service.map_or_else(
                || "any service".to_owned(),
                |service| format!("the service \"{service}\""),
            );
            let wanted = self.query.server.clone();
            let advice = near(&wanted, &names, "sluicectl services");
            return Err(DrainError::NoServer(wanted, place, advice));
        }
        Ok(meant)
    }
}

/// Whether that names a service.
pub(super) fn is_called(service: &Service, wanted: &str) -> bool {
    let is_name = service.name.as_deref() == Some(wanted);
    is_name || spellings(service.key()).iter().any(|it| it == wanted)
}

/// All that a service's key may be written as.
fn spellings(key: ServiceKey) -> Vec<String> {
    let text = key.to_string();
    let mut all = vec![text.replacen(' ', "-", 1), text.replacen(' ', "/", 1)];
    if let Some(end) = key.virtual_endpoint() {
        let protocol = key.protocol().map_or("", |it| it.name());
        all.push(session_line::socket(end).to_string());
        all.push(format!("{protocol}-{}-{}", end.addr, end.port));
    }
    all.push(text);
    all
}

fn service_name(service: &Service) -> String {
    let name = service.name.clone();
    name.unwrap_or_else(|| service.key().to_string())
}
