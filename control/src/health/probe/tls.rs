//! TLS with servers whose certificates are verified, or not.
//!
//! TLS 1.2 and 1.3, with what rustls offers of them. Sessions are never resumed: every check sees
//! the server's certificate. A file of authorities is read again when it has changed, and the
//! system's every hour: what cannot be read then leaves those that were trusted before.

use std::io;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::{Instant, SystemTime};

use parking_lot::Mutex;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::failure::ProbeFailure;
use crate::config::Tls;

/// How TLS is begun.
pub(super) struct TlsClient {
    tls: Tls,
    /// As in ALPN (RFC 7301).
    protocol: Vec<u8>,
    name: Option<ServerName<'static>>,
    made: Mutex<Made>,
}

/// What is made of certificates, as long as they stay.
struct Made {
    version: Version,
    connector: TlsConnector,
}

/// Which certificates are trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    /// All of them.
    Any,
    /// The system's, of this hour since the first.
    System(u64),
    /// Those of a file that was written then, has so many bytes, and this number.
    File(SystemTime, u64, u64),
    /// Those of a file that is not there.
    Nowhere,
}

impl Version {
    /// Of what there is now.
    fn of(tls: &Tls) -> Self {
        static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
        match &tls.ca {
            _ if !tls.verify => Self::Any,
            None => Self::System(BEGAN.elapsed().as_secs() / 3600),
            Some(path) => path
                .metadata()
                .and_then(|file| Ok(Self::File(file.modified()?, file.len(), file.ino())))
                .unwrap_or(Self::Nowhere),
        }
    }
}

impl std::fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsClient")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl TlsClient {
    /// What is configured, for a protocol named as in ALPN (RFC 7301). The server's name is that of
    /// SNI, else `host` (which may have a port), else the address that is asked.
    pub(super) fn new(tls: &Tls, host: Option<&str>, protocol: &[u8]) -> Result<Self, String> {
        let name = tls
            .sni
            .as_deref()
            .or(host.map(without_port))
            .map(server_name);
        let version = Version::of(tls);
        Ok(Self {
            tls: tls.clone(),
            protocol: protocol.to_vec(),
            name: name.transpose()?,
            made: Mutex::new(Made {
                version,
                connector: connector(tls, version, protocol)?,
            }),
        })
    }

    /// What trusts the certificates that there are now.
    fn connector(&self) -> TlsConnector {
        let mut made = self.made.lock();
        let version = Version::of(&self.tls);
        if made.version != version {
            match connector(&self.tls, version, &self.protocol) {
                Ok(connector) => made.connector = connector,
                Err(why) => tracing::warn!("{why}: who was trusted before stays so"),
            }
            made.version = version;
        }
        made.connector.clone()
    }

    /// Shakes hands with the server at `address`.
    pub(super) async fn begin(
        &self,
        address: IpAddr,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, ProbeFailure> {
        let name = self.name.clone().unwrap_or(ServerName::from(address));
        let shaken = self.connector().connect(name, stream).await;
        shaken.map_err(failure)
    }
}

/// What begins TLS with those who are trusted.
fn connector(tls: &Tls, version: Version, protocol: &[u8]) -> Result<TlsConnector, String> {
    let provider = Arc::new(default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let mut config = if version == Version::Any {
        let verifier = Arc::new(Anyone { provider });
        builder
            .dangerous()
            .with_custom_certificate_verifier(verifier)
    } else {
        builder.with_root_certificates(roots(tls.ca.as_deref(), version)?)
    }
    .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The certificates that are trusted.
fn roots(ca: Option<&Path>, version: Version) -> Result<Arc<RootCertStore>, String> {
    match ca {
        Some(path) => roots_of(path).map(Arc::new),
        None => system_roots(version),
    }
}

fn roots_of(path: &Path) -> Result<RootCertStore, String> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let text = std::fs::read(path).map_err(|error| named(&error))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| named(&error))?;
        roots.add(certificate).map_err(|error| named(&error))?;
    }
    if roots.is_empty() {
        return Err(named(&"no certificate is in it"));
    }
    Ok(roots)
}

/// The system's certificates of this version, which are read once: thousands of checks share them.
fn system_roots(version: Version) -> Result<Arc<RootCertStore>, String> {
    static ROOTS: Mutex<Option<(Version, Arc<RootCertStore>)>> = Mutex::new(None);
    let mut known = ROOTS.lock();
    if let Some((_, roots)) = known.as_ref().filter(|(of, _)| *of == version) {
        return Ok(Arc::clone(roots));
    }
    let mut roots = RootCertStore::empty();
    // What cannot be read or is out of fashion is not trusted; there are a hundred others.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(
            "the system has no certificates to verify a server by (Debian has them in \
             ca-certificates): name a file in `ca`"
                .to_owned(),
        );
    }
    let roots = Arc::new(roots);
    *known = Some((version, Arc::clone(&roots)));
    Ok(roots)
}

