//! Asks a server for its load, in the protocol of `HAProxy`'s agent check.
//!
//! Whoever connects is told one line, and the connection ends. The line has words, separated by
//! spaces, tabs and commas:
//!
//! ```text
//!   75%            the percentage of its weight that the server asks for; 0% is drain
//!   maxconn:100    how many sessions it wants at most, as `-x` of ipvsadm; 0 is any number
//!   up down failed stopped      whether it works
//!   ready drain maint           whether it may be used
//!   #text          why, to the end of the line
//! ```
//!
//! A line may say both: `ready up 75%`. Of several states of a kind the gravest counts, which is
//! the last in this list. Words that are none of these are passed over, and the log has the first of
//! them. Whoever writes an agent reads more in `docs/operations.md`.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;

use super::probe::{Deadline, ProbeFailure, ProbeTarget, connect, percentage, quoted};

/// The greatest threshold that a server can have, as in the kernel.
const MOST_SESSIONS: u32 = i32::MAX as u32;

/// Bytes of a line.
const LONGEST: usize = 1024;

/// What an agent says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentWord {
    /// The percentage of its weight that the server asks for, 0 to 999.
    pub percent: Option<u16>,
    /// Whether it works: up, down, failed or stopped.
    pub works: Option<AgentState>,
    /// Whether it may be used: ready, drain or maint.
    pub admits: Option<AgentState>,
    /// How many sessions it wants at most.
    pub max_sessions: Option<u32>,
    /// Why, in its own words.
    pub reason: Option<String>,
    /// The first word that is none of the protocol's, to be told.
    pub ignored: Option<String>,
}

/// What a server says of itself; of each kind the later, the graver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AgentState {
    /// It works.
    Up,
    /// It does not work.
    Down,
    /// Its own check of itself has failed.
    Fail,
    /// It was stopped by hand.
    Stopped,
    /// It is no longer taken out by its own hand.
    Ready,
    /// Sessions may go on; none may begin.
    Drain,
    /// It is being worked at: as if its operator had disabled it.
    Maint,
}

impl AgentState {
    fn of(word: &str) -> Option<Self> {
        Some(match word {
            "up" => Self::Up,
            "ready" => Self::Ready,
            "drain" => Self::Drain,
            "down" => Self::Down,
            "fail" | "failed" => Self::Fail,
            "stopped" => Self::Stopped,
            "maint" => Self::Maint,
            _ => return None,
        })
    }
}

impl AgentWord {
    /// What this line says, to its end or that of the text.
    #[must_use]
    pub fn parse(line: &str) -> Self {
        let line = line.split(['\r', '\n']).next().unwrap_or_default();
        let (words, reason) = match line.split_once('#') {
            Some((words, reason)) => (words, Some(reason.trim())),
            None => (line, None),
        };
        let mut said = Self {
            reason: reason.filter(|reason| !reason.is_empty()).map(shown),
            ..Self::default()
        };
        for word in words
            .split([' ', '\t', ','])
            .filter(|word| !word.is_empty())
        {
            said.hear(word);
        }
        said
    }

    fn hear(&mut self, word: &str) {
        let small = word.to_ascii_lowercase();
        let percent = small.ends_with('%').then(|| percentage(&small)).flatten();
        let sessions = small
            .strip_prefix("maxconn:")
            .and_then(|number| number.parse().ok())
            .filter(|number| *number <= MOST_SESSIONS);
        if let Some(state) = AgentState::of(&small) {
            let said = if state < AgentState::Ready {
                &mut self.works
            } else {
                &mut self.admits
            };
            *said = (*said).max(Some(state));
        } else if percent.is_some() {
            self.percent = percent;
        } else if sessions.is_some() {
            self.max_sessions = sessions;
        } else {
            self.ignored.get_or_insert_with(|| shown(word));
        }
    }
}

/// An agent's words, short and harmless.
fn shown(text: &str) -> String {
    quoted(text.as_bytes()).trim_matches('"').to_owned()
}

/// What the agent at `addr` says within `timeout`.
///
/// # Errors
///
/// There is nobody, no line in time, or one of more than 1 KiB.
pub async fn ask(addr: SocketAddr, timeout: Duration) -> Result<AgentWord, ProbeFailure> {
    let deadline = Deadline::new(Instant::now(), timeout);
    let line = deadline.answer(line_of(addr)).await?;
    Ok(AgentWord::parse(&line))
}

