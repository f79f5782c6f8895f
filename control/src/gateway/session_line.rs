//! A session as one line of an export: JSON, with the names that listings use.
//!
//! ```text
//! {"protocol":"tcp","method":"dr","client":"10.1.0.9:40000","vip":"10.1.0.100:80",
//!  "server":"10.2.0.11:80","state":"ESTABLISHED","expires_seconds":899.5}
//! ```
//!
//! What has its usual value is left out; `docs/sessions.md` says what that is.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use dataplane::address::{Endpoint, Protocol};
use dataplane::id::{ServerSlot, ServiceSlot};
use dataplane::service::Method;
use dataplane::session::{SessionRecord, State};
use dataplane::time::{TICKS_PER_SECOND, Tick};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

/// The longest time a session may have left.
const LONGEST_SECONDS: f64 = Tick::MAX_TIMEOUT_SECONDS as f64;

/// Why a line is no session.
#[derive(Debug, thiserror::Error, PartialEq)]
pub(super) enum LineError {
    /// It is no JSON, or lacks something.
    #[error("{0}")]
    Json(String),
    /// No such transport.
    #[error("the protocol \"{0}\" is unknown: use tcp, udp or sctp")]
    Protocol(String),
    /// No such method.
    #[error("the method \"{0}\" is unknown: use dr, nat, tun or fullnat")]
    Method(String),
    /// No such state.
    #[error("{0} has no state \"{1}\"")]
    State(Protocol, String),
    /// Nobody knows whom the server sees.
    #[error("a fullnat session needs its `local` address and port")]
    NoLocal,
    /// Only FULLNAT changes the source.
    #[error("a session by {0} has no `local` address of its own")]
    NeedlessLocal(Method),
    /// It is over, or would never be.
    #[error("`expires_seconds` {0} is out of range: it must be above 0, and 31 days at most")]
    Expires(f64),
    /// It began in the future, or too long ago.
    #[error("`age_seconds` {0} is out of range: it must be 0 to 31 days")]
    Age(f64),
    /// It cannot be one session.
    #[error("it is longer than {0} bytes")]
    TooLong(usize),
}

/// The line, word by word.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(borrow)]
    protocol: Cow<'a, str>,
    #[serde(borrow)]
    method: Cow<'a, str>,
    client: SocketAddr,
    vip: SocketAddr,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    local: Option<SocketAddr>,
    server: SocketAddr,
    #[serde(borrow)]
    state: Cow<'a, str>,
    expires_seconds: f64,
    #[serde(default, skip_serializing_if = "is_default")]
    age_seconds: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    one_sided: Option<bool>,
    #[serde(default, skip_serializing_if = "is_default")]
    port_returned: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seq_delta: Option<u32>,
    #[serde(default, skip_serializing_if = "is_default")]
    last_client_end: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    mss_clamp: u16,
    #[serde(default, skip_serializing_if = "is_default")]
    traffic: Traffic,
    /// Listings have it; here it follows from who has the session.
    #[serde(default, rename = "worker", skip_serializing)]
    _worker: IgnoredAny,
}

/// What was counted about it.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Traffic {
    in_packets: u64,
    in_bytes: u64,
    out_packets: u64,
    out_bytes: u64,
    /// Listings have it; it is always 1.
    #[serde(rename = "sessions", skip_serializing)]
    _sessions: IgnoredAny,
}

/// Appends the line of a session, with its line feed.
pub(super) fn write(record: &SessionRecord, lines: &mut Vec<u8>) -> serde_json::Result<()> {
    let line = Line {
        protocol: record.protocol.name().into(),
        method: record.method.name().into(),
        client: socket(record.client),
        vip: socket(record.vip),
        local: (record.local != record.client).then(|| socket(record.local)),
        server: socket(record.server),
        state: record.state.name().into(),
        expires_seconds: seconds(record.expires_in_ticks),
        age_seconds: seconds(record.age_ticks),
        one_sided: (record.is_one_sided == record.method.sees_replies())
            .then_some(record.is_one_sided),
        port_returned: record.has_returned_port,
        seq_delta: record.seq_delta,
        last_client_end: record.last_client_end,
        mss_clamp: record.mss_clamp,
        traffic: Traffic {
            in_packets: record.in_packets,
            in_bytes: record.in_bytes,
            out_packets: record.out_packets,
            out_bytes: record.out_bytes,
            ..Traffic::default()
        },
        _worker: IgnoredAny,
    };
    serde_json::to_writer(&mut *lines, &line)?;
    lines.push(b'\n');
    Ok(())
}

