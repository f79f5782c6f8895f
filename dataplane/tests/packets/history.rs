//! Histories at random: bursts of ordinary and odd packets, time, and changes, for gateways that
//! must do the same.

use std::time::Duration;

use dataplane::address::{Address, Endpoint, MacAddr, Protocol, V4};
use dataplane::editor::{Editor, NextHop};
use dataplane::io::RxChecksum;
use dataplane::io::memory::MemoryPacket;
use dataplane::service::Method;
use dataplane::session::Timeouts;
use dataplane::testing::*;
use dataplane::wire::tcp::Flags;
use proptest::prelude::*;

use crate::common::*;

/// A second service, whose NAT sessions have the same server as those of [`VIP`].
pub(crate) const OTHER_VIP: Endpoint<V4> = endpoint([10, 1, 0, 101], 80);
/// The server that is reached by FULLNAT.
const FULLNAT_SERVER: Endpoint<V4> = endpoint([10, 2, 0, 13], 8_080);
/// Every real server.
const SERVERS: [Endpoint<V4>; 4] = [RIP_1, RIP_2, RIP_3, FULLNAT_SERVER];
pub(crate) const METHODS: [Method; 4] = [Method::Dr, Method::Nat, Method::Tun, Method::Fullnat];
const PROTOCOLS: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];

/// Clients, told apart by their ports.
const CLIENTS: u16 = 8;
/// So few that they are used again.
const LOCAL_PORTS: u16 = 3;

/// How the two gateways are wired.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wiring {
    TwoArm,
    OneArm,
    Tagged,
    OnAStick,
}

/// Where a frame comes in.
pub(crate) struct Side {
    ethdev: u16,
    vlan: Option<u16>,
    mac: MacAddr,
}

impl Wiring {
    pub(crate) fn setup(self) -> Setup {
        match self {
            Self::TwoArm => Setup::two_arm(),
            Self::OneArm => Setup::one_arm(),
            Self::Tagged => Setup::vlans(Some(5), Some(6)),
            Self::OnAStick => Setup::on_a_stick(5, 6),
        }
    }

    fn side(self, of_servers: bool) -> Side {
        let (ethdev, mac) = match self {
            Self::TwoArm | Self::Tagged if of_servers => (1, GATEWAY_SERVER_MAC),
            _ => (0, GATEWAY_MAC),
        };
        let vlan = match self {
            Self::TwoArm | Self::OneArm => None,
            Self::Tagged | Self::OnAStick => Some(5 + u16::from(of_servers)),
        };
        Side { ethdev, vlan, mac }
    }
}

/// Whose packet it is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Who {
    /// A client's, to this VIP.
    Client { client: u16, vip: Endpoint<V4> },
    /// A NAT server's, to this client.
    NatServer { client: u16 },
    /// The FULLNAT server's, to this local port.
    FullnatServer { port: u16 },
}

/// What is unusual about a packet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Quirk {
    None,
    IpOptions,
    Fragmented,
    LaterFragment,
    WrongIpChecksum,
    /// And the ethdev says it is right.
    WrongIpChecksumTakenAsRight,
    WrongChecksum,
    NoChecksum,
    NotOurMac,
    OtherSide,
}

/// One packet that arrives.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    who: Who,
    protocol: Protocol,
    flags: u8,
    sequence: u32,
    ttl: u8,
    len: usize,
    dont_fragment: bool,
    quirk: Quirk,
    worker: usize,
}

impl Arrival {
    fn ends(&self) -> (Endpoint<V4>, Endpoint<V4>) {
        match self.who {
            Who::Client {
                client: number,
                vip,
            } => (client(1_024 + number), vip),
            Who::NatServer { client: number } => (RIP_2, client(1_024 + number)),
            Who::FullnatServer { port } => {
                (FULLNAT_SERVER, Endpoint::new(LIP.addr, LIP.port + port))
            }
        }
    }

    fn side(&self, wiring: Wiring) -> Side {
        let is_reply = !matches!(self.who, Who::Client { .. });
        wiring.side(is_reply != (self.quirk == Quirk::OtherSide))
    }

    fn frames(&self, side: &Side) -> Vec<Vec<u8>> {
        match self.protocol {
            Protocol::Tcp => {
                let segment = tcp().flags(Flags(self.flags)).seq(self.sequence);
                self.around(segment, side)
            }
            Protocol::Udp if self.quirk == Quirk::NoChecksum => {
                self.around(udp().no_checksum(), side)
            }
            Protocol::Udp => self.around(udp(), side),
            Protocol::Sctp => self.around(sctp().chunk(self.flags % 16), side),
        }
    }

