//! Several workers: every session has one owner, and every packet reaches it.

use dataplane::address::{Endpoint, FlowKey, Protocol, V4};
use dataplane::drop_reason::DropReason;
use dataplane::id::WorkerId;
use dataplane::io::memory::MemoryPacket;
use dataplane::service::Method;
use dataplane::testing::*;

use crate::common::*;

const CLIENTS: std::ops::Range<u16> = 40_000..40_040;

/// The owner of a client's UDP sessions under software steering.
fn owner(gateway: &TestGateway, client: Endpoint<V4>) -> WorkerId {
    let steering = &gateway.state().steering;
    steering.client_owner_software(Protocol::Udp, client)
}

fn two_workers(method: Method) -> TestGateway {
    let service = service(Protocol::Udp, VIP).server(RIP_1, method);
    serving(Setup::two_arm().workers(2), &service)
}

#[test]
fn packets_at_the_wrong_worker_are_handed_to_the_owner_and_counted() {
    for method in [Method::Dr, Method::Nat, Method::Tun, Method::Fullnat] {
        let mut gateway = two_workers(method);

        // Given clients of both workers whose packets all arrive at worker 0, twice.
        for _ in 0..2 {
            for port in CLIENTS {
                let sent = gateway.forward(&udp().from(client(port)).build());
                assert_eq!(sent.len(), 1, "{method}: nothing is lost");
            }
        }

        // Then each session is at its owner, and what was not worker 0's was handed over.
        let others = CLIENTS.filter(|port| owner(&gateway, client(*port)) == WorkerId(1));
        let others = others.count();
        assert!((10..30).contains(&others), "{others} of 40");
        assert_eq!(gateway.sessions_at(0).len(), 40 - others);
        assert_eq!(gateway.sessions_at(1).len(), others);
        let handed = 2 * others as u64;
        assert_eq!(
            gateway.moved(),
            [
                ("received", 80),
                ("transmitted", 80),
                ("hits", 40),
                ("created", 40),
                ("handed_over", handed),
                ("taken_over", handed),
            ]
        );
        assert_eq!(gateway.counters(0).arrived_at_wrong_worker.get(), handed);
    }
}

#[test]
fn nat_replies_reach_the_owner_from_any_worker() {
    for at in [0, 1] {
        let mut gateway = two_workers(Method::Nat);
        CLIENTS.for_each(|port| gateway.receive(0, &udp().from(client(port)).build()));
        assert_eq!(gateway.sent(1).len(), 40);
        let _ = gateway.moved();

        for port in CLIENTS {
            let reply = on(udp(), &hop(FROM_SERVER, (RIP_1, client(port)), 64));
            gateway.receive_at(at, 1, MemoryPacket::new(&reply.build()));

            let expected = on(udp(), &hop(OUT, (VIP, client(port)), 63));
            assert_eq!(gateway.sent(0), [expected.build()]);
        }

        let foreign = |port: &u16| owner(&gateway, client(*port)).index() != at;
        let handed = CLIENTS.filter(foreign).count() as u64;
        assert_eq!(
            gateway.moved(),
            [
                ("received", 40),
                ("transmitted", 40),
                ("hits", 40),
                ("handed_over", handed),
                ("taken_over", handed),
            ]
        );
    }
}

#[test]
fn what_is_for_a_service_that_is_gone_reaches_the_worker_that_may_have_its_session() {
    // Given sessions of both workers, whose service is gone.
    let mut gateway = two_workers(Method::Nat);
    CLIENTS.for_each(|port| gateway.receive(0, &udp().from(client(port)).build()));
    let bystander = service(Protocol::Tcp, endpoint([10, 1, 0, 101], 80)).dr(RIP_3);
    gateway.serve(&[bystander]);
    let _ = (gateway.moved(), gateway.sent(1));

    // When their clients' packets arrive at any worker.
    let count = CLIENTS.len() as u64;
    for at in [0, 1] {
        for port in CLIENTS {
            let packet = udp().from(client(port)).build();
            gateway.receive_at(at, 0, MemoryPacket::new(&packet));
        }
    }

    // Then Linux, which would answer them, has none of them.
    assert_eq!(gateway.drops(DropReason::ServerRemoved), 2 * count);
    let moved = gateway.moved();
    assert!(moved.contains(&("handed_over", count)), "{moved:?}");
}

