//! Asks a server by a socket of Linux's, and waits for what it says.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

/// How long a server has for an answer: what is lost once is sent again after a second.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long each of several requests waits.
const TURN: Duration = Duration::from_millis(1_500);

/// A question of DNS (RFC 1035 §4.1) for the root's name servers. Who speaks DNS answers it, and
/// so does who answers anything.
const QUESTION: &[u8] = b"\x51\x1c\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x01";

/// The headers of IPv4 and of an echo, in bytes.
const ECHO_HEADERS: u16 = 20 + 8;

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// It was taken.
    Taken,
    /// Somebody is there, and said no.
    Refused,
    /// Nobody said anything.
    Silence,
    /// A router, or this host after it asked by ARP, said that nobody is there.
    Unreachable(String),
    /// It could not be asked from here.
    Failed(String),
}

impl From<io::Error> for Heard {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset => Self::Refused,
            ErrorKind::TimedOut | ErrorKind::WouldBlock => Self::Silence,
            ErrorKind::HostUnreachable => Self::Unreachable(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}

/// Begins a connection, and ends it at once.
pub(super) fn connect(source: Option<Ipv4Addr>, to: SocketAddr) -> Heard {
    let connected = || -> io::Result<()> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
        if let Some(source) = source {
            socket.bind(&SocketAddrV4::new(source, 0).into())?;
        }
        // Nobody is to wait for its last packets.
        socket.set_linger(Some(Duration::ZERO))?;
        socket.connect_timeout(&to.into(), PATIENCE)
    };
    connected().map_or_else(Heard::from, |()| Heard::Taken)
}

/// Who answered a datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Replier {
    /// The address that was asked.
    Asked,
    /// The server's own address.
    Server,
}

/// Asks `check` by UDP from `source`, which the server sees come from `own`; listens there too, for
/// an answer from the server's own address.
pub(super) fn datagram(
    (source, own): (Ipv4Addr, Ipv4Addr),
    check: SocketAddrV4,
    server: SocketAddr,
) -> Result<Replier, Heard> {
    let asking = UdpSocket::bind((source, 0))?;
    let port = asking.local_addr()?.port();
    let beside = UdpSocket::bind((own, port))?;
    asking.connect(check)?;
    for socket in [&asking, &beside] {
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    }
    let mut buffer = [0; 2_048];
    for _ in 0..2 {
        asking.send(QUESTION)?;
        let until = Instant::now() + TURN;
        while Instant::now() < until {
            match asking.recv(&mut buffer).map_err(Heard::from) {
                Ok(_) => return Ok(Replier::Asked),
                Err(Heard::Silence) => {}
                Err(heard) => return Err(heard),
            }
            match beside.recv_from(&mut buffer) {
                Ok((_, from)) if from.ip() == server.ip() => return Ok(Replier::Server),
                _ => {}
            }
        }
    }
    Err(Heard::Silence)
}

/// Sends an echo in a packet of `bytes` bytes that nobody may fragment, twice at most.
pub(super) fn echo(source: Ipv4Addr, to: Ipv4Addr, bytes: u16) -> Heard {
    let asked = || -> io::Result<()> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::ICMPV4))
            .or_else(|_| Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)))?;
        socket.bind(&SocketAddrV4::new(source, 0).into())?;
        socket.connect(&SocketAddrV4::new(to, 0).into())?;
        socket.set_read_timeout(Some(TURN))?;
        let request = request(bytes);
        let token = request.get(8..16).unwrap_or_default();
        let mut answered = Err(ErrorKind::TimedOut.into());
        for _ in 0..2 {
            socket.send(&request)?;
            answered = hear(&socket, token);
            if answered.is_ok() {
                break;
            }
        }
        answered
    };
    asked().map_or_else(Heard::from, |()| Heard::Taken)
}

/// Waits for the reply that has the token: a raw socket hears others too.
fn hear(socket: &Socket, token: &[u8]) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 16];
    let until = Instant::now() + TURN;
    loop {
        let len = io::Read::read(&mut &*socket, &mut buffer)?;
        let packet = buffer.get(..len).unwrap_or_default();
        // With or without the header of IPv4, 0 is the type of a reply.
        let replies = [packet, packet.get(20..).unwrap_or_default()];
        let is_ours = |echo: &[u8]| echo.first() == Some(&0) && echo.get(8..16) == Some(token);
        if replies.into_iter().any(is_ours) {
            return Ok(());
        }
        if Instant::now() > until {
            return Err(ErrorKind::TimedOut.into());
        }
    }
}

/// An echo request whose packet has `bytes` bytes.
fn request(bytes: u16) -> Vec<u8> {
    let data = usize::from(bytes.saturating_sub(ECHO_HEADERS)).max(8);
    let mut echo = vec![0; 8 + data];
    echo[0] = 8;
    let now = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap_or_default();
    let token = now.as_nanos().to_be_bytes();
    echo[8..16].copy_from_slice(&token[8..]);
    // RFC 1071; a datagram socket's kernel makes it anew.
    let words = echo
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let sum = words.fold(0, |sum: u32, word| {
        let sum = sum + word;
        (sum & 0xffff) + (sum >> 16)
    });
    let [_, _, high, low] = (!sum).to_be_bytes();
    echo[2..4].copy_from_slice(&[high, low]);
    echo
}
