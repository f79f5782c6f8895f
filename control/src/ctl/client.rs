//! Asks the API over its socket.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;

use super::failure::Failure;
use crate::view::ErrorView;

/// How long to wait for an answer: applying 100,000 servers takes a second or two.
const PATIENCE: Duration = Duration::from_secs(60);

/// The way to one gateway.
pub(super) struct Client {
    runtime: Runtime,
    socket: PathBuf,
}

/// What the gateway said.
pub(super) struct Answer {
    socket: PathBuf,
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

impl Client {
    /// A client of the gateway at `socket`; connects when it asks.
    pub(super) fn new(socket: &Path) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(Self {
            runtime,
            socket: socket.to_owned(),
        })
    }

    /// What the gateway says to `GET path`.
    pub(super) fn get(&self, path: &str) -> Result<Answer, Failure> {
        self.ask(Method::GET, path, None, Bytes::new())
    }

    /// What the gateway says to `PUT path` with a body of this type.
    pub(super) fn put(&self, path: &str, kind: &str, body: Vec<u8>) -> Result<Answer, Failure> {
        self.ask(Method::PUT, path, Some(kind), body.into())
    }

    fn ask(
        &self,
        method: Method,
        path: &str,
        kind: Option<&str>,
        body: Bytes,
    ) -> Result<Answer, Failure> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "sluice");
        if let Some(kind) = kind {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        let request = request
            .body(Full::new(body))
            .map_err(|error| self.garbled(&error))?;
        let exchange = async { tokio::time::timeout(PATIENCE, self.exchange(request)).await };
        let answer = self.runtime.block_on(exchange);
        answer.unwrap_or_else(|_| Err(Failure::Silent(self.socket.clone())))
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Answer, Failure> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|error| self.not_connected(&error))?;
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| self.unanswered(&error))?;
        // Errors of the connection come out of the request too.
        let driver = tokio::spawn(connection);
        let response = sender.send_request(request).await;
        let (head, body) = response
            .map_err(|error| self.unanswered(&error))?
            .into_parts();
        let body = body.collect().await.map_err(|error| self.garbled(&error))?;
        driver.abort();
        Ok(Answer {
            socket: self.socket.clone(),
            status: head.status,
            body: body.to_bytes(),
        })
    }

    fn not_connected(&self, error: &io::Error) -> Failure {
        let socket = self.socket.clone();
        match error.kind() {
            io::ErrorKind::PermissionDenied => Failure::Denied(socket),
            // The queue of a listener that does not accept is full (unix(7)).
            io::ErrorKind::WouldBlock => Failure::Silent(socket),
            _ => Failure::Unreachable(socket),
        }
    }

    /// Only an answer that has begun and makes no sense is garbled.
    fn unanswered(&self, error: &hyper::Error) -> Failure {
        if error.is_parse() {
            self.garbled(error)
        } else {
            Failure::HungUp(self.socket.clone())
        }
    }

    fn garbled(&self, error: &dyn std::error::Error) -> Failure {
        Failure::Garbled(self.socket.clone(), error.to_string())
    }
}

impl Answer {
    /// The answer as a view.
    pub(super) fn view<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Failure::Garbled(self.socket.clone(), error.to_string()))
    }

    /// The answer, if the gateway did what it was asked for.
    pub(super) fn accepted(self) -> Result<Self, Failure> {
        if self.status.is_success() {
            return Ok(self);
        }
        let ErrorView { errors } = self.view()?;
        Err(Failure::Refused(errors))
    }
}

/// Writes a value so that it can stand in a query (RFC 3986 §2.3: only unreserved characters
/// stand for themselves).
pub(super) fn percent_encoded(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_in_a_query_keeps_only_unreserved_characters() {
        assert_eq!(
            percent_encoded("conf/a b&ü.toml"),
            "conf%2Fa%20b%26%C3%BC.toml"
        );
    }

    #[test]
    fn a_gateway_that_hangs_up_is_said_to_stop() {
        let name = format!("sluice-hangs-up-{}.sock", std::process::id());
        let path = std::env::temp_dir().join(name);
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let accepting = std::thread::spawn(move || drop(listener.accept().unwrap()));

        let failure = Client::new(&path).unwrap().get("/v1/status").err().unwrap();

        assert!(matches!(failure, Failure::HungUp(_)), "{failure}");
        accepting.join().unwrap();
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_gateway_that_does_not_run_is_unreachable() {
        let client = Client::new(Path::new("/nonexistent/sluice.sock")).unwrap();

        let failure = client.get("/v1/status").err().unwrap();

        assert_eq!(
            failure.to_string(),
            "cannot reach the gateway at /nonexistent/sluice.sock: is it running?"
        );
    }
}
