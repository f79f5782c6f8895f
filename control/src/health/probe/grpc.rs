//! `grpc.health.v1.Health/Check` says SERVING.
//!
//! gRPC over HTTP/2 carries messages of protobuf, each after a byte that tells whether it is
//! compressed and its length; the trailers say how the call went. Both messages have one field:
//!
//! ```text
//!   HealthCheckRequest   1: string service       0a LENGTH name
//!   HealthCheckResponse  1: ServingStatus status 08 VARINT
//! ```

use h2::RecvStream;
use h2::client::ResponseFuture;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, TE, USER_AGENT};
use hyper::{Method, Request, StatusCode, Version};
use tokio::io::{AsyncRead, AsyncWrite};

use super::beside::beside;
use super::deadline::Deadline;
use super::failure::{ProbeFailure, quoted};
use super::tls::TlsClient;
use super::{Found, OUR_NAME, ProbeTarget, asked, connect};
use crate::config::Grpc;

/// The method of the health protocol.
const PATH: &str = "/grpc.health.v1.Health/Check";

/// Bytes of an answer; a right one has seven.
const LONGEST: usize = 4 << 10;

/// Bytes of an answer's headers.
const LONGEST_HEAD: u32 = 16 << 10;

/// Bytes before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// A check by gRPC.
#[derive(Debug)]
pub(super) struct GrpcProbe {
    message: Bytes,
    authority: Option<String>,
    by_vip: bool,
    tls: Option<TlsClient>,
}

impl GrpcProbe {
    /// Makes what is configured ready.
    pub(super) fn new(grpc: &Grpc, by_vip: bool) -> Result<Self, String> {
        let tls = |tls| TlsClient::new(tls, None, b"h2");
        Ok(Self {
            message: request(&grpc.service)?.into(),
            authority: grpc.tls.as_ref().and_then(|tls| tls.sni.clone()),
            by_vip,
            tls: grpc.tls.as_ref().map(tls).transpose()?,
        })
    }

    /// Asks, and judges the answer.
    pub(super) async fn run(
        &self,
        target: &ProbeTarget,
        deadline: Deadline,
    ) -> Result<Found, ProbeFailure> {
        let address = asked(target, self.by_vip);
        let authority = self.authority.clone();
        let request = self.head(&authority.unwrap_or_else(|| address.to_string()))?;
        let connected = async { Ok(connect(target).await?) };
        let stream = deadline.answer(connected).await?;
        let answered = async {
            match &self.tls {
                None => self.exchange(stream, request).await,
                Some(tls) => {
                    let stream = tls.begin(address.ip(), stream).await?;
                    self.exchange(stream, request).await
                }
            }
        };
        deadline.answer(answered).await?;
        Ok(Found::default())
    }

    fn head(&self, authority: &str) -> Result<Request<()>, ProbeFailure> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        Request::builder()
            .version(Version::HTTP_2)
            .method(Method::POST)
            .uri(format!("{scheme}://{authority}{PATH}"))
            .header(CONTENT_TYPE, "application/grpc")
            .header(TE, "trailers")
            .header(USER_AGENT, OUR_NAME)
            .body(())
            .map_err(|error| ProbeFailure::new(error.to_string()))
    }

    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        request: Request<()>,
    ) -> Result<(), ProbeFailure> {
        let mut client = h2::client::Builder::new();
        client.enable_push(false).max_header_list_size(LONGEST_HEAD);
        let shaken = client.handshake::<_, Bytes>(stream).await;
        let (sender, connection) = shaken.map_err(failure)?;
        let work = async {
            let mut sender = sender.ready().await.map_err(failure)?;
            let (answer, mut body) = sender.send_request(request, false).map_err(failure)?;
            body.send_data(self.message.clone(), true)
                .map_err(failure)?;
            judge(answer).await
        };
        beside(connection, work).await
    }
}

/// Waits for the answer, and says whether it is the right one.
async fn judge(answer: ResponseFuture) -> Result<(), ProbeFailure> {
    let (head, mut body) = answer.await.map_err(failure)?.into_parts();
    if head.status != StatusCode::OK {
        let words = format!("status {}, not 200", head.status.as_u16());
        return Err(ProbeFailure::new(words));
    }
    let message = message(&mut body).await?;
    let trailers = body.trailers().await.map_err(failure)?;
    // A call that comes to nothing may say so in its headers, and have no trailers.
    judge_call(trailers.as_ref().unwrap_or(&head.headers))?;
    match serving_status(&message) {
        Some(1) => Ok(()),
        Some(0) => Err(ProbeFailure::new("the service is UNKNOWN")),
        Some(2) => Err(ProbeFailure::new("the service is NOT_SERVING")),
        Some(3) => Err(ProbeFailure::new("the service is SERVICE_UNKNOWN")),
        _ => Err(ProbeFailure::new(
            "the answer is not one of gRPC's health protocol",
        )),
    }
}