/// The session of a line, with no place in a snapshot yet.
pub(super) fn read(line: &[u8]) -> Result<SessionRecord, LineError> {
    let line: Line<'_> = serde_json::from_slice(line).map_err(|error| {
        let said = error.to_string();
        // There is but one line.
        LineError::Json(said.replace(" at line 1 column ", ", column "))
    })?;
    let protocol = protocol(&line.protocol)?;
    let method = method(&line.method)?;
    let state = State::from_name(protocol, &line.state);
    let client = endpoint(line.client);
    let local = match (method, line.local.map(endpoint)) {
        (Method::Fullnat, Some(local)) => local,
        (Method::Fullnat, None) => return Err(LineError::NoLocal),
        (_, None) => client,
        (_, Some(local)) if local == client => client,
        (_, Some(_)) => return Err(LineError::NeedlessLocal(method)),
    };
    Ok(SessionRecord {
        protocol,
        method,
        state: state.ok_or_else(|| LineError::State(protocol, line.state.into_owned()))?,
        client,
        vip: endpoint(line.vip),
        local,
        server: endpoint(line.server),
        service: ServiceSlot::default(),
        server_slot: ServerSlot::default(),
        is_one_sided: line.one_sided.unwrap_or(!method.sees_replies()),
        has_returned_port: line.port_returned,
        seq_delta: line.seq_delta,
        last_client_end: line.last_client_end,
        mss_clamp: line.mss_clamp,
        expires_in_ticks: match line.expires_seconds {
            seconds if seconds > 0.0 && seconds <= LONGEST_SECONDS => ticks(seconds),
            seconds => return Err(LineError::Expires(seconds)),
        },
        age_ticks: match line.age_seconds {
            seconds if (0.0..=LONGEST_SECONDS).contains(&seconds) => ticks(seconds),
            seconds => return Err(LineError::Age(seconds)),
        },
        in_packets: line.traffic.in_packets,
        in_bytes: line.traffic.in_bytes,
        out_packets: line.traffic.out_packets,
        out_bytes: line.traffic.out_bytes,
    })
}

/// The transport of this name.
fn protocol(name: &str) -> Result<Protocol, LineError> {
    let mut all = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp].into_iter();
    all.find(|protocol| protocol.name() == name)
        .ok_or_else(|| LineError::Protocol(name.to_owned()))
}

/// The method of this name.
fn method(name: &str) -> Result<Method, LineError> {
    let mut all = [Method::Dr, Method::Nat, Method::Tun, Method::Fullnat].into_iter();
    all.find(|method| method.name() == name)
        .ok_or_else(|| LineError::Method(name.to_owned()))
}

/// The next whole tick.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "31 days are 2^30 ticks, and nothing is below zero"
)]
fn ticks(seconds: f64) -> u32 {
    (seconds * f64::from(TICKS_PER_SECOND)).ceil() as u32
}

/// Ticks as listings tell them.
pub(super) fn seconds(ticks: u32) -> f64 {
    f64::from(ticks) / f64::from(TICKS_PER_SECOND)
}

/// An end as text has it.
pub(super) const fn socket(end: Endpoint<IpAddr>) -> SocketAddr {
    SocketAddr::new(end.addr, end.port)
}

