//! `sluicectl` before a running gateway, and without one.

use std::fs;
use std::io::{self, Write};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

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

/// An interrupt reaches everybody in this process who waits for one, so whoever raises it is alone
/// and nobody who waits may meanwhile.
static INTERRUPTS: RwLock<()> = RwLock::new(());

/// For tests that wait: none interrupts while it is held.
pub(crate) fn undisturbed() -> impl Drop {
    INTERRUPTS.read().unwrap_or_else(PoisonError::into_inner)
}

/// For tests that interrupt: none waits while it is held.
pub(crate) fn disturbing() -> impl Drop {
    INTERRUPTS.write().unwrap_or_else(PoisonError::into_inner)
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
    running.gateway.settled();

    for (command, path) in [
        ("status", "/v1/status"),
        ("services", "/v1/status/services"),
        ("sessions", "/v1/sessions"),
        ("config", "/v1/config"),
        ("health", "/v1/health"),
        ("version", "/v1/version"),
        ("ready", "/v1/ready"),
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
    let begin = "~ service tcp 10.1.0.100:80: scheduler \"rr\" -> \"wlc\"\n";
    let begin = format!("{begin}Applied {good} as generation ");
    assert!(out.starts_with(&begin), "{out}");
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

    let (exit, out, _) = ask(&running, &["config", "--running"]);

    assert_eq!(exit, Exit::Well);
    assert_eq!(config(&out), config(CONFIG));
}

#[test]
fn what_was_changed_meanwhile_is_a_difference_until_it_is_written_back() {
    let running = Running::start();
    let file = running.directory.path("file.toml");
    fs::write(&file, CONFIG).unwrap();
    let path = file.to_str().unwrap();
    let (same, none, _) = ask(&running, &["diff", path]);

    let weight = "-e -t 10.1.0.100:80 -r 10.2.0.11 -g -w 5";
    let call = control::ipvs::Call::new(weight.split(' '));
    assert_eq!(running.gateway.ipvsadm(&call).status, 0);
    running.gateway.set_sysctl("conn_reuse_mode", "0").unwrap();
    let (differs, told, _) = ask(&running, &["diff", path]);
    let (_, json, _) = ask(&running, &["--json", "diff", path]);
    let (_, toml, _) = ask(&running, &["config", "--running"]);
    fs::write(&file, toml).unwrap();
    let written_back = ask(&running, &["diff", path]);

    assert_eq!((same, none.as_str()), (Exit::Well, ""));
    assert_eq!(differs, Exit::No);
    assert_eq!(
        told,
        "~ [ipvs]: conn_reuse_mode 0 -> 1\n\
         ~ service tcp 10.1.0.100:80\n  \
         ~ server 10.2.0.11:80: weight 5 -> 1\n"
    );
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["changes"][1]["parts"][0]["keys"][0]["to"], 1);
    assert_eq!(written_back, (Exit::Well, String::new(), String::new()));
}

