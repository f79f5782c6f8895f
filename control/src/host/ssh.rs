//! Over which addresses somebody works on this machine by ssh.
//!
//! The session of whoever asks is in SSH_CONNECTION, unless sudo took that away; all of them are
//! among the connections of the kernel.

use std::net::{IpAddr, Ipv6Addr};

use super::routes::{self, Route};
use super::tree::Tree;

/// Where sshd listens unless told otherwise.
const PORT: u16 = 22;

/// A connection, in /proc/net/tcp.
const ESTABLISHED: &str = "01";

/// The two ends of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) local: IpAddr,
    pub(super) peer: IpAddr,
    /// The interface, where its addresses are link-local and say so.
    interface: Option<String>,
}

impl Session {
    /// Whether it would end without an interface: that of its own subnet, or the way its answers go.
    pub(super) fn is_over(&self, tree: &Tree, routes: &[Route], interface: &str) -> bool {
        let is_link_local = |end| matches!(end, IpAddr::V6(end) if end.is_unicast_link_local());
        if let Some(own) = &self.interface {
            own == interface
        } else if is_link_local(self.local) {
            let own = routes::with_link_local(tree, self.local);
            own.iter().any(|own| own == interface)
        } else {
            let mut ends = [self.local, self.peer].into_iter();
            ends.any(|end| routes::towards(routes, end) == Some(interface))
        }
    }
}

/// All sessions from elsewhere.
pub(super) fn sessions(tree: &Tree) -> Vec<Session> {
    let mut ports = configured_ports(tree);
    let mut found = Vec::new();
    if let Some((session, port)) = own(tree) {
        found.push(session);
        ports.push(port);
    }
    for file in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = tree.text(file).unwrap_or_default();
        for (session, port) in text.lines().filter_map(connection) {
            if ports.contains(&port) && !found.contains(&session) {
                found.push(session);
            }
        }
    }
    found.retain(|session| !session.local.is_loopback());
    found
}

/// The session in which this process was started, with sshd's port.
fn own(tree: &Tree) -> Option<(Session, u16)> {
    let environment = tree.text("/proc/self/environ")?;
    let mut variables = environment.split('\0');
    let words = variables.find_map(|variable| variable.strip_prefix("SSH_CONNECTION="))?;
    let words: Vec<&str> = words.split_whitespace().collect();
    let [peer, _, local, port] = words[..] else {
        return None;
    };
    // A link-local address comes with its interface.
    let address = |word: &str| word.split('%').next()?.parse::<IpAddr>().ok();
    let interface = |word: &str| Some(word.split_once('%')?.1.to_owned());
    let session = Session {
        local: address(local)?.to_canonical(),
        peer: address(peer)?.to_canonical(),
        interface: interface(local).or_else(|| interface(peer)),
    };
    Some((session, port.parse().ok()?))
}

/// Where sshd listens.
fn configured_ports(tree: &Tree) -> Vec<u16> {
    let parts = tree.names("/etc/ssh/sshd_config.d");
    let parts = parts
        .iter()
        .map(|name| format!("/etc/ssh/sshd_config.d/{name}"));
    let files = std::iter::once("/etc/ssh/sshd_config".to_owned()).chain(parts);
    let texts = files.filter_map(|file| tree.text(&file));
    let found = texts.flat_map(|text| text.lines().filter_map(configured_port).collect::<Vec<_>>());
    found.chain([PORT]).collect()
}

/// The port in `Port 2222` or `ListenAddress HOST:2222` (sshd_config(5): `=` may stand between).
fn configured_port(line: &str) -> Option<u16> {
    let line = line.split('#').next()?.replace('=', " ");
    let mut words = line.split_whitespace().map(|word| word.trim_matches('"'));
    let (keyword, value) = (words.next()?.to_ascii_lowercase(), words.next()?);
    match keyword.as_str() {
        "port" => value.parse().ok(),
        "listenaddress" => {
            let (host, port) = value.rsplit_once(':')?;
            let is_whole = !host.contains(':') || host.ends_with(']');
            port.parse().ok().filter(|_| is_whole)
        }
        _ => None,
    }
}

/// An established connection with its local port.
fn connection(line: &str) -> Option<(Session, u16)> {
    let mut words = line.split_whitespace().skip(1);
    let (local, peer, state) = (words.next()?, words.next()?, words.next()?);
    let (local, port) = local.split_once(':')?;
    let (peer, _) = peer.split_once(':')?;
    let session = Session {
        local: address(local)?,
        peer: address(peer)?,
        interface: None,
    };
    let port = u16::from_str_radix(port, 16).ok()?;
    (state == ESTABLISHED).then_some((session, port))
}

/// An address in numbers of four bytes each, of the machine's own order.
fn address(digits: &str) -> Option<IpAddr> {
    let number = |at: usize| u32::from_str_radix(digits.get(at * 8..at * 8 + 8)?, 16).ok();
    if digits.len() == 8 {
        return Some(routes::v4_address(number(0)?).into());
    }
    let mut bytes = [0; 16];
    for (at, part) in bytes.chunks_exact_mut(4).enumerate() {
        part.copy_from_slice(&number(at)?.to_ne_bytes());
    }
    Some(IpAddr::from(Ipv6Addr::from(bytes)).to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_read_with_both_ends() {
        let line = "   1: 0A0200C0:0016 096433C6:C0DE 01 00000000:00000000 02:000A 00000000";
        let (session, port) = connection(line).unwrap();

        assert_eq!(port, 22);
        assert_eq!(session.local.to_string(), "192.0.2.10");
        assert_eq!(session.peer.to_string(), "198.51.100.9");

        let listening = "   0: 00000000:0016 00000000:0000 0A 00000000:00000000";
        assert_eq!(connection(listening), None);
    }

    #[test]
    fn sshd_listens_where_its_configuration_says() {
        for (line, port) in [
            ("Port 2222", Some(2222)),
            ("  port=2222 # not 22", Some(2222)),
            ("Port \"2222\"", Some(2222)),
            ("ListenAddress 192.0.2.10:2222", Some(2222)),
            ("ListenAddress = [2001:db8::1]:2222", Some(2222)),
            ("ListenAddress 2001:db8::2222", None),
            ("ListenAddress 192.0.2.10", None),
            ("# Port 22", None),
            ("Portable 22", None),
        ] {
            assert_eq!(configured_port(line), port, "{line}");
        }
    }

    #[test]
    fn a_mapped_address_is_ipv4s() {
        let mapped = address("0000000000000000FFFF00000A0200C0").unwrap();
        assert_eq!(mapped.to_string(), "192.0.2.10");

        let own = address("B80D0120000000000000000009000000").unwrap();
        assert_eq!(own.to_string(), "2001:db8::9");
    }
}
