//! Puts what was taken over behind the other sections of a configuration that is there already.
//!
//! The given text stays as it is, comments and all, but for its services, and its time-outs if
//! others were taken over: what is new stands in their place.

use std::path::Path;

use super::draft::Draft;
use super::place::{Note, Place};

/// The whole configuration: `base` without its services, then `draft`. What is left out of `base`
/// is noted in `draft`.
pub(super) fn onto(base: &str, path: &Path, draft: &mut Draft) -> String {
    let has_timeouts = !draft.timeouts.is_empty();
    let mut kept = String::new();
    // Blank lines and comments, which belong to what follows them.
    let mut lead: Vec<&str> = Vec::new();
    let mut is_dropped = false;
    let mut services_at = None;
    for (line, number) in base.lines().zip(1..) {
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            lead.push(line);
            continue;
        }
        if let Some(header) = header(line) {
            is_dropped = match header.split('.').next() {
                Some("service") => {
                    services_at.get_or_insert(number);
                    true
                }
                Some("timeouts") if has_timeouts => {
                    let message = "its [timeouts] are left out: those taken over stand in their \
                                   place, so add what else was said here";
                    let place = Place::new(path, number);
                    draft.notes.push(Note::new(&place, message));
                    true
                }
                _ => false,
            };
        }
        if is_dropped {
            lead.clear();
            continue;
        }
        for line in lead.drain(..).chain([line]) {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    if let Some(number) = services_at {
        let message = "its services are left out: those taken over stand in their place";
        let place = Place::new(path, number);
        draft.notes.push(Note::new(&place, message));
    }
    let kept = kept.trim_end();
    let separator = if kept.is_empty() { "" } else { "\n\n" };
    format!("{kept}{separator}{}", draft.toml())
}

/// What stands between the brackets of `[section]` or `[[section]]`, without blanks.
fn header(line: &str) -> Option<String> {
    let inner = line.trim().strip_prefix('[')?;
    let inner = inner.strip_prefix('[').unwrap_or(inner);
    let (name, _) = inner.split_once(']')?;
    let is_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ' | '\t');
    let name: String = name.split_whitespace().collect();
    (!name.is_empty() && name.chars().all(is_key)).then_some(name)
}
