//! A TCP connection comes about.

use super::deadline::Deadline;
use super::failure::ProbeFailure;
use super::socket::{finish, tcp_socket};
use super::{Found, ProbeTarget};

/// Connects, and closes at once.
pub(super) async fn run(target: &ProbeTarget, deadline: Deadline) -> Result<Found, ProbeFailure> {
    let socket = tcp_socket(target)?;
    // Closing sends a reset: nothing is left in TIME_WAIT, of which thousands of checks a second
    // would pile up a minute's worth and run out of ports. Nothing was said, so nothing is lost.
    socket.set_zero_linger()?;
    let connected = async { Ok(finish(socket, target.server).await?) };
    deadline.answer(connected).await?;
    Ok(Found::default())
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::{IpAddr, Ipv4Addr};
    use std::process::Command;
    use std::time::Duration;

    use nix::sched::{CloneFlags, unshare};
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::super::testing::{check, closed_port, said, silent_port, skipped, target};
    use super::super::{Probe, ProbeTarget};
    use crate::config::CheckKind;

    fn probe() -> Probe {
        Probe::new(&check(CheckKind::Tcp)).unwrap()
    }

    #[tokio::test]
    async fn a_connection_that_comes_about_is_good_and_ends_with_a_reset() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();

        probe().run(&target(server)).await.unwrap();

        let (mut connection, _) = listener.accept().await.unwrap();
        let read = connection.read(&mut [0; 1]).await;
        assert_eq!(
            read.unwrap_err().kind(),
            io::ErrorKind::ConnectionReset,
            "a close would leave TIME_WAIT behind"
        );
    }

    #[tokio::test]
    async fn a_check_comes_from_the_address_that_it_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let source = IpAddr::V4(Ipv4Addr::new(127, 9, 8, 7));
        let target = ProbeTarget {
            source: Some(source),
            ..target(listener.local_addr().unwrap())
        };

        probe().run(&target).await.unwrap();

        let (_, client) = listener.accept().await.unwrap();
        assert_eq!(client.ip(), source);
    }

    #[tokio::test]
    async fn an_address_that_is_not_ours_cannot_be_checked_from() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = ProbeTarget {
            source: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))),
            ..target(listener.local_addr().unwrap())
        };

        assert_eq!(
            said(&probe(), &target).await,
            "there is no address or port to check from"
        );
    }

    #[tokio::test]
    async fn a_closed_port_refuses() {
        let target = target(closed_port().await);

        assert_eq!(said(&probe(), &target).await, "connection refused");
    }

    #[test]
    fn a_connection_to_itself_is_none() {
        if !nix::unistd::geteuid().is_root() {
            skipped("a new network namespace needs root");
            return;
        }
        // In a namespace of its own, which goes with the thread, there is one port to connect from.
        let thread = std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            let up = Command::new("ip")
                .args(["link", "set", "lo", "up"])
                .status();
            assert!(up.unwrap().success());
            std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "40000 40000").unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let itself = target("127.0.0.1:40000".parse().unwrap());
            runtime.unwrap().block_on(said(&probe(), &itself))
        });

        assert_eq!(thread.join().unwrap(), "connection refused");
    }

    #[tokio::test]
    async fn a_server_that_answers_nothing_fails_at_the_timeout() {
        let silent = silent_port().await;
        let mut check = check(CheckKind::Tcp);
        check.timing.timeout = Duration::from_millis(200);
        let probe = Probe::new(&check).unwrap();

        assert_eq!(
            said(&probe, &target(silent.address)).await,
            "no answer within 200 ms"
        );
    }
}
