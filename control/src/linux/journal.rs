//! Remembers over a sudden death which addresses the gateway itself added, and where it announced
//! VIPs.
//!
//! The file is replaced as a whole and synced before an address is added, so after any death it
//! names at least all addresses that are there: too many is harmless, too few would leave some
//! behind for good. One gateway has the directory at a time, lest a second one takes away what
//! the first has added.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use crate::durable;

/// The file in the state directory.
const FILE_NAME: &str = "addresses.json";

/// The file with the number of the routing table in which VIPs are announced.
const TABLE_FILE_NAME: &str = "announce-table";

/// How long a directory that another process has is waited for: a killed gateway's descriptors
/// are closed a moment after its death.
const PATIENCE: Duration = Duration::from_secs(3);

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(20);

/// What an address is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AddressRole {
    /// Clients connect to it.
    Vip,
    /// FULLNAT sends from it; Linux must not.
    Lip,
}

/// An address the gateway added.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JournalEntry {
    /// The twin's name.
    pub twin: String,
    /// The address, added as /32 or /128.
    pub addr: IpAddr,
    /// What it is for.
    pub role: AddressRole,
}

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A living process has the directory.
    #[error(
        "the state directory {} is in use by another gateway: stop it, or give this one another \
         `state_dir`",
        .0.display()
    )]
    InUse(PathBuf),
    /// It holds something else.
    #[error(
        "{path} is not a journal of addresses ({source}): compare `ip address` with the \
         configuration, then remove the file"
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// There is no place for it.
    #[error(
        "could not make the state directory {path}: {source}: give the gateway another `state_dir`"
    )]
    NoDirectory {
        /// The directory.
        path: PathBuf,
        /// What the file system says.
        source: io::Error,
    },
    /// The file system refused.
    #[error("could not {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
}

/// The file and what it says.
#[derive(Debug)]
pub struct Journal {
    /// The directory, ours until this is dropped.
    _directory: Flock<File>,
    path: PathBuf,
    entries: BTreeSet<JournalEntry>,
}

impl Journal {
    /// Reads the journal in `state_dir`, which is made if missing; without a file it is empty.
    ///
    /// # Errors
    ///
    /// [`JournalError`] lists the cases.
    pub fn open(state_dir: &Path) -> Result<Self, JournalError> {
        fs::create_dir_all(state_dir).map_err(|source| JournalError::NoDirectory {
            path: state_dir.to_owned(),
            source,
        })?;
        let directory = lock(state_dir)?;
        let path = state_dir.join(FILE_NAME);
        let entries = match fs::read(&path) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).map_err(|source| JournalError::Unreadable {
                    path: path.clone(),
                    source,
                })?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeSet::new(),
            Err(error) => return Err(failed("read", &path)(error)),
        };
        Ok(Self {
            _directory: directory,
            path,
            entries,
        })
    }

    /// What the gateway added, or was about to add.
    #[must_use]
    pub fn entries(&self) -> &BTreeSet<JournalEntry> {
        &self.entries
    }

    /// What it says, less one entry.
    #[must_use]
    pub fn without(&self, entry: &JournalEntry) -> BTreeSet<JournalEntry> {
        let mut rest = self.entries.clone();
        rest.remove(entry);
        rest
    }

    /// Replaces what it says; on return that will survive anything. An empty journal leaves no
    /// file.
    ///
    /// # Errors
    ///
    /// [`JournalError::Io`]; the file then says what it said before.
    pub fn record(&mut self, entries: BTreeSet<JournalEntry>) -> Result<(), JournalError> {
        if entries == self.entries {
            return Ok(());
        }
        if entries.is_empty() {
            match fs::remove_file(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(failed("remove", &self.path)(error));
                }
                // It is gone, whoever removed it.
                _ => {}
            }
        } else {
            self.write(&entries)?;
        }
        self.entries = entries;
        Ok(())
    }

    fn write(&self, entries: &BTreeSet<JournalEntry>) -> Result<(), JournalError> {
        let bytes = serde_json::to_vec_pretty(entries).map_err(io::Error::from);
        let written = bytes.and_then(|bytes| durable::replace(&self.path, &bytes));
        written.map_err(failed("write", &self.path))
    }

    /// The routing table in which a start announced VIPs, this one or an earlier one.
    #[must_use]
    pub fn announce_table(&self) -> Option<u32> {
        let text = fs::read_to_string(self.path.with_file_name(TABLE_FILE_NAME)).ok()?;
        text.trim().parse().ok()
    }

    /// Replaces that number; it is to be recorded before anything is announced there.
    ///
    /// # Errors
    ///
    /// [`JournalError::Io`].
    pub fn record_announce_table(&self, table: Option<u32>) -> Result<(), JournalError> {
        if self.announce_table() == table {
            return Ok(());
        }
        let path = self.path.with_file_name(TABLE_FILE_NAME);
        let done = match table {
            Some(table) => durable::replace(&path, format!("{table}\n").as_bytes()),
            None => fs::remove_file(&path),
        };
        done.map_err(failed("write", &path))
    }
}

