//! 802.1Q: a frame leaves with the tag of the interface it leaves by, whatever it came with.

use dataplane::address::{Endpoint, Protocol};
use dataplane::drop_reason::DropReason;
use dataplane::service::Method;
use dataplane::testing::*;

use crate::common::*;

const WIRINGS: [(Option<u16>, Option<u16>); 4] = [
    (None, None),
    (Some(10), None),
    (None, Some(20)),
    (Some(10), Some(20)),
];

#[test]
fn nat_packets_change_their_tag_in_both_directions() {
    for (client_vlan, server_vlan) in WIRINGS {
        let service = service(Protocol::Tcp, VIP).nat(RIP_1);
        let mut gateway = serving(Setup::vlans(client_vlan, server_vlan), &service);

        let syn = tagged(tcp().syn(), client_vlan).padded().build();
        let question = gateway.forward(&syn);
        let from_server = hop(FROM_SERVER, (RIP_1, CLIENT), 64);
        let syn_ack = on(tagged(tcp().syn_ack(), server_vlan), &from_server);
        let answer = gateway.forward_from(1, &syn_ack.build());

        let to_server = hop(TO_SERVER, (CLIENT, RIP_1), 63);
        let expected = on(tagged(tcp().syn(), server_vlan), &to_server);
        assert_eq!(question, [expected.build()]);
        let leaving = hop(OUT, (VIP, CLIENT), 63);
        let expected = on(tagged(tcp().syn_ack(), client_vlan), &leaving);
        assert_eq!(answer, [expected.build()]);
    }
}

#[test]
fn a_tunnel_has_its_tag_in_front_of_the_outer_header() {
    for (client_vlan, server_vlan) in WIRINGS {
        let service = service(Protocol::Udp, VIP).tun(RIP_1);
        let mut gateway = serving(Setup::vlans(client_vlan, server_vlan), &service);
        let question = udp().dont_fragment().payload(b"question");

        let sent = gateway.forward(&tagged(question.clone(), client_vlan).build());

        let inner = question.ttl(63).build();
        let ends = (Endpoint::new(DIP_SERVER_SIDE, 0), RIP_1);
        let outer = ip(4).dont_fragment().id(0).payload(&inner[14..]);
        let outer = on(tagged(outer, server_vlan), &hop(TO_SERVER, ends, 63));
        assert_eq!(sent, [outer.build()]);
    }
}

#[test]
fn two_vlans_of_one_ethdev_are_two_interfaces() {
    let service = service(Protocol::Tcp, VIP).fullnat(RIP_1);
    let mut gateway = serving(Setup::on_a_stick(10, 20), &service);

    gateway.receive(0, &tcp().syn().vlan(10).build());

    let to_server = hop((GATEWAY_MAC, RIP_1_MAC), (LIP, RIP_1), 63);
    let expected = on(tcp().syn().vlan(20), &to_server);
    assert_eq!(gateway.sent(0), [expected.build()]);

    let from_server = hop((RIP_1_MAC, GATEWAY_MAC), (RIP_1, LIP), 64);
    gateway.receive(0, &on(tcp().syn_ack().vlan(20), &from_server).build());

    let expected = on(tcp().syn_ack().vlan(10), &hop(OUT, (VIP, CLIENT), 63));
    assert_eq!(gateway.sent(0), [expected.build()]);
}

#[test]
fn a_priority_tag_is_no_vlan() {
    let mut gateway = gateway(Protocol::Tcp, Method::Dr);

    let sent = gateway.forward(&tcp().syn().vlan(0).build());

    let expected = on(tcp().syn(), &hop(TO_SERVER, (CLIENT, VIP), 63));
    assert_eq!(sent, [expected.build()]);
}

#[test]
fn a_tag_without_a_vlan_and_a_vlan_without_its_tag_are_dropped() {
    let service = service(Protocol::Tcp, VIP).dr(RIP_1);
    let mut gateway = serving(Setup::vlans(Some(10), None), &service);

    for frame in [tcp().syn().vlan(11).build(), tcp().syn().build()] {
        assert_eq!(gateway.forward(&frame), Vec::<Vec<u8>>::new());
    }

    assert_eq!(gateway.drops(DropReason::UnknownVlan), 2);
}

#[test]
fn linux_gets_frames_without_their_tag_and_its_own_leave_with_it() {
    let service = service(Protocol::Tcp, VIP).dr(RIP_1);
    let mut gateway = serving(Setup::vlans(Some(10), None), &service);
    let dip = Endpoint::new(DIP_CLIENT_SIDE, 0);

    gateway.receive(0, &icmp_echo().to(dip).vlan(10).build());
    assert_eq!(gateway.punted(CLIENT_SIDE), [icmp_echo().to(dip).build()]);

    let reply = on(icmp_echo().echo_reply(), &hop(OUT, (dip, CLIENT), 64));
    assert!(gateway.inject(CLIENT_SIDE, &reply.build()));
    assert_eq!(gateway.sent(0), [reply.vlan(10).build()]);
}
