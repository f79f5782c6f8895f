//! One connection to a web server that never makes its thread wait.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddrV4, TcpStream};

use socket2::{Domain, Protocol, Socket, Type};

use super::http::{self, Received};

/// A connection that is being made, or carries one request at a time.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// What has still to be sent; nothing once it was.
    request: Vec<u8>,
    received: Vec<u8>,
}

impl Connection {
    /// Begins to connect to `target` from `source`, or where Linux chooses, in the network
    /// namespace of the calling thread.
    ///
    /// # Errors
    ///
    /// When there is no route, or the port is taken.
    pub fn open(source: Option<SocketAddrV4>, target: SocketAddrV4) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        if let Some(source) = source {
            // A connection that the client closed first may still rest on the port.
            socket.set_reuse_address(true)?;
            socket.bind(&source.into())?;
        }
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        match socket.connect(&target.into()) {
            Err(error) if error.raw_os_error() != Some(nix::libc::EINPROGRESS) => Err(error),
            _ => Ok(Self {
                stream: socket.into(),
                request: Vec::new(),
                received: Vec::new(),
            }),
        }
    }

    /// The socket, to wait for.
    #[must_use]
    pub const fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends `request` as soon as it can; what was received before is forgotten.
    pub fn ask(&mut self, request: &[u8]) {
        self.received.clear();
        self.request.clear();
        self.request.extend_from_slice(request);
    }

    /// Goes on as far as it can without waiting; says whether the answer is whole.
    ///
    /// # Errors
    ///
    /// When the connection is refused, reset or closed before the answer is whole.
    pub fn advance(&mut self) -> io::Result<bool> {
        if !self.request.is_empty() && !self.send()? {
            return Ok(false);
        }
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) if self.answer().is_some() => return Ok(true),
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(length) => self.received.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        match http::received(&self.received) {
            Received::Whole { .. } => Ok(true),
            Received::Partial => Ok(false),
            Received::Nonsense => Err(ErrorKind::InvalidData.into()),
        }
    }

    /// The status and the body of the answer, once it is whole.
    #[must_use]
    pub fn answer(&self) -> Option<(u16, &[u8])> {
        match http::received(&self.received) {
            Received::Whole { status, body } => Some((status, body)),
            Received::Partial | Received::Nonsense => None,
        }
    }

    /// Whether the request is on its way; not yet while the connection is being made.
    fn send(&mut self) -> io::Result<bool> {
        if let Some(error) = self.stream.take_error()? {
            return Err(error);
        }
        match self.stream.write(&self.request) {
            Ok(length) if length == self.request.len() => {
                self.request.clear();
                Ok(true)
            }
            Ok(_) => Err(ErrorKind::WriteZero.into()),
            // Linux says EAGAIN or ENOTCONN before the handshake is over.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::NotConnected
                ) =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::{Duration, Instant};

    use super::*;

    fn listener() -> (TcpListener, SocketAddrV4) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has ports");
        let port = listener.local_addr().expect("it is bound").port();
        (listener, SocketAddrV4::new([127, 0, 0, 1].into(), port))
    }

    fn outcome(connection: &mut Connection) -> io::Result<bool> {
        let start = Instant::now();
        loop {
            match connection.advance() {
                Ok(false) if start.elapsed() < Duration::from_secs(5) => std::thread::yield_now(),
                other => return other,
            }
        }
    }

    #[test]
    fn a_kept_connection_carries_one_request_after_the_other() {
        let (listener, target) = listener();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("it comes");
            for body in ["a", "b"] {
                let mut buffer = [0; 512];
                let _ = stream.read(&mut buffer).expect("it asks");
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{body}");
                stream.write_all(answer.as_bytes()).expect("it listens");
            }
        });
        let mut connection = Connection::open(None, target).expect("the loopback is up");

        for body in [b"a", b"b"] {
            connection.ask(&http::request(target, true));
            assert!(outcome(&mut connection).expect("it answers"));
            assert_eq!(connection.answer(), Some((200, body.as_slice())));
        }
        server.join().expect("it answered twice");
    }

    #[test]
    fn a_refused_connection_and_a_cut_answer_are_errors() {
        let (listener, target) = listener();
        let mut cut = Connection::open(None, target).expect("the loopback is up");
        cut.ask(&http::request(target, false));
        let (stream, _) = listener.accept().expect("it comes");
        drop((stream, listener));
        assert!(outcome(&mut cut).is_err());

        let mut refused = Connection::open(None, target).expect("refusal comes later");
        refused.ask(&http::request(target, false));
        assert!(outcome(&mut refused).is_err());
    }
}
