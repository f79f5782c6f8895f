//! Why there is no answer.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Group};

use super::{Console, Exit};

/// What went wrong between the operator and the answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(
        "there is no gateway at {}: is it running, and is this its `socket`? (--socket names \
         another)",
        .0.display()
    )]
    NoSocket(PathBuf),
    #[error("nobody answers at {}, though the socket is there: did the gateway die?", .0.display())]
    Dead(PathBuf),
    #[error("cannot reach the gateway at {}: {}", .0.display(), .1)]
    Unreachable(PathBuf, io::Error),
    #[error("no permission to speak to the gateway at {}: {}", .0.display(), .1)]
    Denied(PathBuf, Members),
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
    #[error("{0}")]
    Host(String),
    #[error("cannot write: {0}")]
    Output(#[from] io::Error),
}

/// Who may speak to a socket.
#[derive(Debug)]
pub(super) enum Members {
    /// Its owner and the members of this group.
    Group(String),
    /// Its owner.
    Owner,
    /// Whoever that is: the file itself cannot be seen.
    Unknown,
}

impl std::fmt::Display for Members {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Group(group) => write!(
                f,
                "become root, or a member of the group \"{group}\" (`usermod -aG {group} USER`, \
                 then log in again)"
            ),
            Self::Owner => f.write_str(
                "become root; `control_group` in [gateway] lets the members of a group in too",
            ),
            Self::Unknown => {
                f.write_str("become root; you may not even look into the socket's directory")
            }
        }
    }
}

impl Members {
    /// Those of the socket at `path`.
    pub(super) fn of(path: &Path) -> Self {
        const ROOT: u32 = 0;

        let Ok(there) = std::fs::metadata(path) else {
            return Self::Unknown;
        };
        if there.gid() == ROOT {
            return Self::Owner;
        }
        let group = Group::from_gid(Gid::from_raw(there.gid())).ok().flatten();
        Self::Group(group.map_or_else(|| there.gid().to_string(), |group| group.name))
    }
}

impl Failure {
    /// Tells the operator, and says how to exit.
    pub(super) fn tell(&self, console: &mut Console<'_>) -> Exit {
        // Whoever reads through `head` has seen enough: that is not worth a word.
        if let Self::Output(error) = self
            && error.kind() == io::ErrorKind::BrokenPipe
        {
            return Exit::Well;
        }
        // Nobody is left to tell when this cannot be written.
        let _unread = if console.json {
            console.errors(self.sentences())
        } else {
            writeln!(console.err, "{self}")
        };
        match self {
            Self::Refused(_) => Exit::No,
            Self::NoSocket(_)
            | Self::Dead(_)
            | Self::Unreachable(..)
            | Self::Denied(..)
            | Self::Silent(_)
            | Self::HungUp(_)
            | Self::Garbled(..)
            | Self::Unreadable(..)
            | Self::Unwritable(..)
            | Self::Host(_)
            | Self::Output(_) => Exit::Failed,
        }
    }

    fn sentences(&self) -> Vec<String> {
        match self {
            Self::Refused(errors) => errors.clone(),
            other => vec![other.to_string()],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_not_speak_is_told_how_to_become_somebody_who_may() {
        let denied = |members| Failure::Denied("/run/s.sock".into(), members).to_string();
        let begin = "no permission to speak to the gateway at /run/s.sock: become root";

        assert_eq!(
            denied(Members::Group("sluice".to_owned())),
            format!(
                "{begin}, or a member of the group \"sluice\" (`usermod -aG sluice USER`, then log \
                 in again)"
            )
        );
        assert_eq!(
            denied(Members::Owner),
            format!("{begin}; `control_group` in [gateway] lets the members of a group in too")
        );
        assert_eq!(
            denied(Members::of(Path::new("/nonexistent/s.sock"))),
            format!("{begin}; you may not even look into the socket's directory")
        );
    }

    #[test]
    fn a_gateway_that_does_not_answer_is_named_with_what_may_be_wrong() {
        let socket = || PathBuf::from("/run/s.sock");
        let refused = || io::Error::from_raw_os_error(libc::ENOTSOCK);
        for (failure, sentence) in [
            (
                Failure::Dead(socket()),
                "nobody answers at /run/s.sock, though the socket is there: did the gateway die?",
            ),
            (
                Failure::Unreachable(socket(), refused()),
                "cannot reach the gateway at /run/s.sock: Socket operation on non-socket (os \
                 error 88)",
            ),
            (
                Failure::Silent(socket()),
                "the gateway at /run/s.sock does not answer: is it stopped or overloaded?",
            ),
            (
                Failure::HungUp(socket()),
                "the gateway at /run/s.sock hung up before it answered: is it stopping?",
            ),
            (
                Failure::Garbled(socket(), "expected value".to_owned()),
                "the answer of the gateway at /run/s.sock cannot be used: expected value",
            ),
            (
                Failure::Output(refused()),
                "cannot write: Socket operation on non-socket (os error 88)",
            ),
        ] {
            assert_eq!(failure.to_string(), sentence);
        }
    }

    #[test]
    fn the_group_of_a_file_is_named() {
        let mine = std::env::temp_dir().join(format!("sluice-members-{}", std::process::id()));
        std::fs::write(&mine, "").unwrap();
        std::os::unix::fs::chown(&mine, None, Some(1)).unwrap();

        let members = Members::of(&mine);

        std::fs::remove_file(&mine).unwrap();
        assert!(
            matches!(&members, Members::Group(name) if name == "daemon"),
            "{members}"
        );
    }
}
