//! Sessions brought in from a file: read line by line, bound, and sent to their owners.
//!
//! ```text
//! pieces of text ─► lines ─► records ─► Binder ─► one batch per worker ─► mailbox ─► worker
//!                                                  └──── spare ◄──── counted ◄───────┘
//! ```
//!
//! What is not in a worker's hands yet is at most one piece of text and a batch per worker: a
//! worker that has enough to do holds up the reading.

use std::sync::Arc;
use std::time::Duration;

use dataplane::id::WorkerId;
use dataplane::import::{Binder, Outcome, Outcomes, SessionBatch};
use dataplane::session::SessionRecord;
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

use super::Gateway;
use super::lines::{LONGEST_LINE, Lines};
use super::session_line::{self, LineError};
use crate::view::ImportView;

/// Sessions in a batch.
const BATCH: usize = 1_024;

/// Mistakes that are told in words.
const MISTAKES: usize = 10;

/// How long a worker may take; it answers within a few turns unless it is stuck.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often to look for its answers.
const POLL: Duration = Duration::from_micros(200);

/// Why an import ended before all was read. What was brought in stays.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// One at a time.
    #[error("another import is under way: wait until it has ended")]
    Busy,
    /// A worker does not answer.
    #[error("worker {0} does not answer: is its core taken by something else?")]
    NoAnswer(u16),
    /// The text broke off.
    #[error("the sessions broke off: {0}")]
    BrokenOff(String),
}

/// An import under way. Dropping it leaves what was brought in where it is.
pub struct Import {
    gateway: Arc<Gateway>,
    number: OwnedMutexGuard<u64>,
    lines: Lines,
    reader: Reader,
    /// For each worker, the batch that is being filled.
    filling: Vec<SessionBatch>,
    /// For each worker, the batches it has.
    away: Vec<usize>,
    /// Batches to be filled again.
    spare: Vec<SessionBatch>,
}

/// Reads records and counts what becomes of them.
struct Reader {
    binder: Binder,
    outcomes: Outcomes,
    not_understood: u64,
    mistakes: Vec<String>,
}

impl Gateway {
    /// Begins to bring sessions in.
    ///
    /// # Errors
    ///
    /// [`ImportError::Busy`] while another import is under way.
    pub fn import(self: &Arc<Self>) -> Result<Import, ImportError> {
        let lock = Arc::clone(&self.importing).try_lock_owned();
        let mut number = lock.map_err(|_| ImportError::Busy)?;
        *number += 1;
        let snapshot = Arc::clone(&self.state.lock().published);
        let batch = || SessionBatch::new(*number, BATCH);
        let workers = self.plane.mailboxes.len();
        Ok(Import {
            filling: (0..workers).map(|_| batch()).collect(),
            away: vec![0; workers],
            spare: Vec::new(),
            gateway: Arc::clone(self),
            number,
            lines: Lines::default(),
            reader: Reader {
                binder: Binder::new(snapshot),
                outcomes: Outcomes::default(),
                not_understood: 0,
                mistakes: Vec::new(),
            },
        })
    }
}

impl Import {
    /// Brings in the sessions of the next piece of text, which may begin and end within a line.
    ///
    /// # Errors
    ///
    /// When a worker does not answer.
    pub async fn take(&mut self, mut text: &[u8]) -> Result<(), ImportError> {
        self.look_at_configuration();
        while let Some((number, line)) = self.lines.next(&mut text) {
            let Some((owner, record)) = self.reader.read(number, line) else {
                continue;
            };
            let records = &mut self.filling[owner.index()].records;
            records.push(record);
            if records.len() == BATCH {
                self.send(owner.index()).await?;
            }
        }
        self.collect();
        // Others have the same thread.
        tokio::task::yield_now().await;
        Ok(())
    }

    /// Brings in the rest, waits for all workers and tells what became of the sessions.
    ///
    /// # Errors
    ///
    /// When a worker does not answer.
    pub async fn finish(mut self) -> Result<ImportView, ImportError> {
        // The last line may lack its line feed.
        self.take(b"\n").await?;
        for worker in 0..self.filling.len() {
            if !self.filling[worker].records.is_empty() {
                self.send(worker).await?;
            }
        }
        let mut deadline = Instant::now() + PATIENCE;
        while let Some(worker) = self.away.iter().position(|batches| *batches > 0) {
            if self.collect() {
                deadline = Instant::now() + PATIENCE;
                continue;
            }
            self.wait(worker, deadline).await?;
        }
        Ok(self.reader.view())
    }

    /// Binds to the newest snapshot from now on.
    fn look_at_configuration(&mut self) {
        let published = Arc::clone(&self.gateway.state.lock().published);
        if published.generation != self.reader.binder.generation() {
            self.reader.binder = Binder::new(published);
        }
    }

    /// Sends a worker what was read for it.
    async fn send(&mut self, worker: usize) -> Result<(), ImportError> {
        let deadline = Instant::now() + PATIENCE;
        let empty = (self.spare.pop()).unwrap_or_else(|| SessionBatch::new(*self.number, BATCH));
        let mut batch = Box::new(std::mem::replace(&mut self.filling[worker], empty));
        while let Err(refused) = self.gateway.plane.mailboxes[worker].import(batch) {
            batch = refused;
            if !self.collect() {
                self.wait(worker, deadline).await?;
            }
        }
        self.away[worker] += 1;
        Ok(())
    }

    /// Takes batches back and counts what became of their sessions; returns whether there were
    /// any.
    fn collect(&mut self) -> bool {
        let mut any = false;
        for (mailbox, away) in self.gateway.plane.mailboxes.iter().zip(&mut self.away) {
            while let Some(mut batch) = mailbox.imported() {
                any = true;
                // Those of an import that was given up come back here.
                if batch.import == *self.number {
                    self.reader.outcomes += batch.outcomes();
                    *away -= 1;
                    batch.clear();
                    self.spare.push(*batch);
                }
            }
        }
        any
    }

    /// Waits a little for a worker.
    async fn wait(&self, worker: usize, deadline: Instant) -> Result<(), ImportError> {
        if Instant::now() >= deadline {
            let mailbox = &self.gateway.plane.mailboxes[worker];
            return Err(ImportError::NoAnswer(mailbox.worker.0));
        }
        tokio::time::sleep(POLL).await;
        Ok(())
    }
}

impl Reader {
    /// The session of a line, bound, and its owner; nothing for an empty line or one that comes
    /// to nothing, which is counted.
    fn read(&mut self, number: u64, line: Option<&[u8]>) -> Option<(WorkerId, SessionRecord)> {
        let record = match line.map(<[u8]>::trim_ascii) {
            None => Err(LineError::TooLong(LONGEST_LINE)),
            Some(b"") => return None,
            Some(line) => session_line::read(line),
        };
        match record {
            Ok(mut record) => match self.binder.bind(&mut record) {
                Ok(owner) => return Some((owner, record)),
                Err(outcome) => self.outcomes.add(outcome),
            },
            Err(error) => {
                self.not_understood += 1;
                if self.mistakes.len() < MISTAKES {
                    self.mistakes.push(format!("line {number}: {error}"));
                }
            }
        }
        None
    }

    fn view(self) -> ImportView {
        let of = |outcome| self.outcomes.of(outcome);
        ImportView {
            imported: of(Outcome::Imported),
            already_there: of(Outcome::AlreadyThere),
            no_such_service: of(Outcome::NoService),
            no_such_server: of(Outcome::NoServer),
            local_port_not_free: of(Outcome::PortNotFree),
            table_full: of(Outcome::TableFull),
            not_understood: self.not_understood,
            mistakes: self.mistakes,
        }
    }
}
