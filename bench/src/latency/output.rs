//! Writes results where scripts find them.

use std::fs;
use std::path::Path;

use super::failure::Failure;

/// Writes `text` to the file `name` in `folder`, which it makes, and says where.
///
/// # Errors
///
/// When the disk refuses.
pub fn write(folder: &Path, name: &str, text: &str) -> Result<(), Failure> {
    let file = folder.join(name);
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(&file, text));
    written.map_err(Failure::machine(&format!("write {}", file.display())))?;
    eprintln!("wrote {}", file.display());
    Ok(())
}
