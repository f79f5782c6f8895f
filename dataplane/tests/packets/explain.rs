//! An explanation of what would become of a packet, against what then becomes of it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use dataplane::address::{Address, Endpoint, FlowKey, Protocol, V4};
use dataplane::drop_reason::DropReason;
use dataplane::editor::{NextHop, ServiceSpec};
use dataplane::explain::{Explanation, Hop, NotOpened, Outcome, Probe, Purpose};
use dataplane::handover::Visited;
use dataplane::io::RxChecksum;
use dataplane::io::memory::MemoryPacket;
use dataplane::knobs::Knobs;
use dataplane::marks::MarkRule;
use dataplane::parse::{self, Frame};
use dataplane::punt::PuntClass;
use dataplane::service::{Method, SchedulerKind, Unserved};
use dataplane::session::Direction;
use dataplane::testing::*;
use dataplane::wire::sctp::chunk;
use dataplane::wire::tcp::Flags;
use proptest::prelude::*;

use crate::common::*;

const SCHEDULERS: [SchedulerKind; 14] = [
    SchedulerKind::Rr,
    SchedulerKind::Wrr,
    SchedulerKind::Lc,
    SchedulerKind::Wlc,
    SchedulerKind::Sed,
    SchedulerKind::Nq,
    SchedulerKind::Fo,
    SchedulerKind::Ovf,
    SchedulerKind::Twos,
    SchedulerKind::Dh,
    SchedulerKind::Sh {
        fallback: true,
        port: true,
    },
    SchedulerKind::Mh {
        fallback: false,
        port: true,
    },
    SchedulerKind::Lblc {
        expiration_seconds: 60,
    },
    SchedulerKind::Lblcr {
        expiration_seconds: 60,
    },
];

/// Where the services of [`SCHEDULERS`] begin; behind them is one that keeps clients.
const FIRST_PORT: u16 = 1_000;
const PERSISTENT_PORT: u16 = FIRST_PORT + 14;
/// A VIP that drops what it does not serve, and one that rejects it.
const DROPPING: Endpoint<V4> = endpoint([10, 1, 0, 102], 80);
const REJECTING: Endpoint<V4> = endpoint([10, 1, 0, 103], 80);
/// Marked, and the service of the mark is persistent.
const MARKED: Endpoint<V4> = endpoint([198, 51, 100, 7], 443);
/// A server whose MAC nobody knows, and one without a route.
const SILENT: Endpoint<V4> = endpoint([10, 2, 0, 14], 80);
const LOST: Endpoint<V4> = endpoint([172, 16, 0, 1], 80);
const CLIENTS: u16 = 6;
const METHODS: [Method; 4] = [Method::Dr, Method::Nat, Method::Tun, Method::Fullnat];

fn on_vip(port: u16) -> Endpoint<V4> {
    Endpoint::new(VIP.addr, port)
}

fn specs(resting: Option<usize>) -> Vec<ServiceSpec> {
    let mut services = Vec::new();
    for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
        for (port, (number, kind)) in (FIRST_PORT..).zip(SCHEDULERS.into_iter().enumerate()) {
            let mut one = service(protocol, on_vip(port)).scheduler(kind);
            let servers = [RIP_1, RIP_2, RIP_3].into_iter().zip(1..);
            for (place, (server, weight)) in servers.enumerate() {
                let weight = if resting == Some(place) { 0 } else { weight };
                one = one.weighted(server, METHODS[(number + place) % 4], weight);
            }
            services.push(one.spec());
        }
        let lasting = service(protocol, on_vip(PERSISTENT_PORT)).persistent(60);
        services.push(lasting.nat(RIP_1).fullnat(RIP_2).spec());
        services.push(
            service(protocol, DROPPING)
                .unserved(Unserved::Drop)
                .nat(SILENT)
                .spec(),
        );
        services.push(
            service(protocol, REJECTING)
                .unserved(Unserved::Reject)
                .dr(LOST)
                .spec(),
        );
    }
    let any_port = Endpoint::new(RIP_3.addr, 0);
    services.push(marked_service(3).persistent(60).nat(any_port).spec());
    // One that is overloaded soon.
    services[0].servers[1].upper_threshold = 2;
    services.push(service(Protocol::Tcp, on_vip(80)).spec());
    services
}

/// What may be said to the gateway.
#[derive(Clone, Debug)]
enum Event {
    Packet(Probe, usize),
    Pass(u64),
    Rest(Option<usize>),
    Mac(bool),
}

