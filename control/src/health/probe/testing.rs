//! Servers of the tests.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::{Probe, ProbeTarget};
use crate::config::{Check, CheckKind, CheckPath, Timing};

/// A check of this kind with a timeout that no answer on this machine takes.
pub(super) fn check(kind: CheckKind) -> Check {
    Check {
        kind,
        port: None,
        address: None,
        path: CheckPath::Route,
        timing: Timing {
            timeout: Duration::from_secs(10),
            ..Timing::default()
        },
        load: None,
    }
}

/// The same with little patience, for servers that do not answer.
pub(super) fn hasty(kind: CheckKind) -> Check {
    let mut check = check(kind);
    check.timing.timeout = Duration::from_millis(1_500);
    check
}

/// The server at this address.
pub(super) fn target(server: SocketAddr) -> ProbeTarget {
    ProbeTarget {
        server,
        source: None,
        vip: None,
        service: "web".to_owned(),
    }
}

/// What a check says that fails.
pub(super) async fn said(probe: &Probe, target: &ProbeTarget) -> String {
    probe.run(target).await.unwrap_err().to_string()
}

/// A port that nobody listens at.
pub(super) async fn closed_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

/// A port whose packets nobody answers.
pub(super) struct SilentPort {
    pub(super) address: SocketAddr,
    _listener: TcpListener,
    _waiting: TcpStream,
}

/// A listener whose queue is full: Linux drops the SYNs of further connections.
pub(super) async fn silent_port() -> SilentPort {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    SilentPort {
        address,
        _waiting: TcpStream::connect(address).await.unwrap(),
        _listener: listener,
    }
}

/// A server that says `answer` to everyone who has said something, and closes.
pub(super) async fn answering(answer: impl Into<Vec<u8>>) -> ProbeTarget {
    let answer: Arc<[u8]> = answer.into().into();
    serving(move |mut connection| {
        let answer = Arc::clone(&answer);
        async move {
            let _ = connection.read(&mut [0; 4096]).await;
            let _ = connection.write_all(&answer).await;
            let _ = connection.shutdown().await;
        }
    })
    .await
}

/// Hears the client's first words; one that waits to be greeted says none.
pub(super) async fn hear(connection: &mut TcpStream) {
    let patience = Duration::from_millis(50);
    let _ = tokio::time::timeout(patience, connection.read(&mut [0; 4096])).await;
}

/// A server that says `begin` to everyone and nothing more, and does not close.
pub(super) async fn hanging_after(begin: &'static [u8]) -> ProbeTarget {
    serving(move |mut connection| async move {
        hear(&mut connection).await;
        let _ = connection.write_all(begin).await;
        let mut heard = [0; 4096];
        while connection.read(&mut heard).await.is_ok_and(|len| len > 0) {}
    })
    .await
}

/// A server that says `begin`, and then `more` without an end.
pub(super) async fn endless(begin: &'static [u8], more: &'static [u8]) -> ProbeTarget {
    serving(move |mut connection| async move {
        hear(&mut connection).await;
        let _ = connection.write_all(begin).await;
        while connection.write_all(more).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await
}

/// A server that does this with every connection, one after the other.
pub(super) async fn serving<S, D>(serve: S) -> ProbeTarget
where
    S: Fn(TcpStream) -> D + Send + 'static,
    D: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            serve(connection).await;
        }
    });
    target(address)
}

/// An authority of the tests, in a file that goes with it.
pub(super) struct Authority {
    pub(super) path: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

/// A server that speaks TLS, by a certificate that its own authority signed.
pub(super) struct TlsServer {
    pub(super) ca: Authority,
    pub(super) target: ProbeTarget,
}

impl Authority {
    fn new() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("sluice-test-ca-{}-{number}.pem", std::process::id());
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // Two of the same name would be taken for one that signs wrongly.
        params.distinguished_name.push(DnType::CommonName, &name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, params.self_signed(&key).unwrap().pem()).unwrap();
        let issuer = Issuer::new(params, key);
        Self { path, issuer }
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl TlsServer {
    /// Listens as these names, and says `answer` to everyone who has said something.
    pub(super) async fn start(names: &[&str], answer: &'static str) -> Self {
        let (ca, acceptor) = Self::accepting(names);
        let target = serving(move |connection| {
            let acceptor = acceptor.clone();
            async move {
                if let Ok(mut connection) = acceptor.accept(connection).await {
                    let _ = connection.read(&mut [0; 4096]).await;
                    let _ = connection.write_all(answer.as_bytes()).await;
                    let _ = connection.shutdown().await;
                }
            }
        })
        .await;
        Self { ca, target }
    }

    /// An authority, and what accepts by a certificate of it.
    pub(super) fn accepting(names: &[&str]) -> (Authority, TlsAcceptor) {
        let ca = Authority::new();
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(names).unwrap();
        let certificate = params.signed_by(&key, &ca.issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        (ca, TlsAcceptor::from(Arc::new(config)))
    }
}

/// Says that a test cannot be run, past the capture of the test harness.
pub(super) fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
    assert!(
        std::env::var_os("CI_NO_SKIP").is_none_or(|value| value != "1"),
        "this test cannot be run here ({why}), and CI_NO_SKIP=1 forbids to skip it"
    );
}
