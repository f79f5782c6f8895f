//! Writes scenarios: one network, frames by name, time.
//!
//! ```text
//! clients ── router 10.1.0.254 ── eth0 10.1.0.1  director  10.2.0.1 eth1 ── 10.2.0.11-18
//!            02:00:00:00:10:fe         VIPs 10.1.0.100, 10.1.0.101          02:00:00:00:20:0b-12
//! ```

use std::path::PathBuf;
use std::time::Duration;

use dataplane::address::{Endpoint, MacAddr, V4};
use dataplane::testing::{Builder, Transport};

use crate::scenario::{IpvsLine, NetLine, PlayLine, Scenario};

/// The VIP of most services.
pub const VIP: V4 = address([10, 1, 0, 100]);
/// Another VIP.
pub const OTHER_VIP: V4 = address([10, 1, 0, 101]);
/// The director's own address on the clients' side.
pub const DIRECTOR: V4 = address([10, 1, 0, 1]);
/// The director's own address on the servers' side, from which tunnels come.
pub const TUNNEL_SOURCE: V4 = address([10, 2, 0, 1]);
/// How many real servers there are, from 10.2.0.11 on.
pub const SERVERS: u8 = 8;
/// Whoever stands before the clients.
pub const ROUTER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0x10, 0xfe]);
/// The director on the clients' side.
pub const CLIENT_SIDE_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
/// The director on the servers' side.
pub const SERVER_SIDE_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

/// An address.
#[must_use]
pub const fn address(octets: [u8; 4]) -> V4 {
    V4(u32::from_be_bytes(octets))
}

/// The address of a real server, counted from 0.
#[must_use]
pub const fn server(number: u8) -> V4 {
    address([10, 2, 0, 11 + number])
}

/// The MAC of who has an address on the servers' side.
#[must_use]
pub const fn server_mac(address: V4) -> MacAddr {
    let [.., last] = address.octets();
    MacAddr([2, 0, 0, 0, 0x20, last])
}

/// A client's address and port.
#[must_use]
pub const fn client(number: u8, port: u16) -> Endpoint<V4> {
    Endpoint::new(address([192, 168, 0, number]), port)
}

/// A scenario in the making.
#[derive(Clone, Debug)]
pub struct Draft {
    scenario: Scenario,
    next_id: u16,
}

