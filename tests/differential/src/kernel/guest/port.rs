//! The player's end of a cable: a packet socket on the outer end.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::libc::PACKET_OUTGOING;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, bind, recvfrom, send,
    setsockopt, socket, sockopt,
};

use super::trouble::Trouble;

/// Room for what leaves while nobody takes it, in bytes.
const RECEIVE_BUFFER: usize = 64 << 20;

/// The player's end of a cable.
#[derive(Debug)]
pub(super) struct Port {
    interface: String,
    socket: OwnedFd,
}

impl Port {
    /// Opens the end `outer` of the cable to the director's `interface`, in the calling thread's
    /// namespace.
    pub(super) fn open(interface: &str, outer: &str) -> Result<Self, Trouble> {
        let address = link_address(outer)?.ok_or_else(|| Trouble::NoInterface(outer.to_owned()))?;
        let refused = || Trouble::when("cannot open a packet socket");
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket(
            AddressFamily::Packet,
            SockType::Raw,
            flags,
            SockProtocol::EthAll,
        )
        .map_err(refused())?;
        bind(socket.as_raw_fd(), &address).map_err(refused())?;
        setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).map_err(refused())?;
        Ok(Self {
            interface: interface.to_owned(),
            socket,
        })
    }

    /// The director's interface at the other end.
    pub(super) fn interface(&self) -> &str {
        &self.interface
    }

    /// Sends a frame to the director. What it causes there has mostly happened when this returns.
    pub(super) fn send(&self, frame: &[u8]) -> Result<(), Errno> {
        send(self.socket.as_raw_fd(), frame, MsgFlags::empty()).map(drop)
    }

    /// Takes a frame that left the director, if there is one.
    pub(super) fn receive<'buffer>(&self, buffer: &'buffer mut [u8]) -> Option<&'buffer [u8]> {
        loop {
            let (len, from) = recvfrom::<LinkAddr>(self.socket.as_raw_fd(), buffer).ok()?;
            if from.is_none_or(|from| from.pkttype() != PACKET_OUTGOING) {
                return buffer.get(..len);
            }
        }
    }
}

impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The interface's address as packet sockets take it. It names no protocol, so a socket bound to
/// it keeps its own.
fn link_address(interface: &str) -> Result<Option<LinkAddr>, Trouble> {
    let mut all = getifaddrs().map_err(Trouble::when("cannot list the interfaces"))?;
    Ok(all.find_map(|one| {
        let address = one.address.filter(|_| one.interface_name == interface)?;
        address.as_link_addr().copied()
    }))
}
