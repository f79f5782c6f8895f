//! The Toeplitz hash of receive-side scaling, in software.
//!
//! The input is the tuple as it stands in the headers:
//!
//! ```text
//!   source address | destination address | source port | destination port
//!    4 or 16 bytes       4 or 16 bytes        2 bytes         2 bytes
//! ```
//!
//! Bit `n` of the input, when set, adds (XOR) the 32 bits of the key that begin at its bit `n`.
//! The hash is therefore linear: each part of the tuple has a share of its own and the hash is
//! the XOR of the shares. One table look-up per half byte keeps the tables in 4.6 KB, 1.5 KB of
//! them for IPv4.

use crate::address::{Address, FlowKey};

/// Bytes of the key that a tuple of either family can meet.
pub const KEY_BYTES: usize = 40;

/// The key in which Microsoft publishes its verification vectors; every ethdev takes it.
pub const DEFAULT_KEY: [u8; KEY_BYTES] = [
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0,
    0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c,
    0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
];

/// Half bytes of an IPv6 tuple.
const NIBBLES: usize = 72;

/// Half bytes of a port.
const PORT_NIBBLES: usize = 4;

/// A key, unfolded for fast hashing.
#[derive(Clone, Debug)]
pub struct Toeplitz {
    /// The share of half byte `n` of the input when it holds `value`: `[n][value]`.
    shares: Box<[[u32; 16]; NIBBLES]>,
}

impl Toeplitz {
    /// Unfolds `key`, as it is given to an ethdev (`rss_key` of `rte_eth_rss_conf`). Of a longer
    /// key only these first bytes ever matter.
    #[must_use]
    pub fn new(key: &[u8; KEY_BYTES]) -> Self {
        let mut shares = Box::new([[0; 16]; NIBBLES]);
        for (position, values) in shares.iter_mut().enumerate() {
            for (value, share) in values.iter_mut().enumerate() {
                *share = (0..4)
                    .filter(|bit| value & (0b1000 >> bit) != 0)
                    .fold(0, |sum, bit| sum ^ window(key, position * 4 + bit));
            }
        }
        Self { shares }
    }

    /// The hash an ethdev computes of a packet of `flow` when it hashes addresses and ports.
    #[inline]
    #[must_use]
    pub fn hash<A: Address>(&self, flow: &FlowKey<A>) -> u32 {
        let (source, destination) = (flow.source, flow.destination);
        let ports = u64::from(source.port) << 16 | u64::from(destination.port);
        self.address_share(source.addr, 0)
            ^ self.address_share(destination.addr, nibbles::<A>())
            ^ self.share(ports, 2 * nibbles::<A>(), 2 * PORT_NIBBLES)
    }

    /// What the destination port adds to the hash of a packet of family `A`: a hash without it
    /// (port 0) XOR this is the hash with it.
    #[inline]
    #[must_use]
    pub fn destination_port_share<A: Address>(&self, port: u16) -> u32 {
        let first = 2 * nibbles::<A>() + PORT_NIBBLES;
        self.share(u64::from(port), first, PORT_NIBBLES)
    }

    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the halves of the address are taken one by one"
    )]
    fn address_share<A: Address>(&self, addr: A, first: usize) -> u32 {
        let bits = addr.to_bits();
        if A::BITS <= 64 {
            return self.share(bits as u64, first, nibbles::<A>());
        }
        let half = nibbles::<A>() / 2;
        self.share((bits >> 64) as u64, first, half) ^ self.share(bits as u64, first + half, half)
    }

    /// The share of the low `count` half bytes of `value`, which stand at `first` in the input.
    #[inline]
    fn share(&self, value: u64, first: usize, count: usize) -> u32 {
        self.shares[first..first + count]
            .iter()
            .enumerate()
            .fold(0, |sum, (n, values)| {
                sum ^ values[(value >> (4 * (count - 1 - n)) & 0xf) as usize]
            })
    }
}

