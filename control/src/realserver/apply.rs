//! Does the steps here, one after the other, and stops at the first that fails.

use std::io;
use std::process::{Command, Output};

use super::Plan;
use super::shell::block;
use super::step::Step;

/// A step that was gone through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// What is so now, or is no longer.
    pub what: String,
    /// Whether it was so already.
    pub was_so: bool,
}

/// A step that could not be done.
#[derive(Debug, thiserror::Error)]
#[error("could not see to it that {what}: {reason}")]
pub struct ApplyError {
    what: String,
    reason: String,
}

/// Does a plan on this machine, or undoes it, and tells each step to `tell`.
///
/// # Errors
///
/// The first step that fails; those after it are not begun.
pub fn apply(plan: &Plan, is_undone: bool, tell: &mut dyn FnMut(&Done)) -> Result<(), ApplyError> {
    let mut steps: Vec<_> = plan.steps.iter().collect();
    if is_undone {
        steps.reverse();
    }
    for step in steps {
        let lines = block(step, is_undone);
        if lines.is_empty() {
            continue;
        }
        let was_so = !is_undone && holds(step);
        if !was_so {
            run(step, &lines, is_undone)?;
        }
        if !step.what.is_empty() {
            let what = step.what.clone();
            tell(&Done { what, was_so });
        }
    }
    Ok(())
}

fn holds(step: &Step) -> bool {
    let shell = step.holds.as_ref().map(|condition| shell(condition));
    shell.is_some_and(|output| output.is_ok_and(|output| output.status.success()))
}

fn run(step: &Step, lines: &str, is_undone: bool) -> Result<(), ApplyError> {
    let failed = |reason: String| ApplyError {
        what: match (step.what.as_str(), is_undone) {
            ("", _) => "this can be undone".to_owned(),
            (what, false) => what.to_owned(),
            (what, true) => format!("it is no longer so that {what}"),
        },
        reason,
    };
    let output = shell(lines).map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said: Vec<_> = said.lines().map(str::trim).collect();
    Err(failed(match said.join("; ") {
        said if said.is_empty() => output.status.to_string(),
        said => said,
    }))
}

fn shell(lines: &str) -> io::Result<Output> {
    Command::new("sh").args(["-e", "-c", lines]).output()
}
