//! Why a measurement gives no figure.

use std::io;
use std::net::SocketAddrV4;

use crate::programs::ProgramsError;

/// Why a measurement gives no figure.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// There is nothing to measure.
    #[error(transparent)]
    Programs(#[from] ProgramsError),
    /// A request was not answered as it should have been.
    #[error("{target}: {reason}")]
    Request {
        /// Who was asked.
        target: SocketAddrV4,
        /// What came instead of the answer.
        reason: String,
    },
    /// Something this machine should have done did not work.
    #[error("cannot {task}: {source}")]
    Machine {
        /// What was tried.
        task: String,
        /// What the system said.
        source: io::Error,
    },
    /// A figure is outside of what is promised.
    #[error("{0}")]
    Broken(String),
}

impl Failure {
    /// For `map_err`: `task` did not work.
    pub fn machine<E: Into<io::Error>>(task: &str) -> impl FnOnce(E) -> Self {
        move |source| Self::Machine {
            task: task.to_owned(),
            source: source.into(),
        }
    }
}
