//! Where something stands in what is taken over, and what an operator should know of it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The file, as it was named.
    #[serde(rename = "path", serialize_with = "path")]
    pub(super) file: Arc<Path>,
    /// The line, counted from 1.
    pub(super) line: usize,
}

impl Place {
    /// A line of a file.
    pub(super) fn new(file: &Path, line: usize) -> Self {
        Self {
            file: Arc::from(file),
            line,
        }
    }

    /// The same file's line `line`.
    pub(super) fn at(&self, line: usize) -> Self {
        Self {
            file: Arc::clone(&self.file),
            line,
        }
    }

    /// The place as someone says it who is speaking of `other`: the line, and the file only if it
    /// is another.
    pub(super) fn seen_from(&self, other: &Self) -> String {
        if self.file == other.file {
            self.line.to_string()
        } else {
            self.to_string()
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

fn path<S: Serializer>(file: &Arc<Path>, serializer: S) -> Result<S::Ok, S::Error> {
    file.to_string_lossy().serialize(serializer)
}

/// A sentence about a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// What it is about.
    #[serde(flatten)]
    pub(super) place: Place,
    /// What an operator should know.
    pub(super) message: String,
}

impl Note {
    /// A sentence about `place`.
    pub(super) fn new(place: &Place, message: impl Into<String>) -> Self {
        Self {
            place: place.clone(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}
