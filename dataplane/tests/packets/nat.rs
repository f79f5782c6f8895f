//! NAT: the destination becomes the server's, replies become the VIP's.

use dataplane::address::Protocol;
use dataplane::counters::TrafficTotals;
use dataplane::service::Method;
use dataplane::testing::*;

use crate::common::*;

#[test]
fn every_transport_is_rewritten_there_and_back() {
    for talk in TALKS {
        let mut gateway = gateway(talk.protocol, Method::Nat);
        let arriving = hop(IN, (CLIENT, VIP), 64);
        let to_server = hop(TO_SERVER, (CLIENT, RIP_1), 63);
        let from_server = hop(FROM_SERVER, (RIP_1, CLIENT), 64);
        let leaving = hop(OUT, (VIP, CLIENT), 63);

        let question = gateway.forward(&talk.packet(Step::Open, &arriving));
        assert_eq!(question, [talk.packet(Step::Open, &to_server)]);
        let moved = gateway.moved();
        assert_eq!(moved, [("received", 1), ("transmitted", 1), ("created", 1)]);

        let answer = gateway.forward_from(1, &talk.packet(Step::Answer, &from_server));
        assert_eq!(answer, [talk.packet(Step::Answer, &leaving)]);
        let moved = gateway.moved();
        assert_eq!(moved, [("received", 1), ("transmitted", 1), ("hits", 1)]);

        let more = gateway.forward(&talk.packet(Step::More, &arriving));
        assert_eq!(more, [talk.packet(Step::More, &to_server)]);
        let moved = gateway.moved();
        assert_eq!(moved, [("received", 1), ("transmitted", 1), ("hits", 1)]);
    }
}

#[test]
fn ports_are_mapped_there_and_back() {
    let server = endpoint([10, 2, 0, 11], 8_080);
    for talk in TALKS {
        let service = service(talk.protocol, VIP).nat(server);
        let mut gateway = serving(Setup::two_arm(), &service);

        let open = talk.packet(Step::Open, &hop(IN, (CLIENT, VIP), 64));
        let question = gateway.forward(&open);
        let reply = talk.packet(Step::Answer, &hop(FROM_SERVER, (server, CLIENT), 64));
        let answer = gateway.forward_from(1, &reply);

        let to_server = hop(TO_SERVER, (CLIENT, server), 63);
        let leaving = hop(OUT, (VIP, CLIENT), 63);
        assert_eq!(question, [talk.packet(Step::Open, &to_server)]);
        assert_eq!(answer, [talk.packet(Step::Answer, &leaving)]);
    }
}

#[test]
fn a_client_port_used_again_for_another_vip_gets_its_answers_from_there() {
    // Given a connection that was closed, but whose session is still there.
    let other_vip = endpoint([10, 1, 0, 100], 81);
    let server = endpoint([10, 2, 0, 11], 8_080);
    let mut gateway = Setup::two_arm().start();
    gateway.serve(&[
        service(Protocol::Tcp, VIP).nat(server),
        service(Protocol::Tcp, other_vip).nat(server),
    ]);
    for (ethdev, packet) in [
        (0, tcp().syn().from(CLIENT).to(VIP)),
        (1, tcp().syn_ack().from(server).to(CLIENT)),
        (0, tcp().fin().from(CLIENT).to(VIP)),
        (1, tcp().fin().from(server).to(CLIENT)),
    ] {
        let mac = [GATEWAY_MAC, GATEWAY_SERVER_MAC][usize::from(ethdev)];
        let _ = gateway.forward_from(ethdev, &packet.eth_to(mac).build());
    }

    // When the client uses the port for another VIP of the same server.
    let _ = gateway.forward(&tcp().syn().from(CLIENT).to(other_vip).build());
    let answer = tcp().syn_ack().from(server).to(CLIENT);
    let answer = gateway.forward_from(1, &answer.eth_to(GATEWAY_SERVER_MAC).build());

    // Then the server's answer comes from that VIP.
    let [answer] = &answer[..] else {
        panic!("{answer:?}");
    };
    assert_eq!(answer[34..36], 81_u16.to_be_bytes());
}

