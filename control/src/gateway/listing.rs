//! Sessions, page by page: each worker is asked in turn and answers between its bursts.

use std::time::Duration;

use dataplane::address::Protocol;
use dataplane::mailbox::{SessionFilter, SessionPage};
use dataplane::session::SessionRecord;
use dataplane::time::TICKS_PER_SECOND;

use super::Gateway;
use crate::view::{SessionView, SessionsQuery, SessionsView, TrafficView};

/// Sessions on a page when the question does not say.
const DEFAULT_LIMIT: usize = 100;

/// The most sessions on a page.
const MAX_LIMIT: usize = 10_000;

/// How long a worker may take; it answers within a few turns unless it is stuck.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often to look for its answer.
const POLL: Duration = Duration::from_micros(200);

/// Why sessions could not be listed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ListingError {
    /// The cursor is not one this gateway gave.
    #[error("the cursor \"{0}\" is not one that an earlier page gave: leave it out to begin anew")]
    BadCursor(String),
    /// No such transport.
    #[error("the protocol \"{0}\" is unknown: use tcp, udp or sctp")]
    BadProtocol(String),
    /// The page is too long.
    #[error("a limit of {0} is out of range: use 1 to {MAX_LIMIT}")]
    BadLimit(usize),
    /// A worker does not answer.
    #[error("worker {0} does not answer: is its core taken by something else?")]
    NoAnswer(u16),
}

/// Where a listing goes on: a worker, and a place in its table.
#[derive(Clone, Copy)]
struct Cursor {
    worker: usize,
    place: u32,
}

impl Cursor {
    fn parse(text: Option<&str>) -> Result<Self, ListingError> {
        let Some(text) = text else {
            return Ok(Self {
                worker: 0,
                place: 0,
            });
        };
        let parts = text.split_once('-').and_then(|(worker, place)| {
            Some(Self {
                worker: worker.parse().ok()?,
                place: place.parse().ok()?,
            })
        });
        parts.ok_or_else(|| ListingError::BadCursor(text.to_owned()))
    }
}

/// For each worker, how many questions it has not answered.
///
/// Whoever asked may have gone away, and answers carry no name: those to earlier questions are
/// passed over by their number.
#[derive(Debug)]
pub(super) struct Unanswered(Vec<u32>);

impl Unanswered {
    /// No questions to any of `workers` workers.
    pub(super) fn new(workers: usize) -> Self {
        Self(vec![0; workers])
    }
}

impl Gateway {
    /// A page of sessions.
    ///
    /// # Errors
    ///
    /// When the question makes no sense, or a worker does not answer.
    pub async fn sessions(&self, query: &SessionsQuery) -> Result<SessionsView, ListingError> {
        let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(ListingError::BadLimit(limit));
        }
        let filter = filter(query)?;
        let mut cursor = Cursor::parse(query.cursor.as_deref())?;
        let mut sessions = Vec::new();
        // One listing at a time, so that answers come in the order of the questions.
        let mut unanswered = self.listing.lock().await;
        while sessions.len() < limit && cursor.worker < self.plane.mailboxes.len() {
            let page = SessionPage::new(cursor.place, limit - sessions.len(), filter);
            let page = self.ask(cursor.worker, page, &mut unanswered).await?;
            sessions.extend(
                page.records
                    .iter()
                    .map(|record| session_view(cursor.worker, record)),
            );
            cursor = if page.finished {
                Cursor {
                    worker: cursor.worker + 1,
                    place: 0,
                }
            } else {
                Cursor {
                    place: page.cursor,
                    ..cursor
                }
            };
        }
        let ended = cursor.worker >= self.plane.mailboxes.len();
        let next_cursor = (!ended).then(|| format!("{}-{}", cursor.worker, cursor.place));
        Ok(SessionsView {
            sessions,
            next_cursor,
        })
    }

    /// Asks a worker and waits for its answer. Dropping the future leaves the question behind,
    /// counted as unanswered.
    async fn ask(
        &self,
        worker: usize,
        page: SessionPage,
        Unanswered(unanswered): &mut Unanswered,
    ) -> Result<Box<SessionPage>, ListingError> {
        let mailbox = &self.plane.mailboxes[worker];
        let silent = || ListingError::NoAnswer(mailbox.worker.0);
        mailbox.ask(Box::new(page)).map_err(|_| silent())?;
        unanswered[worker] += 1;
        let answer = async {
            loop {
                let Some(page) = mailbox.answer() else {
                    tokio::time::sleep(POLL).await;
                    continue;
                };
                unanswered[worker] -= 1;
                if unanswered[worker] == 0 {
                    return page;
                }
            }
        };
        tokio::time::timeout(PATIENCE, answer)
            .await
            .map_err(|_| silent())
    }
}

fn filter(query: &SessionsQuery) -> Result<SessionFilter, ListingError> {
    let protocol = match query.protocol.as_deref() {
        None => None,
        Some("tcp") => Some(Protocol::Tcp),
        Some("udp") => Some(Protocol::Udp),
        Some("sctp") => Some(Protocol::Sctp),
        Some(other) => return Err(ListingError::BadProtocol(other.to_owned())),
    };
    let SessionsQuery {
        client,
        vip,
        server,
        ..
    } = *query;
    Ok(SessionFilter {
        client,
        vip,
        server,
        protocol,
    })
}

fn session_view(worker: usize, record: &SessionRecord) -> SessionView {
    let socket = |end: dataplane::address::Endpoint<std::net::IpAddr>| {
        std::net::SocketAddr::new(end.addr, end.port)
    };
    SessionView {
        worker: u16::try_from(worker).unwrap_or(u16::MAX),
        protocol: record.protocol.name().to_owned(),
        state: record.state.name().to_owned(),
        client: socket(record.client),
        vip: socket(record.vip),
        local: (record.local != record.client).then(|| socket(record.local)),
        server: socket(record.server),
        method: record.method.name().to_owned(),
        expires_seconds: f64::from(record.expires_in_ticks) / f64::from(TICKS_PER_SECOND),
        traffic: TrafficView {
            sessions: 1,
            in_packets: record.in_packets,
            in_bytes: record.in_bytes,
            out_packets: record.out_packets,
            out_bytes: record.out_bytes,
        },
    }
}
