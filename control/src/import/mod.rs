//! What LVS was told, said again in the configuration's own words.
//!
//! ```text
//! keepalived.conf ──► lines ──► tree ──► services ─┐
//!                                                  ├─► Draft ─ fit ─► TOML, notes
//! ipvsadm -S      ──► ipvs::parse ──► ipvs::Table ─┘
//! ```
//!
//! What is taken over passes `sluicectl check` behind a `[gateway]` and a `[[port]]`. What cannot
//! be taken over is noted with its file and line, and kept as a comment where it belongs.

mod base;
mod draft;
mod fit;
mod ipvsadm;
mod keepalived;
mod place;
mod write;

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::config::{Config, ConfigErrors};
use crate::ipvs::Names;

pub use draft::Draft;
pub use place::{Note, Place};

/// What stands for the standard input.
const STDIN: &str = "-";

/// Why nothing was taken over.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file that was named cannot be read.
    #[error("{}: cannot be read: {}", .0.display(), .1)]
    Unreadable(PathBuf, io::Error),
    /// What was read makes no sense, each mistake with its file and line.
    #[error("{}", sentences(.0).join("\n"))]
    Refused(Vec<Note>),
    /// The base and what was taken over do not fit together.
    #[error("{0}")]
    Misfit(#[from] ConfigErrors),
}

impl ImportError {
    /// A sentence for everything that is wrong.
    #[must_use]
    pub fn sentences(&self) -> Vec<String> {
        match self {
            Self::Unreadable(..) => vec![self.to_string()],
            Self::Refused(notes) => sentences(notes),
            Self::Misfit(ConfigErrors(errors)) => errors.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Takes over the virtual servers of keepalived's configuration. `config_id` is what `@NAME` lines
/// are compared with, this host's name if it is not given.
///
/// # Errors
///
/// When a file cannot be read, or is not keepalived's language.
pub fn keepalived(files: &[PathBuf], config_id: Option<&str>) -> Result<Draft, ImportError> {
    let mut texts = Vec::new();
    for file in files {
        texts.push((file.clone(), read(file)?));
    }
    let mut draft = keepalived::read(&texts, config_id).map_err(ImportError::Refused)?;
    fit::fit(&mut draft);
    Ok(draft)
}

/// Takes over rules as `ipvsadm -S` saves them, or the commands of a script that sets them.
///
/// # Errors
///
/// When the file cannot be read, or `ipvsadm` or IPVS would refuse one of its lines.
pub fn ipvsadm(file: &Path, names: &dyn Names) -> Result<Draft, ImportError> {
    let text = read(file)?;
    let mut draft = ipvsadm::read(&text, file, names).map_err(ImportError::Refused)?;
    fit::fit(&mut draft);
    Ok(draft)
}

/// What was taken over behind the other sections of the configuration `base`, checked. What is
/// left out of `base` is noted in `draft`.
///
/// # Errors
///
/// When the base cannot be read, or the whole would be refused.
pub fn onto(base: &Path, draft: &mut Draft) -> Result<String, ImportError> {
    let text = read(base)?;
    let whole = base::onto(&text, base, draft);
    Config::from_toml(&whole, &base.join("with what was taken over"))?;
    Ok(whole)
}

/// A file's text, whatever bytes are in its comments.
fn read(file: &Path) -> Result<String, ImportError> {
    let mut bytes = Vec::new();
    let read = if file.as_os_str() == STDIN {
        io::stdin().read_to_end(&mut bytes).map(|_| ())
    } else {
        std::fs::read(file).map(|read| bytes = read)
    };
    match read {
        Ok(()) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) => Err(ImportError::Unreadable(file.to_owned(), error)),
    }
}

/// One sentence for each note, with its place.
fn sentences(notes: &[Note]) -> Vec<String> {
    notes.iter().map(ToString::to_string).collect()
}
