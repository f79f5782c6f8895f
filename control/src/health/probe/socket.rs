//! Connected sockets, from the address that the check is to come from.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};

use super::ProbeTarget;

/// A TCP connection.
pub(in crate::health) async fn connect(target: &ProbeTarget) -> io::Result<TcpStream> {
    finish(tcp_socket(target)?, target.server).await
}

/// Connects a socket. One that Linux gave the very port that it connects to, at an address of this
/// machine, is connected to itself (RFC 9293 §3.5, simultaneous open): nobody listens there.
pub(super) async fn finish(socket: TcpSocket, server: SocketAddr) -> io::Result<TcpStream> {
    let stream = socket.connect(server).await?;
    if stream.local_addr()? == server {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(stream)
}

/// A TCP socket that is bound, if it has to be, and not connected yet.
pub(super) fn tcp_socket(target: &ProbeTarget) -> io::Result<TcpSocket> {
    let socket = match target.server {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    if let Some(source) = target.source {
        if source.is_ipv4() {
            // The port is chosen by connect(2), which knows the other end: so checks of different
            // servers may share one, and thousands of them do not run out of ports.
            setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
        }
        socket.bind(SocketAddr::new(source, 0))?;
    }
    Ok(socket)
}

/// A connected UDP socket, which hears of every ICMP error about its datagrams.
pub(super) async fn udp_socket(target: &ProbeTarget) -> io::Result<UdpSocket> {
    let source = target.source.unwrap_or(unspecified(target.server));
    let socket = UdpSocket::bind(SocketAddr::new(source, 0)).await?;
    hear_all_errors(&socket, target.server)?;
    socket.connect(target.server).await?;
    Ok(socket)
}

/// Without this only errors that nothing can mend are heard (ip(7), `IP_RECVERR`); that a host is
/// unreachable is none of those.
pub(super) fn hear_all_errors(
    socket: &impl std::os::fd::AsFd,
    server: SocketAddr,
) -> io::Result<()> {
    match server {
        SocketAddr::V4(_) => setsockopt(socket, sockopt::Ipv4RecvErr, &true)?,
        SocketAddr::V6(_) => setsockopt(socket, sockopt::Ipv6RecvErr, &true)?,
    }
    Ok(())
}

/// The address that stands for any, of the server's family.
fn unspecified(server: SocketAddr) -> IpAddr {
    match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}
