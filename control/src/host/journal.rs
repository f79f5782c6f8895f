//! What was changed, on disk: enough to take it back, also after a failure midway.
//!
//! A change is written before it is made. Whether it was made is seen when it is taken back.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use super::change::{Change, Kind};
use super::tree::Tree;

/// Where it lies.
const PATH: &str = "/var/lib/sluice/setup-host.json";

/// Why it cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SetupJournalError {
    /// Somebody else changes this host.
    #[error("another `sluicectl setup-host` is at work on {}: wait for it", .0.display())]
    Busy(PathBuf),
    /// It holds something else.
    #[error("{} does not say what was changed ({source}): look at it, then move it away", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The file system refused.
    #[error("could not {action} {}: {source}: are you root?", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The answer.
        source: io::Error,
    },
}

/// All changes that were made and not taken back.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Journal {
    changes: Vec<Change>,
    /// Directories that were made on the way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    directories: Vec<String>,
    /// Nobody else changes this host meanwhile.
    #[serde(skip)]
    lock: Option<Flock<File>>,
}

impl Journal {
    /// What it says; without a file it is empty.
    ///
    /// # Errors
    ///
    /// [`SetupJournalError`], when it cannot be read.
    pub fn read(tree: &Tree) -> Result<Self, SetupJournalError> {
        let path = tree.at(PATH);
        match tree.read(PATH).map_err(failed("read", &path))? {
            Some(text) => serde_json::from_str(&text)
                .map_err(|source| SetupJournalError::Unreadable { path, source }),
            None => Ok(Self::default()),
        }
    }

    /// The same, to be written to by nobody else meanwhile.
    ///
    /// # Errors
    ///
    /// [`SetupJournalError`].
    pub fn open(tree: &Tree) -> Result<Self, SetupJournalError> {
        let mut made = Vec::new();
        let directory = parent(PATH);
        let place = tree.at(directory);
        make_directories(tree, directory, &mut made).map_err(failed("make", &place))?;
        let opened = File::open(&place).map_err(failed("open", &place))?;
        let lock = Flock::lock(opened, FlockArg::LockExclusiveNonblock);
        let lock = lock.map_err(|_| SetupJournalError::Busy(place))?;
        let mut journal = Self::read(tree)?;
        journal.directories.extend(made);
        journal.lock = Some(lock);
        Ok(journal)
    }

    /// What was changed, in that order.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// What a value was before it was changed to what it is `now`, if it was.
    pub(super) fn value_before(&self, path: &str, now: &str) -> Option<&str> {
        let mut about = self.changes.iter().rev();
        let last = about.find(|change| change.kind == Kind::Value && change.subject == path)?;
        let before = last.before.as_deref();
        before.filter(|_| last.after.as_deref() == Some(now))
    }

    /// Says that a change is about to be made, and makes the directory for its file.
    pub(super) fn begin(
        &mut self,
        tree: &Tree,
        mut change: Change,
    ) -> Result<(), SetupJournalError> {
        self.take_up(&mut change);
        let needs = (change.kind == Kind::File).then(|| change.subject.clone());
        self.changes.push(change);
        if let Some(file) = needs {
            let directory = parent(&file);
            self.directories.extend(missing(tree, directory));
            self.write(tree)?;
            let made = make_directories(tree, directory, &mut Vec::new());
            return made.map_err(failed("make", &tree.at(directory)));
        }
        self.write(tree)
    }

    /// An earlier change of the same thing that was not made, or by half, becomes a part of this.
    fn take_up(&mut self, change: &mut Change) {
        let now = change.before.clone();
        let mut earlier = self.changes.iter();
        let Some(at) = earlier.rposition(|earlier| earlier.is_about_what(change)) else {
            return;
        };
        let earlier = &self.changes[at];
        let is_there = earlier.after == now;
        if !is_there && (earlier.before == now || earlier.is_half_made(now.as_deref())) {
            change.before = self.changes.remove(at).before;
        }
    }

    /// Says that the last change was made, and what it came to. Two of the same thing become one,
    /// unless somebody else changed it between.
    pub(super) fn done(
        &mut self,
        tree: &Tree,
        came_to: Option<String>,
    ) -> Result<(), SetupJournalError> {
        let Some(mut last) = self.changes.pop() else {
            return Ok(());
        };
        let was_expected = last.after == came_to;
        last.after = came_to;
        let mut earlier = self.changes.iter_mut();
        let earlier = earlier.rfind(|earlier| earlier.is_about_what(&last));
        match earlier.filter(|earlier| earlier.after == last.before) {
            Some(earlier) => earlier.after = last.after,
            None => {
                self.changes.push(last);
                if was_expected {
                    return Ok(());
                }
            }
        }
        self.changes.retain(|change| change.before != change.after);
        self.write(tree)
    }

    /// Forgets a change, by its place in the order.
    pub(super) fn forget(&mut self, tree: &Tree, at: usize) -> Result<(), SetupJournalError> {
        self.changes.remove(at);
        self.write(tree)
    }

    /// Leaves nothing behind if nothing was changed.
    ///
    /// # Errors
    ///
    /// [`SetupJournalError::Io`].
    pub fn leave(&mut self, tree: &Tree) -> Result<(), SetupJournalError> {
        if self.changes.is_empty() && self.lock.is_some() {
            self.close(tree)?;
        }
        Ok(())
    }

    /// Writes what is left, or leaves nothing behind.
    pub(super) fn close(&mut self, tree: &Tree) -> Result<(), SetupJournalError> {
        if !self.changes.is_empty() {
            return self.write(tree);
        }
        let gone = tree.remove(PATH);
        gone.map_err(failed("remove", &tree.at(PATH)))?;
        while let Some(directory) = self.directories.pop() {
            // Somebody else's files keep it.
            let _kept = fs::remove_dir(tree.at(&directory));
        }
        Ok(())
    }

    fn write(&self, tree: &Tree) -> Result<(), SetupJournalError> {
        let text = serde_json::to_string_pretty(self).map_err(io::Error::from);
        let written = text.and_then(|text| tree.replace(PATH, &format!("{text}\n")));
        written.map_err(failed("write", &tree.at(PATH)))
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// The directories that are not there, outermost first.
fn missing(tree: &Tree, directory: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut at = directory;
    while !at.is_empty() && !tree.exists(at) {
        found.push(at.to_owned());
        at = parent(at);
    }
    found.reverse();
    found
}

fn make_directories(tree: &Tree, directory: &str, made: &mut Vec<String>) -> io::Result<()> {
    for directory in missing(tree, directory) {
        match fs::create_dir(tree.at(&directory)) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => made.push(directory),
        }
    }
    Ok(())
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SetupJournalError {
    let path = path.to_owned();
    move |source| SetupJournalError::Io {
        action,
        path,
        source,
    }
}
