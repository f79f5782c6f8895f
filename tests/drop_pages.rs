//! Every reason to drop a packet has its page in `docs/drops`, which begins with the reason's own
//! words; and no page is there for a reason that is none.

#![expect(
    clippy::expect_used,
    reason = "without the files there is nothing to test"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The reasons are read as text: this test needs no DPDK.
const SOURCE: &str = include_str!("../dataplane/src/drop_reason.rs");

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/drops")
}

/// The name of each reason with its sentence.
fn reasons() -> Vec<(&'static str, String)> {
    let (_, list) = SOURCE.split_once("\ndrop_reasons! {").expect("a list");
    let (list, _) = list.split_once("\n}\n").expect("its end");
    let (mut sentence, mut found) = (Vec::new(), Vec::new());
    for line in list.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            sentence.push(text.trim());
        } else if let Some(name) = line.split('"').nth(1) {
            found.push((name, std::mem::take(&mut sentence).join(" ")));
        }
    }
    assert!(found.len() > 30, "only {} reasons were found", found.len());
    found
}

#[test]
fn every_drop_reason_has_a_page_that_begins_with_its_sentence_and_a_row() {
    let index = fs::read_to_string(folder().join("index.md")).expect("the index is there");

    for (name, sentence) in reasons() {
        let page = fs::read_to_string(folder().join(format!("{name}.md"))).unwrap_or_default();
        let begins = page.starts_with(&format!("# {name}\n\n{sentence}\n\n"));
        assert!(begins, "docs/drops/{name}.md does not begin: {sentence}");
        let row = format!("\n| [`{name}`]({name}.md) |");
        assert!(index.contains(&row), "docs/drops/index.md has no {name}");
    }
}

#[test]
fn no_page_is_about_a_reason_that_is_none() {
    let known = reasons().into_iter().map(|(name, _)| format!("{name}.md"));
    let known: BTreeSet<String> = known.chain(["index.md".to_owned()]).collect();
    let pages = fs::read_dir(folder()).expect("the folder is there");
    let names = pages.map(|page| page.expect("an entry").file_name());

    let there: BTreeSet<String> = names.map(|it| it.to_string_lossy().into_owned()).collect();

    assert_eq!(there, known);
}