async fn message(body: &mut RecvStream) -> Result<Vec<u8>, ProbeFailure> {
    let mut message = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.map_err(failure)?;
        if message.len() + piece.len() > LONGEST {
            return Err(ProbeFailure::new("the answer is too long"));
        }
        message.extend_from_slice(&piece);
    }
    Ok(message)
}

/// How the call went (gRPC's status codes; 0 is well).
fn judge_call(trailers: &HeaderMap) -> Result<(), ProbeFailure> {
    let field = |name| trailers.get(HeaderName::from_static(name));
    let Some(status) = field("grpc-status") else {
        return Err(ProbeFailure::new("the answer has no gRPC status"));
    };
    if status == "0" {
        return Ok(());
    }
    let mut words = format!("gRPC status {}", quoted(status.as_bytes()).replace('"', ""));
    if status == "5" {
        words.push_str(", the service is not known");
    } else if status == "12" {
        words.push_str(", the server has no health service");
    } else if let Some(message) = field("grpc-message") {
        words = format!("{words}, {}", quoted(message.as_bytes()));
    }
    Err(ProbeFailure::new(words))
}

/// The question, with its prefix.
fn request(service: &str) -> Result<Vec<u8>, String> {
    let mut message = Vec::new();
    // proto3 leaves out what is empty.
    if !service.is_empty() {
        message.push(0x0a);
        push_varint(&mut message, service.len());
        message.extend_from_slice(service.as_bytes());
    }
    let len = u32::try_from(message.len()).map_err(|error| error.to_string())?;
    let mut framed = vec![0];
    framed.extend(len.to_be_bytes());
    framed.extend(message);
    Ok(framed)
}

/// Seven bits a byte, the lowest first; all but the last have the eighth.
fn push_varint(message: &mut Vec<u8>, mut number: usize) {
    loop {
        let [low, ..] = (number & 0x7f).to_le_bytes();
        number >>= 7;
        if number == 0 {
            message.push(low);
            return;
        }
        message.push(low | 0x80);
    }
}

/// What a framed answer says; `None` if it is none, or compressed.
fn serving_status(framed: &[u8]) -> Option<u64> {
    let (&[compressed, a, b, c, d], message) = framed.split_first_chunk::<PREFIX>()?;
    let len = usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?;
    if compressed != 0 || message.len() != len {
        return None;
    }
    let mut rest = message;
    let mut status = 0;
    while !rest.is_empty() {
        let (key, after_key) = varint(rest)?;
        let (value, after) = field(key & 7, after_key)?;
        if key == 0x08 {
            status = value;
        }
        rest = after;
    }
    Some(status)
}

/// A field's value, where it is a number, and what comes after it (protobuf's wire types).
fn field(wire_type: u64, bytes: &[u8]) -> Option<(u64, &[u8])> {
    match wire_type {
        0 => varint(bytes),
        1 => Some((0, bytes.get(8..)?)),
        2 => {
            let (len, bytes) = varint(bytes)?;
            Some((0, bytes.get(usize::try_from(len).ok()?..)?))
        }
        5 => Some((0, bytes.get(4..)?)),
        _ => None,
    }
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for (index, &byte) in bytes.iter().enumerate().take(10) {
        number |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((number, bytes.get(index + 1..)?));
        }
    }
    None
}

