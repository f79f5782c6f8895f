//! Asks the API over its socket.

use std::error::Error;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use futures_util::stream;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::failure::{Failure, Members};
use crate::view::ErrorView;

/// How long to wait for an answer: applying 100,000 servers takes a second or two.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long an answer to an upload may take, which comes when all of it was read: a million
/// sessions take some seconds.
const UPLOAD_PATIENCE: Duration = Duration::from_secs(1_800);

/// Bytes of an upload that are read at once.
const PIECE: usize = 64 << 10;

/// The way to one gateway.
pub(super) struct Client {
    runtime: Runtime,
    socket: PathBuf,
    /// How long it waits for an answer.
    patience: Duration,
}

/// Interrupts from the keyboard.
pub(super) struct Interrupt(Signal);

/// Why an upload has no answer.
pub(super) enum UploadFailure {
    /// What should be sent cannot be read.
    Read(io::Error),
    /// Something went wrong on the way.
    Ask(Failure),
}

impl From<Failure> for UploadFailure {
    fn from(failure: Failure) -> Self {
        Self::Ask(failure)
    }
}

/// What there is to read, piece by piece. Reading may block: there is nothing else to do.
struct Pieces {
    from: Box<dyn Read + Send>,
    /// Why it could not be read to its end.
    broken: Arc<Mutex<Option<io::Error>>>,
}

impl Iterator for Pieces {
    type Item = Result<Frame<Bytes>, &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut piece = vec![0; PIECE];
        loop {
            match self.from.read(&mut piece) {
                Ok(0) => return None,
                Ok(len) => {
                    piece.truncate(len);
                    return Some(Ok(Frame::data(piece.into())));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    *self.broken.lock() = Some(error);
                    return Some(Err("the rest cannot be read"));
                }
            }
        }
    }
}

