//! Why there is no answer.

use std::io::{self, Write};
use std::path::PathBuf;

use super::Exit;

/// What went wrong between the operator and the answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("cannot reach the gateway at {}: is it running?", .0.display())]
    Unreachable(PathBuf),
    #[error(
        "no permission to speak to the gateway at {}: become root, or join the socket's group",
        .0.display()
    )]
    Denied(PathBuf),
    #[error("the gateway at {} does not answer: is it stopped or overloaded?", .0.display())]
    Silent(PathBuf),
    #[error("the gateway at {} hung up before it answered: is it stopping?", .0.display())]
    HungUp(PathBuf),
    #[error("the answer of the gateway at {} cannot be used: {}", .0.display(), .1)]
    Garbled(PathBuf, String),
    #[error("{}", .0.join("\n"))]
    Refused(Vec<String>),
    #[error("{}: cannot be read: {}", .0.display(), .1)]
    Unreadable(PathBuf, io::Error),
    #[error("{}: cannot be written: {}", .0.display(), .1)]
    Unwritable(PathBuf, io::Error),
    #[error("cannot write: {0}")]
    Output(#[from] io::Error),
}

impl Failure {
    /// Tells the operator, and says how to exit.
    pub(super) fn tell(&self, err: &mut dyn Write) -> Exit {
        // Whoever reads through `head` has seen enough: that is not worth a word.
        if let Self::Output(error) = self
            && error.kind() == io::ErrorKind::BrokenPipe
        {
            return Exit::Well;
        }
        // Nobody is left to tell when this cannot be written.
        let _unread = writeln!(err, "{self}");
        match self {
            Self::Refused(_) => Exit::No,
            Self::Unreachable(_)
            | Self::Denied(_)
            | Self::Silent(_)
            | Self::HungUp(_)
            | Self::Garbled(..)
            | Self::Unreadable(..)
            | Self::Unwritable(..)
            | Self::Output(_) => Exit::Failed,
        }
    }
}