/// Where a packet to or from one of these is interesting.
fn any_key() -> impl Strategy<Value = (Endpoint<V4>, Endpoint<V4>)> {
    let source = prop_oneof![
        20 => (0..CLIENTS).prop_map(|port| client(2_000 + port)),
        1 => Just(client(20)),
        1 => Just(client(0)),
    ];
    let server = proptest::sample::select(vec![RIP_1, RIP_2, RIP_3, VIP]);
    let destination = prop_oneof![
        20 => (FIRST_PORT..=PERSISTENT_PORT).prop_map(on_vip),
        2 => proptest::sample::select(vec![
            VIP, on_vip(9), DROPPING, REJECTING, Endpoint::new(DROPPING.addr, 9),
            Endpoint::new(REJECTING.addr, 9), MARKED, LIP, Endpoint::new(DIP_CLIENT_SIDE, 22),
            SILENT,
        ]),
    ];
    prop_oneof![
        12 => (source, destination),
        1 => (server, (0..CLIENTS).prop_map(|port| client(2_000 + port))),
        1 => (Just(RIP_2), Just(LIP)),
    ]
}

prop_compose! {
    fn any_packet()(
        (source, destination) in any_key(),
        protocol in proptest::sample::select(vec![Protocol::Tcp, Protocol::Udp, Protocol::Sctp]),
        flags in proptest::sample::select(vec![0x02, 0x02, 0x02, 0x10, 0x10, 0x11, 0x04]),
        chunk in proptest::sample::select(vec![chunk::INIT, chunk::INIT, 0, 6, 7]),
        by_servers: bool,
        worker in 0..3_usize,
    ) -> Event {
        let is_client = source.addr == CLIENT.addr;
        // Now and then where it does not belong.
        let interface = if is_client != (by_servers && !is_client) { CLIENT_SIDE } else { SERVER_SIDE };
        let key = FlowKey { source, destination, protocol };
        let probe = Probe {
            interface, key, tcp_flags: flags, sctp_chunk: chunk, visited: Visited::default(),
        };
        Event::Packet(probe, worker)
    }
}

fn any_event() -> impl Strategy<Value = Event> {
    let resting = proptest::option::weighted(0.7, 0..3_usize);
    prop_oneof![
        30 => any_packet(),
        2 => proptest::sample::select(vec![1_u64, 70, 400, 2_000]).prop_map(Event::Pass),
        2 => resting.prop_map(Event::Rest),
        1 => any::<bool>().prop_map(Event::Mac),
    ]
}

prop_compose! {
    fn any_knobs()(
        drop_packet in proptest::sample::select(vec![0, 0, 0, 3]),
        [sloppy_tcp, nat_icmp_send, expire_nodest_conn, expire_quiescent_template]
            in any::<[bool; 4]>(),
    ) -> Knobs {
        Knobs {
            drop_packet, sloppy_tcp, nat_icmp_send, expire_nodest_conn, expire_quiescent_template,
            ..Knobs::default()
        }
    }
}

fn gateway(workers: u16, by_rss: bool, knobs: Knobs) -> TestGateway {
    let setup = match by_rss {
        true => Setup::two_arm().rss_workers(workers),
        false => Setup::two_arm().workers(workers),
    };
    let mut gateway = setup.start();
    gateway.change(|editor| {
        editor.set_interface_address(SERVER_SIDE, Some(DIP_SERVER_SIDE));
        editor.set_knobs(knobs);
        editor.set_marks(vec![MarkRule {
            destination: Some((MARKED.addr, 24)),
            ..MarkRule::any(3)
        }]);
        editor.set_services(&specs(None));
    });
    let _ = gateway.moved();
    gateway
}

/// The packet of a probe.
fn frame(probe: &Probe) -> Vec<u8> {
    let mac = match probe.interface {
        CLIENT_SIDE => GATEWAY_MAC,
        _ => GATEWAY_SERVER_MAC,
    };
    let FlowKey {
        source,
        destination,
        protocol,
    } = probe.key;
    match protocol {
        Protocol::Tcp => {
            let segment = tcp().flags(Flags(probe.tcp_flags));
            segment.from(source).to(destination).eth_to(mac).build()
        }
        Protocol::Udp => udp().from(source).to(destination).eth_to(mac).build(),
        Protocol::Sctp => {
            let packet = sctp().chunk(probe.sctp_chunk);
            packet.from(source).to(destination).eth_to(mac).build()
        }
    }
}

/// To whom, and from whom, an IP packet goes; without ports in a tunnel.
fn ends_of(frame: &[u8]) -> (Endpoint<V4>, Endpoint<V4>) {
    let (_, parsed) = parse::parse(frame, RxChecksum::Good).unwrap();
    match parsed {
        Frame::Ipv4(parsed) => (parsed.key.source, parsed.key.destination),
        Frame::Ipv4Other(other) => (
            Endpoint::new(other.source, 0),
            Endpoint::new(other.destination, 0),
        ),
        other => unreachable!("{other:?} was sent"),
    }
}

