//! What the style page asks for and a machine can see: where unsafe code may stand, how long a
//! file may be, and that each begins by saying what it is for.

#![expect(
    clippy::expect_used,
    reason = "without the files there is nothing to test"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// The places where unsafe code may stand: DPDK, CPU hints, huge-page memory, and the one question
/// to the kernel (who is at the other end of a socket) that nobody else's code asks safely.
const FENCE: [&str; 5] = [
    "control/src/api/peer_groups.rs",
    "dpdk-sys/",
    "dataplane/src/io/dpdk",
    "dataplane/src/intrinsics.rs",
    "dataplane/src/memory.rs",
];

/// Lines before a file's tests.
const LONGEST: usize = 500;

/// Every Rust file of the repository, with its path from the root and its text.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<PathBuf> = [
        "dpdk-sys",
        "dataplane",
        "control",
        "src",
        "tests",
        "bench",
        "fuzz/fuzz_targets",
    ]
    .map(|folder| root.join(folder))
    .into();
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)
            .expect("the folder is there")
            .flatten()
        {
            let path = entry.path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).expect("it is below the root");
                let text = fs::read_to_string(&path).expect("it is text");
                found.push((name.to_string_lossy().into_owned(), text));
            }
        }
    }
    assert!(found.len() > 100, "only {} files were found", found.len());
    found
}

/// The lines of code, without comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(|line| line.split("//").next().unwrap_or(line))
}

#[test]
fn unsafe_code_stands_inside_the_fence_only() {
    let words = [
        "unsafe {",
        "unsafe fn",
        "unsafe impl",
        "unsafe trait",
        "unsafe extern",
        "allow(unsafe_code)",
    ];
    for (name, text) in sources() {
        if FENCE.iter().any(|place| name.starts_with(place)) || name == "tests/house_style.rs" {
            continue;
        }
        let found = code(&text).find(|line| words.iter().any(|word| line.contains(word)));
        assert_eq!(found, None, "{name}");
    }
}

#[test]
fn every_file_says_first_what_it_is_for() {
    for (name, text) in sources() {
        assert!(
            text.starts_with("//! "),
            "{name} begins with: {}",
            text.lines().next().unwrap_or("")
        );
    }
}

#[test]
fn no_file_is_longer_than_one_idea() {
    for (name, text) in sources() {
        let lines = text
            .lines()
            .position(|line| line.starts_with("#[cfg(test)]"));
        let lines = lines.unwrap_or_else(|| text.lines().count());
        assert!(
            lines <= LONGEST,
            "{name} has {lines} lines before its tests"
        );
    }
}

#[test]
fn nothing_is_left_for_later() {
    for (name, text) in sources()
        .into_iter()
        .filter(|(name, _)| name != "tests/house_style.rs")
    {
        // `#[ignore = "..."]` says why: a child process that other tests run.
        for word in ["todo!", "unimplemented!", "FIXME", "XXX", "#[ignore]"] {
            assert!(!text.contains(word), "{word} in {name}");
        }
    }
}
