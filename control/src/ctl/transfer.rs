//! Sessions to a file, and from one: `docs/sessions.md`.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use super::arguments::Sessions;
use super::client::{Client, UploadFailure};
use super::configuration::write_json;
use super::failure::Failure;
use super::sessions::filters;
use super::{Console, Exit};
use crate::view::ImportView;

/// The type of lines of JSON.
const LINES: &str = "application/x-ndjson";

/// What stands for the standard input or output.
const STANDARD: &str = "-";

/// Writes the sessions that are wanted to `file`.
pub(super) fn export(
    client: &Client,
    wanted: &Sessions,
    file: &Path,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let filters = filters(wanted);
    let path = format!("/v1/sessions/export?{}", filters.trim_start_matches('&'));
    if file == Path::new(STANDARD) {
        client.download(&path, |piece| Ok(console.out.write_all(piece)?))?;
        return Ok(Exit::Well);
    }
    let unwritable = |error| Failure::Unwritable(file.to_owned(), error);
    let mut lines = BufWriter::new(File::create(file).map_err(unwritable)?);
    let mut count = 0;
    client.download(&path, |piece| {
        count += piece.iter().filter(|byte| **byte == b'\n').count();
        lines.write_all(piece).map_err(unwritable)
    })?;
    lines.flush().map_err(unwritable)?;
    if console.json {
        write_json(&serde_json::json!({ "exported": count }), console)?;
    } else {
        writeln!(
            console.out,
            "Exported {count} sessions to {}.",
            file.display()
        )?;
    }
    Ok(Exit::Well)
}

/// Brings the sessions of `file` in.
pub(super) fn import(
    client: &Client,
    file: &Path,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let unreadable = |error| Failure::Unreadable(file.to_owned(), error);
    let lines: Box<dyn Read + Send> = if file == Path::new(STANDARD) {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(file).map_err(unreadable)?)
    };
    let answer = client.upload("/v1/sessions/import", LINES, lines);
    let answer = answer.map_err(|failure| match failure {
        UploadFailure::Read(error) => unreadable(error),
        UploadFailure::Ask(failure) => failure,
    })?;
    let answer = answer.accepted()?;
    let view: ImportView = answer.view()?;
    if console.json {
        console.raw(&answer.body)?;
    } else {
        writeln!(console.out, "{}", sentence(&view))?;
    }
    Ok(if view.not_understood == 0 {
        Exit::Well
    } else {
        Exit::No
    })
}

/// What became of the sessions, with the first line that is none.
fn sentence(view: &ImportView) -> String {
    let counts = [
        ("imported", view.imported),
        ("already there", view.already_there),
        ("no such service", view.no_such_service),
        ("no such server", view.no_such_server),
        ("local port not free", view.local_port_not_free),
        ("table full", view.table_full),
        ("not understood", view.not_understood),
    ];
    let counts = counts.map(|(name, count)| format!("{name} {count}"));
    let mistake = view.mistakes.first();
    let mistake = mistake.map(|mistake| format!(" ({mistake})"));
    format!("{}{}", counts.join(", "), mistake.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_count_is_told_and_the_first_mistake() {
        let mut view = ImportView {
            imported: 1,
            already_there: 2,
            no_such_service: 3,
            no_such_server: 4,
            local_port_not_free: 5,
            table_full: 6,
            ..ImportView::default()
        };
        let counts = "imported 1, already there 2, no such service 3, no such server 4, \
                      local port not free 5, table full 6, not understood ";
        assert_eq!(sentence(&view), format!("{counts}0"));

        view.not_understood = 2;
        view.mistakes = vec!["line 17: this".to_owned(), "line 18: that".to_owned()];
        assert_eq!(sentence(&view), format!("{counts}2 (line 17: this)"));
    }
}
