//! Checks and answers as bytes, through the packet path where it has a part in it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dataplane::address::{Address, MacAddr, Protocol, V6};
use dataplane::drop_reason::DropReason;
use dataplane::io::memory::MemoryPacket;
use dataplane::snapshot::Snapshot;
use dataplane::testing::{
    CLIENT, DIP_SERVER_SIDE, GATEWAY_SERVER_MAC, RIP_1, RIP_1_MAC, RIP_2, RIP_2_MAC, RIP_3,
    SERVER_SIDE, Setup, TestGateway, VIP, arp_request, endpoint, icmp_echo, icmp_error, ip,
    ipv6_udp, sctp, service, tcp, udp,
};
use dataplane::wire::icmp::{kind, unreachable};
use dataplane::wire::ipv4::NewIpv4;
use proptest::prelude::*;

use super::*;

/// The check interface's own address and a port of a check.
const CHECK: Endpoint<V4> = endpoint([198, 18, 0, 1], 40_000);
/// The check as its server sees it.
const OWN: Endpoint<V4> = Endpoint::new(DIP_SERVER_SIDE, CHECK.port);
/// The check addresses of the first two servers.
const CHECKED_1: Endpoint<V4> = endpoint([198, 18, 0, 2], 80);
const CHECKED_2: Endpoint<V4> = endpoint([198, 18, 0, 3], 80);

const ETHERNET: usize = 14;

fn to_ip(end: Endpoint<V4>) -> Endpoint<IpAddr> {
    Endpoint::new(end.addr.to_ip(), end.port)
}

fn checked(server: Endpoint<V4>, method: Method) -> CheckedServer {
    CheckedServer {
        service: ServiceKey::address(Protocol::Tcp, to_ip(VIP)),
        server: to_ip(server),
        method,
    }
}

fn path() -> CheckPath {
    CheckPath::new(CheckRange::new(Ipv4Addr::new(198, 18, 0, 0), 20).unwrap())
}

/// A carrier of checks of these servers, on the network of the tests.
fn carrier_of(servers: &[CheckedServer], snapshot: Arc<Snapshot>) -> Carrier {
    let path = path();
    path.set(servers);
    path.learn(snapshot);
    Carrier::new(path)
}

fn carrier(method: Method) -> Carrier {
    let servers = [RIP_1, RIP_2].map(|server| checked(server, method));
    carrier_of(&servers, Setup::two_arm().editor().snapshot())
}

/// A frame without its Ethernet header.
fn packet(frame: &[u8]) -> &[u8] {
    &frame[ETHERNET..]
}

/// The frame that goes to a server for a packet on the check interface.
fn sent(carrier: &mut Carrier, frame: &[u8]) -> Result<Vec<u8>, Refusal> {
    let outgoing = carrier.carry_there(packet(frame), Instant::now())?;
    assert_eq!(outgoing.interface, SERVER_SIDE);
    Ok(outgoing.frame.to_vec())
}

fn answered(carrier: &mut Carrier, frame: &[u8]) -> Option<Vec<u8>> {
    let answer = carrier.carry_back(frame, Instant::now());
    answer.map(<[u8]>::to_vec)
}

/// What a frame is between the gateway and server 1.
fn framed(frame: Vec<u8>, from: MacAddr, to: MacAddr) -> Vec<u8> {
    [&to.0[..], &from.0[..], &frame[12..]].concat()
}

fn to_server_1(frame: Vec<u8>) -> Vec<u8> {
    framed(frame, GATEWAY_SERVER_MAC, RIP_1_MAC)
}

fn from_server_1(frame: Vec<u8>) -> Vec<u8> {
    framed(frame, RIP_1_MAC, GATEWAY_SERVER_MAC)
}

/// A gateway whose service has server 1 by `method`, and a carrier of checks of it.
fn gateway(setup: Setup, method: Method) -> (TestGateway, Carrier) {
    let mut gateway = setup.start();
    let service = service(Protocol::Tcp, VIP).server(RIP_1, method);
    gateway.serve(&[service]);
    let snapshot = gateway.editor.snapshot();
    (gateway, carrier_of(&[checked(RIP_1, method)], snapshot))
}

