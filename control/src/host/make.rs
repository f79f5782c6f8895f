//! Makes changes and takes them back.

use std::collections::HashMap;
use std::io;

use super::change::{Change, Kind};
use super::drivers::VFIO;
use super::journal::{Journal, SetupJournalError};
use super::plan::Plan;
use super::tree::Tree;

/// Why not everything was changed.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// What was changed could not be noted, so nothing more was changed.
    #[error(transparent)]
    Journal(#[from] SetupJournalError),
    /// The host refused.
    #[error(
        "{what} failed: {source}. What was changed before stays, and `sluicectl setup-host \
         --undo` takes it back"
    )]
    Change {
        /// The change.
        what: String,
        /// The answer.
        source: io::Error,
    },
    /// The host refused to have it back.
    #[error(
        "{what} could not be taken back: {source}. Mend that, then `sluicectl setup-host --undo` \
         goes on from there"
    )]
    TakeBack {
        /// The change.
        what: String,
        /// The answer.
        source: io::Error,
    },
}

/// What came of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// What is not as it was asked for, in sentences.
    pub shortfalls: Vec<String>,
}

/// What was taken back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undone {
    /// The changes, the other way round.
    pub changes: Vec<Change>,
    /// What was left, and why, in sentences.
    pub notes: Vec<String>,
}

/// Makes all changes of a plan, in their order, each noted before.
///
/// # Errors
///
/// [`MakeError`]; what was made until then stays, and is in the journal.
pub fn make(tree: &Tree, journal: &mut Journal, plan: &Plan) -> Result<Made, MakeError> {
    let mut made = Made::default();
    for change in &plan.changes {
        journal.begin(tree, change.clone())?;
        let failed = |source| MakeError::Change {
            what: change.title(),
            source,
        };
        change.make(tree).map_err(failed)?;
        let came_to = change.now(tree).map_err(failed)?;
        if change.kind == Kind::Value && came_to != change.after {
            made.shortfalls.push(shortfall(change, came_to.as_deref()));
        }
        journal.done(tree, came_to)?;
    }
    // A journal in which nothing is left leaves no file.
    journal.close(tree)?;
    Ok(made)
}

fn shortfall(change: &Change, came_to: Option<&str>) -> String {
    let wanted = change.after.as_deref().unwrap_or_default();
    let came_to = came_to.filter(|text| !text.is_empty()).unwrap_or("nothing");
    let advice = if change.subject.ends_with("nr_hugepages") {
        "the memory is in pieces or in use; after a reboot there is more"
    } else {
        "the kernel would not have it"
    };
    format!("{} is {came_to} and not {wanted}: {advice}", change.subject)
}

/// Takes back what the journal says, last first; with `dry` only says what that would be. What
/// somebody else has changed since is left.
///
/// # Errors
///
/// [`MakeError`]; what is not taken back stays in the journal.
pub fn undo(tree: &Tree, journal: &mut Journal, dry: bool) -> Result<Undone, MakeError> {
    let mut undone = Undone::default();
    // What would be there by now, of what would have been taken back.
    let mut taken: HashMap<String, Option<String>> = HashMap::new();
    for change in journal.changes().to_vec().into_iter().rev() {
        let failed = |source| MakeError::TakeBack {
            what: change.title(),
            source,
        };
        let now = match taken.get(&change.subject) {
            Some(value) if dry => value.clone(),
            _ => change.now(tree).map_err(failed)?,
        };
        if now == change.before {
            // It was never made, or somebody else took it back.
        } else if now != change.after {
            let now = now.as_deref().unwrap_or("gone").trim_end();
            undone.notes.push(match change.kind {
                Kind::File => format!("{} is left: it was edited since", change.subject),
                _ => format!("{} is left at {now}: it was changed since", change.title()),
            });
        } else if is_needed(tree, &change, &undone) {
            let note = format!("{} is left: other devices use it", change.title());
            undone.notes.push(note);
        } else {
            if !dry {
                change.take_back(tree).map_err(failed)?;
            }
            taken.insert(change.subject.clone(), change.before.clone());
            undone.changes.push(change.reversed());
        }
        if !dry {
            journal.forget_last(tree)?;
        }
    }
    if !dry {
        journal.close(tree)?;
    }
    Ok(undone)
}

/// Whether a module drives devices that somebody else gave it.
fn is_needed(tree: &Tree, change: &Change, undone: &Undone) -> bool {
    if change.kind != Kind::Module {
        return false;
    }
    let devices = tree.names("/sys/bus/pci/devices");
    let mut devices = devices.iter().filter(|device| {
        let driver = tree.link(&format!("/sys/bus/pci/devices/{device}/driver"));
        driver.as_deref() == Some(VFIO)
    });
    let is_undone = |device: &String| undone.changes.iter().any(|one| one.subject == *device);
    devices.any(|device| !is_undone(device))
}
