//! A mail server greets, answers HELO and says goodbye (RFC 5321).

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use super::deadline::Deadline;
use super::failure::{ProbeFailure, quoted};
use super::{Found, ProbeTarget, connect};

/// Bytes of all that a server says; RFC 5321 §4.5.3.1.5 has lines of 512.
const LONGEST: u64 = 16 << 10;

/// A check by a short conversation.
#[derive(Debug)]
pub(super) struct SmtpProbe {
    hello: String,
}

/// A line of a reply (RFC 5321 §4.2.1): `250-more` or `250 last`.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    code: u16,
    is_last: bool,
}

impl SmtpProbe {
    /// Says this name in HELO.
    pub(super) fn new(helo: &str) -> Result<Self, String> {
        if helo.is_empty() || !helo.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!("\"{helo}\" is not a name for HELO"));
        }
        Ok(Self {
            hello: format!("HELO {helo}\r\n"),
        })
    }

    /// Has the conversation.
    pub(super) async fn run(
        &self,
        target: &ProbeTarget,
        deadline: Deadline,
    ) -> Result<Found, ProbeFailure> {
        let connected = async { Ok(connect(target).await?) };
        let mut stream = deadline.answer(connected).await?;
        let (reading, mut writing) = stream.split();
        let mut reading = BufReader::new(reading.take(LONGEST));
        deadline
            .answer(expect(&mut reading, "the greeting", 220))
            .await?;
        writing.write_all(self.hello.as_bytes()).await?;
        deadline
            .answer(expect(&mut reading, "the reply to HELO", 250))
            .await?;
        writing.write_all(b"QUIT\r\n").await?;
        deadline
            .answer(expect(&mut reading, "the reply to QUIT", 221))
            .await?;
        Ok(Found::default())
    }
}

/// Reads a reply to its last line, which must have this code.
async fn expect(
    reading: &mut (impl AsyncBufRead + Unpin),
    what: &str,
    code: u16,
) -> Result<(), ProbeFailure> {
    loop {
        let mut text = Vec::new();
        reading.read_until(b'\n', &mut text).await?;
        if text.is_empty() {
            return Err(ProbeFailure::new(format!("{what} has no end")));
        }
        match line(&text) {
            Some(line) if line.code == code && line.is_last => return Ok(()),
            Some(line) if line.code == code => {}
            _ => {
                let words = format!("{what} is {}, not {code}", quoted(&text));
                return Err(ProbeFailure::new(words));
            }
        }
    }
}

