//! A datagram, and perhaps one back.
//!
//! Without an expected answer silence is good: that is what a server does that drops what it does
//! not understand. What tells it from one that is not there is an ICMP error, which a connected
//! socket gets as an error; so such a check takes the whole timeout, unless the server answers.

use super::deadline::Deadline;
use super::failure::{ProbeFailure, quoted};
use super::socket::udp_socket;
use super::{Found, ProbeTarget};
use crate::config::Udp;

/// Bytes of an answer that are read at least, to show them.
const SHOWN: usize = 256;

/// A check by a datagram.
#[derive(Debug)]
pub(super) struct UdpProbe {
    send: Vec<u8>,
    expect: Option<Vec<u8>>,
}

impl UdpProbe {
    /// What is configured.
    pub(super) fn new(udp: &Udp) -> Self {
        Self {
            send: udp.send.clone(),
            expect: udp.expect.clone(),
        }
    }

    /// Sends, and waits for the answer or for an error.
    pub(super) async fn run(
        &self,
        target: &ProbeTarget,
        deadline: Deadline,
    ) -> Result<Found, ProbeFailure> {
        match &self.expect {
            Some(expected) => {
                let answer = deadline.answer(self.answer(target)).await?;
                if !answer.starts_with(expected) {
                    let words = format!("the answer {} is not as expected", quoted(&answer));
                    return Err(ProbeFailure::new(words));
                }
            }
            None => {
                let heard = tokio::time::timeout(deadline.left(), self.answer(target)).await;
                // Nothing heard is what was hoped for.
                heard.unwrap_or_else(|_| Ok(Vec::new()))?;
            }
        }
        Ok(Found::default())
    }

    async fn answer(&self, target: &ProbeTarget) -> Result<Vec<u8>, ProbeFailure> {
        let socket = udp_socket(target).await?;
        socket.send(&self.send).await?;
        let wanted = self.expect.as_ref().map_or(0, Vec::len);
        // The kernel cuts a datagram that is longer; only its beginning counts.
        let mut answer = vec![0; wanted.max(SHOWN)];
        let len = socket.recv(&mut answer).await?;
        answer.truncate(len);
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::UdpSocket;

    use super::super::Probe;
    use super::super::testing::{check, said, target};
    use super::*;
    use crate::config::CheckKind;

    fn probe(expect: Option<&[u8]>) -> Probe {
        let mut check = check(CheckKind::Udp(Udp {
            send: b"ping".to_vec(),
            expect: expect.map(<[u8]>::to_vec),
        }));
        check.timing.timeout = Duration::from_millis(200);
        Probe::new(&check).unwrap()
    }

    /// A server that answers the datagram `ping` with `answer`; nothing else, and not without one.
    async fn server(answer: Option<&'static [u8]>) -> ProbeTarget {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut datagram = [0; 16];
            loop {
                let (len, client) = socket.recv_from(&mut datagram).await.unwrap();
                if let (b"ping", Some(answer)) = (&datagram[..len], answer) {
                    socket.send_to(answer, client).await.unwrap();
                }
            }
        });
        target(address)
    }

    async fn closed() -> ProbeTarget {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        target(socket.local_addr().unwrap())
    }

    #[tokio::test]
    async fn an_answer_that_begins_as_expected_is_good() {
        let server = server(Some(b"pong 17")).await;

        probe(Some(b"pong")).run(&server).await.unwrap();
    }

    #[tokio::test]
    async fn another_answer_is_shown() {
        let server = server(Some(b"what?")).await;

        assert_eq!(
            said(&probe(Some(b"pong")), &server).await,
            "the answer \"what?\" is not as expected"
        );
    }

    #[tokio::test]
    async fn an_expected_answer_that_does_not_come_is_missed() {
        let server = server(None).await;

        assert_eq!(
            said(&probe(Some(b"pong")), &server).await,
            "no answer within 200 ms"
        );
    }

    #[tokio::test]
    async fn silence_is_good_if_nothing_is_expected() {
        let server = server(None).await;

        let outcome = probe(None).run(&server).await.unwrap();

        assert!(outcome.took >= Duration::from_millis(200), "{outcome:?}");
    }

    #[tokio::test]
    async fn any_answer_is_good_at_once_if_none_is_expected() {
        let server = server(Some(b"")).await;

        let outcome = probe(None).run(&server).await.unwrap();

        assert!(outcome.took < Duration::from_millis(200), "{outcome:?}");
    }

    #[tokio::test]
    async fn a_port_that_nobody_has_is_a_failure_with_and_without_an_expected_answer() {
        let server = closed().await;

        for expect in [None, Some(&b"pong"[..])] {
            assert_eq!(said(&probe(expect), &server).await, "connection refused");
        }
    }
}
