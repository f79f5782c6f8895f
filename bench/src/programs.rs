//! Finds the programs that are measured.

use std::io;
use std::path::{Path, PathBuf};

use testnet::Binaries;

/// Why there is nothing to measure.
#[derive(Debug, thiserror::Error)]
pub enum ProgramsError {
    /// It was not built.
    #[error("{} is missing: `cargo build --release --package sluice --bins` makes it", .0.display())]
    Missing(PathBuf),
    /// The system does not say where this program or the working directory is.
    #[error("cannot find the programs: {0}")]
    Lost(#[from] io::Error),
}

/// The daemon and its tool in `folder`, or beside this program: all are built into the same.
///
/// # Errors
///
/// When one of them is not there.
pub fn find(folder: Option<&Path>) -> Result<Binaries, ProgramsError> {
    let folder = match folder {
        // They are started from other directories too.
        Some(folder) => std::path::absolute(folder)?,
        None => std::env::current_exe()?.with_file_name(""),
    };
    Ok(Binaries {
        sluice: program(folder.join("sluice"))?,
        sluicectl: program(folder.join("sluicectl"))?,
    })
}

fn program(path: PathBuf) -> Result<&'static str, ProgramsError> {
    if !path.is_file() {
        return Err(ProgramsError::Missing(path));
    }
    // Two paths for the life of the program.
    Ok(path.to_string_lossy().into_owned().leak())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named_with_the_way_to_build_it() {
        let error = find(Some(Path::new("/nonexistent"))).expect_err("there is none");

        let text = error.to_string();
        assert!(text.starts_with("/nonexistent/sluice is missing"), "{text}");
        assert!(text.contains("cargo build"), "{text}");
    }
}
