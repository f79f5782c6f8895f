//! Packets that are wrong: each has a fate, told in `docs/packets.md`.

use dataplane::address::{Endpoint, MacAddr};
use dataplane::drop_reason::DropReason;
use dataplane::punt::PuntClass;
use dataplane::testing::*;
use dataplane::wire::tcp::Flags;

use crate::fate::{Fate, dropped, linux, row, run};

/// A SYN as its DR server gets it.
fn at_server(syn: Builder<Tcp>) -> Vec<Vec<u8>> {
    vec![on(syn, &hop(TO_SERVER, (CLIENT, VIP), 63)).build()]
}

/// A good frame with one byte changed, and the IP header checksum mended.
fn with_byte(frame: &[u8], offset: usize, byte: u8) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[offset] = byte;
    let (header, _) = frame[14..].split_at_mut(20);
    header[10..12].copy_from_slice(&[0, 0]);
    let sum = header
        .chunks(2)
        .map(|word| u32::from(word[0]) << 8 | u32::from(word[1]));
    let sum: u32 = sum.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    let checksum = u16::try_from(folded).map_or(0, |sum| !sum);
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
    frame
}

#[test]
fn frames_that_are_no_frames_or_not_for_us() {
    let syn = tcp().syn();
    let tagged = syn.clone().vlan(7).build();
    run(&[
        dropped(
            "A frame shorter than an Ethernet header",
            syn.build()[..13].to_vec(),
            DropReason::TruncatedEthernet,
        ),
        dropped(
            "A frame that ends inside its VLAN tag",
            tagged[..17].to_vec(),
            DropReason::TruncatedEthernet,
        ),
        dropped(
            "A frame with the tag of a VLAN that is not configured",
            tagged,
            DropReason::UnknownVlan,
        ),
        dropped(
            "A frame for another station's MAC",
            syn.clone().eth_to(RIP_1_MAC).build(),
            DropReason::NotOurMac,
        ),
        row(
            "A frame with a priority tag (VLAN 0)",
            syn.clone().vlan(0).build(),
            Fate::Forwarded("as without the tag", at_server(syn)),
        ),
    ]);
}

/// A frame of another EtherType.
fn ether(destination: MacAddr, ethertype: u16) -> Vec<u8> {
    let mut frame = destination.0.to_vec();
    frame.extend(CLIENT_MAC.0);
    frame.extend(ethertype.to_be_bytes());
    frame.resize(60, 0xaa);
    frame
}

#[test]
fn frames_that_are_not_ipv4() {
    let lldp = MacAddr([0x01, 0x80, 0xc2, 0, 0, 0x0e]);
    run(&[
        linux(
            "ARP, to the gateway or to all",
            arp_request(CLIENT.addr, VIP.addr),
            PuntClass::Control,
        ),
        linux(
            "Any other EtherType (LLDP, LACP, MPLS …)",
            ether(lldp, 0x88cc),
            PuntClass::Host,
        ),
        linux(
            "An IEEE 802.3 frame with a length (spanning tree)",
            ether(MacAddr([0x01, 0x80, 0xc2, 0, 0, 0]), 38),
            PuntClass::Host,
        ),
    ]);
}

#[test]
fn ipv6_is_linuxs() {
    use dataplane::address::V6;
    let (from, to) = (V6(0xfe80 << 112 | 9), V6(0xfe80 << 112 | 1));
    let group = |mut frame: Vec<u8>| {
        frame[..6].copy_from_slice(&[0x33, 0x33, 0, 0, 0, 5]);
        frame
    };
    let solicitation = [135, 0, 0, 0, 0, 0, 0, 0];
    let datagram = ipv6_udp(from, to, b"hello");
    run(&[
        linux(
            "IPv6 neighbour discovery",
            ipv6(from, to, 58, &solicitation),
            PuntClass::Control,
        ),
        linux(
            "IPv6 neighbour discovery that a router has sent on",
            ipv6(V6(0x2001_0db8 << 96 | 9), to, 58, &solicitation),
            PuntClass::Host,
        ),
        linux(
            "IPv6 OSPF, PIM and VRRP",
            group(ipv6(from, V6(0xff02 << 112 | 5), 89, &[3, 1])),
            PuntClass::Control,
        ),
        linux(
            "Any other IPv6 packet (not forwarded yet)",
            datagram.clone(),
            PuntClass::Host,
        ),
        dropped(
            "IPv6 from a multicast or loopback source",
            ipv6_udp(V6(1), to, b"hello"),
            DropReason::MartianSource,
        ),
        dropped(
            "IPv6 that ends before its headers or its length",
            datagram[..50].to_vec(),
            DropReason::TruncatedIp,
        ),
    ]);
}

#[test]
fn ipv4_headers_that_are_wrong() {
    let syn = tcp().syn();
    let good = syn.build();
    let from = |octets| tcp().syn().from(endpoint(octets, 9)).build();
    run(&[
        dropped(
            "IPv4 that ends inside its header",
            good[..30].to_vec(),
            DropReason::TruncatedIp,
        ),
        dropped(
            "IPv4 whose total length is beyond the frame",
            with_byte(&good, 17, 41),
            DropReason::TruncatedIp,
        ),
        dropped(
            "IPv4 whose total length is less than its header",
            with_byte(&good, 17, 19),
            DropReason::BadIpHeader,
        ),
        dropped(
            "IPv4 with a header length below 20",
            with_byte(&good, 14, 0x44),
            DropReason::BadIpHeader,
        ),
        dropped(
            "An IPv4 EtherType with another version in the header",
            with_byte(&good, 14, 0x65),
            DropReason::BadIpHeader,
        ),
        dropped(
            "A wrong IPv4 header checksum",
            syn.clone().bad_ip_checksum().build(),
            DropReason::BadIpChecksum,
        ),
        dropped(
            "IPv4 from a multicast source",
            from([224, 0, 0, 1]),
            DropReason::MartianSource,
        ),
        dropped(
            "IPv4 from 255.255.255.255",
            from([255, 255, 255, 255]),
            DropReason::MartianSource,
        ),
        dropped(
            "IPv4 from 127.0.0.0/8",
            from([127, 0, 0, 1]),
            DropReason::MartianSource,
        ),
        dropped(
            "IPv4 from 0.0.0.0, but for DHCP and IGMP",
            from([0, 0, 0, 0]),
            DropReason::MartianSource,
        ),
    ]);
}

