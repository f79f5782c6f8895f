//! What happens, as it happens: server-sent events (HTML Living Standard, §9.2).
//!
//! ```text
//! Gateway ──broadcast──► History (the last events, numbered) ──► each watcher, at its own pace
//! ```
//!
//! A watcher that comes back says with `Last-Event-ID` what it saw last, and goes on behind it. If
//! that is too long ago, or of an earlier start of the gateway, it is told so by an event `lagged`,
//! and has to look at everything anew.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use dataplane::service::ServiceKey;
use futures_util::stream::{self, Stream};
use parking_lot::Mutex;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, watch};

use super::Api;
use super::identifier::{ServerId, ServiceId};
use super::refusal::Refusal;
use crate::gateway::{Event, EventKind, ServerName};
use crate::view::EventView;

/// Events that are kept for those who come back.
const KEPT: usize = 4_096;

/// The most watchers at a time.
const WATCHERS: usize = 64;

/// Between two signs of life when nothing happens: less than the minute after which what stands
/// between may close a silent connection.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// What a browser or client sends when it comes back (HTML Living Standard, §9.2.4).
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The last events, each with a number.
#[derive(Debug, Default)]
struct Kept {
    /// The number of the first one that is kept.
    first: u64,
    events: VecDeque<Arc<EventView>>,
}

impl Kept {
    /// The number that the next event will have.
    fn end(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    fn push(&mut self, event: EventView) {
        if self.events.len() == KEPT {
            self.events.pop_front();
            self.first += 1;
        }
        self.events.push_back(Arc::new(event));
    }

    /// Forgets everything, with so many that never came.
    fn skip(&mut self, missed: u64) {
        self.first = self.end() + missed;
        self.events.clear();
    }

    /// What a watcher gets who has seen everything before `position`, and where it is then.
    fn next(&self, position: u64) -> Option<(Next, u64)> {
        if position < self.first || position > self.end() {
            let missed = self.first.saturating_sub(position);
            return Some((Next::Lagged(missed), self.first.max(self.end())));
        }
        let index = usize::try_from(position - self.first).ok()?;
        let event = self.events.get(index)?;
        Some((Next::Event(Arc::clone(event)), position + 1))
    }
}

/// What a watcher gets next.
#[derive(Clone, Debug, PartialEq)]
enum Next {
    Event(Arc<EventView>),
    /// So many events were missed, at least.
    Lagged(u64),
}

/// The last events, and who wants the next.
#[derive(Debug)]
pub(super) struct History {
    kept: Mutex<Kept>,
    /// Rings with the number of the next event.
    news: watch::Sender<u64>,
    places: Arc<Semaphore>,
}

impl History {
    /// Nothing has happened yet.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            kept: Mutex::default(),
            news: watch::Sender::new(0),
            places: Arc::new(Semaphore::new(WATCHERS)),
        })
    }

    /// Takes down what the gateway tells, as long as it tells.
    pub(super) async fn record(self: Arc<Self>, mut events: broadcast::Receiver<Event>) {
        loop {
            let event = events.recv().await;
            let mut kept = self.kept.lock();
            match event {
                Ok(event) => kept.push(view(&event)),
                Err(RecvError::Lagged(missed)) => kept.skip(missed),
                Err(RecvError::Closed) => return,
            }
            self.news.send_replace(kept.end());
        }
    }
}

/// One who watches: where it is, and its place among the watchers.
struct Watcher {
    history: Arc<History>,
    news: watch::Receiver<u64>,
    start: Arc<str>,
    position: u64,
    _place: OwnedSemaphorePermit,
}

impl Watcher {
    /// The next event, once there is one.
    async fn next(&mut self) -> Option<Sent> {
        loop {
            let next = self.history.kept.lock().next(self.position);
            if let Some((next, position)) = next {
                self.position = position;
                let id = format!("{}-{position}", self.start);
                return sent(&next).map(|sent| sent.id(id));
            }
            self.news.changed().await.ok()?;
        }
    }
}

/// What changes, as server-sent events, until the client goes away
///
/// Each event's name is its `kind`, its data an `EventView`, and its id what `Last-Event-ID` takes to
/// go on behind it. An event `lagged` says that some were missed: look at everything anew.
#[utoipa::path(get, path = "/v1/watch", tag = "status",
    params(("Last-Event-ID" = Option<String>, Header, description = "The id of the last event seen")),
    responses(
        (status = 200, body = EventView, content_type = "text/event-stream"),
        (status = 503, body = crate::view::ErrorView, description = "Too many watch already.")))]
pub(super) async fn watch(
    State(api): State<Api>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Sent, Infallible>>>, Refusal> {
    let place = Arc::clone(&api.history.places).try_acquire_owned();
    let place = place.map_err(|_| {
        let sentence =
            format!("{WATCHERS} watch already, and that is the most: end one, or try again later");
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, sentence)
    })?;
    let news = api.history.news.subscribe();
    let last = headers.get(LAST_EVENT_ID).map(|it| it.to_str());
    let position = match last {
        None => api.history.kept.lock().end(),
        // Of another start, or no id at all: behind everything there can be, so that it is told.
        Some(last) => (last.ok().and_then(|last| seen(last, &api.start))).unwrap_or(u64::MAX),
    };
    let watcher = Watcher {
        history: Arc::clone(&api.history),
        news,
        start: Arc::clone(&api.start),
        position,
        _place: place,
    };
    let events = stream::unfold(watcher, async |mut watcher| {
        let next = watcher.next().await?;
        Some((Ok(next), watcher))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(SIGN_OF_LIFE)))
}

