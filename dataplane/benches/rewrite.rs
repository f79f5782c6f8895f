//! What each forwarding method's rewriting costs: bursts of 32 of the shortest packets, each
//! with the hop counted off its time to live, to another server from one packet to the next.
//!
//! What the pipeline does beside it (the session, counters, the Ethernet header) is not in here.
//! The packets of a burst are made anew each time, outside of what is measured.
//!
//! ```text
//! cargo bench -p sluice-dataplane --bench rewrite
//! ```
// A bench that cannot set up its case stops, which is what a panic is for.
#![allow(clippy::expect_used, missing_docs)]

use dataplane::address::{Endpoint, Protocol, V4};
use dataplane::drop_reason::DropReason;
use dataplane::io::Packet;
use dataplane::io::memory::MemoryPacket;
use dataplane::rewrite::ip_id::IpIds;
use dataplane::rewrite::tun::Tunnel;
use dataplane::rewrite::{decrement_ttl, dr, fullnat, nat, tun};
use dataplane::testing::{self, CLIENT, LIP, VIP};
use dataplane::wire::ethernet;
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};

const BURST: u16 = 32;

const TRANSPORTS: [Protocol; 2] = [Protocol::Tcp, Protocol::Udp];

fn main() {
    divan::main();
}

#[divan::bench(args = TRANSPORTS)]
fn dr_to_server(bencher: Bencher<'_, '_>, protocol: Protocol) {
    rewrite(bencher, protocol, (CLIENT, VIP), |ip, _| dr::to_server(ip));
}

#[divan::bench(args = TRANSPORTS)]
fn nat_to_server(bencher: Bencher<'_, '_>, protocol: Protocol) {
    rewrite(bencher, protocol, (CLIENT, VIP), |ip, n| {
        decrement_ttl(ip)?;
        nat::to_server(ip, server(n))
    });
}

#[divan::bench(args = TRANSPORTS)]
fn nat_to_client(bencher: Bencher<'_, '_>, protocol: Protocol) {
    rewrite(bencher, protocol, (server(0), CLIENT), |ip, _| {
        decrement_ttl(ip)?;
        nat::to_client(ip, VIP)
    });
}

#[divan::bench(args = TRANSPORTS)]
fn fullnat_to_server(bencher: Bencher<'_, '_>, protocol: Protocol) {
    rewrite(bencher, protocol, (CLIENT, VIP), |ip, n| {
        decrement_ttl(ip)?;
        fullnat::to_server(ip, LIP, server(n))
    });
}

#[divan::bench(args = TRANSPORTS)]
fn fullnat_to_client(bencher: Bencher<'_, '_>, protocol: Protocol) {
    rewrite(bencher, protocol, (server(0), LIP), |ip, n| {
        decrement_ttl(ip)?;
        fullnat::to_client(ip, VIP, Endpoint::new(CLIENT.addr, n))
    });
}

/// Twenty bytes more in front.
#[divan::bench(args = TRANSPORTS)]
fn tun_to_server(bencher: Bencher<'_, '_>, protocol: Protocol) {
    let frame = frame(protocol, (CLIENT, VIP));
    let mut ids = IpIds::starting_at(7);
    bencher
        .counter(ItemsCount::new(BURST))
        .with_inputs(|| -> Vec<_> { (0..BURST).map(|_| MemoryPacket::new(&frame)).collect() })
        .bench_local_refs(|burst| {
            for (packet, n) in burst.iter_mut().zip(0..) {
                let tunnel = Tunnel {
                    source: LIP.addr,
                    destination: server(n).addr,
                };
                let ip = packet.bytes_mut().get_mut(ethernet::HEADER_LEN..);
                let result = decrement_ttl(ip.unwrap_or_default()).and_then(|()| {
                    tun::encapsulate(packet, ethernet::HEADER_LEN, tunnel, &mut ids)
                });
                result.expect("it has headroom");
            }
        });
}

/// Rewrites bursts of packets between these ends by `step`, which is told their number.
fn rewrite(
    bencher: Bencher<'_, '_>,
    protocol: Protocol,
    ends: (Endpoint<V4>, Endpoint<V4>),
    step: impl Fn(&mut [u8], u16) -> Result<(), DropReason>,
) {
    let packet = frame(protocol, ends).split_off(ethernet::HEADER_LEN);
    let burst = || -> Vec<_> { (0..BURST).map(|_| packet.clone()).collect() };
    bencher
        .counter(ItemsCount::new(BURST))
        .with_inputs(burst)
        .bench_local_refs(|burst| {
            for (packet, n) in burst.iter_mut().zip(0..) {
                step(black_box(packet), n).expect("the packet is sound");
            }
        });
}

fn frame(protocol: Protocol, (from, to): (Endpoint<V4>, Endpoint<V4>)) -> Vec<u8> {
    match protocol {
        Protocol::Tcp => testing::tcp().from(from).to(to).ack().build(),
        Protocol::Udp => testing::udp().from(from).to(to).payload(b"query").build(),
        Protocol::Sctp => testing::sctp().from(from).to(to).build(),
    }
}

/// One of the servers 10.2.0.11 and on.
fn server(number: u16) -> Endpoint<V4> {
    Endpoint::new(V4(0x0a02_000b + u32::from(number)), 8080)
}