/// Half bytes of an address of family `A`.
#[inline]
const fn nibbles<A: Address>() -> usize {
    A::BITS as usize / 4
}

/// The 32 bits of the key that begin at `bit`.
fn window(key: &[u8; KEY_BYTES], bit: usize) -> u32 {
    (bit..bit + 32).fold(0, |bits, n| {
        bits << 1 | u32::from(key[n / 8] >> (7 - n % 8) & 1)
    })
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;
    use crate::address::{Endpoint, Protocol, V4, V6};

    fn flow<A>(source: (A, u16), destination: (A, u16)) -> FlowKey<A> {
        FlowKey {
            source: Endpoint::new(source.0, source.1),
            destination: Endpoint::new(destination.0, destination.1),
            protocol: Protocol::Tcp,
        }
    }

    fn v4(addr: &str) -> V4 {
        addr.parse::<Ipv4Addr>().unwrap().into()
    }

    fn v6(addr: &str) -> V6 {
        addr.parse::<Ipv6Addr>().unwrap().into()
    }

    #[test]
    fn ipv4_hashes_equal_the_published_verification_vectors() {
        let toeplitz = Toeplitz::new(&DEFAULT_KEY);

        // "Verifying the RSS Hash Calculation", Windows driver documentation: IPv4 with TCP.
        for (source, destination, expected) in [
            (
                ("66.9.149.187", 2794),
                ("161.142.100.80", 1766),
                0x51cc_c178,
            ),
            (("199.92.111.2", 14230), ("65.69.140.83", 4739), 0xc626_b0ea),
            (
                ("24.19.198.95", 12898),
                ("12.22.207.184", 38024),
                0x5c2b_394a,
            ),
            (
                ("38.27.205.30", 48228),
                ("209.142.163.6", 2217),
                0xafc7_327f,
            ),
            (
                ("153.39.163.191", 44251),
                ("202.188.127.2", 1303),
                0x10e8_28a2,
            ),
        ] {
            let flow = flow((v4(source.0), source.1), (v4(destination.0), destination.1));
            assert_eq!(toeplitz.hash(&flow), expected, "{flow:?}");
        }
    }

    #[test]
    fn ipv6_hashes_equal_the_published_verification_vectors() {
        let toeplitz = Toeplitz::new(&DEFAULT_KEY);

        // The same page: IPv6 with TCP.
        for (source, destination, expected) in [
            (
                ("3ffe:2501:200:1fff::7", 2794),
                ("3ffe:2501:200:3::1", 1766),
                0x4020_7d3d,
            ),
            (
                ("3ffe:501:8::260:97ff:fe40:efab", 14230),
                ("ff02::1", 4739),
                0xdde5_1bbf,
            ),
            (
                ("3ffe:1900:4545:3:200:f8ff:fe21:67cf", 44251),
                ("fe80::200:f8ff:fe21:67cf", 38024),
                0x02d1_feef,
            ),
        ] {
            let flow = flow((v6(source.0), source.1), (v6(destination.0), destination.1));
            assert_eq!(toeplitz.hash(&flow), expected, "{flow:?}");
        }
    }

    #[test]
    fn the_destination_port_can_be_added_to_a_hash_without_it() {
        let toeplitz = Toeplitz::new(&DEFAULT_KEY);
        let four = |port| flow((v4("10.2.0.11"), 80), (v4("10.2.0.1"), port));
        let six = |port| flow((v6("2001:db8::11"), 80), (v6("2001:db8::1"), port));

        for port in [1, 1024, 33_333, 65_535] {
            assert_eq!(
                toeplitz.hash(&four(port)),
                toeplitz.hash(&four(0)) ^ toeplitz.destination_port_share::<V4>(port)
            );
            assert_eq!(
                toeplitz.hash(&six(port)),
                toeplitz.hash(&six(0)) ^ toeplitz.destination_port_share::<V6>(port)
            );
        }
    }
}
