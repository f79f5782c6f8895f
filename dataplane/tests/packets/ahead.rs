//! A burst's servers are chosen together, and are those that its packets would get one by one.

use std::time::Duration;

use dataplane::address::Protocol;
use dataplane::editor::ServiceSpec;
use dataplane::io::memory::MemoryPacket;
use dataplane::knobs::Knobs;
use dataplane::service::{Method, SchedulerKind};
use dataplane::session::SessionRecord;
use dataplane::testing::*;
use dataplane::wire::tcp::Flags;
use proptest::prelude::*;

use crate::common::*;
use crate::history::OTHER_VIP;

const KINDS: [SchedulerKind; 6] = [
    SchedulerKind::Lc,
    SchedulerKind::Wlc,
    SchedulerKind::Sed,
    SchedulerKind::Nq,
    SchedulerKind::Fo,
    SchedulerKind::Ovf,
];

/// What a client sends, to whom.
#[derive(Clone, Copy, Debug)]
enum What {
    Segment(Flags),
    Datagram,
    /// To a service that schedules each for itself.
    OnePacket,
}

/// The packets of a burst, each with its client's port.
type Packets = Vec<(u16, What)>;

fn any_packet() -> impl Strategy<Value = (u16, What)> {
    let flags = [Flags::SYN, Flags::ACK, Flags::FIN, Flags::RST];
    let what = prop_oneof![
        6 => Just(What::Segment(Flags::SYN)),
        4 => prop::sample::select(flags.to_vec()).prop_map(What::Segment),
        4 => Just(What::Datagram),
        2 => Just(What::OnePacket),
    ];
    // Port 0 names no session.
    (prop_oneof![1 => Just(0), 30 => 1_000..1_060_u16], what)
}

fn any_burst() -> impl Strategy<Value = Packets> {
    let whole =
        |what| move |from: u16| -> Packets { (from..from + 32).map(|port| (port, what)).collect() };
    prop_oneof![
        3 => prop::collection::vec(any_packet(), 1..33),
        1 => (1_000..1_200_u16).prop_map(whole(What::Segment(Flags::SYN))),
        1 => (1_000..1_200_u16).prop_map(whole(What::Datagram)),
        1 => Just(1_000).prop_map(whole(What::OnePacket)),
    ]
}

fn frame((port, what): (u16, What)) -> Vec<u8> {
    match what {
        What::Segment(flags) => tcp().from(client(port)).flags(flags).build(),
        What::Datagram => udp().from(client(port)).build(),
        What::OnePacket => udp().from(client(port)).to(OTHER_VIP).build(),
    }
}

/// A service by segments and one by datagrams, whose third server's local ports soon are all lent,
/// and one that schedules each datagram for itself.
fn services(kind: SchedulerKind, weights: [u32; 3], upper: u32) -> Vec<ServiceSpec> {
    let service = |protocol, vip| {
        let service = service(protocol, vip).scheduler(kind);
        let service = service.local(LIP.addr, LIP.port..=LIP.port + 5);
        let [first, second, third] = weights;
        let service = service.weighted(RIP_1, Method::Dr, first);
        let service = service.weighted(RIP_2, Method::Nat, second);
        service.weighted(RIP_3, Method::Fullnat, third)
    };
    let one_packet = service(Protocol::Udp, OTHER_VIP).one_packet();
    let all = [
        service(Protocol::Tcp, VIP),
        service(Protocol::Udp, VIP),
        one_packet,
    ];
    let mut specs = all.map(|service| service.spec()).to_vec();
    for spec in &mut specs {
        spec.servers[1].upper_threshold = upper;
    }
    specs
}

/// Whose sessions there are, and what each server counts.
#[derive(Debug, PartialEq)]
struct Sight {
    /// Client and server of each.
    sessions: Vec<[String; 2]>,
    /// Sessions now, those active, whether they are too many, and all there ever were.
    loads: Vec<(u32, u32, bool, u64)>,
}

fn look_at(gateway: &mut TestGateway) -> Sight {
    let sessions = gateway.sessions();
    let ends = |record: &SessionRecord| [record.client, record.server].map(shown);
    let mut sessions: Vec<_> = sessions.iter().map(ends).collect();
    sessions.sort();
    let servers = gateway.state().servers.iter().flatten();
    let loads = servers.map(|server| {
        let shared = &server.shared;
        let all = shared.traffic.totals().sessions;
        (
            shared.sessions(),
            shared.active(),
            server.is_overloaded(),
            all,
        )
    });
    Sight {
        sessions,
        loads: loads.collect(),
    }
}

fn start(specs: &[ServiceSpec], room: usize, sloppy: bool) -> TestGateway {
    let mut gateway = Setup::two_arm().sessions(room).start();
    gateway.change(|editor| {
        editor.set_services(specs);
        editor.set_knobs(Knobs {
            sloppy_tcp: sloppy,
            ..Knobs::default()
        });
    });
    gateway
}

proptest! {
    #[test]
    fn packets_of_a_burst_get_the_servers_that_they_would_get_one_by_one(
        kind in prop::sample::select(&KINDS[..]),
        weights in prop::array::uniform3(0..5_u32),
        upper in prop_oneof![3 => Just(0), 1 => 1..20_u32],
        room in prop_oneof![Just(32_usize), Just(1_024)],
        sloppy: bool,
        bursts in prop::collection::vec((any_burst(), 0..3_u64), 1..12),
    ) {
        let specs = services(kind, weights, upper);
        let [mut together, mut apart] = [(); 2].map(|()| start(&specs, room, sloppy));
        for (burst, seconds) in bursts {
            for packet in &burst {
                together.put(0, 0, MemoryPacket::new(&frame(*packet)));
                apart.receive(0, &frame(*packet));
            }
            together.settle();

            prop_assert_eq!(look_at(&mut together), look_at(&mut apart), "after {:?}", burst);
            for gateway in [&mut together, &mut apart] {
                gateway.advance(Duration::from_secs(60 * seconds));
            }
        }
    }
}

#[test]
fn two_workers_leave_no_count_behind() {
    // Given clients of two workers, whose bursts choose ahead.
    let specs = services(SchedulerKind::Wlc, [1, 2, 0], 0);
    let mut gateway = Setup::two_arm().workers(2).sessions(1_024).start();
    gateway.change(|editor| editor.set_services(&specs));
    let burst = |gateway: &mut TestGateway, ports: std::ops::Range<u16>, what| {
        for port in ports {
            let packet = MemoryPacket::new(&frame((port, what)));
            gateway.put(usize::from(port % 2), 0, packet);
        }
        gateway.settle();
    };

    // When there are bursts of growing and of falling length.
    for length in [1, 2, 4, 8, 16, 32, 32, 3, 32, 1] {
        burst(&mut gateway, 2_000..2_000 + length, What::Datagram);
        burst(
            &mut gateway,
            3_000..3_000 + length,
            What::Segment(Flags::SYN),
        );
    }

    // Then as many are counted as there are, and none when they have ended.
    let sight = look_at(&mut gateway);
    let counted: u32 = sight.loads.iter().map(|(sessions, ..)| sessions).sum();
    assert_eq!((counted, sight.sessions.len()), (64, 64));
    gateway.advance(Duration::from_secs(1_000));
    let Sight { sessions, loads } = look_at(&mut gateway);
    assert_eq!(sessions.len(), 0);
    assert!(
        loads
            .iter()
            .all(|(now, active, ..)| (*now, *active) == (0, 0)),
        "{loads:?}"
    );
}
