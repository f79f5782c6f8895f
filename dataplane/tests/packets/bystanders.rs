//! Packets that are right but not for a service: each has a fate, told in `docs/packets.md`.

use dataplane::address::{Endpoint, MacAddr, V4};
use dataplane::drop_reason::DropReason;
use dataplane::punt::PuntClass;
use dataplane::testing::*;

use crate::common::*;
use crate::fate::{dropped, linux, run};

#[test]
fn groups_and_routing_protocols() {
    let group = |protocol, last: u8| {
        let to = endpoint([224, 0, 0, last], 0);
        let mac = MacAddr([1, 0, 0x5e, 0, 0, last]);
        ip(protocol)
            .to(to)
            .eth_to(mac)
            .ttl(1)
            .payload(&[0; 20])
            .build()
    };
    let broadcast = |to| udp().to(to).eth_to(MacAddr::BROADCAST);
    let dhcp = broadcast(endpoint([255; 4], 67)).from(endpoint([0; 4], 68));
    run(&[
        linux("VRRP to its group", group(112, 18), PuntClass::Control),
        linux("OSPF to its group", group(89, 5), PuntClass::Control),
        linux("PIM to its group", group(103, 13), PuntClass::Control),
        linux("IGMP", group(2, 22), PuntClass::Control),
        linux(
            "Any other IPv4 in a broadcast or multicast frame, a VIP's too",
            broadcast(VIP).build(),
            PuntClass::Host,
        ),
        linux(
            "A broadcast of a host without an address (DHCP)",
            dhcp.build(),
            PuntClass::Host,
        ),
    ]);
}

#[test]
fn packets_for_the_box_itself() {
    let dip = |port| Endpoint::new(DIP_CLIENT_SIDE, port);
    let about = on(udp(), &hop(TO_SERVER, (CLIENT, RIP_2), 63)).build();
    let far = |port| endpoint([203, 0, 113, 9], port);
    run(&[
        linux(
            "BGP of a neighbour to the gateway's own address, from either side",
            tcp().syn().to(dip(179)).build(),
            PuntClass::Control,
        ),
        linux(
            "BGP with a time to live of 255, which no router has sent on",
            tcp().syn().from(far(179)).to(dip(40_000)).ttl(255).build(),
            PuntClass::Control,
        ),
        linux(
            "BFD to the gateway's own address, with a time to live of 255",
            udp().from(far(49_152)).to(dip(3_784)).ttl(255).build(),
            PuntClass::Control,
        ),
        linux(
            "BFD with less, which is none (RFC 5881 §5)",
            udp().to(dip(3_784)).ttl(254).build(),
            PuntClass::Host,
        ),
        linux(
            "BGP, and BFD over several hops, of anybody else",
            udp().from(far(49_152)).to(dip(4_784)).build(),
            PuntClass::Multihop,
        ),
        linux(
            "OSPF, PIM or VRRP to the gateway's own address, of anybody else",
            ip(89).from(far(0)).to(dip(0)).payload(&[0; 20]).build(),
            PuntClass::Multihop,
        ),
        linux(
            "DHCP to the gateway's own address, of a neighbour",
            udp().to(dip(68)).build(),
            PuntClass::Control,
        ),
        linux(
            "What comes from a real server or a VIP to the gateway's own address: answers to checks",
            tcp().syn_ack().from(RIP_1).to(dip(40_000)).build(),
            PuntClass::Check,
        ),
        linux(
            "Any other packet to the gateway's own address",
            tcp().syn().to(dip(22)).build(),
            PuntClass::Host,
        ),
        linux(
            "ICMP to a VIP, a local or an own address",
            icmp_echo().build(),
            PuntClass::Host,
        ),
        linux(
            "An ICMP error about a packet of no session",
            icmp_error(3, 4).about(&about).build(),
            PuntClass::Host,
        ),
        linux(
            "Another protocol (GRE, ESP …) to a VIP, a local or an own address",
            ip(47).payload(&[0; 8]).build(),
            PuntClass::Host,
        ),
    ]);
}

#[test]
fn packets_without_a_session() {
    let vip = |port| Endpoint::new(VIP.addr, port);
    let elsewhere = Endpoint::new(V4::from([192, 0, 2, 1]), 80);
    run(&[
        linux(
            "To a VIP, but to no service there (`unserved = \"linux\"`)",
            tcp().syn().to(vip(81)).build(),
            PuntClass::Unserved,
        ),
        linux(
            "To a service, but nothing that opens a session: TCP without SYN, SCTP without INIT",
            tcp().ack().build(),
            PuntClass::Unserved,
        ),
        linux(
            "To a service, from source port 20 (FTP data)",
            tcp().syn().from(client(20)).build(),
            PuntClass::Unserved,
        ),
        dropped(
            "TCP, UDP or SCTP to a local address, of no session",
            tcp().syn_ack().from(RIP_1).to(LIP).build(),
            DropReason::NoSessionForLocalAddress,
        ),
        linux(
            "From a NAT server, of no session",
            udp().from(RIP_2).to(elsewhere).build(),
            PuntClass::Transit,
        ),
        linux(
            "To anybody else",
            tcp().syn().to(elsewhere).build(),
            PuntClass::Transit,
        ),
        linux(
            "ICMP and other protocols to anybody else",
            icmp_echo().to(elsewhere).build(),
            PuntClass::Transit,
        ),
    ]);
}
