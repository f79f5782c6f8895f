//! The least of an HTTP client, so that the tests do not ask the gateway with its own client.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::Value;

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// The header line of a change that overwrites whatever is there.
pub(crate) const ANY: &str = "If-Match: *\r\n";

/// The header line of a body in JSON.
pub(crate) const JSON: &str = "Content-Type: application/json\r\n";

impl Answer {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// The header line that makes a change depend on what this answer shows.
    pub(crate) fn if_match(&self) -> String {
        format!("If-Match: {}\r\n", self.header("etag").expect(&self.head))
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect(&self.body)
    }

    /// The sentences of a refusal.
    pub(crate) fn errors(&self) -> Vec<String> {
        serde_json::from_value(self.json()["errors"].clone()).expect(&self.body)
    }
}

/// Asks over a Unix socket. `headers` are whole lines, each with its line end.
pub(crate) fn ask(socket: &Path, request: &str, headers: &str, body: &[u8]) -> Answer {
    let stream = UnixStream::connect(socket).expect("the gateway answers");
    exchange(stream, request, headers, body)
}

pub(crate) fn get(socket: &Path, path: &str) -> Answer {
    ask(socket, &format!("GET {path}"), "", b"")
}

pub(crate) fn get_tcp(address: std::net::SocketAddr, path: &str) -> Answer {
    let stream = TcpStream::connect(address).expect("the gateway answers");
    exchange(stream, &format!("GET {path}"), "", b"")
}

fn exchange(mut stream: impl Read + Write, request: &str, headers: &str, body: &[u8]) -> Answer {
    let length = body.len();
    let head = format!(
        "{request} HTTP/1.1\r\nHost: sluice\r\nConnection: close\r\n\
         Content-Length: {length}\r\n{headers}\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    // Who refuses a body may do so before all of it has arrived.
    let _unread = stream.write_all(body);
    let mut answer = Vec::new();
    let _reset = stream.read_to_end(&mut answer);
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect(&answer);
    let head = head.to_lowercase();
    let is_chunked = head.contains("transfer-encoding: chunked");
    Answer {
        status: head[9..12].parse().unwrap(),
        body: if is_chunked {
            dechunked(body)
        } else {
            body.to_owned()
        },
        head,
    }
}

/// A body without the lengths of its chunks (RFC 9112 §7.1); it must have its last one.
fn dechunked(mut body: &str) -> String {
    let mut whole = String::new();
    loop {
        let (length, rest) = body.split_once("\r\n").expect("a chunk has a length");
        let length = usize::from_str_radix(length, 16).expect("a length is a number");
        if length == 0 {
            return whole;
        }
        whole.push_str(&rest[..length]);
        body = &rest[length + 2..];
    }
}
