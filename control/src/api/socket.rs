//! The socket file: its rights, its group, and what stood in its place.
//!
//! It is made with nobody's rights but the owner's, and opened to its group, or to everybody, last.
//! Who may do what of those that can connect is said for each request.

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, lchown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket,
};
use nix::unistd::Group;

use super::peer::Rights;
use crate::config::Others;

/// The mode of the socket file for its owner and its group.
const MODE: u32 = 0o660;

/// The mode of a socket file to which everybody may connect, if only to read.
const MODE_FOR_READERS: u32 = 0o666;

/// The mode of the socket file while it is being made.
const MODE_AT_FIRST: u32 = 0o600;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 128;

/// How long a process behind an old socket may take to answer, or to end.
const PATIENCE: Duration = Duration::from_secs(3);

/// Between two looks at a process that ends.
const PAUSE: Duration = Duration::from_millis(20);

/// What a running gateway answers at once.
const QUESTION: &[u8] = b"GET /v1/version HTTP/1.1\r\nHost: sluice\r\n\r\n";

/// Why there is no socket to answer on.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Somebody answers on it.
    #[error("{} is in use by a running gateway: stop it, or give this one another socket", .0.display())]
    InUse(PathBuf),
    /// Something else has its name.
    #[error("{} is not a socket: move it away, or give the gateway another socket", .0.display())]
    NotASocket(PathBuf),
    /// The group does not exist.
    #[error("there is no group \"{0}\": create it with `groupadd {0}`, or change `control_group`")]
    UnknownGroup(String),
    /// The system would not do it.
    #[error(
        "cannot make the socket {}: {} failed: {}: mend that, or change `socket`",
        .path.display(), .doing, .source
    )]
    System {
        /// The socket file.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// A listening socket and its file; the file is removed when this is dropped.
#[derive(Debug)]
pub struct ApiSocket {
    listener: UnixListener,
    path: PathBuf,
    rights: Rights,
    /// Device and inode of the file, so that nobody else's is removed.
    file: (u64, u64),
}

impl ApiSocket {
    /// Listens on `path`, for the owner, `group`, and what `others` may. Creates the directory; replaces a socket
    /// that a dead process left.
    ///
    /// # Errors
    ///
    /// [`SocketError`] when a live process answers there, something else has the name, the group
    /// does not exist, or the system refuses.
    pub fn bind(path: &Path, group: Option<&str>, others: Others) -> Result<Self, SocketError> {
        // First, so that a mistake leaves nothing behind.
        let group = group.map(|name| find_group(name, path)).transpose()?;
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed(path, "making its directory"))?;
        }
        remove_stale(path)?;
        let socket = open().map_err(failed(path, "opening it"))?;
        // On Linux a socket file gets the rights of its socket, less the umask.
        let socket = File::from(socket);
        socket
            .set_permissions(Permissions::from_mode(MODE_AT_FIRST))
            .map_err(failed(path, "setting its mode"))?;
        let socket = OwnedFd::from(socket);
        bind_to(&socket, path).map_err(failed(path, "binding it"))?;
        let made = fs::symlink_metadata(path).map_err(failed(path, "looking at it"))?;
        // From here on an early return removes the file.
        let bound = Self {
            listener: UnixListener::from(socket),
            path: path.to_owned(),
            rights: Rights { group, others },
            file: (made.dev(), made.ino()),
        };
        if let Some(group) = &bound.rights.group {
            lchown(path, None, Some(group.gid.as_raw()))
                .map_err(failed(path, "setting its group"))?;
        }
        let mode = match others {
            Others::Nothing => MODE,
            Others::Read => MODE_FOR_READERS,
        };
        fs::set_permissions(path, Permissions::from_mode(mode))
            .map_err(failed(path, "setting its mode"))?;
        let backlog = Backlog::new(BACKLOG).map_err(io::Error::from);
        backlog
            .and_then(|backlog| Ok(listen(&bound.listener, backlog)?))
            .map_err(failed(path, "listening"))?;
        Ok(bound)
    }

    /// What those may who connect.
    pub(super) const fn rights(&self) -> &Rights {
        &self.rights
    }

    /// The socket for the present tokio runtime.
    pub(super) fn listener(&self) -> io::Result<tokio::net::UnixListener> {
        let listener = self.listener.try_clone()?;
        listener.set_nonblocking(true)?;
        tokio::net::UnixListener::from_std(listener)
    }
}

impl Drop for ApiSocket {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|there| (there.dev(), there.ino()) == self.file);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!("{} could not be removed: {error}", self.path.display());
        }
    }
}

/// What the system said to an attempt.
fn failed(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> SocketError {
    let path = path.to_owned();
    move |source| SocketError::System {
        path,
        doing,
        source,
    }
}

fn find_group(name: &str, path: &Path) -> Result<Group, SocketError> {
    match Group::from_name(name) {
        Ok(Some(group)) => Ok(group),
        Ok(None) => Err(SocketError::UnknownGroup(name.to_owned())),
        Err(errno) => Err(failed(path, "looking its group up")(errno.into())),
    }
}

fn open() -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None);
    Ok(socket?)
}

fn bind_to(socket: &OwnedFd, path: &Path) -> io::Result<()> {
    Ok(bind(socket.as_raw_fd(), &UnixAddr::new(path)?)?)
}

/// Removes the socket file of a process that has died, and nothing else.
fn remove_stale(path: &Path) -> Result<(), SocketError> {
    match fs::symlink_metadata(path) {
        Ok(there) if there.file_type().is_socket() => {}
        Ok(_) => return Err(SocketError::NotASocket(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(path, "looking at its name")(error)),
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        match knock(path, deadline).map_err(failed(path, "asking who has its name"))? {
            Door::Nobody => {
                return fs::remove_file(path)
                    .map_err(failed(path, "removing what a dead gateway left"));
            }
            Door::Gone => return Ok(()),
            Door::Closing if Instant::now() < deadline => std::thread::sleep(PAUSE),
            Door::Closing | Door::Somebody => return Err(SocketError::InUse(path.to_owned())),
        }
    }
}

/// Who is behind a socket file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    /// A dead process left it.
    Nobody,
    /// It has been removed meanwhile.
    Gone,
    /// A process that is ending: the kernel frees a killed gateway's memory before it closes its
    /// sockets, which until then take connections that nobody answers.
    Closing,
    /// A process that answers, or holds the line.
    Somebody,
}

/// Asks on a socket, and waits for an answer until `deadline`.
fn knock(path: &Path, deadline: Instant) -> io::Result<Door> {
    let socket = open()?;
    match connect(socket.as_raw_fd(), &UnixAddr::new(path)?) {
        Ok(()) => {}
        // Somebody listens who has not accepted for a while (unix(7)).
        Err(Errno::EAGAIN) => return Ok(Door::Somebody),
        Err(Errno::ECONNREFUSED) => return Ok(Door::Nobody),
        Err(Errno::ENOENT) => return Ok(Door::Gone),
        Err(errno) => return Err(errno.into()),
    }
    let mut stream = UnixStream::from(socket);
    stream.set_nonblocking(false)?;
    let left = deadline.saturating_duration_since(Instant::now());
    stream.set_read_timeout(Some(left.max(PAUSE)))?;
    let answered = stream
        .write_all(QUESTION)
        .and_then(|()| stream.read(&mut [0]));
    Ok(match answered {
        Ok(0) => Door::Closing,
        Ok(_) => Door::Somebody,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Door::Somebody,
        Err(_) => Door::Closing,
    })
}