#[test]
fn a_check_by_dr_passes_the_gateway_to_the_server_and_its_answer_comes_back() {
    for (workers, tag) in [(1, None), (3, None), (1, Some(7_u8))] {
        let setup = Setup::vlans(None, tag.map(u16::from)).workers(workers);
        let (mut gateway, mut carrier) = gateway(setup, Method::Dr);
        let tagged = |frame: Vec<u8>| match tag {
            Some(id) => [&frame[..12], &[0x81, 0, 0, id], &frame[12..]].concat(),
            None => frame,
        };

        // The check's first packet leaves as the gateway's own.
        let syn = sent(&mut carrier, &tcp().from(CHECK).to(CHECKED_1).syn().build());
        let expected = to_server_1(tcp().from(OWN).to(VIP).ttl(2).syn().build());
        assert_eq!(syn.as_ref(), Ok(&expected));
        assert!(gateway.inject(SERVER_SIDE, &syn.unwrap()));
        assert_eq!(gateway.sent(1), [tagged(expected)]);

        // The answer is Linux's, wherever it arrives, and the check's before.
        let answer = from_server_1(tcp().from(VIP).to(OWN).syn_ack().build());
        for worker in 0..usize::from(workers) {
            gateway.receive_at(worker, 1, MemoryPacket::new(&tagged(answer.clone())));
            let punted = gateway.punted(SERVER_SIDE);
            assert_eq!(punted, std::slice::from_ref(&answer));
            let expected = tcp().from(CHECKED_1).to(CHECK).syn_ack().build();
            let back = answered(&mut carrier, &punted[0]);
            assert_eq!(back.as_deref(), Some(packet(&expected)));
        }
        assert_eq!(gateway.sent(0), [] as [Vec<u8>; 0]);
    }
}

#[test]
fn a_check_that_a_server_sends_on_is_not_taken_for_a_clients() {
    let (mut gateway, mut carrier) = gateway(Setup::two_arm(), Method::Dr);
    let syn = tcp().from(CHECK).to(CHECKED_1).syn().build();
    let mut syn = sent(&mut carrier, &syn).unwrap();

    // As a router the server takes one from the time to live.
    dataplane::rewrite::decrement_ttl(&mut syn[ETHERNET..]).unwrap();
    gateway.receive(1, &from_server_1(syn));

    let reason = DropReason::TtlExpired;
    let dropped = gateway.moved().into_iter();
    let dropped = dropped.filter(|(name, _)| *name == reason.name());
    assert_eq!(dropped.collect::<Vec<_>>(), [(reason.name(), 1)]);
    let forwarded = gateway.sent(1).into_iter();
    let mut forwarded = forwarded.filter(|frame| frame[..6] == RIP_1_MAC.0);
    assert_eq!(forwarded.next(), None);
}

#[test]
fn a_client_of_the_service_is_served_meanwhile() {
    let (mut gateway, mut carrier) = gateway(Setup::two_arm(), Method::Dr);
    let syn = tcp().from(CHECK).to(CHECKED_1).syn().build();
    let syn = sent(&mut carrier, &syn).unwrap();
    assert!(gateway.inject(SERVER_SIDE, &syn));
    assert_eq!(gateway.sent(1).len(), 1);

    let forwarded = gateway.forward(&tcp().from(CLIENT).to(VIP).syn().build());

    assert_eq!(forwarded.len(), 1);
    let reply = tcp().from(VIP).to(CLIENT).syn_ack().build();
    assert_eq!(answered(&mut carrier, &from_server_1(reply)), None);
}

#[test]
fn a_check_by_tun_is_enclosed_from_the_gateways_own_address() {
    let mut carrier = carrier(Method::Tun);
    for (checked, rip, mac) in [(CHECKED_1, RIP_1, RIP_1_MAC), (CHECKED_2, RIP_2, RIP_2_MAC)] {
        let from = Endpoint::new(CHECK.addr, checked.addr.octets()[3].into());
        let question = tcp().tos(0xb8).dont_fragment().data(b"GET");

        let frame = question.clone().from(from).to(checked).build();
        let frame = sent(&mut carrier, &frame).unwrap();

        let inner = Endpoint::new(DIP_SERVER_SIDE, from.port);
        let inner = question.from(inner).to(VIP).ttl(2).build();
        let total_len = u16::try_from(inner.len() - ETHERNET + 20).unwrap();
        let outer = NewIpv4 {
            tos: 0xb8,
            total_len,
            id: 0,
            dont_fragment: true,
            ttl: 64,
            protocol: 4,
            source: DIP_SERVER_SIDE,
            destination: rip.addr,
        };
        let expected = [&inner[..ETHERNET], &outer.to_bytes(), packet(&inner)].concat();
        assert_eq!(frame, framed(expected, GATEWAY_SERVER_MAC, mac));
    }
}

