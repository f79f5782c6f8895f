//! The builders held against `etherparse`, byte for byte, and against the gateway's views.

use etherparse::{Ipv4Header, PacketBuilder, TcpHeader, TcpOptionElement};

use super::*;
use crate::address::V6;
use crate::wire::arp::Arp;
use crate::wire::icmp::{self as wire_icmp, Icmp as IcmpView};
use crate::wire::ipv4::Ipv4;
use crate::wire::sctp::{Sctp as SctpView, chunk};

const LINK_LEN: usize = ethernet::HEADER_LEN;

fn link() -> etherparse::PacketBuilderStep<etherparse::Ethernet2Header> {
    PacketBuilder::ethernet2(CLIENT_MAC.0, GATEWAY_MAC.0)
}

fn ip_header(id: u16) -> Ipv4Header {
    let (source, destination) = (CLIENT.addr.octets(), VIP.addr.octets());
    let mut header =
        Ipv4Header::new(0, 64, etherparse::IpNumber::TCP, source, destination).unwrap();
    header.identification = id;
    header.dont_fragment = false;
    header
}

#[test]
fn a_syn_with_options_is_the_one_etherparse_builds() {
    let mut ip = ip_header(7);
    ip.dont_fragment = true;
    ip.dscp = etherparse::IpDscp::try_new(4).unwrap();
    ip.time_to_live = 3;
    let mut header = TcpHeader::new(40_000, 80, 5, 1_024);
    header.syn = true;
    header
        .set_options(&[
            TcpOptionElement::MaximumSegmentSize(1460),
            TcpOptionElement::SelectiveAcknowledgementPermitted,
            TcpOptionElement::Timestamp(100, 200),
            TcpOptionElement::WindowScale(7),
            TcpOptionElement::Noop,
        ])
        .unwrap();
    let mut expected = Vec::new();
    link()
        .ip(etherparse::IpHeaders::Ipv4(ip, Default::default()))
        .tcp_header(header)
        .write(&mut expected, &[])
        .unwrap();

    let frame = tcp()
        .syn()
        .id(7)
        .dont_fragment()
        .tos(0x10)
        .ttl(3)
        .seq(5)
        .window(1_024)
        .mss(1460)
        .sack_permitted()
        .timestamps(100, 200)
        .window_scale(7)
        .build();

    assert_eq!(frame, expected);
}

#[test]
fn a_selective_acknowledgement_in_a_vlan_is_the_one_etherparse_builds() {
    let mut header = TcpHeader::new(40_000, 80, 1_000, 64_240);
    header.ack = true;
    header.acknowledgment_number = 77;
    header
        .set_options(&[TcpOptionElement::SelectiveAcknowledgement(
            (1, 2),
            [Some((0xffff_fff0, 4)), None, None],
        )])
        .unwrap();
    let mut expected = Vec::new();
    link()
        .single_vlan(etherparse::VlanId::try_new(100).unwrap())
        .ip(etherparse::IpHeaders::Ipv4(
            ip_header(1),
            Default::default(),
        ))
        .tcp_header(header)
        .write(&mut expected, b"abc")
        .unwrap();

    let frame = tcp()
        .vlan(100)
        .ack()
        .ack_no(77)
        .sack(&[(1, 2), (0xffff_fff0, 4)])
        .payload(b"abc")
        .build();

    // etherparse pads options with "end of options", we with no-operations.
    let options_end = LINK_LEN + 4 + 20 + 20 + 20;
    assert_eq!(frame[options_end - 2..options_end], [1, 1]);
    // So the checksum, at 54, differs too.
    assert_eq!(frame[..54], expected[..54]);
    assert_eq!(frame[58..76], expected[58..76]);
    assert_eq!(frame[options_end..], expected[options_end..]);
}

#[test]
fn the_flags_of_a_segment_are_what_its_name_says() {
    let flags = |frame: Vec<u8>| frame[LINK_LEN + 20 + 13];

    assert_eq!(flags(tcp().build()), 0x10);
    assert_eq!(flags(tcp().syn_ack().build()), 0x12);
    assert_eq!(flags(tcp().fin().build()), 0x11);
    assert_eq!(flags(tcp().rst().build()), 0x04);
    assert_eq!(flags(tcp().data(b"x").build()), 0x18);
}

#[test]
fn a_datagram_is_the_one_etherparse_builds() {
    let mut expected = Vec::new();
    link()
        .ip(etherparse::IpHeaders::Ipv4(
            ip_header(1),
            Default::default(),
        ))
        .udp(40_000, 80)
        .write(&mut expected, b"hello")
        .unwrap();

    let datagram = udp().payload(b"hello");

    assert_eq!(datagram.build(), expected);
    let without = datagram.clone().no_checksum().build();
    assert_eq!(without[LINK_LEN + 26..LINK_LEN + 28], [0, 0]);
    let wrong = datagram.bad_checksum().build();
    let differing: Vec<usize> = (0..wrong.len())
        .filter(|at| wrong[*at] != expected[*at])
        .collect();
    assert_eq!(differing, [LINK_LEN + 26]);
}

#[test]
fn an_echo_is_the_one_etherparse_builds() {
    let mut expected = Vec::new();
    link()
        .ip(etherparse::IpHeaders::Ipv4(
            ip_header(1),
            Default::default(),
        ))
        .icmpv4_echo_request(9, 3)
        .write(&mut expected, b"ping")
        .unwrap();

    let echo = icmp_echo().echo(9, 3).payload(b"ping");

    assert_eq!(echo.build(), expected);
    assert_eq!(echo.echo_reply().build()[LINK_LEN + 20], 0);
}

