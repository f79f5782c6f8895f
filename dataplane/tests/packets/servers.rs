//! Servers that come, go and rest, and what becomes of their sessions.

use std::time::Duration;

use dataplane::address::Protocol;
use dataplane::drop_reason::DropReason;
use dataplane::editor::REMEMBERED;
use dataplane::service::Method;
use dataplane::testing::*;

use crate::common::*;

fn question(port: u16) -> Vec<u8> {
    udp().from(client(port)).build()
}

fn at(server: dataplane::address::Endpoint<dataplane::address::V4>, port: u16) -> Vec<u8> {
    let mac = if server == RIP_1 {
        RIP_1_MAC
    } else {
        RIP_2_MAC
    };
    let way = hop((GATEWAY_SERVER_MAC, mac), (client(port), server), 63);
    on(udp(), &way).build()
}

#[test]
fn weight_0_takes_no_new_session_and_keeps_the_old_ones() {
    // Given a session on the only server.
    let weighted = |weight| service(Protocol::Udp, VIP).weighted(RIP_1, Method::Nat, weight);
    let mut gateway = serving(Setup::two_arm(), &weighted(1));
    assert_eq!(gateway.forward(&question(1_111)), [at(RIP_1, 1_111)]);

    // When its weight becomes 0.
    gateway.serve(&[weighted(0)]);

    // Then the session goes on, and a new client is told that there is no server.
    assert_eq!(gateway.forward(&question(1_111)), [at(RIP_1, 1_111)]);
    let _ = gateway.forward(&question(2_222));
    assert_eq!(gateway.drops(DropReason::NoServer), 1);

    // And with a second server, new clients go there.
    gateway.serve(&[weighted(0).nat(RIP_2)]);
    for port in [2_222, 3_333] {
        assert_eq!(gateway.forward(&question(port)), [at(RIP_2, port)]);
    }
    assert_eq!(gateway.load(RIP_1), (0, 1));
    assert_eq!(gateway.load(RIP_2), (0, 2));
}

#[test]
fn a_removed_server_gets_nothing_and_is_revived_with_its_counts() {
    let both = service(Protocol::Udp, VIP).nat(RIP_2).nat(RIP_1);
    let one = service(Protocol::Udp, VIP).nat(RIP_2);
    let mut gateway = serving(Setup::two_arm(), &both);
    assert_eq!(gateway.forward(&question(1_111)), [at(RIP_1, 1_111)]);

    // When the server is removed: its client's packets are dropped, its replies still pass.
    gateway.serve(std::slice::from_ref(&one));
    assert!(gateway.forward(&question(1_111)).is_empty());
    assert_eq!(gateway.drops(DropReason::ServerRemoved), 1);
    let reply = on(udp(), &hop(FROM_SERVER, (RIP_1, client(1_111)), 64)).build();
    let answer = on(udp(), &hop(OUT, (VIP, client(1_111)), 63)).build();
    assert_eq!(gateway.forward_from(1, &reply), [answer]);

    // When it comes back while the session lives, both go on.
    gateway.collect();
    gateway.serve(std::slice::from_ref(&both));
    assert_eq!(gateway.forward(&question(1_111)), [at(RIP_1, 1_111)]);
    let traffic = gateway.traffic(RIP_1);
    // What passed while it was away counts in the session alone.
    assert_eq!(
        (traffic.sessions, traffic.in_packets, traffic.out_packets),
        (1, 2, 0)
    );
    assert_eq!(gateway.load(RIP_1), (0, 1));
}

#[test]
fn a_removed_server_is_forgotten_two_minutes_after_its_last_session() {
    // Given a removed server with a session.
    let both = service(Protocol::Udp, VIP).nat(RIP_2).nat(RIP_1);
    let one = service(Protocol::Udp, VIP).nat(RIP_2);
    let seconds = Duration::from_secs;
    let mut gateway = serving(Setup::two_arm(), &both);
    gateway.receive(0, &question(1_111));
    gateway.serve(std::slice::from_ref(&one));
    gateway.collect();
    assert!(gateway.server(RIP_1).is_some());

    // When its session has ended, it comes back in time, and goes again.
    gateway.advance(seconds(301));
    gateway.collect_at(seconds(301));
    gateway.collect_at(seconds(420));
    gateway.serve(std::slice::from_ref(&both));
    assert_eq!(gateway.traffic(RIP_1).sessions, 1);
    gateway.serve(std::slice::from_ref(&one));

    // Then two minutes later nobody remembers it.
    gateway.collect_at(seconds(421));
    gateway.collect_at(seconds(540));
    assert!(gateway.server(RIP_1).is_some());
    gateway.collect_at(seconds(541));
    assert!(gateway.server(RIP_1).is_none());
    gateway.serve(&[both]);
    assert_eq!(gateway.traffic(RIP_1).sessions, 0);
}