    fn around<T: Transport>(&self, builder: Builder<T>, side: &Side) -> Vec<Vec<u8>> {
        let mut builder = tagged(builder, side.vlan)
            .from(self.ends().0)
            .to(self.ends().1)
            .eth_to(side.mac)
            .ttl(self.ttl)
            .payload_len(self.len)
            .padded();
        if self.dont_fragment {
            builder = builder.dont_fragment();
        }
        builder = match self.quirk {
            Quirk::IpOptions => builder.ip_options(&[148, 4, 0, 0]),
            Quirk::LaterFragment => builder.fragment_offset(64),
            Quirk::WrongIpChecksum | Quirk::WrongIpChecksumTakenAsRight => {
                builder.bad_ip_checksum()
            }
            Quirk::WrongChecksum => builder.bad_checksum(),
            Quirk::NotOurMac => builder.eth_to(RIP_1_MAC),
            _ => builder,
        };
        if self.quirk == Quirk::Fragmented {
            return builder.fragments(120);
        }
        vec![builder.build()]
    }

    fn put(&self, gateway: &mut TestGateway, wiring: Wiring, workers: u16) {
        let side = self.side(wiring);
        for frame in self.frames(&side) {
            let mut packet = MemoryPacket::new(&frame);
            if self.quirk == Quirk::WrongIpChecksumTakenAsRight {
                packet.checksum = RxChecksum::Good;
            }
            gateway.put(self.worker % usize::from(workers), side.ethdev, packet);
        }
    }
}

/// Something that an operator or Linux changes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    ServerMac(usize, Option<u8>),
    ClientMac(Option<u8>),
    Mtu(bool, u16),
    /// The first server that is left out, of weight 0, or none.
    Servers(Option<usize>, Option<usize>),
    Route(usize, Option<bool>),
    TunnelSource(bool),
    Timeouts(u32),
}

impl Change {
    fn make(self, gateway: &mut TestGateway, wiring: Wiring) {
        let server_side = match wiring {
            Wiring::OneArm => CLIENT_SIDE,
            _ => SERVER_SIDE,
        };
        let mac = |last: u8| MacAddr([2, 0, 0, 9, 9, last]);
        let hop = |via: Option<V4>, interface| NextHop {
            via: via.map(Address::to_ip),
            interface,
        };
        let change = |editor: &mut Editor| match self {
            Self::ServerMac(server, last) => {
                let addr = SERVERS[server].addr.to_ip();
                editor.set_neighbour(server_side, addr, last.map(mac));
            }
            Self::ClientMac(last) => {
                editor.set_neighbour(CLIENT_SIDE, CLIENT.addr.to_ip(), last.map(mac));
            }
            Self::Mtu(of_servers, mtu) if of_servers => editor.set_mtu(server_side, mtu),
            Self::Mtu(_, mtu) => editor.set_mtu(CLIENT_SIDE, mtu),
            Self::Servers(removed, resting) => {
                let specs: Vec<_> = services(removed, resting)
                    .iter()
                    .map(TestService::spec)
                    .collect();
                editor.set_services(&specs);
            }
            Self::Route(server, Some(by_a_router)) => {
                let addr = SERVERS[server].addr.to_ip();
                let (via, side) = if by_a_router {
                    (Some(RIP_1.addr), server_side)
                } else {
                    (None, CLIENT_SIDE)
                };
                editor.set_route(addr, 32, &[hop(via, side)], None);
            }
            Self::Route(server, None) => editor.remove_route(SERVERS[server].addr.to_ip(), 32),
            Self::TunnelSource(there) => {
                editor.set_interface_address(server_side, there.then_some(DIP_SERVER_SIDE));
            }
            Self::Timeouts(seconds) => {
                let mut timeouts = Timeouts::default();
                timeouts.set_tcp(seconds);
                timeouts.set_udp(seconds);
                editor.set_timeouts(timeouts);
            }
        };
        gateway.change(change);
        gateway.collect();
    }
}

/// Both services, for every transport.
pub(crate) fn services(removed: Option<usize>, resting: Option<usize>) -> Vec<TestService> {
    let mut services = Vec::new();
    for protocol in PROTOCOLS {
        let mut mixed =
            service(protocol, VIP).local(LIP.addr, LIP.port..=LIP.port + LOCAL_PORTS - 1);
        for (number, method) in METHODS.into_iter().enumerate() {
            if removed != Some(number) {
                let weight = u32::from(resting != Some(number));
                mixed = mixed.weighted(SERVERS[number], method, weight);
            }
        }
        services.extend([mixed, service(protocol, OTHER_VIP).nat(RIP_2)]);
    }
    services
}

/// One event of a history.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// All of it arrives before the next turn.
    Burst(Vec<Arrival>),
    Pass(Duration),
    Change(Change),
    /// All sessions come back from a file that says of each that replies do not pass.
    ImportOneSided,
}

