//! What docs/operations.md shows of a shell, typed again.
//!
//! A block of the page that has lines with `$ ` is a transcript: each such line is given to a shell,
//! and what it prints has to be what the page says, up to the space at the ends of lines.
// Helpers of tests may panic as tests do.
#![allow(clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use testnet::client::spread;
use testnet::gateway_config::GatewayConfig;
use testnet::{Arms, Gateway, Lab, Method, binaries, require_namespaces, run};

const PAGE: &str = include_str!("../docs/operations.md");

/// The example of keepalived's, where its package has it or `scripts/setup --test` put it.
const SAMPLES: [&str; 2] = [
    "/usr/share/doc/keepalived/samples",
    concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/target/keepalived/usr/share/doc/keepalived/samples"
    ),
];

/// A line that was typed, and what came of it.
#[derive(Debug)]
struct Typed {
    line: String,
    printed: String,
}

/// The transcripts below a heading of the page.
fn transcript(heading: &str) -> Vec<Typed> {
    let mut all: Vec<Typed> = Vec::new();
    let mut is_below = false;
    for line in PAGE.lines() {
        if line.starts_with('#') {
            is_below = line.trim_start_matches('#').trim() == heading;
        }
        // Between the lines of one block an empty one belongs to it.
        let shown = line.strip_prefix("    ").or(line.is_empty().then_some(""));
        let Some(shown) = shown.filter(|_| is_below) else {
            continue;
        };
        match (shown.strip_prefix("$ "), all.last_mut()) {
            (Some(line), _) => all.push(Typed {
                line: line.to_owned(),
                printed: String::new(),
            }),
            (None, Some(typed)) => typed.printed += &format!("{}\n", shown.trim_end()),
            (None, None) => {}
        }
    }
    assert!(!all.is_empty(), "nothing is shown below {heading}");
    all
}

/// A directory with the programs under their names, that is gone in the end.
struct Place {
    dir: PathBuf,
    path: String,
}

impl Place {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("sluice-{name}-{}", std::process::id()));
        let programs = dir.join("bin");
        std::fs::create_dir_all(&programs).expect("there is room");
        for name in ["sluicectl", "ipvsadm", "ipvsadm-save", "ipvsadm-restore"] {
            let link = programs.join(name);
            std::os::unix::fs::symlink(binaries!().sluicectl, link).expect("nobody was here");
        }
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}:/usr/sbin:/sbin", programs.display());
        Self { dir, path }
    }

    /// Types every line with `shell` before it, and compares.
    fn replay(&self, transcript: &[Typed], shell: impl Fn() -> Command) {
        for Typed { line, printed } in transcript {
            let mut command = shell();
            command.args(["-c", &format!("exec 2>&1; {line}")]);
            let output = run::output(command.current_dir(&self.dir).env("PATH", &self.path));
            let said = String::from_utf8_lossy(&output.stdout);
            let lines = said.lines().map(|line| format!("{}\n", line.trim_end()));
            let said: String = lines.collect();
            assert_eq!(said.trim_end(), printed.trim_end(), "$ {line}");
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _kept = std::fs::remove_dir_all(&self.dir);
    }
}

/// Writes what `$ cat FILE` shows into that file.
fn make_shown(place: &Path, transcript: &[Typed], file: &str) {
    let shown = transcript
        .iter()
        .find(|typed| typed.line == format!("cat {file}"));
    let shown = shown.expect("the page shows it");
    std::fs::write(place.join(file), &shown.printed).expect("there is room");
}

#[test]
fn saved_rules_are_taken_over_as_the_page_says() {
    let place = Place::new("rules");
    let transcript = transcript("Rules of ipvsadm");
    make_shown(&place.dir, &transcript, "lvs.sh");

    place.replay(&transcript, || Command::new("sh"));
}

#[test]
fn the_example_of_keepalived_is_taken_over_unchanged_as_the_page_says() {
    let mut samples = SAMPLES
        .iter()
        .map(|dir| Path::new(dir).join("keepalived.conf.sample"));
    let Some(sample) = samples.find(|file| file.exists()) else {
        let may_skip = std::env::var_os("CI_NO_SKIP").is_none_or(|value| value != "1");
        assert!(
            may_skip,
            "keepalived's examples are missing: run scripts/setup --test"
        );
        eprintln!("SKIPPED: keepalived's examples are missing, run scripts/setup --test");
        return;
    };
    let place = Place::new("keepalived");
    let transcript = transcript("keepalived.conf");
    std::fs::copy(sample, place.dir.join("keepalived.conf")).expect("there is room");
    let written = transcript.iter().find(|typed| typed.line == "cat new.toml");
    let (base, _) = written
        .and_then(|typed| typed.printed.split_once("# Virtual services of "))
        .expect("the page shows what was there before the services");
    std::fs::write(place.dir.join("sluice.toml"), base).expect("there is room");

    place.replay(&transcript, || Command::new("sh"));
}

#[test]
fn a_directors_lines_work_at_a_running_gateway_as_they_are() {
    require_namespaces!();
    let lab = Lab::build(Arms::Two);
    let host = lab.gateway();
    let config = GatewayConfig::of(&lab).text();
    let gateway = Gateway::start(host, binaries!(), &config);
    // The page's gateway has served its servers before: it knows their MACs.
    for server in ["10.2.0.11", "10.2.0.12"] {
        host.run(&format!("ping -n -c 1 -w 10 {server}"));
    }
    let known = || {
        gateway
            .metrics()
            .sum("sluice_mirror_entries", &[("kind", "neighbour")])
            >= 2.0
    };
    assert!(run::eventually(Duration::from_secs(10), known));
    let place = Place::new("director");
    let shell = || {
        let mut shell = host.command("sh");
        shell.env("SLUICE_SOCKET", Gateway::socket(host));
        shell
    };

    place.replay(&transcript("Typed at a running gateway"), shell);
    place.replay(&transcript("Taking a server out, and back"), shell);

    let service = lab.at(Method::Dr, 80);
    lab.client().wait_for(service);
    let answers = lab.client().get(service, 40);
    assert_eq!(spread(&answers).len(), 2, "{answers:?}");
}
