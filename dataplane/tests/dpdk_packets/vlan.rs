//! 802.1Q on real ethdevs, which neither add nor remove tags.

use dataplane::address::{Endpoint, Protocol};
use dataplane::testing::*;

use crate::case::{Case, tunnel};
use crate::gateway::PcapGateway;

const WIRINGS: [(Option<u16>, Option<u16>); 3] =
    [(Some(10), None), (None, Some(20)), (Some(10), Some(20))];

#[test]
fn nat_packets_change_their_tag_in_both_directions() {
    for (client_vlan, server_vlan) in WIRINGS {
        let syn = |vlan, way| on(tagged(tcp().syn(), vlan), &way).build();
        let syn_ack = |vlan, way| on(tagged(tcp().syn_ack(), vlan), &way).build();
        let case = Case {
            setup: Setup::vlans(client_vlan, server_vlan),
            service: service(Protocol::Tcp, VIP).nat(RIP_1),
            arriving: vec![
                (0, syn(client_vlan, hop(IN, (CLIENT, VIP), 64))),
                (
                    1,
                    syn_ack(server_vlan, hop(FROM_SERVER, (RIP_1, CLIENT), 64)),
                ),
            ],
            leaving: vec![
                (1, syn(server_vlan, hop(TO_SERVER, (CLIENT, RIP_1), 63))),
                (0, syn_ack(client_vlan, hop(OUT, (VIP, CLIENT), 63))),
            ],
        };

        case.check(&format!("{client_vlan:?} {server_vlan:?}"));
    }
}

#[test]
fn a_tunnel_has_its_tag_in_front_of_the_outer_header() {
    for (client_vlan, server_vlan) in WIRINGS {
        let question = udp().dont_fragment().payload(b"question");
        let outer = tunnel(&question.clone().ttl(63).build()).dont_fragment();
        let case = Case {
            setup: Setup::vlans(client_vlan, server_vlan),
            service: service(Protocol::Udp, VIP).tun(RIP_1),
            arriving: vec![(0, tagged(question, client_vlan).build())],
            leaving: vec![(1, tagged(outer, server_vlan).build())],
        };

        case.check(&format!("{client_vlan:?} {server_vlan:?}"));
    }
}

#[test]
fn two_vlans_of_one_ethdev_are_two_interfaces() {
    let to_server = hop((GATEWAY_MAC, RIP_1_MAC), (LIP, RIP_1), 63);
    let from_server = hop((RIP_1_MAC, GATEWAY_MAC), (RIP_1, LIP), 64);
    let case = Case {
        setup: Setup::on_a_stick(10, 20),
        service: service(Protocol::Tcp, VIP).fullnat(RIP_1),
        arriving: vec![
            (0, tcp().syn().vlan(10).build()),
            (0, on(tcp().syn_ack().vlan(20), &from_server).build()),
        ],
        leaving: vec![
            (0, on(tcp().syn().vlan(20), &to_server).build()),
            (
                0,
                on(tcp().syn_ack().vlan(10), &hop(OUT, (VIP, CLIENT), 63)).build(),
            ),
        ],
    };

    case.check("on a stick");
}

#[test]
fn linux_gets_frames_without_their_tag_and_its_own_leave_with_it() {
    let dip = Endpoint::new(DIP_CLIENT_SIDE, 0);
    let services = [service(Protocol::Tcp, VIP).dr(RIP_1)];
    let mut gateway = PcapGateway::start(Setup::vlans(Some(10), None), &services);
    let ping = icmp_echo().to(dip);
    let arp = arp_request(CLIENT.addr, VIP.addr);
    let reply = on(icmp_echo().echo_reply(), &hop(OUT, (dip, CLIENT), 64));
    gateway.put(0, &ping.clone().vlan(10).build());
    // ARP on a VLAN: its tag stands between the MACs and the ethertype.
    gateway.put(0, &[&arp[..12], &[0x81, 0, 0, 10], &arp[12..]].concat());

    gateway.settle();
    let punted = gateway.punted(CLIENT_SIDE);
    assert!(gateway.inject(CLIENT_SIDE, &reply.build()));
    gateway.settle();

    assert_eq!(punted, [arp, gateway.addressed(&ping.build())]);
    assert_eq!(
        gateway.moved(),
        [
            ("received", 2),
            ("transmitted", 1),
            ("injected", 1),
            ("control", 1),
            ("host", 1)
        ]
    );
    let reply = gateway.addressed(&reply.vlan(10).build());
    assert_eq!(gateway.stop(), [vec![reply], vec![]]);
}