#[test]
fn fullnat_replies_name_the_owner_by_their_local_port() {
    // Given sessions of both workers.
    let mut gateway = two_workers(Method::Fullnat);
    CLIENTS.for_each(|port| gateway.receive(0, &udp().from(client(port)).build()));
    let sessions: Vec<_> = (0..2)
        .flat_map(|worker| {
            gateway
                .sessions_at(worker)
                .into_iter()
                .map(move |s| (worker, s))
        })
        .collect();
    assert_eq!((sessions.len(), gateway.sent(1).len()), (40, 40));
    let _ = gateway.moved();

    // When each reply arrives at the worker that its local port names.
    for (worker, session) in &sessions {
        assert_eq!(usize::from(session.local.port % 2), *worker);
        let local = Endpoint::new(LIP.addr, session.local.port);
        let reply = on(udp(), &hop(FROM_SERVER, (RIP_1, local), 64));
        gateway.receive_at(*worker, 1, MemoryPacket::new(&reply.build()));
    }

    // Then none is handed over; and when they arrive at the other, all are.
    let home = [("received", 40), ("transmitted", 40), ("hits", 40)];
    assert_eq!(gateway.moved(), home);
    for (worker, session) in &sessions {
        let local = Endpoint::new(LIP.addr, session.local.port);
        let reply = on(udp(), &hop(FROM_SERVER, (RIP_1, local), 64));
        gateway.receive_at(1 - *worker, 1, MemoryPacket::new(&reply.build()));
    }
    let [received, transmitted, hits] = home;
    let handed = [("handed_over", 40), ("taken_over", 40)];
    assert_eq!(
        gateway.moved(),
        [received, transmitted, hits, handed[0], handed[1]]
    );
}

#[test]
fn fragments_follow_their_first_to_its_owner() {
    for method in [Method::Nat, Method::Fullnat] {
        for at in [0, 1] {
            let mut gateway = two_workers(method);
            let datagram = udp().payload_len(3_000);

            for frame in datagram.fragments(1_500) {
                gateway.put(at, 0, MemoryPacket::new(&frame));
            }
            gateway.settle();

            assert_eq!(gateway.sent(1).len(), 3, "{method} at {at}");
            // They meet where their source and identification (1, if nothing is said) lead.
            let end = Endpoint::new(CLIENT.addr, 1);
            let way = [
                at,
                owner(&gateway, end).index(),
                owner(&gateway, CLIENT).index(),
            ];
            let hops = way.windows(2).filter(|hop| hop[0] != hop[1]).count() as u64;
            let handed = gateway.sum(|c| &c.arrived_at_wrong_worker);
            assert_eq!(handed, 3 * hops);
        }
    }
}

#[test]
fn a_nat_reply_nobody_knows_visits_each_candidate_once_and_is_linuxs() {
    // Given a server of services on 20 VIPs, whose owners differ under RSS.
    let vip = |n: u8| endpoint([10, 1, 0, 100 + n], 80);
    let services: Vec<_> = (0..20)
        .map(|n| service(Protocol::Udp, vip(n)).nat(RIP_1))
        .collect();
    let mut gateway = Setup::two_arm().rss_workers(4).start();
    gateway.serve(&services);
    let reply = on(udp(), &hop(FROM_SERVER, (RIP_1, CLIENT), 64)).build();

    for at in 0..4 {
        let _ = gateway.moved();
        gateway.receive_at(at, 1, MemoryPacket::new(&reply));

        let moved = gateway.moved();
        // `at` is looked at first, so three are left; 20 VIPs spread over all four workers.
        assert!(moved.contains(&("handed_over", 3)), "{moved:?}");
        assert!(moved.contains(&("transit", 1)), "{moved:?}");
        assert_eq!(gateway.punted(SERVER_SIDE), std::slice::from_ref(&reply));
    }
}