async fn line_of(addr: SocketAddr) -> Result<String, ProbeFailure> {
    let target = ProbeTarget {
        server: addr,
        source: None,
        vip: None,
        service: String::new(),
    };
    let mut reading = connect(&target).await?.take(LONGEST as u64);
    let mut line = Vec::with_capacity(64);
    while !line.contains(&b'\n') && reading.read_buf(&mut line).await? > 0 {}
    if line.is_empty() {
        return Err(ProbeFailure::new("the agent closed without a word"));
    }
    if line.len() == LONGEST && !line.contains(&b'\n') {
        return Err(ProbeFailure::new("the agent's line has no end"));
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    fn works(state: AgentState) -> AgentWord {
        AgentWord {
            works: Some(state),
            ..AgentWord::default()
        }
    }

    fn admits(state: AgentState) -> AgentWord {
        AgentWord {
            admits: Some(state),
            ..AgentWord::default()
        }
    }

    #[test]
    fn words_are_separated_by_spaces_tabs_and_commas() {
        let expected = AgentWord {
            percent: Some(75),
            max_sessions: Some(100),
            ..works(AgentState::Up)
        };

        for line in [
            "up 75% maxconn:100\n",
            "\t75%,UP,,maxconn:100\r\n",
            "maxconn:100 Up 75%\rdown",
            "up 75% maxconn:100\ndown\n",
        ] {
            assert_eq!(AgentWord::parse(line), expected, "{line:?}");
        }
    }

    #[test]
    fn every_state_has_its_word() {
        for (word, expected) in [
            ("up", works(AgentState::Up)),
            ("down", works(AgentState::Down)),
            ("failed", works(AgentState::Fail)),
            ("fail", works(AgentState::Fail)),
            ("stopped", works(AgentState::Stopped)),
            ("ready", admits(AgentState::Ready)),
            ("drain", admits(AgentState::Drain)),
            ("maint", admits(AgentState::Maint)),
        ] {
            assert_eq!(AgentWord::parse(word), expected);
        }
    }

    #[test]
    fn a_line_may_say_that_a_server_works_and_whether_it_may_be_used() {
        for line in ["drain up", "up drain", "ready drain up"] {
            let expected = AgentWord {
                admits: Some(AgentState::Drain),
                ..works(AgentState::Up)
            };
            assert_eq!(AgentWord::parse(line), expected, "{line}");
        }
    }

    #[test]
    fn the_gravest_state_of_a_kind_counts_wherever_it_stands() {
        assert_eq!(AgentWord::parse("up,down"), works(AgentState::Down));
        assert_eq!(
            AgentWord::parse("stopped up down"),
            works(AgentState::Stopped)
        );
        assert_eq!(AgentWord::parse("maint drain"), admits(AgentState::Maint));
    }

    #[test]
    fn a_reason_goes_to_the_end_of_the_line() {
        let word = AgentWord::parse("down #disk full, 75%\n");

        let expected = AgentWord {
            reason: Some("disk full, 75%".to_owned()),
            ..works(AgentState::Down)
        };
        assert_eq!(word, expected);
    }

    #[test]
    fn what_is_not_of_the_protocol_is_passed_over_and_the_first_of_it_told() {
        let word = AgentWord::parse("75 hello 1000% maxconn:-1 maxconn: maxconn:2147483648 up");

        let expected = AgentWord {
            ignored: Some("75".to_owned()),
            ..works(AgentState::Up)
        };
        assert_eq!(word, expected);
        assert_eq!(AgentWord::parse("\n"), AgentWord::default());
    }

    /// An agent that says this, and hangs up if it `closes`.
    async fn agent(line: Vec<u8>, closes: bool) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut connection, _) = listener.accept().await.unwrap();
            let _ = connection.write_all(&line).await;
            if !closes {
                std::future::pending::<()>().await;
            }
        });
        address
    }

    async fn asked(line: &[u8], closes: bool) -> Result<AgentWord, String> {
        let agent = agent(line.to_vec(), closes).await;
        let asked = ask(agent, Duration::from_millis(1_500)).await;
        asked.map_err(|failure| failure.to_string())
    }

    #[tokio::test]
    async fn an_agents_line_ends_with_itself_or_the_connection() {
        let up = Ok(works(AgentState::Up));

        assert_eq!(asked(b"up\n", false).await, up);
        assert_eq!(asked(b"up", true).await, up);
    }

    #[tokio::test]
    async fn an_agent_without_a_line_is_a_failure() {
        let failed = |words: &str| Err(words.to_owned());

        assert_eq!(
            asked(b"", true).await,
            failed("the agent closed without a word")
        );
        assert_eq!(asked(b"up", false).await, failed("no answer within 1.5 s"));
        assert_eq!(
            asked(&[b'a'; LONGEST + 1], true).await,
            failed("the agent's line has no end")
        );
    }

    proptest! {
        #[test]
        fn any_line_is_some_word(line in "\\PC{0,200}") {
            let word = AgentWord::parse(&line);

            prop_assert!(word.percent.is_none_or(|percent| percent <= 999));
            prop_assert!(word.reason.is_none() || line.contains('#'));
        }

        #[test]
        fn lines_of_known_words_are_known(
            line in "((up|drain|75%|maxconn:5|ready)[ ,\t]{1,3}){0,8}",
        ) {
            prop_assert_eq!(AgentWord::parse(&line).ignored, None);
        }
    }
}
