//! What the daemon's log looks like to people, to programs and to systemd's journal.
// Helpers of tests may panic as tests do.
#![allow(clippy::expect_used)]

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;
use testnet::{Gateway, Namespace, binaries, require_namespaces, run};

/// How long it may take until something is logged; a check takes two seconds of it.
const PATIENCE: Duration = Duration::from_secs(20);

/// A file of this test run.
fn file(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("sluice-logs-{}-{name}", std::process::id()))
}

/// What may be wrong with the timing of checks, to be warned of.
const HASTY: &str = "[[port]]\nname = \"wan\"\ndevice = \"net_null0\"\n[[service]]\n\
                     protocol = \"tcp\"\nvip = \"10.1.0.100\"\nport = 80\n\
                     [[service.check]]\ntype = \"tcp\"\ninterval = \"1s\"\ntimeout = \"5s\"\n\
                     [[service.server]]\naddress = \"10.2.0.11\"\n";

/// What `sluice --check` logs about a file that has something to warn of; `for_the_journal` says
/// that the journal reads it.
fn logged(name: &str, format: &str, for_the_journal: bool) -> String {
    let (status, text) = ran(
        name,
        HASTY,
        &["--check", "--log-format", format],
        for_the_journal,
    );
    assert!(status.success(), "{text}");
    text
}

/// Runs `sluice` with a configuration until it ends; what it logs.
fn ran(name: &str, toml: &str, arguments: &[&str], for_the_journal: bool) -> (ExitStatus, String) {
    let (config, log) = (file(&format!("{name}.toml")), file(name));
    fs::write(&config, toml).expect("there is room");
    let to = File::create(&log).expect("there is room");
    let about = to.metadata().expect("it was just made");
    let mut sluice = Command::new(env!("CARGO_BIN_EXE_sluice"));
    sluice.arg("--config").arg(&config).args(arguments);
    sluice.stdout(Stdio::null()).stderr(to);
    sluice.env_remove("SLUICE_LOG").env_remove("JOURNAL_STREAM");
    if for_the_journal {
        sluice.env("JOURNAL_STREAM", format!("{}:{}", about.dev(), about.ino()));
    }
    let status = sluice.status().expect("it was built");
    let text = fs::read_to_string(&log).expect("it was written");
    for file in [config, log] {
        fs::remove_file(file).expect("it was made");
    }
    (status, text)
}

/// What begins the tests of a file.
const FOOT: &str = "#[cfg(test)]\nmod tests {";

/// The code of all Rust files below a folder, without tests and comments.
fn code(folder: &Path) -> String {
    let entries = fs::read_dir(folder).expect("the folder is there").flatten();
    let text = |path: PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            return code(&path);
        }
        if !name.ends_with(".rs") || name.ends_with("tests.rs") || name == "testing.rs" {
            return String::new();
        }
        let text = fs::read_to_string(&path).expect("it is text");
        let text = text.split_once(FOOT).map_or(&*text, |(code, _)| code);
        let code = text.lines().filter(|it| !it.trim_start().starts_with("//"));
        code.map(|line| format!("{line}\n")).collect()
    };
    entries.map(|entry| text(entry.path())).collect()
}

/// The rows of the page's table: the level of a line, and what it has.
fn rows() -> Vec<(String, String)> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/monitoring.md");
    let page = fs::read_to_string(page).expect("it is there");
    let cells = page.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        let level = cells
            .next()
            .filter(|it| ["error", "warn", "info"].contains(it))?;
        Some((level.to_uppercase(), cells.next()?.to_owned()))
    });
    let rows = cells.flat_map(|(level, cell)| {
        let phrases: Vec<_> = cell
            .split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect();
        phrases.into_iter().map(move |it| (level.clone(), it))
    });
    rows.collect()
}

#[test]
fn every_line_that_the_page_has_an_operator_look_for_is_written_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let all = ["src", "control/src"]
        .map(|it| code(&root.join(it)))
        .concat();
    // A literal goes on behind a backslash, without the spaces there.
    let all: String = all.split("\\\n").map(str::trim_start).collect();

    let rows = rows();

    assert!(rows.len() > 10, "{rows:?}");
    for (_, phrase) in rows {
        let is_seen = SEEN.iter().any(|(_, seen)| *seen == phrase);
        assert!(is_seen || all.contains(&phrase), "nobody logs \"{phrase}\"");
    }
}

/// What [`a_gateway_writes_what_the_page_has_an_operator_look_for`] brings about.
const SEEN: [(&str, &str); 6] = [
    ("INFO", "this is sluice "),
    ("WARN", " is down: "),
    ("WARN", "has lost its quorum"),
    ("INFO", "maintenance has begun"),
    ("INFO", "is withdrawn"),
    ("ERROR", "nothing was changed"),
];

