//! The express lane does what the general way does, or nothing: two gateways, one without the
//! lane, get the same packets and changes, and nobody can tell them apart.

use dataplane::address::Protocol;
use dataplane::io::memory::MemoryPacket;
use dataplane::service::Method;
use dataplane::session::SessionRecord;
use dataplane::testing::Step::{More, Open};
use dataplane::testing::*;
use proptest::prelude::*;

use crate::common::*;
use crate::history::*;
use crate::import::v4;

/// Everything that can be seen of a gateway.
#[derive(Debug, PartialEq)]
struct Sight {
    sent: [Vec<Vec<u8>>; 2],
    punted: Vec<Vec<u8>>,
    moved: Vec<(&'static str, u64)>,
    bytes: [u64; 2],
    sessions: Vec<SessionRecord>,
    servers: Vec<String>,
    lent_ports: Option<usize>,
    wanted: Vec<String>,
}

/// The lines in which two sights differ.
fn difference(with: &Sight, without: &Sight) -> String {
    let [with, without] = [with, without].map(|sight| format!("{sight:#?}"));
    let lines = with.lines().zip(without.lines()).enumerate();
    lines
        .filter(|(_, (with, without))| with != without)
        .take(20)
        .map(|(at, (with, without))| format!("\n{at}: {} not {}", with.trim(), without.trim()))
        .collect()
}

fn look_at(gateway: &mut TestGateway, setup: &Setup) -> Sight {
    let sessions = gateway.sessions();
    let last = setup.ethdevs() - 1;
    let sent = [gateway.sent(0), gateway.sent(last)];
    let sides: Vec<_> = setup.interface_ids().collect();
    let punted = sides.into_iter().flat_map(|side| gateway.punted(side));
    let punted = punted.collect();
    let servers = gateway.state().servers.iter().flatten();
    let servers = servers.map(|server| format!("{server:?}")).collect();
    Sight {
        sent,
        punted,
        moved: gateway.moved(),
        bytes: [
            gateway.sum(|c| &c.received_bytes),
            gateway.sum(|c| &c.transmitted_bytes),
        ],
        sessions,
        servers,
        lent_ports: gateway.lent_ports(LIP.addr),
        wanted: std::iter::from_fn(|| gateway.wanted())
            .map(|wanted| format!("{wanted:?}"))
            .collect(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn nobody_can_tell_the_express_lane_from_the_general_way(
        wiring in proptest::sample::select(
            vec![Wiring::TwoArm, Wiring::OneArm, Wiring::Tagged, Wiring::OnAStick]
        ),
        workers in 1..3_u16,
        events in proptest::collection::vec(any_event(), 1..24),
    ) {
        // Given two gateways, one without the lane.
        let setup = wiring.setup().workers(workers).sessions(64);
        let (with, without) = (setup.clone(), setup.clone().without_express_lane());
        let mut gateways = [with.start(), without.start()];
        gateways.iter_mut().for_each(|gateway| gateway.serve(&services(None, None)));

        for event in opening().iter().chain(&events) {
            // When the same happens to both.
            let [with, without] = gateways.each_mut().map(|gateway| {
                take(gateway, event, wiring, workers);
                look_at(gateway, &setup)
            });

            // Then both do the same.
            prop_assert!(with == without, "after {:?}:{}", event, difference(&with, &without));
        }
    }
}

/// The gateway's packets in full swing: how many, and how many of them went the general way.
fn in_full_swing(setup: Setup, method: Method, talk: &Talk) -> (u64, u64) {
    // Given a session in full swing.
    let mut gateway = serving(setup, &service(talk.protocol, VIP).server(RIP_1, method));
    let request = |step| talk.packet(step, &hop(IN, (CLIENT, VIP), 64));
    gateway.receive(0, &request(Open));
    gateway.receive(0, &request(More));
    let session = gateway.session();
    let _ = gateway.moved();
    let before = gateway.pipeline(0).general_packets();

    // When more packets of it come, with replies if they pass.
    let reply = hop(FROM_SERVER, (RIP_1, v4(session.local)), 64);
    for _ in 0..8 {
        gateway.put(0, 0, MemoryPacket::new(&request(More)));
        if method.sees_replies() {
            let reply = match talk.protocol {
                Protocol::Tcp => on(tcp().data(b"200 OK"), &reply).build(),
                _ => on(udp().payload(b"answer").padded(), &reply).build(),
            };
            gateway.put(0, 1, MemoryPacket::new(&reply));
        }
    }
    gateway.settle();
    let count = if method.sees_replies() { 16 } else { 8 };
    let moved = [("received", count), ("transmitted", count), ("hits", count)];
    assert_eq!(gateway.moved(), moved, "{method}");
    (count, gateway.pipeline(0).general_packets() - before)
}

#[test]
fn plain_packets_of_steady_sessions_take_the_express_lane() {
    for (method, talk) in METHODS
        .iter()
        .flat_map(|m| TALKS[..2].iter().map(|t| (*m, t)))
    {
        let (_, general) = in_full_swing(Setup::two_arm(), method, talk);
        assert_eq!(general, 0, "{method}");

        let without = Setup::two_arm().without_express_lane();
        let (count, general) = in_full_swing(without, method, talk);
        assert_eq!(general, count, "{method}");
    }
}

#[test]
fn a_reply_behind_the_packet_that_begins_a_younger_session_belongs_to_that() {
    // Given a steady session by one VIP, and another VIP of the same server.
    let mut gateway = Setup::one_arm().start();
    let services = [VIP, OTHER_VIP].map(|vip| service(Protocol::Udp, vip).nat(RIP_1));
    gateway.serve(&services);
    let request = |vip| udp().to(vip).padded().build();
    let stations = (RIP_1_MAC, GATEWAY_MAC);
    let reply = on(udp().padded(), &hop(stations, (RIP_1, CLIENT), 64)).build();
    for _ in 0..2 {
        gateway.receive(0, &request(VIP));
    }
    let _ = gateway.sent(0);

    // When one burst brings the first packet by that, one by the first, and a reply.
    for frame in [&request(OTHER_VIP), &request(VIP), &reply] {
        gateway.put(0, 0, MemoryPacket::new(frame));
    }
    gateway.settle();

    // Then the reply is that of the younger session.
    let answer = on(udp(), &hop(OUT, (OTHER_VIP, CLIENT), 63)).build();
    assert_eq!(gateway.sent(0)[2..], [answer]);
}
