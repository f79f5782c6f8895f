//! Every error that an operator can cause has a test that reads the message.
//!
//! A message is the text of an `#[error("…")]`; a test reads it that has its longest piece between
//! two placeholders.

#![expect(
    clippy::expect_used,
    reason = "without the files there is nothing to test"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Where operators' errors are declared.
const SOURCES: [&str; 2] = ["control/src", "src"];

/// Where tests are, besides those at the foot of a source.
const TESTS: [&str; 3] = ["control/tests", "tests", "dataplane/tests"];

/// Messages that nobody can cause by what he says or does: a system that fails, a mistake of the
/// gateway's own.
const NOT_CAUSED: [&str; 5] = [
    "could not {action} {path}: {source}",
    "could not {action} the twin {name}: {source}",
    "cannot follow Linux's addresses and routes: {0}",
    "Linux's routes can no longer be followed: start the gateway again",
    "cannot start: {0}",
];

/// What begins the tests of a file.
const FOOT: &str = "#[cfg(test)]\nmod tests {";

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

fn texts(directories: &[&str]) -> BTreeMap<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for directory in directories {
        files(&root.join(directory), &mut found);
    }
    let read = |path: PathBuf| Some((path.clone(), fs::read_to_string(path).ok()?));
    found.into_iter().filter_map(read).collect()
}

/// Puts strings together that go on in the next line.
fn joined(text: &str) -> String {
    let mut parts = text.split("\\\n");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| all + part.trim_start())
}

/// The messages that a source declares.
fn messages(source: &str) -> Vec<String> {
    let declared = source.split("#[error(").skip(1);
    let text = |rest: &str| {
        let rest = rest.trim_start().strip_prefix('"')?;
        let mut before = ' ';
        let end = rest.char_indices().find(|(_, letter)| {
            let ends = *letter == '"' && before != '\\';
            before = *letter;
            ends
        })?;
        Some(rest[..end.0].to_owned())
    };
    declared.filter_map(text).collect()
}

/// The longest piece without placeholders and quotation marks.
fn longest_piece(message: &str) -> &str {
    let pieces = message.split(['{', '}', '"', '\\', '`']);
    // Every second piece of these would be a placeholder; none is as long as a message.
    let pieces = pieces.filter(|piece| !message.contains(&format!("{{{piece}}}")));
    pieces
        .max_by_key(|piece| piece.len())
        .unwrap_or_default()
        .trim()
}

#[test]
fn every_message_is_read_by_a_test() {
    let sources = texts(&SOURCES);
    let mut read: String = texts(&TESTS).values().map(|text| joined(text)).collect();
    for (path, text) in &sources {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with("_tests.rs") || ["tests.rs", "messages.rs"].contains(&&*name) {
            read += &joined(text);
        } else if let Some((_, tests)) = text.split_once(FOOT) {
            read += &joined(tests);
        }
    }

    let mut count = 0;
    let mut unread = Vec::new();
    for (path, text) in &sources {
        let text = text
            .split_once(FOOT)
            .map_or(text.as_str(), |(text, _)| text);
        for message in messages(&joined(text)) {
            let piece = longest_piece(&message);
            // A message of nothing but placeholders is somebody else's.
            if piece.is_empty() || NOT_CAUSED.contains(&message.as_str()) {
                continue;
            }
            count += 1;
            if !read.contains(piece) {
                unread.push(format!("{}: {message}", path.display()));
            }
        }
    }

    assert!(count > 80, "only {count} messages were found");
    assert!(unread.is_empty(), "no test reads:\n{}", unread.join("\n"));
}

#[test]
fn a_piece_is_what_stands_between_placeholders() {
    assert_eq!(
        longest_piece("there is no {0}: see `ip link`"),
        "there is no"
    );
    assert_eq!(
        longest_piece("{addr} is nowhere, {a_longer_placeholder}!"),
        "is nowhere,"
    );
    assert_eq!(
        messages("#[error(\n    \"a \\\"b\\\" c\"\n)]"),
        ["a \\\"b\\\" c"]
    );
}
