//! Takes back what the journal says, last first: each change by itself, so that one that cannot be
//! taken back keeps no other.

use std::collections::HashMap;
use std::io;

use super::change::{Change, Kind};
use super::drivers::VFIO;
use super::journal::Journal;
use super::make::MakeError;
use super::tree::Tree;

/// What was taken back.
#[derive(Debug, Default)]
pub struct Undone {
    /// The changes, the other way round.
    pub changes: Vec<Change>,
    /// What was left, and why, in sentences.
    pub notes: Vec<String>,
    /// What could not be taken back.
    pub failures: Vec<MakeError>,
}

/// Takes back all that it can, and tells each; with `dry` only says what that would be. What
/// somebody else has changed since is left. What could not be taken back stays in the journal, and
/// so does a NIC that is neither as it was nor as it was made.
pub fn undo(
    tree: &Tree,
    journal: &mut Journal,
    dry: bool,
    tell: &mut dyn FnMut(&Change),
) -> Undone {
    let mut undoing = Undoing {
        tree,
        dry,
        undone: Undone::default(),
        kept: Vec::new(),
        taken: HashMap::new(),
    };
    for (at, change) in journal.changes().to_vec().iter().enumerate().rev() {
        let told = undoing.undone.changes.len();
        let is_over = undoing.take_back(change).unwrap_or_else(|source| {
            let what = change.title();
            let failure = MakeError::TakeBack { what, source };
            undoing.undone.failures.push(failure);
            false
        });
        undoing.undone.changes[told..].iter().for_each(&mut *tell);
        if !is_over {
            undoing.kept.push(change.clone());
        } else if !dry && let Err(error) = journal.forget(tree, at) {
            undoing.undone.failures.push(error.into());
            return undoing.undone;
        }
    }
    if !dry && let Err(error) = journal.close(tree) {
        undoing.undone.failures.push(error.into());
    }
    undoing.undone
}

/// The journal, half-way through.
struct Undoing<'a> {
    tree: &'a Tree,
    dry: bool,
    undone: Undone,
    /// What stays in the journal.
    kept: Vec<Change>,
    /// What would be there by now, of what would have been taken back.
    taken: HashMap<String, Option<String>>,
}

impl Undoing<'_> {
    /// Takes one change back, and says whether nothing of it is left to be taken back.
    fn take_back(&mut self, change: &Change) -> io::Result<bool> {
        // What came over it is still there.
        if self.kept.iter().any(|kept| kept.is_about_what(change)) {
            return Ok(false);
        }
        let now = match self.taken.get(&change.subject) {
            Some(value) if self.dry => value.clone(),
            _ => change.now(self.tree)?,
        };
        let to = change.taken_back(self.tree, now.as_deref());
        if now == to {
            // It was never made, or somebody else took it back.
            return Ok(true);
        }
        if now != change.after && !change.is_in_part(now.as_deref()) {
            self.undone.notes.push(left(change, now.as_deref()));
            return Ok(change.kind != Kind::Driver || now.is_none());
        }
        if self.is_needed(change) {
            let note = format!("{} is left: other devices use it", change.title());
            self.undone.notes.push(note);
            return Ok(self.kept.iter().all(|kept| kept.kind != Kind::Driver));
        }
        if !self.dry {
            change.put(self.tree, to.as_deref())?;
        }
        let others = change.left_of_others(self.tree, to.as_deref());
        let others = others.map(|(path, now)| note_left(&path, &now));
        self.undone.notes.extend(others);
        self.taken.insert(change.subject.clone(), to.clone());
        self.undone.changes.push(Change {
            before: now,
            after: to,
            ..change.clone()
        });
        Ok(true)
    }

    /// Whether a module drives devices that it was not loaded for, or that are not given back.
    fn is_needed(&self, change: &Change) -> bool {
        if change.kind != Kind::Module {
            return false;
        }
        let devices = self.tree.names("/sys/bus/pci/devices");
        let mut devices = devices.iter().filter(|device| {
            let driver = format!("/sys/bus/pci/devices/{device}/driver");
            self.tree.link(&driver).as_deref() == Some(VFIO)
        });
        let undone = &self.undone.changes;
        devices.any(|device| !undone.iter().any(|one| one.subject == *device))
    }
}

/// What somebody else has changed since.
fn left(change: &Change, now: Option<&str>) -> String {
    let title = change.title();
    let now = now.unwrap_or("gone").trim_end();
    let before = change.before.as_deref().unwrap_or_default();
    match change.kind {
        Kind::File => format!("{title} is left: it was edited since"),
        Kind::Driver if now != "gone" => format!(
            "{title} is left at {now}: it was changed since; --undo forgets it when it is back at \
             {before}"
        ),
        _ => note_left(&title, now),
    }
}

fn note_left(title: &str, now: &str) -> String {
    format!("{title} is left at {now}: it was changed since")
}
