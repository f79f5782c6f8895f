//! Why something cannot be done in the guest.

use std::io;

use nix::errno::Errno;

/// Why something cannot be done in the guest.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// A file of the guest or of the run folder.
    #[error("the guest's files: {0}")]
    File(#[from] io::Error),
    /// The kernel said no.
    #[error("{doing}: {source}")]
    Refused {
        /// What was tried.
        doing: &'static str,
        /// The kernel's answer.
        source: Errno,
    },
    /// A file system cannot be mounted.
    #[error("cannot mount {what} at {at}: {source}")]
    Mount {
        /// The kind of file system.
        what: &'static str,
        /// Where.
        at: &'static str,
        /// The kernel's answer.
        source: Errno,
    },
    /// A program of the set-up failed.
    #[error("{command} ended with {status}: {output}")]
    Program {
        /// The program and its arguments.
        command: String,
        /// Its exit code.
        status: i32,
        /// What it said.
        output: String,
    },
    /// A program does not start.
    #[error("{program} does not start: {source}")]
    Start {
        /// Its name.
        program: String,
        /// Why not.
        source: io::Error,
    },
    /// A kernel variable does not take a value.
    #[error("cannot set {key} to {value}: {source}")]
    Set {
        /// The variable.
        key: String,
        /// The value.
        value: String,
        /// Why not.
        source: io::Error,
    },
    /// A step names an interface that the network does not have.
    #[error("there is no interface {0}")]
    NoInterface(String),
}

impl Trouble {
    /// Says what was tried when the kernel said no.
    pub(super) const fn when(doing: &'static str) -> impl FnOnce(Errno) -> Self {
        move |source| Self::Refused { doing, source }
    }
}
