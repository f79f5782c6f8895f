//! The folder that this process and the guest share, and what lies where in it.
//!
//! ```text
//! batch           how many scenarios there are
//! console         what the guest's kernel and its first process said
//! up              is there once the guest's first process runs
//! 0/script        what to do for the first scenario
//! 0/played        is there once it was played, before its statistics are
//! 0/report        what happened, complete when its last line says so
//! ```

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::statvfs::{FsFlags, statvfs};

use super::report;
use super::script::Script;
use crate::outcome::Outcome;

/// What a guest may use, and some more: its memory is a file beside the folder.
const ROOM: u64 = 300 << 20;

/// Names of what lies in the folder; the guest uses them too.
pub(super) const BATCH: &str = "batch";
pub(super) const UP: &str = "up";
pub(super) const SCRIPT: &str = "script";
pub(super) const PLAYED: &str = "played";
pub(super) const REPORT: &str = "report";
const CONSOLE: &str = "console";

/// How much of what the guest said is repeated when it fails, in bytes.
const LAST_WORDS: usize = 2_000;

/// A folder for one boot; dropping removes it.
#[derive(Debug)]
pub(super) struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Makes one where the guest's memory has room too.
    pub(super) fn make() -> io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = place()?.join(format!("sluice-uml.{}.{number}", std::process::id()));
        fs::create_dir(&path)?;
        Ok(Self { path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Lays down what to do, the scenarios numbered from 0.
    pub(super) fn write(&self, scripts: &[&Script]) -> io::Result<()> {
        fs::write(self.path.join(BATCH), scripts.len().to_string())?;
        for (number, script) in scripts.iter().enumerate() {
            let folder = self.path.join(number.to_string());
            fs::create_dir(&folder)?;
            fs::write(folder.join(SCRIPT), serde_json::to_vec(script)?)?;
        }
        Ok(())
    }

    /// Where the guest's console goes.
    pub(super) fn console(&self) -> io::Result<fs::File> {
        fs::File::create(self.path.join(CONSOLE))
    }

    /// The end of what the guest said.
    pub(super) fn last_words(&self) -> String {
        let said = fs::read(self.path.join(CONSOLE)).unwrap_or_default();
        let from = said.len().saturating_sub(LAST_WORDS);
        let text = String::from_utf8_lossy(said.get(from..).unwrap_or_default());
        text.trim().to_owned()
    }

    /// Whether the guest's first process ran.
    pub(super) fn is_up(&self) -> bool {
        self.path.join(UP).exists()
    }

    /// Whether scenario `number` was played.
    pub(super) fn has_played(&self, number: usize) -> bool {
        self.path.join(number.to_string()).join(PLAYED).exists()
    }

    /// What happened in scenario `number`, when all of it is known.
    pub(super) fn outcome(&self, number: usize) -> Option<Outcome> {
        let report = self.path.join(number.to_string()).join(REPORT);
        report::read(&fs::read_to_string(report).ok()?)
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        // What cannot be removed stays: there is nobody to tell.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// In memory where there is enough, else where temporary files go. The guest runs programs in its
/// memory, so a file system that forbids that is no place for it.
fn place() -> io::Result<PathBuf> {
    let fits = |folder: &PathBuf| {
        statvfs(folder).is_ok_and(|system| {
            let room = system
                .blocks_available()
                .saturating_mul(system.fragment_size());
            let forbids = FsFlags::ST_NOEXEC | FsFlags::ST_RDONLY;
            room >= ROOM && !system.flags().intersects(forbids)
        })
    };
    let places = [
        PathBuf::from("/dev/shm"),
        env::temp_dir(),
        PathBuf::from("/var/tmp"),
    ];
    let none =
        "neither /dev/shm nor a folder for temporary files has 300 MB where programs may run";
    places
        .into_iter()
        .find(fits)
        .ok_or_else(|| io::Error::other(none))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_a_script_for_each_scenario_and_goes_when_dropped() {
        let folder = RunFolder::make().unwrap();
        let path = folder.path().to_owned();

        folder
            .write(&[&Script::default(), &Script::default()])
            .unwrap();

        assert_eq!(fs::read_to_string(path.join(BATCH)).unwrap(), "2");
        assert!(path.join("1").join(SCRIPT).exists());
        assert!(!folder.has_played(1));
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn the_end_of_a_long_console_is_repeated() {
        let folder = RunFolder::make().unwrap();
        let said = format!("{}the end\n", "x".repeat(5_000));
        fs::write(folder.path().join(CONSOLE), said).unwrap();

        let words = folder.last_words();

        assert!(
            words.len() <= LAST_WORDS && words.ends_with("xthe end"),
            "{words}"
        );
    }
}
