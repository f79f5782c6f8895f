//! Sessions that come from elsewhere: they go on as if they had begun here, and hold no more.

use std::net::IpAddr;
use std::slice::from_ref;
use std::time::Duration;

use dataplane::address::{Address, Endpoint, Protocol, V4};
use dataplane::import::{Outcome, Outcomes};
use dataplane::service::Method;
use dataplane::session::{SessionRecord, State};
use dataplane::testing::*;

use crate::common::*;

const METHODS: [Method; 4] = [Method::Dr, Method::Nat, Method::Tun, Method::Fullnat];

const ALL: [Outcome; 6] = [
    Outcome::Imported,
    Outcome::AlreadyThere,
    Outcome::NoService,
    Outcome::NoServer,
    Outcome::PortNotFree,
    Outcome::TableFull,
];

/// The outcomes there were, with how many of each.
pub(crate) fn told(outcomes: Outcomes) -> Vec<(Outcome, u64)> {
    let counts = ALL.map(|outcome| (outcome, outcomes.of(outcome)));
    counts.into_iter().filter(|(_, count)| *count > 0).collect()
}

pub(crate) fn ip(end: Endpoint<V4>) -> Endpoint<IpAddr> {
    Endpoint::new(end.addr.to_ip(), end.port)
}

pub(crate) fn v4(end: Endpoint<IpAddr>) -> Endpoint<V4> {
    let IpAddr::V4(addr) = end.addr else {
        unreachable!("a session of IPv4");
    };
    Endpoint::new(addr.into(), end.port)
}

/// An open session of [`CLIENT`] with [`RIP_1`], that no packet was counted for.
pub(crate) fn record(protocol: Protocol, method: Method) -> SessionRecord {
    let mut gateway = gateway(protocol, method);
    for talk in TALKS.iter().filter(|talk| talk.protocol == protocol) {
        gateway.receive(0, &talk.packet(Step::Open, &hop(IN, (CLIENT, VIP), 64)));
    }
    SessionRecord {
        state: State::from_name(protocol, "ESTABLISHED").unwrap_or(State::Udp),
        in_packets: 0,
        in_bytes: 0,
        ..gateway.session()
    }
}

/// What a session is whoever has it: places in a snapshot and the age are the gateway's own.
fn portable(mut record: SessionRecord) -> SessionRecord {
    record.service.0 = 0;
    record.server_slot.0 = 0;
    record.age_ticks = 0;
    record
}

/// Frames without what a gateway numbers by itself: the identification of a tunnel's header, and
/// with it its checksum.
fn comparable(mut frames: Vec<Vec<u8>>, method: Method) -> Vec<Vec<u8>> {
    if method == Method::Tun {
        for frame in &mut frames {
            frame[18..20].fill(0);
            frame[24..26].fill(0);
        }
    }
    frames
}

#[test]
fn sessions_of_every_method_go_on_at_another_gateway_byte_for_byte() {
    for (method, talk) in METHODS.iter().flat_map(|m| TALKS.iter().map(|t| (*m, t))) {
        // Given a conversation at one gateway.
        let mut old = gateway(talk.protocol, method);
        let local = match method {
            Method::Fullnat => LIP,
            _ => CLIENT,
        };
        let arriving = hop(IN, (CLIENT, VIP), 64);
        let answering = hop(FROM_SERVER, (RIP_1, local), 64);
        old.receive(0, &talk.packet(Step::Open, &arriving));
        if method.sees_replies() {
            old.receive(1, &talk.packet(Step::Answer, &answering));
        }
        let records = old.sessions();
        let _ = (old.sent(0), old.sent(1));

        // When it comes to another.
        let mut new = gateway(talk.protocol, method);
        let outcomes = new.import(&records);

        // Then it weighs there as much, and goes on in the same way.
        assert_eq!(told(outcomes), [(Outcome::Imported, 1)]);
        assert_eq!(new.moved(), [("imported", 1)]);
        assert_eq!(
            new.load(RIP_1),
            old.load(RIP_1),
            "{method} {}",
            talk.protocol
        );
        assert_eq!(new.lent_ports(LIP.addr), old.lent_ports(LIP.addr));
        assert_eq!(portable(new.session()), portable(old.session()));
        for (step, ethdev, way) in [(Step::More, 0, arriving), (Step::Answer, 1, answering)] {
            if ethdev == 1 && !method.sees_replies() {
                continue;
            }
            let frame = talk.packet(step, &way);
            let sent = [&mut old, &mut new].map(|it| it.forward_from(ethdev, &frame));
            let [expected, sent] = sent.map(|frames| comparable(frames, method));
            assert_eq!((sent.len(), &sent), (1, &expected), "{method} {step:?}");
            assert_eq!(portable(new.session()), portable(old.session()));
        }

        // And when it ends, nothing of it is left.
        new.advance(Duration::from_secs(901));
        assert_eq!(new.load(RIP_1), (0, 0));
        assert!(new.lent_ports(LIP.addr).is_none_or(|lent| lent == 0));
        assert_eq!(new.sum(|c| &c.sessions), 0);
    }
}

