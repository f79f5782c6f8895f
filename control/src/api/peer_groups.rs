//! The supplementary groups of the process at the other end of a Unix socket, as they were when
//! it connected (socket(7), `SO_PEERGROUPS`).
//!
//! The one call of the control plane for which there is no safe wrapper: neither the standard
//! library nor a crate that we use has it, and what has (`/proc`, the user database) answers for
//! another process or another time.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// The most groups a process can be in (`NGROUPS_MAX`).
const MOST: usize = 65_536;

/// Groups that are asked for at first: a person is rarely in more.
const USUAL: usize = 64;

/// The supplementary groups of the peer of `socket`.
///
/// # Errors
///
/// When it is no Unix socket, or not connected.
pub(super) fn of(socket: &impl AsFd) -> io::Result<Vec<libc::gid_t>> {
    match read(socket, USUAL) {
        Err(error) if error.raw_os_error() == Some(libc::ERANGE) => read(socket, MOST),
        outcome => outcome,
    }
}

/// As [`of`], if there are at most `room`.
fn read(socket: &impl AsFd, room: usize) -> io::Result<Vec<libc::gid_t>> {
    let mut groups: Vec<libc::gid_t> = vec![0; room];
    let mut bytes = libc::socklen_t::try_from(size_of_val(groups.as_slice())).unwrap_or(0);
    // SAFETY: the descriptor is open while `socket` is borrowed, the kernel writes at most `bytes`
    // bytes, which `groups` has room for, and any bytes make a group's number.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERGROUPS,
            groups.as_mut_ptr().cast(),
            &raw mut bytes,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    groups.truncate(bytes as usize / size_of::<libc::gid_t>());
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_groups_of_a_peer_are_those_of_its_process() {
        let (one, _other) = UnixStream::pair().unwrap();
        let mut ours = nix::unistd::getgroups().unwrap();
        ours.sort_unstable_by_key(|group| group.as_raw());

        let mut peers = of(&one).unwrap();

        peers.sort_unstable();
        let ours: Vec<_> = ours.iter().map(|group| group.as_raw()).collect();
        assert_eq!(peers, ours);
    }

    #[test]
    fn many_groups_need_a_second_question() {
        let (one, _other) = UnixStream::pair().unwrap();
        let all = of(&one).unwrap();
        if all.is_empty() {
            assert_eq!(read(&one, 0).unwrap(), Vec::<u32>::new());
        } else {
            let refused = read(&one, all.len() - 1).unwrap_err();
            assert_eq!(refused.raw_os_error(), Some(libc::ERANGE));
        }
    }

    #[test]
    fn what_is_no_unix_socket_has_no_peer() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();

        assert!(of(&socket).is_err());
    }
}
