//! How templates end: with their sessions, with their server, or never having begun.

use dataplane::address::Protocol;
use dataplane::drop_reason::DropReason;
use dataplane::knobs::Knobs;
use dataplane::service::Method;
use dataplane::testing::*;

use crate::common::*;
use crate::persistence::{host, question, seconds, three};

#[test]
fn every_end_of_a_session_is_told_to_its_template() {
    // Given room for two sessions, which are half open.
    let service = three(Protocol::Tcp, Method::Dr);
    let mut gateway = serving(Setup::two_arm().sessions(2), &service);
    for port in [1, 2] {
        gateway.receive(0, &tcp().syn().from(host(20, port)).build());
    }
    assert_eq!(gateway.templates()[0].children, 2);

    // When a third evicts one of them, and all then end by their time-outs.
    gateway.receive(0, &tcp().syn().from(host(20, 3)).build());
    assert_eq!(gateway.sum(|c| &c.sessions_evicted), 1);
    assert_eq!(gateway.templates()[0].children, 2);
    gateway.advance(seconds(61));

    // Then the template has none left.
    assert_eq!(gateway.templates()[0].children, 0);
    assert_eq!(gateway.load(RIP_3), (0, 0));
}

#[test]
fn a_session_that_finds_no_place_leaves_its_template() {
    let service = three(Protocol::Tcp, Method::Dr);
    let mut gateway = serving(Setup::two_arm().sessions(1), &service);
    gateway.receive(0, &tcp().syn().from(host(20, 1)).build());
    gateway.receive(0, &tcp().ack().from(host(20, 1)).build());

    let _ = gateway.forward(&tcp().syn().from(host(20, 2)).build());

    assert_eq!(gateway.drops(DropReason::SessionTableFull), 1);
    assert_eq!(gateway.templates()[0].children, 1);
}

#[test]
fn without_room_for_a_template_a_session_is_scheduled_and_counted() {
    // Given room for one template in each of 64 shards.
    let mut gateway = Setup::two_arm().start();
    gateway.editor.set_template_room(64);
    gateway.serve(&[three(Protocol::Udp, Method::Dr)]);

    for client in 20..=219 {
        let _ = served(&mut gateway, &question(host(client, 1), VIP));
    }

    let refused = gateway.sum(|c| &c.templates_refused);
    let made = gateway.templates().len() as u64;
    assert_eq!(made + refused, 200);
    assert!((40..=64).contains(&made), "{made}");
    assert_eq!(gateway.sessions().len(), 200);
}

#[test]
fn nobody_to_go_to_leaves_no_template() {
    let service = service(Protocol::Udp, VIP).persistent(300);
    let mut gateway = serving(Setup::two_arm(), &service);

    let _ = gateway.forward(&udp().build());

    assert_eq!(gateway.drops(DropReason::NoServer), 1);
    assert!(gateway.templates().is_empty());
}

#[test]
fn templates_end_with_their_server_when_expire_nodest_conn_says_so() {
    // Given clients of three servers, of which one is removed.
    for expire in [false, true] {
        let all = three(Protocol::Udp, Method::Nat);
        let mut gateway = serving(Setup::two_arm(), &all);
        let knobs = Knobs {
            expire_nodest_conn: expire,
            ..Knobs::default()
        };
        gateway.change(|editor| editor.set_knobs(knobs));
        for number in 20..26 {
            gateway.receive(0, &question(host(number, 5_000), VIP));
        }
        let others = service(Protocol::Udp, VIP).persistent(300);
        let others = others.server(RIP_1, Method::Nat).server(RIP_2, Method::Nat);

        // When a second passes.
        gateway.serve(&[others]);
        gateway.advance(seconds(1));

        // Then its sessions and templates are gone, or wait for their time-outs.
        let of_removed = gateway.templates();
        let of_removed = of_removed
            .iter()
            .filter(|template| shown(template.server) == "10.2.0.13:80");
        assert_eq!(of_removed.count(), if expire { 0 } else { 2 }, "{expire}");
        assert_eq!(gateway.persistent(RIP_3), if expire { 0 } else { 2 });
        assert_eq!(gateway.templates().len(), if expire { 4 } else { 6 });
    }
}

#[test]
fn templates_of_a_server_removed_before_expire_nodest_conn_end_with_the_next_removal() {
    let without_last = |servers: &[_]| {
        let all = service(Protocol::Udp, VIP).persistent(300);
        let add = |all: TestService, server: &_| all.server(*server, Method::Nat);
        servers.iter().fold(all, add)
    };
    let mut gateway = serving(Setup::two_arm(), &three(Protocol::Udp, Method::Nat));
    for number in 20..26 {
        gateway.receive(0, &question(host(number, 5_000), VIP));
    }
    gateway.serve(&[without_last(&[RIP_1, RIP_2])]);

    // When it is turned on after that, then nothing ends.
    let knobs = Knobs {
        expire_nodest_conn: true,
        ..Knobs::default()
    };
    gateway.change(|editor| editor.set_knobs(knobs));
    gateway.advance(seconds(1));
    assert_eq!(
        (gateway.templates().len(), gateway.sessions().len()),
        (6, 6)
    );

    // When another server is removed, then those of both end.
    gateway.serve(&[without_last(&[RIP_1])]);
    gateway.advance(seconds(1));
    assert_eq!(
        (gateway.templates().len(), gateway.sessions().len()),
        (2, 2)
    );
}
