//! Sessions, page by page: each worker is asked in turn and answers between its bursts.

use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use dataplane::address::Protocol;
use dataplane::mailbox::{SessionFilter, SessionPage};
use dataplane::session::SessionRecord;
use futures_util::stream::{self, Stream};

use super::Gateway;
use super::session_line::{self, seconds, socket};
use crate::view::{SessionView, SessionsQuery, SessionsView, TrafficView};

/// Sessions on a page when the question does not say.
const DEFAULT_LIMIT: usize = 100;

/// The most sessions on a page.
const MAX_LIMIT: usize = 10_000;

/// Sessions that are asked for at once for an export.
const EXPORT_PAGE: usize = 2_000;

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
#[derive(Clone, Copy, Default)]
struct Cursor {
    worker: usize,
    place: u32,
}

impl Cursor {
    fn parse(text: Option<&str>) -> Result<Self, ListingError> {
        let Some(text) = text else {
            return Ok(Self::default());
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

impl Cursor {
    const fn next_worker(self) -> Self {
        Self {
            worker: self.worker + 1,
            place: 0,
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.worker, self.place)
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
        let cursor = Cursor::parse(query.cursor.as_deref())?;
        let (records, next) = self.page(cursor, limit, filter).await?;
        let sessions = records.iter().map(|(worker, it)| session_view(*worker, it));
        Ok(SessionsView {
            sessions: sessions.collect(),
            next_cursor: next.map(|next| next.to_string()),
        })
    }

    /// All sessions that a question asks for, as lines of an export. Its limit and cursor mean
    /// nothing.
    ///
    /// # Errors
    ///
    /// When the question makes no sense, at once; when a worker does not answer, as the last item.
    pub fn export(
        self: Arc<Self>,
        query: &SessionsQuery,
    ) -> Result<impl Stream<Item = io::Result<Vec<u8>>> + Send + 'static, ListingError> {
        let filter = filter(query)?;
        Ok(stream::try_unfold(Some(Cursor::default()), move |cursor| {
            let gateway = Arc::clone(&self);
            async move {
                let Some(cursor) = cursor else {
                    return Ok(None);
                };
                let page = gateway.page(cursor, EXPORT_PAGE, filter).await;
                let (records, next) = page.map_err(io::Error::other)?;
                let mut lines = Vec::new();
                // What is overdue is over, and was only not swept away yet.
                for (_, record) in records.iter().filter(|(_, it)| it.expires_in_ticks > 0) {
                    session_line::write(record, &mut lines)?;
                }
                Ok(Some((lines, next)))
            }
        }))
    }

    /// All sessions, those of workers that do not answer left out. Waits for the workers.
    pub(super) fn all_sessions(&self) -> Vec<SessionRecord> {
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => runtime.block_on(self.every_session()),
            Err(_) => {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_time()
                    .build();
                runtime.map_or_else(|_| Vec::new(), |it| it.block_on(self.every_session()))
            }
        }
    }

    async fn every_session(&self) -> Vec<SessionRecord> {
        let mut all = Vec::new();
        let mut cursor = Some(Cursor::default());
        while let Some(at) = cursor {
            let page = self.page(at, EXPORT_PAGE, SessionFilter::default()).await;
            cursor = match page {
                Ok((records, next)) => {
                    all.extend(records.into_iter().map(|(_, record)| record));
                    next
                }
                Err(_) => Some(at.next_worker()).filter(|it| it.worker < self.workers()),
            };
        }
        all
    }

    fn workers(&self) -> usize {
        self.plane.mailboxes.len()
    }

    /// Up to `limit` sessions from `cursor` on, each with its worker's number, and where to go on.
    async fn page(
        &self,
        mut cursor: Cursor,
        limit: usize,
        filter: SessionFilter,
    ) -> Result<(Vec<(usize, SessionRecord)>, Option<Cursor>), ListingError> {
        let workers = self.plane.mailboxes.len();
        let mut sessions = Vec::new();
        // One listing at a time, so that answers come in the order of the questions.
        let mut unanswered = self.listing.lock().await;
        while sessions.len() < limit && cursor.worker < workers {
            let page = SessionPage::new(cursor.place, limit - sessions.len(), filter);
            let page = self.ask(cursor.worker, page, &mut unanswered).await?;
            sessions.extend(
                page.records
                    .into_iter()
                    .map(|record| (cursor.worker, record)),
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
        Ok((sessions, Some(cursor).filter(|it| it.worker < workers)))
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

pub(super) fn session_view(worker: usize, record: &SessionRecord) -> SessionView {
    SessionView {
        worker: u16::try_from(worker).unwrap_or(u16::MAX),
        protocol: record.protocol.name().to_owned(),
        state: record.state.name().to_owned(),
        client: socket(record.client),
        vip: socket(record.vip),
        local: (record.local != record.client).then(|| socket(record.local)),
        server: socket(record.server),
        method: record.method.name().to_owned(),
        expires_seconds: seconds(record.expires_in_ticks),
        age_seconds: seconds(record.age_ticks),
        one_sided: record.is_one_sided,
        port_returned: record.has_returned_port,
        seq_delta: record.seq_delta,
        last_client_end: record.last_client_end,
        mss_clamp: record.mss_clamp,
        traffic: TrafficView {
            sessions: 1,
            in_packets: record.in_packets,
            in_bytes: record.in_bytes,
            out_packets: record.out_packets,
            out_bytes: record.out_bytes,
        },
    }
}