#[test]
fn a_datagram_over_ipv6_is_the_one_etherparse_builds() {
    let (source, destination) = (V6(1 << 64), V6(2 << 64));
    let mut expected = Vec::new();
    link()
        .ipv6(source.octets(), destination.octets(), 64)
        .udp(40_000, 53)
        .write(&mut expected, b"hello")
        .unwrap();

    assert_eq!(ipv6_udp(source, destination, b"hello"), expected);
}

#[test]
fn an_error_quotes_the_packet_it_is_about() {
    let about = udp().vlan(5).payload_len(100).padded().build();

    let frame = icmp_error(
        wire_icmp::kind::UNREACHABLE,
        wire_icmp::unreachable::FRAGMENTATION_NEEDED,
    )
    .mtu(1400)
    .about(&about)
    .build();

    let (_, payload) = Ipv4::parse(&frame[LINK_LEN..]).unwrap();
    let (header, quoted) = IcmpView::parse(payload).unwrap();
    assert!(header.is_error() && header.verify_checksum(quoted));
    assert_eq!(header.mtu(), 1400);
    assert_eq!(quoted, &about[LINK_LEN + 4..]);
    let about_much = udp().payload_len(1400).build();
    let frame = icmp_error(3, 3).about(&about_much).build();
    assert_eq!(frame.len(), LINK_LEN + 576);
}

#[test]
fn an_init_carries_its_chunk_and_a_right_crc() {
    let frame = sctp().init().payload(&[1; 17]).build();

    let (_, payload) = Ipv4::parse(&frame[LINK_LEN..]).unwrap();
    let (header, rest) = SctpView::parse(payload).unwrap();
    assert_eq!(
        (header.first_chunk(), header.verification_tag()),
        (chunk::INIT, 0)
    );
    assert!(header.verify_checksum(rest));
    assert_eq!(payload[14..16], [0, 21]);
    assert_eq!(payload.len(), 36, "the chunk is padded to whole words");
    let wrong = sctp().bad_checksum().build();
    let (header, rest) = SctpView::parse(&wrong[LINK_LEN + 20..]).unwrap();
    assert!(!header.verify_checksum(rest));
}

#[test]
fn fragments_put_together_are_the_whole_packet() {
    let packet = udp().id(9).ip_options(&[148, 4, 0]).payload_len(3_000);
    let whole = packet.build();

    let fragments = packet.fragments(1_500);

    let mut together = Vec::new();
    for (number, fragment) in fragments.iter().enumerate() {
        assert!(fragment.len() <= LINK_LEN + 1_500);
        let (header, part) = Ipv4::parse(&fragment[LINK_LEN..]).unwrap();
        assert!(header.verify_checksum());
        assert_eq!(header.id(), 9);
        assert_eq!(usize::from(header.fragment_offset()), together.len());
        assert_eq!(header.more_fragments(), number < 2);
        together.extend_from_slice(part);
    }
    assert_eq!(fragments.len(), 3);
    assert_eq!(together, whole[LINK_LEN + 24..]);
}

#[test]
fn what_is_asked_for_is_wrong_and_nothing_else() {
    let good = tcp().syn();
    let bad = good.clone().bad_ip_checksum().build();
    let padded = good.clone().padded().build();
    let cut = good.clone().cut(4).build();
    let later = good.clone().fragment_offset(16).payload(&[7; 3]).build();

    assert_eq!(good.build().len(), LINK_LEN + 40);
    let (header, _) = Ipv4::parse(&bad[LINK_LEN..]).unwrap();
    assert!(!header.verify_checksum());
    assert_eq!(padded.len(), 60);
    assert_eq!(padded[..54], good.build());
    let (header, payload) = Ipv4::parse(&cut[LINK_LEN..]).unwrap();
    assert_eq!((payload.len(), header.verify_checksum()), (4, true));
    let (header, payload) = Ipv4::parse(&later[LINK_LEN..]).unwrap();
    assert_eq!((header.fragment_offset(), payload), (16, &[7; 3][..]));
}

#[test]
fn addresses_and_macs_stand_where_they_belong() {
    let frame = ip(47)
        .from(RIP_1)
        .to(LIP)
        .eth_from(RIP_1_MAC)
        .eth_to(GATEWAY_SERVER_MAC)
        .build();

    assert_eq!(frame[..6], GATEWAY_SERVER_MAC.0);
    assert_eq!(frame[6..12], RIP_1_MAC.0);
    let (header, payload) = Ipv4::parse(&frame[LINK_LEN..]).unwrap();
    assert_eq!(
        (header.source(), header.destination()),
        (RIP_1.addr, LIP.addr)
    );
    assert_eq!((header.protocol(), payload.len()), (47, 0));
}

#[test]
fn an_arp_request_asks_everyone() {
    let frame = arp_request(CLIENT.addr, VIP.addr);

    assert_eq!(frame[..6], MacAddr::BROADCAST.0);
    let (message, _) = Arp::parse(&frame[LINK_LEN..]).unwrap();
    assert_eq!(message.to_string(), "arp who has 10.1.0.100, tell 10.1.0.9");
}
