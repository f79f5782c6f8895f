//! Every configuration that a page or `conf/` shows is right, by the words of `sluicectl check`.
//!
//! A block marked `toml` is a whole file. One marked `toml,fragment` is a part of one: what is
//! missing around it is put there. No block of TOML is left unmarked.

#![expect(
    clippy::expect_used,
    reason = "without the files there is nothing to test"
)]

use std::fs;
use std::path::{Path, PathBuf};

use control::config::Config;
use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};

/// What a part of a file has no need to say.
const PORT: &str = "\n[[port]]\nname = \"base\"\ndevice = \"net_null0\"\n";
const SERVICE: &str = "[[service]]\nprotocol = \"tcp\"\nvip = \"10.9.9.9\"\nport = 9\n";

/// A block of a page: how it is marked, and what is in it.
#[derive(Debug, Default)]
struct Block {
    page: PathBuf,
    mark: String,
    text: String,
}

impl Block {
    /// A whole file, as `check` asks for.
    fn completed(&self) -> String {
        let has = |section: &str| self.text.lines().any(|line| line == section);
        let is_fragment = self.mark == "toml,fragment";
        let before = match is_fragment && has("[[service.server]]") && !has("[[service]]") {
            true => SERVICE,
            false => "",
        };
        let behind = match is_fragment && !has("[[port]]") {
            true => PORT,
            false => "",
        };
        format!("{before}{}{behind}", self.text)
    }

    /// Whether it begins with a section of the gateway's file.
    fn looks_like_toml(&self) -> bool {
        let sections = "gateway ipvs timeouts health port mark local_pool service service.server";
        let first = self.text.lines().find(|line| !line.starts_with('#'));
        let name = first.unwrap_or_default().trim_matches(['[', ']']);
        let is_section = first.is_some_and(|line| line.starts_with('[') && line.ends_with(']'));
        is_section && sections.split(' ').any(|it| it == name)
    }
}

/// Every file below a folder whose name ends so.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let entries = fs::read_dir(folder).expect("the folder is there");
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|it| it == extension) {
            found.push(path);
        }
    }
    found
}

fn blocks(page: PathBuf) -> Vec<Block> {
    let text = fs::read_to_string(&page).expect("it is text");
    let (mut found, mut current) = (Vec::new(), None);
    for event in Parser::new(&text) {
        match (event, &mut current) {
            (Event::Start(Tag::CodeBlock(kind)), _) => {
                let mark = match kind {
                    CodeBlockKind::Fenced(mark) => mark.into_string(),
                    CodeBlockKind::Indented => String::new(),
                };
                let (page, text) = (page.clone(), String::new());
                current = Some(Block { page, mark, text });
            }
            (Event::Text(text), Some(block)) => block.text.push_str(&text),
            (Event::End(TagEnd::CodeBlock), _) => found.extend(current.take()),
            _ => {}
        }
    }
    found
}

fn check(path: &Path, text: &str) {
    let read = Config::from_toml(text, path);
    let wrong = read.err().map(|errors| errors.to_string());
    assert!(wrong.is_none(), "{}\n{text}", wrong.unwrap_or_default());
}

#[test]
fn every_configuration_on_a_page_is_right() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = files(&root.join("docs"), "md");
    pages.push(root.join("README.md"));
    let blocks: Vec<_> = pages.into_iter().flat_map(blocks).collect();
    let (marked, others): (Vec<_>, Vec<_>) =
        (blocks.iter()).partition(|block| block.mark.starts_with("toml"));

    for block in &marked {
        let is_known = matches!(block.mark.as_str(), "toml" | "toml,fragment");
        assert!(is_known, "{}: {}", block.page.display(), block.mark);
        check(&block.page, &block.completed());
    }

    assert!(marked.len() > 15, "{} blocks", marked.len());
    let unmarked = others.into_iter().find(|block| block.looks_like_toml());
    assert!(unmarked.is_none(), "not marked as toml: {unmarked:?}");
}

#[test]
fn every_configuration_in_conf_is_right() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf");

    let files = files(&folder, "toml");

    for path in &files {
        check(path, &fs::read_to_string(path).expect("it is text"));
    }
    assert!(files.len() > 6, "{files:?}");
}
