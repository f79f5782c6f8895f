//! What a checksum costs: over all bytes, and carried over to changed fields.
//!
//! ```text
//! cargo bench -p sluice-dataplane --bench checksum
//! ```
#![allow(missing_docs)]

use dataplane::wire::checksum::{Change, finish, ones_complement_sum};
use divan::counter::BytesCount;
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

/// An IPv4 header, the shortest packet, the longest of Ethernet.
#[divan::bench(args = [20, 64, 1500])]
fn from_scratch(bencher: Bencher<'_, '_>, len: usize) {
    let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(len).collect();
    bencher
        .counter(BytesCount::new(len))
        .bench(|| finish(ones_complement_sum(black_box(&bytes), 0)));
}

/// The time to live.
#[divan::bench]
fn one_word_changed() -> u16 {
    Change::default()
        .u16(black_box(0x4006), black_box(0x3f06))
        .apply(black_box(0xb861))
}

/// Both addresses and both ports, as FULLNAT changes them.
#[divan::bench]
fn both_ends_changed() -> u16 {
    Change::default()
        .u32(black_box(0x0a01_0009), black_box(0x0a02_0001))
        .u32(black_box(0x0a01_0064), black_box(0x0a02_000b))
        .u16(black_box(40_000), black_box(20_000))
        .u16(black_box(80), black_box(8080))
        .apply(black_box(0xb861))
}
