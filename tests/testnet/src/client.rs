//! A client: curl, UDP, ping.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use crate::namespace::Namespace;
use crate::run;

/// TCP ports that Linux does not give out by itself (`ip_local_port_range`).
const FIRST_TCP_PORT: u16 = 10_000;
const TCP_PORTS: u16 = 22_000;

/// How many of them were used.
static NEXT_TCP_PORT: AtomicU16 = AtomicU16::new(0);

/// Below the ports that Linux gives out by itself.
static NEXT_UDP_PORT: AtomicU16 = AtomicU16::new(20_000);

/// One line of a server's page, or one UDP answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Who answered, such as `server-1`.
    pub server: String,
    /// The client's address as that server saw it.
    pub seen_client: Ipv4Addr,
    /// The rest: for the page the address and port the server was reached at, for UDP the
    /// payload.
    pub rest: String,
}

impl Answer {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.splitn(3, ' ');
        Some(Self {
            server: words.next()?.to_owned(),
            seen_client: words.next()?.parse().ok()?,
            rest: words.next()?.to_owned(),
        })
    }
}

/// How long to wait for a datagram: a busy machine may stand still meanwhile.
const UDP_PATIENCE: Duration = Duration::from_secs(3);

/// How often each server answered.
#[must_use]
pub fn spread(answers: &[Answer]) -> BTreeMap<&str, usize> {
    let mut spread = BTreeMap::new();
    for answer in answers {
        *spread.entry(answer.server.as_str()).or_default() += 1;
    }
    spread
}

/// A host that asks.
#[derive(Debug)]
pub struct Client {
    namespace: Namespace,
    address: Ipv4Addr,
}

impl Client {
    /// A client on `namespace` whose own address is `address`.
    #[must_use]
    pub fn new(namespace: Namespace, address: Ipv4Addr) -> Self {
        Self { namespace, address }
    }

    /// The client's host.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The client's address.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Asks for the server's page `requests` times, each on a connection of its own, and returns
    /// the answers that came; a request without an answer within five seconds is missing.
    ///
    /// # Panics
    ///
    /// When the client's directory cannot be written.
    #[must_use]
    pub fn get(&self, target: SocketAddrV4, requests: usize) -> Vec<Answer> {
        let requests: Vec<String> = (0..requests)
            .map(|_| {
                // A port that Linux chose might come again, and with it the session it made.
                let port = NEXT_TCP_PORT.fetch_add(1, Ordering::Relaxed);
                let port = FIRST_TCP_PORT + port % TCP_PORTS;
                format!(
                    "silent\nmax-time = 5\nheader = \"Connection: close\"\n\
                     local-port = {port}\nurl = \"http://{target}/\"\n"
                )
            })
            .collect();
        let config = self.namespace.dir().join("requests");
        std::fs::write(&config, requests.join("next\n")).expect("the directory can be written");
        let mut command = self.namespace.command("curl --config");
        command.arg(&config);
        let output = run::output(&mut command);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().filter_map(Answer::parse).collect()
    }

    /// Waits until `target` answers.
    ///
    /// # Panics
    ///
    /// When it does not within ten seconds.
    pub fn wait_for(&self, target: SocketAddrV4) {
        let answers = run::eventually(Duration::from_secs(10), || {
            let line = format!("curl --silent --output /dev/null --max-time 1 http://{target}/");
            run::output(&mut self.namespace.command(&line))
                .status
                .success()
        });
        assert!(answers, "{target} does not answer {}", self.address);
    }

    /// Fetches `/blob` from `target` and returns its SHA-256.
    ///
    /// # Panics
    ///
    /// When the download fails or takes longer than a minute.
    #[must_use]
    pub fn download(&self, target: SocketAddrV4) -> String {
        self.download_at(target, "0")
    }

