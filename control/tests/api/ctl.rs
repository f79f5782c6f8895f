//! `sluicectl` before a running gateway, and without one.

use std::fs;
use std::io::{self, Write};

use control::ctl::{Exit, run};

use crate::fixture::{CONFIG, Directory, Running, config};

/// What `sluicectl` with these arguments exits with and writes.
fn sluicectl(args: &[&str]) -> (Exit, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let args = ["sluicectl"].iter().chain(args);
    let exit = run(args, &mut out, &mut err);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (exit, text(out), text(err))
}

pub(crate) fn ask(running: &Running, args: &[&str]) -> (Exit, String, String) {
    let socket = running.socket.to_str().unwrap();
    sluicectl(&[&["--socket", socket], args].concat())
}

#[test]
fn services_are_a_table() {
    let running = Running::start();
    running.open_sessions(1_000..1_004);

    let (exit, out, err) = ask(&running, &["services"]);

    let expected = "\
Prot Service        Scheduler
  -> Server         Forward    Weight  ActiveConn  InActConn  Conns  InPkts  OutPkts  InBytes  OutBytes
tcp  10.1.0.100:80  rr                          4          0      4       4        0      160         0  web
  -> 10.2.0.11:80   dr              1           2          0      2       2        0       80         0
  -> 10.2.0.12:80   dr              1           2          0      2       2        0       80         0
udp  10.1.0.100:53  wlc                         0          0      0       0        0        0         0
";
    assert_eq!(
        (exit, out.as_str(), err.as_str()),
        (Exit::Well, expected, "")
    );
}

#[test]
fn sessions_are_limited_or_all() {
    let running = Running::start();
    running.open_sessions(1_000..1_150);

    let (_, some, hint) = ask(&running, &["sessions", "--limit", "7"]);
    let (_, all, no_hint) = ask(&running, &["sessions", "--all"]);
    let (_, filtered, _) = ask(&running, &["sessions", "--all", "--server", "10.2.0.12"]);

    assert_eq!(some.lines().count(), 1 + 7);
    assert_eq!(
        hint,
        "There may be more than 7 sessions: use --all, or a higher --limit.\n"
    );
    assert_eq!((all.lines().count(), no_hint.as_str()), (1 + 150, ""));
    assert_eq!(filtered.matches("10.2.0.12:80").count(), 75);
    assert_eq!(filtered.matches("10.2.0.11:80").count(), 0);
}

#[test]
fn json_is_the_apis() {
    let running = Running::start();

    for (command, path) in [
        ("status", "/v1/status"),
        ("services", "/v1/services"),
        ("sessions", "/v1/sessions"),
        ("config", "/v1/config"),
        ("health", "/v1/health"),
        ("version", "/v1/version"),
    ] {
        let (exit, out, _) = ask(&running, &["--json", command]);

        assert_eq!(exit, Exit::Well, "{command}");
        let said: serde_json::Value = serde_json::from_str(&out).unwrap();
        let keys = |value: &serde_json::Value| -> Vec<String> {
            value
                .as_object()
                .into_iter()
                .flat_map(|it| it.keys().cloned())
                .collect()
        };
        let api = crate::http::get(&running.socket, path).json();
        assert_eq!(keys(&said), keys(&api), "{command}");
    }
}

#[test]
fn a_file_is_applied_or_every_mistake_is_told() {
    let running = Running::start();
    let good = running.directory.path("good.toml");
    fs::write(&good, CONFIG.replace("rr", "wlc")).unwrap();
    let bad = running.directory.path("bad.toml");
    fs::write(
        &bad,
        CONFIG
            .replace("rr", "rx")
            .replace("port = 53", "port = 70000"),
    )
    .unwrap();
    let (good, bad) = (good.to_str().unwrap(), bad.to_str().unwrap());

    let applied = ask(&running, &["apply", good]);
    let refused = ask(&running, &["apply", bad]);

    let (exit, out, _) = applied;
    assert_eq!(exit, Exit::Well);
    assert!(
        out.starts_with(&format!("Applied {good} as generation ")),
        "{out}"
    );
    assert!(out.ends_with(": services 2, real servers 2.\n"), "{out}");
    let (exit, out, err) = refused;
    assert_eq!((exit, out.as_str()), (Exit::No, ""));
    let lines: Vec<_> = err.lines().collect();
    assert_eq!(lines.len(), 2, "{err}");
    assert!(lines[0].starts_with(&format!("{bad}:14: ")), "{err}");
    assert!(lines[1].starts_with(&format!("{bad}:27: ")), "{err}");
    assert_eq!(
        *running.gateway.config(),
        config(&CONFIG.replace("rr", "wlc"))
    );
}

#[test]
fn the_running_configuration_is_a_file_that_can_be_applied() {
    let running = Running::start();

    let (exit, out, _) = ask(&running, &["config"]);

    assert_eq!(exit, Exit::Well);
    assert_eq!(config(&out), config(CONFIG));
}

#[test]
fn a_check_needs_no_gateway() {
    let directory = Directory::new();
    let good = directory.path("good.toml");
    fs::write(&good, CONFIG).unwrap();
    let bad = directory.path("bad.toml");
    fs::write(&bad, "[gateway]\nworker = 1\n").unwrap();
    let (good, bad) = (good.to_str().unwrap(), bad.to_str().unwrap());

    let (exit, out, _) = sluicectl(&["check", good]);
    let (no, _, errors) = sluicectl(&["check", bad]);
    let (no_json, json, _) = sluicectl(&["--json", "check", bad]);
    let (missing, _, why) = sluicectl(&["check", "/nonexistent.toml"]);

    assert_eq!(exit, Exit::Well);
    assert_eq!(
        out,
        format!("{good} is right: services 2, real servers 2.\n")
    );
    assert_eq!((no, no_json), (Exit::No, Exit::No));
    assert!(errors.contains(&format!("{bad}:2: ")), "{errors}");
    assert!(json.starts_with("{\"errors\":["), "{json}");
    assert_eq!(missing, Exit::Failed);
    assert!(
        why.starts_with("/nonexistent.toml: cannot be read: "),
        "{why}"
    );
}

#[test]
fn health_is_an_exit_code() {
    let running = Running::start();

    let (exit, out, _) = ask(&running, &["health"]);

    assert_eq!((exit, out.as_str()), (Exit::Well, "healthy\n"));
}

#[test]
fn a_gateway_that_does_not_run_is_said_not_to() {
    let (exit, out, err) = sluicectl(&["--socket", "/nonexistent/s.sock", "status"]);

    assert_eq!((exit, out.as_str()), (Exit::Failed, ""));
    assert_eq!(
        err,
        "cannot reach the gateway at /nonexistent/s.sock: is it running?\n"
    );
}

#[test]
fn a_wrong_command_line_is_explained() {
    let (exit, _, err) = sluicectl(&["sesions"]);
    let (help, out, _) = sluicectl(&["--help"]);

    assert_eq!(exit, Exit::Failed);
    assert!(err.contains("sessions"), "{err}");
    assert_eq!(help, Exit::Well);
    assert!(out.contains("check"), "{out}");
}

/// A pipe whose reader has gone.
struct Broken;

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let running = Running::start();
    let mut err = Vec::new();
    let socket = running.socket.to_str().unwrap();

    let exit = run(
        ["sluicectl", "--socket", socket, "status"],
        &mut Broken,
        &mut err,
    );

    assert_eq!((exit, err.as_slice()), (Exit::Well, &b""[..]));
}
