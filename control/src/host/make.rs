//! Makes the changes of a plan.

use std::io;

use super::change::{Change, Kind};
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
         takes back what is left"
    )]
    TakeBack {
        /// The change.
        what: String,
        /// The answer.
        source: io::Error,
    },
}

/// What came of a plan.
#[derive(Debug, Default)]
pub struct Made {
    /// What was changed.
    pub changes: Vec<Change>,
    /// What is not as it was asked for, in sentences.
    pub shortfalls: Vec<String>,
    /// Why not everything was changed.
    pub failure: Option<MakeError>,
}

/// Makes all changes of a plan, in their order, each noted before and told after. What was made
/// before a failure stays, and is in the journal.
pub fn make(
    tree: &Tree,
    journal: &mut Journal,
    plan: &Plan,
    tell: &mut dyn FnMut(&Change),
) -> Made {
    let mut made = Made::default();
    let done = plan.changes.iter().try_for_each(|change| {
        let shortfall = make_one(tree, journal, change)?;
        tell(change);
        made.changes.push(change.clone());
        made.shortfalls.extend(shortfall);
        Ok(())
    });
    // A journal in which nothing is left leaves no file.
    made.failure = done.and_then(|()| Ok(journal.close(tree)?)).err();
    made
}

/// Makes one change, and says what it lacks.
fn make_one(
    tree: &Tree,
    journal: &mut Journal,
    change: &Change,
) -> Result<Option<String>, MakeError> {
    let failed = |source| MakeError::Change {
        what: change.title(),
        source,
    };
    journal.begin(tree, change.clone())?;
    change.make(tree).map_err(failed)?;
    let came_to = change.now(tree).map_err(failed)?;
    let is_value = matches!(change.kind, Kind::Value | Kind::Forwarding);
    let is_short = is_value && came_to != change.after;
    let shortfall = is_short.then(|| shortfall(change, came_to.as_deref()));
    journal.done(tree, came_to)?;
    Ok(shortfall)
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