fn endpoint(socket: SocketAddr) -> Endpoint<IpAddr> {
    Endpoint::new(socket.ip(), socket.port())
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The least that makes a session.
    const LEAST: &str = concat!(
        r#"{"protocol":"tcp","method":"dr","client":"10.1.0.9:40000","vip":"10.1.0.100:80","#,
        r#""server":"10.2.0.11:80","state":"ESTABLISHED","expires_seconds":899.5}"#
    );

    fn least() -> SessionRecord {
        read(LEAST.as_bytes()).unwrap()
    }

    fn written(record: &SessionRecord) -> String {
        let mut line = Vec::new();
        write(record, &mut line).unwrap();
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn what_is_usual_is_left_out() {
        let record = least();

        assert_eq!(record.expires_in_ticks, 899 * 256 + 128);
        assert_eq!(record.local, record.client);
        assert!(record.is_one_sided);
        assert_eq!(written(&record), format!("{LEAST}\n"));
    }

    #[test]
    fn what_is_not_usual_is_told() {
        let record = SessionRecord {
            method: Method::Fullnat,
            local: Endpoint::new([10, 2, 0, 200].into(), 20_000),
            state: State::TimeWait,
            has_returned_port: true,
            seq_delta: Some(0),
            last_client_end: 7,
            mss_clamp: 1_440,
            age_ticks: 1,
            out_packets: 3,
            out_bytes: u64::MAX,
            ..least()
        };

        let line = written(&record);

        let expected = concat!(
            r#"{"protocol":"tcp","method":"fullnat","client":"10.1.0.9:40000","#,
            r#""vip":"10.1.0.100:80","local":"10.2.0.200:20000","server":"10.2.0.11:80","#,
            r#""state":"TIME_WAIT","expires_seconds":899.5,"age_seconds":0.00390625,"#,
            r#""one_sided":true,"port_returned":true,"seq_delta":0,"last_client_end":7,"#,
            r#""mss_clamp":1440,"traffic":{"in_packets":0,"in_bytes":0,"out_packets":3,"#,
            r#""out_bytes":18446744073709551615}}"#,
            "\n"
        );
        assert_eq!(line, expected);
        assert_eq!(read(line.trim_end().as_bytes()), Ok(record));
    }

    #[test]
    fn every_state_of_every_transport_comes_back() {
        for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
            for state in State::ALL.into_iter().filter(|it| it.belongs_to(protocol)) {
                for method in [Method::Dr, Method::Nat, Method::Tun] {
                    let record = SessionRecord {
                        protocol,
                        state,
                        method,
                        ..least()
                    };
                    assert_eq!(read(written(&record).trim_end().as_bytes()), Ok(record));
                }
            }
        }
    }

    #[test]
    fn lines_that_are_no_sessions_say_why() {
        for (from, to, sentence) in [
            ("}", "", "EOF while parsing an object, column "),
            ("vip", "vpi", "unknown field `vpi`"),
            (
                r#""state":"ESTABLISHED","#,
                "",
                "missing field `state`, column ",
            ),
            (
                "10.2.0.11:80",
                "10.2.0.11",
                "invalid socket address syntax, column ",
            ),
            (
                "tcp",
                "icmp",
                "the protocol \"icmp\" is unknown: use tcp, udp or sctp",
            ),
            (
                "dr",
                "gre",
                "the method \"gre\" is unknown: use dr, nat, tun or fullnat",
            ),
            ("tcp", "udp", "udp has no state \"ESTABLISHED\""),
            (
                "dr",
                "fullnat",
                "a fullnat session needs its `local` address and port",
            ),
            (
                r#""server""#,
                r#""local":"10.1.0.9:1","server""#,
                "a session by dr has no `local` address of its own",
            ),
            (
                "899.5",
                "0",
                "`expires_seconds` 0 is out of range: it must be above 0, and 31 days at most",
            ),
            (
                "899.5",
                "2678400.1",
                "`expires_seconds` 2678400.1 is out of range: it must be above 0, and 31 days at most",
            ),
            (
                "899.5",
                r#"1,"age_seconds":-1"#,
                "`age_seconds` -1 is out of range: it must be 0 to 31 days",
            ),
        ] {
            let line = LEAST.replace(from, to);
            let why = read(line.as_bytes()).unwrap_err().to_string();
            assert!(why.starts_with(sentence), "{line}: {why}");
        }
    }
}