#[test]
fn a_session_keeps_its_moved_sequence_numbers_and_its_time() {
    let shifted = SessionRecord {
        seq_delta: Some(1_000),
        expires_in_ticks: 10 * 256,
        ..record(Protocol::Tcp, Method::Fullnat)
    };
    let mut gateway = gateway(Protocol::Tcp, Method::Fullnat);
    assert_eq!(told(gateway.import(&[shifted])), [(Outcome::Imported, 1)]);

    gateway.advance(Duration::from_secs(9));
    let sent = gateway.forward(&tcp().ack().seq(5).ack_no(7).build());

    let to_server = hop(TO_SERVER, (LIP, RIP_1), 63);
    let expected = on(tcp().ack().seq(1_005).ack_no(7), &to_server);
    assert_eq!(sent, [expected.build()]);
    assert_eq!(gateway.session().expires_in_ticks, 900 * 256);
}

#[test]
fn a_session_that_nobody_speaks_in_ends_when_it_would_have() {
    let mut gateway = gateway(Protocol::Udp, Method::Nat);
    let short = SessionRecord {
        expires_in_ticks: 10 * 256,
        ..record(Protocol::Udp, Method::Nat)
    };
    assert_eq!(told(gateway.import(&[short])), [(Outcome::Imported, 1)]);

    gateway.advance(Duration::from_millis(9_900));
    assert_eq!(gateway.load(RIP_1), (0, 1));
    gateway.advance(Duration::from_millis(200));

    assert_eq!(gateway.load(RIP_1), (0, 0));
    assert_eq!(gateway.sum(|c| &c.sessions_expired), 1);
}

#[test]
fn a_client_that_used_a_port_twice_gets_the_answers_to_the_younger_session() {
    // Given sessions of one client port with two VIPs of the same server.
    let other_vip = endpoint([10, 1, 0, 101], 80);
    let services = [VIP, other_vip].map(|vip| service(Protocol::Udp, vip).nat(RIP_1));
    let aged = |vip, age_ticks| SessionRecord {
        vip: ip(vip),
        age_ticks,
        ..record(Protocol::Udp, Method::Nat)
    };
    let (older, younger) = (aged(other_vip, 512), aged(VIP, 256));
    for (records, expected) in [
        (
            [older.clone(), younger.clone()],
            vec![(Outcome::Imported, 2)],
        ),
        (
            [younger, older],
            vec![(Outcome::Imported, 1), (Outcome::AlreadyThere, 1)],
        ),
    ] {
        let mut gateway = Setup::two_arm().start();
        gateway.serve(&services);
        gateway.advance(Duration::from_secs(10));

        // When they come in, in whatever order.
        assert_eq!(told(gateway.import(&records)), expected);

        // Then the server's packets leave from the VIP that the client spoke to last.
        let answer = on(udp(), &hop(FROM_SERVER, (RIP_1, CLIENT), 64)).build();
        let leaving = on(udp(), &hop(OUT, (VIP, CLIENT), 63)).build();
        assert_eq!(gateway.forward_from(1, &answer), [leaving]);
    }
}

#[test]
fn sessions_of_a_service_for_all_ports_are_bound_by_the_port_they_have() {
    let any = |end: Endpoint<V4>| Endpoint::new(end.addr, 0);
    let service = service(Protocol::Udp, any(VIP)).nat(any(RIP_1));
    let mut gateway = serving(Setup::two_arm(), &service);
    let with_ports = |vip: u16, server: u16| {
        let mut record = record(Protocol::Udp, Method::Nat);
        (record.vip.port, record.server.port) = (vip, server);
        record.client.port = vip;
        record.local.port = vip;
        record
    };

    let outcomes = gateway.import(&[with_ports(4_321, 4_321), with_ports(4_321, 80)]);

    let expected = [(Outcome::Imported, 1), (Outcome::NoServer, 1)];
    assert_eq!(told(outcomes), expected);
    assert_eq!(gateway.load(any(RIP_1)), (0, 1));
}

