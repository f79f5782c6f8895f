//! Why a case has no figure.

use std::io;

use crate::programs::ProgramsError;

/// What went wrong, as a sentence for who runs the benchmark.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The machine lacks something.
    #[error("{0}")]
    Machine(String),
    /// There is nothing to measure.
    #[error(transparent)]
    Programs(#[from] ProgramsError),
    /// A program did not do its part.
    #[error("{program}: {what}{}", said(.log))]
    Program {
        /// Which one.
        program: &'static str,
        /// What it did instead.
        what: String,
        /// The last lines it printed.
        log: String,
    },
    /// The gateway did its part in another way than the case says.
    #[error("not as asserted: {0}")]
    Assertion(String),
    /// What was found out before the first case of a method.
    #[error("{0}")]
    Probe(String),
    /// A file or socket.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system answered.
        source: io::Error,
    },
}

impl Failure {
    /// Says what was tried when the system refused it.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        |source| Self::Io { what, source }
    }
}

/// The last lines of a log, set off from the sentence.
fn said(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    let last = lines.get(lines.len().saturating_sub(12)..);
    let last = last.unwrap_or_default().join("\n    ");
    if last.is_empty() {
        last
    } else {
        format!("; it said:\n    {last}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_failed_is_shown_with_its_last_words() {
        let log = (1..=20).map(|n| format!("line {n}\n")).collect();

        let failure = Failure::Program {
            program: "sluice",
            what: "is not ready".to_owned(),
            log,
        };

        let text = failure.to_string();
        assert!(text.starts_with("sluice: is not ready; it said:\n    line 9\n"));
        assert!(text.ends_with("line 20"));
    }
}
