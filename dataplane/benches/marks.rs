//! What a packet without a session pays for its mark, by the number of rules.
//!
//! Rules ask for a client's network, a VIP and a port; packets are spread over what they ask for.
//! `walk` is what the compiled rules replace: one rule after the other until one matches.
//!
//! ```text
//! cargo bench -p sluice-dataplane --bench marks
//! ```
#![allow(missing_docs)]

use dataplane::address::{Endpoint, V4};
use dataplane::id::EthdevId;
use dataplane::marks::{MarkRule, MarkRules};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};

const RULES: [u32; 4] = [1, 10, 100, 1000];

/// Packets of a sample.
const PACKETS: usize = 1024;

const TCP: u8 = 6;

fn main() {
    divan::main();
}

/// Rule `number`: a /24 of clients to one VIP's ports from 80 on.
fn rule(number: u32) -> MarkRule {
    MarkRule {
        protocol: Some(TCP),
        source: Some((V4(0x0a00_0000 + (number << 8)), 24)),
        destination: Some((V4(0xc000_0200 + number % 200), 32)),
        destination_ports: 80..=80 + (number % 10) as u16,
        ..MarkRule::any(number + 1)
    }
}

fn rules(count: u32) -> Vec<MarkRule> {
    (0..count).map(rule).collect()
}

/// Packets for any of the rules, in an order without a pattern.
fn packets(rules: u32) -> Vec<(Endpoint<V4>, Endpoint<V4>)> {
    let mut state = 1_u32;
    (0..PACKETS)
        .map(|_| {
            state = state.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
            let number = (state >> 8) % rules;
            let client = Endpoint::new(V4(0x0a00_0009 + (number << 8)), 40_000);
            let vip = Endpoint::new(V4(0xc000_0200 + number % 200), 80);
            (client, vip)
        })
        .collect()
}

#[divan::bench(args = RULES)]
fn compiled(bencher: Bencher<'_, '_>, count: u32) {
    let rules = MarkRules::new(rules(count));
    let packets = packets(count);
    bencher.counter(ItemsCount::new(PACKETS)).bench_local(|| {
        let mark = |(client, vip): &_| rules.mark(EthdevId(0), TCP, *client, *vip);
        packets
            .iter()
            .map(black_box)
            .map(mark)
            .fold(0_u32, u32::wrapping_add)
    });
}

#[divan::bench(args = RULES)]
fn walk(bencher: Bencher<'_, '_>, count: u32) {
    let rules = rules(count);
    let packets = packets(count);
    let covers = |prefix: Option<(V4, u8)>, addr: V4| {
        prefix.is_none_or(|(of, len)| {
            (of.0 ^ addr.0)
                .checked_shr(32 - u32::from(len))
                .unwrap_or(0)
                == 0
        })
    };
    bencher.counter(ItemsCount::new(PACKETS)).bench_local(|| {
        let mark = |(client, vip): &(Endpoint<V4>, Endpoint<V4>)| {
            let first = rules.iter().find(|rule| {
                rule.protocol.is_none_or(|it| it == TCP)
                    && covers(rule.source, client.addr)
                    && covers(rule.destination, vip.addr)
                    && rule.destination_ports.contains(&vip.port)
            });
            first.map_or(0, |rule| rule.mark)
        };
        packets
            .iter()
            .map(black_box)
            .map(mark)
            .fold(0_u32, u32::wrapping_add)
    });
}
