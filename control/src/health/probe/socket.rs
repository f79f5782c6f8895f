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

/// A TCP socket that is not connected yet, and bound to a port of its own if it has to be bound.
pub(super) fn tcp_socket(target: &ProbeTarget) -> io::Result<TcpSocket> {
    let socket = match target.server {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    if let Some(source) = target.source {
        // Of a port that bind(2) gives, this socket is the only one at that address. One that
        // connect(2) gives may be another's too that speaks with another check address, and servers
        // of one VIP tell checks apart by the port alone.
        socket.bind(SocketAddr::new(source, 0))?;
        // So no port may be lost to a TIME_WAIT: closing sends a reset.
        socket.set_zero_linger()?;
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

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::super::testing::target;
    use super::*;

    fn bound(server: SocketAddr) -> ProbeTarget {
        ProbeTarget {
            source: Some(Ipv4Addr::LOCALHOST.into()),
            ..target(server)
        }
    }

    #[tokio::test]
    async fn checks_from_one_address_have_ports_of_their_own_whomever_they_ask() {
        let servers = ["127.0.0.2:80", "127.0.0.3:80"].map(|it| it.parse().unwrap());

        let sockets = servers.map(|server| tcp_socket(&bound(server)).unwrap());

        let [first, second] = sockets.each_ref().map(|it| it.local_addr().unwrap().port());
        assert!(first != 0 && second != 0, "bind gives them, not connect");
        assert_ne!(first, second);
    }

    #[tokio::test]
    async fn a_connection_from_a_given_address_leaves_no_time_wait() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();

        drop(connect(&bound(server)).await.unwrap());

        let (mut connection, _) = listener.accept().await.unwrap();
        let read = connection.read(&mut [0; 1]).await;
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }
}