/// Makes the directory this process's own.
fn lock(state_dir: &Path) -> Result<Flock<File>, JournalError> {
    let deadline = Instant::now() + PATIENCE;
    let mut directory = File::open(state_dir).map_err(failed("open", state_dir))?;
    loop {
        directory = match Flock::lock(directory, FlockArg::LockExclusiveNonblock) {
            Ok(locked) => return Ok(locked),
            Err((directory, Errno::EWOULDBLOCK)) if Instant::now() < deadline => directory,
            Err((_, Errno::EWOULDBLOCK)) => {
                return Err(JournalError::InUse(state_dir.to_owned()));
            }
            Err((_, errno)) => return Err(failed("lock", state_dir)(errno.into())),
        };
        std::thread::sleep(PAUSE);
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> JournalError {
    let path = path.to_owned();
    move |source| JournalError::Io {
        action,
        path,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(name: &str) -> PathBuf {
        let unique = format!("sluice-journal-{name}-{}", std::process::id());
        let dir = std::env::temp_dir().join(unique);
        let _ = fs::remove_dir_all(&dir);
        dir
    }

    fn entry(addr: &str) -> JournalEntry {
        JournalEntry {
            twin: "wan0".to_owned(),
            addr: addr.parse().unwrap(),
            role: AddressRole::Vip,
        }
    }

    #[test]
    fn what_was_recorded_is_read_again_and_nothing_leaves_no_file() {
        let dir = directory("again");
        let entries = BTreeSet::from([entry("10.0.0.1"), entry("2001:db8::1")]);

        let mut journal = Journal::open(&dir).unwrap();
        assert!(journal.entries().is_empty());
        journal.record(entries.clone()).unwrap();
        drop(journal);
        let mut journal = Journal::open(&dir).unwrap();
        assert_eq!(journal.entries(), &entries);
        journal.record(BTreeSet::new()).unwrap();

        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn the_table_of_an_earlier_start_is_known_until_there_is_none() {
        let dir = directory("table");
        let again = || Journal::open(&dir).unwrap();
        assert_eq!(again().announce_table(), None);

        again().record_announce_table(Some(201)).unwrap();
        assert_eq!(again().announce_table(), Some(201));
        again().record_announce_table(Some(70_000)).unwrap();
        assert_eq!(again().announce_table(), Some(70_000));
        again().record_announce_table(None).unwrap();

        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_second_gateway_is_kept_off_the_first_ones_addresses() {
        let dir = directory("second");
        let first = Journal::open(&dir).unwrap();

        let error = Journal::open(&dir).unwrap_err();

        assert!(matches!(error, JournalError::InUse(_)), "{error}");
        drop(first);
        assert!(Journal::open(&dir).is_ok());
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_journal_that_somebody_has_removed_is_empty_without_complaint() {
        let dir = directory("removed");
        let mut journal = Journal::open(&dir).unwrap();
        journal.record(BTreeSet::from([entry("10.0.0.1")])).unwrap();
        fs::remove_file(dir.join(FILE_NAME)).unwrap();

        journal.record(BTreeSet::new()).unwrap();

        assert!(journal.entries().is_empty());
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_file_that_is_no_journal_is_refused_by_name() {
        let dir = directory("refused");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(FILE_NAME), "{").unwrap();

        let error = Journal::open(&dir).unwrap_err();

        assert!(error.to_string().contains("addresses.json"), "{error}");
        fs::remove_dir_all(&dir).unwrap();
    }
}
