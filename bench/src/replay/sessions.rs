//! The sessions of a case as the gateway imports them, so that they exist before the window.

use std::io::{self, Write};
use std::net::SocketAddrV4;

use serde::Serialize;

use super::case::{Case, Method, Protocol};
use super::topology::{Flow, VIP};

/// Longer than any run: no session may end by itself.
const EXPIRES_SECONDS: u32 = 80_000;

/// One line of the file.
#[derive(Serialize)]
struct Line {
    protocol: &'static str,
    state: &'static str,
    client: SocketAddrV4,
    vip: SocketAddrV4,
    #[serde(skip_serializing_if = "Option::is_none")]
    local: Option<SocketAddrV4>,
    server: SocketAddrV4,
    method: &'static str,
    expires_seconds: u32,
}

/// Writes one line of JSON for each flow of `case`.
///
/// # Errors
///
/// When `out` cannot be written.
pub fn write(mut out: impl Write, case: &Case) -> io::Result<()> {
    for index in 0..case.flows {
        let flow = Flow::new(case.method, case.protocol, index);
        let line = Line {
            protocol: case.protocol.name(),
            state: match case.protocol {
                Protocol::Tcp => "ESTABLISHED",
                Protocol::Udp => "UDP",
            },
            client: flow.client,
            vip: VIP,
            local: (case.method == Method::Fullnat).then_some(flow.local),
            server: flow.server,
            method: case.method.name(),
            expires_seconds: EXPIRES_SECONDS,
        };
        serde_json::to_writer(&mut out, &line)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::case::{Direction, Sizes};
    use super::*;

    fn lines(method: Method, protocol: Protocol) -> Vec<Value> {
        let case = Case {
            method,
            direction: Direction::Request,
            protocol,
            flows: 3,
            sizes: Sizes::Small,
        };
        let mut file = Vec::new();
        write(&mut file, &case).unwrap();
        let text = String::from_utf8(file).unwrap();
        (text.lines().map(|line| serde_json::from_str(line).unwrap())).collect()
    }

    #[test]
    fn each_flow_is_a_line_with_both_its_sides() {
        let lines = lines(Method::Fullnat, Protocol::Tcp);

        let flow = Flow::new(Method::Fullnat, Protocol::Tcp, 2);
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[2]["client"], flow.client.to_string());
        assert_eq!(lines[2]["local"], flow.local.to_string());
        assert_eq!(lines[2]["server"], flow.server.to_string());
        assert_eq!(lines[2]["state"], "ESTABLISHED");
    }

    #[test]
    fn only_fullnat_has_a_local_side() {
        let lines = lines(Method::Dr, Protocol::Udp);

        assert_eq!(lines[0].get("local"), None);
        assert_eq!(lines[0]["state"], "UDP");
        assert_eq!(lines[0]["method"], "dr");
    }
}