/// What the gateway said.
pub(super) struct Answer {
    socket: PathBuf,
    pub(super) status: StatusCode,
    /// What stands for the state that it shows, if anything does.
    pub(super) tag: Option<HeaderValue>,
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
            patience: PATIENCE,
        })
    }

    /// One that does not wait longer than this for an answer.
    pub(super) fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// What the gateway says to `GET path`.
    pub(super) fn get(&self, path: &str) -> Result<Answer, Failure> {
        self.ask(Method::GET, path, HeaderMap::new(), Bytes::new())
    }

    /// What the gateway says to `PUT path` with a body of this type, if what is there still has
    /// the tag that was `seen`; nothing stands for whatever is there.
    pub(super) fn put(
        &self,
        path: &str,
        kind: &'static str,
        seen: Option<HeaderValue>,
        body: Vec<u8>,
    ) -> Result<Answer, Failure> {
        let any = HeaderValue::from_static("*");
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
            (header::IF_MATCH, seen.unwrap_or(any)),
        ];
        self.ask(
            Method::PUT,
            path,
            headers.into_iter().collect(),
            body.into(),
        )
    }

    /// What the gateway says to `POST path` with a body of this type.
    pub(super) fn post(
        &self,
        path: &str,
        kind: &'static str,
        body: Vec<u8>,
    ) -> Result<Answer, Failure> {
        let kind = (header::CONTENT_TYPE, HeaderValue::from_static(kind));
        self.ask(
            Method::POST,
            path,
            HeaderMap::from_iter([kind]),
            body.into(),
        )
    }

    fn ask(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, Failure> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "sluice")
            .body(Full::new(body))
            .map_err(|error| self.garbled(&error))?;
        request.headers_mut().extend(headers);
        self.runtime.block_on(self.within(self.patience, async {
            let response = self.open(request).await?;
            self.collect(response).await
        }))
    }

    /// What the gateway says to `POST path` with all that `from` has as its body.
    pub(super) fn upload(
        &self,
        path: &str,
        kind: &str,
        from: Box<dyn Read + Send>,
    ) -> Result<Answer, UploadFailure> {
        let broken = Arc::new(Mutex::new(None));
        let pieces = Pieces {
            from,
            broken: Arc::clone(&broken),
        };
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::HOST, "sluice")
            .header(header::CONTENT_TYPE, kind)
            .body(StreamBody::new(stream::iter(pieces)))
            .map_err(|error| self.garbled(&error))?;
        let answer = self.runtime.block_on(self.within(UPLOAD_PATIENCE, async {
            let response = self.open(request).await?;
            self.collect(response).await
        }));
        match broken.lock().take() {
            Some(error) => Err(UploadFailure::Read(error)),
            None => Ok(answer?),
        }
    }

    /// Writes what the gateway says to `GET path` to `to`, piece by piece.
    pub(super) fn download(
        &self,
        path: &str,
        mut to: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let request = Request::builder()
            .uri(path)
            .header(header::HOST, "sluice")
            .body(Full::new(Bytes::new()))
            .map_err(|error| self.garbled(&error))?;
        self.runtime.block_on(async {
            let response = self.within(PATIENCE, self.open(request)).await?;
            if !response.status().is_success() {
                let answer = self.within(PATIENCE, self.collect(response)).await?;
                return answer.accepted().map(|_| ());
            }
            let mut body = response.into_body();
            let mut next = async || {
                self.within(PATIENCE, async { Ok(body.frame().await) })
                    .await
            };
            while let Some(frame) = next().await? {
                let frame = frame.map_err(|_| Failure::HungUp(self.socket.clone()))?;
                if let Some(piece) = frame.data_ref() {
                    to(piece)?;
                }
            }
            Ok(())
        })
    }

    /// From now on an interrupt from the keyboard does not end the process.
    pub(super) fn interrupt(&self) -> Result<Interrupt, Failure> {
        let _entered = self.runtime.enter();
        Ok(Interrupt(signal(SignalKind::interrupt())?))
    }

    /// Waits; true when there was an interrupt from the keyboard, also one before.
    pub(super) fn pause(&self, time: Duration, interrupt: &mut Interrupt) -> bool {
        let waiting = async { tokio::time::timeout(time, interrupt.0.recv()).await };
        self.runtime.block_on(waiting).is_ok()
    }

    /// What `work` comes to, unless the gateway takes longer.
    async fn within<T>(
        &self,
        patience: Duration,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let done = tokio::time::timeout(patience, work).await;
        done.unwrap_or_else(|_| Err(Failure::Silent(self.socket.clone())))
    }

    /// Sends a request; the body of the answer is still to come.
    async fn open<B>(&self, request: Request<B>) -> Result<Response<Incoming>, Failure>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|error| self.not_connected(error))?;
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| self.unanswered(&error))?;
        // It ends with the answer; its errors come out of the request too.
        tokio::spawn(connection);
        let response = sender.send_request(request).await;
        response.map_err(|error| self.unanswered(&error))
    }

    async fn collect(&self, response: Response<Incoming>) -> Result<Answer, Failure> {
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| self.garbled(&error))?;
        Ok(Answer {
            socket: self.socket.clone(),
            status: head.status,
            tag: head.headers.get(header::ETAG).cloned(),
            body: body.to_bytes(),
        })
    }

    fn not_connected(&self, error: io::Error) -> Failure {
        let socket = self.socket.clone();
        match error.kind() {
            io::ErrorKind::NotFound => Failure::NoSocket(socket),
            io::ErrorKind::ConnectionRefused => Failure::Dead(socket),
            io::ErrorKind::PermissionDenied => {
                let members = Members::of(&socket);
                Failure::Denied(socket, members)
            }
            // The queue of a listener that does not accept is full (unix(7)).
            io::ErrorKind::WouldBlock => Failure::Silent(socket),
            _ => Failure::Unreachable(socket, error),
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
pub(crate) fn percent_encoded(value: &str) -> String {
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
            "there is no gateway at /nonexistent/sluice.sock: is it running, and is this its \
             `socket`? (--socket names another)"
        );
    }
}
