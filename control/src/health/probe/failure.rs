//! Why a server is not well.

use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::io::{self, ErrorKind};

/// Characters of a server's words that are shown.
const SHOWN: usize = 60;

/// Why a server is not well: one short sentence, as `connection refused` or
/// `status 503, not 200-299`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeFailure {
    words: String,
    is_ours: bool,
}

impl ProbeFailure {
    /// A failure in these words.
    pub(in crate::health) fn new(words: impl Into<String>) -> Self {
        Self {
            words: words.into(),
            is_ours: false,
        }
    }

    /// Nobody was asked, for the gateway lacks something.
    pub(in crate::health) fn ours(words: impl Into<String>) -> Self {
        Self {
            words: words.into(),
            is_ours: true,
        }
    }

    /// Whether the gateway lacked something, so that this says nothing of the server.
    #[must_use]
    pub const fn is_ours(&self) -> bool {
        self.is_ours
    }
}

impl Display for ProbeFailure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl Error for ProbeFailure {}

impl From<io::Error> for ProbeFailure {
    fn from(error: io::Error) -> Self {
        if let Some(words) = lack(&error) {
            return Self::ours(words);
        }
        let words = match error.kind() {
            ErrorKind::ConnectionRefused => "connection refused",
            ErrorKind::ConnectionReset => "connection reset by the server",
            ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof => {
                "the server closed the connection"
            }
            ErrorKind::HostUnreachable => "no route to host",
            ErrorKind::NetworkUnreachable => "the network is unreachable",
            // The kernel gave up before the check did.
            ErrorKind::TimedOut => "no answer to the connection's packets",
            _ => return Self::new(error.to_string()),
        };
        Self::new(words)
    }
}

/// What this machine lacks, if that is what the kernel says.
fn lack(error: &io::Error) -> Option<&'static str> {
    let is_address = matches!(
        error.kind(),
        ErrorKind::AddrNotAvailable | ErrorKind::AddrInUse
    );
    if is_address {
        return Some("there is no address or port to check from");
    }
    Some(match error.raw_os_error()? {
        libc::EMFILE => "the gateway has too many files open",
        libc::ENFILE => "the machine has too many files open",
        libc::ENOBUFS | libc::ENOMEM => "the machine has no memory for it",
        libc::EAGAIN => "the machine has too many processes",
        _ => return None,
    })
}

/// What a server said, short and harmless enough for a sentence.
pub(in crate::health) fn quoted(said: &[u8]) -> String {
    let said = said.trim_ascii();
    // Four bytes are the longest character of UTF-8.
    let begin = said.get(..SHOWN * 4).unwrap_or(said);
    let text = String::from_utf8_lossy(begin);
    let mut shown: String = text.chars().take(SHOWN).map(visible).collect();
    if said.len() > begin.len() || text.chars().count() > SHOWN {
        shown.push('…');
    }
    format!("\"{shown}\"")
}

/// The character, or one in its place that does nothing to a terminal or a log.
fn visible(character: char) -> char {
    if character.is_control() {
        '\u{fffd}'
    } else {
        character
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_words_are_cut_and_lose_what_is_not_text() {
        assert_eq!(quoted(b"554 go away\r\n"), "\"554 go away\"");
        assert_eq!(quoted(b"\x1b[31mred"), "\"\u{fffd}[31mred\"");
        assert_eq!(quoted(&[b'a'; 60]), format!("\"{}\"", "a".repeat(60)));
        assert_eq!(quoted(&[b'a'; 61]), format!("\"{}…\"", "a".repeat(60)));
        assert_eq!(quoted(&[b'a'; 5000]), format!("\"{}…\"", "a".repeat(60)));
    }

    #[test]
    fn an_error_of_the_kernel_is_said_in_an_operators_words() {
        let of = |code| ProbeFailure::from(io::Error::from_raw_os_error(code)).to_string();

        assert_eq!(of(libc::ECONNREFUSED), "connection refused");
        assert_eq!(of(libc::EHOSTUNREACH), "no route to host");
        assert_eq!(of(libc::ENETUNREACH), "the network is unreachable");
        assert_eq!(of(libc::ECONNRESET), "connection reset by the server");
    }

    #[test]
    fn what_this_machine_lacks_says_nothing_of_the_server() {
        let is_ours = |code| ProbeFailure::from(io::Error::from_raw_os_error(code)).is_ours();

        let lacks = [
            libc::EMFILE,
            libc::ENFILE,
            libc::ENOBUFS,
            libc::EADDRNOTAVAIL,
        ];
        let failures = [libc::ECONNREFUSED, libc::EHOSTUNREACH, libc::ETIMEDOUT];
        assert_eq!(lacks.map(is_ours), [true; 4]);
        assert_eq!(failures.map(is_ours), [false; 3]);
    }
}
