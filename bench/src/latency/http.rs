//! As much HTTP/1.1 (RFC 9112) as the clients and the servers of these measurements speak.

use std::net::SocketAddrV4;

/// What the bytes received so far are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received<'a> {
    /// Not yet a whole answer.
    Partial,
    /// A whole answer.
    Whole {
        /// 200 if all is well.
        status: u16,
        /// What follows the header.
        body: &'a [u8],
    },
    /// No HTTP, or an answer of unknown length.
    Nonsense,
}

/// A request for `/`, on a connection that is `kept` or not.
#[must_use]
pub fn request(target: SocketAddrV4, kept: bool) -> Vec<u8> {
    let connection = if kept { "keep-alive" } else { "close" };
    format!("GET / HTTP/1.1\r\nHost: {target}\r\nConnection: {connection}\r\n\r\n").into_bytes()
}

/// Where a header ends in `bytes`, if it does: the place behind the empty line.
#[must_use]
pub fn header_end(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some(end + 4)
}

/// Reads the answer at the front of `bytes`.
#[must_use]
pub fn received(bytes: &[u8]) -> Received<'_> {
    let Some(end) = header_end(bytes) else {
        return Received::Partial;
    };
    let Some((status, length)) = status_and_length(&bytes[..end]) else {
        return Received::Nonsense;
    };
    match bytes.get(end..end + length) {
        Some(body) => Received::Whole { status, body },
        None => Received::Partial,
    }
}

/// The status and the `Content-Length` of a header.
fn status_and_length(header: &[u8]) -> Option<(u16, usize)> {
    let header = std::str::from_utf8(header).ok()?;
    let mut lines = header.lines();
    let status = lines.next()?.strip_prefix("HTTP/1.1 ")?;
    let status = status.split(' ').next()?.parse().ok()?;
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse::<u16>().ok())?
    })?;
    Some((status, usize::from(length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nServer: x\r\ncontent-length: 3\r\n\r\nabc";

    #[test]
    fn an_answer_is_whole_with_its_last_byte_and_not_before() {
        for length in 0..ANSWER.len() {
            assert_eq!(received(&ANSWER[..length]), Received::Partial, "{length}");
        }
        let whole = Received::Whole {
            status: 200,
            body: b"abc",
        };
        assert_eq!(received(ANSWER), whole);
    }

    #[test]
    fn what_has_no_status_or_no_length_is_no_answer() {
        assert_eq!(received(b"SSH-2.0-x\r\n\r\n"), Received::Nonsense);
        assert_eq!(
            received(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"),
            Received::Nonsense
        );
        assert_eq!(
            received(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"),
            Received::Whole {
                status: 503,
                body: b""
            }
        );
    }

    #[test]
    fn a_request_says_whether_the_connection_is_kept() {
        let target = SocketAddrV4::new([10, 1, 0, 101].into(), 80);

        let kept = String::from_utf8(request(target, true)).expect("it is text");
        let closed = String::from_utf8(request(target, false)).expect("it is text");

        assert!(kept.contains("Host: 10.1.0.101:80\r\nConnection: keep-alive\r\n\r\n"));
        assert!(closed.contains("Connection: close\r\n"));
    }
}