#[test]
fn a_nat_server_of_all_ports_is_known_by_its_address() {
    let any = |end: Endpoint<V4>| Endpoint::new(end.addr, 0);
    let service = service(Protocol::Udp, any(VIP)).nat(any(RIP_1));
    let mut gateway = serving(Setup::two_arm().workers(2), &service);
    let vip = Endpoint::new(VIP.addr, 4_321);
    let server = Endpoint::new(RIP_1.addr, 4_321);

    for port in CLIENTS {
        gateway.receive(0, &udp().from(client(port)).to(vip).build());
        let reply = on(udp(), &hop(FROM_SERVER, (server, client(port)), 64));
        gateway.receive_at(1, 1, MemoryPacket::new(&reply.build()));

        let expected = on(udp(), &hop(OUT, (vip, client(port)), 63));
        assert_eq!(gateway.sent(0), [expected.build()]);
    }
}

#[test]
fn replies_of_a_server_that_is_no_longer_reached_by_nat_still_find_their_sessions() {
    let dr = service(Protocol::Udp, VIP).dr(RIP_1);
    for steps in [&[][..], &[service(Protocol::Udp, VIP).dr(RIP_2)]] {
        // Given NAT sessions of both workers, whose server is then reached by another method, at
        // once or after it was away.
        let mut gateway = two_workers(Method::Nat);
        CLIENTS.for_each(|port| gateway.receive(0, &udp().from(client(port)).build()));
        for service in steps.iter().chain([&dr]) {
            gateway.serve(std::slice::from_ref(service));
            gateway.collect();
        }
        let _ = (gateway.sent(1), gateway.moved());

        // When its replies arrive, each at the worker that does not own its session.
        for port in CLIENTS {
            let at = 1 - owner(&gateway, client(port)).index();
            let reply = on(udp(), &hop(FROM_SERVER, (RIP_1, client(port)), 64));
            gateway.receive_at(at, 1, MemoryPacket::new(&reply.build()));

            // Then none is left to Linux, which would send it on with the server's own address.
            let expected = on(udp(), &hop(OUT, (VIP, client(port)), 63));
            assert_eq!(gateway.sent(0), [expected.build()]);
        }

        // And when the last session has ended, the server's packets are Linux's again.
        gateway.advance(std::time::Duration::from_secs(301));
        gateway.collect();
        let _ = gateway.moved();
        let stray = on(udp(), &hop(FROM_SERVER, (RIP_1, CLIENT), 64));
        gateway.receive(1, &stray.build());
        assert_eq!(gateway.moved(), [("received", 1), ("transit", 1)]);
    }
}

#[test]
fn a_full_hand_over_ring_is_a_counted_drop() {
    let mut gateway = two_workers(Method::Dr);
    let mut foreign = (1_024..).filter(|port| owner(&gateway, client(*port)) == WorkerId(1));
    let port = foreign.next().unwrap();
    let frame = udp().from(client(port)).build();

    // Given that worker 1 does not look at its ring of 256 batches of 16 packets.
    (0..4_200).for_each(|_| gateway.put(0, 0, MemoryPacket::new(&frame)));
    while gateway.turn_of(0) > 0 {}

    assert_eq!(gateway.drops(DropReason::HandoverFull), 104);
    gateway.settle();
    assert_eq!(gateway.sent(1).len(), 4_096);
}

#[test]
fn a_worker_takes_as_much_over_as_it_may_receive_and_from_all_alike() {
    // Given that two workers have each filled their ring to the third.
    let service = service(Protocol::Udp, VIP).dr(RIP_1);
    let mut gateway = serving(Setup::two_arm().workers(3), &service);
    let mut foreign = (1_024..).filter(|port| owner(&gateway, client(*port)) == WorkerId(2));
    let frame = udp().from(client(foreign.next().unwrap())).build();
    for worker in [0, 1] {
        (0..1_024).for_each(|_| gateway.put(worker, 0, MemoryPacket::new(&frame)));
        while gateway.turn_of(worker) > 0 {}
    }

    // When the third does a turn, then it takes a burst for each of its two ethdevs.
    assert_eq!(gateway.turn_of(2), 64);

    // And the others have room for as many each.
    let full = gateway.drops(DropReason::HandoverFull);
    for worker in [0, 1] {
        (0..32).for_each(|_| gateway.put(worker, 0, MemoryPacket::new(&frame)));
        gateway.turn_of(worker);
    }
    assert_eq!(gateway.drops(DropReason::HandoverFull), full);
}

