//! Throughput by iperf3.

use std::net::Ipv4Addr;
use std::process::Stdio;
use std::time::Duration;

use crate::namespace::Namespace;
use crate::run::{self, Running};

/// The port iperf3 listens on by default.
pub const PORT: u16 = 5201;

/// A running iperf3 server; it ends when dropped.
#[derive(Debug)]
pub struct IperfServer {
    _child: Running,
}

impl IperfServer {
    /// Starts a server on `host`.
    ///
    /// # Panics
    ///
    /// When it does not listen within five seconds.
    #[must_use]
    pub fn start(host: &Namespace) -> Self {
        let mut command = host.command("iperf3 --server");
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let server = Self {
            _child: Running(child.expect("iperf3 is installed")),
        };
        let up = run::eventually(Duration::from_secs(5), || {
            host.run("ss --no-header --listening --numeric --tcp")
                .contains(&format!(":{PORT} "))
        });
        assert!(up, "iperf3 does not listen");
        server
    }
}

/// Which way the bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

/// What one run measured.
#[derive(Clone, Copy, Debug)]
pub struct Throughput {
    /// Bytes that arrived.
    pub bytes: u64,
    /// Bits a second that arrived.
    pub bits_per_second: f64,
    /// Segments the sender sent again.
    pub retransmits: u64,
}

/// Sends for `seconds` over one connection.
///
/// # Panics
///
/// When iperf3 fails, with its own words.
#[must_use]
pub fn measure(
    client: &Namespace,
    server: Ipv4Addr,
    seconds: u32,
    direction: Direction,
) -> Throughput {
    let reverse = if direction == Direction::Down {
        " --reverse"
    } else {
        ""
    };
    let limit = seconds + 15;
    let line = format!("timeout {limit} iperf3 --client {server} --time {seconds} --json{reverse}");
    let mut report = serde_json::Value::Null;
    // The server serves one at a time, and is not done at once with the one before: it says so, or,
    // as of 3.18, closes its socket under who comes too early.
    let served = run::eventually(Duration::from_secs(10), || {
        let output = run::output(&mut client.command(&line));
        report = serde_json::from_slice(&output.stdout).expect("iperf3 prints JSON");
        let error = report["error"].as_str().unwrap_or_default();
        !error.contains("busy") && !error.contains("Connection reset by peer")
    });
    assert!(served && report["error"].is_null(), "{report}");
    let end = &report["end"];
    Throughput {
        bytes: end["sum_received"]["bytes"]
            .as_u64()
            .expect("iperf3 counts bytes"),
        bits_per_second: end["sum_received"]["bits_per_second"]
            .as_f64()
            .unwrap_or_default(),
        retransmits: end["sum_sent"]["retransmits"].as_u64().unwrap_or_default(),
    }
}
