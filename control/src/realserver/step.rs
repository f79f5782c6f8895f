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

    /// A file as above; one with another text goes only after a command.
    pub(super) fn changed_file(path: &str, mode: &str, text: &str, before: &str) -> Self {
        let new = format!("{path}.new");
        let file = Self::file(&new, mode, text).run(format!(
            "if cmp -s {new} {path}; then\n    rm {new}\nelse\n    {before}\n    mv {new} {path}\nfi"
        ));
        Self {
            what: format!("{path} is written"),
            undo: vec![format!("rm -f {path}")],
            ..file
        }
    }

    /// A file of what commands say; without commands it is only taken back.
    pub(super) fn written(path: &str, by: &[String]) -> Self {
        let step = Self::new(format!("{path} is written")).undo(format!("rm -f {path}"));
        let write = |command: &String| format!("{command} | install -D -m 644 /dev/stdin {path}");
        by.iter().map(write).fold(step, Self::run)
    }

    /// The same, taken back only under a condition.
    pub(super) fn taken_back_if(mut self, condition: impl AsRef<str>) -> Self {
        let condition = condition.as_ref();
        for command in &mut self.undo {
            *command = format!("if {condition}; then\n    {command}\nfi");
        }
        self
    }
}
