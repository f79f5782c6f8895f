//! The book: every page of `docs/` is in its table of contents, and in what mdBook makes of them
//! every link, picture, style and script is there, and nothing is fetched from elsewhere.

#![expect(
    clippy::expect_used,
    reason = "without the files there is nothing to test"
)]

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use html5gum::{Token, Tokenizer};
use pulldown_cmark::{Event, Parser, Tag};

/// A page as a browser reads it.
#[derive(Debug, Default)]
struct Page {
    /// What the reader can go to.
    links: Vec<String>,
    /// What the browser loads by itself.
    parts: Vec<String>,
    anchors: HashSet<String>,
}

impl Page {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).expect("it is text");
        let mut page = Self::default();
        for token in Tokenizer::new(&text).flatten() {
            let Token::StartTag(tag) = token else {
                continue;
            };
            let name = String::from_utf8_lossy(&tag.name).into_owned();
            for (key, value) in tag.attributes {
                let value = String::from_utf8_lossy(&value).into_owned();
                match (name.as_str(), String::from_utf8_lossy(&key).as_ref()) {
                    ("a" | "area", "href") => page.links.push(value),
                    (_, "href" | "src" | "data" | "poster") => page.parts.push(value),
                    (_, "id" | "name") => _ = page.anchors.insert(value),
                    _ => {}
                }
            }
        }
        page
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below a folder.
fn files(folder: PathBuf) -> Vec<PathBuf> {
    let (mut folders, mut found) = (vec![folder], Vec::new());
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).expect("the folder is there");
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found
}

fn has_extension(path: &Path, wanted: &str) -> bool {
    path.extension().is_some_and(|it| it == wanted)
}

/// Whether a link leads somewhere, from a page to another, or to a file or folder of the book.
fn leads_somewhere(from: &Path, link: &str, pages: &HashMap<PathBuf, Page>) -> bool {
    let (file, place) = link.split_once('#').unwrap_or((link, ""));
    let target = match file.split('?').next().unwrap_or_default() {
        "" => from.to_owned(),
        file => match from.with_file_name(file).canonicalize() {
            Ok(target) => target,
            Err(_) => return false,
        },
    };
    // A web server may show no list of a folder's files.
    let is_shown = target.is_file();
    match pages.get(&target) {
        Some(page) => place.is_empty() || page.anchors.contains(place),
        None => is_shown && place.is_empty(),
    }
}

#[test]
fn every_page_is_in_the_table_of_contents() {
    let docs = root().join("docs");
    let summary = fs::read_to_string(docs.join("SUMMARY.md")).expect("it is there");

    let listed = Parser::new(&summary).filter_map(|event| match event {
        Event::Start(Tag::Link { dest_url, .. }) => Some(dest_url.into_string()),
        _ => None,
    });
    let listed: Vec<_> = listed.collect();
    let relative = |path: &PathBuf| {
        let path = path.strip_prefix(&docs).expect("it is below docs");
        path.to_string_lossy().into_owned()
    };
    let pages = files(docs.clone()).into_iter();
    let mut pages: Vec<_> = pages.filter(|path| has_extension(path, "md")).collect();
    pages.retain(|path| !path.ends_with("SUMMARY.md"));

    let there: BTreeSet<_> = pages.iter().map(relative).collect();
    let in_it: BTreeSet<_> = listed.iter().cloned().collect();
    assert_eq!(listed.len(), in_it.len(), "a page is in it twice");
    let odd: Vec<_> = there.symmetric_difference(&in_it).collect();
    assert!(
        odd.is_empty(),
        "only in one of docs/ and SUMMARY.md: {odd:?}"
    );
}

#[test]
fn every_link_in_the_built_book_leads_somewhere_and_nothing_is_fetched() {
    let here = Path::new(env!("CARGO_TARGET_TMPDIR")).join("book");
    let tools = root().join("target/tools/bin/mdbook");
    if !tools.exists() && Command::new("mdbook").arg("--version").output().is_err() {
        let may_skip = std::env::var_os("CI_NO_SKIP").is_none_or(|value| value != "1");
        assert!(may_skip, "mdbook is missing: run scripts/setup --test");
        // Tests that pass hide what `eprintln!` says.
        let _ = writeln!(std::io::stderr(), "SKIPPED the book: mdbook is missing");
        return;
    }
    let mut script = Command::new(root().join("scripts/book"));
    let said = script.arg(&here).output().expect("it runs");
    assert!(said.status.success(), "{said:?}");
    let here = here.canonicalize().expect("it was made");

    let pages = files(here.join("docs")).into_iter();
    let pages = pages.filter(|path| has_extension(path, "html"));
    let pages: HashMap<_, _> = pages
        .map(|path| (path.clone(), Page::read(&path)))
        .collect();
    let (mut wrong, mut links, mut pictures) = (Vec::new(), 0, 0);
    for (path, page) in &pages {
        let outside = page.parts.iter().filter(|it| it.contains("//"));
        wrong.extend(outside.map(|it| format!("{} fetches {it}", path.display())));
        let inside = page.links.iter().filter(|it| !it.contains("://"));
        for link in inside.chain(page.parts.iter().filter(|it| !it.contains("//"))) {
            links += 1;
            pictures += usize::from(has_extension(Path::new(link), "svg"));
            if !leads_somewhere(path, link, &pages) {
                wrong.push(format!("{}: {link}", path.display()));
            }
        }
    }

    wrong.sort();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        pages.len() > 60 && links > 1_000,
        "{} pages, {links} links",
        pages.len()
    );
    assert!(pictures > 12, "{pictures} pictures");
}
