//! What the gateway would do with a packet, and why.
//!
//! The workers decide: the one that has the packet's session, or would, says what it does and
//! changes nothing ([`dataplane::explain`]). Here its answer is put into words.

mod packet;
mod told;

use std::net::IpAddr;
use std::time::Duration;

use dataplane::explain::{Explanation, Outcome, Probe, Question};
use dataplane::id::WorkerId;

use super::Gateway;
use crate::view::{ExplainQuery, ExplainView};
use packet::Packet;

/// How long a worker may take; it answers within a turn unless it is stuck.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often to look for its answer.
const POLL: Duration = Duration::from_micros(200);

/// Why a packet could not be explained.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ExplainError {
    /// No such transport.
    #[error("the protocol \"{0}\" is unknown: use tcp, udp or sctp")]
    BadProtocol(String),
    /// No such control bit.
    #[error("tcp has no flag \"{0}\": use some of fin, syn, rst, psh, ack and urg, as in syn,ack")]
    BadTcpFlag(String),
    /// No such chunk.
    #[error(
        "sctp has no chunk \"{0}\" that matters: use one of data, init, init-ack, abort, shutdown, \
         shutdown-ack, cookie-echo, cookie-ack and shutdown-complete"
    )]
    BadSctpChunk(String),
    /// Datagrams say nothing about a connection.
    #[error("udp has no flags: leave \"{0}\" out")]
    NoUdpFlags(String),
    /// Nobody sends such a packet.
    #[error("{0} and {1} are not of one family: use two IPv4 or two IPv6 addresses")]
    MixedFamilies(IpAddr, IpAddr),
    /// No such port.
    #[error("there is no port \"{0}\": {1}")]
    UnknownPort(String, String),
    /// A worker does not answer.
    #[error("worker {0} does not answer: is its core taken by something else?")]
    NoAnswer(u16),
}

impl Gateway {
    /// What would become of a packet; nothing is sent, and nothing changes.
    ///
    /// # Errors
    ///
    /// When the question makes no sense, or a worker does not answer.
    pub async fn explain(&self, query: &ExplainQuery) -> Result<ExplainView, ExplainError> {
        let (config, snapshot) = self.present();
        let packet = Packet::read(query, &config, &snapshot)?;
        let Some(probe) = packet.probe() else {
            return Ok(told::ipv6(&packet));
        };
        let (visited, explanation) = self.follow(probe).await?;
        let told = told::Told {
            config: &config,
            snapshot: &snapshot,
            packet: &packet,
            explanation: &explanation,
        };
        Ok(told.view(&visited))
    }

    /// Asks one worker after the other, as the packet would be handed from one to the next; gives
    /// those that handed it on, and what the last one said.
    async fn follow(&self, mut probe: Probe) -> Result<(Vec<WorkerId>, Explanation), ExplainError> {
        // One at a time, so that answers come in the order of the questions.
        let mut number = self.explaining.lock().await;
        let mut at = WorkerId(0);
        let mut visited = Vec::new();
        loop {
            *number += 1;
            let explanation = self.ask_about(at, *number, probe).await?;
            let Outcome::HandedOver(to) = explanation.outcome else {
                return Ok((visited, explanation));
            };
            visited.push(at);
            probe.visited = probe.visited.with(at);
            at = to;
        }
    }

    /// What a worker says. Dropping the future leaves the question behind; its number tells.
    async fn ask_about(
        &self,
        worker: WorkerId,
        number: u64,
        probe: Probe,
    ) -> Result<Explanation, ExplainError> {
        let silent = || ExplainError::NoAnswer(worker.0);
        let mailbox = self
            .plane
            .mailboxes
            .get(worker.index())
            .ok_or_else(silent)?;
        let question = Question {
            number,
            probe,
            answer: None,
        };
        mailbox.probe(Box::new(question)).map_err(|_| silent())?;
        let answer = async {
            loop {
                match mailbox.explained() {
                    Some(question) if question.number == number => return question.answer,
                    Some(_too_late) => {}
                    None => tokio::time::sleep(POLL).await,
                }
            }
        };
        let answer = tokio::time::timeout(PATIENCE, answer).await;
        answer.ok().flatten().ok_or_else(silent)
    }
}
