//! What somebody who looks at a host says of it.

use std::fmt;

use serde::Serialize;

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// It works, and there is something better.
    Advice,
    /// It has to be mended.
    Problem,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Advice => "advice",
            Self::Problem => "problem",
        })
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which of the things that are looked at; `docs/host-setup.md` has them all.
    pub name: &'static str,
    /// How it is.
    pub state: State,
    /// What is so, and why that matters, in a sentence.
    pub why: String,
    /// What mends it, or what could be done with it, as typed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

impl Finding {
    /// As it should be.
    pub(super) fn ok(name: &'static str, why: impl Into<String>) -> Self {
        Self {
            name,
            state: State::Ok,
            why: why.into(),
            command: None,
        }
    }

    /// It works, and `command` makes it better.
    pub(super) fn advice(
        name: &'static str,
        why: impl Into<String>,
        command: impl Into<String>,
    ) -> Self {
        Self::ok(name, why).with(State::Advice, command)
    }

    /// It has to be mended by `command`.
    pub(super) fn problem(
        name: &'static str,
        why: impl Into<String>,
        command: impl Into<String>,
    ) -> Self {
        Self::ok(name, why).with(State::Problem, command)
    }

    /// The same in another state, with a command.
    pub(super) fn with(self, state: State, command: impl Into<String>) -> Self {
        Self {
            state,
            command: Some(command.into()),
            ..self
        }
    }
}
