//! Packets of sessions that end inside their transport header.

use dataplane::address::Protocol;
use dataplane::drop_reason::DropReason;
use dataplane::io::RxChecksum;
use dataplane::parse::{Frame, parse};
use dataplane::service::Method;
use dataplane::testing::*;

use crate::common::*;

/// A packet of [`CLIENT`] to [`VIP`] with only so many bytes of its transport.
fn cut(protocol: Protocol, len: usize, way: &Hop) -> Vec<u8> {
    match protocol {
        Protocol::Tcp => on(tcp().ack().cut(len), way).build(),
        Protocol::Udp => on(udp().cut(len), way).build(),
        Protocol::Sctp => on(sctp().cut(len), way).build(),
    }
}

/// All of them with the ports.
const CUTS: [(Protocol, usize); 6] = [
    (Protocol::Tcp, 4),
    (Protocol::Tcp, 19),
    (Protocol::Udp, 4),
    (Protocol::Udp, 7),
    (Protocol::Sctp, 4),
    (Protocol::Sctp, 15),
];

#[test]
fn half_a_header_tells_the_ports_and_nothing_else() {
    for (protocol, len) in CUTS {
        let frame = cut(protocol, len, &hop(IN, (CLIENT, VIP), 64));
        let Ok((_, Frame::Ipv4Cut(cut))) = parse(&frame, RxChecksum::Unknown) else {
            unreachable!("{protocol} {len}");
        };
        assert_eq!((cut.key.source, cut.key.destination), (CLIENT, VIP));
        assert_eq!((cut.tcp_flags, cut.sctp_chunk), (0, 0));

        // Of less, or of a first fragment, nothing is believed.
        let less = self::cut(protocol, 3, &hop(IN, (CLIENT, VIP), 64));
        let dropped = parse(&less, RxChecksum::Unknown).map(|_| ());
        assert_eq!(dropped, Err(DropReason::TruncatedTransport));
    }
    let first = tcp().more_fragments().cut(8).build();
    let dropped = parse(&first, RxChecksum::Unknown).map(|_| ());
    assert_eq!(dropped, Err(DropReason::TruncatedTransport));
}

#[test]
fn by_dr_the_server_gets_it_as_it_is_and_it_says_nothing_of_the_state() {
    for (protocol, len) in CUTS {
        let mut gateway = gateway(protocol, Method::Dr);
        let talk = TALKS.iter().find(|talk| talk.protocol == protocol).unwrap();
        gateway.receive(0, &talk.packet(Step::Open, &hop(IN, (CLIENT, VIP), 64)));
        let state = gateway.session().state;
        let before = gateway.traffic(RIP_1);
        let _ = gateway.sent(1);

        let sent = gateway.forward(&cut(protocol, len, &hop(IN, (CLIENT, VIP), 64)));

        let expected = cut(protocol, len, &hop(TO_SERVER, (CLIENT, VIP), 63));
        assert_eq!(sent, [expected], "{protocol} {len}");
        assert_eq!(gateway.session().state, state);
        assert_eq!(gateway.traffic(RIP_1).in_packets, before.in_packets + 1);
    }
}

#[test]
fn by_nat_it_counts_and_goes_on_only_if_its_ends_can_change() {
    for (protocol, len, goes_on) in [
        (Protocol::Tcp, 19, 0),
        (Protocol::Udp, 7, 0),
        (Protocol::Sctp, 11, 0),
        (Protocol::Sctp, 12, 1),
    ] {
        let mut gateway = gateway(protocol, Method::Nat);
        let talk = TALKS.iter().find(|talk| talk.protocol == protocol).unwrap();
        gateway.receive(0, &talk.packet(Step::Open, &hop(IN, (CLIENT, VIP), 64)));
        let _ = gateway.sent(1);
        let mut sent_to = |ethdev, frame: &[u8]| {
            gateway.receive(ethdev, frame);
            gateway.sent(1 - ethdev).len()
        };

        let question = sent_to(0, &cut(protocol, len, &hop(IN, (CLIENT, VIP), 64)));
        let reply = sent_to(
            1,
            &cut(protocol, len, &hop(FROM_SERVER, (RIP_1, CLIENT), 64)),
        );

        assert_eq!((question, reply), (goes_on, goes_on), "{protocol}");
        let counted = gateway.traffic(RIP_1);
        assert_eq!(counted.in_packets, 2);
        // A reply that goes no further never was one.
        assert_eq!(counted.out_packets, goes_on as u64);
    }
}

#[test]
fn what_a_dr_server_sends_by_the_gateway_counts_and_is_linuxs() {
    for (protocol, len) in CUTS {
        let mut gateway = gateway(protocol, Method::Dr);
        let talk = TALKS.iter().find(|talk| talk.protocol == protocol).unwrap();
        gateway.receive(0, &talk.packet(Step::Open, &hop(IN, (CLIENT, VIP), 64)));
        let _ = gateway.moved();
        let before = gateway.session();

        gateway.receive(1, &cut(protocol, len, &hop(FROM_SERVER, (VIP, CLIENT), 64)));

        assert_eq!(gateway.moved(), [("received", 1), ("transit", 1)]);
        let after = gateway.session();
        assert_eq!((after.out_packets, after.state), (1, before.state));
        // What is not known to be an answer does not make the session one of two sides.
        assert_eq!(after.is_one_sided, protocol != Protocol::Udp);
    }
}

#[test]
fn a_strangers_is_linuxs() {
    for (protocol, len) in CUTS {
        let mut gateway = gateway(protocol, Method::Nat);

        let way = hop(FROM_SERVER, (RIP_1, CLIENT), 64);
        gateway.receive(1, &cut(protocol, len, &way));

        assert_eq!(gateway.moved(), [("received", 1), ("transit", 1)]);
    }
}

#[test]
fn it_begins_no_session() {
    for (protocol, len) in CUTS {
        let mut gateway = gateway(protocol, Method::Dr);

        assert!(
            gateway
                .forward(&cut(protocol, len, &hop(IN, (CLIENT, VIP), 64)))
                .is_empty()
        );

        assert_eq!(gateway.drops(DropReason::TruncatedTransport), 1);
        assert_eq!(gateway.sum(|c| &c.sessions_created), 0);
    }
}

#[test]
fn without_service_and_session_it_is_linuxs() {
    let mut gateway = gateway(Protocol::Tcp, Method::Dr);
    let elsewhere = endpoint([10, 1, 0, 100], 81);

    gateway.receive(0, &cut(Protocol::Tcp, 4, &hop(IN, (CLIENT, elsewhere), 64)));

    assert_eq!(gateway.moved().len(), 2);
}
