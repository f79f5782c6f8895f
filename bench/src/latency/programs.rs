//! Finds the programs that are measured.

use std::path::{Path, PathBuf};

use testnet::Binaries;

use super::failure::Failure;

/// The daemon and its tool in `folder`, or beside this program.
///
/// # Errors
///
/// When one of them is not there, with the way to build it.
pub fn find(folder: Option<&Path>) -> Result<Binaries, Failure> {
    let own = std::env::current_exe().map_err(Failure::machine("find this program's folder"))?;
    let folder = match folder {
        Some(folder) => std::path::absolute(folder).map_err(Failure::machine("use the folder"))?,
        None => own.parent().map(Path::to_owned).unwrap_or_default(),
    };
    Ok(Binaries {
        sluice: program(folder.join("sluice"))?,
        sluicectl: program(folder.join("sluicectl"))?,
    })
}

fn program(path: PathBuf) -> Result<&'static str, Failure> {
    if !path.is_file() {
        let text = format!(
            "{} is missing: build it with `cargo build --release --package sluice --bins`",
            path.display()
        );
        return Err(Failure::Broken(text));
    }
    // Two paths for the life of the program.
    Ok(path.to_string_lossy().into_owned().leak())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named_with_the_way_to_build_it() {
        let failure = find(Some(Path::new("/nonexistent"))).expect_err("there is none");

        let text = failure.to_string();
        assert!(text.starts_with("/nonexistent/sluice is missing"), "{text}");
        assert!(text.contains("cargo build"), "{text}");
    }
}