#[test]
fn a_session_that_gave_its_port_back_comes_without_it() {
    // Given a session that its server has ended.
    let mut old = gateway(Protocol::Tcp, Method::Fullnat);
    let way = hop(FROM_SERVER, (RIP_1, LIP), 64);
    for (ethdev, frame) in [
        (0, tcp().syn().build()),
        (0, tcp().ack().build()),
        (0, tcp().fin().build()),
        (1, on(tcp().fin(), &way).build()),
    ] {
        old.receive(ethdev, &frame);
    }
    assert_eq!(old.lent_ports(LIP.addr), Some(0));
    let over = old.session();
    let mut open = record(Protocol::Tcp, Method::Fullnat);
    open.client.port += 1;

    // When it comes to another gateway, then it has no port there either.
    let mut new = gateway(Protocol::Tcp, Method::Fullnat);
    assert_eq!(told(new.import(from_ref(&over))), [(Outcome::Imported, 1)]);
    assert_eq!(new.lent_ports(LIP.addr), Some(0));
    assert_eq!(new.load(RIP_1), (0, 1));

    // And one that has its port ends it, as a new session would; afterwards it does not come.
    assert_eq!(told(new.import(from_ref(&open))), [(Outcome::Imported, 1)]);
    assert_eq!(new.session().client, open.client);
    assert_eq!(told(new.import(&[over])), [(Outcome::PortNotFree, 1)]);
    assert_eq!(
        (new.load(RIP_1), new.lent_ports(LIP.addr)),
        ((1, 1), Some(1))
    );
}

#[test]
fn every_session_comes_to_its_owner_and_its_replies_do() {
    for (setup, workers) in [
        (Setup::two_arm().workers(3), 3),
        (Setup::two_arm().rss_workers(3), 3),
    ] {
        // Given sessions of three workers.
        let service = service(Protocol::Udp, VIP)
            .local(LIP.addr, 20_000..=20_999)
            .fullnat(RIP_1)
            .nat(RIP_2);
        let mut old = serving(setup.clone(), &service);
        (1_000..1_100).for_each(|port| old.receive(0, &udp().from(client(port)).build()));
        let records = old.sessions();

        // When they come to a gateway with as many.
        let mut new = serving(setup, &service);
        assert_eq!(told(new.import(&records)), [(Outcome::Imported, 100)]);

        // Then each is at the worker it was at, and packets of both sides meet it.
        for worker in 0..workers {
            let at = |gateway: &mut TestGateway| {
                let mut ports: Vec<_> = (gateway.sessions_at(worker).iter())
                    .map(|session| session.client.port)
                    .collect();
                ports.sort_unstable();
                ports
            };
            assert_eq!(at(&mut new), at(&mut old));
        }
        for record in &records {
            let mac = if v4(record.server) == RIP_1 {
                RIP_1_MAC
            } else {
                RIP_2_MAC
            };
            let ends = (v4(record.server), v4(record.local));
            let reply = on(udp(), &hop((mac, GATEWAY_SERVER_MAC), ends, 64)).build();
            assert_eq!(new.forward(&udp().from(v4(record.client)).build()).len(), 1);
            assert_eq!(new.forward_from(1, &reply).len(), 1);
        }
        assert_eq!(new.sum(|c| &c.session_hits), 200);
        assert_eq!(new.sum(|c| &c.sessions_created), 0);
    }
}

#[test]
fn a_hundred_thousand_sessions_go_in_and_are_met() {
    // Given as many NAT sessions, of clients behind a router.
    let from = |n: u32| Endpoint::new(V4(0x0b00_0001 + n / 16), 1_024 + (n % 16) as u16);
    let record = record(Protocol::Udp, Method::Nat);
    let records: Vec<_> = (0..100_000)
        .map(|n| SessionRecord {
            client: ip(from(n)),
            local: ip(from(n)),
            ..record.clone()
        })
        .collect();
    let service = service(Protocol::Udp, VIP).nat(RIP_1);
    let mut gateway = serving(Setup::two_arm().sessions(100_000), &service);

    assert_eq!(
        told(gateway.import(&records)),
        [(Outcome::Imported, 100_000)]
    );

    assert_eq!(gateway.load(RIP_1), (0, 100_000));
    for n in 0..100_000 {
        gateway.receive(0, &udp().no_checksum().from(from(n)).build());
    }
    assert_eq!(gateway.sum(|c| &c.session_hits), 100_000);
    assert_eq!(gateway.sent(1).len(), 100_000);
}
