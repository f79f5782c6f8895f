//! Sessions that begin with an error about an answer of theirs (`schedule_icmp`).

use std::time::Duration;

use dataplane::address::Protocol;
use dataplane::drop_reason::DropReason;
use dataplane::knobs::Knobs;
use dataplane::service::{Method, SchedulerKind};
use dataplane::session::State;
use dataplane::testing::*;

use crate::common::*;

/// A gateway that lets errors begin sessions of this service.
fn scheduling(service: &TestService) -> TestGateway {
    let mut gateway = serving(Setup::two_arm(), service);
    gateway.change(|editor| {
        editor.set_knobs(Knobs {
            schedule_icmp: true,
            ..Knobs::default()
        });
    });
    let _ = gateway.moved();
    gateway
}

/// What a client says of an answer that it got from the VIP at its port.
fn about_answer(port: u16) -> Builder<Icmp> {
    let answer = tcp().from(VIP).to(client(port)).payload(b"200 OK").build();
    icmp_error(3, 1).about(&answer)
}

#[test]
fn an_error_about_an_unknown_answer_begins_a_session_of_three_seconds() {
    for method in [Method::Dr, Method::Nat, Method::Tun] {
        let mut gateway = scheduling(&service(Protocol::Tcp, VIP).server(RIP_1, method));

        let sent = gateway.forward(&about_answer(1_111).build());

        assert_eq!(sent.len(), 1, "{method}");
        assert_eq!(taker(&sent[0]), RIP_1);
        let records = gateway.sessions();
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].state, State::None);
        assert_eq!(records[0].client.port, 1_111);
        let counted = gateway.traffic(RIP_1);
        assert_eq!((counted.sessions, counted.in_packets), (1, 1));

        // Another error does not make it live longer, nor begin another.
        gateway.advance(Duration::from_secs(2));
        assert_eq!(gateway.forward(&about_answer(1_111).build()).len(), 1);
        assert_eq!(gateway.load(RIP_1), (0, 1));
        gateway.advance(Duration::from_secs(2));
        assert_eq!(gateway.load(RIP_1), (0, 0), "{method}");
    }
}

#[test]
fn a_packet_that_follows_makes_it_a_session_like_any_other() {
    let mut gateway = scheduling(&service(Protocol::Tcp, VIP).nat(RIP_1));
    gateway.receive(0, &about_answer(1_111).build());
    let _ = gateway.moved();

    assert_eq!(
        gateway
            .forward(&tcp().from(client(1_111)).ack().build())
            .len(),
        2
    );

    assert_eq!(gateway.load(RIP_1), (1, 1));
    assert_eq!(gateway.sessions()[0].state, State::Established);
}

#[test]
fn what_the_checksum_says_matters_to_the_error_and_not_to_the_session() {
    let mut gateway = scheduling(&service(Protocol::Tcp, VIP).nat(RIP_1));

    let sent = gateway.forward(&about_answer(1_111).bad_checksum().build());

    assert!(sent.is_empty());
    assert_eq!(gateway.drops(DropReason::BadIcmpChecksum), 1);
    assert_eq!(gateway.load(RIP_1), (0, 1));
}

#[test]
fn without_a_server_the_error_is_dropped_in_silence() {
    let mut gateway = scheduling(&service(Protocol::Tcp, VIP).weighted(RIP_1, Method::Nat, 0));

    assert!(gateway.forward(&about_answer(1_111).build()).is_empty());

    assert_eq!(gateway.moved(), [("received", 1), ("no_server", 1)]);
}

#[test]
fn schedulers_that_go_by_the_vip_go_by_the_client() {
    // Given a scheduler that gives all clients of a VIP the same server.
    let service = service(Protocol::Tcp, VIP).scheduler(SchedulerKind::Dh);
    let mut gateway = scheduling(&service.dr(RIP_1).dr(RIP_2).dr(RIP_3));
    let clients = (1..=9).map(|last| endpoint([192, 0, 2, last], 1_111));

    let mut takers = clients.map(|client| {
        let answer = tcp().from(VIP).to(client).build();
        let sent = gateway.forward(&icmp_error(3, 1).about(&answer).build());
        taker(&sent[0])
    });

    let first = takers.next();
    assert!(takers.any(|taker| Some(taker) != first));
}

#[test]
fn what_begins_no_session_is_linuxs() {
    let request = tcp().from(client(1_111)).to(VIP).build();
    let elsewhere = tcp().from(endpoint([10, 1, 0, 100], 81)).to(client(1_111));
    let fullnat = service(Protocol::Tcp, VIP).fullnat(RIP_1);
    let nat = service(Protocol::Tcp, VIP).nat(RIP_1);
    for (service, error) in [
        // From FTP's port, about a request, about a port without a service, by FULLNAT.
        (&nat, about_answer(20)),
        (&nat, icmp_error(3, 1).about(&request)),
        (&nat, icmp_error(3, 1).about(&elsewhere.build())),
        (&fullnat, about_answer(1_111)),
    ] {
        let mut gateway = scheduling(service);

        gateway.receive(0, &error.build());

        assert_eq!(gateway.moved().len(), 2);
        assert_eq!(gateway.sum(|c| &c.sessions_created), 0);
    }
}

#[test]
fn by_default_no_error_begins_a_session() {
    let mut gateway = serving(Setup::two_arm(), &service(Protocol::Tcp, VIP).nat(RIP_1));

    assert!(gateway.forward(&about_answer(1_111).build()).is_empty());

    assert_eq!(gateway.sum(|c| &c.sessions_created), 0);
}
