//! This session before the others of the machine, for the time of a run.
//!
//! Linux shares the cores among sessions first, and among the threads of a session then
//! (autogroup, sched(7)). A build in another session would take half of the worker's core, however
//! nice it is. What runs here is all of one session, so among clients, gateway and servers nothing
//! changes.

use std::fs;
use std::path::{Path, PathBuf};

/// Where a process tells and is told how nice its session is.
const AUTOGROUP: &str = "/proc/self/autogroup";

/// The least nice one.
const FIRST: &str = "-20";

/// This session comes first until this is dropped.
#[derive(Debug)]
pub struct SessionPriority {
    file: PathBuf,
    before: String,
}

impl SessionPriority {
    /// Puts this session first; none where sessions are not told apart, or it is not allowed.
    #[must_use]
    pub fn raise() -> Option<Self> {
        Self::raise_in(Path::new(AUTOGROUP))
    }

    fn raise_in(file: &Path) -> Option<Self> {
        // Such as "/autogroup-1506 nice 0".
        let text = fs::read_to_string(file).ok()?;
        let (_, before) = text.trim().rsplit_once(" nice ")?;
        fs::write(file, FIRST).ok()?;
        Some(Self {
            file: file.to_owned(),
            before: before.to_owned(),
        })
    }
}

impl Drop for SessionPriority {
    fn drop(&mut self) {
        let _refused = fs::write(&self.file, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_session_is_as_nice_afterwards_as_before() {
        let file = std::env::temp_dir().join(format!("autogroup-{}", std::process::id()));
        fs::write(&file, "/autogroup-1506 nice 5\n").expect("there is room");

        let raised = SessionPriority::raise_in(&file).expect("it is such a file");
        let meanwhile = fs::read_to_string(&file).expect("it is there");
        drop(raised);

        assert_eq!(meanwhile, "-20");
        assert_eq!(fs::read_to_string(&file).expect("it is there"), "5");
        fs::remove_file(&file).expect("it is there");
    }

    #[test]
    fn where_sessions_are_not_told_apart_nothing_happens() {
        assert!(SessionPriority::raise_in(Path::new("/nonexistent")).is_none());
    }
}