/// To whom the packet goes according to its explanation, and from whom if that is known.
fn promised(explanation: &Explanation, key: &FlowKey<V4>) -> (Endpoint<V4>, Option<Endpoint<V4>>) {
    let v4 =
        |end: Endpoint<std::net::IpAddr>| Endpoint::new(V4::from_ip(end.addr).unwrap(), end.port);
    let (method, server, local) = match (&explanation.opening, &explanation.met) {
        (Some(opening), met) => {
            let is_left = met.as_ref().is_some_and(|met| met.begins_anew);
            (
                opening.method,
                opening.end,
                opening.local.filter(|_| !is_left),
            )
        }
        (None, Some(met)) if met.direction == Direction::ToServer => {
            let session = &met.session;
            (session.method, v4(session.server), Some(v4(session.local)))
        }
        (None, Some(met)) => {
            let session = &met.session;
            return (v4(session.client), Some(v4(session.vip)));
        }
        (None, None) => unreachable!("it is sent without a session"),
    };
    match method {
        Method::Dr => (key.destination, Some(key.source)),
        Method::Nat => (server, Some(key.source)),
        Method::Tun => (Endpoint::new(server.addr, 0), None),
        Method::Fullnat => (server, local),
    }
}

/// Whether the choice may be another one, since a FULLNAT session ends first.
fn ends_first(explanation: &Explanation) -> bool {
    let met = explanation.met.as_ref();
    met.is_some_and(|met| met.begins_anew && met.session.method == Method::Fullnat)
}

/// Lets the gateway have the packet, and compares.
fn compare(gateway: &mut TestGateway, probe: &Probe, worker: usize) -> Result<(), TestCaseError> {
    let explanation = gateway.explain_at(worker, *probe);
    prop_assert_eq!(gateway.moved(), [], "an explanation changes nothing");
    prop_assert_eq!(&gateway.explain_at(worker, *probe), &explanation);

    let ethdev = u16::from(probe.interface != CLIENT_SIDE);
    gateway.receive_at(worker, ethdev, MemoryPacket::new(&frame(probe)));

    let moved = gateway.moved();
    let count = |name| {
        moved
            .iter()
            .find(|(moved, _)| *moved == name)
            .map_or(0, |it| it.1)
    };
    let errors = count("icmp_errors");
    let sent = [0, 1].map(|ethdev| gateway.sent(ethdev));
    if ends_first(&explanation) {
        return Ok(());
    }
    match explanation.outcome {
        Outcome::Sent(hop) => {
            let frames = &sent[usize::from(hop.interface != CLIENT_SIDE)];
            prop_assert_eq!(frames.len(), 1, "{:?} {:?}", explanation, moved);
            prop_assert_eq!(&frames[0][..6], &hop.mac.unwrap().0);
            let (from, to) = ends_of(&frames[0]);
            let (server, sender) = promised(&explanation, &probe.key);
            prop_assert_eq!(to, server, "{:?}", explanation);
            prop_assert_eq!(sender.unwrap_or(from), from, "{:?}", explanation);
        }
        Outcome::Waits(hop) => {
            prop_assert_eq!(
                count("transmitted"),
                errors,
                "{:?} {:?}",
                explanation,
                moved
            );
            prop_assert_eq!(hop.mac, None);
        }
        Outcome::Delivered => prop_assert_eq!(count("local_node"), 1),
        Outcome::Punted(class) => {
            prop_assert_eq!(count(class.name()), 1, "{:?} {:?}", explanation, moved);
        }
        Outcome::Dropped(DropReason::LocalPortsExhausted) if count("evicted") > 0 => {}
        Outcome::Dropped(reason) => {
            prop_assert_eq!(count(reason.name()), 1, "{:?} {:?}", explanation, moved);
        }
        Outcome::HandedOver(to) => prop_assert!(false, "nobody has it: {}", to),
    }
    prop_assert_eq!(
        count("created") > 0,
        begins(&explanation),
        "{:?} {:?}",
        explanation,
        moved
    );
    Ok(())
}