/// Lets a frame arrive where an ethdev with RSS would put it.
fn arrive(gateway: &mut TestGateway, ethdev: u16, frame: &[u8], key: &FlowKey<V4>) {
    let steering = std::sync::Arc::clone(&gateway.state().steering);
    let dataplane::steering::Steering::Toeplitz(rss) = &*steering else {
        unreachable!("the gateway was made with RSS");
    };
    let mut packet = MemoryPacket::new(frame);
    packet.rss = Some(rss.hash(key));
    let worker = rss.worker_of(rss.hash(key)).index();
    gateway.receive_at(worker, ethdev, packet);
}

fn key(source: Endpoint<V4>, destination: Endpoint<V4>) -> FlowKey<V4> {
    FlowKey {
        source,
        destination,
        protocol: Protocol::Udp,
    }
}

#[test]
fn under_rss_fullnat_replies_come_home_and_nat_replies_are_handed_over() {
    for method in [Method::Nat, Method::Fullnat] {
        let service = service(Protocol::Udp, VIP)
            .local(LIP.addr, 20_000..=21_023)
            .server(RIP_1, method);
        let mut gateway = serving(Setup::two_arm().rss_workers(3), &service);

        for port in 40_000..40_100 {
            let question = udp().from(client(port)).build();
            arrive(&mut gateway, 0, &question, &key(client(port), VIP));
        }

        // Every session is made where its first packet arrived.
        let made = [("received", 100), ("transmitted", 100), ("created", 100)];
        assert_eq!(gateway.moved(), made);
        assert_eq!(gateway.sent(1).len(), 100);
        let sessions = gateway.sessions();
        for session in &sessions {
            let ip = |end: Endpoint<std::net::IpAddr>| {
                let std::net::IpAddr::V4(addr) = end.addr else {
                    unreachable!("a session of IPv4");
                };
                Endpoint::new(V4::from(addr), end.port)
            };
            let (local, to) = (ip(session.local), ip(session.client));
            let reply = on(udp(), &hop(FROM_SERVER, (RIP_1, local), 64)).build();
            arrive(&mut gateway, 1, &reply, &key(RIP_1, local));
            let expected = on(udp(), &hop(OUT, (VIP, to), 63));
            assert_eq!(gateway.sent(0), [expected.build()]);
        }

        let moved = gateway.moved();
        let handed = moved.iter().find(|(name, _)| *name == "handed_over");
        match method {
            Method::Fullnat => assert_eq!(handed, None, "a port brings its reply home"),
            // About two of three.
            _ => assert!(handed.is_some_and(|(_, count)| (40..90).contains(count))),
        }
        assert!(moved.contains(&("hits", 100)), "{moved:?}");
    }
}

#[test]
fn rss_that_hashes_otherwise_is_noticed_but_fragments_do_not_count() {
    let service = service(Protocol::Udp, VIP).dr(RIP_1);
    let mut gateway = serving(Setup::two_arm().rss_workers(2), &service);

    for frame in udp().payload_len(3_000).fragments(1_500) {
        let mut packet = MemoryPacket::new(&frame);
        packet.rss = Some(7);
        gateway.receive_at(0, 0, packet);
    }
    assert_eq!(gateway.sum(|c| &c.rss_mismatches), 0);

    let mut packet = MemoryPacket::new(&udp().padded().build());
    packet.rss = Some(7);
    gateway.receive_at(0, 0, packet);
    assert_eq!(gateway.sum(|c| &c.rss_mismatches), 1);
}
