//! How the servers of watched services stand, in the listings of services.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use dataplane::address::Endpoint;
use dataplane::hasher::FastMap;
use dataplane::service::ServiceKey;

use super::{Gateway, session_line};
use crate::config::{Server, Service};
use crate::health::engine::Board;
use crate::health::news::News;
use crate::health::report::Brief;
use crate::view::{ServerView, ServiceHealthView, ServiceView, TrafficView};

/// How every watched server is.
pub(super) type Briefs = FastMap<(ServiceKey, Endpoint<IpAddr>), Brief>;

impl Gateway {
    /// What is known of servers.
    #[must_use]
    pub const fn board(&self) -> &std::sync::Arc<Board> {
        &self.board
    }

    /// What is known of the servers of every service that is watched.
    #[must_use]
    pub fn watched(&self) -> Vec<ServiceHealthView> {
        self.board.with(|watched, now| watched.views(now))
    }

    /// Tells whoever watches what has become of servers and services.
    pub fn tell_news(&self, news: &[News]) {
        if news.is_empty() {
            return;
        }
        let revision = self.state.lock().revision;
        self.watchers
            .tell(revision, news.iter().filter_map(News::event));
        if news.iter().any(News::is_first) {
            // A VIP may have waited for it.
            self.changed.notify_one();
        }
    }

    pub(super) fn briefs(&self) -> Briefs {
        self.board.with(|watched, now| watched.briefs(now))
    }
}

/// Says of the servers of a service that is watched how they stand, and adds those that are not in
/// the packet path, so that all are there in the order of the configuration.
pub(super) fn complete(view: &mut ServiceView, service: &Service, briefs: &Briefs) {
    let mut shown: HashMap<SocketAddr, ServerView> = HashMap::new();
    let mut others = Vec::new();
    for server in view.servers.drain(..) {
        match shown.entry(server.address) {
            std::collections::hash_map::Entry::Vacant(place) => drop(place.insert(server)),
            std::collections::hash_map::Entry::Occupied(_) => others.push(server),
        }
    }
    for server in &service.servers {
        let known = shown.remove(&session_line::socket(server.endpoint));
        let mut row = known.unwrap_or_else(|| absent(server));
        row.configured_weight = server.weight.0;
        if let Some(brief) = briefs.get(&(service.key(), server.endpoint)) {
            row.state = Some(brief.state.name().to_owned());
            row.reasons.clone_from(&brief.reasons);
        }
        view.servers.push(row);
    }
    let sorry = service.sorry_server().map(|it| it.endpoint);
    let sorry = sorry.map(session_line::socket);
    let rest = shown.into_values().chain(others);
    view.servers.extend(rest.map(|mut row| {
        if Some(row.address) == sorry {
            row.reasons = vec!["sorry server".to_owned()];
        }
        row
    }));
}

/// A server that is not in the packet path.
fn absent(server: &Server) -> ServerView {
    ServerView {
        address: session_line::socket(server.endpoint),
        method: server.method.name().to_owned(),
        weight: 0,
        configured_weight: server.weight.0,
        state: None,
        reasons: Vec::new(),
        active: 0,
        inactive: 0,
        persistent: 0,
        overloaded: false,
        available: false,
        traffic: TrafficView::default(),
    }
}
