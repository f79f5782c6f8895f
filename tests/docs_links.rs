//! Every link from one of our pages to another, and to a file of the repository, leads somewhere; and
//! every alert's link to a page.

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

/// Whether a file that is there has the place, if any is named; only pages have places.
fn is_there(pages: &HashMap<PathBuf, Page>, file: &Path, place: &str) -> bool {
    let has = |page: &Page| page.anchors.contains(place);
    place.is_empty() || pages.get(file).is_some_and(has)
}

#[test]
fn every_alert_leads_to_a_place_of_our_pages() {
    let pages = pages();
    let alerts = include_str!("../conf/prometheus/alerts.yml");
    let ours = "runbook_url: \"https://github.com/sluice-lb/sluice/blob/main/";
    let links = alerts.split(ours).skip(1);
    let links: Vec<_> = links.filter_map(|rest| rest.split('"').next()).collect();

    for link in &links {
        let (file, place) = link.split_once('#').unwrap_or((link, ""));
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let file = file.canonicalize().expect("the page is there");
        assert!(pages.contains_key(&file), "{link}");
        assert!(is_there(&pages, &file, place), "{link}");
    }
    assert!(links.len() > 30, "{} links", links.len());
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
            if !target.is_some_and(|target| is_there(&pages, &target, place)) {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }

    broken.sort();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(links > 20, "{links} links");
}
