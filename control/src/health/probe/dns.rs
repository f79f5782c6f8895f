//! A DNS question is answered (RFC 1035), over UDP.
//!
//! The answer has the question's number and no error; what it says matters only if one of its
//! answers is wanted. Datagrams that are no answer to the question are passed over.

use std::str::FromStr;

use hickory_proto::op::{Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::net::UdpSocket;

use super::deadline::Deadline;
use super::failure::ProbeFailure;
use super::socket::udp_socket;
use super::{Found, ProbeTarget};
use crate::config::Dns;

/// The longest answer, which no server exceeds that was not offered more (RFC 6891 §6.2.5).
const LONGEST: usize = 4096;

/// A check by a question.
#[derive(Debug)]
pub(super) struct DnsProbe {
    query: Query,
    wanted: Option<String>,
}

impl DnsProbe {
    /// Makes what is configured ready.
    pub(super) fn new(dns: &Dns) -> Result<Self, String> {
        let mut name = Name::from_utf8(&dns.query)
            .map_err(|error| format!("\"{}\" is not a name of DNS: {error}", dns.query))?;
        name.set_fqdn(true);
        let record = RecordType::from_str(&dns.record)
            .map_err(|_| format!("\"{}\" is not a type of DNS records", dns.record))?;
        let wanted = dns.answer.as_deref().map(|answer| wanted(record, answer));
        Ok(Self {
            query: Query::query(name, record),
            wanted: wanted.transpose()?,
        })
    }

    /// Asks, and judges the answer.
    pub(super) async fn run(
        &self,
        target: &ProbeTarget,
        deadline: Deadline,
    ) -> Result<Found, ProbeFailure> {
        deadline.answer(self.ask(target)).await?;
        Ok(Found::default())
    }

    async fn ask(&self, target: &ProbeTarget) -> Result<(), ProbeFailure> {
        let mut question = Message::query();
        question.metadata.recursion_desired = true;
        question.add_query(self.query.clone());
        let bytes = question.to_vec();
        let bytes = bytes.map_err(|error| ProbeFailure::new(error.to_string()))?;
        let socket = udp_socket(target).await?;
        socket.send(&bytes).await?;
        self.judge(&answer_to(question.metadata.id, &socket).await?)
    }

    fn judge(&self, answer: &Message) -> Result<(), ProbeFailure> {
        let code = answer.metadata.response_code;
        if code != ResponseCode::NoError {
            return Err(ProbeFailure::new(format!("the answer is an error: {code}")));
        }
        let Some(wanted) = &self.wanted else {
            return Ok(());
        };
        let record = self.query.query_type();
        let mut answers = answer.answers.iter().map(|answer| &answer.data);
        if answers.any(|answer| canonical(record, answer) == *wanted) {
            return Ok(());
        }
        Err(ProbeFailure::new(format!("no answer is {wanted}")))
    }
}

/// The first datagram that answers the question of this number.
async fn answer_to(id: u16, socket: &UdpSocket) -> Result<Message, ProbeFailure> {
    let mut datagram = vec![0; LONGEST];
    loop {
        let len = socket.recv(&mut datagram).await?;
        if let Some(answer) = datagram.get(..len).and_then(|bytes| answer(id, bytes)) {
            return answer;
        }
        // A flood of wrong ones must not keep other checks waiting.
        tokio::task::yield_now().await;
    }
}

/// The answer in these bytes; `None` if they are none to the question of this number.
fn answer(id: u16, bytes: &[u8]) -> Option<Result<Message, ProbeFailure>> {
    // The number and the flags, of which the first bit marks an answer (RFC 1035 §4.1.1).
    let &[high, low, flags] = bytes.first_chunk::<3>()?;
    if u16::from_be_bytes([high, low]) != id || flags & 0x80 == 0 {
        return None;
    }
    let answer = Message::from_vec(bytes)
        .map_err(|_| ProbeFailure::new("the answer is not one of DNS"))
        .map(|answer| (answer.metadata.message_type == MessageType::Response).then_some(answer));
    answer.transpose()
}

/// The text of a wanted answer as [`canonical`] writes it.
fn wanted(record: RecordType, text: &str) -> Result<String, String> {
    let data = RData::try_from_str(record, text).map_err(|error| {
        format!("\"{text}\" is not what a record of the type {record} can say: {error}")
    })?;
    Ok(canonical(record, &data))
}

/// What a record says: names without their last dot and in small letters, as case means nothing in
/// them (RFC 4343). Text stays as it is.
fn canonical(record: RecordType, data: &RData) -> String {
    let text = data.to_string();
    if record == RecordType::TXT {
        return text;
    }
    let words = text.split_whitespace();
    let words: Vec<_> = words.map(|word| word.trim_end_matches('.')).collect();
    words.join(" ").to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hickory_proto::rr::Record;
    use proptest::prelude::*;

    use super::super::Probe;
    use super::super::testing::{check, hasty, said, target};
    use super::*;
    use crate::config::CheckKind;

    fn dns(record: &str, answer: Option<&str>) -> Dns {
        Dns {
            query: "www.example.com".to_owned(),
            record: record.to_owned(),
            answer: answer.map(str::to_owned),
        }
    }

    fn probe(record: &str, answer: Option<&str>) -> Probe {
        Probe::new(&check(CheckKind::Dns(dns(record, answer)))).unwrap()
    }

    fn refused(dns: Dns) -> String {
        Probe::new(&check(CheckKind::Dns(dns))).unwrap_err()
    }

    /// A server that answers each question with the datagrams that `answer` makes of it.
    async fn server(answer: fn(&Message) -> Vec<Message>) -> ProbeTarget {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut datagram = [0; 512];
            loop {
                let (len, client) = socket.recv_from(&mut datagram).await.unwrap();
                let question = Message::from_vec(&datagram[..len]).unwrap();
                for message in answer(&question) {
                    socket
                        .send_to(&message.to_vec().unwrap(), client)
                        .await
                        .unwrap();
                }
            }
        });
        target(address)
    }

    /// An answer without records.
    fn reply(question: &Message) -> Message {
        let mut reply = Message::response(question.metadata.id, question.metadata.op_code);
        reply.add_query(question.queries[0].clone());
        reply
    }

    /// The question's type decides what is answered.
    fn zone(question: &Message) -> Vec<Message> {
        let query = &question.queries[0];
        let texts: &[&str] = match query.query_type() {
            RecordType::A => &["192.0.2.1", "192.0.2.2"],
            RecordType::AAAA => &["2001:db8::80"],
            RecordType::CNAME => &["Web.Example.COM."],
            RecordType::MX => &["10 mail.example.com."],
            RecordType::TXT => &["\"v=One\""],
            _ => &[],
        };
        let mut reply = reply(question);
        for text in texts {
            let data = RData::try_from_str(query.query_type(), text).unwrap();
            reply.add_answer(Record::from_rdata(query.name().clone(), 60, data));
        }
        vec![reply]
    }

    #[tokio::test]
    async fn an_answer_is_good_whatever_it_says_if_none_is_wanted() {
        let server = server(zone).await;

        probe("A", None).run(&server).await.unwrap();
        probe("SOA", None).run(&server).await.unwrap();
    }

    #[tokio::test]
    async fn a_wanted_answer_is_found_in_any_way_of_writing_it() {
        let server = server(zone).await;

        for (record, answer) in [
            ("A", "192.0.2.2"),
            ("AAAA", "2001:0db8:0:0::80"),
            ("CNAME", "web.example.com"),
            ("CNAME", "WEB.example.com."),
            ("MX", "10  mail.example.com"),
            ("TXT", "\"v=One\""),
        ] {
            let outcome = probe(record, Some(answer)).run(&server).await;
            assert!(outcome.is_ok(), "{record} {answer}: {outcome:?}");
        }
        let other = probe("A", Some("192.0.2.3"));
        assert_eq!(said(&other, &server).await, "no answer is 192.0.2.3");
        let none = probe("NS", Some("ns.example.com."));
        assert_eq!(said(&none, &server).await, "no answer is ns.example.com");
    }

    #[tokio::test]
    async fn an_error_is_said_by_its_name() {
        let server = server(|question| {
            let mut reply = reply(question);
            reply.metadata.response_code = ResponseCode::NXDomain;
            vec![reply]
        })
        .await;

        assert_eq!(
            said(&probe("A", None), &server).await,
            "the answer is an error: Non-Existent Domain"
        );
    }

    #[tokio::test]
    async fn what_answers_another_question_is_passed_over() {
        let server = server(|question| {
            let mut other = reply(question);
            other.metadata.id = question.metadata.id.wrapping_add(1);
            other.metadata.response_code = ResponseCode::ServFail;
            vec![question.clone(), other, reply(question)]
        })
        .await;

        probe("A", None).run(&server).await.unwrap();
    }

    #[tokio::test]
    async fn a_server_that_only_repeats_the_question_is_missed() {
        let server = server(|question| vec![question.clone()]).await;
        let probe = Probe::new(&hasty(CheckKind::Dns(dns("A", None)))).unwrap();

        assert_eq!(said(&probe, &server).await, "no answer within 1.5 s");
    }

    #[tokio::test]
    async fn a_port_that_nobody_has_refuses() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let closed = target(socket.local_addr().unwrap());
        drop(socket);

        let outcome = probe("A", None).run(&closed).await;

        assert_eq!(outcome.unwrap_err().to_string(), "connection refused");
    }

    #[tokio::test]
    async fn the_roots_name_may_be_asked_for() {
        let server = server(zone).await;
        let root = Dns {
            query: ".".to_owned(),
            ..dns("SOA", None)
        };

        let probe = Probe::new(&check(CheckKind::Dns(root))).unwrap();

        probe.run(&server).await.unwrap();
    }

    #[test]
    fn what_is_not_of_dns_is_refused() {
        assert_eq!(
            refused(dns("WHAT", None)),
            "\"WHAT\" is not a type of DNS records"
        );
        let answer = refused(dns("A", Some("web")));
        assert!(
            answer.starts_with("\"web\" is not what a record of the type A can say"),
            "{answer}"
        );
        let name = refused(Dns {
            query: "a".repeat(64),
            ..dns("A", None)
        });
        assert!(name.contains("is not a name of DNS"), "{name}");
    }

    proptest! {
        #[test]
        fn a_hostile_datagram_is_an_answer_or_none(
            bytes in proptest::collection::vec(any::<u8>(), 0..600),
        ) {
            let probe = DnsProbe::new(&dns("A", Some("192.0.2.1"))).unwrap();
            let mut bytes = bytes;
            if let Some(head) = bytes.first_chunk_mut::<3>() {
                *head = [0x12, 0x34, 0x80];
            }

            let answer = answer(0x1234, &bytes);

            prop_assert_eq!(answer.is_some(), bytes.len() >= 3);
            if let Some(Ok(answer)) = answer {
                let judged = probe.judge(&answer);
                prop_assert!(judged.is_ok() || !judged.unwrap_err().to_string().is_empty());
            }
        }
    }

    #[tokio::test]
    async fn garbage_with_the_right_number_is_a_failure() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let server = target(socket.local_addr().unwrap());
        tokio::spawn(async move {
            let mut datagram = [0; 512];
            let (_, client) = socket.recv_from(&mut datagram).await.unwrap();
            datagram[2] |= 0x80;
            // It announces records that do not come.
            datagram[6..8].copy_from_slice(&[0xff, 0xff]);
            socket.send_to(&datagram[..20], client).await.unwrap();
        });
        let started = std::time::Instant::now();

        assert_eq!(
            said(&probe("A", None), &server).await,
            "the answer is not one of DNS"
        );
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}