#[test]
fn a_server_stays_as_long_as_a_worker_may_still_choose_it() {
    // Given that the server was removed, and the worker has not heard of it.
    let both = service(Protocol::Udp, VIP).nat(RIP_2).nat(RIP_1);
    let one = service(Protocol::Udp, VIP).nat(RIP_2);
    let mut gateway = serving(Setup::two_arm(), &both);
    let adopted = gateway.editor.state().generation;
    gateway.editor.set_services(&[one.spec()]);
    let _published_but_not_adopted = gateway.editor.snapshot();

    // When control tidies up, and the worker then gives the server a session.
    assert!(!gateway.editor.collect(adopted, REMEMBERED));
    assert_eq!(gateway.forward(&question(1_111)), [at(RIP_1, 1_111)]);

    // Then the session keeps its server's slot, whoever comes meanwhile.
    gateway.change(|_| {});
    gateway.collect();
    gateway.serve(&[one.nat(RIP_3)]);
    assert!(gateway.forward(&question(1_111)).is_empty());
    assert_eq!(gateway.drops(DropReason::ServerRemoved), 1);
    assert_eq!(gateway.load(RIP_1), (0, 1));
    assert_eq!(gateway.load(RIP_3), (0, 0));
}

/// A service that nobody asks for.
fn bystander() -> TestService {
    let vip = endpoint([10, 1, 0, 101], 80);
    service(Protocol::Tcp, vip).dr(RIP_3)
}

#[test]
fn without_any_service_linux_has_the_packets_until_one_comes_back() {
    // Given a NAT session.
    let serves = service(Protocol::Udp, VIP).nat(RIP_1);
    let mut gateway = serving(Setup::two_arm(), &serves);
    gateway.receive(0, &question(1_111));
    let reply = on(udp(), &hop(FROM_SERVER, (RIP_1, client(1_111)), 64)).build();
    let answer = on(udp(), &hop(OUT, (VIP, client(1_111)), 63)).build();
    let error = icmp_error(3, 1).about(&answer).build();
    let _ = (gateway.moved(), gateway.sent(1));

    // When the last service goes.
    gateway.serve(&[]);
    gateway.receive(0, &question(1_111));
    gateway.receive(0, &error);
    gateway.receive(1, &reply);

    // Then nothing is balanced, not even answers and errors.
    assert_eq!(gateway.sent(0).len() + gateway.sent(1).len(), 0);
    let moved = gateway.moved();
    assert_eq!(moved[0], ("received", 3));
    assert_eq!(gateway.load(RIP_1), (0, 1));

    // And with any service sessions go on, this one with its server gone.
    gateway.serve(&[bystander()]);
    assert_eq!(gateway.forward_from(1, &reply), [answer]);
    gateway.serve(&[serves]);
    assert_eq!(gateway.forward(&question(1_111)), [at(RIP_1, 1_111)]);
}

#[test]
fn a_removed_service_leaves_its_sessions_replies() {
    let mut gateway = gateway(Protocol::Udp, Method::Nat);
    gateway.receive(0, &question(1_111));
    assert_eq!(gateway.sent(1).len(), 1);

    gateway.serve(&[bystander()]);

    assert!(gateway.forward(&question(1_111)).is_empty());
    assert_eq!(gateway.drops(DropReason::ServerRemoved), 1);
    let reply = on(udp(), &hop(FROM_SERVER, (RIP_1, client(1_111)), 64));
    let answer = on(udp(), &hop(OUT, (VIP, client(1_111)), 63));
    assert_eq!(gateway.forward_from(1, &reply.build()), [answer.build()]);
}

#[test]
fn other_changes_of_the_configuration_keep_sessions() {
    let service_1 = service(Protocol::Udp, VIP).nat(RIP_1);
    let mut gateway = serving(Setup::two_arm(), &service_1);
    gateway.receive(0, &question(1_111));
    assert_eq!(gateway.sent(1).len(), 1);

    let other = endpoint([10, 1, 0, 101], 53);
    let changed = service_1.clone().nat(RIP_2).nat(RIP_3);
    gateway.serve(&[changed, service(Protocol::Udp, other).dr(RIP_2)]);
    gateway.serve(&[service_1.nat(RIP_2)]);
    gateway.change(|editor| {
        let mut timeouts = dataplane::session::Timeouts::default();
        timeouts.set_udp(1_000);
        editor.set_timeouts(timeouts);
    });

    assert_eq!(gateway.forward(&question(1_111)), [at(RIP_1, 1_111)]);
    assert_eq!(gateway.session().expires_in_ticks, 1_000 * 256);
}

#[test]
fn thresholds_keep_a_server_from_new_sessions() {
    let mut spec = service(Protocol::Udp, VIP).nat(RIP_1).spec();
    spec.servers[0].upper_threshold = 2;
    let mut gateway = Setup::two_arm().start();
    gateway.change(|editor| editor.set_services(&[spec]));

    for port in [1_111, 2_222, 3_333] {
        let _ = gateway.forward(&question(port));
    }

    assert_eq!(gateway.load(RIP_1), (0, 2));
    assert_eq!(gateway.drops(DropReason::NoServer), 1);
}
