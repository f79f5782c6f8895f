//! Scrapes, one at a time: drivers are asked for an ethdev's counters, and few of them bear being
//! asked twice at once. A scrape of many services also takes memory and a core, once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;
use tokio::time;

use super::{Sources, text};
use crate::api::server::aside;

/// How long a scrape waits for another: less than Prometheus does for its answer (10 s).
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// What Prometheus knows the text format by.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4";

/// What is scraped, and whose turn it is.
#[derive(Clone)]
pub(super) struct Scrapes {
    sources: Sources,
    turn: Arc<Semaphore>,
    patience: Duration,
}

impl Scrapes {
    /// Scrapes of these sources, which wait so long for each other.
    pub(super) fn new(sources: Sources, patience: Duration) -> Self {
        Self {
            sources,
            turn: Arc::new(Semaphore::new(1)),
            patience,
        }
    }
}

/// Answers a scrape; 503 when others take too long.
pub(super) async fn scrape(State(scrapes): State<Scrapes>) -> Response {
    let Scrapes {
        sources,
        turn,
        patience,
    } = scrapes;
    let Ok(Ok(turn)) = time::timeout(patience, turn.acquire_owned()).await else {
        let busy = "another scrape is being answered\n";
        return (StatusCode::SERVICE_UNAVAILABLE, busy).into_response();
    };
    let gather = move || {
        // Whoever asked may be gone before this is done.
        let _turn = turn;
        let begun = Instant::now();
        let text = text(&sources);
        sources.gateway.answers().note_scrape(begun.elapsed());
        text
    };
    let text = aside(gather).await;
    match text {
        Ok(text) => ([(header::CONTENT_TYPE, TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::gateway::testing::gateway;

    fn scrapes(patience: Duration) -> Scrapes {
        let sources = Sources {
            gateway: gateway(""),
            twins: Vec::new(),
            mirror: None,
            checks: None,
        };
        Scrapes::new(sources, patience)
    }

    #[tokio::test]
    async fn a_scrape_waits_until_the_one_before_is_done() {
        let scrapes = scrapes(Duration::from_secs(3_600));
        let first = Arc::clone(&scrapes.turn).acquire_owned().await.unwrap();

        let mut second = Box::pin(scrape(State(scrapes)));
        assert!((&mut second).now_or_never().is_none());
        drop(first);

        assert_eq!(second.await.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn a_scrape_does_not_wait_for_ever() {
        let scrapes = scrapes(Duration::ZERO);
        let first = Arc::clone(&scrapes.turn).acquire_owned().await.unwrap();

        let second = scrape(State(scrapes.clone())).await;
        assert_eq!(second.status(), StatusCode::SERVICE_UNAVAILABLE);

        drop(first);
        assert_eq!(scrape(State(scrapes)).await.status(), StatusCode::OK);
    }
}
