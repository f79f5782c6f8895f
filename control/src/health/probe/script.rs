//! A program of the operator ends well (keepalived's `MISC_CHECK`).
//!
//! 0 is good. With `weight_by_status` 2 to 255 are good too and add the status less 2 to the
//! weight. All else is a failure. What runs too long gets SIGTERM, it and all that it has started,
//! for it leads a process group of its own; and whoever is left SIGKILL, as soon as it has ended
//! itself and at the latest 2 s later. Who does not end by that either, as a program that waits for
//! a disk for ever, has failed, and is not started again before it has ended. Its output goes
//! nowhere.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Gid, Pid, Uid, User};
use parking_lot::Mutex;
use tokio::process::{Child, Command};

use super::deadline::Deadline;
use super::failure::ProbeFailure;
use super::{Found, ProbeTarget};
use crate::config::Script;

/// From SIGTERM to SIGKILL.
const GRACE: Duration = Duration::from_secs(2);

/// What systemd tells the gateway, and nobody else (`sd_notify(3)`, `sd_listen_fds(3)`).
const OURS: [&str; 6] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
];

/// A check by a program.
#[derive(Debug)]
pub(super) struct ScriptProbe {
    program: OsString,
    arguments: Vec<OsString>,
    user: Option<(Uid, Gid)>,
    weight_by_status: bool,
    /// Runs that did not end by SIGKILL, and whom they were to check.
    stuck: Mutex<Vec<(ProbeTarget, Child)>>,
}

/// A process group that does not outlive its check.
struct Group(Option<Pid>);

impl ScriptProbe {
    /// Makes what is configured ready.
    pub(super) fn new(script: &Script) -> Result<Self, String> {
        let Some((program, arguments)) = script.command.split_first() else {
            return Err("a script needs a command".to_owned());
        };
        Ok(Self {
            program: program.into(),
            arguments: arguments.iter().map(OsString::from).collect(),
            user: script.user.as_deref().map(user).transpose()?,
            weight_by_status: script.weight_by_status,
            stuck: Mutex::default(),
        })
    }

    /// Runs the program to its end, or to its death.
    pub(super) async fn run(
        &self,
        target: &ProbeTarget,
        deadline: Deadline,
    ) -> Result<Found, ProbeFailure> {
        self.has_ended(target)?;
        let mut child = self.command(target).spawn().map_err(|error| {
            ProbeFailure::ours(format!("cannot start {}: {error}", self.program.display()))
        })?;
        let mut group = Group::of(&child);
        let ended = tokio::time::timeout(deadline.left(), child.wait()).await;
        let Ok(status) = ended else {
            if !group.end(&mut child).await? {
                self.stuck.lock().push((target.clone(), child));
            }
            return Err(deadline.passed("end"));
        };
        group.0 = None;
        self.judge(status?)
    }

    /// Whether the last run for this target has, so that there is never more than one.
    fn has_ended(&self, target: &ProbeTarget) -> Result<(), ProbeFailure> {
        let mut stuck = self.stuck.lock();
        stuck.retain_mut(|(_, child)| matches!(child.try_wait(), Ok(None)));
        let is_stuck = stuck.iter().any(|(of, _)| of == target);
        let words = "an earlier run of the script has not ended, not even by SIGKILL";
        (!is_stuck).then_some(()).ok_or(ProbeFailure::new(words))
    }

    fn command(&self, target: &ProbeTarget) -> Command {
        let vip = target.vip.map(|vip| vip.to_string()).unwrap_or_default();
        let mut command = std::process::Command::new(&self.program);
        command
            .args(&self.arguments)
            .env("SLUICE_SERVER", target.server.ip().to_string())
            .env("SLUICE_PORT", target.server.port().to_string())
            .env("SLUICE_SERVICE", &target.service)
            .env("SLUICE_VIP", vip);
        for name in OURS {
            command.env_remove(name);
        }
        let mut command = Command::from(command);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            // Its parent reaps it also when nobody waits for it any more.
            .kill_on_drop(true);
        if let Some((uid, gid)) = self.user {
            // The standard library gives up root's supplementary groups with its user.
            command.uid(uid.as_raw()).gid(gid.as_raw());
        }
        command
    }

    fn judge(&self, status: ExitStatus) -> Result<Found, ProbeFailure> {
        let words = match (status.code(), status.signal()) {
            (Some(0), _) => return Ok(self.good(0)),
            (Some(code @ 2..), _) if self.weight_by_status => return Ok(self.good(code - 2)),
            (Some(code), _) => format!("the script ended with {code}"),
            (None, Some(signal)) => format!("the script was ended by signal {signal}"),
            (None, None) => "the script has not ended".to_owned(),
        };
        Err(ProbeFailure::new(words))
    }

