//! Answers in the VIP's name that cannot go on: the error is for the VIP, and so for the server
//! that has the session.

use dataplane::address::{Endpoint, Protocol, V4};
use dataplane::drop_reason::DropReason;
use dataplane::io::memory::MemoryPacket;
use dataplane::knobs::Knobs;
use dataplane::service::Method;
use dataplane::testing::*;

use crate::common::*;
use crate::related::{SERVER, as_quoted, with_session, with_session_on};

const VIP_ITSELF: Endpoint<V4> = Endpoint::new(VIP.addr, 0);

/// An answer in the VIP's name, whose time to live ends here.
fn dying_answer() -> Builder<Udp> {
    on(udp(), &hop(FROM_SERVER, (VIP, CLIENT), 1)).payload(b"answer")
}

/// The gateway's error to its own VIP, on its way to the server.
fn told(error: Builder<Icmp>, to: Endpoint<V4>) -> Builder<Icmp> {
    let way = hop(TO_SERVER, (VIP_ITSELF, to), 63);
    on(error, &way).tos(0xc0)
}

#[test]
fn the_server_that_has_the_session_is_told_whatever_its_method() {
    let answer = dying_answer().build();
    let by_nat = on(udp(), &hop(OUT, (SERVER, CLIENT), 1)).payload(b"answer");
    let by_nat = as_quoted(Protocol::Udp, by_nat.build(), &answer);
    let as_it_is = told(icmp_error(11, 0).about(&answer), VIP_ITSELF);
    let ends = (Endpoint::new(DIP_SERVER_SIDE, 0), RIP_1);
    let outer = ip(4).payload(&as_it_is.clone().id(1).build()[14..]).id(2);
    for (method, expected) in [
        (Method::Dr, as_it_is.clone().id(0).build()),
        (
            Method::Nat,
            told(icmp_error(11, 0).about(&by_nat), SERVER).id(0).build(),
        ),
        (
            Method::Tun,
            on(outer.tos(0xc0), &hop(TO_SERVER, ends, 63)).build(),
        ),
    ] {
        let mut gateway = with_session(&TALKS[1], method);
        let before = gateway.session();

        let sent = gateway.forward_from(1, &answer);

        assert_eq!(sent, [expected], "{method}");
        let moved = [
            ("received", 1),
            ("transmitted", 1),
            ("hits", 1),
            ("icmp_errors", 1),
            ("ttl_expired", 1),
        ];
        assert_eq!(gateway.moved(), moved, "{method}");
        // It is the client's packet as far as the session knows, and no answer.
        let after = gateway.session();
        assert_eq!(after.in_packets, before.in_packets + 1);
        assert_eq!((after.out_packets, after.state), (0, before.state));
    }
}

#[test]
fn an_answer_too_big_for_its_clients_side_is_quoted_as_it_came() {
    let setup = Setup::two_arm().mtu(CLIENT_SIDE, 1_000);
    let mut gateway = with_session_on(setup, &TALKS[1], Method::Dr);
    let answer = on(udp(), &hop(FROM_SERVER, (VIP, CLIENT), 64)).payload_len(1_100);

    let large = answer.clone().dont_fragment().build();
    let sent = gateway.forward_from(1, &large);

    let error = icmp_error(3, 4).mtu(1_000).about(&large);
    assert_eq!(sent, [told(error, VIP_ITSELF).id(0).build()]);
    assert_eq!(gateway.drops(DropReason::TooBig), 1);

    // One that may be fragmented is Linux's to send on.
    let answer = answer.build();
    assert!(gateway.forward_from(1, &answer).is_empty());
    assert_eq!(gateway.punted(SERVER_SIDE), [answer]);
    assert_eq!(gateway.session().out_packets, 1);
}

#[test]
fn nobody_is_told_for_whom_there_is_no_session_or_what_comes_from_elsewhere() {
    let mut gateway = with_session(&TALKS[1], Method::Dr);
    let strangers = dying_answer().to(client(1)).build();
    assert!(gateway.forward_from(1, &strangers).is_empty());
    assert_eq!(gateway.punted(SERVER_SIDE), [strangers]);

    let from_outside = on(udp(), &hop(IN, (VIP, CLIENT), 1)).build();
    assert!(gateway.forward(&from_outside).is_empty());
    assert_eq!(gateway.punted(CLIENT_SIDE), [from_outside]);
    assert_eq!(gateway.sum(|c| &c.icmp_errors), 0);
}

#[test]
fn the_owner_of_the_session_is_found_from_any_worker() {
    let service = service(Protocol::Udp, VIP).dr(RIP_1);
    for setup in [Setup::two_arm().workers(3), Setup::two_arm().rss_workers(3)] {
        let mut gateway = serving(setup, &service);
        gateway.receive(0, &udp().build());
        let _ = gateway.sent(1);
        for at in 0..3 {
            gateway.receive_at(at, 1, MemoryPacket::new(&dying_answer().build()));

            assert_eq!(gateway.sent(1).len(), 1, "{at}");
        }
    }
}

#[test]
fn an_unknown_answer_begins_a_session_if_errors_may() {
    let mut gateway = serving(Setup::two_arm(), &service(Protocol::Udp, VIP).dr(RIP_1));
    gateway.change(|editor| {
        editor.set_knobs(Knobs {
            schedule_icmp: true,
            ..Knobs::default()
        });
    });

    let sent = gateway.forward_from(1, &dying_answer().build());

    assert_eq!(taker(&sent[0]), RIP_1);
    assert_eq!(gateway.session().out_packets, 0);
    assert_eq!(gateway.load(RIP_1), (0, 1));
}
