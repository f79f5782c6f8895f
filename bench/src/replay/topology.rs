//! Who speaks in the replay: clients behind a router, the gateway with one arm, ten servers.
//!
//! ```text
//!   clients 100.64.0.0/14 ── router 10.1.0.254 ──┐
//!                                                ├── gateway 10.1.0.1, VIP 10.1.1.1:80
//!   servers 10.1.0.11 … 10.1.0.20 ───────────────┘   local addresses 10.1.2.1 … 10.1.2.40
//! ```
//!
//! One arm, so that the worker polls one ethdev as testpmd does. Nobody of these exists but the
//! gateway: the replay is what they would send, and their MACs are permanent neighbours.

use std::net::{Ipv4Addr, SocketAddrV4};

use dataplane::address::{Endpoint, V4};
use dataplane::id::WorkerId;
use dataplane::steering::Steering;

use super::case::{Method, Protocol};

/// The MAC that DPDK gives to `net_pcap0`.
pub const GATEWAY_MAC: [u8; 6] = [0x02, 0x70, 0x63, 0x61, 0x70, 0x00];
/// The router between the gateway and the clients.
pub const ROUTER: (Ipv4Addr, [u8; 6]) = (Ipv4Addr::new(10, 1, 0, 254), [0x02, 0, 0, 0, 0x01, 0xfe]);
/// The gateway's own address, from which tunnels begin.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
/// Bits of the network that the gateway is in.
pub const PREFIX_LEN: u8 = 16;
/// What clients speak to, TCP and UDP.
pub const VIP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 1, 1, 1), 80);
/// How many real servers there are.
pub const SERVERS: u8 = 10;
/// How many local addresses FULLNAT has. A million flows need 32: each gets a tuple of its own
/// even from a pool that lends a port once whatever the server, and only every other port is
/// its worker's where there are two.
pub const LOCAL_ADDRESSES: u8 = 40;
/// The most workers that a gateway of this benchmark has.
pub const WORKERS: u16 = 2;
/// Where NAT and FULLNAT map the service's port to, so that they have both to rewrite.
pub const MAPPED_PORT: u16 = 8080;
/// The lowest port of the local addresses.
pub const FIRST_LOCAL_PORT: u16 = 1024;

/// The address and MAC of a server, counted from 0.
#[must_use]
pub const fn server(number: u8) -> (Ipv4Addr, [u8; 6]) {
    let last = 11 + number;
    (Ipv4Addr::new(10, 1, 0, last), [0x02, 0, 0, 0, 0x02, last])
}

/// The port on which servers listen.
#[must_use]
pub const fn server_port(method: Method) -> u16 {
    if method.sees_replies() {
        MAPPED_PORT
    } else {
        VIP.port()
    }
}

/// A local address, counted from 0.
#[must_use]
pub const fn local_address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 1, 2, 1 + number)
}

/// The lowest of those that UDP flows have; a million of them still fit below 65,536.
const FIRST_UDP_PORT: u16 = 8000;

/// One session to be: the tuples of both its sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Its number.
    pub index: u32,
    /// The client.
    pub client: SocketAddrV4,
    /// The real server, with the port it listens on.
    pub server: SocketAddrV4,
    /// The server's MAC.
    pub server_mac: [u8; 6],
    /// What FULLNAT speaks to the server from.
    pub local: SocketAddrV4,
}

impl Flow {
    /// The flow with this number, below 2²⁰. Different numbers never share a client's endpoint
    /// nor a local one, and the first thousands of TCP share no local one with those of UDP.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "each value is masked or divided to fit"
    )]
    pub fn new(method: Method, protocol: Protocol, index: u32) -> Self {
        // An odd factor permutes the numbers below 2²⁰, so that neighbours in the list are none
        // in the address space.
        let spread = index.wrapping_mul(0x9_e377) & 0xf_ffff;
        let address = u32::from_be_bytes([100, 64, 0, 0]) | (spread >> 2);
        // Four ports for each client address, spread over the ephemeral range.
        let port = 0x8000 | ((address.wrapping_mul(0x9e37) & 0x0fff) << 2) as u16;
        let (server_addr, server_mac) = server((index % u32::from(SERVERS)) as u8);
        let local = local_address((index % u32::from(LOCAL_ADDRESSES)) as u8);
        // The gateway lends a port to one session at a time, whatever its transport.
        let first_port = match protocol {
            Protocol::Tcp => FIRST_LOCAL_PORT,
            Protocol::Udp => FIRST_UDP_PORT,
        };
        let client = SocketAddrV4::new(Ipv4Addr::from_bits(address), port | (spread & 3) as u16);
        // A reply's owner is told from its local port, modulo the number of workers.
        let pair = (index / u32::from(LOCAL_ADDRESSES)) as u16;
        let local_port = first_port + pair * WORKERS + owner(protocol, client).0;
        Self {
            index,
            client,
            server: SocketAddrV4::new(server_addr, server_port(method)),
            server_mac,
            local: SocketAddrV4::new(local, local_port),
        }
    }
}

/// Which of two workers owns a client's sessions: no ethdev of this benchmark steers packets.
#[must_use]
pub fn owner(protocol: Protocol, client: SocketAddrV4) -> WorkerId {
    let steering = Steering::Software { workers: WORKERS };
    let client = Endpoint::new(V4::from(client.ip().octets()), client.port());
    steering.client_owner_software(protocol.of_the_gateway(), client)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_million_flows_share_no_endpoint() {
        let mut clients = HashSet::new();
        let mut locals = HashSet::new();
        for index in 0..1_000_000 {
            let flow = Flow::new(Method::Fullnat, Protocol::Udp, index);
            assert!(clients.insert(flow.client), "{flow:?}");
            assert!(locals.insert(flow.local), "{flow:?}");
            assert!(flow.client.port() >= 1024 && flow.local.port() >= FIRST_LOCAL_PORT);
        }
    }

    #[test]
    fn each_of_two_workers_owns_half_of_the_flows_from_both_sides() {
        let flows = (0..10_000).map(|index| Flow::new(Method::Fullnat, Protocol::Tcp, index));
        let mut owned = [0, 0];

        for flow in flows {
            let owner = owner(Protocol::Tcp, flow.client);
            assert_eq!(flow.local.port() % WORKERS, owner.0);
            owned[owner.index()] += 1;
        }

        assert!(owned.iter().all(|count| *count > 4_500), "{owned:?}");
    }

    #[test]
    fn ports_are_mapped_where_the_method_can() {
        assert_eq!(
            Flow::new(Method::Dr, Protocol::Tcp, 3).server.port(),
            VIP.port()
        );
        assert_eq!(
            Flow::new(Method::Nat, Protocol::Tcp, 3).server.port(),
            MAPPED_PORT
        );
        let (addr, mac) = server(3);
        assert_eq!(*Flow::new(Method::Nat, Protocol::Tcp, 3).server.ip(), addr);
        assert_eq!(Flow::new(Method::Nat, Protocol::Tcp, 3).server_mac, mac);
    }

    #[test]
    fn flows_of_both_transports_can_stand_side_by_side() {
        let locals =
            |protocol| (0..10_000).map(move |n| Flow::new(Method::Fullnat, protocol, n).local);

        let tcp: HashSet<_> = locals(Protocol::Tcp).collect();

        assert!(locals(Protocol::Udp).all(|local| !tcp.contains(&local)));
    }
}
