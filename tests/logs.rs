//! What the daemon's log looks like to people, to programs and to systemd's journal.
// Helpers of tests may panic as tests do.
#![allow(clippy::expect_used)]

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// A file of this test run.
fn file(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("sluice-logs-{}-{name}", std::process::id()))
}

/// What `sluice --check` logs about a file that has something to warn of; `for_the_journal` says
/// that the journal reads it.
fn logged(name: &str, format: &str, for_the_journal: bool) -> String {
    let (config, log) = (file(&format!("{name}.toml")), file(name));
    let text = "[[port]]\nname = \"wan\"\ndevice = \"net_null0\"\n[[service]]\nprotocol = \"tcp\"\n\
                vip = \"10.1.0.100\"\nport = 80\n[[service.check]]\ntype = \"tcp\"\n\
                interval = \"1s\"\ntimeout = \"5s\"\n[[service.server]]\naddress = \"10.2.0.11\"\n";
    fs::write(&config, text).expect("there is room");
    let to = File::create(&log).expect("there is room");
    let about = to.metadata().expect("it was just made");
    let mut sluice = Command::new(env!("CARGO_BIN_EXE_sluice"));
    sluice.arg("--check").arg("--config").arg(&config);
    sluice.args(["--log-format", format]).stderr(to);
    sluice.env_remove("SLUICE_LOG").env_remove("JOURNAL_STREAM");
    if for_the_journal {
        sluice.env("JOURNAL_STREAM", format!("{}:{}", about.dev(), about.ino()));
    }
    let said = sluice.output().expect("it was built");
    assert!(said.status.success(), "{said:?}");
    let text = fs::read_to_string(&log).expect("it was written");
    for file in [config, log] {
        fs::remove_file(file).expect("it was made");
    }
    text
}

/// The text of all Rust files below a folder.
fn sources(folder: &Path) -> String {
    let entries = fs::read_dir(folder).expect("the folder is there").flatten();
    let text = |path: PathBuf| match path.extension() {
        _ if path.is_dir() => sources(&path),
        Some(it) if it == "rs" => fs::read_to_string(&path).expect("it is text"),
        _ => String::new(),
    };
    entries.map(|entry| text(entry.path())).collect()
}

#[test]
fn every_line_that_the_page_has_an_operator_look_for_is_written_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/monitoring.md")).expect("it is there");
    let all: String = ["src", "control/src"]
        .map(|it| sources(&root.join(it)))
        .concat();
    // A literal goes on behind a backslash, without the spaces there.
    let all: String = all.split("\\\n").map(str::trim_start).collect();
    let levels = ["| error | ", "| warn | ", "| info | "];
    let rows = levels.map(|level| page.lines().filter_map(move |it| it.strip_prefix(level)));

    let cells = rows
        .into_iter()
        .flatten()
        .filter_map(|row| row.split('|').next());
    let phrases: Vec<_> = cells
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();

    assert!(phrases.len() > 10, "{phrases:?}");
    for phrase in phrases {
        assert!(all.contains(phrase), "nobody logs \"{phrase}\"");
    }
}

const WARNING: &str = "`timeout` 5 s is longer than `interval` 1 s";

#[test]
fn people_get_the_time_the_level_and_a_sentence() {
    let text = logged("text", "text", false);

    let (time, rest) = text.split_once(' ').expect("there is a line");
    assert!(time.starts_with("20") && time.ends_with('Z'), "{text}");
    assert!(rest.trim_start().starts_with("WARN "), "{text}");
    assert!(rest.contains(WARNING) && !text.contains('\x1b'), "{text}");
}

#[test]
fn programs_get_an_object_a_line() {
    let text = logged("json", "json", false);

    for line in text.lines() {
        let line: Value = serde_json::from_str(line).expect("it is JSON");
        assert_eq!(line["level"], "WARN");
        assert!(line["timestamp"].is_string(), "{line}");
        let message = line["message"].as_str().expect("there is a sentence");
        assert!(message.contains(WARNING), "{message}");
    }
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[test]
fn the_journal_gets_priorities_and_has_the_time_itself() {
    let text = logged("journal-text", "text", true);
    assert!(text.starts_with("<4> WARN "), "{text}");

    let text = logged("journal-json", "json", true);
    let line = text.strip_prefix("<4>").expect("it begins with a priority");
    let line: Value = serde_json::from_str(line).expect("it is JSON");
    assert_eq!(line["level"], "WARN");
    assert_eq!(line.get("timestamp"), None);
}
