//! Rules against a walk over all of them, and one by one.

use proptest::prelude::*;

use super::*;

const ETHDEV: EthdevId = EthdevId(0);
const UDP: u8 = 17;

const fn end(octets: [u8; 4], port: u16) -> Endpoint<V4> {
    Endpoint::new(V4(u32::from_be_bytes(octets)), port)
}

const CLIENT: Endpoint<V4> = end([10, 1, 0, 9], 40_000);
const VIP: Endpoint<V4> = end([10, 1, 0, 100], 80);

/// The mark by a walk over the rules, which is what they mean.
fn walk(
    rules: &[MarkRule],
    ethdev: EthdevId,
    protocol: u8,
    [source, destination]: [Endpoint<V4>; 2],
) -> u32 {
    let covers = |prefix: Option<(V4, u8)>, addr: V4| {
        prefix.is_none_or(|(of, len)| {
            let behind = 32 - u32::from(len);
            u64::from(of.0) >> behind == u64::from(addr.0) >> behind
        })
    };
    let first = rules.iter().find(|rule| {
        rule.ethdev.is_none_or(|it| it == ethdev)
            && rule.protocol.is_none_or(|it| it == protocol)
            && covers(rule.source, source.addr)
            && covers(rule.destination, destination.addr)
            && rule.source_ports.contains(&source.port)
            && rule.destination_ports.contains(&destination.port)
    });
    first.map_or(0, |rule| rule.mark)
}

#[test]
fn without_rules_no_packet_has_a_mark() {
    let rules = MarkRules::new(Vec::new());

    assert!(rules.is_empty());
    assert_eq!(rules.mark(ETHDEV, UDP, CLIENT, VIP), 0);
}

#[test]
fn each_thing_a_rule_asks_is_asked() {
    let rule = MarkRule {
        ethdev: Some(ETHDEV),
        protocol: Some(UDP),
        source: Some((CLIENT.addr, 24)),
        destination: Some((VIP.addr, 32)),
        source_ports: 40_000..=40_009,
        destination_ports: 80..=80,
        mark: 7,
    };
    let rules = MarkRules::new(vec![rule]);
    let client = |octets, port| rules.mark(ETHDEV, UDP, end(octets, port), VIP);
    let vip = |octets, port| rules.mark(ETHDEV, UDP, CLIENT, end(octets, port));

    assert_eq!(rules.mark(ETHDEV, UDP, CLIENT, VIP), 7);
    assert_eq!(client([10, 1, 0, 255], 40_009), 7);
    assert_eq!(client([10, 1, 1, 0], 40_000), 0);
    assert_eq!(client([10, 1, 0, 9], 40_010), 0);
    assert_eq!(vip([10, 1, 0, 101], 80), 0);
    assert_eq!(vip([10, 1, 0, 100], 81), 0);
    assert_eq!(rules.mark(EthdevId(1), UDP, CLIENT, VIP), 0);
    assert_eq!(rules.mark(ETHDEV, 6, CLIENT, VIP), 0);
}

#[test]
fn the_first_rule_that_matches_gives_the_mark_even_if_it_is_none() {
    let exempt = MarkRule {
        source: Some((CLIENT.addr, 32)),
        ..MarkRule::any(0)
    };
    let rules = MarkRules::new(vec![exempt, MarkRule::any(1), MarkRule::any(2)]);

    assert_eq!(rules.mark(ETHDEV, UDP, CLIENT, VIP), 0);
    assert_eq!(rules.mark(ETHDEV, UDP, VIP, CLIENT), 1);
    assert_eq!(rules.len(), 3);
}

#[test]
fn a_prefix_covers_all_behind_it_whatever_its_other_bits_say() {
    let prefix = |len| MarkRule {
        source: Some((V4(u32::MAX), len)),
        ..MarkRule::any(1)
    };
    let marked = |len, octets| {
        let rules = MarkRules::new(vec![prefix(len)]);
        rules.mark(ETHDEV, UDP, end(octets, 1), VIP) == 1
    };

    assert!(marked(0, [0; 4]));
    assert!(marked(1, [128, 0, 0, 0]) && !marked(1, [127, 255, 255, 255]));
    assert!(marked(31, [255, 255, 255, 254]) && !marked(31, [255, 255, 255, 253]));
    assert!(marked(32, [255; 4]) && !marked(32, [255, 255, 255, 254]));
}

#[test]
fn rules_beyond_the_most_are_not_looked_at() {
    let nowhere = MarkRule {
        protocol: Some(255),
        ..MarkRule::any(9)
    };
    let mut list = vec![nowhere; MarkRule::MOST - 1];
    list.extend([MarkRule::any(5), MarkRule::any(6)]);
    let last = MarkRules::new(list.clone());
    list.insert(
        0,
        MarkRule {
            protocol: Some(255),
            ..MarkRule::any(9)
        },
    );
    let behind = MarkRules::new(list);

    assert_eq!(last.mark(ETHDEV, UDP, CLIENT, VIP), 5);
    assert_eq!(behind.mark(ETHDEV, UDP, CLIENT, VIP), 0);
    assert_eq!(behind.len(), MarkRule::MOST);
}

/// Few different values, so that rules and packets meet often.
fn an_address() -> impl Strategy<Value = V4> {
    let octet = prop_oneof![Just(0), Just(1), Just(2), Just(255)];
    (octet.clone(), octet.clone(), octet.clone(), octet)
        .prop_map(|(a, b, c, d)| V4(u32::from_be_bytes([a, b, c, d])))
}

fn a_port() -> impl Strategy<Value = u16> {
    prop_oneof![0..6_u16, Just(u16::MAX - 1), Just(u16::MAX)]
}

prop_compose! {
    fn a_rule()(
        ethdev in prop::option::weighted(0.3, 0..3_u16),
        protocol in prop::option::weighted(0.3, prop_oneof![Just(6_u8), Just(17), Just(132)]),
        source in prop::option::weighted(0.5, (an_address(), 0..=32_u8)),
        destination in prop::option::weighted(0.5, (an_address(), 0..=32_u8)),
        source_ports in prop::option::weighted(0.3, (a_port(), a_port())),
        destination_ports in prop::option::weighted(0.3, (a_port(), a_port())),
        mark in 0..1_000_u32,
    ) -> MarkRule {
        let range = |ports: Option<(u16, u16)>| {
            let (first, last) = ports.unwrap_or((0, u16::MAX));
            first..=last
        };
        MarkRule {
            ethdev: ethdev.map(EthdevId),
            protocol,
            source,
            destination,
            source_ports: range(source_ports),
            destination_ports: range(destination_ports),
            mark,
        }
    }
}

proptest! {
    #[test]
    fn every_mark_is_that_of_a_walk_over_the_rules(
        rules in prop::collection::vec(a_rule(), 0..200),
        packets in prop::collection::vec(
            (0..4_u16, prop_oneof![Just(6_u8), Just(17)],
             an_address(), a_port(), an_address(), a_port()),
            50,
        ),
    ) {
        let compiled = MarkRules::new(rules.clone());
        for (ethdev, protocol, source, source_port, destination, destination_port) in packets {
            let ethdev = EthdevId(ethdev);
            let ends = [
                Endpoint::new(source, source_port),
                Endpoint::new(destination, destination_port),
            ];
            prop_assert_eq!(
                compiled.mark(ethdev, protocol, ends[0], ends[1]),
                walk(&rules, ethdev, protocol, ends)
            );
        }
    }
}
