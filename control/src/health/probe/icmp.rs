//! An ICMP echo is answered (RFC 792, RFC 4443 §4.1).
//!
//! By a datagram socket, whose kernel knows which replies are its own, where the group may have
//! one (`net.ipv4.ping_group_range`); else by a raw one, which needs `CAP_NET_RAW` and sees all
//! ICMP from its server.
//!
//! ```text
//!   0      1      2          4     6     8              16
//!   | type | code | checksum | id  | seq | token        |
//! ```

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use super::deadline::Deadline;
use super::failure::ProbeFailure;
use super::socket::hear_all_errors;
use super::{Found, ProbeTarget};

/// Bytes of an echo.
const ECHO: usize = 16;

/// Bytes of a packet that are read: an IPv4 header with all its options, and an echo.
const ROOM: usize = 60 + ECHO;

/// What tells echoes apart, also those of many checks of one server at a time.
static TOKENS: AtomicU64 = AtomicU64::new(0);

/// Types of ICMP, by family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Family {
    request: u8,
    reply: u8,
}

impl Family {
    fn of(server: SocketAddr) -> Self {
        match server {
            SocketAddr::V4(_) => Self {
                request: 8,
                reply: 0,
            },
            SocketAddr::V6(_) => Self {
                request: 128,
                reply: 129,
            },
        }
    }
}

/// Sends an echo, and waits for its reply.
pub(super) async fn run(target: &ProbeTarget, deadline: Deadline) -> Result<Found, ProbeFailure> {
    let socket = open(target).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => {
            ProbeFailure::ours("the gateway may not send ICMP echoes (CAP_NET_RAW)")
        }
        _ => error.into(),
    })?;
    let family = Family::of(target.server);
    let token = TOKENS.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    deadline.answer(echo(&socket, family, token)).await?;
    Ok(Found::default())
}

async fn echo(socket: &UdpSocket, family: Family, token: [u8; 8]) -> Result<(), ProbeFailure> {
    socket.send(&request(family, token)).await?;
    let mut packet = [0; ROOM];
    loop {
        let len = socket.recv(&mut packet).await?;
        if packet
            .get(..len)
            .is_some_and(|packet| is_reply(packet, family, token))
        {
            return Ok(());
        }
        // A flood of others must not keep other checks waiting.
        tokio::task::yield_now().await;
    }
}

/// A socket that speaks ICMP with the server only.
fn open(target: &ProbeTarget) -> io::Result<UdpSocket> {
    let (domain, protocol) = match target.server {
        SocketAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        SocketAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let socket = Socket::new(domain, Type::DGRAM, Some(protocol))
        .or_else(|_| Socket::new(domain, Type::RAW, Some(protocol)))?;
    if let Some(source) = target.source {
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    hear_all_errors(&socket, target.server)?;
    let mut server = target.server;
    // ICMP has no ports; the zone of a link-local address stays.
    server.set_port(0);
    socket.connect(&server.into())?;
    socket.set_nonblocking(true)?;
    // What tokio does with UDP sockets, send(2) and recv(2), is the same for these.
    UdpSocket::from_std(socket.into())
}

/// An echo. The number that tells senders apart is part of the token's, and a datagram socket's
/// kernel puts its own there.
fn request(family: Family, token: [u8; 8]) -> [u8; ECHO] {
    let mut echo = [0; ECHO];
    echo[0] = family.request;
    echo[4..8].copy_from_slice(&token[4..]);
    echo[8..].copy_from_slice(&token);
    // Of ICMPv6 the kernel makes it, and of datagram sockets (RFC 1071).
    let checksum = checksum(&echo);
    echo[2..4].copy_from_slice(&checksum);
    echo
}

fn checksum(echo: &[u8; ECHO]) -> [u8; 2] {
    let words = echo
        .chunks_exact(2)
        .map(|word| u32::from(word[0]) << 8 | u32::from(word[1]));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    // Folded twice it has 16 bits.
    let [_, _, high, low] = (!folded).to_be_bytes();
    [high, low]
}

/// Whether this is the reply with the token. Raw sockets of IPv4 see the packet's header too.
fn is_reply(packet: &[u8], family: Family, token: [u8; 8]) -> bool {
    let header = match packet.first() {
        // Version 4, and the header's length in words; as a type of ICMP these are not in use.
        Some(&first) if family.reply == 0 && first >> 4 == 4 => usize::from(first & 0x0f) * 4,
        _ => 0,
    };
    let Some(echo) = packet.get(header..) else {
        return false;
    };
    echo.first() == Some(&family.reply) && echo.get(8..ECHO) == Some(&token[..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Probe;
    use super::super::testing::{check, said, skipped, target};
    use super::*;
    use crate::config::CheckKind;

    const V4: Family = Family {
        request: 8,
        reply: 0,
    };
    const V6: Family = Family {
        request: 128,
        reply: 129,
    };
    const TOKEN: [u8; 8] = *b"abcdefgh";

    fn probe() -> Probe {
        Probe::new(&check(CheckKind::Icmp)).unwrap()
    }

    /// Whether this process may ping at all.
    fn may_not_ping(server: &ProbeTarget) -> bool {
        let refused = open(server).is_err();
        if refused {
            skipped("needs CAP_NET_RAW or net.ipv4.ping_group_range");
        }
        refused
    }

    #[tokio::test]
    async fn a_server_that_answers_echoes_is_good() {
        for server in ["127.0.0.1:80", "[::1]:80"] {
            let server = target(server.parse().unwrap());
            if may_not_ping(&server) {
                return;
            }

            probe().run(&server).await.unwrap();
        }
    }

    #[tokio::test]
    async fn many_checks_of_one_server_do_not_take_each_others_replies() {
        let server = target("127.0.0.1:80".parse().unwrap());
        if may_not_ping(&server) {
            return;
        }
        let probe = probe();

        let outcomes = futures_util::future::join_all((0..50).map(|_| probe.run(&server))).await;

        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    }

    #[tokio::test]
    async fn a_check_comes_from_the_address_that_it_is_told() {
        let server = ProbeTarget {
            source: Some("192.0.2.1".parse().unwrap()),
            ..target("127.0.0.1:80".parse().unwrap())
        };
        if may_not_ping(&target(server.server)) {
            return;
        }

        assert_eq!(
            said(&probe(), &server).await,
            "there is no address or port to check from"
        );
    }

    #[test]
    fn an_echo_has_a_checksum_that_sums_up() {
        let echo = request(V4, TOKEN);

        assert_eq!(echo[0], 8);
        assert_eq!(checksum(&echo), [0, 0]);
    }

    #[test]
    fn a_reply_is_known_by_type_and_token_behind_any_header() {
        let mut reply = request(V4, TOKEN);
        reply[0] = 0;
        let mut raw = vec![0x46; 24];
        raw.extend(reply);

        assert!(is_reply(&reply, V4, TOKEN));
        assert!(is_reply(&raw, V4, TOKEN));
        assert!(!is_reply(&request(V4, TOKEN), V4, TOKEN), "a request");
        assert!(!is_reply(&reply, V4, *b"abcdefgi"), "another's");
        reply[0] = 129;
        assert!(is_reply(&reply, V6, TOKEN));
    }

    proptest! {
        #[test]
        fn a_hostile_packet_is_no_reply(
            packet in proptest::collection::vec(any::<u8>(), 0..ROOM),
            is_v4: bool,
        ) {
            let family = if is_v4 { V4 } else { V6 };
            let has_token = packet.windows(8).any(|window| window == TOKEN);

            prop_assert!(has_token || !is_reply(&packet, family, TOKEN));
        }
    }
}
