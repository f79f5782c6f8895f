//! An HTTP request is answered as expected (RFC 9110, 9112).
//!
//! One request on a connection of its own, with `Connection: close`: the server closes first and
//! bears the TIME_WAIT. Redirects are answers like others. A status that is not wanted decides at
//! once. Of a body that nobody looks at 256 KiB are read, so that the server is not cut short for
//! nothing; one that is looked at must not be longer.

use std::error::Error;
use std::io;
use std::ops::RangeInclusive;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, HeaderValue, USER_AGENT};
use hyper::{HeaderMap, Method, Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::beside::beside;
use super::body::{Body, BodyRule};
use super::deadline::Deadline;
use super::failure::ProbeFailure;
use super::load::LoadPlace;
use super::tls::TlsClient;
use super::{Found, OUR_NAME, ProbeTarget, asked, connect};
use crate::config::{Http, LoadSource};

/// Bytes of an answer's status line and headers.
const LONGEST_HEAD: usize = 32 << 10;

/// A check by a request.
#[derive(Debug)]
pub(super) struct HttpProbe {
    method: Method,
    path: Uri,
    host: Option<HeaderValue>,
    by_vip: bool,
    status: Vec<RangeInclusive<u16>>,
    body: BodyRule,
    load: Option<LoadPlace>,
    tls: Option<TlsClient>,
}

impl HttpProbe {
    /// Makes what is configured ready.
    pub(super) fn new(
        http: &Http,
        load: Option<&LoadSource>,
        by_vip: bool,
    ) -> Result<Self, String> {
        let method = Method::from_bytes(http.method.as_bytes());
        let host = http.host.as_deref();
        let status = match http.status.as_slice() {
            [] => vec![200..=299],
            ranges => ranges.to_vec(),
        };
        let tls = |tls| TlsClient::new(tls, host, b"http/1.1");
        Ok(Self {
            method: method.map_err(|_| format!("\"{}\" is not a method", http.method))?,
            path: path(&http.path)?,
            host: host.map(host_header).transpose()?,
            by_vip,
            status,
            body: BodyRule::new(http.body_regex.as_deref(), http.body_digest.as_ref())?,
            load: load.map(LoadPlace::new).transpose()?,
            tls: http.tls.as_ref().map(tls).transpose()?,
        })
    }

    /// Asks, and judges the answer.
    pub(super) async fn run(
        &self,
        target: &ProbeTarget,
        deadline: Deadline,
    ) -> Result<Found, ProbeFailure> {
        let request = self.request(target)?;
        let connected = async { Ok(connect(target).await?) };
        let stream = deadline.answer(connected).await?;
        match &self.tls {
            None => self.exchange(stream, request, deadline).await,
            Some(tls) => {
                let address = asked(target, self.by_vip).ip();
                let stream = deadline.answer(tls.begin(address, stream)).await?;
                self.exchange(stream, request, deadline).await
            }
        }
    }

    fn request(&self, target: &ProbeTarget) -> Result<Request<Empty<Bytes>>, ProbeFailure> {
        let host = match &self.host {
            Some(host) => host.clone(),
            None => self.address_as_host(target)?,
        };
        Request::builder()
            .method(self.method.clone())
            .uri(self.path.clone())
            .header(HOST, host)
            .header(USER_AGENT, OUR_NAME)
            .header(CONNECTION, "close")
            .body(Empty::new())
            .map_err(|error| ProbeFailure::new(error.to_string()))
    }

    /// RFC 9110 §7.2: the port is left out where it is the scheme's.
    fn address_as_host(&self, target: &ProbeTarget) -> Result<HeaderValue, ProbeFailure> {
        let address = asked(target, self.by_vip);
        let default_port = if self.tls.is_some() { 443 } else { 80 };
        let mut host = address.to_string();
        if address.port() == default_port {
            let end = host.rfind(':').unwrap_or(host.len());
            host.truncate(end);
        }
        HeaderValue::from_str(&host).map_err(|error| ProbeFailure::new(error.to_string()))
    }

    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        request: Request<Empty<Bytes>>,
        deadline: Deadline,
    ) -> Result<Found, ProbeFailure> {
        let mut client = http1::Builder::new();
        client.max_buf_size(LONGEST_HEAD);
        let shaken = client.handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = shaken.map_err(failure)?;
        let work = async {
            let answered = async { sender.send_request(request).await.map_err(failure) };
            let (head, body) = deadline.answer(answered).await?.into_parts();
            self.judge_status(head.status.as_u16())?;
            let mut body = deadline.end(self.read(body)).await?;
            self.body.judge(&mut body)?;
            Ok(self.found(&head.headers, &body))
        };
        beside(connection, work).await
    }

    fn judge_status(&self, status: u16) -> Result<(), ProbeFailure> {
        if self.status.iter().any(|range| range.contains(&status)) {
            return Ok(());
        }
        let wanted: Vec<_> = self.status.iter().map(range).collect();
        let words = format!("status {status}, not {}", wanted.join(", "));
        Err(ProbeFailure::new(words))
    }

    /// The body to its end, or to where no more of it is wanted.
    async fn read(&self, mut incoming: Incoming) -> Result<Body, ProbeFailure> {
        let reads = self.load.as_ref().is_some_and(LoadPlace::is_in_body);
        let mut body = self.body.begin(reads);
        while let Some(frame) = incoming.frame().await {
            let frame = frame.map_err(failure)?;
            if frame.data_ref().is_some_and(|piece| !body.take(piece)) {
                break;
            }
        }
        Ok(body)
    }

    fn found(&self, headers: &HeaderMap, body: &Body) -> Found {
        let read = |load: &LoadPlace| load.read(headers, body.whole());
        Found {
            load: self.load.as_ref().and_then(read),
            ..Found::default()
        }
    }
}