    /// As [`Self::download`], with at most so many bytes a second, in curl's words; 0 is no limit.
    ///
    /// # Panics
    ///
    /// When the download fails or takes longer than a minute.
    #[must_use]
    pub fn download_at(&self, target: SocketAddrV4, rate: &str) -> String {
        let file = self.namespace.dir().join("download");
        let mut command = self
            .namespace
            .command("curl --silent --show-error --fail --max-time 60");
        command
            .args(["--limit-rate", rate, "--output"])
            .arg(&file)
            .arg(format!("http://{target}/blob"));
        run::must(&mut command);
        sha256(&file)
    }

    /// Sends `file` to `target`, to be stored as `name`.
    ///
    /// # Panics
    ///
    /// When the upload fails or takes longer than a minute.
    pub fn upload(&self, target: SocketAddrV4, file: &Path, name: &str) {
        let mut command = self
            .namespace
            .command("curl --silent --show-error --fail --max-time 60");
        command
            .arg("--upload-file")
            .arg(file)
            .arg(format!("http://{target}/upload/{name}"));
        run::must(&mut command);
    }

    /// Sends one datagram from a port of its own and returns the answer, if one comes within a
    /// second.
    ///
    /// # Panics
    ///
    /// When the client has no socket to send from.
    #[must_use]
    pub fn udp(&self, target: SocketAddrV4, payload: &str) -> Option<Answer> {
        let socket = self.udp_socket();
        socket.send_to(payload.as_bytes(), target).ok()?;
        let mut buffer = vec![0; 1 << 16];
        let (length, sender) = socket.recv_from(&mut buffer).ok()?;
        let answer = Answer::parse(std::str::from_utf8(&buffer[..length]).ok()?)?;
        // Only an answer from the address that was asked is one.
        (sender == target.into()).then_some(answer)
    }

    /// A UDP socket of this client, with a port that no other one had, that waits
    /// as long as a busy machine needs for what it receives.
    ///
    /// # Panics
    ///
    /// When it cannot be made.
    #[must_use]
    pub fn udp_socket(&self) -> UdpSocket {
        // A port that Linux chose might come again, and with it the session it made.
        let port = NEXT_UDP_PORT.fetch_add(1, Ordering::Relaxed);
        let socket = self
            .namespace
            .inside(|| UdpSocket::bind((self.address, port)));
        let socket = socket.expect("the client has its address");
        socket
            .set_read_timeout(Some(UDP_PATIENCE))
            .expect("it is not zero");
        socket
    }

    /// Sends pings, ten a second, until `count` were answered, for at most 15 s.
    ///
    /// # Panics
    ///
    /// When ping prints no summary.
    #[must_use]
    pub fn ping(&self, target: Ipv4Addr, count: usize) -> Pings {
        // Without a deadline ping waits for the last answer only as long as the others took.
        let line = format!("ping -n -q -c {count} -i 0.1 -w 15 {target}");
        let output = run::output(&mut self.namespace.command(&line));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let number = |what: &str| {
            let mut parts = text.split([',', '\n']);
            let word = parts.find_map(|part| part.trim().strip_suffix(what))?;
            word.parse().ok()
        };
        match (number(" packets transmitted"), number(" received")) {
            (Some(sent), Some(answered)) => Pings { sent, answered },
            _ => panic!("ping: {text}"),
        }
    }
}

/// What came of pings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pings {
    /// Requests.
    pub sent: usize,
    /// Answers to them.
    pub answered: usize,
}

/// The SHA-256 of a file, by sha256sum.
///
/// # Panics
///
/// When the file cannot be read.
#[must_use]
pub fn sha256(file: &Path) -> String {
    let text = run::must(run::command("sha256sum").arg(file));
    text.split_whitespace()
        .next()
        .expect("sha256sum prints the sum first")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_server() {
        let answers: Vec<Answer> = ["server-1 10.1.0.2 10.1.0.101:80", "server-2 10.1.0.2 x y"]
            .into_iter()
            .filter_map(Answer::parse)
            .collect();

        assert_eq!(
            spread(&answers),
            BTreeMap::from([("server-1", 1), ("server-2", 1)])
        );
        assert_eq!(answers[1].rest, "x y");
        assert_eq!(Answer::parse("<html> 502"), None);
    }
}