impl Draft {
    /// The network, and nothing more.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        let interface = |name: &str, addresses: &[&str]| NetLine::Interface {
            name: name.to_owned(),
            addresses: addresses.iter().map(|&prefix| prefix.to_owned()).collect(),
            mac: None,
            mtu: None,
        };
        let neighbour = |address: V4, mac: MacAddr, interface: &str| NetLine::Neighbour {
            address: address.to_string(),
            mac: mac.to_string(),
            interface: interface.to_owned(),
        };
        let mut net = vec![
            interface("eth0", &["10.1.0.1/24", "10.1.0.100/32", "10.1.0.101/32"]),
            interface("eth1", &["10.2.0.1/24"]),
            neighbour(address([10, 1, 0, 254]), ROUTER_MAC, "eth0"),
            NetLine::Route("default via 10.1.0.254 dev eth0".to_owned()),
        ];
        net.extend((0..SERVERS).map(|number| {
            let address = server(number);
            neighbour(address, server_mac(address), "eth1")
        }));
        Self {
            scenario: Scenario {
                name: name.into(),
                folder: PathBuf::from("."),
                net,
                ipvs: Vec::new(),
                play: Vec::new(),
            },
            next_id: 1,
        }
    }

    /// The scenario.
    #[must_use]
    pub fn finish(self) -> Scenario {
        self.scenario
    }

    /// How long the play takes so far.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.scenario.elapsed()
    }

    /// Adds a line to `[net]`.
    pub fn net(&mut self, line: NetLine) -> &mut Self {
        self.scenario.net.push(line);
        self
    }

    /// Sets a variable of IPVS from the beginning.
    pub fn knob(&mut self, name: &str, value: u32) -> &mut Self {
        self.net(NetLine::Sysctl {
            key: format!("net.ipv4.vs.{name}"),
            value: value.to_string(),
        })
    }

    /// Gives the clients' side an MTU.
    pub fn client_mtu(&mut self, bytes: u16) -> &mut Self {
        self.mtu("eth0", bytes)
    }

    /// Gives the servers' side an MTU.
    pub fn server_mtu(&mut self, bytes: u16) -> &mut Self {
        self.mtu("eth1", bytes)
    }

    fn mtu(&mut self, interface: &str, bytes: u16) -> &mut Self {
        for line in &mut self.scenario.net {
            if let NetLine::Interface { name, mtu, .. } = line
                && name == interface
            {
                *mtu = Some(bytes);
            }
        }
        self
    }

    /// Marks what clients send to a prefix, which the director takes for itself.
    pub fn mark(&mut self, prefix: &str, mark: u32) -> &mut Self {
        self.net(NetLine::Route(format!("local {prefix} dev lo")));
        self.net(NetLine::Command("tc qdisc add dev eth0 clsact".to_owned()));
        self.net(NetLine::Command(format!(
            "tc filter add dev eth0 ingress protocol ip u32 match ip dst {prefix} action skbedit \
             mark {mark}"
        )))
    }

    /// Adds a rule to `[ipvs]`.
    pub fn rule(&mut self, arguments: impl Into<String>) -> &mut Self {
        self.scenario.ipvs.push(IpvsLine::Rule(arguments.into()));
        self
    }

    /// Says that each rule has a process of its own.
    pub fn each(&mut self) -> &mut Self {
        self.scenario.ipvs.push(IpvsLine::Each);
        self
    }

    /// Runs `ipvsadm` in the play.
    pub fn ipvsadm(&mut self, arguments: impl Into<String>) -> &mut Self {
        self.play(PlayLine::Ipvsadm(arguments.into()))
    }

    /// Sets a variable of IPVS in the play.
    pub fn turn(&mut self, knob: &str, value: u32) -> &mut Self {
        let command = format!("echo {value} >/proc/sys/net/ipv4/vs/{knob}");
        self.play(PlayLine::Shell(command))
    }

    /// Lists services and sessions here.
    pub fn dump(&mut self, label: &str) -> &mut Self {
        self.play(PlayLine::Dump(label.to_owned()))
    }

    /// Lets seconds pass.
    pub fn wait(&mut self, seconds: u64) -> &mut Self {
        self.pause(Duration::from_secs(seconds))
    }

    /// Lets time pass.
    pub fn pause(&mut self, time: Duration) -> &mut Self {
        self.play(PlayLine::Wait(time))
    }

    /// Lets a timer tick of the kernel pass, after which what was ended at once is gone.
    pub fn tick(&mut self) -> &mut Self {
        self.pause(Duration::from_millis(50))
    }

    /// Plays a packet from the clients' side.
    pub fn from_client<T: Transport>(&mut self, packet: Builder<T>) -> &mut Self {
        let packet = packet.eth_from(ROUTER_MAC).eth_to(CLIENT_SIDE_MAC);
        let packet = packet.id(self.id());
        self.frame("eth0", packet.build())
    }

    /// Plays a packet from the servers' side, sent by who has `station`.
    pub fn from_server<T: Transport>(&mut self, station: V4, packet: Builder<T>) -> &mut Self {
        let packet = packet.eth_from(server_mac(station)).eth_to(SERVER_SIDE_MAC);
        let packet = packet.id(self.id());
        self.frame("eth1", packet.build())
    }

    /// The fragments of a packet from the clients' side.
    #[must_use]
    pub fn client_fragments<T: Transport>(
        &mut self,
        packet: Builder<T>,
        mtu: usize,
    ) -> Vec<Vec<u8>> {
        let packet = packet.eth_from(ROUTER_MAC).eth_to(CLIENT_SIDE_MAC);
        packet.id(self.id()).fragments(mtu)
    }

    /// The fragments of a packet from the servers' side.
    #[must_use]
    pub fn server_fragments<T: Transport>(
        &mut self,
        station: V4,
        packet: Builder<T>,
        mtu: usize,
    ) -> Vec<Vec<u8>> {
        let packet = packet.eth_from(server_mac(station)).eth_to(SERVER_SIDE_MAC);
        packet.id(self.id()).fragments(mtu)
    }

    /// Plays a frame as it is.
    pub fn frame(&mut self, interface: &str, frame: Vec<u8>) -> &mut Self {
        self.play(PlayLine::Packet {
            interface: interface.to_owned(),
            frame,
        })
    }

    fn play(&mut self, line: PlayLine) -> &mut Self {
        self.scenario.play.push(line);
        self
    }

    /// An identification that no packet had.
    fn id(&mut self) -> u16 {
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1).max(1);
        id
    }
}
