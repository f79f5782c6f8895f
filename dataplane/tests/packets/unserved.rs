//! What no service and no session serves: Linux's, refused, or dropped, as configured.

use dataplane::address::{Endpoint, Protocol};
use dataplane::drop_reason::DropReason;
use dataplane::service::{Method, Unserved};
use dataplane::testing::*;

use crate::common::*;

fn with_policy(unserved: Unserved) -> TestGateway {
    let service = service(Protocol::Tcp, VIP).nat(RIP_1).unserved(unserved);
    serving(Setup::two_arm(), &service)
}

/// Packets to the VIP that begin no session: another port, another transport, no SYN, and a SYN
/// from the port of FTP data.
fn unserved_packets() -> [Vec<u8>; 6] {
    let other_port = Endpoint::new(VIP.addr, 81);
    [
        tcp().syn().to(other_port).build(),
        udp().build(),
        tcp().ack().build(),
        tcp().rst().build(),
        tcp().fin().build(),
        tcp().syn().from(client(20)).build(),
    ]
}

#[test]
fn linux_gets_what_is_not_served_unless_told_otherwise() {
    let mut gateway = with_policy(Unserved::Linux);

    for packet in unserved_packets() {
        assert!(gateway.forward(&packet).is_empty());
        assert_eq!(gateway.punted(CLIENT_SIDE), [packet]);
    }

    assert_eq!(gateway.moved(), [("received", 6), ("unserved", 6)]);
}

#[test]
fn rejected_packets_are_answered_with_port_unreachable() {
    let mut gateway = with_policy(Unserved::Reject);

    for (id, packet) in (0..).zip(unserved_packets()) {
        let sent = gateway.forward(&packet);

        let ends = (Endpoint::new(VIP.addr, 0), CLIENT);
        let error = on(icmp_error(3, 3).about(&packet), &hop(OUT, ends, 64));
        assert_eq!(sent, [error.tos(0xc0).id(id).build()]);
    }

    assert_eq!(gateway.drops(DropReason::Rejected), 6);
    assert!(gateway.punted(CLIENT_SIDE).is_empty());
}

#[test]
fn dropped_packets_are_dropped() {
    let mut gateway = with_policy(Unserved::Drop);

    for packet in unserved_packets() {
        assert!(gateway.forward(&packet).is_empty());
    }

    assert_eq!(gateway.drops(DropReason::Unserved), 6);
    assert!(gateway.punted(CLIENT_SIDE).is_empty());
}

#[test]
fn packets_to_a_local_address_without_session_never_reach_linux() {
    let mut gateway = gateway(Protocol::Tcp, Method::Fullnat);
    gateway.change(|editor| editor.add_host_address([10, 2, 0, 200].into()));

    for packet in [
        tcp().syn(),
        tcp().ack(),
        tcp().rst(),
        tcp().syn_ack().from(RIP_1),
    ] {
        for port in [LIP.port, 9] {
            let packet = packet.clone().to(Endpoint::new(LIP.addr, port));
            assert!(gateway.forward(&packet.build()).is_empty());
        }
    }
    assert!(gateway.forward(&udp().to(LIP).build()).is_empty());

    let expected = [("received", 9), ("no_session_for_local_address", 9)];
    assert_eq!(gateway.moved(), expected);
    assert!(gateway.punted(CLIENT_SIDE).is_empty());
}

#[test]
fn a_local_address_that_is_also_the_boxs_leaves_its_other_ports_to_linux() {
    let mut spec = service(Protocol::Tcp, VIP).fullnat(RIP_1).spec();
    spec.local_addresses[0].host = true;
    let mut gateway = Setup::two_arm().start();
    gateway.change(|editor| {
        editor.set_services(&[spec]);
        editor.add_host_address([10, 2, 0, 200].into());
    });
    let ssh = tcp().syn().to(Endpoint::new(LIP.addr, 22)).build();

    gateway.receive(0, &ssh);
    gateway.receive(0, &tcp().syn().to(LIP).build());

    assert_eq!(gateway.punted(CLIENT_SIDE), [ssh]);
    assert_eq!(gateway.drops(DropReason::NoSessionForLocalAddress), 1);
}

#[test]
fn icmp_to_vip_and_local_address_is_answered_by_linux() {
    let mut gateway = gateway(Protocol::Tcp, Method::Fullnat);

    for addr in [VIP.addr, LIP.addr, DIP_CLIENT_SIDE] {
        let ping = icmp_echo().to(Endpoint::new(addr, 0)).build();
        gateway.receive(0, &ping);
        assert_eq!(gateway.punted(CLIENT_SIDE), [ping]);
    }

    assert_eq!(gateway.moved(), [("received", 3), ("host", 3)]);
}