fn path(text: &str) -> Result<Uri, String> {
    let wrong = || format!("\"{text}\" is not a path of HTTP");
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    if !text.starts_with('/') || uri.authority().is_some() {
        return Err(wrong());
    }
    Ok(uri)
}

fn host_header(host: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(host).map_err(|_| format!("\"{host}\" cannot be in a Host header"))
}

/// `200`, or `200-299`.
fn range(range: &RangeInclusive<u16>) -> String {
    let (first, last) = (range.start(), range.end());
    if first == last {
        first.to_string()
    } else {
        format!("{first}-{last}")
    }
}

/// Why there is no answer, or not all of it.
fn failure(error: hyper::Error) -> ProbeFailure {
    if error.is_parse_too_large() {
        return ProbeFailure::new(format!("headers of more than {} KiB", LONGEST_HEAD >> 10));
    }
    if error.is_parse() {
        return ProbeFailure::new("the answer is not HTTP");
    }
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        return ProbeFailure::new("the server closed the connection");
    }
    of_cause(&error).unwrap_or_else(|| ProbeFailure::new(error.to_string()))
}

/// What the kernel says that an error came of.
fn of_cause(error: &hyper::Error) -> Option<ProbeFailure> {
    let cause = error.source()?.downcast_ref::<io::Error>()?;
    Some(match cause.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code).into(),
        None => io::Error::from(cause.kind()).into(),
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use proptest::prelude::*;
    use sha2::{Digest as _, Sha256};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::super::Probe;
    use super::super::testing::{
        TlsServer, answering, check, closed_port, endless, hanging_after, hasty, hear, said,
        serving, target,
    };
    use super::*;
    use crate::config::{Check, CheckKind, CheckPath, Digest, Tls};

    const WELL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwell";

    fn get() -> Http {
        Http {
            method: "GET".to_owned(),
            path: "/health?full".to_owned(),
            host: None,
            status: Vec::new(),
            body_regex: None,
            body_digest: None,
            tls: None,
        }
    }

    fn kind(http: Http) -> CheckKind {
        CheckKind::Http(Box::new(http))
    }

    fn probe(http: Http) -> Probe {
        Probe::new(&check(kind(http))).unwrap()
    }

    fn loaded(load: LoadSource) -> Probe {
        let check = Check {
            load: Some(load),
            ..check(kind(get()))
        };
        Probe::new(&check).unwrap()
    }

    /// A server that answers with what it was asked.
    async fn echoing() -> ProbeTarget {
        serving(|mut connection| async move {
            let mut asked = vec![0; 4096];
            let len = connection.read(&mut asked).await.unwrap();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n");
            connection.write_all(head.as_bytes()).await.unwrap();
            connection.write_all(&asked[..len]).await.unwrap();
        })
        .await
    }

    #[tokio::test]
    async fn a_request_says_what_is_configured() {
        let server = echoing().await;
        let http = Http {
            method: "OPTIONS".to_owned(),
            host: Some("www.example.com".to_owned()),
            body_regex: Some(format!(
                "(?s)^OPTIONS /health\\?full HTTP/1.1\r\n\
                 host: www.example.com\r\nuser-agent: {OUR_NAME}\r\nconnection: close\r\n\r\n$"
            )),
            ..get()
        };

        probe(http).run(&server).await.unwrap();
    }

    #[tokio::test]
    async fn without_a_host_the_address_is_said() {
        let server = echoing().await;
        let http = Http {
            body_regex: Some(format!("\r\nhost: {}\r\n", server.server)),
            ..get()
        };

        probe(http).run(&server).await.unwrap();
    }

    #[tokio::test]
    async fn a_check_to_the_vip_names_the_vip() {
        let server = ProbeTarget {
            vip: Some("192.0.2.80:80".parse().unwrap()),
            ..echoing().await
        };
        let check = Check {
            path: CheckPath::Vip,
            ..check(kind(Http {
                body_regex: Some("\r\nhost: 192.0.2.80\r\n".to_owned()),
                ..get()
            }))
        };

        Probe::new(&check).unwrap().run(&server).await.unwrap();
    }

    #[tokio::test]
    async fn a_status_is_good_in_any_of_the_ranges() {
        let server =
            answering("HTTP/1.1 301 Moved\r\nLocation: /\r\nContent-Length: 0\r\n\r\n").await;
        let with = |status: &[RangeInclusive<u16>]| {
            probe(Http {
                status: status.to_vec(),
                ..get()
            })
        };

        with(&[200..=200, 300..=399]).run(&server).await.unwrap();
        let unwanted = said(&with(&[200..=200, 204..=299]), &server).await;
        let by_default = said(&with(&[]), &server).await;

        assert_eq!(unwanted, "status 301, not 200, 204-299");
        assert_eq!(by_default, "status 301, not 200-299");
    }

    #[tokio::test]
    async fn a_body_must_match_and_have_its_digest() {
        let server = answering(WELL).await;
        let sha256 = Sha256::digest(b"well").into();
        let with = |regex: &str, digest: [u8; 32]| {
            probe(Http {
                body_regex: Some(regex.to_owned()),
                body_digest: Some(Digest::Sha256(digest)),
                ..get()
            })
        };

        with("^we", sha256).run(&server).await.unwrap();
        assert_eq!(
            said(&with("^no", sha256), &server).await,
            "the body does not match"
        );
        assert_eq!(
            said(&with("^we", [0; 32]), &server).await,
            "the body has another digest"
        );
    }

    #[tokio::test]
    async fn a_load_is_read_from_a_header_or_from_json() {
        let body = r#"{"load": {"weight": "60%"}}"#;
        let len = body.len();
        let server = answering(format!(
            "HTTP/1.1 200 OK\r\nX-Load: 40\r\nContent-Length: {len}\r\n\r\n{body}"
        ));
        let server = server.await;
        let of = async |load| loaded(load).run(&server).await.unwrap().load;

        assert_eq!(of(LoadSource::Header("x-load".to_owned())).await, Some(40));
        assert_eq!(
            of(LoadSource::Json("/load/weight".to_owned())).await,
            Some(60)
        );
        assert_eq!(of(LoadSource::Json("/load/missing".to_owned())).await, None);
    }

    #[tokio::test]
    async fn chunks_and_bodies_until_the_close_are_read() {
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                       2\r\nwe\r\n2\r\nll\r\n0\r\n\r\n";
        let http = Http {
            body_regex: Some("^well$".to_owned()),
            ..get()
        };

        for answer in [chunked, "HTTP/1.0 200 OK\r\n\r\nwell"] {
            let server = answering(answer).await;
            probe(http.clone()).run(&server).await.unwrap();
        }
    }

    #[tokio::test]
    async fn what_is_not_an_answer_says_so() {
        for (answer, words) in [
            ("SSH-2.0-OpenSSH_9.2\r\n", "the answer is not HTTP"),
            ("", "the server closed the connection"),
            ("HTTP/1.1 200", "the server closed the connection"),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nwell",
                "the server closed the connection",
            ),
        ] {
            let server = answering(answer).await;
            assert_eq!(said(&probe(get()), &server).await, words, "{answer:?}");
        }
        let refused = target(closed_port().await);
        assert_eq!(said(&probe(get()), &refused).await, "connection refused");
    }

    #[tokio::test]
    async fn a_server_that_hangs_has_no_answer_or_no_end() {
        let probe = Probe::new(&hasty(kind(get()))).unwrap();

        for (begin, words) in [
            ("", "no answer within 1.5 s"),
            ("HTTP/1.1 200 OK\r\n", "no answer within 1.5 s"),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nwell",
                "no end within 1.5 s",
            ),
        ] {
            let server = hanging_after(begin.as_bytes()).await;
            assert_eq!(said(&probe, &server).await, words, "{begin:?}");
        }
    }

    #[tokio::test]
    async fn an_answer_without_an_end_is_cut() {
        let trickle = serving(|mut connection| async move {
            hear(&mut connection).await;
            let _ = connection.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            while connection.write_all(b"a").await.is_ok() {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        })
        .await;
        let headers = endless(b"HTTP/1.1 200 OK\r\n", &[b'a'; 1000]).await;
        let body = endless(b"HTTP/1.1 200 OK\r\n\r\n", &[b'a'; 1000]).await;
        let http = Http {
            body_regex: Some("b".to_owned()),
            ..get()
        };

        let slow = Probe::new(&hasty(kind(get()))).unwrap();
        assert_eq!(said(&slow, &trickle).await, "no end within 1.5 s");
        assert_eq!(
            said(&probe(get()), &headers).await,
            "headers of more than 32 KiB"
        );
        assert_eq!(
            said(&probe(http), &body).await,
            "the body is longer than 256 KiB"
        );
        probe(get()).run(&body).await.unwrap();
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        let refused = |http| Probe::new(&check(kind(http))).unwrap_err();
        let path = |path: &str| Http {
            path: path.to_owned(),
            ..get()
        };

        assert_eq!(refused(path("health")), "\"health\" is not a path of HTTP");
        assert_eq!(refused(path("/a b")), "\"/a b\" is not a path of HTTP");
        assert_eq!(
            refused(Http {
                method: "GET IT".to_owned(),
                ..get()
            }),
            "\"GET IT\" is not a method"
        );
        assert_eq!(
            refused(Http {
                host: Some("a\nb".to_owned()),
                ..get()
            }),
            "\"a\nb\" cannot be in a Host header"
        );
    }

    fn https(sni: Option<&str>, verify: bool, ca: Option<PathBuf>) -> Probe {
        probe(Http {
            tls: Some(Tls {
                sni: sni.map(str::to_owned),
                verify,
                ca,
            }),
            body_regex: Some("^well$".to_owned()),
            ..get()
        })
    }

    #[tokio::test]
    async fn a_certificate_is_verified_by_name_and_issuer() {
        let server = TlsServer::start(&["www.example.com"], WELL).await;
        let ca = || Some(server.ca.path.clone());
        let stranger = TlsServer::start(&["www.example.com"], WELL).await;

        let good = https(Some("www.example.com"), true, ca());
        good.run(&server.target).await.unwrap();
        assert_eq!(
            said(&https(Some("www.example.org"), true, ca()), &server.target).await,
            "certificate: not for www.example.org"
        );
        assert_eq!(
            said(&https(None, true, ca()), &server.target).await,
            "certificate: not for 127.0.0.1"
        );
        assert_eq!(
            said(&good, &stranger.target).await,
            "certificate: signed by nobody who is trusted"
        );
    }

    #[tokio::test]
    async fn a_server_without_a_name_is_verified_by_its_address() {
        let server = TlsServer::start(&["127.0.0.1"], WELL).await;

        let probe = https(None, true, Some(server.ca.path.clone()));

        probe.run(&server.target).await.unwrap();
    }

    #[tokio::test]
    async fn any_certificate_will_do_where_none_is_verified() {
        let server = TlsServer::start(&["www.example.com"], WELL).await;

        https(Some("elsewhere"), false, None)
            .run(&server.target)
            .await
            .unwrap();
        https(None, false, None).run(&server.target).await.unwrap();
    }

    #[tokio::test]
    async fn a_server_that_speaks_no_tls_says_so() {
        let server = answering("HTTP/1.1 400 Bad Request\r\n\r\n").await;

        assert_eq!(
            said(&https(None, false, None), &server).await,
            "the server does not speak TLS"
        );
    }

    #[tokio::test]
    async fn a_server_that_does_not_shake_hands_is_missed() {
        let server = hanging_after(b"").await;
        let http = Http {
            tls: Some(Tls::default()),
            ..get()
        };

        let probe = Probe::new(&hasty(kind(http))).unwrap();

        assert_eq!(said(&probe, &server).await, "no answer within 1.5 s");
    }

    /// Bytes that begin like an answer, and go on as they like.
    fn hostile() -> impl Strategy<Value = Vec<u8>> {
        let begin = proptest::sample::select(vec![
            "",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n",
        ]);
        (begin, proptest::collection::vec(any::<u8>(), 0..200))
            .prop_map(|(begin, rest)| [begin.as_bytes(), &rest].concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn a_hostile_answer_is_an_outcome_or_a_failure_in_time(answer in hostile()) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let plain = probe(Http {
                body_regex: Some("never matched".to_owned()),
                ..get()
            });

            let (plain, tls) = runtime.unwrap().block_on(async {
                let server = answering(answer).await;
                (said(&plain, &server).await, said(&https(None, false, None), &server).await)
            });

            prop_assert!(!plain.contains("within"), "{}", plain);
            prop_assert!(!tls.contains("within"), "{}", tls);
        }
    }
}
