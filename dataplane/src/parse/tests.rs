//! What `parse` says of good, malformed and arbitrary frames.

use proptest::prelude::*;

use super::*;
use crate::drop_reason::DropReason::{
    BadIpChecksum, BadIpHeader, MartianSource, SourceRoute, TruncatedEthernet, TruncatedIp,
    TruncatedTransport, UnknownVlan,
};
use crate::testing::{
    CLIENT, CLIENT_MAC, GATEWAY_MAC, VIP, arp_request, endpoint, icmp_echo, ip, ipv6, ipv6_udp,
    sctp, tcp, udp,
};
use crate::wire::sctp::chunk;

fn parse_frame(frame: &[u8]) -> Result<Frame, DropReason> {
    parse(frame, RxChecksum::Unknown).map(|(_, frame)| frame)
}

fn parsed(frame: &[u8]) -> Parsed {
    match parse_frame(frame) {
        Ok(Frame::Ipv4(parsed)) => parsed,
        other => panic!("{other:?}"),
    }
}

fn other_ipv4(frame: &[u8]) -> OtherIpv4 {
    match parse_frame(frame) {
        Ok(Frame::Ipv4Other(other)) => other,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_facts_of_a_packet_fit_a_cache_line() {
    assert!(size_of::<Parsed>() <= 40);
    assert!(size_of::<Frame>() <= 44);
}

#[test]
fn a_padded_syn_gives_its_facts() {
    let frame = tcp().syn().ttl(9).id(0x1234).dont_fragment().padded();

    let (link, parsed) = parse(&frame.build(), RxChecksum::Unknown).unwrap();

    let expected = Parsed {
        key: FlowKey {
            source: CLIENT,
            destination: VIP,
            protocol: Protocol::Tcp,
        },
        ip: Ipv4Facts {
            vlan: None,
            total_len: 40,
            l4_offset: 34,
            id: 0x1234,
            l3_offset: 14,
            header_len: 20,
            ttl: 9,
            protocol: 6,
            fragment: FragmentKind::Whole,
            dont_fragment: true,
            has_options: false,
        },
        tcp_flags: 0x02,
        sctp_chunk: 0,
    };
    assert_eq!(parsed, Frame::Ipv4(expected));
    assert_eq!((link.destination, link.source), (GATEWAY_MAC, CLIENT_MAC));
    assert_eq!((link.vlan, link.len), (None, 14));
}

#[test]
fn a_tag_and_options_move_the_offsets() {
    let frame = udp().vlan(100).ip_options(&[148, 4, 0, 0]).payload(b"x");

    let parsed = parsed(&frame.build());

    assert_eq!(parsed.ip.vlan, Some(VlanId(100)));
    assert_eq!((parsed.ip.l3_offset, parsed.ip.l4_offset), (18, 42));
    assert!(parsed.ip.has_options);
    assert_eq!((parsed.ip.header_len, parsed.ip.total_len), (24, 33));
    assert_eq!(parsed.key.protocol, Protocol::Udp);
}

#[test]
fn a_priority_tag_is_no_vlan() {
    let (link, frame) = parse(&tcp().vlan(0).build(), RxChecksum::Unknown).unwrap();

    assert_eq!((link.vlan, link.len), (None, 18));
    assert!(matches!(frame, Frame::Ipv4(parsed) if parsed.ip.vlan.is_none()));
}

#[test]
fn an_sctp_packet_gives_its_first_chunk() {
    let parsed = parsed(&sctp().init().build());

    assert_eq!(parsed.sctp_chunk, chunk::INIT);
    assert_eq!(parsed.key.protocol, Protocol::Sctp);
    assert_eq!(parsed.key.source.port, CLIENT.port);
}

#[test]
fn an_sctp_packet_with_an_abort_behind_a_cookie_is_an_abort() {
    // The builder's first chunk is as long as the packet; a chunk of 4 bytes lets another follow.
    let cookie = sctp().chunk(chunk::COOKIE_ECHO).payload(&[6, 0, 0, 4]);
    let mut frame = cookie.build();
    let length = 14 + 20 + 12 + 2;
    frame[length..length + 2].copy_from_slice(&[0, 4]);

    assert_eq!(parsed(&cookie.build()).sctp_chunk, chunk::COOKIE_ECHO);
    assert_eq!(parsed(&frame).sctp_chunk, chunk::ABORT);
}

#[test]
fn only_the_first_fragment_has_ports() {
    let fragments = udp().id(77).payload_len(3_000).fragments(1_500);

    let first = parsed(&fragments[0]);
    let second = other_ipv4(&fragments[1]);
    let last = other_ipv4(&fragments[2]);

    assert_eq!(first.ip.fragment, FragmentKind::First);
    assert_eq!(first.key.destination, VIP);
    for later in [second, last] {
        assert_eq!(later.ip.fragment, FragmentKind::Later);
        assert_eq!((later.ip.id, later.ip.protocol), (77, 17));
        assert_eq!((later.source, later.destination), (CLIENT.addr, VIP.addr));
    }
}

#[test]
fn what_has_no_ports_is_told_apart() {
    let tagged_twice = {
        let mut frame = tcp().vlan(5).build();
        frame[16..18].copy_from_slice(&[0x81, 0x00]);
        frame
    };
    let service_tag = {
        let mut frame = tcp().vlan(5).build();
        frame[12..14].copy_from_slice(&[0x88, 0xa8]);
        frame
    };

    assert_eq!(other_ipv4(&icmp_echo().build()).ip.protocol, 1);
    assert_eq!(other_ipv4(&ip(112).build()).ip.protocol, 112);
    let arp = arp_request(CLIENT.addr, VIP.addr);
    assert_eq!(parse_frame(&arp), Ok(Frame::Arp));
    assert_eq!(parse_frame(&tagged_twice), Ok(Frame::Other(0x8100)));
    assert_eq!(
        parse_frame(&service_tag),
        Ok(Frame::Other(ethertype::SERVICE_VLAN))
    );
}

#[test]
fn a_host_without_an_address_may_ask_for_one() {
    let nobody = endpoint([0, 0, 0, 0], 68);
    let everyone = endpoint([255, 255, 255, 255], 67);
    let all_systems = endpoint([224, 0, 0, 1], 0);

    let discover = udp().from(nobody).to(everyone).build();
    let query = ip(protocol::IGMP).from(nobody).to(all_systems).build();

    assert_eq!(other_ipv4(&discover).ip.protocol, 17);
    assert_eq!(other_ipv4(&query).destination, all_systems.addr);
}

#[test]
fn the_ethdevs_word_on_the_checksum_is_taken() {
    let wrong = tcp().bad_ip_checksum().build();
    let right = tcp().build();

    assert!(parse(&wrong, RxChecksum::Good).is_ok());
    assert_eq!(
        parse(&right, RxChecksum::Bad),
        Err(DropReason::BadIpChecksum)
    );
}

#[test]
fn an_ipv6_packet_gives_where_its_upper_layer_is() {
    let (source, destination) = (V6(7 << 96), V6(9 << 96));
    // A first fragment behind destination options.
    let payload = [44, 0, 0, 0, 0, 0, 0, 0, 17, 0, 0, 1, 0, 0, 0, 9, 1, 2, 3, 4];

    let plain = parse_frame(&ipv6_udp(source, destination, b"x"));
    let fragment = parse_frame(&ipv6(source, destination, 60, &payload));

    let expected = Ipv6Facts {
        vlan: None,
        l4_offset: 54,
        l3_offset: 14,
        protocol: 17,
        fragment: FragmentKind::Whole,
    };
    assert_eq!(plain, Ok(Frame::Ipv6(expected)));
    let expected = Ipv6Facts {
        l4_offset: 70,
        fragment: FragmentKind::First,
        ..expected
    };
    assert_eq!(fragment, Ok(Frame::Ipv6(expected)));
}

/// A good SYN with one byte of its IP packet set, and its header checksum made right again.
fn with_ip_byte(at: usize, value: u8) -> Vec<u8> {
    let mut frame = tcp().syn().build();
    frame[14 + at] = value;
    if let Ok((mut header, _)) = crate::wire::ipv4::Ipv4Mut::parse(&mut frame[14..]) {
        header.fill_checksum();
    }
    frame
}

/// Asserts that each frame is dropped for the reason beside it.
fn assert_dropped<const N: usize>(cases: [(&str, Vec<u8>, DropReason); N]) {
    for (name, frame, expected) in cases {
        assert_eq!(parse_frame(&frame), Err(expected), "{name}");
    }
}

#[test]
fn a_frame_without_a_whole_link_header_is_dropped() {
    let tagged = tcp().vlan(1).build();

    assert_dropped([
        ("nothing", vec![], TruncatedEthernet),
        ("half a header", vec![0; 13], TruncatedEthernet),
        ("half a tag", tagged[..17].to_vec(), TruncatedEthernet),
        ("reserved VLAN", tcp().vlan(4095).build(), UnknownVlan),
    ]);
}

#[test]
fn an_impossible_ipv4_header_is_dropped() {
    let good = tcp().syn().build();
    let options = |options: &[u8]| tcp().ip_options(options).build();
    let beyond = udp().fragment_offset(65_520).build();

    assert_dropped([
        ("no header", good[..14].to_vec(), TruncatedIp),
        ("half a header", good[..33].to_vec(), TruncatedIp),
        ("version 6", with_ip_byte(0, 0x65), BadIpHeader),
        ("header of 16", with_ip_byte(0, 0x44), BadIpHeader),
        ("header beyond packet", with_ip_byte(0, 0x4f), TruncatedIp),
        ("total below header", with_ip_byte(3, 19), BadIpHeader),
        ("total beyond frame", with_ip_byte(3, 41), TruncatedIp),
        ("checksum", tcp().bad_ip_checksum().build(), BadIpChecksum),
        ("loose route", options(&[1, 131, 3, 4]), SourceRoute),
        ("strict route", options(&[137, 3, 4]), SourceRoute),
        ("option of 1", options(&[7, 1, 0, 0]), BadIpHeader),
        ("option beyond header", options(&[7, 5, 0, 0]), BadIpHeader),
        ("fragment beyond 65535", beyond, BadIpHeader),
    ]);
}

#[test]
fn a_source_no_host_can_have_is_dropped() {
    let from = |octets| tcp().from(endpoint(octets, 1)).build();

    assert_dropped([
        ("multicast", from([224, 0, 0, 1]), MartianSource),
        ("multicast", from([239, 255, 255, 255]), MartianSource),
        ("broadcast", from([255, 255, 255, 255]), MartianSource),
        ("loopback", from([127, 0, 0, 1]), MartianSource),
        ("loopback", from([127, 255, 255, 255]), MartianSource),
        ("zero", from([0, 0, 0, 0]), MartianSource),
    ]);
}

#[test]
fn a_packet_without_a_whole_transport_header_is_dropped() {
    let half_options = tcp().mss(1460).cut(23).build();
    let tiny = tcp().syn().more_fragments().cut(8).build();

    assert_dropped([
        (
            "TCP without ports",
            tcp().cut(3).build(),
            TruncatedTransport,
        ),
        ("half TCP options", half_options, TruncatedTransport),
        (
            "TCP header of 16",
            with_ip_byte(32, 0x40),
            TruncatedTransport,
        ),
        ("tiny fragment", tiny, TruncatedTransport),
        (
            "overlapping flags",
            tcp().fragment_offset(8).build(),
            TruncatedTransport,
        ),
    ]);
}

#[test]
fn a_fragment_that_may_overlap_only_data_is_kept() {
    assert_eq!(
        other_ipv4(&udp().fragment_offset(8).build()).ip.protocol,
        17
    );
    assert_eq!(
        other_ipv4(&tcp().fragment_offset(16).build()).ip.protocol,
        6
    );
    // The last fragment of the longest packet there can be.
    let last = udp().fragment_offset(65_512).payload(&[0; 3]).build();
    assert_eq!(other_ipv4(&last).ip.fragment, FragmentKind::Later);
}

#[test]
fn an_impossible_ipv6_header_is_dropped() {
    let half = ipv6_with_byte(0, 0x60)[..53].to_vec();
    let from = |source| ipv6(source, V6(2), 59, &[]);
    let endless = ipv6(V6(2), V6(3), 0, &[0; 72]);
    let routing = ipv6(V6(2), V6(3), 43, &[6, 1, 0, 0, 0, 0, 0, 0]);

    assert_dropped([
        ("version 4", ipv6_with_byte(0, 0x40), BadIpHeader),
        ("longer than frame", ipv6_with_byte(5, 10), TruncatedIp),
        ("half a header", half, TruncatedIp),
        ("loopback source", from(V6(1)), MartianSource),
        ("multicast source", from(V6(0xff02 << 112)), MartianSource),
        ("endless extensions", endless, BadIpHeader),
        ("half an extension", routing, TruncatedIp),
    ]);
}

fn ipv6_with_byte(at: usize, value: u8) -> Vec<u8> {
    let mut frame = ipv6_udp(V6(2), V6(3), b"x");
    frame[14 + at] = value;
    frame
}

#[test]
fn sources_next_to_martians_are_hosts() {
    for octets in [
        [126, 255, 255, 255],
        [128, 0, 0, 1],
        [223, 255, 255, 255],
        [240, 0, 0, 1],
        [255, 255, 255, 254],
        [0, 0, 0, 1],
    ] {
        let source = endpoint(octets, 1);
        assert_eq!(parsed(&tcp().from(source).build()).key.source, source);
    }
}

/// Frames of every kind, to be damaged.
fn good_frames() -> Vec<Vec<u8>> {
    let mut frames = udp().payload_len(64).fragments(60);
    frames.extend([
        tcp().syn().mss(1460).timestamps(1, 2).build(),
        tcp().vlan(7).ip_options(&[148, 4, 0, 0]).build(),
        tcp().data(b"GET /").vlan(7).build(),
        udp().payload(b"question").padded().build(),
        sctp().init().build(),
        icmp_echo().padded().build(),
        arp_request(CLIENT.addr, VIP.addr),
        ipv6_udp(V6(2), V6(3), b"x"),
        ipv6(
            V6(2),
            V6(3),
            0,
            &[44, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 1, 0, 0, 0, 9],
        ),
    ]);
    frames
}

/// Whether the offsets and lengths of `parsed` stay within the frame, one behind the other.
fn is_within(frame: &[u8], parsed: Frame) -> bool {
    let ends = match parsed {
        Frame::Ipv4(Parsed { ip, .. })
        | Frame::Ipv4Cut(Parsed { ip, .. })
        | Frame::Ipv4Other(OtherIpv4 { ip, .. }) => {
            let l3_offset = u16::from(ip.l3_offset);
            let header_end = l3_offset + u16::from(ip.header_len);
            vec![
                l3_offset,
                header_end,
                ip.l4_offset,
                l3_offset + ip.total_len,
            ]
        }
        Frame::Ipv6(facts) => vec![u16::from(facts.l3_offset), facts.l4_offset],
        Frame::Arp | Frame::Other(_) => vec![],
    };
    ends.is_sorted()
        && ends
            .last()
            .is_none_or(|end| usize::from(*end) <= frame.len())
}

/// Whether the express lane's reader leaves the frame to the general one, or reads the same.
fn plain_agrees(frame: &[u8], checksum: RxChecksum) -> bool {
    let read = |plain_link: PlainLink| {
        let (plain, _) = Plain::parse(frame, plain_link, checksum)?;
        Some((plain_link, plain.to_parsed(frame, plain_link.vlan)?))
    };
    let Some((plain_link, facts)) = PlainLink::parse(frame).and_then(read) else {
        return true;
    };
    let Ok((link, Frame::Ipv4(parsed))) = parse(frame, checksum) else {
        return false;
    };
    (plain_link.vlan, plain_link.l3_offset) == (link.vlan, link.len)
        && plain_link.is_for(frame, link.destination)
        && facts == parsed
}

#[test]
fn what_nearly_all_packets_are_is_plain() {
    let plain = |frame: Vec<u8>| {
        let link = PlainLink::parse(&frame);
        link.is_some_and(|link| Plain::parse(&frame, link, RxChecksum::Unknown).is_some())
    };

    assert!(plain(tcp().data(b"GET /").build()));
    assert!(plain(tcp().timestamps(1, 2).vlan(7).padded().build()));
    assert!(plain(udp().payload(b"x").padded().dont_fragment().build()));
    assert!(!plain(tcp().ip_options(&[148, 4, 0, 0]).build()));
    assert!(!plain(udp().bad_ip_checksum().build()));
    assert!(!plain(sctp().init().build()));
}

const ANY_CHECKSUM: [RxChecksum; 3] = [RxChecksum::Unknown, RxChecksum::Good, RxChecksum::Bad];

proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        frame in proptest::collection::vec(any::<u8>(), 0..200),
        ethertype in proptest::sample::select(vec![0x0800_u16, 0x86dd, 0x8100, 0x0806]),
        checksum in proptest::sample::select(ANY_CHECKSUM.to_vec()),
    ) {
        let mut frame = frame;
        if let Some(field) = frame.get_mut(12..14) {
            field.copy_from_slice(&ethertype.to_be_bytes());
        }

        if let Ok((_, parsed)) = parse(&frame, checksum) {
            prop_assert!(is_within(&frame, parsed));
        }
        prop_assert!(plain_agrees(&frame, checksum));
    }

    #[test]
    fn no_damage_makes_it_panic_or_point_outside_the_frame(
        frame in proptest::sample::select(good_frames()),
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4),
        len in any::<proptest::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let mut frame = frame;
        for (at, value) in damage {
            let at = at.index(frame.len());
            frame[at] = value;
        }
        if cut {
            frame.truncate(len.index(frame.len()));
        }

        for checksum in ANY_CHECKSUM {
            if let Ok((_, parsed)) = parse(&frame, checksum) {
                prop_assert!(is_within(&frame, parsed));
            }
            prop_assert!(plain_agrees(&frame, checksum));
        }
    }

    #[test]
    fn what_was_built_is_what_is_read(
        source in any::<u32>(), destination in any::<u32>(),
        ports in any::<(u16, u16)>(), flags in any::<u8>(),
        vlan in 0_u16..4095, ttl in any::<u8>(), payload in 0_usize..100,
    ) {
        let [_, b, c, d] = source.to_be_bytes();
        let source = endpoint([10, b, c, d], ports.0);
        let destination = Endpoint::new(V4(destination), ports.1);
        let frame = tcp()
            .from(source)
            .to(destination)
            .flags(tcp::Flags(flags))
            .vlan(vlan)
            .ttl(ttl)
            .payload_len(payload);

        let parsed = parsed(&frame.build());

        prop_assert_eq!(parsed.key.source, source);
        prop_assert_eq!(parsed.key.destination, destination);
        prop_assert_eq!(parsed.tcp_flags, flags);
        prop_assert_eq!(parsed.ip.vlan, (vlan > 0).then_some(VlanId(vlan)));
        prop_assert_eq!(usize::from(parsed.ip.total_len), 40 + payload);
        prop_assert_eq!(parsed.ip.ttl, ttl);
    }
}