#[test]
fn ipv4_options_and_padding() {
    let syn = tcp().syn();
    let alert = syn.clone().ip_options(&[148, 4, 0, 0]);
    run(&[
        dropped(
            "A loose or strict source route",
            syn.clone().ip_options(&[131, 7, 4, 10, 0, 0, 1]).build(),
            DropReason::SourceRoute,
        ),
        dropped(
            "An option that is longer than the header",
            syn.clone().ip_options(&[148, 9, 0, 0]).build(),
            DropReason::BadIpHeader,
        ),
        row(
            "Any other IPv4 option",
            alert.build(),
            Fate::Forwarded("forwarded with its options", at_server(alert)),
        ),
        row(
            "Bytes behind the IP packet (Ethernet's padding)",
            syn.clone().padded().build(),
            Fate::Forwarded("forwarded without them", at_server(syn)),
        ),
    ]);
}

#[test]
fn transport_headers_that_are_wrong() {
    let syn = tcp().syn();
    let short = syn.clone().cut(19).build();
    let cut_options = syn.clone().mss(1_460).cut(20).build();
    let bad_sum = syn.clone().bad_checksum();
    run(&[
        dropped(
            "TCP of less than 20 bytes",
            short,
            DropReason::TruncatedTransport,
        ),
        dropped(
            "TCP that ends inside its options",
            cut_options,
            DropReason::TruncatedTransport,
        ),
        dropped(
            "TCP with a header length below 20",
            with_byte(&syn.build(), 14 + 20 + 12, 0x40),
            DropReason::TruncatedTransport,
        ),
        dropped(
            "UDP of less than 8 bytes",
            udp().cut(7).build(),
            DropReason::TruncatedTransport,
        ),
        dropped(
            "SCTP of less than a header and a chunk's header",
            sctp().init().cut(15).build(),
            DropReason::TruncatedTransport,
        ),
        row(
            "A wrong TCP, UDP or SCTP checksum",
            bad_sum.build(),
            Fate::Forwarded("forwarded, as wrong as it was", at_server(bad_sum)),
        ),
        linux(
            "TCP flags that cannot be, to a service, without a session",
            tcp().flags(Flags::SYN.with(Flags::RST)).build(),
            PuntClass::Unserved,
        ),
    ]);
}

#[test]
fn fragments() {
    let datagram = udp().payload_len(2_000);
    let frames = datagram.fragments(1_300);
    run(&[
        row(
            "A first fragment with its whole transport header, to a service or of a session",
            frames[0].clone(),
            Fate::Waits("waits for the others, at most 30 s; then all go on as one packet would"),
        ),
        row(
            "A later fragment to a VIP or local address whose first one was not seen",
            frames[1].clone(),
            Fate::Waits("waits for it, at most 30 s"),
        ),
        dropped(
            "A first fragment without its whole transport header",
            tcp().syn().more_fragments().cut(16).build(),
            DropReason::TruncatedTransport,
        ),
        dropped(
            "A TCP fragment at offset 8",
            tcp().fragment_offset(8).payload_len(40).build(),
            DropReason::TruncatedTransport,
        ),
        dropped(
            "A fragment that would end behind byte 65,535",
            udp().fragment_offset(65_520).payload_len(40).build(),
            DropReason::BadIpHeader,
        ),
        linux(
            "A later fragment to the gateway's own address",
            udp()
                .to(Endpoint::new(DIP_CLIENT_SIDE, 9))
                .fragment_offset(1_280)
                .payload_len(40)
                .build(),
            PuntClass::Host,
        ),
    ]);
}

#[test]
fn packets_that_a_router_would_refuse() {
    let error = |kind, code, about: &[u8]| {
        let ends = (Endpoint::new(VIP.addr, 0), CLIENT);
        let error = on(icmp_error(kind, code).about(about), &hop(OUT, ends, 64));
        error.tos(0xc0).id(0)
    };
    let dying = tcp().syn().ttl(1).build();
    let big = tcp().syn().payload_len(1_400);
    let quoted = big.clone().dont_fragment().ttl(63).build();
    let cut = on(big.clone(), &hop(TO_SERVER, (CLIENT, VIP), 63)).fragments(1_400);
    run(&[
        row(
            "A time to live of 1 or 0, to a service",
            dying.clone(),
            Fate::Answered(
                DropReason::TtlExpired,
                "ICMP time exceeded",
                error(11, 0, &dying).build(),
            ),
        ),
        row(
            "Larger than the way to the server, do not fragment",
            big.clone().dont_fragment().build(),
            Fate::Answered(
                DropReason::TooBig,
                "ICMP fragmentation needed",
                error(3, 4, &quoted).mtu(1_400).build(),
            ),
        ),
        row(
            "Larger than the way to the server, may be fragmented",
            big.build(),
            Fate::Forwarded("forwarded in fragments", cut),
        ),
    ]);
}