#[test]
fn datagrams_and_echoes_go_there_and_back() {
    let mut carrier = carrier(Method::Dr);
    let question = udp().from(CHECK).to(CHECKED_1).payload(b"ask").build();
    let expected = udp().from(OWN).to(VIP).ttl(2).payload(b"ask").build();
    assert_eq!(sent(&mut carrier, &question), Ok(to_server_1(expected)));
    let answer = udp().from(VIP).to(OWN).payload(b"tell").build();
    let expected = udp().from(CHECKED_1).to(CHECK).payload(b"tell").build();
    let back = answered(&mut carrier, &from_server_1(answer));
    assert_eq!(back.as_deref(), Some(packet(&expected)));

    let echo = icmp_echo().echo(77, 1);
    let question = echo.clone().from(CHECK).to(CHECKED_1).build();
    let expected = to_server_1(echo.clone().from(OWN).to(VIP).ttl(2).build());
    assert_eq!(sent(&mut carrier, &question), Ok(expected));
    let reply = echo.echo_reply();
    let answer = from_server_1(reply.clone().from(VIP).to(OWN).build());
    let expected = reply.from(CHECKED_1).to(CHECK).build();
    let back = answered(&mut carrier, &answer);
    assert_eq!(back.as_deref(), Some(packet(&expected)));
}

#[test]
fn an_error_about_a_check_quotes_what_the_check_sent() {
    for setup in [Setup::two_arm(), Setup::two_arm().workers(2)] {
        let (mut gateway, mut carrier) = gateway(setup, Method::Dr);
        let question = udp().from(CHECK).to(CHECKED_1).payload(b"ask").build();
        let asked = sent(&mut carrier, &question).unwrap();
        let error = icmp_error(kind::UNREACHABLE, unreachable::PORT);
        // Nobody looks at the quoted checksum, which stays the one that the server saw.
        let checksum = ETHERNET + 20 + 6..ETHERNET + 20 + 8;
        let question = udp().from(CHECK).to(CHECKED_1).payload(b"ask");
        let mut quoted = question.ttl(2).build();
        quoted[checksum.clone()].copy_from_slice(&asked[checksum]);

        // From the VIP, as the server says it, and from a router.
        for from in [VIP, RIP_3] {
            let told = error.clone().from(from).to(OWN).about(&asked).build();
            gateway.receive(1, &from_server_1(told));
            let punted = gateway.punted(SERVER_SIDE);
            assert_eq!(punted.len(), 1);

            let back = answered(&mut carrier, &punted[0]);

            let expected = error
                .clone()
                .from(CHECKED_1)
                .to(CHECK)
                .about(&quoted)
                .build();
            assert_eq!(back.as_deref(), Some(packet(&expected)));
        }
        let other = udp().from(OWN).to(endpoint([10, 1, 0, 101], 80)).build();
        let told = error.from(VIP).to(OWN).about(&other).build();
        assert_eq!(answered(&mut carrier, &from_server_1(told)), None);
    }
}

#[test]
fn what_is_no_answer_to_a_check_stays_linuxs() {
    let mut carrier = carrier(Method::Dr);
    let answer = tcp().from(VIP).to(OWN).syn_ack();
    assert_eq!(answered(&mut carrier, &answer.build()), None, "none asked");
    let syn = tcp().from(CHECK).to(CHECKED_1).syn().build();
    sent(&mut carrier, &syn).unwrap();

    let other_port = Endpoint::new(OWN.addr, OWN.port + 1);
    let other_vip = Endpoint::new(VIP.addr, VIP.port + 1);
    for (frame, why) in [
        (answer.clone().to(other_port).build(), "another's port"),
        (answer.clone().from(other_vip).build(), "another port"),
        (answer.clone().from(RIP_1).build(), "not from the VIP"),
        (answer.clone().to(CLIENT).build(), "a client's"),
        (answer.clone().more_fragments().build(), "a fragment"),
        (udp().from(VIP).to(OWN).build(), "another transport"),
        (sctp().from(VIP).to(OWN).build(), "SCTP"),
        (icmp_echo().from(VIP).to(OWN).build(), "asks the gateway"),
        (arp_request(VIP.addr, OWN.addr), "ARP"),
        (answer.build()[..40].to_vec(), "cut"),
    ] {
        assert_eq!(answered(&mut carrier, &frame), None, "{why}");
    }
    assert!(answered(&mut carrier, &answer.build()).is_some());
}

#[test]
fn only_checks_get_through_to_a_server() {
    let mut carrier = carrier(Method::Dr);
    let syn = tcp().from(CHECK).to(CHECKED_1).syn();
    let nobody = endpoint([198, 18, 0, 4], 80);
    for (frame, refusal) in [
        // Linux would forward what others send to a check address.
        (syn.clone().from(CLIENT).build(), Refusal::NotACheck),
        (syn.clone().to(nobody).build(), Refusal::NoServer),
        (syn.clone().more_fragments().build(), Refusal::Fragment),
        (sctp().from(CHECK).to(CHECKED_1).build(), Refusal::NotACheck),
        (ip(47).from(CHECK).to(CHECKED_1).build(), Refusal::NotACheck),
        (
            ipv6_udp(V6::default(), V6::default(), b""),
            Refusal::NotACheck,
        ),
        (syn.build()[..40].to_vec(), Refusal::NotACheck),
    ] {
        assert_eq!(sent(&mut carrier, &frame), Err(refusal));
    }
    assert!(sent(&mut carrier, &syn.build()).is_ok());
}

