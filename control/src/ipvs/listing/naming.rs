//! How addresses, ports and services are written.

use std::net::IpAddr;

use dataplane::address::{Endpoint, Protocol};

use crate::ipvs::command::{Family, ServiceName};
use crate::ipvs::names::Names;

/// Characters of a service's name with an IPv4 address; what follows is cut off.
pub(super) const SERVICE_CHARACTERS: usize = 33;

/// By numbers (`-n`), or by names where there are any.
#[derive(Clone, Copy)]
pub struct Naming<'a>(Option<&'a dyn Names>);

impl std::fmt::Debug for Naming<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Names" } else { "Numbers" })
    }
}

impl<'a> Naming<'a> {
    /// Everything is a number.
    pub const NUMERIC: Self = Self(None);

    /// What has a name is called by it.
    #[must_use]
    pub const fn by(names: &'a dyn Names) -> Self {
        Self(Some(names))
    }

    /// Numbers or names, as `-n` says.
    #[must_use]
    pub const fn new(is_numeric: bool, names: &'a dyn Names) -> Self {
        if is_numeric {
            Self::NUMERIC
        } else {
            Self::by(names)
        }
    }

    /// `ADDRESS:PORT`, IPv6 addresses in brackets. Without a transport, a port has no name.
    pub(super) fn endpoint(self, endpoint: Endpoint<IpAddr>, protocol: Option<Protocol>) -> String {
        let Endpoint { addr, port } = endpoint;
        let host = self.0.and_then(|names| names.host(addr));
        let host = host.unwrap_or_else(|| addr.to_string());
        let service = self.0.and_then(|names| names.service(port, protocol?));
        let service = service.unwrap_or_else(|| port.to_string());
        match addr {
            IpAddr::V4(_) => format!("{host}:{service}"),
            IpAddr::V6(_) => format!("[{host}]:{service}"),
        }
    }

    /// A service as listings begin with it: `TCP  ADDRESS:PORT`, `FWM  MARK`. Marks are signed, as
    /// ipvsadm's are.
    pub(super) fn service(self, name: &ServiceName) -> String {
        match *name {
            ServiceName::Address { protocol, endpoint } => {
                let protocol_name = protocol.name().to_uppercase();
                let endpoint = self.endpoint(endpoint, Some(protocol));
                let text = format!("{protocol_name:<4} {endpoint}");
                match name.family() {
                    Family::V4 => text.chars().take(SERVICE_CHARACTERS).collect(),
                    Family::V6 => text,
                }
            }
            ServiceName::Mark { mark, family } => {
                let mark = mark.cast_signed();
                match family {
                    Family::V4 => format!("FWM  {mark}"),
                    Family::V6 => format!("FWM  {mark} IPv6"),
                }
            }
        }
    }

    /// A service as an option of the command line: `-t ADDRESS:PORT`, `-f MARK`.
    pub(super) fn service_option(self, name: &ServiceName) -> String {
        match *name {
            ServiceName::Address { protocol, endpoint } => {
                let option = match protocol {
                    Protocol::Tcp => "-t",
                    Protocol::Udp => "-u",
                    Protocol::Sctp => "--sctp-service",
                };
                format!("{option} {}", self.endpoint(endpoint, Some(protocol)))
            }
            ServiceName::Mark { mark, family } => {
                let mark = mark.cast_signed();
                match family {
                    Family::V4 => format!("-f {mark}"),
                    Family::V6 => format!("-f {mark} -6"),
                }
            }
        }
    }
}