/// The position behind the event of this id, if it is of this start.
fn seen(id: &str, start: &str) -> Option<u64> {
    let (of, position) = id.rsplit_once('-')?;
    position.parse().ok().filter(|_| of == start)
}

fn sent(next: &Next) -> Option<Sent> {
    let (name, data) = match next {
        Next::Event(event) => (event.kind.as_str(), serde_json::to_string(&**event).ok()?),
        Next::Lagged(missed) => ("lagged", format!("{{\"missed\":{missed}}}")),
    };
    Some(Sent::default().event(name).data(data))
}

/// An event with the names that paths have.
fn view(event: &Event) -> EventView {
    let (kind, about) = told(&event.kind);
    let at = event.at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut view = EventView {
        kind: kind.to_owned(),
        revision: event.revision,
        at: at.as_secs_f64(),
        service: None,
        server: None,
        what: None,
    };
    match about {
        About::Nothing => {}
        About::Service(service) => view.service = Some(ServiceId(*service).to_string()),
        About::Server(name, why) => {
            view.service = Some(ServiceId(name.service).to_string());
            view.server = Some(ServerId(name.server).to_string());
            view.what = why.map(str::to_owned);
        }
        About::Else(what) => view.what = Some(what),
    }
    view
}

/// What an event is about.
enum About<'a> {
    Nothing,
    Service(&'a ServiceKey),
    Server(&'a ServerName, Option<&'a str>),
    Else(String),
}

/// An event's name, and what it is about.
fn told(kind: &EventKind) -> (&'static str, About<'_>) {
    use About::{Else, Nothing, Server, Service};
    match kind {
        EventKind::ConfigurationApplied => ("configuration-applied", Nothing),
        EventKind::ConfigurationChanged { what } => ("configuration-changed", Else(what.clone())),
        EventKind::ServiceAdded { service } => ("service-added", Service(service)),
        EventKind::ServiceChanged { service } => ("service-changed", Service(service)),
        EventKind::ServiceRemoved { service } => ("service-removed", Service(service)),
        EventKind::ServiceQuorumGained { service } => ("service-quorum-gained", Service(service)),
        EventKind::ServiceQuorumLost { service } => ("service-quorum-lost", Service(service)),
        EventKind::ServerAdded(name) => ("server-added", Server(name, None)),
        EventKind::ServerChanged(name) => ("server-changed", Server(name, None)),
        EventKind::ServerRemoved(name) => ("server-removed", Server(name, None)),
        EventKind::ServerOverloaded(name) => ("server-overloaded", Server(name, None)),
        EventKind::ServerAvailable(name) => ("server-available", Server(name, None)),
        EventKind::ServerUp(name) => ("server-up", Server(name, None)),
        EventKind::ServerDown { name, reason } => ("server-down", Server(name, reason.as_deref())),
        EventKind::ServerDraining { name, reason } => {
            ("server-draining", Server(name, reason.as_deref()))
        }
        EventKind::ServerDisabled { name, reason } => {
            ("server-disabled", Server(name, reason.as_deref()))
        }
        EventKind::MaintenanceChanged { on } => {
            let what = if *on { "on" } else { "off" };
            ("maintenance-changed", Else(what.to_owned()))
        }
        EventKind::VipAnnounced { vip } => ("vip-announced", Else(vip.to_string())),
        EventKind::VipWithdrawn { vip } => ("vip-withdrawn", Else(vip.to_string())),
        EventKind::Warning { message } => ("warning", Else(message.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(revision: u64) -> EventView {
        EventView {
            kind: "service-added".to_owned(),
            revision,
            at: 1.5,
            service: None,
            server: None,
            what: None,
        }
    }

    #[test]
    fn a_watcher_gets_each_event_once_and_then_waits() {
        let mut kept = Kept::default();
        kept.push(event(1));
        kept.push(event(2));

        let (first, position) = kept.next(0).unwrap();
        let (second, position) = kept.next(position).unwrap();

        assert_eq!(first, Next::Event(Arc::new(event(1))));
        assert_eq!(second, Next::Event(Arc::new(event(2))));
        assert_eq!(kept.next(position), None);
    }

    #[test]
    fn who_comes_back_too_late_is_told_and_goes_on_with_the_next() {
        let mut kept = Kept::default();
        for revision in 0..=KEPT as u64 {
            kept.push(event(revision));
        }

        assert_eq!(kept.events.len(), KEPT);
        let end = KEPT as u64 + 1;
        assert_eq!(kept.next(0), Some((Next::Lagged(1), end)));
        assert_eq!(kept.next(1).unwrap().1, 2);
        assert_eq!(kept.next(u64::MAX), Some((Next::Lagged(0), end)));
        assert_eq!(kept.next(end), None);
        kept.skip(5);
        assert_eq!(kept.next(end), Some((Next::Lagged(5), end + 5)));
        assert_eq!(kept.next(end + 5), None);
    }

    #[test]
    fn an_id_counts_only_for_its_start() {
        assert_eq!(seen("a1-7", "a1"), Some(7));
        assert_eq!(seen("a2-7", "a1"), None);
        assert_eq!(seen("a1-x", "a1"), None);
        assert_eq!(seen("", "a1"), None);
    }
}