/// Whether a session that lasts begins.
fn begins(explanation: &Explanation) -> bool {
    let is_forwarded = explanation.outcome != Outcome::Dropped(DropReason::LocalPortsExhausted);
    (explanation.opening).is_some_and(|opening| !opening.one_packet && is_forwarded)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_packet_does_what_its_explanation_says_whatever_was_before(
        workers in 1..=3_u16,
        by_rss: bool,
        knobs in any_knobs(),
        events in proptest::collection::vec(any_event(), 1..150),
    ) {
        let mut gateway = gateway(workers, by_rss, knobs);

        for event in &events {
            match event {
                Event::Packet(probe, worker) => {
                    compare(&mut gateway, probe, worker % usize::from(workers))?;
                }
                Event::Pass(seconds) => gateway.advance(Duration::from_secs(*seconds)),
                Event::Rest(resting) => {
                    gateway.change(|editor| editor.set_services(&specs(*resting)));
                }
                Event::Mac(is_known) => gateway.change(|editor| {
                    let mac = is_known.then_some(RIP_2_MAC);
                    editor.set_neighbour(SERVER_SIDE, RIP_2.addr.to_ip(), mac);
                }),
            }
            let _ = (gateway.moved(), gateway.sent(0), gateway.sent(1));
        }
    }
}

fn probe(source: Endpoint<V4>, destination: Endpoint<V4>, tcp_flags: Flags) -> Probe {
    Probe {
        interface: CLIENT_SIDE,
        key: FlowKey {
            source,
            destination,
            protocol: Protocol::Tcp,
        },
        tcp_flags: tcp_flags.0,
        sctp_chunk: 0,
        visited: Visited::default(),
    }
}

#[test]
fn an_explanation_names_what_decides() {
    let mut gateway = gateway(1, false, Knobs::default());
    let mut ask = |destination, flags| gateway.explain(probe(CLIENT, destination, flags));

    // A first packet: the newest server is the first of round robin, here the third by TUN.
    let opened = ask(on_vip(FIRST_PORT), Flags::SYN);
    let opening = opened.opening.unwrap();
    assert!(
        matches!(opened.purpose, Some(Purpose::Service(_))),
        "{opened:?}"
    );
    assert_eq!(
        (opening.end.addr, opening.method),
        (RIP_3.addr, Method::Tun)
    );
    assert!(!opening.by_template && !opening.one_packet && !opening.table_full);
    let hop = Hop {
        interface: SERVER_SIDE,
        addr: RIP_3.addr.to_ip(),
        mac: Some(RIP_3_MAC),
        mtu: 1_500,
    };
    assert_eq!(opened.outcome, Outcome::Sent(hop));

    // One that begins nothing, and what is for nobody.
    let late = ask(on_vip(FIRST_PORT), Flags::ACK);
    assert_eq!(late.not_opened, Some(NotOpened::Kind));
    assert_eq!(late.outcome, Outcome::Punted(PuntClass::Unserved));
    let refused = ask(Endpoint::new(REJECTING.addr, 9), Flags::SYN);
    assert_eq!(refused.outcome, Outcome::Dropped(DropReason::Rejected));
    assert_eq!(
        ask(VIP, Flags::SYN).outcome,
        Outcome::Dropped(DropReason::NoServer)
    );
    let unknown = ask(DROPPING, Flags::SYN).outcome;
    assert!(
        matches!(unknown, Outcome::Waits(hop) if hop.mac.is_none()),
        "{unknown:?}"
    );
}

#[test]
fn a_session_and_a_template_are_met_as_they_stand() {
    let mut gateway = gateway(1, false, Knobs::default());
    let syn = probe(CLIENT, on_vip(PERSISTENT_PORT), Flags::SYN);
    gateway.receive(0, &frame(&syn));
    let session = gateway.session();

    let same = gateway.explain(Probe {
        tcp_flags: Flags::ACK.0,
        ..syn
    });
    let again = gateway.explain(probe(client(50_000), on_vip(PERSISTENT_PORT), Flags::SYN));

    let met = same.met.unwrap();
    assert_eq!(
        (met.session, met.direction, met.begins_anew),
        (session.clone(), Direction::ToServer, false)
    );
    assert_eq!((same.purpose, same.opening), (None, None));
    let opening = again.opening.unwrap();
    assert!(opening.by_template);
    assert_eq!(opening.end.addr.to_ip(), session.server.addr);
}

#[test]
fn a_route_that_is_not_there_is_named() {
    let mut gateway = gateway(1, false, Knobs::default());

    let lost = gateway.explain(probe(CLIENT, REJECTING, Flags::SYN));
    gateway.change(|editor| {
        let hop = NextHop {
            via: Some(RIP_1.addr.to_ip()),
            interface: SERVER_SIDE,
        };
        editor.set_route(LOST.addr.to_ip(), 32, &[hop], None);
    });
    let found = gateway.explain(probe(CLIENT, REJECTING, Flags::SYN));

    assert_eq!(lost.outcome, Outcome::Dropped(DropReason::NoRoute));
    assert!(matches!(found.outcome, Outcome::Sent(hop) if hop.addr == RIP_1.addr.to_ip()));
}
