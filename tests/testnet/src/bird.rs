//! BIRD, the routing daemon, in the foreground of a host.

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use crate::namespace::Namespace;
use crate::run::{self, Running};

/// A running BIRD; it ends when dropped.
#[derive(Debug)]
pub struct Bird {
    _child: Running,
    socket: PathBuf,
    log: PathBuf,
}

impl Bird {
    /// Starts BIRD on `host` and waits until it can be asked. It logs where `configuration` says
    /// `log syslog`, to a file here.
    ///
    /// # Panics
    ///
    /// When it does not answer within five seconds, with its log.
    #[must_use]
    pub fn start(host: &Namespace, configuration: &str) -> Self {
        let (file, socket) = (host.dir().join("bird.conf"), host.dir().join("bird.ctl"));
        let log = host.dir().join("bird.log");
        let configuration = configuration.replace("log syslog all", "log stderr all");
        std::fs::write(&file, configuration).expect("the directory is writable");
        let line = format!("bird -f -c {} -s {}", file.display(), socket.display());
        let to = File::create(&log).expect("the directory is writable");
        let child = host.command(&line).stderr(to).spawn();
        let bird = Self {
            _child: Running(child.expect("bird is installed")),
            socket,
            log,
        };
        let answers = || {
            let asked = run::output(&mut bird.command("show status"));
            asked.status.success()
        };
        let up = run::eventually(Duration::from_secs(30), answers);
        assert!(up, "{}", bird.log());
        bird
    }

    /// What it answers to `words`, as `birdc` shows it.
    ///
    /// # Panics
    ///
    /// When it does not answer.
    #[must_use]
    pub fn ask(&self, words: &str) -> String {
        run::must(&mut self.command(words))
    }

    /// Everything it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn command(&self, words: &str) -> std::process::Command {
        run::command(&format!("birdc -s {} {words}", self.socket.display()))
    }
}

impl Drop for Bird {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("BIRD's log:\n{}", self.log());
        }
    }
}