#[test]
fn both_directions_are_counted_for_the_server() {
    let mut gateway = gateway(Protocol::Udp, Method::Nat);

    gateway.receive(0, &udp().payload(b"12345678").build());
    let reply = udp().from(RIP_1).to(CLIENT).payload(b"1234");
    gateway.receive(1, &reply.eth_to(GATEWAY_SERVER_MAC).build());

    let expected = TrafficTotals {
        sessions: 1,
        in_packets: 1,
        in_bytes: 20 + 8 + 8,
        out_packets: 1,
        out_bytes: 20 + 8 + 4,
    };
    assert_eq!(gateway.traffic(RIP_1), expected);
    let session = gateway.session();
    assert_eq!((session.in_bytes, session.out_bytes), (36, 32));
}

#[test]
fn a_udp_packet_without_checksum_gets_one() {
    let mut gateway = gateway(Protocol::Udp, Method::Nat);

    let sent = gateway.forward(&udp().no_checksum().payload(b"question").build());

    let leaving = hop(TO_SERVER, (CLIENT, RIP_1), 63);
    let expected = on(udp().payload(b"question"), &leaving);
    assert_eq!(sent, [expected.build()]);
}

#[test]
fn a_wrong_transport_checksum_stays_wrong_by_the_same_bits() {
    let mut gateway = gateway(Protocol::Tcp, Method::Nat);
    let syn = tcp().syn().bad_checksum();

    let sent = gateway.forward(&syn.build());

    // Wrong on the way in by 0x55 in its high byte, and on the way out too.
    let [sent] = <[Vec<u8>; 1]>::try_from(sent).unwrap();
    let right = on(tcp().syn(), &hop(TO_SERVER, (CLIENT, RIP_1), 63)).build();
    let sum = |frame: &[u8]| u16::from_be_bytes([frame[50], frame[51]]);
    let (sent_sum, right_sum) = (sum(&sent), sum(&right));
    assert_ne!(sent_sum, right_sum);
    let arrived = tcp().syn();
    let off_in = ones_difference(sum(&syn.build()), sum(&arrived.build()));
    assert_eq!(ones_difference(sent_sum, right_sum), off_in);
}

/// `a - b` in the arithmetic of Internet checksums.
fn ones_difference(a: u16, b: u16) -> u16 {
    let (sum, carry) = a.overflowing_add(!b);
    sum + u16::from(carry)
}

#[test]
fn with_one_arm_both_directions_pass_the_same_ethdev() {
    let service = service(Protocol::Tcp, VIP).nat(RIP_1);
    let mut gateway = serving(Setup::one_arm(), &service);

    gateway.receive(0, &tcp().syn().build());
    let to_server = hop((GATEWAY_MAC, RIP_1_MAC), (CLIENT, RIP_1), 63);
    assert_eq!(gateway.sent(0), [on(tcp().syn(), &to_server).build()]);

    let from_server = hop((RIP_1_MAC, GATEWAY_MAC), (RIP_1, CLIENT), 64);
    gateway.receive(0, &on(tcp().syn_ack(), &from_server).build());
    let leaving = hop(OUT, (VIP, CLIENT), 63);
    assert_eq!(gateway.sent(0), [on(tcp().syn_ack(), &leaving).build()]);
}

#[test]
fn ip_options_are_kept_there_and_back() {
    let mut gateway = gateway(Protocol::Tcp, Method::Nat);
    let alert = [148, 4, 0, 0];
    let syn = tcp().syn().ip_options(&alert);
    let syn_ack = tcp().syn_ack().ip_options(&alert);

    let question = gateway.forward(&syn.build());
    let reply = on(syn_ack.clone(), &hop(FROM_SERVER, (RIP_1, CLIENT), 64));
    let answer = gateway.forward_from(1, &reply.build());

    let to_server = hop(TO_SERVER, (CLIENT, RIP_1), 63);
    assert_eq!(question, [on(syn, &to_server).build()]);
    assert_eq!(answer, [on(syn_ack, &hop(OUT, (VIP, CLIENT), 63)).build()]);
}

#[test]
fn ethernet_padding_is_not_forwarded() {
    let mut gateway = gateway(Protocol::Tcp, Method::Nat);

    let sent = gateway.forward(&tcp().syn().padded().build());

    let expected = on(tcp().syn(), &hop(TO_SERVER, (CLIENT, RIP_1), 63)).build();
    assert_eq!(expected.len(), 54);
    assert_eq!(sent, [expected]);
}
