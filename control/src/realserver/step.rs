//! One thing that has to be so on a server.

use serde::Serialize;

/// One thing that has to be so on a server, with shell commands for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What is so afterwards: `10.2.0.100 is on lo`; empty for what only helps to undo it.
    pub what: String,
    /// What it is good for; a whole sentence, or nothing.
    pub why: &'static str,
    /// A command that succeeds when it is so already; without one it is done every time.
    pub holds: Option<String>,
    /// Commands that make it so.
    pub run: Vec<String>,
    /// Commands that take it back; they do no harm where it is not so.
    pub undo: Vec<String>,
}

impl Step {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            ..Self::default()
        }
    }

    /// A step of which nobody is told: it is about taking back only.
    pub(super) fn unseen() -> Self {
        Self::default()
    }

    pub(super) fn why(mut self, why: &'static str) -> Self {
        self.why = why;
        self
    }

    pub(super) fn holds(mut self, condition: impl Into<String>) -> Self {
        self.holds = Some(condition.into());
        self
    }

    pub(super) fn run(mut self, command: impl Into<String>) -> Self {
        self.run.push(command.into());
        self
    }

    pub(super) fn undo(mut self, command: impl Into<String>) -> Self {
        self.undo.push(command.into());
        self
    }

    /// A file of this text, with these rights. A line `END` ends it, so it has none.
    pub(super) fn file(path: &str, mode: &str, text: &str) -> Self {
        Self::new(format!("{path} is written"))
            .run(format!(
                "install -D -m {mode} /dev/stdin {path} <<'END'\n{text}END"
            ))
            .undo(format!("rm -f {path}"))
    }

    /// The same without what makes it so: what is left of it is taken back.
    pub(super) fn left(self) -> Self {
        Self {
            run: Vec::new(),
            ..self
        }
    }
}