fn any_who() -> impl Strategy<Value = Who> {
    let client = |vip| (0..CLIENTS).prop_map(move |client| Who::Client { client, vip });
    prop_oneof![
        6 => client(VIP),
        1 => client(OTHER_VIP),
        2 => (0..CLIENTS).prop_map(|client| Who::NatServer { client }),
        2 => (0..LOCAL_PORTS).prop_map(|port| Who::FullnatServer { port }),
    ]
}

fn any_quirk() -> impl Strategy<Value = Quirk> {
    let quirks = vec![
        Quirk::IpOptions,
        Quirk::Fragmented,
        Quirk::LaterFragment,
        Quirk::WrongIpChecksum,
        Quirk::WrongIpChecksumTakenAsRight,
        Quirk::WrongChecksum,
        Quirk::NoChecksum,
        Quirk::NotOurMac,
        Quirk::OtherSide,
    ];
    prop_oneof![3 => Just(Quirk::None), 1 => proptest::sample::select(quirks)]
}

prop_compose! {
    fn any_arrival()(
        who in any_who(),
        protocol in prop_oneof![
            5 => Just(Protocol::Tcp), 4 => Just(Protocol::Udp), 1 => Just(Protocol::Sctp)
        ],
        // Mostly ACK, with or without PSH.
        flags in prop_oneof![
            8 => Just(0x10), 4 => Just(0x18), 1 => Just(0x02), 1 => Just(0x12), 1 => Just(0x11),
            1 => Just(0x04), 1 => any::<u8>(),
        ],
        sequence in prop_oneof![3 => 0..300_000_u32, 1 => any::<u32>()],
        ttl in prop_oneof![6 => Just(64), 1 => Just(2), 1 => Just(1), 1 => Just(0)],
        len in prop_oneof![6 => 0..100_usize, 1 => 900..1_000_usize, 1 => 1_400..1_500_usize],
        dont_fragment: bool,
        quirk in any_quirk(),
        worker in 0..2_usize,
    ) -> Arrival {
        Arrival { who, protocol, flags, sequence, ttl, len, dont_fragment, quirk, worker }
    }
}

fn any_change() -> impl Strategy<Value = Change> {
    let server = || 0..SERVERS.len();
    let mac = || proptest::option::weighted(0.7, any::<u8>());
    let one = || proptest::option::weighted(0.4, server());
    prop_oneof![
        (server(), mac()).prop_map(|(server, mac)| Change::ServerMac(server, mac)),
        mac().prop_map(Change::ClientMac),
        (any::<bool>(), 120..1_500_u16).prop_map(|(side, mtu)| Change::Mtu(side, mtu)),
        (one(), one()).prop_map(|(removed, resting)| Change::Servers(removed, resting)),
        (server(), any::<Option<bool>>()).prop_map(|(server, way)| Change::Route(server, way)),
        any::<bool>().prop_map(Change::TunnelSource),
        (1..900_u32).prop_map(Change::Timeouts),
    ]
}

pub(crate) fn any_event() -> impl Strategy<Value = Event> {
    let burst = proptest::collection::vec(any_arrival(), 1..12);
    let millis = prop_oneof![Just(1), Just(900), Just(4_000), Just(61_000), Just(310_000)];
    prop_oneof![
        12 => burst.prop_map(Event::Burst),
        2 => millis.prop_map(|millis| Event::Pass(Duration::from_millis(millis))),
        3 => any_change().prop_map(Event::Change),
        1 => Just(Event::ImportOneSided),
    ]
}

/// All clients begin a conversation with the first VIP by both transports.
pub(crate) fn opening() -> Vec<Event> {
    let packet = |protocol, flags, client| Arrival {
        who: Who::Client { client, vip: VIP },
        protocol,
        flags,
        sequence: 1_000,
        ttl: 64,
        len: 0,
        dont_fragment: false,
        quirk: Quirk::None,
        worker: 0,
    };
    [
        (Protocol::Udp, 0),
        (Protocol::Tcp, 0x02),
        (Protocol::Tcp, 0x10),
    ]
    .map(|(protocol, flags)| {
        Event::Burst((0..CLIENTS).map(|n| packet(protocol, flags, n)).collect())
    })
    .to_vec()
}

/// Lets an event happen to a gateway.
pub(crate) fn take(gateway: &mut TestGateway, event: &Event, wiring: Wiring, workers: u16) {
    match event {
        Event::Burst(arrivals) => {
            for arrival in arrivals {
                arrival.put(gateway, wiring, workers);
            }
            gateway.settle();
        }
        Event::Pass(time) => gateway.advance(*time),
        Event::Change(change) => change.make(gateway, wiring),
        Event::ImportOneSided => {
            let mut records = gateway.sessions();
            records
                .iter_mut()
                .for_each(|record| record.is_one_sided = true);
            // They end first, so that they can come back.
            gateway.advance(Duration::from_secs(1_000));
            let _ = gateway.import(&records);
        }
    }
}