#[test]
fn two_checks_of_a_vip_from_one_port_do_not_mix() {
    let mut carrier = carrier(Method::Dr);
    let first = tcp().from(CHECK).to(CHECKED_1);
    let second = tcp().from(CHECK).to(CHECKED_2);
    sent(&mut carrier, &first.clone().syn().build()).unwrap();
    let answer = tcp().from(VIP).to(OWN).syn_ack().build();
    assert!(answered(&mut carrier, &answer).is_some());

    let refused = sent(&mut carrier, &second.clone().syn().build());
    assert_eq!(refused, Err(Refusal::PortTaken));

    sent(&mut carrier, &first.rst().build()).unwrap();
    sent(&mut carrier, &second.syn().build()).unwrap();
    let expected = tcp().from(CHECKED_2).to(CHECK).syn_ack().build();
    let back = answered(&mut carrier, &answer);
    assert_eq!(back.as_deref(), Some(packet(&expected)));
}

#[test]
fn servers_and_routes_may_change_while_a_carrier_works() {
    let mut carrier = carrier(Method::Dr);
    let syn = tcp().from(CHECK).to(CHECKED_1).syn().build();
    assert!(sent(&mut carrier, &syn).is_ok());
    let path = carrier.path().clone();
    let mut editor = Setup::two_arm().editor();

    editor.set_neighbour(SERVER_SIDE, RIP_1.addr.to_ip(), Some(RIP_2_MAC));
    path.learn(editor.snapshot());
    carrier.renew();
    let expected = tcp().from(OWN).to(VIP).ttl(2).syn().build();
    let expected = framed(expected, GATEWAY_SERVER_MAC, RIP_2_MAC);
    assert_eq!(sent(&mut carrier, &syn), Ok(expected));

    editor.set_neighbour(SERVER_SIDE, RIP_1.addr.to_ip(), None);
    path.learn(editor.snapshot());
    carrier.renew();
    assert_eq!(sent(&mut carrier, &syn), Err(Refusal::NoWay));

    path.set(&[checked(RIP_2, Method::Dr)]);
    carrier.renew();
    assert_eq!(sent(&mut carrier, &syn), Err(Refusal::NoServer));
}

#[test]
fn servers_that_rewrite_the_vip_have_no_check_address() {
    let path = path();
    let of_mark = CheckedServer {
        service: ServiceKey::Mark(7),
        ..checked(RIP_3, Method::Dr)
    };
    let ipv6 = Endpoint::new("2001:db8::1".parse().unwrap(), 80);
    let of_ipv6 = CheckedServer {
        server: ipv6,
        ..checked(RIP_3, Method::Tun)
    };
    let served = checked(RIP_3, Method::Tun);

    path.set(&[
        checked(RIP_1, Method::Nat),
        checked(RIP_2, Method::Fullnat),
        of_mark,
        of_ipv6,
        served,
    ]);

    let address = |it: CheckedServer| path.address(it.service, it.server);
    assert_eq!(address(served), Some(CHECKED_1.addr.into()));
    for without in [checked(RIP_1, Method::Nat), of_mark, of_ipv6] {
        assert_eq!(address(without), None);
    }
    assert_eq!(path.source(), Ipv4Addr::from(CHECK.addr));
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..120), tun: bool) {
        let mut carrier = carrier(if tun { Method::Tun } else { Method::Dr });
        let now = Instant::now();
        let syn = tcp().from(CHECK).to(CHECKED_1).syn().build();
        carrier.carry_there(packet(&syn), now).unwrap();
        let head = tcp().from(CHECK).to(CHECKED_1).build();
        for kept in [0, 1, 20, 33] {
            let question = [&packet(&head)[..kept], &bytes].concat();
            let _ = carrier.carry_there(&question, now);
        }
        for head in [
            tcp().from(VIP).to(OWN).build(),
            icmp_error(3, 1).from(VIP).to(OWN).about(&syn).build(),
        ] {
            for kept in [0, 14, 15, 34, 42, 62] {
                let answer = [&head[..kept.min(head.len())], &bytes].concat();
                let _ = carrier.carry_back(&answer, now + Duration::from_secs(1));
            }
        }
    }
}