    fn good(&self, weight_delta: i32) -> Found {
        Found {
            weight_delta: self.weight_by_status.then_some(weight_delta),
            ..Found::default()
        }
    }
}

fn user(name: &str) -> Result<(Uid, Gid), String> {
    match User::from_name(name) {
        Ok(Some(user)) => Ok((user.uid, user.gid)),
        Ok(None) => Err(format!("there is no user \"{name}\"")),
        Err(error) => Err(format!("the user \"{name}\" cannot be looked up: {error}")),
    }
}

impl Group {
    /// The group that `child` leads.
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.map(Pid::from_raw))
    }

    /// Asks all in the group to end, and ends them if they do not. Returns whether its leader has.
    async fn end(&mut self, child: &mut Child) -> Result<bool, ProbeFailure> {
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            self.signal(signal);
            if let Ok(ended) = tokio::time::timeout(GRACE, child.wait()).await {
                ended?;
                // The group keeps its number while anybody is in it; and when it is empty, the
                // kernel gives the number to nobody before it has given all others.
                self.signal(Signal::SIGKILL);
                self.0 = None;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The leader is not reaped yet, or just now, so its number is nobody else's.
    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // Who is gone already needs no signal.
            let _ = killpg(group, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::time::Instant;

    use super::super::Probe;
    use super::super::testing::{check, hasty, said, skipped, target};
    use super::*;
    use crate::config::CheckKind;

    /// A place for what a script leaves, which goes with the test.
    struct Trace(PathBuf);

    impl Trace {
        fn new(name: &str) -> Self {
            let name = format!("sluice-script-{name}-{}", std::process::id());
            Self(std::env::temp_dir().join(name))
        }

        /// What is there, when there is a line.
        async fn line(&self) -> String {
            let started = Instant::now();
            loop {
                assert!(started.elapsed() < Duration::from_secs(10), "no line");
                match std::fs::read_to_string(&self.0) {
                    Ok(text) if text.ends_with('\n') => return text.trim_end().to_owned(),
                    _ => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        }

        /// The number of a process, from a line.
        async fn process(&self) -> Pid {
            Pid::from_raw(self.line().await.parse().unwrap())
        }
    }

    impl Drop for Trace {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    fn shell(line: &str) -> Script {
        Script {
            command: ["/bin/sh", "-c", line].map(str::to_owned).to_vec(),
            weight_by_status: false,
            user: None,
        }
    }

    fn probe(script: Script) -> Probe {
        Probe::new(&check(CheckKind::Script(script))).unwrap()
    }

    fn server() -> ProbeTarget {
        ProbeTarget {
            vip: Some("192.0.2.80:80".parse().unwrap()),
            ..target("198.51.100.7:8080".parse().unwrap())
        }
    }

    fn is_there(process: Pid) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{process}/stat"));
        status.is_ok_and(|status| !status.contains(") Z "))
    }

    /// Waits until the process is gone, which a signal takes a while to bring about.
    async fn gone(process: Pid) {
        let started = Instant::now();
        while is_there(process) {
            assert!(
                started.elapsed() < Duration::from_secs(10),
                "{process} stays"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn zero_is_good_and_all_else_is_not() {
        let outcome = probe(shell("exit 0")).run(&server()).await.unwrap();

        assert_eq!(outcome.weight_delta, None);
        for (line, words) in [
            ("exit 1", "the script ended with 1"),
            ("exit 2", "the script ended with 2"),
            ("kill -9 $$", "the script was ended by signal 9"),
        ] {
            assert_eq!(said(&probe(shell(line)), &server()).await, words);
        }
    }

    #[tokio::test]
    async fn a_status_from_2_may_move_the_weight() {
        let delta = async |status: u8| {
            let script = Script {
                weight_by_status: true,
                ..shell(&format!("exit {status}"))
            };
            let outcome = probe(script).run(&server()).await;
            outcome.map(|outcome| outcome.weight_delta)
        };

        assert_eq!(delta(0).await, Ok(Some(0)));
        assert_eq!(
            delta(1).await.unwrap_err().to_string(),
            "the script ended with 1"
        );
        assert_eq!(delta(2).await, Ok(Some(0)));
        assert_eq!(delta(52).await, Ok(Some(50)));
        assert_eq!(delta(255).await, Ok(Some(253)));
    }

    #[tokio::test]
    async fn a_script_is_told_whom_to_check() {
        let trace = Trace::new("environment");
        let path = trace.0.display();
        let line = format!("echo $SLUICE_SERVER $SLUICE_PORT $SLUICE_SERVICE $SLUICE_VIP >{path}");

        probe(shell(&line)).run(&server()).await.unwrap();

        assert_eq!(trace.line().await, "198.51.100.7 8080 web 192.0.2.80:80");
    }

    #[tokio::test]
    async fn a_script_that_takes_too_long_is_ended_with_all_that_it_started() {
        let trace = Trace::new("group");
        let path = trace.0.display();
        let line = format!("sleep 60 & echo $! >{path}; wait");
        let probe = Probe::new(&hasty(CheckKind::Script(shell(&line)))).unwrap();

        let words = said(&probe, &server()).await;

        assert_eq!(words, "no end within 1.5 s");
        gone(trace.process().await).await;
    }

    #[tokio::test]
    async fn a_script_that_does_not_listen_is_killed_two_seconds_later() {
        let line = "trap '' TERM; while :; do sleep 0.1; done";
        let probe = Probe::new(&hasty(CheckKind::Script(shell(line)))).unwrap();
        let started = Instant::now();

        let words = said(&probe, &server()).await;

        assert_eq!(words, "no end within 1.5 s");
        let took = started.elapsed();
        assert!(took >= GRACE && took < GRACE * 3, "{took:?}");
    }

    #[tokio::test]
    async fn who_does_not_listen_is_killed_when_the_script_has_ended() {
        let trace = Trace::new("deaf");
        let path = trace.0.display();
        let deaf = "trap '' TERM; while :; do sleep 0.1; done";
        let line = format!("({deaf}) & echo $! >{path}; wait");
        let probe = Probe::new(&hasty(CheckKind::Script(shell(&line)))).unwrap();

        let words = said(&probe, &server()).await;

        assert_eq!(words, "no end within 1.5 s");
        gone(trace.process().await).await;
    }

    #[tokio::test]
    async fn what_does_not_end_by_any_signal_is_not_waited_for() {
        let mut child = Command::new("/bin/sleep").arg("60").spawn().unwrap();
        // Given a group that signals do not reach.
        let mut group = Group(None);

        let ended = group.end(&mut child).await.unwrap();

        assert!(!ended);
        child.kill().await.unwrap();
    }

    #[tokio::test]
    async fn no_script_is_started_while_an_earlier_run_has_not_ended() {
        let probe = ScriptProbe::new(&shell("exit 0")).unwrap();
        let run = async || {
            let deadline = Deadline::new(Instant::now(), Duration::from_secs(10));
            probe.run(&server(), deadline).await
        };
        let earlier = Command::new("/bin/sleep").arg("60").spawn().unwrap();
        let process = Group::of(&earlier).0.unwrap();
        probe.stuck.lock().push((server(), earlier));

        let refused = run().await.unwrap_err();
        nix::sys::signal::kill(process, Signal::SIGKILL).unwrap();
        gone(process).await;

        let words = "an earlier run of the script has not ended, not even by SIGKILL";
        assert_eq!(refused.to_string(), words);
        assert!(run().await.is_ok());
    }

    #[tokio::test]
    async fn a_check_that_is_given_up_leaves_no_process() {
        let trace = Trace::new("dropped");
        let line = format!("echo $$ >{}; exec sleep 60", trace.0.display());
        let probe = probe(shell(&line));
        let server = server();

        let running = async {
            tokio::select! {
                outcome = probe.run(&server) => panic!("ended: {outcome:?}"),
                process = trace.process() => process,
            }
        };
        let process = running.await;

        gone(process).await;
    }

    #[tokio::test]
    async fn a_script_that_cannot_be_started_says_why() {
        let script = Script {
            command: vec!["/nonexistent/check".to_owned()],
            ..shell("")
        };

        let words = said(&probe(script), &server()).await;

        assert_eq!(
            words,
            "cannot start /nonexistent/check: No such file or directory (os error 2)"
        );
    }

    #[tokio::test]
    async fn a_script_runs_as_its_user_and_in_no_other_group() {
        if !nix::unistd::geteuid().is_root() {
            skipped("only root may become another user");
            return;
        }
        let trace = Trace::new("user");
        std::fs::write(&trace.0, "").unwrap();
        let nobody = User::from_name("nobody").unwrap().unwrap();
        std::os::unix::fs::chown(&trace.0, Some(nobody.uid.as_raw()), None).unwrap();
        let script = Script {
            user: Some("nobody".to_owned()),
            ..shell(&format!("echo $(id -u) $(id -G) >{}", trace.0.display()))
        };

        probe(script).run(&server()).await.unwrap();

        assert_eq!(trace.line().await, format!("{} {}", nobody.uid, nobody.gid));
    }

    #[test]
    fn a_script_of_nobody_or_nothing_is_refused() {
        let stranger = Script {
            user: Some("no-such-user".to_owned()),
            ..shell("")
        };
        let nothing = Script {
            command: Vec::new(),
            ..shell("")
        };
        let refused = |script| Probe::new(&check(CheckKind::Script(script))).unwrap_err();

        assert_eq!(refused(stranger), "there is no user \"no-such-user\"");
        assert_eq!(refused(nothing), "a script needs a command");
        assert!(Path::new("/bin/sh").exists());
    }
}
