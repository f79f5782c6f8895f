//! Names of addresses and ports, both ways.
//!
//! Names in listings come from `/etc/hosts` and `/etc/services` only: a listing must not wait for
//! a name server that may be reached through this very gateway.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs};
use std::path::Path;
use std::sync::LazyLock;

use dataplane::address::Protocol;

/// Who knows names.
pub trait Names {
    /// The port that a name stands for.
    fn port(&self, name: &str, protocol: Protocol) -> Option<u16>;

    /// The name that stands for a port.
    fn service(&self, port: u16, protocol: Protocol) -> Option<String>;

    /// The first IPv4 address of a host.
    fn address(&self, name: &str) -> Option<Ipv4Addr>;

    /// The name of the host with this address.
    fn host(&self, addr: IpAddr) -> Option<String>;
}

/// The names this system knows. Each host is asked for once; its files are read when they are first
/// asked for, and never again.
#[derive(Debug)]
pub struct SystemNames {
    addresses: RefCell<HashMap<String, Option<Ipv4Addr>>>,
    services: LazyLock<Services>,
    hosts: LazyLock<HashMap<IpAddr, String>>,
}

impl Default for SystemNames {
    fn default() -> Self {
        Self {
            addresses: RefCell::default(),
            services: LazyLock::new(|| Services::read(&file("/etc/services"))),
            hosts: LazyLock::new(|| read_hosts(&file("/etc/hosts"))),
        }
    }
}

impl Names for SystemNames {
    fn port(&self, name: &str, protocol: Protocol) -> Option<u16> {
        self.services.port(name, protocol)
    }

    fn service(&self, port: u16, protocol: Protocol) -> Option<String> {
        self.services.name(port, protocol)
    }

    fn address(&self, name: &str) -> Option<Ipv4Addr> {
        if let Some(known) = self.addresses.borrow().get(name) {
            return *known;
        }
        let found = resolve(name);
        self.addresses.borrow_mut().insert(name.to_owned(), found);
        found
    }

    fn host(&self, addr: IpAddr) -> Option<String> {
        self.hosts.get(&addr).cloned()
    }
}

/// The first IPv4 address that the system's resolver has for a name.
fn resolve(name: &str) -> Option<Ipv4Addr> {
    // What resolvers refuse anyway is not asked for.
    let is_name = !name.is_empty() && !name.contains(['/', ' ']);
    let mut found = is_name.then(|| (name, 0).to_socket_addrs().ok())??;
    found.find_map(|it| match it.ip() {
        IpAddr::V4(addr) => Some(addr),
        IpAddr::V6(_) => None,
    })
}

/// A file's text; none if it cannot be read, as names are a convenience.
fn file(path: &str) -> String {
    fs::read_to_string(Path::new(path)).unwrap_or_default()
}

/// The words of each line, without what follows `#`.
fn lines(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().map(|line| {
        let said = line.split('#').next().unwrap_or_default();
        said.split_whitespace().collect()
    })
}

/// `/etc/services` (services(5)): of several lines about the same, the first counts.
#[derive(Debug, Default)]
struct Services {
    ports: HashMap<(String, Protocol), u16>,
    names: HashMap<(u16, Protocol), String>,
}

/// The transports that have ports here.
const PROTOCOLS: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];

impl Services {
    fn read(text: &str) -> Self {
        let mut services = Self::default();
        for words in lines(text) {
            let [name, port, aliases @ ..] = words.as_slice() else {
                continue;
            };
            let Some((port, protocol)) = port.split_once('/') else {
                continue;
            };
            let protocol = PROTOCOLS.into_iter().find(|it| it.name() == protocol);
            let (Ok(port), Some(protocol)) = (port.parse(), protocol) else {
                continue;
            };
            for name in [name].into_iter().chain(aliases) {
                let key = ((*name).to_owned(), protocol);
                services.ports.entry(key).or_insert(port);
            }
            let known = services.names.entry((port, protocol));
            known.or_insert_with(|| (*name).to_owned());
        }
        services
    }

    fn port(&self, name: &str, protocol: Protocol) -> Option<u16> {
        self.ports.get(&(name.to_owned(), protocol)).copied()
    }

    fn name(&self, port: u16, protocol: Protocol) -> Option<String> {
        self.names.get(&(port, protocol)).cloned()
    }
}

/// `/etc/hosts` (hosts(5)): each address with its first name.
fn read_hosts(text: &str) -> HashMap<IpAddr, String> {
    let mut hosts = HashMap::new();
    for words in lines(text) {
        if let [addr, name, ..] = words.as_slice()
            && let Ok(addr) = addr.parse()
        {
            hosts.entry(addr).or_insert_with(|| (*name).to_owned());
        }
    }
    hosts
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// The few names tests need: what they find must not depend on the machine.
    #[derive(Debug)]
    pub(in super::super) struct FewNames;

    const SERVICES: &str = "\
# Network services, Internet style
ftp		21/tcp
domain		53/udp
http		80/tcp		www		# WorldWideWeb HTTP
kerberos	88/tcp		kerberos5 krb5 kerberos-sec	# Kerberos v5
https		443/tcp
sip		5060/udp
http-alt	8080/tcp	webcache
";

    impl Names for FewNames {
        fn port(&self, name: &str, protocol: Protocol) -> Option<u16> {
            Services::read(SERVICES).port(name, protocol)
        }

        fn service(&self, port: u16, protocol: Protocol) -> Option<String> {
            Services::read(SERVICES).name(port, protocol)
        }

        fn address(&self, name: &str) -> Option<Ipv4Addr> {
            (name == "www").then_some(Ipv4Addr::new(10, 1, 0, 100))
        }

        fn host(&self, addr: IpAddr) -> Option<String> {
            let long = "a-host-with-a-very-long-name.example.net";
            (addr == Ipv4Addr::new(10, 1, 0, 250)).then(|| long.to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::FewNames;
    use super::*;

    #[test]
    fn ports_have_names_and_aliases() {
        let tcp = Protocol::Tcp;
        assert_eq!(FewNames.port("http", tcp), Some(80));
        assert_eq!(FewNames.port("webcache", tcp), Some(8080));
        assert_eq!(FewNames.port("domain", tcp), None);
        assert_eq!(FewNames.port("domain", Protocol::Udp), Some(53));
        assert_eq!(FewNames.service(8080, tcp).as_deref(), Some("http-alt"));
        assert_eq!(FewNames.service(53, tcp), None);
    }

    #[test]
    fn hosts_are_known_by_their_first_name() {
        let hosts = read_hosts("127.0.0.1 localhost lo # here\n::1 six\n\nx y\n10.0.0.1\n");

        assert_eq!(hosts.len(), 2);
        assert_eq!(hosts[&IpAddr::from([127, 0, 0, 1])], "localhost");
    }

    #[test]
    fn numbers_are_hosts_too_but_nonsense_is_not() {
        let names = SystemNames::default();
        assert_eq!(names.address("127.0.0.1"), Some(Ipv4Addr::LOCALHOST));
        assert_eq!(names.address("two words"), None);
    }
}
