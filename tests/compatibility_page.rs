//! `docs/ipvs-compatibility.md` names the code that obeys each rule, or the test that pins it: all
//! of it must be there, so that renaming a test cannot leave a rule without one.

#![expect(
    clippy::expect_used,
    reason = "without the files there is nothing to test"
)]

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Where a file may stand that the page names.
const FOLDERS: [&str; 4] = ["dataplane/src", "dataplane", "", "docs"];

/// Rust sources and scenarios are looked for below these.
const SOURCES: [&str; 5] = ["dataplane", "control", "src", "tests", "bench"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page() -> String {
    fs::read_to_string(root().join("docs/ipvs-compatibility.md")).expect("the page is there")
}

/// The cells of a table's row; other lines have one.
fn cells(line: &str) -> Vec<&str> {
    match line.strip_prefix('|') {
        Some(row) => (row.trim_end_matches('|').split('|'))
            .map(str::trim)
            .collect(),
        None => vec![line],
    }
}

/// What stands between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Every word of the sources, and every name of a function.
fn words_and_functions() -> (HashSet<String>, HashSet<String>) {
    let (mut words, mut functions) = (HashSet::new(), HashSet::new());
    let mut folders: Vec<PathBuf> = SOURCES.map(|folder| root().join(folder)).into();
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).expect("the folder is there");
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") && !path.ends_with(file!()) {
                let text = fs::read_to_string(&path).expect("it is text");
                let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
                let mut before = "";
                for word in text.split(|c| !is_part(c)).filter(|word| !word.is_empty()) {
                    words.insert(word.to_owned());
                    if before == "fn" {
                        functions.insert(word.to_owned());
                    }
                    before = word;
                }
            }
        }
    }
    (words, functions)
}

#[test]
fn every_rule_says_where_it_is_obeyed_or_pinned() {
    let page = page();

    // A heading has no first cell, or names the columns, and ends in dashes below.
    let rows = page.lines().map(cells).filter(|row| row.len() > 2);
    let rows: Vec<_> = rows.filter(|row| row[2] != "where").collect();

    assert!(rows.len() > 100, "only {} rows were found", rows.len());
    for row in rows {
        assert_eq!(row.len(), 3, "{row:?}");
        assert!(
            !row[2].is_empty() || row[1].starts_with("not yet"),
            "{row:?}"
        );
    }
}

#[test]
fn what_the_page_names_is_there() {
    let page = page();
    let (words, functions) = words_and_functions();
    let is_there = |name: &str| {
        let mut paths = FOLDERS.iter().map(|folder| root().join(folder).join(name));
        paths.any(|path| path.exists())
    };

    let mut lost = Vec::new();
    for line in page.lines() {
        for (column, cell) in cells(line).into_iter().enumerate() {
            lost.extend(quoted(cell).filter(|name| {
                let is_known = if is_sentence(name) {
                    functions.contains(*name)
                } else if column < 2 {
                    // Words of the rule, not of the code.
                    true
                } else if is_path(name) {
                    is_there(name)
                } else {
                    words.contains(name.rsplit("::").next().unwrap_or(name))
                };
                !is_known
            }));
        }
    }

    assert_eq!(lost, Vec::<&str>::new());
}

/// Whether something is the name of a test: it takes five words to say something.
fn is_sentence(name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    name.chars().all(is_part) && name.split('_').count() >= 5
}

/// Whether something is the name of a file or folder.
fn is_path(name: &str) -> bool {
    let endings = [".rs", ".md", ".txt", ".toml"];
    !name.contains(' ')
        && !name.starts_with('/')
        && (name.contains('/') || endings.iter().any(|ending| name.ends_with(ending)))
}