#[test]
fn a_file_that_cannot_be_compared_is_trouble_and_no_difference() {
    let running = Running::start();
    let bad = running.directory.path("bad.toml");
    fs::write(&bad, CONFIG.replace("rr", "rx")).unwrap();
    let bad = bad.to_str().unwrap();

    let (wrong, out, err) = ask(&running, &["diff", bad]);
    let (missing, _, why) = ask(&running, &["diff", "/nonexistent.toml"]);

    assert_eq!((wrong, out.as_str()), (Exit::Failed, ""));
    assert!(err.starts_with(&format!("{bad}:14: ")), "{err}");
    assert_eq!(missing, Exit::Failed);
    assert!(
        why.starts_with("/nonexistent.toml: cannot be read: "),
        "{why}"
    );
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
fn readiness_is_an_exit_code_and_a_sentence() {
    let running = Running::start();
    let early = ask(&running, &["ready"]);

    running.gateway.settled();
    let serving = ask(&running, &["ready"]);
    running.gateway.leave();
    let late = ask(&running, &["ready"]);
    let quiet = ask(&running, &["ready", "--quiet"]);

    let said = |exit, out: &str| (exit, out.to_owned(), String::new());
    assert_eq!(
        early,
        said(Exit::No, "not ready: the gateway is starting\n")
    );
    assert_eq!(serving, said(Exit::Well, "ready\n"));
    assert_eq!(late, said(Exit::No, "not ready: the gateway is stopping\n"));
    assert_eq!(quiet, said(Exit::No, ""));
}

#[test]
fn a_gateway_that_is_dead_or_hangs_is_not_ready_and_said_so_within_a_second() {
    let directory = Directory::new();
    let path = directory.path("hangs.sock");
    let _hangs = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let path = path.to_str().unwrap();
    let start = Instant::now();

    let (hanging, _, why) = sluicectl(&["--socket", path, "ready"]);
    let took = start.elapsed();
    let (dead, _, why_dead) = sluicectl(&["--socket", "/nonexistent/s.sock", "ready"]);
    let (_, _, nothing) = sluicectl(&["--socket", "/nonexistent/s.sock", "ready", "-q"]);

    assert_eq!((hanging, dead), (Exit::No, Exit::No));
    assert!(why.contains("does not answer"), "{why}");
    assert!(why_dead.starts_with("there is no gateway at"), "{why_dead}");
    assert_eq!(nothing, "");
    // A second, and what a busy machine takes on top.
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[test]
fn a_gateway_that_does_not_run_is_said_not_to() {
    let (exit, out, err) = sluicectl(&["--socket", "/nonexistent/s.sock", "status"]);

    assert_eq!((exit, out.as_str()), (Exit::Failed, ""));
    assert_eq!(
        err,
        "there is no gateway at /nonexistent/s.sock: is it running, and is this its `socket`? \
         (--socket names another)\n"
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

#[test]
fn what_went_wrong_is_json_too_when_that_is_wanted() {
    let running = Running::start();
    let errors = |(exit, out, err): (Exit, String, String)| {
        assert_eq!(err, "");
        let said: serde_json::Value = serde_json::from_str(&out).unwrap();
        (exit, said["errors"][0].as_str().unwrap().to_owned())
    };

    let (exit, error) = errors(ask(&running, &["--json", "services", "wbe"]));
    assert_eq!(exit, Exit::No);
    assert_eq!(error, "there is no service \"wbe\": did you mean `web`?");

    let (exit, error) = errors(sluicectl(&[
        "--json",
        "--socket",
        "/nonexistent/s",
        "status",
    ]));
    assert_eq!(exit, Exit::Failed);
    assert!(
        error.starts_with("there is no gateway at /nonexistent/s: "),
        "{error}"
    );

    let (exit, error) = errors(sluicectl(&["--json", "statsu"]));
    assert_eq!(exit, Exit::Failed);
    assert!(
        error.starts_with("error: unrecognized subcommand 'statsu'"),
        "{error}"
    );

    let (exit, error) = errors(sluicectl(&["--json", "check", "/nonexistent/f.toml"]));
    assert_eq!(exit, Exit::Failed);
    assert!(
        error.starts_with("/nonexistent/f.toml: cannot be read: "),
        "{error}"
    );
}

#[test]
fn a_wrong_word_is_answered_with_the_one_that_may_have_been_meant() {
    let (exit, _, err) = sluicectl(&["explian"]);
    assert_eq!(exit, Exit::Failed);
    assert!(
        err.contains("a similar subcommand exists: 'explain'"),
        "{err}"
    );

    let (exit, _, err) = sluicectl(&["drain", "10.2.0.11", "--wait", "--timeout", "soon"]);
    assert_eq!(exit, Exit::Failed);
    let expected = "write a number of seconds, minutes or hours: 90s, 10m, 2h";
    assert!(err.contains(expected), "{err}");
}

#[test]
fn one_service_is_shown_by_any_of_its_names() {
    let running = Running::start();

    let (_, by_name, _) = ask(&running, &["services", "web"]);
    let (_, by_key, _) = ask(&running, &["services", "tcp 10.1.0.100:80"]);
    let (_, json, _) = ask(&running, &["--json", "services", "10.1.0.100:53"]);

    assert_eq!((by_name.lines().count(), &by_key), (5, &by_name));
    let said: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (said[0]["protocol"].as_str(), said.as_array().unwrap().len()),
        (Some("udp"), 1)
    );
}

#[test]
fn colour_is_only_where_it_is_wanted() {
    let running = Running::start();

    let (_, plain, _) = ask(&running, &["health"]);
    let (_, coloured, _) = ask(&running, &["--color", "always", "health"]);
    let (_, help, _) = sluicectl(&["--help"]);

    assert_eq!(plain, "healthy\n");
    assert_eq!(coloured, "\u{1b}[32mhealthy\u{1b}[0m\n");
    assert!(!help.contains('\u{1b}'), "{help}");
}
