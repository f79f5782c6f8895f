//! A service that is watched: its servers, and its quorum.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use dataplane::address::Endpoint;
use dataplane::service::ServiceKey;
use indexmap::IndexMap;

use super::asked::RunId;
use super::news::News;
use super::server::{ServerState, WatchedServer};
use super::standing::{self, Fitness, Standing};
use crate::config::{Health, Service};
use crate::gateway::ServerName;

/// A service that is watched.
#[derive(Clone, Debug)]
pub(super) struct WatchedService {
    /// As it is configured.
    pub(super) configured: Service,
    pub(super) health: Arc<Health>,
    /// In the order of the configuration.
    pub(super) servers: IndexMap<Endpoint<IpAddr>, WatchedServer>,
    /// How its servers stand, as the gateway was told last.
    pub(super) standing: Option<Standing>,
    /// What of its servers that are up counts for the quorum.
    pub(super) weight: u64,
    /// Whether something follows from time alone.
    pub(super) is_moving: bool,
}

impl WatchedService {
    /// A service of which nothing is known.
    pub(super) fn new(service: &Service, health: Arc<Health>) -> Self {
        Self {
            configured: Service {
                servers: Vec::new(),
                health: None,
                ..service.clone()
            },
            health,
            servers: IndexMap::new(),
            standing: None,
            weight: 0,
            is_moving: false,
        }
    }

    /// Its key.
    pub(super) const fn key(&self) -> ServiceKey {
        self.configured.key()
    }

    /// Takes over what the configuration says, and keeps all that is known of servers that stay.
    pub(super) fn configure(
        &mut self,
        service: &Service,
        health: Arc<Health>,
        now: Duration,
        mut new_id: impl FnMut() -> RunId,
    ) {
        let mut known = std::mem::take(&mut self.servers);
        for server in &service.servers {
            let known = known.swap_remove(&server.endpoint);
            let mut watched = known.unwrap_or_else(|| WatchedServer::new(now));
            watched.configure(server, &health, &mut new_id);
            self.servers.insert(server.endpoint, watched);
        }
        self.health = health;
        self.configured = service.clone();
    }

    /// Judges all of its servers anew. Returns how they stand if that is not as before, and adds
    /// to `news` what has become of them.
    pub(super) fn settle(&mut self, now: Duration, news: &mut Vec<News>) -> Option<Standing> {
        let health = Arc::clone(&self.health);
        let service = self.key();
        let states: Vec<_> = self.servers.values().map(|it| it.state).collect();
        let fitness = self.judge(now);
        self.is_moving = false;
        for ((end, server), before) in self.servers.iter().zip(states) {
            self.is_moving |= server.is_moving(now, &health);
            if server.state != before {
                let reasons = match server.state {
                    ServerState::Up | ServerState::Unknown => Vec::new(),
                    _ => server.why(now, &health),
                };
                news.push(News::Server {
                    name: ServerName {
                        service,
                        server: *end,
                    },
                    state: server.state,
                    was: before,
                    reason: Some(reasons.join(", ")).filter(|it| !it.is_empty()),
                });
            }
        }
        self.weight = fitness.iter().map(|(_, it)| it.counts()).sum();
        let had = self.standing.as_ref().map(|it| it.quorum);
        let mut standing = Standing::new(fitness.iter().copied(), had, &health);
        let servers = self.servers.iter();
        let limits = servers.filter_map(|(end, it)| Some((*end, it.most_sessions()?)));
        standing.limits = limits.collect();
        if had.unwrap_or(true) != standing.quorum {
            news.push(self.quorum_news(standing.quorum));
        }
        if self.standing.as_ref() == Some(&standing) {
            return None;
        }
        self.standing = Some(standing.clone());
        Some(standing)
    }

    /// What each server is fit for. Without a quorum nobody is kept out by damping: what made all
    /// servers come and go may have been one switch.
    fn judge(&mut self, now: Duration) -> Vec<(Endpoint<IpAddr>, Fitness)> {
        let health = &self.health;
        let judged = |servers: &mut IndexMap<_, WatchedServer>| -> Vec<_> {
            let servers = servers.iter_mut();
            servers
                .map(|(end, it)| (*end, it.judge(now, health)))
                .collect()
        };
        let fitness: Vec<(Endpoint<IpAddr>, Fitness)> = judged(&mut self.servers);
        let had = self.standing.as_ref().map(|it| it.quorum);
        if Standing::new(fitness.iter().copied(), had, health).quorum {
            return fitness;
        }
        for server in self.servers.values_mut() {
            server.let_in();
        }
        judged(&mut self.servers)
    }

    fn quorum_news(&self, gained: bool) -> News {
        let sorry = self.health.sorry_server.as_ref();
        News::Quorum {
            service: self.key(),
            gained,
            weight: self.weight,
            needed: standing::needed(!gained, &self.health),
            sorry: sorry.map(|it| SocketAddr::new(it.endpoint.addr, it.endpoint.port)),
        }
    }
}