/// The name of a host in a Host header (RFC 9110 §7.2).
fn without_port(host: &str) -> &str {
    if let Some((address, _)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return address;
    }
    match host.split_once(':') {
        Some((name, port)) if !port.contains(':') => name,
        _ => host,
    }
}

fn server_name(name: &str) -> Result<ServerName<'static>, String> {
    let parsed = ServerName::try_from(name.to_owned());
    parsed.map_err(|_| format!("\"{name}\" is not a name that a certificate can have"))
}

/// Why hands were not shaken.
fn failure(error: io::Error) -> ProbeFailure {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    match cause {
        Some(Error::InvalidCertificate(why)) => {
            ProbeFailure::new(format!("certificate: {}", certificate(why)))
        }
        Some(Error::InvalidMessage(_)) => ProbeFailure::new("the server does not speak TLS"),
        Some(Error::AlertReceived(alert)) => {
            ProbeFailure::new(format!("TLS: the server refused ({alert:?})"))
        }
        Some(other) => ProbeFailure::new(format!("TLS: {other}")),
        None => error.into(),
    }
}

/// What is wrong with a certificate.
fn certificate(why: &CertificateError) -> String {
    match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "expired".to_owned(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "not valid yet".to_owned()
        }
        CertificateError::UnknownIssuer => "signed by nobody who is trusted".to_owned(),
        CertificateError::NotValidForName => "not for this name".to_owned(),
        CertificateError::NotValidForNameContext { expected, .. } => {
            format!("not for {}", expected.to_str())
        }
        CertificateError::BadSignature => "its signature is wrong".to_owned(),
        other => other.to_string(),
    }
}

/// Takes every certificate: for checks that shall find out whether a server works, and not who
/// it is.
#[derive(Debug)]
struct Anyone {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::TlsServer;
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_perhaps_with_a_port() {
        assert_eq!(without_port("example.com"), "example.com");
        assert_eq!(without_port("example.com:8443"), "example.com");
        assert_eq!(without_port("[2001:db8::1]:8443"), "2001:db8::1");
        assert_eq!(without_port("2001:db8::1"), "2001:db8::1");
        assert_eq!(without_port("192.0.2.1:443"), "192.0.2.1");
    }

    #[test]
    fn a_file_of_trusted_certificates_must_have_some() {
        let path = std::env::temp_dir().join(format!("sluice-no-ca-{}.pem", std::process::id()));
        std::fs::write(&path, "nothing\n").unwrap();
        let refused = |path: &Path| {
            let tls = Tls {
                verify: true,
                ca: Some(path.to_owned()),
                ..Tls::default()
            };
            TlsClient::new(&tls, None, b"http/1.1").err().unwrap()
        };

        let empty = refused(&path);
        std::fs::remove_file(&path).unwrap();
        let missing = refused(&path);

        assert_eq!(
            empty,
            format!("{}: no certificate is in it", path.display())
        );
        assert!(missing.contains("No such file"), "{missing}");
    }

    #[tokio::test]
    async fn authorities_are_read_again_when_their_file_has_changed() {
        let [old, new] = [
            TlsServer::start(&["a.example"], "").await,
            TlsServer::start(&["a.example"], "").await,
        ];
        let file = std::env::temp_dir().join(format!("sluice-ca-{}.pem", std::process::id()));
        let tls = Tls {
            sni: Some("a.example".to_owned()),
            verify: true,
            ca: Some(file.clone()),
        };
        std::fs::copy(&old.ca.path, &file).unwrap();
        let client = TlsClient::new(&tls, None, b"http/1.1").unwrap();
        let shaken = async |server: &TlsServer| {
            let address = server.target.server;
            let stream = TcpStream::connect(address).await.unwrap();
            let shaken = client.begin(address.ip(), stream).await;
            shaken.map(|_| ()).map_err(|failure| failure.to_string())
        };
        let stranger = Err("certificate: signed by nobody who is trusted".to_owned());
        assert_eq!(shaken(&old).await, Ok(()));
        assert_eq!(shaken(&new).await, stranger);

        std::fs::rename(&new.ca.path, &file).unwrap();

        assert_eq!(shaken(&new).await, Ok(()));
        assert_eq!(shaken(&old).await, stranger);
        // What somebody is about to write takes nobody out.
        std::fs::write(&file, "").unwrap();
        assert_eq!(shaken(&new).await, Ok(()));
        std::fs::remove_file(&file).unwrap();
        assert_eq!(shaken(&new).await, Ok(()));
    }

    #[test]
    fn a_name_that_no_certificate_can_have_is_refused() {
        let tls = Tls {
            sni: Some("not a name".to_owned()),
            ..Tls::default()
        };

        assert_eq!(
            TlsClient::new(&tls, None, b"h2").err().unwrap(),
            "\"not a name\" is not a name that a certificate can have"
        );
    }
}