fn failure(error: h2::Error) -> ProbeFailure {
    match (error.get_io(), error.reason()) {
        (Some(cause), _) => match cause.raw_os_error() {
            Some(code) => std::io::Error::from_raw_os_error(code).into(),
            None => std::io::Error::from(cause.kind()).into(),
        },
        (None, Some(reason)) => ProbeFailure::new(format!("HTTP/2: {}", reason.description())),
        (None, None) => ProbeFailure::new(format!("HTTP/2: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use hyper::Response;
    use hyper::header::HeaderValue;
    use proptest::prelude::*;
    use tokio::net::TcpStream;

    use super::super::Probe;
    use super::super::testing::{
        TlsServer, answering, check, closed_port, hanging_after, hasty, said, serving, target,
    };
    use super::*;
    use crate::config::{CheckKind, Tls};

    /// What a server of the tests answers.
    #[derive(Clone, Copy)]
    struct Answer {
        message: &'static [u8],
        status: &'static str,
    }

    const SERVING: Answer = Answer {
        message: &[0, 0, 0, 0, 2, 0x08, 1],
        status: "0",
    };

    fn kind(service: &str, tls: Option<Tls>) -> CheckKind {
        let service = service.to_owned();
        CheckKind::Grpc(Grpc { service, tls })
    }

    fn probe(service: &str) -> Probe {
        Probe::new(&check(kind(service, None))).unwrap()
    }

    /// Answers one call; one about another service than `web`, or not as it must be, by its fault.
    async fn serve(connection: impl AsyncRead + AsyncWrite + Unpin, answer: Answer) {
        let Ok(mut connection) = h2::server::handshake(connection).await else {
            return;
        };
        let Some(Ok((request, mut reply))) = connection.accept().await else {
            return;
        };
        let (head, mut body) = request.into_parts();
        let serving = async move {
            let asked = body.data().await.unwrap().unwrap();
            let right = asked == b"\0\0\0\0\x05\x0a\x03web"[..]
                && head.uri.path() == PATH
                && head.headers[CONTENT_TYPE] == "application/grpc";
            let status = if right { answer.status } else { "3" };
            let mut sending = reply.send_response(Response::new(()), false).unwrap();
            sending
                .send_data(Bytes::from_static(answer.message), false)
                .unwrap();
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static(status));
            sending.send_trailers(trailers).unwrap();
        };
        let rest = async { while connection.accept().await.is_some() {} };
        tokio::join!(serving, rest);
    }

    async fn server(answer: Answer) -> ProbeTarget {
        serving(move |connection: TcpStream| serve(connection, answer)).await
    }

    #[tokio::test]
    async fn a_service_that_serves_is_good() {
        let server = server(SERVING).await;

        probe("web").run(&server).await.unwrap();
    }

    #[tokio::test]
    async fn a_service_that_does_not_serve_is_said_in_the_protocols_words() {
        for (message, status, words) in [
            (
                &[0, 0, 0, 0, 2, 8, 2][..],
                "0",
                "the service is NOT_SERVING",
            ),
            (
                &[0, 0, 0, 0, 2, 8, 3],
                "0",
                "the service is SERVICE_UNKNOWN",
            ),
            (&[0, 0, 0, 0, 0], "0", "the service is UNKNOWN"),
            (&[], "5", "gRPC status 5, the service is not known"),
            (
                &[],
                "12",
                "gRPC status 12, the server has no health service",
            ),
            (&[], "14", "gRPC status 14"),
            (
                &[1, 0, 0, 0, 2, 8, 1],
                "0",
                "the answer is not one of gRPC's health protocol",
            ),
            (
                &[0, 0, 0, 0, 9, 8, 1],
                "0",
                "the answer is not one of gRPC's health protocol",
            ),
        ] {
            let server = server(Answer { message, status }).await;
            assert_eq!(said(&probe("web"), &server).await, words);
        }
    }

    #[tokio::test]
    async fn the_service_asked_for_is_the_one_configured() {
        let server = server(SERVING).await;

        assert_eq!(said(&probe("mail"), &server).await, "gRPC status 3");
    }

    #[tokio::test]
    async fn grpc_may_be_spoken_over_tls() {
        let (ca, acceptor) = TlsServer::accepting(&["www.example.com"]);
        let server = serving(move |connection| {
            let acceptor = acceptor.clone();
            async move {
                if let Ok(connection) = acceptor.accept(connection).await {
                    serve(connection, SERVING).await;
                }
            }
        })
        .await;
        let tls = Tls {
            sni: Some("www.example.com".to_owned()),
            verify: true,
            ca: Some(ca.path.clone()),
        };

        let probe = Probe::new(&check(kind("web", Some(tls)))).unwrap();

        probe.run(&server).await.unwrap();
    }

    #[tokio::test]
    async fn a_server_of_another_protocol_or_none_is_a_failure() {
        let web = answering("HTTP/1.1 400 Bad Request\r\n\r\n").await;
        let silent = hanging_after(b"").await;
        let closed = target(closed_port().await);
        let hasty = Probe::new(&hasty(kind("web", None))).unwrap();

        let words = said(&hasty, &web).await;
        assert!(words.starts_with("HTTP/2: "), "{words}");
        assert_eq!(said(&hasty, &silent).await, "no answer within 1.5 s");
        assert_eq!(said(&hasty, &closed).await, "connection refused");
    }

    #[test]
    fn a_long_name_has_a_long_length() {
        let name = "a".repeat(300);

        let framed = request(&name).unwrap();

        assert_eq!(&framed[..8], [0, 0, 0, 1, 47, 0x0a, 0xac, 0x02]);
        assert_eq!(framed.len(), 8 + 300);
        assert_eq!(request("").unwrap(), [0; 5]);
    }

    #[test]
    fn fields_that_are_not_known_are_passed_over() {
        let message = [
            &[0x10, 0x96, 0x01][..],         // 2: varint 150
            &[0x1a, 2, 8, 2],                // 3: bytes that look like a status
            &[0x25, 1, 2, 3, 4],             // 4: 32 bits
            &[0x29, 1, 2, 3, 4, 5, 6, 7, 8], // 5: 64 bits
            &[0x08, 1],
        ]
        .concat();
        let len = u8::try_from(message.len()).unwrap();
        let framed = [&[0, 0, 0, 0, len], &message[..]].concat();

        assert_eq!(serving_status(&framed), Some(1));
    }

    proptest! {
        #[test]
        fn a_hostile_message_is_read_to_its_end(
            message in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let len = u8::try_from(message.len()).unwrap();
            let framed = [&[0, 0, 0, 0, len], &message[..]].concat();

            let status = serving_status(&framed);

            prop_assert!(status.is_none() || message.is_empty() || varint(&message).is_some());
        }
    }
}
