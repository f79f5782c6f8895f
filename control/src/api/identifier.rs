//! How services and servers are named in a path, so that a person can type it.
//!
//! ```text
//! tcp-10.1.0.100-80     udp-2001:db8::100-53     mark-3       a service
//! mark6-3                                                     one of marked IPv6 packets
//! 10.2.0.11-80          2001:db8::11-80                       a server of it
//! ```
//!
//! Brackets around an address of IPv6 are allowed, and so is any percent-encoding.

use std::fmt;
use std::net::IpAddr;

use axum::http::StatusCode;
use dataplane::address::{Endpoint, Protocol};
use dataplane::service::ServiceKey;

use super::refusal::Refusal;

/// What names a service in a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ServiceId(pub(super) ServiceKey);

/// What names a server of a service in a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ServerId(pub(super) Endpoint<IpAddr>);

impl ServiceId {
    /// Reads what a path has.
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        let key = match text.split_once('-') {
            Some(("mark", mark)) => number(mark).map(ServiceKey::Mark),
            Some(("mark6", mark)) => number(mark).map(ServiceKey::Mark6),
            Some((protocol, end)) => {
                let mut all = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp].into_iter();
                let protocol = all.find(|it| it.name() == protocol);
                (protocol.zip(endpoint(end))).map(|(it, end)| ServiceKey::address(it, end))
            }
            None => None,
        };
        key.map(Self).ok_or_else(|| {
            let sentence =
                format!("\"{text}\" names no service: write tcp-10.1.0.100-80, or mark-3");
            Refusal::new(StatusCode::BAD_REQUEST, sentence)
        })
    }
}

impl ServerId {
    /// Reads what a path has.
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        endpoint(text).map(Self).ok_or_else(|| {
            let sentence = format!("\"{text}\" names no server: write 10.2.0.11-80");
            Refusal::new(StatusCode::BAD_REQUEST, sentence)
        })
    }
}

/// A mark: never 0.
fn number(mark: &str) -> Option<u32> {
    mark.parse().ok().filter(|mark| *mark != 0)
}

fn endpoint(text: &str) -> Option<Endpoint<IpAddr>> {
    let (addr, port) = text.rsplit_once('-')?;
    let bare = addr.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let addr: IpAddr = bare.unwrap_or(addr).parse().ok()?;
    Some(Endpoint::new(addr, port.parse().ok()?))
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ServiceKey::Mark(mark) => write!(f, "mark-{mark}"),
            ServiceKey::Mark6(mark) => write!(f, "mark6-{mark}"),
            ServiceKey::Address {
                protocol,
                virtual_endpoint,
            } => write!(f, "{}-{}", protocol.name(), ServerId(virtual_endpoint)),
        }
    }
}

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0.addr, self.0.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for text in [
            "tcp-10.1.0.100-80",
            "udp-2001:db8::100-53",
            "sctp-0.0.0.0-0",
            "mark-4294967295",
            "mark6-3",
        ] {
            assert_eq!(ServiceId::parse(text).unwrap().to_string(), text);
        }
        for text in ["10.2.0.11-80", "2001:db8::11-65535"] {
            assert_eq!(ServerId::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(
            ServiceId::parse("tcp-[2001:db8::1]-80").unwrap(),
            ServiceId::parse("tcp-2001:db8::1-80").unwrap()
        );
    }

    #[test]
    fn what_is_no_name_is_refused_with_an_example() {
        for text in [
            "",
            "tcp",
            "tcp-",
            "tcp-10.1.0.100",
            "tcp-10.1.0.100-65536",
            "TCP-10.1.0.100-80",
            "icmp-10.1.0.100-80",
            "mark-0",
            "mark6-0",
            "mark4-3",
            "mark-x",
            "mark-4294967296",
            "tcp-web-80",
            "tcp-[10.1.0.100-80",
        ] {
            let refusal = ServiceId::parse(text).unwrap_err();
            assert_eq!(
                refusal.sentences(),
                [format!(
                    "\"{text}\" names no service: write tcp-10.1.0.100-80, or mark-3"
                )]
            );
        }
        assert_eq!(
            ServerId::parse("10.2.0.11:80").unwrap_err().sentences(),
            ["\"10.2.0.11:80\" names no server: write 10.2.0.11-80"]
        );
    }
}
