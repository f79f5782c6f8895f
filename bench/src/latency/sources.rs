//! Addresses and ports from which connections are made, none twice for long.
//!
//! Linux gives a port that is free out again at once. A gateway that forwards by DR or TUN does
//! not see servers close and keeps their sessions for minutes: a connection from the same port
//! then goes to the server of the one before, without a turn of the scheduler. Many clients do
//! not collide like that, so these connections do not either.

use std::net::{Ipv4Addr, SocketAddrV4};

use testnet::{Namespace, run};

/// The first port that is used, and the number of ports.
const FIRST: u16 = 4_096;
const PORTS: u16 = u16::MAX - FIRST + 1;

/// Gives out addresses and ports in turn.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    addresses: Vec<Ipv4Addr>,
    given: usize,
}

impl Sources {
    /// From `addresses`, which the host has; from none, Linux chooses.
    #[must_use]
    pub const fn of(addresses: Vec<Ipv4Addr>) -> Self {
        Self {
            addresses,
            given: 0,
        }
    }

    /// Has Linux choose other ports than these for everybody else on `host`.
    pub fn reserve(host: &Namespace) {
        let range = format!("net.ipv4.ip_local_port_range=1024 {}", FIRST - 1);
        run::must(host.command("sysctl -q -w").arg(range));
    }

    /// The next one, all ports of an address before the next address; none if Linux chooses.
    pub fn take(&mut self) -> Option<SocketAddrV4> {
        let turn = self.given / usize::from(PORTS);
        let address = self.addresses.get(turn % self.addresses.len().max(1))?;
        let port = u16::try_from(self.given % usize::from(PORTS)).ok()?;
        self.given += 1;
        Some(SocketAddrV4::new(*address, FIRST + port))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_source_comes_twice_before_all_were_used() {
        let addresses = [Ipv4Addr::new(10, 1, 0, 16), Ipv4Addr::new(10, 1, 0, 17)];
        let mut sources = Sources::of(addresses.to_vec());

        let first = sources.take();
        let others: HashSet<_> = (1..2 * u32::from(PORTS)).map(|_| sources.take()).collect();

        assert_eq!(first, Some(SocketAddrV4::new(addresses[0], FIRST)));
        assert_eq!(others.len(), 2 * usize::from(PORTS) - 1);
        assert!(!others.contains(&first));
        assert_eq!(sources.take(), first, "then they come again");
    }

    #[test]
    fn without_addresses_linux_chooses() {
        assert_eq!(Sources::default().take(), None);
    }
}
