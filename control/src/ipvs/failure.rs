//! Why `ipvsadm` does not do what a line asks for, in its own words.
//!
//! Scripts compare these texts and exit codes with what they have always been.

use super::command::Tunnel;

/// What `ipvsadm` says when it does not know what is wanted.
const HINT: &str = "Try `ipvsadm -h' or 'ipvsadm --help' for more information.";

/// The exit code of a line that says something wrong.
const USAGE: i32 = 2;

/// The exit code of a line that is not understood at all, or that IPVS refuses.
const REFUSED: i32 = 255;

/// A text for standard error and an exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The text, without its line feed.
    pub text: String,
    /// The exit code.
    pub status: i32,
    /// Whether later lines of `-R` are not even read.
    pub is_final: bool,
}

impl Failure {
    /// A line that says something wrong.
    pub(super) fn usage(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            status: USAGE,
            is_final: true,
        }
    }

    /// A line that does not begin with a command.
    pub(super) fn hint() -> Self {
        Self {
            text: HINT.to_owned(),
            status: REFUSED,
            is_final: true,
        }
    }

    /// A word that is no option, or lacks its argument.
    pub(super) fn word(word: &str, why: &str) -> Self {
        Self {
            text: format!("{word}: {why}"),
            status: REFUSED,
            is_final: false,
        }
    }

    /// A change that IPVS would make and this gateway does not.
    pub(super) const fn gateway(text: String) -> Self {
        Self {
            text,
            status: REFUSED,
            is_final: false,
        }
    }

    /// A listing that finds nothing to list.
    pub(super) fn listing(refusal: &Refusal) -> Self {
        Self {
            text: refusal.to_string(),
            status: 1,
            is_final: true,
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self {
            text: refusal.to_string(),
            status: REFUSED,
            is_final: false,
        }
    }
}

/// Why IPVS refuses a change that was well said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// `EEXIST` of a service.
    #[error("Service already exists")]
    ServiceExists,
    /// `ESRCH` of a service that should be changed.
    #[error("No such service")]
    NoService,
    /// `ESRCH` of a service whose servers should be changed.
    #[error("Service not defined")]
    ServiceNotDefined,
    /// `ENOENT` of a service: no such scheduler, or a persistence engine.
    #[error("Scheduler or persistence engine not found")]
    SchedulerNotFound,
    /// `EEXIST` of a server.
    #[error("Destination already exists")]
    ServerExists,
    /// `ENOENT` of a server.
    #[error("No such destination")]
    NoServer,
    /// `ERANGE`: the lower threshold is above the upper.
    #[error("Numerical result out of range")]
    OutOfRange,
    /// A local address that the service has already.
    #[error("Local address already exists")]
    LocalExists,
    /// A local address that the service has not.
    #[error("No such local address")]
    NoLocal,
    /// `EINVAL`: the server's address is not one that packets could be sent to.
    #[error("Invalid operation.  Possibly wrong module version, address not unicast, ...")]
    Invalid,
    /// `EAFNOSUPPORT`.
    #[error("Operation not supported with specified address family")]
    Family,
    /// `ESRCH` of a synchronisation daemon.
    #[error("No daemon is running")]
    NoDaemon,
    /// Sluice's own: connections are not synchronised.
    #[error("Connection synchronisation is not in this version")]
    Synchronisation,
    /// Sluice's own: the kernel's persistence engine.
    #[error("Persistence engine sip is not in this version")]
    Engine,
    /// Sluice's own: only IP in IP.
    #[error("Tunnels of type {} are not in this version: use ipip", .0.name())]
    TunnelType(Tunnel),
}
