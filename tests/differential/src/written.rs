//! The scenarios of the folder `scenarios`, one for each rule.
//!
//! They are written here, where frames have names, and kept as files that anyone can read and play:
//! `sluice-differential --write tests/differential/scenarios` makes the files again, and a test
//! says when that was forgotten.

mod closing;
mod errors;
mod fragments;
mod knobs;
mod packets;
mod persistence;
mod scheduling;
mod servers;
mod talk;

use std::fs;
use std::io;
use std::path::Path;

use crate::draft::Draft;
use crate::read::to_text;
use crate::scenario::Scenario;

/// A scenario with what it is about.
#[derive(Clone, Debug)]
pub struct Written {
    /// The scenario.
    pub scenario: Scenario,
    /// The rule it shows.
    pub about: &'static str,
}

impl Written {
    fn new(draft: Draft, about: &'static str) -> Self {
        Self {
            scenario: draft.finish(),
            about,
        }
    }

    /// The text of its file.
    #[must_use]
    pub fn text(&self) -> String {
        format!("# {}\n{}", self.about, to_text(&self.scenario))
    }

    /// The name of its file.
    #[must_use]
    pub fn file(&self) -> String {
        format!("{}.txt", self.scenario.name)
    }
}

/// All of them.
#[must_use]
pub fn all() -> Vec<Written> {
    let groups: [fn() -> Vec<Written>; 8] = [
        closing::all,
        errors::all,
        fragments::all,
        knobs::all,
        packets::all,
        persistence::all,
        scheduling::all,
        servers::all,
    ];
    groups.iter().flat_map(|group| group()).collect()
}

/// Writes all files.
///
/// # Errors
///
/// When a file cannot be written.
pub fn write(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    all()
        .iter()
        .try_for_each(|written| fs::write(folder.join(written.file()), written.text()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::read;

    fn folder() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios"))
    }

    #[test]
    fn the_files_are_what_is_written_here() {
        let mut written: BTreeMap<String, String> = all()
            .iter()
            .map(|written| (written.file(), written.text()))
            .collect();

        for entry in fs::read_dir(folder()).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).unwrap();
            assert!(
                written.remove(&name) == Some(text),
                "{name} is another: see the module's text"
            );
        }
        assert_eq!(
            written.into_keys().collect::<Vec<_>>(),
            Vec::<String>::new()
        );
    }

    #[test]
    fn every_file_reads_back_as_its_scenario() {
        for written in all() {
            let read = read::load(&folder().join(written.file())).unwrap();

            assert_eq!(read.net, written.scenario.net);
            assert_eq!(read.ipvs, written.scenario.ipvs);
            assert_eq!(read.play, written.scenario.play);
        }
    }
}
