//! The files of a host: the kernel's in /sys and /proc, and those of /etc and /var.
//!
//! Paths are written as on the host, from `/`; the tree's root goes before them. A tree whose root
//! is `/` is the machine itself. In any other one what the kernel does when a file is written is
//! [imitated](super::imitation).

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::imitation;
use crate::durable;

/// A host's files.
#[derive(Clone, Debug)]
pub struct Tree {
    root: PathBuf,
}

impl Tree {
    /// The tree below `root`.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// Whether the kernel answers here.
    pub(super) fn is_live(&self) -> bool {
        self.root == Path::new("/")
    }

    /// Where a file of the host lies.
    pub(super) fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    pub(super) fn exists(&self, path: &str) -> bool {
        self.at(path).exists()
    }

    /// A file's text without blanks around it; nothing if it cannot be read.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        let text = fs::read(self.at(path)).ok()?;
        Some(String::from_utf8_lossy(&text).trim().to_owned())
    }

    /// A file's only number.
    pub(super) fn number<T: FromStr>(&self, path: &str) -> Option<T> {
        self.text(path)?.parse().ok()
    }

    /// What is in a directory, in order; nothing if it cannot be read.
    pub(super) fn names(&self, directory: &str) -> Vec<String> {
        let entries = fs::read_dir(self.at(directory));
        let names = entries.into_iter().flatten().flatten();
        let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut names: Vec<_> = names.filter(|name| !name.starts_with('.')).collect();
        names.sort();
        names
    }

    /// The last part of where a link leads.
    pub(super) fn link(&self, path: &str) -> Option<String> {
        let target = fs::read_link(self.at(path)).ok()?;
        Some(target.file_name()?.to_string_lossy().into_owned())
    }

    /// All of a file, or nothing where there is none.
    ///
    /// # Errors
    ///
    /// Any but that there is none.
    pub(super) fn read(&self, path: &str) -> io::Result<Option<String>> {
        match fs::read_to_string(self.at(path)) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sets a value of the kernel's; its file is never made.
    pub(super) fn set(&self, path: &str, value: &str) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(self.at(path))?;
        file.write_all(format!("{value}\n").as_bytes())
    }

    /// Writes to a file of the kernel's that starts something.
    pub(super) fn poke(&self, path: &str, value: &str) -> io::Result<()> {
        if self.is_live() {
            self.set(path, value)
        } else {
            imitation::poked(self, path, value)
        }
    }

    /// Replaces a file as a whole, keeping its mode; on return that will survive anything.
    pub(super) fn replace(&self, path: &str, text: &str) -> io::Result<()> {
        durable::replace(&self.at(path), text.as_bytes())
    }

    /// Removes a file; none is as good.
    pub(super) fn remove(&self, path: &str) -> io::Result<()> {
        let path = self.at(path);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => durable::sync_directory_of(&path),
        }
    }
}
