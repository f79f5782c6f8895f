//! The hash under which a flow stands in the session table.
//!
//! Multiplications to 128 bits whose halves are folded together, keyed with numbers that are
//! drawn anew at every start: about a nanosecond, and a sender who does not know the key cannot
//! choose flows that collide (with CRC32 collisions survive every key).

use std::fmt;

use crate::address::{Address, Protocol};
use crate::wire::tuple::Tuple;

/// The key of the hash: random, drawn at each start, the same for the life of a table.
#[derive(Clone, Copy)]
pub struct HashSecret(pub [u64; 4]);

impl fmt::Debug for HashSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whoever can read a log must not be able to build colliding flows.
        f.write_str("HashSecret(…)")
    }
}

impl HashSecret {
    /// The hash of a flow, good in all its 64 bits.
    #[inline]
    #[must_use]
    pub fn hash<A: Address>(&self, tuple: &Tuple<A>, protocol: Protocol) -> u64 {
        let Self([s0, s1, s2, s3]) = *self;
        let rest = u64::from(protocol as u8) << 32 | u64::from(tuple.ports);

        // Decided when compiled: 64 bits hold both addresses of IPv4.
        if A::BITS == 32 {
            let addresses = A::double(&tuple.addresses, 0);
            return fold(fold(addresses ^ s0, rest ^ s1) ^ s2, addresses ^ s3);
        }
        let [a, b, c, d] = [0, 1, 2, 3].map(|at| A::double(&tuple.addresses, at));
        let sender = fold(a ^ s0, b ^ s1);
        let both = fold(c ^ s2 ^ sender, d ^ s3);
        fold(both ^ s1, rest ^ s2 ^ sender)
    }
}

/// The two halves of the 128-bit product, one over the other.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "both halves are asked for")]
const fn fold(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::address::{Endpoint, FlowKey, V4, V6};

    const SECRET: HashSecret = HashSecret([
        0x243f_6a88_85a3_08d3,
        0x1319_8a2e_0370_7344,
        0xa409_3822_299f_31d0,
        0x082e_fa98_ec4e_6c89,
    ]);

    fn hash<A: Address>(key: &FlowKey<A>) -> u64 {
        hash_by(SECRET, key)
    }

    fn hash_by<A: Address>(secret: HashSecret, key: &FlowKey<A>) -> u64 {
        secret.hash(&Tuple::of(key), key.protocol)
    }

    fn v4(client: u32, port: u16) -> FlowKey<V4> {
        FlowKey {
            source: Endpoint::new(V4(0x0a00_0000 + client), port),
            destination: Endpoint::new(V4(0xc000_0201), 80),
            protocol: Protocol::Tcp,
        }
    }

    fn v6(client: u32, port: u16) -> FlowKey<V6> {
        FlowKey {
            source: Endpoint::new(V6((0x2001_0db8 << 96) + u128::from(client)), port),
            destination: Endpoint::new(V6(0x2001_0db8 << 96), 80),
            protocol: Protocol::Tcp,
        }
    }

    /// Neighbouring flows, as real clients and simple floods make them.
    fn hashes<A: Address>(key: impl Fn(u32, u16) -> FlowKey<A>) -> Vec<u64> {
        (0..256)
            .flat_map(|client| (0..256).map(move |port| (client, 1024 + port)))
            .map(|(client, port)| hash(&key(client, port)))
            .collect()
    }

    fn assert_spread(hashes: &[u64]) {
        let distinct: HashSet<_> = hashes.iter().collect();
        assert_eq!(distinct.len(), hashes.len());

        // 65,536 flows over 256 places: 256 each, with a standard deviation of 16.
        for shift in [0, 8, 32, 56] {
            let mut places = [0_u32; 256];
            for hash in hashes {
                places[usize::try_from(hash >> shift & 0xff).unwrap()] += 1;
            }
            assert!(places.iter().all(|count| (160..=352).contains(count)));
        }
    }

    #[test]
    fn neighbouring_flows_spread_evenly_in_high_and_low_bits() {
        assert_spread(&hashes(v4));
        assert_spread(&hashes(v6));
    }

    #[test]
    fn every_field_of_the_key_counts() {
        let key = v4(1, 1);
        let mut udp = key;
        udp.protocol = Protocol::Udp;
        let mut other_vip = key;
        other_vip.destination.addr.0 += 1;
        let mut other_port = key;
        other_port.destination.port += 1;

        let keys = [
            key,
            key.reversed(),
            udp,
            other_vip,
            other_port,
            v4(2, 1),
            v4(1, 2),
        ];

        let distinct: HashSet<_> = keys.iter().map(hash).collect();
        assert_eq!(distinct.len(), keys.len());
    }

    #[test]
    fn another_secret_gives_another_hash_and_is_not_printed() {
        let other = HashSecret([1, 2, 3, 4]);

        assert_ne!(hash(&v4(1, 1)), hash_by(other, &v4(1, 1)));
        assert_eq!(format!("{other:?}"), "HashSecret(…)");
    }
}