/// The line in these bytes, with or without their end.
fn line(text: &[u8]) -> Option<Line> {
    let (digits, rest) = text.split_first_chunk::<3>()?;
    let digits = std::str::from_utf8(digits).ok()?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let is_last = match rest.first() {
        Some(b'-') => false,
        None | Some(b' ' | b'\r' | b'\n') => true,
        Some(_) => return None,
    };
    Some(Line {
        code: digits.parse().ok()?,
        is_last,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;

    use super::super::Probe;
    use super::super::testing::{
        answering, check, closed_port, endless, hanging_after, hasty, said, serving, target,
    };
    use super::*;
    use crate::config::CheckKind;

    fn kind() -> CheckKind {
        CheckKind::Smtp {
            helo: "gateway.example.com".to_owned(),
        }
    }

    fn probe() -> Probe {
        Probe::new(&check(kind())).unwrap()
    }

    /// A server that greets, and has a reply for HELO and one for QUIT.
    async fn server(greeting: &'static str, helo: &'static str, quit: &'static str) -> ProbeTarget {
        serving(move |mut connection| async move {
            let (reading, mut writing) = connection.split();
            let mut reading = BufReader::new(reading);
            let mut line = String::new();
            let _ = writing.write_all(greeting.as_bytes()).await;
            while reading.read_line(&mut line).await.is_ok_and(|len| len > 0) {
                let reply = match line.as_str() {
                    "HELO gateway.example.com\r\n" => helo,
                    "QUIT\r\n" => quit,
                    _ => "500 what?\r\n",
                };
                let _ = writing.write_all(reply.as_bytes()).await;
                line.clear();
            }
        })
        .await
    }

    #[tokio::test]
    async fn a_server_that_greets_and_says_goodbye_is_good() {
        let server = server("220 mail\r\n", "250 hello\r\n", "221 bye\r\n").await;

        probe().run(&server).await.unwrap();
    }

    #[tokio::test]
    async fn replies_may_have_many_lines() {
        let server = server(
            "220-mail\r\n220-at your service\r\n220\r\n",
            "250-hello\n250 go on\n",
            "221 bye\r\n",
        )
        .await;

        probe().run(&server).await.unwrap();
    }

    #[tokio::test]
    async fn a_wrong_reply_is_shown() {
        for (replies, words) in [
            (
                ["554 go away\r\n", "", ""],
                "the greeting is \"554 go away\", not 220",
            ),
            (
                ["220 mail\r\n", "502 no\r\n", ""],
                "the reply to HELO is \"502 no\", not 250",
            ),
            (
                ["220 mail\r\n", "250-hello\r\n550 or not\r\n", ""],
                "the reply to HELO is \"550 or not\", not 250",
            ),
            (
                ["220 mail\r\n", "250 hello\r\n", "451 stay\r\n"],
                "the reply to QUIT is \"451 stay\", not 221",
            ),
            (
                ["HTTP/1.1 400 Bad Request\r\n", "", ""],
                "the greeting is \"HTTP/1.1 400 Bad Request\", not 220",
            ),
        ] {
            let server = server(replies[0], replies[1], replies[2]).await;
            assert_eq!(said(&probe(), &server).await, words);
        }
    }

    #[tokio::test]
    async fn a_server_that_hangs_or_closes_or_never_ends_is_a_failure() {
        let hasty = Probe::new(&hasty(kind())).unwrap();
        let hanging = hanging_after(b"220-mail\r\n").await;
        let endless = endless(b"220-", b"220-mail\r\n").await;
        let closing = answering("220-mail\r\n").await;
        let closed = target(closed_port().await);

        assert_eq!(said(&hasty, &hanging).await, "no answer within 1.5 s");
        let words = said(&probe(), &endless).await;
        assert!(words.starts_with("the greeting"), "{words}");
        // It waits to be spoken to, and so closes only when the check gives up.
        assert_eq!(said(&hasty, &closing).await, "no answer within 1.5 s");
        assert_eq!(said(&hasty, &closed).await, "connection refused");
    }

    #[test]
    fn a_name_that_would_be_two_commands_is_refused() {
        let helo = "a\r\nMAIL FROM:<>".to_owned();

        let refused = Probe::new(&check(CheckKind::Smtp { helo })).unwrap_err();

        assert!(refused.ends_with("is not a name for HELO"), "{refused}");
    }

    #[test]
    fn a_line_has_three_digits_and_says_whether_it_is_the_last() {
        let of = |code, is_last| Some(Line { code, is_last });

        assert_eq!(line(b"250-more\r\n"), of(250, false));
        assert_eq!(line(b"250 last\r\n"), of(250, true));
        assert_eq!(line(b"250"), of(250, true));
        for none in [
            &b""[..],
            b"25",
            b"2500 no",
            b"+50 no",
            b"abc no",
            b"\xff\xfe\xfd",
        ] {
            assert_eq!(line(none), None, "{none:?}");
        }
    }

    proptest! {
        #[test]
        fn hostile_lines_end(said in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let mut reading = &said[..];

            let heard = runtime.block_on(expect(&mut reading, "the greeting", 220));

            // Only a line of its own can have been right.
            prop_assert_eq!(
                heard.is_ok(),
                said.split(|&byte| byte == b'\n')
                    .find(|text| line(text) != Some(Line { code: 220, is_last: false }))
                    .and_then(line) == Some(Line { code: 220, is_last: true })
            );
        }
    }
}
