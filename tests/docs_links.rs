//! Every link from one of our pages to another, and to a file of the repository, leads somewhere.

#![expect(
    clippy::expect_used,
    reason = "without the files there is nothing to test"
)]

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// A page: the links from it, and the anchors in it.
#[derive(Debug, Default)]
struct Page {
    links: Vec<String>,
    anchors: HashSet<String>,
}

impl Page {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).expect("it is text");
        let mut page = Self::default();
        let mut heading: Option<String> = None;
        for event in Parser::new_ext(&text, Options::all()) {
            match event {
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push(dest_url.into_string());
                }
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::Text(text) | Event::Code(text) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&text);
                    }
                }
                Event::End(TagEnd::Heading(_)) => {
                    let anchor = heading.take().map(|it| anchor(&it));
                    page.anchors.extend(anchor);
                }
                _ => {}
            }
        }
        page
    }
}

/// The anchor that GitHub and mdBook give a heading.
fn anchor(heading: &str) -> String {
    let is_kept = |c: &char| c.is_alphanumeric() || matches!(c, '-' | '_' | ' ');
    let kept = heading.chars().filter(is_kept).map(|c| match c {
        ' ' => '-',
        c => c,
    });
    kept.collect::<String>().to_lowercase()
}

/// All our pages by their path.
fn pages() -> HashMap<PathBuf, Page> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = HashMap::new();
    let mut add = |path: PathBuf| {
        let page = Page::read(&path);
        pages.insert(path.canonicalize().expect("it is there"), page);
    };
    let mut folders = vec![root.join("docs")];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).expect("the folder is there");
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "md") {
                add(path);
            }
        }
    }
    for name in ["README.md", "CHANGELOG.md", "tests/differential/README.md"] {
        add(root.join(name));
    }
    pages
}

#[test]
fn every_link_between_our_pages_leads_somewhere() {
    let pages = pages();
    let mut broken = Vec::new();
    let mut links = 0;
    for (path, page) in &pages {
        for link in page.links.iter().filter(|it| !it.contains("://")) {
            links += 1;
            let (file, place) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => Some(path.clone()),
                file => path.with_file_name(file).canonicalize().ok(),
            };
            let is_there = target.is_some_and(|target| match pages.get(&target) {
                Some(page) => place.is_empty() || page.anchors.contains(place),
                None => place.is_empty(),
            });
            if !is_there {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }

    broken.sort();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(links > 20, "{links} links");
}