/// Whether a log in text has a line of this level with this in it.
fn has(log: &str, (level, phrase): (&str, &str)) -> bool {
    let is_of_level = |line: &&str| line.split_whitespace().nth(1) == Some(level);
    let mut lines = log.lines().filter(is_of_level);
    lines.any(|line| line.contains(phrase))
}

#[test]
fn a_gateway_writes_what_the_page_has_an_operator_look_for() {
    require_namespaces!();
    let host = Namespace::create("logs");
    let (socket, state) = (Gateway::socket(&host), host.dir().join("state"));
    // Nobody answers at the other end of this port.
    let config = format!(
        "[gateway]\nworkers = 1\nidle = \"sleep\"\nsessions_per_worker = 1024\n\
         memory_mb = 128\nhuge_pages = false\nfile_prefix = \"{}\"\nsocket = \"{}\"\n\
         state_dir = \"{}\"\nannounce_table = 201\n\
         [[port]]\nname = \"wan\"\ndevice = \"net_null0,no-rx=1\"\naddresses = [\"10.1.0.1/24\"]\n\
         [[service]]\nprotocol = \"udp\"\nvip = \"10.1.0.101\"\nport = 53\n\
         [[service]]\nprotocol = \"tcp\"\nvip = \"10.1.0.100\"\nport = 80\n\
         [[service.check]]\ntype = \"tcp\"\ninterval = \"1s\"\ntimeout = \"1s\"\nretry = 0\n\
         [[service.server]]\naddress = \"10.1.0.9\"\nmethod = \"nat\"\n",
        host.name(),
        socket.display(),
        state.display(),
    );
    let gateway = Gateway::start(&host, binaries!(), &config);
    let wait_for = |seen: (&str, &str)| {
        let in_time = run::eventually(PATIENCE, || has(&gateway.log(), seen));
        assert!(in_time, "{seen:?}: {}", gateway.log());
        let row = (seen.0.to_owned(), seen.1.to_owned());
        assert!(rows().contains(&row), "the page does not have {row:?}");
    };

    SEEN[..3].iter().copied().for_each(&wait_for);
    run::must(&mut gateway.ctl("maintenance on"));
    SEEN[3..5].iter().copied().for_each(&wait_for);
    gateway.reload("[gateway]\nwrokers = 1\n");
    wait_for(SEEN[5]);
    let (_, status) = gateway.stop();
    assert!(status.success(), "{status}");
}

/// A gateway that cannot start: nobody has the address of its metrics.
fn unable(name: &str) -> String {
    format!(
        "[gateway]\nmetrics = \"203.0.113.7:9911\"\nsocket = \"{}\"\n\
         [[port]]\nname = \"wan\"\ndevice = \"net_null0,no-rx=1\"\n",
        file(&format!("{name}.sock")).display()
    )
}

#[test]
fn why_the_gateway_ends_is_the_last_line_of_the_log() {
    let why = "the gateway ends: cannot listen for metrics on 203.0.113.7:9911: ";
    let (status, text) = ran("fatal-text", &unable("fatal-text"), &[], false);
    assert_eq!(status.code(), Some(1));
    let last = text.lines().last().expect("it says why");
    assert!(has(last, ("ERROR", why)), "{text}");

    let json = ["--log-format", "json"];
    let (_, text) = ran("fatal-json", &unable("fatal-json"), &json, true);
    let last = text.lines().last().expect("it says why");
    let line = last.strip_prefix("<3>").expect("it is an error");
    let line: Value = serde_json::from_str(line).expect("it is JSON");
    assert_eq!(line["level"], "ERROR");
    let message = line["message"].as_str().expect("there is a sentence");
    assert!(message.starts_with(why), "{message}");

    // Who wants no log is told all the same.
    let (_, text) = ran("fatal-off", &unable("fatal-off"), &["--log", "off"], false);
    assert!(text.starts_with(&format!("sluice: {why}")), "{text}");
}

#[test]
fn mistakes_of_the_file_are_errors_with_their_lines() {
    let wrong = "[gateway]\nwrokers = 3\nsokcet = 1\n";
    let (status, text) = ran("mistakes", wrong, &[], true);

    assert_eq!(status.code(), Some(1));
    assert!(text.lines().count() > 1, "{text}");
    for line in text.lines() {
        assert!(line.starts_with("<3>ERROR "), "{text}");
    }
    assert!(text.contains("mistakes.toml:2: "), "{text}");
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
