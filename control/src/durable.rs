//! Files that survive whatever happens once a function has returned, the power's failure included.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Replaces a file as a whole, keeping its mode.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // No program that reads all files of a directory takes this one.
    let new = path.with_extension("new~");
    let mut file = File::create(&new)?;
    if let Ok(there) = fs::metadata(path) {
        file.set_permissions(there.permissions())?;
    }
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    sync_directory_of(path)
}

/// A new name, or none, is safe only with its directory.
pub(crate) fn sync_directory_of(path: &Path) -> io::Result<()> {
    path.parent()
        .map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}
